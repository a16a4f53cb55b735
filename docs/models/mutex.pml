/*
 * The lock word of mutex/word.go under death: N processes, of which the last PEERS
 * are C programs (glibc.pml), lock and unlock in ROUNDS. Up to CRASHES of them are
 * killed, CANCELS waits given up, and SPURIOUS sleepers woken by nobody, between any
 * two steps and asleep. Edge names are those of mutex/word.go.
 *
 *	    4       3       2..0
 *	+---------+------+---------+      and beside it
 *	| WAITERS | DIED | 1 + p,  |      mark   0, INCONSISTENT, CONDEMNED   (Mutex.owner)
 *	|         |      | 0: free |      name   who recorded itself last     (Mutex.prev)
 *	+---------+------+---------+
 *
 * Checked: two processes are never inside; nobody enters over half-changed data that
 * was not repaired, or a condemned mutex; and, as the absence of invalid end states,
 * nobody living sleeps for ever.
 *
 * A step is one atomic access. A loop that loads the word, and nothing else, and then
 * compares and swaps just that has no effect until it succeeds: it is one step too.
 *
 * The kernel and the library around the word:
 *   - FUTEX_WAIT compares and falls asleep in one step (futex F1). FUTEX_WAKE is a
 *     step of its own, and wakes any sleeper: no order is relied upon;
 *   - a death has two ends. First the guardian's: the kernel marks the word and wakes
 *     one sleeper (E-M6), or, UNMARKED, does not (P-K1, P-K18). The other threads may
 *     go on for any number of steps, calls in flight among them (P-K15), then stop;
 *   - the look is a sleeper's way to leave on its own. It is not tied to time: what it
 *     can repair "at the latest in 100 ms" is here "at some point".
 *
 * The other flags make mutants. ./check lists them, and what must be found for each.
 */
#ifndef N
#define N 3
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef CRASHES
#define CRASHES 0
#endif
#ifndef CANCELS
#define CANCELS 0
#endif
#ifndef SPURIOUS
#define SPURIOUS 0
#endif
#ifndef PEERS
#define PEERS 0
#endif

#define TID(v)  ((v) & 7)
#define DIED    8
#define WAITERS 16
byte word = 0;

#define INCONSISTENT 1
#define CONDEMNED    2
byte mark = 0;
byte name = 0;

#define ALIVE 0
#define DYING 1                /* the guardian has ended, other threads may still run */
#define DEAD  2
byte phase[N];
bool asleep[N];                /* queued in the kernel, on the word */

byte inside = 0;               /* processes that may touch the data */
bool dirty = false;            /* the data is half changed */
bool condemned = false;        /* for good: E-M9 was done */
byte crashes = 0, cancels = 0, spurious = 0;

/* FUTEX_WAKE of one */
inline wake_one() {
	if
	:: asleep[0] -> asleep[0] = false
	:: asleep[1] -> asleep[1] = false
#if N > 2
	:: asleep[2] -> asleep[2] = false
#endif
#if N > 3
	:: asleep[3] -> asleep[3] = false
#endif
	:: else
	fi
}

inline wake_all() {
	asleep[0] = false; asleep[1] = false;
#if N > 2
	asleep[2] = false;
#endif
#if N > 3
	asleep[3] = false
#endif
}

/* What the kernel does to a word that carries a dead TID. */
inline mark_dead(p) {
	if
	:: TID(word) == p + 1 ->
		word = DIED | (word & WAITERS);                          /* E-M6 */
		if
		:: word & WAITERS -> wake_one()
		:: else
		fi
	:: else
	fi
}

/* SIGKILL of any process at any time; with ONLY_HOLDERS, of one that has the word:
 * the deaths of which the kernel tells, so that no look is needed. */
#if defined(WOKEN_TOO)
#define MAY_DIE(p) (TID(word) == p + 1 || (word & DIED))
#elif defined(ONLY_HOLDERS)
#define MAY_DIE(p) (TID(word) == p + 1)
#else
#define MAY_DIE(p) true
#endif
#define KILL(p) atomic { crashes < CRASHES && phase[p] == ALIVE && MAY_DIE(p) -> kill(p) }

/* A C owner's list is that of its own thread: glibc.pml walks it when that stops. */
#define IS_C(p) (p >= N - PEERS)

inline kill(p) {
	crashes++;
	phase[p] = DYING; asleep[p] = false;
#ifndef UNMARKED
	if
	:: !IS_C(p) -> mark_dead(p)
	:: else
	fi
#endif
}

proctype Killer() {
end:
	do
	:: KILL(0)
	:: KILL(1)
#if N > 2
	:: KILL(2)
#endif
#if N > 3
	:: KILL(3)
#endif
	od
}

/* Who was killed may stop before any step. Between taking the word and recording
 * itself it must, or LATE_RECORD: the heir does not know for whom to wait, and what it
 * wrote down may be overwritten; so everybody asks again who has the word (INV-M8). */
#define STOP(p) phase[p] == DYING -> goto stop
#ifdef LATE_RECORD
#define RECORDS(p) true
#else
#define RECORDS(p) (phase[p] == ALIVE)
#endif

/* Beside C programs, who was killed must not even take the word: the look, which
 * judges no C owner, could not tell who has it if C had it last: LATE_TAKE. */
#if PEERS == 0 || defined(LATE_TAKE)
#define TAKES(p) true
#else
#define TAKES(p) (phase[p] == ALIVE)
#endif

/* What a look rouses a sleeper for; and when it does what the kernel has not done.
 * It judges no C owner. */
#define FREE (TID(word) == 0)
#ifdef NO_LOOK
#define LOOK false
#define BURY false
#else
#define LOOK (FREE || !(word & WAITERS) || mark == CONDEMNED)
#ifdef STEAL_STOPPED
#define BURY (!FREE)
#else
#define GONE(p) (phase[p] == DEAD || phase[p] == DYING && !IS_C(p))
#define BURY (!FREE && TID(word) <= N && GONE(TID(word) - 1) && !IS_C(name - 1))
#endif
#endif

/* A process of ours. */
proctype Go(byte p) {
	byte rounds = 0, v;
	byte last;                     /* who had the word before, as far as one could see */
	bool slept;                    /* it has waited in the kernel, and owes the word WAITERS */
	bool holds = false;            /* it may touch the data */

again:
	v = 0; last = 0; slept = false;
	if
	:: rounds == ROUNDS -> goto stop
	:: else -> rounds++
	fi;

try:
	atomic {
		if
		:: STOP(p)
		:: true ->
			v = word;
			if
			:: mark == CONDEMNED -> goto learned
			:: mark != CONDEMNED && (v & DIED) -> goto inherit
			:: mark != CONDEMNED && !(v & DIED) && TID(v) != 0 -> goto pause
			:: else
			fi
		fi
	};
take:
	atomic {
		if
		:: STOP(p)
#if defined(TEST_THEN_SET)
		:: true ->
#elif defined(STALE)
		:: word != v -> goto take
		:: word == v ->
#else
		:: word != v -> goto try
		:: word == v && TAKES(p) ->
#endif
#if defined(TWO_STEPS)
			word = v | 7                                         /* held: by whom comes next */
#elif defined(NO_FLAG) || defined(SLEEPER_UNFLAGGED)
			word = (p + 1) | (v & WAITERS)
#else
			word = (p + 1) | (v & WAITERS) | (slept -> WAITERS : 0)  /* E-M1 E-M3 */
#endif
		fi
	};
#ifdef TWO_STEPS
	atomic {
		if
		:: STOP(p)
		:: true -> word = (p + 1) | (word & WAITERS)
		fi
	};
#endif
	/* settle */
	atomic {
		if
		:: STOP(p)
		:: mark == CONDEMNED -> goto unlock
		:: mark != CONDEMNED && RECORDS(p) -> name = p + 1
		fi
	};
#ifndef UNASKED
	atomic {
		if
		:: STOP(p)
		:: TID(word) == p + 1                                    /* INV-M8 */
		:: TID(word) != p + 1 -> assert(phase[p] == DYING); goto stop
		fi
	};
#endif
	atomic {
		if
		:: STOP(p)
		:: true -> inside++; holds = true; assert(!dirty && !condemned)
		fi
	};

critical:
	atomic {
		if
		:: STOP(p)
		:: true -> assert(inside == 1); dirty = true
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: true -> dirty = false
		fi
	};

unlock:
#ifdef WAKE_FIRST
	atomic {
		if
		:: word & WAITERS -> wake_one()
		:: else
		fi
	};
#endif
	atomic {
		if
		:: STOP(p)
#ifdef STORE_UNLOCK
		:: true ->
#else
		:: TID(word) != p + 1 -> assert(phase[p] == DYING); goto stop
		:: TID(word) == p + 1 ->
#endif
			v = word; word = 0;                                  /* E-M4 E-M5 */
			inside = inside - holds; holds = false
		fi
	};
	atomic {
		if
		:: STOP(p)                                               /* P-M1 */
#ifdef WAKE_FIRST
		:: true
#else
		:: v & WAITERS -> wake_one()
		:: !(v & WAITERS)
#endif
		fi
	};
	goto again;

pause:
	atomic {
		if
		:: STOP(p)
		:: FREE -> goto try
		:: !FREE ->
#ifndef NO_FLAG
			word = word | WAITERS;                               /* E-M2 */
#endif
			v = word
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: cancels < CANCELS -> cancels++; goto again
		:: phase[p] == ALIVE && word == v -> asleep[p] = true; slept = true
		:: phase[p] == ALIVE && word != v -> slept = true; goto try    /* EAGAIN */
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: phase[p] == ALIVE && !asleep[p] -> goto try
		:: asleep[p] && spurious < SPURIOUS -> spurious++; asleep[p] = false; goto try
		:: asleep[p] && cancels < CANCELS -> cancels++; asleep[p] = false;
#ifdef CANCEL_CLEARS
			word = word & ~WAITERS;
#endif
			goto again
#ifdef CANCEL_SWALLOWS
		:: phase[p] == ALIVE && !asleep[p] && cancels < CANCELS -> cancels++; goto again
#endif
		:: asleep[p] && LOOK -> asleep[p] = false; goto try
		:: asleep[p] && BURY ->
			word = DIED | (word & WAITERS);                      /* E-M10 */
			asleep[p] = false; goto try
		fi
	};

inherit:
	atomic {
		if
		:: STOP(p)
#ifdef MAY_FAIL
		:: true -> goto learned                                  /* no repair is registered */
#endif
		:: word != v -> goto try
		:: word == v && TAKES(p) ->
#ifdef HEIR_UNFLAGGED
			word = p + 1
#else
			word = (p + 1) | WAITERS                             /* E-M7 */
#endif
		fi
	};
	atomic {
		if
		:: STOP(p)
#ifdef BLIND_HEIR
		:: true -> last = name
#else
		:: mark == CONDEMNED -> goto unlock                      /* after we looked, before E-M7 */
		:: mark != CONDEMNED -> last = name
#endif
		fi
	};
#ifdef RECORD_FIRST
	atomic {
		if
		:: STOP(p)
		:: RECORDS(p) -> name = p + 1
		fi
	};
#endif
	/* The fence: until the dead one's threads have stopped. Whoever inherits from us
	 * in here has to wait for those too, so our own record comes after it. */
	atomic {
		if
		:: STOP(p)
#ifdef NO_FENCE
		:: true
#else
		:: last == 0 || last == p + 1 || IS_C(last - 1) || phase[last - 1] != DYING
#endif
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: RECORDS(p) -> mark = INCONSISTENT
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: RECORDS(p) -> name = p + 1
		fi
	};
#ifndef UNASKED
	atomic {
		if
		:: STOP(p)
		:: TID(word) == p + 1                                    /* INV-M8 */
		:: TID(word) != p + 1 -> assert(phase[p] == DYING); goto stop
		fi
	};
#endif
	atomic {
		if
		:: STOP(p)
		:: true -> inside++; holds = true; assert(inside == 1)
		fi
	};
	atomic {                                                     /* the repair */
		if
		:: STOP(p)
#ifdef SILENT_HEIR
		:: true
#else
		:: true -> dirty = false
#endif
#ifdef MAY_FAIL
		:: true -> goto give_up
#endif
#ifdef MAY_CONDEMN
		:: true -> goto condemn
#endif
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: true -> mark = 0; last = 0; assert(!dirty && !condemned); goto critical
		fi
	};

give_up:
	atomic {
		if
		:: STOP(p)
		:: true -> inside--; holds = false; name = last
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: TID(word) != p + 1 -> assert(phase[p] == DYING); goto stop
		:: TID(word) == p + 1 ->
			word = DIED | (word & WAITERS)                       /* E-M8 */
		fi
	};
	goto learned;

condemn:
	atomic {
		if
		:: STOP(p)
		:: true -> inside--; holds = false; mark = CONDEMNED
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: true -> name = 0
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: TID(word) != p + 1 -> assert(phase[p] == DYING); goto stop
		:: TID(word) == p + 1 ->
			v = word; word = 0;                                  /* E-M9 */
			condemned = true
		fi
	};
	atomic {
		if
		:: STOP(p)
#ifdef TELL_ONE
		:: true -> wake_one()
#else
		:: true -> wake_all()
#endif
		fi
	};
	goto again;

learned:
	/* The only wake may have been for us: pass it on. */
	atomic {
		if
		:: STOP(p)
#ifdef TELL_ONE
		:: true
#else
		:: true -> wake_one()
#endif
		fi
	};
	goto again;

stop:
	atomic {
		phase[p] = DEAD; inside = inside - holds;
		holds = false; v = 0; last = 0; slept = false; rounds = 0
	}
}

#if PEERS > 0
#include "glibc.pml"
#endif

init {
	atomic {
		byte i;
		for (i : 0 .. N - PEERS - 1) { run Go(i) };
#if PEERS > 0
		for (i : N - PEERS .. N - 1) { run C(i) };
#endif
		run Killer()
	}
}
