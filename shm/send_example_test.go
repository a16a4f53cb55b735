package shm_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"

	"interlock/seqlock"
	"interlock/shm"
)

// Memory shared with a child. In C one would map anonymous memory and fork; a
// Go program starts its child with the descriptor of a Memfd.
func ExampleMemfd() {
	type Shared struct{ Sum atomic.Uint64 }
	if os.Getenv("EXAMPLE_CHILD") != "" {
		seg, err := shm.FromFile(os.NewFile(3, "sum"), shm.RequireSeals(shm.SealShrink))
		if err != nil {
			log.Fatal(err)
		}
		s, err := shm.At[Shared](seg.Bytes(), 0)
		if err != nil {
			log.Fatal(err)
		}
		s.Sum.Add(40)
		os.Exit(0)
	}

	seg, err := shm.Memfd("sum", 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer seg.Close()
	if err := seg.Seal(shm.SealShrink | shm.SealGrow); err != nil {
		log.Fatal(err)
	}
	s, err := shm.At[Shared](seg.Bytes(), 0)
	if err != nil {
		log.Fatal(err)
	}
	s.Sum.Add(2)
	child := exec.Command("/proc/self/exe", "-test.run=^ExampleMemfd$")
	child.Env = append(os.Environ(), "EXAMPLE_CHILD=1")
	child.ExtraFiles = []*os.File{seg.File()} // descriptor 3 in the child
	if err := child.Run(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(s.Sum.Load())
	// Output: 42
}

// A configuration that is made once and handed to others, who check it once:
// nobody can change it under their eyes.
func ExampleSealed() {
	server, client := connection()
	defer server.Close()
	defer client.Close()

	config, err := shm.Sealed("config", []byte("colour = blue\n"))
	if err != nil {
		log.Fatal(err)
	}
	if err := shm.Send(server, config); err != nil {
		log.Fatal(err)
	}
	config.Close() // on its way it keeps itself

	got, err := shm.Receive(client, shm.ReadOnly, shm.RequireSeals(shm.SealShrink|shm.SealGrow|shm.SealWrite))
	if err != nil {
		log.Fatal(err)
	}
	defer got.Close()
	if !bytes.HasSuffix(got.Bytes(), []byte("\n")) {
		log.Fatal("not a configuration")
	}
	fmt.Printf("%s", got.Bytes())
	// Output: colour = blue
}

// A producer whose child may read what it goes on writing, and not write.
func ExampleSegment_ReadOnlyFile() {
	type Price struct{ Bid, Ask uint64 }
	type Feed struct{ Last seqlock.Seqlock[Price] }
	ctx := context.Background()
	if os.Getenv("EXAMPLE_CHILD") != "" {
		seg, err := shm.FromFile(os.NewFile(3, "feed"), shm.ReadOnly, shm.RequireSeals(shm.SealShrink))
		if err != nil {
			log.Fatal(err)
		}
		feed, err := shm.At[Feed](seg.Bytes(), 0)
		if err != nil {
			log.Fatal(err)
		}
		for p := (Price{}); p.Bid < 1000; {
			if err := feed.Last.Load(ctx, &p); err != nil {
				log.Fatal(err)
			}
			if p.Ask != p.Bid+1 {
				log.Fatal("torn: ", p)
			}
		}
		os.Exit(0)
	}

	seg, err := shm.Memfd("feed", 4096)
	if err != nil {
		log.Fatal(err)
	}
	defer seg.Close()
	feed, err := shm.At[Feed](seg.Bytes(), 0)
	if err != nil {
		log.Fatal(err)
	}
	feed.Last.Store(ctx, &Price{1, 2})
	// From now on nobody can resize it, or map it for writing who has not yet.
	if err := seg.Seal(shm.SealShrink | shm.SealGrow | shm.SealFutureWrite | shm.SealSeal); err != nil {
		log.Fatal(err)
	}
	view, err := seg.ReadOnlyFile()
	if err != nil {
		log.Fatal(err)
	}
	defer view.Close()
	child := exec.Command("/proc/self/exe", "-test.run=^ExampleSegment_ReadOnlyFile$")
	child.Env = append(os.Environ(), "EXAMPLE_CHILD=1")
	child.ExtraFiles = []*os.File{view}
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		log.Fatal(err)
	}
	for bid := uint64(1); bid <= 1000; bid++ {
		feed.Last.Store(ctx, &Price{bid, bid + 1})
	}
	fmt.Println("the child:", child.Wait())
	// Output: the child: <nil>
}

// connection stands for net.Listen("unix", …) and net.Dial.
func connection() (a, b *net.UnixConn) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		log.Fatal(err)
	}
	end := func(fd int) *net.UnixConn {
		f := os.NewFile(uintptr(fd), "socket")
		defer f.Close()
		c, err := net.FileConn(f)
		if err != nil {
			log.Fatal(err)
		}
		return c.(*net.UnixConn)
	}
	return end(fds[0]), end(fds[1])
}
