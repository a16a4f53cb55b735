package semaphore_test

import (
	"context"
	"fmt"

	"interlock/semaphore"
	"interlock/shm"
)

// ring hands messages from one process to another: two semaphores count the slots that
// are free and those that are full.
type ring struct {
	Free, Full semaphore.Semaphore
	Slots      [4]uint64
}

func Example() {
	seg, err := shm.Memfd("ring", 4096)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer seg.Close()
	r, err := shm.At[ring](seg.Bytes(), 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	r.Free.Init(uint32(len(r.Slots))) // once, in one process; Full begins with 0 permits
	ctx := context.Background()

	for n := range uint64(3) { // the producer
		if err := r.Free.Acquire(ctx); err != nil {
			return
		}
		r.Slots[n%4] = n * n
		if err := r.Full.Release(); err != nil {
			return
		}
	}
	for n := range uint64(3) { // the consumer, in another process
		if err := r.Full.Acquire(ctx); err != nil {
			return
		}
		fmt.Println(r.Slots[n%4])
		if err := r.Free.Release(); err != nil {
			return
		}
	}
	// Output:
	// 0
	// 1
	// 4
}
