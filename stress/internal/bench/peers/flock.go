package main

import (
	"strconv"
	"sync/atomic"

	"github.com/gofrs/flock"

	"interlock/stress/internal/bench/work"
)

// locks passes the turn with three locked files and nothing else. args are the side
// and the files.
func locks(c *work.Conn, args []string) error {
	over, err := inherit[atomic.Uint32]()
	if err != nil {
		return err
	}
	side, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var three [3]work.Lock
	for i, path := range args[1:4] {
		three[i] = flock.New(path)
	}
	baton, err := work.NewBaton(side, three)
	if err != nil {
		return err
	}
	p := &work.Player{Link: baton, Over: over}
	return p.Play(c, side)
}
