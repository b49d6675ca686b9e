/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo.c - unit tests of the ppo stage.
 *
 * What the stage checks of itself while it runs (ratio 1 in first minibatches, KL 0 at the
 * start, rewards that add up, a reference that stays) would fail every test here.
 */
#include "ppo/ppo.h"
#include "ppo_world.h"

static const char *const outputs[] = {"model", "report"};

static struct fakehost *make_ptx(void)
{
	struct fakehost *host = make();

	world_text(host, "pretrain", WORLD_TEXT);
	fakehost_param(host, "gamma_ptx=2");
	fakehost_param(host, "ptx_ratio=1");
	fakehost_param(host, "ptx_length=12");
	fakehost_param(host, "inner_epochs=2");
	fakehost_param(host, "kl_controller=adaptive");
	fakehost_param(host, "kl_target=0.5");
	fakehost_param(host, "kl_horizon=64");
	fakehost_param(host, "missing_eos=1");
	return host;
}

static void test_ppo__starts_at_the_reference(void **state)
{
	struct fakehost *host = make();

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	/* A row of the log at the last of an iteration's two updates. */
	assert_true(isnan(world_metric_at(host, 1, "objective/kl")));
	assert_true(world_metric_at(host, 2, "objective/kl") == 0);
	assert_true(world_metric_at(host, 4, "objective/kl") != 0);
	assert_true(world_metric_at(host, 2, "objective/rlhf_reward") ==
		    world_metric_at(host, 2, "objective/scores"));
	assert_true(world_metric_at(host, 6, "episode") == 48);
	assert_int_equal(fakehost_steps(host), 6);
	fakehost_free(host);
}

/* METHOD 5.1: a tenth of the rate, then 0.1 + 0.9 * iteration/warmup. */
static void test_ppo__warms_up_by_iterations(void **state)
{
	struct fakehost *host = make();

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fabs(world_metric_at(host, 2, "lr") - 1e-4) < 1e-12);
	assert_true(fabs(world_metric_at(host, 4, "lr") - 5.5e-4) < 1e-12);
	assert_true(fabs(world_metric_at(host, 6, "lr") - 1e-3) < 1e-12);
	fakehost_free(host);
}

/* One update an iteration: each is a first minibatch, where all ratios are 1. */
static void test_ppo__first_minibatch_has_ratio_one(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_param(host, "minibatch=16");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	for (uint64_t step = 1; step <= 3; step++) {
		assert_true(world_metric_at(host, step, "val/ratio") == 1);
		assert_true(world_metric_at(host, step, "policy/approxkl_avg") == 0);
		assert_true(world_metric_at(host, step, "policy/clipfrac_avg") == 0);
	}
	fakehost_free(host);
}

static void test_ppo__resumes_exactly(void **state)
{
	(void)state;
	world_resumes_at(make, 1, outputs, 2); /* in the middle of an iteration */
	world_resumes_at(make, 2, outputs, 2); /* between two */
	world_resumes_at(make, 6, outputs, 2); /* after the last update */
	world_repeats_from(make, 3, 5, outputs, 2);
}

static void test_ppo__resumes_exactly_with_everything_on(void **state)
{
	(void)state;
	world_resumes_at(make_ptx, 3, outputs, 2);
	world_resumes_at(make_ptx, 8, outputs, 2);
	world_repeats_from(make_ptx, 5, 7, outputs, 2);
}

static void test_ppo__gamma_zero_is_plain_ppo(void **state)
{
	struct fakehost *plain = make(), *zero = make(), *ptx = make();

	(void)state;
	world_text(zero, "pretrain", WORLD_TEXT);
	world_text(ptx, "pretrain", WORLD_TEXT);
	fakehost_param(ptx, "gamma_ptx=1");
	fakehost_param(ptx, "ptx_ratio=1");
	assert_int_equal(fakehost_run(plain), CAIRN_DONE);
	assert_int_equal(fakehost_run(zero), CAIRN_DONE);
	assert_int_equal(fakehost_run(ptx), CAIRN_DONE);
	fake_assert_equal(fakehost_output(plain, "model"), fakehost_output(zero, "model"));
	assert_string_equal(fakehost_metrics(plain), fakehost_metrics(zero));
	assert_false(world_equal(
		fakehost_output(plain, "model"), fakehost_output(ptx, "model"), "wte.weight"));
	/* The first rollout knows nothing of it yet. */
	assert_true(world_metric_at(plain, 2, "objective/scores") ==
		    world_metric_at(ptx, 2, "objective/scores"));
	fakehost_free(ptx);
	fakehost_free(zero);
	fakehost_free(plain);
}

/* Both parts in one Adam step: with gamma huge, PPO's part is noise beside the text's. As a step
 * of its own the text's gradient would be scaled away by Adam, and 1e6 would do what 1 does. */
static void test_ppo__gamma_weighs_the_two_gradients(void **state)
{
	double loss[3];

	(void)state;
	for (int i = 0; i < 3; i++) {
		static const char *const gamma[] = {
			"gamma_ptx=1e-6", "gamma_ptx=1", "gamma_ptx=1e6"};
		struct fakehost *host = make();

		world_text(host, "pretrain", WORLD_TEXT);
		fakehost_param(host, gamma[i]);
		fakehost_param(host, "iterations=12");
		fakehost_param(host, "lr=5e-3");
		fakehost_param(host, "ptx_ratio=1");
		assert_int_equal(fakehost_run(host), CAIRN_DONE);
		loss[i] = fakehost_metric(host, "ptx/loss");
		fakehost_free(host);
	}
	assert_true(loss[2] < loss[1] - 0.05);
	assert_true(loss[1] < loss[0] - 0.05);
}

static void test_ppo__raises_the_reward(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_param(host, "iterations=40");
	fakehost_param(host, "batch=64");
	fakehost_param(host, "minibatch=32");
	fakehost_param(host, "lr=5e-3");
	fakehost_param(host, "value_lr=5e-3");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fakehost_summary(host, "reward") > fakehost_summary(host, "reward_start") + 1);
	assert_true(fakehost_summary(host, "kl") > 0.1);
	fakehost_free(host);
}

/* One prompt, one token: METHOD 5.3's bandit. The best that any policy can do is known in closed
 * form, J* = beta log E_ref[exp(r / beta)], here from many draws of the reference. */
static struct fakehost *make_bandit(void)
{
	struct fakehost *host = make();

	fakehost_unbind(host, "prompts");
	fakehost_rows(host, "prompts", "dataset/prompt", "one.jsonl", "{\"prompt\":\"the \"}\n");
	fakehost_param(host, "max_new=1");
	fakehost_param(host, "beta=0.5");
	return host;
}

static double best_possible(void)
{
	struct fakehost *host = make_bandit();
	const char *at;
	double sum = 0;
	int n = 0;

	fakehost_param(host, "iterations=1");
	fakehost_param(host, "batch=4096");
	fakehost_param(host, "minibatch=4096");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	at = fake_text(fakehost_output(host, "report"), "samples.jsonl");
	while ((at = strstr(at, "\"score\":"))) {
		at += strlen("\"score\":");
		sum += exp(strtod(at, NULL) / 0.5);
		n++;
	}
	fakehost_free(host);
	assert_int_equal(n, 4096);
	return 0.5 * log(sum / n);
}

static void test_ppo__approaches_the_best_policy_from_below(void **state)
{
	struct fakehost *host = make_bandit();
	double best = best_possible(), first, last = 0;

	(void)state;
	fakehost_param(host, "iterations=100");
	fakehost_param(host, "batch=256");
	fakehost_param(host, "minibatch=64");
	fakehost_param(host, "lr=5e-3");
	fakehost_param(host, "value_lr=5e-3");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	first = world_metric_at(host, 4, "objective/rlhf_reward");
	for (uint64_t step = 364; step <= 400; step += 4)
		last += world_metric_at(host, step, "objective/rlhf_reward") / 10;
	assert_true(best > first + 0.5);
	assert_true(last < best + 0.1); /* what 2560 draws can be off */
	assert_true(last > best - 0.15);
	fakehost_free(host);
}

/* METHOD 5.3: a large penalty keeps the policy where it was. */
static void test_ppo__large_beta_holds_the_policy(void **state)
{
	struct fakehost *free_hand = make(), *held = make();

	(void)state;
	fakehost_param(free_hand, "iterations=40");
	fakehost_param(free_hand, "lr=5e-3");
	fakehost_param(free_hand, "beta=0");
	fakehost_param(held, "iterations=40");
	fakehost_param(held, "lr=5e-3");
	fakehost_param(held, "beta=10");
	assert_int_equal(fakehost_run(free_hand), CAIRN_DONE);
	assert_int_equal(fakehost_run(held), CAIRN_DONE);
	assert_true(fakehost_summary(held, "kl") < 0.1 * fakehost_summary(free_hand, "kl"));
	fakehost_free(held);
	fakehost_free(free_hand);
}

/* Neither the split into micro-batches nor the padding that comes with it changes a bit. */
static void test_ppo__micro_batches_change_nothing(void **state)
{
	static const char *const sizes[] = {
		"micro_tokens=1", "micro_tokens=19", "micro_tokens=64", "micro_tokens=500"};
	struct fakehost *whole = make_ptx();

	(void)state;
	assert_int_equal(fakehost_run(whole), CAIRN_DONE);
	for (size_t i = 0; i < CAIRN_COUNT(sizes); i++) {
		struct fakehost *split = make_ptx();

		fakehost_param(split, sizes[i]);
		fakehost_threads(split, 1 + (int)i % 2);
		assert_int_equal(fakehost_run(split), CAIRN_DONE);
		fake_assert_equal(fakehost_output(whole, "model"), fakehost_output(split, "model"));
		fake_assert_equal(
			fakehost_output(whole, "report"), fakehost_output(split, "report"));
		assert_string_equal(fakehost_metrics(whole), fakehost_metrics(split));
		fakehost_free(split);
	}
	fakehost_free(whole);
}

static void test_ppo__threads_change_nothing(void **state)
{
	struct fakehost *one = make_ptx(), *two = make_ptx();

	(void)state;
	fakehost_threads(two, 2);
	assert_int_equal(fakehost_run(one), CAIRN_DONE);
	assert_int_equal(fakehost_run(two), CAIRN_DONE);
	fake_assert_equal(fakehost_output(one, "model"), fakehost_output(two, "model"));
	fakehost_free(two);
	fakehost_free(one);
}

/* METHOD 2.12: beta *= 1 + clip(kl/target - 1, -.2, .2) * n/horizon; KL 0 at first. */
static void test_ppo__controller_moves_beta(void **state)
{
	struct fakehost *host = make_ptx();

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(world_metric_at(host, 4, "objective/kl_coef") == 0.02);
	assert_true(fabs(world_metric_at(host, 8, "objective/kl_coef") -
			    0.02 * (1 - 0.2 * 16 / 64)) < 1e-15);
	fakehost_free(host);
}

static void test_ppo__reports_its_last_samples(void **state)
{
	struct fakehost *host = make();
	const char *samples;
	int lines = 0;

	(void)state;
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	samples = fake_text(fakehost_output(host, "report"), "samples.jsonl");
	for (const char *c = samples; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 16);
	assert_non_null(strstr(samples, "\"score\":"));
	assert_non_null(strstr(
		fake_text(fakehost_output(host, "report"), "report.json"), "reference_sha256"));
	fakehost_free(host);
}

static void test_ppo__refuses_what_cannot_be(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_param(host, "minibatch=5");
	assert_int_equal(fakehost_run(host), CAIRN_EPARAM);
	fakehost_param(host, "minibatch=4");
	assert_int_equal(fakehost_run(host), CAIRN_EPARAM);
	fakehost_param(host, "minibatch=8");
	fakehost_param(host, "gamma_ptx=27.8");
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_non_null(strstr(fakehost_error(host)->hint, "gamma_ptx = 0"));
	fakehost_free(host);
}

/* METHOD 1.9: the paper's 60 petaflop/s-days for PPO-ptx of 175B are 10.35 for the policy and
 * 49.66 for the text. The 6B reward and value models add 0.39. */
static void test_ppo__estimates_the_papers_cost(void **state)
{
	struct fakehost *host = fakehost_new("ppo");
	const cairn_estimate_input sizes[] = {
		{.port = "policy", .meta = "{\"n_params\":174600000000}"},
		{.port = "reward", .meta = "{\"n_params\":6660000000}"},
	};
	const ppo_params params = {
		.episodes = 256000,
		.batch = 512,
		.minibatch = 64,
		.inner_epochs = 1,
		.max_prompt = 1000,
		.max_new = 1000,
		.gamma_ptx = 27.8,
		.ptx_ratio = 8,
		.ptx_length = 2000,
	};
	cairn_estimate estimate;

	(void)state;
	assert_int_equal(
		fakehost_plugin(host)->estimate(&params, sizes, CAIRN_COUNT(sizes), &estimate), 0);
	assert_true(fabs(estimate.flop / 8.64e19 - (60.01 + 0.39)) < 0.02);
	fakehost_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ppo__starts_at_the_reference),
		cmocka_unit_test(test_ppo__warms_up_by_iterations),
		cmocka_unit_test(test_ppo__first_minibatch_has_ratio_one),
		cmocka_unit_test(test_ppo__resumes_exactly),
		cmocka_unit_test(test_ppo__resumes_exactly_with_everything_on),
		cmocka_unit_test(test_ppo__gamma_zero_is_plain_ppo),
		cmocka_unit_test(test_ppo__gamma_weighs_the_two_gradients),
		cmocka_unit_test(test_ppo__raises_the_reward),
		cmocka_unit_test(test_ppo__approaches_the_best_policy_from_below),
		cmocka_unit_test(test_ppo__large_beta_holds_the_policy),
		cmocka_unit_test(test_ppo__micro_batches_change_nothing),
		cmocka_unit_test(test_ppo__threads_change_nothing),
		cmocka_unit_test(test_ppo__controller_moves_beta),
		cmocka_unit_test(test_ppo__reports_its_last_samples),
		cmocka_unit_test(test_ppo__refuses_what_cannot_be),
		cmocka_unit_test(test_ppo__estimates_the_papers_cost),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
