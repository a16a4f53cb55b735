package selftest

// A Mutant is the library with one bug.
type Mutant struct {
	Name  string
	Bug   string // what is wrong with it
	Edits []Edit
	Run   []string // what to run: arguments of stress run
	// Also is what to run besides, where it shows that bug, too: arguments of stress run.
	Also []string
	// Everywhere is what to run besides, where a single death shows it: arguments of
	// stress everywhere.
	Everywhere []string
	CPUs       int // it shows only where so many work at the same time; 0: anywhere
}

// An Edit replaces Old, which must occur exactly once in File, by New.
type Edit struct {
	File string // from the module's root, with slashes
	Old  string
	New  string
}

// What the mutants are run with. A run ends when it has caught the bug, so the
// time is spent only if it does not. Each of these is run with the sound
// library first.
var (
	runMutex     = []string{"mutex", "-duration", "3s", "-hang", "2s"}
	runStopped   = []string{"mutex", "-duration", "5s", "-hang", "2s", "-kill", "0", "-stop", "40"}
	runHandoff   = []string{"handoff", "-duration", "4s", "-hang", "2s"}
	runChain     = []string{"chain", "-duration", "3s", "-hang", "2s"}
	runDead      = []string{"dead-waiter", "-duration", "3s", "-hang", "2s"}
	runSemaphore = []string{"semaphore", "-duration", "3s", "-hang", "2s"}
	runPair      = []string{"condvar", "-duration", "3s", "-hang", "2s", "-procs", "2", "-goroutines", "1", "-kill", "0"}
	runSeqlock   = []string{"seqlock", "-duration", "3s", "-hang", "2s"}
	runSegment   = []string{"segment", "-duration", "2s", "-hang", "2s"}
	runHerd      = []string{"herd", "-duration", "1s", "-hang", "2s"}
	runImpatient = []string{"timeouts", "-duration", "5s", "-hang", "2s", "-goroutines", "32", "-kill", "0"}
	runTimeouts  = []string{"timeouts", "-duration", "5s", "-hang", "2s"}
	runInterop   = []string{"interop", "-duration", "3s", "-hang", "2s"}
	runHistory   = []string{"history", "-duration", "5s", "-hang", "2s"}
)

// Mutants are the bugs that must be caught.
func Mutants() []Mutant {
	var all []Mutant
	all = append(all, mutexMutants...)
	all = append(all, wakeMutants...)
	all = append(all, localMutants...)
	all = append(all, otherMutants...)
	all = append(all, cancelMutants...)
	all = append(all, headerMutants...)
	return all
}

// mutexMutants break exclusion or recovery.
var mutexMutants = []Mutant{
	{
		Name: "no-lock",
		Bug:  "Lock and Unlock do nothing",
		Run:  runMutex,
		Also: runHistory,
		Edits: []Edit{
			{"mutex/mutex.go", "if !m.grab(me) {\n\t\tm.lockSlow()\n\t} else if m.prev.Load() != me {", "if me == 0 {"},
			{"mutex/mutex.go", "if b.Listens() || !m.word.CompareAndSwap(proc.TID(proc.Me()), 0) { // E-M4\n\t\tm.unlockSlow()\n",
				"if b.Listens() && false || !m.word.CompareAndSwap(proc.TID(proc.Me()), 0) {\n\t\treturn\n"},
		},
	},
	{
		Name: "test-then-set",
		Bug:  "the word is looked at, then stored to, where a CAS belongs",
		Run:  runMutex,
		Edits: []Edit{
			{"mutex/mutex.go", "m.word.CompareAndSwap(0, proc.TID(me)) // E-M1", "m.word.Load() == 0 && func() bool { m.word.Store(proc.TID(me)); return true }()"},
			{"mutex/slow.go", "if m.word.CompareAndSwap(v, proc.TID(proc.Me())|v&robust.Waiters|p.waiters) {",
				"if m.word.Load() == v {\n\t\t\t\tm.word.Store(proc.TID(proc.Me()) | v&robust.Waiters | p.waiters)"},
		},
	},
	{
		Name:       "no-owner-died",
		Bug:        "OWNER_DIED is not looked at: an orphan is taken like a free mutex",
		Run:        runMutex,
		Everywhere: []string{"Lock: alone", "-every", "5", "-failures", "1"},
		Edits:      []Edit{{"mutex/slow.go", "case v&robust.OwnerDied != 0:", "case false:"}},
	},
	{
		Name: "living-taken-for-dead",
		Bug:  "the look takes every owner for dead",
		Run:  runMutex,
		Edits: []Edit{{"internal/proc/alive.go", "Verdict {\n\tif unix.Tgkill(pid, tid, 0) == unix.ESRCH {",
			"Verdict {\n\tif unix.Tgkill(pid, tid, 0) == unix.ESRCH || pid != 0 {"}},
	},
	{
		Name:  "stopped-taken-for-dead",
		Bug:   "the look takes an owner that is stopped for dead",
		Run:   runStopped,
		Edits: []Edit{{"internal/proc/alive.go", "case state == 'Z' || state == 'X':", "case state == 'Z' || state == 'X' || state == 'T':"}},
	},
	{
		Name:       "nameless-owner",
		Bug:        "the owner does not write down who it is",
		Run:        runMutex,
		Everywhere: []string{"Lock: alone", "-every", "2", "-failures", "1"},
		Edits:      []Edit{{"mutex/word.go", "\t\tm.prev.Store(prev)\n\t\tif last", "\t\tif last"}},
	},
	{
		Name:  "nameless-heir",
		Bug:   "who takes over from a dead owner does not write down who it is",
		Run:   runChain,
		Edits: []Edit{{"mutex/orphan.go", "\tm.record() // not before", "\t// not before"}},
	},
}

// wakeMutants lose wake-ups.
var wakeMutants = []Mutant{
	{
		Name: "wake-before-store",
		Bug:  "Unlock wakes the sleeper first and frees the word afterwards",
		Run:  runHandoff,
		Edits: []Edit{
			{"mutex/word.go", "if m.word.CompareAndSwap(v, 0) { // E-M4 E-M5 E-M9: release first, wake after (F1)\n",
				"if func() bool {\n\t\t\tif v&robust.Waiters != 0 {\n\t\t\t\twoken, _ = futex.Wake(&m.word, wake)\n\t\t\t}\n\t\t\treturn m.word.CompareAndSwap(v, 0)\n\t\t}() {\n"},
			{"mutex/word.go", "mark.At(\"E-M5 released not woken\")\n\t\t\t\twoken, _ = futex.Wake(&m.word, wake)", "mark.At(\"E-M5 released not woken\")"},
		},
	},
	{
		Name:       "no-wake",
		Bug:        "Unlock wakes nobody",
		Run:        runHandoff,
		Everywhere: []string{"Unlock: a sleeper", "-every", "20", "-failures", "1"},
		Edits: []Edit{{"mutex/word.go", "mark.At(\"E-M5 released not woken\")\n\t\t\t\twoken, _ = futex.Wake(&m.word, wake)",
			"mark.At(\"E-M5 released not woken\")\n\t\t\t\twoken, _ = futex.Wake(&m.word, 0)"}},
	},
	{
		Name:  "forgotten-waiters",
		Bug:   "who has slept locks without WAITERS, and so forgets those behind it (P-M9)",
		Run:   runHandoff,
		Edits: []Edit{{"mutex/slow.go", "proc.TID(proc.Me())|v&robust.Waiters|p.waiters)", "proc.TID(proc.Me())|v&robust.Waiters)"}},
	},
	{
		Name: "private-futex",
		Bug:  "FUTEX_PRIVATE_FLAG: no other process is woken (P-G5)",
		Run:  runHandoff,
		Edits: []Edit{
			{"futex/sys_unsafe.go", "opWake, uintptr(n), 0, 0, 0)", "opWake|opPrivate, uintptr(n), 0, 0, 0)"},
			{"futex/sys_unsafe.go", "flags: waitvU32}", "flags: waitvU32 | opPrivate}"},
		},
	},
	{
		Name: "unconditional-store",
		Bug:  "Unlock decides by a look at the word and some microseconds later stores to it, whatever it holds by then",
		Run:  runHandoff,
		CPUs: 2,
		Edits: []Edit{{"mutex/mutex.go", "!m.word.CompareAndSwap(proc.TID(proc.Me()), 0) { // E-M4\n\t\tm.unlockSlow()\n\t} else if b.Listens() {\n",
			"m.word.Load() != proc.TID(proc.Me()) {\n\t\tm.unlockSlow()\n\t} else {\n\t\tfor range 5000 {\n\t\t\tproc.Me()\n\t\t}\n\t\tm.word.Store(0)\n"}},
	},
	{
		Name:  "stale-expected",
		Bug:   "a waiter whose CAS failed expects the old value again, and spins for ever (P-M6)",
		Run:   runHandoff,
		CPUs:  2,
		Edits: []Edit{{"mutex/slow.go", "\t\t\treturn v | robust.Waiters\n\t\t}\n\t\tv = m.word.Load()\n", "\t\t\treturn v | robust.Waiters\n\t\t}\n"}},
	},
	{
		Name:       "no-look",
		Bug:        "nobody looks at the words slept on: a wake that died with its receiver stays lost (P-M2)",
		Run:        runDead,
		Everywhere: []string{"Unlock: a sleeper", "-every", "20", "-failures", "1"},
		Edits:      []Edit{{"internal/park/look.go", "switch found {", "switch found & 0 {"}},
	},
	{
		Name:       "heir-forgets-waiters",
		Bug:        "who takes over from a dead owner does not set WAITERS again (P-M4)",
		Run:        runDead,
		Everywhere: []string{"Lock, its owner dies: a sleeper", "-every", "50", "-failures", "1"},
		Edits:      []Edit{{"mutex/orphan.go", "m.word.CompareAndSwap(v, proc.TID(proc.Me())|robust.Waiters) { // E-M7", "m.word.CompareAndSwap(v, proc.TID(proc.Me())|robust.Waiters&0) { // E-M7"}},
	},
	{
		Name:       "semaphore-no-wake",
		Bug:        "Release wakes nobody",
		Run:        runHandoff,
		Everywhere: []string{"Release: a sleeper", "-every", "10", "-failures", "1"},
		Edits:      []Edit{{"semaphore/word.go", "_, _ = futex.Wake(s.futex(), 1)", "_, _ = futex.Wake(s.futex(), 0)"}},
	},
	{
		Name:  "semaphore-uncounted",
		Bug:   "a waiter sleeps without having counted itself, so Release does not wake it",
		Run:   runHandoff,
		Edits: []Edit{{"semaphore/semaphore.go", "s.data.Add(oneWaiter) // E-S2", "s.data.Add(0)"}},
	},
	{
		Name:  "signal-without-count",
		Bug:   "Signal wakes without moving the sequence: who is woken thinks nothing has happened",
		Run:   runHandoff,
		Edits: []Edit{{"condvar/condvar.go", "c.seq.Add(1) // E-C2", "c.seq.Add(0)"}},
	},
	{
		Name: "unlock-before-look",
		Bug:  "Wait unlocks before it notes the sequence: a signal between the two is lost",
		Run:  runPair,
		Edits: []Edit{
			{"condvar/condvar.go", "\tw := park.Join(", "\tm.Unlock()\n\tw := park.Join("},
			{"condvar/condvar.go", "\tdefer w.Leave()\n\tm.Unlock()\n", "\tdefer w.Leave()\n"},
		},
	},
}

// localMutants break the waiting inside a process.
var localMutants = []Mutant{
	{
		Name: "listeners-overlooked",
		Bug:  "Unlock does not ask whether goroutines of its own process listen",
		Run:  runHerd,
		Edits: []Edit{
			{"internal/park/handover.go", "n := b.listening.Load()", "n := 0 * b.listening.Load()"},
		},
	},
	{
		Name:  "handed-over-and-released",
		Bug:   "Unlock hands the mutex over and frees the word as well",
		Run:   runHerd,
		Edits: []Edit{{"mutex/slow.go", "case park.HandedOver: // E-M11\n\t\treturn v, true\n", "case park.HandedOver:\n"}},
	},
	{
		Name:  "handed-over-to-nobody",
		Bug:   "who is handed the mutex at the moment of giving up does not pass it on",
		Run:   runImpatient,
		Edits: []Edit{{"mutex/queue.go", "if given && !q.held {\n\t\tq.m.letGo()", "if given && !q.held {\n\t\treturn"}},
	},
}

// otherMutants break the semaphore's count, seqlocks and segments.
var otherMutants = []Mutant{
	{
		Name: "semaphore-check-then-take",
		Bug:  "the permits are looked at, then stored to, where a CAS belongs",
		Run:  runSemaphore,
		Also: runHistory,
		CPUs: 2,
		Edits: []Edit{
			{"semaphore/word.go", "return d&valueMask != 0 && !region.AnyReadOnly() && s.data.CompareAndSwap(d, d-1) // E-S1",
				"if d&valueMask == 0 || region.AnyReadOnly() {\n\t\treturn false\n\t}\n\ts.data.Store(d - 1)\n\treturn true"},
			{"semaphore/word.go", "if s.data.CompareAndSwap(d, want) { // E-S1 E-S3", "if s.data.Store(want); true {"},
		},
	},
	{
		Name: "semaphore-store-on-release",
		Bug:  "Release stores value + 1, where a CAS belongs",
		Run:  runSemaphore,
		CPUs: 2,
		Edits: []Edit{
			{"semaphore/word.go", "return s.data.CompareAndSwap(d, d+1)", "s.data.Store(d + 1)\n\treturn true"},
			{"semaphore/word.go", "if s.data.CompareAndSwap(d, d+1) {", "if s.data.Store(d + 1); true {"},
		},
	},
	{
		Name:       "seqlock-not-odd",
		Bug:        "a writer does not say that it writes",
		Run:        runSeqlock,
		Everywhere: []string{"Seqlock.Store: alone", "-every", "5", "-failures", "1"},
		Edits:      []Edit{{"seqlock/writer.go", "\tseq.Store(odd)\n", ""}},
	},
	{
		Name: "seqlock-no-second-look",
		Bug:  "a reader does not look again whether a writer came between",
		Run:  runSeqlock,
		Edits: []Edit{
			{"seqlock/seqlock.go", "return s.seq.Load() == seq\n", "return true\n"},
			{"seqlock/seqlock.go", "if s.seq.Load() == seq {", "if s.seq.Load() != 1 {"},
		},
	},
	{
		Name:       "seqlock-heir-counts-on",
		Bug:        "who writes after a dead writer counts on from its odd sequence: even while it writes, odd for ever after",
		Run:        runSeqlock,
		Everywhere: []string{"Seqlock.Store: alone", "-every", "5", "-failures", "1"},
		Edits:      []Edit{{"seqlock/seqlock.go", "odd := s.seq.Load() | 1\n", "odd := s.seq.Load() + 1\n"}},
	},
	{
		Name:  "buffer-written-under-reader",
		Bug:   "DoubleBuffer's writer writes to the copy that readers use",
		Run:   runSeqlock,
		Also:  runHistory,
		Edits: []Edit{{"seqlock/doublebuffer.go", "b.v[(odd/2+1)%2] = *src", "b.v[(odd/2)%2] = *src"}},
	},
	{
		Name: "semaphore-named-too-soon",
		Bug:  "a named semaphore has its name before it has its permits",
		Run:  runSegment,
		Edits: []Edit{
			{"semaphore/named.go", "\tn.Init(c.permits) // N3\n", ""},
			{"semaphore/named.go", "\tmark.At(\"semaphore.Open linked not tidied\")\n", "\tmark.At(\"semaphore.Open linked not tidied\")\n\tn.Init(c.permits)\n"},
		},
	},
	{
		Name:  "two-initialisers",
		Bug:   "the initialiser's lock is not taken",
		Run:   runSegment,
		Edits: []Edit{{"shm/publish.go", "ok, err := tryFlock(f)\n", "ok, err := true, error(nil)\n"}},
	},
}

// cancelMutants do wrong what only a deadline brings about, or only a crowd shows.
var cancelMutants = []Mutant{
	{
		Name:  "semaphore-stays-counted",
		Bug:   "a cancelled waiter does not take back that it waits: each Release calls the kernel from then on",
		Run:   runTimeouts,
		Edits: []Edit{{"semaphore/word.go", "s.data.CompareAndSwap(d, d-oneWaiter) { // E-S5", "s.data.CompareAndSwap(d, d) { // E-S5"}},
	},
	{
		Name: "semaphore-takes-and-refuses",
		Bug:  "a cancelled waiter takes a permit if there is one, and says that it has none",
		Run:  runTimeouts,
		Edits: []Edit{{"semaphore/word.go", "s.data.CompareAndSwap(d, d-oneWaiter) { // E-S5",
			"s.data.CompareAndSwap(d, d-oneWaiter-min(d&valueMask, 1)) { // E-S5"}},
	},
	{
		Name: "cancelled-without-mutex",
		Bug:  "a cancelled Wait returns without having locked the mutex again",
		Run:  runTimeouts,
		Edits: []Edit{{"condvar/condvar.go", "\tif dead := inherit.Lock(context.Background(), m); dead != nil {",
			"\tif err != nil {\n\t\treturn err\n\t}\n\tif dead := inherit.Lock(context.Background(), m); dead != nil {"}},
	},
	{
		Name:  "cancelled-with-wake",
		Bug:   "a sleep that used up a wake says that it was cancelled",
		Run:   runTimeouts,
		Edits: []Edit{{"futex/sleeper.go", "\tcase errno == 0:\n", "\tcase errno == 0 && !wasRoused:\n"}},
	},
	{
		Name: "cancelled-store-stores",
		Bug:  "a Store that is cancelled writes all the same",
		Run:  runTimeouts,
		Edits: []Edit{{"seqlock/seqlock.go", "Store(ctx context.Context, src *T) error {\n\tlayout.MustBeFlat[T](\"seqlock\")\n\tif err := enter(ctx, addr(s), &s.mu); err != nil {\n",
			"Store(ctx context.Context, src *T) error {\n\tlayout.MustBeFlat[T](\"seqlock\")\n\tif err := enter(ctx, addr(s), &s.mu); err != nil {\n\t\ts.write(src)\n"}},
	},
	{
		Name:  "broadcast-as-signal",
		Bug:   "a broadcast is counted as a signal: of all that wait in a process one is roused",
		Run:   runHerd,
		Edits: []Edit{{"condvar/condvar.go", "c.casts.Add(1)", "c.casts.Add(0)"}},
	},
}

// headerMutants break the C side. The scenario builds its C worker with the header that
// is embedded in the program, and so with the mutant's.
var headerMutants = []Mutant{
	{
		Name: "c-signal-without-wake",
		Bug:  "ilk_cond_signal counts and wakes nobody: who waits finds out by its look",
		Run:  runInterop,
		Edits: []Edit{{"include/interlock.h", "if (__atomic_load_n(&c->waiters, __ATOMIC_SEQ_CST) > 0)\n\t\tilk_wake_(&c->seq, n);",
			"(void)n;"}},
	},
	{
		Name:  "c-wait-uncounted",
		Bug:   "ilk_cond_wait does not count itself, so nobody wakes it",
		Run:   runInterop,
		Edits: []Edit{{"include/interlock.h", "__atomic_fetch_add(&c->waiters, 1, __ATOMIC_SEQ_CST); /* E-C1 */", "/* E-C1 */"}},
	},
	{
		Name:  "c-writes-at-even",
		Bug:   "the seqlock's writer in C does not say that it writes",
		Run:   runInterop,
		Edits: []Edit{{"include/interlock.h", "\tilk_begin_(&s->seq, odd); /* E-Q1 */\n", ""}},
	},
	{
		Name:  "c-buffer-under-reader",
		Bug:   "the double buffer's writer in C writes to the copy that readers use",
		Run:   runInterop,
		Edits: []Edit{{"include/interlock.h", "(odd / 2 + 1) % 2 * n", "odd / 2 % 2 * n"}},
	},
}
