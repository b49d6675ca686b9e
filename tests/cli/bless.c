/* SPDX-License-Identifier: Apache-2.0 */
/* bless.c - tests of accepting an earlier result, and of taking that back. */
#include <stdio.h>
#include <string.h>

#include "drive.h"

static const char chain[] = "[workflow]\nname = w\n[params]\ntext = x\nfirst = x\n"
			    "[stage a]\nplugin = counter\ntext = ${first}\n"
			    "[stage b]\nplugin = counter\ninput.in = a:out\ntext = ${text}\n"
			    "[stage c]\nplugin = counter\ninput.in = b:out\n";

#define REASON " --reason spelling "

static int setup_run(void **state)
{
	int rc = drive_setup(state);

	if (rc == 0) {
		drive_env("USER", "ann");
		drive_write("w.ini", chain);
		cairn_is(0, "run -q");
	}
	return rc;
}

static json_t *stage_of(const json_t *json, size_t i)
{
	return json_array_get(json_object_get(json, "stages"), i);
}

static char *output_of(const char *name)
{
	char line[64];
	json_t *json;
	char *id;

	snprintf(line, sizeof(line), "ls %s", name);
	json = cairn_json(line, "cairn.ls/1");
	id = strdup(cairn_json_string(json, "id", ""));
	json_decref(json);
	return id;
}

static void test_cli_bless__a_stage_and_what_follows_need_not_run(void **state)
{
	char *before = output_of("w/b:out"), *after;
	const outcome *got;

	(void)state;
	cairn_is(1, "plan --exit-code -p text=y");
	got = cairn_is(0, "bless b -p text=y" REASON);
	assert_has(got->out, "b: the result of run 01");
	assert_has(got->out, " is accepted for what changed since\n  param.text  x -> y\n");
	assert_has(cairn_is(0, "plan --exit-code -p text=y")->out, "blessed by ann: spelling");
	assert_has(cairn_is(0, "run -p text=y")->out, "done 0, cached 3");
	after = output_of("w/b:out");
	assert_string_equal(before, after);
	free(before);
	free(after);
	/* Its own key still has its result. */
	assert_has(cairn_is(0, "run")->out, "done 0, cached 3");
}

static void test_cli_bless__is_seen_everywhere(void **state)
{
	json_t *json;
	const json_t *blessed;

	(void)state;
	cairn_is(0, "bless b -p text=y" REASON);
	cairn_is(0, "run -q -p text=y");
	json = cairn_json("status", "cairn.status/1");
	blessed = json_object_get(stage_of(json, 1), "blessed");
	assert_string_equal(cairn_json_string(blessed, "by", ""), "ann");
	assert_string_equal(cairn_json_string(blessed, "reason", ""), "spelling");
	assert_null(json_object_get(stage_of(json, 0), "blessed"));
	json_decref(json);
	assert_has(cairn_is(0, "status")->out, "blessed");
	assert_has(cairn_is(0, "cost")->out, "blessed");
	json = cairn_json("cost", "cairn.cost/1");
	assert_string_equal(
		cairn_json_string(json_object_get(stage_of(json, 1), "blessed"), "by", ""), "ann");
	assert_null(json_object_get(stage_of(json, 0), "blessed"));
	json_decref(json);
	assert_has(cairn_is(0, "lineage up w/c:out")->out, "accepted as b by ann on 20");
	assert_has(cairn_is(0, "lineage up w/c:out")->out, "made by b as out");
	assert_has(cairn_is(0, "explain b -p text=y")->out, "was accepted for it by ann on 20");
	json = cairn_json("explain b -p text=y", "cairn.explain/1");
	blessed = json_object_get(json, "blessed");
	assert_string_equal(
		cairn_json_string(
			json_array_get(json_object_get(blessed, "changes"), 0), "name", ""),
		"param.text");
	json_decref(json);
	assert_has(cairn_is(0, "explain w b")->out, "b did not run: the result of run 01");
}

/* What it would have read is no part of what the artifact cost. */
static void test_cli_bless__costs_nothing(void **state)
{
	json_t *before, *after;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[params]\nsteps = 10\n"
			     "[stage a]\nplugin = matmul\nsteps = ${steps}\n"
			     "[stage b]\nplugin = counter\ninput.in = a:out\n");
	cairn_is(0, "run -q");
	before = cairn_json("cost w/b:out", "cairn.cost/1");
	cairn_is(1, "run -q -p steps=20 --max-cost 965FLOP"); /* a only */
	cairn_is(0, "bless b -p steps=20" REASON);
	assert_has(cairn_is(0, "run -p steps=20")->out, "done 0, cached 2");
	after = cairn_json("cost w/b:out", "cairn.cost/1");
	assert_true(cairn_json_number(json_object_get(before, "total"), "flop", 0) == 480);
	assert_true(cairn_json_number(json_object_get(after, "total"), "flop", 0) == 480);
	json_decref(before);
	json_decref(after);
}

static void test_cli_bless__refuses_what_is_no_change_of_looks(void **state)
{
	(void)state;
	assert_has(cairn_is(2, "bless b" REASON)->err, "cannot be blessed: it is up to date");
	assert_has(cairn_is(2, "bless b -p text=y")->err, "cannot be blessed: there is no reason");
	assert_has(cairn_is(2, "bless c -p first=y" REASON)->err, "its inputs are not all known");
	assert_has(cairn_is(3, "bless z" REASON)->err, "z");
	assert_has(cairn_is(2, "bless" REASON)->err, "which stage is not said");
	assert_has(cairn_is(2, "bless b --revoke" REASON)->err, "has no '--reason'");
	assert_has(cairn_is(2, "bless b --revoke")->err, "is not blessed as it is");
	drive_write("w.ini", "[workflow]\nname = w\n[stage b]\nplugin = dice\n");
	assert_has(cairn_is(2, "bless b" REASON)->err, "is not deterministic");
	drive_write("w.ini", "[workflow]\nname = w\n[stage b]\nplugin = matmul\n");
	assert_has(cairn_is(2, "bless b" REASON)->err, "another plugin's");
	drive_write("w.ini", "[workflow]\nname = new\n[stage b]\nplugin = counter\ntext = new\n");
	assert_has(cairn_is(2, "bless b" REASON)->err, "it has no earlier result");
	assert_has(cairn_is(0, "bless")->out, "WHEN");
	assert_has_not(cairn_is(0, "bless")->out, "spelling");
}

static void test_cli_bless__dry_run_writes_nothing(void **state)
{
	json_t *json;

	(void)state;
	assert_has(cairn_is(0, "bless b -n -p text=y" REASON)->out, "would be accepted");
	cairn_is(1, "plan --exit-code -p text=y");
	json = cairn_json("bless b -n -p text=y" REASON, "cairn.bless/1");
	assert_true(json_is_true(json_object_get(json, "dry_run")));
	json_decref(json);
	json = cairn_json("bless", "cairn.bless/1");
	assert_int_equal(json_array_size(json_object_get(json, "blessings")), 0);
	json_decref(json);
}

static void test_cli_bless__can_be_taken_back(void **state)
{
	json_t *json, *list;

	(void)state;
	cairn_is(0, "bless b -p text=y" REASON);
	cairn_is(0, "run -q -p text=y");
	assert_has(cairn_is(0, "bless b --revoke -p text=y")->out, "is not blessed any more");
	/* Nothing remembers it: lineage, plan, the last key. */
	assert_has_not(cairn_is(0, "lineage up w/b:out")->out, "accepted");
	assert_has(cairn_is(1, "plan --exit-code -p text=y")->out, "param.text x -> y");
	assert_has(cairn_is(0, "explain b -p text=y")->out, "  param.text  x -> y\n");
	assert_has(cairn_is(0, "run -p text=y")->out, "done 2, cached 1");
	/* But that it was. */
	json = cairn_json("bless", "cairn.bless/1");
	list = json_object_get(json, "blessings");
	assert_int_equal(json_array_size(list), 2);
	assert_string_equal(cairn_json_string(json_array_get(list, 0), "action", ""), "bless");
	assert_string_equal(cairn_json_string(json_array_get(list, 1), "action", ""), "revoke");
	json_decref(json);
}

/* A blessed result can be the last one of the next blessing. */
static void test_cli_bless__twice_in_a_row(void **state)
{
	(void)state;
	cairn_is(0, "bless b -p text=y" REASON);
	cairn_is(0, "run -q -p text=y");
	assert_has(cairn_is(0, "bless b -p text=z" REASON)->out, "  param.text  y -> z\n");
	assert_has(cairn_is(0, "run -p text=z")->out, "done 0, cached 3");
	cairn_is(0, "bless b --revoke -p text=z");
	assert_has(cairn_is(0, "run -p text=y")->out, "done 0, cached 3");
}

static void test_cli_bless__waits_for_a_run(void **state)
{
	const outcome *got;

	(void)state;
	drive_write("slow.ini", "[workflow]\nname = s\n[stage a]\nplugin = counter\nsteps = 1000\n"
				"pause = 0.05\n");
	got = cairn_beside("run slow.ini", "start", "bless b -f w.ini --no-wait -p text=y" REASON);
	assert_int_equal(got->status, 75);
	assert_has(got->err, "uses the store");
	/* A dry one reads only, and reading never waits. */
	got = cairn_beside("run slow.ini", "start", "bless b -f w.ini -n -p text=y" REASON);
	assert_int_equal(got->status, 0);
	cairn_is(0, "bless b -f w.ini -p text=y" REASON);
}

#define ON_A_RUN(test) cmocka_unit_test_setup_teardown(test, setup_run, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_RUN(test_cli_bless__a_stage_and_what_follows_need_not_run),
		ON_A_RUN(test_cli_bless__is_seen_everywhere),
		ON_A_RUN(test_cli_bless__costs_nothing),
		ON_A_RUN(test_cli_bless__refuses_what_is_no_change_of_looks),
		ON_A_RUN(test_cli_bless__dry_run_writes_nothing),
		ON_A_RUN(test_cli_bless__can_be_taken_back),
		ON_A_RUN(test_cli_bless__twice_in_a_row),
		ON_A_RUN(test_cli_bless__waits_for_a_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
