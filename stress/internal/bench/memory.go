package bench

import (
	"fmt"
	"os"
	"strings"

	"interlock/condvar"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/seqlock"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/bench/work"
	"interlock/stress/internal/procfs"
)

// serveMemory says what a process has of its own before and after its first Lock:
// bytes and threads.
func serveMemory(c *work.Conn, _ []string) error {
	b, _, err := inherit[deathBoard]()
	if err != nil {
		return err
	}
	for range 2 { // reading costs memory itself
		_, _ = privateBytes()
	}
	before, err := privateBytes()
	if err != nil {
		return err
	}
	threads := procfs.Count(os.Getpid())
	b.Mu.Lock()
	b.Mu.Unlock()
	more := procfs.Count(os.Getpid())
	after, err := privateBytes()
	if err != nil {
		return err
	}
	return c.Say("%d %d %d %d", before, after, threads, more)
}

// privateBytes is the memory of this process that it shares with nobody.
func privateBytes() (int64, error) {
	text, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0, err
	}
	sum := int64(0)
	for _, l := range strings.Split(string(text), "\n") {
		var kib int64
		if strings.HasPrefix(l, "Private_") {
			if _, err := fmt.Sscan(strings.Fields(l)[1], &kib); err != nil {
				return 0, err
			}
			sum += kib << 10
		}
	}
	return sum, nil
}

func runMemory(r *Rig) error {
	for _, x := range []struct {
		name    string
		ours    int
		against string
		theirs  int
	}{
		{"Mutex", arena.SizeOf[mutex.Mutex](), "pthread_mutex_t", 40},
		{"Semaphore", arena.SizeOf[semaphore.Semaphore](), "sem_t", 32},
		{"Cond", arena.SizeOf[condvar.Cond](), "pthread_cond_t", 48},
		{"Seqlock of 64 B", arena.SizeOf[seqlock.Seqlock[b64]](), "the value", 64},
		{"DoubleBuffer of 64 B", arena.SizeOf[seqlock.DoubleBuffer[b64]](), "two values", 128},
	} {
		row := &Row{Name: x.name, Unit: Size, Ours: []float64{float64(x.ours)}, Against: x.against, Peer: []float64{float64(x.theirs)}}
		if err := r.add(row); err != nil {
			return err
		}
	}
	private := &Row{Name: "private, after first Lock", Unit: Size, Against: "the same process before it"}
	threads := &Row{Name: "threads, after first Lock", Unit: Count, Against: "the same process before it"}
	for range max(3, r.Rounds) {
		g, err := memory[deathBoard](r, 0)
		if err != nil {
			return err
		}
		p, err := r.worker("memory", nil, g.file)
		if err != nil {
			return err
		}
		text, err := p.recv(0)
		if err != nil {
			return err
		}
		var before, after, few, more float64
		if _, err := fmt.Sscan(text, &before, &after, &few, &more); err != nil {
			return err
		}
		private.Ours, private.Peer = append(private.Ours, after), append(private.Peer, before)
		threads.Ours, threads.Peer = append(threads.Ours, more), append(threads.Peer, few)
		r.bury(p)
	}
	if err := r.add(private); err != nil {
		return err
	}
	return r.add(threads)
}
