package explore

import (
	"interlock/stress/internal/schedule/oracle"
	"interlock/stress/internal/schedule/sim"
)

// A scenario is who does what, and how thoroughly it is searched.
type scenario struct {
	name        string
	about       string
	processes   int                    // unless asked for otherwise
	roles       func(n int) [][]string // of n processes
	preemptions int
	kills       int
	late        bool                      // threads of the killed may run on
	mortal      func(p *sim.Process) bool // who may be killed just now; nil: anybody
	strict      bool                      // no death there can take a wake along, so nobody may need a look
	noWaitv     bool                      // the kernel has no futex_waitv
	pooled      bool                      // one thread of a process sleeps for all of its waiters
	set         oracle.Setting
	excused     func() bool
}

// each is every process in the same role.
func each(role string) func(n int) [][]string {
	return func(n int) (all [][]string) {
		for range n {
			all = append(all, []string{role})
		}
		return all
	}
}

// cast is a process for each list of roles, one for each of its goroutines. Processes
// beyond those play as the last one does.
func cast(processes ...[]string) func(n int) [][]string {
	return func(n int) (all [][]string) {
		for i := range n {
			all = append(all, processes[min(i, len(processes)-1)])
		}
		return all
	}
}

// execute runs the scenario once.
func (s *scenario) execute(processes int, choose sim.Chooser, kill, trace bool) *sim.Result {
	oracle.Begin(s.set)
	return sim.Execute(sim.Config{
		Processes: s.roles(processes), Chooser: choose, Trace: trace,
		Kill: kill, Late: s.late, NoWaitv: s.noWaitv, Pooled: s.pooled,
		Mortal: s.mortal, Strict: s.strict,
		Excused: s.excused, Final: oracle.Final, Watch: oracle.Watch,
	})
}

// find returns the scenario of a name.
func find(name string) *scenario {
	for i := range scenarios {
		if scenarios[i].name == name {
			return &scenarios[i]
		}
	}
	return nil
}
