/*
 * A C program at the word of mutex.pml: pthread_mutex_lock and pthread_mutex_unlock of
 * a robust, process-shared mutex as glibc 2.25 and later have them, one thread each,
 * on Linux 6.2 or later. Edge names are those of mutex/word.go: C changes the word in
 * the same ways.
 *
 * What differs from a process of ours:
 *   - the list is that of the locking thread, walked when that thread stops;
 *   - list_op_pending is set from before the first look at the word until it is taken,
 *     and during unlock. If the thread dies then and nobody has the word, the kernel
 *     wakes one sleeper (P-K3);
 *   - unlock stores 0, whatever the word was. The kernel comes after a thread's last
 *     instruction, not before: it cannot be late;
 *   - nobody looks, and an heir does not wait for threads of the dead. With C_WAITS it
 *     does;
 *   - who unlocks what he has not repaired condemns it.
 */
proctype C(byte p) {
	byte rounds = 0, v;
	byte assume = 0;               /* WAITERS, once it has waited */
	bool pending = false, holds = false;

again:
	v = 0; assume = 0; pending = false;
	if
	:: rounds == ROUNDS -> goto stop
	:: else -> rounds++
	fi;

lock:
	atomic {
		if
		:: STOP(p)
		:: true -> v = word; pending = true
		fi
	};
attempt:
	if
	:: v == 0 ->
		atomic {
			if
			:: STOP(p)
			:: word != 0 -> goto lock
			:: word == 0 -> word = (p + 1) | assume              /* E-M1 E-M3 */
			fi
		}
	:: v & DIED ->
		atomic {
			if
			:: STOP(p)
			:: word != v -> goto lock
			:: word == v ->
				word = (p + 1) | (v & WAITERS) | assume;         /* E-M7 */
				goto orphan
			fi
		}
	:: v != 0 && !(v & DIED) ->
		atomic {
			if
			:: STOP(p)
			:: word != v -> goto lock
			:: word == v ->
				word = v | WAITERS;                              /* E-M2 */
				v = word; assume = WAITERS
			fi
		};
		atomic {
			if
			:: STOP(p)
			:: phase[p] == ALIVE && word == v -> asleep[p] = true
			:: phase[p] == ALIVE && word != v -> goto lock
			fi
		};
#ifdef OURS_ONLY
end_asleep:
#endif
		atomic {
			if
			:: STOP(p)
			:: phase[p] == ALIVE && !asleep[p] -> goto lock
			:: asleep[p] && spurious < SPURIOUS -> spurious++; asleep[p] = false; goto lock
			:: asleep[p] && cancels < CANCELS -> cancels++; asleep[p] = false; goto again
			fi
		}
	fi;
	atomic {
		if
		:: STOP(p)
		:: mark == CONDEMNED -> goto unlock
		:: mark != CONDEMNED ->
			name = p + 1; pending = false;
			inside++; holds = true; assert(!dirty && !condemned)
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
	atomic {
		if
		:: STOP(p)
		:: true -> pending = true
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: true ->
			v = word; word = 0;                                  /* E-M4 E-M5 E-M9 */
			inside = inside - holds; holds = false;
			condemned = (mark == CONDEMNED)
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: v & WAITERS -> wake_one()
		:: !(v & WAITERS)
		fi
	};
	goto again;

orphan:                                                          /* EOWNERDEAD */
	atomic {
		if
		:: STOP(p)
		:: true -> mark = INCONSISTENT
		fi
	};
	atomic {
		if
		:: STOP(p)
#ifdef C_WAITS
		:: !(phase[0] == DYING && !IS_C(0) || phase[1] == DYING && !IS_C(1)) ->
#else
		:: true ->
#endif
			name = p + 1; pending = false;
			inside++; holds = true; assert(inside == 1 && !condemned)
		fi
	};
	atomic {
		if
		:: STOP(p)
		:: true -> dirty = false
#ifdef MAY_CONDEMN
		:: true -> mark = CONDEMNED; goto unlock
#endif
		fi
	};
	atomic {                                                     /* pthread_mutex_consistent */
		if
		:: STOP(p)
		:: true -> mark = 0; assert(!dirty); goto critical
		fi
	};

stop:
	atomic {
		if
		:: phase[p] == DYING && TID(word) == p + 1 ->
#ifndef UNMARKED
			mark_dead(p)
#else
			skip
#endif
		:: phase[p] == DYING && FREE && pending -> wake_one()
		:: else
		fi;
		phase[p] = DEAD; inside = inside - holds;
		holds = false; pending = false; v = 0; assume = 0; rounds = 0
	}
}
