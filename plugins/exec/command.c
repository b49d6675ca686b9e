/* SPDX-License-Identifier: Apache-2.0 */
/*
 * command.c - the command's process, from start to end.
 *
 * It stays in the process group of the stage, which the runner ends as a whole: so nothing
 * that a command starts outlives its attempt. Its stderr passes through us to the log, and
 * the last lines are kept for the error. While it runs, the host hears of us twice a second:
 * a heartbeat, and the way to learn that the run is to stop.
 *
 * A command that is to stop gets a file, ask/stop, and a signal; then `grace` seconds, in which it
 * may write a checkpoint. We are the reaper of orphans: where the shell dies of the signal at once
 * and its child is still writing, the child is waited for.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "exec.h"

#define HEARTBEAT_S   0.5
#define TICK_MS       50  /* where the kernel cannot tell of the end */
#define KEPT          600 /* bytes of stderr for the error */
#define FIRST_NOT_STD 3

extern char **environ;

struct child {
	pid_t pid;
	int end;             /* readable once it has ended (pidfd); -1: the kernel has none */
	int fd;              /* reads its stderr; -1 once that is closed */
	char tail[KEPT + 1]; /* the end of what it wrote there */
	size_t n_tail;
	double deadline; /* of the grace; 0: not asked to stop */
};

/* ---- environment -------------------------------------------------------------------------- */

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

/* Strings of its own and what `environ` lends; NULL-terminated. */
struct environment {
	char **strings;
	char **own;
	size_t n, n_own, n_inherited;
};

static void free_environment(struct environment *e)
{
	for (size_t i = 0; i < e->n_own; i++)
		free(e->own[i]);
	free(e->own);
	free(e->strings);
}

/* Takes the text over. */
static bool add_own(struct environment *e, char *take_text)
{
	if (!take_text)
		return false;
	e->own[e->n_own++] = take_text;
	e->strings[e->n++] = take_text;
	return true;
}

static bool add_text(
	struct environment *e, const char *name, const char *directory, const char *value)
{
	cairn_text text = {0};

	cairn_text_printf(&text, "%s=%s%s%s", name, directory, directory[0] ? "/" : "", value);
	if (text.failed)
		cairn_text_free(&text);
	return add_own(e, text.data);
}

static bool add_ours(struct environment *e, const struct exec_work *work)
{
	char number[24];
	bool ok = add_text(e, "CAIRN_EVENTS", work->directory, "events") &&
		  add_text(e, "CAIRN_ASK", work->directory, "ask");

	/* Below 2^31: what every library takes as a seed. */
	snprintf(number, sizeof(number), "%llu",
		(unsigned long long)(work->host->rng_key(work->run, "exec") >> 33));
	ok = ok && add_text(e, "CAIRN_SEED", "", number);
	if (!work->has_resume)
		return ok;
	snprintf(number, sizeof(number), "%llu", (unsigned long long)work->resumed);
	return ok && add_text(e, "CAIRN_RESUME", work->directory, "resume") &&
	       add_text(e, "CAIRN_RESUME_STEP", "", number);
}

/* PATH, HOME, the declared ones of our own, those that the workflow sets, and the protocol's. */
static bool make_environment(struct environment *e, const struct exec_work *work)
{
	const char *set = work->params->set;
	size_t n = 0, n_set = 0;
	char **names = exec_split_names(set, &n_set);
	bool ok = names != NULL;

	while (environ[n])
		n++;
	e->strings = cairn_alloc(n + n_set + 8, sizeof(*e->strings));
	e->own = cairn_alloc(n_set + 8, sizeof(*e->own));
	ok = ok && e->strings && e->own;
	for (size_t i = 0; i < n && ok; i++) {
		size_t len = strcspn(environ[i], "=");

		if (is_named("PATH HOME CUDA_VISIBLE_DEVICES", environ[i], len) ||
			is_named(work->params->env, environ[i], len))
			e->strings[e->n++] = environ[i];
	}
	for (size_t i = 0; i < n_set && ok; i++)
		ok = add_own(e, cairn_strdup(names[i]));
	exec_free_names(names);
	return ok && add_ours(e, work);
}

/* ---- start -------------------------------------------------------------------------------- */

static int spawn_with(const struct exec_work *work, struct child *child, int write_end,
	char *const *argv, char *const *env)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int rc;

	posix_spawn_file_actions_init(&actions);
	posix_spawnattr_init(&attributes);
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
	posix_spawnattr_destroy(&attributes);
	posix_spawn_file_actions_destroy(&actions);
	return rc;
}

static int spawn(const struct exec_work *work, struct child *child, int write_end)
{
	char name[] = "sh", option[] = "-c";
	char *argv[] = {name, option, cairn_strdup(work->params->command), NULL};
	struct environment env = {0};
	int rc = ENOMEM;

	if (argv[2] && make_environment(&env, work))
		rc = spawn_with(work, child, write_end, argv, env.strings);
	free_environment(&env);
	free(argv[2]);
	if (rc)
		return work->host->fail(
			work->run, CAIRN_EIO, "cannot start /bin/sh: %s", strerror(rc));
	child->end = (int)syscall(SYS_pidfd_open, child->pid, 0);
	return 0;
}

/* ---- listening ---------------------------------------------------------------------------- */

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

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Until something was written, the command ended, or some time passed. A negative descriptor is
 * passed over. */
static int listen_for(struct exec_work *work, struct child *child, double seconds)
{
	struct pollfd fds[] = {
		{.fd = child->fd, .events = POLLIN},
		{.fd = work->events, .events = POLLIN},
		{.fd = child->end, .events = POLLIN},
	};
	int ms = seconds > 0 ? (int)(seconds * 1e3) + 1 : 0;

	if (child->end < 0 && ms > TICK_MS)
		ms = TICK_MS;
	if (poll(fds, CAIRN_COUNT(fds), ms) <= 0)
		return 0;
	if (fds[0].revents)
		take_stderr(child);
	return fds[1].revents ? exec_events_read(work) : 0;
}

/* ---- the end ------------------------------------------------------------------------------ */

/* To everything that runs here: we are told what it means already, and the shell does not pass
 * signals on. */
static void send_stop(const struct exec_work *work, struct child *child)
{
	static const int signals[] = {
		[EXEC_SIGNAL_TERM] = SIGTERM, [EXEC_SIGNAL_INT] = SIGINT, [EXEC_SIGNAL_NONE] = 0};
	struct sigaction ignore = {.sa_handler = SIG_IGN}, old;
	int signal = signals[work->params->stop_signal];

	child->deadline = seconds_now() + work->params->grace;
	if (!signal)
		return;
	sigaction(signal, &ignore, &old);
	if (getpgrp() == getpid()) /* the group is this stage, and nobody else */
		kill(0, signal);
	else
		kill(child->pid, signal);
	sigaction(signal, &old, NULL);
}

/* Waits for those that the command left, until the grace is over. */
static int wait_for_orphans(struct exec_work *work, struct child *child)
{
	int rc = 0;
	pid_t pid;

	while (rc == 0 && seconds_now() < child->deadline) {
		pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0 && errno != EINTR)
			return 0; /* there are none */
		if (pid == 0)
			rc = listen_for(work, child, TICK_MS * 1e-3);
	}
	return rc;
}

static void end_now(struct child *child, int *status)
{
	kill(child->pid, SIGKILL); /* the runner ends what it started */
	while (waitpid(child->pid, status, 0) < 0 && errno == EINTR)
		;
}

/* Lives until the command has ended. The clock decides how often we ask, and when patience ends;
 * nothing of it reaches the result. */
static int wait_for(struct exec_work *work, struct child *child, int *status)
{
	double beat = seconds_now() + HEARTBEAT_S;
	int rc = 0;

	while (rc == 0) {
		pid_t ended = waitpid(child->pid, status, WNOHANG);

		if (ended == child->pid)
			break;
		if (ended < 0 && errno != EINTR)
			return work->host->fail(work->run, CAIRN_EIO,
				"cannot wait for the command: %s", strerror(errno));
		rc = listen_for(work, child, beat - seconds_now());
		if (rc == 0 && seconds_now() >= beat) {
			beat = seconds_now() + HEARTBEAT_S;
			rc = exec_beat(work);
		}
		if (rc == 0 && work->is_stopping && child->deadline == 0)
			send_stop(work, child);
		if (child->deadline > 0 && seconds_now() >= child->deadline) {
			end_now(child, status);
			break;
		}
	}
	if (rc < 0) {
		end_now(child, status);
		return rc;
	}
	return work->is_stopping ? wait_for_orphans(work, child) : 0;
}

/* What is left in the pipes. A process that the command left behind may hold them open. */
static int drain(struct exec_work *work, struct child *child)
{
	struct pollfd pollfd = {.fd = child->fd, .events = POLLIN};

	for (int i = 0; i < 1024 && child->fd >= 0 && poll(&pollfd, 1, 0) > 0; i++)
		take_stderr(child);
	if (child->fd >= 0)
		close(child->fd);
	child->fd = -1;
	return exec_events_read(work);
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

	if (work->is_stopping) /* whatever it is worth: it may have ended half-way */
		return CAIRN_STOPPED;
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

int exec_run_command(struct exec_work *work)
{
	struct child child = {.fd = -1, .end = -1};
	int fds[2], status = 0, rc;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return work->host->fail(
			work->run, CAIRN_EIO, "cannot make a pipe: %s", strerror(errno));
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	child.fd = fds[0];
	fcntl(child.fd, F_SETFL, O_NONBLOCK);
	rc = spawn(work, &child, fds[1]);
	close(fds[1]);
	if (rc == 0)
		rc = wait_for(work, &child, &status);
	if (rc == 0)
		rc = drain(work, &child);
	if (child.fd >= 0)
		close(child.fd);
	if (child.end >= 0)
		close(child.end);
	return rc == 0 ? judge(work, &child, status) : rc;
}
