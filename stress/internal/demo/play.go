package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"interlock/stress/internal/prompt"
	"interlock/stress/internal/report"
)

// Options say how a demo is shown.
type Options struct {
	Fixed bool // only the versions that are right
	Quiz  bool // ask for a prediction first
	In    io.Reader
}

// promised is how soon a broken version shows what it must, on a machine with little
// else to do; enough is how long it is given.
const (
	promised = time.Second
	enough   = 10 * promised
)

// Play shows a demo. It passes if the broken version showed what it must, and those
// that are right held.
func Play(ctx context.Context, d *Demo, o Options, out io.Writer) (report.Code, error) {
	p := &printer{out}
	p.line("%s: %s", d.Name, d.Title)
	p.line("%s", strings.Repeat("=", min(width, len(d.Name)+2+len(d.Title))))
	p.line("")
	p.prose(d.Story)
	if d.Live != "" {
		p.line("")
		p.prose("(" + d.Live + ")")
	}
	if !o.Fixed {
		p.heading("The code of the processes")
		p.code(listing(append(d.Broken.Shows, d.Broken.Parts...)))
	}
	if o.Quiz {
		p.ask(ctx, d.Quiz, o.In)
	}
	code, err := p.play(ctx, d, o)
	var no refusal
	if errors.As(err, &no) {
		p.heading("It cannot be run here")
		p.prose(no.why)
		p.explain(d)
		p.heading("The fix")
		p.code(fix(d.Broken, d.Fixes[0]))
		p.last(d)
		return report.Pass, nil
	}
	return code, err
}

func (p *printer) play(ctx context.Context, d *Demo, o Options) (report.Code, error) {
	code := report.Pass
	var costs []cost
	if !o.Fixed {
		r, tries, err := runBroken(ctx, d)
		if err != nil {
			return report.Setup, err
		}
		p.heading(onCPUs(cpus()))
		switch {
		case r.Confined:
			p.prose(fmt.Sprintf("(Run %d: those before went well, by luck, as the CPUs are busy with others. So all processes are on one CPU now, which they yield in the window.)", tries))
			p.line("")
		case tries > 1:
			p.line("    (run %d: those before went well, by luck)", tries)
		}
		p.result(r)
		said, ok := judge(d, r)
		p.line("    -> %s", said)
		if !ok {
			code = report.Broke
		}
		costs = append(costs, cost{d.Broken, r.Ns})
		p.explain(d)
	}
	for i, v := range d.Fixes {
		p.heading(fixHeading(d, i))
		if v.About != "" {
			p.prose(v.About)
			p.line("")
		}
		if o.Fixed {
			p.code(v.code())
		} else {
			p.code(fix(d.Broken, v))
		}
		p.line("")
		r, err := run(ctx, d, v)
		if err != nil {
			return report.Broke, fmt.Errorf("the version that is right: %w", err)
		}
		p.result(r)
		p.line("    -> %s", verdict(r.Wrong == 0, "it holds", "IT DOES NOT HOLD: this is a bug of interlock"))
		if r.Wrong != 0 {
			code = report.Broke
		}
		costs = append(costs, cost{v, r.Ns})
	}
	p.costs(d, costs)
	p.last(d)
	return code, nil
}

// judge says what a run of the broken version came to, and whether it is what must be.
func judge(d *Demo, r *Result) (said string, ok bool) {
	switch {
	case d.mustHold():
		return verdict(r.Wrong == 0, "nothing went wrong, as it must be on one CPU", "on one CPU this cannot be"), r.Wrong == 0
	case r.Wrong > 0:
		return "broken, as it must be", true
	case d.mustBreak():
		return "it held this time: run it again", false
	}
	return "live: what there is to see is in the figures", true
}

// onCPUs says where it runs.
func onCPUs(n int) string {
	if n == 1 {
		return "Run, on one CPU, which they yield in the window"
	}
	return fmt.Sprintf("Run, on %d CPUs", n)
}

func verdict(ok bool, yes, no string) string {
	if ok {
		return yes
	}
	return no
}

func fixHeading(d *Demo, i int) string {
	if i == 0 {
		return "The fix, and the same run"
	}
	return "Another way: " + d.Fixes[i].Name
}

// runBroken runs until it is broken, or has had its time. Where others keep the CPUs
// busy, two processes seldom run at the same time: then all go to one CPU, which they
// yield in the window.
func runBroken(ctx context.Context, d *Demo) (r *Result, tries int, err error) {
	for begun := time.Now(); ; {
		confined := !d.TwoCPUs && cpus() > 1 && time.Since(begun) > promised/2
		if confined {
			r, err = runOnOneCPU(ctx, d, d.Broken)
		} else {
			r, err = run(ctx, d, d.Broken)
		}
		tries++
		if err != nil || r.Wrong > 0 || !d.mustBreak() || time.Since(begun) > enough {
			return r, tries, err
		}
	}
}

// runOnOneCPU is run on one of the CPUs that there are.
func runOnOneCPU(ctx context.Context, d *Demo, v Version) (*Result, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, err
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return nil, err
	}
	r, err := run(ctx, d, v)
	if r != nil {
		r.Confined = true
	}
	return r, errors.Join(err, unix.SchedSetaffinity(0, &all))
}

// run lets the processes of one version run once.
func run(ctx context.Context, d *Demo, v Version) (*Result, error) {
	runtime.LockOSThread() // see Stage.start
	defer runtime.UnlockOSThread()
	st, err := newStage(ctx, d, v.Name)
	if err != nil {
		return nil, err
	}
	defer st.dismiss()
	r, err := d.try(st)
	if errors.Is(err, errHang) && v.Name != d.Broken.Name {
		return &Result{Wrong: 1, Notes: []string{err.Error()}}, nil
	}
	return r, err
}

// explain says how it came about.
func (p *printer) explain(d *Demo) {
	if len(d.Schedule.Rows) > 0 {
		p.heading("The shortest way to get there")
		p.schedule(d.Schedule)
	}
	if d.Extra != nil {
		p.line("")
		p.line("%s", strings.TrimRight(d.Extra(), "\n"))
	}
}

// last is what remains to be said.
func (p *printer) last(d *Demo) {
	p.heading("Why")
	p.prose(d.Why)
	p.heading("What to use")
	p.prose(d.Use)
	p.line("\nTo read on: docs/learn/%s.md", d.Name)
}

// cost is what an operation takes.
type cost struct {
	version Version
	ns      float64
}

func (p *printer) costs(d *Demo, list []cost) {
	if d.Op == "" {
		return
	}
	p.heading("What it costs")
	p.line("    ns for each %s, in these runs:", d.Op)
	for _, c := range list {
		ns := "did not end"
		if c.ns > 0 {
			ns = strconv.FormatFloat(c.ns, 'f', 1, 64)
		}
		p.line("    %-22s %12s", c.version.Name, ns)
	}
}

// ask puts the question, and says whether the answer was right. Without an answer it
// goes on.
func (p *printer) ask(ctx context.Context, q Quiz, in io.Reader) {
	p.heading("What do you think?")
	p.prose(q.Question)
	for i, c := range q.Choices {
		for j, line := range wrap(c, width-7) {
			p.line("    %s %s", []string{string(rune('a'+i)) + ")", "  "}[min(j, 1)], line)
		}
	}
	fmt.Fprint(p.out, "Your answer: ")
	answer := ""
	if in != nil {
		answer, _ = prompt.Line(ctx, in)
	}
	right := string(rune('a' + q.Right))
	switch answer = strings.ToLower(strings.Trim(strings.TrimSpace(answer), ")")); answer {
	case "":
		p.line("\nNone: then look.")
	case right:
		p.line("\nRight. %s", "See it happen:")
	default:
		p.line("\nSee for yourself. (It is %s.)", right)
	}
	if q.Because != "" && answer != "" {
		p.prose(q.Because)
	}
}
