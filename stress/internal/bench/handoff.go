package bench

import (
	"os"
	"strconv"
)

// runHandoff compares with packages that one might choose to pass the turn between
// processes.
func runHandoff(r *Rig) error {
	if err := twoCPUs(); err != nil {
		return err
	}
	window, err := memory[[4 << 10]byte](r, 0)
	if err != nil {
		return err
	}
	calls := &Row{Name: "semaphore", Unit: Nanoseconds, Against: "gVisor flipcall", Reach: faster(1)}
	if err := r.handoff(calls, "sem", "flipcall", nil, window.file); err != nil {
		return err
	}
	board, err := memory[pingBoard](r, 0)
	if err != nil {
		return err
	}
	files, _, err := lockFiles(r, "")
	if err != nil {
		return err
	}
	locks := &Row{Name: "a baton of three mutexes", Unit: Nanoseconds, Against: "the same of gofrs/flock", Reach: faster(1)}
	return r.handoff(locks, "baton", "flock", files, board.file)
}

// handoff compares one of our links with two processes of the rivals' program.
func (r *Rig) handoff(row *Row, kind, role string, args []string, file *os.File) error {
	ours, err := r.pair(kind, 0, nil)
	if err != nil {
		return err
	}
	var two []*proc
	for _, side := range []int{1, 0} {
		p, err := r.rival(role, append([]string{strconv.Itoa(side)}, args...), file)
		if err != nil {
			return r.without(err, row)
		}
		if err := p.expect("ready"); err != nil {
			return err
		}
		two = append(two, p)
	}
	return r.compare(row, middle("ping", apart(ours)...), middle("ping", apart(two)...))
}
