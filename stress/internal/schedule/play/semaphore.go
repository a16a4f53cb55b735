package play

import (
	"context"
	"errors"

	"interlock/stress/internal/schedule/oracle"
)

var _ = add("acquire", (*Memory).acquire) &&
	add("acquire twice", func(m *Memory) { m.acquire(); m.acquire() }) &&
	add("acquire within 1ms", (*Memory).acquireSoon) &&
	add("try to acquire", (*Memory).tryAcquire)

func (m *Memory) acquire() { m.permit(context.Background()) }

func (m *Memory) acquireSoon() {
	ctx, cancel := soon(1)
	defer cancel()
	m.permit(ctx)
}

// permit takes a permit and gives it back.
func (m *Memory) permit(ctx context.Context) {
	oracle.Taking()
	err := m.Sem.Acquire(ctx)
	oracle.Taken(err == nil)
	if err != nil {
		oracle.Check(errors.Is(err, context.DeadlineExceeded), "Acquire: %v", err)
		return
	}
	m.giveBack()
}

func (m *Memory) tryAcquire() {
	oracle.Taking()
	got := m.Sem.TryAcquire()
	oracle.Taken(got)
	if got {
		m.giveBack()
	}
}

func (m *Memory) giveBack() {
	oracle.Giving()
	err := m.Sem.Release()
	oracle.Given()
	oracle.Check(err == nil, "Release: %v", err)
}
