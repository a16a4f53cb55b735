/*
 * The condition variable of condvar/condvar.go and the groups of internal/park/group.go:
 * NP processes with two waiting goroutines each, of which the oldest sleeps in the
 * kernel for both, and a producer that signals each of ITEMS items, or, with BROADCAST,
 * makes enough for all and says so once. Up to CRASHES waiting processes are killed,
 * CANCELS waits given up, and SPURIOUS sleepers woken by nobody, between any two steps
 * and asleep; with PRODUCER_DIES the producer may be killed before each wake, and another
 * goes on. Edge names are those of condvar/condvar.go.
 *
 *	seq      signals and broadcasts so far; what the kernel compares
 *	casts    broadcasts so far
 *	waiters  who said that they wait: a hint, never too low
 *
 * Checked: when nothing moves any more, the producer has come to its end, and no living
 * waiter is left beside an item. That would be a lost wake-up.
 *
 * The mutex is taken as given: it is free as soon as its holder is dead. A step is one
 * atomic access to what is shared between processes, or what one process does holding
 * its queue's lock. The kernel's queue is first in, first out: P-C3 needs it. The look
 * is a sleeper's way to leave on its own, at some point.
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
#ifndef CANCELS
#define CANCELS 0
#endif
#ifndef SPURIOUS
#define SPURIOUS 0
#endif

byte seq = 0, casts = 0, waiters = 0;
byte items = 0;
byte mu = 0;                   /* the mutex: 1 + goroutine, PRODUCER, or 0 */
#define PRODUCER 100

/* per process */
byte last[NP];                 /* signals that the group has dealt with */
byte q[NG];                    /* q[2p], q[2p+1]: its queue, 1 + goroutine, oldest first */
bool gone[NP];
bool asleep[NP];               /* its oldest, in the kernel */
chan fifo = [NP] of { byte };  /* the kernel's queue, of processes */

/* per goroutine */
byte seen[NG], seen_casts[NG]; /* the counts when it joined */
bool news[NG];

#ifdef INNER_LOCK
bool inner = false;
#endif
bool produced = false;
byte crashes = 0, cancels = 0, spurious = 0;

/* Join, the queue's part */
inline enqueue(g) {
	seen[g] = seq; news[g] = false;
	if
	:: q[g & 254] == 0 -> q[g & 254] = g + 1; last[g / 2] = seq
	:: else -> q[(g & 254) + 1] = g + 1
	fi
}

inline dequeue(g) {
	if
	:: q[g & 254] == g + 1 -> q[g & 254] = q[(g & 254) + 1]; q[(g & 254) + 1] = 0
	:: q[(g & 254) + 1] == g + 1 -> q[(g & 254) + 1] = 0
	:: else
	fi
}

/* With FOR_WHOM, of a single signal: who was there before it? One of them must be
 * called, whoever came meanwhile (INV-C2). */
#ifdef FOR_WHOM
bool before[NG], met = false;
#define WAITS(g) (!gone[(g) / 2] && !news[g] && (q[(g) & 254] == (g) + 1 || q[((g) & 254) + 1] == (g) + 1))
#define CALLED(g) met = met || before[g]
#else
#define CALLED(g) skip
#endif

/* What the oldest does when it wakes, once it has read s of seq and c of casts: it calls all who
 * were there before a broadcast, and one for each signal, the oldest first, if that
 * one was there before it. */
#define OLDEST(p)      (q[2 * p] - 1)
#define BY_CAST(p, c)  (q[2 * p] != 0 && seen_casts[OLDEST(p)] != c)
#ifdef STEAL
#define BY_SIGNAL(p)   (q[2 * p] != 0 && n > 0)
#else
#define BY_SIGNAL(p)   (q[2 * p] != 0 && n > 0 && seen[OLDEST(p)] != s)
#endif
inline first() {
	CALLED(OLDEST(p)); news[OLDEST(p)] = true; q[2 * p] = q[2 * p + 1]; q[2 * p + 1] = 0
}
inline call(p) {
	if
	:: BY_CAST(p, c) -> first()
#ifdef STEAL
	:: !BY_CAST(p, c) && BY_SIGNAL(p) && q[2 * p + 1] != 0 -> n--;
		CALLED(q[2 * p + 1] - 1); news[q[2 * p + 1] - 1] = true; q[2 * p + 1] = 0
	:: !BY_CAST(p, c) && BY_SIGNAL(p) && q[2 * p + 1] == 0 -> n--; first()
#else
	:: !BY_CAST(p, c) && BY_SIGNAL(p) -> n--; first()
#endif
	:: else -> n = 0
	fi
}
inline share(p) {
	n = s - last[p]; last[p] = s;
#ifdef ONE_PER_WAKE
	n = (n > 1 -> 1 : n);
#endif
	call(p); call(p);
	n = 0; s = 0; c = 0
}

/* FUTEX_WAKE of one: the longest asleep. */
inline wake_one() {
	if
	:: fifo?w -> asleep[w] = false; w = 0
	:: empty(fifo)
	fi
}

/* Leaving the kernel unwoken */
inline slip_out(p) {
	if
	:: asleep[p] -> asleep[p] = false; fifo??eval(p)
	:: else
	fi
}

#define HAS_MU(p) (mu == 2 * p + 1 || mu == 2 * p + 2)
#define KILL(p) atomic { crashes < CRASHES && !gone[p] -> crashes++; gone[p] = true; slip_out(p); mu = (HAS_MU(p) -> 0 : mu) }

proctype Killer() {
end:
	do
	:: KILL(0)
#if NP > 1
	:: KILL(1)
#endif
#if NP > 2
	:: KILL(2)
#endif
	od
}

#ifdef NO_LOOK
#define LOOK(p) false
#else
#define LOOK(p) (seq != last[p])
#endif

inline counted_out() { waiters = waiters - (waiters > 0 -> 1 : 0) }

#define STOP(p) gone[p] -> goto dead
#define ALIVE(p) !gone[p]

proctype Waiter(byte g) {
	byte p = g / 2, n = 0, s = 0, c = 0;
	bool cancelled = false;

again:
	atomic {
		if
		:: STOP(p)
		:: ALIVE(p) && mu == 0 && items > 0 -> items--; goto done
		:: ALIVE(p) && mu == 0 && items == 0 -> mu = g + 1
		fi
	};
#ifdef INNER_LOCK
	atomic {
		if
		:: STOP(p)
		:: ALIVE(p) && !inner -> inner = true
		fi
	};
#endif
#ifndef UNCOUNTED
	atomic {
		if
		:: STOP(p)
		:: ALIVE(p) -> waiters++                                 /* E-C1 */
		fi
	};
#endif
	atomic {
		if
		:: STOP(p)
		:: ALIVE(p) -> enqueue(g)
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: ALIVE(p) -> seen_casts[g] = casts
		fi
	};
#ifdef INNER_LOCK
	inner = false;
#endif
	atomic {
		if
		:: STOP(p)
		:: ALIVE(p) -> mu = 0
		fi
	};

wait:
	atomic {
		if
		:: STOP(p)
		:: ALIVE(p) && news[g] -> goto leave
		:: ALIVE(p) && !news[g] && cancels < CANCELS -> cancels++; cancelled = true; dequeue(g); goto leave
		:: ALIVE(p) && !news[g] && q[g & 254] == g + 1 ->        /* its turn: the oldest */
			if
#ifndef BLIND_WAIT
			:: seq != last[p] -> goto woken                      /* the kernel's comparison fails */
			:: seq == last[p] ->
#else
			:: true ->
#endif
				asleep[p] = true; fifo!p
			fi
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: ALIVE(p) && !asleep[p]
		:: ALIVE(p) && asleep[p] && LOOK(p) -> slip_out(p)
		:: ALIVE(p) && asleep[p] && spurious < SPURIOUS -> spurious++; slip_out(p)
		:: ALIVE(p) && asleep[p] && cancels < CANCELS -> cancels++; cancelled = true; slip_out(p)
#ifdef CANCEL_SWALLOWS
		:: ALIVE(p) && !asleep[p] && cancels < CANCELS -> cancels++; cancelled = true; dequeue(g); goto leave
#endif
		fi
	};
woken:
	/* A broadcast counts casts first, so whoever reads them last knows of each
	 * broadcast that is in what he has read of seq. */
	atomic {
		if
		:: STOP(p)
#ifdef CASTS_FIRST
		:: ALIVE(p) -> c = casts
#else
		:: ALIVE(p) -> s = seq
#endif
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: ALIVE(p) ->
#ifdef CASTS_FIRST
			s = seq;
#else
			c = casts;
#endif
			share(p);
			if
			:: !cancelled -> goto wait
			:: cancelled && news[g] -> cancelled = false         /* news came first */
			:: cancelled && !news[g] -> dequeue(g)
			fi
		fi
	};

leave:
	atomic {
		if
		:: STOP(p)
		:: ALIVE(p) && !cancelled -> counted_out(); goto again    /* E-C3 */
		:: ALIVE(p) && cancelled -> counted_out()
		fi
	};

dead:
done:
	skip
}

/* The producer. Between counting and the wake it may be killed, and another one goes
 * on with the rest: it is the same to the waiters. */
proctype Producer() {
	byte i, w = 0;
	bool some;
#ifdef BROADCAST
	atomic { mu == 0 -> items = NG };
#ifndef NO_CASTS
#ifndef CASTS_LAST
	casts++;                                                     /* E-C4 */
#endif
#endif
	seq++;                                                       /* E-C2 */
#ifdef CASTS_LAST
	casts++;
#endif
	atomic { some = waiters > 0 };
	if
#ifdef PRODUCER_DIES
	:: true
#endif
	:: some ->
		atomic {
			wake_one();
#if NP > 1
			wake_one();
#endif
#if NP > 2
			wake_one()
#endif
		}
	:: !some
	fi;
#else
	for (i : 1 .. ITEMS) {
		atomic { mu == 0 -> items++ };
#ifdef INNER_LOCK
		atomic { !inner -> inner = true };
#endif
#ifdef WAKE_FIRST
		atomic { wake_one() };
#endif
#ifdef FOR_WHOM
		atomic { for (w : 0 .. NG - 1) { before[w] = WAITS(w) }; w = 0; seq++ };
#else
		seq++;                                                   /* E-C2 */
#endif
#ifdef INNER_LOCK
		inner = false;
#endif
		atomic { some = waiters > 0 };
#ifndef WAKE_FIRST
		if
#ifdef PRODUCER_DIES
		:: true
#endif
		:: atomic { some -> wake_one() }
		:: !some
		fi;
#endif
#ifdef COUNTED_OUT
		waiters == 0                                             /* until all have woken */
#endif
	}
#endif
	produced = true
}

init {
	byte i;
	atomic {
		for (i : 0 .. NG - 1) { run Waiter(i) };
		run Producer();
		run Killer()
	}
	timeout ->                     /* nothing moves any more */
	atomic {
		assert(produced);
#ifdef FOR_WHOM
		for (i : 0 .. NG - 1) { assert(met || !before[i] || !WAITS(i)) };
#endif
		for (i : 0 .. NP - 1) { assert(gone[i] || q[2 * i] == 0 || items == 0) }
	}
}
