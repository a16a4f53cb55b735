package scenario

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"interlock/mutex"
	"interlock/stress/internal/arena"
)

// bankArea is accounts, each with a mutex of its own. A transfer holds two of them.
//
// Who makes one writes it down first, in the record of its lane. Killed before it is
// decided it is undone, after that it is completed: on each of the two accounts by whoever
// comes to that one next, who needs the other for nothing. So the record has to stay as it
// is until both are put right; the worker that comes in the place of the dead sees to that
// before it makes a transfer of its own.
type bankArea struct {
	Accounts  [accounts]account
	Audits    atomic.Uint64 // that came to their end
	Undone    atomic.Uint64 // accounts on which a repair undid a transfer
	Completed atomic.Uint64 // and on which it completed one
	Stepped   atomic.Uint64 // transfers that gave the first account back, for want of the second
}

// account is one account: how much is on it, and how often that has changed.
type account struct {
	Mu mutex.Mutex
	insider
	Deal    atomic.Uint64 // the number of the transfer for which its lane is inside; 0: it only looks
	Balance uint64        // plain: only the lock makes them right
	Turns   uint64
	Repairs atomic.Uint64
	_       [48]byte
}

const (
	accounts   = 16
	openedWith = 1000 // on each account
	mostMoved  = 200  // by one transfer
	auditEach  = 64   // operations
)

// A lane's record: see recDone, which counts the transfers that were decided.
const (
	recDeals   = 1 + iota // the number of the latest transfer
	recDeal               // how far that has come
	recWasDone            // recDone before it
	recMoved              // how much it moves
	recFrom               // the account, its balance and its turns before
	recTo      = recFrom + 3
)

// How far a transfer has come, in recDeal.
const (
	dealNone    uint64 = iota
	dealPlanned        // to be undone
	dealDecided        // to be completed
)

// Labels of the bank; whoever is there has one account at least.
const (
	labelOneAccount = LabelOwn + iota
	labelPlanned
	labelDebited
	labelDecided
	labelCredited
	labelAuditing
	labelBankRepair
	labelSettling
)

func bankPlan() *Plan {
	held := []uint32{labelOneAccount, labelPlanned, labelDebited, labelDecided, labelCredited, labelAuditing}
	return &Plan{
		Name:      "bank",
		Unvisited: true,
		About:     "transfers between accounts with a mutex each; killed in the middle they are undone or completed, the sum is exact",
		Labels:    []string{"one account", "planned", "debited", "decided", "credited", "auditing", "repairing", "settling"},
		Duration:  time.Second,
		Shape:     Shape{Procs: 4, Lanes: 4},
		Least:     Shape{Procs: 1, Lanes: 1},
		Traps:     append([]uint32{labelBankRepair}, held...),
		Held:      held,
		Marks:     []string{"E-M"},
		Area:      func(procs, lanes int) int { return arena.SizeOf[bankArea]() },
		Setup: func(a *arena.Arena) {
			for i := range bankOf(a).Accounts {
				bankOf(a).Accounts[i].Balance = openedWith
			}
		},
		Attach: func(w *Worker) (Body, error) {
			b := bankOf(w.Arena)
			for i := range b.Accounts {
				b.Accounts[i].Mu.OnOwnerDeath(func(pid int) error { return b.repair(w, i, pid) })
			}
			return Body{Step: b.step}, nil
		},
		Conduct: conductBank,
		Check:   func(a *arena.Arena, f *Findings) { bankOf(a).check(a, f) },
		Words:   func(a *arena.Arena) []Word { return bankOf(a).words() },
	}
}

func bankOf(a *arena.Arena) *bankArea { return arena.At[bankArea](a.Scenario(), 0) }

// step is a transfer or an audit, but first what the lane's predecessor left.
func (b *bankArea) step(l *Lane) (err error) {
	l.Label.Store(LabelWaiting)
	switch {
	case l.Rec[recDeal].Load() != dealNone:
		b.settle(l)
	case l.Rand.Uint32N(auditEach) == 0:
		b.audit(l)
	default:
		err = b.transfer(l)
	}
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
	return err
}

// transfer moves an amount from one account to another. It locks the one with the lower
// number first, so no two transfers wait for each other; or either one, and then does not
// wait for the second.
func (b *bankArea) transfer(l *Lane) error {
	from := l.Rand.IntN(accounts)
	to := (from + 1 + l.Rand.IntN(accounts-1)) % accounts
	first, second, take := min(from, to), max(from, to), acquire
	if l.Rand.Uint32N(8) == 0 {
		first, second, take = from, to, tryOnce
	}
	number := l.Rec[recDeals].Add(1)
	begin := l.Begin()
	if ok, err := b.come(l, first, number, acquire); !ok {
		return err
	}
	l.Reach(labelOneAccount)
	if ok, err := b.come(l, second, number, take); !ok {
		b.Stepped.Add(1)
		b.Accounts[first].goes(l)
		return err
	}
	begin = l.Took(arena.Wait, begin)
	b.move(l, from, to, 1+l.Rand.Uint64N(mostMoved))
	l.Label.Store(LabelGiving)
	b.Accounts[second].goes(l)
	b.Accounts[first].goes(l)
	l.Took(arena.Hold, begin)
	return nil
}

// errRefused is a TryLock that did not get it.
var errRefused = errors.New("refused")

func tryOnce(mu *mutex.Mutex, _ *Lane) error {
	if !mu.TryLock() {
		return errRefused
	}
	return nil
}

// come locks an account and says so on it. Not to get it is no error.
func (b *bankArea) come(l *Lane, i int, number uint64, take func(*mutex.Mutex, *Lane) error) (ok bool, err error) {
	err = take(&b.Accounts[i].Mu, l)
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, errRefused) {
		l.Errors.Add(1)
		return false, nil
	}
	if err == nil {
		b.Accounts[i].arrived(l, number)
	}
	return err == nil, err
}

// arrived says on an account who is inside, and what for: that first, so that a name never
// stands beside what another one came for.
func (c *account) arrived(l *Lane, number uint64) {
	c.Deal.Store(number)
	c.enter(l, "an account")
}

func (c *account) goes(l *Lane) {
	c.leave(l, "an account")
	c.Mu.Unlock()
}

// move is what a transfer does with both accounts locked: nothing, if there is not enough.
func (b *bankArea) move(l *Lane, from, to int, amount uint64) {
	f, t, rec := &b.Accounts[from], &b.Accounts[to], &l.Rec
	if f.Balance < amount {
		return
	}
	f.noteIn(rec[recFrom:], from)
	t.noteIn(rec[recTo:], to)
	rec[recMoved].Store(amount)
	rec[recWasDone].Store(rec[recDone].Load())
	rec[recDeal].Store(dealPlanned)
	l.Reach(labelPlanned)
	f.Balance -= amount
	f.Turns++
	l.Reach(labelDebited)
	if pause := l.sometimes(); pause != nil {
		pause()
	}
	rec[recDeal].Store(dealDecided)
	l.Reach(labelDecided)
	t.Balance += amount
	t.Turns++
	l.Reach(labelCredited)
	finish(l.Lane)
}

// noteIn notes an account as it is before a transfer.
func (c *account) noteIn(rec []atomic.Uint64, i int) {
	rec[0].Store(uint64(i))
	rec[1].Store(c.Balance)
	rec[2].Store(c.Turns)
}

// finish closes the record of a transfer that is decided, on both accounts.
func finish(lane *arena.Lane) {
	lane.Rec[recDone].Store(lane.Rec[recWasDone].Load() + 1)
	lane.Rec[recDeal].Store(dealNone)
}

// repair puts right the account of one who died inside. It may itself be killed at any
// point: then the next one finds the same, or what is left of it.
func (b *bankArea) repair(w *Worker, i, pid int) error {
	c := &b.Accounts[i]
	if inside := int(c.Canary.Load() >> 32); !mourn(w, pid, inside) {
		w.Arena.Fault(w.Index, "bank: a repair of account %d was called for process %d (%d inside), which nobody killed", i, pid, inside)
	}
	w.Lane(0).Reach(labelBankRepair)
	b.redo(w.Arena, i)
	return nil
}

// redo undoes or completes on account i what the one inside was about to do.
func (b *bankArea) redo(a *arena.Arena, i int) {
	c := &b.Accounts[i]
	if name := uint32(c.Canary.Load()); name != 0 {
		lane := a.LaneByID(int(name) - 1)
		if deal := lane.Rec[recDeal].Load(); deal != dealNone && c.Deal.Load() == lane.Rec[recDeals].Load() {
			b.putRight(lane.Rec[:], c, i)
		}
	}
	c.Repairs.Add(1)
	c.Canary.Store(0)
}

// putRight has account i be as it was before the transfer in rec, or as it has to be after it.
func (b *bankArea) putRight(rec []atomic.Uint64, c *account, i int) {
	at, moved := recFrom, -rec[recMoved].Load()
	if rec[recTo].Load() == uint64(i) {
		at, moved = recTo, rec[recMoved].Load()
	}
	balance, turns := rec[at+1].Load(), rec[at+2].Load()
	if rec[recDeal].Load() == dealDecided {
		balance, turns = balance+moved, turns+1
		b.Completed.Add(1)
	} else {
		b.Undone.Add(1)
	}
	c.Balance, c.Turns = balance, turns
}

// settle closes the record of a dead predecessor. To come by both accounts is enough: who
// finds one an orphan puts it right.
func (b *bankArea) settle(l *Lane) {
	for _, at := range []int{recFrom, recTo} {
		c := &b.Accounts[l.Rec[at].Load()]
		c.Mu.Lock()
		c.arrived(l, 0)
		l.Reach(labelSettling)
		c.goes(l)
	}
	if l.Rec[recDeal].Load() == dealDecided {
		finish(l.Lane)
	}
	l.Rec[recDeal].Store(dealNone)
}

// audit adds up all accounts, and holds all of them for that.
func (b *bankArea) audit(l *Lane) {
	var sum uint64
	for i := range b.Accounts {
		c := &b.Accounts[i]
		c.Mu.Lock()
		c.arrived(l, 0)
		sum += c.Balance
	}
	l.Reach(labelAuditing)
	if sum != accounts*openedWith {
		l.Fault("bank: lane %d holds all accounts, and there is %d on them, not %d", l.ID, sum, accounts*openedWith)
	}
	for i := range b.Accounts {
		b.Accounts[i].goes(l)
	}
	b.Audits.Add(1)
}

// conductBank sees to it that at the end nothing is left of the dead: an audit comes to
// every account, and the first step of a lane closes the record of the one before.
func conductBank(st Stage) {
	for st.Sleep(10 * time.Millisecond) {
	}
	quiesce(st, &bankOf(st.Arena()).Audits)
}

func (b *bankArea) words() (words []Word) {
	for i := range b.Accounts {
		c := &b.Accounts[i]
		if who, word := c.Canary.Load(), arena.Word(&c.Mu, 0); who != 0 || word != 0 {
			words = append(words, Word{fmt.Sprintf("account %d", i),
				fmt.Sprintf("mutex word %s, inside pid %d lane %d", lockWord(word), who>>32, int(uint32(who))-1)})
		}
	}
	return words
}

func (b *bankArea) check(a *arena.Arena, f *Findings) {
	var sum, turns, repairs uint64
	for i := range b.Accounts {
		c := &b.Accounts[i]
		sum, turns, repairs = sum+c.Balance, turns+c.Turns, repairs+c.Repairs.Load()
		if pid, held := c.Mu.Owner(); held || c.Canary.Load() != 0 {
			f.Faults = append(f.Faults, fmt.Sprintf("bank: all have left, but account %d is held by %d, or %d is inside", i, pid, c.Canary.Load()>>32))
		}
	}
	if sum != accounts*openedWith {
		f.Faults = append(f.Faults, fmt.Sprintf("bank: there is %d on all accounts, not %d", sum, accounts*openedWith))
	}
	if want := 2 * a.Sum(recDone); turns != want {
		f.Faults = append(f.Faults, fmt.Sprintf("bank: the accounts have changed %d times, not the %d of %d transfers", turns, want, want/2))
	}
	f.Notes = append(f.Notes, fmt.Sprintf("sum %d audits %d undone %d completed %d stepped back %d",
		sum, b.Audits.Load(), b.Undone.Load(), b.Completed.Load(), b.Stepped.Load()))
	f.Metric("transfers", float64(a.Sum(recDone)))
	f.Metric("repairs", float64(repairs))
}
