/* SPDX-License-Identifier: Apache-2.0 */
/* budget.c - tests of what is left to do in `plan`, and of `--max-cost`. */
#include <string.h>

#include "drive.h"

/* 2 FLOP a step and 1 a step or line before it: see the plugin counter. */
static const char two_stages[] =
	"[workflow]\nname = w\n[params]\nsteps = 5\n"
	"[stage a]\nplugin = counter\nsteps = 7\n"
	"[stage b]\nplugin = counter\nsteps = ${steps}\ninput.in = a:out\n";
/* What the first spends, 48 FLOP a step, nobody says before. */
static const char surprise[] = "[workflow]\nname = w\n[stage a]\nplugin = matmul\nsteps = 10\n"
			       "[stage b]\nplugin = counter\nsteps = 5\ninput.in = a:out\n"
			       "[stage c]\nplugin = counter\nsteps = 1\n";

static json_t *stage_of(const json_t *json, size_t i)
{
	return json_array_get(json_object_get(json, "stages"), i);
}

static double forecast(const json_t *plan, size_t i, const char *name)
{
	return cairn_json_number(json_object_get(stage_of(plan, i), "forecast"), name, -1);
}

static void test_cli_plan__counts_what_is_left(void **state)
{
	json_t *plan;

	(void)state;
	drive_write("w.ini", two_stages);
	plan = cairn_json("plan", "cairn.plan/1");
	assert_true(forecast(plan, 0, "flop") == 14);
	assert_true(forecast(plan, 1, "flop") == 17);
	assert_true(cairn_json_number(json_object_get(plan, "total"), "flop", 0) == 31);
	json_decref(plan);
	cairn_is(0, "run -q");
	plan = cairn_json("plan -p steps=6", "cairn.plan/1");
	assert_true(json_is_null(json_object_get(stage_of(plan, 0), "forecast")));
	assert_true(cairn_json_number(json_object_get(plan, "total"), "flop", 0) == 12);
	json_decref(plan);
	assert_has(cairn_is(0, "plan -p steps=6")->out, "param.steps 5 -> 6");
}

/* Two stages of one key are computed once. */
static void test_cli_plan__counts_a_key_once(void **state)
{
	json_t *plan;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = counter\nsteps = 7\n"
			     "[stage b]\nplugin = counter\nsteps = 7\n");
	plan = cairn_json("plan", "cairn.plan/1");
	assert_true(cairn_json_number(json_object_get(plan, "total"), "flop", 0) == 14);
	assert_true(forecast(plan, 1, "flop") == 0);
	json_decref(plan);
}

/* Without an estimate the last result says what a stage takes, and how long. */
static void test_cli_plan__knows_from_history(void **state)
{
	json_t *plan, *saved;

	(void)state;
	drive_write("w.ini", surprise);
	plan = cairn_json("plan", "cairn.plan/1");
	assert_true(json_is_null(
		json_object_get(json_object_get(stage_of(plan, 0), "forecast"), "flop")));
	json_decref(plan);
	cairn_is(0, "run -q");
	plan = cairn_json("plan", "cairn.plan/1");
	saved = json_object_get(plan, "saved");
	assert_true(cairn_json_number(saved, "flop", 0) == 480);
	json_decref(plan);
	assert_has(cairn_is(0, "plan")->out, " | saved by the cache 5.6e-18 PF-days, ");
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = matmul\nsteps = 11\n");
	plan = cairn_json("plan", "cairn.plan/1");
	assert_true(forecast(plan, 0, "flop") == 480);
	assert_true(forecast(plan, 0, "seconds") >= 0);
	assert_string_equal(
		cairn_json_string(json_object_get(stage_of(plan, 0), "forecast"), "from", ""),
		"history");
	json_decref(plan);
	assert_has(cairn_is(0, "plan")->out, "~480 FLOP");
}

static void test_cli_plan__says_what_a_waiting_stage_waits_for(void **state)
{
	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[params]\nsteps = 5\n"
			     "[stage a]\nplugin = counter\nsteps = ${steps}\n"
			     "[stage b]\nplugin = counter\ninput.in = a:out\n"
			     "[stage c]\nplugin = counter\ninput.in = b:out\n");
	cairn_is(0, "run -q");
	assert_has(cairn_is(0, "plan -p steps=6")->out, "waits for 'b' (a: param.steps 5 -> 6)\n");
}

/* ---- --max-cost --------------------------------------------------------------------------- */

static void test_cli_run__refuses_what_costs_too_much(void **state)
{
	const outcome *got;

	(void)state;
	drive_write("w.ini", two_stages);
	got = cairn_is(2, "run --max-cost 30FLOP");
	assert_has(got->err, "the run would take about 3.59e-19 petaflop/s-days, and 3.47e-19");
	assert_has(got->err, "most of it: b 1.97e-19, a 1.62e-19; nothing was run");
	assert_has(cairn_is(3, "status")->err, "no run yet");
	assert_has(cairn_is(2, "plan --max-cost 30FLOP")->err, "3.59e-19");
	assert_has(cairn_is(2, "run -n --max-cost 30FLOP")->err, "3.59e-19");
	cairn_is(0, "run -q --max-cost 31FLOP");
	/* What is cached costs nothing. */
	cairn_is(0, "run -q --max-cost 0");
	cairn_is(2, "run -q --max-cost 0 -p steps=6");
}

static void test_cli_run__stops_before_a_stage_that_costs_too_much(void **state)
{
	const outcome *got;
	json_t *run;

	(void)state;
	drive_write("w.ini", surprise);
	/* Known before: 10 + 2. After 480 of the first, 490 do not fit into 485, but 482 do. */
	got = cairn_is(1, "run --max-cost 485FLOP");
	assert_has(got->err, "not started: it would take about");
	assert_has(got->out, "done 2, cached 0, failed 0, waiting 0, stopped 1");
	run = cairn_json("status", "cairn.status/1");
	assert_string_equal(cairn_json_string(run, "state", ""), "stopped");
	assert_string_equal(cairn_json_string(stage_of(run, 1), "state", ""), "stopped");
	json_decref(run);
	/* The next run may spend as much again, and goes on. */
	got = cairn_is(0, "run --max-cost 485FLOP");
	assert_has(got->out, "done 1, cached 2");
}

/* What has no estimate is watched by the meters. */
static void test_cli_run__stops_at_a_checkpoint_once_too_much_was_spent(void **state)
{
	const outcome *got;
	json_t *run;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = matmul\nsteps = 1000\n"
			     "pause = 0.02\n");
	got = cairn_is(1, "run --max-cost 96FLOP");
	assert_has(got->err, "more was spent than --max-cost allows: stopping after a checkpoint");
	run = cairn_json("status", "cairn.status/1");
	assert_string_equal(cairn_json_string(stage_of(run, 0), "state", ""), "stopped");
	json_decref(run);
	assert_has(cairn_is(0, "plan")->out, "resumes at step ");
}

static void test_cli_run__max_cost_is_a_cost(void **state)
{
	(void)state;
	cairn_is(0, "--check-usage run --max-cost 0.5");
	cairn_is(0, "--check-usage run --max-cost 1e-6");
	cairn_is(0, "--check-usage run --max-cost 18TFLOP");
	assert_has(cairn_is(2, "run --max-cost 3x")->err, "takes a cost, not '3x'");
	assert_has(cairn_is(2, "run --max-cost -1")->err, "takes a cost, not '-1'");
	assert_has(cairn_is(2, "run --max-cost TFLOP")->err, "takes a cost");
	assert_has(cairn_is(2, "run --max-cost 3TFLOPs")->err, "takes a cost");
	assert_has(cairn_is(2, "run --max-cost inf")->err, "takes a cost");
}

#define IN_A_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_A_DIRECTORY(test_cli_plan__counts_what_is_left),
		IN_A_DIRECTORY(test_cli_plan__counts_a_key_once),
		IN_A_DIRECTORY(test_cli_plan__knows_from_history),
		IN_A_DIRECTORY(test_cli_plan__says_what_a_waiting_stage_waits_for),
		IN_A_DIRECTORY(test_cli_run__refuses_what_costs_too_much),
		IN_A_DIRECTORY(test_cli_run__stops_before_a_stage_that_costs_too_much),
		IN_A_DIRECTORY(test_cli_run__stops_at_a_checkpoint_once_too_much_was_spent),
		IN_A_DIRECTORY(test_cli_run__max_cost_is_a_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
