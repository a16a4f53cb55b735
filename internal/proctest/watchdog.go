package proctest

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// exitHang is the exit status of a run that a watchdog ended.
const exitHang = 3

// slowEmulator is how many times slower an emulated process starts, or more.
const slowEmulator = 5

// noAnswer is how long a chapter of its report may take.
const noAnswer = 20 * time.Second

// Watchdog ends the whole run if the test is not over after d, saying who hung
// where: what describe tells (the words in the shared memory, say; nil is fine),
// this process's goroutines, and of each child its threads and its goroutines. A
// hang in a lock cannot be failed politely: the test's goroutine is in it.
func Watchdog(t testing.TB, d time.Duration, describe func() string) {
	if Emulated() {
		d *= slowEmulator
	}
	timer := time.AfterFunc(d, func() {
		fmt.Fprintf(os.Stderr, "proctest: HANG: %s is not over after %v\n", t.Name(), d)
		say("described by the test", describe)
		say("this process", func() string { return Describe(os.Getpid()) })
		say("goroutines of this process", goroutines)
		for _, p := range children() {
			say("child "+p.name, func() string { return p.postMortem() })
		}
		os.Exit(exitHang)
	})
	t.Cleanup(func() { timer.Stop() })
}

// say prints a chapter of the report. Its source may hang as well, in what it
// wants to describe, or panic over it: neither stops the report.
func say(title string, f func() string) {
	if f == nil {
		return
	}
	text := make(chan string, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil {
				text <- fmt.Sprintf("panic: %v", r)
			}
		}()
		text <- f()
	}()
	select {
	case s := <-text:
		fmt.Fprintf(os.Stderr, "--- %s\n%s\n", title, s)
	case <-time.After(noAnswer):
		fmt.Fprintf(os.Stderr, "--- %s\n(no answer in %v)\n", title, noAnswer)
	}
}

func goroutines() string {
	buf := make([]byte, 1<<20)
	return string(buf[:runtime.Stack(buf, true)])
}

func children() []*Proc {
	mu.Lock()
	defer mu.Unlock()
	var list []*Proc
	for p := range alive {
		list = append(list, p)
	}
	return list
}

// postMortem describes a child as it is and then ends it with SIGQUIT, to which a
// Go program answers with its goroutines.
func (p *Proc) postMortem() string {
	where := Describe(p.Pid)
	p.cmd.Process.Signal(unix.SIGQUIT)
	p.cmd.Process.Signal(unix.SIGCONT) // a stopped one cannot answer
	select {
	case <-p.dead:
	case <-time.After(noAnswer / 2):
	}
	return where + p.Output()
}
