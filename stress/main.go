// Command stress tries to break the library: real processes hammer each
// primitive in shared memory while they are killed at any instruction, and a
// model says what must hold. See "stress help".
package main

import (
	"fmt"
	"io"
	"os"

	"interlock/stress/internal/bench"
	"interlock/stress/internal/demo"
	"interlock/stress/internal/lab"
	"interlock/stress/internal/report"
	"interlock/stress/internal/supervise"
	"interlock/stress/internal/tracer"
)

// workerCommands are the verbs with which stress starts itself again.
var workerCommands = map[string]func(args []string) (code int){
	supervise.WorkerCommand: supervise.Work,
	bench.WorkerCommand:     bench.Work,
	demo.WorkerCommand:      demo.Work,
	tracer.ActorCommand:     tracer.Work,
	lab.WorkerCommand:       lab.Work,
}

func main() {
	args := os.Args[1:]
	if len(args) > 0 && workerCommands[args[0]] != nil {
		os.Exit(workerCommands[args[0]](args[1:]))
	}
	os.Exit(int(dispatch(args, os.Stdout, os.Stderr)))
}

// command is one of the verbs. It gets what follows the verb.
type command struct {
	name  string
	about string
	run   func(args []string, out, errs io.Writer) report.Code
}

func commands() []command {
	return []command{
		{"run", "run scenarios: run [NAME…|all] [flags]", cmdRun},
		{"list", "the scenarios, one line each", cmdList},
		{"selftest", "build broken variants of the library; each must be caught: selftest [MUTANT…|-patch FILE [SCENARIO…]]", cmdSelftest},
		{"everywhere", "kill at every instruction: everywhere [OPERATION…] [flags]", cmdEverywhere},
		{"schedules", "the library's source under a scheduler that tries every order of steps", cmdSchedules},
		{"bench", "speed beside what one would use instead: bench [NAME…] [flags]", cmdBench},
		{"demo", "see what goes wrong between processes, and why: demo [NAME] [flags]", cmdDemo},
		{"inspect", "who holds, waits for and died with what in shared memory, and what to do: inspect WHAT… [flags]", cmdInspect},
		{"clean", "remove what stress itself left behind", cmdClean},
	}
}

func dispatch(args []string, out, errs io.Writer) report.Code {
	if len(args) == 0 {
		return cmdRun([]string{"-latency=false"}, out, errs)
	}
	switch args[0] {
	case "help", "-h", "-help", "--help":
		return cmdHelp(args[1:], out, errs)
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c.run(args[1:], out, errs)
		}
	}
	if len(args[0]) > 0 && args[0][0] == '-' {
		return cmdRun(args, out, errs) // stress -duration 2s: flags for the run of everything
	}
	fmt.Fprintf(errs, "stress: no command %q.", args[0])
	if guess := nearest(args[0], commandNames()); guess != "" {
		fmt.Fprintf(errs, " Did you mean %q?", guess)
	} else if guess := nearest(args[0], scenarioNames()); guess != "" {
		fmt.Fprintf(errs, " Did you mean \"run %s\"?", guess)
	}
	fmt.Fprintln(errs, "\nCommands: run, list, selftest, everywhere, schedules, bench, demo, inspect, clean, help. Try: stress help")
	return report.Usage
}

func commandNames() []string {
	names := []string{"help"}
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}
