package supervise

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"interlock/stress/internal/leftover"
	"interlock/stress/internal/procfs"
	"interlock/stress/internal/report"
)

// dump writes down everything about a hang: it is a result, so it has to be
// good enough to find the bug with. The workers are still there.
func (s *session) dump() {
	text := s.describeHang()
	dir, err := leftover.MakeDir("hang")
	if err != nil {
		s.result.Add(report.Hang, text+"(no dump: "+err.Error()+")")
		return
	}
	_ = os.WriteFile(filepath.Join(dir, "threads.txt"), []byte(s.threads()), 0o600)
	_ = os.WriteFile(filepath.Join(dir, "arena.bin"), s.arena.Image(), 0o600)
	s.goroutines(dir)
	text += "dump: " + dir + " (threads.txt, arena.bin, worker-N.txt: every goroutine)"
	_ = os.WriteFile(filepath.Join(dir, "README.txt"), []byte(text+"\n"), 0o600)
	s.result.Add(report.Hang, text)
}

// describeHang is the short form, for the terminal.
func (s *session) describeHang() string {
	var b strings.Builder
	hangs, _ := s.stage.seen()
	for _, h := range hangs {
		fmt.Fprintln(&b, h)
	}
	now := time.Now()
	if d := s.monitor.stalled(); d > s.opts.Hang {
		fmt.Fprintf(&b, "nobody has finished anything for %v\n", d.Round(time.Millisecond))
	}
	n := int(s.arena.Lanes.Load())
	for slot := range int(s.arena.Procs.Load()) {
		pid := s.crew.pid(slot)
		if pid == 0 {
			continue
		}
		fmt.Fprintf(&b, "worker %d pid %d:", slot, pid)
		for j := range n {
			lane := s.arena.Lane(slot, j)
			fmt.Fprintf(&b, " %s", s.plan.LabelName(lane.Label.Load()))
			if d := s.monitor.stuckFor(slot*n+j, now); d > time.Second/2 {
				fmt.Fprintf(&b, "(%s)", report.Short(d))
			}
		}
		b.WriteByte('\n')
	}
	if s.plan.Words != nil {
		for _, w := range s.plan.Words(s.arena) {
			fmt.Fprintf(&b, "%s: %s\n", w.Name, w.State)
		}
	}
	return b.String()
}

// threads says of every worker's threads where the kernel has them.
func (s *session) threads() string {
	var b strings.Builder
	for slot := range int(s.arena.Procs.Load()) {
		pid := s.crew.pid(slot)
		if pid == 0 {
			continue
		}
		for _, t := range procfs.Threads(pid) {
			fmt.Fprintf(&b, "worker %d pid %d tid %d state %s wchan %s syscall %s\n", slot, pid, t.TID, t.State, t.Wchan, t.Syscall)
		}
	}
	return b.String()
}

// goroutines has every worker write its goroutines to its stderr and end, and
// saves that.
func (s *session) goroutines(dir string) {
	s.crew.mu.Lock()
	s.crew.ending = true
	var files []*os.File
	var names []string
	for _, h := range s.crew.hands {
		if h == nil {
			continue
		}
		// A second descriptor: the first is closed when the worker is reaped.
		fd, err := syscall.Dup(int(h.stderr.Fd()))
		if err != nil {
			continue
		}
		syscall.CloseOnExec(fd)
		files = append(files, os.NewFile(uintptr(fd), "stderr"))
		names = append(names, fmt.Sprintf("worker-%d.txt", h.slot))
		_ = h.proc.Signal(syscall.SIGQUIT)
	}
	s.crew.mu.Unlock()
	for limit := time.Now().Add(20 * time.Second); s.crew.left() > 0 && time.Now().Before(limit); {
		time.Sleep(5 * time.Millisecond)
	}
	for i, f := range files {
		_ = os.WriteFile(filepath.Join(dir, names[i]), []byte(tail(f, 8<<20)), 0o600)
		f.Close()
	}
}
