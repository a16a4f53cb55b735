package main

import (
	"encoding/binary"
	"fmt"
	"os"

	"gvisor.dev/gvisor/pkg/flipcall"

	"interlock/stress/internal/bench/work"
)

// calls is one end of a flipcall connection, in the page that descriptor 3 is:
// side 0 calls, side 1 answers with the number that came.
func calls(c *work.Conn, args []string) error {
	side := map[string]flipcall.EndpointSide{"0": flipcall.ClientSide, "1": flipcall.ServerSide}[args[0]]
	ep, err := flipcall.NewEndpoint(side, flipcall.PacketWindowDescriptor{FD: 3, Length: 4 << 10})
	if err != nil {
		return err
	}
	if side == flipcall.ServerSide {
		go answer(ep) // it sends and waits in one call, so it cannot stop between two slices
		if err := c.Say("ready"); err != nil {
			return err
		}
		return c.Serve(func(work.Order) (work.Answer, error) { return work.Answer{}, nil })
	}
	if err := ep.Connect(); err != nil {
		return err
	}
	if err := c.Say("ready"); err != nil {
		return err
	}
	sent := uint64(0)
	return c.Serve(func(o work.Order) (a work.Answer, err error) {
		a = o.Batches(func(n int) {
			for range n {
				if err == nil {
					sent++
					err = call(ep, sent)
				}
			}
		})
		return a, err
	})
}

func call(ep *flipcall.Endpoint, n uint64) error {
	binary.NativeEndian.PutUint64(ep.Data(), n)
	if _, err := ep.SendRecvFast(8); err != nil {
		return err
	}
	if got := binary.NativeEndian.Uint64(ep.Data()); got != n+1 {
		return fmt.Errorf("%w: the answer to %d is %d", work.ErrBroke, n, got)
	}
	return nil
}

// answer never returns: the process ends with the measurement.
func answer(ep *flipcall.Endpoint) {
	_, err := ep.RecvFirst()
	for err == nil {
		n := binary.NativeEndian.Uint64(ep.Data())
		binary.NativeEndian.PutUint64(ep.Data(), n+1)
		_, err = ep.SendRecvFast(8)
	}
	fmt.Fprintln(os.Stderr, "peers:", err)
	os.Exit(4)
}
