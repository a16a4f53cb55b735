/* C's side of the conversation about POSIX objects and mapped files, as the
 * tutorials write it: a line in, a line out.
 *
 *	create NAME SIZE MODE   shm_open, O_CREAT | O_EXCL | O_RDWR; ftruncate; mmap
 *	open NAME               shm_open, O_RDWR; mmap of what fstat says; the answer is the size
 *	look NAME               the same, O_RDONLY
 *	file PATH SIZE MODE     open, O_CREAT | O_EXCL | O_RDWR; ftruncate; mmap
 *	map PATH                open, O_RDWR; mmap; the answer is the size
 *	put OFF BYTE, get OFF
 *	write OFF BYTE, read OFF  with pwrite and pread
 *	sync                    msync, MS_SYNC
 *	unmap                   munmap and close
 *	mode                    fstat's, in octal
 *	unlink NAME             shm_unlink
 *
 * The answer is numbers, or the name of errno.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int fd = -1;
static unsigned char *mem;
static size_t len;

static void answer(int failed, long n)
{
	if (failed)
		puts(strerrorname_np(errno));
	else
		printf("%ld\n", n);
}

/* sized gives a new object its size, if there is one to give, and maps it all. */
static void sized(long size, int prot)
{
	struct stat st;

	if (fd < 0 || (size > 0 && ftruncate(fd, size)) || fstat(fd, &st)) {
		answer(1, 0);
		return;
	}
	len = st.st_size;
	mem = mmap(NULL, len, prot, MAP_SHARED, fd, 0);
	answer(mem == MAP_FAILED, len);
}

int main(void)
{
	const int rw = PROT_READ | PROT_WRITE;
	char line[5000], cmd[32], name[4096];
	unsigned char byte;
	unsigned mode;
	long size, off, n;

	umask(0);
	while (fgets(line, sizeof line, stdin)) {
		if (sscanf(line, "create %4095s %ld %o", name, &size, &mode) == 3) {
			fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, mode);
			sized(size, rw);
		} else if (sscanf(line, "open %4095s", name) == 1) {
			fd = shm_open(name, O_RDWR, 0);
			sized(0, rw);
		} else if (sscanf(line, "look %4095s", name) == 1) {
			fd = shm_open(name, O_RDONLY, 0);
			sized(0, PROT_READ);
		} else if (sscanf(line, "file %4095s %ld %o", name, &size, &mode) == 3) {
			fd = open(name, O_CREAT | O_EXCL | O_RDWR, mode);
			sized(size, rw);
		} else if (sscanf(line, "map %4095s", name) == 1) {
			fd = open(name, O_RDWR);
			sized(0, rw);
		} else if (sscanf(line, "put %ld %ld", &off, &n) == 2) {
			mem[off] = n;
			answer(0, 0);
		} else if (sscanf(line, "get %ld", &off) == 1) {
			answer(0, mem[off]);
		} else if (sscanf(line, "write %ld %ld", &off, &n) == 2) {
			byte = n;
			answer(pwrite(fd, &byte, 1, off) != 1, 0);
		} else if (sscanf(line, "read %ld", &off) == 1) {
			n = pread(fd, &byte, 1, off);
			answer(n != 1, byte);
		} else if (sscanf(line, "unlink %4095s", name) == 1) {
			answer(shm_unlink(name), 0);
		} else if (sscanf(line, "%31s", cmd) != 1) {
			puts("what?");
		} else if (!strcmp(cmd, "sync")) {
			answer(msync(mem, len, MS_SYNC), 0);
		} else if (!strcmp(cmd, "unmap")) {
			answer(munmap(mem, len) || close(fd), 0);
		} else if (!strcmp(cmd, "mode")) {
			struct stat st;
			if (fstat(fd, &st))
				answer(1, 0);
			else
				printf("%o\n", st.st_mode & 07777);
		} else {
			puts("what?");
		}
		fflush(stdout);
	}
	return 0;
}
