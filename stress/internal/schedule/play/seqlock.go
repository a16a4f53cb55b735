package play

import (
	"context"
	"errors"

	"interlock/seqlock"
	"interlock/stress/internal/schedule/oracle"
)

var _ = add("update", (*Memory).update) &&
	add("update twice", func(m *Memory) { m.update(); m.update() }) &&
	add("store within 1ms", (*Memory).storeSoon) &&
	add("load", (*Memory).load) &&
	add("load twice", func(m *Memory) { m.load(); m.load() }) &&
	add("update the twin", (*Memory).updateTwin) &&
	add("update the twin 3 times", func(m *Memory) { m.updateTwin(); m.updateTwin(); m.updateTwin() }) &&
	add("load the twin", (*Memory).loadTwin) &&
	add("load the twin twice", func(m *Memory) { m.loadTwin(); m.loadTwin() })

// update writes a value, over one that a dead writer has torn if need be.
func (m *Memory) update() {
	n := uint64(0)
	err := m.Pair.Update(context.Background(), func(v *pair) {
		oracle.Check(v[0] == v[1], "Update has read %d", *v)
		n = oracle.Number()
		*v = pair{n, n}
	})
	if errors.Is(err, seqlock.ErrWriterDead) {
		oracle.WriterDead()
		n = oracle.Unordered()
		err = m.Pair.Store(context.Background(), &pair{n, n})
	}
	oracle.Check(err == nil, "Store: %v", err)
	oracle.Stored(n, true)
}

func (m *Memory) storeSoon() {
	ctx, cancel := soon(1)
	defer cancel()
	n := oracle.Unordered()
	err := m.Pair.Store(ctx, &pair{n, n})
	oracle.Check(err == nil || errors.Is(err, context.DeadlineExceeded), "Store: %v", err)
	oracle.Stored(n, err == nil)
}

func (m *Memory) load() {
	latest, v := oracle.Latest(), pair{}
	err := m.Pair.Load(context.Background(), &v)
	if errors.Is(err, seqlock.ErrWriterDead) {
		oracle.WriterDead()
		return
	}
	oracle.Check(err == nil, "Load: %v", err)
	oracle.Loaded(v[:], latest)
}

func (m *Memory) updateTwin() {
	n := uint64(0)
	err := m.Twin.Update(context.Background(), func(v *pair) {
		oracle.Check(v[0] == v[1], "Update has read %d", *v)
		n = oracle.Number()
		*v = pair{n, n}
	})
	oracle.Check(err == nil, "Update: %v", err)
	oracle.Stored(n, true)
}

func (m *Memory) loadTwin() {
	latest, v := oracle.Latest(), pair{}
	m.Twin.Load(&v)
	oracle.Loaded(v[:], latest)
}
