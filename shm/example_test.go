package shm_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"sync/atomic"

	"interlock/shm"
)

// Every process that runs this shares one counter.
func ExampleShare() {
	type Shared struct{ Hits atomic.Uint64 }
	name := fmt.Sprintf("/iltest-example-share-%d", os.Getpid())

	s, seg, err := shm.Share[Shared](context.Background(), name, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer shm.Remove(name) // only because this is a test: others may want it
	defer seg.Close()
	fmt.Println(s.Hits.Add(1))
	// Output: 1
}

// Raw memory, as a C program would make it, with a type laid over it.
func ExampleAt() {
	type Ring struct {
		Head, Tail atomic.Uint64
		Items      [62]uint64
	}
	seg, err := shm.Memfd("ring", 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer seg.Close()
	ring, err := shm.At[Ring](seg.Bytes(), 64)
	if err != nil {
		log.Fatal(err)
	}
	ring.Items[0] = 7
	fmt.Println(seg.Bytes()[64+16])

	type Wrong struct{ Name string }
	_, err = shm.At[Wrong](seg.Bytes(), 0)
	fmt.Println(err)
	// Output:
	// 7
	// shm.At[Wrong]: field Wrong.Name is a string: it holds a pointer, which means nothing in another process; use an array [N]byte and a length
}

// Exactly one process fills the table; the others find it filled.
func ExampleOpenOrCreate() {
	name := fmt.Sprintf("iltest-example-table-%d", os.Getpid())
	defer shm.Remove(name)
	for range 2 {
		seg, err := shm.OpenOrCreate(context.Background(), name, 4096, func(seg *shm.Segment) error {
			fmt.Println("filling")
			copy(seg.Bytes(), "primes: 2 3 5 7")
			return nil
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s\n", seg.Bytes()[:15])
		seg.Close()
	}
	// Output:
	// filling
	// primes: 2 3 5 7
	// primes: 2 3 5 7
}
