/* SPDX-License-Identifier: Apache-2.0 */
/* collecting.c - tests of du, gc and compact: what a person is told, and what is done. */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "drive.h"

static void write_workflow(const char *text)
{
	char ini[512];

	snprintf(ini, sizeof(ini),
		"[workflow]\nname = w\n[stage a]\nplugin = counter\ninput.in = file:data.txt\n"
		"[stage b]\nplugin = counter\ninput.in = a:out\ntext = %s\n",
		text);
	drive_write("w.ini", ini);
}

/* Two runs: both have a, each a b of its own. */
static int setup_two_runs(void **state)
{
	int rc = drive_setup(state);

	if (rc == 0) {
		drive_write("data.txt", "some data\n");
		write_workflow("first");
		cairn_is(0, "run -q");
		write_workflow("second");
		cairn_is(0, "run -q");
	}
	return rc;
}

static void test_cli_gc__keeps_all_that_runs_name(void **state)
{
	json_t *json = cairn_json("gc --delete", "cairn.gc/1");

	(void)state;
	assert_true(json_is_true(json_object_get(json, "deleted")));
	assert_int_equal(json_array_size(json_object_get(json, "runs")), 0);
	assert_int_equal(
		cairn_json_integer(
			json_object_get(json_object_get(json, "dead"), "artifacts"), "n", -1),
		0);
	json_decref(json);
	write_workflow("first");
	assert_has(cairn_is(0, "plan")->out, "cached 2");
}

static void test_cli_gc__says_what_a_run_would_lose(void **state)
{
	json_t *json = cairn_json("gc --keep-runs 1", "cairn.gc/1"), *run;

	(void)state;
	assert_int_equal(json_array_size(json_object_get(json, "runs")), 1);
	run = json_array_get(json_object_get(json, "runs"), 0);
	/* b's output and its metrics, and the workflow file; a's are held by the other run. */
	assert_int_equal(cairn_json_integer(run, "outputs", -1), 3);
	assert_true(cairn_json_integer(run, "kept", -1) >= 2);
	assert_true(cairn_json_integer(run, "bytes", 0) > 0);
	assert_int_equal(
		cairn_json_integer(
			json_object_get(json_object_get(json, "dead"), "artifacts"), "n", -1),
		3);
	json_decref(json);
	assert_has(cairn_is(0, "gc --keep-runs 1")->out, "add --delete");
	write_workflow("first"); /* and nothing has happened */
	assert_has(cairn_is(0, "plan")->out, "cached 2");
}

static void test_cli_gc__what_a_run_lost_is_made_again(void **state)
{
	char run[32], line[64];
	json_t *log = cairn_json("log", "cairn.log/1");

	(void)state;
	snprintf(run, sizeof(run), "%s",
		cairn_json_string(json_array_get(json_object_get(log, "runs"), 1), "run", ""));
	json_decref(log);
	cairn_is(0, "gc --keep-runs 1 --delete");
	snprintf(line, sizeof(line), "status %s", run);
	assert_has(cairn_is(0, line)->out, "collected");
	assert_has(cairn_is(0, "log")->out, "done, collected");
	snprintf(line, sizeof(line), "cost %s", run);
	cairn_is(0, line);
	write_workflow("first");
	assert_has(cairn_is(0, "plan")->out, "no longer in the store");
	cairn_is(0, "run -q");
	cairn_is(0, "ls b:out");
	/* It is not given up a second time, and the newest two are the last ones. */
	assert_has_not(cairn_is(0, "gc --keep-runs 2")->out, run);
}

static void test_cli_gc__takes_resume_state_only_when_told(void **state)
{
	(void)state;
	write_workflow("third\nsteps = 200\npause = 0.1");
	(void)cairn_signalled("run", "start", SIGTERM);
	assert_has(cairn_is(0, "plan")->out, "resumes at step");
	cairn_is(0, "gc --delete");
	assert_has(cairn_is(0, "plan")->out, "resumes at step");
	assert_has(cairn_is(0, "gc --checkpoints")->out, "(runs that stay)");
	cairn_is(0, "gc --checkpoints --delete");
	assert_has_not(cairn_is(0, "plan")->out, "resumes at step");
}

static void test_cli_gc__ends_a_lease_by_hand(void **state)
{
	json_t *json = NULL;
	const outcome *got;
	cairn_error err = {0};
	char line[128], lease[64];

	(void)state;
	write_workflow("third\nsteps = 200\npause = 0.1");
	got = cairn_beside("run", "start", "gc --json"); /* the run is dead afterwards */
	assert_int_equal(cairn_json_parse(&json, got->out, strlen(got->out), "stdout", &err), 0);
	snprintf(lease, sizeof(lease), "%s",
		cairn_json_string(
			json_array_get(json_object_get(json, "leases"), 0), "id", "none"));
	json_decref(json);
	snprintf(line, sizeof(line), "gc --break-lease %s", lease);
	json = cairn_json(line, "cairn.gc/1");
	assert_string_equal(cairn_json_string(json, "broken", ""), lease);
	json_decref(json);
	assert_has(cairn_is(3, line)->err, "no lease");
}

static void test_cli_gc__mistakes(void **state)
{
	(void)state;
	assert_has(cairn_is(2, "gc --keep-runs 0")->err, "keeps one run");
	assert_has(cairn_is(2, "gc --older-than soon")->err, "duration");
	assert_has(cairn_is(3, "gc --break-lease 00ff00ff")->err, "no lease");
}

static void test_cli_du__adds_up(void **state)
{
	json_t *json = cairn_json("du", "cairn.du/1"), *rows = json_object_get(json, "rows");
	const json_t *first = json_array_get(rows, 0), *second = json_array_get(rows, 1);
	int64_t shared;

	(void)state;
	assert_int_equal(json_array_size(rows), 2);
	assert_string_equal(cairn_json_string(first, "what", ""), "run");
	shared = cairn_json_integer(first, "bytes", 0) - cairn_json_integer(first, "exclusive", 0);
	assert_true(shared > 0 && cairn_json_integer(first, "exclusive", 0) > 0);
	assert_int_equal(shared, cairn_json_integer(second, "bytes", 0) -
					 cairn_json_integer(second, "exclusive", 0));
	json_decref(json);
	assert_has(cairn_is(0, "du b:out")->out, "artifact");
	cairn_is(3, "du nothing");
}

static void test_cli_compact__leaves_all_as_it_was(void **state)
{
	json_t *json = cairn_json("compact", "cairn.compact/1");
	const json_t *index = json_object_get(json, "index");

	(void)state;
	assert_true(cairn_json_integer(index, "bytes_after", 0) > 0);
	assert_true(cairn_json_integer(index, "bytes_after", 0) <=
		    cairn_json_integer(index, "bytes_before", 0));
	json_decref(json);
	assert_has(cairn_is(0, "plan")->out, "cached 2");
	cairn_is(0, "ls b:out");
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, setup_two_runs, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_cli_gc__keeps_all_that_runs_name),
		DRIVEN(test_cli_gc__says_what_a_run_would_lose),
		DRIVEN(test_cli_gc__what_a_run_lost_is_made_again),
		DRIVEN(test_cli_gc__takes_resume_state_only_when_told),
		DRIVEN(test_cli_gc__ends_a_lease_by_hand),
		DRIVEN(test_cli_gc__mistakes),
		DRIVEN(test_cli_du__adds_up),
		DRIVEN(test_cli_compact__leaves_all_as_it_was),
	};

	return cmocka_run_group_tests_name("cli/collecting", tests, NULL, NULL);
}
