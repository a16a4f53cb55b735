package shm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// T76: mapped files. What must hold:
//   - a store is seen at once by who maps the file and by who reads it, and a
//     write by who maps it, without Sync: all use the page cache;
//   - Sync is msync(MS_SYNC) of all of it, and fsync of its directory
//     (ptrace_use_test.go), also of a ReadOnly mapping; what was synced survives a
//     power cut; it is an error if the file was removed or replaced;
//   - a file system that is read-only lets itself be mapped ReadOnly, and says
//     what it is otherwise;
//   - one that cannot share says so: files of /proc and /sys;
//   - on overlayfs writers share with one another, and a reader of the lower
//     layer sees nothing of them; that is documented.

func init() {
	// Reads the file, writes into it with write(2), and maps it.
	children["reader"] = func(arg []string) error {
		b, err := os.ReadFile(arg[0])
		if err != nil || !bytes.HasPrefix(b, []byte("stored")) {
			return fmt.Errorf("read %.10q: %w", b, err)
		}
		f, err := os.OpenFile(arg[0], os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		if _, err = f.WriteAt([]byte("written"), 100); err != nil {
			return err
		}
		s, err := OpenFile(arg[0], 0)
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(s.Bytes(), []byte("stored")) {
			return errors.New("mapped, and not the same")
		}
		copy(s.Bytes()[200:], "mapped")
		return nil
	}
}

func TestAFileIsSharedWithoutSync(t *testing.T) {
	for _, dir := range []string{t.TempDir(), ownDir(t)} {
		path := filepath.Join(dir, "f")
		s := must[*Segment](t)(OpenFile(path, 8192, CreateFile))
		copy(s.Bytes(), "stored")
		mustRun(t, child(t, "reader", path))
		if string(s.Bytes()[100:107]) != "written" || string(s.Bytes()[200:206]) != "mapped" {
			t.Errorf("%q", s.Bytes()[:210])
		}
		// All of it is in the file when the last view is gone, unsynced.
		closeNow(t, s)
		if b := must[[]byte](t)(os.ReadFile(path)); string(b[200:206]) != "mapped" {
			t.Errorf("the file has %q", b[:210])
		}
	}
}

func TestSyncOfAReplacedFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for what, harm := range map[string]func() error{
		"removed": func() error { return os.Remove(path) },
		"replaced": func() error {
			return errors.Join(os.WriteFile(path+"2", make([]byte, 64), 0o600), os.Rename(path+"2", path))
		},
	} {
		s := must[*Segment](t)(OpenFile(path, 64, CreateFile))
		r := must[*Segment](t)(OpenFile(path, 64, ReadOnly))
		if err := errors.Join(s.Sync(), r.Sync(), s.Removed(), r.Removed(), harm()); err != nil {
			t.Fatal(err)
		}
		for _, err := range []error{s.Sync(), r.Sync(), s.Removed(), r.Removed()} {
			if !errors.Is(err, ErrRemoved) {
				t.Errorf("%s: %v", what, err)
			}
		}
		s.Bytes()[0] = 1 // the mapping goes on
		closeNow(t, s)
		closeNow(t, r)
		os.Remove(path)
	}
}

func TestFilesThatCannotBeShared(t *testing.T) {
	for path, want := range map[string]error{
		"/proc/self/status":                           ErrNotReady, // says that it is empty
		"/proc/sys/vm/swappiness":                     ErrNotReady,
		"/sys/kernel/mm/transparent_hugepage/enabled": unix.ENODEV,
		"/dev/null":  fs.ErrInvalid,
		"/proc/self": fs.ErrInvalid,
		"/tmp":       fs.ErrInvalid,
	} {
		if _, err := os.Lstat(path); err != nil {
			t.Logf("no %s", path)
			continue
		}
		if s, err := OpenFile(path, 0, ReadOnly); !errors.Is(err, want) {
			t.Errorf("%s: %v, %v", path, s, err)
		}
	}
}

func init() {
	// arg: an empty directory. Mounts on it, in its own namespace.
	children["read-only file system"] = func(arg []string) error {
		if err := mounts(arg[0], "tmpfs", "", 0); err != nil {
			return err
		}
		path := filepath.Join(arg[0], "f")
		if err := os.WriteFile(path, make([]byte, 4096), 0o666); err != nil {
			return err
		}
		if err := mounts(arg[0], "", "", unix.MS_REMOUNT|unix.MS_RDONLY); err != nil {
			return err
		}
		s, err := OpenFile(path, 0, ReadOnly)
		if err != nil {
			return err
		}
		for call, err := range map[string]error{
			"OpenFile":    second(OpenFile(path, 0)),
			"CreateFile":  second(OpenFile(path+"2", 64, CreateFile)),
			"and without": func() error { noTmpfile = true; return second(OpenFile(path+"2", 64, CreateFile)) }(),
		} {
			if !errors.Is(err, unix.EROFS) || !strings.Contains(err.Error(), arg[0]) {
				return fmt.Errorf("%s: %w", call, err)
			}
		}
		return errors.Join(s.Sync(), s.Close())
	}
	children["overlay"] = func(arg []string) error {
		if err := mounts(arg[0], "tmpfs", "", 0); err != nil {
			return err
		}
		at := func(name string) string { return filepath.Join(arg[0], name) }
		for _, d := range []string{"lower", "upper", "work", "all"} {
			if err := os.Mkdir(at(d), 0o700); err != nil {
				return err
			}
		}
		if err := os.WriteFile(at("lower/f"), make([]byte, 4096), 0o600); err != nil {
			return err
		}
		if err := mounts(at("all"), "overlay", fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s", at("lower"), at("upper"), at("work")), 0); err != nil {
			return err
		}
		early, e1 := OpenFile(at("all/f"), 0, ReadOnly)
		w1, e2 := OpenFile(at("all/f"), 0)
		w2, e3 := OpenFile(at("all/f"), 0)
		late, e4 := OpenFile(at("all/f"), 0, ReadOnly)
		made, e5 := OpenFile(at("all/new"), 4096, CreateFile)
		if err := errors.Join(e1, e2, e3, e4, e5); err != nil {
			return err
		}
		w1.Bytes()[0], made.Bytes()[0] = 7, 8
		if w2.Bytes()[0] != 7 || late.Bytes()[0] != 7 {
			return errors.New("not shared")
		}
		if early.Bytes()[0] != 0 {
			return errors.New("an earlier reader sees a later writer: the doc comment of OpenFile says otherwise")
		}
		return errors.Join(w1.Sync(), made.Sync())
	}
}

// mounts is mount, in a namespace that nobody else is in.
func mounts(at, kind, options string, flags uintptr) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := unix.Mount("none", at, kind, flags, options); err != nil {
		return fmt.Errorf("mount: %s: %w", kind, err)
	}
	return nil
}

func TestFileOnAReadOnlyFileSystem(t *testing.T) {
	inMounts(t, "read-only file system", t.TempDir())
}

func TestFileOnOverlay(t *testing.T) { inMounts(t, "overlay", t.TempDir()) }

// A disk, where Sync means something: the file's pages are clean after it.
func TestSyncWritesThePages(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	s := must[*Segment](t)(OpenFile(path, 64<<10, CreateFile))
	defer closeNow(t, s)
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(s.File().Fd()), &st); err != nil || st.Type == unix.TMPFS_MAGIC || st.Type == unix.OVERLAYFS_SUPER_MAGIC {
		t.Skipf("the temporary directory is no disk: %#x, %v", st.Type, err)
	}
	for i := range s.Bytes() {
		s.Bytes()[i] = 1
	}
	inode := fmt.Sprint(" ", must[unix.Stat_t](t)(fstat(s.File())).Ino, " ")
	if dirty := dirtyKiB(t, inode); dirty == 0 {
		t.Skip("the pages are clean already")
	}
	if err := s.Sync(); err != nil {
		t.Fatal(err)
	}
	if dirty := dirtyKiB(t, inode); dirty != 0 {
		t.Errorf("%d KiB are dirty after Sync", dirty)
	}
}

func init() {
	// Runs in a mount namespace of its own. arg: an empty directory, mkfs.ext4
	children["power cut"] = func(arg []string) error {
		at := func(name string) string { return filepath.Join(arg[0], name) }
		run := func(prog string, arg ...string) error {
			if out, err := exec.Command(prog, arg...).CombinedOutput(); err != nil {
				return fmt.Errorf("mount: %s: %w: %s", prog, err, out) // "mount: " is a reason to skip
			}
			return nil
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return fmt.Errorf("mount: %w", err)
		}
		err := errors.Join(os.Mkdir(at("before"), 0o700), os.Mkdir(at("after"), 0o700),
			os.WriteFile(at("disk"), nil, 0o600), os.Truncate(at("disk"), 32<<20))
		if err == nil {
			err = errors.Join(run(arg[1], "-q", "-F", at("disk")), run("mount", "-o", "loop", at("disk"), at("before")))
		}
		if err != nil {
			return err
		}
		defer unix.Unmount(at("before"), 0)
		for _, name := range []string{"synced", "not synced"} { // in this order: a sync takes along what is older
			s, err := OpenFile(at("before/"+name), 100_000, CreateFile)
			if err != nil {
				return err
			}
			for i := range s.Bytes() {
				s.Bytes()[i] = byte(i%251 + 1)
			}
			if name == "synced" {
				err = s.Sync()
			}
			if err = errors.Join(err, s.Close()); err != nil {
				return err
			}
		}
		// What is on the disk now is all that a restarted machine finds.
		disk, err := os.ReadFile(at("disk"))
		if err == nil {
			err = os.WriteFile(at("disk after"), disk, 0o600)
		}
		if err == nil {
			err = run("mount", "-o", "loop", at("disk after"), at("after"))
		}
		if err != nil {
			return err
		}
		defer unix.Unmount(at("after"), 0)
		b, err := os.ReadFile(at("after/synced"))
		if err != nil || len(b) != 100_000 {
			return fmt.Errorf("after the power cut: %d bytes: %w", len(b), err)
		}
		for i, x := range b {
			if x != byte(i%251+1) {
				return fmt.Errorf("after the power cut: byte %d is %d", i, x)
			}
		}
		if b, err := os.ReadFile(at("after/not synced")); err == nil && len(b) == 100_000 && b[99_999] != 0 {
			fmt.Println("what was not synced is there too, so this proves nothing")
		}
		return nil
	}
}

// T76: a disk whose power is cut right after Sync has the file, by its name and
// with every byte of it.
func TestSyncSurvivesAPowerCut(t *testing.T) {
	mkfs, err := exec.LookPath("mkfs.ext4")
	if err != nil {
		t.Skip("needs a disk of its own: ", err)
	}
	inMounts(t, "power cut", t.TempDir(), mkfs)
}

// dirtyKiB is how much of a mapped file this process has written and the kernel
// has not, as /proc/self/smaps counts.
func dirtyKiB(t *testing.T, inode string) (kib int) {
	_, after, found := strings.Cut(string(must[[]byte](t)(os.ReadFile("/proc/self/smaps"))), inode)
	if !found {
		t.Fatal("not mapped")
	}
	for line := range strings.Lines(after) {
		var n int
		if _, err := fmt.Sscanf(line, "Shared_Dirty: %d", &n); err == nil {
			kib += n
		} else if _, err := fmt.Sscanf(line, "Private_Dirty: %d", &n); err == nil {
			return kib + n
		}
	}
	return kib
}
