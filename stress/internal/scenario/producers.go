package scenario

import (
	"fmt"
	"sync/atomic"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/procfs"
)

// Room is how many items there may be in the buffer.
const Room = 8

// Workers 0 and 1 produce, 2 and 3 consume.
const (
	producers = 2
	consumers = 2
)

// Buffer is somebody's bounded buffer.
type Buffer struct {
	Put func(item uint64)
	Get func() uint64
}

// Producers attaches such a buffer.
type Producers struct {
	Name   string
	Size   int
	Attach func(mem []byte) (Buffer, error)
}

// marketArea is the accounts. An item is producer<<32 | number, numbers count from 1.
type marketArea struct {
	Orders atomic.Uint32 // what the supervisor wants: allWork …
	_      [4]byte
	InHand atomic.Uint64 // items that died with a consumer
	Seen   [producers][seenLast]atomic.Uint64
}

// seenLast: Seen has at number%seenLast the last such number that was got. No producer is
// ahead by more than half of that: see ahead.
const seenLast = 4096

// The supervisor's orders.
const (
	allWork uint32 = iota
	producersRest
	consumersRest
	goHome // one of the producers sends each consumer home
)

// lastItem tells a consumer that it was the last one.
const lastItem = 1 << 63

// A lane's record.
const (
	recItemsPut = iota // producer: the number of the last item that is in the buffer for sure
	recItemsGot        // consumer: how many
	recSentHome        // consumer: 1: it got the last item; producer: how many of these it put
)

const (
	labelMade = LabelOwn + iota
	labelHand
	labelRests
)

// Plan is the market with this buffer.
func (p Producers) Plan() *Plan {
	market := func(a *arena.Arena) *marketArea { return arena.At[marketArea](a.Scenario(), 0) }
	plan := puzzle[marketArea](p.Name, "a bounded buffer: nothing lost, nothing doubled, nobody polls", producers+consumers, p.Size)
	plan.Labels = []string{"has made an item", "has an item in the hand", "rests"}
	plan.Traps = []uint32{labelMade, labelHand}
	plan.OnlyTraps = true // inside Put or Get nobody could say whether the item is in it
	plan.Attach = func(w *Worker) (Body, error) {
		b, err := p.Attach(behind[marketArea](w.Arena, p.Size))
		if err != nil {
			return Body{}, err
		}
		step := market(w.Arena).produce
		if w.Index >= producers {
			step = market(w.Arena).consume
		}
		return Body{Step: func(l *Lane) error { step(l, b); return nil }}, nil
	}
	plan.Conduct = func(st Stage) { market(st.Arena()).conduct(st) }
	plan.Settle = func(a *arena.Arena, slot int) {
		if a.Lane(slot, 0).Label.Load() == labelHand {
			market(a).InHand.Add(1)
		}
	}
	plan.Check = func(a *arena.Arena, f *Findings) {
		deaths(a, f)
		f.Notes = append(f.Notes, fmt.Sprintf("put %d got %d (%d died in the hand)", puts(a), gots(a), market(a).InHand.Load()))
	}
	plan.Words = func(a *arena.Arena) []Word { return market(a).words(a) }
	return plan
}

// rest is a step of who has nothing to do.
func (l *Lane) rest() {
	l.Label.Store(labelRests)
	time.Sleep(200 * time.Microsecond)
}

// produce puts one item.
func (m *marketArea) produce(l *Lane, b Buffer) {
	switch orders := m.Orders.Load(); {
	case orders == goHome && l.ID == 0 && l.Rec[recSentHome].Load() < consumers:
		b.Put(lastItem)
		l.Rec[recSentHome].Add(1)
		return
	case orders == goHome || orders == producersRest:
		l.rest()
		return
	}
	n := l.Rec[recItemsPut].Load() + 1
	if m.ahead(l, n) {
		l.rest()
		return
	}
	l.Reach(labelMade)
	l.Label.Store(LabelWaiting)
	begin := l.Begin()
	b.Put(uint64(l.ID)<<32 | n)
	l.Took(arena.Wait, begin)
	l.Rec[recItemsPut].Store(n)
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
}

// consume gets one item.
func (m *marketArea) consume(l *Lane, b Buffer) {
	if m.Orders.Load() == consumersRest || l.Rec[recSentHome].Load() != 0 {
		l.rest()
		return
	}
	l.Label.Store(LabelWaiting)
	item := b.Get()
	if item == lastItem {
		l.Rec[recSentHome].Store(1)
		return
	}
	m.got(l, item)
	l.Rec[recItemsGot].Add(1)
	l.Reach(labelHand)
	l.Ops.Add(1)
	l.Label.Store(LabelIdle)
}

// got checks an item against those that came before.
func (m *marketArea) got(l *Lane, item uint64) {
	p, n := int(item>>32), item&(1<<32-1)
	me := called("consumer", l.name())
	if p >= producers || n == 0 || n > l.W.Arena.Lane(p, 0).Rec[recItemsPut].Load()+1 {
		l.Fault("%s got %#x, which nobody has put", me, item)
		return
	}
	if old := m.Seen[p][n%seenLast].Swap(n); old >= n {
		l.Fault("item %d of producer %d came twice; the second time to %s", n, p, me)
	}
}

// ahead says whether producer l has to wait before it makes item n: not to overwrite in
// Seen what a slow consumer has not come to write there. It is lost if the consumers have
// got all there is and wait for more.
func (m *marketArea) ahead(l *Lane, n uint64) bool {
	if n <= seenLast/2 {
		return false
	}
	old := n - seenLast/2
	seen := func() bool { return m.Seen[l.ID][old%seenLast].Load() >= old }
	for range 500 {
		if seen() {
			return false
		}
		for i := range consumers {
			if l.W.Arena.Lane(producers+i, 0).Label.Load() != LabelWaiting {
				return !seen()
			}
		}
		l.rest()
	}
	l.Fault("item %d of producer %d is lost: it was put, and both consumers wait for more", old, l.ID)
	return true
}

// conduct lets them work, but for a moment in which the buffer is kept empty, and one in
// which it is kept full: there nobody may use the CPU. Last everything must come out.
func (m *marketArea) conduct(st Stage) {
	a := st.Arena()
	more := st.Sleep(puzzleQuiet)
	st.Calm(true)
	if m.order(st, producersRest) && m.complete(a) && more {
		m.blocked(st, producers, consumers, "consumer", "empty")
	}
	if m.order(st, consumersRest) && more {
		if n := int64(m.inside(a)); n > Room {
			a.Fault(-1, "there is room for %d items in the buffer, and %d were put that nobody has got", Room, n)
		}
		m.blocked(st, 0, producers, "producer", "full")
	}
	m.Orders.Store(allWork)
	st.Calm(false)
	for st.Sleep(10 * time.Millisecond) {
	}
	if m.order(st, producersRest) && m.complete(a) {
		m.order(st, goHome)
	}
}

// order gives an order and waits until nothing moves any more. False: the run is broken
// off.
func (m *marketArea) order(st Stage, order uint32) bool {
	const still = 30 * time.Millisecond
	a := st.Arena()
	m.Orders.Store(order)
	ops, since := a.Ops(), time.Now()
	for !st.Over() {
		if now := a.Ops(); now != ops || !m.obeyed(st, order) {
			ops, since = now, time.Now()
		}
		if time.Since(since) > still {
			return true
		}
		time.Sleep(time.Millisecond)
	}
	return false
}

// obeyed: those who are to rest do, the others wait for them.
func (m *marketArea) obeyed(st Stage, order uint32) bool {
	for i := range producers + consumers {
		rest := order == goHome || (i < producers) == (order == producersRest)
		label := st.Arena().Lane(i, 0).Label.Load()
		if !st.Ready(i) || rest && label != labelRests || !rest && label != LabelWaiting {
			return false
		}
	}
	return true
}

// puts and gots are how many items went in and came out.
func puts(a *arena.Arena) (n uint64) {
	for i := range producers {
		n += a.Lane(i, 0).Rec[recItemsPut].Load()
	}
	return n
}

func gots(a *arena.Arena) (n uint64) {
	for i := range consumers {
		n += a.Lane(producers+i, 0).Rec[recItemsGot].Load()
	}
	return n
}

func (m *marketArea) inside(a *arena.Arena) uint64 {
	return puts(a) - gots(a)
}

// complete: all consumers wait for more, so they have got all there was.
func (m *marketArea) complete(a *arena.Arena) bool {
	if m.inside(a) == 0 {
		return true
	}
	which := ""
	for p := range producers {
		put := a.Lane(p, 0).Rec[recItemsPut].Load()
		for n := put; n > 0 && n+seenLast > put; n-- {
			if m.Seen[p][n%seenLast].Load() != n {
				which = fmt.Sprintf("; one is item %d of producer %d", n, p)
			}
		}
	}
	a.Fault(-1, "%d items are lost: %d were put, %d got, and both consumers wait%s",
		int64(m.inside(a)), puts(a), gots(a), which)
	return false
}

// Who is blocked uses no CPU, but for the worker's own watch; a process that polls uses
// all it can get.
const (
	blockedFor  = 300 * time.Millisecond
	blockedPart = 10 // of the time; the watch takes a hundredth
)

// blocked measures the CPU time of those who wait.
func (m *marketArea) blocked(st Stage, first, n int, title, buffer string) {
	var before [producers + consumers]time.Duration
	for i := first; i < first+n; i++ {
		before[i], _ = procfs.CPUTime(st.PID(i))
	}
	begin := time.Now()
	st.Sleep(blockedFor)
	lasted := time.Since(begin)
	for i := first; i < first+n; i++ {
		if after, err := procfs.CPUTime(st.PID(i)); err == nil && after-before[i] > lasted/blockedPart {
			st.Arena().Fault(-1, "%s %d (pid %d) polls: for %v the buffer was %s, and it used %v of CPU time instead of sleeping",
				title, i, st.PID(i), lasted.Round(time.Millisecond), buffer, (after - before[i]).Round(time.Millisecond))
		}
	}
}

// words say who is where.
func (m *marketArea) words(a *arena.Arena) []Word {
	words := []Word{{"buffer", fmt.Sprintf("%d items were put that nobody has got; there is room for %d", int64(m.inside(a)), Room)}}
	for i := range producers + consumers {
		who, call := "producer", "in Put"
		if i >= producers {
			who, call = "consumer", "in Get"
		}
		if a.Lane(i, 0).Label.Load() != LabelWaiting {
			call = "not in a call"
		}
		words = append(words, Word{fmt.Sprintf("%s %d (pid %d)", who, i, a.Slot(i).PID.Load()), call})
	}
	return words
}
