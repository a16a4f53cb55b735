// What the C programs have in common: orders, answers, clocks and batches, as in
// ../work. One file for each kind of measurement; main.c has the table.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef int64_t i64;

// An order: "for NANOSECONDS at MONOTONIC mode WORD".
struct order {
	i64 time, at;
	char mode[64];
};

// A histogram like HdrHistogram's: 128 steps to each power of two.
enum { STEPS = 128, POWERS = 40 };
struct waits {
	uint64_t count[POWERS * STEPS];
};

struct answer {
	uint64_t ops;
	i64 elapsed;
	double best, middle;
	struct waits *waits;
};

i64 now(void);
void sleep_until(i64 at);
int next_line(char line[200]);   // 0: there are no more
int next_order(struct order *o); // the same
void reply(const struct answer *a);
void say(const char *text);
void batches(const struct order *o, struct answer *a, void (*run)(void *, int), void *arg);
void wait_took(struct waits *w, i64 ns);
void *shared(void); // descriptor 3, mapped
void fail(const char *what, int err);
void init_mutex(pthread_mutex_t *m);

// The roles: what main's first argument chooses.
int pairs(int argc, char **argv);
int contend(int argc, char **argv);
int hold(int argc, char **argv);
int recover(int argc, char **argv);
int first(int argc, char **argv);
