/* C's side of the conversation about System V segments: a line in, a line out.
 *
 *	ftok ID PATH          ftok(PATH, ID)
 *	create KEY SIZE MODE  shmget, IPC_CREAT | IPC_EXCL; the answer is the identifier
 *	find KEY              shmget of an existing one
 *	attach ID             shmat, at an address of the kernel's choice
 *	put OFF BYTE, get OFF
 *	stat ID               size, attachments, mode in octal, as IPC_STAT has them
 *	detach
 *	remove ID
 *
 * The answer is numbers, keys in hexadecimal, or the name of errno.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/shm.h>

static void answer(int failed, long n)
{
	if (failed)
		puts(strerrorname_np(errno));
	else
		printf("%ld\n", n);
}

int main(void)
{
	char line[5000], cmd[32], path[4096];
	unsigned char *mem = NULL;
	unsigned mode;
	unsigned long size;
	int key, id, off, byte;

	while (fgets(line, sizeof line, stdin)) {
		if (sscanf(line, "ftok %i %4095[^\n]", &id, path) == 2) {
			printf("0x%08x\n", (unsigned)ftok(path, id));
		} else if (sscanf(line, "create %x %lu %o", (unsigned *)&key, &size, &mode) == 3) {
			id = shmget(key, size, IPC_CREAT | IPC_EXCL | mode);
			answer(id < 0, id);
		} else if (sscanf(line, "find %x", (unsigned *)&key) == 1) {
			id = shmget(key, 0, 0);
			answer(id < 0, id);
		} else if (sscanf(line, "attach %d", &id) == 1) {
			mem = shmat(id, NULL, 0);
			answer(mem == (void *)-1, 0);
		} else if (sscanf(line, "put %d %d", &off, &byte) == 2) {
			mem[off] = byte;
			answer(0, 0);
		} else if (sscanf(line, "get %d", &off) == 1) {
			answer(0, mem[off]);
		} else if (sscanf(line, "stat %d", &id) == 1) {
			struct shmid_ds d;
			if (shmctl(id, IPC_STAT, &d))
				answer(1, 0);
			else
				printf("%zu %lu %o\n", d.shm_segsz, (unsigned long)d.shm_nattch, d.shm_perm.mode);
		} else if (sscanf(line, "%31s", cmd) == 1 && !strcmp(cmd, "detach")) {
			answer(shmdt(mem), 0);
		} else if (sscanf(line, "remove %d", &id) == 1) {
			answer(shmctl(id, IPC_RMID, NULL), 0);
		} else {
			puts("what?");
		}
		fflush(stdout);
	}
	return 0;
}
