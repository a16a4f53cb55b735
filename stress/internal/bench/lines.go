package bench

import (
	"fmt"
	"path"
	"strings"
)

// lines are all comparisons, in the order of the table.
func lines() []line {
	return []line{
		{"lock", "uncontended Lock+Unlock beside sync.Mutex and glibc's robust mutex", runLock},
		{"sem", "uncontended Acquire+Release beside glibc's sem_wait+sem_post", runSem},
		{"contended", "2, 4, 8 processes and one short critical section, beside glibc's robust mutex", runContended},
		{"crowd", "2 processes of 1,000 goroutines beside one of 2,000 with a sync.Mutex", runCrowd},
		{"pingpong", "two processes that take turns, both awake, beside a bare cache line and pipes", runPingPong},
		{"transports", "the same beside everything that the kernel has for passing a message", runTransports},
		{"asleep", "taking turns where a side has to sleep, beside bare futex calls", runAsleep},
		{"bulk", "bytes per second from one process to another, beside pipe and Unix socket", runBulk},
		{"seqlock", "Load without writers beside a plain copy and gVisor's SeqCount; many readers", runSeqlock},
		{"handoff", "taking turns beside gVisor's flipcall and gofrs/flock", runHandoff},
		{"recovery", "from the holder's kill -9 to the next Lock, beside glibc's robust mutex", runRecovery},
		{"open", "Open and the first Lock in a fresh process", runOpen},
		{"memory", "bytes of each primitive; private memory and threads of a process", runMemory},
	}
}

// Names are the lines' names and what each compares.
func Names() (list [][2]string) {
	for _, l := range lines() {
		list = append(list, [2]string{l.name, l.about})
	}
	return list
}

// match finds lines by name or pattern: each once, in their own order.
func match(patterns []string) (chosen []line, err error) {
	if len(patterns) == 0 {
		return lines(), nil
	}
	picked := map[string]bool{}
	for _, p := range patterns {
		found := false
		for _, l := range lines() {
			if ok, _ := path.Match(p, l.name); ok || p == "all" {
				picked[l.name], found = true, true
			}
		}
		if !found {
			return nil, UnknownLine(p)
		}
	}
	for _, l := range lines() {
		if picked[l.name] {
			chosen = append(chosen, l)
		}
	}
	return chosen, nil
}

// UnknownLine is the error for a name that fits no line.
type UnknownLine string

func (u UnknownLine) Error() string {
	var names []string
	for _, n := range Names() {
		names = append(names, n[0])
	}
	return fmt.Sprintf("no line %q; there are: %s", string(u), strings.Join(names, ", "))
}
