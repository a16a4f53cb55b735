// Command peers is what stress bench compares with from other people's packages:
// gVisor's seqlock and flipcall, and gofrs/flock. It is a worker like those of
// stress itself, and understands the same orders.
package main

import (
	"fmt"
	"os"

	"interlock/shm"
	"interlock/stress/internal/bench/work"
)

func main() {
	roles := map[string]func(c *work.Conn, args []string) error{
		"seqcount": readers,
		"flipcall": calls,
		"flock":    locks,
	}
	if len(os.Args) < 2 || roles[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "stress bench starts this program; it is of no use by hand")
		os.Exit(2)
	}
	if err := roles[os.Args[1]](work.NewConn(os.Stdin, os.Stdout), os.Args[2:]); err != nil {
		fmt.Fprintf(os.Stderr, "peers: %s: %v\n", os.Args[1], err)
		os.Exit(4)
	}
}

// inherit maps the memory that this process shares, descriptor 3, for good.
func inherit[T any](opts ...shm.Option) (*T, error) {
	seg, err := shm.FromFile(os.NewFile(3, "interlock-bench"), append(opts, shm.Populate)...)
	if err != nil {
		return nil, err
	}
	return shm.At[T](seg.Bytes(), 0)
}
