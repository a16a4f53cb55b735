package supervise

import (
	"fmt"
	"os"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// launcher starts processes from one OS thread. PR_SET_PDEATHSIG is tied to
// the thread that forked, not to its process: were that thread to end, the
// kernel would kill the workers. So it lives as long as the run.
type launcher struct {
	requests chan launch
	quit     chan struct{}
}

type launch struct {
	args  []string
	files []*os.File
	reply chan launched
}

type launched struct {
	proc *os.Process
	err  error
}

func newLauncher() *launcher {
	l := &launcher{requests: make(chan launch), quit: make(chan struct{})}
	go l.loop()
	return l
}

// close ends the thread; every worker has to be gone before.
func (l *launcher) close() { close(l.quit) }

func (l *launcher) loop() {
	runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
	for {
		select {
		case r := <-l.requests:
			proc, err := start(r)
			r.reply <- launched{proc, err}
		case <-l.quit:
			return
		}
	}
}

// start runs this program again. files are its descriptors from 0 on.
func (l *launcher) start(args []string, files []*os.File) (*os.Process, error) {
	r := launch{args: args, files: files, reply: make(chan launched, 1)}
	l.requests <- r
	got := <-r.reply
	return got.proc, got.err
}

func start(r launch) (*os.Process, error) {
	// Not the path of the executable: it may have been replaced meanwhile.
	proc, err := os.StartProcess("/proc/self/exe", r.args, &os.ProcAttr{
		Env:   append(os.Environ(), "GOTRACEBACK=all"),
		Files: r.files,
		Sys: &syscall.SysProcAttr{
			Pdeathsig: syscall.SIGKILL,
			Setpgid:   true, // Ctrl-C is for the supervisor alone
		},
	})
	if err != nil {
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	return proc, nil
}

// scratch is an unnamed file for a worker's stderr. It needs no reader, and
// nothing of it stays behind.
func scratch() (*os.File, error) {
	fd, err := unix.MemfdCreate("interlock-stress-stderr", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), "stderr"), nil
}

// tail is the end of what was written to a scratch file.
func tail(f *os.File, most int64) string {
	info, err := f.Stat()
	if err != nil {
		return ""
	}
	from := max(0, info.Size()-most)
	buf := make([]byte, info.Size()-from)
	n, _ := f.ReadAt(buf, from)
	return string(buf[:n])
}
