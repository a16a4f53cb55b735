// Ring passes lines from one process to another through a ring buffer in shared
// memory, with a semaphore for the free slots and one for the full ones.
//
//	go run ./examples/ring read               in one terminal
//	seq 1000 | go run ./examples/ring write   in another
//	rm /dev/shm/ring                          when done
//
// A line longer than a slot is refused.
//
// One writer and one reader at a time: each index has one owner. The semaphores
// do both jobs of the classic program: nobody overwrites what was not read,
// nobody reads what was not written; and what was written before a Release is
// seen after the Acquire that takes its permit.
//
// A process that is killed between an Acquire and the Release that belongs to
// it takes the slot along: a semaphore does not know who holds its permits. The
// lock is held for as long as a process writes or reads, so the next one learns
// of the death there, and says so rather than going on with a ring that has a
// slot too few. (Who cannot start over keeps what is in flight in a record under
// a mutex, and recounts it in the mutex's repair.)
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"os"

	"interlock/mutex"
	"interlock/semaphore"
	"interlock/shm"
)

const slots = 64

type Slot struct {
	Len  uint32 // end: no more lines
	Line [252]byte
}

const end = 1<<32 - 1

type Ring struct {
	Writer, Reader mutex.Mutex // held by the process that is
	Free, Full     semaphore.Semaphore
	Written, Read  uint64 // slots so far
	Slots          [slots]Slot
}

func main() {
	r, seg, err := shm.Share(context.Background(), "/ring", func(r *Ring) error {
		r.Free.Init(slots)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	defer seg.Close()
	switch {
	case len(os.Args) == 2 && os.Args[1] == "write":
		err = r.write()
	case len(os.Args) == 2 && os.Args[1] == "read":
		err = r.read()
	default:
		err = errors.New("usage: ring write|read")
	}
	if err != nil {
		log.Fatal(err)
	}
}

// join makes this process the only one on its side of the ring.
func (r *Ring) join(side *mutex.Mutex) error {
	side.OnOwnerDeath(func(int) error { return mutex.ErrNotRecoverable })
	err := side.LockContext(context.Background())
	if errors.Is(err, mutex.ErrNotRecoverable) {
		err = fmt.Errorf("%w; start over: rm /dev/shm/ring", err)
	}
	if err == nil {
		fmt.Fprintln(os.Stderr, "process", os.Getpid(), "has its side of the ring")
	}
	return err
}

func (r *Ring) write() error {
	if err := r.join(&r.Writer); err != nil {
		return err
	}
	defer r.Writer.Unlock()
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if err := r.put(in.Bytes(), false); err != nil {
			return err
		}
	}
	return errors.Join(in.Err(), r.put(nil, true))
}

func (r *Ring) put(line []byte, last bool) error {
	if most := len(r.Slots[0].Line); len(line) > most {
		return fmt.Errorf("a line of %d bytes: a slot has room for %d", len(line), most)
	}
	if err := r.Free.Acquire(context.Background()); err != nil {
		return err
	}
	s := &r.Slots[r.Written%slots]
	s.Len = uint32(copy(s.Line[:], line))
	if last {
		s.Len = end
	}
	r.Written++
	return r.Full.Release()
}

func (r *Ring) read() error {
	if err := r.join(&r.Reader); err != nil {
		return err
	}
	defer r.Reader.Unlock()
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		if r.Full.Value() == 0 {
			out.Flush() // before waiting: somebody may be looking
		}
		if err := r.Full.Acquire(context.Background()); err != nil {
			return err
		}
		s := &r.Slots[r.Read%slots]
		last := s.Len == end
		if !last {
			fmt.Fprintf(out, "%s\n", s.Line[:min(s.Len, uint32(len(s.Line)))])
		}
		r.Read++
		if err := r.Free.Release(); err != nil || last {
			return err
		}
	}
}
