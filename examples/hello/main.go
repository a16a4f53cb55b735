// Hello counts in shared memory, together with every other hello on this machine.
//
//	go run ./examples/hello         take the lock, count, leave
//	go run ./examples/hello stay    take the lock, count, and stay inside
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"interlock/mutex"
	"interlock/shm"
)

type Shared struct {
	Mu      mutex.Mutex
	Counter uint64
}

func main() {
	s, seg, err := shm.Share[Shared](context.Background(), "/hello", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer seg.Close()
	s.Mu.OnOwnerDeath(func(pid int) error {
		fmt.Println("process", pid, "died inside; one word cannot be half written")
		return nil
	})

	s.Mu.Lock()
	s.Counter++
	fmt.Println("process", os.Getpid(), "counts", s.Counter)
	if len(os.Args) > 1 {
		fmt.Println("inside; Enter to leave, or kill -9", os.Getpid())
		fmt.Scanln()
	}
	s.Mu.Unlock()
}
