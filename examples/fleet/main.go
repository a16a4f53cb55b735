// Fleet is several workers that count things in pairs, each pair under two locks. It
// is what docs/runbook.md practises on: three ways to hang it, on purpose.
//
//	go run ./examples/fleet             a worker; start several; Ctrl-C ends it
//	go run ./examples/fleet -careless   takes its two locks in any order: they deadlock
//	go run ./examples/fleet -stuck      takes a lock and never comes back
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"time"

	"interlock/mutex"
	"interlock/shm"
)

type Item struct {
	Mu    mutex.Mutex
	Count uint64
}

type Fleet struct {
	Items [1000]Item
}

func main() {
	of := flag.Int("of", 1000, "count only the first so many `items`, from 2 to 1000")
	careless := flag.Bool("careless", false, "take the two locks in any order")
	stuck := flag.Bool("stuck", false, "never let go of the first lock")
	flag.Parse()
	if *of < 2 || *of > 1000 {
		flag.Usage()
		os.Exit(2)
	}
	f, seg, err := shm.Share[Fleet](context.Background(), "/fleet", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer seg.Close()
	mutex.OnOwnerDeath(seg.Bytes(), func(m *mutex.Mutex, pid int) error {
		fmt.Println("process", pid, "died inside; one word cannot be half written")
		return nil
	})
	fmt.Println("process", os.Getpid(), "works")
	for {
		a, b := rand.IntN(*of), rand.IntN(*of-1)
		if b >= a {
			b++ // another one
		}
		if a > b && !*careless {
			a, b = b, a // one order for all: then nobody waits in a circle
		}
		f.Items[a].Mu.Lock()
		if *stuck {
			fmt.Println("process", os.Getpid(), "is stuck with item", a)
			select {}
		}
		time.Sleep(100 * time.Microsecond) // it does something with a
		f.Items[b].Mu.Lock()
		f.Items[a].Count++
		f.Items[b].Count++
		time.Sleep(time.Millisecond) // and with both
		f.Items[b].Mu.Unlock()
		f.Items[a].Mu.Unlock()
	}
}
