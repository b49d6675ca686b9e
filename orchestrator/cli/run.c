/* SPDX-License-Identifier: Apache-2.0 */
/* run.c - `cairn run`, `plan` and `check`. */
#include <signal.h>

#include "cli/cli.h"

static const char *first_arg(const cli *c)
{
	return c->n_args > 0 ? c->args[0] : NULL;
}

/* ---- check ------------------------------------------------------------------------------ */

int cli_check(cli *c)
{
	cli_work work;
	int status = cli_work_open(c, &work, first_arg(c), 0);

	if (status != CLI_OK)
		return status;
	if (c->json)
		status = cli_print_json(
			json_pack("{s:s, s:s, s:I, s:b}", "workflow", work.workflow->name, "file",
				work.workflow->file, "n_stages",
				(json_int_t)work.workflow->n_instances, "ok", 1),
			"cairn.check/1");
	else if (!c->quiet)
		printf("%s: workflow '%s', %zu stages, no mistakes\n",
			cli_safe(c, work.workflow->file), cli_safe(c, work.workflow->name),
			work.workflow->n_instances);
	cli_work_close(&work);
	return status;
}

/* ---- plan ------------------------------------------------------------------------------- */

/* What the plugins expect of each stage that would run; has[i] is false where one does not say. */
typedef struct estimates {
	cairn_estimate *of;
	bool *has;
	double flop;     /* of all that say */
	bool is_partial; /* some do not know yet */
} estimates;

static void ask_estimates(cli *c, cairn_plan *plan, estimates *out)
{
	out->of = cairn_arena_alloc(c->arena, plan->n_stages + 1, sizeof(*out->of));
	out->has = cairn_arena_alloc(c->arena, plan->n_stages + 1, sizeof(*out->has));
	for (size_t i = 0; i < plan->n_stages; i++) {
		enum cairn_state state = plan->stages[i].state;
		int rc;
		if (state == CAIRN_STATE_CACHED)
			continue;
		/* A plan is worth having without it: an estimate that fails is left out. Nothing,
		 * before the inputs are known, means that the plugin cannot tell. */
		rc = cairn_plan_estimate(plan, i, &out->of[i], NULL);
		out->has[i] = rc == 0 && (state != CAIRN_STATE_PENDING || out->of[i].flop > 0);
		out->is_partial |= rc != 1 && !out->has[i];
		if (out->has[i])
			out->flop += out->of[i].flop;
	}
}

static json_t *planned_json(const cairn_planned *stage, const cairn_estimate *estimate)
{
	char key[CAIRN_KEY_TEXT];
	json_t *expected = json_null();

	if (stage->has_key)
		cairn_key_format(&stage->key, key);
	if (estimate)
		expected = json_pack("{s:f, s:f, s:I, s:I}", "flop", estimate->flop, "pf_days",
			estimate->flop / CAIRN_PF_DAY, "memory_bytes",
			(json_int_t)estimate->memory_bytes, "output_bytes",
			(json_int_t)estimate->output_bytes);
	return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o}", "instance", stage->instance->name,
		"plugin", stage->instance->plugin->name, "state", cairn_state_name(stage->state),
		"key", stage->has_key ? json_string(key) : json_null(), "reason",
		cairn_record_text(stage->reason), "estimate", expected);
}

static void print_plan(cli *c, const cairn_plan *plan, const estimates *expected)
{
	cli_table *table = cli_table_new(c, "STAGE|PLUGIN|STATE|>ESTIMATE|>PF-DAYS|REASON");
	char text[32];

	for (size_t i = 0; i < plan->n_stages; i++) {
		const cairn_planned *stage = &plan->stages[i];
		const char *state = cairn_state_name(stage->state);
		double flop = expected->of[i].flop;
		cli_table_row(table);
		cli_table_cell(table, "%s", stage->instance->name);
		cli_table_cell(table, "%s", stage->instance->plugin->name);
		cli_table_cell(table, "%s", state);
		cli_table_style(table, cli_state_style(state));
		cli_table_cell(table, "%s", expected->has[i] ? cli_flop(text, flop) : "-");
		cli_table_cell(table, "%s", expected->has[i] ? cli_pf_days(text, flop) : "-");
		cli_table_cell(table, "%s", stage->reason);
	}
	cli_table_print(table, stdout, c->color_out);
}

static int print_plan_json(const cli_work *work, const estimates *expected, size_t n_cached)
{
	const cairn_plan *plan = work->plan;
	json_t *stages = json_array();

	for (size_t i = 0; i < plan->n_stages; i++)
		json_array_append_new(stages,
			planned_json(&plan->stages[i], expected->has[i] ? &expected->of[i] : NULL));
	return cli_print_json(
		json_pack("{s:s, s:s, s:I, s:I, s:f, s:o}", "workflow", work->workflow->name,
			"file", work->workflow->file, "cached", (json_int_t)n_cached, "to_run",
			(json_int_t)(plan->n_stages - n_cached), "estimated_flop", expected->flop,
			"stages", stages),
		"cairn.plan/1");
}

int cli_plan(cli *c)
{
	cli_work work;
	estimates expected = {0};
	size_t n_cached = 0, n;
	char text[32];
	int status = cli_work_open(
		c, &work, first_arg(c), CLI_WORK_STORE | CLI_WORK_CREATE | CLI_WORK_PLAN);

	if (status != CLI_OK)
		return status;
	n = work.plan->n_stages;
	for (size_t i = 0; i < n; i++)
		n_cached += work.plan->stages[i].state == CAIRN_STATE_CACHED;
	ask_estimates(c, work.plan, &expected);
	if (c->json) {
		status = print_plan_json(&work, &expected, n_cached);
	} else {
		if (!c->quiet)
			print_plan(c, work.plan, &expected);
		printf("%scached %zu, to run %zu | estimated %s%s PF-days | next: %s\n",
			c->quiet ? "" : "\n", n_cached, n - n_cached,
			expected.is_partial ? "at least " : "", cli_pf_days(text, expected.flop),
			n_cached == n ? "cairn status" : cli_run_command(c, work.workflow->file));
	}
	cli_work_close(&work);
	return status == CLI_OK && c->exit_code && n_cached < n ? CLI_FAILED : status;
}

/* ---- run -------------------------------------------------------------------------------- */

static int status_of(const cairn_run_summary *summary)
{
	if (summary->failed || summary->stopped)
		return CLI_FAILED;
	return summary->waiting ? CLI_WAITING : summary->blocked ? CLI_FAILED : CLI_OK;
}

int cli_run(cli *c)
{
	cli_work work;
	cli_progress *progress;
	cairn_run_summary summary = {0};
	cairn_run_options options = {.jobs = c->jobs,
		.threads = c->threads,
		.keep_going = c->keep_going,
		.no_wait = c->no_wait,
		.argv = c->argv,
		.argc = c->argc};
	cairn_error err = {0};
	int status, rc;

	if (c->dry_run)
		return cli_plan(c);
	status = cli_work_open(
		c, &work, first_arg(c), CLI_WORK_STORE | CLI_WORK_CREATE | CLI_WORK_PLAN);
	if (status != CLI_OK)
		return status;
	progress = cli_progress_new(c, work.workflow);
	rc = cairn_run_workflow(
		work.plan, &options, cli_progress_observer(progress), &summary, &err);
	cli_progress_end(progress);
	if (rc < 0) {
		status = cli_error(c, &err);
	} else {
		status = cli_closing(c, &work, &summary);
		if (status == CLI_OK)
			status = status_of(&summary);
	}
	cli_work_close(&work);
	if (summary.signal) {
		/* Die of the signal, so that the shell and its scripts know. */
		fflush(NULL);
		signal(summary.signal, SIG_DFL);
		raise(summary.signal);
	}
	return status;
}
