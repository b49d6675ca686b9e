/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - `cairn plan`: what would run, why, and what it would cost. */
#include <string.h>

#include "audit/ledger.h"
#include "cli/cli.h"

/* Of all stages that are not cached. */
typedef struct totals {
	double flop;
	uint64_t memory_bytes; /* of the largest stage */
	bool is_partial;       /* some numbers are too low, or not known at all */
	size_t n_cached;
} totals;

static totals add_up(const cairn_plan *plan)
{
	totals sum = {0};

	for (size_t i = 0; i < plan->n_stages; i++) {
		const cairn_planned *stage = &plan->stages[i];

		if (stage->state == CAIRN_STATE_CACHED) {
			sum.n_cached++;
			continue;
		}
		if (!stage->cost) { /* a plugin that has no estimate spends nothing worth one */
			sum.is_partial |= stage->instance->plugin->has_estimate;
			continue;
		}
		sum.flop += stage->cost->flop;
		sum.is_partial |= stage->cost->is_partial;
		if (stage->cost->memory_bytes > sum.memory_bytes)
			sum.memory_bytes = stage->cost->memory_bytes;
	}
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

static void print_table(cli *c, const cairn_plan *plan)
{
	cli_table *table = cli_table_new(c, "STAGE|PLUGIN|STATE|>ESTIMATE|>PF-DAYS|>MEMORY|REASON");

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
		number_cell(table, cost, cost ? cost->flop : 0, cli_flop);
		number_cell(table, cost, cost ? cost->flop : 0, cli_pf_days);
		number_cell(table, cost, cost ? (double)cost->memory_bytes : 0, cli_bytes);
		cli_table_cell(table, "%s", stage->reason);
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
	if (sum->n_cached == plan->n_stages)
		return "cairn status";
	if (is_only_planned(plan->workflow))
		return "name data that exist in the places of planned:";
	return cli_run_command(c, plan->workflow->file);
}

static void print_last_line(cli *c, const cairn_plan *plan, const totals *sum)
{
	char days[32], memory[32];

	printf("%scached %zu, to run %zu | estimated %s%s PF-days", c->quiet ? "" : "\n",
		sum->n_cached, plan->n_stages - sum->n_cached, sum->is_partial ? "at least " : "",
		cli_pf_days(days, sum->flop));
	if (sum->memory_bytes)
		printf(", largest stage %s", cli_bytes(memory, (double)sum->memory_bytes));
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

static json_t *stage_json(const cairn_planned *stage)
{
	const cairn_planned_cost *cost = stage->state == CAIRN_STATE_CACHED ? NULL : stage->cost;
	double flop = cost ? cost->flop : 0, memory = cost ? (double)cost->memory_bytes : 0;
	char key[CAIRN_KEY_TEXT];
	json_t *json, *estimate = json_null();

	if (stage->has_key)
		cairn_key_format(&stage->key, key);
	if (cost)
		estimate = json_pack("{s:f, s:f, s:I, s:I, s:b, s:o}", "flop", flop, "pf_days",
			flop / CAIRN_PF_DAY, "memory_bytes", (json_int_t)cost->memory_bytes,
			"output_bytes", (json_int_t)cost->output_bytes, "is_partial",
			(int)cost->is_partial, "accounts", accounts_json(cost));
	json = json_pack("{s:s, s:s, s:s, s:o, s:o}", "instance", stage->instance->name, "plugin",
		stage->instance->plugin->name, "state", cairn_state_name(stage->state), "key",
		stage->has_key ? json_string(key) : json_null(), "reason",
		cairn_record_text(stage->reason));
	json_object_set_new(json, "flop", number_json(cost, flop, false));
	json_object_set_new(json, "pf_days", number_json(cost, flop / CAIRN_PF_DAY, false));
	json_object_set_new(json, "memory_bytes", number_json(cost, memory, true));
	json_object_set_new(json, "estimate", estimate);
	return json;
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

static int print_json(const cairn_plan *plan, const totals *sum)
{
	json_t *stages = json_array(), *total;

	for (size_t i = 0; i < plan->n_stages; i++)
		json_array_append_new(stages, stage_json(&plan->stages[i]));
	total = json_pack("{s:f, s:f, s:I, s:b, s:o}", "flop", sum->flop, "pf_days",
		sum->flop / CAIRN_PF_DAY, "memory_bytes", (json_int_t)sum->memory_bytes,
		"is_partial", (int)sum->is_partial, "alignment", alignment_json(plan));
	return cli_print_json(
		json_pack("{s:s, s:s, s:I, s:I, s:f, s:o, s:o}", "workflow", plan->workflow->name,
			"file", plan->workflow->file, "cached", (json_int_t)sum->n_cached, "to_run",
			(json_int_t)(plan->n_stages - sum->n_cached), "estimated_flop", sum->flop,
			"stages", stages, "total", total),
		"cairn.plan/1");
}

/* ---- the verb ------------------------------------------------------------------------------ */

int cli_plan(cli *c)
{
	cli_work work;
	cairn_error err = {0};
	totals sum;
	int status;

	if (c->table)
		return cli_plan_table(c);
	status = cli_work_open(c, &work, c->n_args > 0 ? c->args[0] : NULL,
		CLI_WORK_STORE | CLI_WORK_CREATE | CLI_WORK_PLAN);
	if (status != CLI_OK)
		return status;
	if (cairn_plan_estimate(work.plan, &err) < 0) {
		cli_work_close(&work);
		return cli_error(c, &err);
	}
	sum = add_up(work.plan);
	if (c->json) {
		status = print_json(work.plan, &sum);
	} else {
		if (!c->quiet) {
			print_table(c, work.plan);
			print_alignment(c, work.plan);
		}
		print_last_line(c, work.plan, &sum);
	}
	if (status == CLI_OK && c->exit_code && sum.n_cached < work.plan->n_stages)
		status = CLI_FAILED;
	cli_work_close(&work);
	return status;
}
