/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe.c - the asking side: a child with three memory files as its stdin, stdout and
 * stderr, so that neither side can block on the other; or one that answers over a socket.
 */
#include "run/plugin/describe.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"
#include "run/spawn.h"
#include "run/wire.h"

#define PATIENCE_MS 20000
#define LEAVING_MS  2000 /* for a child whose socket has closed */
#define MAX_ANSWER  (4u << 20)

/* How long a child may take. Test only: the environment variable CAIRN_TEST_PATIENCE, in ms. */
static int patience_ms(void)
{
	const char *wanted = getenv("CAIRN_TEST_PATIENCE");
	uint64_t ms;

	return wanted && cairn_parse_u64(wanted, &ms) && ms < PATIENCE_MS ? (int)ms : PATIENCE_MS;
}

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

	while (text && len && text[len - 1] == '\n')
		text[--len] = '\0';
	if (text && len)
		cairn_error_detail(err, "it said: %s", len > 600 ? text + len - 600 : text);
	free(text);
}

static int wait_for(pid_t pid, int *status, int patience, const char *path, cairn_error *err)
{
	struct pollfd poll_pid = {.fd = pidfd_open(pid, 0), .events = POLLIN};
	int n = 0;

	if (poll_pid.fd >= 0) {
		do {
			n = poll(&poll_pid, 1, patience);
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
			"'%s' gave no description within %g seconds", path, patience / 1000.0);
	return 0;
}

/* It died of a signal; its last words are in the memory file. */
static int tell_death(const char *path, int signal, int words, cairn_error *err)
{
	char who[320];

	snprintf(who, sizeof(who), "loading '%.240s': the process", path);
	cairn_spawn_death(err, who, signal);
	add_last_words(err, words);
	return CAIRN_ECRASH;
}

/* Runs the child; its streams are in fds[0..2]. */
static int run_child(const char *path, const char *action, const int fds[3], cairn_error *err)
{
	const char *const argv[] = {"cairn", "--describe", path, action, NULL};
	cairn_spawn how = {.argv = argv, .fds = {fds[0], fds[1], fds[2], -1}};
	int status = 0, rc;
	pid_t pid;

	rc = cairn_spawn_self(&pid, &how, err);
	if (rc == 0)
		rc = wait_for(pid, &status, patience_ms(), path, err);
	if (rc < 0)
		return rc;
	return WIFSIGNALED(status) ? tell_death(path, WTERMSIG(status), fds[2], err) : 0;
}

/* Is it an error document? Then its code. */
static int error_of(const json_t *json, cairn_error *err)
{
	json_t *error = json_object_get(json, "error");

	if (!error)
		return 0;
	cairn_wire_error_of(err, error);
	return err && err->code ? err->code : CAIRN_EABI;
}

static int read_answer(json_t **out, const char *path, const int fds[3], cairn_error *err)
{
	size_t len = 0;
	char *text = read_all(fds[1], &len);
	json_t *json = NULL;
	cairn_error why = {0};
	int rc = 0;

	if (!text || cairn_json_parse(&json, text, len, path, &why) < 0 || !json_is_object(json)) {
		rc = cairn_error_set(err, CAIRN_EABI, "no description came from '%s'", path);
		add_last_words(err, fds[2]);
		goto out;
	}
	rc = error_of(json, err);
	if (rc == 0) {
		*out = json;
		json = NULL;
	}
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

/* ---- many questions --------------------------------------------------------------------- */

struct cairn_describer {
	const char *path;
	pid_t pid; /* 0: it has ended */
	int fd;    /* ours of the socket pair */
	int words; /* what it says on stdout and stderr */
};

static int start(cairn_describer *describer, cairn_error *err)
{
	const char *const argv[] = {"cairn", "--describe", describer->path, "serve", NULL};
	const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
	cairn_spawn how = {.argv = argv, .own_group = true};
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC), pair[2] = {-1, -1}, rc;

	describer->words = memfd_create("stderr", MFD_CLOEXEC);
	if (null < 0 || describer->words < 0 ||
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		rc = cairn_error_errno(
			err, CAIRN_EIO, errno, "cannot make a wire for '%s'", describer->path);
		goto out;
	}
	describer->fd = pair[0];
	(void)setsockopt(describer->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	how.fds[0] = null;
	how.fds[1] = how.fds[2] = describer->words;
	how.fds[3] = pair[1];
	rc = cairn_spawn_self(&describer->pid, &how, err);
out:
	if (null >= 0)
		close(null);
	if (pair[1] >= 0)
		close(pair[1]);
	return rc;
}

int cairn_describer_open(cairn_describer **out, const char *path, cairn_error *err)
{
	cairn_describer *describer = cairn_alloc(1, sizeof(*describer));
	int rc;

	if (!describer)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory asking '%s'", path);
	*describer = (cairn_describer){.path = path, .fd = -1, .words = -1};
	rc = start(describer, err);
	if (rc < 0) {
		cairn_describer_close(describer);
		return rc;
	}
	*out = describer;
	return 0;
}

/* No answer came: why? */
static int tell_end(cairn_describer *describer, cairn_error *err)
{
	int status = 0, rc = wait_for(describer->pid, &status, LEAVING_MS, describer->path, err);

	describer->pid = 0;
	if (rc < 0)
		return rc;
	if (WIFSIGNALED(status))
		return tell_death(describer->path, WTERMSIG(status), describer->words, err);
	rc = cairn_error_set(err, CAIRN_EABI, "'%s' ended without an answer", describer->path);
	add_last_words(err, describer->words);
	return rc;
}

int cairn_describer_ask(cairn_describer *describer, json_t **out, const char *action,
	const json_t *request, cairn_error *err)
{
	json_t *frame = json_pack("{s:s, s:O}", "action", action, "request", request);
	json_t *answer = NULL;
	int rc;

	if (!frame || !describer->pid) {
		json_decref(frame);
		return cairn_error_set(err, CAIRN_EABI, "nobody answers for '%s'", describer->path);
	}
	rc = cairn_wire_send(describer->fd, frame, NULL);
	json_decref(frame);
	if (rc == 0)
		rc = cairn_wire_receive(&answer, describer->fd, MAX_ANSWER, NULL);
	if (rc != 0)
		return tell_end(describer, err);
	rc = error_of(answer, err);
	if (rc < 0)
		json_decref(answer);
	else
		*out = answer;
	return rc;
}

void cairn_describer_close(cairn_describer *describer)
{
	int status;

	if (!describer)
		return;
	if (describer->fd >= 0)
		close(describer->fd); /* it leaves when it sees that */
	if (describer->pid && wait_for(describer->pid, &status, LEAVING_MS, "", NULL) < 0)
		status = 0;
	if (describer->words >= 0)
		close(describer->words);
	free(describer);
}
