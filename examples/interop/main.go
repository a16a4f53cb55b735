// Interop shares a struct with a program in another language, which it builds and
// starts:
//
//	go run ./examples/interop c
//	go run ./examples/interop c++
//	go run ./examples/interop python
//	go run ./examples/interop rust
//
// Both count under one mutex, hand over a value by a seqlock and two semaphores, and
// wait for each other by a condition variable. In the end the other one is killed
// while it holds the mutex, and we repair what it left. (Rust does without seqlock and
// condition variable: it calls glibc only.)
package main

import (
	"context"
	"embed"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"interlock/condvar"
	"interlock/include"
	"interlock/mutex"
	"interlock/semaphore"
	"interlock/seqlock"
	"interlock/shm"
)

// Price is what the other one makes known.
type Price struct{ Number, Cents uint64 }

// Shared is what both have. The others' side of it is in peers/peer.h and its like.
type Shared struct {
	Mu       mutex.Mutex
	Changed  condvar.Cond // Count is now Enough
	Count    uint64
	Price    seqlock.Seqlock[Price]
	GoTurn   semaphore.Semaphore
	PeerTurn semaphore.Semaphore
}

const (
	each   = 100_000   // what each adds to Count, one at a time
	enough = 1_000_000 // what Count is set to in the end
)

//go:embed peers
var peers embed.FS

// A language is how its program is built in a folder that has all of peers, and run.
type language struct {
	tool       string
	build, run []string
}

var languages = map[string]language{
	"c": {"gcc", []string{"gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-pthread", "-o", "peer", "peer.c"},
		[]string{"./peer"}},
	"c++": {"g++", []string{"g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-pthread", "-o", "peer", "peer.cpp"},
		[]string{"./peer"}},
	"python": {"python3", []string{"gcc", "-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-pthread", "-shared", "-fPIC", "-o", "interlock.so", "binding.c"},
		[]string{"python3", "peer.py"}},
	"rust": {"rustc", []string{"rustc", "--edition", "2021", "-D", "warnings", "-o", "peer", "peer.rs"},
		[]string{"./peer"}},
}

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 || languages[os.Args[1]].tool == "" {
		log.Fatal("usage: interop c | c++ | python | rust")
	}
	dir, err := os.MkdirTemp("", "interop-")
	if err != nil {
		log.Fatal(err)
	}
	name := fmt.Sprintf("/interop-%d", os.Getpid())
	err = play(os.Args[1], dir, name)
	os.RemoveAll(dir)
	shm.Remove(name)
	if err != nil {
		log.Fatal(err)
	}
}

// play is our part.
func play(lang, dir, name string) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s, seg, err := shm.Share(ctx, name, func(s *Shared) error {
		s.GoTurn.Init(0) // Init is for sem_wait and pthread_mutex_lock: zero is ready for Go
		s.PeerTurn.Init(0)
		return s.Mu.Init()
	})
	if err != nil {
		return err
	}
	defer seg.Close()
	s.Mu.OnOwnerDeath(func(pid int) error {
		fmt.Printf("go: it died with the mutex; the count was %d\n", s.Count)
		s.Count = 0
		return nil
	})
	peer, err := start(lang, dir, name)
	if err != nil {
		return err
	}
	defer peer.Process.Kill()
	ended := make(chan error, 1)
	go func() {
		ended <- peer.Wait()
		cancel() // we wait for it no more
	}()

	for range each {
		s.Mu.Lock()
		s.Count++
		s.Mu.Unlock()
	}
	if err := s.GoTurn.Acquire(ctx); err != nil { // it has counted too
		return fmt.Errorf("the other program: %w, %w", err, <-ended)
	}
	fmt.Printf("go: each has counted to %d: %d together\n", each, s.Count)
	if lang != "rust" {
		var p Price
		if err := s.Price.Load(ctx, &p); err != nil {
			return err
		}
		fmt.Printf("go: price %d is %d cents\n", p.Number, p.Cents)
	}
	s.Mu.Lock()
	s.Count = enough
	s.Changed.Broadcast()
	s.Mu.Unlock()
	if err := s.PeerTurn.Release(); err != nil {
		return err
	}
	fmt.Printf("go: it ended by %v\n", <-ended) // its last act
	s.Mu.Lock()
	fmt.Printf("go: repaired; the count is %d\n", s.Count)
	s.Mu.Unlock()
	return nil
}

// start builds the other program and runs it.
func start(lang, dir, name string) (*exec.Cmd, error) {
	l := languages[lang]
	for _, tool := range []string{l.tool, l.build[0]} {
		if _, err := exec.LookPath(tool); err != nil {
			return nil, fmt.Errorf("this example needs %s: %w", tool, err)
		}
	}
	if err := os.CopyFS(dir, peers); err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "peers")
	if err := os.WriteFile(filepath.Join(dir, "interlock.h"), []byte(include.Header), 0o600); err != nil {
		return nil, err
	}
	build := exec.Command(l.build[0], l.build[1:]...)
	build.Dir, build.Stdout, build.Stderr = dir, os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("%v: %w", build.Args, err)
	}
	run := exec.Command(l.run[0], append(l.run[1:], name)...)
	run.Dir, run.Stdout, run.Stderr = dir, os.Stdout, os.Stderr
	return run, run.Start()
}
