package shm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"interlock/internal/proctest"
	"interlock/mutex"
)

// What must hold for views that are closed or forgotten while they are in use:
//   - T78: Close while a goroutine of this process waits in the memory, or
//     holds a lock in it, is ErrBusy, from whichever goroutine and however
//     often, and harms neither; when they are done it closes, once;
//   - after Close every method answers, also while others are just closing;
//   - T79: a Segment that nobody refers to, in the midst of collections, while a
//     lock in it is held and waited for, keeps its memory, and the lock works
//     on, between processes too.

type lockedWord struct {
	Mu mutex.Mutex
	N  uint64
}

func TestCloseWhileALockIsHeldAndWaitedFor(t *testing.T) {
	v, s, err := Share[lockedWord](bg, newName(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := v.Mu.LockContext(bg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(bg)
	waits := make(chan error)
	go func() { waits <- v.Mu.LockContext(ctx) }()
	var wg sync.WaitGroup
	for range 4 { // closers at once, while one holds and one waits
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 50 {
				if err := s.Close(); !errors.Is(err, ErrBusy) {
					t.Errorf("Close of a held one: %v", err)
				}
				if s.Bytes() == nil || s.Removed() != nil {
					t.Error("a refused Close has changed something")
				}
			}
		}()
	}
	wg.Wait()
	v.N++
	cancel()
	if err := <-waits; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := s.Close(); !errors.Is(err, ErrBusy) {
		t.Errorf("Close of a held one: %v", err)
	}
	v.Mu.Unlock()
	closed := make(chan error, 8)
	for range cap(closed) { // all at once: one unmaps, all are content
		go func() { closed <- s.Close() }()
	}
	for range cap(closed) {
		if err := <-closed; err != nil {
			t.Error(err)
		}
	}
	for what, err := range map[string]error{"Sync": s.Sync(), "Removed": s.Removed()} {
		if !errors.Is(err, fs.ErrClosed) || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestUseWhileOthersClose(t *testing.T) {
	name := newName(t)
	closeNow(t, must[*Segment](t)(Create(name, 4096)))
	for range proctest.Scaled(200, 50) {
		s := must[*Segment](t)(Open(name))
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				if i == 0 {
					closeNow(t, s)
					return
				}
				for range 10 {
					e1, e2 := s.Sync(), s.Removed()
					if e1 != nil && !errors.Is(e1, ErrClosed) || e2 != nil && !errors.Is(e2, ErrClosed) {
						t.Error(e1, e2)
					}
					if f := s.File(); f != nil {
						if o, err := FromFile(f); err == nil {
							closeNow(t, o)
						} else if !errors.Is(err, fs.ErrClosed) {
							t.Error(err)
						}
					}
				}
			}()
		}
		wg.Wait()
	}
}

func init() {
	children["adder"] = func(arg []string) error {
		v, _, err := Share[lockedWord](bg, arg[0], nil)
		if err != nil {
			return err
		}
		for range 2000 {
			v.Mu.Lock()
			v.N++
			v.Mu.Unlock()
		}
		fmt.Println("done")
		return nil
	}
}

func TestForgottenSegmentsGoOn(t *testing.T) {
	name := newName(t)
	forget := func() *lockedWord { // keeps no Segment
		v, _, err := Share[lockedWord](bg, name, nil)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	stop := make(chan struct{})
	var collector sync.WaitGroup
	collector.Add(1)
	go func() {
		defer collector.Done()
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	cmd := child(t, "adder", name)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var views [3]*lockedWord // one object at three addresses
	var wg sync.WaitGroup
	for i := range views {
		views[i] = forget()
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 500 {
				views[i].Mu.Lock()
				views[i].N++
				views[i].Mu.Unlock()
			}
		}()
	}
	wg.Wait()
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	views[0].Mu.Lock()
	deadline := time.Now().Add(100 * time.Millisecond) // held, through many collections
	for time.Now().Before(deadline) {
		runtime.Gosched()
	}
	if n := views[2].N; n != 3*500+2000 {
		t.Errorf("%d", n)
	}
	views[0].Mu.Unlock()
	close(stop)
	collector.Wait()
	for _, v := range views {
		if !mapped(t, mustAddr(v)) {
			t.Error("a forgotten one was unmapped")
		}
	}
}
