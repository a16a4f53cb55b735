/*
 * The lock word of mutex/word.go under death: N processes lock and unlock in
 * rounds, and up to CRASHES of them are killed between any two atomic steps,
 * asleep ones included. Edge names are those of mutex/word.go.
 *
 * Checked: two processes are never inside; nobody enters over half-changed data
 * that was not repaired; and, as the absence of invalid end states, nobody
 * living sleeps for ever.
 *
 * The kernel and the library around the word:
 *   - FUTEX_WAIT compares and falls asleep in one step (futex F1);
 *   - FUTEX_WAKE is a step of its own, and a killed process may or may not have
 *     come to it; it may even finish it later (P-K15);
 *   - at a death the kernel marks the word (E-M6) and wakes one sleeper, unless
 *     UNMARKED: no robust list, or the walk did not get here (P-K1, P-K18);
 *   - the look is a sleeper's way to leave on its own. It is not tied to time:
 *     what it can repair "at the latest in 100 ms" is here "at some point".
 *
 * The mutants, and what must be found for each, are listed in ./check.
 */
#ifndef N
#define N 3
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef CRASHES
#define CRASHES 2
#endif

byte owner = 0;      /* 0, or 1 + process */
bool waiters = false;
bool died = false;

bool asleep[N];      /* queued in the kernel on the word */
bool gone[N];        /* dead */
byte inside = 0;     /* processes in the critical section */
bool dirty = false;  /* the data is half changed */
byte crashes = 0;

/* FUTEX_WAKE of one sleeper, any: the kernel's order is not relied upon. */
inline wake_one() {
	if
	:: asleep[0] -> asleep[0] = false
#if N > 1
	:: asleep[1] -> asleep[1] = false
#endif
#if N > 2
	:: asleep[2] -> asleep[2] = false
#endif
	:: else
	fi
}

/* SIGKILL of process p in the step before this one. */
inline die(p) {
	crashes++;
	gone[p] = true;
	asleep[p] = false;
	if
	:: holding -> inside--; holding = false
	:: else
	fi;
	if
	:: owner == p + 1 ->
#ifdef UNMARKED
		skip
#else
		owner = 0; died = true;                              /* E-M6 */
		if
		:: waiters -> wake_one()
		:: else
		fi
#endif
	:: else
	fi
}

/* With ONLY_HOLDERS, a process dies only while it holds the lock: the deaths of
 * which the kernel tells, so that no look is needed. */
#ifdef ONLY_HOLDERS
#define MAY_DIE (crashes < CRASHES && holding)
#else
#define MAY_DIE (crashes < CRASHES)
#endif
#define MAYBE_DIE(p) :: atomic { MAY_DIE -> die(p); goto dead }

proctype P(byte p) {
	byte rounds = 0;
	bool waited, holding = false;
	byte v_owner; bool v_waiters, v_died;

again:
	if
	:: rounds == ROUNDS -> goto done
	:: else -> rounds++; waited = false
	fi;

try:
	atomic { v_owner = owner; v_waiters = waiters; v_died = died };
	if
	MAYBE_DIE(p)
	:: v_died -> goto orphan
	:: !v_died && v_owner == 0 ->
		atomic {
			if
#ifdef TEST_THEN_SET
			:: true ->
#else
			:: owner == 0 && !died && waiters == v_waiters ->
#endif
				owner = p + 1;                                   /* E-M1 E-M3 */
#if !defined(NO_FLAG) && !defined(SLEEPER_UNFLAGGED)
				waiters = waiters || waited;
#endif
				assert(!dirty);
				inside++; holding = true;
				goto critical
#ifndef TEST_THEN_SET
			:: else -> goto try
#endif
			fi
		}
	:: !v_died && v_owner != 0 ->
		waited = true;
		goto flag
	fi;

flag:
	atomic {
		if
		MAYBE_DIE(p)
		:: owner != 0 && !died && !waiters ->
#ifndef NO_FLAG
			waiters = true;                                      /* E-M2 */
#endif
			v_owner = owner; goto sleep
		:: owner != 0 && !died && waiters -> v_owner = owner; goto sleep
		:: owner == 0 || died -> goto try
		fi
	};

sleep:
	atomic {
		if
		MAYBE_DIE(p)
#ifdef NO_FLAG
		:: owner == v_owner && !died -> asleep[p] = true         /* FUTEX_WAIT: the comparison holds */
		:: owner != v_owner || died -> goto try
#else
		:: owner == v_owner && waiters && !died -> asleep[p] = true
		:: owner != v_owner || !waiters || died -> goto try      /* EAGAIN */
#endif
		fi
	};
	atomic {
		if
		:: !asleep[p] -> goto try                                /* woken */
		:: MAY_DIE -> die(p); goto dead
#ifndef NO_LOOK
		:: asleep[p] && (owner == 0 || died || !waiters) ->      /* the look: something to do */
			asleep[p] = false; goto try
		:: asleep[p] && owner != 0 && gone[owner - 1] ->         /* the look: E-M10 */
			owner = 0; died = true; asleep[p] = false; goto try
#ifdef STEAL_STOPPED
		:: asleep[p] && owner != 0 && !gone[owner - 1] ->
			owner = 0; died = true; asleep[p] = false; goto try
#endif
#endif
		fi
	};

orphan:
	atomic {
		if
		MAYBE_DIE(p)
		:: died ->
			died = false; owner = p + 1;                         /* E-M7 */
#ifdef HEIR_UNFLAGGED
			waiters = false;
#else
			waiters = true;
#endif
			inside++; holding = true
		:: !died -> goto try
		fi
	};
#ifndef SILENT_HEIR
	if
	MAYBE_DIE(p)
	:: true -> dirty = false                                     /* the repair */
	fi;
#endif
	assert(!dirty);

critical:
	assert(inside == 1);
	if
	MAYBE_DIE(p)
	:: true -> dirty = true
	fi;
	if
	MAYBE_DIE(p)
	:: true -> dirty = false
	fi;

unlock:
	assert(inside == 1);
#ifdef WAKE_FIRST
	atomic {
		if
		MAYBE_DIE(p)
		:: waiters -> wake_one()
		:: !waiters
		fi
	};
#endif
	atomic { v_waiters = waiters };
	atomic {
		if
		MAYBE_DIE(p)
#ifdef STORE_UNLOCK
		:: true ->
			owner = 0; waiters = false; died = false;
			inside--; holding = false
#else
		:: owner == p + 1 && waiters == v_waiters ->
			owner = 0; waiters = false;                          /* E-M4 E-M5 */
			inside--; holding = false
		:: !(owner == p + 1 && waiters == v_waiters) -> goto unlock
#endif
		fi
	};
#ifndef WAKE_FIRST
	atomic {
		if
		:: MAY_DIE -> die(p); goto dead                          /* killed before the wake: P-M1 */
		:: MAY_DIE && v_waiters -> die(p); goto late
		:: v_waiters -> wake_one()
		:: !v_waiters
		fi
	};
#endif
	goto again;

late:                                                            /* a call in flight finishes: P-K15 */
	atomic {
#ifdef STORE_UNLOCK
		owner = 0; waiters = false;
#endif
		wake_one()
	};
dead:
done:
	skip
}

init {
	atomic {
		byte i;
		for (i : 0 .. N - 1) { run P(i) }
	}
}
