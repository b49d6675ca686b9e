/* SPDX-License-Identifier: Apache-2.0 */
/* log.c - `cairn log`: the runs; a stage's log; the metric rows that it reported. */
#include <errno.h>
#include <string.h>

#include "audit/metrics.h"
#include "cli/cli.h"
#include "run/process.h"

#define RUNS_SHOWN 30 /* to a person who did not say how many */

/* ---- runs ------------------------------------------------------------------------------- */

static void print_runs(cli *c, const json_t *report)
{
	cli_table *table = cli_table_new(c, "RUN|WORKFLOW|STATE|STARTED|>TIME|CODE");
	json_t *run, *code;
	char text[32];
	size_t i;

	json_array_foreach(json_object_get(report, "runs"), i, run)
	{
		const char *state = cairn_json_string(run, "state", "?");
		int64_t start = cairn_json_integer(run, "start_ms", 0);
		int64_t end = cairn_json_integer(run, "end_ms", 0);
		double seconds = cairn_json_number(run, "seconds", (double)(end - start) / 1000);

		code = json_object_get(run, "provenance");
		cli_table_row(table);
		cli_table_cell(table, "%s", cairn_json_string(run, "run", "?"));
		cli_table_cell(table, "%s", cairn_json_string(run, "workflow", "?"));
		cli_table_cell(table, "%s%s", state,
			json_object_get(run, "collected_ms") ? ", collected" : "");
		cli_table_style(table, cli_state_style(state));
		cli_table_cell(table, "%s", cli_time(text, start));
		cli_table_cell(table, "%s", end && seconds > 0 ? cli_duration(text, seconds) : "-");
		cli_table_cell(table, "%.8s%s", cairn_json_string(code, "head", "-"),
			json_is_true(json_object_get(code, "dirty")) ? " + changes" : "");
	}
	cli_table_print(table, stdout, c->color_out);
}

/* Cut to `limit` runs; one more was asked for, to know whether there are more. */
static bool cut_runs(json_t *runs, size_t limit)
{
	bool is_cut = limit && json_array_size(runs) > limit;

	if (is_cut)
		json_array_remove(runs, limit);
	return is_cut;
}

static int list_runs(cli *c)
{
	size_t limit = c->limit >= 0 ? (size_t)c->limit : c->json ? 0 : RUNS_SHOWN, i;
	cli_reader reader = {0};
	json_t *report = NULL, *run;
	cairn_error err = {0};
	bool is_cut;
	int rc = cli_reader_open(c, &reader, &err);

	if (rc == 0)
		rc = cairn_report_runs(&report, reader.snapshot, limit ? limit + 1 : 0, &err);
	cli_reader_close(&reader);
	if (rc < 0)
		return cli_error(c, &err);
	is_cut = cut_runs(json_object_get(report, "runs"), limit);
	json_array_foreach(json_object_get(report, "runs"), i, run)
	{
		if (strcmp(cairn_json_string(run, "state", ""), "running") == 0 &&
			!cairn_process_is_alive(run))
			json_object_set_new(run, "state", json_string("interrupted"));
	}
	if (c->json)
		return cli_print_json(report, "cairn.log/1");
	print_runs(c, report);
	if (is_cut)
		puts("(older runs: `cairn log --limit 0`)");
	json_decref(report);
	return CLI_OK;
}

/* ---- one stage -------------------------------------------------------------------------- */

typedef struct stage_log {
	json_t *stage, *attempt;
	cairn_key key;
	uint32_t n;
} stage_log;

static int find_attempt(
	cli *c, stage_log *out, cairn_snapshot *snapshot, const char *name, cairn_error *err)
{
	const char *key = cairn_json_string(out->stage, "key", NULL);
	int rc;

	if (!key)
		return cairn_error_set(
			err, CAIRN_ENOTFOUND, "stage '%.200s' has not been tried yet", name);
	rc = cairn_key_parse(&out->key, key, err);
	if (rc == 0)
		rc = cairn_record_last_attempt(&out->n, snapshot, &out->key, err);
	if (rc == 0 && c->attempt)
		out->n = (uint32_t)c->attempt;
	if (rc == 0)
		rc = cairn_record_attempt(&out->attempt, snapshot, &out->key, out->n, err);
	if (rc == CAIRN_ENOTFOUND) {
		cairn_error_set(err, rc, "stage '%.200s' has no attempt %u", name, out->n);
		cairn_error_hint(err, "`cairn status` says how often it was tried.");
	}
	return rc;
}

static int print_log_file(cli *c, const stage_log *log)
{
	const char *path = cairn_json_string(log->attempt, "log", NULL);
	char *line = NULL;
	size_t cap = 0;
	ssize_t len;
	FILE *file = path ? fopen(path, "re") : NULL;
	cairn_error err = {0};

	if (!file) {
		cairn_error_errno(&err, CAIRN_ENOTFOUND, path ? errno : ENOENT,
			"cannot read the log of attempt %u", log->n);
		if (path)
			cairn_error_at(&err, "%s", path);
		return cli_error(c, &err);
	}
	while ((len = getline(&line, &cap, file)) >= 0) {
		char safe[4096];
		if (len > 0 && line[len - 1] == '\n')
			line[len - 1] = '\0';
		puts(cli_safe_into(safe, sizeof(safe), line));
	}
	free(line);
	fclose(file);
	return CLI_OK;
}

/* ---- metrics ---------------------------------------------------------------------------- */

static int print_rows(cli *c, const cairn_tensor *entry)
{
	const char *at = entry->data, *end = at + entry->bytes;
	json_t *rows = json_array(), *row;

	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t len = stop ? (size_t)(stop - at) : (size_t)(end - at);
		if (c->json && cairn_json_parse(&row, at, len, "metrics", NULL) == 0)
			json_array_append_new(rows, row);
		else if (!c->json)
			puts(cli_safe(c, cairn_arena_strndup(c->arena, at, len)));
		at += len + (stop != NULL);
	}
	if (!c->json) {
		json_decref(rows);
		return CLI_OK;
	}
	return cli_print_json(json_pack("{s:o}", "rows", rows), "cairn.metrics/1");
}

static int print_metrics(cli *c, cli_reader *reader, const cairn_key *key)
{
	cairn_object *object = NULL;
	cairn_tensor rows;
	cairn_error err = {0};
	int status, rc;

	rc = cairn_metrics_open(&object, &rows, reader->store, reader->snapshot, key, &err);
	status = rc < 0 ? cli_error(c, &err) : print_rows(c, &rows);
	cairn_object_close(object);
	return status;
}

static int show(cli *c, cli_reader *reader, const stage_log *log)
{
	if (c->metrics)
		return print_metrics(c, reader, &log->key);
	if (c->json) {
		json_incref(log->attempt);
		return cli_print_json(log->attempt, "cairn.attempt/1");
	}
	return print_log_file(c, log);
}

int cli_log(cli *c)
{
	const char *stage = c->n_args == 2 ? c->args[1] : c->n_args == 1 ? c->args[0] : NULL;
	cli_reader reader = {0};
	stage_log log = {0};
	cairn_run_id run;
	cairn_error err = {0};
	int status, rc;

	if (!stage)
		return list_runs(c);
	rc = cli_reader_open(c, &reader, &err);
	if (rc == 0)
		rc = cairn_resolve_run(
			&run, reader.snapshot, c->n_args == 2 ? c->args[0] : NULL, &err);
	if (rc == 0)
		rc = cairn_report_stage(&log.stage, reader.snapshot, &run, stage, &err);
	if (rc == 0)
		rc = find_attempt(c, &log, reader.snapshot, stage, &err);
	status = rc < 0 ? cli_error(c, &err) : show(c, &reader, &log);
	json_decref(log.stage);
	json_decref(log.attempt);
	cli_reader_close(&reader);
	return status;
}
