/* SPDX-License-Identifier: Apache-2.0 */
/* The memo of a workflow: what it knows, when it is believed, and runs that refer to others. */
#include "fixture.h"

#include <string.h>

#include "run/plan/memo.h"

#define HEAD  "[workflow]\nname = w\n"
#define STAGE "\nplugin = counter\nsteps = "

static const char two[] = HEAD "[stage a]" STAGE "3\n[stage b]" STAGE "4\ninput.in = a:out\n";

static json_t *record_of(fixture *f, const cairn_run_id *run)
{
	cairn_snapshot *snapshot;
	json_t *record;

	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_record_run(&record, snapshot, run, NULL), 0);
	cairn_snapshot_end(snapshot);
	return record;
}

/* Runs the text; the run whose records of stages are this one's. */
static cairn_run_id run_of(fixture *f, const char *ini)
{
	cairn_snapshot *snapshot;
	cairn_run_id of;

	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_record_stages_of(&of, snapshot, &f->summary.run, NULL), 0);
	cairn_snapshot_end(snapshot);
	return of;
}

static void delete_record(fixture *f, const char *table, const void *key, size_t len)
{
	cairn_batch *batch;

	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_batch_delete(batch, table, key, len, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
}

static void test_run_memo__a_run_where_all_is_cached_refers_to_another(void **state)
{
	fixture *f = *state;
	cairn_run_id first = run_of(f, two), second;
	cairn_snapshot *snapshot;
	json_t *record, *stages, *stage;
	size_t i;

	assert_memory_equal(&first, &f->summary.run, sizeof(first)); /* it has records of its own */
	second = run_of(f, two);
	assert_memory_equal(&second, &first, sizeof(first));
	assert_memory_not_equal(&second, &f->summary.run, sizeof(first));
	record = record_of(f, &f->summary.run);
	assert_string_equal(cairn_json_string(record, "state", ""), "done");
	json_decref(record);

	/* Its readers see its own states. */
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_record_stages(&stages, snapshot, &f->summary.run, NULL), 0);
	assert_int_equal(json_array_size(stages), 2);
	json_array_foreach(stages, i, stage)
	{
		assert_string_equal(cairn_json_string(stage, "state", ""), "cached");
		assert_string_equal(cairn_json_string(stage, "reason", ""), "up to date");
		assert_int_equal(cairn_json_integer(stage, "attempt", -1), 0);
	}
	json_decref(stages);
	assert_int_equal(cairn_record_stage(&stage, snapshot, &f->summary.run, 1, NULL), 0);
	assert_string_equal(cairn_json_string(stage, "instance", ""), "b");
	assert_string_equal(cairn_json_string(stage, "state", ""), "cached");
	json_decref(stage);
	assert_int_equal(cairn_record_stage(&stage, snapshot, &first, 1, NULL), 0);
	assert_string_equal(cairn_json_string(stage, "state", ""), "done");
	json_decref(stage);
	cairn_snapshot_end(snapshot);

	second = run_of(f, two); /* a third one: no chain */
	assert_memory_equal(&second, &first, sizeof(first));
}

static void test_run_memo__a_changed_plan_has_records_of_its_own(void **state)
{
	static const char other[] =
		HEAD "[stage a]" STAGE "3\n[stage c]" STAGE "4\ninput.in = a:out\n";
	fixture *f = *state;
	cairn_run_id first = run_of(f, two), of;

	/* The same keys under another name: all is cached, and yet it is another plan. */
	of = run_of(f, other);
	assert_int_equal(f->summary.cached, 2);
	assert_memory_equal(&of, &f->summary.run, sizeof(of));
	of = run_of(f, two);
	assert_memory_not_equal(&of, &first, sizeof(of));
	assert_memory_equal(&of, &f->summary.run, sizeof(of));
}

static void test_run_memo__knows_what_the_result_says(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_run(f, two), 0);
	assert_int_equal(fixture_plan(f, two), 0);
	assert_true(f->plan->is_as_remembered);
	for (size_t i = 0; i < f->plan->n_stages; i++) {
		const cairn_planned *planned = &f->plan->stages[i];
		uint64_t n = planned->instance->plugin->n_outputs;
		const json_t *result, *output;
		char text[CAIRN_ID_TEXT];
		double flop = 0;

		assert_int_equal(planned->state, CAIRN_STATE_CACHED);
		assert_null(planned->result); /* nobody had to read it */
		result = cairn_plan_result(f->plan, i);
		assert_non_null(result);
		output = json_object_get(json_object_get(result, "outputs"), "out");
		cairn_id_format(&planned->outputs[0], text);
		assert_string_equal(cairn_json_string(output, "id", ""), text);
		output = json_object_get(json_object_get(result, "outputs"), "metrics");
		cairn_id_format(&planned->outputs[n], text);
		assert_string_equal(cairn_json_string(output, "id", ""), text);
		for (size_t a = 0; a < json_array_size(json_object_get(result, "flop")); a++)
			flop += json_number_value(
				json_array_get(json_object_get(result, "flop"), a));
		assert_true(planned->flop == flop);
		assert_true(planned->seconds == cairn_json_number(result, "seconds", -1));
		assert_false(planned->is_blessed);
	}
}

/* Stages put in before others move them; they are found by their keys. */
static void test_run_memo__finds_stages_that_moved(void **state)
{
	static const char more[] = HEAD "[stage new]" STAGE "9\n[stage a]" STAGE "3\n"
					"[stage b]" STAGE "4\ninput.in = a:out\n";
	fixture *f = *state;
	cairn_remembered remembered;
	cairn_snapshot *snapshot;
	cairn_memo *memo;
	cairn_id ids[3];

	assert_int_equal(fixture_run(f, two), 0);
	assert_int_equal(fixture_plan(f, more), 0);
	assert_false(f->plan->is_as_remembered);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	memo = cairn_memo_open(f->plan, snapshot);
	assert_non_null(memo);
	assert_false(cairn_memo_find(memo, 0, ids, &remembered));
	assert_true(cairn_memo_find(memo, 1, ids, &remembered));
	assert_memory_equal(ids, f->plan->stages[1].outputs, sizeof(ids));
	assert_true(cairn_memo_find(memo, 2, ids, &remembered));
	assert_memory_equal(ids, f->plan->stages[2].outputs, sizeof(ids));
	cairn_memo_close(memo);
	cairn_snapshot_end(snapshot);
}

static void test_run_memo__a_lost_result_is_noticed(void **state)
{
	fixture *f = *state;
	cairn_key key;

	assert_int_equal(fixture_run(f, two), 0);
	key = stage_of(f, "b")->key;
	delete_record(f, "result", key.bytes, sizeof(key.bytes));
	assert_int_equal(fixture_plan(f, two), 0);
	assert_int_equal(stage_of(f, "a")->state, CAIRN_STATE_CACHED);
	assert_int_equal(stage_of(f, "b")->state, CAIRN_STATE_READY);
	assert_int_equal(fixture_run(f, two), 0);
	assert_int_equal(f->summary.done, 1);
	assert_int_equal(fixture_plan(f, two), 0);
	assert_true(f->plan->is_as_remembered);
}

/* Changes the piece's last byte (of an id) or leaves out all but `len` bytes. */
static void spoil_piece(fixture *f, size_t len)
{
	static const char name[] = "plan:w\0\0\0\0";
	cairn_snapshot *snapshot;
	cairn_batch *batch;
	const void *value;
	char copy[1024];
	size_t n;

	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(
		cairn_snapshot_get(snapshot, "note", name, sizeof(name), &value, &n, NULL), 0);
	assert_true(n <= sizeof(copy));
	memcpy(copy, value, n);
	cairn_snapshot_end(snapshot);
	copy[n - 1] ^= 1;
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(
		cairn_batch_put(batch, "note", name, sizeof(name), copy, len < n ? len : n, NULL),
		0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
}

/* An artifact that the memo names and the store has lost: the memo is not believed. */
static void test_run_memo__is_checked_when_something_was_deleted(void **state)
{
	static const char third[] = HEAD "[stage c]" STAGE "7\n";
	fixture *f = *state;
	cairn_key key;
	cairn_id id;

	assert_int_equal(fixture_run(f, third), 0);
	key = stage_of(f, "c")->key;
	assert_int_equal(fixture_run(f, two), 0);
	id = stage_of(f, "b")->outputs[2];
	spoil_piece(f, SIZE_MAX); /* the metric log of b is another one now */
	assert_int_equal(fixture_plan(f, two), 0);
	assert_memory_not_equal(&stage_of(f, "b")->outputs[2], &id, sizeof(id)); /* believed */
	delete_record(f, "result", key.bytes, sizeof(key.bytes)); /* of a stage that is not here */
	assert_int_equal(fixture_plan(f, two), 0);
	assert_memory_equal(&stage_of(f, "b")->outputs[2], &id, sizeof(id));
	assert_int_equal(stage_of(f, "b")->state, CAIRN_STATE_CACHED);
	assert_false(f->plan->is_as_remembered);
}

static void test_run_memo__one_that_is_cut_off_costs_nothing_but_time(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_run(f, two), 0);
	for (size_t len = 0; len < 200; len += 7) {
		spoil_piece(f, len);
		assert_int_equal(fixture_plan(f, two), 0);
		assert_int_equal(stage_of(f, "a")->state, CAIRN_STATE_CACHED);
		assert_int_equal(stage_of(f, "b")->state, CAIRN_STATE_CACHED);
		assert_int_equal(fixture_run(f, two), 0); /* puts it right */
		assert_int_equal(fixture_plan(f, two), 0);
		assert_true(f->plan->is_as_remembered);
	}
}

static void test_run_memo__a_name_that_was_moved_is_put_back(void **state)
{
	static const char name[] = "w/b:out";
	fixture *f = *state;
	cairn_snapshot *snapshot;
	cairn_batch *batch;
	const void *value;
	cairn_run_id of;
	cairn_id a, b;
	size_t len;

	assert_int_equal(fixture_run(f, two), 0);
	a = stage_of(f, "a")->outputs[0];
	b = stage_of(f, "b")->outputs[0];
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_put_ref(batch, name, &a, "tool", "import", NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	of = run_of(f, two);
	assert_memory_equal(&of, &f->summary.run, sizeof(of));
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(
		cairn_snapshot_get(snapshot, "ref", name, strlen(name), &value, &len, NULL), 0);
	assert_memory_equal(value, &b, sizeof(b));
	cairn_snapshot_end(snapshot);
	of = run_of(f, two);
	assert_memory_not_equal(&of, &f->summary.run, sizeof(of));
}

/* Checkpoints that are kept are outputs, too, of which the memo knows nothing: it leaves such
 * stages out, and their results are read. */
static void test_run_memo__leaves_out_stages_with_more_outputs(void **state)
{
	static const char keeping[] = HEAD "[stage a]" STAGE "8\ncheckpoint_every = 1\n"
					   "keep_every = 4\n[stage b]" STAGE "4\n";
	fixture *f = *state;
	cairn_remembered remembered;
	cairn_snapshot *snapshot;
	cairn_memo *memo;
	cairn_run_id of;
	cairn_id ids[3];

	assert_int_equal(fixture_run(f, keeping), 0);
	assert_int_equal(fixture_plan(f, keeping), 0);
	assert_int_equal(stage_of(f, "a")->state, CAIRN_STATE_CACHED);
	assert_true(stage_of(f, "a")->has_more);
	assert_false(stage_of(f, "b")->has_more);
	assert_false(f->plan->is_as_remembered);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	memo = cairn_memo_open(f->plan, snapshot);
	assert_false(cairn_memo_find(memo, 0, ids, &remembered));
	assert_true(cairn_memo_find(memo, 1, ids, &remembered));
	cairn_memo_close(memo);
	cairn_snapshot_end(snapshot);
	of = run_of(f, keeping);
	assert_int_equal(f->summary.cached, 2);
	assert_memory_equal(&of, &f->summary.run, sizeof(of));
}

/* What a plan holds per stage, in bytes: shared tables, no room for what may be. */
static void test_run_memo__a_stage_of_a_plan_is_small(void **state)
{
	enum {
		N = 2000
	};
	fixture *f = *state;
	cairn_text ini = {0};

	cairn_text_add(&ini, HEAD "[stage first]" STAGE "1\n");
	for (int i = 0; i < N; i++)
		cairn_text_printf(&ini, "[stage s%d]" STAGE "1\ninput.in = first:out\n", i);
	assert_int_equal(fixture_plan(f, cairn_text_get(&ini)), 0);
	assert_int_equal(f->plan->n_stages, N + 1);
	assert_in_range(cairn_arena_size(f->plan->arena), N * sizeof(cairn_planned), N * 200);
	assert_in_range(cairn_arena_size(f->workflow->arena), N * 100, N * 700);
	cairn_text_free(&ini);
}

int tests_main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_run_memo__a_run_where_all_is_cached_refers_to_another),
		FIXTURE_TEST(test_run_memo__a_changed_plan_has_records_of_its_own),
		FIXTURE_TEST(test_run_memo__knows_what_the_result_says),
		FIXTURE_TEST(test_run_memo__finds_stages_that_moved),
		FIXTURE_TEST(test_run_memo__a_lost_result_is_noticed),
		FIXTURE_TEST(test_run_memo__is_checked_when_something_was_deleted),
		FIXTURE_TEST(test_run_memo__one_that_is_cut_off_costs_nothing_but_time),
		FIXTURE_TEST(test_run_memo__a_name_that_was_moved_is_put_back),
		FIXTURE_TEST(test_run_memo__leaves_out_stages_with_more_outputs),
		FIXTURE_TEST(test_run_memo__a_stage_of_a_plan_is_small),
	};

	return cmocka_run_group_tests_name("run/memo", tests, NULL, NULL);
}
