package shm

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// This file does what the options HugePages, Mlock and Populate ask for, and
// says what to do where the machine refuses.

// prepare does what c asks of a fresh mapping.
func (c *config) prepare(mem []byte) error {
	if c.populate {
		if err := populate(mem, c.readOnly); err != nil {
			return err
		}
	}
	if c.mlock {
		if err := again0(func() error { return unix.Mlock(mem) }); err != nil {
			return fmt.Errorf("cannot lock %d bytes into memory: %w%s", len(mem), err, lockLimit(err))
		}
	}
	return nil
}

// populate touches every page in the kernel, where what would be SIGBUS is an
// error. MAP_POPULATE has been before, but reports nothing.
func populate(mem []byte, readOnly bool) error {
	advice := unix.MADV_POPULATE_WRITE
	if readOnly {
		advice = unix.MADV_POPULATE_READ
	}
	err := again0(func() error { return unix.Madvise(mem, advice) })
	hint := ""
	switch {
	case errors.Is(err, unix.EINVAL): // before Linux 5.14
		return nil
	case errors.Is(err, unix.EFAULT):
		hint = "; a touch would be SIGBUS: the object was made shorter, or its file system has no room for all of it"
	}
	if err != nil {
		return fmt.Errorf("cannot populate %d bytes: %w%s", len(mem), err, hint)
	}
	return nil
}

// lockLimit explains mlock's errors: EPERM with a limit of 0, ENOMEM above the
// limit, EAGAIN for a page that could not be made present.
func lockLimit(err error) string {
	var lim unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim) != nil || errors.Is(err, unix.EAGAIN) {
		return "; see free -m"
	}
	limit := "unlimited"
	if lim.Cur != unix.RLIM_INFINITY {
		limit = strconv.FormatUint(lim.Cur, 10) + " bytes"
	}
	return "; this process may lock " + limit + " altogether (RLIMIT_MEMLOCK): raise it " +
		"(ulimit -l, LimitMEMLOCK= of systemd, docker --ulimit memlock) or grant CAP_IPC_LOCK"
}

// pageSizeOf is the size of the pages that f is mapped by.
func pageSizeOf(f *os.File) int64 {
	var st unix.Statfs_t
	err := again0(func() error { return unix.Fstatfs(int(f.Fd()), &st) })
	if err == nil && st.Type == unix.HUGETLBFS_MAGIC {
		return int64(st.Bsize)
	}
	return int64(os.Getpagesize())
}

// reserveHuge is reserve for a memfd of huge pages, of which there are only
// whole ones. It returns the size that came of it.
func reserveHuge(f *os.File, size int64) (int64, error) {
	page, free := pageSizeOf(f), freeHugePages()
	if size > math.MaxInt64-page {
		return 0, noHugePages(size, page, free, unix.EFBIG)
	}
	size = (size + page - 1) / page * page
	for off := int64(0); off < size; {
		n := min(max(piece, page), size-off)
		if err := again0(func() error { return fallocate(f, off, n) }); err != nil {
			return 0, noHugePages(size, page, free, err)
		}
		off += n
	}
	return size, nil
}

func noHugePages(size, page int64, free string, err error) error {
	return fmt.Errorf("cannot reserve %d bytes in %d huge pages of %d KiB: %w; %s of the default size were free: "+
		"sysctl vm.nr_hugepages=COUNT, as root, makes more, best soon after boot while memory is in one piece "+
		"(a cgroup may set a limit too: hugetlb.*.max)", size, size/page, page>>10, err, free)
}

// freeHugePages says how many pages of the default size are free.
func freeHugePages() string {
	b, _ := os.ReadFile("/proc/meminfo")
	for line := range strings.Lines(string(b)) {
		if w := strings.Fields(line); len(w) == 2 && w[0] == "HugePages_Free:" {
			return w[1]
		}
	}
	return "none"
}

func explainMemfd(c *config, err error) error {
	hint := ""
	switch {
	case c.huge && (errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL)):
		hint = "; this kernel has no huge pages for memfds (CONFIG_HUGETLBFS, Linux 4.14)"
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		hint = "; a filter of this container or the sysctl vm.memfd_noexec forbids it"
	case errors.Is(err, unix.EMFILE), errors.Is(err, unix.ENFILE):
		hint = "; see ulimit -n"
	}
	return fmt.Errorf("memfd_create: %w%s", err, hint)
}
