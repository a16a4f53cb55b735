package schedule

import "interlock/stress/internal/selftest"

// unseen are mutants of the selftest that cannot show in a simulation, and why.
var unseen = map[string]string{
	"two-initialisers":         "files and their locks are not simulated",
	"semaphore-named-too-soon": "files and their locks are not simulated",
	"stopped-taken-for-dead":   "that a process is stopped is not simulated",
	"c-signal-without-wake":    "C is not simulated",
	"c-wait-uncounted":         "C is not simulated",
	"c-writes-at-even":         "C is not simulated",
	"c-buffer-under-reader":    "C is not simulated",
}

// own are bugs that only a scheduler can be expected to find: they take a step of
// somebody else at one place, or a death there. The library had some of them.
var own = []selftest.Mutant{
	{
		Name: "broadcasts-before-signals",
		Bug:  "a waiter reads how often was broadcast before it reads the sequence (the library had this bug)",
		Edits: []selftest.Edit{{File: "condvar/condvar.go",
			Old: "\tsignals := c.seq.Load()\n\treturn park.Counts{Signals: signals, Broadcasts: c.casts.Load()}",
			New: "\tcasts := c.casts.Load()\n\treturn park.Counts{Signals: c.seq.Load(), Broadcasts: casts}"}},
	},
	{
		Name: "recorded-before-fence",
		Bug:  "an heir writes down who it is before the fence; if it dies there, the next one waits for the wrong process (the library had this bug)",
		Edits: []selftest.Edit{
			{File: "mutex/orphan.go", Old: "\tpid, fence := m.deceased()\n", New: "\tpid, fence := m.deceased()\n\tm.record()\n"},
		},
	},
	{
		Name: "enters-unasked",
		Bug:  "who was killed before it wrote down who it is does not ask whether the word is still its own, and enters beside its heir (the library had this bug)",
		Edits: []selftest.Edit{{File: "mutex/word.go",
			Old: "\treturn m.stillHeld(), nil\n", New: "\treturn true, nil\n"}},
	},
	{
		Name:  "no-fence",
		Bug:   "an heir does not wait until the dead one's threads stand still",
		Edits: []selftest.Edit{{File: "internal/proc/fence.go", Old: "for rounds := 0; dying(pid); rounds++ {", New: "for rounds := 0; dying(pid) && false; rounds++ {"}},
	},
}

// Mutants are all that are tried.
func Mutants() []selftest.Mutant { return append(selftest.Mutants(), own...) }
