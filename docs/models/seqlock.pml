/*
 * Seqlock (seqlock/seqlock.go) and, with DOUBLE, DoubleBuffer (doublebuffer.go):
 * WRITERS store in ROUNDS, or update, and a reader loads in ROUNDS. Up to CRASHES
 * writers are killed between any two steps. Edge names are those of the two types.
 *
 * The value is two words. Each write stores one number, higher than all before, in
 * both, so that a value is whole if its words are equal, and old if it is low.
 *
 * Checked: what a reader or an update gets is whole, and not older than what was
 * stored last when it began; ErrWriterDead is said only of a write that a death cut
 * short; and, as the absence of invalid end states, no reader waits for ever. Readers
 * write nothing and nobody waits for them: one stands for all, and its death is
 * nothing to anybody.
 *
 * The writers' mutex is taken as given, see mutex.pml: who inherits it does so when
 * no thread of the dead one runs any more.
 *
 * Order. spin's memory is sequentially consistent, that of the machine is not. Here
 * the stores to a copy are in any order (and the loads in one: it matters only which
 * of two stores a load comes between), which is all that hardware may do between two
 * fences, if a store is seen by all others at one moment, as on
 * amd64 and arm64. It may not move them across the fences of internal/fence and the
 * atomic accesses beside them. What comes of it where one of those is missing, the
 * mutants NO_FENCE_... show (P-Q3). That the fences are there, and do that, is for
 * internal/fence and its test of the machine code.
 */
#ifndef WRITERS
#define WRITERS 3
#endif
#ifndef ROUNDS
#define ROUNDS 2
#endif
#ifndef CRASHES
#define CRASHES 0
#endif

#if defined(COUNT_ONCE)
#define COPIES    2
#define NEW(odd)  ((seq + 1) % 2)
#define LAST(seq) (seq % 2)
#elif defined(DOUBLE)
#define COPIES    2
#define NEW(odd)  ((odd / 2 + 1) % 2)        /* the copy to write */
#define LAST(seq) ((seq / 2) % 2)            /* the copy to read */
#else
#define COPIES    1
#define NEW(odd)  0
#define LAST(seq) 0
#endif

byte seq = 0;
byte word[COPIES * 2];         /* copy c has words 2c and 2c+1 */

#define FREE   0
#define ORPHAN 100
byte mu = FREE;                /* or 1 + writer */

byte number = 0;               /* stored, or tried to, last */
byte whole = 0;                /* stored last */
byte torn_at = 0;              /* the odd sequence at which a writer died last */
byte crashes = 0;

/* SIGKILL of the writer p, instead of its next step. */
#define MAYBE_DIE(p) crashes < CRASHES -> crashes++; die(p); goto dead
inline die(p) {
	if
	:: mu == p + 1 && seq % 2 == 1 -> mu = ORPHAN; torn_at = seq
	:: mu == p + 1 && seq % 2 == 0 -> mu = ORPHAN
	:: else
	fi
}

proctype Writer(byte p) {
	byte rounds = 0, odd, mine, first;
	bool heir;                     /* of an orphan that is not whole yet */

again:
	odd = 0; mine = 0; first = 0; heir = false;
	if
	:: rounds == ROUNDS -> goto dead
	:: else -> rounds++
	fi;

	atomic {
		if
		:: MAYBE_DIE(p)
#ifdef NO_MUTEX
		:: true
#else
		:: mu == FREE -> mu = p + 1
		:: mu == ORPHAN -> mu = p + 1; heir = true
#endif
		fi
	};

	/* Update reads what it changes; if that is torn, it says so and changes nothing.
	 * Store reads nothing. */
	if
	:: goto write
	:: skip
	fi;
	atomic {
		if
		:: MAYBE_DIE(p)
#ifndef DOUBLE
#ifndef UPDATE_TORN
		:: seq % 2 == 1 -> goto unlock                           /* ErrWriterDead */
		:: seq % 2 == 0 ->
#else
		:: true ->
#endif
#else
		:: true ->
#endif
			assert(word[2 * LAST(seq)] == whole && word[2 * LAST(seq) + 1] == whole)
		fi
	};

write:
	atomic {
		if
		:: MAYBE_DIE(p)
#ifdef BLIND_HEIR
		:: true -> odd = seq + 1
#else
		:: true -> odd = seq | 1
#endif
		fi;
		number++; mine = number;
		if
		:: first = 0
		:: first = 1
		fi
	};
#if !defined(NOT_ODD) && !defined(COUNT_ONCE)
#ifdef NO_FENCE_STORES
	if
	:: skip                        /* the first store overtakes the sequence's */
	:: goto odd_first
	fi;
	atomic {
		if
		:: MAYBE_DIE(p)
		:: true -> word[2 * NEW(odd) + first] = mine
		fi
	};
odd_first:
#endif
	atomic {
		if
		:: MAYBE_DIE(p)
		:: true -> seq = odd                                     /* E-Q1 E-Q3 */
		fi
	};
#endif
	atomic {
		if
		:: MAYBE_DIE(p)
		:: true -> word[2 * NEW(odd) + first] = mine
		fi
	};
#ifdef NO_RELEASE
	if
	:: skip                        /* the sequence overtakes the last store */
	:: goto last_store
	fi;
	atomic {
		if
		:: MAYBE_DIE(p)
		:: true -> seq = odd + 1; whole = mine
		fi
	};
last_store:
#endif
	atomic {
		if
		:: MAYBE_DIE(p)
		:: true -> word[2 * NEW(odd) + 1 - first] = mine
		fi
	};
	atomic {
		if
		:: MAYBE_DIE(p)
		:: true ->
#ifdef COUNT_ONCE
			seq = seq + 1;
#else
			seq = odd + 1;                                       /* E-Q2 E-Q4 */
#endif
			whole = mine; heir = false
		fi
	};

unlock:
	atomic {
		if
		:: MAYBE_DIE(p)
		:: heir -> mu = ORPHAN
		:: !heir -> mu = FREE
		fi
	};
	goto again;

dead:
	skip
}

#define GONE (mu == FREE || mu == ORPHAN)

/* Of the second word all that matters is whether it goes with the first. */
#define TORN 255
#define SECOND_WORD if :: got == word[2 * LAST(s) + 1] :: else -> got = TORN fi

proctype Reader() {
	byte rounds = 0, s, since, got;

again:
	s = 0; since = 0; got = 0;
	if
	:: rounds == ROUNDS -> goto done
	:: else -> rounds++
	fi;
	since = whole;

load:
	s = seq;
#ifndef DOUBLE
	if
	:: s % 2 == 1 -> goto await
	:: else
	fi;
#endif
#ifdef COUNT_ONCE
	/* The mistake is to wait for an even version. */
	if
	:: s % 2 == 1 -> seq != s -> goto load
	:: else
	fi;
#endif
	got = word[2 * LAST(s)];
#ifdef NO_FENCE_LOADS
	if
	:: goto in_order
	:: skip                        /* the second look overtakes the last load */
	fi;
	if
	:: seq == s -> goto late
	:: else -> goto load
	fi;
in_order:
#endif
	SECOND_WORD;
	atomic {
		if
#ifdef DOUBLE
#if defined(COUNT_ONCE)
		:: seq != s -> goto load
#elif defined(LAPPED)
		:: seq - (s - s % 2) > LAPPED -> goto load
#else
		:: seq - (s - s % 2) > 2 -> goto load
#endif
#else
#ifndef NO_SECOND_LOOK
		:: seq != s -> goto load
#endif
#endif
		:: else
		fi
	};
	goto got_it;
#ifdef NO_FENCE_LOADS
late:
	SECOND_WORD;
#endif
got_it:
	assert(got != TORN && got >= since);
	goto again;

await:
	atomic {
		if
		:: seq != s -> goto load
#ifndef NO_DEATHS
		:: GONE
#endif
		fi
	};
	/* A writer that is gone between two equal odd sequences died in its write. */
	atomic {
		if
#ifndef ONE_LOOK
		:: seq != s -> goto load
		:: seq == s ->
#else
		:: true ->
#endif
			assert(s == torn_at); goto again                     /* ErrWriterDead */
		fi
	};

done:
	skip
}

init {
	atomic {
		byte i;
		for (i : 0 .. WRITERS - 1) { run Writer(i) };
		run Reader()
	}
}
