package tracer

import (
	_ "embed"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"interlock/futex"
	"interlock/internal/robust"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/cc"
)

// In one crowd the sleeper and the barger are C programs that know nothing but glibc's
// pthread_mutex_t, and so is the process whose death the victim meets.

//go:embed testdata/peer.c
var peerSource string

// peerProgram is that program, built once.
var peerProgram = sync.OnceValues(func() (*os.File, error) {
	d := map[string]uintptr{
		"STAGE_SIZE": uintptr(stageSize()),
		"FAULTS":     uintptr(len(stage{}.Fault)), "TWO_INSIDE": uintptr(faultTwoInside), "UNLOCK_FAILED": uintptr(faultUnlock),
		"DEAD_PIDS": uintptr(len(stage{}.DeadPID)), "UNTOLD": untold, "CONDEMNING": condemning,
	}
	cc.Offsets[stage](d, map[string]string{
		"STAGE_M": "M", "STAGE_INSIDE": "Inside", "STAGE_STOP": "Stop", "STAGE_FAIL": "Fail",
		"STAGE_REPAIRS": "Repairs", "STAGE_DEAD": "DeadPID", "STAGE_FAULTS": "Faults", "STAGE_FAULT": "Fault",
	})
	return cc.InMemory("everywhere", map[string]string{"peer.c": peerSource}, cc.Defines(d)...)
})

// untold is what a C program puts where others put whose death they were told of.
const untold = 1<<32 - 1

// startPeer starts one. The calling goroutine is locked to its thread.
func (e *engine) startPeer(name string) (*member, error) {
	f, err := peerProgram()
	if err != nil {
		return nil, err
	}
	m, err := startMember(name, executable{path: fmt.Sprintf("/proc/self/fd/%d", f.Fd()), inC: true}, e.file, e.stderr)
	if err != nil {
		return nil, err
	}
	if err := m.greet(); err != nil {
		m.end()
		return nil, err
	}
	return m, nil
}

// company makes sure that there are two.
func (e *engine) company() error {
	for i := len(e.peers); i < 2; i++ {
		m, err := e.startPeer("C program " + string(rune('A'+i)))
		if err != nil {
			return err
		}
		e.peers = append(e.peers, m)
	}
	return nil
}

// Missing is why a case cannot be played here; "" if it can.
func (c Case) Missing() string {
	if c.crowd == inC {
		if _, err := peerProgram(); err != nil {
			return err.Error()
		}
	}
	return ""
}

// release wakes a C program that sleeps beside a free mutex. It has no look: if the victim
// took a wake along that it had been sent or owed, nothing but the next wake ends that
// sleep (P-M1, P-M2, P-M3). If the victim died with the mutex, or not at all, none may be lost.
func (r *round) release(m *member) {
	const lookEvery = 100 * time.Millisecond
	for begin := time.Now(); time.Since(begin) < limit && m.awaitFor(lookEvery) != nil; {
		word := arena.At[atomic.Uint32](arena.Bytes(&r.st.M), 0)
		if r.truth.held || r.truth.ended || word.Load()&robust.TIDMask != 0 {
			continue
		}
		if woken, _ := futex.Wake(word, 1); woken > 0 {
			r.left++
		}
	}
}
