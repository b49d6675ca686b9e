/* SPDX-License-Identifier: Apache-2.0 */
/*
 * orphans.c - what a dead stage process left running, wherever it went, ends with it.
 *
 * Its process group is killed while it is a zombie (executor.c); what had left the group becomes
 * our child (children.h). A living stage process keeps its own orphans.
 */
#include "base/alloc.h"
#include "run/children.h"
#include "run/runner.h"

#define MAX_BEFORE 256

int cairn_runner_adopt(cairn_runner *runner, cairn_error *err)
{
	runner->before = cairn_alloc(MAX_BEFORE, sizeof(*runner->before));
	if (!runner->before)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a run");
	runner->n_before = cairn_children_list(runner->before, MAX_BEFORE);
	runner->was_adopting = cairn_children_adopt();
	return 0;
}

void cairn_runner_disown(cairn_runner *runner)
{
	if (runner->before)
		cairn_children_disown(runner->was_adopting);
	free(runner->before);
	runner->before = NULL;
}

/* Ours, or of the program that runs us. */
static bool is_no_orphan(pid_t pid, const void *arg)
{
	const cairn_runner *runner = arg;

	for (size_t s = 0; s < runner->n_slots; s++) {
		if (runner->attempts[s].child.pid == pid)
			return true;
	}
	for (size_t i = 0; i < runner->n_before; i++) {
		if (runner->before[i] == pid)
			return true;
	}
	return runner->n_before == MAX_BEFORE; /* then there is no telling */
}

void cairn_runner_kill_orphans(cairn_runner *runner)
{
	cairn_children_kill(is_no_orphan, runner);
}
