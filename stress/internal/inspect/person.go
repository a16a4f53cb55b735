package inspect

import (
	"fmt"
	"strconv"
	"time"

	"interlock/stress/internal/procfs"
)

// A Person is a process that holds, waits or maps.
type Person struct {
	PID     int        `json:"pid"`
	Name    string     `json:"name,omitempty"`
	State   string     `json:"state"`             // running, asleep, stopped, traced, frozen, disk, zombie, gone
	Since   *time.Time `json:"since,omitempty"`   // when a stopped, frozen or traced one ran last
	Started *time.Time `json:"started,omitempty"` // the process
	Tracer  int        `json:"tracer,omitempty"`
	Cause   string     `json:"where,omitempty"` // where in the kernel, for disk; which cgroup, for frozen
	thaw    string
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// What a process is doing, as a whole.
const (
	running = "running"
	asleep  = "asleep"
	stopped = "stopped"
	traced  = "traced"
	frozen  = "frozen"
	disk    = "disk"
	zombie  = "zombie"
	gone    = "gone"
)

// mostThreads are looked at to know what a process is doing.
const mostThreads = 512

// meet looks at a process.
func meet(pid int) *Person {
	p := &Person{PID: pid, State: gone}
	leader, err := procfs.ReadStat(pid, pid)
	if err != nil {
		return p
	}
	p.Name, p.Started = leader.Name, &leader.Started
	letters := map[string]int{} // and a thread that has it
	tids := procfs.TIDs(pid)
	for _, tid := range tids[:min(len(tids), mostThreads)] {
		if s, err := procfs.ReadStat(pid, tid); err == nil {
			letters[s.State] = tid
		}
	}
	p.State = zombie
	for _, l := range []struct{ letter, state string }{{"S", asleep}, {"I", asleep}, {"R", running}, {"D", disk}, {"T", stopped}, {"t", traced}} {
		if letters[l.letter] != 0 {
			p.State = l.state
		}
	}
	if dir, thaw := procfs.FrozenBy(pid); dir != "" && p.State != zombie {
		p.State, p.Cause, p.thaw = frozen, dir, thaw
	}
	switch p.State {
	case disk:
		p.Cause = procfs.Wchan(pid, letters["D"])
	case traced:
		p.Tracer = atoi(procfs.Status(pid, letters["t"], "TracerPid"))
	}
	if p.halted() {
		p.Since = lastRan(pid, tids)
	}
	return p
}

// halted: it does nothing until somebody lets it.
func (p *Person) halted() bool { return p.State == stopped || p.State == traced || p.State == frozen }

// lastRan is when the last of a process's threads ran, nil if the kernel does not tell.
func lastRan(pid int, tids []int) *time.Time {
	var least time.Duration = -1
	for _, tid := range tids[:min(len(tids), mostThreads)] {
		if d, ok := procfs.Idle(pid, tid); ok && (least < 0 || d < least) {
			least = d
		}
	}
	if least < 0 {
		return nil
	}
	at := time.Now().Add(-least)
	return &at
}

// String is how a verdict speaks of a process: 4711 `worker`.
func (p *Person) String() string {
	if p.Name == "" {
		return strconv.Itoa(p.PID)
	}
	return fmt.Sprintf("%d `%s`", p.PID, p.Name)
}

// release is what lets a halted process go on, and how long it has been so.
func (p *Person) release() (what, next string) {
	switch p.State {
	case stopped:
		return "is STOPPED" + p.since(), fmt.Sprintf("kill -CONT %d", p.PID)
	case frozen:
		return "is FROZEN" + p.since() + " with its cgroup " + p.Cause, p.thaw
	}
	what = "is stopped by a debugger" + p.since()
	return what, fmt.Sprintf("continue it in process %d, or detach there; if that does not answer, kill %d lets it go", p.Tracer, p.Tracer)
}

// since is a clause about the time, if it is known.
func (p *Person) since() string {
	if p.Since == nil {
		return ""
	}
	return fmt.Sprintf(" since %s (%s)", clock(*p.Since), span(time.Since(*p.Since)))
}

// clock writes a time of day, with the date unless it is today's.
func clock(t time.Time) string {
	if y, m, d := time.Now().Date(); t.Year() == y && t.Month() == m && t.Day() == d {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

// span writes a duration as people say it.
func span(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}
