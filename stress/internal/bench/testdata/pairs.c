#include "glibc.h"

// One process that nobody disturbs: a lock and an unlock, a wait and a post.
// aloneBoard in ../lock.go.
struct alone {
	_Alignas(64) pthread_mutex_t mutex;
	_Alignas(64) sem_t sem;
};

static void lock_unlock(void *arg, int n)
{
	pthread_mutex_t *m = arg;
	for (; n > 0; n--) {
		pthread_mutex_lock(m);
		pthread_mutex_unlock(m);
	}
}

static void wait_post(void *arg, int n)
{
	sem_t *s = arg;
	for (; n > 0; n--) {
		sem_wait(s);
		sem_post(s);
	}
}

int pairs(int argc, char **argv)
{
	struct alone *a = shared();
	struct order o;
	struct answer got;

	(void)argc, (void)argv;
	init_mutex(&a->mutex);
	if (sem_init(&a->sem, 1, 1))
		fail("sem_init", errno);
	while (next_order(&o)) {
		if (!strcmp(o.mode, "mutex"))
			batches(&o, &got, lock_unlock, &a->mutex);
		else
			batches(&o, &got, wait_post, &a->sem);
		reply(&got);
	}
	return 0;
}
