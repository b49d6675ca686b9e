/* SPDX-License-Identifier: Apache-2.0 */
/* plan.c - tests of `plan`: the papers' petaflop/s-days, memory, and runs refused for it. */
#include <math.h>
#include <string.h>

#include "drive.h"

#define PF_DAY 8.64e19
#define PAPER  "plan -f " CAIRN_SOURCE_DIR "/workflows/paper-"

static const json_t *stage_of(const json_t *plan, const char *instance)
{
	const json_t *stages = json_object_get(plan, "stages");

	for (size_t i = 0; i < json_array_size(stages); i++) {
		const json_t *stage = json_array_get(stages, i);
		if (strcmp(cairn_json_string(stage, "instance", ""), instance) == 0)
			return stage;
	}
	fail_msg("no stage '%s'", instance);
	return NULL;
}

static double number(const json_t *plan, const char *instance, const char *name)
{
	const json_t *value = json_object_get(stage_of(plan, instance), name);

	assert_true(json_is_number(value));
	return json_number_value(value);
}

static double account(const json_t *plan, const char *instance, const char *name)
{
	const json_t *estimate = json_object_get(stage_of(plan, instance), "estimate");

	return cairn_json_number(json_object_get(estimate, "accounts"), name, 0);
}

static void assert_near(double value, double wanted, double share)
{
	if (!(fabs(value - wanted) <= share * fabs(wanted)))
		fail_msg("%g is not within %g %% of %g", value, 100 * share, wanted);
}

/* As a table prints it: equal when rounded to three digits, halves either way. */
static void assert_three_digits(const char *what, double value, double printed)
{
	double unit = pow(10, floor(log10(printed)) - 2);

	if (!(fabs(value - printed) <= 0.5 * unit * (1 + 1e-9)))
		fail_msg("%s: %g, printed %g", what, value, printed);
}

static json_t *paper(const char *size)
{
	char line[512];
	json_t *plan;

	snprintf(line, sizeof(line), PAPER "%s.ini", size);
	plan = cairn_json(line, "cairn.plan/1");
	assert_true(json_is_false(json_object_get(json_object_get(plan, "total"), "is_partial")));
	return plan;
}

/* ---- tables -----------------------------------------------------------------------------------
 */

/* METHOD 1.9: all 17 rows of table D.1 from 6ND (T5: 3ND). */
static void test_cli_plan__table_of_gpt3(void **state)
{
	json_t *table = cairn_json("plan --table gpt3", "cairn.plan-table/1");
	const json_t *rows = json_object_get(table, "rows"), *row;

	(void)state;
	assert_int_equal(json_array_size(rows), 17);
	for (size_t i = 0; i < json_array_size(rows); i++) {
		const char *model;
		double flop;

		row = json_array_get(rows, i);
		model = cairn_json_string(row, "model", "?");
		flop = cairn_json_number(row, "n_params", 0) * cairn_json_number(row, "tokens", 0) *
		       (strncmp(model, "T5", 2) == 0 ? 3 : 6);
		assert_near(cairn_json_number(row, "flop", 0), flop, 1e-12);
		assert_three_digits(model, flop, cairn_json_number(row, "printed_flop", 0));
		assert_three_digits(model, cairn_json_number(row, "pf_days", 0),
			cairn_json_number(row, "printed_pf_days", 0));
	}
	json_decref(table);
	assert_has(cairn_is(0, "plan --table gpt3")->out, "GPT-3 175B");
	assert_has(cairn_is(2, "plan --table gpt4")->err, "takes gpt3, not 'gpt4'");
}

/* ---- the paper's workflows ----------------------------------------------------------------------
 */

static void test_cli_plan__sizes_of_gpt3(void **state)
{
	static const struct {
		const char *size, *stage;
		double millions;
	} models[] = {{"1.3b", "pretrain", 1320}, {"1.3b", "pretrain_6b", 6660},
		{"6b", "pretrain", 6660}, {"175b", "pretrain", 174600},
		{"175b", "pretrain_6b", 6660}};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(models); i++) {
		json_t *plan = paper(models[i].size);
		/* 6ND, and a last step that is rounded up. */
		double n = number(plan, models[i].stage, "flop") / (6 * 300e9);

		assert_three_digits(models[i].size, n / 1e6, models[i].millions);
		json_decref(plan);
	}
}

/* Section 5.1: 4.9 for SFT, 60 for PPO-ptx, 3,640 for pretraining; less than 2 % of it. */
static void test_cli_plan__paper_175b(void **state)
{
	json_t *plan = paper("175b");
	const json_t *total = json_object_get(plan, "total");
	const json_t *alignment = json_object_get(total, "alignment");
	double pretrain = number(plan, "pretrain", "pf_days");
	double sft = number(plan, "sft", "pf_days"), ptx = number(plan, "ppo_ptx", "pf_days");

	(void)state;
	assert_three_digits("pretrain", pretrain, 3640);
	assert_near(sft, 4.9, 0.03);
	assert_three_digits("sft", sft, 4.94);
	assert_near(ptx, 60, 0.03);
	assert_true((sft + ptx) / pretrain < 0.02);
	assert_string_equal(cairn_json_string(alignment, "instance", ""), "ppo_ptx");
	assert_true(cairn_json_number(alignment, "share", 1) < 0.02);
	assert_true(cairn_json_number(alignment, "share", 0) > 0.01);
	assert_near(cairn_json_number(total, "pf_days", 0),
		cairn_json_number(plan, "estimated_flop", 0) / PF_DAY, 1e-12);
	json_decref(plan);
	assert_has(cairn_is(0, PAPER "175b.ini")->out, "'ppo_ptx' with all it is made from: ");
	assert_has(cairn_is(0, PAPER "175b.ini")->out, "next: name data that exist");
}

/* METHOD 1.9, derived: (2N + 2N + 6N) of 256k episodes of 2,000 tokens are 10.35, the pretraining
 * mix 49.66; reward model and value function add 0.39. */
static void test_cli_plan__accounts_of_ppo(void **state)
{
	static const double tokens = 256e3 * 2000;
	json_t *plan = paper("175b");
	double N = 174.6e9, R = 6.66e9;

	(void)state;
	assert_near(account(plan, "ppo_ptx", "rollout"), 2 * N * tokens, 1e-3);
	assert_near(account(plan, "ppo_ptx", "reference"), 2 * N * tokens, 1e-3);
	assert_near(account(plan, "ppo_ptx", "forward"), 2 * N * tokens, 1e-3);
	assert_near(account(plan, "ppo_ptx", "backward"), 4 * N * tokens, 1e-3);
	assert_near(account(plan, "ppo_ptx", "ptx"), 8 * 6 * N * tokens, 1e-3);
	assert_near(account(plan, "ppo_ptx", "ptx") / PF_DAY, 49.66, 1e-3);
	assert_near(account(plan, "ppo_ptx", "reward") + account(plan, "ppo_ptx", "value"),
		10 * R * tokens, 1e-3);
	assert_near(number(plan, "ppo_ptx", "pf_days"), 60.01 + 0.39, 1e-3);
	assert_near(number(plan, "ppo", "pf_days"), 10.35 + 0.39, 1e-3);
	json_decref(plan);
}

/* Weights, gradients and two moments of policy and value function; three more networks; and the
 * copy of a checkpoint, which has weights, moments and the average. */
static void test_cli_plan__memory_of_ppo(void **state)
{
	static const double N = 174.6e9, R = 6.66e9;
	json_t *plan = paper("175b");
	double least = 4 * (4 * N + N + N + 4 * R + R), copy = 4 * (3 * N + N + 3 * R);

	(void)state;
	assert_true(number(plan, "ppo", "memory_bytes") > least + copy);
	/* ... and caches and activations. */
	assert_true(number(plan, "ppo", "memory_bytes") < 1.5 * (least + copy));
	assert_near(cairn_json_number(json_object_get(plan, "total"), "memory_bytes", 0),
		number(plan, "ppo_ptx", "memory_bytes"), 0);
	json_decref(plan);
}

static void test_cli_plan__planned_data_cannot_run(void **state)
{
	const outcome *got;

	(void)state;
	cairn_is(0, "check " CAIRN_SOURCE_DIR "/workflows/paper-1.3b.ini");
	got = cairn_is(2, "run " CAIRN_SOURCE_DIR "/workflows/paper-1.3b.ini");
	assert_has(got->err, "error: input 'tokens' of stage 'pretrain' is only planned\n  at ");
	assert_has(got->err, "hint: Name data that exist");
	assert_string_equal(got->out, "");
}

/* ---- any workflow -------------------------------------------------------------------------------
 */

static const char two_stages[] = "[workflow]\nname = w\n"
				 "[stage a]\nplugin = counter\n"
				 "[stage b]\nplugin = counter\ninput.in = a:out\n"
				 "[stage c]\nplugin = silent\n";

static void test_cli_plan__for_people_and_scripts(void **state)
{
	const outcome *got;
	json_t *plan;

	(void)state;
	drive_write("w.ini", two_stages);
	got = cairn_is(0, "plan");
	assert_has(got->out, "MEMORY");
	assert_has(got->out, "1.0 MiB  no result yet\n");
	assert_has(got->out, "1.0 MiB  waits for 'a'\n");
	assert_has(got->out, ", largest stage 1.0 MiB | next: cairn run w.ini\n");
	plan = cairn_json("plan", "cairn.plan/1");
	assert_near(number(plan, "b", "flop"), 60, 0); /* 2 a step, and 1 a step of a */
	assert_near(number(plan, "b", "memory_bytes"), 1 << 20, 0);
	assert_string_equal(cairn_json_string(stage_of(plan, "b"), "reason", ""), "waits for 'a'");
	assert_true(json_is_null(json_object_get(stage_of(plan, "c"), "flop")));
	assert_true(json_is_null(json_object_get(stage_of(plan, "c"), "memory_bytes")));
	assert_true(json_is_null(json_object_get(json_object_get(plan, "total"), "alignment")));
	json_decref(plan);
}

static void test_cli_plan__a_run_that_does_not_fit(void **state)
{
	const outcome *got;
	json_t *status;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = counter\n");
	drive_env("CAIRN_MEMORY", "500K");
	got = cairn_is(2, "run");
	assert_has(got->err, "error: stage 'a' needs about 1.0 MiB of memory, there are 500 KiB\n");
	assert_has(got->err, "  at w.ini:3\n");
	assert_has(got->err, "`--overcommit`");
	cairn_is(0, "run --overcommit");
	/* What it really took is told afterwards. */
	status = cairn_json("status", "cairn.status/1");
	assert_true(number(status, "a", "peak_bytes") > 1e6);
	json_decref(status);
	drive_env("CAIRN_MEMORY", NULL);
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_cli_plan__table_of_gpt3),
		DRIVEN(test_cli_plan__sizes_of_gpt3),
		DRIVEN(test_cli_plan__paper_175b),
		DRIVEN(test_cli_plan__accounts_of_ppo),
		DRIVEN(test_cli_plan__memory_of_ppo),
		DRIVEN(test_cli_plan__planned_data_cannot_run),
		DRIVEN(test_cli_plan__for_people_and_scripts),
		DRIVEN(test_cli_plan__a_run_that_does_not_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
