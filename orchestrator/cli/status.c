/* SPDX-License-Identifier: Apache-2.0 */
/* status.c - `cairn status`: the stages of one run. */
#include <string.h>

#include "cli/cli.h"
#include "run/process.h"

/* A record says "running" until its process ends it; a killed one never did. */
static void correct_states(json_t *status)
{
	json_t *stage;
	size_t i;

	if (strcmp(cairn_json_string(status, "state", ""), "running") != 0 ||
		cairn_process_is_alive(json_object_get(status, "record")))
		return;
	json_object_set_new(status, "state", json_string("interrupted"));
	json_array_foreach(json_object_get(status, "stages"), i, stage)
	{
		if (strcmp(cairn_json_string(stage, "state", ""), "running") == 0)
			json_object_set_new(stage, "state", json_string("interrupted"));
	}
}

static void print_status(cli *c, const json_t *status)
{
	cli_table *table = cli_table_new(c, "STAGE|PLUGIN|STATE|>TIME|>MEMORY|RESULT|OUTPUTS");
	const char *state = cairn_json_string(status, "state", "?"), *port;
	json_t *stage, *id;
	char text[32];
	size_t i;

	printf("run %s of '%s' (%s), %s%s%s, started %s\n\n", cairn_json_string(status, "run", "?"),
		cli_safe(c, cairn_json_string(status, "workflow", "?")),
		cli_safe(c, cairn_json_string(status, "file", "?")),
		cli_style(c->color_out, cli_state_style(state)), cli_safe(c, state),
		cli_style(c->color_out, CLI_PLAIN),
		cli_time(text, cairn_json_integer(status, "start_ms", 0)));
	json_array_foreach(json_object_get(status, "stages"), i, stage)
	{
		cairn_text summary = {0}, outputs = {0};
		state = cairn_json_string(stage, "state", "?");
		/* An earlier result that was accepted. */
		if (strcmp(state, "cached") == 0 && json_object_get(stage, "blessed"))
			state = "blessed";
		cli_table_row(table);
		cli_table_cell(table, "%s", cairn_json_string(stage, "instance", "?"));
		cli_table_cell(table, "%s", cairn_json_string(stage, "plugin", "?"));
		cli_table_cell(table, "%s", state);
		cli_table_style(table, cli_state_style(state));
		cli_table_cell(
			table, "%s", cli_duration(text, cairn_json_number(stage, "seconds", 0)));
		cli_table_cell(table, "%s", cli_peak(text, stage));
		cli_summary_text(&summary, json_object_get(stage, "summary"), 2);
		if (strcmp(state, "skipped") == 0 || strcmp(state, "blocked") == 0)
			cairn_text_add(&summary, cairn_json_string(stage, "reason", ""));
		cli_table_cell(table, "%s", cairn_text_get(&summary));
		json_object_foreach(json_object_get(stage, "outputs"), port, id)
			cairn_text_printf(&outputs, "%s%s=%.8s", outputs.len ? " " : "", port,
				strncmp(json_string_value(id), "sha256:", 7) == 0
					? json_string_value(id) + 7
					: json_string_value(id));
		cli_table_cell(table, "%s", cairn_text_get(&outputs));
		cairn_text_free(&summary);
		cairn_text_free(&outputs);
	}
	cli_table_print(table, stdout, c->color_out);
}

/* What somebody may want to do, or to wait for. */
static void print_notes(cli *c, const json_t *status)
{
	const char *before = "\n";
	json_t *stage;
	size_t i;

	json_array_foreach(json_object_get(status, "stages"), i, stage)
	{
		const char *state = cairn_json_string(stage, "state", "");
		bool is_tried = strcmp(state, "pending") == 0 &&
				cairn_json_integer(stage, "attempt", 0) > 0;

		if (!is_tried && strcmp(state, "waiting") != 0)
			continue;
		printf("%s%s ", before, cli_safe(c, cairn_json_string(stage, "instance", "?")));
		printf("%s\n", cli_safe(c, cairn_json_string(stage, "reason", "")));
		before = "";
	}
}

/* What `cairn gc` was told to keep nothing for is not broken. */
static void print_collected(const json_t *status)
{
	int64_t ms = cairn_json_integer(json_object_get(status, "record"), "collected_ms", 0);
	char text[32];

	if (ms)
		printf("\ncollected %s: of its outputs, those that nothing else needs are gone\n",
			cli_time(text, ms));
}

static void print_next(cli *c, const json_t *status)
{
	const char *state = cairn_json_string(status, "state", "");

	if (strcmp(state, "done") != 0 && strcmp(state, "running") != 0)
		printf("\nnext: cairn run %s\n",
			cli_safe(c, cairn_json_string(status, "file", "")));
}

int cli_status(cli *c)
{
	cli_reader reader = {0};
	json_t *status = NULL;
	cairn_run_id run;
	cairn_error err = {0};
	int rc = cli_reader_open(c, &reader, &err);

	if (rc == 0)
		rc = cairn_resolve_run(&run, reader.snapshot, c->n_args ? c->args[0] : NULL, &err);
	if (rc == 0)
		rc = cairn_report_status(&status, reader.snapshot, &run, &err);
	cli_reader_close(&reader);
	if (rc < 0)
		return cli_error(c, &err);
	correct_states(status);
	if (c->json)
		return cli_print_json(status, "cairn.status/1");
	print_status(c, status);
	print_notes(c, status);
	print_collected(status);
	print_next(c, status);
	json_decref(status);
	return CLI_OK;
}
