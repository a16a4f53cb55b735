package bench

import (
	"fmt"
	"os"
	"slices"
	"time"

	"interlock/mutex"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/bench/work"
)

// contendBoard is what several processes quarrel about: struct board of
// testdata/contend.c.
type contendBoard struct {
	Mu      mutex.Mutex
	_       [24]byte
	Counter uint64 // in a line of its own, so that reading the lock's word does not move it
	_       [56]byte
}

// between is the number of operations between two looks at the clock.
const between = 64

func serveContend(c *work.Conn, _ []string) error {
	b, _, err := inherit[contendBoard]()
	if err != nil {
		return err
	}
	if err := c.Say("ready"); err != nil {
		return err
	}
	return c.Serve(func(o work.Order) (work.Answer, error) {
		if o.Mode == "timed" {
			return b.timed(o), nil
		}
		return b.count(o), nil
	})
}

func (b *contendBoard) count(o work.Order) (a work.Answer) {
	end := o.Await()
	begin := arena.Now()
	now := begin
	for now < end {
		for range between {
			b.Mu.Lock()
			b.Counter++
			b.Mu.Unlock()
		}
		a.Ops += between
		now = arena.Now()
	}
	a.Elapsed = time.Duration(now - begin)
	return a
}

// timed is count with a look at the clock before and after each Lock.
func (b *contendBoard) timed(o work.Order) work.Answer {
	end := o.Await()
	a := work.Answer{Waits: work.NewWaits()}
	begin := arena.Now()
	after := begin
	for after < end {
		before := arena.Now()
		b.Mu.Lock()
		after = arena.Now()
		b.Counter++
		b.Mu.Unlock()
		_ = a.Waits.RecordValue(min(after-before, int64(time.Minute)))
		a.Ops++
	}
	a.Elapsed = time.Duration(after - begin)
	return a
}

// quarrel is n processes, and what they count together.
type quarrel struct {
	board *contendBoard
	procs []*proc
	ops   uint64 // what they say they did
}

// starter starts n processes in a role: r.workers, or r.glibc.
type starter func(n int, role string, args []string, files ...*os.File) ([]*proc, error)

func (r *Rig) quarrel(n int, start starter) (*quarrel, error) {
	g, err := memory[contendBoard](r, 0)
	if err != nil {
		return nil, err
	}
	q := &quarrel{board: g.at}
	for i := range n {
		args := []string{"init"}
		if i > 0 {
			args = nil
		}
		p, err := one(start(1, "contend", args, g.file))
		if err != nil {
			return nil, err
		}
		if err := p.expect("ready"); err != nil {
			return nil, err
		}
		q.procs = append(q.procs, p)
	}
	return q, nil
}

func (q *quarrel) slice(d time.Duration, mode string) ([]work.Answer, error) {
	found, err := slice(q.procs, d, mode)
	for _, a := range found {
		q.ops += a.Ops
	}
	if err == nil && q.ops != q.board.Counter { // nobody works now
		err = fmt.Errorf("%w: %s: %d times locked, and counted to %d", work.ErrBroke, q.procs[0].name, q.ops, q.board.Counter)
	}
	return found, err
}

func (q *quarrel) rate(d time.Duration) (float64, error) {
	found, err := q.slice(d, "count")
	return total(found), err
}

func runContended(r *Rig) error {
	for _, n := range []int{2, 4, 8} {
		row := &Row{Name: fmt.Sprintf("%d processes", n), Unit: PerSecond, Against: againstGlibc, Reach: atLeast(2.5)}
		fair := &Row{Name: fmt.Sprintf("%d processes, Jain", n), Unit: Index, Against: againstGlibc, Reach: always(0.95)}
		ours, err := r.quarrel(n, r.workers)
		if err != nil {
			return err
		}
		c, err := r.quarrel(n, r.glibc)
		if err != nil {
			err = r.without(err, row, fair)
		} else {
			err = r.contend(row, fair, ours, c)
		}
		r.dismiss()
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Rig) contend(row, fair *Row, ours, c *quarrel) (err error) {
	if row.Ours, row.Peer, err = r.duel(ours.rate, c.rate); err != nil {
		return err
	}
	// How evenly all were served: over whole seconds, in a short run over less.
	second, some := max(r.Duration/time.Duration(r.Rounds), min(time.Second, r.Duration)), min(3, r.Rounds)
	columns, err := r.turns(some, second, []gauge{ours.fairness, c.fairness})
	if err != nil {
		return err
	}
	fair.Ours, fair.Peer = columns[0], columns[1]
	fair.note("least of %d times %v: %.3f, theirs %.3f", some, second, slices.Min(columns[0]), slices.Min(columns[1]))
	row.Notes, err = r.waits(ours, c)
	if err != nil {
		return err
	}
	if err := r.add(row); err != nil {
		return err
	}
	return r.add(fair)
}

func (q *quarrel) fairness(d time.Duration) (float64, error) {
	found, err := q.slice(d, "count")
	if err != nil {
		return 0, err
	}
	return jain(found), nil
}

// waits says how long one waited for the lock. It is not part of the throughput:
// looking at the clock costs as much as the lock.
func (r *Rig) waits(ours, c *quarrel) (notes []string, err error) {
	for i, q := range []*quarrel{ours, c} {
		all := work.NewWaits()
		for range min(3, r.Rounds) {
			found, err := q.slice(r.Duration/3, "timed")
			if err != nil {
				return nil, err
			}
			for _, a := range found {
				all.Merge(a.Waits)
			}
		}
		notes = append(notes, fmt.Sprintf("%s p99.9 %s, longest %s", []string{"wait", "theirs"}[i],
			Nanoseconds.format(float64(all.ValueAtQuantile(99.9))), Nanoseconds.format(float64(all.Max()))))
	}
	return notes, nil
}
