/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - the command's process, from start to end.
 *
 * It stays in the process group of the stage, which the runner ends as a whole: so nothing
 * that a command starts outlives its attempt. Its stderr passes through us to the log, and
 * the last lines are kept for the error. While it runs, step() is called twice a second:
 * a heartbeat, and the way to hear that the run is to stop.
 */
#include "exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/text.h"

#define HEARTBEAT_MS  500
#define KEPT          600 /* bytes of stderr for the error */
#define FIRST_NOT_STD 3

extern char **environ;

struct child {
	pid_t pid;
	int fd;              /* reads its stderr; -1 once that is closed */
	char tail[KEPT + 1]; /* the end of what it wrote there */
	size_t n_tail;
};

static bool is_named(const char *list, const char *name, size_t len)
{
	for (const char *s = list; *s;) {
		size_t n = strcspn(s, " \t\n,");

		if (n == len && memcmp(s, name, len) == 0)
			return true;
		s += n;
		s += strspn(s, " \t\n,");
	}
	return false;
}

/* PATH, HOME and the declared ones, of our own; entries are borrowed. NULL: no memory. */
static char **make_environment(const char *declared)
{
	size_t n = 0, kept = 0;
	char **out;

	while (environ[n])
		n++;
	out = cairn_alloc(n + 1, sizeof(*out));
	for (size_t i = 0; i < n && out; i++) {
		size_t len = strcspn(environ[i], "=");

		if (is_named("PATH HOME", environ[i], len) || is_named(declared, environ[i], len))
			out[kept++] = environ[i];
	}
	return out;
}

static int spawn(const struct exec_work *work, struct child *child, int write_end)
{
	char name[] = "sh", option[] = "-c";
	char *argv[] = {name, option, cairn_strdup(work->params->command), NULL};
	char **env = make_environment(work->params->env);
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int rc = ENOMEM;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
	if (!env || !argv[2])
		goto out;
	sigemptyset(&none);
	sigfillset(&all);
	posix_spawnattr_setsigmask(&attributes, &none);
	posix_spawnattr_setsigdefault(&attributes, &all);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	rc = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	if (rc == 0)
		rc = posix_spawn_file_actions_adddup2(&actions, write_end, 2);
	/* Our store, our wire and whatever else is open are none of its business. */
	if (rc == 0)
		rc = posix_spawn_file_actions_addclosefrom_np(&actions, FIRST_NOT_STD);
	if (rc == 0)
		rc = posix_spawn_file_actions_addchdir_np(&actions, work->directory);
	if (rc == 0)
		rc = posix_spawn(&child->pid, "/bin/sh", &actions, &attributes, argv, env);
out:
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	free(argv[2]);
	free(env);
	if (rc)
		return work->host->fail(
			work->run, CAIRN_EIO, "cannot start /bin/sh: %s", strerror(rc));
	return 0;
}

/* Passes on what it wrote and keeps the end. */
static void take_stderr(struct child *child)
{
	char bytes[4096];
	ssize_t n = read(child->fd, bytes, sizeof(bytes));
	size_t len, over;

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		close(child->fd);
		child->fd = -1;
		return;
	}
	len = (size_t)n;
	fwrite(bytes, 1, len, stderr); /* the stage's log */
	if (len > KEPT) {
		memcpy(child->tail, bytes + len - KEPT, KEPT);
		child->n_tail = KEPT;
		return;
	}
	over = child->n_tail + len > KEPT ? child->n_tail + len - KEPT : 0;
	memmove(child->tail, child->tail + over, child->n_tail - over);
	memcpy(child->tail + child->n_tail - over, bytes, len);
	child->n_tail += len - over;
}

/* Waits a moment: for stderr, or where that is closed, for time to pass. */
static void wait_a_moment(struct child *child, int ms)
{
	struct pollfd pollfd = {.fd = child->fd, .events = POLLIN};

	if (poll(&pollfd, 1, ms) > 0) /* a negative fd is passed over */
		take_stderr(child);
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Lives until the command ended or the run is to stop. The clock decides only how often we
 * ask; nothing of it reaches the result. */
static int wait_for(const struct exec_work *work, struct child *child, int *status)
{
	const cairn_progress progress = {.total = 1, .phase = "command"};
	double beat = seconds_now();
	int ms = 1, answer;

	for (;;) {
		pid_t ended = waitpid(child->pid, status, WNOHANG);

		if (ended == child->pid)
			return 0;
		if (ended < 0 && errno != EINTR)
			return work->host->fail(work->run, CAIRN_EIO,
				"cannot wait for the command: %s", strerror(errno));
		wait_a_moment(child, child->fd < 0 ? ms : 50);
		ms = ms < 50 ? ms * 2 : 50;
		if (seconds_now() - beat < HEARTBEAT_MS * 1e-3)
			continue;
		beat = seconds_now();
		answer = work->host->step(work->run, &progress);
		if (answer < 0 || answer == CAIRN_STOP) {
			kill(child->pid, SIGKILL); /* the runner ends what it started */
			while (waitpid(child->pid, status, 0) < 0 && errno == EINTR)
				;
			return answer < 0 ? answer : CAIRN_STOPPED;
		}
	}
}

/* What is left in the pipe. A process that the command left behind may hold it open. */
static void drain(struct child *child)
{
	struct pollfd pollfd = {.fd = child->fd, .events = POLLIN};

	for (int i = 0; i < 1024 && child->fd >= 0 && poll(&pollfd, 1, 0) > 0; i++)
		take_stderr(child);
	if (child->fd >= 0)
		close(child->fd);
	child->fd = -1;
}

/* The last lines, for an error's detail: whole lines, joined by " | ". */
static void put_last_lines(cairn_error *err, struct child *child)
{
	char *text = child->tail, *end;
	cairn_text joined = {0};

	text[child->n_tail] = '\0';
	if (child->n_tail == KEPT && strchr(text, '\n'))
		text = strchr(text, '\n') + 1;
	for (; *text; text = end + (*end == '\n')) {
		end = text + strcspn(text, "\n");
		if (end > text)
			cairn_text_printf(&joined, "%s%.*s", joined.len ? " | " : "",
				(int)(end - text), text);
	}
	if (joined.len)
		cairn_error_detail(err, "%s", cairn_text_get(&joined));
	cairn_text_free(&joined);
}

static int judge(const struct exec_work *work, struct child *child, int status)
{
	cairn_error err = {0};
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;

	if (code == 0)
		return 0;
	if (code < 0)
		cairn_error_set(&err, CAIRN_ECRASH, "the command died of signal %d (%s)",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	else
		cairn_error_set(&err, CAIRN_ECRASH, "the command ended with status %d", code);
	put_last_lines(&err, child);
	if (code == 126 || code == 127)
		cairn_error_hint(&err, "The shell did not find a program, or may not run it: is "
				       "it on PATH?");
	else
		cairn_error_hint(&err, "The stage's log has all that it printed: `cairn log`.");
	return work->host->fail_with(work->run, &err);
}

int exec_run_command(const struct exec_work *work)
{
	struct child child = {.fd = -1};
	int fds[2], status = 0, rc;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return work->host->fail(
			work->run, CAIRN_EIO, "cannot make a pipe: %s", strerror(errno));
	child.fd = fds[0];
	fcntl(child.fd, F_SETFL, O_NONBLOCK);
	rc = spawn(work, &child, fds[1]);
	close(fds[1]);
	if (rc == 0)
		rc = wait_for(work, &child, &status);
	drain(&child);
	return rc == 0 ? judge(work, &child, status) : rc;
}
