#include "glibc.h"

// A holder that is killed and a waiter that takes over: deathBoard in ../recovery.go.
struct death {
	_Alignas(64) pthread_mutex_t mutex;
};

// hold: locks when it is told to, and waits to be killed.
int hold(int argc, char **argv)
{
	struct death *d = shared();
	char line[200];

	(void)argc, (void)argv;
	say("ready");
	while (next_line(line)) {
		int err = pthread_mutex_lock(&d->mutex);
		if (err)
			fail("pthread_mutex_lock", err);
		say("held");
	}
	return 0;
}

// recover: waits for the lock whenever it is told to, repairs, and says when.
int recover(int argc, char **argv)
{
	struct death *d = shared();
	char line[200];

	(void)argc, (void)argv;
	init_mutex(&d->mutex);
	say("ready");
	while (next_line(line)) {
		int err = pthread_mutex_lock(&d->mutex);
		i64 at = now();
		if (err != EOWNERDEAD)
			fail("no dead owner", err);
		pthread_mutex_consistent(&d->mutex);
		pthread_mutex_unlock(&d->mutex);
		printf("%ld\n", at);
		fflush(stdout);
	}
	return 0;
}

// first: opens named memory and takes a lock in it for the first time.
int first(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	i64 begin = now();
	int fd = shm_open(argv[1], O_RDWR, 0);
	if (fd < 0)
		fail("shm_open", errno);
	struct death *d = mmap(NULL, sizeof *d, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (d == MAP_FAILED)
		fail("mmap", errno);
	int err = pthread_mutex_lock(&d->mutex);
	i64 end = now();
	if (err)
		fail("pthread_mutex_lock", err);
	pthread_mutex_unlock(&d->mutex);
	printf("%ld\n", end - begin);
	return 0;
}
