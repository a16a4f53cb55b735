package play

import (
	"context"
	"errors"

	"interlock/stress/internal/schedule/oracle"
)

var _ = add("wait for an item", func(m *Memory) { m.await(context.Background(), 1) }) &&
	add("wait for an item for 1ms", (*Memory).awaitSoon) &&
	add("wait for the flag", func(m *Memory) { m.await(context.Background(), 0) }) &&
	add("put an item and signal", (*Memory).put) &&
	add("put two items and signal twice", func(m *Memory) { m.put(); m.put() }) &&
	add("set the flag and broadcast", (*Memory).set) &&
	add("signal", func(m *Memory) { m.Cond.Signal() })

func (m *Memory) awaitSoon() {
	ctx, cancel := soon(1)
	defer cancel()
	m.await(ctx, 1)
}

// await waits until there are items, and takes some of them.
func (m *Memory) await(ctx context.Context, take uint32) {
	m.Mutex.Lock()
	defer m.Mutex.Unlock()
	oracle.Enter()
	for m.Items.Load() == 0 {
		oracle.Leave()
		err := m.Cond.WaitContext(ctx, &m.Mutex)
		oracle.Enter()
		if err != nil {
			oracle.Check(errors.Is(err, context.DeadlineExceeded), "Wait: %v", err)
			oracle.Leave()
			return
		}
	}
	m.Items.Store(m.Items.Load() - take)
	oracle.Leave()
}

func (m *Memory) put() {
	m.Mutex.Lock()
	oracle.Enter()
	m.Items.Store(m.Items.Load() + 1)
	oracle.Leave()
	m.Mutex.Unlock()
	m.Cond.Signal()
}

func (m *Memory) set() {
	m.Mutex.Lock()
	oracle.Enter()
	m.Items.Store(1)
	oracle.Leave()
	m.Mutex.Unlock()
	m.Cond.Broadcast()
}
