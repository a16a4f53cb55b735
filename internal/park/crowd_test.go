package park

import (
	"sync/atomic"
	"testing"
	"time"

	"interlock/futex"
	"interlock/internal/proctest"
)

// Who sleeps on a word is counted by the kernel, and neither woken nor moved by that:
// those who came first are woken first.
func TestSleepersAreCountedAndStayWhereTheyAre(t *testing.T) {
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
	for i := range n {
		if _, err := futex.Wake(&word, 1); err != nil {
			t.Fatal(err)
		}
		if got := <-woken; got != i {
			t.Errorf("number %d was woken as number %d", got, i)
		}
	}
	if got := sleepers(&word, 100); got != 0 {
		t.Errorf("all are awake: %d", got)
	}
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
