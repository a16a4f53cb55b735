// What holds for System V segments (T75):
//   - a key is made once, taken as it is, refused with its owner's name, and
//     free again as soon as its segment is removed;
//   - a removed segment works on until its last detach, and tells;
//   - what is asked for wrongly is refused in words;
//   - a Segment of this kind closes, and is busy, as every other.
//
// sysv_memory_test.go has addresses and pages, sysv_process_test.go what other
// processes do to it, sysv_user_test.go other users, sysv_c_test.go programs in C.
package shm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
	"interlock/internal/region"
)

// sysvLeftovers removes and describes the segments that this run has left.
func sysvLeftovers() (left []string) {
	all, _ := listSysV()
	for _, info := range all {
		if isOurs(info.CreatorPID) {
			left = append(left, describeSysV(info.ID))
			rmid(info.ID)
		}
	}
	return left
}

// newKey returns a key that nobody has, and removes what has it at the end of
// the test.
func newKey(t testing.TB) Key {
	t.Helper()
	for {
		key := Key(rand.Uint32())
		if _, err := SysVID(key); errors.Is(err, ErrNotExist) {
			t.Cleanup(func() {
				if id, err := SysVID(key); err == nil {
					rmid(id)
				}
			})
			return key
		}
	}
}

// newSysV makes a segment without a key, attached until the end of the test,
// and removes it at once: it goes with its last process, whatever becomes of
// the test.
func newSysV(t testing.TB, size int64) (*Segment, int) {
	t.Helper()
	s := must[*Segment](t)(SysVCreate(Private, size))
	t.Cleanup(func() { closeNow(t, s) })
	id, _ := s.SysVID()
	if err := SysVRemove(id); err != nil {
		t.Fatal(err)
	}
	return s, id
}

// sysvChild starts a child that takes part in proctest's conversation.
func sysvChild(t testing.TB, name string, arg []string, opts ...proctest.Option) *proctest.Proc {
	t.Helper()
	if children[name] == nil {
		t.Fatalf("no child %q", name)
	}
	p := proctest.StartProgram(t, "/proc/self/exe", append(opts,
		proctest.Env("SHM_CHILD="+name, "SHM_ARG="+strings.Join(arg, "|")))...)
	isOfFamily(p.Pid)
	return p
}

// want fails the test unless err matches a sentinel and says all the words.
func want(t testing.TB, err, is error, words ...string) {
	t.Helper()
	if !errors.Is(err, is) {
		t.Errorf("got %v, want %v", err, is)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is not in %q", w, err)
		}
	}
}

func TestSysVCreateOpenRemove(t *testing.T) { // T75
	key := newKey(t)
	_, err := SysVOpen(key)
	want(t, err, ErrNotExist, key.String(), "ipcs -m")
	want(t, err, fs.ErrNotExist)
	_, err = SysVID(key)
	want(t, err, ErrNotExist, key.String())

	a := must[*Segment](t)(SysVCreate(key, 5000))
	defer closeNow(t, a)
	id := must[int](t)(SysVID(key))
	if got, ok := a.SysVID(); got != id || !ok || a.File() != nil || a.Size() != 5000 {
		t.Error("SysVID, File or Size:", got, ok, a.File(), a.Size())
	}
	if !bytes.Equal(a.Bytes(), make([]byte, 5000)) {
		t.Error("not 5000 zeros")
	}
	_, err = SysVCreate(key, 64)
	want(t, err, ErrExist, "5000 bytes", "mode 0600", fmt.Sprint("owner uid ", os.Getuid()), fmt.Sprint("pid ", os.Getpid()), fmt.Sprintf("SysVRemove(%d)", id))
	want(t, err, fs.ErrExist)

	b, c := must[*Segment](t)(SysVOpen(key)), must[*Segment](t)(SysVOpenID(id))
	for _, s := range []*Segment{b, c} {
		defer closeNow(t, s)
		if s.Size() != 5000 || len(s.Bytes()) != 5000 {
			t.Error("not the size it has:", s.Size())
		}
	}
	a.Bytes()[4999] = 7
	if b.Bytes()[4999] != 7 || c.Bytes()[4999] != 7 {
		t.Error("not shared")
	}
	if err := errors.Join(a.Sync(), a.Removed(), b.Removed()); err != nil {
		t.Error(err)
	}
}

// Two generations of a key never mix, and the old one knows.
func TestSysVRemovedWhileAttached(t *testing.T) { // T75, T74
	key := newKey(t)
	old := must[*Segment](t)(SysVCreate(key, 100))
	id, _ := old.SysVID()
	old.Bytes()[0] = 1
	if err := errors.Join(SysVRemove(id), SysVRemove(id)); err != nil {
		t.Fatal(err)
	}
	want(t, old.Removed(), ErrRemoved)
	if err := old.Sync(); err != nil {
		t.Error(err)
	}
	_, err := SysVOpen(key)
	want(t, err, ErrNotExist)

	now := must[*Segment](t)(SysVCreate(key, 200))
	defer closeNow(t, now)
	now.Bytes()[0] = 2
	late := must[*Segment](t)(SysVOpenID(id))
	want(t, late.Removed(), ErrRemoved)
	if old.Bytes()[0] != 1 || late.Bytes()[0] != 1 || now.Bytes()[0] != 2 || now.Removed() != nil {
		t.Error("generations mix")
	}
	closeNow(t, old)
	if info := must[SysVInfo](t)(SysVStat(id)); !info.Removed || info.Attached != 1 || info.Key != Private {
		t.Errorf("%+v", info)
	}
	closeNow(t, late) // the last
	for _, err := range []error{SysVRemove(id), SysVSet(id, 0o600), SysVLock(id, true), failed(SysVStat(id)), failed(SysVOpenID(id)),
		failed(SysVOpenID(id, AtAddress(1<<30)))} {
		want(t, err, ErrNotExist, fmt.Sprint("id ", id))
	}
}

func failed[T any](_ T, err error) error { return err }

// ipcrm is what an administrator does, or systemd-logind at logout (P-K10).
func TestSysVIpcrm(t *testing.T) { // T75
	ipcrm, err := exec.LookPath("ipcrm")
	if err != nil {
		t.Skipf("no administrator: %v", err)
	}
	s := must[*Segment](t)(SysVCreate(newKey(t), 64))
	defer closeNow(t, s)
	id, _ := s.SysVID()
	proctest.StartProgram(t, ipcrm, proctest.Args("-m", fmt.Sprint(id))).WaitExit(0)
	want(t, s.Removed(), ErrRemoved, fmt.Sprint(id))
	s.Bytes()[0]++
}

func TestSysVSizes(t *testing.T) { // T75
	key := newKey(t)
	for _, size := range []int64{0, -1, -1 << 63} {
		want(t, failed(SysVCreate(key, size)), fs.ErrInvalid, fmt.Sprint("size ", size), "SHMMIN")
	}
	err := failed(SysVCreate(key, 1<<62))
	if !errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "/proc/sys/") {
		t.Error(err)
	}
	want(t, failed(SysVID(key)), ErrNotExist)
	for _, size := range []int64{1, int64(os.Getpagesize()), int64(os.Getpagesize()) + 1} {
		if s, _ := newSysV(t, size); s.Size() != size || int64(len(s.Bytes())) != size {
			t.Errorf("%d bytes: %d", size, s.Size())
		}
	}
}

func TestSysVMisuse(t *testing.T) { // T75
	key := newKey(t)
	_, id := newSysV(t, 64)
	for i, err := range []error{
		failed(SysVOpen(Private)), failed(SysVID(Private)),
		failed(SysVCreate(key, 64, ReadOnly)), failed(SysVCreate(key, 64, CreateFile)), failed(SysVOpen(key, HugePages)), failed(SysVCreate(key, 64, Mode(0o1600))),
		failed(SysVOpenID(id, Mode(0o600))), failed(SysVOpenID(id, Round)), failed(SysVOpenID(id, AtAddress(0))),
		failed(SysVOpenID(id, AtAddress(1), Round)), failed(SysVOpenID(id, AtAddress(1<<30+8))),
		SysVSet(id, 0o1777), SysVSet(id, os.ModeDir),
		failed(Open("x", AtAddress(1<<30))), failed(Memfd("x", 64, Round)),
	} {
		if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	want(t, failed(SysVOpenID(id, AtAddress(1<<30+8))), fs.ErrInvalid, "0x40000008", "Round")
	want(t, failed(SysVID(key)), ErrNotExist)
	var zero Segment
	if _, ok := zero.SysVID(); ok {
		t.Error("the zero Segment has an identifier")
	}
}

func TestSysVStat(t *testing.T) { // T75
	key, start := newKey(t), time.Now().Truncate(time.Second)
	s := must[*Segment](t)(SysVCreate(key, 5000, Mode(0o640)))
	defer closeNow(t, s)
	id, _ := s.SysVID()
	info := must[SysVInfo](t)(SysVStat(id))
	made := SysVInfo{ID: id, Key: key, Size: 5000, Mode: 0o640, Attached: 1, CreatorPID: os.Getpid(), LastPID: os.Getpid(),
		UID: uint32(os.Getuid()), GID: uint32(os.Getgid()), CreatorUID: uint32(os.Getuid()), CreatorGID: uint32(os.Getgid()),
		AttachTime: info.AttachTime, ChangeTime: info.ChangeTime}
	if info != made {
		t.Errorf("%+v, want\n%+v", info, made)
	}
	for _, at := range []time.Time{info.AttachTime, info.ChangeTime} {
		if at.Before(start) || at.After(time.Now()) {
			t.Errorf("%v is not between %v and now", at, start)
		}
	}
	closeNow(t, must[*Segment](t)(SysVOpenID(id, ReadOnly)))
	if err := errors.Join(SysVLock(id, true), SysVSet(id, 0o604), SysVRemove(id)); err != nil {
		t.Fatal(err)
	}
	info = must[SysVInfo](t)(SysVStat(id))
	if info.DetachTime.Before(start) || !info.Locked || !info.Removed || info.Mode != 0o604 || info.Key != Private {
		t.Errorf("%+v", info)
	}
	// What /proc tells everybody is the same.
	all := must[[]SysVInfo](t)(listSysV())
	found := false
	for _, other := range all {
		if other.ID == id {
			found = other == info
			if !found {
				t.Errorf("/proc has %+v, IPC_STAT\n%+v", other, info)
			}
		}
	}
	if !found {
		t.Error("not in /proc/sysvipc/shm")
	}
	if err := SysVLock(id, false); err != nil || must[SysVInfo](t)(SysVStat(id)).Locked {
		t.Error("unlocked:", err)
	}
}

func TestSysVReadOnly(t *testing.T) { // T75, T66
	s, id := newSysV(t, 100) // its end is in a page of its own
	r := must[*Segment](t)(SysVOpenID(id, ReadOnly))
	lo, hi := span(r.Bytes())
	if !region.IsReadOnly(lo) || !region.IsReadOnly(hi-1) || region.IsReadOnly(hi) {
		t.Error("not noted as read-only")
	}
	if wlo, _ := span(s.Bytes()); region.IsReadOnly(wlo) {
		t.Error("a writable one noted as read-only")
	}
	s.Bytes()[1] = 5
	if r.Bytes()[1] != 5 || !strings.HasPrefix(perms(t, lo), "r--s") {
		t.Errorf("mapped %s, holds %d", perms(t, lo), r.Bytes()[1])
	}
	closeNow(t, r)
	if region.IsReadOnly(lo) || mapped(t, lo) {
		t.Error("still there after Close")
	}
}

// T78: Close twice, from several goroutines, everything after it; and busy.
func TestSysVClose(t *testing.T) { // T75
	s := must[*Segment](t)(SysVCreate(Private, 64))
	id, _ := s.SysVID()
	defer rmid(id)
	lo, hi := span(s.Bytes())
	theTenant.busy = [][2]uintptr{{lo + 8, lo + 12}}
	for range 2 {
		want(t, s.Close(), ErrBusy, "0x1234", fmt.Sprint(id))
		s.Bytes()[0]++ // still there
	}
	theTenant.busy, theTenant.forgot = nil, nil
	var wg sync.WaitGroup
	for range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 100 {
				s.Sync()
				s.Removed()
				s.Bytes()
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	if len(theTenant.forgot) != 1 || theTenant.forgot[0] != [2]uintptr{lo, hi} {
		t.Errorf("forgot %v, want %x-%x", theTenant.forgot, lo, hi)
	}
	if got, ok := s.SysVID(); s.Close() != nil || s.Bytes() != nil || s.Size() != 64 || got != id || !ok || mapped(t, lo) {
		t.Error("after Close")
	}
	want(t, s.Sync(), ErrClosed)
	want(t, s.Removed(), ErrClosed)
	if info := must[SysVInfo](t)(SysVStat(id)); info.Attached != 0 || info.Removed {
		t.Errorf("Close left %+v", info)
	}
}

// T73: no mapping and no segment is lost, on success or on failure.
func TestSysVNoLeaks(t *testing.T) { // T75
	key := newKey(t)
	s, id := newSysV(t, 64)
	lo, _ := span(s.Bytes())
	round := func() {
		a, e1 := SysVCreate(key, 8192)
		b, e2 := SysVOpen(key)
		if err := errors.Join(e1, e2); err != nil {
			t.Fatal(err)
		}
		want(t, failed(SysVCreate(key, 64)), ErrExist)
		want(t, failed(SysVOpen(key, AtAddress(lo))), ErrAddress)
		keyID, _ := a.SysVID()
		closeNow(t, a)
		closeNow(t, b)
		if err := SysVRemove(keyID); err != nil {
			t.Fatal(err)
		}
		want(t, failed(SysVCreate(key, 64, AtAddress(lo))), ErrAddress)
		want(t, failed(SysVID(key)), ErrNotExist)
	}
	round()
	fds, maps := counts(t)
	for range 50 {
		round()
	}
	if f, m := counts(t); f > fds || m > maps+10 {
		t.Errorf("descriptors %d -> %d, mappings %d -> %d", fds, f, maps, m)
	}
	if n := must[SysVInfo](t)(SysVStat(id)).Attached; n != 1 {
		t.Errorf("attached %d times", n)
	}
}
