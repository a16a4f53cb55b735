package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/bench/work"
)

// The message queues and System V semaphores, for which no package has calls.

// posixQueues makes two queues. Their names go at once; the descriptors stay.
func posixQueues(r *Rig, _ string) (args []string, files [2][]*os.File, err error) {
	var ends [2]*os.File
	for i := range ends {
		name := fmt.Sprintf("interlock-bench.%d.%d", os.Getpid(), i)
		if ends[i], err = makePosixQueue(name); err != nil {
			return nil, files, err
		}
		r.keepOpen(ends[i])
	}
	return []string{"two"}, [2][]*os.File{{ends[0], ends[1]}, {ends[1], ends[0]}}, nil
}

func makePosixQueue(name string) (*os.File, error) {
	path, err := unix.BytePtrFromString(name)
	if err != nil {
		return nil, err
	}
	attr := struct{ flags, most, size, now, _, _, _, _ int64 }{most: 4, size: 8} // struct mq_attr
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(path)), unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC,
		0o600, uintptr(unsafe.Pointer(&attr)), 0, 0)
	if errno != 0 {
		return nil, skip{"mq_open: " + errno.Error()}
	}
	_, _, _ = unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(path)), 0, 0)
	return os.NewFile(fd, "queue"), nil
}

func openPosixQueue(int, []string) (work.Link, error) {
	return &queueLink{in: firstFile + 1, out: firstFile + 2}, nil
}

type queueLink struct {
	in, out uintptr
	buf     uint64
}

func (l *queueLink) Send(n uint64) error {
	l.buf = n
	return again(func() unix.Errno {
		_, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDSEND, l.out, uintptr(unsafe.Pointer(&l.buf)), unsafe.Sizeof(l.buf), 0, 0, 0)
		return errno
	})
}

func (l *queueLink) Recv() (uint64, error) {
	err := again(func() unix.Errno {
		_, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDRECEIVE, l.in, uintptr(unsafe.Pointer(&l.buf)), unsafe.Sizeof(l.buf), 0, 0, 0)
		return errno
	})
	return l.buf, err
}

// again repeats a call that a signal interrupted.
func again(call func() unix.Errno) error {
	for {
		switch errno := call(); errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

const (
	ipcPrivate = 0
	ipcCreate  = 0o1000
	ipcRemove  = 0
)

// owe removes an object when the comparison is over. Such objects outlive everybody,
// so there is also a note in the run's directory, for Reclaim: an identifier is not
// given out again for a long time.
func (r *Rig) owe(kind string, id uintptr) {
	note := filepath.Join(r.dir, fmt.Sprintf("sysv.%s.%d", kind, id))
	_ = os.WriteFile(note, nil, 0o600)
	r.later(func() {
		removeSysV(kind, id)
		os.Remove(note)
	})
}

func removeSysV(kind string, id uintptr) {
	if kind == "msg" {
		_, _, _ = unix.Syscall(unix.SYS_MSGCTL, id, ipcRemove, 0)
	} else {
		_, _, _ = unix.Syscall6(unix.SYS_SEMCTL, id, 0, ipcRemove, 0, 0, 0)
	}
}

// Reclaim removes the System V objects of a run that was killed, of which dir is the
// directory. The directory itself is the caller's to remove.
func Reclaim(dir string) {
	notes, _ := filepath.Glob(filepath.Join(dir, "sysv.*.*"))
	for _, note := range notes {
		part := strings.Split(filepath.Base(note), ".")
		if id, err := strconv.ParseUint(part[2], 10, 31); err == nil {
			removeSysV(part[1], uintptr(id))
		}
	}
}

// sysvQueue makes one queue for both: a message's type is who it is for.
func sysvQueue(r *Rig, _ string) (args []string, files [2][]*os.File, err error) {
	id, _, errno := unix.Syscall(unix.SYS_MSGGET, ipcPrivate, ipcCreate|0o600, 0)
	if errno != 0 {
		return nil, files, skip{"msgget: " + errno.Error()}
	}
	r.owe("msg", id)
	return []string{strconv.Itoa(int(id))}, files, nil
}

func openSysvQueue(side int, args []string) (work.Link, error) {
	id, err := strconv.Atoi(args[0])
	return &messageLink{id: uintptr(id), side: int64(side)}, err
}

type messageLink struct {
	id   uintptr
	side int64
	buf  struct { // struct msgbuf
		kind int64
		n    uint64
	}
}

func (l *messageLink) Send(n uint64) error {
	l.buf.kind, l.buf.n = 2-l.side, n
	return again(func() unix.Errno {
		_, _, errno := unix.Syscall6(unix.SYS_MSGSND, l.id, uintptr(unsafe.Pointer(&l.buf)), 8, 0, 0, 0)
		return errno
	})
}

func (l *messageLink) Recv() (uint64, error) {
	err := again(func() unix.Errno {
		_, _, errno := unix.Syscall6(unix.SYS_MSGRCV, l.id, uintptr(unsafe.Pointer(&l.buf)), 8, uintptr(1+l.side), 0, 0)
		return errno
	})
	return l.buf.n, err
}

// sysvSemaphores makes two semaphores, one for each side.
func sysvSemaphores(r *Rig, _ string) (args []string, files [2][]*os.File, err error) {
	id, _, errno := unix.Syscall(unix.SYS_SEMGET, ipcPrivate, 2, ipcCreate|0o600)
	if errno != 0 {
		return nil, files, skip{"semget: " + errno.Error()}
	}
	r.owe("sem", id)
	return []string{strconv.Itoa(int(id))}, files, nil
}

func openSysvSemaphores(side int, args []string) (work.Link, error) {
	id, err := strconv.Atoi(args[0])
	return &semopLink{id: uintptr(id), side: uint16(side)}, err
}

// semopLink carries no number, only that one came.
type semopLink struct {
	id   uintptr
	side uint16
	op   struct { // struct sembuf
		num   uint16
		op    int16
		flags int16
	}
}

func (l *semopLink) Send(uint64) error           { return l.do(1-l.side, 1) }
func (l *semopLink) Recv() (n uint64, err error) { return 0, l.do(l.side, -1) }

func (l *semopLink) do(num uint16, op int16) error {
	l.op.num, l.op.op = num, op
	return again(func() unix.Errno {
		_, _, errno := unix.Syscall6(unix.SYS_SEMTIMEDOP, l.id, uintptr(unsafe.Pointer(&l.op)), 1, 0, 0, 0)
		return errno
	})
}
