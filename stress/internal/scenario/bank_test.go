package scenario

import (
	"fmt"
	"testing"

	"interlock/stress/internal/arena"
)

// dyingTransfer moves 30 from account 2 to account 5, but only the first n of its stores
// happen: then process 7, lane 0 of worker 0, is dead.
func dyingTransfer(a *arena.Arena, n int) {
	b, rec := bankOf(a), &a.Lane(0, 0).Rec
	from, to := &b.Accounts[2], &b.Accounts[5]
	rec[recDeals].Store(4)
	for _, c := range []*account{from, to} {
		c.Deal.Store(4)
		c.Canary.Store(7<<32 | 1)
	}
	a.Bury(7, true)
	steps := []func(){
		func() { from.noteIn(rec[recFrom:], 2); to.noteIn(rec[recTo:], 5); rec[recMoved].Store(30) },
		func() { rec[recWasDone].Store(rec[recDone].Load()) },
		func() { rec[recDeal].Store(dealPlanned) },
		func() { from.Balance -= 30 },
		func() { from.Turns++ },
		func() { rec[recDeal].Store(dealDecided) },
		func() { to.Balance += 30 },
		func() { to.Turns++ },
		func() { rec[recDone].Store(rec[recWasDone].Load() + 1) },
		func() { rec[recDeal].Store(dealNone) },
	}
	for _, step := range steps[:n] {
		step()
	}
}

const bankDecidedAt, bankStores = 6, 10

// From every point, and in either order of the accounts, a transfer is undone or completed
// as a whole: also if one of the two has long been used by others when the second repair
// comes, and if the repairs and what the successor does are done twice.
func TestBankRepairFromEveryPoint(t *testing.T) {
	p := bankPlan()
	for killAt := range bankStores + 1 {
		for _, order := range [][]int{{2, 5}, {5, 2}} {
			a := newArena(t, p, 3, 1)
			dyingTransfer(a, killAt)
			b, other := bankOf(a), NewWorker(a, 1, 1)
			for _, i := range order {
				for range 2 {
					if err := b.repair(other, i, 7); err != nil {
						t.Fatal(err)
					}
				}
				transferBy(other.Lane(0), b, i, 9, 10)
			}
			l := dyingSuccessor(t, a, other, order)
			for range 2 {
				if l.Rec[recDeal].Load() != dealNone {
					b.settle(l)
				}
			}
			where := fmt.Sprintf("killed after %d stores, repaired %v", killAt, order)
			if faults := append(check(p, a), a.FaultTexts()...); len(faults) > 0 {
				t.Errorf("%s: %q", where, faults)
			}
			moved := uint64(0)
			if killAt >= bankDecidedAt {
				moved = 30
			}
			if from, to := b.Accounts[2].Balance, b.Accounts[5].Balance; from != openedWith-10-moved || to != openedWith-10+moved {
				t.Errorf("%s: %d and %d, want %d moved", where, from, to, moved)
			}
		}
	}
}

// dyingSuccessor comes in the place of the dead and dies, too, on each account that it
// comes by to close the record; and returns the next one's lane.
func dyingSuccessor(t *testing.T, a *arena.Arena, heir *Worker, order []int) *Lane {
	l := NewWorker(a, 0, 2).Lane(0)
	a.Slot(0).PID.Store(8)
	a.Bury(8, true)
	for _, i := range order {
		bankOf(a).Accounts[i].arrived(l, 0)
		if err := bankOf(a).repair(heir, i, 8); err != nil {
			t.Fatal(err)
		}
	}
	return NewWorker(a, 0, 3).Lane(0)
}

// transferBy has l move an amount, holding both accounts.
func transferBy(l *Lane, b *bankArea, from, to int, amount uint64) {
	for _, i := range []int{from, to} {
		b.Accounts[i].Mu.Lock()
		b.Accounts[i].arrived(l, l.Rec[recDeals].Load()+1)
	}
	l.Rec[recDeals].Add(1)
	b.move(l, from, to, amount)
	for _, i := range []int{from, to} {
		b.Accounts[i].goes(l)
	}
}

// Money or a transfer that is lost, and one who is still inside, are seen; and no transfer
// overdraws an account.
func TestBankCheckSees(t *testing.T) {
	p := bankPlan()
	for name, harm := range map[string]func(b *bankArea, a *arena.Arena){
		"a debit without a credit": func(b *bankArea, a *arena.Arena) { b.Accounts[3].Balance-- },
		"a transfer not counted":   func(b *bankArea, a *arena.Arena) { b.Accounts[1].Turns -= 1 },
		"a transfer undone":        func(b *bankArea, a *arena.Arena) { a.Lane(0, 0).Rec[recDone].Add(1) },
		"one inside":               func(b *bankArea, a *arena.Arena) { b.Accounts[0].Canary.Store(1) },
	} {
		a := newArena(t, p, 1, 1)
		l := NewWorker(a, 0, 1).Lane(0)
		transferBy(l, bankOf(a), 1, 2, openedWith)
		transferBy(l, bankOf(a), 1, 2, 1)
		if faults := check(p, a); len(faults) > 0 || bankOf(a).Accounts[2].Balance != 2*openedWith {
			t.Fatalf("before any harm: %d %q", bankOf(a).Accounts[2].Balance, faults)
		}
		harm(bankOf(a), a)
		if faults := check(p, a); len(faults) == 0 {
			t.Errorf("%s: not seen", name)
		}
	}
}

// An audit that does not find the sum is a fault.
func TestBankAuditSees(t *testing.T) {
	a := newArena(t, bankPlan(), 1, 1)
	b, l := bankOf(a), NewWorker(a, 0, 1).Lane(0)
	if b.audit(l); a.Faults.Load() != 0 {
		t.Fatalf("%q", a.FaultTexts())
	}
	b.Accounts[7].Balance += 2
	if b.audit(l); a.Faults.Load() != 1 || b.Audits.Load() != 2 {
		t.Errorf("not seen: %q", a.FaultTexts())
	}
}
