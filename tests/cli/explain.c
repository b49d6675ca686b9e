/* SPDX-License-Identifier: Apache-2.0 */
/* explain.c - tests of what `cairn explain` says about changes, their causes, and past runs. */
#include <stdio.h>
#include <string.h>

#include "drive.h"

static const char chain[] = "[workflow]\nname = w\n[params]\nsteps = 20\nlast = x\n"
			    "[stage a]\nplugin = counter\ninput.in = file:data.jsonl\n"
			    "[stage b]\nplugin = counter\ninput.in = a:out\nsteps = ${steps}\n"
			    "[stage c]\nplugin = counter\ninput.in = b:out\n"
			    "[stage d]\nplugin = counter\ninput.in = c:out\ntext = ${last}\n";

static int setup_run(void **state)
{
	int rc = drive_setup(state);

	if (rc == 0) {
		drive_write("data.jsonl", "{\"group\":\"brief\",\"n\":1}\n");
		drive_write("w.ini", chain);
		cairn_is(0, "run -q");
	}
	return rc;
}

static json_t *at(const json_t *json, const char *list, size_t i)
{
	return json_array_get(json_object_get(json, list), i);
}

static void test_cli_explain__rows_of_a_changed_file(void **state)
{
	json_t *json, *rows;

	(void)state;
	drive_write("data.jsonl",
		"{\"group\":\"brief\",\"n\":1}\n{\"group\":\"courteous\",\"n\":2}\n"
		"{\"group\":\"courteous\",\"n\":3}\n");
	assert_has(cairn_is(0, "explain a")->out, "(+2 rows, group courteous), file:data.jsonl\n");
	assert_has(cairn_is(0, "explain a")->out, "  input.in  ");
	json = cairn_json("explain a", "cairn.explain/1");
	rows = json_object_get(json_object_get(at(json, "changes", 0), "difference"), "rows");
	assert_int_equal(cairn_json_integer(rows, "before", 0), 1);
	assert_int_equal(cairn_json_integer(rows, "added", 0), 2);
	json_decref(json);
}

static void test_cli_explain__goes_to_the_root_of_a_change(void **state)
{
	json_t *json = cairn_json("explain d -p steps=30", "cairn.explain/1"), *cause;

	(void)state;
	cause = at(json, "causes", 0);
	assert_int_equal(json_array_size(json_object_get(json, "causes")), 1);
	assert_string_equal(cairn_json_string(cause, "instance", ""), "b");
	assert_string_equal(cairn_json_string(cause, "name", ""), "param.steps");
	assert_string_equal(cairn_json_string(cause, "before", ""), "20");
	assert_string_equal(cairn_json_string(cause, "after", ""), "30");
	assert_string_equal(json_string_value(at(cause, "via", 0)), "c");
	json_decref(json);
	assert_has(cairn_is(0, "explain d -p steps=30")->out,
		"  because b: param.steps  20 -> 30; through c\n");
	/* What it can compare while it waits, it does. */
	assert_has(cairn_is(0, "explain d -p steps=30 -p last=y")->out, "  param.text  x -> y\n");
	assert_has(cairn_is(0, "explain d -p steps=30")->out, "(not known yet), c:out\n");
}

static void test_cli_explain__before_the_first_run(void **state)
{
	(void)state;
	drive_write("w.ini", chain);
	drive_write("data.jsonl", "{}\n");
	assert_has(cairn_is(0, "explain d")->out, "  because a: no result yet; through c, b\n");
	assert_has(cairn_is(0, "explain d")->out, "no earlier result");
	assert_has(cairn_is(1, "explain a --exit-code")->out, "a runs: no result yet\n");
}

static void test_cli_explain__says_when_it_was_made(void **state)
{
	json_t *json = cairn_json("explain d", "cairn.explain/1");
	const json_t *last = json_object_get(json, "last");

	(void)state;
	assert_true(json_is_true(json_object_get(json, "up_to_date")));
	assert_int_equal(strlen(cairn_json_string(last, "run", "")), 26);
	assert_true(cairn_json_integer(last, "end_ms", 0) > 0);
	json_decref(json);
}

static void test_cli_explain__of_past_runs_without_the_file(void **state)
{
	json_t *json;

	(void)state;
	cairn_is(0, "run -q -p steps=30");
	cairn_is(0, "run -q -p steps=30 -p last=y");
	remove("w.ini");
	assert_has(cairn_is(0, "explain w d")->out, "  param.text  x -> y\n");
	assert_has(cairn_is(0, "explain w b")->out, "b did not run: every component is as in");
	assert_has(cairn_is(3, "explain w e")->err, "the run has no stage 'e'");
	assert_has(cairn_is(3, "explain nothing d")->err, "no run is called 'nothing'");
	json = cairn_json("log", "cairn.log/1");
	{
		char line[96];
		const char *second =
			cairn_json_string(at(json, "runs", 1), "run", "(there is none)");
		snprintf(line, sizeof(line), "explain %s d", second);
		assert_has(
			cairn_is(0, line)->out, "  because b: param.steps  20 -> 30; through c\n");
		assert_has(cairn_is(0, line)->out, ", c:out\n");
		snprintf(line, sizeof(line), "explain %s b --exit-code", second);
		assert_has(cairn_is(1, line)->out, "  param.steps  20 -> 30\n");
	}
	json_decref(json);
}

static void test_cli_explain__tells_of_a_failed_try(void **state)
{
	(void)state;
	drive_write("f.ini", "[workflow]\nname = f\n[stage a]\nplugin = counter\n"
			     "input.in = file:data.jsonl\nfail_at = 3\n");
	cairn_is(1, "run -q f.ini");
	assert_has(cairn_is(0, "explain a -f f.ini")->out, "  its attempt 1 failed (");
	assert_has(cairn_is(0, "explain f a")->out, "a, failed in run ");
}

#define ON_A_RUN(test) cmocka_unit_test_setup_teardown(test, setup_run, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_RUN(test_cli_explain__rows_of_a_changed_file),
		ON_A_RUN(test_cli_explain__goes_to_the_root_of_a_change),
		cmocka_unit_test_setup_teardown(
			test_cli_explain__before_the_first_run, drive_setup, drive_teardown),
		ON_A_RUN(test_cli_explain__says_when_it_was_made),
		ON_A_RUN(test_cli_explain__of_past_runs_without_the_file),
		ON_A_RUN(test_cli_explain__tells_of_a_failed_try),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
