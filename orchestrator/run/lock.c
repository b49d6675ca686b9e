/* SPDX-License-Identifier: Apache-2.0 */
#include "run/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/text.h"

static void read_holder(int fd, char *holder, size_t cap)
{
	char text[32];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);

	text[n > 0 ? n : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	snprintf(holder, cap, "another run (pid %s)", text[0] ? text : "unknown");
}

int cairn_lock_try(int *fd, const char *store_path, char *holder, size_t cap, cairn_error *err)
{
	cairn_text path = {0};
	int lock, problem;

	cairn_text_printf(&path, "%s/run.lock", store_path);
	lock = open(cairn_text_get(&path), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	problem = errno;
	cairn_text_free(&path);
	if (lock < 0) {
		cairn_error_errno(
			err, CAIRN_EIO, problem, "cannot open the lock of '%s'", store_path);
		if (problem == EROFS || problem == EACCES)
			cairn_error_hint(err,
				"The store can be read, but not written: see to the permissions of "
				"'%s', and of its file system.",
				store_path);
		return CAIRN_EIO;
	}
	if (flock(lock, LOCK_EX | LOCK_NB) == 0) {
		if (ftruncate(lock, 0) < 0 || dprintf(lock, "%d\n", (int)getpid()) < 0)
			errno = 0; /* a note for people; the lock itself holds */
		*fd = lock;
		return 0;
	}
	problem = errno;
	if (problem == EWOULDBLOCK)
		read_holder(lock, holder, cap);
	close(lock);
	if (problem == EWOULDBLOCK || problem == EINTR)
		return 1;
	return cairn_error_errno(err, CAIRN_EIO, problem, "cannot lock '%s'", store_path);
}
