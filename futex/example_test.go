package futex_test

import (
	"fmt"
	"sync/atomic"

	"interlock/futex"
	"interlock/shm"
)

func Example() {
	seg, err := shm.Memfd("flag", 4096)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer seg.Close()
	flag, err := shm.At[atomic.Uint32](seg.Bytes(), 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() { // in another process it is the same
		for flag.Load() == 0 { // nil only means: look again
			if err := futex.Wait(flag, 0); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()

	flag.Store(1) // first the value, then the wake
	if _, err := futex.Wake(flag, 1); err != nil {
		fmt.Println(err)
	}
	fmt.Println(<-done, flag.Load())
	// Output: <nil> 1
}
