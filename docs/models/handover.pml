/*
 * Waiting inside a process, between mutex/word.go and internal/park: NP
 * processes with two goroutines each lock and unlock in rounds. Goroutines of
 * the holder's process do not sleep in the kernel and do not set WAITERS: they
 * listen, and an unlock calls the oldest or hands the mutex over to it, which
 * leaves the word as it is (E-M11). Up to CANCELS waits are given up, and up to
 * CRASHES processes killed, between any two atomic steps.
 *
 * Checked: two goroutines are never inside; who was handed the mutex has it;
 * and when nothing moves any more, nobody living is left waiting.
 *
 * As in mutex.pml the look is a sleeper's way to leave on its own, at some
 * point; here NO_LOOK is the rule, as without deaths nothing may need it.
 * What is not here is when an unlock hands over and when it lets go (mutex.go
 * has bounds): each time either may happen. So may standing back, E-M12.
 *
 * The mutants, and what must be found for each, are listed in ./check.
 */
#ifndef NP
#define NP 2
#endif
#define NG (2 * NP)
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef CANCELS
#define CANCELS 0
#endif
#ifndef CRASHES
#define CRASHES 0
#endif

byte owner = 0;        /* 0, or 1 + process */
bool waiters = false;
bool died = false;

/* per process: the queue of its two goroutines, 1 + goroutine, oldest first */
byte q[NG];
bool gone[NP];
bool back[NP];         /* stands back: leaves the free word to others for a while */
#ifdef WAKE_KEEPS_BACK
bool came[NP];         /* since then, a wake has come back to it */
#endif

/* per goroutine */
bool asleep[NG];       /* in the kernel, on the word */
bool called[NG];       /* what the channel holds */
bool granted[NG];
bool finished[NG];
bool started[NG];
byte inside = 0;
byte cancels = 0, crashes = 0;

#define mine(g)   (owner == (g) / 2 + 1)
#define OLDEST(g) q[(g) & 254]
#define SECOND(g) q[((g) & 254) + 1]
#define DEAD(g)   gone[(g) / 2]

inline enqueue(g) {
	called[g] = false; granted[g] = false;
	if
	:: OLDEST(g) == 0 -> OLDEST(g) = g + 1; called[g] = true
	:: else -> SECOND(g) = g + 1
	fi
}

inline dequeue(g) {
	if
	:: OLDEST(g) == g + 1 -> OLDEST(g) = SECOND(g); SECOND(g) = 0
	:: else -> SECOND(g) = 0
	fi
}

/* The oldest is told to look at the word, unless it sleeps in the kernel: then
 * the word's own protocol sees to it. */
inline call_oldest(g) {
	if
	:: OLDEST(g) != 0 && !asleep[OLDEST(g) - 1] -> called[OLDEST(g) - 1] = true
	:: else
	fi
}

inline rouse_oldest(g) {
	if
	:: OLDEST(g) != 0 -> asleep[OLDEST(g) - 1] = false; called[OLDEST(g) - 1] = true
	:: else
	fi
}

inline hand_over(g) {
	granted[OLDEST(g) - 1] = true;
	asleep[OLDEST(g) - 1] = false;           /* roused: no wake of the word is used up */
	OLDEST(g) = SECOND(g); SECOND(g) = 0
}

/* FUTEX_WAKE of one sleeper, any. used[]: a wake was spent on it. */
bool used[NG];
#if NP > 1
#define SOMEBODY_SLEEPS (asleep[0] || asleep[1] || asleep[2] || asleep[3])
#else
#define SOMEBODY_SLEEPS (asleep[0] || asleep[1])
#endif
inline wake_one() {
	if
	:: asleep[0] -> asleep[0] = false; used[0] = true
	:: asleep[1] -> asleep[1] = false; used[1] = true
#if NP > 1
	:: asleep[2] -> asleep[2] = false; used[2] = true
	:: asleep[3] -> asleep[3] = false; used[3] = true
#endif
	:: else
	fi
}

/* SIGKILL of g's process in the step before this one. */
inline die(g) {
	crashes++;
	asleep[g & 254] = false; asleep[(g & 254) + 1] = false;
	if
	:: mine(g) ->
		inside = 0;                          /* no other process is inside (checked) */
		owner = 0; died = true;              /* E-M6 */
		if
		:: waiters -> wake_one()
		:: else
		fi
	:: else
	fi;
	/* What was its own is nothing to anybody now. */
	OLDEST(g) = 0; SECOND(g) = 0; back[g / 2] = false;
	called[g & 254] = false; called[(g & 254) + 1] = false;
	granted[g & 254] = false; granted[(g & 254) + 1] = false;
	used[g & 254] = false; used[(g & 254) + 1] = false;
	gone[g / 2] = true                       /* last: this step, too, needs it alive */
}

#define MAY_DIE       (crashes < CRASHES)
#define MAYBE_DIE(g)  :: MAY_DIE -> die(g); goto dead

#ifdef NO_LOOK
#define LOOK false
#else
/* What mutex/look.go rouses a sleeper for. */
#define LOOK(g) (owner == 0 || died || (!waiters && !mine(g)))
#endif

/* A dead process takes no further step. */
proctype G(byte g) provided (!DEAD(g)) {
	byte rounds = 0;
	bool v_waiters, debt, gave = false, woke;

	/* The goroutines of a process are all alike, and so are the processes: it does not
	 * matter which of them begins. */
	g == 0 || started[(g == 3 -> 2 : 0)];

again:
	if
	:: rounds == ROUNDS -> goto done
	:: else -> rounds++; debt = false
	fi;
	/* the fast path; also a newcomer that overtakes those who queue */
	atomic {
		started[g] = true;
		if
		MAYBE_DIE(g)
		:: owner == 0 && !died && !back[g / 2] ->
			owner = g / 2 + 1; inside++; goto critical                          /* E-M1 */
		:: true -> enqueue(g)
		fi
	};

wait:
	/* listen until called, as the one who finds nobody before it is at once */
	atomic {
		if
		:: granted[g] -> goto given
		:: !granted[g] && called[g] -> called[g] = false
		:: cancels < CANCELS && !granted[g] -> cancels++; goto cancelled
		fi
	};
try:
	atomic {
		if
		MAYBE_DIE(g)
		:: granted[g] -> goto given
		:: !granted[g] && owner == 0 && !died && back[g / 2] -> goto sleep
		:: !granted[g] && owner == 0 && !died && !back[g / 2] ->
			owner = g / 2 + 1; waiters = waiters || debt;                       /* E-M1 E-M3 */
			dequeue(g); back[g / 2] = false; inside++; goto critical
		:: !granted[g] && died ->
			died = false; owner = g / 2 + 1; waiters = true;                    /* E-M7 */
			dequeue(g); back[g / 2] = false; inside++; goto critical
		:: !granted[g] && owner != 0 && mine(g) -> goto ours
		:: !granted[g] && owner != 0 && !mine(g) && !died -> goto theirs
		fi
	};

ours:
	/* Who has slept may have used up a wake that was meant for others too. */
	atomic {
		if
		MAYBE_DIE(g)
		:: !mine(g) -> goto try
#ifdef NO_DEBT
		:: mine(g)
#else
		:: mine(g) -> waiters = waiters || debt                                 /* E-M2 */
#endif
		fi
	};
	atomic {
		if
		MAYBE_DIE(g)
		:: granted[g] -> goto given
		:: !granted[g] && called[g] -> called[g] = false; goto try
		:: cancels < CANCELS && !granted[g] -> cancels++; goto cancelled
		fi
	};

theirs:
	atomic {
		if
		MAYBE_DIE(g)
		:: owner == 0 || died || mine(g) -> goto try
		:: owner != 0 && !mine(g) -> waiters = true; back[g / 2] = false        /* E-M2 */
		fi
	};
sleep:
	/* FUTEX_WAIT compares and falls asleep in one step. With back, it expects
	 * a free word, and for a short time only: E-M12. */
	atomic {
		if
		MAYBE_DIE(g)
		:: granted[g] -> goto given
		:: !granted[g] && !back[g / 2] && owner != 0 && !mine(g) && waiters && !died -> asleep[g] = true; used[g] = false
		:: !granted[g] && back[g / 2] && owner == 0 && !died ->
#ifdef WAKE_KEEPS_BACK
			assert(!came[g / 2]);
#endif
			asleep[g] = true; used[g] = false
		:: !granted[g] && !back[g / 2] && !(owner != 0 && !mine(g) && waiters && !died) -> goto try
		:: !granted[g] && back[g / 2] && !(owner == 0 && !died) -> back[g / 2] = false; goto try
		fi
	};
	atomic {
		if
		MAYBE_DIE(g)
		:: !asleep[g] ->
			debt = debt || used[g];
#ifdef WAKE_KEEPS_BACK
			back[g / 2] = back[g / 2] && used[g];
			came[g / 2] = back[g / 2];
#else
			back[g / 2] = false;
#endif
			used[g] = false
		:: asleep[g] && back[g / 2] -> asleep[g] = false; back[g / 2] = false   /* its time is over */
#ifndef NO_LOOK
		:: asleep[g] && LOOK(g) -> asleep[g] = false
#endif
		:: asleep[g] && cancels < CANCELS -> cancels++; asleep[g] = false; goto cancelled
		fi
	};
	/* awake, and perhaps handed the mutex meanwhile */
	if
	:: granted[g] -> goto given
	:: else -> goto try
	fi;

cancelled:
	atomic {
		if
		MAYBE_DIE(g)
#ifndef GRANT_LOST
		:: granted[g] -> goto given                                             /* has it: says so */
#endif
		:: !granted[g] ->
			if
			:: OLDEST(g) == g + 1 ->
				dequeue(g);
				if
				:: OLDEST(g) == 0 -> back[g / 2] = false    /* it ends with the queue */
				:: else
				fi;
#ifndef QUIET_LEAVE
				call_oldest(g)
#endif
			:: else -> dequeue(g)
			fi;
			goto again
#ifdef GRANT_LOST
		:: granted[g] -> granted[g] = false; inside = inside; goto again
#endif
		fi
	};

given:
	atomic {
		if
		MAYBE_DIE(g)
		:: true ->
			assert(mine(g));
			granted[g] = false; inside++;
#ifndef NO_DEBT
			waiters = waiters || debt                                           /* E-M2, by the holder */
#endif
		fi
	};

critical:
	assert(inside == 1);

unlock:
	/* Somebody here queues: hand over, or let go all the same. */
	atomic {
		if
		MAYBE_DIE(g)
		:: OLDEST(g) != 0 -> inside--; hand_over(g); goto again                 /* E-M11 */
#ifdef HAND_OVER_AND_RELEASE
		:: OLDEST(g) != 0 -> inside--; hand_over(g); owner = 0; v_waiters = waiters; waiters = false; goto wake
#endif
		:: true ->
			v_waiters = waiters; owner = 0; waiters = false; inside--           /* E-M4 E-M5 */
#ifdef STAND_BACK
		:: waiters ->
			back[g / 2] = true; gave = true;                                    /* E-M12 */
#ifdef WAKE_KEEPS_BACK
			came[g / 2] = false;
#endif
			v_waiters = waiters; owner = 0; waiters = false; inside--           /* E-M5 */
#endif
		fi
	};
wake:
	atomic {
		if
		MAYBE_DIE(g)
		:: v_waiters -> woke = SOMEBODY_SLEEPS; wake_one()
		:: !v_waiters
		fi
	};
	/* One may have queued up and looked before the word was free. And there may have
	 * been nobody to stand back for. */
	atomic {
		if
		MAYBE_DIE(g)
		:: gave && !woke && back[g / 2] -> back[g / 2] = false; rouse_oldest(g)
#ifndef NO_RECHECK
		:: !(gave && !woke && back[g / 2]) -> call_oldest(g)
#else
		:: !(gave && !woke && back[g / 2])
#endif
		fi;
		gave = false; woke = false; v_waiters = false
	};
	goto again;

done:
	atomic { finished[g] = true; debt = false; rounds = 0 };
dead:
	skip
}

init {
	byte i;
	atomic {
		for (i : 0 .. NG - 1) { run G(i) }
	}
	timeout ->                                   /* nothing moves any more */
	for (i : 0 .. NG - 1) { assert(finished[i] || DEAD(i)) }
}
