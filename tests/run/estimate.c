/* SPDX-License-Identifier: Apache-2.0 */
/* What a plan costs before anything exists, and runs that are refused for it. */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>

#define HEAD "[workflow]\nname = w\n"

static const cairn_planned_cost *cost_of(fixture *f, const char *stage)
{
	return stage_of(f, stage)->cost;
}

/* 2 FLOP a step, and 1 a step or line before it: see the plugin counter. */
static void test_run_estimate__flows_through_the_plan(void **state)
{
	fixture *f = *state;

	write_file("in.txt", "one\ntwo\nthree\n");
	assert_int_equal(fixture_plan(f, HEAD "[stage a]\nplugin = counter\nsteps = 7\n"
					      "input.in = file:in.txt\n"
					      "[stage b]\nplugin = counter\nsteps = 5\n"
					      "input.in = a:out\n"
					      "[stage c]\nplugin = counter\nsteps = 1\n"
					      "input.in = a:out b:out\n"),
		0);
	assert_null(cost_of(f, "a")); /* nobody asked */
	assert_int_equal(cairn_plan_estimate(f->plan, &f->error), 0);
	assert_float_equal(cost_of(f, "a")->flop, 2 * 7 + 3, 0);
	assert_int_equal(cost_of(f, "a")->output_bytes, 14);
	assert_int_equal(stage_of(f, "b")->state, CAIRN_STATE_PENDING);
	assert_float_equal(cost_of(f, "b")->flop, 2 * 5 + 7, 0);
	assert_float_equal(cost_of(f, "b")->flop_of[CAIRN_ACCOUNT_FORWARD], 10, 0);
	assert_float_equal(cost_of(f, "b")->flop_of[CAIRN_ACCOUNT_BACKWARD], 7, 0);
	assert_int_equal(cost_of(f, "b")->memory_bytes, 1 << 20);
	assert_float_equal(cost_of(f, "c")->flop, 2 + 7 + 5, 0);
	assert_false(cost_of(f, "c")->is_partial);
}

/* Of what is in the store the metadata count, not an estimate. */
static void test_run_estimate__cached_stages_have_none(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = counter\nsteps = 7\n"
				       "[stage b]\nplugin = counter\nsteps = %d\n"
				       "input.in = a:out\n";
	fixture *f = *state;
	char text[256];

	snprintf(text, sizeof(text), ini, 3);
	assert_int_equal(fixture_run(f, text), 0);
	snprintf(text, sizeof(text), ini, 4);
	assert_int_equal(fixture_plan(f, text), 0);
	assert_int_equal(cairn_plan_estimate(f->plan, &f->error), 0);
	assert_null(cost_of(f, "a"));
	/* The artifact's metadata say nothing of steps. */
	assert_float_equal(cost_of(f, "b")->flop, 8, 0);
}

static void test_run_estimate__what_is_not_known_is_partial(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_plan(f, HEAD "[stage a]\nplugin = liar\n"
					      "[stage b]\nplugin = counter\ninput.in = a:out\n"),
		0);
	assert_int_equal(cairn_plan_estimate(f->plan, &f->error), 0);
	assert_null(cost_of(f, "a")); /* has no estimate */
	assert_true(cost_of(f, "b")->is_partial);
	assert_float_equal(cost_of(f, "b")->flop, 40, 0);
}

/* Contract 1.0: three members, and nothing means that it is not known. */
static void test_run_estimate__of_an_old_plugin(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = counter\n"
				       "[stage b]\nplugin = old_estimate\ninput.in = a:out\n"
				       "[stage c]\nplugin = old_estimate\n";
	fixture *f = *state;

	assert_int_equal(fixture_plan(f, ini), 0);
	assert_int_equal(cairn_plan_estimate(f->plan, &f->error), 0);
	assert_true(cost_of(f, "b")->is_partial);
	assert_false(cost_of(f, "c")->is_partial);
	assert_int_equal(cost_of(f, "c")->memory_bytes, 6);
	assert_int_equal(cost_of(f, "c")->output_bytes, 7);
	assert_null(cost_of(f, "c")->outputs);
	assert_int_equal(fixture_run(f, ini), 0);
}

/* Its child died; the others are estimated, and everything runs. */
static void test_run_estimate__a_plugin_that_dies_says_nothing(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = bad_estimate\n"
				       "[stage b]\nplugin = counter\ninput.in = a:out\n"
				       "[stage c]\nplugin = bad_estimate\nseed = 2\n";
	fixture *f = *state;

	assert_int_equal(fixture_plan(f, ini), 0);
	assert_int_equal(cairn_plan_estimate(f->plan, &f->error), 0);
	assert_null(cost_of(f, "a"));
	assert_null(cost_of(f, "c"));
	assert_float_equal(cost_of(f, "b")->flop, 40, 0);
	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(f->summary.done, 3);
}

/* ---- planned data --------------------------------------------------------------------------- */

static const char planned[] = HEAD "[stage a]\nplugin = counter\nsteps = 2\n"
				   "[stage b]\nplugin = counter\nsteps = 3\n"
				   "input.in = planned:steps=11,bytes=99 a:out\n"
				   "[stage c]\nplugin = counter\ninput.in = b:out\n";

static void test_run_estimate__planned_data(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_plan(f, planned), 0);
	assert_int_equal(stage_of(f, "b")->state, CAIRN_STATE_PENDING);
	assert_string_equal(stage_of(f, "b")->reason, "input 'in' is only planned");
	assert_string_equal(stage_of(f, "c")->reason, "waits for 'b'");
	assert_int_equal(cairn_plan_estimate(f->plan, &f->error), 0);
	assert_float_equal(cost_of(f, "b")->flop, 6 + 11 + 2, 0);
	assert_int_equal(cost_of(f, "b")->output_bytes, 99);
	assert_float_equal(cost_of(f, "c")->flop, 40 + 3, 0);
}

static void test_run_estimate__planned_data_cannot_run(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_run(f, planned), CAIRN_EWORKFLOW);
	assert_string_equal(f->error.message, "input 'in' of stage 'b' is only planned");
	assert_non_null(strstr(f->error.place, "workflow.ini:9"));
	assert_non_null(strstr(f->error.hint, "in the place of 'planned:steps=11,bytes=99'"));
	assert_int_equal(f->n_events, 0);
	assert_int_equal(count_attempts(f, "a"), 0);
}

/* ---- memory --------------------------------------------------------------------------------- */

static void test_run_estimate__refuses_what_does_not_fit(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = quitter\n"
				       "[stage b]\nplugin = counter\nsteps = 2\n";
	fixture *f = *state;

	setenv("CAIRN_MEMORY", "1000K", 1);
	assert_int_equal(fixture_run(f, ini), CAIRN_ELIMIT);
	assert_string_equal(
		f->error.message, "stage 'b' needs about 1.0 MiB of memory, there are 1000 KiB");
	assert_non_null(strstr(f->error.place, "workflow.ini:5"));
	assert_non_null(strstr(f->error.hint, "--overcommit"));
	assert_int_equal(f->n_events, 0);
	assert_int_equal(count_attempts(f, "a"), 0); /* nothing at all was run */
	setenv("CAIRN_MEMORY", "1M", 1);
	assert_int_equal(fixture_run(f, HEAD "[stage b]\nplugin = counter\nsteps = 2\n"), 0);
	/* What is cached needs no memory. */
	setenv("CAIRN_MEMORY", "1K", 1);
	assert_int_equal(fixture_run(f, HEAD "[stage b]\nplugin = counter\nsteps = 2\n"), 0);
	assert_int_equal(f->summary.cached, 1);
	unsetenv("CAIRN_MEMORY");
}

static void test_run_estimate__overcommit_goes_on(void **state)
{
	fixture *f = *state;

	setenv("CAIRN_MEMORY", "1K", 1);
	f->options.overcommit = true;
	assert_int_equal(fixture_run(f, HEAD "[stage b]\nplugin = counter\nsteps = 2\n"), 0);
	assert_int_equal(f->summary.done, 1);
	unsetenv("CAIRN_MEMORY");
}

/* `memory` is a limit, too, and a sanitizer's shadow does not fit into it. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HAS_LIMITS false
#else
#define HAS_LIMITS true
#endif

/* Two slots, but memory for one of them: by estimate (1M each), or by what the stages claim. */
static void test_run_estimate__scheduler_counts_memory(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = counter\npause = 0.02s\n%s"
				       "[stage b]\nplugin = counter\nseed = 2\n%s";
	static const struct {
		const char *limit, *claim;
		bool is_beside;
	} tries[] = {{"1500K", "", false}, {"2M", "", true}, {"1G", "memory = 600M\n", false},
		{"1200M", "memory = 600M\n", true}};
	fixture *f = *state;
	char text[512];

	f->options.jobs = 2;
	for (size_t i = 0; i < CAIRN_COUNT(tries); i++) {
		if (tries[i].claim[0] && !HAS_LIMITS)
			continue;
		fixture_new_store(f);
		setenv("CAIRN_MEMORY", tries[i].limit, 1);
		snprintf(text, sizeof(text), ini, tries[i].claim, tries[i].claim);
		assert_int_equal(fixture_run(f, text), 0);
		assert_int_equal(
			place_of(f, CAIRN_EVENT_STARTED, "b") < place_of(f, CAIRN_EVENT_ENDED, "a"),
			tries[i].is_beside);
	}
	unsetenv("CAIRN_MEMORY");
}

int tests_main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_run_estimate__flows_through_the_plan),
		FIXTURE_TEST(test_run_estimate__cached_stages_have_none),
		FIXTURE_TEST(test_run_estimate__what_is_not_known_is_partial),
		FIXTURE_TEST(test_run_estimate__of_an_old_plugin),
		FIXTURE_TEST(test_run_estimate__a_plugin_that_dies_says_nothing),
		FIXTURE_TEST(test_run_estimate__planned_data),
		FIXTURE_TEST(test_run_estimate__planned_data_cannot_run),
		FIXTURE_TEST(test_run_estimate__refuses_what_does_not_fit),
		FIXTURE_TEST(test_run_estimate__overcommit_goes_on),
		FIXTURE_TEST(test_run_estimate__scheduler_counts_memory),
	};

	return cmocka_run_group_tests_name("run/estimate", tests, NULL, NULL);
}
