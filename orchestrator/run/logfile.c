/* SPDX-License-Identifier: Apache-2.0 */
#include "run/logfile.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"

static bool read_at(int fd, char *out, size_t len, off_t at)
{
	while (len) {
		ssize_t n = pread(fd, out, len, at);

		if (n <= 0)
			return false;
		out += n;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

static void append(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n <= 0)
			return;
		bytes += n;
		len -= (size_t)n;
	}
}

/* The file is open for appending, as the stage has it. */
static void trim(int fd, off_t size, char *tail, uint64_t *n_cut)
{
	char notice[128];
	const char *from;
	size_t len;

	if (!read_at(fd, tail, CAIRN_LOG_TAIL_BYTES, size - CAIRN_LOG_TAIL_BYTES) ||
		ftruncate(fd, CAIRN_LOG_HEAD_BYTES) < 0)
		return;
	from = memchr(tail, '\n', CAIRN_LOG_TAIL_BYTES); /* whole lines, if there are any */
	from = from ? from + 1 : tail;
	len = CAIRN_LOG_TAIL_BYTES - (size_t)(from - tail);
	*n_cut += (uint64_t)size - CAIRN_LOG_HEAD_BYTES - len;
	snprintf(notice, sizeof(notice),
		"\ncairn: the log is too long; %llu bytes or more are left out here\n",
		(unsigned long long)*n_cut);
	append(fd, notice, strlen(notice));
	append(fd, from, len);
}

void cairn_log_trim(const char *path, uint64_t *n_cut)
{
	struct stat st;
	char *tail;
	int fd;

	if (stat(path, &st) < 0 || st.st_size <= CAIRN_LOG_MAX_BYTES)
		return;
	fd = open(path, O_RDWR | O_APPEND | O_CLOEXEC);
	tail = cairn_alloc(CAIRN_LOG_TAIL_BYTES, 1);
	if (fd >= 0 && tail)
		trim(fd, st.st_size, tail, n_cut);
	free(tail);
	if (fd >= 0)
		close(fd);
}
