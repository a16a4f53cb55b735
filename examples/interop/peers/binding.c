/* What Python's ctypes calls: functions instead of the header's inline ones. */
#include "interlock.h"

int mutex_lock(struct ilk_mutex *m, long ms);
int mutex_repaired(struct ilk_mutex *m);
int mutex_unlock(struct ilk_mutex *m);
int cond_wait(struct ilk_cond *c, struct ilk_mutex *m, long ms);
void cond_broadcast(struct ilk_cond *c);
int seqlock_load(const struct ilk_seqlock *s, void *to, size_t n, long ms);
int seqlock_store(struct ilk_seqlock *s, const void *from, size_t n, long ms);

/* ms < 0 waits for ever. */
static const struct timespec *until(struct timespec *t, long ms)
{
	*t = ilk_in_ms(ms);
	return ms < 0 ? NULL : t;
}

int mutex_lock(struct ilk_mutex *m, long ms)
{
	struct timespec t;
	return ilk_mutex_lock(m, until(&t, ms));
}

int mutex_repaired(struct ilk_mutex *m) { return ilk_mutex_repaired(m); }

int mutex_unlock(struct ilk_mutex *m) { return ilk_mutex_unlock(m); }

int cond_wait(struct ilk_cond *c, struct ilk_mutex *m, long ms)
{
	struct timespec t;
	return ilk_cond_wait(c, m, until(&t, ms));
}

void cond_broadcast(struct ilk_cond *c) { ilk_cond_broadcast(c); }

int seqlock_load(const struct ilk_seqlock *s, void *to, size_t n, long ms)
{
	struct timespec t;
	return ilk_seqlock_load(s, to, n, until(&t, ms));
}

int seqlock_store(struct ilk_seqlock *s, const void *from, size_t n, long ms)
{
	struct timespec t;
	return ilk_seqlock_store(s, from, n, until(&t, ms));
}
