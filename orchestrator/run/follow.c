/* SPDX-License-Identifier: Apache-2.0 */
/*
 * follow.c - what follows for other stages when one has ended: keys become known, results turn
 * out to be there, or there is no way on.
 *
 * Takes time for what follows, never for the whole plan.
 */
#include "base/alloc.h"
#include "run/plan/plan.h"
#include "run/runner.h"

static const char *what_it_did(enum cairn_state state)
{
	switch (state) {
	case CAIRN_STATE_FAILED:
		return "failed";
	case CAIRN_STATE_STOPPED:
		return "stopped";
	case CAIRN_STATE_WAITING:
		return "waits for people";
	default:
		return "is blocked";
	}
}

/* Blocks those of i's users that wait, and adds them to the queue. */
static size_t block_users(cairn_runner *runner, size_t i, uint32_t *queue, size_t n)
{
	const cairn_planned *from = &runner->plan->stages[i];
	const uint32_t *users;
	size_t n_users = cairn_plan_users(runner->plan, i, &users);

	for (size_t u = 0; u < n_users; u++) {
		cairn_planned *planned = &runner->plan->stages[users[u]];

		if (planned->state != CAIRN_STATE_PENDING)
			continue;
		planned->state = CAIRN_STATE_BLOCKED;
		cairn_plan_say(runner->plan, planned, "needs '%.150s', which %s",
			from->instance->name, what_it_did(from->state));
		cairn_journal_stage(&runner->journal, users[u]);
		queue[n++] = users[u];
	}
	return n;
}

void cairn_runner_block_dependents(cairn_runner *runner, size_t i)
{
	/* Each stage is blocked once. */
	uint32_t *queue = cairn_alloc(runner->plan->n_stages, sizeof(*queue));
	size_t n;

	if (!queue)
		return; /* they stay as they are, which is just as final */
	n = block_users(runner, i, queue, 0);
	for (size_t at = 0; at < n; at++)
		n = block_users(runner, queue[at], queue, n);
	free(queue);
}

static void take_change(cairn_runner *runner, size_t i)
{
	cairn_event event = {.type = CAIRN_EVENT_ENDED, .stage = i};
	cairn_planned *planned = &runner->plan->stages[i];

	cairn_journal_stage(&runner->journal, i);
	cairn_runner_note_state(runner, i);
	if (planned->state == CAIRN_STATE_BLOCKED)
		cairn_runner_block_dependents(runner, i);
	if (planned->state != CAIRN_STATE_CACHED && planned->state != CAIRN_STATE_SKIPPED)
		return;
	if (planned->state == CAIRN_STATE_CACHED)
		cairn_journal_refs(&runner->journal, i, NULL);
	event.text = planned->reason;
	cairn_runner_tell(runner, &event);
}

int cairn_runner_succeed(cairn_runner *runner, size_t i, cairn_error *err)
{
	cairn_plan *plan = runner->plan;
	int rc = cairn_plan_update(plan, i, err);

	for (size_t c = 0; c < plan->n_changed && rc == 0; c++)
		take_change(runner, plan->changed[c]);
	return rc;
}
