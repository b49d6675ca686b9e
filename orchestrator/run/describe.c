/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe.c - the asking side: a child with three memory files as its stdin, stdout and
 * stderr, so that neither side can block on the other.
 */
#include "run/describe.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "run/spawn.h"
#include "run/wire.h"

#define PATIENCE_MS 20000
#define MAX_ANSWER  (4u << 20)

/* The whole memory file as a NUL-terminated string; NULL where it is too large. */
static char *read_all(int fd, size_t *len)
{
	off_t size = lseek(fd, 0, SEEK_END);
	char *text;

	if (size < 0 || size > (off_t)MAX_ANSWER)
		return NULL;
	text = cairn_alloc((size_t)size + 1, 1);
	if (!text || pread(fd, text, (size_t)size, 0) != (ssize_t)size) {
		free(text);
		return NULL;
	}
	*len = (size_t)size;
	return text;
}

/* The end of what the child said on stderr: often the reason of its death. */
static void add_last_words(cairn_error *err, int fd)
{
	size_t len = 0;
	char *text = read_all(fd, &len);

	if (text && len)
		cairn_error_detail(err, "it said: %s", len > 600 ? text + len - 600 : text);
	free(text);
}

static int wait_for(pid_t pid, int *status, const char *path, cairn_error *err)
{
	struct pollfd poll_pid = {.fd = pidfd_open(pid, 0), .events = POLLIN};
	int n = 0;

	if (poll_pid.fd >= 0) {
		do {
			n = poll(&poll_pid, 1, PATIENCE_MS);
		} while (n < 0 && errno == EINTR);
		close(poll_pid.fd);
	}
	if (n <= 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, status, 0) < 0) {
		if (errno != EINTR)
			return cairn_error_errno(err, CAIRN_EIO, errno,
				"lost the process that describes '%s'", path);
	}
	if (n <= 0)
		return cairn_error_set(err, CAIRN_ETIMEOUT,
			"'%s' gave no description within %d seconds", path, PATIENCE_MS / 1000);
	return 0;
}

/* Runs the child; its streams are in fds[0..2]. */
static int run_child(const char *path, const char *action, const int fds[3], cairn_error *err)
{
	const char *const argv[] = {"cairn", "--describe", path, action, NULL};
	cairn_spawn how = {.argv = argv, .fds = {fds[0], fds[1], fds[2], -1}};
	int status = 0, rc;
	pid_t pid;
	char who[320];

	rc = cairn_spawn_self(&pid, &how, err);
	if (rc == 0)
		rc = wait_for(pid, &status, path, err);
	if (rc < 0)
		return rc;
	if (WIFSIGNALED(status)) {
		snprintf(who, sizeof(who), "loading the plugin '%.240s': the process", path);
		cairn_spawn_death(err, who, WTERMSIG(status));
		add_last_words(err, fds[2]);
		return CAIRN_ECRASH;
	}
	return 0;
}

static int read_answer(json_t **out, const char *path, const int fds[3], cairn_error *err)
{
	size_t len = 0;
	char *text = read_all(fds[1], &len);
	json_t *json = NULL, *error;
	cairn_error why = {0};
	int rc = 0;

	if (!text || cairn_json_parse(&json, text, len, path, &why) < 0 || !json_is_object(json)) {
		rc = cairn_error_set(err, CAIRN_EABI, "no description came from '%s'", path);
		add_last_words(err, fds[2]);
		goto out;
	}
	error = json_object_get(json, "error");
	if (error) {
		cairn_wire_error_of(err, error);
		rc = err && err->code ? err->code : CAIRN_EABI;
		goto out;
	}
	*out = json;
	json = NULL;
out:
	json_decref(json);
	free(text);
	return rc;
}

int cairn_describe_ask(
	json_t **out, const char *path, const char *action, const json_t *request, cairn_error *err)
{
	static const char *const names[] = {"stdin", "stdout", "stderr"};
	int fds[3] = {-1, -1, -1};
	char *text = NULL;
	int rc = 0;

	for (int i = 0; i < 3; i++) {
		fds[i] = memfd_create(names[i], MFD_CLOEXEC);
		if (fds[i] < 0) {
			rc = cairn_error_errno(
				err, CAIRN_EIO, errno, "cannot make a memory file for '%s'", path);
			goto out;
		}
	}
	if (request) {
		text = cairn_json_canonical(request);
		if (!text || pwrite(fds[0], text, strlen(text), 0) != (ssize_t)strlen(text)) {
			rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory asking '%s'", path);
			goto out;
		}
	}
	rc = run_child(path, action, fds, err);
	if (rc == 0)
		rc = read_answer(out, path, fds, err);
out:
	free(text);
	for (int i = 0; i < 3; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
	}
	return rc;
}
