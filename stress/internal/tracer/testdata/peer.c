// A survivor in C, for "stress everywhere": what actor.go does with the mutex, by calls of
// glibc alone. Offsets into the stage come from the Go side, as macros.
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define STAGE_FD 3

static char *stage;
static uint32_t *word(size_t offset) { return (uint32_t *)(stage + offset); }
static uint32_t get(size_t offset) { return __atomic_load_n(word(offset), __ATOMIC_SEQ_CST); }
static pthread_mutex_t *mutex(void) { return (pthread_mutex_t *)(stage + STAGE_M); }

static void fault(uint32_t kind)
{
	uint32_t n = __atomic_fetch_add(word(STAGE_FAULTS), 1, __ATOMIC_SEQ_CST);
	if (n < FAULTS)
		__atomic_store_n(word(STAGE_FAULT) + n, kind, __ATOMIC_SEQ_CST);
}

// change moves Inside from one process to another, 0 being nobody.
static void change(uint32_t from, uint32_t to)
{
	if (!__atomic_compare_exchange_n(word(STAGE_INSIDE), &from, to, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		fault(TWO_INSIDE);
}

// repair is for an owner's death. glibc does not say who died.
static void repair(void)
{
	__atomic_store_n(word(STAGE_INSIDE), 0, __ATOMIC_SEQ_CST);
	uint32_t n = __atomic_fetch_add(word(STAGE_REPAIRS), 1, __ATOMIC_SEQ_CST);
	if (n < DEAD_PIDS)
		__atomic_store_n(word(STAGE_DEAD) + n, UNTOLD, __ATOMIC_SEQ_CST);
	pthread_mutex_consistent(mutex());
}

// entered is what a call that locks came to; 0 if it has the mutex.
static const char *entered(int err)
{
	switch (err) {
	case EOWNERDEAD:
		repair();
		break;
	case ENOTRECOVERABLE:
		return "condemned";
	case 0:
		break;
	default:
		return strerrorname_np(err);
	}
	change(0, getpid());
	return 0;
}

static void leave(void)
{
	change(getpid(), 0);
	int err = pthread_mutex_unlock(mutex());
	if (err)
		fault(UNLOCK_FAILED);
}

static const char *lock_once(void)
{
	const char *why = entered(pthread_mutex_lock(mutex()));
	if (!why)
		leave();
	return why;
}

// barge takes it in each way that there is. glibc's trylock of a condemned mutex says so
// and keeps it for ever, so where the victim condemns it is not called.
static const char *barge(void)
{
	for (unsigned i = 0; !get(STAGE_STOP); i++) {
		struct timespec until;
		int err;
		usleep(20);
		switch (i % 8) {
		case 0: case 4:
			err = pthread_mutex_lock(mutex());
			break;
		case 2:
			clock_gettime(CLOCK_REALTIME, &until);
			until.tv_nsec += 1000000;
			until.tv_sec += until.tv_nsec / 1000000000;
			until.tv_nsec %= 1000000000;
			err = pthread_mutex_timedlock(mutex(), &until);
			break;
		default:
			err = get(STAGE_FAIL) == CONDEMNING ? EBUSY : pthread_mutex_trylock(mutex());
		}
		if (err == EBUSY || err == ETIMEDOUT)
			continue;
		const char *why = entered(err);
		if (why)
			return why;
		leave();
	}
	return lock_once();
}

static const char *obey(const char *order)
{
	if (!strcmp(order, "lock"))
		return lock_once();
	if (!strcmp(order, "hold"))
		return entered(pthread_mutex_lock(mutex()));
	if (!strcmp(order, "barge"))
		return barge();
	if (!strcmp(order, "unlock"))
		return leave(), NULL;
	if (!strcmp(order, "swap"))
		return leave(), lock_once();
	return "no-such-order";
}

static void answer(const char *text)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("%s %lld 0\n", text, now.tv_sec * 1000000000LL + now.tv_nsec);
	fflush(stdout);
}

int main(void)
{
	char line[64];
	stage = mmap(0, STAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, STAGE_FD, 0);
	if (stage == MAP_FAILED)
		return perror("mmap"), 1;
	snprintf(line, sizeof line, "%lu", (unsigned long)stage);
	answer(line);
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = 0;
		const char *why = obey(line);
		answer(why ? why : "ok");
	}
	return 0;
}
