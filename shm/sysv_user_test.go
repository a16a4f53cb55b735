// What holds for other users, at the limits of the machine, and where a filter
// forbids it all. Most of these tests need root, to become somebody else, or to set
// limits in an IPC namespace of their own.
package shm

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

const nobody = 65534

func asNobody(a *syscall.SysProcAttr) {
	a.Credential = &syscall.Credential{Uid: nobody, Gid: nobody}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root, to become another user and to set limits")
	}
}

// refused returns an error unless err matches a sentinel and says all the words.
func refused(err, is error, words ...string) error {
	if !errors.Is(err, is) {
		return fmt.Errorf("got %v, want %v", err, is)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			return fmt.Errorf("%q is not in %q", w, err)
		}
	}
	return nil
}

func init() {
	// Runs as another user. arg: a key of root's, its identifier
	children["sysv stranger"] = func(arg []string) error {
		n, err1 := strconv.ParseUint(arg[0], 0, 32)
		id, err2 := strconv.Atoi(arg[1])
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		key, in := Key(n), bufio.NewReader(os.Stdin)
		turn := func(say string) {
			fmt.Println(say)
			in.ReadString('\n')
		}
		// Mode 0600.
		if got, err := SysVID(key); err != nil || got != id {
			return fmt.Errorf("SysVID: %d, %w", got, err)
		}
		err := errors.Join(
			refused(failed(SysVOpen(key)), fs.ErrPermission, "owner uid 0", "mode 0600", "64 bytes", "ReadOnly"),
			refused(failed(SysVOpen(key, ReadOnly)), fs.ErrPermission, "owner uid 0"),
			refused(failed(SysVOpenID(id, AtAddress(1<<30))), fs.ErrPermission, "owner uid 0"),
			refused(failed(SysVCreate(key, 128)), ErrExist, "owner uid 0", "64 bytes"),
			refused(failed(SysVStat(id)), fs.ErrPermission, "owner uid 0"),
			refused(SysVSet(id, 0o666), fs.ErrPermission, "owner uid 0"),
			refused(SysVLock(id, true), fs.ErrPermission, "RLIMIT_MEMLOCK"),
			refused(SysVRemove(id), fs.ErrPermission, "owner uid 0"))
		if err != nil {
			return err
		}
		turn("private")
		// Mode 0644.
		s, err := SysVOpen(key, ReadOnly)
		if err != nil || s.Bytes()[0] != 1 {
			return fmt.Errorf("readable: %w", err)
		}
		if err := errors.Join(s.Removed(), refused(failed(SysVOpen(key)), fs.ErrPermission, "ReadOnly", "mode 0644")); err != nil {
			return err
		}
		turn("readable")
		// Mode 0600 again: who is in is in, and can still ask.
		if err := errors.Join(s.Removed(), refused(failed(SysVStat(id)), fs.ErrPermission)); err != nil {
			return err
		}
		turn("in")
		if err := refused(s.Removed(), ErrRemoved); err != nil {
			return err
		}
		return s.Close()
	}

	// Runs as another user, who makes what he may not read himself.
	children["sysv mode"] = func([]string) error {
		for _, perm := range []os.FileMode{0, 0o200, 0o400, 0o066, 0o777} {
			s, err := SysVCreate(Private, 64, Mode(perm))
			if err != nil {
				return fmt.Errorf("mode %04o: %w", perm, err)
			}
			id, _ := s.SysVID()
			info, listErr := statOrList(id)
			setErr := SysVSet(id, 0o604)
			now, statErr := SysVStat(id)
			if err := errors.Join(listErr, setErr, statErr, s.Removed(), SysVRemove(id), s.Close()); err != nil {
				return fmt.Errorf("mode %04o: %w", perm, err)
			}
			if info.Mode != perm || now.Mode != 0o604 || now.UID != nobody || now.GID != nobody {
				return fmt.Errorf("mode %04o: made %+v, changed to %+v", perm, info, now)
			}
		}
		return nil
	}

	// Runs as another user, who may lock no more than a page.
	children["sysv lock"] = func([]string) error {
		s, err := SysVCreate(Private, 3*int64(os.Getpagesize()))
		if err != nil {
			return err
		}
		defer s.Close()
		id, _ := s.SysVID()
		if err := SysVRemove(id); err != nil {
			return err
		}
		page := uint64(os.Getpagesize())
		for _, limit := range []struct {
			cur  uint64
			want error
		}{{page, unix.ENOMEM}, {0, unix.EPERM}} {
			if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: limit.cur, Max: page}); err != nil {
				return err
			}
			err := refused(SysVLock(id, true), limit.want, "RLIMIT_MEMLOCK", fmt.Sprint(limit.cur, " bytes"))
			if err != nil {
				return err
			}
		}
		return SysVLock(id, false)
	}

	// Runs in an IPC namespace of its own.
	children["sysv limits"] = func([]string) error {
		set := func(name string, n int) {
			if err := os.WriteFile("/proc/sys/kernel/"+name, []byte(strconv.Itoa(n)), 0); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		page := int64(os.Getpagesize())
		const key = Key(77)
		set("shmmax", 4096)
		err1 := refused(failed(SysVCreate(key, 4097)), unix.EINVAL, "4097 bytes", "to 4096 bytes (SHMMAX, /proc/sys/kernel/shmmax)")
		set("shmmax", 1<<30)
		set("shmall", 3)
		s, err := SysVCreate(key, 2*page)
		if err != nil {
			return err
		}
		err2 := refused(failed(SysVCreate(Private, 2*page)), unix.ENOSPC, "2 pages of at most 3 (SHMALL", "ipcrm")
		set("shmall", 1000)
		set("shmmni", 1)
		err3 := refused(failed(SysVCreate(Private, 64)), unix.ENOSPC, "1 segments of at most 1 (SHMMNI")
		// A key that is taken is told before all that.
		err4 := refused(failed(SysVCreate(key, 64)), ErrExist)
		id, _ := s.SysVID()
		err5 := SysVRemove(id)
		set("shmmni", 10)
		s2, err6 := SysVCreate(Private, 64)
		return errors.Join(err1, err2, err3, err4, err5, err6, s.Close(), s2.Close())
	}
}

func init() {
	// Runs where a filter refuses shmget. arg: with which errno
	children["sysv refused"] = func(arg []string) error {
		n, err := strconv.Atoi(arg[0])
		if err != nil {
			return err
		}
		errno := unix.Errno(n)
		if err := refuse(refusal{call: unix.SYS_SHMGET, errno: errno}); err != nil {
			return err
		}
		return errors.Join(
			refused(failed(SysVCreate(Private, 64)), errno, "64 bytes", "shm.Create"),
			refused(failed(SysVOpen(1)), errno, "shm.Create"),
			refused(failed(SysVID(1)), errno, "shm.Create"))
	}
}

func TestSysVRefusedByAFilter(t *testing.T) { // T75, T88
	for _, errno := range []unix.Errno{unix.ENOSYS, unix.EPERM} {
		sysvChild(t, "sysv refused", []string{fmt.Sprint(int(errno))}).WaitExit(0)
	}
}

func TestSysVOtherUser(t *testing.T) { // T75, T66
	needRoot(t)
	key := newKey(t)
	s := must[*Segment](t)(SysVCreate(key, 64))
	defer closeNow(t, s)
	s.Bytes()[0] = 1
	id, _ := s.SysVID()
	p := sysvChild(t, "sysv stranger", []string{key.String(), fmt.Sprint(id)}, proctest.Attr(asNobody))
	for _, turn := range []struct {
		said string
		next func() error
	}{
		{"private", func() error { return SysVSet(id, 0o644) }},
		{"readable", func() error { return SysVSet(id, 0o600) }},
		{"in", func() error { return SysVRemove(id) }},
	} {
		p.Expect(turn.said)
		if err := turn.next(); err != nil {
			t.Error(err)
		}
		p.Send("")
	}
	p.WaitExit(0)
}

func TestSysVModeIsExact(t *testing.T) { // T75, T64
	needRoot(t)
	sysvChild(t, "sysv mode", nil, proctest.Attr(asNobody)).WaitExit(0)
}

func TestSysVSetKeepsTheOwner(t *testing.T) { // T75
	needRoot(t)
	_, id := newSysV(t, 64)
	d := unix.SysvShmDesc{Perm: unix.SysvIpcPerm{Uid: 1234, Gid: 4321, Mode: 0o600}}
	if _, err := unix.SysvShmCtl(id, unix.IPC_SET, &d); err != nil {
		t.Fatal(err)
	}
	if err := SysVSet(id, 0o640); err != nil {
		t.Fatal(err)
	}
	if info := must[SysVInfo](t)(SysVStat(id)); info.UID != 1234 || info.GID != 4321 || info.CreatorUID != 0 || info.Mode != 0o640 {
		t.Errorf("%+v", info)
	}
}

func TestSysVLockAsANormalUser(t *testing.T) { // T75
	needRoot(t)
	sysvChild(t, "sysv lock", nil, proctest.Attr(asNobody)).WaitExit(0)
}

func TestSysVLimits(t *testing.T) { // T75
	needRoot(t)
	p := sysvChild(t, "sysv limits", nil, proctest.Attr(func(a *syscall.SysProcAttr) { a.Cloneflags = unix.CLONE_NEWIPC }))
	p.WaitExit(0)
}
