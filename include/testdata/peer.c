/* A C program, and by its other compilation a C++ program, on the other side of the
 * memory, for the tests of interlock.h. It does as told, a line each, and answers with a
 * line: ok, or the name of an error, or what the order says. */
#include "../interlock.h"
#include <semaphore.h>
#include <signal.h>

#define ROOM 3
#define CROWD 8

struct quote {
	uint64_t number, twice;
	uint8_t text[45]; /* each the low byte of number; 61 bytes: the copy has an odd end */
	uint8_t pad[3];
};

struct ledger { /* counts twice, so that a death between the two shows */
	uint64_t n, mine[CROWD];
};

struct board {
	struct ilk_mutex mu;
	struct ilk_cond made, taken;
	uint64_t stop, inside, broken;
	struct ledger makes, takes;
	struct {
		struct ilk_seqlock lock;
		struct quote v;
	} price;
	struct {
		struct ilk_doublebuffer lock;
		struct quote v[2];
	} table;
	sem_t permits;
};

static struct ilk_segment seg;
static struct board *b;

static const char *name_of(int err)
{
	switch (err) {
	case 0:
		return "ok";
	case ILK_ERR_LAYOUT:
		return "layout";
	case ILK_ERR_VERSION:
		return "version";
	case ILK_ERR_NOT_READY:
		return "not ready";
	case ILK_ERR_TRUNCATED:
		return "truncated";
	case ILK_ERR_PID_NAMESPACE:
		return "pid namespace";
	}
	return strerrorname_np(err);
}

static struct quote quote_of(uint64_t number)
{
	struct quote q;
	memset(&q, 0, sizeof q);
	q.number = number;
	q.twice = 2 * number;
	memset(q.text, (int)(number & 255), sizeof q.text);
	return q;
}

static int torn(const struct quote *q)
{
	struct quote want = quote_of(q->number);
	return memcmp(q, &want, sizeof want) != 0;
}

/* ---- the storm: make and take tokens, be killed anywhere ---- */

static void mend(struct ledger *l)
{
	uint64_t sum = 0;
	for (int i = 0; i < CROWD; i++)
		sum += l->mine[i];
	if (l->n != sum && l->n != sum + 1)
		b->broken++;
	l->mine[0] += l->n - sum;
}

static int hold(int err)
{
	if (err == EOWNERDEAD) {
		mend(&b->makes);
		mend(&b->takes);
		b->inside = 0;
		return ilk_mutex_repaired(&b->mu);
	}
	return err == ETIMEDOUT ? 0 : err;
}

static int storm(int slot, int makes, unsigned seed)
{
	struct ledger *mine = makes ? &b->makes : &b->takes;
	struct ilk_cond *for_us = makes ? &b->taken : &b->made, *for_them = makes ? &b->made : &b->taken;
	int err = 0;
	volatile uint64_t *stop = &b->stop, *n = &mine->n;
	while (!*stop) {
		if ((err = hold(ilk_mutex_lock(&b->mu, NULL))))
			return err;
		while (!*stop && b->makes.n - b->takes.n == (makes ? ROOM : 0)) {
			struct timespec soon = ilk_in_ms(rand_r(&seed) % 3);
			if ((err = hold(ilk_cond_wait(for_us, &b->mu, rand_r(&seed) % 2 ? &soon : NULL))))
				return err;
		}
		if (!*stop) {
			if (b->inside)
				b->broken++;
			b->inside = 1;
			++*n;
			mine->mine[slot]++;
			b->inside = 0;
			if (rand_r(&seed) % 8)
				ilk_cond_signal(for_them);
			else
				ilk_cond_broadcast(for_them);
		}
		if ((err = ilk_mutex_unlock(&b->mu)))
			return err;
	}
	return 0;
}

/* turns takes its turn n times, and hears of it by one signal each. */
static int turns(int n)
{
	volatile uint64_t *turn = &b->inside;
	int err = ilk_mutex_lock(&b->mu, NULL);
	while (!err && n-- > 0) {
		while (!err && *turn != 1)
			err = ilk_cond_wait(&b->made, &b->mu, NULL);
		*turn = 0;
	}
	return err ? err : ilk_mutex_unlock(&b->mu);
}

/* past locks what somebody else holds, with n deadlines from now to two seconds ago. */
static int past(int n)
{
	for (int i = 0; i < n; i++) {
		struct timespec until = ilk_in_ms(-(2000L * i / n));
		int err = ilk_mutex_lock(&b->mu, &until);
		if (err != ETIMEDOUT)
			return err;
	}
	return ETIMEDOUT;
}

/* shrunk checks the segment as if its file were so long by now: somebody cut it between
 * the read of the header and the look at the length. */
static int shrunk(int length)
{
	struct ilk_header h;
	char layout[40];
	memcpy(&h, seg.map, sizeof h);
	snprintf(layout, sizeof layout, "0x%llx", (unsigned long long)h.fingerprint);
	return ilk_check_(&seg, &h, sizeof h, length, sizeof(struct board), layout, 0);
}

/* ---- seqlocks ---- */

static void add_one(void *copy, void *arg)
{
	struct quote *q = (struct quote *)copy;
	(void)arg;
	*q = quote_of(q->number + 1);
}

static int updates(int n)
{
	struct quote q;
	int err = 0;
	while (!err && n-- > 0) {
		if ((err = ilk_seqlock_update(&b->price.lock, &q, sizeof q, NULL, add_one, NULL)) == EOWNERDEAD) {
			q = quote_of(0); /* torn: it begins anew */
			err = ilk_seqlock_store(&b->price.lock, &q, sizeof q, NULL);
		}
		if (!err)
			err = ilk_doublebuffer_update(&b->table.lock, &q, sizeof q, NULL, add_one, NULL);
	}
	return err;
}

/* watch loads until stop: "ok LOADS", or what it should never have seen. */
static void watch(void)
{
	volatile uint64_t *stop = &b->stop;
	uint64_t loads = 0, version = 0;
	struct quote q;
	while (!*stop) {
		int err = ilk_seqlock_load(&b->price.lock, &q, sizeof q, NULL);
		if (err && err != EOWNERDEAD) {
			puts(name_of(err));
			return;
		}
		loads += !err;
		if (!err && torn(&q)) {
			puts("torn seqlock");
			return;
		}
		ilk_doublebuffer_load(&b->table.lock, &q, sizeof q);
		if (torn(&q) || q.number < version) {
			puts("torn double buffer");
			return;
		}
		version = q.number;
	}
	printf("ok %llu\n", (unsigned long long)loads);
}

/* tear dies in the middle of a write. */
static void tear(void)
{
	uint64_t odd = b->price.lock.seq | 1;
	ilk_enter_(&b->price.lock.mu, NULL);
	ilk_begin_(&b->price.lock.seq, odd);
	b->price.v.number++;
	ilk_enter_(&b->table.lock.mu, NULL);
	odd = b->table.lock.seq | 1;
	ilk_begin_(&b->table.lock.seq, odd);
	b->table.v[(odd / 2 + 1) % 2].number += 7;
	kill(getpid(), SIGKILL);
}

/* ---- orders ---- */

static int order(const char *line)
{
	char name[300], layout[1000];
	int x, y, flags;
	struct quote q;
	struct timespec until;
	unsigned seed;
	if (sscanf(line, "open %299s %d %d %999[^\n]", name, &flags, &x, layout) == 4) {
		int err = ilk_open(&seg, name, x ? (size_t)x : sizeof(struct board), layout, flags);
		b = (struct board *)seg.value;
		return err;
	}
	if (sscanf(line, "lock %d", &x) == 1) {
		until = ilk_in_ms(x);
		return ilk_mutex_lock(&b->mu, &until);
	}
	if (sscanf(line, "wait %d", &x) == 1) {
		until = ilk_in_ms(x);
		return ilk_cond_wait(&b->made, &b->mu, &until);
	}
	if (sscanf(line, "store %d", &x) == 1) {
		int err;
		q = quote_of((uint64_t)x);
		err = ilk_seqlock_store(&b->price.lock, &q, sizeof q, NULL);
		return err ? err : ilk_doublebuffer_store(&b->table.lock, &q, sizeof q, NULL);
	}
	if (sscanf(line, "past %d", &x) == 1)
		return past(x);
	if (sscanf(line, "shrunk %d", &x) == 1)
		return shrunk(x);
	if (sscanf(line, "updates %d", &x) == 1)
		return updates(x);
	if (sscanf(line, "turns %d", &x) == 1)
		return turns(x);
	if (sscanf(line, "storm %d %d %u", &x, &y, &seed) == 3)
		return storm(x, y, seed);
	if (sscanf(line, "load %d", &x) == 1) {
		until = ilk_in_ms(x);
		return ilk_seqlock_load(&b->price.lock, &q, sizeof q, &until);
	}
	puts("unknown order");
	exit(1);
}

int main(void)
{
	char line[2000];
	struct quote q;
	int err;
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\n")] = 0;
		if (!strcmp(line, "why"))
			puts(seg.why);
		else if (!strcmp(line, "size"))
			printf("%zu\n", sizeof(struct board));
		else if (!strcmp(line, "lock"))
			puts(name_of(ilk_mutex_lock(&b->mu, NULL)));
		else if (!strcmp(line, "plain lock"))
			puts(name_of(pthread_mutex_lock(ilk_pthread(&b->mu))));
		else if (!strcmp(line, "plain try"))
			puts(name_of(pthread_mutex_trylock(ilk_pthread(&b->mu))));
		else if (!strcmp(line, "plain wait"))
			puts(sem_wait(&b->permits) ? name_of(errno) : "ok");
		else if (!strcmp(line, "unlock"))
			puts(name_of(ilk_mutex_unlock(&b->mu)));
		else if (!strcmp(line, "repaired"))
			puts(name_of(ilk_mutex_repaired(&b->mu)));
		else if (!strcmp(line, "init"))
			puts(name_of(ilk_mutex_init(&b->mu)));
		else if (!strcmp(line, "wait"))
			puts(name_of(ilk_cond_wait(&b->made, &b->mu, NULL)));
		else if (!strcmp(line, "wait and unlock"))
			puts(name_of((err = ilk_cond_wait(&b->made, &b->mu, NULL)) ? err : ilk_mutex_unlock(&b->mu)));
		else if (!strcmp(line, "signal"))
			puts((ilk_cond_signal(&b->made), "ok"));
		else if (!strcmp(line, "broadcast"))
			puts((ilk_cond_broadcast(&b->made), "ok"));
		else if (!strcmp(line, "watch"))
			watch();
		else if (!strcmp(line, "update"))
			puts(name_of(ilk_seqlock_update(&b->price.lock, &q, sizeof q, NULL, add_one, NULL)));
		else if (!strcmp(line, "tear"))
			tear();
		else if (!strcmp(line, "table"))
			printf("%llu\n", (ilk_doublebuffer_load(&b->table.lock, &q, sizeof q), (unsigned long long)q.number));
		else
			puts(name_of(order(line)));
	}
	return 0;
}
