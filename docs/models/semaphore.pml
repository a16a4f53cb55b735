/*
 * The semaphore of semaphore/word.go and the queue before it (internal/park): NP
 * processes with G goroutines each acquire and release in ROUNDS. Up to CRASHES
 * processes are killed, CANCELS waits given up, and SPURIOUS sleepers woken by nobody,
 * between any two steps and asleep. Edge names are those of semaphore/word.go.
 *
 *	 nwaiters | value         both halves are one word, and change in one step
 *
 * Checked: permits are neither made nor lost, but for those that the dead had; and
 * when nothing moves any more, nobody living sleeps beside a permit. Only the oldest
 * of a process sleeps in the kernel, for all of it.
 *
 * A step is one atomic access; a loop of load and CAS is one step (see mutex.pml).
 * FUTEX_WAKE is a step of its own, wakes any sleeper, and a killed process may or may
 * not have come to it. The kernel does nothing at a death. The look is a sleeper's way
 * to leave on its own, at some point.
 *
 * With HANDSHAKE process 0 only acquires, the others only release, and process 0
 * unmaps the memory when it has got all there will be.
 */
#ifndef NP
#define NP 3
#endif
#ifndef G
#define G 1
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef PERMITS
#define PERMITS 1
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
#ifndef MAX
#define MAX 200                /* MaxValue */
#endif
#define NG (NP * G)

byte value = PERMITS, nwaiters = 0;
bool asleep[NG];               /* queued in the kernel, on value */
bool killed[NP];
chan queue[NP] = [G] of { byte };  /* who waits, oldest first */
bool mapped = true;

byte held = 0, lost = 0, refused = 0;
byte crashes = 0, cancels = 0, spurious = 0;

inline wake_one() {
	if
	:: asleep[0] -> asleep[0] = false
	:: asleep[1] -> asleep[1] = false
#if NP * G > 2
	:: asleep[2] -> asleep[2] = false
#endif
#if NP * G > 3
	:: asleep[3] -> asleep[3] = false
#endif
	:: else
	fi
}

/* SIGKILL: its sleepers are gone, the others stop before any step they like. */
inline kill(p) {
	crashes++; killed[p] = true;
	asleep[p * G] = false; asleep[p * G + G - 1] = false
}
#define KILL(p) atomic { crashes < CRASHES && !killed[p] -> kill(p) }
#define STOP(p) killed[p] -> goto stop

proctype Killer() {
end:
	do
	:: KILL(0)
	:: KILL(1)
#if NP > 2
	:: KILL(2)
#endif
	od
}

#ifdef NO_LOOK
#define LOOK false
#else
#define LOOK (value > 0)
#endif

inline one_less() { nwaiters = nwaiters - (nwaiters > 0 -> 1 : 0) }

#ifdef CHECK_THEN_TAKE
#define TAKE(x) held++; has = true; goto later
#else
#define TAKE(x) x; held++; has = true; goto taken
#endif

proctype P(byte g) {
	byte rounds = 0;
	byte n;                        /* what it has seen of the word */
	bool has = false;
	byte p = g / G;

again:
	n = 0;
#ifdef HANDSHAKE
	if
	:: p == 0 && rounds == ROUNDS * (NP - 1) -> goto unmap
	:: p == 0 && rounds < ROUNDS * (NP - 1) -> rounds++
	:: p > 0 && rounds == ROUNDS -> goto stop
	:: p > 0 && rounds < ROUNDS -> rounds++; goto release
	fi;
#else
	if
	:: rounds == ROUNDS -> goto stop
	:: else -> rounds++
	fi;
#endif

acquire:
	/* A newcomer takes a permit, or finds none, or must not overtake. */
	atomic {
		if
		:: STOP(p)
		:: value > 0 -> TAKE(value--)                            /* E-S1 */
		:: true -> queue[p]!g
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: queue[p]?[eval(g)]                                    /* the oldest */
		:: cancels < CANCELS -> cancels++; queue[p]??eval(g); goto again
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: value > 0 -> queue[p]??eval(g); TAKE(value--)         /* E-S1 */
		:: value == 0
		fi
	};
#ifndef UNCOUNTED
	atomic {
		if
		:: STOP(p)
		:: true -> nwaiters++                                    /* E-S2 */
		fi
	};
#endif
wait:
	atomic {
		if
		:: STOP(p)
		:: value > 0 ->
			one_less(); queue[p]??eval(g); TAKE(value--)         /* E-S3 */
		:: value == 0
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: !killed[p] && value == 0 -> asleep[g] = true
#ifdef BLIND_WAIT
		:: !killed[p] && value > 0 -> asleep[g] = true
#else
		:: !killed[p] && value > 0 -> goto wait                  /* EAGAIN */
#endif
		:: cancels < CANCELS -> goto forgo
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: !killed[p] && !asleep[g] -> goto wait
		:: asleep[g] && LOOK -> asleep[g] = false; goto wait
		:: asleep[g] && spurious < SPURIOUS -> spurious++; asleep[g] = false; goto wait
		:: asleep[g] && cancels < CANCELS -> asleep[g] = false; goto forgo
#ifdef CANCEL_SWALLOWS
		:: !killed[p] && !asleep[g] && cancels < CANCELS -> goto forgo
#endif
		fi
	};

forgo:
	atomic {
		if
		:: STOP(p)
		:: true ->
			cancels++;
#ifdef FORGO_TWICE
			one_less();
#endif
			one_less();                                          /* E-S5 */
			queue[p]??eval(g); goto again
		fi
	};

#ifdef CHECK_THEN_TAKE
later:
	atomic { assert(value > 0); value-- };
#endif
taken:
	assert(mapped);
#ifdef HANDSHAKE
	held--; has = false; goto again;
#endif

release:
#ifdef WAKE_FIRST
	atomic {
		if
		:: nwaiters > 0 -> wake_one()
		:: else
		fi
	};
#endif
#ifdef SPLIT_TEST
	atomic {
		if
		:: STOP(p)
		:: true -> n = nwaiters
		fi
	};
#endif
#ifdef CHECK_THEN_ADD
	atomic {
		if
		:: STOP(p)
		:: value >= MAX -> refused++; goto again
		:: value < MAX
		fi
	};
#endif
	atomic {
		assert(mapped);
		if
		:: STOP(p)
#ifndef CHECK_THEN_ADD
		:: value >= MAX -> refused++; goto again                 /* ErrOverflow */
		:: value < MAX ->
#else
		:: true ->
#endif
			value++;                                             /* E-S4 */
			assert(value <= MAX);
			held = held - has; has = false;
#ifndef SPLIT_TEST
			n = nwaiters
#endif
		fi
	};
#ifdef TOUCH_AFTER
	atomic { assert(mapped); n = nwaiters };
#endif
	atomic {
		if
		:: STOP(p)                                               /* P-S2 */
#ifndef WAKE_FIRST
		:: n > 0 -> wake_one()
#else
		:: n > 0
#endif
		:: n == 0
		fi
	};
	goto again;

#ifdef HANDSHAKE
unmap:
	mapped = false;
#endif
stop:
	atomic {
		lost = lost + has; held = held - has; has = false;
		n = 0; rounds = 0;
		if
		:: queue[p]??[eval(g)] -> queue[p]??eval(g)
		:: else
		fi
	}
}

init {
	byte i;
	atomic {
		for (i : 0 .. NG - 1) { run P(i) };
		run Killer()
	}
	timeout ->                 /* nothing moves any more */
	atomic {
#ifndef HANDSHAKE
		assert(value + held + lost == PERMITS);
#endif
		for (i : 0 .. NG - 1) { assert(!asleep[i] || value == 0) }
	}
}
