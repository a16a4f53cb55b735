package shm

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// piece is how much reserve takes at a time.
const piece = 64 << 20

// reserve gives f, which lies in dir ("" for a memfd), its size, and the memory
// or disk blocks for it, now (P-K5).
//
// It asks first whether there is room, so that a slip of the keyboard does not
// take all memory before it fails; the kernel's answer still decides.
//
// It goes in pieces because an interrupted fallocate on tmpfs gives back all
// that it had taken: one huge call under a storm of signals would never end.
func reserve(f *os.File, size int64, dir string) error {
	if err := affordable(f, size); err != nil {
		return noRoom(dir, size, err)
	}
	for off := int64(0); off < size; {
		n := min(piece, size-off)
		err := again0(func() error { return fallocate(f, off, n) })
		if err == unix.EOPNOTSUPP {
			err = writeZeros(f, off, n)
		}
		if err != nil {
			return noRoom(dir, size, err)
		}
		off += n
	}
	return nil
}

// fallocate is a variable so that a test can be a file system without it.
var fallocate = func(f *os.File, off, n int64) error {
	return unix.Fallocate(int(f.Fd()), 0, off, n)
}

// writeZeros does what posix_fallocate(3) does on a file system that cannot
// reserve.
func writeZeros(f *os.File, off, n int64) error {
	zeros := make([]byte, min(n, 1<<20))
	for n > 0 {
		k, err := f.WriteAt(zeros[:min(n, int64(len(zeros)))], off)
		if err != nil {
			return err
		}
		off, n = off+int64(k), n-int64(k)
	}
	return nil
}

// small is what a reservation may take unasked. A process that has less than this
// left is as good as dead.
const small = 1 << 20

// affordable refuses what cannot be had. It matters most for memory: a tmpfs
// may be as large as all memory, a memfd has no limit at all, and a reservation
// that takes the last page, or the last that a container may have, does not fail,
// it wakes the OOM killer.
func affordable(f *os.File, size int64) error {
	if size <= small {
		return nil // the common case pays nothing
	}
	var st unix.Statfs_t
	if err := again0(func() error { return unix.Fstatfs(int(f.Fd()), &st) }); err != nil {
		return err
	}
	// No blocks at all means no limit.
	if st.Blocks > 0 && uint64(size)/uint64(st.Bsize) > st.Bfree {
		return unix.ENOSPC
	}
	if st.Type != unix.TMPFS_MAGIC {
		return nil
	}
	left, swap := memoryLeft()
	if size > left+swap {
		return unix.ENOMEM
	}
	return withinCgroups(size, swap)
}

// memoryLeft is the kernel's own estimate of what can still be allocated without
// swapping, and how much can be swapped out.
func memoryLeft() (left, swap int64) {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return noLimit, 0 // unknown: let the kernel decide
	}
	return sumOf(string(b), "MemAvailable:") << 10, sumOf(string(b), "SwapFree:") << 10
}

// sumOf adds up the numbers behind these words, each at the beginning of a line.
func sumOf(text string, words ...string) (sum int64) {
	for line := range strings.Lines(text) {
		if w := strings.Fields(line); len(w) >= 2 && slices.Contains(words, w[0]) {
			n, _ := strconv.ParseInt(w[1], 10, 64)
			sum += n
		}
	}
	return sum
}

func noRoom(dir string, size int64, err error) error {
	hint := ""
	switch over := (*overLimit)(nil); {
	case errors.As(err, &over):
		hint = "; raise the limit (docker --memory, resources.limits.memory, MemoryMax= of systemd), or let go of what is not used"
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.ENOMEM):
		hint = "; see free -m"
		if dir != "" {
			hint += " and df -h " + dir + ", make it larger (mount -o remount,size=…; docker --shm-size) or Remove what is not used"
		}
	case errors.Is(err, unix.EFBIG):
		hint = "; see ulimit -f"
	case errors.Is(err, unix.EDQUOT):
		hint = "; see quota"
	}
	return fmt.Errorf("cannot reserve %d bytes: %w%s", size, err, hint)
}
