// Prodcons is the tutorials' producer and consumer: one process makes things,
// another takes them, and a semaphore in the memory between them counts those
// that are ready.
//
//	go run ./examples/prodcons
//
// In C it maps anonymous memory and forks. A Go program starts itself again, and
// hands its child the memory as a descriptor.
//
// There is one semaphore, because every thing has a place of its own. Where
// places are used again, a second one counts those that are free:
// examples/ring.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"time"

	"interlock/semaphore"
	"interlock/shm"
)

type Shop struct {
	Ready semaphore.Semaphore // zero is a semaphore with no permits: nothing is ready
	Shelf [10]uint64
}

func main() {
	work := parent
	if len(os.Args) > 1 {
		work = child
	}
	if err := work(); err != nil {
		log.Fatal(err)
	}
}

func parent() error {
	seg, err := shm.Memfd("shop", 4096)
	if err != nil {
		return err
	}
	defer seg.Close()
	shop, err := shm.At[Shop](seg.Bytes(), 0)
	if err != nil {
		return err
	}
	producer := exec.Command("/proc/self/exe", "produce")
	producer.ExtraFiles = []*os.File{seg.File()} // descriptor 3 there
	producer.Stdout, producer.Stderr = os.Stdout, os.Stderr
	if err := producer.Start(); err != nil {
		return err
	}
	return errors.Join(shop.consume(), producer.Wait())
}

func child() error {
	seg, err := shm.FromFile(os.NewFile(3, "shop"))
	if err != nil {
		return err
	}
	defer seg.Close()
	shop, err := shm.At[Shop](seg.Bytes(), 0)
	if err != nil {
		return err
	}
	return shop.produce()
}

func (s *Shop) produce() error {
	for i := range s.Shelf {
		time.Sleep(20 * time.Millisecond) // making one takes time; nobody relies on how much
		s.Shelf[i] = uint64(i * i)
		fmt.Println("process", os.Getpid(), "made", s.Shelf[i])
		if err := s.Ready.Release(); err != nil { // who Acquires this permit sees all of the above
			return err
		}
	}
	return nil
}

func (s *Shop) consume() error {
	// A semaphore cannot tell that the producer died: the wait must end by itself.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for i := range s.Shelf {
		if err := s.Ready.Acquire(ctx); err != nil {
			return fmt.Errorf("waiting for thing %d: %w", i, err)
		}
		fmt.Println("process", os.Getpid(), "took", s.Shelf[i])
	}
	return nil
}
