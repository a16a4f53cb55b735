// The C side of descriptor passing, as the tutorials write it: memfd_create,
// sendmsg and recvmsg with SCM_RIGHTS and one byte. Descriptor 3 is a socket,
// or the object itself. Each line of input is a command; each is answered by
// a line.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE 8192

static int fd = -1;
static char *mem;

static int fail(const char *what) { return printf("%s: %s\n", what, strerror(errno)); }

static int send_fd(int sock, int fd, int bytes) {
	char byte = 'F';
	struct iovec iov = {&byte, 1};
	union { struct cmsghdr align; char buf[CMSG_SPACE(sizeof(int))]; } u = {{0}};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = bytes, .msg_control = u.buf, .msg_controllen = sizeof u.buf};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	return sendmsg(sock, &msg, 0) == bytes ? 0 : -1;
}

static int recv_fd(int sock) {
	char byte;
	struct iovec iov = {&byte, 1};
	union { struct cmsghdr align; char buf[CMSG_SPACE(sizeof(int))]; } u = {{0}};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = u.buf, .msg_controllen = sizeof u.buf};
	if (recvmsg(sock, &msg, 0) != 1)
		return -1;
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(int)) || msg.msg_flags)
		return errno = EBADMSG, -1;
	int fd;
	memcpy(&fd, CMSG_DATA(c), sizeof(int));
	return fd;
}

// map maps the object, writable or read-only, and says its size.
static int map(int prot) {
	struct stat st;
	if (fstat(fd, &st))
		return fail("fstat");
	mem = mmap(NULL, st.st_size, prot, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return fail("mmap");
	return printf("%ld\n", (long)st.st_size);
}

// make makes a memfd, as the tutorials do, with seals or without.
static int make(int seals) {
	fd = memfd_create("from-c", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return fail("memfd_create");
	if (ftruncate(fd, SIZE))
		return fail("ftruncate");
	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return fail("mmap");
	if (seals && fcntl(fd, F_ADD_SEALS, seals))
		return fail("F_ADD_SEALS");
	return printf("made\n");
}

int main(void) {
	char line[256];
	setvbuf(stdout, NULL, _IOLBF, 0);
	while (fgets(line, sizeof line, stdin)) {
		char *arg = strchr(line, ' ');
		line[strcspn(line, "\n")] = 0;
		if (arg)
			*arg++ = 0;
		if (!strcmp(line, "make"))
			make(atoi(arg));
		else if (!strcmp(line, "send"))
			send_fd(3, fd, arg ? atoi(arg) : 1) ? fail("sendmsg") : printf("sent\n");
		else if (!strcmp(line, "recv"))
			(fd = recv_fd(3)) < 0 ? fail("recvmsg") : printf("received\n");
		else if (!strcmp(line, "inherit"))
			printf("fd %d\n", fd = 3);
		else if (!strcmp(line, "map"))
			map(atoi(arg));
		else if (!strcmp(line, "write"))
			printf("%s\n", strcpy(mem, arg));
		else if (!strcmp(line, "read"))
			printf("%s\n", mem);
		else if (!strcmp(line, "seals"))
			printf("%d\n", fcntl(fd, F_GET_SEALS));
		else
			printf("unknown command %s\n", line);
	}
}
