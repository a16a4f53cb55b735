package proctest

import (
	"encoding/json"
	"os"
	"os/exec"
	"syscall"

	"interlock/internal/mark"
)

// firstFile is the descriptor number of the first of Files in the child.
const firstFile = 3

// plan is how a child will be started.
type plan struct {
	args   []string
	files  []*os.File
	env    []string
	wrap   []string
	attr   func(*syscall.SysProcAttr)
	zombie bool
	races  bool
	mark   string
}

// An Option changes how Start or StartProgram starts a child.
type Option func(*plan)

// Args are the child's arguments: Child.Args, or the program's argv[1:].
func Args(args ...string) Option { return func(p *plan) { p.args = append(p.args, args...) } }

// Files are inherited by the child: Child.File(0)…, descriptors 3 and up.
func Files(files ...*os.File) Option { return func(p *plan) { p.files = append(p.files, files...) } }

// Env adds "KEY=VALUE" entries to the child's environment.
func Env(env ...string) Option { return func(p *plan) { p.env = append(p.env, env...) } }

// Wrap runs the child under another program, say Wrap("prlimit", "--nproc=50").
// A wrapper that forks rather than execs is what Pid and Kill then mean.
func Wrap(argv ...string) Option { return func(p *plan) { p.wrap = argv } }

// Attr edits the process attributes: credentials, namespaces.
func Attr(edit func(*syscall.SysProcAttr)) Option { return func(p *plan) { p.attr = edit } }

// Zombie keeps the child unreaped after its death until Wait or the test's end.
func Zombie() Option { return func(p *plan) { p.zombie = true } }

// Mark arms a mark in the child, see package mark: "NAME:N:ACTION". Without the
// build tag marks the test is skipped, and says so.
func Mark(spec string) Option { return func(p *plan) { p.mark = spec } }

// MayRace lets the race detector report in the child; otherwise a report fails the
// test, however the child ended. Output has the report.
func MayRace() Option { return func(p *plan) { p.races = true } }

// command builds the command; argv is the program and its own arguments.
func (p *plan) command(argv ...string) *exec.Cmd {
	argv = append(append([]string{}, p.wrap...), argv...)
	cmd := exec.Command(argv[0], argv[1:]...)
	// A -race program sleeps a second before it exits, in case one more race comes.
	cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), p.env...)
	if p.mark != "" {
		cmd.Env = append(cmd.Env, mark.Env+"="+p.mark)
	}
	cmd.ExtraFiles = p.files
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if p.attr != nil {
		p.attr(cmd.SysProcAttr)
	}
	return cmd
}

// registered builds the command for a registered function.
func (p *plan) registered(name string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args, err := json.Marshal(p.args)
	if err != nil {
		return nil, err
	}
	cmd := p.command(self)
	cmd.Env = append(cmd.Env, envChild+"="+name, envArgs+"="+string(args))
	return cmd, nil
}
