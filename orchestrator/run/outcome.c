/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <sys/wait.h>

#include "base/text.h"
#include "run/executor.h"
#include "run/spawn.h"

static enum cairn_state fail(const cairn_attempt *attempt, cairn_error *err)
{
	cairn_error_detail(err, "log: %s", attempt->log_path);
	return CAIRN_STATE_FAILED;
}

/* ", with 1.2 GiB in use"; "" where nobody knows. */
static const char *in_use(char out[64], const cairn_attempt *attempt)
{
	char bytes[32];

	out[0] = '\0';
	if (attempt->max_rss_bytes)
		snprintf(out, 64, ", with %s in use",
			cairn_format_bytes(bytes, (double)attempt->max_rss_bytes, 99.95));
	return out;
}

/* By SIGKILL that is not ours: the kernel's, or a person's. */
static void was_killed(const cairn_attempt *attempt, cairn_error *err)
{
	char memory[64];

	cairn_error_set(err, CAIRN_ECRASH,
		"stage process was killed from outside (out of memory?)%s",
		in_use(memory, attempt));
	cairn_error_hint(err,
		"`dmesg` says where it was the kernel. A smaller `-j`, or `memory` for the stages "
		"beside it, leaves more; the next run goes on from the last checkpoint.");
}

static void hint_memory(cairn_error *err, uint64_t limit)
{
	char size[32];

	cairn_error_hint(err,
		"It has `memory = %s`: raise that, or make its batch or the model smaller.",
		cairn_format_size(size, limit));
}

/* With nearly all that it may have in use, a crash is hardly a coincidence. */
static void crashed(
	const cairn_attempt *attempt, const cairn_planned *planned, int signal, cairn_error *err)
{
	uint64_t limit = planned->instance->settings.memory_bytes;
	char size[32];

	if (!limit || attempt->max_rss_bytes + limit / 8 < limit) {
		cairn_spawn_death(err, "stage process", signal);
		return;
	}
	cairn_error_set(err, CAIRN_ENOMEM,
		"'%s' needed more than its memory = %s, and died of signal %d",
		planned->instance->name, cairn_format_size(size, limit), signal);
	hint_memory(err, limit);
}

static enum cairn_state died(
	const cairn_attempt *attempt, const cairn_planned *planned, cairn_error *err)
{
	int status = attempt->child.status, signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

	/* The second: asked to stop before it could even listen. */
	if (attempt->is_killed || (attempt->is_asked && signal == SIGTERM))
		return CAIRN_STATE_STOPPED;
	if (signal == SIGKILL)
		was_killed(attempt, err);
	else if (signal)
		crashed(attempt, planned, signal, err);
	else if (attempt->error.code) /* on the wire */
		*err = attempt->error;
	else
		cairn_error_set(err, CAIRN_ECRASH, "stage process left with status %d, unasked",
			WEXITSTATUS(status));
	cairn_error_hint(err, "Plugin '%s' may be faulty; its log is %s.",
		planned->instance->plugin->name, attempt->log_path);
	return fail(attempt, err);
}

enum cairn_state cairn_attempt_outcome(const cairn_attempt *attempt, const cairn_planned *planned,
	bool has_result, cairn_error *err)
{
	if (has_result)
		return CAIRN_STATE_DONE;
	if (attempt->is_timed_out) {
		cairn_error_set(err, CAIRN_ETIMEOUT, "'%s' took longer than %g seconds",
			planned->instance->name, planned->instance->settings.timeout_s);
		cairn_error_hint(err, "Raise its `timeout`; the next run goes on from its last "
				      "checkpoint.");
		return fail(attempt, err);
	}
	if (!attempt->said_bye)
		return died(attempt, planned, err);
	switch (attempt->code) {
	case CAIRN_STOPPED:
		return CAIRN_STATE_STOPPED;
	case CAIRN_WAITING:
		return CAIRN_STATE_WAITING;
	}
	if (attempt->error.code)
		*err = attempt->error;
	else
		cairn_error_set(
			err, CAIRN_EBUG, "stage process said %d and left no result", attempt->code);
	if (err->code == CAIRN_ENOMEM && planned->instance->settings.memory_bytes)
		hint_memory(err, planned->instance->settings.memory_bytes);
	return fail(attempt, err);
}
