// Package leftover knows the names of everything that stress may leave on a
// machine when it is killed itself, and removes what nobody uses any more.
//
// The workers' memory has no name, and the kernel kills them with their
// supervisor; so all that can stay is segments and named semaphores of the scenario
// "segment", and directories of stress in the temporary directory.
package leftover

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

const shmDir = "/dev/shm"

// A segment is called interlock-stress.PID.START.N, what its initialiser needs
// beside it .interlock-NAME.init, a named semaphore sem.NAME. A directory is called
// interlock-stress-KIND.PID.START.RANDOM. PID and START are the supervisor's
// process and start time: while that lives, its things are not abandoned.
var (
	segmentName = regexp.MustCompile(`^(?:\.interlock-|sem\.)?interlock-stress\.(\d+)\.(\d+)\.\d+(?:\.init)?$`)
	tempName    = regexp.MustCompile(`^interlock-stress-(?:` + strings.Join(kinds[:], "|") + `)\.(\d+)\.(\d+)\.\d+$`)
)

// Kind is what a directory is for.
type Kind int

// The kinds of directories that there are.
const (
	Failure   Kind = iota // the evidence of a run that failed; it stays
	Rebuild               // stress with the library's marks
	Selftest              // broken variants of the library
	Bench                 // programs to compare with
	Schedules             // programs that are generated
	Peer                  // programs in C
	kindCount
)

var kinds = [kindCount]string{"failure", "rebuild", "selftest", "bench", "schedules", "peer"}

// MakeDir makes a directory in the temporary directory.
func MakeDir(of Kind) (string, error) {
	kind, pid := kinds[of], os.Getpid()
	return os.MkdirTemp("", fmt.Sprintf("interlock-stress-%s.%d.%d.*", kind, pid, StartTime(pid)))
}

// SegmentName is the n-th segment of the run whose supervisor is pid, started
// at start.
func SegmentName(pid int, start, n uint64) string {
	return fmt.Sprintf("interlock-stress.%d.%d.%d", pid, start, n)
}

// StartTime is when a process started, in clock ticks since boot; 0 if there is
// no such process.
func StartTime(pid int) uint64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field is the program's name in parentheses and may contain
	// anything; the start time is the 20th after it.
	_, rest, ok := strings.Cut(string(text[strings.LastIndexByte(string(text), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 20 {
		return 0
	}
	v, _ := strconv.ParseUint(fields[19], 10, 64)
	return v
}

// Segments are the files in /dev/shm of one run, its named semaphores included.
func Segments(pid int, start uint64) ([]string, error) {
	return matching(shmDir, func(name string) bool {
		m := segmentName.FindStringSubmatch(name)
		return m != nil && m[1] == strconv.Itoa(pid) && m[2] == strconv.FormatUint(start, 10)
	})
}

// Remove removes files or directories that Segments or Abandoned returned.
func Remove(paths []string) error {
	var errs []error
	for _, p := range paths {
		if err := os.RemoveAll(p); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Abandoned is everything of the current user's that runs of stress left
// behind: segments and directories whose supervisor is gone. For root it is
// everybody's.
func Abandoned() ([]string, error) {
	segments, err := matching(shmDir, func(name string) bool { return ownerGone(segmentName.FindStringSubmatch(name)) })
	if err != nil {
		return nil, err
	}
	dirs, err := matching(os.TempDir(), func(name string) bool { return ownerGone(tempName.FindStringSubmatch(name)) })
	if err != nil {
		return nil, err
	}
	var found []string
	for _, path := range append(segments, dirs...) {
		if mine(path) {
			found = append(found, path)
		}
	}
	return found, nil
}

// ownerGone looks at PID and START in a name that matched.
func ownerGone(m []string) bool {
	if m == nil {
		return false
	}
	pid, err := strconv.Atoi(m[1])
	return err == nil && strconv.FormatUint(StartTime(pid), 10) != m[2]
}

func mine(path string) bool {
	info, err := os.Lstat(path)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && (os.Geteuid() == 0 || int(st.Uid) == os.Geteuid())
}

func matching(dir string, match func(name string) bool) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var found []string
	for _, e := range entries {
		if match(e.Name()) {
			found = append(found, filepath.Join(dir, e.Name()))
		}
	}
	return found, nil
}
