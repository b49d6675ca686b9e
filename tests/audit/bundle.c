/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.c - bundles there and back, and every way in which one can be wrong. */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/tar.h"
#include "bundle_world.h"
#include "cairn/fsck.h"

/* ---- there and back ---------------------------------------------------------------------------
 */

static void test_audit_bundle__there_and_back_is_the_same_file(void **state)
{
	world *w = *state;
	uint8_t *first = world_copy_tar(w);
	size_t len = w->len;
	json_t *report = world_must_import(w, NULL);

	assert_int_equal(json_array_size(json_object_get(report, "artifacts")), 2);
	assert_int_equal(json_object_size(json_object_get(report, "names")), 2);
	world_assert_same_bytes(w->f->store, w->other, &w->model);
	world_assert_same_bytes(w->f->store, w->other, &w->report);
	assert_false(world_has(w->other, &w->data)); /* nobody asked for it */
	world_export(w, w->other, &(cairn_bundle_root){.run = &w->run});
	assert_int_equal(len, w->len);
	assert_memory_equal(first, w->tar, len);
	json_decref(report);
	free(first);
}

static void test_audit_bundle__a_second_import_changes_nothing(void **state)
{
	world *w = *state;
	json_t *report = world_must_import(w, NULL), *records;
	size_t n = world_count_records(w->other);

	json_decref(report);
	report = world_must_import(w, NULL);
	records = json_object_get(report, "records");
	assert_int_equal(cairn_json_integer(records, "new", -1), 0);
	assert_int_equal(cairn_json_integer(records, "kept", -1), 0);
	assert_true(cairn_json_integer(records, "same", -1) > 0);
	assert_int_equal(world_count_records(w->other), n);
	json_decref(report);
}

static void test_audit_bundle__an_artifact_brings_the_records_of_its_ancestors(void **state)
{
	world *w = *state;
	cairn_snapshot *snapshot;
	cairn_key key = fixture_key(1);
	json_t *report, *result;

	world_export(w, w->f->store, &(cairn_bundle_root){.artifact = &w->report});
	report = world_must_import(w, NULL);
	assert_true(world_has(w->other, &w->report));
	assert_false(world_has(w->other, &w->model));
	assert_int_equal(cairn_snapshot_begin(&snapshot, w->other, NULL), 0);
	assert_int_equal(cairn_record_result(&result, snapshot, &key, NULL), 0);
	assert_string_equal(cairn_json_string(result, "instance", ""), "a");
	cairn_snapshot_end(snapshot);
	json_decref(result);
	json_decref(report);
	world_export(
		w, w->f->store, &(cairn_bundle_root){.artifact = &w->report, .with_inputs = true});
	report = world_must_import(w, NULL);
	assert_true(world_has(w->other, &w->model));
	world_assert_same_bytes(w->f->store, w->other, &w->data);
	json_decref(report);
}

static void test_audit_bundle__a_run_that_goes_on_is_refused(void **state)
{
	world *w = *state;
	json_t *record = json_pack("{s:s}", "state", "running"), *result;
	cairn_error err = {0};
	cairn_batch *batch;

	assert_int_equal(cairn_batch_begin(&batch, w->f->store, NULL), 0);
	assert_int_equal(cairn_record_put_run(batch, &w->run, record, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	assert_int_equal(cairn_bundle_export(&result, w->f->store,
				 &(cairn_bundle_root){.run = &w->run}, world_take, w, &err),
		CAIRN_EBUSY);
	assert_non_null(strstr(err.message, "is not over"));
	json_decref(record);
}

/* ---- among records of our own -----------------------------------------------------------------
 */

static void test_audit_bundle__a_taken_name_is_refused_unless_prefixed(void **state)
{
	world *w = *state;
	cairn_error err = {0};
	cairn_batch *batch;
	cairn_id mine;
	json_t *report;
	size_t n;

	assert_int_equal(cairn_batch_begin(&batch, w->other, NULL), 0);
	mine = world_put_artifact(batch, "model", 100, 9);
	assert_int_equal(cairn_record_put_ref(batch, "w/b:model", &mine, "run", "x", NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	n = world_count_records(w->other);
	assert_int_equal(world_import(w->other, w->tar, w->len, NULL, &report, &err), CAIRN_EINPUT);
	assert_non_null(strstr(err.message, "'w/b:model' is taken"));
	assert_non_null(strstr(err.hint, "PREFIX"));
	assert_int_equal(world_count_records(w->other), n);
	assert_false(world_has(w->other, &w->model));
	report = world_must_import(w, "theirs");
	assert_non_null(json_object_get(json_object_get(report, "names"), "theirs/w/b:model"));
	assert_true(world_has(w->other, &w->model));
	json_decref(report);
}

static void test_audit_bundle__our_record_stays_where_theirs_differs(void **state)
{
	world *w = *state;
	json_t *ours = json_pack("{s:s, s:{}}", "instance", "mine", "outputs"), *report, *result;
	cairn_key key = fixture_key(2);
	cairn_snapshot *snapshot;
	cairn_batch *batch;

	assert_int_equal(cairn_batch_begin(&batch, w->other, NULL), 0);
	assert_int_equal(cairn_record_put_result(batch, &key, ours, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	report = world_must_import(w, NULL);
	assert_int_equal(json_array_size(json_object_get(report, "kept")), 1);
	assert_int_equal(
		strncmp(json_string_value(json_array_get(json_object_get(report, "kept"), 0)),
			"result 0202", 11),
		0);
	assert_int_equal(cairn_snapshot_begin(&snapshot, w->other, NULL), 0);
	assert_int_equal(cairn_record_result(&result, snapshot, &key, NULL), 0);
	assert_string_equal(cairn_json_string(result, "instance", ""), "mine");
	cairn_snapshot_end(snapshot);
	json_decref(result);
	json_decref(report);
	json_decref(ours);
}

/* ---- damage -----------------------------------------------------------------------------------
 */

static void test_audit_bundle__no_changed_byte_passes(void **state)
{
	world *w = *state;
	uint8_t *copy = world_copy_tar(w);

	/* Each byte of the headers and sums in front, then samples. */
	for (size_t at = 0; at < w->len; at += at < 2048 ? 7 : 1009) {
		copy[at] ^= 1;
		world_refused(w, copy, w->len, NULL);
		copy[at] ^= 1;
	}
	free(copy);
	json_decref(world_must_import(w, NULL));
}

static void test_audit_bundle__cut_off_anywhere(void **state)
{
	world *w = *state;

	for (size_t len = 0; len < w->len; len += len % 512 ? 1 : 4095)
		world_refused(w, w->tar, len, NULL);
	world_refused(w, w->tar, w->len - 512, "cut off");
	world_refused(w, w->tar, 100, "cut off");
}

static void test_audit_bundle__what_is_no_bundle(void **state)
{
	world *w = *state;
	uint8_t bytes[2048] = "\x1f\x8b\x08";
	uint8_t *copy = world_copy_tar(w);
	cairn_error err = {0};
	json_t *report;

	assert_int_equal(
		world_import(w->other, bytes, sizeof(bytes), NULL, &report, &err), CAIRN_EINPUT);
	assert_non_null(strstr(err.message, "gzip"));
	assert_non_null(strstr(err.hint, "gzip -dc FILE | cairn import -"));
	memset(bytes, 0, sizeof(bytes));
	world_refused(w, bytes, sizeof(bytes), "no bundle");
	memset(bytes, 'x', sizeof(bytes));
	world_refused(w, bytes, sizeof(bytes), "no bundle");
	cairn_tar_header(bytes, "hello.txt", 5);
	world_refused(w, bytes, sizeof(bytes), "SHA256SUMS must come first");
	memset(copy + w->len, 0, 512);
	memcpy(copy + w->len, "more", 4);
	world_refused(w, copy, w->len + 512, "something follows");
	free(copy);
}

/* ---- kills ------------------------------------------------------------------------------------
 */

static void test_audit_bundle__killed_in_the_middle(void **state)
{
	world *w = *state;

	for (size_t at = 4000; at < w->len; at += w->len / 9) {
		int status;
		pid_t pid;

		cairn_store_close(w->other);
		pid = fork();
		if (pid == 0) {
			source s = {.bytes = w->tar, .len = w->len, .kill_at = at};
			cairn_store *store;
			json_t *report;

			if (cairn_store_open(&store, w->other_path, 0, NULL) == 0)
				_exit(cairn_bundle_import(
					&report, store, world_give, &s, NULL, NULL));
			_exit(1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_int_equal(cairn_store_open(&w->other, w->other_path, 0, NULL), 0);
		world_assert_nothing_visible(w);
	}
	json_decref(world_must_import(w, NULL));
	world_assert_same_bytes(w->f->store, w->other, &w->model);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_audit_bundle__there_and_back_is_the_same_file),
		TEST(test_audit_bundle__a_second_import_changes_nothing),
		TEST(test_audit_bundle__an_artifact_brings_the_records_of_its_ancestors),
		TEST(test_audit_bundle__a_run_that_goes_on_is_refused),
		TEST(test_audit_bundle__a_taken_name_is_refused_unless_prefixed),
		TEST(test_audit_bundle__our_record_stays_where_theirs_differs),
		TEST(test_audit_bundle__no_changed_byte_passes),
		TEST(test_audit_bundle__cut_off_anywhere),
		TEST(test_audit_bundle__what_is_no_bundle),
		TEST(test_audit_bundle__killed_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
