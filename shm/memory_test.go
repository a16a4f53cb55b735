// What holds of HugePages, Mlock and Populate (T70):
//   - they do what they say, for every call that takes them;
//   - what cannot be had is an error that says how to get it, and nothing is left:
//     no name, no descriptor, no mapping;
//   - a call to which they mean nothing refuses them.
package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// unprivileged lets a child run without root's capabilities.
func unprivileged(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if os.Getuid() != 0 {
		return
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
}

// everyCall makes a segment with opts by every call that maps.
func everyCall(name, path string, opts ...Option) map[string]func() (*Segment, error) {
	return map[string]func() (*Segment, error){
		"Create":       func() (*Segment, error) { return Create(name, 1<<20, opts...) },
		"OpenOrCreate": func() (*Segment, error) { return OpenOrCreate(bg, name, 1<<20, nil, opts...) },
		"Share": func() (*Segment, error) {
			_, s, err := Share[[1 << 20]byte](bg, name, nil, opts...)
			return s, err
		},
		"OpenFile": func() (*Segment, error) { return OpenFile(path, 1<<20, append([]Option{CreateFile}, opts...)...) },
		"Memfd":    func() (*Segment, error) { return Memfd("m", 1<<20, opts...) },
		"Sealed":   func() (*Segment, error) { return Sealed("m", make([]byte, 1<<20), opts...) },
		"FromFile": func() (*Segment, error) {
			m, err := Memfd("m", 1<<20)
			if err != nil {
				return nil, err
			}
			defer m.Close()
			return FromFile(m.File(), opts...)
		},
	}
}

// lockedBytes is how much of this process's memory is locked, in bytes.
func lockedBytes() int {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if w := strings.Fields(line); len(w) > 1 && w[0] == "VmLck:" {
			kib, _ := strconv.Atoi(w[1])
			return kib << 10
		}
	}
	return -1
}

// present is how many of mem's pages this process has in its page table, by
// /proc/self/pagemap: bit 63 of the 8 bytes for each page.
func present(mem []byte) (n, of int) {
	f, err := os.Open("/proc/self/pagemap")
	if err != nil {
		return 0, -1
	}
	defer f.Close()
	page := os.Getpagesize()
	lo, hi := span(mem)
	entries := make([]byte, (int(hi-lo)+page-1)/page*8)
	if _, err := f.ReadAt(entries, int64(lo)/int64(page)*8); err != nil {
		return 0, -1
	}
	for i := 7; i < len(entries); i += 8 {
		n += int(entries[i] >> 7)
	}
	return n, len(entries) / 8
}

func init() {
	// arg: name, path, RLIMIT_MEMLOCK in bytes. Says what is locked, or fails.
	children["mlock"] = func(arg []string) error {
		n, err := strconv.ParseUint(arg[2], 10, 64)
		if err != nil {
			return err
		}
		if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: n, Max: n}); err != nil {
			return err
		}
		before := openDescriptors()
		for round := range 2 * len(everyCall("", "")) {
			noTmpfile = round%2 == 1
			what, call := nth(everyCall(arg[0], arg[1], Mlock), round/2)
			s, err := call()
			enough := n >= 2<<20
			switch {
			case enough && (err != nil || lockedBytes() < 1<<20):
				return fmt.Errorf("%s: %d bytes locked: %w", what, lockedBytes(), err)
			case !enough && (!errors.Is(err, unix.ENOMEM) && !errors.Is(err, unix.EPERM) ||
				!strings.Contains(err.Error(), arg[2]+" bytes") || !strings.Contains(err.Error(), "RLIMIT_MEMLOCK")):
				return fmt.Errorf("%s: %w", what, err)
			}
			if s != nil {
				if err := errors.Join(s.Close(), removeAny(arg[0]), removeAny(arg[1])); err != nil {
					return err
				}
			}
			if left := leftByMlock(arg, before); left != "" {
				return fmt.Errorf("%s left %s", what, left)
			}
		}
		return nil
	}
}

// nth is the n-th of what everyCall returned, by name.
func nth(calls map[string]func() (*Segment, error), n int) (string, func() (*Segment, error)) {
	name := slices.Sorted(maps.Keys(calls))[n]
	return name, calls[name]
}

// leftByMlock says what is left of a segment.
func leftByMlock(arg []string, before string) string {
	text, _ := os.ReadFile("/proc/self/maps")
	temporary, _ := filepath.Glob(filepath.Join(shmDir, fmt.Sprintf("%stmp-%d-*", reserved, os.Getpid())))
	switch after := openDescriptors(); {
	case exists(shmDir+"/"+arg[0]) || exists(arg[1]):
		return "a name"
	case temporary != nil:
		return fmt.Sprint("names: ", temporary)
	case lockedBytes() != 0:
		return fmt.Sprint(lockedBytes(), " bytes locked")
	case after != before:
		return "descriptors: " + after + ", before: " + before
	case strings.Contains(string(text), "memfd:m") || strings.Contains(string(text), shmDir):
		return "mappings:\n" + string(text)
	}
	return ""
}

func removeAny(what string) error {
	if strings.HasPrefix(what, "/tmp") || strings.Count(what, "/") > 1 {
		os.Remove(what)
	} else {
		Remove(what)
	}
	return nil
}

func TestMlock(t *testing.T) { // T70
	for _, limit := range []string{"0", "65536", strconv.Itoa(4 << 20)} {
		t.Run(limit+" bytes", func(t *testing.T) {
			dir := t.TempDir()
			os.Chmod(filepath.Dir(dir), 0o755)
			os.Chmod(dir, 0o777)
			cmd := child(t, "mlock", newName(t), filepath.Join(dir, "f"), limit)
			unprivileged(t, cmd)
			mustRun(t, cmd)
		})
	}
}

func TestPopulate(t *testing.T) {
	name, path := newName(t), filepath.Join(t.TempDir(), "f")
	for what, call := range everyCall(name, path, Populate) {
		s, err := call()
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if n, of := present(s.Bytes()); of > 0 && n != of {
			t.Errorf("%s: %d of %d pages are present", what, n, of)
		}
		closeNow(t, s)
		Remove(name)
		os.Remove(path)
	}
	// Without it they are not: the measure measures.
	m := must[*Segment](t)(Memfd("m", 1<<20))
	defer closeNow(t, m)
	if n, of := present(m.Bytes()); of > 0 && n == of {
		t.Error("all pages are present without Populate")
	}
	for _, opt := range []Option{Populate, Mlock} { // attaching, too
		s := must[*Segment](t)(Create(name, 1<<20))
		r := must[*Segment](t)(Open(name, ReadOnly, opt))
		if n, of := present(r.Bytes()); of > 0 && n != of {
			t.Errorf("read-only: %d of %d pages are present", n, of)
		}
		closeNow(t, r)
		closeNow(t, s)
		Remove(name)
	}
}

func init() {
	// Runs in a mount namespace of its own, with 1 MiB on /dev/shm.
	children["sparse"] = func([]string) error {
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("private mounts: %w", err)
		}
		if err := unix.Mount("none", shmDir, "tmpfs", 0, "size=1M"); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		f, err := os.Create(shmDir + "/sparse") // as a C program with ftruncate alone
		if err != nil {
			return err
		}
		defer f.Close()
		if err := f.Truncate(2 << 20); err != nil {
			return err
		}
		before := openDescriptors()
		if _, err := Open("sparse", Populate); !errors.Is(err, unix.EFAULT) || !strings.Contains(err.Error(), "SIGBUS") {
			return fmt.Errorf("twice what there is room for: %w", err)
		}
		if after := openDescriptors(); after != before {
			return fmt.Errorf("descriptors before: %s, after: %s", before, after)
		}
		// A kernel that does not know the advice.
		f.Truncate(4096)
		for _, advice := range []uint32{unix.MADV_POPULATE_READ, unix.MADV_POPULATE_WRITE} {
			if err := refuse(refusal{unix.SYS_MADVISE, 2, 0xffffffff, advice, unix.EINVAL}); err != nil {
				return err
			}
		}
		s, err := Open("sparse", Populate)
		if err != nil {
			return err
		}
		if n, of := present(s.Bytes()); n != of {
			return fmt.Errorf("before Linux 5.14: %d of %d pages", n, of)
		}
		return s.Close()
	}
}

func TestPopulateSaysWhatWouldBeSIGBUS(t *testing.T) { // T70
	cmd := child(t, "sparse")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		t.Skip("needs root, to mount")
	}
	mustRun(t, cmd)
}

// freePages is how many huge pages of the default size are free, and their size.
func freePages(t testing.TB) (n int, size int64) {
	b, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(b)) {
		switch w := strings.Fields(line); w[0] {
		case "HugePages_Free:":
			n, _ = strconv.Atoi(w[1])
		case "Hugepagesize:":
			size, _ = strconv.ParseInt(w[1], 10, 64)
			size <<= 10
		}
	}
	return n, size
}

func TestHugePagesThatThereAreNone(t *testing.T) { // T70
	free, size := freePages(t)
	if size == 0 {
		t.Skip("this kernel has no huge pages")
	}
	leavesNoDescriptor(t, "HugePages", func() {
		for _, want := range []int64{int64(free+1) * size, 1<<63 - 1} {
			s, err := Memfd("huge", want, HugePages)
			if err == nil {
				t.Skip("the pool grew") // nr_overcommit_hugepages
			}
			s.safeClose()
			if !strings.Contains(err.Error(), "nr_hugepages") || !strings.Contains(err.Error(), fmt.Sprint(free)+" of the default size were free") {
				t.Error(err)
			}
		}
	})
	if n, _ := freePages(t); n != free {
		t.Errorf("of %d free pages %d are left", free, n)
	}
}

func TestHugePages(t *testing.T) {
	free, size := freePages(t)
	if free < 2 {
		t.Skipf("%d huge pages are free, 2 needed: sysctl vm.nr_hugepages=2", free)
	}
	m := must[*Segment](t)(Memfd("huge", size+1, HugePages, Populate))
	if m.Size() != 2*size || int64(len(m.Bytes())) != 2*size {
		t.Errorf("%d bytes, %d mapped, want %d", m.Size(), len(m.Bytes()), 2*size)
	}
	m.Bytes()[2*size-1] = 1
	if err := m.Seal(SealShrink | SealGrow); err != nil {
		t.Error(err)
	}
	want(t, failed(FromFile(m.File(), ReadOnly, RequireSeals(SealShrink))), ErrUnsealed, "holes")
	if err := m.Seal(SealFutureWrite); err != nil {
		t.Error(err)
	}
	r := must[*Segment](t)(FromFile(m.File(), ReadOnly, RequireSeals(SealShrink)))
	if r.Bytes()[2*size-1] != 1 {
		t.Error("not shared")
	}
	lo, _ := span(r.Bytes())
	closeNow(t, r)
	closeNow(t, m)
	if mapped(t, lo) {
		t.Error("still mapped")
	}
	// A foreign one that ends inside a page.
	f := must[*os.File](t)(memfd("odd", unix.MFD_HUGETLB))
	defer f.Close()
	if err := unix.Fallocate(int(f.Fd()), 0, 0, 100); err != nil {
		t.Fatal(err)
	}
	odd := must[*Segment](t)(FromFile(f))
	lo, _ = span(odd.Bytes())
	closeNow(t, odd)
	if mapped(t, lo) {
		t.Error("still mapped")
	}
	if n, _ := freePages(t); n != free-1 { // f is still open
		t.Errorf("of %d free pages %d are left", free, n)
	}
}

func TestOptionsThatMeanNothing(t *testing.T) {
	name, path := newName(t), filepath.Join(t.TempDir(), "f")
	for what, call := range everyCall(name, path, HugePages) {
		s, err := call()
		if what == "Memfd" {
			s.safeClose()
			continue
		}
		if !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "use Memfd") {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, opt := range []Option{RequireSeals(SealShrink), AllowUnsealed} {
		for what, call := range everyCall(name, path, opt) {
			s, err := call()
			if what == "FromFile" && opt.bit == optRequireSeals {
				if !errors.Is(err, ErrUnsealed) {
					t.Error(err)
				}
			} else if !errors.Is(err, fs.ErrInvalid) {
				t.Errorf("%s: %v", what, err)
			}
			s.safeClose()
		}
	}
}
