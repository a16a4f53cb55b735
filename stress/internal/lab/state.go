package lab

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/ptrace"
)

// A State is all there is to see.
type State struct {
	Program  string `json:"program"`
	About    string `json:"about"`
	Engine   string `json:"engine"`
	Why      string `json:"why,omitempty"` // why it is not the other one
	Locked   bool   `json:"locked"`
	Code     []Line `json:"code"`
	Schedule string `json:"schedule"` // what was done
	Rows     []Row  `json:"rows"`

	N        uint64   `json:"n"`
	Expected uint64   `json:"expected"` // if none were lost
	Memory   []Field  `json:"memory"`
	Lock     string   `json:"lock"`             // in words
	Holder   string   `json:"holder,omitempty"` // A or B
	Queue    []string `json:"queue"`            // who sleeps in the kernel
	Mended   string   `json:"mended,omitempty"`
	Take     int      `json:"take,omitempty"` // the first step inside the lock of our own
	Procs    [2]View  `json:"procs"`
	Bursts   []Burst  `json:"bursts"`
}

// A Field is a part of the shared memory.
type Field struct {
	Name  string `json:"name"`
	Bytes string `json:"bytes"` // hexadecimal
}

// A View is one process.
type View struct {
	Name      string            `json:"name"`
	PID       int               `json:"pid"`
	At        int               `json:"at"`    // the step that it stands before, or is in
	Home      bool              `json:"home"`  // between two additions
	State     string            `json:"state"` // stands, asleep, dead
	Says      string            `json:"says"`
	Registers []ptrace.Register `json:"registers"`
	Finished  uint64            `json:"finished"` // additions stored
}

// A Row is one step of the past.
type Row struct {
	Letter string `json:"letter,omitempty"`
	Text   string `json:"text"` // the step
	Note   string `json:"note,omitempty"`
	N      uint64 `json:"n"` // the counter after it
}

// A Burst is one run at full speed.
type Burst struct {
	Of   uint64        `json:"of"`
	Got  uint64        `json:"got"`
	Took time.Duration `json:"took"`
}

// State looks.
func (l *Lab) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.b == nil {
		return State{}
	}
	s := State{Program: l.program.Name, About: l.program.About, Engine: l.engine, Why: l.why, Locked: l.program.locked,
		Code: l.code.lines, Rows: slices.Clone(l.rows), Schedule: l.scheduleNow(), N: l.b.N, Bursts: slices.Clone(l.bursts),
		Queue: []string{}}
	for i, p := range l.procs {
		s.Expected += l.finished(p)
		s.Procs[i] = l.view(p)
		if tid := l.asleep(p); tid != 0 {
			s.Queue = append(s.Queue, fmt.Sprintf("%s: thread %d of process %d", p.name, tid, p.pid))
		}
	}
	s.Memory = []Field{{"counter", hex.EncodeToString(arena.Bytes(&l.b.N))}}
	if l.code.take >= 0 {
		s.Take = l.code.take + 1
		s.Memory = append(s.Memory, Field{"taken", hex.EncodeToString(arena.Bytes(&l.b.Taken))})
	} else {
		s.Memory = append(s.Memory, Field{"mutex", hex.EncodeToString(arena.Bytes(&l.b.Lock))})
	}
	s.Lock = l.lockInWords()
	if pid, held := l.b.Lock.Owner(); held {
		for _, p := range l.procs {
			if p.pid == pid {
				s.Holder = p.name
			}
		}
	}
	if n := l.b.Repairs.Load(); n > 0 {
		s.Mended = fmt.Sprintf("process %d died holding it; process %d was told, and repaired", l.b.Dead.Load(), l.b.Mender.Load())
	}
	return s
}

func (l *Lab) asleep(p *proc) (tid int) {
	if p.dead {
		return 0
	}
	if _, _, standing := p.place(); standing {
		return 0
	}
	return p.sleeper(p.wordOf(l.b))
}

func (l *Lab) view(p *proc) View {
	at, home, standing := p.place()
	v := View{Name: p.name, PID: p.pid, At: at, Home: home, Finished: l.finished(p), Registers: p.registers()}
	switch {
	case p.dead:
		v.State, v.Says = "dead", "killed with kill -9"
	case !standing:
		v.State, v.Says = "asleep", "asleep in the kernel, for the lock"
	case home:
		v.State, v.Says = "stands", "before its next addition"
	default:
		v.State, v.Says = "stands", "in the middle of an addition"
	}
	return v
}

// lockInWords spells out the word of the lock.
func (l *Lab) lockInWords() string {
	const waiters, died = 1 << 31, 1 << 30
	word := arena.Word(&l.b.Lock, 0)
	pid, held := l.b.Lock.Owner()
	var words []string
	switch {
	case word == 0:
		words = append(words, "free")
	case word&died != 0:
		words = append(words, fmt.Sprintf("an orphan: %s, its owner, died", l.nameOf(pid)))
	case held:
		words = append(words, "held by "+l.nameOf(pid))
	default:
		words = append(words, "free")
	}
	if word&waiters != 0 {
		words = append(words, "marked: somebody may wait")
	}
	return strings.Join(words, ", ")
}

func (l *Lab) nameOf(pid int) string {
	for _, p := range l.procs {
		if p.pid == pid {
			return fmt.Sprintf("%s (pid %d)", p.name, pid)
		}
	}
	return fmt.Sprintf("pid %d", pid)
}
