/* SPDX-License-Identifier: Apache-2.0 */
/* budget.c - a limit on what a run spends, before it and while it runs. */
#include "run/budget.h"

#include <string.h>

#include "run/plan/forecast.h"
#include "run/plan/plan.h"

#define MOST_NAMED 4

static double days(double flop)
{
	return flop / CAIRN_PF_DAY;
}

int cairn_budget_check(const cairn_plan *plan, double limit, cairn_error *err)
{
	cairn_forecasts forecasts;
	cairn_text most = {0};
	size_t stages[MOST_NAMED], n;
	int rc = cairn_forecast_make(&forecasts, plan, err);

	if (rc < 0)
		return rc;
	if (forecasts.flop > limit) {
		n = cairn_forecast_most(&forecasts, plan, stages, MOST_NAMED);
		for (size_t k = 0; k < n; k++)
			cairn_text_printf(&most, "%s%s %.3g", k ? ", " : "",
				plan->stages[stages[k]].instance->name,
				days(forecasts.of[stages[k]].flop));
		rc = cairn_error_set(err, CAIRN_EUSAGE,
			"the run would take %s %.3g petaflop/s-days, and %.3g are allowed",
			forecasts.is_partial ? "at least" : "about", days(forecasts.flop),
			days(limit));
		cairn_error_detail(err, "most of it: %s; nothing was run", cairn_text_get(&most));
		cairn_error_hint(
			err, "Raise `--max-cost`, or see `cairn plan` for what is cheaper.");
		cairn_text_free(&most);
	}
	cairn_forecast_free(&forecasts);
	return rc;
}

/* ---- while it runs ----------------------------------------------------------------------------
 */

/* What a stage that starts now will spend, as far as anybody knows: its inputs are there, so a
 * plugin that could not tell before can now. */
static double expected(cairn_runner *runner, size_t i)
{
	cairn_planned *planned = &runner->plan->stages[i];

	if ((!planned->cost || planned->cost->is_partial) &&
		planned->instance->plugin->has_estimate &&
		cairn_plan_estimate_stage(runner->plan, i, NULL) < 0)
		return 0; /* the meters watch it then */
	return planned->cost ? planned->cost->flop : 0;
}

/* Spent by this run, and with `ahead` also what the running stages are expected to spend yet. */
static double spent(const cairn_runner *runner, bool ahead)
{
	double sum = runner->summary->flop;

	for (size_t s = 0; s < runner->n_slots; s++) {
		const cairn_attempt *attempt = &runner->attempts[s];
		const cairn_planned_cost *cost;
		double flop;

		if (!attempt->is_used)
			continue;
		flop = cairn_attempt_flop(attempt);
		cost = runner->plan->stages[attempt->stage].cost;
		sum += ahead && cost && cost->flop > flop ? cost->flop : flop;
	}
	return sum;
}

/* A checkpoint of an earlier try makes it cheaper. */
static double kept_before(const cairn_runner *runner, size_t i)
{
	cairn_snapshot *snapshot;
	json_t *checkpoint = NULL;
	const json_t *flop;
	double sum = 0;

	if (cairn_snapshot_begin(&snapshot, runner->plan->store, NULL) < 0)
		return 0;
	if (cairn_record_newest_checkpoint(
		    &checkpoint, snapshot, &runner->plan->stages[i].key, NULL) == 0) {
		flop = json_object_get(checkpoint, "flop");
		for (size_t a = 0; a < json_array_size(flop); a++)
			sum += json_number_value(json_array_get(flop, a));
	}
	json_decref(checkpoint);
	cairn_snapshot_end(snapshot);
	return sum;
}

bool cairn_budget_allows(cairn_runner *runner, size_t i)
{
	cairn_planned *planned = &runner->plan->stages[i];
	double limit = runner->options->max_flop, already, more;

	if (!runner->options->has_max_flop)
		return true;
	already = spent(runner, true);
	more = expected(runner, i) - kept_before(runner, i);
	if (already <= limit && already + (more > 0 ? more : 0) <= limit)
		return true;
	planned->state = CAIRN_STATE_STOPPED;
	cairn_plan_say(runner->plan, planned,
		"not started: it would take about %.3g petaflop/s-days, of %.3g allowed %.3g are "
		"spent or promised",
		days(more > 0 ? more : 0), days(limit), days(already));
	cairn_runner_warn(runner, i, planned->reason);
	cairn_journal_stage(&runner->journal, i);
	cairn_runner_note_state(runner, i);
	cairn_runner_block_dependents(runner, i);
	return false;
}

void cairn_budget_watch(cairn_runner *runner)
{
	if (!runner->options->has_max_flop || runner->is_over_budget ||
		spent(runner, false) <= runner->options->max_flop)
		return;
	runner->is_over_budget = true;
	for (size_t s = 0; s < runner->n_slots; s++) {
		if (!runner->attempts[s].is_used)
			continue;
		cairn_runner_warn(runner, runner->attempts[s].stage,
			"more was spent than --max-cost allows: stopping after a checkpoint");
		cairn_attempt_ask_stop(&runner->attempts[s]);
	}
}
