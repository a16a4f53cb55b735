package demo

// A lesson is what a page of the book has beyond its demo.
type lesson struct {
	see       string // what to look at in the output
	questions []answered
	reading   []string
}

type answered struct{ question, answer string }

const (
	ostep   = "Remzi and Andrea Arpaci-Dusseau, *Operating Systems: Three Easy Pieces*, part Concurrency, <https://ostep.org>"
	downey  = "Allen B. Downey, *The Little Book of Semaphores*"
	goMem   = "The Go memory model, <https://go.dev/ref/mem>"
	drepper = "Ulrich Drepper, *Futexes Are Tricky*"
	futex2  = "futex(2), futex(7)"
	mckenny = "Paul E. McKenney, *Is Parallel Programming Hard, And, If So, What Can You Do About It?*"
)

// lessons has one for each demo.
var lessons = map[string]lesson{
	"lost-update": {
		see: "The share that is lost, and the three costs. Then the twenty orders: find the two that lose nothing.",
		questions: []answered{
			{"What is the least the counter can be, with n additions each?", "2, for n of 2 or more. A loads 0; B does all its additions but the last; A stores 1; B loads 1; A does the rest; B stores 2."},
			{"Would it help to make the load and the store atomic, each by itself?", "No. Each is whole already. What must not be divided is the three steps together."},
			{"Why is a mutex that everybody wants dearer than an atomic add?", "It hands over two words, the lock and the counter, and who does not get it may have to sleep. The add hands over one, and nobody sleeps."},
		},
		reading: []string{ostep, goMem},
	},
	"one-instruction": {
		see: "Two rows: on one CPU nothing is lost, with a CPU each a good part.",
		questions: []answered{
			{"A container has one CPU, and a program with n++ has passed all tests. May it be deployed?", "Not on a machine that gives it two. The tests could not see the fault."},
			{"Why does the LOCK prefix not slow the other CPUs down that use other memory?", "It keeps one cache line, not the bus. Only who wants that line waits."},
		},
		reading: []string{"Intel 64 and IA-32 Architectures Software Developer's Manual, volume 3, the chapter on locked atomic operations", ostep},
	},
	"impossible": {
		see: "In how many rounds both read 0, and how often both were in the lock. Then the same with `taskset -c 0`: nothing.",
		questions: []answered{
			{"Where would a single fence suffice in Peterson's lock, on amd64?", "Between the store of turn and the load of the other's flag: the only disorder there is a load before an earlier store."},
			{"Can a debugger that steps through both processes show it?", "No. Between two steps the store buffer empties."},
			{"Does volatile in C help?", "No. It tells the compiler, not the CPU."},
		},
		reading: []string{"G. L. Peterson, *Myths about the mutual exclusion problem*, 1981", "P. Sewell and others, *x86-TSO: a rigorous and usable programmer's model for x86 multiprocessors*, CACM 2010", "[docs/memory-order.md](../memory-order.md)", mckenny},
	},
	"torn-read": {
		see: "The first read that did not fit: two numbers of one value and the third of another. With the seqlock: how often it copied again.",
		questions: []answered{
			{"The reader finds a + b = sum. Is the value whole?", "Not surely. Three words of different values can fit by accident. A check is no protection."},
			{"What happens to readers of a seqlock if the writer is killed in the middle of a write?", "The sequence stays odd: a naive reader waits for ever. Ours returns ErrWriterDead, and the next Store repairs."},
		},
		reading: []string{"Hans-J. Boehm, *Can Seqlocks Get Along With Programming Language Memory Models?*, MSPC 2012", "The kernel's Documentation/locking/seqlock.rst"},
	},
	"double-buffer": {
		see: "How often B has looked at a version that will not change any more, and D's torn copies.",
		questions: []answered{
			{"Why do tests of such code often pass?", "They write twice, or the writer goes on writing. Only a writer that stops after an odd number of writes shows it."},
			{"Would three copies do?", "They make it rarer: the reader is overtaken by the third write instead of the second. Only a look at the version after the copy tells."},
		},
		reading: []string{"The kernel's include/linux/seqlock.h, seqcount_latch", "`go doc interlock/seqlock.DoubleBuffer`"},
	},
	"check-then-lock": {
		see: "The two pids that were inside at once.",
		questions: []answered{
			{"Where else have you seen it?", "`test -e file || touch file`; SELECT, then INSERT; \"is the port free\", then bind."},
			{"With compare-and-swap it excludes. What is still missing?", "Who waits burns a CPU; nobody is told to come next; and if the owner is killed the word stays 1."},
		},
		reading: []string{drepper, ostep},
	},
	"bank": {
		see: "How many transfers were made before both stood still, and what inspect says, with the pids.",
		questions: []answered{
			{"Three philosophers, three forks: who must do what differently?", "One takes the forks in the other order, which is: all take the fork with the lower number first."},
			{"Is TryLock, and giving back if it fails, a solution?", "It cannot deadlock, but both may give back and try again for ever (a livelock), and it costs work that is thrown away."},
		},
		reading: []string{"E. G. Coffman, M. J. Elphick, A. Shoshani, *System Deadlocks*, 1971", downey},
	},
	"lost-wakeup": {
		see: "The letter that is in the box while both sleep.",
		questions: []answered{
			{"Why does the kernel compare the word once more, when B has just done so?", "Because of the time between. The kernel compares while it holds the lock of the queue in which A looks for sleepers: either B is in the queue when A looks, or the word has changed before B gets in."},
			{"The program works with a timeout of a second on the wait. Is it right?", "It is slow, now and then, by a second, and nobody will know why."},
		},
		reading: []string{futex2, drepper, "`go doc interlock/futex`: the argument in two columns"},
	},
	"if-not-while": {
		see: "The lowest count. Then the number of waits with Signal and with Broadcast.",
		questions: []answered{
			{"Hoare's monitors of 1974 needed no loop. Why do ours?", "There the one who is woken runs at once, and nobody comes between. In practice, since Mesa, a signal is a hint: who is woken must queue for the mutex like all others."},
			{"When is Signal wrong, with the loop?", "When the one it wakes cannot use what there is: two kinds of waiters on one condition variable."},
		},
		reading: []string{"B. W. Lampson, D. D. Redell, *Experience with Processes and Monitors in Mesa*, 1980", downey},
	},
	"dead-owner": {
		see: "Whom the lock belongs to, the sum of the two accounts, and how soon the mutex got over it.",
		questions: []answered{
			{"Why does the mutex not simply unlock when its owner dies?", "The next would find 900 where 1,000 should be. Somebody has to repair, or to say that it cannot be repaired."},
			{"How can a repair know what was half done?", "By writing down, inside the lock, what is going to be done before it is done (a journal), or by a rule that must hold, as the sum here."},
			{"The lock is a file lock (flock). What is different?", "The kernel closes the file at death, which unlocks it. And nobody learns that the value is half written."},
		},
		reading: []string{"The kernel's Documentation/locking/robust-futexes.rst", "[docs/design.md](../design.md)", "[docs/runbook.md](../runbook.md)"},
	},
	"init-race": {
		see: "The rounds in which an addition was wiped out, and those in which there was nothing to map.",
		questions: []answered{
			{"O_EXCL says who is first. What does the second lack?", "To know when the first is finished, and what to do if it never is."},
			{"Why is memory that is ready when it is zero such a help?", "Fresh shared memory is zero. What needs no initialisation has no race of it."},
		},
		reading: []string{"shm_overview(7), sem_overview(7)", "`go doc interlock/shm.OpenOrCreate`"},
	},
	"ring": {
		see: "The message that came twice instead of one that never came.",
		questions: []answered{
			{"Head and tail are in lines of their own. Why?", "Each is written by one side all the time: see false-sharing."},
			{"What changes with two writers?", "Both may take the same slot. They need a lock around taking one and filling it, or a protocol that gives out slots and publishes them in order."},
		},
		reading: []string{"The kernel's Documentation/core-api/circular-buffers.rst", "[examples/ring](../../examples/ring)"},
	},
	"private-futex": {
		see: "How many were woken, and that the sleeper still sleeps.",
		questions: []answered{
			{"Why is there such a flag at all?", "Most futexes are of threads of one process. Then the kernel need not ask which page is behind the address."},
			{"A sync.Mutex lies in shared memory, and a test of two processes has passed. Why?", "Nobody had to wait for long: the fast path is a compare-and-swap, which works between processes. The fault begins with the first sleeper."},
		},
		reading: []string{futex2, "[docs/pitfalls.md](../pitfalls.md), P-G5"},
	},
	"sleep-is-not-sync": {
		see: "Missed, twice, too early. Run it again: other figures.",
		questions: []answered{
			{"Is polling always wrong?", "No: if only the latest value counts, or if what is waited for cannot tell. But then nothing must depend on seeing each."},
			{"The test passes with sleep(2) instead of sleep(1). What has been learnt?", "How busy the machine was."},
		},
		reading: []string{downey, "nanosleep(2)"},
	},
	"false-sharing": {
		see: "The two costs. Nothing else differs between the two programs.",
		questions: []answered{
			{"How would you notice it in a real program?", "It does not get faster with more CPUs, and `perf c2c` names the line."},
			{"Why 128 bytes rather than 64?", "Many CPUs fetch the neighbouring line, too."},
		},
		reading: []string{"Ulrich Drepper, *What Every Programmer Should Know About Memory*", "perf-c2c(1)"},
	},
	"pid-reuse": {
		see: "The pid of the dead, and that of the stranger.",
		questions: []answered{
			{"Why is a pidfd better than a pid?", "It is a handle on one process: it never means another. But it must have been opened while that lived."},
			{"The owner is in another container. What does kill(pid, 0) say there?", "Something about another process, or none: pids are counted in each PID namespace. Both answers can be wrong."},
		},
		reading: []string{"pid_namespaces(7), pidfd_open(2)", "[docs/pitfalls.md](../pitfalls.md), P-K7 and P-K8"},
	},
	"full-shm": {
		see: "The number of pages that could be used, and what the process died of.",
		questions: []answered{
			{"Why not touch every page at the start, to be sure?", "Then it dies at the start, still by SIGBUS. An error can be handled, and names the cause."},
			{"In a container with a memory limit, does fallocate help?", "It counts against the limit, so it fails, or the container's processes are killed, at the start and not in the middle of the work. Our calls look at the limit first, and return ENOMEM."},
		},
		reading: []string{"tmpfs(5), fallocate(2)", "[docs/pitfalls.md](../pitfalls.md), P-K5"},
	},
}
