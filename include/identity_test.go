package include

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"interlock/internal/proctest"
)

// What a Go holder writes beside the word is what the document says, bit by bit.
func TestIdentityIsAsTheDocumentSays(t *testing.T) {
	_, mem := proctest.Memfd(t, 4096)
	m := mutexIn(mem)
	m.Lock()
	words := map[string]uint64{"prev": field[uint64](m, "prev"), "next": field[uint64](m, "next")}
	word := uint64(field[uint32](m, "word"))
	m.Unlock()
	var ns syscall.Stat_t
	if err := syscall.Stat("/proc/self/ns/pid", &ns); err != nil {
		t.Skip(err)
	}
	want := map[string]uint64{
		"prev written by Go": 1, "prev the kernel": 0, "prev process ID": uint64(os.Getpid()), "prev TID": word,
		"next written by Go": 1, "next inode": ns.Ino,
	}
	row := regexp.MustCompile(`(?m)^\| (prev|next) \| (\d+)(?:-(\d+))? \| (?:1: )?(.*) \|$`)
	for _, m := range row.FindAllStringSubmatch(section(t, "mutex.Mutex"), -1) {
		lo, _ := strconv.Atoi(m[2])
		hi := lo
		if m[3] != "" {
			hi, _ = strconv.Atoi(m[3])
		}
		got := words[m[1]] >> lo & (1<<(hi-lo+1) - 1)
		for what, v := range want {
			if strings.HasPrefix(m[1]+" "+m[4], what) {
				delete(want, what)
				if got != v {
					t.Errorf("%s, bits %d-%d: %d, not %d: %s", m[1], lo, hi, got, v, m[4])
				}
			}
		}
	}
	if len(want) != 0 {
		t.Errorf("the document does not say where: %v", want)
	}
}
