package trial

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"interlock/shm"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
	"interlock/stress/internal/supervise"
)

// Puzzle is a task for people who learn, with a solution that is to be checked: see
// Producers, ReadersWriters and Philosophers.
//
// A solution is a struct that is laid over shared memory, which is zero at first and which
// every worker process sees; so it has no pointers, strings, slices or maps in it. Its
// methods are called by each worker, which has one goroutine. Arrive is called once in
// each of them, before all else, also in one that takes the place of one that was killed.
type Puzzle struct{ plan *scenario.Plan }

// Buffer is a solution of the producers' puzzle. Nobody is killed inside its methods.
type Buffer interface {
	Arrive()
	Put(item uint64) // waits, asleep, while Room items are in it
	Get() uint64     // waits, asleep, while none is in it
}

// Room is how many items a Buffer has room for.
const Room = scenario.Room

// Page is a solution of the readers' puzzle. Everybody may be killed anywhere.
type Page interface {
	Arrive()
	StartRead(me int) // me is who calls: less than Visitors
	EndRead(me int)
	StartWrite(me int)
	EndWrite(me int)
}

// Visitors is how many read and write a Page, each with a number of its own.
const Visitors = scenario.Visitors

// Diner is a solution of the philosophers' puzzle. Everybody may be killed anywhere.
type Diner interface {
	Arrive()
	Dine(s Seat) // one meal
}

// Seats is how many philosophers there are, and how many forks.
const Seats = scenario.Seats

// Seat is a philosopher's place at the table. What is said there is how the check learns
// who has which fork.
type Seat interface {
	Left() int     // the number of the fork on the left
	Right() int    // and on the right, which is the left one of the next philosopher
	Took(fork int) // says that the philosopher has the fork, after it was taken
	Eat()          // is the meal; both forks must be in the hand
	Gave(fork int) // says that the fork goes out of the hand, before it does
}

// Producers checks a T as a bounded buffer between two producers and two consumers, some
// of whom are killed with an item in the hand: no other item is lost, none comes twice,
// there are never more than Room in it, and whoever waits uses no CPU.
func Producers[T any, P interface {
	*T
	Buffer
}](name string) Puzzle {
	return Puzzle{scenario.Producers{Name: name, Size: arena.SizeOf[T](), Attach: func(mem []byte) (scenario.Buffer, error) {
		t, err := lay[T](mem)
		if err != nil {
			return scenario.Buffer{}, err
		}
		p := P(t)
		p.Arrive()
		return scenario.Buffer{Put: p.Put, Get: p.Get}, nil
	}}.Plan()}
}

// ReadersWriters checks how a T lets readers and writers in, some of whom are killed:
// readers share, a writer is alone, nobody sees half of a change, and nobody starves.
func ReadersWriters[T any, P interface {
	*T
	Page
}](name string) Puzzle {
	return Puzzle{scenario.ReadersWriters{Name: name, Size: arena.SizeOf[T](), Attach: func(mem []byte) (scenario.Page, error) {
		t, err := lay[T](mem)
		if err != nil {
			return scenario.Page{}, err
		}
		p := P(t)
		p.Arrive()
		return scenario.Page{StartRead: p.StartRead, EndRead: p.EndRead, StartWrite: p.StartWrite, EndWrite: p.EndWrite}, nil
	}}.Plan()}
}

// Philosophers checks how a T dines, with philosophers who are killed at the table: no
// fork is in two hands, the meals are counted exactly, and everybody else eats on.
func Philosophers[T any, P interface {
	*T
	Diner
}](name string) Puzzle {
	return Puzzle{scenario.Philosophers{Name: name, Size: arena.SizeOf[T](), Attach: func(mem []byte) (func(*scenario.Seat), error) {
		t, err := lay[T](mem)
		if err != nil {
			return nil, err
		}
		p := P(t)
		p.Arrive()
		return func(s *scenario.Seat) { p.Dine(s) }, nil
	}}.Plan()}
}

// lay lays a solution over shared memory.
func lay[T any](mem []byte) (*T, error) {
	t, err := shm.At[T](mem, 0)
	if err != nil {
		return nil, fmt.Errorf("a solution is laid over shared memory: %w", err)
	}
	return t, nil
}

// Solve is a whole program that checks yours or, with -solved, ours. It prints a verdict,
// and of a failure what is wrong, leaves a folder with what there is to know, and exits
// with a code as the stress command does: 0 solved, 1 an invariant broke, 3 a hang or
// somebody starves, 5 a worker died of its own. Solve does not return.
func Solve(yours, ours Puzzle) {
	work([]*scenario.Plan{yours.plan, ours.plan})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := solve(ctx, yours, ours, os.Args, os.Stdout, os.Stderr)
	stop()
	os.Exit(int(code))
}

// solve is Solve without the process around it.
func solve(ctx context.Context, yours, ours Puzzle, args []string, out, errs io.Writer) report.Code {
	set := flag.NewFlagSet(args[0], flag.ContinueOnError)
	set.SetOutput(errs)
	solved := set.Bool("solved", false, "check our solution instead of yours")
	duration := set.Duration("duration", scenario.PuzzleDuration, "`time` that it takes")
	kills := set.Float64("kill", scenario.PuzzleKills, "`kills` per second, on average, after the first 3.5 seconds")
	seed := set.Uint64("seed", 0, "`number` from which all random decisions follow; 0: a new one")
	switch err := set.Parse(args[1:]); {
	case errors.Is(err, flag.ErrHelp):
		return report.Pass
	case err != nil: // flag has said what
		return report.Usage
	case set.NArg() > 0 || *duration < time.Second || !(*kills >= 0 && *kills <= maxKills):
		fmt.Fprintf(errs, "no arguments but flags; -duration: a second at least; -kill: 0 to %d\n", maxKills)
		return report.Usage
	}
	p := yours
	if *solved {
		p = ours
	}
	if *seed == 0 {
		*seed = rand.Uint64()>>32 | 1
	}
	r := supervise.Run(ctx, p.plan, supervise.Options{
		Shape: p.plan.Shape, Duration: *duration, Hang: scenario.PuzzleHang, KillRate: *kills, Seed: *seed,
	})
	tell(r, out)
	if r.Code.Fails() {
		leave(r, args, fmt.Sprintf("-solved=%v -duration %v -kill %v -seed %#x", *solved, *duration, *kills, *seed), out)
	}
	return r.Code
}
