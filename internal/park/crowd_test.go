package park

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"interlock/futex"
	"interlock/internal/proctest"
)

// Who sleeps on a word is counted by the kernel, and neither woken nor moved by that:
// those who came first are woken first. (But one that Go's runtime interrupts lies down
// again behind the others, P-G6: so there are several attempts.)
func TestSleepersAreCountedAndStayWhereTheyAre(t *testing.T) {
	const attempts = 10
	var order []int
	for range attempts {
		if order = wokenInOrder(t); slices.IsSorted(order) {
			return
		}
	}
	t.Errorf("woken in this order, and no better the other times: %v", order)
}

// wokenInOrder is in which order 40 are woken that lay down one after the other.
func wokenInOrder(t *testing.T) (order []int) {
	var word atomic.Uint32
	const n = 40
	woken := make(chan int, n)
	for i := range n {
		go func() {
			_ = futex.Wait(&word, 0)
			woken <- i
		}()
		proctest.Until(t, "it sleeps", func() bool { return sleepers(&word, 100) == i+1 })
	}
	if got := sleepers(&word, 25); got != 25 {
		t.Errorf("counted up to 25: %d", got)
	}
	if got := sleepers(&word, few); got != few {
		t.Errorf("counted where it makes no difference: %d", got)
	}
	for range n {
		if _, err := futex.Wake(&word, 1); err != nil {
			t.Fatal(err)
		}
		order = append(order, <-woken)
	}
	if got := sleepers(&word, 100); got != 0 {
		t.Errorf("all are awake: %d", got)
	}
	return order
}

// Where few wait, nothing that takes two looks may take longer than 100 ms.
func TestPause(t *testing.T) {
	for _, c := range []struct {
		words, crowd int
		least, most  time.Duration // in periods
	}{
		{0, few * mostStretch, 1, 1}, // the next to come may be alone
		{1, 0, 1, 1},
		{1, 1, 1, 1},
		{1, 2*few - 1, 1, 1},
		{1, 2 * few, 1, 3},
		{3, few * mostStretch, mostStretch / 2, mostStretch * 3 / 2},
		{manyWords, 1, 1, 1},
		{manyWords + 1, 1, 2, 2},
	} {
		if got := pause(c.words, c.crowd); got < c.least*LookEvery || got > c.most*LookEvery {
			t.Errorf("%d words, %d sleepers: %v", c.words, c.crowd, got)
		}
	}
	if 2*LookEvery > 100*time.Millisecond {
		t.Error("two looks take longer than is promised")
	}
}
