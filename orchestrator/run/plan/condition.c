/* SPDX-License-Identifier: Apache-2.0 */
/*
 * condition.c - `when`: whether a stage runs, by what the summaries of earlier results say.
 *
 * A stage is skipped where its condition does not hold, or where something that it asks or reads
 * was skipped. That is an end like success: nothing of it failed.
 */
#include <string.h>

#include "base/text.h"
#include "run/plan/plan.h"
#include "run/wire.h"
#include "workflow/when.h"

#define MAX_REFS 64 /* of an expression: workflow/when.c */

static void skip(cairn_plan *plan, cairn_planned *planned, const char *name)
{
	planned->state = CAIRN_STATE_SKIPPED;
	cairn_plan_say(plan, planned, "'%.200s' was skipped", name);
}

void cairn_plan_skip_after(cairn_plan *plan, size_t i, size_t from)
{
	skip(plan, &plan->stages[i], plan->stages[from].instance->name);
}

/* Nobody could say before that there is no such metric: plugins do not list theirs. */
static void no_metric(
	cairn_plan *plan, cairn_planned *planned, const cairn_when_ref *ref, const json_t *summary)
{
	const char *names[MAX_REFS], *near, *name;
	const json_t *value;
	size_t n = 0;

	json_object_foreach((json_t *)summary, name, value)
	{
		if (n < CAIRN_COUNT(names))
			names[n++] = name;
	}
	near = cairn_did_you_mean(ref->metric, names, n);
	planned->state = CAIRN_STATE_BLOCKED;
	cairn_plan_say(plan, planned, "`when`: '%.80s' found out no '%.60s'%s%.60s%s",
		plan->stages[ref->instance].instance->name, ref->metric,
		near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
}

/* 1 and the value; 0: it is not known, or never will be, as the stage says now. */
static bool value_of(cairn_plan *plan, size_t i, const cairn_when_ref *ref, double *out)
{
	cairn_planned *planned = &plan->stages[i];
	const cairn_planned *from = &plan->stages[ref->instance];
	const json_t *summary, *value;

	if (from->state == CAIRN_STATE_SKIPPED) {
		skip(plan, planned, from->instance->name);
		return false;
	}
	if (from->state != CAIRN_STATE_CACHED && from->state != CAIRN_STATE_DONE) {
		cairn_plan_say(plan, planned, "waits for '%.100s': when %.120s",
			from->instance->name, planned->instance->when->text);
		return false;
	}
	summary = json_object_get(cairn_plan_result(plan, ref->instance), "summary");
	value = json_object_get(summary, ref->metric);
	if (!value) {
		no_metric(plan, planned, ref, summary);
		return false;
	}
	*out = cairn_wire_number_of(value);
	return true;
}

/* "accuracy is 0.53": what the condition saw. */
static void say_values(
	cairn_plan *plan, cairn_planned *planned, const cairn_when *when, const double *values)
{
	cairn_text text = {0};
	char number[32];

	for (size_t r = 0; r < when->n_refs; r++) {
		cairn_format_double(values[r], number);
		cairn_text_printf(&text, "%s%s:%s is %s", r ? ", " : "", when->refs[r].stage,
			when->refs[r].metric, number);
	}
	cairn_plan_say(plan, planned, "when %.120s: %.120s", when->text, cairn_text_get(&text));
	cairn_text_free(&text);
}

bool cairn_plan_condition(cairn_plan *plan, size_t i)
{
	cairn_planned *planned = &plan->stages[i];
	const cairn_when *when = planned->instance->when;
	double values[MAX_REFS];

	if (!when)
		return true;
	CAIRN_ASSERT(when->n_refs <= MAX_REFS);
	for (size_t r = 0; r < when->n_refs; r++) {
		if (!value_of(plan, i, &when->refs[r], &values[r]))
			return false;
	}
	if (cairn_when_holds(when, values))
		return true;
	planned->state = CAIRN_STATE_SKIPPED;
	say_values(plan, planned, when, values);
	return false;
}
