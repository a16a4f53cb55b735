#include "glibc.h"

void fail(const char *what, int err)
{
	fprintf(stderr, "%s: %s\n", what, strerror(err));
	exit(4);
}

i64 now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (i64)t.tv_sec * 1000000000 + t.tv_nsec;
}

void sleep_until(i64 at)
{
	struct timespec t = {at / 1000000000, at % 1000000000};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

int next_line(char line[200])
{
	return fgets(line, 200, stdin) != NULL;
}

int next_order(struct order *o)
{
	char line[200];
	if (!next_line(line))
		return 0;
	if (sscanf(line, "for %ld at %ld mode %63s", &o->time, &o->at, o->mode) != 3)
		fail("not an order", EINVAL);
	return 1;
}

void say(const char *text)
{
	printf("%s\n", text);
	fflush(stdout);
}

void wait_took(struct waits *w, i64 ns)
{
	int power = 0;
	while (ns >> power >= 2 * STEPS)
		power++;
	size_t i = (size_t)power * STEPS + (size_t)(ns >> power);
	if (i < POWERS * STEPS)
		w->count[i]++;
}

static void say_waits(const struct waits *w)
{
	for (i64 i = 0; i < POWERS * STEPS; i++) {
		i64 power = i < 2 * STEPS ? 0 : i / STEPS - 1;
		i64 value = (i - power * STEPS) << power;
		if (w->count[i])
			printf("%ld:%lu,", value, w->count[i]);
	}
}

void reply(const struct answer *a)
{
	printf("ops %lu ns %ld best %.4f middle %.4f waits ", a->ops, a->elapsed, a->best, a->middle);
	if (a->waits)
		say_waits(a->waits);
	say("");
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

// batches is Order.Batches of ../work: the same times, the same figures.
void batches(const struct order *o, struct answer *a, void (*run)(void *, int), void *arg)
{
	enum { MOST = 1 << 20 };
	const i64 batch = 200000;
	static double each[MOST];
	int n = 1, k = 0;

	sleep_until(o->at);
	i64 end = now() + o->time;
	for (;; n *= 2) {
		i64 begin = now();
		run(arg, n);
		if (now() - begin > batch / 2 || n >= MOST)
			break;
	}
	i64 begin = now(), last = begin;
	memset(a, 0, sizeof *a);
	while (last < end || k == 0) {
		run(arg, n);
		i64 next = now();
		if (k < MOST)
			each[k++] = (double)(next - last) / n;
		a->ops += n;
		last = next;
	}
	a->elapsed = now() - begin;
	qsort(each, k, sizeof each[0], by_size);
	a->best = each[0];
	a->middle = each[k / 2];
}

void *shared(void)
{
	struct stat st;
	if (fstat(3, &st))
		fail("descriptor 3", errno);
	void *p = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, 3, 0);
	if (p == MAP_FAILED)
		fail("mmap", errno);
	return p;
}

void init_mutex(pthread_mutex_t *m)
{
	pthread_mutexattr_t attr;
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	int err = pthread_mutex_init(m, &attr);
	if (err)
		fail("pthread_mutex_init", err);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int, char **);
	} roles[] = {{"pairs", pairs}, {"contend", contend}, {"hold", hold}, {"recover", recover}, {"first", first}};

	for (size_t i = 0; argc > 1 && i < sizeof roles / sizeof roles[0]; i++)
		if (!strcmp(roles[i].name, argv[1]))
			return roles[i].run(argc - 1, argv + 1);
	fprintf(stderr, "stress bench starts this program; it is of no use by hand\n");
	return 2;
}
