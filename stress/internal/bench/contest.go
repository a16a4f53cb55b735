package bench

import (
	"slices"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/bench/work"
)

// notice is how long before a slice its orders are sent: enough for several
// processes to wake up on few CPUs.
const notice = 3 * time.Millisecond

func soon() int64 { return arena.Now() + int64(notice) }

// A gauge measures one subject for one slice.
type gauge func(d time.Duration) (float64, error)

// contest lets the subjects take turns, A B C, C B A, …: each works for as long as
// the run's duration says, cut into short slices, so that whatever changes about
// the machine changes for all. It returns a column of figures for each.
func (r *Rig) contest(subjects ...gauge) ([][]float64, error) {
	return r.turns(r.Rounds, r.Duration/time.Duration(r.Rounds), subjects)
}

// duel is contest between two.
func (r *Rig) duel(ours, peer gauge) (our, their []float64, err error) {
	columns, err := r.contest(ours, peer)
	if err != nil {
		return nil, nil, err
	}
	return columns[0], columns[1], nil
}

// compare is a duel that makes a row.
func (r *Rig) compare(row *Row, ours, peer gauge) (err error) {
	if row.Ours, row.Peer, err = r.duel(ours, peer); err != nil {
		return err
	}
	return r.add(row)
}

func (r *Rig) turns(rounds int, d time.Duration, subjects []gauge) ([][]float64, error) {
	columns := make([][]float64, len(subjects))
	order := make([]int, len(subjects))
	for i := range order {
		order[i] = i
	}
	for range rounds {
		for _, i := range order {
			if err := r.ctx.Err(); err != nil {
				return nil, err
			}
			x, err := subjects[i](d)
			if err != nil {
				return nil, err
			}
			columns[i] = append(columns[i], x)
		}
		slices.Reverse(order)
	}
	return columns, nil
}

// best is the cost of an operation in the fastest batch of a slice, measured by the
// last of the processes; the others do as it wants.
func best(mode string, procs ...*proc) gauge {
	return func(d time.Duration) (float64, error) {
		found, err := slice(procs, d, mode)
		if err != nil {
			return 0, err
		}
		return found[len(found)-1].Best, nil
	}
}

// middle is the same in the median batch.
func middle(mode string, procs ...*proc) gauge {
	return func(d time.Duration) (float64, error) {
		found, err := slice(procs, d, mode)
		if err != nil {
			return 0, err
		}
		return found[len(found)-1].Middle, nil
	}
}

// rate is the operations per second of all processes together.
func rate(mode string, procs ...*proc) gauge {
	return func(d time.Duration) (float64, error) {
		found, err := slice(procs, d, mode)
		if err != nil {
			return 0, err
		}
		return total(found), nil
	}
}

func total(found []work.Answer) (perSecond float64) {
	for _, a := range found {
		if a.Ops > 0 {
			perSecond += float64(a.Ops) / a.Elapsed.Seconds()
		}
	}
	return perSecond
}

// jain is Jain's index of fairness: 1 if all got the same, 1/n if one got all.
func jain(found []work.Answer) float64 {
	var sum, squares float64
	for _, a := range found {
		sum += float64(a.Ops)
		squares += float64(a.Ops) * float64(a.Ops)
	}
	return sum * sum / (float64(len(found)) * squares)
}
