package bench

import (
	"errors"
	"fmt"
	"os"

	"interlock/shm"
	"interlock/stress/internal/bench/work"
	"interlock/stress/internal/report"
)

// WorkerCommand is the first argument of a worker process of this package.
const WorkerCommand = "_bench"

// A role is what a worker process does.
type role func(c *work.Conn, args []string) error

// roles has every role by name. (A function: lines know roles by name only, so
// that a comparison's file can hold both.)
func roles() map[string]role {
	return map[string]role{
		"pairs":   servePairs,
		"contend": serveContend,
		"crowd":   serveCrowd,
		"ping":    servePing,
		"bulk":    serveBulk,
		"read":    serveRead,
		"hold":    serveHold,
		"recover": serveRecover,
		"first":   serveFirst,
		"memory":  serveMemory,
	}
}

// Work is the main function of a worker process: args are ROLE and what the role
// wants to know.
func Work(args []string) int {
	if len(args) == 0 || roles()[args[0]] == nil {
		fmt.Fprintf(os.Stderr, "stress: %s is how stress bench starts its workers; it is of no use by hand\n", WorkerCommand)
		return int(report.Usage)
	}
	if err := roles()[args[0]](work.NewConn(os.Stdin, os.Stdout), args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "stress: %s: %v\n", args[0], err)
		if errors.Is(err, work.ErrBroke) {
			return int(report.Broke)
		}
		return int(report.Setup)
	}
	return 0
}

// firstFile is the descriptor of the first file that a worker inherits: its
// memory, if it shares some.
const firstFile = 3

// inherit maps the memory that a worker shares, and lays a T over it. The mapping
// lasts as long as the process.
func inherit[T any](opts ...shm.Option) (*T, []byte, error) {
	seg, err := shm.FromFile(os.NewFile(firstFile, "interlock-bench"), append(opts, shm.Populate)...)
	if err != nil {
		return nil, nil, err
	}
	t, err := shm.At[T](seg.Bytes(), 0)
	return t, seg.Bytes(), err
}
