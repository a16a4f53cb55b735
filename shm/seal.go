package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Seals is a set of promises about a memfd that the kernel keeps, for ever and
// for everybody, its maker included. The values are fcntl's F_SEAL_….
type Seals uint32

const (
	// SealSeal: no more seals can be added.
	SealSeal Seals = unix.F_SEAL_SEAL
	// SealShrink: it never gets shorter, so no touch of it is SIGBUS (P-K6). A
	// memfd of huge pages wants SealWrite or SealFutureWrite as well: without one,
	// anybody who has it may punch holes, and a hole's pages are there again only
	// while the pool has some.
	SealShrink Seals = unix.F_SEAL_SHRINK
	// SealGrow: it never gets longer.
	SealGrow Seals = unix.F_SEAL_GROW
	// SealWrite: its bytes never change. It can be added only when nobody
	// has it mapped writable.
	SealWrite Seals = unix.F_SEAL_WRITE
	// SealFutureWrite: no writable mapping and no write from now on, but
	// mappings that are writable now stay so. Linux 5.1.
	SealFutureWrite Seals = unix.F_SEAL_FUTURE_WRITE
	// SealExec: it never becomes executable. Memfd and Sealed have it from
	// the beginning. Linux 6.3.
	SealExec Seals = unix.F_SEAL_EXEC
)

var sealNames = []string{"SealSeal", "SealShrink", "SealGrow", "SealWrite", "SealFutureWrite", "SealExec"}

// String returns the names, with | between them; "no seals" for none.
func (s Seals) String() string {
	if s == 0 {
		return "no seals"
	}
	var names []string
	for i, name := range sealNames {
		if bit := Seals(1) << i; s&bit != 0 {
			names = append(names, name)
			s &^= bit
		}
	}
	if s != 0 {
		names = append(names, "0x"+strconv.FormatUint(uint64(s), 16))
	}
	return strings.Join(names, "|")
}

// missingOf returns which of the wanted seals s does not have, or imply.
func (s Seals) missingOf(want Seals) Seals {
	if s&SealWrite != 0 {
		s |= SealFutureWrite
	}
	return want &^ s
}

// Seal adds seals to a memfd. All processes that have it are bound by them at
// once, and nobody can take one off again. Seals that are there already change
// nothing.
//
//	SealShrink | SealGrow      before Send: Receive insists on SealShrink (of huge
//	                           pages on one of the next two as well)
//	… | SealWrite | SealSeal   for data that is finished: see Sealed
//	… | SealFutureWrite | SealSeal
//	                           for data that only those may write who have it
//	                           mapped already: see ReadOnlyFile
//
// SealWrite is EBUSY as long as anybody has the memfd mapped writable, and
// that is this Segment too unless it is ReadOnly (P-K20). To seal what was
// written through a Segment m:
//
//	r, err := shm.FromFile(m.File(), shm.ReadOnly)
//	…
//	err = m.Close()
//	…
//	err = r.Seal(shm.SealShrink | shm.SealGrow | shm.SealWrite | shm.SealSeal)
//
// Errors: EBUSY; fs.ErrPermission if it has SealSeal, or if the Segment's
// descriptor is not open for writing; fs.ErrInvalid for what is no memfd, and
// for seals that the kernel does not know; ErrClosed. After an error no seal
// was added. A process killed in Seal has added all of them or none.
func (s *Segment) Seal(seals Seals) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	err := s.hasDescriptor()
	if err == nil {
		_, err = again(func() (int, error) { return unix.FcntlInt(s.file.Fd(), unix.F_ADD_SEALS, int(seals)) })
		err = explainSeal(s.file, err)
	}
	if err != nil {
		return fmt.Errorf("shm: Seal %s with %v: %w", s.label, seals, err)
	}
	return nil
}

// Seals returns the seals that the object has. A memory object with a name has
// SealSeal: it cannot be sealed.
//
// Errors: fs.ErrInvalid for what the kernel keeps no seals of, such as a file
// on a disk; ErrClosed.
func (s *Segment) Seals() (Seals, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	err := s.hasDescriptor()
	var n int
	if err == nil {
		if n, err = getSeals(s.file); err != nil {
			err = fmt.Errorf("%w: it is no memfd: %w", err, fs.ErrInvalid)
		}
	}
	if err != nil {
		return 0, fmt.Errorf("shm: Seals %s: %w", s.label, err)
	}
	return Seals(n), nil
}

// hasDescriptor says what is wrong if s has none. Callers hold mu.
func (s *Segment) hasDescriptor() error {
	switch {
	case s.mem == nil:
		return ErrClosed
	case s.file == nil:
		return fmt.Errorf("it has no descriptor: %w; use Memfd", fs.ErrInvalid)
	}
	return nil
}

func getSeals(f *os.File) (int, error) {
	return again(func() (int, error) { return unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0) })
}

// sealsOf is getSeals where what has no seals has none.
func sealsOf(f *os.File) Seals {
	n, err := getSeals(f)
	if err != nil {
		return 0
	}
	return Seals(n)
}

// isMemfd reports whether f can be one: a memfd never has a name. An object of
// /dev/shm whose name was removed passes; it has no seal but SealSeal, ever.
func isMemfd(f *os.File, st *unix.Stat_t) bool {
	_, err := getSeals(f)
	return err == nil && st.Nlink == 0
}

// requireSeals refuses what does not have all of want.
func requireSeals(f *os.File, st *unix.Stat_t, want Seals) error {
	if !isMemfd(f, st) {
		return fmt.Errorf("%w: want %v, and it is no memfd, so it has no seals", ErrUnsealed, want)
	}
	have := sealsOf(f)
	if missing := have.missingOf(want); missing != 0 {
		return fmt.Errorf("%w: it lacks %v (it has: %v); its maker must Seal it before passing it on", ErrUnsealed, missing, have)
	}
	if want&SealShrink != 0 && have.missingOf(SealFutureWrite) != 0 && pageSizeOf(f) > int64(os.Getpagesize()) {
		return fmt.Errorf("%w: it is of huge pages, of which SealShrink without SealFutureWrite or SealWrite keeps nobody from punching holes (it has: %v); "+
			"its maker must Seal it before passing it on", ErrUnsealed, have)
	}
	return nil
}

func explainSeal(f *os.File, err error) error {
	have, getErr := getSeals(f)
	hint := ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EINVAL) && getErr != nil:
		return fmt.Errorf("%w: only a memfd can be sealed: %w", err, fs.ErrInvalid)
	case errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: this kernel does not know all of these seals: %w", err, fs.ErrInvalid)
	case errors.Is(err, unix.EBUSY):
		hint = "; somebody has it mapped writable, this process perhaps: map it again with FromFile and ReadOnly, " +
			"Close every writable Segment of it, and Seal the ReadOnly one; or add SealFutureWrite instead, which lets those mappings be"
	case errors.Is(err, unix.EPERM) && Seals(have)&SealSeal != 0:
		hint = "; it has SealSeal, as every object with a name has, so no seals can be added"
	case errors.Is(err, unix.EPERM):
		hint = "; its descriptor is not open for writing"
	}
	return fmt.Errorf("%w%s", err, hint)
}
