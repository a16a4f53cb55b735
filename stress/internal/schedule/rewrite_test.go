package schedule

import (
	"strings"
	"testing"
)

func TestRewrite(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"an import of ours", `import "interlock/internal/park"`, `import "interlock/stress/internal/schedule/gen/p1/park"`},
		{"an import of Go's", `import "sync/atomic"`, `import "interlock/stress/internal/schedule/sim/atomic"`},
		{"another import", `import "errors"`, `import "errors"`},
		{"a channel", `var c chan struct{} = make(chan struct{}, 1)`, `var c *sim.Chan = sim.NewChan(1)`},
		{"one without room", `var c = make(chan struct{})`, `var c = sim.NewChan(0)`},
		{"a receive", `func f() { <-w.call }`, `func f() { w.call.Recv() }`},
		{"a close", `func f() { close(c) }`, `func f() { c.Close() }`},
		{"a goroutine", `func f() { go g(1) }`, `func f() { sim.Go(func() { g(1) }) }`},
		{"ticks", `func f() { for range t.C { g() } }`, `func f() { for t.C.Recv() { g() } }`},
		{"a loop", `func f() { for range n { g() } }`, `func f() { for range n { g() } }`},
		{"select", "func f() { select {\ncase <-a:\ng()\ncase b <- struct{}{}:\ndefault:\n} }",
			"func f() { switch sim.Select(true, sim.Receive(a), sim.Send(b)) {\ncase 0:\ng()\ncase 1:\ndefault:\n} }"},
		{"select without default", "func f() { select {\ncase <-a:\ncase <-b():\n} }",
			"func f() { switch sim.Select(false, sim.Receive(a), sim.Receive(b())) {\ncase 0:\ndefault:\n} }"},
		{"select of nothing", "func f() { select {} }", "func f() { switch sim.Select(false) {} }"},
		{"a copy", `func f() { *dst = s.v }`, `func f() { sim.Copy(&*dst, &s.v) }`},
		{"a copy into one of two", `func f() { b.v[n%2] = *src }`, `func f() { sim.Copy(&b.v[n%2], &*src) }`},
		{"no copy", `func f() { x = s.seq }`, `func f() { x = s.seq }`},
	} {
		got, _, err := rewrite("seqlock", "x.go", "package x\n\n"+c.text+"\n", 1)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		_, got, _ = strings.Cut(got, "\n\n")
		if got = strings.TrimSpace(got); got != c.want {
			t.Errorf("%s:\n%s\nnot\n%s", c.name, got, c.want)
		}
	}
}

func TestVariablesOfAProcess(t *testing.T) {
	_, vars, err := rewrite("mutex", "x.go", "package x\n\nvar a, b int\n\nvar (\n\t_ = 1\n\tc struct{ d int }\n)\n\nfunc f() { var e int }\n", 0)
	if got := strings.Join(vars, " "); err != nil || got != "a b c" {
		t.Errorf("%s %v", got, err)
	}
}
