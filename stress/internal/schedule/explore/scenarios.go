package explore

import "interlock/stress/internal/schedule/oracle"

var (
	warm    = oracle.Setting{Warm: true}
	repairs = oracle.Setting{Warm: true, Repairs: true}
	permit  = oracle.Setting{Permits: 1}
)

var scenarios = []scenario{
	// The mutex.
	{name: "first", about: "processes lock a mutex that nobody has had before",
		processes: 2, roles: each("lock"), preemptions: 2},
	{name: "mutex", about: "processes lock it twice",
		processes: 2, roles: each("lock twice"), preemptions: 3, set: warm},
	{name: "three", about: "three processes lock it",
		processes: 3, roles: each("lock"), preemptions: 2, set: warm},
	{name: "first-death", about: "as first, and one is killed",
		processes: 2, roles: each("lock"), preemptions: 1, kills: 1, set: oracle.Setting{Repairs: true}},
	{name: "death", about: "as mutex, and one is killed",
		processes: 2, roles: each("lock twice"), preemptions: 1, kills: 1, set: repairs},
	{name: "heirs", about: "three lock it, and one is killed inside, perhaps its heir as well; no look is needed",
		processes: 3, roles: each("lock"), preemptions: 1, kills: 2, mortal: oracle.Holds, strict: true, set: repairs},
	{name: "deaths", about: "three lock it, and one or two are killed anywhere",
		processes: 3, roles: each("lock"), preemptions: 1, kills: 2, set: repairs},
	{name: "late", about: "who is killed inside runs on for a while; its heir may be killed as well",
		processes: 3, roles: each("lock"), preemptions: 1, kills: 2, late: true, mortal: oracle.Holds, set: repairs},
	{name: "late-unrecorded", about: "as late, but with two processes, and killed after taking the word, before writing down who it is",
		processes: 2, roles: each("lock"), preemptions: 1, kills: 1, late: true, mortal: oracle.Unrecorded, set: repairs},
	{name: "orphan", about: "nobody can repair, so nobody gets it after a death",
		processes: 3, roles: each("lock, or leave an orphan"), preemptions: 1, kills: 1, set: warm},
	{name: "try", about: "one only tries",
		processes: 2, roles: cast([]string{"lock"}, []string{"try to lock", "lock"}), preemptions: 2, kills: 1, set: repairs},
	{name: "give-up", about: "one waits for 1 ms only",
		processes: 3, roles: cast([]string{"lock"}, []string{"lock within 1ms"}, []string{"lock"}), preemptions: 2, set: warm},
	{name: "give-up-death", about: "the same, and one is killed",
		processes: 3, roles: cast([]string{"lock"}, []string{"lock within 1ms"}, []string{"lock"}), preemptions: 1, kills: 1, set: repairs},

	// Goroutines of one process.
	{name: "inside", about: "two goroutines of one process, and another process",
		processes: 2, roles: cast([]string{"lock", "lock"}, []string{"lock"}), preemptions: 2, set: warm},
	{name: "hand-over", about: "one stays so long that the unlock hands over inside the process",
		processes: 2, roles: cast([]string{"lock and stay for 2ms", "lock", "lock"}, []string{"lock"}), preemptions: 1, set: warm},
	{name: "turns", about: "one process stays so long that its turn is over",
		processes: 2, roles: cast([]string{"lock 3 times and stay for 1ms"}, []string{"lock"}), preemptions: 2, set: warm},
	{name: "impatient", about: "who is handed the mutex may be giving up",
		processes: 2, roles: cast([]string{"lock and stay for 2ms", "lock within 3ms", "lock"}, []string{"lock"}), preemptions: 1, set: warm},
	{name: "inside-death", about: "as inside, and a process is killed",
		processes: 2, roles: cast([]string{"lock", "lock"}, []string{"lock"}), preemptions: 1, kills: 1, set: repairs},
	{name: "pool", about: "one thread of a process sleeps for all of its waiters",
		processes: 3, roles: cast([]string{"lock"}, []string{"lock", "lock within 1ms"}, []string{"lock"}), preemptions: 1, kills: 1, pooled: true, set: repairs},
	{name: "old-kernel", about: "no futex_waitv: signals end a wait that is given up",
		processes: 2, roles: cast([]string{"lock"}, []string{"lock within 1ms"}), preemptions: 2, noWaitv: true, set: warm},

	// The semaphore: one permit.
	{name: "semaphore", about: "three processes want the one permit",
		processes: 3, roles: each("acquire"), preemptions: 2, set: permit},
	{name: "semaphore-inside", about: "goroutines of two processes, one of which only tries",
		processes: 2, roles: cast([]string{"acquire", "acquire"}, []string{"acquire", "try to acquire"}), preemptions: 2, set: permit},
	{name: "semaphore-give-up", about: "one waits for 1 ms only",
		processes: 3, roles: cast([]string{"acquire"}, []string{"acquire within 1ms"}, []string{"acquire"}), preemptions: 2, set: permit},
	{name: "semaphore-death", about: "one is killed",
		processes: 3, roles: each("acquire"), preemptions: 1, kills: 1, set: permit, excused: noPermit},

	// The condition variable.
	{name: "signal", about: "one waits for an item, one puts it and signals",
		processes: 2, roles: cast([]string{"wait for an item"}, []string{"put an item and signal"}), preemptions: 2, set: warm},
	{name: "signals", about: "two goroutines and two signals",
		processes: 2, roles: cast([]string{"wait for an item", "wait for an item"}, []string{"put two items and signal twice"}), preemptions: 1, set: warm},
	{name: "broadcast", about: "goroutines of two processes wait for one broadcast",
		processes: 3, roles: cast([]string{"wait for the flag", "wait for the flag"}, []string{"set the flag and broadcast"}, []string{"wait for the flag"}), preemptions: 1, set: warm},
	{name: "broadcast-inside", about: "a broadcast comes while a signal for nothing is being dealt with",
		processes: 3, roles: cast([]string{"wait for the flag", "wait for the flag", "wait for the flag"}, []string{"signal"}, []string{"set the flag and broadcast"}), preemptions: 1, set: warm},
	{name: "signal-give-up", about: "of two waiters one gives up after 1 ms; neither may take the other's signal along",
		processes: 3, roles: cast([]string{"wait for an item for 1ms"}, []string{"wait for an item"}, []string{"put two items and signal twice"}), preemptions: 1, set: warm},
	{name: "broadcast-death", about: "two wait for a broadcast, and one is killed",
		processes: 3, roles: cast([]string{"wait for the flag"}, []string{"set the flag and broadcast"}, []string{"wait for the flag"}), preemptions: 1, kills: 1, set: repairs, excused: noSignal},

	// The seqlock and the double buffer.
	{name: "seqlock", about: "a reader beside two writers",
		processes: 3, roles: cast([]string{"update"}, []string{"load"}, []string{"update"}), preemptions: 2},
	{name: "seqlock-give-up", about: "a Store is given up after 1 ms",
		processes: 3, roles: cast([]string{"update"}, []string{"store within 1ms"}, []string{"load twice"}), preemptions: 1},
	{name: "seqlock-death", about: "a writer is killed",
		processes: 3, roles: cast([]string{"update"}, []string{"load"}, []string{"update"}), preemptions: 1, kills: 1},
	{name: "twin", about: "a reader of a double buffer beside a writer",
		processes: 2, roles: cast([]string{"update the twin 3 times"}, []string{"load the twin"}), preemptions: 3},
	{name: "twin-death", about: "a writer of a double buffer is killed",
		processes: 3, roles: cast([]string{"update the twin"}, []string{"load the twin twice"}, []string{"update the twin"}), preemptions: 1, kills: 1},
}

// noPermit: the permit is gone with who had it.
func noPermit() bool { return oracle.Permits() == 0 }

// noSignal: who was to signal died before.
func noSignal() bool { return oracle.Signals() == 0 || oracle.Items() == 0 }
