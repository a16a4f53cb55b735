package shm

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// sealedFor are the seals of what never changes again.
const sealedFor = SealShrink | SealGrow | SealWrite | SealSeal

// Sealed makes an immutable memfd that holds data: sealed with SealShrink,
// SealGrow, SealWrite and SealSeal, and mapped read-only. No process can ever
// change a byte of it, this one included, so that whoever receives it can
// check it once and rely on it: RequireSeals. name is a label, as for Memfd.
//
// Sealed is for a configuration, a table, a model: what is written once and
// read by many. data is copied; a Sealed of data that is built in place is
// made by Memfd and Seal.
//
// Options: Mode, without x bits; Mlock, Populate.
//
// Errors: fs.ErrInvalid for a bad label, no data or a bad Mode; ENOSPC, ENOMEM with the
// size. A process that dies leaves nothing that nobody else has open.
func Sealed(name string, data []byte, opts ...Option) (*Segment, error) {
	o := object{op: "shm.Sealed", name: name}
	c, err := configure(opts, optMode|optMemory)
	if err != nil {
		return nil, o.fail(err)
	}
	c.readOnly = true
	f, size, err := newMemfd(name, int64(len(data)), &c)
	if err != nil {
		return nil, o.fail(err)
	}
	if _, err = f.WriteAt(data, 0); err != nil {
		err = fmt.Errorf("cannot write %d bytes: %w", size, err)
	} else {
		_, err = again(func() (int, error) { return unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, int(sealedFor)) })
		err = explainSeal(f, err)
	}
	if err != nil {
		f.Close()
		return nil, o.fail(err)
	}
	s, err := newSegment(f, memfdLabel(name), size, false, &c)
	return s, o.fail(err)
}
