/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - `cairn plan`: what would run, why, and what it would cost. */
#include <string.h>

#include "audit/ledger.h"
#include "cli/cli.h"
#include "run/budget.h"
#include "run/compute/probe.h"
#include "run/plan/forecast.h"

/* Of all stages that are not cached. */
typedef struct totals {
	double flop;
	uint64_t memory_bytes; /* of the largest stage */
	bool is_partial;       /* some numbers are too low, or not known at all */
	size_t n_cached, n_skipped, n_open;
} totals;

static totals add_up(const cairn_plan *plan, const cairn_forecasts *forecasts)
{
	totals sum = {.flop = forecasts->flop, .is_partial = forecasts->is_partial};

	for (size_t i = 0; i < plan->n_stages; i++) {
		const cairn_planned *stage = &plan->stages[i];

		if (stage->state == CAIRN_STATE_CACHED)
			sum.n_cached++;
		else if (stage->state == CAIRN_STATE_SKIPPED)
			sum.n_skipped++;
		else if (stage->cost && stage->cost->memory_bytes > sum.memory_bytes)
			sum.memory_bytes = stage->cost->memory_bytes;
	}
	sum.n_open = plan->n_stages - sum.n_cached - sum.n_skipped;
	return sum;
}

/* ---- for people --------------------------------------------------------------------------- */

/* "-" where nothing is known or needed, "12+" where it is more than 12. */
static void number_cell(cli_table *table, const cairn_planned_cost *cost, double value,
	const char *(*format)(char out[32], double value))
{
	char text[32];

	if (!cost || value <= 0)
		cli_table_cell(table, "-");
	else
		cli_table_cell(table, "%s%s", format(text, value), cost->is_partial ? "+" : "");
}

/* A stage that waits does so for the sake of one that is ready: where that has changed, this is
 * why. */
static const cairn_planned *root_of(const cairn_plan *plan, size_t i)
{
	while (plan->stages[i].state == CAIRN_STATE_PENDING) {
		const cairn_instance *instance = plan->stages[i].instance;
		size_t b = 0, from = i;
		for (; b < instance->n_bindings && from == i; b++) {
			if (instance->bindings[b].type == CAIRN_FROM_INSTANCE &&
				!cairn_plan_input(plan, i, b))
				from = instance->bindings[b].instance;
		}
		if (from == i)
			return NULL;
		i = from;
	}
	return plan->stages[i].state == CAIRN_STATE_READY && strstr(plan->stages[i].reason, " -> ")
		       ? &plan->stages[i]
		       : NULL;
}

static const char *reason_of(cli *c, const cairn_plan *plan, size_t i)
{
	const cairn_planned *stage = &plan->stages[i], *root;
	const json_t *blessed;

	if (stage->state == CAIRN_STATE_CACHED) {
		if (!stage->is_blessed)
			return stage->reason;
		blessed = json_object_get(cairn_plan_result(plan, i), "blessed");
		return blessed ? cairn_arena_printf(c->arena, "blessed by %s: %s",
					 cairn_json_string(blessed, "by", "?"),
					 cairn_json_string(blessed, "reason", "?"))
			       : stage->reason;
	}
	root = stage->state == CAIRN_STATE_PENDING ? root_of(plan, i) : NULL;
	return root ? cairn_arena_printf(c->arena, "%s (%s: %s)", stage->reason,
			      root->instance->name, root->reason)
		    : stage->reason;
}

/* Time is a column only where something is known of it. */
static bool has_seconds(const cairn_plan *plan, const cairn_forecasts *forecasts)
{
	for (size_t i = 0; i < plan->n_stages; i++) {
		if (forecasts->of[i].seconds > 0)
			return true;
	}
	return false;
}

static void forecast_cells(cli_table *table, const cairn_forecast *of, bool is_open, bool has_time)
{
	/* What was measured is no estimate, yet no better for what is to come: "~". */
	const char *sign = of->is_partial ? "+" : "", *about = of->is_history ? "~" : "";
	char text[32];

	if (!is_open || !of->is_known || of->flop <= 0) {
		cli_table_cell(table, "-");
		cli_table_cell(table, "-");
	} else {
		cli_table_cell(table, "%s%s%s", about, cli_flop(text, of->flop), sign);
		cli_table_cell(table, "%s%s%s", about, cli_pf_days(text, of->flop), sign);
	}
	if (!has_time)
		return;
	if (is_open && of->seconds >= 0 && !of->is_shared)
		cli_table_cell(table, "%s", cli_duration(text, of->seconds));
	else
		cli_table_cell(table, "-");
}

static bool has_device_bytes(const cairn_plan *plan)
{
	for (size_t i = 0; i < plan->n_stages; i++) {
		if (plan->stages[i].state != CAIRN_STATE_CACHED && plan->stages[i].cost &&
			plan->stages[i].cost->device_bytes)
			return true;
	}
	return false;
}

static void print_table(cli *c, const cairn_plan *plan, const cairn_forecasts *forecasts)
{
	bool has_time = has_seconds(plan, forecasts), has_device = has_device_bytes(plan);
	cli_table *table =
		cli_table_new(c, cairn_arena_printf(c->arena,
					 "STAGE|PLUGIN|STATE|>ESTIMATE|>PF-DAYS%s|>MEMORY%s|"
					 "REASON",
					 has_time ? "|>TIME" : "", has_device ? "|>DEVICE" : ""));

	for (size_t i = 0; i < plan->n_stages; i++) {
		const cairn_planned *stage = &plan->stages[i];
		const cairn_planned_cost *cost =
			stage->state == CAIRN_STATE_CACHED ? NULL : stage->cost;
		const char *state = cairn_state_name(stage->state);

		cli_table_row(table);
		cli_table_cell(table, "%s", stage->instance->name);
		cli_table_cell(table, "%s", stage->instance->plugin->name);
		cli_table_cell(table, "%s", state);
		cli_table_style(table, cli_state_style(state));
		forecast_cells(
			table, &forecasts->of[i], stage->state != CAIRN_STATE_CACHED, has_time);
		number_cell(table, cost, cost ? (double)cost->memory_bytes : 0, cli_bytes);
		if (has_device)
			number_cell(table, cost, cost ? (double)cost->device_bytes : 0, cli_bytes);
		cli_table_cell(table, "%s", reason_of(c, plan, i));
	}
	cli_table_print(table, stdout, c->color_out);
}

static void print_alignment(cli *c, const cairn_plan *plan)
{
	cairn_alignment found;
	char a[32], b[32];

	if (!cairn_plan_alignment(plan, &found))
		return;
	printf("\n'%s' with all it is made from: alignment %s PF-days, %.2g %% of the %s of "
	       "pretraining\n",
		cli_safe(c, plan->stages[found.stage].instance->name),
		cli_pf_days(a, found.alignment), 100 * found.alignment / found.pretraining,
		cli_pf_days(b, found.pretraining));
}

/* A plan that reads what is only planned cannot be run. */
static bool is_only_planned(const cairn_workflow *workflow)
{
	for (size_t i = 0; i < workflow->n_instances; i++) {
		for (size_t b = 0; b < workflow->instances[i].n_bindings; b++) {
			if (workflow->instances[i].bindings[b].type == CAIRN_FROM_PLANNED)
				return true;
		}
	}
	return false;
}

static const char *next_step(cli *c, const cairn_plan *plan, const totals *sum)
{
	if (!sum->n_open)
		return "cairn status";
	if (is_only_planned(plan->workflow))
		return "name data that exist in the places of planned:";
	return cli_run_command(c, plan->workflow->file);
}

static void print_compute(cli *c, const cairn_plan *plan)
{
	const cairn_compute *compute = plan->compute;

	if (!c->verbose || !compute)
		return;
	printf("\ncomputes with %s, in '%s'\n", cli_safe(c, compute->backend),
		cli_safe(c, compute->numerics));
	if (compute->passed_over[0])
		printf("not with %s\n", cli_safe(c, compute->passed_over));
}

static void print_last_line(
	cli *c, const cairn_plan *plan, const totals *sum, const cairn_forecasts *forecasts)
{
	char days[32], memory[32], time[32];

	printf("%scached %zu, to run %zu", c->quiet ? "" : "\n", sum->n_cached, sum->n_open);
	if (sum->n_skipped)
		printf(", skipped %zu", sum->n_skipped);
	printf(" | estimated %s%s PF-days", sum->is_partial ? "at least " : "",
		cli_pf_days(days, sum->flop));
	if (forecasts->seconds > 0)
		printf(", %s %s", forecasts->lacks_seconds ? "more than" : "about",
			cli_duration(time, forecasts->seconds));
	if (sum->memory_bytes)
		printf(", largest stage %s", cli_bytes(memory, (double)sum->memory_bytes));
	if (forecasts->saved_flop > 0)
		printf(" | saved by the cache %s PF-days, %s",
			cli_pf_days(days, forecasts->saved_flop),
			cli_duration(time, forecasts->saved_seconds));
	printf(" | next: %s\n", next_step(c, plan, sum));
}

/* ---- for scripts -------------------------------------------------------------------------- */

static json_t *accounts_json(const cairn_planned_cost *cost)
{
	json_t *accounts = json_object();

	for (int i = 0; i < CAIRN_ACCOUNTS; i++) {
		if (cost->flop_of[i] > 0)
			json_object_set_new(
				accounts, cairn_account_name(i), json_real(cost->flop_of[i]));
	}
	return accounts;
}

/* null where it is not known */
static json_t *number_json(const cairn_planned_cost *cost, double value, bool is_integer)
{
	if (!cost || (cost->is_partial && value <= 0))
		return json_null();
	return is_integer ? json_integer((json_int_t)value) : json_real(value);
}

static json_t *forecast_json(const cairn_forecast *of)
{
	return json_pack("{s:o, s:o, s:o, s:b, s:s, s:b}", "flop",
		of->is_known ? json_real(of->flop) : json_null(), "pf_days",
		of->is_known ? json_real(of->flop / CAIRN_PF_DAY) : json_null(), "seconds",
		of->seconds >= 0 ? json_real(of->seconds) : json_null(), "is_partial",
		(int)of->is_partial, "from", of->is_history ? "history" : "estimate", "is_shared",
		(int)of->is_shared);
}

static json_t *stage_json(
	cli *c, const cairn_plan *plan, size_t i, const cairn_forecasts *forecasts)
{
	const cairn_planned *stage = &plan->stages[i];
	const cairn_planned_cost *cost = stage->state == CAIRN_STATE_CACHED ? NULL : stage->cost;
	double flop = cost ? cost->flop : 0, memory = cost ? (double)cost->memory_bytes : 0;
	char key[CAIRN_KEY_TEXT];
	json_t *json, *estimate = json_null();

	if (stage->has_key)
		cairn_key_format(&stage->key, key);
	if (cost)
		estimate = json_pack("{s:f, s:f, s:I, s:I, s:I, s:b, s:o}", "flop", flop, "pf_days",
			flop / CAIRN_PF_DAY, "memory_bytes", (json_int_t)cost->memory_bytes,
			"device_bytes", (json_int_t)cost->device_bytes, "output_bytes",
			(json_int_t)cost->output_bytes, "is_partial", (int)cost->is_partial,
			"accounts", accounts_json(cost));
	json = json_pack("{s:s, s:s, s:s, s:o, s:o}", "instance", stage->instance->name, "plugin",
		stage->instance->plugin->name, "state", cairn_state_name(stage->state), "key",
		stage->has_key ? json_string(key) : json_null(), "reason",
		cairn_record_text(reason_of(c, plan, i)));
	json_object_set_new(json, "flop", number_json(cost, flop, false));
	json_object_set_new(json, "pf_days", number_json(cost, flop / CAIRN_PF_DAY, false));
	json_object_set_new(json, "memory_bytes", number_json(cost, memory, true));
	json_object_set_new(json, "estimate", estimate);
	json_object_set_new(json, "forecast",
		stage->state == CAIRN_STATE_CACHED ? json_null()
						   : forecast_json(&forecasts->of[i]));
	return json;
}

/* What the stages would compute with; null where none does. */
static json_t *compute_json(const cairn_plan *plan)
{
	const cairn_compute *compute = plan->compute;

	if (!compute)
		return json_null();
	return json_pack("{s:o, s:o, s:o, s:I, s:o, s:o}", "backend",
		cairn_record_text(compute->backend), "numerics",
		cairn_record_text(compute->numerics), "path", cairn_record_text(compute->path),
		"device_bytes", (json_int_t)compute->device_bytes, "peak_flops",
		compute->peak_flops > 0 ? json_real(compute->peak_flops) : json_null(),
		"passed_over", cairn_record_text(compute->passed_over));
}

static json_t *alignment_json(const cairn_plan *plan)
{
	cairn_alignment found;

	if (!cairn_plan_alignment(plan, &found))
		return json_null();
	return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f}", "instance",
		plan->stages[found.stage].instance->name, "flop", found.alignment, "pf_days",
		found.alignment / CAIRN_PF_DAY, "pretraining_flop", found.pretraining,
		"pretraining_pf_days", found.pretraining / CAIRN_PF_DAY, "share",
		found.alignment / found.pretraining);
}

static int print_json(
	cli *c, const cairn_plan *plan, const totals *sum, const cairn_forecasts *forecasts)
{
	json_t *stages = json_array(), *total;

	for (size_t i = 0; i < plan->n_stages; i++)
		json_array_append_new(stages, stage_json(c, plan, i, forecasts));
	total = json_pack("{s:f, s:f, s:f, s:b, s:I, s:b, s:o}", "flop", sum->flop, "pf_days",
		sum->flop / CAIRN_PF_DAY, "seconds", forecasts->seconds, "lacks_seconds",
		(int)forecasts->lacks_seconds, "memory_bytes", (json_int_t)sum->memory_bytes,
		"is_partial", (int)sum->is_partial, "alignment", alignment_json(plan));
	return cli_print_json(
		json_pack("{s:s, s:s, s:o, s:I, s:I, s:f, s:o, s:o, s:{s:f, s:f, s:f}}", "workflow",
			plan->workflow->name, "file", plan->workflow->file, "compute",
			compute_json(plan), "cached", (json_int_t)sum->n_cached, "to_run",
			(json_int_t)sum->n_open, "estimated_flop", sum->flop, "stages", stages,
			"total", total, "saved", "flop", forecasts->saved_flop, "pf_days",
			forecasts->saved_flop / CAIRN_PF_DAY, "seconds", forecasts->saved_seconds),
		"cairn.plan/1");
}

/* ---- the verb ------------------------------------------------------------------------------ */

static int print_plan(cli *c, const cairn_plan *plan)
{
	cairn_forecasts forecasts;
	cairn_error err = {0};
	totals sum;
	int status = CLI_OK;

	if (cairn_forecast_make(&forecasts, plan, &err) < 0)
		return cli_error(c, &err);
	sum = add_up(plan, &forecasts);
	if (c->json) {
		status = print_json(c, plan, &sum, &forecasts);
	} else {
		if (!c->quiet) {
			print_table(c, plan, &forecasts);
			print_alignment(c, plan);
			print_compute(c, plan);
		}
		print_last_line(c, plan, &sum, &forecasts);
	}
	cairn_forecast_free(&forecasts);
	if (status == CLI_OK && c->max_flop >= 0 && cairn_budget_check(plan, c->max_flop, &err) < 0)
		return cli_error(c, &err);
	return status == CLI_OK && c->exit_code && sum.n_open ? CLI_FAILED : status;
}

int cli_plan(cli *c)
{
	cairn_error err = {0};
	cli_work work;
	int status;

	if (c->table)
		return cli_plan_table(c);
	status = cli_work_open(c, &work, c->n_args > 0 ? c->args[0] : NULL,
		CLI_WORK_STORE | CLI_WORK_CREATE | CLI_WORK_PLAN);
	if (status != CLI_OK)
		return status;
	status = cairn_plan_estimate(work.plan, &err) < 0 ? cli_error(c, &err)
							  : print_plan(c, work.plan);
	cli_work_close(&work);
	return status;
}
