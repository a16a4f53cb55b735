package bench

import (
	"fmt"
	"strconv"
	"time"

	"interlock/mutex"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/bench/work"
	"interlock/stress/internal/procfs"
)

// deathBoard is the lock whose holder is killed: struct death of testdata/death.c.
type deathBoard struct {
	Mu mutex.Mutex
	_  [24]byte
}

// serveHold locks when it is told to, and waits to be killed.
func serveHold(c *work.Conn, _ []string) error {
	b, _, err := inherit[deathBoard]()
	if err != nil {
		return err
	}
	if err := c.Say("ready"); err != nil {
		return err
	}
	for {
		if _, err := c.Recv(); err != nil {
			return err
		}
		b.Mu.Lock()
		if err := c.Say("held"); err != nil {
			return err
		}
	}
}

// serveRecover waits for the lock whenever it is told to, repairs, and says when it
// had it.
func serveRecover(c *work.Conn, _ []string) error {
	b, _, err := inherit[deathBoard]()
	if err != nil {
		return err
	}
	died := 0
	b.Mu.OnOwnerDeath(func(pid int) error { died = pid; return nil })
	if err := c.Say("ready"); err != nil {
		return err
	}
	for {
		if _, err := c.Recv(); err != nil {
			return nil // no more
		}
		died = 0
		b.Mu.Lock()
		at := arena.Now()
		b.Mu.Unlock()
		if died == 0 {
			return fmt.Errorf("%w: locked, and no owner had died", work.ErrBroke)
		}
		if err := c.Say("%d", at); err != nil {
			return err
		}
	}
}

// undertaker kills holders beside one waiter.
type undertaker struct {
	r      *Rig
	holder starter
	ground *ground[deathBoard]
	waiter *proc
	took   []float64 // ns from kill(2) to the lock
}

func (r *Rig) undertaker(holder, waiter starter) (*undertaker, error) {
	g, err := memory[deathBoard](r, 0)
	if err != nil {
		return nil, err
	}
	if err := g.at.Mu.Init(); err != nil { // for C
		return nil, err
	}
	w, err := one(waiter(1, "recover", nil, g.file))
	if err != nil {
		return nil, err
	}
	return &undertaker{r: r, holder: holder, ground: g, waiter: w}, w.expect("ready")
}

// waiting is the bit of the lock's word that says that somebody waits, the same for
// both kinds: see mutex/word.go.
const waiting = 1 << 31

// kill has a holder killed while the waiter sleeps.
func (u *undertaker) kill() (ns float64, err error) {
	holder, err := one(u.holder(1, "hold", nil, u.ground.file))
	if err != nil {
		return 0, err
	}
	if err := holder.expect("ready"); err != nil {
		return 0, err
	}
	if err := holder.say("lock", "held"); err != nil {
		return 0, err
	}
	if err := u.waiter.send("wait"); err != nil {
		return 0, err
	}
	if err := u.asleep(); err != nil {
		return 0, err
	}
	at := arena.Now()
	holder.kill()
	text, err := u.waiter.recv(0)
	if err != nil {
		return 0, err
	}
	had, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, err
	}
	u.r.bury(holder)
	return float64(had - at), nil
}

// asleep returns once the waiter sleeps for the lock. Nothing tells when it does.
func (u *undertaker) asleep() error {
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(20 * time.Microsecond) {
		if arena.Word(&u.ground.at.Mu, 0)&waiting != 0 && procfs.Asleep(u.waiter.pid()) {
			return nil
		}
	}
	return fmt.Errorf("%s: it does not go to sleep: %w", u.waiter.name, errHang)
}

// some kills a few, and returns the median.
func (u *undertaker) some(n int) (float64, error) {
	var few []float64
	for range n {
		if err := u.r.ctx.Err(); err != nil {
			return 0, err
		}
		ns, err := u.kill()
		if err != nil {
			return 0, err
		}
		few = append(few, ns)
	}
	u.took = append(u.took, few...)
	return median(few), nil
}

// tail says what the median hides.
func (u *undertaker) tail() string {
	text := fmt.Sprintf("p99 %s", Nanoseconds.format(quantile(u.took, 0.99)))
	if len(u.took) >= 1000 {
		text += fmt.Sprintf(", p99.9 %s", Nanoseconds.format(quantile(u.took, 0.999)))
	}
	return fmt.Sprintf("%s, longest %s of %d kills", text, Nanoseconds.format(quantile(u.took, 1)), len(u.took))
}

// runRecovery also lets processes of the two kinds die beside each other, on the same
// mutex: that tells the time it takes to die from the time it takes to recover.
func runRecovery(r *Rig) error {
	row := &Row{Name: "kill to locked again", Unit: Nanoseconds, Against: againstGlibc, Reach: atMost(2)}
	goDies := &Row{Name: "the dead of Go, the heir of C", Unit: Nanoseconds, Against: againstGlibc}
	cDies := &Row{Name: "the dead of C, the heir of Go", Unit: Nanoseconds, Against: againstGlibc}
	var tolls []*undertaker
	var gauges []gauge
	each := (r.Kills + r.Rounds - 1) / r.Rounds
	for _, pair := range [][2]starter{{r.workers, r.workers}, {r.glibc, r.glibc}, {r.workers, r.glibc}, {r.glibc, r.workers}} {
		u, err := r.undertaker(pair[0], pair[1])
		if err != nil {
			return r.without(err, row, goDies, cDies)
		}
		tolls = append(tolls, u)
		gauges = append(gauges, func(time.Duration) (float64, error) { return u.some(each) })
	}
	columns, err := r.turns(r.Rounds, 0, gauges)
	if err != nil {
		return err
	}
	row.note("%s", tolls[0].tail())
	row.note("theirs: %s", tolls[1].tail())
	for i, row := range []*Row{row, goDies, cDies} {
		row.Ours, row.Peer = columns[[]int{0, 2, 3}[i]], columns[1]
		if err := r.add(row); err != nil {
			return err
		}
	}
	return nil
}
