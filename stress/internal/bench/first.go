package bench

import (
	"fmt"
	"os"
	"time"

	"interlock/shm"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/bench/work"
	"interlock/stress/internal/leftover"
)

// serveFirst opens named memory and takes a lock in it, in a process that has done
// neither before: the guardian starts. It says how long that took, and ends.
func serveFirst(c *work.Conn, args []string) error {
	begin := arena.Now()
	seg, err := shm.Open(args[0])
	if err != nil {
		return err
	}
	b, err := shm.At[deathBoard](seg.Bytes(), 0)
	if err != nil {
		return err
	}
	open := arena.Now()
	b.Mu.Lock()
	end := arena.Now()
	b.Mu.Unlock()
	return c.Say("%d %d", end-begin, open-begin)
}

// starts is a gauge that starts a few processes, one after the other, and returns
// the median of what they say: the time for all, and then the time for a part.
func (r *Rig) starts(n int, start starter, name string, parts *[]float64) gauge {
	return func(time.Duration) (float64, error) {
		var all []float64
		for range n {
			p, err := one(start(1, "first", []string{name}))
			if err != nil {
				return 0, err
			}
			text, err := p.recv(0)
			if err != nil {
				return 0, err
			}
			var ns, part float64
			if _, err := fmt.Sscan(text+" 0", &ns, &part); err != nil {
				return 0, err
			}
			all, *parts = append(all, ns), append(*parts, part)
			r.bury(p)
		}
		return median(all), r.ctx.Err()
	}
}

func runOpen(r *Rig) error {
	row := &Row{Name: "Open and first Lock", Unit: Nanoseconds, Reach: below(150e3)}
	name := leftover.SegmentName(os.Getpid(), leftover.StartTime(os.Getpid()), 0)
	seg, err := shm.Create(name, int64(arena.SizeOf[deathBoard]()))
	if err != nil {
		return err
	}
	r.later(func() { _ = seg.Close(); _ = shm.Remove(name) })
	b, err := shm.At[deathBoard](seg.Bytes(), 0)
	if err != nil {
		return err
	}
	if err := b.Mu.Init(); err != nil { // for C
		return err
	}
	each := (r.Starts + r.Rounds - 1) / r.Rounds
	var opening, none []float64
	gauges := []gauge{r.starts(each, r.workers, name, &opening)}
	if _, err := r.tools.glibc(); err == nil {
		row.Against = "shm_open, mmap, lock in C"
		gauges = append(gauges, r.starts(each, r.glibc, "/"+name, &none))
	}
	columns, err := r.turns(r.Rounds, 0, gauges)
	if err != nil {
		return err
	}
	row.note("%d fresh processes each, the guardian included; %s of it to open", each*r.Rounds, Nanoseconds.format(median(opening)))
	if row.Ours = columns[0]; len(columns) > 1 {
		row.Peer = columns[1]
	}
	return r.add(row)
}
