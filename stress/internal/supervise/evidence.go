package supervise

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/procfs"
	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
)

// secure puts down what is to be seen of a run in which something is wrong, before its
// workers are killed: their deaths change the words of the locks.
func (s *session) secure(end ending) {
	if end == hung {
		s.result.Add(report.Hang, s.describeHang())
	}
	s.keep("words.txt", []byte(s.words()))
	s.keep("threads.txt", []byte(s.threads()))
	s.keep("arena.bin", bytes.Clone(s.arena.Image()))
	s.goroutines()
}

// conclude adds what is known only afterwards. Of a run that came to its end the memory
// is as all have left it.
func (s *session) conclude() {
	if s.result.Evidence["arena.bin"] == nil {
		s.keep("words.txt", []byte(s.words()))
		s.keep("arena.bin", bytes.Clone(s.arena.Image()))
	}
	var b bytes.Buffer
	s.crew.journal.write(&b)
	s.keep("schedule.txt", b.Bytes())
	if s.result.Delays > 0 {
		s.keep("delays.txt", []byte(s.delays()))
	}
	if s.plan.Files != nil {
		for name, data := range s.plan.Files() {
			s.keep(name, data)
		}
	}
	for name, text := range s.crew.wills {
		s.keep(name, []byte(text))
	}
}

func (s *session) keep(name string, data []byte) {
	if s.result.Evidence == nil {
		s.result.Evidence = map[string][]byte{}
	}
	s.result.Evidence[name] = data
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
	b.WriteString(s.words())
	return strings.TrimSuffix(b.String(), "\n")
}

// words spells out the state words of the scenario.
func (s *session) words() string {
	var b strings.Builder
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
// keeps that.
func (s *session) goroutines() {
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
		s.keep(names[i], []byte(tail(f, 8<<20)))
		f.Close()
	}
}

// delays are the last ones of each worker slot, in the order of time.
func (s *session) delays() string {
	type line struct {
		at   int64
		text string
	}
	var lines []line
	start := arena.Now() - int64(time.Since(s.begin))
	for slot := range int(s.arena.Procs.Load()) {
		t := s.arena.Tally(slot)
		for i := range min(t.Delays.Load(), arena.DelayCount) {
			d := &t.Last[i]
			at := d.At.Load() - start
			lines = append(lines, line{at, fmt.Sprintf("%10.6fs %s worker %d for %v at %q\n", time.Duration(at).Seconds(),
				scenario.DelayName(d.Kind.Load()), slot, time.Duration(d.Long.Load()), s.arena.Points().Name(int(d.Point.Load())%arena.PointCount))})
		}
	}
	slices.SortFunc(lines, func(x, y line) int { return cmp.Compare(x.at, y.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "(of each worker the last %d)\n", arena.DelayCount)
	for _, l := range lines {
		b.WriteString(l.text)
	}
	return b.String()
}
