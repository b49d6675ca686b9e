/* SPDX-License-Identifier: Apache-2.0 */
/*
 * group.c - group commit: many short stages, one transaction.
 *
 * A transaction waits for the disk, some milliseconds; a short stage takes microseconds. So what
 * short stages hand over collects in the journal's batch, together with the records about them,
 * and is committed when nothing more can be begun without it, when it is large, or when it is
 * old. Until then nobody counts on it: their dependents wait, and no reader sees anything.
 *
 * Killed at any moment, a run loses the group at hand as a whole. Nothing of it is visible, and
 * the next run does it again; that its attempts took place is lost, too.
 */
#include <string.h>

#include "base/alloc.h"
#include "run/runner.h"

#define MAX_STAGES 256
#define MAX_BYTES  ((size_t)8 << 20)
#define MAX_AGE_S  0.2

int cairn_group_open(cairn_group *out, size_t n_slots, cairn_error *err)
{
	/* It is looked at after each slot had its turn. */
	*out = (cairn_group){.items = cairn_alloc(MAX_STAGES + n_slots, sizeof(*out->items))};
	return out->items ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a run");
}

void cairn_group_add(cairn_group *group, cairn_attempt *attempt)
{
	if (!group->n)
		group->since = cairn_runner_clock();
	group->bytes += attempt->packet_len;
	free(attempt->packet);
	attempt->packet = NULL;
	group->items[group->n] = *attempt;
	group->items[group->n++].child = (cairn_child){.fd = -1};
	*attempt = (cairn_attempt){.child = attempt->child};
}

bool cairn_group_is_due(const cairn_group *group, bool is_idle)
{
	return group->n && (is_idle || group->n >= MAX_STAGES || group->bytes >= MAX_BYTES ||
				   cairn_runner_clock() - group->since >= MAX_AGE_S);
}

bool cairn_group_has_key(const cairn_runner *runner, const cairn_key *key)
{
	for (size_t i = 0; i < runner->group.n; i++) {
		size_t stage = runner->group.items[i].stage;

		if (memcmp(&runner->plan->stages[stage].key, key, sizeof(*key)) == 0)
			return true;
	}
	return false;
}

static int count_as_done(cairn_runner *runner, cairn_attempt *attempt, cairn_error *err)
{
	cairn_planned *planned = &runner->plan->stages[attempt->stage];
	int rc;

	json_decref(planned->result);
	planned->result = json_incref(attempt->result);
	cairn_runner_tell_end(runner, attempt, NULL);
	rc = cairn_runner_succeed(runner, attempt->stage, err);
	/* There may be many. Whoever wants it again finds it in the store. */
	json_decref(planned->result);
	planned->result = NULL;
	return rc;
}

int cairn_runner_flush(cairn_runner *runner, cairn_error *err)
{
	cairn_group *group = &runner->group;
	int rc = cairn_journal_flush(&runner->journal, err);

	runner->must_flush = false;
	runner->may_go_on |= group->n > 0;
	for (size_t i = 0; i < group->n; i++) {
		if (rc == 0)
			rc = count_as_done(runner, &group->items[i], err);
		cairn_attempt_clear(&group->items[i]);
	}
	group->n = 0;
	group->bytes = 0;
	return rc;
}

void cairn_group_close(cairn_group *group)
{
	for (size_t i = 0; i < group->n; i++)
		cairn_attempt_clear(&group->items[i]);
	free(group->items);
	*group = (cairn_group){0};
}
