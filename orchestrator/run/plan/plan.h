/* SPDX-License-Identifier: Apache-2.0 */
/* plan.h - inside run/: what the planner's files share. The plan itself is in run.h. */
#ifndef CAIRN_RUN_PLAN_H
#define CAIRN_RUN_PLAN_H

#include "run/run.h"

/* outside.c: the ids of files, of artifacts given by id and of names. */
CAIRN_MUST int cairn_plan_take_outside(cairn_plan *plan, cairn_error *err);
/* Says why, as planned->reason. */
void cairn_plan_say(cairn_plan *plan, cairn_planned *planned, const char *format, ...)
	CAIRN_PRINTF(3, 4);
/* The name of output o of a plugin, n_outputs for the metric log; "" where that is none of its own.
 */
const char *cairn_plan_port(const cairn_plugin_info *plugin, uint64_t o);
/* condition.c: may stage i run, as far as `when` says? If not, or not yet, its state and reason say
 * why. */
bool cairn_plan_condition(cairn_plan *plan, size_t i);
/* Stage i reads an output of `from`, which was skipped. */
void cairn_plan_skip_after(cairn_plan *plan, size_t i, size_t from);
/* Looks again for results of stages that are not finished: another run may have made them while
 * we waited for the lock. Where a collection took something meanwhile, what was found may be gone:
 * the whole plan is made anew, without estimates, and *is_new says so. */
CAIRN_MUST int cairn_plan_refresh(cairn_plan *plan, bool *is_new, cairn_error *err);
/* Did a collection take something since the plan was made? */
bool cairn_plan_is_outdated(const cairn_plan *plan);

/* reason.c: fills planned->reason of a stage that is ready. `lost` says why a result that
 * exists is not taken, or is "". */
CAIRN_MUST int cairn_plan_reason(
	cairn_plan *plan, size_t i, cairn_snapshot *snapshot, const char *lost, cairn_error *err);
/* The name under which `note` keeps the last key of an instance: "key:WORKFLOW/INSTANCE". False
 * where it is too long for a key of the store: then there is no diff. */
bool cairn_plan_note_name(
	char *out, size_t cap, const cairn_plan *plan, const cairn_instance *instance);

#endif
