package play

import (
	"context"
	"errors"
	"time"

	"interlock/mutex"
	"interlock/stress/internal/schedule/oracle"
)

var _ = add("lock", (*Memory).lock) &&
	add("lock twice", func(m *Memory) { m.lock(); m.lock() }) &&
	add("lock, or leave an orphan", (*Memory).lockWhole) &&
	add("lock and stay for 2ms", (*Memory).stay) &&
	add("lock 3 times and stay for 1ms", func(m *Memory) { m.linger(); m.linger(); m.linger() }) &&
	add("lock within 1ms", func(m *Memory) { m.lockSoon(1) }) &&
	add("lock within 3ms", func(m *Memory) { m.lockSoon(3) }) &&
	add("try to lock", (*Memory).try)

func (m *Memory) lock() {
	m.Mutex.Lock()
	m.change()
	m.Mutex.Unlock()
}

// stay holds the mutex for longer than a waiter of the same process is patient.
func (m *Memory) stay() {
	m.Mutex.Lock()
	m.change()
	time.Sleep(2 * time.Millisecond)
	m.Mutex.Unlock()
}

// linger holds it for longer than a process's turn.
func (m *Memory) linger() {
	m.Mutex.Lock()
	m.change()
	time.Sleep(time.Millisecond)
	m.Mutex.Unlock()
}

func (m *Memory) lockSoon(n time.Duration) {
	ctx, cancel := soon(n)
	defer cancel()
	if err := m.Mutex.LockContext(ctx); err != nil {
		oracle.Check(errors.Is(err, context.DeadlineExceeded), "LockContext: %v", err)
		return
	}
	m.change()
	m.Mutex.Unlock()
}

// lockWhole is for a process that cannot repair.
func (m *Memory) lockWhole() {
	if err := m.Mutex.LockContext(context.Background()); err != nil {
		oracle.Check(errors.Is(err, mutex.ErrOwnerDead), "LockContext: %v", err)
		oracle.Orphaned()
		return
	}
	m.change()
	m.Mutex.Unlock()
}

func (m *Memory) try() {
	if m.Mutex.TryLock() {
		m.change()
		m.Mutex.Unlock()
	}
}

// change is a critical section: who comes between its steps sees half a change.
func (m *Memory) change() {
	oracle.Enter()
	a, b := m.A.Load(), m.B.Load()
	oracle.Check(a == b, "half a change: %d and %d", a, b)
	m.A.Store(a + 1)
	m.B.Store(a + 1)
	oracle.Leave()
}

// repair makes half a change a whole one.
func (m *Memory) repair(pid int) error {
	oracle.Repair(pid)
	m.B.Store(m.A.Load())
	oracle.Repaired()
	return nil
}
