/* The C worker of the interop scenario: what interop.go does in Go, by interlock.h. It
 * takes the place of a Go worker by exec, and so has its descriptor 3, the arena. All
 * offsets come from Go by -D: see defines in interoppeer.go.
 *
 *	interop SLOT_OFFSET SLOT LANES AREA_OFFSET SIZE SEED
 */
#include "interlock.h"

#define FIELD(type, base, field) (*(volatile type *)((char *)(base) + (field)))

static char *arena, *slot, *area;
static int lanes, slot_number;
static unsigned seed;
static uint32_t seen; /* the last order; those to a predecessor are not ours */

struct value {
	uint64_t w[512]; /* all the same, but for the last, which is a checksum */
};

static uint32_t phase(void) { return FIELD(uint32_t, arena, HEADER_PHASE); }

static char *lane_of(int id)
{
	return arena + SLOTS + id / lanes * (LANES + lanes * LANE_SIZE + BEHIND_LANES) + LANES + id % lanes * LANE_SIZE;
}

static void nap(long us)
{
	struct timespec t = {0, us * 1000};
	nanosleep(&t, NULL);
}

/* fault counts a broken invariant; its text is for those who look at stderr. */
static void fault(const char *what)
{
	fprintf(stderr, "interop: %s\n", what);
	__atomic_fetch_add((uint32_t *)(arena + HEADER_FAULTS), 1, __ATOMIC_SEQ_CST);
}

/* reach says where the lane is, and stands still if there is a trap. */
static void reach(char *lane, int id, uint32_t label)
{
	uint32_t none = 0;
	FIELD(uint32_t, lane, LANE_LABEL) = label;
	if (FIELD(uint32_t, slot, SLOT_TRAP) != label ||
	    !__atomic_compare_exchange_n((uint32_t *)(slot + SLOT_TRAPPED), &none, (uint32_t)id + 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		return;
	while (FIELD(uint32_t, slot, SLOT_TRAP) == label)
		nap(100);
	FIELD(uint32_t, slot, SLOT_TRAPPED) = 0;
}

static uint64_t *counts(void) { return (uint64_t *)(area + AREA_N); }

/* mourn says when the repair after a killed process began. */
static void mourn(uint32_t pid)
{
	uint32_t kills = FIELD(uint32_t, arena, HEADER_KILLS);
	struct timespec t = ilk_in_ms(0);
	for (uint32_t i = kills; pid && i-- > 0 && kills - i < GRAVES;) {
		char *grave = arena + HEADER_SIZE + i % GRAVES * GRAVE_SIZE;
		int64_t never = 0;
		if (FIELD(uint32_t, grave, GRAVE_PID) != pid)
			continue;
		__atomic_compare_exchange_n((int64_t *)(grave + GRAVE_REPAIRED), &never, t.tv_sec * 1000000000L + t.tv_nsec, 0,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
		return;
	}
}

/* held deals with what a lock returned. What the dead one had counted once it undoes. */
static int held(int err)
{
	if (err == EOWNERDEAD) {
		uint64_t sums[2] = {0, 0};
		int all = (int)FIELD(uint32_t, arena, HEADER_PROCS) * lanes;
		mourn((uint32_t)FIELD(uint64_t, area, AREA_INSIDE));
		for (int id = 0; id < all; id++)
			sums[id % 2] += FIELD(uint64_t, lane_of(id), LANE_REC);
		for (int k = 0; k < 2; k++) {
			if (counts()[k] - sums[k] > 1)
				fault("found by a repair in C: one side counts more than one turn above the other");
			counts()[k] = sums[k];
		}
		__atomic_fetch_add((uint64_t *)(area + AREA_REPAIRS_C), 1, __ATOMIC_SEQ_CST);
		ilk_cond_broadcast((struct ilk_cond *)(area + AREA_MADE));
		ilk_cond_broadcast((struct ilk_cond *)(area + AREA_TAKEN));
		err = ilk_mutex_repaired((struct ilk_mutex *)(area + AREA_MU));
	}
	if (err == 0 || err == ETIMEDOUT)
		FIELD(uint64_t, area, AREA_INSIDE) = (uint64_t)getpid();
	return err == ETIMEDOUT ? 0 : err;
}

static void quit(const char *what, int err)
{
	fprintf(stderr, "interop: %s: %s\n", what, strerror(err));
	exit(5);
}

/* turn makes or takes one token. */
static void turn(char *lane, int id, unsigned *random)
{
	struct ilk_mutex *mu = (struct ilk_mutex *)(area + AREA_MU);
	int takes = id % 2, err;
	struct ilk_cond *for_us = (struct ilk_cond *)(area + (takes ? AREA_MADE : AREA_TAKEN));
	struct ilk_cond *for_them = (struct ilk_cond *)(area + (takes ? AREA_TAKEN : AREA_MADE));
	FIELD(uint32_t, lane, LANE_LABEL) = WAITING;
	if ((err = held(ilk_mutex_lock(mu, NULL))))
		quit("ilk_mutex_lock", err);
	while (counts()[0] - counts()[1] == (takes ? 0 : ROOM) && phase() == PHASE_RUN) {
		struct timespec soon = ilk_in_ms(rand_r(random) % 4);
		FIELD(uint32_t, lane, LANE_LABEL) = WAITING;
		FIELD(uint64_t, area, AREA_INSIDE) = 0;
		if ((err = held(ilk_cond_wait(for_us, mu, rand_r(random) % 8 ? NULL : &soon))))
			quit("ilk_cond_wait", err);
	}
	if (phase() == PHASE_RUN) {
		reach(lane, id, OPEN);
		FIELD(uint64_t, counts() + takes, 0)++;
		reach(lane, id, HALF);
		FIELD(uint64_t, lane, LANE_REC)++;
		reach(lane, id, DONE);
		ilk_cond_signal(for_them);
	}
	FIELD(uint64_t, area, AREA_INSIDE) = 0;
	if ((err = ilk_mutex_unlock(mu)))
		quit("ilk_mutex_unlock", err);
}

static void add_one(void *copy, void *arg)
{
	struct value *v = (struct value *)copy;
	uint64_t n = v->w[0] + 1;
	(void)arg;
	for (int i = 0; i < 511; i++)
		v->w[i] = n;
	v->w[511] = n * 0x9E3779B97F4A7C15u;
}

static void whole(const struct value *v, const char *what)
{
	int same = v->w[511] == v->w[0] * 0x9E3779B97F4A7C15u;
	for (int i = 1; i < 511; i++)
		same &= v->w[i] == v->w[0];
	if (!same)
		fault(what);
}

/* values reads both values, and changes both. */
static void values(char *lane)
{
	struct ilk_seqlock *price = (struct ilk_seqlock *)(area + AREA_PRICE);
	struct ilk_doublebuffer *table = (struct ilk_doublebuffer *)(area + AREA_TABLE);
	struct value v;
	int err = ilk_seqlock_load(price, &v, sizeof v, NULL);
	if (err == 0)
		whole(&v, "C loaded a torn value of the seqlock");
	ilk_doublebuffer_load(table, &v, sizeof v);
	whole(&v, "C loaded a torn value of the double buffer");
	if ((err = ilk_seqlock_update(price, &v, sizeof v, NULL, add_one, NULL)) == EOWNERDEAD) {
		memset(&v, 0, sizeof v);
		err = ilk_seqlock_store(price, &v, sizeof v, NULL);
		__atomic_fetch_add((uint64_t *)(area + AREA_TORN), 1, __ATOMIC_SEQ_CST);
	}
	if (err)
		quit("the seqlock", err);
	FIELD(uint64_t, lane, LANE_REC + 8)++; /* about to, done: what is between is one */
	if ((err = ilk_doublebuffer_update(table, &v, sizeof v, NULL, add_one, NULL)))
		quit("the double buffer", err);
	FIELD(uint64_t, lane, LANE_REC + 16)++;
}

/* obey does what the supervisor orders while all others are parked: wait for a ticket, or
 * issue one. */
static void obey(char *lane, uint32_t order)
{
	struct ilk_mutex *mu = (struct ilk_mutex *)(area + AREA_MU);
	struct ilk_cond *made = (struct ilk_cond *)(area + AREA_MADE);
	volatile uint64_t *tickets = &FIELD(uint64_t, area, AREA_TICKETS);
	int waits = (order & 0xff) == OP_WAIT, err = held(ilk_mutex_lock(mu, NULL));
	FIELD(uint32_t, lane, LANE_LABEL) = waits ? WAITING : GIVING;
	while (!err && waits && *tickets == 0 && phase() == PHASE_PAUSE)
		err = held(ilk_cond_wait(made, mu, NULL));
	if (err)
		quit("an order", err);
	if (waits)
		*tickets -= *tickets > 0;
	else
		++*tickets;
	FIELD(uint64_t, area, AREA_INSIDE) = 0;
	if ((err = ilk_mutex_unlock(mu)))
		quit("ilk_mutex_unlock", err);
	if (!waits)
		ilk_cond_signal(made);
	FIELD(uint32_t, lane, LANE_LABEL) = PARKED;
}

/* park stands still for a moment. The first lane carries out orders, each once. */
static void park(char *lane, int first)
{
	uint32_t order = FIELD(uint32_t, slot, SLOT_COMMAND);
	FIELD(uint32_t, lane, LANE_LABEL) = PARKED;
	if (first && order != seen) {
		seen = order;
		obey(lane, order);
		FIELD(uint32_t, slot, SLOT_REPLY) = order;
	}
	nap(first ? 200 : 2000); /* the others sleep long, so that it is seen whether the first does */
}

static void *drive(void *arg)
{
	int id = slot_number * lanes + (int)(intptr_t)arg;
	unsigned random = seed + (unsigned)id;
	char *lane = lane_of(id);
	while (phase() != PHASE_STOP) {
		if (phase() == PHASE_PAUSE) {
			park(lane, arg == NULL);
			continue;
		}
		turn(lane, id, &random);
		if (rand_r(&random) % 4 == 0)
			values(lane);
		FIELD(uint64_t, lane, LANE_OPS)++;
		FIELD(uint32_t, lane, LANE_LABEL) = IDLE;
	}
	FIELD(uint32_t, lane, LANE_LABEL) = IDLE;
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[64];
	long n[6];
	if (argc != 7)
		return 2;
	for (int i = 0; i < 6; i++)
		n[i] = strtol(argv[i + 1], NULL, 10);
	arena = (char *)mmap(NULL, (size_t)n[4], PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
	if (arena == MAP_FAILED || n[2] > 64)
		return 4;
	slot = arena + n[0];
	slot_number = (int)n[1];
	lanes = (int)n[2];
	area = arena + n[3];
	seed = (unsigned)n[5];
	seen = FIELD(uint32_t, slot, SLOT_COMMAND);
	FIELD(uint32_t, slot, SLOT_STATE) = SLOT_READY;
	while (phase() == PHASE_START)
		nap(200);
	for (int j = 0; j < lanes; j++)
		if (pthread_create(&threads[j], NULL, drive, (void *)(intptr_t)j) != 0)
			return 4;
	for (int j = 0; j < lanes; j++)
		pthread_join(threads[j], NULL);
	FIELD(uint32_t, slot, SLOT_STATE) = SLOT_LEFT;
	return 0;
}
