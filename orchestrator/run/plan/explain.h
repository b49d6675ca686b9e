/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.h - why a stage of a plan runs, or need not.
 *
 * {"instance", "plugin", "state", "key" or null, "up_to_date", "reason",
 *  "changes": see audit/explain.h; "after" is null while an input is not known,
 *  "causes": see audit/cause.h; what made inputs others than they were,
 *  "waits_for": [sources of inputs that are not known],
 *  "components": {name: text} of today, or null,
 *  "last_key", "last": {"run", "end_ms"} of the last result, or null,
 *  "blessed": as in record.h, or null; "last_attempt": of today's key, without a result, or null}
 */
#ifndef CAIRN_RUN_EXPLAIN_H
#define CAIRN_RUN_EXPLAIN_H

#include "run/run.h"

/* New reference. */
CAIRN_MUST int cairn_plan_explain(json_t **out, const cairn_plan *plan, size_t i, cairn_error *err);
/* The roots in short, "sft: param.epochs 16 -> 8, and 2 more"; NULL where stage i does not wait for
 * a change. Lives in the arena. */
const char *cairn_plan_cause_text(
	const cairn_plan *plan, size_t i, cairn_snapshot *snapshot, cairn_arena *arena);
/* Stage i of today as audit/cause.h describes one; new reference. */
json_t *cairn_plan_stage_json(const cairn_plan *plan, size_t i);

#endif
