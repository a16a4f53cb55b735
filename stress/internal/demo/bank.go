package demo

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"interlock/mutex"
	"interlock/stress/internal/inspect"
)

// accounts are two, with a mutex each.
type accounts struct {
	Lock    [2]mutex.Mutex
	Balance [2]int64
	Done    [2]atomic.Int64 // transfers
}

const transfers = 100_000 // by each process

var bank = &Demo{
	Name:  "bank",
	Title: "two transfers that wait for each other",
	Story: `Two accounts, each with a mutex. A transfer locks the account that pays, then the one that is paid. A moves money from
account 0 to account 1, B from 1 to 0, a hundred thousand times each.`,
	Quiz: Quiz{
		Question: "What is the balance of both together when they have ended?",
		Choices:  []string{"as before", "less, or more", "they do not end"},
		Right:    2,
		Because:  "Each holds what the other wants.",
	},
	Broken: Version{Name: "payer first", Shows: []string{"transferPayerFirst"}},
	Fixes:  []Version{{Name: "lower number first", Shows: []string{"transferInOrder"}, About: "All lock in the same order, whoever pays: a circle cannot close."}},
	Op:     "transfer",
	Schedule: Schedule{
		Columns: []string{"A pays from 0", "B pays from 1", "lock 0", "lock 1"},
		Rows: [][]string{
			{"locks 0", "", "A", ""},
			{"", "locks 1", "A", "B"},
			{"wants 1: sleeps", "", "A", "B"},
			{"", "wants 0: sleeps", "A", "B"},
		},
	},
	Why: `Each mutex does what it should; it is their order that closes the circle. No lock can find that out by itself, and a timeout
only turns it into a failure that comes now and then. Give all locks an order, and take them in it; or take one lock for both.`,
	Use: `One order for all locks, written down where they are declared. When it has happened: stress inspect finds the circle, with the
pids, and says whom to kill; with OnOwnerDeath the others then go on.`,
	roles: roles{"pay": pay},
	try:   tryBank,
}

func transferPayerFirst(s *accounts, from, to, i int) {
	first, second := from, to
	s.Lock[first].Lock()
	window(i) // on one CPU: sched_yield, every 64th time
	s.Lock[second].Lock()
	s.Balance[from]--
	s.Balance[to]++
	s.Lock[second].Unlock()
	s.Lock[first].Unlock()
}

func transferInOrder(s *accounts, from, to, i int) {
	first, second := min(from, to), max(from, to)
	s.Lock[first].Lock()
	window(i) // on one CPU: sched_yield, every 64th time
	s.Lock[second].Lock()
	s.Balance[from]--
	s.Balance[to]++
	s.Lock[second].Unlock()
	s.Lock[first].Unlock()
}

func pay(a *Actor) error {
	s := see[accounts](a)
	f := transferPayerFirst
	if a.version == "lower number first" {
		f = transferInOrder
	}
	a.timed(transfers, func() {
		for i := range transfers {
			f(s, a.me, 1-a.me, i)
			s.Done[a.me].Add(1)
		}
	})
	return nil
}

func tryBank(st *Stage) (*Result, error) {
	s := at[accounts](st)
	s.Balance = [2]int64{transfers, transfers}
	if err := st.cast("pay", "pay"); err != nil {
		return nil, err
	}
	var circle []string
	last := int64(-1)
	err := st.until("both have ended, or wait for each other", func() bool {
		done := s.Done[0].Load() + s.Done[1].Load()
		if done == last { // it seems to stand still: then inspect knows
			circle = st.circle()
		}
		last = done
		return circle != nil || st.procs[0].gone() && st.procs[1].gone()
	})
	if err != nil {
		return nil, err
	}
	r := st.result()
	r.fact("transfers to make", 2*transfers)
	r.fact("transfers made", s.Done[0].Load()+s.Done[1].Load())
	r.fact("all money before", 2*transfers)
	r.fact("all money now", s.Balance[0]+s.Balance[1])
	if circle != nil {
		r.Wrong = 1
		r.Notes = append([]string{"What stress inspect says:"}, circle...)
	}
	if circle == nil && s.Balance[0]+s.Balance[1] != 2*transfers {
		r.Wrong = 1
	}
	return r, nil
}

// circle is what stress inspect finds of processes that wait for one another; nil if
// they do not.
func (st *Stage) circle() (lines []string) {
	source, err := inspect.Open(fmt.Sprintf("/proc/%d/fd/%d", st.procs[0].pid(), inherited))
	if err != nil {
		return nil // it has ended
	}
	defer source.Close()
	types, _ := inspect.ParseTypes(fmt.Sprintf("mutex[2]@%#x", floor))
	subject, err := inspect.Study(source, types, false)
	if err != nil {
		return nil
	}
	scene, err := inspect.Inspect(context.Background(), []*inspect.Subject{subject}, inspect.Options{})
	if err != nil || len(scene.Cycles) == 0 {
		return nil
	}
	short := func(name string) string {
		return strings.Replace(name[strings.LastIndexByte(name, ':')+1:], fmt.Sprintf("mutex@%#x", floor), "lock", 1)
	}
	for _, step := range scene.Cycles[0].Steps {
		lines = append(lines, fmt.Sprintf("pid %d has %s and waits for %s", step.Process.PID, short(step.Has), short(step.Wants)))
	}
	return append(lines, scene.Cycles[0].Verdict)
}
