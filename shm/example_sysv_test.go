package shm_test

import (
	"errors"
	"fmt"
	"log"
	"os"

	"interlock/mutex"
	"interlock/shm"
)

// The classic program: a key made of a file's name, a segment, and all that
// ipcs -m shows of it.
func ExampleSysVCreate() {
	file, err := os.CreateTemp("", "interlock-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	key, err := shm.Ftok(file.Name(), 'A') // every program that knows the file can
	if err != nil {
		log.Fatal(err)
	}

	seg, err := shm.SysVCreate(key, 6000) // shmget and shmat
	if err != nil {
		fmt.Println(err) // who has the key, if it is taken
		return
	}
	id, _ := seg.SysVID()
	defer shm.SysVRemove(id)
	copy(seg.Bytes(), "hello")

	again, err := shm.SysVOpen(key, shm.ReadOnly) // another process would do this
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, at another address: %v\n", again.Bytes()[:5], &again.Bytes()[0] != &seg.Bytes()[0])

	info, err := shm.SysVStat(id)
	fmt.Printf("%d bytes, mode %04o, attached %d times, %v\n", info.Size, info.Mode, info.Attached, err)

	seg.Close() // shmdt
	fmt.Println("removed:", shm.SysVRemove(id))
	fmt.Printf("%s is still here\n", again.Bytes()[:5])
	again.Close() // the last one: now it is gone
	_, err = shm.SysVOpen(key)
	fmt.Println("gone:", err != nil)
	// Output:
	// hello, at another address: true
	// 6000 bytes, mode 0600, attached 2 times, <nil>
	// removed: <nil>
	// hello is still here
	// gone: true
}

// What OpenOrCreate does for a name, for a key: whoever comes first makes the
// segment, and whoever takes its mutex first puts into it what zeros are not. If
// one dies in the midst of that, the next starts over.
func ExampleSysVCreate_initialise() {
	type Shared struct {
		Mu    mutex.Mutex
		Made  uint32 // 1 when the rest is initialised; the mutex guards all
		_     uint32
		Price [4]uint64
	}
	open := func(key shm.Key) (*Shared, *shm.Segment, error) {
		seg, err := shm.SysVCreate(key, 4096)
		if errors.Is(err, shm.ErrExist) {
			seg, err = shm.SysVOpen(key)
		}
		if err != nil {
			return nil, nil, err
		}
		s, err := shm.At[Shared](seg.Bytes(), 0)
		if err != nil {
			return nil, nil, errors.Join(err, seg.Close())
		}
		s.Mu.OnOwnerDeath(func(pid int) error { return nil }) // half made is made anew below
		s.Mu.Lock()
		defer s.Mu.Unlock()
		if s.Made == 0 {
			s.Price = [4]uint64{10, 20, 30, 40}
			s.Made = 1
			fmt.Println("initialised")
		}
		return s, seg, nil
	}

	file, err := os.CreateTemp("", "interlock-example-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	key, err := shm.Ftok(file.Name(), 'B')
	if err != nil {
		log.Fatal(err)
	}
	for range 2 { // two programs would do this
		s, seg, err := open(key)
		if err != nil {
			log.Fatal(err)
		}
		defer seg.Close()
		id, _ := seg.SysVID()
		defer shm.SysVRemove(id)
		fmt.Println(s.Price)
	}
	// Output:
	// initialised
	// [10 20 30 40]
	// [10 20 30 40]
}

// A segment that nothing is left of, however its processes end: it is removed
// as soon as all have it, and they find it by its identifier.
func ExampleSysVOpenID() {
	seg, err := shm.SysVCreate(shm.Private, 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer seg.Close()
	id, _ := seg.SysVID()

	peer, err := shm.SysVOpenID(id) // by whom the id was passed to
	if err != nil {
		fmt.Println(err)
	}
	shm.SysVRemove(id)

	seg.Bytes()[0] = 7
	fmt.Println(peer.Bytes()[0])
	fmt.Println(peer.Close())
	// Output:
	// 7
	// <nil>
}
