package proc

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// procIsOurs reports whether /proc shows the processes of our PID namespace. That of an
// outer one, which `unshare --pid` alone leaves in place, has strangers at our numbers.
var procIsOurs = sync.OnceValue(func() bool {
	status, err := readFile("/proc/self/status")
	if err != nil {
		return false
	}
	// One number for each PID namespace from that of /proc down to ours.
	if ids := field(status, "NSpid:"); ids != nil {
		return len(bytes.Fields(ids)) == 1
	}
	return string(field(status, "Pid:")) == strconv.Itoa(os.Getpid()) // Linux 4.0, gVisor
})

// readFile is os.ReadFile for /proc in a third of the system calls: package os asks
// each file first whether it can be polled.
func readFile(path string) ([]byte, error) {
	fd, err := open(path, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	b := make([]byte, 0, 4096)
	for {
		n, err := unix.Read(fd, b[len(b):cap(b)])
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return b, err
		}
		b = slices.Grow(b[:len(b)+n], 512)
	}
}

// threadsOf lists the threads of a process, by name.
func threadsOf(dir string) (names []string, err error) {
	fd, err := open(dir, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	buf := make([]byte, 4096)
	for {
		n, err := unix.ReadDirent(fd, buf)
		if err == unix.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return names, err
		}
		_, _, names = unix.ParseDirent(buf[:n], -1, names)
	}
}

func open(path string, flags int) (fd int, err error) {
	for {
		if fd, err = unix.Open(path, flags|unix.O_CLOEXEC, 0); err != unix.EINTR {
			return fd, err
		}
	}
}
