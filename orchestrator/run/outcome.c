/* SPDX-License-Identifier: Apache-2.0 */
#include <signal.h>
#include <sys/wait.h>

#include "run/executor.h"
#include "run/spawn.h"

static enum cairn_state fail(const cairn_attempt *attempt, cairn_error *err)
{
	cairn_error_detail(err, "log: %s", attempt->log_path);
	return CAIRN_STATE_FAILED;
}

static enum cairn_state died(
	const cairn_attempt *attempt, const cairn_planned *planned, cairn_error *err)
{
	/* The second: asked to stop before it could even listen. */
	if (attempt->is_killed || (attempt->is_asked && WIFSIGNALED(attempt->child.status) &&
					  WTERMSIG(attempt->child.status) == SIGTERM))
		return CAIRN_STATE_STOPPED;
	if (WIFSIGNALED(attempt->child.status))
		cairn_spawn_death(err, "stage process", WTERMSIG(attempt->child.status));
	else if (attempt->error.code) /* on the wire */
		*err = attempt->error;
	else
		cairn_error_set(err, CAIRN_ECRASH, "stage process left with status %d, unasked",
			WEXITSTATUS(attempt->child.status));
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
	return fail(attempt, err);
}
