package shm

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A file that was deleted on a file system that was unmounted looks, in
// /proc/PID/maps, as a System V segment does: List must not take who maps it for
// the segment's user.

func init() {
	// Runs with mounts and System V segments of its own.
	children["spoof"] = func([]string) error {
		id := 0
		for id < 50 { // the first inodes of a file system are taken
			var err error
			if id, err = unix.SysvShmGet(unix.IPC_PRIVATE, 4096, unix.IPC_CREAT|0o600); err != nil {
				return err
			}
		}
		if err := mapSpoof(uint64(id)); err != nil {
			return err
		}
		maps, err := os.ReadFile("/proc/self/maps")
		if line := fmt.Sprintf(" %d ", id); !strings.Contains(string(maps), line) || !strings.Contains(string(maps), " /SYSV00000000 (deleted)") {
			return errors.Join(err, fmt.Errorf("it does not look like segment %d: %s", id, maps))
		}
		if users, err := usersOf(id); err != nil || len(users) > 0 {
			return fmt.Errorf("a mapped file counts as segment %d: users %v: %w", id, users, err)
		}
		if _, err := unix.SysvShmAttach(id, 0, 0); err != nil {
			return err
		}
		if users, err := usersOf(id); err != nil || len(users) != 1 {
			return fmt.Errorf("attached and not seen: users %v: %w", users, err)
		}
		return hugeSegment()
	}
}

// mapSpoof maps a deleted file with this inode number and a segment's name.
func mapSpoof(inode uint64) error {
	dir, err := os.MkdirTemp("", "spoof")
	if err != nil {
		return err
	}
	defer os.Remove(dir)
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	if err := unix.Mount("none", dir, "tmpfs", 0, "size=1M"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	for path := filepath.Join(dir, "SYSV00000000"); ; {
		f, err := os.Create(path)
		if err != nil {
			return err
		}
		defer f.Close()
		st, err := fstat(f)
		if err := errors.Join(err, os.Remove(path), f.Truncate(4096)); err != nil {
			return err
		}
		switch {
		case st.Ino == inode:
			_, err = unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
			return err
		case st.Ino > inode:
			return fmt.Errorf("mount: its inodes do not begin with 1, but before %d: an old kernel", st.Ino)
		}
	}
}

// hugeSegment: those of huge pages are on another device. It takes none of them.
func hugeSegment() error {
	const hugeTLB, noReserve = 0o4000, 0o10000 // SHM_HUGETLB, SHM_NORESERVE
	id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 1<<30, unix.IPC_CREAT|hugeTLB|noReserve|0o600)
	if err == nil {
		_, err = unix.SysvShmAttach(id, 0, unix.SHM_RDONLY)
	}
	if err != nil {
		fmt.Println("without huge pages:", err)
		return nil
	}
	users, err := usersOf(id)
	if err != nil || len(users) != 1 {
		return fmt.Errorf("attached huge pages are not seen: users %v: %w", users, err)
	}
	return nil
}

func usersOf(id int) ([]int, error) {
	all, err := List()
	for _, i := range all {
		if i.Kind == KindSysV && i.ID == id {
			return i.Users, err
		}
	}
	return nil, errors.Join(err, fmt.Errorf("segment %d is not listed", id))
}

func TestListOfWhatLooksLikeSystemV(t *testing.T) {
	inNamespaces(t, syscall.CLONE_NEWNS|syscall.CLONE_NEWIPC, "spoof")
}
