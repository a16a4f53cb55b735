/* glibc's side of the conversation about semaphores: a line in, a line out.
 *
 *	size               sizeof(sem_t)
 *	map                use descriptor 3, at its start
 *	init N             sem_init, process-shared
 *	open NAME          sem_open of an existing one, and use that
 *	create NAME N      sem_open, O_CREAT | O_EXCL, mode 0600
 *	unlink NAME
 *	post, wait, trywait, value
 *	timedwait MS
 *
 * The answer is a number, or the name of errno.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

static sem_t *s;

static void answer(int failed, int n)
{
	if (failed)
		puts(strerrorname_np(errno));
	else
		printf("%d\n", n);
	fflush(stdout);
}

int main(void)
{
	char line[512], cmd[32], name[300];
	while (fgets(line, sizeof line, stdin)) {
		int n = 0;
		name[0] = 0;
		if (sscanf(line, "%31s %d", cmd, &n) < 2)
			sscanf(line, "%31s %299s %d", cmd, name, &n);
		if (!strcmp(cmd, "size")) {
			answer(0, sizeof(sem_t));
		} else if (!strcmp(cmd, "map")) {
			s = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 3, 0);
			answer(s == MAP_FAILED, 0);
		} else if (!strcmp(cmd, "init")) {
			answer(sem_init(s, 1, n), 0);
		} else if (!strcmp(cmd, "open")) {
			s = sem_open(name, 0);
			answer(s == SEM_FAILED, 0);
		} else if (!strcmp(cmd, "create")) {
			s = sem_open(name, O_CREAT | O_EXCL, 0600, n);
			answer(s == SEM_FAILED, 0);
		} else if (!strcmp(cmd, "unlink")) {
			answer(sem_unlink(name), 0);
		} else if (!strcmp(cmd, "post")) {
			answer(sem_post(s), 0);
		} else if (!strcmp(cmd, "wait")) {
			answer(sem_wait(s), 0);
		} else if (!strcmp(cmd, "trywait")) {
			answer(sem_trywait(s), 0);
		} else if (!strcmp(cmd, "timedwait")) {
			struct timespec t;
			clock_gettime(CLOCK_REALTIME, &t);
			t.tv_sec += n / 1000;
			t.tv_nsec += n % 1000 * 1000000L;
			if (t.tv_nsec >= 1000000000L)
				t.tv_sec++, t.tv_nsec -= 1000000000L;
			answer(sem_timedwait(s, &t), 0);
		} else if (!strcmp(cmd, "value")) {
			int v, e = sem_getvalue(s, &v);
			answer(e, v);
		} else {
			printf("what is %s?\n", cmd);
			fflush(stdout);
		}
	}
	return 0;
}
