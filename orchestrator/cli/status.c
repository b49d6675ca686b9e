/* SPDX-License-Identifier: Apache-2.0 */
/* status.c - `cairn status`: the stages of one run. */
#include <string.h>

#include "audit/stage_rows.h"
#include "cli/cli.h"
#include "run/process.h"

/* A record says "running" until its process ends it; a killed one never did. */
static bool is_interrupted(const json_t *record)
{
	return strcmp(cairn_json_string(record, "state", ""), "running") == 0 &&
	       !cairn_process_is_alive(record);
}

/* ---- as a document ------------------------------------------------------------------------ */

static int print_document(cli *c, cairn_snapshot *snapshot, const cairn_run_id *run)
{
	json_t *status = NULL, *stage;
	cairn_error err = {0};
	size_t i;

	if (cairn_report_status(&status, snapshot, run, &err) < 0)
		return cli_error(c, &err);
	if (is_interrupted(json_object_get(status, "record"))) {
		json_object_set_new(status, "state", json_string("interrupted"));
		json_array_foreach(json_object_get(status, "stages"), i, stage)
		{
			if (strcmp(cairn_json_string(stage, "state", ""), "running") == 0)
				json_object_set_new(stage, "state", json_string("interrupted"));
		}
	}
	return cli_print_json(status, "cairn.status/1");
}

/* ---- for people --------------------------------------------------------------------------- */

static void print_head(cli *c, const json_t *record, const char *state)
{
	char text[32];

	printf("run %s of '%s' (%s), %s%s%s, started %s\n\n", cairn_json_string(record, "run", "?"),
		cli_safe(c, cairn_json_string(record, "workflow", "?")),
		cli_safe(c, cairn_json_string(record, "file", "?")),
		cli_style(c->color_out, cli_state_style(state)), cli_safe(c, state),
		cli_style(c->color_out, CLI_PLAIN),
		cli_time(text, cairn_json_integer(record, "start_ms", 0)));
}

static void add_row(cli_table *table, const cairn_stage_row *row)
{
	/* An earlier result that was accepted. */
	bool is_blessed = row->is_blessed && strcmp(row->state, "cached") == 0;
	const char *state = is_blessed ? "blessed" : row->state;
	cairn_text text = {0};
	char number[32];

	cli_table_row(table);
	cli_table_cell(table, "%s", row->instance);
	cli_table_cell(table, "%s", row->plugin);
	cli_table_cell(table, "%s", state);
	cli_table_style(table, cli_state_style(state));
	cli_table_cell(table, "%s", cli_duration(number, row->seconds));
	cli_table_cell(
		table, "%s", row->peak_bytes ? cli_bytes(number, (double)row->peak_bytes) : "-");
	cli_summary_text(&text, row->summary, 2);
	if (strcmp(state, "skipped") == 0 || strcmp(state, "blocked") == 0)
		cairn_text_add(&text, row->reason);
	cli_table_cell(table, "%s", cairn_text_get(&text));
	cairn_text_clear(&text);
	for (size_t o = 0; o < row->n_outputs; o++) {
		const char *id = row->outputs[o].id;

		cairn_text_printf(&text, "%s%s=%.8s", o ? " " : "", row->outputs[o].port,
			strncmp(id, "sha256:", 7) == 0 ? id + 7 : id);
	}
	cli_table_cell(table, "%s", cairn_text_get(&text));
	cairn_text_free(&text);
}

static void print_rows(cli *c, const cairn_stage_rows *rows)
{
	cli_table *table = cli_table_new(c, "STAGE|PLUGIN|STATE|>TIME|>MEMORY|RESULT|OUTPUTS");

	for (size_t i = 0; i < rows->n; i++)
		add_row(table, &rows->rows[i]);
	cli_table_print(table, stdout, c->color_out);
}

/* What somebody may want to do, or to wait for. */
static void print_notes(cli *c, const cairn_stage_rows *rows)
{
	const char *before = "\n";

	for (size_t i = 0; i < rows->n; i++) {
		const cairn_stage_row *row = &rows->rows[i];
		bool is_tried = strcmp(row->state, "pending") == 0 && row->attempt > 0;

		if (!is_tried && strcmp(row->state, "waiting") != 0)
			continue;
		printf("%s%s ", before, cli_safe(c, row->instance));
		printf("%s\n", cli_safe(c, row->reason));
		before = "";
	}
}

/* What `cairn gc` was told to keep nothing for is not broken. */
static void print_collected(const json_t *record)
{
	int64_t ms = cairn_json_integer(record, "collected_ms", 0);
	char text[32];

	if (ms)
		printf("\ncollected %s: of its outputs, those that nothing else needs are gone\n",
			cli_time(text, ms));
}

static int print_all(cli *c, cairn_snapshot *snapshot, const cairn_run_id *run)
{
	cairn_stage_rows rows = {0};
	json_t *record = NULL;
	cairn_error err = {0};
	const char *state;
	int rc = cairn_record_run(&record, snapshot, run, &err);

	if (rc == 0)
		rc = cairn_stage_rows_read(&rows, snapshot, run, &err);
	if (rc < 0) {
		json_decref(record);
		return cli_error(c, &err);
	}
	state = cairn_json_string(record, "state", "?");
	if (is_interrupted(record)) {
		state = "interrupted";
		for (size_t i = 0; i < rows.n; i++) {
			if (strcmp(rows.rows[i].state, "running") == 0)
				rows.rows[i].state = state;
		}
	}
	print_head(c, record, state);
	print_rows(c, &rows);
	print_notes(c, &rows);
	print_collected(record);
	if (strcmp(state, "done") != 0 && strcmp(state, "running") != 0)
		printf("\nnext: cairn run %s\n",
			cli_safe(c, cairn_json_string(record, "file", "")));
	cairn_stage_rows_free(&rows);
	json_decref(record);
	return CLI_OK;
}

int cli_status(cli *c)
{
	cli_reader reader = {0};
	cairn_run_id run;
	cairn_error err = {0};
	int status;
	int rc = cli_reader_open(c, &reader, &err);

	if (rc == 0)
		rc = cairn_resolve_run(&run, reader.snapshot, c->n_args ? c->args[0] : NULL, &err);
	if (rc < 0)
		status = cli_error(c, &err);
	else if (c->json)
		status = print_document(c, reader.snapshot, &run);
	else
		status = print_all(c, reader.snapshot, &run);
	cli_reader_close(&reader);
	return status;
}
