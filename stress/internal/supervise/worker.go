package supervise

import (
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"interlock/stress/internal/arena"
	"interlock/stress/internal/procfs"
	"interlock/stress/internal/report"
	"interlock/stress/internal/scenario"
)

// WorkerCommand is the first argument of a worker process.
const WorkerCommand = "_worker"

// known are the scenarios that a worker can play; tests have others.
var known = scenario.All

// Know makes other scenarios known, those of a program that is not stress.
func Know(plans []*scenario.Plan) { known = func() []*scenario.Plan { return plans } }

// workerArgs is the worker's command line; ps shows it.
func workerArgs(name string, slot int, gen uint32) []string {
	return []string{"stress", WorkerCommand, name, strconv.Itoa(slot), strconv.Itoa(int(gen))}
}

// Work is the main function of a worker process: args are NAME SLOT GEN.
func Work(args []string) int {
	plan, slot, gen, err := parseWorker(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return int(report.Usage)
	}
	a, err := arena.Open()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return int(report.Setup)
	}
	if slot < 0 || slot >= int(a.Procs.Load()) {
		fmt.Fprintf(os.Stderr, "stress: no slot %d in this run\n", slot)
		return int(report.Usage)
	}
	w := scenario.NewWorker(a, slot, gen)
	w.Slot.PID.Store(uint32(os.Getpid()))
	w.Slot.Gen.Store(gen)
	if points := a.Points(); int(points.Victim.Load()) == slot+1 {
		procfs.Humble(os.Getpid(), points.Idle.Load() != 0)
	}
	body, err := plan.Attach(w)
	if err != nil {
		fmt.Fprintf(os.Stderr, "stress: attaching: %v\n", err)
		w.Slot.State.Store(arena.SlotBroken)
		return int(report.Setup)
	}
	w.Observe(plan)
	w.Slot.State.Store(arena.SlotReady)
	for a.Phase.Load() == arena.PhaseStart {
		time.Sleep(200 * time.Microsecond)
	}
	go w.Watch(body.Nudge)
	var lanes sync.WaitGroup
	for j := range int(a.Lanes.Load()) {
		lanes.Add(1)
		go func() {
			defer lanes.Done()
			drive(w.Lane(j), body)
		}()
	}
	lanes.Wait()
	w.Slot.State.Store(arena.SlotLeft)
	return 0
}

func parseWorker(args []string) (plan *scenario.Plan, slot int, gen uint32, err error) {
	bad := fmt.Errorf("stress: %s is how stress starts its workers; it is of no use by hand", WorkerCommand)
	if len(args) != 3 {
		return nil, 0, 0, bad
	}
	for _, p := range known() {
		if p.Name == args[0] {
			plan = p
		}
	}
	slot, err1 := strconv.Atoi(args[1])
	g, err2 := strconv.ParseUint(args[2], 10, 32)
	if plan == nil || err1 != nil || err2 != nil {
		return nil, 0, 0, bad
	}
	return plan, slot, uint32(g), nil
}

// drive repeats the operation until it is time to leave.
func drive(l *scenario.Lane, body scenario.Body) {
	a := l.W.Arena
	for {
		switch a.Phase.Load() {
		case arena.PhaseStop:
			l.Label.Store(scenario.LabelIdle)
			return
		case arena.PhasePause:
			l.Label.Store(scenario.LabelParked)
			time.Sleep(200 * time.Microsecond)
			continue
		}
		if err := body.Step(l); err != nil {
			fmt.Fprintf(os.Stderr, "stress: lane %d: %v\n", l.ID, err)
			os.Exit(int(report.Died))
		}
	}
}
