/* SPDX-License-Identifier: Apache-2.0 */
#include "run/children.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_AT_ONCE 256
#define MAX_ROUNDS  500 /* of a millisecond: one that the kernel cannot kill is left to it */

/* What getdents64(2) fills; opendir() would allocate, and we may be in a signal handler. */
struct entry {
	uint64_t inode;
	int64_t offset;
	unsigned short length;
	unsigned char type;
	char name[];
};

bool cairn_children_adopt(void)
{
	int was = 0;

	prctl(PR_GET_CHILD_SUBREAPER, &was);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	return was;
}

void cairn_children_disown(bool was_adopting)
{
	if (!was_adopting)
		prctl(PR_SET_CHILD_SUBREAPER, 0);
}

/* The numbers in a file of /proc, which is as long as they are many. */
static size_t read_pids(int fd, pid_t *out, size_t cap)
{
	char bytes[1024];
	pid_t pid = 0;
	size_t n = 0;
	ssize_t len;

	while ((len = read(fd, bytes, sizeof(bytes))) > 0) {
		for (ssize_t i = 0; i < len; i++) {
			if (bytes[i] >= '0' && bytes[i] <= '9') {
				pid = pid * 10 + (bytes[i] - '0');
				continue;
			}
			if (pid && n < cap)
				out[n++] = pid;
			pid = 0;
		}
	}
	return n;
}

static size_t children_of_task(int tasks, const char *tid, pid_t *out, size_t cap)
{
	char path[64];
	size_t len = strlen(tid), n;
	int fd;

	if (tid[0] < '0' || tid[0] > '9' || len + sizeof("/children") > sizeof(path))
		return 0;
	memcpy(path, tid, len);
	memcpy(path + len, "/children", sizeof("/children"));
	fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	n = read_pids(fd, out, cap);
	close(fd);
	return n;
}

size_t cairn_children_list(pid_t *out, size_t cap)
{
	_Alignas(struct entry) char bytes[2048];
	int tasks = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = 0;
	long len;

	if (tasks < 0)
		return 0;
	while ((len = syscall(SYS_getdents64, tasks, bytes, sizeof(bytes))) > 0) {
		for (long at = 0; at < len;) {
			const struct entry *entry = (const struct entry *)(bytes + at);

			n += children_of_task(tasks, entry->name, out + n, cap - n);
			at += entry->length;
		}
	}
	close(tasks);
	return n;
}

/* True where there was nobody left to kill. */
static bool kill_once(bool (*is_kept)(pid_t pid, const void *arg), const void *arg)
{
	pid_t pids[MAX_AT_ONCE];
	size_t n = cairn_children_list(pids, MAX_AT_ONCE);
	bool is_over = true;

	for (size_t i = 0; i < n; i++) {
		if (is_kept && is_kept(pids[i], arg))
			continue;
		is_over = false;
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, WNOHANG);
	}
	return is_over;
}

void cairn_children_kill(bool (*is_kept)(pid_t pid, const void *arg), const void *arg)
{
	const struct timespec nap = {.tv_nsec = 1000 * 1000};
	int problem = errno;

	for (int i = 0; i < MAX_ROUNDS && !kill_once(is_kept, arg); i++)
		nanosleep(&nap, NULL);
	errno = problem;
}
