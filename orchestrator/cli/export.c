/* SPDX-License-Identifier: Apache-2.0 */
/* export.c - `cairn export RUN --format tensorboard|jsonl`: a run's metric rows as files. */
#include <string.h>

#include "audit/metrics.h"
#include "audit/tensorboard.h"
#include "cli/cli.h"
#include "run/tool/directory.h"

/* One stage's rows: DIR/INSTANCE/... An instance's name ("rm@brief") can be a directory's. */
static int put_rows(cli *c, cairn_outdir *dir, const char *instance, const cairn_tensor *rows,
	int64_t time_ms, cairn_error *err)
{
	cairn_text events = {0};
	char name[64];
	int rc;

	if (strcmp(c->format, "jsonl") == 0)
		return cairn_outdir_put(dir,
			cairn_arena_printf(c->arena, "%s/metrics.jsonl", instance), rows->data,
			rows->bytes, err);
	rc = cairn_tensorboard_events(&events, rows->data, rows->bytes, time_ms, instance, err);
	cairn_tensorboard_name(name, time_ms);
	if (rc == 0)
		rc = cairn_outdir_put(dir, cairn_arena_printf(c->arena, "%s/%s", instance, name),
			events.data, events.len, err);
	cairn_text_free(&events);
	return rc;
}

static int export_stage(
	cli *c, cairn_outdir *dir, cli_reader *reader, const json_t *stage, cairn_error *err)
{
	const char *key_text = cairn_json_string(stage, "key", NULL);
	cairn_object *object = NULL;
	cairn_error why = {0};
	cairn_tensor rows;
	cairn_key key;
	int rc;

	if (!key_text || cairn_key_parse(&key, key_text, &why) < 0)
		return 0; /* not tried yet */
	rc = cairn_metrics_open(&object, &rows, reader->store, reader->snapshot, &key, &why);
	if (rc == CAIRN_ENOTFOUND)
		return 0; /* many stages have none */
	if (rc == 0)
		rc = put_rows(c, dir, cairn_json_string(stage, "instance", "stage"), &rows,
			cairn_metrics_time_ms(reader->snapshot, &key), &why);
	cairn_object_close(object);
	if (rc < 0)
		*err = why;
	return rc;
}

static int export_stages(
	cli *c, cairn_outdir *dir, cli_reader *reader, const cairn_run_id *run, cairn_error *err)
{
	json_t *stages = NULL, *stage;
	size_t i;
	int rc = cairn_record_stages(&stages, reader->snapshot, run, err);

	json_array_foreach(stages, i, stage)
	{
		if (rc == 0)
			rc = export_stage(c, dir, reader, stage, err);
	}
	json_decref(stages);
	if (rc == 0 && !cairn_outdir_count(dir)) {
		rc = cairn_error_set(
			err, CAIRN_ENOTFOUND, "no stage of the run has committed metric rows");
		cairn_error_hint(err, "`cairn status` shows how far it came.");
	}
	return rc;
}

/* "instructgpt-tensorboard" */
static const char *default_directory(cli *c, cli_reader *reader, const cairn_run_id *run)
{
	const char *ending = cairn_arena_printf(c->arena, "-%s", c->format), *name;
	json_t *record = NULL;

	if (cairn_record_run(&record, reader->snapshot, run, NULL) < 0)
		return cli_directory_name(c, c->args[0], ending);
	name = cli_directory_name(c, cairn_json_string(record, "workflow", "run"), ending);
	json_decref(record);
	return name;
}

static int print_result(cli *c, const cairn_outdir *dir, const char *path)
{
	json_t *files;

	if (!c->json) {
		printf("%s\n", cli_safe(c, path));
		return CLI_OK;
	}
	files = json_array();
	for (uint64_t i = 0; i < cairn_outdir_count(dir); i++)
		json_array_append_new(files, cairn_record_text(cairn_outdir_name(dir, i)));
	return cli_print_json(
		json_pack("{s:{s:o, s:I, s:o}}", "directory", "path", cairn_record_text(path),
			"bytes", (json_int_t)cairn_outdir_bytes(dir), "files", files),
		"cairn.export/1");
}

int cli_export_run(cli *c)
{
	cli_reader reader = {0};
	cairn_outdir *dir = NULL;
	const char *path = c->n_args > 1 ? c->args[1] : NULL;
	cairn_error err = {0};
	cairn_run_id run;
	int status, rc = cli_reader_open(c, &reader, &err);

	if (rc == 0)
		rc = cairn_resolve_run(&run, reader.snapshot, c->args[0], &err);
	if (rc == 0 && !path)
		path = default_directory(c, &reader, &run);
	if (rc == 0)
		rc = cairn_outdir_begin(&dir, path, c->force, &err);
	if (rc == 0)
		rc = export_stages(c, dir, &reader, &run, &err);
	if (rc == 0)
		rc = cairn_outdir_commit(dir, &err);
	status = rc < 0 ? cli_error(c, &err) : print_result(c, dir, path);
	cairn_outdir_free(dir);
	cli_reader_close(&reader);
	return status;
}
