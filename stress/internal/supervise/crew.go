package supervise

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/scenario"
)

// crew is the workers of a run: one hand per slot.
type crew struct {
	plan     *scenario.Plan
	arena    *arena.Arena
	launcher *launcher
	devnull  *os.File

	mu      sync.Mutex
	hands   []*hand
	absent  []time.Time // since when a slot has been seen without a worker that is ready
	closing bool        // nobody is replaced any more
	ending  bool        // all are killed: their deaths mean nothing
	unasked []string    // deaths that nobody asked for
	setup   []string    // what kept a worker from starting
	held    int         // kills of workers known to hold the lock
	deaths  *deaths     // those whose graves have been used again
	gone    chan struct{}
	alive   int
	journal *journal
	snared  []bool // slots for which a trap is set
	stops   int
	still   int // workers that are stopped now
	nailed  int // kills of stopped workers

	wills map[string]string // what those wrote who died unasked
}

// hand is one worker process.
type hand struct {
	slot   int
	gen    uint32
	proc   *os.Process
	stderr *os.File
	killed bool // by us
	still  bool // stopped by us
}

func newCrew(plan *scenario.Plan, a *arena.Arena) (*crew, error) {
	devnull, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &crew{
		plan: plan, arena: a, launcher: newLauncher(), devnull: devnull,
		hands: make([]*hand, a.Procs.Load()), absent: make([]time.Time, a.Procs.Load()), gone: make(chan struct{}, 1), deaths: newDeaths(),
		journal: newJournal(), snared: make([]bool, a.Procs.Load()), wills: map[string]string{},
	}, nil
}

// startAll fills every slot.
func (c *crew) startAll() error {
	for slot := range c.hands {
		if err := c.hire(slot, 1); err != nil {
			return err
		}
	}
	return nil
}

// hire starts a worker in an empty slot.
func (c *crew) hire(slot int, gen uint32) error {
	stderr, err := scratch()
	if err != nil {
		return err
	}
	files := []*os.File{c.devnull, c.devnull, stderr, c.arena.File()}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.ending {
		stderr.Close()
		return nil
	}
	proc, err := c.launcher.start(workerArgs(c.plan.Name, slot, gen), files)
	if err != nil {
		stderr.Close()
		return err
	}
	h := &hand{slot: slot, gen: gen, proc: proc, stderr: stderr}
	c.hands[slot] = h
	c.alive++
	go c.await(h)
	return nil
}

// await reaps a worker, settles what it left and fills its slot again.
func (c *crew) await(h *hand) {
	state, err := h.proc.Wait()
	c.mu.Lock()
	c.judge(h, state, err)
	c.rouse(h)
	slot := c.arena.Slot(h.slot)
	slot.PID.Store(0)
	if slot.State.Load() != arena.SlotLeft {
		slot.State.Store(arena.SlotEmpty)
	}
	slot.Trap.Store(0)
	slot.Trapped.Store(0)
	if c.plan.Settle != nil {
		c.plan.Settle(c.arena, h.slot)
	}
	for j := range int(c.arena.Lanes.Load()) {
		c.arena.Lane(h.slot, j).Label.Store(scenario.LabelIdle)
	}
	c.hands[h.slot] = nil
	c.alive--
	again := h.killed && !c.closing && !c.ending
	h.stderr.Close()
	c.mu.Unlock()
	if again {
		if err := c.hire(h.slot, h.gen+1); err != nil {
			c.mu.Lock()
			c.setup = append(c.setup, err.Error())
			c.mu.Unlock()
		}
	}
	select {
	case c.gone <- struct{}{}:
	default:
	}
}

// judge decides whether a death was asked for. c.mu is held.
func (c *crew) judge(h *hand, state *os.ProcessState, err error) {
	if err != nil {
		c.setup = append(c.setup, fmt.Sprintf("waiting for worker %d: %v", h.slot, err))
		return
	}
	status, _ := state.Sys().(syscall.WaitStatus)
	switch {
	case c.ending:
	case h.killed && status.Signaled() && status.Signal() == syscall.SIGKILL:
	case status.Exited() && status.ExitStatus() == 0 && c.arena.Slot(h.slot).State.Load() == arena.SlotLeft:
	case c.arena.Slot(h.slot).State.Load() == arena.SlotBroken:
		c.setup = append(c.setup, fmt.Sprintf("worker %d (pid %d): %s", h.slot, h.proc.Pid, strings.TrimSpace(tail(h.stderr, 2000))))
	default:
		c.wills[fmt.Sprintf("worker-%d-died.txt", h.slot)] = tail(h.stderr, 8<<20)
		c.journal.note("death  worker %d pid %d, unasked: %v", h.slot, h.proc.Pid, state)
		c.unasked = append(c.unasked, fmt.Sprintf("worker %d (pid %d) died unasked: %s\n%s",
			h.slot, h.proc.Pid, state, indent(excerpt(tail(h.stderr, 64<<10)))))
	}
}

// kill kills the worker of slot, if it is there, and writes down when and why.
func (c *crew) kill(slot int, held bool, why string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.isReady(slot) || c.closing || c.ending {
		return false // it is still starting; the next strike will find it
	}
	h := c.hands[slot]
	h.killed = true
	if held {
		c.held++
	}
	state := ""
	if h.still {
		c.nailed++
		state = " (stopped)"
	}
	c.bury(h.proc.Pid, held)
	_ = h.proc.Kill() // it can only have ended by itself, which judge sees
	c.journal.note("kill   worker %d pid %d%s %s", slot, h.proc.Pid, state, why)
	return true
}

// stop stops the worker of slot, unless it is stopped or not there. It is neither dead
// nor hung then.
func (c *crew) stop(slot int, why string) *hand {
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.hands[slot]
	if !c.isReady(slot) || h.still || c.closing || c.ending || h.proc.Signal(syscall.SIGSTOP) != nil {
		return nil
	}
	h.still = true
	c.still++
	c.stops++
	c.journal.note("stop   worker %d pid %d %s", slot, h.proc.Pid, why)
	return h
}

// resume has a worker go on that was stopped.
func (c *crew) resume(h *hand) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !h.still {
		return // killed meanwhile, and gone
	}
	c.rouse(h)
	_ = h.proc.Signal(syscall.SIGCONT) // it can only be a dead one that is not reaped yet
	c.journal.note("resume worker %d pid %d", h.slot, h.proc.Pid)
}

// rouse takes h from the stopped. c.mu is held.
func (c *crew) rouse(h *hand) {
	if h.still {
		h.still = false
		c.still--
	}
}

// bury writes down a kill, once what the grave to be used tells has been counted.
// c.mu is held.
func (c *crew) bury(pid int, held bool) {
	if n := int(c.arena.Kills.Load()); n >= arena.GraveCount {
		c.deaths.count(c.arena.Grave(n))
	}
	c.arena.Bury(pid, held)
}

// mourned is what all graves tell together.
func (c *crew) mourned() *deaths {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := c.deaths.clone()
	for i := range min(int(c.arena.Kills.Load()), arena.GraveCount) {
		all.count(c.arena.Grave(i))
	}
	return all
}

// expect writes down a kill that another worker is about to make.
func (c *crew) expect(slot int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.hands[slot]; h != nil && !h.killed {
		h.killed = true
		c.bury(h.proc.Pid, false)
		c.journal.note("kill   worker %d pid %d, by another worker, as the scenario wants it", slot, h.proc.Pid)
	}
}

// hand is the worker in slot, nil if there is none.
func (c *crew) hand(slot int) *hand {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hands[slot]
}

// pid is the process in slot, 0 if there is none.
func (c *crew) pid(slot int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.hands[slot]; h != nil {
		return h.proc.Pid
	}
	return 0
}

// ready says that slot has an attached worker that nobody has killed.
func (c *crew) ready(slot int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.isReady(slot)
}

func (c *crew) isReady(slot int) bool {
	h := c.hands[slot]
	s := c.arena.Slot(slot)
	return h != nil && !h.killed && s.Gen.Load() == h.gen && s.State.Load() == arena.SlotReady
}

func (c *crew) allReady() bool {
	for slot := range c.hands {
		if !c.ready(slot) {
			return false
		}
	}
	return true
}

// A machine with a CPU to spare replaces a worker in less than slowly, and any machine
// in less than tooSlowly; see autogroups for one that did not.
const (
	slowly    = 100 * time.Millisecond
	tooSlowly = 2 * time.Minute
)

// slow says whether the machine takes its time to end a worker that was killed, or to
// start another in its place, though not longer than it may, or whether somebody has
// been stopped: then nothing that others do not finish is a hang.
func (c *crew) slow() (yes bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing || c.ending {
		return false
	}
	yes = c.still > 0
	for slot := range c.hands {
		switch now := time.Now(); {
		case c.isReady(slot):
			c.absent[slot] = time.Time{}
		case c.absent[slot].IsZero():
			c.absent[slot] = now
		case now.Sub(c.absent[slot]) > slowly && now.Sub(c.absent[slot]) < tooSlowly:
			yes = true
		case now.Sub(c.absent[slot]) >= tooSlowly && len(c.setup) == 0:
			c.unended(c.hands[slot])
		}
	}
	return yes
}

// unended says that the kernel keeps a worker that was killed: then nobody can tell
// whether the others hang, or wait for that. c.mu is held.
func (c *crew) unended(h *hand) {
	if h != nil && h.killed {
		c.setup = append(c.setup, fmt.Sprintf("worker %d (pid %d) was killed more than %v ago, and the kernel has not ended it%s", h.slot, h.proc.Pid, tooSlowly, autogroups()))
	}
}

// autogroups is a hint where the kernel has them. On Linux 6.18, threads that could run,
// the kernel's own too, have been seen to wait for two minutes beside one that is busy in
// the kernel (docs/stress.md, "A kernel that lets threads wait"); without autogroups not.
func autogroups() string {
	const file = "/proc/sys/kernel/sched_autogroup_enabled"
	if b, _ := os.ReadFile(file); strings.TrimSpace(string(b)) != "1" {
		return ""
	}
	return "; dmesg may know why, and 0 in " + file + " may help"
}

// close stops replacing: from now on who leaves has left.
func (c *crew) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
}

// left is the number of workers still there.
func (c *crew) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.alive
}

// trouble says whether a worker died unasked or could not start.
func (c *crew) trouble() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.unasked)+len(c.setup) > 0
}

// end kills whoever is left, waits for all of them and frees everything.
func (c *crew) end() {
	c.mu.Lock()
	c.ending = true
	for _, h := range c.hands {
		if h != nil {
			_ = h.proc.Kill()
		}
	}
	c.mu.Unlock()
	for c.left() > 0 {
		<-c.gone
	}
	c.launcher.close()
	c.devnull.Close()
}
