/* SPDX-License-Identifier: Apache-2.0 */
/* condition.c - `when`: what runs, what is skipped, and what people are told. */
#include <stdio.h>
#include <string.h>

#include "drive.h"

/* counter's `best` lies in 0 .. 1. */
#define HEAD "[workflow]\nname = w\n[params]\nlimit = 2\n[stage a]\nplugin = counter\nsteps = 3\n"
#define ASKS "[stage asks]\nplugin = counter\nsteps = 2\nwhen = a:best < ${limit}\n"
#define USES "[stage uses]\nplugin = noop\ninput.in = asks:out a:out\n"

static json_t *stage_of(json_t *json, const char *instance)
{
	json_t *stage;
	size_t i;

	json_array_foreach(json_object_get(json, "stages"), i, stage)
	{
		if (strcmp(cairn_json_string(stage, "instance", ""), instance) == 0)
			return stage;
	}
	fail_msg("no stage '%s'", instance);
	return NULL;
}

static void assert_state(const char *verb, const char *schema, const char *instance,
	const char *state, const char *reason)
{
	json_t *json = cairn_json(verb, schema), *stage = stage_of(json, instance);

	assert_string_equal(cairn_json_string(stage, "state", ""), state);
	assert_has(cairn_json_string(stage, "reason", ""), reason);
	json_decref(json);
}

static void test_cli_when__holds(void **state)
{
	(void)state;
	drive_write("w.ini", HEAD ASKS USES);
	assert_state("plan", "cairn.plan/1", "asks", "pending", "waits for 'a': when a:best < 2");
	assert_has(cairn_is(0, "explain asks")->out, "asks waits for 'a': when a:best < 2");
	assert_has(cairn_is(0, "run")->out, "done 3, cached 0, failed 0");
	assert_has(cairn_is(0, "run")->out, "done 0, cached 3, failed 0");
}

static void test_cli_when__does_not_hold(void **state)
{
	const outcome *run;

	(void)state;
	drive_write("w.ini", HEAD ASKS USES);
	run = cairn_is(0, "run -p limit=-1");
	assert_has(run->out, "done 1, cached 0, failed 0, waiting 0, skipped 2 |");
	assert_has(run->err, "skipped  asks  when a:best < -1: a:best is 0.");
	assert_has(run->err, "skipped  uses  'asks' was skipped");
	assert_state("status", "cairn.status/1", "asks", "skipped", "when a:best < -1");
	assert_state("status", "cairn.status/1", "uses", "skipped", "'asks' was skipped");
	assert_has(cairn_is(0, "status")->out, "skipped");
	assert_has(cairn_is(0, "status")->out, "when a:best < -1: a:best is 0.");
	assert_has(cairn_is(0, "cost")->out, "skipped");
	assert_state("cost", "cairn.cost/1", "asks", "skipped", "");
	/* Nothing is left to do. */
	assert_state("plan -p limit=-1", "cairn.plan/1", "asks", "skipped", "a:best is 0.");
	cairn_is(0, "plan --exit-code -p limit=-1");
	assert_has(cairn_is(0, "run -p limit=-1")->out, "done 0, cached 1, failed 0, waiting 0, "
							"skipped 2 |");
	assert_has(cairn_is(0, "explain asks -p limit=-1")->out, "asks is skipped: when a:best");
	assert_has(cairn_is(0, "graph --as text")->out, "skipped");
	/* The condition is no part of the key: where it holds, all is as it would have been. */
	cairn_is(0, "run");
	drive_write("w.ini", HEAD "[stage asks]\nplugin = counter\nsteps = 2\n" USES);
	assert_has(cairn_is(0, "run")->out, "done 0, cached 3, failed 0");
}

static void test_cli_when__asks_for_what_nobody_found(void **state)
{
	const outcome *run;

	(void)state;
	drive_write("w.ini", HEAD "[stage asks]\nplugin = counter\nwhen = a:bets > 1\n" USES);
	run = cairn_is(1, "run");
	assert_has(run->out, "done 1, cached 0, failed 0, waiting 0, blocked 2 |");
	assert_state("status", "cairn.status/1", "asks", "blocked",
		"`when`: 'a' found out no 'bets' (did you mean 'best'?)");
	assert_state("status", "cairn.status/1", "uses", "blocked", "needs 'asks'");
	assert_has(cairn_is(0, "explain asks")->out, "asks is blocked: `when`: 'a' found out no");
}

static void test_cli_when__of_a_stage_that_fails(void **state)
{
	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = crash\n"
			     "[stage asks]\nplugin = counter\nwhen = a:best < 1\n");
	cairn_is(1, "run -k");
	assert_state("status", "cairn.status/1", "asks", "blocked", "needs 'a', which failed");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cli_when__holds, drive_setup, drive_teardown),
		cmocka_unit_test_setup_teardown(
			test_cli_when__does_not_hold, drive_setup, drive_teardown),
		cmocka_unit_test_setup_teardown(
			test_cli_when__asks_for_what_nobody_found, drive_setup, drive_teardown),
		cmocka_unit_test_setup_teardown(
			test_cli_when__of_a_stage_that_fails, drive_setup, drive_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
