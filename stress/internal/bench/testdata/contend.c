#include "glibc.h"

// Several processes and one short critical section: contendBoard in ../contended.go.
struct board {
	_Alignas(64) pthread_mutex_t mutex;
	_Alignas(64) uint64_t counter;
};

enum { BETWEEN = 64 }; // operations between two looks at the clock, as in Go

static void count(struct board *b, const struct order *o, struct answer *a)
{
	i64 begin = now(), end = begin + o->time, t;
	do {
		for (int i = 0; i < BETWEEN; i++) {
			pthread_mutex_lock(&b->mutex);
			b->counter++;
			pthread_mutex_unlock(&b->mutex);
		}
		a->ops += BETWEEN;
		t = now();
	} while (t < end);
	a->elapsed = t - begin;
}

static void timed(struct board *b, const struct order *o, struct answer *a)
{
	i64 begin = now(), end = begin + o->time, before, after;
	do {
		before = now();
		pthread_mutex_lock(&b->mutex);
		after = now();
		b->counter++;
		pthread_mutex_unlock(&b->mutex);
		wait_took(a->waits, after - before);
		a->ops++;
	} while (after < end);
	a->elapsed = after - begin;
}

// The process that is told "init" makes the mutex, before any is asked to work.
int contend(int argc, char **argv)
{
	struct board *b = shared();
	static struct waits waits;
	struct order o;

	if (argc > 1 && !strcmp(argv[1], "init"))
		init_mutex(&b->mutex);
	say("ready");
	while (next_order(&o)) {
		struct answer a = {.waits = &waits};
		memset(&waits, 0, sizeof waits);
		sleep_until(o.at);
		(strcmp(o.mode, "timed") ? count : timed)(b, &o, &a);
		reply(&a);
	}
	return 0;
}
