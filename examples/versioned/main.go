// Versioned keeps a setting in a mapped file: it survives a restart of the
// machine, every process sees a change at once, and readers write nothing.
//
//	go run ./examples/versioned FILE               print it
//	go run ./examples/versioned FILE "some text"   change it
//	go run ./examples/versioned FILE -watch        print every change
//
// The value is in a seqlock, so a reader never sees half of a change. Whether a
// change is on the disk is another question: Sync answers it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"interlock/seqlock"
	"interlock/shm"
)

type Setting struct {
	Version uint64
	Len     uint32
	Text    [244]byte
}

const size = 4096

func main() {
	if len(os.Args) < 2 || len(os.Args) > 3 {
		log.Fatal("usage: versioned FILE [TEXT | -watch]")
	}
	ctx := context.Background()
	set := len(os.Args) == 3 && os.Args[2] != "-watch"
	option := shm.ReadOnly // Load writes nothing
	if set {
		option = shm.CreateFile
	}
	seg, err := shm.OpenFile(os.Args[1], size, option)
	if err != nil {
		log.Fatal(err)
	}
	defer seg.Close()
	s, err := shm.At[seqlock.Seqlock[Setting]](seg.Bytes(), 0)
	if err != nil {
		log.Fatal(err)
	}
	switch {
	case set:
		err = change(ctx, s, os.Args[2])
		if err == nil {
			err = seg.Sync() // on the disk when this returns nil
		}
	case len(os.Args) == 3:
		err = watch(ctx, s)
	default:
		err = show(ctx, s, nil)
	}
	if err != nil {
		log.Fatal(err)
	}
}

func change(ctx context.Context, s *seqlock.Seqlock[Setting], text string) error {
	err := s.Update(ctx, func(v *Setting) {
		v.Version++
		v.Len = uint32(copy(v.Text[:], text))
	})
	if errors.Is(err, seqlock.ErrWriterDead) { // half a change: only a whole one repairs it
		v := Setting{Version: uint64(time.Now().UnixNano())}
		v.Len = uint32(copy(v.Text[:], text))
		err = s.Store(ctx, &v)
	}
	return err
}

func show(ctx context.Context, s *seqlock.Seqlock[Setting], after *uint64) error {
	var v Setting
	if err := s.Load(ctx, &v); err != nil {
		return err
	}
	if after != nil && v.Version == *after {
		return nil
	}
	fmt.Printf("version %d: %s\n", v.Version, v.Text[:min(v.Len, uint32(len(v.Text)))])
	if after != nil {
		*after = v.Version
	}
	return nil
}

// watch polls: a reader of a file that it may not write cannot ask to be woken.
func watch(ctx context.Context, s *seqlock.Seqlock[Setting]) error {
	var seen uint64
	for {
		if err := show(ctx, s, &seen); err != nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}
