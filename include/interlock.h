/* interlock.h - the C and C++ side of what Go programs share by this module.
 *
 *	struct ilk_mutex         mutex.Mutex: glibc's robust, process-shared mutex
 *	struct ilk_cond          condvar.Cond
 *	struct ilk_seqlock       the 64 bytes before the value of a seqlock.Seqlock[T]
 *	struct ilk_doublebuffer  the 64 bytes before the two of a seqlock.DoubleBuffer[T]
 *	ilk_open                 opens what shm.Share made
 *
 * A semaphore.Semaphore is a sem_t: use <semaphore.h>.
 *
 * Copy this one file. It needs C11 or C++17, gcc or clang, 64-bit Linux on x86-64
 * or arm64, and glibc 2.30 or later (musl's mutex has another layout). Compile with
 * -pthread, and in C with -D_GNU_SOURCE.
 *
 * The bytes, and the rules for changing them, are in docs/abi.md; E-..., INV-... and
 * P-... below refer to the same places as in the Go code.
 *
 * Results are 0, or an error number as pthread_mutex_lock returns it. A deadline is a
 * time of CLOCK_MONOTONIC, see ilk_in_ms; NULL waits for ever, a past one never.
 *
 * All of it may be killed anywhere. What the Go side does and this one does not:
 *   - There is no ticker that looks at the words waited for. Instead no wait here
 *     sleeps longer than ILK_LOOK_MS before it looks by itself, so a wake that died
 *     with its sender or receiver is made up for within that (P-M1, P-M2, P-M3, P-C3).
 *   - Nobody judges owners. A dead owner is noticed when the kernel has marked it, or
 *     a waiter in Go has: for a Go process of more than 2,048 mutexes, or on a kernel
 *     without robust lists, a C program alone waits for ever.
 *   - Who inherits a lock does not wait until the last instruction of the dead one's
 *     other threads is over.
 *   - PID namespaces are compared by ilk_open, and not in each lock.
 *   - Each thread that waits sleeps in the kernel: there is no queue in the process.
 */
#ifndef INTERLOCK_H
#define INTERLOCK_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef _GNU_SOURCE
#error "interlock.h: compile with -D_GNU_SOURCE"
#endif
#if !defined __linux__ || !defined __LP64__ || !(defined __x86_64__ || defined __aarch64__)
#error "interlock.h: only 64-bit Linux on x86-64 or arm64"
#endif
#if !defined __GLIBC__ || !__GLIBC_PREREQ(2, 30)
#error "interlock.h: needs glibc 2.30: another C library has another mutex"
#endif

#ifdef __cplusplus
#define ILK_ASSERT(what) static_assert(what, #what)
#else
#define ILK_ASSERT(what) _Static_assert(what, #what)
#endif
#define ILK_AT(type, field, offset) ILK_ASSERT(offsetof(struct type, field) == (offset))

/* ILK_LOOK_MS is the longest sleep before a look. */
#define ILK_LOOK_MS 50

/* ---- time ---- */

/* ilk_in_ms is the deadline that is so far from now. */
static inline struct timespec ilk_in_ms(long ms)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000L;
	} else if (t.tv_nsec < 0) { /* glibc refuses that with EINVAL */
		t.tv_sec--;
		t.tv_nsec += 1000000000L;
	}
	return t;
}

static inline int ilk_before_(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

static inline int ilk_passed_(const struct timespec *deadline)
{
	struct timespec now;
	if (!deadline)
		return 0;
	now = ilk_in_ms(0);
	return !ilk_before_(&now, deadline);
}

/* ilk_look_ is when a wait that begins now ends: at its deadline, or for a look. */
static inline struct timespec ilk_look_(const struct timespec *deadline)
{
	struct timespec look = ilk_in_ms(ILK_LOOK_MS);
	return deadline && ilk_before_(deadline, &look) ? *deadline : look;
}

/* Never the private futex operations: they reach no other process (P-G5). */
static inline void ilk_wake_(uint32_t *word, int n) { syscall(SYS_futex, word, FUTEX_WAKE, n, NULL, NULL, 0); }

/* ---- mutex ---- */

/* A mutex.Mutex. Zero bytes are one, for the functions below. A pthread_mutex_t is as
 * large as this on x86-64 and has 8 bytes more on arm64, which only pthread_mutex_init
 * writes: do not call that one. */
struct ilk_mutex {
	uint32_t word; /* owner's TID, ILK_OWNER_DIED, ILK_WAITERS */
	uint32_t count;
	uint32_t owner; /* a C owner's TID, 0 of a Go owner, or one of the two marks */
	uint32_t nusers;
	uint32_t kind;
	uint32_t spins;
	uint64_t prev; /* list pointers of a C owner, identity of a Go owner */
	uint64_t next;
};

#define ILK_WAITERS 0x80000000u
#define ILK_OWNER_DIED 0x40000000u
#define ILK_TID_MASK 0x3fffffffu
#define ILK_INCONSISTENT 0x7fffffffu
#define ILK_NOT_RECOVERABLE 0x7ffffffeu
#define ILK_KIND_ROBUST 0x90u

ILK_ASSERT(sizeof(struct ilk_mutex) == 40 && sizeof(pthread_mutex_t) >= 40);
ILK_AT(ilk_mutex, word, 0);
ILK_AT(ilk_mutex, owner, 8);
ILK_AT(ilk_mutex, kind, 16);
ILK_AT(ilk_mutex, prev, 24);
ILK_AT(ilk_mutex, next, 32);
ILK_ASSERT(offsetof(pthread_mutex_t, __data.__lock) == 0);
ILK_ASSERT(offsetof(pthread_mutex_t, __data.__owner) == 8);
ILK_ASSERT(offsetof(pthread_mutex_t, __data.__kind) == 16);
ILK_ASSERT(offsetof(pthread_mutex_t, __data.__list.__prev) == 24);
ILK_ASSERT(offsetof(pthread_mutex_t, __data.__list.__next) == 32);

/* ilk_pthread is the mutex for the pthread_mutex_ functions, all but _init and _destroy,
 * after an ilk_mutex_init, or a Mutex.Init in Go: to them zero bytes are a mutex that is
 * neither robust nor shared. */
static inline pthread_mutex_t *ilk_pthread(struct ilk_mutex *m)
{
	return (pthread_mutex_t *)(void *)m;
}

/* ilk_mutex_init is Mutex.Init: harmless at any time, in any process, and done by
 * ilk_mutex_lock. EINVAL: it has been made another kind of mutex. */
static inline int ilk_mutex_init(struct ilk_mutex *m)
{
	uint32_t kind = __atomic_load_n(&m->kind, __ATOMIC_RELAXED);
	if (kind == 0 && __atomic_compare_exchange_n(&m->kind, &kind, ILK_KIND_ROBUST, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return 0;
	return (kind & ~0x303u) == ILK_KIND_ROBUST ? 0 : EINVAL;
}

/* ilk_mutex_lock returns 0, or EOWNERDEAD holding m: repair what m guards and call
 * ilk_mutex_repaired. Unlocked unrepaired it is condemned for all, as by ENOTRECOVERABLE
 * of a repair in Go: that is how pthread_mutex_unlock has it. Not held: ETIMEDOUT,
 * ENOTRECOVERABLE, EINVAL.
 *
 * Use it rather than pthread_mutex_lock, which sleeps on when the wake it waits for has
 * died, and takes a condemned mutex for an orphan if somebody died who had just learned
 * that it is condemned; and, with a deadline in the past, rather than
 * pthread_mutex_trylock, which keeps a condemned mutex. That mistake about the condemned
 * it can still make itself if it was asleep when the mutex was condemned, and the one
 * woken before it died before it let go: a few instructions of that one's. */
static inline int ilk_mutex_lock(struct ilk_mutex *m, const struct timespec *deadline)
{
	int err = ilk_mutex_init(m);
	if (err != 0)
		return err;
	for (;;) {
		struct timespec look = ilk_look_(deadline);
		if (__atomic_load_n(&m->owner, __ATOMIC_SEQ_CST) == ILK_NOT_RECOVERABLE) { /* whatever the word says */
			ilk_wake_(&m->word, 1); /* the next must learn of it too (P-M7) */
			return ENOTRECOVERABLE;
		}
		err = pthread_mutex_clocklock(ilk_pthread(m), CLOCK_MONOTONIC, &look);
		if (err != ETIMEDOUT || ilk_passed_(deadline))
			return err;
	}
}

static inline int ilk_mutex_repaired(struct ilk_mutex *m) { return pthread_mutex_consistent(ilk_pthread(m)); }

/* ilk_mutex_unlock is for the thread that locked m: others get EPERM. */
static inline int ilk_mutex_unlock(struct ilk_mutex *m) { return pthread_mutex_unlock(ilk_pthread(m)); }

/* ilk_mutex_abandoned_ reports whether nobody holds m, as far as the kernel has said. It
 * only reads. */
static inline int ilk_mutex_abandoned_(const struct ilk_mutex *m)
{
	uint32_t v = __atomic_load_n(&m->word, __ATOMIC_SEQ_CST);
	return (v & ILK_TID_MASK) == 0 || (v & ILK_OWNER_DIED) != 0;
}

/* ---- condition variable ---- */

/* A condvar.Cond. Zero bytes are one. */
struct ilk_cond {
	uint32_t seq;     /* counts signals and broadcasts; the futex */
	uint32_t waiters; /* too high after one was killed, never too low */
	uint32_t casts;   /* counts broadcasts */
	uint32_t reserved;
};

ILK_ASSERT(sizeof(struct ilk_cond) == 16);
ILK_AT(ilk_cond, seq, 0);
ILK_AT(ilk_cond, waiters, 4);
ILK_AT(ilk_cond, casts, 8);

/* ilk_await_ waits until *word is no longer seen. The kernel reports a wake and a
 * time-out never both, so a wait that ends by its deadline has used up no signal. */
static inline int ilk_await_(uint32_t *word, uint32_t seen, const struct timespec *deadline)
{
	while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == seen) {
		struct timespec look = ilk_look_(deadline);
		if (ilk_passed_(deadline))
			return ETIMEDOUT;
		if (syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, &look, NULL, FUTEX_BITSET_MATCH_ANY) == 0) {
			if (__atomic_load_n(word, __ATOMIC_SEQ_CST) == seen)
				ilk_wake_(word, 1); /* it was for one that came before us (P-C3) */
			return 0;
		}
		if (errno != EAGAIN && errno != EINTR && errno != ETIMEDOUT)
			return errno;
	}
	return 0;
}

/* ilk_cond_leave_ is E-C3. It never makes waiters too low. */
static inline void ilk_cond_leave_(struct ilk_cond *c)
{
	uint32_t n = __atomic_load_n(&c->waiters, __ATOMIC_SEQ_CST);
	while (n > 0 && !__atomic_compare_exchange_n(&c->waiters, &n, n - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

/* ilk_cond_wait unlocks m, waits for a signal and locks m again. Use it in a loop that
 * looks at the condition: it may return 0 without a signal. It returns holding m with
 *
 *	0, ETIMEDOUT
 *	EOWNERDEAD    m is an orphan, see ilk_mutex_lock
 *	EPERM         the calling thread does not hold m; nothing was done
 *	EINVAL        m is an orphan that was not repaired; nothing was done
 *
 * and not holding it with ENOTRECOVERABLE. */
static inline int ilk_cond_wait(struct ilk_cond *c, struct ilk_mutex *m, const struct timespec *deadline)
{
	uint32_t seen;
	int err, relock;
	if (__atomic_load_n(&m->owner, __ATOMIC_RELAXED) == ILK_INCONSISTENT)
		return EINVAL;
	__atomic_fetch_add(&c->waiters, 1, __ATOMIC_SEQ_CST); /* E-C1 */
	seen = __atomic_load_n(&c->seq, __ATOMIC_SEQ_CST);
	err = pthread_mutex_unlock(ilk_pthread(m));
	if (err != 0) {
		ilk_cond_leave_(c);
		return err;
	}
	err = ilk_await_(&c->seq, seen, deadline);
	ilk_cond_leave_(c); /* E-C3 */
	relock = ilk_mutex_lock(m, NULL);
	return relock ? relock : err;
}

static inline void ilk_cond_wake_(struct ilk_cond *c, int n)
{
	__atomic_fetch_add(&c->seq, 1, __ATOMIC_SEQ_CST); /* E-C2 */
	if (__atomic_load_n(&c->waiters, __ATOMIC_SEQ_CST) > 0)
		ilk_wake_(&c->seq, n);
}

/* ilk_cond_signal wakes one waiter, if there is any. */
static inline void ilk_cond_signal(struct ilk_cond *c) { ilk_cond_wake_(c, 1); }

/* ilk_cond_broadcast wakes all waiters. */
static inline void ilk_cond_broadcast(struct ilk_cond *c)
{
	__atomic_fetch_add(&c->casts, 1, __ATOMIC_SEQ_CST); /* E-C4 */
	ilk_cond_wake_(c, INT_MAX);
}

/* ---- seqlock and double buffer ---- */

/* What lies before the value. In Go and in C:
 *
 *	Price seqlock.Seqlock[Quote]         struct { struct ilk_seqlock lock; struct quote v; } price;
 *	Table seqlock.DoubleBuffer[Quote]    struct { struct ilk_doublebuffer lock; struct quote v[2]; } table;
 *
 * Zero bytes are one. n is always sizeof(struct quote). */
struct ilk_seqlock {
	uint64_t seq; /* even: whole; odd: being written */
	struct ilk_mutex mu;
	uint64_t reserved[2];
};

struct ilk_doublebuffer {
	uint64_t seq; /* 2n: version n is whole, in v[n%2]; 2n+1: version n+1 is being written */
	struct ilk_mutex mu;
	uint64_t reserved[2];
};

ILK_ASSERT(sizeof(struct ilk_seqlock) == 64 && sizeof(struct ilk_doublebuffer) == 64);
ILK_AT(ilk_seqlock, seq, 0);
ILK_AT(ilk_seqlock, mu, 8);
ILK_AT(ilk_doublebuffer, seq, 0);
ILK_AT(ilk_doublebuffer, mu, 8);

/* The value is read while others write it. In C that is defined for atomic accesses
 * only, so it is copied by the word, relaxed; the fences around the copy order it. */
typedef uint64_t __attribute__((may_alias)) ilk_word_;

static inline void ilk_copy_out_(void *to, const void *shared, size_t n)
{
	const ilk_word_ *w = (const ilk_word_ *)shared;
	char *dst = (char *)to;
	size_t i = 0;
	for (; i + 8 <= n; i += 8) {
		uint64_t v = __atomic_load_n(w++, __ATOMIC_RELAXED);
		memcpy(dst + i, &v, 8);
	}
	for (; i < n; i++)
		dst[i] = __atomic_load_n((const char *)shared + i, __ATOMIC_RELAXED);
}

static inline void ilk_copy_in_(void *shared, const void *from, size_t n)
{
	ilk_word_ *w = (ilk_word_ *)shared;
	const char *src = (const char *)from;
	size_t i = 0;
	for (; i + 8 <= n; i += 8) {
		uint64_t v;
		memcpy(&v, src + i, 8);
		__atomic_store_n(w++, v, __ATOMIC_RELAXED);
	}
	for (; i < n; i++)
		__atomic_store_n((char *)shared + i, src[i], __ATOMIC_RELAXED);
}

/* ilk_enter_ takes the writers' mutex, also from a dead writer: the sequence tells what
 * that one left, and keeps telling until the next store. */
static inline int ilk_enter_(struct ilk_mutex *mu, const struct timespec *deadline)
{
	int err = ilk_mutex_lock(mu, deadline);
	return err == EOWNERDEAD ? ilk_mutex_repaired(mu) : err;
}

/* E-Q1, E-Q3. The fence keeps the stores to the value behind the odd sequence: a
 * release store alone would not (P-Q3). The release keeps the odd sequence behind the
 * mutex's word: who saw it first would take the writer for dead (INV-Q2). */
static inline void ilk_begin_(uint64_t *seq, uint64_t odd)
{
	__atomic_store_n(seq, odd, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_RELEASE);
}

/* E-Q2, E-Q4 */
static inline void ilk_end_(uint64_t *seq, uint64_t odd) { __atomic_store_n(seq, odd + 1, __ATOMIC_RELEASE); }

/* ilk_seqlock_tryload makes one attempt: 0, or EAGAIN if a writer was there. It writes
 * nothing to shared memory, so that a read-only mapping will do; so do the other loads. */
static inline int ilk_seqlock_tryload(const struct ilk_seqlock *s, void *dst, size_t n)
{
	uint64_t seq = __atomic_load_n(&s->seq, __ATOMIC_ACQUIRE); /* pairs with E-Q2 */
	if (seq & 1)
		return EAGAIN;
	ilk_copy_out_(dst, s + 1, n);
	__atomic_thread_fence(__ATOMIC_ACQUIRE); /* an acquire load would not hold the copy back (P-Q3) */
	return __atomic_load_n(&s->seq, __ATOMIC_RELAXED) == seq ? 0 : EAGAIN;
}

/* ilk_nap_ passes the time between two attempts, ever longer: a reader may not write,
 * so nobody can know of it and wake it. */
static inline void ilk_nap_(int tries)
{
	struct timespec t = {0, 50000};
	if (tries < 100)
		return;
	for (; tries > 100 && t.tv_nsec < 1000000L; tries--)
		t.tv_nsec *= 2;
	nanosleep(&t, NULL);
}

/* ilk_seqlock_load copies the value to dst: 0, ETIMEDOUT, or EOWNERDEAD if a writer died
 * in its write: the next store repairs that. */
static inline int ilk_seqlock_load(const struct ilk_seqlock *s, void *dst, size_t n, const struct timespec *deadline)
{
	for (int tries = 0; ilk_seqlock_tryload(s, dst, n) != 0; tries++) {
		/* A writer that is gone between two equal odd sequences died in its write: INV-Q2. */
		uint64_t seq = __atomic_load_n(&s->seq, __ATOMIC_SEQ_CST);
		if ((seq & 1) && ilk_mutex_abandoned_(&s->mu) && __atomic_load_n(&s->seq, __ATOMIC_SEQ_CST) == seq)
			return EOWNERDEAD;
		if (ilk_passed_(deadline))
			return ETIMEDOUT;
		ilk_nap_(tries);
	}
	return 0;
}

static inline void ilk_seqlock_write_(struct ilk_seqlock *s, const void *src, size_t n)
{
	uint64_t odd = __atomic_load_n(&s->seq, __ATOMIC_RELAXED) | 1;
	ilk_begin_(&s->seq, odd); /* E-Q1 */
	ilk_copy_in_(s + 1, src, n);
	ilk_end_(&s->seq, odd); /* E-Q2 */
}

/* ilk_seqlock_store replaces the value: 0, ETIMEDOUT, ENOTRECOVERABLE. */
static inline int ilk_seqlock_store(struct ilk_seqlock *s, const void *src, size_t n, const struct timespec *deadline)
{
	int err = ilk_enter_(&s->mu, deadline);
	if (err != 0)
		return err;
	ilk_seqlock_write_(s, src, n);
	return ilk_mutex_unlock(&s->mu);
}

/* ilk_seqlock_update lets change make a new value of the old one, which it finds in
 * copy, memory of the caller's for n bytes. EOWNERDEAD, without a call of change: the
 * value is torn, only a store can repair that. */
static inline int ilk_seqlock_update(struct ilk_seqlock *s, void *copy, size_t n, const struct timespec *deadline,
				     void (*change)(void *copy, void *arg), void *arg)
{
	int err = ilk_enter_(&s->mu, deadline);
	if (err != 0)
		return err;
	if (__atomic_load_n(&s->seq, __ATOMIC_RELAXED) & 1) {
		ilk_mutex_unlock(&s->mu);
		return EOWNERDEAD;
	}
	ilk_copy_out_(copy, s + 1, n);
	change(copy, arg);
	ilk_seqlock_write_(s, copy, n);
	return ilk_mutex_unlock(&s->mu);
}

/* ilk_doublebuffer_load copies the latest whole value to dst. It waits for no writer,
 * slow, stopped or dead; only writers that never pause make it try again. */
static inline void ilk_doublebuffer_load(const struct ilk_doublebuffer *b, void *dst, size_t n)
{
	for (;;) {
		uint64_t version = __atomic_load_n(&b->seq, __ATOMIC_ACQUIRE) / 2; /* pairs with E-Q4 */
		ilk_copy_out_(dst, (const char *)(b + 1) + version % 2 * n, n);
		__atomic_thread_fence(__ATOMIC_ACQUIRE);
		if (__atomic_load_n(&b->seq, __ATOMIC_RELAXED) - 2 * version <= 2) /* INV-Q4 */
			return;
	}
}

static inline void ilk_doublebuffer_write_(struct ilk_doublebuffer *b, const void *src, size_t n)
{
	uint64_t odd = __atomic_load_n(&b->seq, __ATOMIC_RELAXED) | 1;
	ilk_begin_(&b->seq, odd); /* E-Q3 */
	ilk_copy_in_((char *)(b + 1) + (odd / 2 + 1) % 2 * n, src, n);
	ilk_end_(&b->seq, odd); /* E-Q4 */
}

/* ilk_doublebuffer_store replaces the value: 0, ETIMEDOUT, ENOTRECOVERABLE. */
static inline int ilk_doublebuffer_store(struct ilk_doublebuffer *b, const void *src, size_t n,
					 const struct timespec *deadline)
{
	int err = ilk_enter_(&b->mu, deadline);
	if (err != 0)
		return err;
	ilk_doublebuffer_write_(b, src, n);
	return ilk_mutex_unlock(&b->mu);
}

/* ilk_doublebuffer_update is ilk_seqlock_update; no death tears its value. */
static inline int ilk_doublebuffer_update(struct ilk_doublebuffer *b, void *copy, size_t n,
					  const struct timespec *deadline, void (*change)(void *copy, void *arg),
					  void *arg)
{
	int err = ilk_enter_(&b->mu, deadline);
	if (err != 0)
		return err;
	ilk_copy_out_(copy, (char *)(b + 1) + __atomic_load_n(&b->seq, __ATOMIC_RELAXED) / 2 % 2 * n, n);
	change(copy, arg);
	ilk_doublebuffer_write_(b, copy, n);
	return ilk_mutex_unlock(&b->mu);
}

/* ---- the segments of shm.Share ---- */

/* The header. Nobody writes it after state became ILK_STATE_READY. */
struct ilk_header {
	char magic[8];
	uint32_t version;
	uint32_t state;
	uint32_t payload;
	uint8_t word;
	uint8_t zero[3];
	uint64_t size;
	uint64_t fingerprint;
	uint64_t pidns;
	uint8_t boot[16];
	uint32_t maker;
	uint32_t described;
	char arch[8];
	uint8_t later[48];
	char description[1920];
};

#define ILK_MAGIC "ILOCKSHM"
#define ILK_VERSION 2
#define ILK_STATE_READY 1
#define ILK_PAYLOAD 2048
#define ILK_WORD 8 /* bytes of a word; + 128 would be big-endian */
#ifdef __x86_64__
#define ILK_ARCH "amd64"
#else
#define ILK_ARCH "arm64"
#endif

ILK_ASSERT(sizeof(struct ilk_header) == ILK_PAYLOAD);
ILK_AT(ilk_header, version, 8);
ILK_AT(ilk_header, state, 12);
ILK_AT(ilk_header, payload, 16);
ILK_AT(ilk_header, word, 20);
ILK_AT(ilk_header, size, 24);
ILK_AT(ilk_header, fingerprint, 32);
ILK_AT(ilk_header, pidns, 40);
ILK_AT(ilk_header, boot, 48);
ILK_AT(ilk_header, maker, 64);
ILK_AT(ilk_header, described, 68);
ILK_AT(ilk_header, arch, 72);
ILK_AT(ilk_header, description, 128);

/* Why ilk_open refuses a segment; any other result is an errno. They are named as the
 * errors of package shm. */
enum ilk_refusal {
	ILK_ERR_LAYOUT = -1,
	ILK_ERR_VERSION = -2,
	ILK_ERR_NOT_READY = -3,
	ILK_ERR_TRUNCATED = -4,
	ILK_ERR_PID_NAMESPACE = -5
};

enum ilk_flags {
	ILK_READ_ONLY = 1,	   /* a store through value is SIGSEGV; loads work */
	ILK_ANY_PID_NAMESPACE = 2  /* semaphores and the loads work across them, nothing else */
};

struct ilk_segment {
	void *value; /* T */
	void *map;
	size_t length;
	char why[256]; /* if it was refused: for people */
};

static inline int ilk_refuse_(struct ilk_segment *seg, int result, const char *why)
{
	snprintf(seg->why, sizeof seg->why, "%s", why);
	return result;
}

/* ilk_same_layout_ compares what C states with what Go recorded: the fingerprint, if it
 * begins with 0x, or the description. The name of the type, its first word, is free. */
static inline int ilk_same_layout_(const struct ilk_header *h, const char *stated)
{
	size_t n = h->described < sizeof h->description ? h->described : sizeof h->description;
	const char *theirs = (const char *)memchr(h->description, ' ', n);
	const char *ours = strchr(stated, ' ');
	if (strncmp(stated, "0x", 2) == 0)
		return strtoull(stated, NULL, 16) == h->fingerprint;
	if (!theirs || !ours || n == sizeof h->description) /* a text so long may have been cut */
		return 0;
	n -= (size_t)(theirs - h->description);
	return strlen(ours) == n && memcmp(ours, theirs, n) == 0;
}

static inline int ilk_other_boot_(const struct ilk_header *h)
{
	static const uint8_t none[16] = {0};
	char text[64];
	uint8_t boot[16];
	size_t i = 0, used = 0;
	ssize_t n;
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	if (fd >= 0)
		close(fd);
	if (n < 36 || memcmp(h->boot, none, 16) == 0)
		return 0; /* not known: Go lets it pass too */
	for (; used < 16 && i + 1 < (size_t)n; i += 2) {
		char pair[3] = {text[i], text[i + 1], 0};
		if (text[i] == '-')
			i++, pair[0] = text[i], pair[1] = text[i + 1];
		boot[used++] = (uint8_t)strtoul(pair, NULL, 16);
	}
	return memcmp(h->boot, boot, 16) != 0;
}

/* ilk_check_ makes the checks of shm.Share, in its order. */
static inline int ilk_check_(struct ilk_segment *seg, const struct ilk_header *h, size_t got, off_t length, size_t size,
			     const char *layout, int flags)
{
	struct stat ns;
	char why[256];
	if (got < 8 || memcmp(h->magic, ILK_MAGIC, 8) != 0)
		return ilk_refuse_(seg, ILK_ERR_LAYOUT, "not made by shm.Share");
	if (got >= 16 && h->version != ILK_VERSION)
		return ilk_refuse_(seg, ILK_ERR_VERSION, "made by another version of the module");
	if (got < sizeof *h)
		return ilk_refuse_(seg, ILK_ERR_TRUNCATED, "shorter than its header");
	if (h->state != ILK_STATE_READY)
		return ilk_refuse_(seg, ILK_ERR_NOT_READY, "not finished: its maker died");
	if (length < ILK_PAYLOAD || h->size > (uint64_t)length - ILK_PAYLOAD) /* cut since it was read, perhaps */
		return ilk_refuse_(seg, ILK_ERR_TRUNCATED, "shorter than its header says");
	if (h->payload != ILK_PAYLOAD || h->word != ILK_WORD || strncmp(h->arch, ILK_ARCH, sizeof h->arch) != 0)
		return ilk_refuse_(seg, ILK_ERR_LAYOUT, "made by a program for another architecture");
	if (h->size != size || !ilk_same_layout_(h, layout)) {
		snprintf(why, sizeof why, "it has %llu bytes, fingerprint 0x%016llx: %.*s", (unsigned long long)h->size,
			 (unsigned long long)h->fingerprint, (int)(h->described < 160 ? h->described : 160), h->description);
		return ilk_refuse_(seg, ILK_ERR_LAYOUT, why);
	}
	if (!(flags & ILK_ANY_PID_NAMESPACE) && (stat("/proc/self/ns/pid", &ns) != 0 || ns.st_ino != h->pidns))
		return ilk_refuse_(seg, ILK_ERR_PID_NAMESPACE, "made in another PID namespace, whose thread IDs mean nothing here");
	if (ilk_other_boot_(h))
		return ilk_refuse_(seg, ILK_ERR_LAYOUT, "made before the machine was restarted: its locks name dead processes");
	return 0;
}

/* ilk_open maps the segment that a Go program made by shm.Share under this name ("/name"
 * and "name" are the same). size is sizeof(T). layout is what the C program believes T
 * to be: its fingerprint as "0x...", or its description. A mismatch puts both into why,
 * which is how to find them out.
 *
 * It returns 0, an errno (ENOENT: nobody has made it), or an enum ilk_refusal. It never
 * makes a segment. */
static inline int ilk_open(struct ilk_segment *seg, const char *name, size_t size, const char *layout, int flags)
{
	int writable = !(flags & ILK_READ_ONLY), fd, err;
	char path[300];
	struct ilk_header h; /* a copy: nobody changes it between its check and its use */
	struct stat st;
	ssize_t got;
	memset(seg, 0, sizeof *seg);
	name += name[0] == '/';
	if (!name[0] || !strcmp(name, ".") || !strcmp(name, "..") || strchr(name, '/') || strlen(name) > NAME_MAX)
		return ilk_refuse_(seg, EINVAL, "not a name for shared memory");
	snprintf(path, sizeof path, "/dev/shm/%s", name);
	fd = open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0)
		return ilk_refuse_(seg, errno, strerror(errno));
	got = pread(fd, &h, sizeof h, 0);
	if (got < 0 || fstat(fd, &st) != 0)
		err = ilk_refuse_(seg, errno, strerror(errno));
	else
		err = ilk_check_(seg, &h, (size_t)got, st.st_size, size, layout, flags);
	if (err == 0) {
		seg->length = (size_t)st.st_size;
		seg->map = mmap(NULL, seg->length, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
		if (seg->map == MAP_FAILED)
			err = ilk_refuse_(seg, errno, strerror(errno));
		else
			seg->value = (char *)seg->map + ILK_PAYLOAD;
	}
	close(fd);
	return err;
}

/* ilk_close unmaps. Nothing in the segment may be held or waited for by this process. */
static inline void ilk_close(struct ilk_segment *seg)
{
	if (seg->value)
		munmap(seg->map, seg->length);
	seg->value = NULL;
}

#endif
