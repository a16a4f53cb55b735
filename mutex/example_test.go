package mutex_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"interlock/mutex"
	"interlock/shm"
)

// account is what two processes share: any struct without pointers.
type account struct {
	Mu      mutex.Mutex
	Balance int64
}

func Example() {
	seg, err := shm.Memfd("account", 4096) // or shm.Open, shm.OpenOrCreate, shm.Share: other processes map it too
	if err != nil {
		fmt.Println(err)
		return
	}
	defer seg.Close()
	a, err := shm.At[account](seg.Bytes(), 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	// What this process does when the holder has died: one word cannot be half written.
	a.Mu.OnOwnerDeath(func(pid int) error { return nil })

	a.Mu.Lock()
	a.Balance += 100
	a.Mu.Unlock()
	fmt.Println(a.Balance)
	// Output: 100
}

func ExampleMutex_LockContext() {
	seg, err := shm.Memfd("account", 4096)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer seg.Close()
	a, err := shm.At[account](seg.Bytes(), 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	a.Mu.Lock() // another process, say

	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	switch err := a.Mu.LockContext(ctx); {
	case err == nil:
		defer a.Mu.Unlock()
	case errors.Is(err, context.DeadlineExceeded):
		pid, held := a.Mu.Owner()
		fmt.Println("not now; held:", held, "known holder:", pid != 0)
	case errors.Is(err, mutex.ErrOwnerDead):
		fmt.Println("its holder died, and this process has no repair")
	}
	a.Mu.Unlock()
	// Output: not now; held: true known holder: true
}
