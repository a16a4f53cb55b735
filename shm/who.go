package shm

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// This file asks the system who is who: this process's PID namespace, this
// boot of the machine, the holder of a lock.

// pidNamespace identifies the PID namespace of this process; 0 if it cannot
// be known.
func pidNamespace() uint64 {
	var st unix.Stat_t
	if again0(func() error { return unix.Stat("/proc/self/ns/pid", &st) }) != nil {
		return 0
	}
	return st.Ino
}

// bootID identifies this boot of the machine; zero if it cannot be known.
func bootID() (id [16]byte) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return id
	}
	digits := strings.ReplaceAll(strings.TrimSpace(string(b)), "-", "")
	for i := 0; i < len(id) && 2*i+2 <= len(digits); i++ {
		v, err := strconv.ParseUint(digits[2*i:2*i+2], 16, 8)
		if err != nil {
			return [16]byte{}
		}
		id[i] = byte(v)
	}
	return id
}

// lockHolder names who has f's flock, for a message: flock(2) itself does not
// tell. Lines of /proc/locks look so:
//
//	1: FLOCK  ADVISORY  WRITE 4242 00:19:1234 0 EOF
func lockHolder(f *os.File) string {
	const nobody = "another process"
	st, err := fstat(f)
	if err != nil {
		return nobody
	}
	b, err := os.ReadFile("/proc/locks")
	if err != nil {
		return nobody
	}
	where := fmt.Sprintf("%02x:%02x:%d", unix.Major(st.Dev), unix.Minor(st.Dev), st.Ino)
	for sc := bufio.NewScanner(bytes.NewReader(b)); sc.Scan(); {
		if w := strings.Fields(sc.Text()); len(w) >= 6 && w[1] == "FLOCK" && w[5] == where {
			return "pid " + w[4]
		}
	}
	return nobody
}
