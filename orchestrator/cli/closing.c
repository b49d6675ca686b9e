/* SPDX-License-Identifier: Apache-2.0 */
/* closing.c - the end of a run: what became of each stage, what it cost, what to type next. */
#include <string.h>

#include "audit/ledger.h"
#include "cli/cli.h"
#include "run/wire.h"

#define MAX_HIGHLIGHT_LINES 40

/* What people look for first; the rest follows in the order of the record. */
static const char *const first_names[] = {
	"win_rate", "rm_win_rate", "accuracy", "valid_loss", "loss", "reward", "kl"};

static bool comes_first(const char *name)
{
	for (size_t i = 0; i < CAIRN_COUNT(first_names); i++) {
		if (strcmp(first_names[i], name) == 0)
			return true;
	}
	return false;
}

static void add_value(cairn_text *out, const char *name, const json_t *value)
{
	char number[32];

	cairn_text_printf(out, "%s%s %s", out->len ? ", " : "", name,
		cli_number(number, cairn_wire_number_of(value))); /* JSON has no word for NaN */
}

void cli_summary_text(cairn_text *out, const json_t *summary, size_t limit)
{
	const char *name;
	json_t *value;

	for (size_t i = 0; i < CAIRN_COUNT(first_names) && limit > 0; i++) {
		value = json_object_get(summary, first_names[i]);
		if (value) {
			add_value(out, first_names[i], value);
			limit--;
		}
	}
	json_object_foreach((json_t *)summary, name, value)
	{
		if (limit == 0)
			break;
		if (!comes_first(name)) {
			add_value(out, name, value);
			limit--;
		}
	}
}

static void print_table(cli *c, const json_t *status)
{
	cli_table *table = cli_table_new(c, "STAGE|STATE|>TIME|>PF-DAYS|>COMPUTE|>MEMORY|RESULT");
	json_t *stage;
	char a[32];
	size_t i;

	json_array_foreach(json_object_get(status, "stages"), i, stage)
	{
		const char *state = cairn_json_string(stage, "state", "?");
		double flop = cairn_json_number(stage, "flop", 0);
		cairn_text summary = {0};
		cli_table_row(table);
		cli_table_cell(table, "%s", cairn_json_string(stage, "instance", "?"));
		cli_table_cell(table, "%s", state);
		cli_table_style(table, cli_state_style(state));
		cli_table_cell(
			table, "%s", cli_duration(a, cairn_json_number(stage, "seconds", 0)));
		cli_table_cell(table, "%s", cli_pf_days(a, flop));
		cli_table_cell(table, "%s", cli_flop(a, flop));
		cli_table_cell(table, "%s", cli_peak(a, stage));
		cli_summary_text(&summary, json_object_get(stage, "summary"), 3);
		cli_table_cell(table, "%s", cairn_text_get(&summary));
		cairn_text_free(&summary);
	}
	cli_table_print(table, stdout, c->color_out);
}

/* ---- highlights ------------------------------------------------------------------------- */

static const char *first_report(const json_t *result)
{
	const char *port;
	json_t *bound;

	json_object_foreach(json_object_get(result, "outputs"), port, bound)
	{
		if (strcmp(cairn_json_string(bound, "kind", ""), "report") == 0)
			return cairn_json_string(bound, "id", NULL);
	}
	return NULL;
}

static void print_lines(cli *c, const char *bytes, size_t len)
{
	for (int lines = 0; len > 0 && lines < MAX_HIGHLIGHT_LINES; lines++) {
		const char *end = memchr(bytes, '\n', len);
		size_t n = end ? (size_t)(end - bytes) : len;
		puts(cli_safe(c, cairn_arena_strndup(c->arena, bytes, n)));
		n += end != NULL;
		bytes += n;
		len -= n;
	}
}

/* A stage with `show = yes` puts its findings under the table. */
static void print_highlight(cli *c, const cairn_plan *plan, size_t i)
{
	cairn_object *object = NULL;
	cairn_tensor entry;
	cairn_error err = {0};
	cairn_id id;
	const char *text = first_report(cairn_plan_result(plan, i));
	int rc;

	if (!text)
		return;
	rc = cairn_id_parse(&id, text, &err);
	if (rc == 0)
		rc = cairn_object_open(&object, plan->store, &id, &err);
	if (rc == 0 && cairn_object_has(object, "highlight.txt")) {
		rc = cairn_object_read(object, "highlight.txt", &entry, &err);
		if (rc == 0) {
			printf("\n%s%s%s\n", cli_style(c->color_out, CLI_BOLD),
				plan->stages[i].instance->name, cli_style(c->color_out, CLI_PLAIN));
			print_lines(c, entry.data, entry.bytes);
		}
	}
	if (rc < 0)
		cli_error(c, &err);
	cairn_object_close(object);
}

/* ---- who is waited for ------------------------------------------------------------------ */

/* What people have to do is what they must not have to look for. */
static void print_waiting(cli *c, const cairn_plan *plan)
{
	FILE *to = c->json ? stderr : stdout;
	const char *before = c->quiet ? "" : "\n";

	for (size_t i = 0; i < plan->n_stages; i++) {
		if (plan->stages[i].state != CAIRN_STATE_WAITING)
			continue;
		fprintf(to, "%s%s %s\n", before, plan->stages[i].instance->name,
			cli_safe(c, plan->stages[i].reason));
		before = "";
	}
}

/* ---- the last line ---------------------------------------------------------------------- */

const char *cli_run_command(cli *c, const char *file)
{
	cairn_text text = {0};
	const char *copy;

	cairn_text_printf(&text, "cairn run %s", file);
	for (size_t i = 0; i < c->n_params; i++) {
		/* A person copies this line: spaces must survive the shell. */
		const char *quote = strpbrk(c->params[i].value, " \t'\"$&|;<>()*?") ? "'" : "";
		cairn_text_printf(&text, " -p %s%s=%s%s", quote, c->params[i].name,
			c->params[i].value, quote);
	}
	copy = cli_safe(c, cairn_text_get(&text));
	cairn_text_free(&text);
	return copy;
}

static const char *next_command(cli *c, const cairn_plan *plan, const cairn_run_summary *summary)
{
	if (summary->failed) {
		for (size_t i = 0; i < plan->n_stages; i++) {
			if (plan->stages[i].state == CAIRN_STATE_FAILED)
				return cairn_arena_printf(
					c->arena, "cairn log %s", plan->stages[i].instance->name);
		}
	}
	if (summary->stopped || summary->failed || summary->blocked || summary->waiting)
		return cli_run_command(c, plan->workflow->file);
	return "cairn status";
}

static void print_last_line(cli *c, const cli_work *work, const cairn_run_summary *summary)
{
	FILE *to = c->json ? stderr : stdout;
	char a[32], b[32];

	fprintf(to, "%sdone %zu, cached %zu, failed %zu, waiting %zu", c->quiet ? "" : "\n",
		summary->done, summary->cached, summary->failed, summary->waiting);
	if (summary->skipped)
		fprintf(to, ", skipped %zu", summary->skipped);
	if (summary->stopped)
		fprintf(to, ", stopped %zu", summary->stopped);
	if (summary->blocked)
		fprintf(to, ", blocked %zu", summary->blocked);
	fprintf(to, " | %s | %s PF-days", cli_duration(a, summary->seconds),
		cli_pf_days(b, summary->flop));
	if (summary->flop > summary->kept_flop)
		fprintf(to, " (%.2g%% of it lost to interruptions)",
			100 * (summary->flop - summary->kept_flop) / summary->flop);
	fprintf(to, " | next: %s\n", next_command(c, work->plan, summary));
}

static json_t *summary_json(const cairn_run_summary *summary)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "done",
		(json_int_t)summary->done, "cached", (json_int_t)summary->cached, "skipped",
		(json_int_t)summary->skipped, "failed", (json_int_t)summary->failed, "waiting",
		(json_int_t)summary->waiting, "stopped", (json_int_t)summary->stopped, "blocked",
		(json_int_t)summary->blocked, "seconds", summary->seconds, "flop", summary->flop,
		"kept_flop", summary->kept_flop);
}

/* The report of the run, from its records. */
static int close_with_status(cli *c, const cli_work *work, const cairn_run_summary *summary)
{
	cairn_snapshot *snapshot = NULL;
	json_t *status = NULL;
	cairn_error err = {0};
	int rc = cairn_snapshot_begin(&snapshot, work->store, &err);

	if (rc == 0) {
		rc = cairn_report_status(&status, snapshot, &summary->run, &err);
		cairn_snapshot_end(snapshot);
	}
	if (rc < 0)
		cli_error(c, &err);
	if (status && c->json) {
		json_object_set_new(status, "summary", summary_json(summary));
		cli_print_json(json_incref(status), "cairn.run/1");
	} else if (status) {
		print_table(c, status);
	}
	json_decref(status);
	return rc;
}

int cli_closing(cli *c, const cli_work *work, const cli_progress *progress,
	const cairn_run_summary *summary)
{
	const cairn_plan *plan = work->plan;
	int rc = 0;

	if (c->json || (!c->quiet && plan->n_stages <= CLI_MANY_STAGES))
		rc = close_with_status(c, work, summary);
	else if (!c->quiet)
		cli_closing_many(c, plan, progress);
	for (size_t i = 0; i < plan->n_stages && !c->json && !c->quiet && rc == 0; i++) {
		if (plan->stages[i].instance->settings.show)
			print_highlight(c, plan, i);
	}
	if (summary->waiting)
		print_waiting(c, plan);
	print_last_line(c, work, summary);
	return rc < 0 ? cli_exit_status(rc) : CLI_OK;
}
