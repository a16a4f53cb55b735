/* A C program on the other side of the mutex, for c_test.go. It maps descriptor 3
 * and does as told, a line each; it answers with a line, in the words of the Go
 * peers: held, dead (and held), condemned, busy, free, ok. */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

struct board {
	pthread_mutex_t m;
	char pad[64 - sizeof(pthread_mutex_t)]; /* 40 bytes, and on arm64 48 */
	volatile uint64_t inside, count;
};

static const char *word(int err)
{
	switch (err) {
	case 0:
		return "held";
	case EOWNERDEAD:
		return "dead";
	case ENOTRECOVERABLE:
		return "condemned";
	case EBUSY:
		return "busy";
	case ETIMEDOUT:
		return "deadline";
	}
	return strerror(err);
}

/* init writes what a program writes that wants a robust or a shared mutex. */
static int init(pthread_mutex_t *m, int robust, int shared, int type)
{
	pthread_mutexattr_t a;
	pthread_mutexattr_init(&a);
	if (robust)
		pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	if (shared)
		pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	if (type >= 0) /* any type, the normal one too, turns lock elision off and says so */
		pthread_mutexattr_settype(&a, type);
	return pthread_mutex_init(m, &a);
}

static int timedlock(pthread_mutex_t *m, int ms)
{
	struct timespec t; /* a time of day: POSIX has no other */
	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += ms % 1000 * 1000000L;
	if (t.tv_nsec >= 1000000000L)
		t.tv_sec++, t.tv_nsec -= 1000000000L;
	return pthread_mutex_timedlock(m, &t);
}

/* crowd increments the counter n times, as the Go crowd does. */
static int crowd(struct board *b, int n)
{
	for (int i = 0; i < n; i++) {
		int err = pthread_mutex_lock(&b->m);
		if (err)
			return err;
		if (b->inside)
			return EDEADLK;
		b->inside = 1;
		uint64_t count = b->count;
		for (volatile int pause = 0; pause < i % 20; pause++)
			;
		b->count = count + 1;
		b->inside = 0;
		err = pthread_mutex_unlock(&b->m);
		if (err)
			return err;
	}
	return 0;
}

int main(void)
{
	struct board *b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
	char line[100];
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof line, stdin)) {
		int x, y, z;
		line[strcspn(line, "\n")] = 0;
		if (!strcmp(line, "lock"))
			puts(word(pthread_mutex_lock(&b->m)));
		else if (sscanf(line, "timed %d", &x) == 1)
			puts(word(timedlock(&b->m, x)));
		else if (!strcmp(line, "try"))
			puts(word(pthread_mutex_trylock(&b->m)));
		else if (!strcmp(line, "unlock"))
			puts((x = pthread_mutex_unlock(&b->m)) ? word(x) : "free");
		else if (!strcmp(line, "consistent"))
			puts((x = pthread_mutex_consistent(&b->m)) ? word(x) : "ok");
		else if (sscanf(line, "init %d %d %d", &x, &y, &z) == 3)
			puts((x = init(&b->m, x, y, z)) ? word(x) : "ok");
		else if (sscanf(line, "crowd %d", &x) == 1)
			puts((x = crowd(b, x)) ? word(x) : "ok");
		else if (!strcmp(line, "layout"))
#define OFF(f) offsetof(pthread_mutex_t, __data.__##f)
			printf("[%zu %zu %zu %zu %zu %zu %zu %zu %zu]\n", OFF(lock), OFF(count), OFF(owner), OFF(nusers),
			       OFF(kind), OFF(spins), OFF(list.__prev), OFF(list.__next), sizeof(pthread_mutex_t) < 40 ? 0 : (size_t)40);
		else
			puts("unknown order");
	}
}
