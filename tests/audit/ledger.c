/* SPDX-License-Identifier: Apache-2.0 */
/* ledger.c - tests: spent = kept + wasted, and nothing is counted twice. */
#include "audit/ledger.h"

#include <math.h>
#include <string.h>

#include "fixture.h"

static double field(const json_t *json, const char *a, const char *b)
{
	return cairn_json_number(json_object_get(json, a), b, NAN);
}

static void test_audit_ledger__key_adds_up_its_attempts(void **state)
{
	fixture *f = *state;
	cairn_key key = fixture_key(1);
	cairn_snapshot *snapshot;
	cairn_cost cost;

	fixture_attempt(f, 1, 1, "first", 100, 200, 240); /* killed after its checkpoint */
	fixture_attempt(f, 1, 2, "second", 40, 80, 120);  /* resumed to the end */
	fixture_attempt(f, 2, 1, "second", 7, 7, 14);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_ledger_key(&cost, snapshot, &key, NULL, NULL), 0);
	assert_int_equal(cost.attempts, 2);
	assert_true(cost.spent == 420 && cost.kept == 360 && cairn_cost_wasted(&cost) == 60);
	assert_true(cost.flop[CAIRN_ACCOUNT_FORWARD] == 140);
	assert_true(cost.flop[CAIRN_ACCOUNT_BACKWARD] == 280);
	assert_true(cairn_cost_real(&cost) == 210);
	assert_true(cost.seconds == 3);
	assert_int_equal(cairn_ledger_key(&cost, snapshot, &key, "second", NULL), 0);
	assert_int_equal(cost.attempts, 1);
	assert_true(cost.spent == 120);
	cairn_snapshot_end(snapshot);
}

static void test_audit_ledger__kept_never_exceeds_spent(void **state)
{
	fixture *f = *state;
	cairn_key key = fixture_key(1);
	cairn_snapshot *snapshot;
	cairn_cost cost;

	fixture_attempt(f, 1, 1, "r", 1, 1, 5);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_ledger_key(&cost, snapshot, &key, NULL, NULL), 0);
	assert_true(cost.kept == 2 && cairn_cost_wasted(&cost) == 0);
	cairn_snapshot_end(snapshot);
}

static void test_audit_ledger__petaflop_days(void **state)
{
	cairn_cost cost = {.spent = 8.64e19};
	json_t *json = cairn_cost_to_json(&cost);

	(void)state;
	/* A petaflop/s for a day. */
	assert_true(cairn_json_number(json, "pf_days", 0) == 1);
	json_decref(json);
}

static void test_audit_ledger__mfu_is_of_attempts_whose_peak_is_known(void **state)
{
	cairn_cost gpu = {.spent = 300, .peaked_flop = 300, .peak_flop = 600, .seconds = 2};
	const cairn_cost cpu = {.spent = 100, .seconds = 2};
	json_t *json;

	(void)state;
	json = cairn_cost_to_json(&cpu);
	assert_true(json_is_null(json_object_get(json, "mfu")));
	assert_true(cairn_json_number(json, "flop_per_second", 0) == 50);
	json_decref(json);
	cairn_cost_add(&gpu, &cpu);
	json = cairn_cost_to_json(&gpu);
	assert_true(cairn_json_number(json, "mfu", 0) == 0.5);
	assert_true(cairn_json_number(json, "flop_per_second", 0) == 100);
	json_decref(json);
}

/* pretrain -> rm@a, rm@b; rm@c has the key of rm@a. */
static cairn_run_id make_run(fixture *f)
{
	cairn_run_id run = fixture_run(f, 1000, "w");
	char text[CAIRN_RUN_TEXT];

	cairn_run_id_format(&run, text);
	fixture_stage(f, &run, 0, "pretrain", "pretrain", 1, NULL, NULL);
	fixture_stage(f, &run, 1, "rm@a", "rm", 2, "group", "a");
	fixture_stage(f, &run, 2, "rm@b", "rm", 3, "group", "b");
	fixture_stage(f, &run, 3, "rm@c", "rm", 2, "group", "c");
	fixture_attempt(f, 1, 1, "earlier", 4000, 6000, 10000);
	fixture_attempt(f, 2, 1, text, 20, 40, 60);
	fixture_attempt(f, 3, 1, text, 10, 30, 40);
	return run;
}

static void test_audit_ledger__run_counts_a_shared_key_once(void **state)
{
	fixture *f = *state;
	cairn_run_id run = make_run(f);
	cairn_snapshot *snapshot;
	json_t *cost, *groups, *stages;

	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_ledger_run(&cost, snapshot, &run, NULL), 0);
	cairn_snapshot_end(snapshot);
	assert_true(field(cost, "total", "flop") == 10100);
	assert_true(field(cost, "this_run", "flop") == 100);
	stages = json_object_get(cost, "stages");
	assert_int_equal(json_array_size(stages), 4);
	assert_string_equal(cairn_json_string(json_array_get(stages, 3), "same_as", ""), "rm@a");
	groups = json_object_get(cost, "groups");
	assert_int_equal(json_array_size(groups), 3);
	assert_string_equal(cairn_json_string(json_array_get(groups, 0), "value", ""), "shared");
	assert_true(cairn_json_number(json_array_get(groups, 1), "flop", 0) == 60);
	assert_true(cairn_json_number(json_array_get(groups, 2), "flop", 0) == 40);
	/* Alignment against pretraining, PAPER 2203.02155 section 5.1. */
	assert_true(fabs(field(cost, "pretrain", "ratio") - 0.01) < 1e-15);
	assert_true(field(json_object_get(cost, "accounts"), "forward", "flop") == 4030);
	assert_null(json_object_get(json_object_get(cost, "accounts"), "ptx"));
	json_decref(cost);
}

static void test_audit_ledger__artifact_with_ancestors_once(void **state)
{
	fixture *f = *state;
	cairn_id id = fixture_id(9);
	cairn_snapshot *snapshot;
	json_t *cost;

	/* A diamond: 2 is an ancestor of 9 on two ways. */
	fixture_result(f, "base", "pretrain", 'a', "\x01", "\x02");
	fixture_result(f, "left", "sft", 'b', "\x02", "\x03");
	fixture_result(f, "right", "sft", 'c', "\x02", "\x04");
	fixture_result(f, "join", "ppo", 'd', "\x03\x04", "\x09");
	fixture_result(f, "other", "ppo", 'e', "\x03", "\x0a");
	for (const char *key = "abcde"; *key; key++)
		fixture_attempt(f, (uint8_t)*key, 1, "r", 1, 0, 1);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_ledger_artifact(&cost, snapshot, &id, NULL), 0);
	cairn_snapshot_end(snapshot);
	assert_true(field(cost, "total", "flop") == 4);
	assert_int_equal(json_array_size(json_object_get(cost, "stages")), 4);
	assert_null(json_object_get(cost, "groups"));
	json_decref(cost);
}

static void test_audit_ledger__no_pretraining_no_share(void **state)
{
	fixture *f = *state;
	cairn_run_id run = fixture_run(f, 1000, "w");
	cairn_snapshot *snapshot;
	json_t *cost;

	fixture_stage(f, &run, 0, "sft", "sft", 1, NULL, NULL);
	fixture_attempt(f, 1, 1, "r", 1, 2, 3);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_ledger_run(&cost, snapshot, &run, NULL), 0);
	cairn_snapshot_end(snapshot);
	assert_true(json_is_null(json_object_get(cost, "pretrain")));
	json_decref(cost);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_audit_ledger__key_adds_up_its_attempts),
		WITH_STORE(test_audit_ledger__kept_never_exceeds_spent),
		cmocka_unit_test(test_audit_ledger__petaflop_days),
		cmocka_unit_test(test_audit_ledger__mfu_is_of_attempts_whose_peak_is_known),
		WITH_STORE(test_audit_ledger__run_counts_a_shared_key_once),
		WITH_STORE(test_audit_ledger__artifact_with_ancestors_once),
		WITH_STORE(test_audit_ledger__no_pretraining_no_share),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
