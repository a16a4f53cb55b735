package park

import (
	"sync/atomic"
	"testing"
	"time"

	"interlock/futex"
	"interlock/internal/proctest"
)

// Where a crowd sleeps each process looks seldom; but not at a word that somebody comes
// to wait for meanwhile.
func TestANewcomerAtAnotherWordEndsTheRest(t *testing.T) {
	proctest.Watchdog(t, time.Minute, nil)
	const crowd = few * mostStretch
	var crowded atomic.Uint32
	for i := range crowd {
		go func() { _ = futex.Wait(&crowded, 0) }()
		proctest.Until(t, "it sleeps", func() bool { return sleepers(&crowded, crowd+1) == i+1 })
	}
	defer func() {
		if _, err := futex.Wake(&crowded, crowd); err != nil {
			t.Error(err)
		}
	}()
	member := EnterLock(&crowded, func() Finding { return Quiet })
	defer member.Leave()
	soonest := time.Hour
	for tries := 0; tries < 10 && soonest > 3*LookEvery; tries++ {
		proctest.Until(t, "the ticker rests", func() bool { return resting.Load() != nil })
		soonest = min(soonest, firstLook())
	}
	t.Logf("the first look after %v", soonest)
	if soonest > 3*LookEvery { // a rest is twice as long
		t.Errorf("the first look at the other word came after %v", soonest)
	}
	for tries := 1; ; tries++ {
		var r *rest
		proctest.Until(t, "the ticker rests", func() bool { r = resting.Load(); return r != nil })
		EnterLock(&crowded, func() Finding { return Quiet }).Leave()
		if resting.Load() == r {
			break
		}
		if tries == 5 { // one or the other may have ended by itself
			t.Fatal("one more in the crowd ended the rest")
		}
	}
}

// firstLook is how long who comes to wait for a word is not looked at.
func firstLook() time.Duration {
	var word atomic.Uint32
	looked := make(chan time.Time, 1)
	begin := time.Now()
	w := EnterLock(&word, func() Finding {
		select {
		case looked <- time.Now():
		default:
		}
		return Quiet
	})
	defer w.Leave()
	return (<-looked).Sub(begin)
}

// Who comes while the ticker is at its round, and may have been missed by it, is not
// left alone for a rest.
func TestANewcomerDuringARoundPreventsTheRest(t *testing.T) {
	r := &rest{timer: time.NewTimer(time.Hour)}
	defer func() {
		r.timer.Stop()
		resting.Store(nil)
		seldom.Store(false)
	}()
	before := arrivals.Load()
	r.begin(time.Hour, before)
	if resting.Load() != r {
		t.Fatal("nobody came, and it does not rest")
	}
	resting.Store(nil)
	arrivals.Add(1)
	r.begin(time.Hour, before)
	if resting.Load() != nil {
		t.Error("it rests though somebody came")
	}
	<-r.timer.C
}

// Who has left when the look comes says nothing about a crowd.
func TestOneThatHasLeftIsNoCrowd(t *testing.T) {
	var word atomic.Uint32
	w := EnterLock(&word, func() Finding { t.Error("it looked"); return Quiet })
	bucketOf(&word).heads(nil) // as the ticker does before it looks
	w.Leave()
	if _, crowd := w.lookOnce(few * mostStretch); pause(1, crowd) != LookEvery {
		t.Errorf("a crowd of %d where nobody waits any more", crowd)
	}
}
