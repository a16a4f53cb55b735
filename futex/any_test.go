// What holds for SleepAny and HasWaitv (that SleepAny is refused where futex_waitv
// is, see cancel_test.go):
//   - a wake by whatever process of any of the words ends it, and it tells which;
//     of several that were woken at once the last (P-K17);
//   - so do a change and a Rouse, and they use up no wake;
//   - it allocates nothing.
package futex

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"interlock/internal/proctest"
)

func init() {
	// waker: wakes one sleeper of the word at each offset received, and tells how many.
	proctest.Register("waker", func(c *proctest.Child) {
		mem := c.Memory(0)
		for {
			off, err := strconv.Atoi(c.Recv())
			c.Check(err)
			n, err := Wake(word(mem, off), 1)
			c.Check(err)
			c.Sayf("%d", n)
		}
	})
}

const stride = 8 // bytes from word to word

// anyWords are n words of mem that are expected to be 0.
func anyWords(mem []byte, n int) []Expect {
	var words []Expect
	for i := range n {
		words = append(words, Expect{word(mem, i*stride), 0})
	}
	return words
}

type anyEnd struct {
	i   int
	why Why
	err error
}

func sleepAny(s *Sleeper, words []Expect) anyEnd {
	i, why, err := s.SleepAny(words)
	return anyEnd{i, why, err}
}

// sleepAnyHere sleeps in a goroutine.
func sleepAnyHere(t *testing.T, s *Sleeper, words []Expect) chan anyEnd {
	t.Helper()
	ended := make(chan anyEnd, 1)
	go func() { ended <- sleepAny(s, words) }()
	proctest.AwaitSleepers(t, os.Getpid(), 1)
	return ended
}

func expectEnd(t *testing.T, what string, got, want anyEnd) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

func TestAWakeOfAnyWordIsToldByItsIndex(t *testing.T) { // T02
	needWaitv(t)
	proctest.Watchdog(t, hang, nil)
	f, mem := proctest.Memfd(t, 4096)
	waker := proctest.Start(t, "waker", proctest.Files(f))
	s := new(Sleeper)
	for _, n := range []int{1, 2, MaxAny} {
		for _, i := range []int{0, n / 2, n - 1} {
			ended := sleepAnyHere(t, s, anyWords(mem, n))
			waker.Send(strconv.Itoa(n * stride)) // the next word
			waker.Expect("0")
			waker.Send(strconv.Itoa(i * stride))
			waker.Expect("1")
			expectEnd(t, "woken", <-ended, anyEnd{i, Woken, nil})
			expectWake(t, word(mem, i*stride), 1, 0)
		}
	}
}

func TestAChangeOfAnyWordIsSeen(t *testing.T) { // T01
	needWaitv(t)
	_, mem := proctest.Memfd(t, 4096)
	s := new(Sleeper)
	words := anyWords(mem, MaxAny)
	for _, i := range []int{0, 64, MaxAny - 1} {
		words[i].Addr.Store(1)
		expectEnd(t, "changed", sleepAny(s, words), anyEnd{-1, Changed, nil})
		words[i].Addr.Store(0)
	}
	for _, w := range words {
		expectWake(t, w.Addr, 1, 0)
	}
}

func TestARouseEndsASleepOnAnyWords(t *testing.T) {
	needWaitv(t)
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	s := new(Sleeper)
	for _, n := range []int{0, 1, MaxAny} {
		words := anyWords(mem, n)
		s.Rouse()
		expectEnd(t, "roused before", sleepAny(s, words), anyEnd{-1, Roused, nil})
		ended := sleepAnyHere(t, s, words)
		s.Rouse()
		expectEnd(t, "roused", <-ended, anyEnd{-1, Roused, nil})
		for _, w := range words {
			expectWake(t, w.Addr, 1, 0)
		}
	}
}

func TestBadListsAreErrors(t *testing.T) { // T05
	needWaitv(t)
	proctest.Watchdog(t, hang, nil)
	_, mem := proctest.Memfd(t, 4096)
	s := new(Sleeper)
	if i, _, err := s.SleepAny(anyWords(mem, MaxAny+1)); i != -1 || !errors.Is(err, unix.EINVAL) {
		t.Errorf("%d words: %d, %v", MaxAny+1, i, err)
	}
	for name, bad := range badWords(t) {
		for _, at := range []int{0, 5} {
			words := anyWords(mem, 6)
			words[at].Addr = bad.w
			if i, _, err := s.SleepAny(words); i != -1 || !errors.Is(err, bad.want) {
				t.Errorf("a word that is %s: %d, %v, want %v", name, i, err, bad.want)
			}
			for n, w := range words {
				if err := Check(w.Addr); (err != nil) != (n == at) {
					t.Errorf("a word that is %s at %d: Check of word %d: %v", name, at, n, err)
				}
			}
		}
	}
}

// Wakes that are sent at once, by one thread to a sleeper on the same CPU. The
// index told must be the last of those for which Wake said 1; a Rouse beside them
// must not hide them.
func TestOfSeveralWakesTheLastIndexIsTold(t *testing.T) { // P-K17
	needWaitv(t)
	proctest.Watchdog(t, hang, nil)
	const enough, n = 100, 4 // rounds with several wakes
	_, mem := proctest.Memfd(t, 4096)
	words, s := anyWords(mem, n), new(Sleeper)
	begin, ended := make(chan bool), make(chan anyEnd)
	go func() {
		pin()
		for range begin {
			ended <- sleepAny(s, words)
		}
	}()
	result := make(chan [2]int)
	go func() {
		pin()
		several, rounds := 0, 0
		for ; several < enough; rounds++ { // the sleeper may be too quick
			begin <- true
			for s.state.Load() != asleep || proctest.Sleepers(os.Getpid()) == 0 {
				runtime.Gosched()
			}
			want, woken := anyEnd{-1, Roused, nil}, 0
			for _, i := range rand.Perm(n + 1) {
				if i == n {
					s.Rouse()
				} else if k := must(Wake(words[i].Addr, 1)); k == 1 {
					woken++
					want = anyEnd{max(i, want.i), Woken, nil}
				}
			}
			if got := <-ended; got != want {
				t.Errorf("%d words woken: %+v, want %+v", woken, got, want)
			}
			if s.state.Load() == roused { // it came when the sleep was over
				expectEnd(t, "left over", sleepAny(s, words), anyEnd{-1, Roused, nil})
			}
			if woken > 1 {
				several++
			}
		}
		result <- [2]int{several, rounds}
	}()
	got := <-result
	close(begin)
	t.Logf("%d of %d rounds had several wakes", got[0], got[1])
}

func TestSleepingAllocatesNothing(t *testing.T) {
	_, mem := proctest.Memfd(t, 4096)
	words, s := anyWords(mem, MaxAny), new(Sleeper)
	changed := anyWords(mem, MaxAny)
	changed[MaxAny-1].Val = 1
	bothWays(t, func(t *testing.T) {
		for what, f := range map[string]func(){
			"Sleep":      func() { must(s.Sleep(words[0].Addr, 1)) },
			"SleepFor":   func() { must(s.SleepFor(words[0].Addr, 0, 1)) },
			"Check":      func() { must(0, Check(words[0].Addr)) },
			"a Rouse":    func() { s.Rouse(); must(s.Sleep(words[0].Addr, 0)) },
			"Background": func() { must(0, WaitContext(context.Background(), words[0].Addr, 1)) },
		} {
			if n := testing.AllocsPerRun(100, f); n != 0 {
				t.Errorf("%s: %v allocations", what, n)
			}
		}
	})
	needWaitv(t)
	why := Woken
	if n := testing.AllocsPerRun(100, func() { _, why, _ = s.SleepAny(changed) }); n != 0 || why != Changed {
		t.Errorf("SleepAny: %v allocations, %v", n, why)
	}
	if n := testing.AllocsPerRun(100, func() { s.Rouse(); _, why, _ = s.SleepAny(words) }); n != 0 || why != Roused {
		t.Errorf("SleepAny with a Rouse: %v allocations, %v", n, why)
	}
}

func TestHasWaitvTellsTheTruth(t *testing.T) { // P-K13
	if known := tryWaitv() == unix.EINVAL; HasWaitv() != known {
		t.Errorf("HasWaitv %v, but a call of it says %v", HasWaitv(), tryWaitv())
	}
}
