package tracer

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"interlock/internal/park"
	"interlock/mutex"
	"interlock/stress/internal/arena"
	"interlock/stress/internal/ptrace"
	"interlock/stress/internal/report"
)

// ActorCommand is the first argument of a process that plays a part here.
const ActorCommand = "_actor"

// stageFD is the descriptor under which an actor inherits the stage.
const stageFD = 3

// An actor is such a process, seen from inside: a victim, or a survivor. It does
// what it is told on standard input, one line each, and answers each with
//
//	RESULT TIME LOOKS     the result of an order, CLOCK_MONOTONIC when it had it, and how
//	                      often its process had looked by then
type actor struct {
	st  *stage
	pid uint32

	looks  *atomic.Uint32
	acting bool // it is the victim, and traced
}

var bg = context.Background()

// Work is the main function of an actor.
func Work(args []string) int {
	f := os.NewFile(stageFD, "interlock-tracer")
	info, err := f.Stat()
	place, err1 := strconv.ParseUint(strings.Join(args, " "), 10, 8)
	if err != nil || err1 != nil || place >= places || info.Size() != int64(stageSize()) {
		fmt.Fprintf(os.Stderr, "stress: %s is how stress everywhere starts its processes; it is of no use by hand\n", ActorCommand)
		return int(report.Usage)
	}
	unix.CloseOnExec(stageFD)
	mem, err := mapStage(f)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return int(report.Setup)
	}
	st := arena.At[stage](mem, 0)
	a := &actor{st: st, pid: uint32(os.Getpid()), looks: &st.Looks[place]}
	if place != nobody {
		a.countLooks()
	}
	a.st.M.OnOwnerDeath(a.repair)
	a.answer(fmt.Sprintf("%d,%d", arena.Address(a.st), endAddress()))
	for orders := bufio.NewScanner(os.Stdin); orders.Scan(); {
		a.answer(a.obey(orders.Text()))
	}
	return 0
}

func (a *actor) answer(result string) { fmt.Printf("%s %d %d\n", result, arena.Now(), a.looks.Load()) }

// countLooks queues up for a word that nothing ever happens to, only to be asked to look
// at it, before all others of this process: its bucket is the first of those tried.
func (a *actor) countLooks() {
	const tried = 1 << 11
	words := make([]atomic.Uint32, tried)
	bucket := func(w *atomic.Uint32) uint64 { return arena.Address(park.BucketAt(uintptr(arena.Address(w)))) }
	first := &words[0]
	for i := range words {
		if bucket(&words[i]) < bucket(first) {
			first = &words[i]
		}
	}
	park.EnterAcquire(first, func() park.Finding { a.looks.Add(1); return park.Quiet })
}

// obey carries out one order.
func (a *actor) obey(order string) string {
	verb, rest, _ := strings.Cut(order, " ")
	switch verb {
	case "prepare", "act":
		i, err := strconv.Atoi(rest)
		if err != nil || i < 0 || i >= len(plays()) {
			return "no-such-play"
		}
		if verb == "prepare" {
			return a.prepare(plays()[i])
		}
		a.acting = true
		a.st.Said.Store(saidBegun)
		plays()[i].act(a)
		a.st.Said.Store(saidDone)
		windowEnd()
		return "ok"
	}
	f := orders[verb]
	if f == nil {
		return "no-such-order"
	}
	n, _ := strconv.ParseUint(rest, 10, 64)
	return f(a, n)
}

func (a *actor) prepare(p *play) string {
	ptrace.GrowStack(64)
	if p.prepare != nil {
		p.prepare(a)
	}
	return "ok"
}

// windowEnd is where the tracer stops a victim that has come to the end.
//
//go:noinline
func windowEnd() {}

func endAddress() uintptr { return reflect.ValueOf(windowEnd).Pointer() }

// An order is what a survivor can be told to do.
type order func(a *actor, n uint64) (result string)

var orders = map[string]order{}

func register(more map[string]order) {
	for name, f := range more {
		orders[name] = f
	}
}

const saidCondemned = "condemned"

// said is the answer to a call that returned err.
func said(err error) string {
	switch {
	case err == nil:
		return "ok"
	case errors.Is(err, mutex.ErrNotRecoverable):
		return saidCondemned
	}
	return strings.ReplaceAll(err.Error(), " ", "_")
}
