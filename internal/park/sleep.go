package park

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"interlock/futex"
	"interlock/internal/region"
)

// Who sleeps with a thread of its own wakes up soonest. So that many words
// waited for do not cost as many threads, only so many do; the others share
// threads, see pool.go, and who has slept long leaves its thread to others.
// Where the kernel cannot sleep on several words at once there is nothing to
// share: then those beyond mostAlone have only the look.
const (
	mostDirect = 16
	mostAlone  = 500

	// leastSleep is for a context that is not done although its time has come.
	leastSleep = 100 * time.Microsecond
)

// direct is how many sleep with a thread of their own.
var direct atomic.Int32

// Sleep sleeps in the kernel while the word holds val. It returns nil when
// there is reason to look at the word again: woken, changed, called or roused;
// woken tells whether a wake of the word may have been used up. With ctx.Err()
// none was.
func (w *Waiter) Sleep(ctx context.Context, val uint32) (woken bool, err error) {
	// The rouse of a context that was done before is gone if an earlier Sleep
	// ended by a wake at the same moment.
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if !w.takeThread() {
		return w.sleepPooled(ctx, val)
	}
	return w.sleepDirect(ctx, val, math.MaxInt64)
}

// SleepFor is Sleep that also returns nil after limit.
func (w *Waiter) SleepFor(ctx context.Context, val uint32, limit time.Duration) (woken bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	direct.Add(1) // over the limit, perhaps, but not for long
	return w.sleepDirect(ctx, val, limit)
}

func (w *Waiter) takeThread() bool {
	most := int32(mostDirect)
	if !futex.HasWaitv() {
		most = mostAlone
	}
	if w.demoted.Swap(false) {
		return false
	}
	if direct.Add(1) > most {
		direct.Add(-1)
		return false
	}
	return true
}

func (w *Waiter) sleepDirect(ctx context.Context, val uint32, limit time.Duration) (woken bool, err error) {
	defer direct.Add(-1)
	if w.disarm == nil && ctx.Done() != nil {
		w.disarm = context.AfterFunc(ctx, w.sleeper.Rouse)
	}
	// The kernel keeps the time too: until the runtime notices that this thread is
	// in the kernel, which can take 20 ms where there is no other P, none of its
	// timers is served (P-G3).
	if d, ok := ctx.Deadline(); ok {
		limit = min(limit, max(time.Until(d), leastSleep))
	}
	w.asleepSince.Store(now())
	defer w.asleepSince.Store(0)
	why, err := w.sleeper.SleepFor(w.word, val, limit)
	if why == futex.Expired {
		runtime.Gosched() // for ctx's own timer
	}
	if err != nil {
		return false, w.whatIsGone(err)
	}
	if why == futex.Woken {
		return true, nil
	}
	return false, ctx.Err()
}

// whatIsGone makes the kernel's EFAULT the error of a touch, if that would fault too:
// without futex_waitv, whose sleeper is not aware of it before a look is, the kernel
// sees first that a peer has truncated the file (P-K6).
func (w *Waiter) whatIsGone(err error) (told error) {
	if !errors.Is(err, unix.EFAULT) {
		return err
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil { // nothing else can go wrong in a load
			told = fmt.Errorf("the file under the memory was made %w: %w", region.ErrTruncated, err)
		}
	}()
	w.word.Load()
	return err
}

// demote has w, which has slept long with a thread of its own, share one.
func (w *Waiter) demote() {
	since := w.asleepSince.Load()
	if since != 0 && now()-since > int64(2*LookEvery) && sharing.Load() > 0 && futex.HasWaitv() {
		w.demoted.Store(true)
		w.sleeper.Rouse()
	}
}
