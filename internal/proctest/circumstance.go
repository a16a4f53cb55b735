package proctest

// A Circumstance is a kind of machine to run on. What waits must do so in each:
// with fewer kernel calls the waits are other code, and with one P nobody spins,
// and whoever is woken runs when the waker stops.
type Circumstance struct {
	Name    string
	Options []Option
}

// Circumstances are all of them; the first is this machine as it is.
var Circumstances = []Circumstance{
	{"as it is", nil},
	{"no futex_waitv", []Option{WithoutWaitv()}},
	{"one P", []Option{Env("GOMAXPROCS=1")}},
	{"no futex_waitv and one P", []Option{WithoutWaitv(), Env("GOMAXPROCS=1")}},
}

// A Storm is the circumstances of the processes of one test of long duration.
type Storm struct {
	Name string
	For  []Circumstance // process i has number i modulo the length
}

// Storms: all kinds together, and each of the unusual ones by itself.
var Storms = []Storm{
	{"of all kinds", Circumstances},
	{Circumstances[1].Name, Circumstances[1:2]},
	{Circumstances[2].Name, Circumstances[2:3]},
}

// Options are those of process i.
func (s Storm) Options(i int) []Option {
	return s.For[i%len(s.For)].Options
}
