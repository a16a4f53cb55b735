package procfs

import (
	"encoding/binary"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// futexPrivate is the flag of a futex call that only one process can see: the Go
// runtime's own sleepers have it, those on shared words never.
const futexPrivate = 128

// futexWaitv is the same number on every architecture.
const futexWaitv = 449

// waits are the futex operations that sleep on their first argument: WAIT, LOCK_PI,
// WAIT_BITSET, WAIT_REQUEUE_PI, LOCK_PI2.
var waits = map[uint64]bool{0: true, 6: true, 9: true, 11: true, 13: true}

// AsleepOn returns the addresses of the shared words that a thread sleeps on in the
// kernel, in its own address space; none if it does something else. An error is
// fs.ErrPermission, or says that the thread is gone.
func AsleepOn(pid, tid int) ([]uint64, error) {
	text, err := os.ReadFile(taskDir(pid) + "/" + strconv.Itoa(tid) + "/syscall")
	if err != nil {
		return nil, err
	}
	call, ok := parseCall(string(text))
	if !ok {
		return nil, nil
	}
	switch call[0] {
	case unix.SYS_FUTEX:
		shared := call[2]&futexPrivate == 0 // private: what the runtime sleeps on is none of ours
		const options = 128 | 256           // the flag above, and which clock
		if shared && waits[call[2]&^options] {
			return call[1:2], nil
		}
	case futexWaitv:
		mem, err := os.Open("/proc/" + strconv.Itoa(pid) + "/mem")
		if err != nil {
			return nil, err
		}
		defer mem.Close()
		return vector(mem, call[1], call[2]), nil
	}
	return nil, nil
}

// InFutex says whether a thread sleeps in a futex call, shared or not.
func InFutex(pid, tid int) bool {
	text, err := os.ReadFile(taskDir(pid) + "/" + strconv.Itoa(tid) + "/syscall")
	if err != nil {
		return false
	}
	call, ok := parseCall(string(text))
	return ok && call[0] == unix.SYS_FUTEX
}

// parseCall understands a line of /proc/PID/task/TID/syscall: the number and the
// arguments. It is not ok for a thread that runs, or is stopped.
func parseCall(line string) (call [4]uint64, ok bool) {
	f := strings.Fields(line)
	if len(f) < 4 {
		return call, false
	}
	for i := range call {
		v, err := strconv.ParseUint(f[i], 0, 64)
		if err != nil {
			return call, false
		}
		call[i] = v
	}
	return call, true
}

// vector reads the addresses of shared words in the array of n futex_waitv structs
// at list, in another process's memory.
func vector(mem io.ReaderAt, list, n uint64) (words []uint64) {
	const size, most = 24, 128 // {u64 val, u64 address, u32 flags, u32 0}, as many as the kernel takes
	var buf [size * most]byte
	if n == 0 || n > most || list >= 1<<62 {
		return nil
	}
	if _, err := mem.ReadAt(buf[:size*n], int64(list)); err != nil {
		return nil // the thread has gone on
	}
	for at := range n {
		entry := buf[size*at:]
		shared := binary.NativeEndian.Uint32(entry[16:])&futexPrivate == 0 // private: its own cancel word
		if shared {
			words = append(words, binary.NativeEndian.Uint64(entry[8:]))
		}
	}
	return words
}
