package condvar_test

import (
	"fmt"

	"interlock/condvar"
	"interlock/mutex"
	"interlock/shm"
)

// gate is closed until somebody opens it.
type gate struct {
	Mu     mutex.Mutex
	Opened condvar.Cond
	Open   uint32
}

func Example() {
	seg, err := shm.Memfd("gate", 4096)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer seg.Close()
	g, err := shm.At[gate](seg.Bytes(), 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	passed := make(chan string)
	go func() { // a goroutine here; in another process it is the same
		g.Mu.Lock()
		for g.Open == 0 { // look again after each Wait: it may return for no reason
			g.Opened.Wait(&g.Mu)
		}
		g.Mu.Unlock()
		passed <- "through"
	}()

	g.Mu.Lock()
	g.Open = 1
	g.Opened.Broadcast()
	g.Mu.Unlock()
	fmt.Println(<-passed)
	// Output: through
}
