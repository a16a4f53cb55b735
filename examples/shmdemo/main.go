// Shmdemo is the tutorial's first program: a line of text in shared memory.
//
//	go run ./examples/shmdemo "hello there"   write it
//	go run ./examples/shmdemo                 read it
//	rm /dev/shm/shmdemo                       forget it
//
// The tutorial's version reads while another one writes, and copies with
// strncpy, which leaves no terminator when the text just fits. Here the text has
// its length beside it, and a lock around both.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"interlock/mutex"
	"interlock/shm"
)

type Board struct {
	Mu   mutex.Mutex
	Len  uint32
	Text [1020]byte
}

func main() {
	b, seg, err := shm.Share[Board](context.Background(), "/shmdemo", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer seg.Close()
	b.Mu.OnOwnerDeath(func(pid int) error {
		b.Len = 0 // the text may be half of one and half of another
		return nil
	})

	b.Mu.Lock()
	defer b.Mu.Unlock()
	if len(os.Args) > 1 {
		b.Len = uint32(copy(b.Text[:], os.Args[1]))
		fmt.Printf("writing to segment: %q\n", b.Text[:b.Len])
		return
	}
	fmt.Printf("segment contains: %q\n", b.Text[:b.Len])
}
