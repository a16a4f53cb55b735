package bench

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/bench/work"
	"interlock/stress/internal/procfs"
	"interlock/stress/internal/report"
)

// patience is how long an answer may take beyond the slice itself. Nothing here
// waits for long, so this is a hang.
const patience = 60 * time.Second

// errHang: no answer came.
var errHang = errors.New("no answer: a hang or a lost wake-up")

// errDied: a worker is gone that nobody ended.
var errDied = errors.New("a worker died unasked")

// proc is one worker process.
type proc struct {
	cmd    *exec.Cmd
	name   string
	orders *os.File
	reply  *os.File
	lines  *bufio.Reader
	stderr strings.Builder
}

// start starts a program with the files as its descriptors from 3 on. The calling
// goroutine is locked to its thread for the whole run: the kernel ends a worker
// with the thread that forked it. (So Run locks it.)
func start(name string, argv []string, files []*os.File) (*proc, error) {
	p := &proc{cmd: exec.Command(argv[0], argv[1:]...), name: name}
	inR, inW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	outR, outW, err := os.Pipe()
	if err != nil {
		inR.Close()
		inW.Close()
		return nil, err
	}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = inR, outW, &p.stderr
	p.cmd.ExtraFiles = files
	p.cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig: syscall.SIGKILL,
		Setpgid:   true, // Ctrl-C is for the supervisor alone
	}
	err = p.cmd.Start()
	inR.Close()
	outW.Close()
	p.orders, p.reply, p.lines = inW, outR, bufio.NewReader(outR)
	if err != nil {
		inW.Close()
		outR.Close()
		return nil, fmt.Errorf("starting a worker: %w", err)
	}
	return p, nil
}

func (p *proc) pid() int { return p.cmd.Process.Pid }

// pin confines all threads of p to one CPU; those to come inherit it.
func (p *proc) pin(cpu int) {
	var set unix.CPUSet
	set.Set(cpu)
	procfs.Pin(p.pid(), &set)
}

func (p *proc) send(format string, args ...any) error {
	_, err := fmt.Fprintf(p.orders, format+"\n", args...)
	return err
}

// recv waits for the next line, for as long as the limit and patience allow.
func (p *proc) recv(limit time.Duration) (string, error) {
	_ = p.reply.SetReadDeadline(time.Now().Add(limit + patience)) // a pipe of ours can do that
	text, err := p.lines.ReadString('\n')
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "", fmt.Errorf("%s (pid %d): %w", p.name, p.pid(), errHang)
	case errors.Is(err, io.EOF):
		return "", p.gone()
	case err != nil:
		return "", err
	}
	return text[:len(text)-1], nil
}

// gone says why p has ended before its time.
func (p *proc) gone() error {
	why := errDied
	state := p.cmd.Wait()
	p.cmd.Process = nil
	switch p.cmd.ProcessState.ExitCode() {
	case int(report.Broke):
		why = work.ErrBroke
	case int(report.Setup):
		why = errors.New("it cannot work")
	}
	return fmt.Errorf("%s: %w (%v)\n%s", p.name, why, state, strings.TrimSpace(p.stderr.String()))
}

// say sends a line and waits for an answer that must be want.
func (p *proc) say(order, want string) error {
	if err := p.send("%s", order); err != nil {
		return err
	}
	return p.expect(want)
}

func (p *proc) expect(want string) error {
	got, err := p.recv(0)
	if err == nil && got != want {
		err = fmt.Errorf("%s: it said %q, not %q", p.name, got, want)
	}
	return err
}

// kill ends p at once.
func (p *proc) kill() { _ = p.cmd.Process.Kill() }

// end lets p leave, or kills it if it does not.
func (p *proc) end() {
	p.orders.Close()
	if p.cmd.Process != nil {
		t := time.AfterFunc(2*time.Second, p.kill)
		_ = p.cmd.Wait()
		t.Stop()
	}
	p.reply.Close()
}

// slice has all processes work at the same time, and gathers what they found.
// Those that come first in the list get their order first.
func slice(procs []*proc, d time.Duration, mode string) (found []work.Answer, err error) {
	o := work.Order{For: d, At: soon(), Mode: mode}
	for _, p := range procs {
		if err := p.send("%s", o); err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	for _, p := range procs {
		text, err := p.recv(d)
		if err != nil {
			return nil, err
		}
		a, err := work.ParseAnswer(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		found = append(found, a)
	}
	return found, nil
}
