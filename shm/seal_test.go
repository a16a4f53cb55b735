// What holds of seals (T71):
//   - each seal forbids what it says and nothing else, in every combination;
//   - SealWrite needs that nobody has it mapped writable, and says so;
//   - RequireSeals takes exactly what has all the seals, before it maps, and the
//     size is the one that is sealed;
//   - Sealed is immutable, on old kernels and under filters too.
package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const allSeals = SealSeal | SealShrink | SealGrow | SealWrite | SealFutureWrite

// unwritten is a memfd of two pages that nobody has mapped writable.
func unwritten(t testing.TB, seals Seals) *Segment {
	t.Helper()
	m := must[*Segment](t)(Memfd("unwritten", 2*int64(os.Getpagesize())))
	m.Bytes()[0] = 'x'
	r := must[*Segment](t)(FromFile(m.File(), ReadOnly))
	closeNow(t, m)
	t.Cleanup(func() { closeNow(t, r) })
	if err := r.Seal(seals); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestEachSealForbidsWhatItSaysAndNothingElse(t *testing.T) { // T71
	page := int64(os.Getpagesize())
	for seals := Seals(0); seals <= allSeals; seals++ {
		r := unwritten(t, seals)
		if got, err := r.Seals(); got&^SealExec != seals || err != nil {
			t.Fatalf("%v were added, %v are there: %v", seals, got, err)
		}
		fd := int(r.File().Fd())
		mapped := func(opts ...Option) error {
			s, err := FromFile(r.File(), opts...)
			return errors.Join(err, s.safeClose())
		}
		noWrites := seals&(SealWrite|SealFutureWrite) != 0
		for _, x := range []struct {
			what    string
			err     error
			refused bool
		}{
			{"map it read-only", mapped(ReadOnly), false},
			{"map it writable", mapped(), noWrites},
			{"write", errOf(unix.Pwrite(fd, []byte("y"), 0)), noWrites},
			{"punch a hole", unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, page), noWrites},
			{"make it longer", unix.Ftruncate(fd, 3*page), seals&SealGrow != 0},
			{"make it shorter", unix.Ftruncate(fd, page), seals&SealShrink != 0},
			{"seal it again", r.Seal(SealShrink), seals&SealSeal != 0},
		} {
			if refused := errors.Is(x.err, unix.EPERM); refused != x.refused || x.err != nil && !refused {
				t.Errorf("with %v: %s: %v", seals, x.what, x.err)
			}
		}
	}
}

// safeClose is Close also of none.
func (s *Segment) safeClose() error {
	if s == nil {
		return nil
	}
	return s.Close()
}

func errOf[T any](_ T, err error) error { return err }

func TestWhatIsMappedWritableCannotBeSealedAgainstWriting(t *testing.T) { // T71
	m := must[*Segment](t)(Memfd("m", 4096))
	defer closeNow(t, m)
	before := must[Seals](t)(m.Seals())
	err := m.Seal(SealShrink | SealWrite)
	if !errors.Is(err, unix.EBUSY) || !strings.Contains(err.Error(), "ReadOnly") || !strings.Contains(err.Error(), "SealFutureWrite") {
		t.Error(err)
	}
	if after := must[Seals](t)(m.Seals()); after != before {
		t.Errorf("a failed Seal added %v", after&^before)
	}
	// What is mapped already goes on after SealFutureWrite, and only that.
	if err := m.Seal(SealFutureWrite); err != nil {
		t.Fatal(err)
	}
	r := must[*Segment](t)(FromFile(m.File(), ReadOnly))
	defer closeNow(t, r)
	m.Bytes()[0] = 7
	if r.Bytes()[0] != 7 {
		t.Error("not shared")
	}
	if _, err := FromFile(m.File()); !errors.Is(err, unix.EPERM) || !strings.Contains(err.Error(), "ReadOnly") {
		t.Error(err)
	}
}

func TestWhatCannotBeSealed(t *testing.T) {
	named := must[*Segment](t)(Create(newName(t), 64))
	defer closeNow(t, named)
	if err := named.Seal(SealShrink); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "SealSeal") {
		t.Error(err)
	}
	if got, err := named.Seals(); got != SealSeal || err != nil {
		t.Error(got, err)
	}
	m := must[*Segment](t)(Memfd("m", 64))
	defer closeNow(t, m)
	if err := m.Seal(1 << 20); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "0x100000") || !strings.Contains(err.Error(), "kernel") {
		t.Error(err)
	}
	ro := must[*os.File](t)(m.ReadOnlyFile())
	defer ro.Close()
	r := must[*Segment](t)(FromFile(ro, ReadOnly))
	if err := r.Seal(SealShrink); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "open for writing") {
		t.Error(err)
	}
	closeNow(t, r)
	_, e1 := r.Seals()
	for _, err := range []error{e1, r.Seal(SealShrink)} {
		if !errors.Is(err, ErrClosed) {
			t.Error(err)
		}
	}
	// A disk file has no seals, where the file system is not tmpfs.
	f := must[*Segment](t)(OpenFile(filepath.Join(t.TempDir(), "f"), 64, CreateFile))
	defer closeNow(t, f)
	if _, err := getSeals(f.File()); err == nil {
		t.Skip("the temporary directory is a tmpfs")
	}
	if err := f.Seal(SealShrink); !errors.Is(err, fs.ErrInvalid) || !strings.Contains(err.Error(), "memfd") {
		t.Error(err)
	}
	if _, err := f.Seals(); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
}

func TestRequireSealsTakesWhatHasThemAll(t *testing.T) { // T71
	for have := Seals(0); have <= allSeals; have++ {
		r := unwritten(t, have)
		for want := Seals(1); want <= allSeals; want++ {
			s, err := FromFile(r.File(), ReadOnly, RequireSeals(want))
			missing := want &^ have
			if have&SealWrite != 0 {
				missing &^= SealFutureWrite
			}
			if missing == 0 && err != nil || missing != 0 && !errors.Is(err, ErrUnsealed) {
				t.Fatalf("has %v, wanted %v: %v", have, want, err)
			}
			if err != nil && !strings.Contains(err.Error(), "lacks "+missing.String()) {
				t.Fatalf("%v are missing: %v", missing, err)
			}
			s.safeClose()
		}
	}
}

func TestRequireSealsTakesMemfdsOnly(t *testing.T) {
	named := must[*Segment](t)(Create(newName(t), 64))
	defer closeNow(t, named)
	file := must[*os.File](t)(os.Create(filepath.Join(t.TempDir(), "f")))
	defer file.Close()
	file.WriteString("x")
	for _, f := range []*os.File{named.File(), file} {
		for want := Seals(1); want <= allSeals; want++ { // SealSeal, too, which a name's object has
			if _, err := FromFile(f, RequireSeals(want)); !errors.Is(err, ErrUnsealed) || !strings.Contains(err.Error(), "no memfd") {
				t.Fatalf("%v: %v", want, err)
			}
		}
	}
	r, w, _ := os.Pipe()
	defer r.Close()
	defer w.Close()
	if _, err := FromFile(r, RequireSeals(SealShrink)); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
}

// A peer that makes it shorter at the last moment before it seals it.
func TestTheSizeIsTheOneThatIsSealed(t *testing.T) {
	page := int64(os.Getpagesize())
	m := must[*Segment](t)(Memfd("m", 2*page))
	defer closeNow(t, m)
	defer func() { step = func(string) {} }()
	step = func(what string) {
		if what == "look at its size" {
			if err := errors.Join(unix.Ftruncate(int(m.File().Fd()), page), m.Seal(SealShrink)); err != nil {
				t.Error(err)
			}
		}
	}
	s := must[*Segment](t)(FromFile(m.File(), RequireSeals(SealShrink)))
	defer closeNow(t, s)
	if s.Size() != page {
		t.Fatalf("%d bytes are mapped of %d", s.Size(), page)
	}
}

func TestSealed(t *testing.T) {
	data := []byte(strings.Repeat("immutable ", 1000))
	s := must[*Segment](t)(Sealed("config", data))
	defer closeNow(t, s)
	data[0] = 'X'
	if string(s.Bytes()[:9]) != "immutable" || s.Size() != 10000 {
		t.Error("not the data")
	}
	lo, _ := span(s.Bytes())
	if !strings.HasPrefix(perms(t, lo), "r--") {
		t.Errorf("mapped %s", perms(t, lo))
	}
	if got := must[Seals](t)(s.Seals()); got&^SealExec != sealedFor {
		t.Errorf("it has %v", got)
	}
	// Another user's may be reopened for reading, with the Mode for it.
	x := must[*Segment](t)(Sealed("x", []byte("x"), Mode(0o444), Populate))
	if fi := must[os.FileInfo](t)(x.File().Stat()); fi.Mode() != 0o444 {
		t.Error(fi.Mode())
	}
	closeNow(t, x)
	r := must[*Segment](t)(FromFile(s.File(), ReadOnly, RequireSeals(sealedFor)))
	closeNow(t, r)
	for _, bad := range []struct {
		name string
		data []byte
	}{{"empty", nil}, {"a\x00b", data}, {strings.Repeat("x", 250), data}} {
		if _, err := Sealed(bad.name, bad.data); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%.10q: %v", bad.name, err)
		}
	}
	if _, err := Sealed("x", data, ReadOnly); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
}

func TestSealsHaveNames(t *testing.T) {
	for want, s := range map[string]Seals{
		"no seals":                   0,
		"SealShrink":                 SealShrink,
		"SealSeal|SealGrow|SealExec": SealExec | SealGrow | SealSeal,
		"SealWrite|SealFutureWrite":  SealFutureWrite | SealWrite,
		"SealShrink|0x300":           0x300 | SealShrink,
	} {
		if s.String() != want {
			t.Errorf("%q, want %q", s, want)
		}
	}
}

// The kernels that are hard to come by, played by filters.
var filters = map[string]struct {
	rules []refusal
	run   func() error
}{
	"before 6.3, MFD_NOEXEC_SEAL is unknown": {
		[]refusal{{unix.SYS_MEMFD_CREATE, 1, unix.MFD_NOEXEC_SEAL, unix.MFD_NOEXEC_SEAL, unix.EINVAL}},
		func() error { return sealsAre(0) },
	},
	// Who leaves the flag out is warned about in the kernel's log, too.
	"vm.memfd_noexec=2": {
		[]refusal{{unix.SYS_MEMFD_CREATE, 1, unix.MFD_NOEXEC_SEAL, 0, unix.EACCES}},
		func() error { return sealsAre(SealExec) },
	},
	"no memfds, EACCES": {
		[]refusal{{unix.SYS_MEMFD_CREATE, 0, 0, 0, unix.EACCES}},
		func() error { return noMemfds(fs.ErrPermission) },
	},
	"no memfds, EINVAL": {
		[]refusal{{unix.SYS_MEMFD_CREATE, 0, 0, 0, unix.EINVAL}},
		func() error { return noMemfds(unix.EINVAL) },
	},
	"before 6.7, what is sealed cannot be mapped shared": {
		[]refusal{{unix.SYS_MMAP, 3, unix.MAP_SHARED, unix.MAP_SHARED, unix.EPERM}},
		sealedPrivately,
	},
}

func init() {
	children["filtered"] = func(arg []string) error {
		x := filters[arg[0]]
		if err := refuse(x.rules...); err != nil {
			fmt.Println("skip:", err)
			return nil
		}
		before := openDescriptors()
		err := x.run()
		if after := openDescriptors(); after != before {
			err = errors.Join(err, fmt.Errorf("descriptors before: %s, after: %s", before, after))
		}
		return err
	}
}

func sealsAre(want Seals) error {
	m, err := Memfd("m", 4096)
	if err != nil {
		return err
	}
	have, err := m.Seals()
	if err != nil || have != want {
		return fmt.Errorf("a Memfd has %v, want %v: %w", have, want, err)
	}
	s, err := Sealed("s", []byte("data"))
	if err != nil || string(s.Bytes()) != "data" {
		return fmt.Errorf("Sealed: %w", err)
	}
	return errors.Join(m.Seal(SealShrink), m.Close(), s.Close())
}

func noMemfds(want error) error {
	_, e1 := Memfd("m", 4096)
	_, e2 := Sealed("s", []byte("data"))
	for _, err := range []error{e1, e2} {
		if !errors.Is(err, want) || !strings.Contains(err.Error(), "memfd_create") {
			return fmt.Errorf("want %w: %w", want, err)
		}
	}
	return nil
}

func sealedPrivately() error {
	s, err := Sealed("s", []byte("data"))
	if err != nil || string(s.Bytes()) != "data" {
		return fmt.Errorf("Sealed: %w", err)
	}
	r, err := FromFile(s.File(), ReadOnly, RequireSeals(SealWrite))
	if err != nil || string(r.Bytes()) != "data" {
		return fmt.Errorf("FromFile: %w", err)
	}
	if _, err := FromFile(s.File()); !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("a writable view of what is sealed: %w", err)
	}
	// What is not sealed against writing must not fall back: it would show
	// a copy. And seals that are missing are found before it is mapped.
	f, err := memfd("m", 0)
	if err != nil {
		return err
	}
	defer f.Close()
	f.WriteString("data")
	if _, err := FromFile(f, ReadOnly); !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("a private view of what may change: %w", err)
	}
	if _, err := FromFile(f, ReadOnly, RequireSeals(SealShrink)); !errors.Is(err, ErrUnsealed) {
		return fmt.Errorf("it was mapped before its seals were looked at: %w", err)
	}
	return errors.Join(s.Close(), r.Close())
}

func TestSealsOnOtherKernels(t *testing.T) {
	for name := range filters {
		t.Run(name, func(t *testing.T) {
			if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
				t.Skip("the filter is written for little-endian machines")
			}
			if out := mustRun(t, child(t, "filtered", name)); strings.HasPrefix(out, "skip") {
				t.Skip("needs seccomp:", out)
			}
		})
	}
}

// openDescriptors lists the descriptors and what they are.
func openDescriptors() string {
	// The runtime opens its poller at the first pipe and keeps it: now.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	all, _ := os.ReadDir("/proc/self/fd")
	var list []string
	for _, e := range all {
		// ReadDir's own is closed by now.
		if to, err := os.Readlink("/proc/self/fd/" + e.Name()); err == nil {
			list = append(list, e.Name()+"="+to)
		}
	}
	return strings.Join(list, " ")
}
