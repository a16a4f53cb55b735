/*
 * The condition variable of condvar/condvar.go and the groups of
 * internal/park/group.go: NP processes with two waiting goroutines each, of
 * which the oldest sleeps in the kernel for both; a producer that signals each
 * of ITEMS items; up to CRASHES waiting processes killed between any two steps,
 * and the producer, if PRODUCER_DIES, between counting a signal and its wake.
 *
 * Checked: when nothing moves any more, no living waiter is left beside an
 * item. That would be a lost wake-up.
 *
 * The mutex is taken as given: what happens under it is one atomic step. The
 * kernel's queue is first in, first out (the proof needs it: P-C3).
 */
#ifndef NP
#define NP 2
#endif
#define NG (2 * NP)
#ifndef ITEMS
#define ITEMS NG
#endif
#ifndef CRASHES
#define CRASHES 0
#endif

byte items = 0;
byte seq = 0, waiters = 0;

/* per process */
byte last[NP];          /* signals the group has dealt with */
byte q[NG];             /* q[2p], q[2p+1]: the group's queue, 1 + goroutine, oldest first */
bool gone[NP];
bool kernel[NP];        /* its oldest sleeps in the kernel */
chan fifo = [NP] of { byte };   /* the kernel's queue */

/* per goroutine */
byte seen[NG];
bool news[NG];
byte crashes = 0;

inline enqueue(g) {
	seen[g] = seq; news[g] = false;
	if
	:: q[g & 254] == 0 -> q[g & 254] = g + 1; last[g / 2] = seq
	:: else -> q[(g & 254) + 1] = g + 1
	fi
}

inline call_oldest(p) {
	news[q[2 * p] - 1] = true;
	q[2 * p] = q[2 * p + 1]; q[2 * p + 1] = 0
}

/* What the oldest does when it wakes: one call for each signal that came after
 * the one called had joined. */
inline share(p) {
	n = seq - last[p];
	last[p] = seq;
#ifdef ONE_PER_WAKE
	if
	:: n > 1 -> n = 1
	:: else
	fi;
#endif
	if
	:: n > 0 && q[2 * p] != 0 && seen[q[2 * p] - 1] != seq -> call_oldest(p); n--
	:: else -> n = 0
	fi;
	if
	:: n > 0 && q[2 * p] != 0 && seen[q[2 * p] - 1] != seq -> call_oldest(p)
	:: else
	fi;
	n = 0
}

/* FUTEX_WAKE of one: the longest asleep. */
inline wake() {
	if
	:: fifo?w -> kernel[w] = false; w = 0
	:: empty(fifo)
	fi
}

/* Leaving the kernel unwoken: by a rouse of one's own process, or dead. */
inline slip_out(p) {
	if
	:: kernel[p] -> kernel[p] = false; fifo??eval(p)
	:: else
	fi
}

#define MAYBE_DIE(p) :: atomic { crashes < CRASHES && !gone[p] -> crashes++; gone[p] = true; slip_out(p); goto dead } \
                     :: atomic { gone[p] -> goto dead }
#define ALIVE(p) !gone[p]

proctype Waiter(byte g) {
	byte n = 0;
	byte p = g / 2;

again:
	if
	MAYBE_DIE(p)
	:: atomic { ALIVE(p) && items > 0 -> items--; goto done }
	:: atomic { ALIVE(p) && items == 0 ->
		waiters++;                                           /* E-C1 */
		enqueue(g)
	   }
	fi;

end_wait:
wait:
	if
	MAYBE_DIE(p)
	:: atomic { ALIVE(p) && news[g] -> waiters--; goto again }   /* E-C3 */
	:: atomic { ALIVE(p) && !news[g] && q[g & 254] == g + 1 ->   /* its turn: the oldest */
		if
#ifndef BLIND_WAIT
		:: seq != last[p] -> share(p); goto wait             /* the kernel's comparison fails */
		:: seq == last[p] ->
#else
		:: true ->
#endif
			kernel[p] = true; fifo!p
		fi
	   }
	fi;

end_asleep:
	if
	MAYBE_DIE(p)
	:: atomic { ALIVE(p) && !kernel[p] -> share(p); goto wait }  /* woken */
#ifndef NO_LOOK
	:: atomic { ALIVE(p) && kernel[p] && seq != last[p] -> slip_out(p); share(p); goto wait }
#endif
	fi;

dead:
done:
	skip
}

proctype Observer() {
	byte i = 0;
	timeout ->
	d_step {
		do
		:: i < NP -> assert(gone[i] || q[2 * i] == 0 || items == 0); i++
		:: else -> break
		od
	}
}

proctype Producer() {
	byte i, w = 0;
	bool some;
	for (i : 1 .. ITEMS) {
		atomic { items++ };
#ifdef WAKE_FIRST
		atomic { wake() };
		atomic { seq++ };
#else
		atomic { seq++ };                                        /* E-C2 */
		atomic { some = waiters > 0 };
		if
#ifdef PRODUCER_DIES
		/* Killed before the wake; another carries on with the rest. */
		:: true
#endif
		:: atomic { some -> wake() }
		:: !some
		fi
#endif
	}
}

init {
	atomic {
		byte i;
		for (i : 0 .. NG - 1) { run Waiter(i) };
		run Producer();
		run Observer()
	}
}
