package demo

import "strconv"

// A Demo is one mistake, with everything that is to be said about it.
type Demo struct {
	Name    string // lost-update
	Title   string // one line
	Live    string // what it depends on, if it demonstrates rather than fails
	TwoCPUs bool   // what it shows cannot happen on one CPU
	Story   string // what the processes are to do
	Quiz    Quiz

	Broken   Version
	Fixes    []Version // the first is the smallest change
	Op       string    // what the cost is told of: "increment"
	Schedule Schedule
	Extra    func() string // more to show behind the schedule
	Why      string
	Use      string // which of our calls

	roles roles
	// try lets the processes run once.
	try func(st *Stage) (*Result, error)
}

// mustBreak says whether the broken version has to show something here.
func (d *Demo) mustBreak() bool { return d.Live == "" && (!d.TwoCPUs || cpus() > 1) }

// mustHold says whether it must not.
func (d *Demo) mustHold() bool { return d.TwoCPUs && cpus() == 1 }

// A refusal is why a demo cannot be run here. Then it is only explained.
type refusal struct{ why string }

func (r refusal) Error() string { return r.why }

// roles has what the processes of a demo do.
type roles map[string]func(a *Actor) error

// A Version is one way to write the program: the functions that are shown are those
// that run.
type Version struct {
	Name  string
	Shows []string // names of functions
	Parts []string // and of what they call, where it matters: for the first look
	About string   // one line
}

// A Quiz is a question to be answered before it is shown.
type Quiz struct {
	Question string
	Choices  []string
	Right    int // from 0
	Because  string
}

// A Schedule is who does what in which order: one column for each process, and what
// there is to see of the memory.
type Schedule struct {
	Columns []string
	Rows    [][]string
}

// A Result is what one run came to.
type Result struct {
	Wrong int64 // how often it went wrong
	Of    int64 // of how many times, 0 if it is not a matter of how often
	Ns    float64
	PIDs  []int
	Facts []Fact
	Notes []string // what the figures mean

	Confined bool // to one CPU, where there are more
}

// A Fact is a figure.
type Fact struct {
	Label, Value string
}

// fact adds a figure, or a text.
func (r *Result) fact(label string, value any) {
	var text string
	switch v := value.(type) {
	case int:
		text = grouped(int64(v))
	case int64:
		text = grouped(v)
	case string:
		text = v
	}
	r.Facts = append(r.Facts, Fact{label, text})
}

// compare adds what was expected and what came.
func (r *Result) compare(expected, got int64) {
	r.fact("expected", expected)
	r.fact("got", got)
}

// share adds how many of those went wrong, and the share.
func (r *Result) share(label string, wrong, of int64) {
	r.Wrong, r.Of = wrong, of
	text := grouped(wrong)
	if of > 0 {
		text += " of " + grouped(of) + " = " + percent(wrong, of)
	}
	r.fact(label, text)
}

func percent(n, of int64) string {
	return strconv.FormatFloat(100*float64(n)/float64(of), 'f', 2, 64) + " %"
}

// grouped is a number with a comma between its thousands.
func grouped(n int64) string {
	text := strconv.FormatInt(n, 10)
	from := 0
	if n < 0 {
		from = 1
	}
	for at := len(text) - 3; at > from; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
