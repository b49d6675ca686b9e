/* SPDX-License-Identifier: Apache-2.0 */
#include "run/executor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/text.h"
#include "run/host/job.h"
#include "run/logfile.h"
#include "run/spawn.h"

#define END_PATIENCE_MS 1000

/* ---- start ---------------------------------------------------------------------------------- */

/* Creates the directories above a file. The store's own exists. */
static void make_parents(const char *path)
{
	char *copy = cairn_strdup(path);

	for (char *c = copy ? copy + 1 : NULL; c && *c; c++) {
		if (*c != '/')
			continue;
		*c = '\0';
		mkdir(copy, 0777); /* an error shows when the file is opened */
		*c = '/';
	}
	free(copy);
}

static int open_log(const char *path, cairn_error *err)
{
	int fd;

	make_parents(path);
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		return cairn_error_errno(err, CAIRN_EIO, errno, "cannot write the log '%s'", path);
	return fd;
}

static int spawn(cairn_child *child, const char *name, int log, cairn_error *err)
{
	char parent[16];
	const char *const argv[] = {"cairn", "--stage-host", parent, name, NULL};
	int null = -1, pair[2] = {-1, -1}, rc;
	cairn_spawn how = {.argv = argv, .own_group = true};

	snprintf(parent, sizeof(parent), "%d", (int)getpid());
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
		rc = cairn_error_errno(err, CAIRN_EIO, errno, "cannot make a wire for '%s'", name);
		goto out;
	}
	how.fds[0] = null;
	how.fds[1] = log;
	how.fds[2] = log;
	how.fds[3] = pair[1];
	rc = cairn_spawn_self(&child->pid, &how, err);
	if (rc == 0) {
		child->fd = pair[0];
		pair[0] = -1;
	}
out:
	if (null >= 0)
		close(null);
	if (pair[0] >= 0)
		close(pair[0]);
	if (pair[1] >= 0)
		close(pair[1]);
	return rc;
}

bool cairn_attempt_fits(const cairn_attempt *slot, const cairn_plan *plan, size_t i)
{
	const cairn_instance *instance = plan->stages[i].instance;
	const cairn_child *child = &slot->child;

	return !slot->is_used && child->pid && !child->is_spent && child->fd >= 0 &&
	       child->plugin_path == instance->plugin->path &&
	       child->memory_bytes == instance->settings.memory_bytes;
}

static int start_child(
	cairn_child *child, const cairn_instance *instance, const char *log_path, cairn_error *err)
{
	int log = open_log(log_path, err);
	int rc = log < 0 ? log : spawn(child, instance->name, log, err);

	if (log >= 0)
		close(log);
	child->plugin_path = instance->plugin->path;
	child->memory_bytes = instance->settings.memory_bytes;
	return rc;
}

int cairn_attempt_start(cairn_attempt *slot, const cairn_plan *plan, size_t i, uint64_t gpus,
	const char *run, cairn_error *err)
{
	const cairn_instance *instance = plan->stages[i].instance;
	cairn_arena *arena = cairn_arena_new();
	cairn_attempt attempt = {.is_used = true, .stage = i, .gpus = gpus, .child = slot->child};
	int rc = 0;

	attempt.log_path = cairn_strdup(cairn_job_log_path(plan, i, run, arena));
	cairn_arena_free(arena);
	if (!attempt.log_path)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for an attempt");
	attempt.started = cairn_clock();
	attempt.start_ms = cairn_now_ms();
	if (!attempt.child.pid) {
		attempt.child = (cairn_child){.fd = -1, .gpus = gpus, .is_new = true};
		rc = start_child(&attempt.child, instance, attempt.log_path, err);
	}
	if (rc < 0) {
		free(attempt.log_path);
		return rc;
	}
	if (instance->settings.timeout_s > 0)
		attempt.timeout_at = attempt.started + instance->settings.timeout_s;
	*slot = attempt;
	return 0;
}

void cairn_attempt_send_job(cairn_attempt *attempt, const json_t *job)
{
	cairn_error ignored = {0};

	/* Where this fails the child is dead, and its end will say why. */
	if (cairn_wire_send(attempt->child.fd, job, &ignored) < 0)
		shutdown(attempt->child.fd, SHUT_WR);
	attempt->is_sent = true;
	attempt->child.is_new = false;
}

/* ---- listening ----------------------------------------------------------------------------------
 */

static void stop_listening(cairn_child *child)
{
	if (child->fd >= 0)
		close(child->fd);
	child->fd = -1;
}

/* Moves what the socket holds into the reader. False when nothing came. */
static bool fill(cairn_attempt *attempt)
{
	cairn_child *child = &attempt->child;
	char bytes[65536];
	ssize_t n;

	if (child->fd < 0)
		return false;
	do {
		n = recv(child->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
	} while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return false;
	if (n <= 0 || cairn_wire_feed(&child->reader, bytes, (size_t)n, &attempt->error) < 0) {
		stop_listening(child);
		return false;
	}
	return true;
}

/* Without memory for it the result is lost, and with it the attempt. */
static void take_packet(cairn_attempt *attempt, const cairn_wire_record *record)
{
	free(attempt->packet);
	attempt->packet_len = 0;
	attempt->packet = cairn_alloc(record->packet_len + 1, 1);
	if (!attempt->packet)
		return;
	memcpy(attempt->packet, record->packet, record->packet_len);
	attempt->packet_len = record->packet_len;
}

static void take_bye(cairn_attempt *attempt, const cairn_wire_record *record)
{
	attempt->said_bye = true;
	attempt->code = record->code;
	attempt->stays = record->stays;
	attempt->has_log = record->has_log;
	attempt->is_mended = record->is_mended;
	if (record->code == CAIRN_WAITING && record->text[0] && !attempt->words)
		attempt->words = cairn_strdup(record->text);
	json_decref(attempt->result);
	attempt->result = attempt->packet ? json_incref(record->result) : NULL;
}

static void take(cairn_attempt *attempt, const cairn_wire_record *record)
{
	if (record->has_flop) {
		memcpy(attempt->flop, record->flop, sizeof(attempt->flop));
		memcpy(attempt->flop_real, record->flop_real, sizeof(attempt->flop_real));
		attempt->is_changed = true;
	}
	if (record->max_rss_bytes > attempt->max_rss_bytes)
		attempt->max_rss_bytes = record->max_rss_bytes;
	if (record->kernel_peak_bytes > attempt->kernel_peak_bytes)
		attempt->kernel_peak_bytes = record->kernel_peak_bytes;
	if (record->kept >= 0)
		attempt->kept = record->kept;
	switch (record->type) {
	case CAIRN_WIRE_STARTED:
		attempt->resumed_step = record->step;
		attempt->is_changed = true;
		break;
	case CAIRN_WIRE_STEP:
		attempt->step = record->step;
		attempt->total = record->total;
		break;
	case CAIRN_WIRE_ERROR:
		attempt->error = record->error;
		break;
	case CAIRN_WIRE_PACKET:
		take_packet(attempt, record);
		break;
	case CAIRN_WIRE_BYE:
		take_bye(attempt, record);
		break;
	case CAIRN_WIRE_UNKNOWN:
	case CAIRN_WIRE_HELLO:
	case CAIRN_WIRE_LOG:
	case CAIRN_WIRE_CHECKPOINT:
	case CAIRN_WIRE_COMMITTED:
		break;
	}
}

int cairn_attempt_next(cairn_attempt *attempt, cairn_wire_record *out)
{
	int rc;

	if (!attempt->child.pid)
		return 0;
	do {
		rc = cairn_wire_next(&attempt->child.reader, out, &attempt->error);
	} while (rc == 0 && fill(attempt));
	if (rc < 0) { /* nothing after this can be understood */
		stop_listening(&attempt->child);
		cairn_wire_reader_clear(&attempt->child.reader);
		return 0;
	}
	if (rc == 1)
		take(attempt, out);
	return rc;
}

/* ---- end
 * ------------------------------------------------------------------------------------------ */

static bool reap(cairn_child *child, struct rusage *usage)
{
	siginfo_t info = {0};

	if (child->has_ended || !child->pid ||
		waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ||
		info.si_pid != child->pid)
		return false;
	/* While it is a zombie its group cannot be anybody else's: end what it left running. */
	kill(-child->pid, SIGKILL);
	while (wait4(child->pid, &child->status, 0, usage) < 0 && errno == EINTR)
		;
	child->has_ended = true;
	return true;
}

bool cairn_attempt_reap(cairn_attempt *attempt)
{
	struct rusage usage;

	if (!reap(&attempt->child, &usage))
		return attempt->child.has_ended;
	/* What it said at its last step is old where it died. Where it said nothing, this may be
	 * our own size: the kernel counts what it was before its exec, too. */
	if (!attempt->said_bye && (uint64_t)usage.ru_maxrss * 1024 > attempt->max_rss_bytes)
		attempt->max_rss_bytes = (uint64_t)usage.ru_maxrss * 1024;
	return true;
}

static void send_signal(cairn_child *child, pid_t whom, int signal)
{
	if (!child->has_ended)
		kill(whom, signal);
	if (!child->has_ended && whom < 0) /* a plugin may have led it into another group */
		kill(child->pid, signal);
	child->is_spent = true;
}

void cairn_attempt_ask_stop(cairn_attempt *attempt)
{
	send_signal(&attempt->child, attempt->child.pid, SIGTERM);
	attempt->is_asked = true;
}

void cairn_attempt_kill(cairn_attempt *attempt)
{
	send_signal(&attempt->child, -attempt->child.pid, SIGKILL); /* with whatever it started */
	attempt->is_killed = true;
}

/* CAIRN_TEST_GRACE shortens it for tests. */
static double grace(void)
{
	const char *text = getenv("CAIRN_TEST_GRACE");
	double seconds;

	return text && cairn_parse_double(text, &seconds) ? seconds : CAIRN_GRACE_S;
}

void cairn_attempt_tick(cairn_attempt *attempt, double now)
{
	cairn_child *child = &attempt->child;

	if (attempt->is_used)
		cairn_log_trim(attempt->log_path, &attempt->n_cut);
	if (child->has_ended)
		return;
	if (attempt->timeout_at > 0 && now >= attempt->timeout_at && !attempt->is_timed_out) {
		attempt->is_timed_out = true;
		attempt->kill_at = now + grace();
		send_signal(child, child->pid, SIGTERM);
	}
	if (attempt->kill_at > 0 && now >= attempt->kill_at) {
		attempt->kill_at = 0;
		send_signal(child, -child->pid, SIGKILL);
	}
}

static void forget_child(cairn_child *child)
{
	stop_listening(child);
	cairn_wire_reader_clear(&child->reader);
	*child = (cairn_child){.fd = -1};
}

void cairn_attempt_clear(cairn_attempt *attempt)
{
	free(attempt->log_path);
	free(attempt->words);
	json_decref(attempt->result);
	free(attempt->packet);
	*attempt = (cairn_attempt){.child = attempt->child};
}

void cairn_child_end(cairn_child *child)
{
	const struct timespec nap = {.tv_nsec = 1000 * 1000};
	struct rusage usage;

	if (!child->pid)
		return;
	stop_listening(child);
	for (int ms = 0; !child->has_ended && !reap(child, &usage); ms++) {
		if (ms == END_PATIENCE_MS)
			kill(-child->pid, SIGKILL);
		nanosleep(&nap, NULL);
	}
	forget_child(child);
}

double cairn_attempt_flop(const cairn_attempt *attempt)
{
	double sum = 0;

	for (int i = 0; i < CAIRN_ACCOUNTS; i++)
		sum += attempt->flop[i];
	return sum;
}
