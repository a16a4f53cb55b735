package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// This file names, makes and opens System V segments; sysv_attach.go attaches
// them, sysv_ctl.go asks about and changes them, sysv_explain.go puts what goes
// wrong into words.

// A Key is what unrelated programs find a System V segment by: the 32 bits of
// C's key_t. They agree on a number, or on a path and a byte: Ftok.
//
// Keys are few and belong to the whole machine (the IPC namespace, to be
// exact): somebody else's segment may have yours (P-K14).
type Key uint32

// Private is the key of a segment that has none, IPC_PRIVATE. Each SysVCreate
// with it makes another one, which others open by its identifier.
const Private Key = unix.IPC_PRIVATE

// String is the key as ipcs(1) writes it.
func (k Key) String() string { return fmt.Sprintf("0x%08x", uint32(k)) }

// Ftok makes a key of a file that exists and of a byte, the same as ftok(3):
// the byte, the low 8 bits of the file's device and the low 16 of its inode
// number. A symbolic link counts as what it points to.
//
// The key is not unique: two files, or one and the number that some program
// has chosen, can have the same. A file that is deleted and made anew has
// another one.
//
// Errors: ErrNotExist; fs.ErrPermission for a directory on the way; fs.ErrInvalid
// for a path with NUL.
func Ftok(path string, id byte) (Key, error) {
	var st unix.Stat_t
	err := again0(func() error { return unix.Stat(path, &st) })
	switch {
	case err == unix.ENOENT:
		err = ErrNotExist
	case strings.IndexByte(path, 0) >= 0:
		err = fmt.Errorf("a path has no NUL: %w", fs.ErrInvalid)
	}
	if err != nil {
		return 0, fmt.Errorf("shm.Ftok %q: %w", path, err)
	}
	return Key(id)<<24 | Key(st.Dev&0xff)<<16 | Key(st.Ino&0xffff), nil
}

// SysVCreate makes a System V segment of this size in bytes, all zero, and
// attaches it: shmget(key, size, IPC_CREAT|IPC_EXCL) and shmat. No other
// segment may have the key, unless it is Private.
//
// Other than Create it reserves no memory. The kernel counts the size against
// its limits, but a page is found when it is first touched, and where no
// memory is left then, the OOM killer ends a process. Populate finds all pages
// at once.
//
// And it is there, empty, before its maker can put anything into it: System V
// has no other way. Who opens it then, or after its maker died, finds zeros. For
// the primitives of this module that is as good as an init. Whatever else must be
// initialised, initialise under a mutex in the segment, whoever takes it first,
// as the example "initialise" does; or use OpenOrCreate.
//
// Options: Mode, HugePages, Mlock, Populate, AtAddress, Round. Mlock locks this
// view, SysVLock the segment. With HugePages (SHM_HUGETLB) whole huge pages are
// mapped, and reserved; Size remains the size asked for.
//
// Errors: ErrExist, with who has the key; fs.ErrInvalid for a size below 1 or
// a bad option; EINVAL above SHMMAX, and ENOSPC for too many segments (SHMMNI)
// or pages (SHMALL), with the limits; ENOMEM; ErrAddress. A call that fails
// leaves nothing. A process killed in SysVCreate leaves nothing or the whole
// segment (if Mode forbids its owner to read or write, perhaps still with these
// two); and any segment stays until SysVRemove, whoever dies.
func SysVCreate(key Key, size int64, opts ...Option) (*Segment, error) {
	call := sysvCall{"shm.SysVCreate", "key " + key.String()}
	c, err := sysvOptions(opts, optMode|optHugePages|optMemory|optAddress|optRound)
	if err == nil && size < 1 {
		err = fmt.Errorf("size %d: want at least 1 (SHMMIN): %w", size, fs.ErrInvalid)
	}
	if err != nil {
		return nil, call.fail(err)
	}
	// The owner, too, needs permission to attach.
	perm := c.perm | 0o600
	flags := unix.IPC_CREAT | unix.IPC_EXCL | int(perm)
	if c.huge {
		flags |= shmHugeTLB
	}
	id, err := shmget(key, size, flags)
	if err != nil {
		return nil, call.fail(explainCreate(key, size, &c, err))
	}
	s, err := sysvAttach(id, key, &c)
	if err == nil && perm != c.perm {
		if err = sysvSetMode(id, c.perm); err != nil {
			s.Close()
		}
	}
	if err != nil {
		return nil, call.fail(errors.Join(err, rmid(id)))
	}
	return s, nil
}

// SysVOpen attaches the segment that has this key, all of it, as its maker
// sized it: shmget(key, 0, 0) and shmat. It may be a C program's, and nothing is
// written into it. Whether it is the one you mean, and not a stranger's with
// the same key, is for you to tell: by Size, SysVStat, or what is in it.
//
// Options: ReadOnly, Mlock, Populate, AtAddress, Round.
//
// Errors: ErrNotExist; fs.ErrPermission, with the owner and mode; fs.ErrInvalid
// for the key Private or a bad option; ErrAddress.
func SysVOpen(key Key, opts ...Option) (*Segment, error) {
	call := sysvCall{"shm.SysVOpen", "key " + key.String()}
	c, err := sysvOptions(opts, optReadOnly|optMemory|optAddress|optRound)
	if err != nil {
		return nil, call.fail(err)
	}
	id, err := lookupKey(key)
	if err != nil {
		return nil, call.fail(err)
	}
	s, err := sysvAttach(id, key, &c)
	return s, call.fail(err)
}

// SysVOpenID attaches the segment with this identifier, as shmat does. A
// process that has it attached can pass the identifier on; ipcs -m shows all.
//
// On Linux a segment can be attached by its identifier also after SysVRemove,
// as long as somebody has it attached; Removed then says so.
//
// Options and errors are those of SysVOpen.
func SysVOpenID(id int, opts ...Option) (*Segment, error) {
	call := sysvCall{"shm.SysVOpenID", fmt.Sprint("id ", id)}
	c, err := sysvOptions(opts, optReadOnly|optMemory|optAddress|optRound)
	if err != nil {
		return nil, call.fail(err)
	}
	s, err := sysvAttach(id, Private, &c)
	return s, call.fail(err)
}

// SysVID returns the identifier of the segment that has this key. It needs no
// permission on the segment.
//
// Errors: ErrNotExist; fs.ErrInvalid for the key Private, which names none.
func SysVID(key Key) (int, error) {
	id, err := lookupKey(key)
	if err != nil {
		return 0, sysvCall{"shm.SysVID", "key " + key.String()}.fail(err)
	}
	return id, nil
}

// SysVID returns the identifier of a System V segment, also after Close; ok is
// false for a segment of another kind.
func (s *Segment) SysVID() (id int, ok bool) {
	return s.shmid, s.isSysV
}

func lookupKey(key Key) (int, error) {
	if key == Private {
		return 0, fmt.Errorf("the key Private names no segment: open it by its identifier: %w", fs.ErrInvalid)
	}
	id, err := shmget(key, 0, 0)
	switch err {
	case nil:
		return id, nil
	case unix.ENOENT:
		return 0, fmt.Errorf("%w; was it made, and in this IPC namespace? ipcs -m lists all", ErrNotExist)
	}
	return 0, unsupported(err)
}

func shmget(key Key, size int64, flags int) (int, error) {
	return unix.SysvShmGet(int(int32(key)), int(size), flags)
}

// sysvCall gives every error of a call the same beginning.
type sysvCall struct {
	op   string
	what string // "key 0x0000002a", "id 7"
}

func (c sysvCall) fail(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", c.op, c.what, err)
}

// sysvOptions is configure, and checks what concerns addresses.
func sysvOptions(opts []Option, allowed uint) (config, error) {
	c, err := configure(opts, allowed)
	page := uintptr(os.Getpagesize()) // SHMLBA
	switch {
	case err != nil:
	case c.round && !c.addrGiven:
		err = fmt.Errorf("option Round means nothing without AtAddress: %w", fs.ErrInvalid)
	case !c.addrGiven:
	case !c.round && c.addr%page != 0:
		err = fmt.Errorf("AtAddress(%#x): want a multiple of %d (SHMLBA), or the option Round too: %w", c.addr, page, fs.ErrInvalid)
	case c.addr < page:
		err = fmt.Errorf("AtAddress(%#x): the first page is where nil points; leave the option out and the kernel chooses: %w", c.addr, fs.ErrInvalid)
	}
	return c, err
}
