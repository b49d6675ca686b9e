/* SPDX-License-Identifier: Apache-2.0 */
/* roots.c - tests: what stays by default, what goes with a run, and what is said of it. */
#include "audit/roots.h"

#include <string.h>

#include "fixture.h"

/* A small artifact of its own for each number. */
static cairn_id make(fixture *f, int number)
{
	char text[32];
	cairn_tensor tensor = {.name = "data", .dtype = CAIRN_U8, .n_dims = 1, .data = text};
	cairn_batch *batch;
	cairn_id id;

	tensor.bytes = tensor.dims[0] =
		(uint64_t)snprintf(text, sizeof(text), "artifact %d", number);
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_batch_artifact_begin(batch, "file", NULL), 0);
	assert_int_equal(cairn_batch_artifact_put(batch, &tensor, NULL), 0);
	assert_int_equal(cairn_batch_artifact_end(batch, NULL, &id, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	return id;
}

static bool is_there(fixture *f, int number)
{
	cairn_snapshot *snapshot;
	cairn_id id;
	bool is;
	char text[CAIRN_ID_TEXT];

	/* Its id, from a store that nothing is taken from. */
	char path[96];
	cairn_store *other;
	fixture peace = {.store = NULL};

	snprintf(path, sizeof(path), "%s/peace", f->dir);
	assert_int_equal(cairn_store_open(&other, path, CAIRN_STORE_CREATE, NULL), 0);
	peace.store = other;
	id = make(&peace, number);
	cairn_store_close(other);
	cairn_id_format(&id, text);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	is = cairn_snapshot_has(snapshot, &id);
	cairn_snapshot_end(snapshot);
	return is;
}

static json_t *port(const cairn_id *id)
{
	char text[CAIRN_ID_TEXT];

	cairn_id_format(id, text);
	return json_pack("{s:s, s:s}", "id", text, "kind", "file");
}

/* A result under a key: reads artifact `in`, made `out`; of a tool where run is NULL. */
static void put_result(fixture *f, uint8_t key_byte, int in, int out, const char *run)
{
	cairn_id in_id = make(f, in), out_id = make(f, out);
	cairn_key key = fixture_key(key_byte);
	json_t *result = json_pack("{s:{s:[o]}, s:{s:o}}", "inputs", "in", port(&in_id), "outputs",
		"out", port(&out_id));
	cairn_batch *batch;

	if (run)
		json_object_set_new(result, "run", json_string(run));
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_put_result(batch, &key, result, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	json_decref(result);
}

static void put_checkpoint(fixture *f, uint8_t key_byte, int number, bool is_live)
{
	static const char prefix[] = CAIRN_LIVE_PREFIX;
	cairn_id id = make(f, number);
	cairn_key key = fixture_key(key_byte);
	uint8_t note[sizeof(prefix) - 1 + 32 + 4];
	json_t *record = port(&id);
	cairn_batch *batch;

	memcpy(note, prefix, sizeof(prefix) - 1);
	memcpy(note + sizeof(prefix) - 1, key.bytes, 32);
	memset(note + sizeof(note) - 4, 0, 4);
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_put_checkpoint(batch, &key, 5, record, NULL), 0);
	if (is_live)
		assert_int_equal(
			cairn_batch_put(batch, "note", note, sizeof(note), "x", 1, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	json_decref(record);
}

/* An old run (keys 1 and 2) and a new one (keys 2 and 3) of a workflow, a name, a tool's import,
 * checkpoints of keys 1, 3 and 9, and what nothing names. */
static void fill(fixture *f)
{
	cairn_run_id old = fixture_run(f, 1000, "w"), new = fixture_run(f, 2000, "w");
	char text[CAIRN_RUN_TEXT];
	cairn_batch *batch;
	cairn_id id;

	cairn_run_id_format(&old, text);
	fixture_stage(f, &old, 0, "a", "p", 1, NULL, NULL);
	fixture_stage(f, &old, 1, "b", "p", 2, NULL, NULL);
	fixture_stage(f, &new, 0, "a", "p", 3, NULL, NULL);
	fixture_stage(f, &new, 1, "b", "p", 2, NULL, NULL);
	put_result(f, 1, 10, 11, text);
	put_result(f, 2, 20, 21, text);
	put_result(f, 3, 30, 31, text);
	put_result(f, 4, 40, 41, NULL);
	put_result(f, 5, 50, 51, "a run of another store");
	put_checkpoint(f, 1, 61, false);
	put_checkpoint(f, 3, 63, false);
	put_checkpoint(f, 9, 69, true);
	id = make(f, 70);
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_put_ref(batch, "name", &id, "tool", "x", NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	(void)make(f, 99);
}

static json_t *collect(fixture *f, const cairn_retention *retention)
{
	cairn_gc_options options = {.roots = cairn_roots_tell};
	cairn_gc_report report;
	cairn_roots *roots;
	cairn_error err = {0};
	json_t *losses;

	assert_int_equal(cairn_roots_open(&roots, f->store, retention, NULL), 0);
	assert_int_equal(cairn_roots_losses(&losses, roots, f->store, NULL), 0);
	assert_int_equal(cairn_roots_apply(roots, f->store, NULL), 0);
	options.roots_arg = roots;
	if (cairn_store_gc(f->store, &options, &report, &err) < 0)
		fail_msg("%s: %s", err.message, err.detail);
	cairn_roots_close(roots);
	return losses;
}

static void assert_kept(fixture *f, const int *numbers, size_t n, bool is_kept)
{
	for (size_t i = 0; i < n; i++) {
		if (is_there(f, numbers[i]) != is_kept)
			fail_msg("artifact %d is %s", numbers[i], is_kept ? "gone" : "there");
	}
}

#define KEPT(f, ...) \
	assert_kept(f, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / 4, true)
#define GONE(f, ...) \
	assert_kept(f, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / 4, false)

static void test_audit_roots__keep_all_that_is_named(void **state)
{
	fixture *f = *state;
	json_t *losses;

	fill(f);
	losses = collect(f, &(cairn_retention){0});
	assert_int_equal(json_array_size(losses), 0);
	KEPT(f, 10, 11, 20, 21, 30, 31, 40, 41, 50, 51, 61, 63, 69, 70);
	GONE(f, 99);
	json_decref(losses);
}

static void test_audit_roots__a_run_that_goes_takes_what_is_its_own(void **state)
{
	fixture *f = *state;
	cairn_snapshot *snapshot;
	const json_t *loss;
	json_t *losses, *record = NULL;
	cairn_run_id old;

	fill(f);
	losses = collect(f, &(cairn_retention){.keep_runs = 1});
	assert_int_equal(json_array_size(losses), 1);
	loss = json_array_get(losses, 0);
	/* The output of a's result, not that of b's: it stays with the other run. */
	assert_int_equal(cairn_json_integer(loss, "outputs", -1), 1);
	assert_int_equal(cairn_json_integer(loss, "kept", -1), 1);
	assert_int_equal(cairn_json_integer(loss, "checkpoints", -1), 1);
	assert_true(cairn_json_integer(loss, "bytes", 0) > 0);
	GONE(f, 10, 11, 61, 99);
	KEPT(f, 20, 21, 30, 31, 40, 41, 50, 51, 63, 69, 70);
	assert_int_equal(cairn_run_id_parse(&old, cairn_json_string(loss, "run", ""), NULL), 0);
	json_decref(losses);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_record_run(&record, snapshot, &old, NULL), 0);
	assert_true(cairn_json_integer(record, "collected_ms", 0) > 0);
	json_decref(record);
	record = NULL;
	/* History stays: how it was made is still known. */
	assert_int_equal(
		cairn_record_result(&record, snapshot, &(cairn_key[]){fixture_key(1)}[0], NULL), 0);
	json_decref(record);
	cairn_snapshot_end(snapshot);
	losses = collect(f, &(cairn_retention){.keep_runs = 1});
	assert_int_equal(json_array_size(losses), 0);
	json_decref(losses);
}

static void test_audit_roots__age_and_number_both_have_to_say_so(void **state)
{
	fixture *f = *state;
	json_t *losses;

	fill(f);
	losses = collect(f, &(cairn_retention){.before_ms = 500, .keep_runs = 1});
	assert_int_equal(json_array_size(losses), 0);
	json_decref(losses);
	losses = collect(f, &(cairn_retention){.before_ms = 1500});
	assert_int_equal(json_array_size(losses), 1);
	json_decref(losses);
	losses = collect(f, &(cairn_retention){.before_ms = 5000, .keep_runs = 1});
	assert_int_equal(json_array_size(losses), 0);
	json_decref(losses);
	KEPT(f, 20, 21, 30, 31);
}

/* Two workflows by turns: of each the newest stay, however many there are. */
static void test_audit_roots__numbers_are_each_workflow_s_own(void **state)
{
	fixture *f = *state;
	json_t *losses, *loss;
	size_t i;

	for (uint64_t ms = 1; ms <= 9; ms++)
		(void)fixture_run(f, ms, ms % 3 ? "often" : "seldom"); /* 6 and 3 runs */
	losses = collect(f, &(cairn_retention){.keep_runs = 2});
	assert_int_equal(json_array_size(losses), 4 + 1);
	json_array_foreach(losses, i, loss)
	{
		int64_t ms = cairn_json_integer(loss, "start_ms", 0);

		assert_true(ms <= (ms % 3 ? 5 : 3));
	}
	json_decref(losses);
}

static void test_audit_roots__resume_state_of_what_runs_stays(void **state)
{
	fixture *f = *state;
	json_t *losses;

	fill(f);
	losses = collect(f, &(cairn_retention){.drop_checkpoints = true});
	assert_int_equal(json_array_size(losses), 1);
	assert_true(json_is_null(json_object_get(json_array_get(losses, 0), "run")));
	assert_int_equal(cairn_json_integer(json_array_get(losses, 0), "checkpoints", -1), 2);
	GONE(f, 61, 63);
	KEPT(f, 69, 10, 11, 30, 31);
	json_decref(losses);
}

/* The record of a stage of this key that names this artifact, in a form of its own. */
static void put_stage(fixture *f, const cairn_run_id *run, uint8_t index, const char *form,
	cairn_key key, int number)
{
	cairn_id artifact = make(f, number);
	char key_text[CAIRN_KEY_TEXT], id[CAIRN_ID_TEXT], text[300];
	uint8_t at[20] = {0};
	cairn_batch *batch;

	cairn_key_format(&key, key_text);
	cairn_id_format(&artifact, id);
	memcpy(at, run->bytes, sizeof(run->bytes));
	at[19] = index;
	(void)snprintf(text, sizeof(text), form, key_text, id);
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(
		cairn_batch_put(batch, "stage", at, sizeof(at), text, strlen(text), NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
}

/* What the parser has to read (audit/skim.h), among records that are skimmed. */
static void test_audit_roots__odd_records_are_read_like_the_others(void **state)
{
	static const char *const forms[] = {"{\"key\": \"%1$s\", \"outside\": [\"%2$s\"]}",
		"{\"key\":\"%1$s\",\"outside\":[\"%2$s\"],\"reason\":\"\xc3\xa4\\n\"}",
		"{\"outside\":[\"%2$s\"],\"key\":\"%1$s\"}"};
	fixture *f = *state;
	cairn_run_id old = fixture_run(f, 1000, "w"), new = fixture_run(f, 2000, "w");

	for (int i = 0; i < (int)CAIRN_COUNT(forms); i++) {
		put_result(f, (uint8_t)(1 + i), 10 + i, 20 + i, NULL);
		put_result(f, (uint8_t)(5 + i), 30 + i, 40 + i, NULL);
		put_stage(f, &new, (uint8_t)i, forms[i], fixture_key((uint8_t)(1 + i)), 80 + i);
		put_stage(f, &old, (uint8_t)i, forms[i], fixture_key((uint8_t)(5 + i)), 90 + i);
	}
	json_decref(collect(f, &(cairn_retention){.keep_runs = 1}));
	KEPT(f, 80, 81, 82, 10, 11, 12, 20, 21, 22);
	GONE(f, 90, 91, 92, 30, 31, 32, 40, 41, 42);
}

#define STORED(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORED(test_audit_roots__keep_all_that_is_named),
		STORED(test_audit_roots__a_run_that_goes_takes_what_is_its_own),
		STORED(test_audit_roots__age_and_number_both_have_to_say_so),
		STORED(test_audit_roots__numbers_are_each_workflow_s_own),
		STORED(test_audit_roots__resume_state_of_what_runs_stays),
		STORED(test_audit_roots__odd_records_are_read_like_the_others),
	};

	return cmocka_run_group_tests_name("audit/roots", tests, NULL, NULL);
}
