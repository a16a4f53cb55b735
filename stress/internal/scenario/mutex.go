package scenario

import (
	"context"
	"errors"
	"fmt"
	"time"

	"interlock/mutex"
	"interlock/stress/internal/arena"
)

// mutexArea is a mutex and what it guards.
type mutexArea struct {
	Mu mutex.Mutex
	_  [24]byte
	guarded
}

func mutexPlan() *Plan {
	return &Plan{
		Name:      "mutex",
		About:     "a plain counter under a mutex; owners killed inside are repaired, no update is lost",
		Labels:    mutexLabels,
		Duration:  2 * time.Second,
		Shape:     Shape{Procs: 4, Lanes: 8},
		Least:     Shape{Procs: 1, Lanes: 1},
		Traps:     []uint32{LabelInside, labelOpened, labelHalf, labelClosed, labelRepairing},
		Held:      []uint32{LabelInside, labelOpened, labelHalf, labelClosed},
		Marks:     []string{"E-M"},
		Exclusive: true,
		Area:      func(procs, lanes int) int { return arena.SizeOf[mutexArea]() },
		Attach: func(w *Worker) (Body, error) {
			m := arena.At[mutexArea](w.Arena.Scenario(), 0)
			m.Mu.OnOwnerDeath(func(pid int) error { return m.repair(w, pid) })
			return Body{Step: m.step}, nil
		},
		Check: func(a *arena.Arena, f *Findings) { arena.At[mutexArea](a.Scenario(), 0).check(a, f) },
		Words: func(a *arena.Arena) []Word { return arena.At[mutexArea](a.Scenario(), 0).words() },
	}
}

// step is one increment.
func (m *mutexArea) step(l *Lane) error {
	l.Label.Store(LabelWaiting)
	begin := l.Begin()
	if err := acquire(&m.Mu, l); err != nil {
		if errors.Is(err, context.DeadlineExceeded) {
			l.Errors.Add(1)
			return nil
		}
		return err
	}
	begin = l.Took(arena.Wait, begin)
	m.change(l, 0)
	l.Took(arena.Hold, begin)
	return nil
}

// change is the rest of a step: the lane has the lock, changes what it guards,
// stays for a while and leaves.
func (m *mutexArea) change(l *Lane, stay time.Duration) {
	m.enter(l, "mutex")
	l.Reach(LabelInside)
	m.add(l, nil)
	l.linger(stay)
	m.leave(l, "mutex")
	l.gives()
	m.Mu.Unlock()
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
}

// acquire takes the lock in one of the ways there are.
func acquire(mu *mutex.Mutex, l *Lane) error {
	switch l.Rand.Uint32N(64) {
	case 0:
		if mu.TryLock() {
			return nil
		}
		return mu.LockContext(context.Background())
	case 1:
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(l.Rand.Int64N(int64(time.Millisecond))))
		defer cancel()
		return mu.LockContext(ctx)
	}
	mu.Lock()
	return nil
}

// repair finishes what the dead began. It runs while its process holds the
// mutex, and may itself be killed at any point: then the next repair finds the
// same, or what is left of it.
func (m *mutexArea) repair(w *Worker, pid int) error {
	inside := int(m.Canary.Load() >> 32)
	if !mourn(w, pid, inside) {
		w.Arena.Fault(w.Index, "mutex: a repair was called for process %d (%d inside), which nobody killed", pid, inside)
	}
	w.Lane(0).Reach(labelRepairing)
	m.redo(w.Arena)
	return nil
}

// words are the state of the mutex and of what it guards.
func (m *mutexArea) words() []Word {
	return append([]Word{{"mutex word", lockWord(arena.Word(&m.Mu, 0))}}, m.guarded.words()...)
}

func (m *mutexArea) check(a *arena.Arena, f *Findings) {
	m.guarded.check(a, f, "mutex")
	if pid, held := m.Mu.Owner(); held {
		f.Faults = append(f.Faults, fmt.Sprintf("mutex: all have left, but the mutex says that %d holds it", pid))
	}
}

// lockWord spells out a mutex's word.
func lockWord(v uint32) string {
	if v == 0 {
		return "0: free"
	}
	text := fmt.Sprintf("%#x: TID %d", v, v&(1<<30-1))
	if v&(1<<30) != 0 {
		text += " OWNER_DIED"
	}
	if v&(1<<31) != 0 {
		text += " WAITERS"
	}
	return text
}
