/* SPDX-License-Identifier: Apache-2.0 */
/* records.c - tests of record.c, resolve.c and report.c. */
#include <string.h>

#include "audit/report.h"
#include "audit/stage_rows.h"
#include "fixture.h"

static cairn_snapshot *look(fixture *f)
{
	cairn_snapshot *snapshot;

	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	return snapshot;
}

static void test_audit_record__run_id_reads_back(void **state)
{
	cairn_run_id id, again;
	char text[CAIRN_RUN_TEXT];
	const cairn_run_id all = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
		0xff, 0xff, 0xff, 0xff, 0xff}};

	(void)state;
	assert_int_equal(cairn_run_id_new(&id, NULL), 0);
	cairn_run_id_format(&id, text);
	assert_int_equal(strlen(text), 26);
	assert_int_equal(cairn_run_id_parse(&again, text, NULL), 0);
	assert_memory_equal(id.bytes, again.bytes, sizeof(id.bytes));
	/* The largest 128 bits, by the definition of a ULID. */
	cairn_run_id_format(&all, text);
	assert_string_equal(text, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
	assert_true(cairn_run_id_parse(&again, "8ZZZZZZZZZZZZZZZZZZZZZZZZZ", NULL) < 0);
	assert_true(cairn_run_id_parse(&again, "7ZZZZZZZZZZZZZZZZZZZZZZZZU", NULL) < 0);
	assert_true(cairn_run_id_parse(&again, "7ZZZ", NULL) < 0);
}

static void test_audit_record__run_ids_ascend_in_time(void **state)
{
	/* The example of the ULID specification: 1469918176385 is 01ARYZ6S41. */
	cairn_run_id id = {{0}};
	uint64_t ms = 1469918176385;
	char text[CAIRN_RUN_TEXT];

	(void)state;
	for (int i = 0; i < 6; i++)
		id.bytes[i] = (uint8_t)(ms >> (8 * (5 - i)));
	cairn_run_id_format(&id, text);
	assert_memory_equal(text, "01ARYZ6S41", 10);
}

static void test_audit_record__newest_run_by_workflow(void **state)
{
	fixture *f = *state;
	cairn_run_id a = fixture_run(f, 1000, "a"), b = fixture_run(f, 2000, "b"), found;
	cairn_snapshot *snapshot = look(f);

	assert_int_equal(cairn_record_newest_run(&found, snapshot, NULL, NULL), 0);
	assert_memory_equal(found.bytes, b.bytes, sizeof(b.bytes));
	assert_int_equal(cairn_record_newest_run(&found, snapshot, "a", NULL), 0);
	assert_memory_equal(found.bytes, a.bytes, sizeof(a.bytes));
	assert_int_equal(cairn_record_newest_run(&found, snapshot, "c", NULL), CAIRN_ENOTFOUND);
	cairn_snapshot_end(snapshot);
}

static void test_audit_record__last_attempt_is_the_highest(void **state)
{
	fixture *f = *state;
	cairn_key key = fixture_key(5);
	cairn_snapshot *snapshot = look(f);
	uint32_t n = 99;

	assert_int_equal(cairn_record_last_attempt(&n, snapshot, &key, NULL), 0);
	assert_int_equal(n, 0);
	cairn_snapshot_end(snapshot);
	/* 300 needs two bytes: bytewise order is the numeric one only if they are big-endian. */
	fixture_attempt(f, 5, 300, "r", 1, 1, 0);
	fixture_attempt(f, 5, 2, "r", 1, 1, 0);
	fixture_attempt(f, 6, 999, "r", 1, 1, 0);
	snapshot = look(f);
	assert_int_equal(cairn_record_last_attempt(&n, snapshot, &key, NULL), 0);
	assert_int_equal(n, 300);
	cairn_snapshot_end(snapshot);
}

static void put_checkpoint(fixture *f, uint64_t step)
{
	json_t *record = json_pack("{s:I}", "step", (json_int_t)step);
	cairn_key key = fixture_key(5);
	cairn_batch *batch;

	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_put_checkpoint(batch, &key, step, record, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	json_decref(record);
}

static void test_audit_record__newest_checkpoint_can_be_deleted(void **state)
{
	fixture *f = *state;
	cairn_key key = fixture_key(5);
	cairn_snapshot *snapshot;
	cairn_batch *batch;
	json_t *record;

	put_checkpoint(f, 256);
	put_checkpoint(f, 40);
	snapshot = look(f);
	assert_int_equal(cairn_record_newest_checkpoint(&record, snapshot, &key, NULL), 0);
	assert_int_equal(cairn_json_integer(record, "step", 0), 256);
	json_decref(record);
	cairn_snapshot_end(snapshot);
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_delete_checkpoint(batch, &key, 256, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	snapshot = look(f);
	assert_int_equal(cairn_record_newest_checkpoint(&record, snapshot, &key, NULL), 0);
	assert_int_equal(cairn_json_integer(record, "step", 0), 40);
	json_decref(record);
	cairn_snapshot_end(snapshot);
}

static void test_audit_record__error_survives_a_cut_character(void **state)
{
	cairn_error err = {0};
	json_t *json;

	(void)state;
	cairn_error_set(&err, CAIRN_EINPUT, "cannot read 'caf\xc3'");
	json = cairn_record_error(&err);
	assert_non_null(json);
	assert_string_equal(cairn_json_string(json, "code", ""), "EINPUT");
	assert_string_equal(cairn_json_string(json, "message", ""), "cannot read 'caf?'");
	json_decref(json);
}

static void test_audit_record__refuses_what_is_no_object(void **state)
{
	fixture *f = *state;
	cairn_key key = fixture_key(9);
	cairn_snapshot *snapshot;
	cairn_batch *batch;
	cairn_error err = {0};
	json_t *record = NULL;

	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(
		cairn_batch_put(batch, "result", key.bytes, sizeof(key.bytes), "[1", 2, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	snapshot = look(f);
	assert_int_equal(cairn_record_result(&record, snapshot, &key, &err), CAIRN_EINTEGRITY);
	assert_non_null(strstr(err.message, "result"));
	assert_null(record);
	cairn_snapshot_end(snapshot);
}

/* ---- names ------------------------------------------------------------------------------ */

static void put_ref(fixture *f, const char *name, uint8_t byte)
{
	cairn_id id = fixture_id(byte);
	cairn_batch *batch;

	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_batch_put(batch, "ref", name, strlen(name), id.bytes, 32, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
}

static void test_audit_resolve__ref_by_name_and_by_ending(void **state)
{
	fixture *f = *state;
	cairn_id id;
	cairn_error err = {0};
	cairn_snapshot *snapshot;

	put_ref(f, "one/sft:model", 1);
	put_ref(f, "two/sft:model", 2);
	put_ref(f, "two/rm:model", 3);
	snapshot = look(f);
	assert_int_equal(cairn_resolve_artifact(&id, f->store, snapshot, "one/sft:model", &err), 0);
	assert_int_equal(id.bytes[0], 1);
	assert_int_equal(cairn_resolve_artifact(&id, f->store, snapshot, "rm:model", &err), 0);
	assert_int_equal(id.bytes[0], 3);
	assert_int_equal(cairn_resolve_artifact(&id, f->store, snapshot, "sft:model", &err),
		CAIRN_ENOTFOUND);
	assert_non_null(strstr(err.message, "several"));
	assert_non_null(strstr(err.hint, "'one/sft:model', 'two/sft:model'"));
	/* An ending is a whole component: "m:model" ends no name. */
	assert_int_equal(
		cairn_resolve_artifact(&id, f->store, snapshot, "m:model", NULL), CAIRN_ENOTFOUND);
	cairn_snapshot_end(snapshot);
}

static void test_audit_resolve__output_of_the_newest_run(void **state)
{
	fixture *f = *state;
	cairn_run_id run = fixture_run(f, 1000, "w");
	cairn_snapshot *snapshot;
	cairn_id id;

	fixture_result(f, "sft", "sft", 5, "\x01", "\x02\x03");
	fixture_stage(f, &run, 0, "sft", "sft", 5, NULL, NULL);
	snapshot = look(f);
	assert_int_equal(cairn_resolve_artifact(&id, f->store, snapshot, "sft:out1", NULL), 0);
	assert_int_equal(id.bytes[0], 3);
	assert_int_equal(cairn_resolve_artifact(&id, f->store, snapshot, "w/sft:out0", NULL), 0);
	assert_int_equal(id.bytes[0], 2);
	assert_int_equal(
		cairn_resolve_artifact(&id, f->store, snapshot, "sf:out0", NULL), CAIRN_ENOTFOUND);
	cairn_snapshot_end(snapshot);
}

static void test_audit_resolve__run_by_its_ends_and_workflow(void **state)
{
	fixture *f = *state;
	cairn_run_id a = fixture_run(f, 0x1234567890, "alpha"), found;
	cairn_run_id b = fixture_run(f, 0x2234567890, "beta");
	char text[CAIRN_RUN_TEXT];
	cairn_error err = {0};
	cairn_snapshot *snapshot = look(f);

	cairn_run_id_format(&a, text);
	text[10] = '\0';
	assert_int_equal(cairn_resolve_run(&found, snapshot, text, NULL), 0);
	assert_memory_equal(found.bytes, a.bytes, 16);
	assert_int_equal(cairn_resolve_run(&found, snapshot, "beta", NULL), 0);
	assert_memory_equal(found.bytes, b.bytes, 16);
	/* Both end alike. */
	assert_int_equal(cairn_resolve_run(&found, snapshot, "0007", &err), CAIRN_ENOTFOUND);
	assert_non_null(strstr(err.message, "several"));
	cairn_error_clear(&err);
	assert_int_equal(cairn_resolve_run(&found, snapshot, "gamma", &err), CAIRN_ENOTFOUND);
	assert_non_null(strstr(err.message, "no run"));
	cairn_snapshot_end(snapshot);
}

/* ---- documents -------------------------------------------------------------------------- */

static void test_audit_report__status_names_outputs_and_cost(void **state)
{
	fixture *f = *state;
	cairn_run_id run = fixture_run(f, 1000, "w");
	cairn_snapshot *snapshot;
	json_t *status, *stage;

	fixture_result(f, "sft", "sft", 5, "\x01", "\x02");
	fixture_attempt(f, 5, 1, "r", 10, 20, 12);
	fixture_stage(f, &run, 0, "sft", "sft", 5, NULL, NULL);
	snapshot = look(f);
	assert_int_equal(cairn_report_status(&status, snapshot, &run, NULL), 0);
	cairn_snapshot_end(snapshot);
	assert_string_equal(cairn_json_string(status, "workflow", ""), "w");
	stage = json_array_get(json_object_get(status, "stages"), 0);
	assert_int_equal(strncmp(cairn_json_string(json_object_get(stage, "outputs"), "out0", ""),
				 "sha256:0202", 11),
		0);
	assert_true(cairn_json_number(stage, "flop", 0) == 30);
	assert_true(cairn_json_number(stage, "kept_flop", 0) == 12);
	assert_true(cairn_json_number(json_object_get(stage, "summary"), "loss", 0) == 0.5);
	json_decref(status);
}

/* The table's rows and the document say the same of each stage. */
static void assert_rows_agree(fixture *f, const cairn_run_id *run, size_t n)
{
	cairn_snapshot *snapshot = look(f);
	cairn_stage_rows rows;
	json_t *status;

	assert_int_equal(cairn_report_status(&status, snapshot, run, NULL), 0);
	assert_int_equal(cairn_stage_rows_read(&rows, snapshot, run, NULL), 0);
	cairn_snapshot_end(snapshot);
	assert_int_equal(rows.n, n);
	for (size_t i = 0; i < n; i++) {
		const json_t *stage = json_array_get(json_object_get(status, "stages"), i);
		json_t *outputs = json_object_get(stage, "outputs");
		json_t *summary = json_object_get(stage, "summary");
		const cairn_stage_row *row = &rows.rows[i];

		assert_string_equal(row->instance, cairn_json_string(stage, "instance", "?"));
		assert_string_equal(row->plugin, cairn_json_string(stage, "plugin", "?"));
		assert_string_equal(row->state, cairn_json_string(stage, "state", "?"));
		assert_string_equal(row->reason, cairn_json_string(stage, "reason", ""));
		assert_int_equal(row->attempt, cairn_json_integer(stage, "attempt", 0));
		assert_int_equal(row->is_blessed, json_object_get(stage, "blessed") != NULL);
		assert_true(row->seconds == cairn_json_number(stage, "seconds", 0));
		assert_int_equal(row->peak_bytes, cairn_json_integer(stage, "peak_bytes", 0));
		assert_true(json_object_size(summary) ? json_equal(summary, (json_t *)row->summary)
						      : !row->summary);
		assert_int_equal(row->n_outputs, json_object_size(outputs));
		for (size_t o = 0; o < row->n_outputs; o++)
			assert_string_equal(row->outputs[o].id,
				cairn_json_string(outputs, row->outputs[o].port, "none"));
	}
	cairn_stage_rows_free(&rows);
	json_decref(status);
}

static void put_stage(fixture *f, const cairn_run_id *run, uint32_t index, const char *reason)
{
	json_t *stage = json_pack("{s:s, s:s, s:s, s:n, s:s, s:i}", "instance", "odd", "plugin",
		"noop", "state", "pending", "key", "reason", reason, "attempt", 3);
	cairn_batch *batch;

	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_put_stage(batch, run, index, stage, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	json_decref(stage);
}

static void test_audit_report__rows_say_what_the_document_says(void **state)
{
	fixture *f = *state;
	cairn_run_id run = fixture_run(f, 1000, "w"), second = fixture_run(f, 2000, "w");
	char text[CAIRN_RUN_TEXT];
	cairn_batch *batch;
	json_t *record;

	fixture_result(f, "sft", "sft", 5, "\x01", "\x02\x03");
	fixture_attempt(f, 5, 1, "r", 10, 20, 12);
	fixture_attempt(f, 5, 2, "r", 1, 2, 1);
	fixture_stage(f, &run, 0, "sft", "sft", 5, NULL, NULL);
	fixture_stage(f, &run, 1, "r\xc3\xa9", "rm", 6, "who", "\"Zo\xc3\xab\"");
	fixture_result(f, "\xc3\xa4", "rm", 7, "", "\x04");
	fixture_stage(f, &run, 2, "after", "rm", 7, NULL, NULL);
	put_stage(f, &run, 3, "waits for 'sft'");
	put_stage(f, &run, 4, "waits for \"r\xc3\xa9\"");
	assert_rows_agree(f, &run, 5);
	/* A run that found everything as it was. */
	cairn_run_id_format(&run, text);
	record = json_pack("{s:s, s:s}", "workflow", "w", "stages_of", text);
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_put_run(batch, &second, record, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	json_decref(record);
	assert_rows_agree(f, &second, 5);
}

static void test_audit_report__changes_are_sorted_and_complete(void **state)
{
	json_t *before = json_pack("{s:s, s:s, s:s}", "param.lr", "1e-5", "seed", "1", "gone", "x");
	json_t *after = json_pack("{s:s, s:s, s:s}", "param.lr", "2e-5", "seed", "1", "new", "y");
	json_t *changes = cairn_report_changes(before, after);
	char *text = cairn_json_canonical(changes);

	(void)state;
	assert_string_equal(text,
		"[{\"after\":null,\"before\":\"x\",\"name\":\"gone\"},"
		"{\"after\":\"y\",\"before\":null,\"name\":\"new\"},"
		"{\"after\":\"2e-5\",\"before\":\"1e-5\",\"name\":\"param.lr\"}]");
	free(text);
	json_decref(before);
	json_decref(after);
	json_decref(changes);
}

/* Written before there were lists, beside one that is in a list: both count, now and listed. */
static void test_audit_record__runs_without_a_list_count(void **state)
{
	static const char old[] = "{\"workflow\":\"w\",\"state\":\"done\",\"start_ms\":3000}";
	fixture *f = *state;
	cairn_run_id listed = fixture_run(f, 2000, "w"), unlisted = listed, newest;
	cairn_snapshot *snapshot;
	cairn_batch *batch;

	unlisted.bytes[4]++; /* later */
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_batch_put(batch, "run", unlisted.bytes, sizeof(unlisted.bytes), old,
				 strlen(old), NULL),
		0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	for (int is_complete = 0; is_complete < 2; is_complete++) {
		snapshot = look(f);
		assert_int_equal(cairn_record_newest_run(&newest, snapshot, "w", NULL), 0);
		assert_memory_equal(newest.bytes, unlisted.bytes, sizeof(newest.bytes));
		cairn_snapshot_end(snapshot);
		assert_int_equal(cairn_record_list_runs(f->store, NULL), 0);
	}
}

static void test_audit_report__last_result_over_runs(void **state)
{
	fixture *f = *state;
	cairn_run_id old = fixture_run(f, 1000, "w"), new = fixture_run(f, 2000, "w");
	cairn_snapshot *snapshot;
	cairn_key key;
	json_t *result;

	fixture_result(f, "sft", "sft", 5, "\x01", "\x02");
	fixture_stage(f, &old, 0, "sft", "sft", 5, NULL, NULL);
	fixture_stage(f, &new, 0, "other", "sft", 6, NULL, NULL);
	snapshot = look(f);
	assert_int_equal(cairn_report_last_result(&result, &key, snapshot, "w", "sft", NULL), 0);
	assert_int_equal(key.bytes[0], 5);
	json_decref(result);
	assert_int_equal(cairn_report_last_result(&result, &key, snapshot, "w", "other", NULL),
		CAIRN_ENOTFOUND);
	assert_int_equal(cairn_report_last_result(&result, &key, snapshot, "v", "sft", NULL),
		CAIRN_ENOTFOUND);
	cairn_snapshot_end(snapshot);
}

static void test_audit_report__artifact_lists_its_entries(void **state)
{
	fixture *f = *state;
	float values[6] = {1, 2, 3, 4, 5, 6};
	cairn_tensor tensor = {.name = "w",
		.dtype = CAIRN_F32,
		.n_dims = 2,
		.dims = {2, 3},
		.data = values,
		.bytes = sizeof(values)};
	cairn_batch *batch;
	cairn_id id;
	json_t *report;
	char *text;

	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_batch_artifact_begin(batch, "model/lm", NULL), 0);
	assert_int_equal(cairn_batch_artifact_put(batch, &tensor, NULL), 0);
	assert_int_equal(cairn_batch_artifact_end(batch, "{\"n\": 1}", &id, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	assert_int_equal(cairn_report_artifact(&report, f->store, &id, NULL), 0);
	text = cairn_json_canonical(json_object_get(report, "entries"));
	assert_string_equal(
		text, "[{\"bytes\":24,\"dims\":[2,3],\"dtype\":\"f32\",\"name\":\"w\"}]");
	assert_string_equal(cairn_json_string(report, "kind", ""), "model/lm");
	assert_int_equal(cairn_json_integer(json_object_get(report, "meta"), "n", 0), 1);
	free(text);
	json_decref(report);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_audit_record__run_id_reads_back),
		cmocka_unit_test(test_audit_record__run_ids_ascend_in_time),
		WITH_STORE(test_audit_record__newest_run_by_workflow),
		WITH_STORE(test_audit_record__runs_without_a_list_count),
		WITH_STORE(test_audit_record__last_attempt_is_the_highest),
		WITH_STORE(test_audit_record__newest_checkpoint_can_be_deleted),
		cmocka_unit_test(test_audit_record__error_survives_a_cut_character),
		WITH_STORE(test_audit_record__refuses_what_is_no_object),
		WITH_STORE(test_audit_resolve__ref_by_name_and_by_ending),
		WITH_STORE(test_audit_resolve__output_of_the_newest_run),
		WITH_STORE(test_audit_resolve__run_by_its_ends_and_workflow),
		WITH_STORE(test_audit_report__status_names_outputs_and_cost),
		WITH_STORE(test_audit_report__rows_say_what_the_document_says),
		cmocka_unit_test(test_audit_report__changes_are_sorted_and_complete),
		WITH_STORE(test_audit_report__last_result_over_runs),
		WITH_STORE(test_audit_report__artifact_lists_its_entries),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
