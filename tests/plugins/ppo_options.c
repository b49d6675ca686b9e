/* SPDX-License-Identifier: Apache-2.0 */
/* ppo_options.c - what the ppo stage's parameters and ports do, and backends that are not what they
 * should be. */
#include "kernels/portable/portable.h"
#include "ppo_world.h"

/* ---- end tokens, averages, values -------------------------------------------------------------
 */

static void test_ppo_options__gives_the_average_or_the_last_weights(void **state)
{
	struct fakehost *average = make(), *last = make(), *off = make();

	(void)state;
	fakehost_param(last, "output=last");
	fakehost_param(off, "ema=0");
	assert_int_equal(fakehost_run(average), CAIRN_DONE);
	assert_int_equal(fakehost_run(last), CAIRN_DONE);
	assert_int_equal(fakehost_run(off), CAIRN_DONE);
	assert_false(world_equal(
		fakehost_output(average, "model"), fakehost_output(last, "model"), "wte.weight"));
	assert_true(world_equal(
		fakehost_output(off, "model"), fakehost_output(last, "model"), "wte.weight"));
	fakehost_free(off);
	fakehost_free(last);
	fakehost_free(average);
}

static void test_ppo_options__missing_end_token_costs(void **state)
{
	struct fakehost *free_end = make(), *costly = make();
	double without_end;

	(void)state;
	fakehost_param(costly, "missing_eos=3");
	assert_int_equal(fakehost_run(free_end), CAIRN_DONE);
	assert_int_equal(fakehost_run(costly), CAIRN_DONE);
	without_end = 1 - world_metric_at(free_end, 2, "eos_rate");
	assert_true(without_end > 0);
	assert_true(fabs(world_metric_at(free_end, 2, "objective/scores") - 3 * without_end -
			    world_metric_at(costly, 2, "objective/scores")) < 1e-9);
	fakehost_free(costly);
	fakehost_free(free_end);
}

static void test_ppo_options__value_may_have_its_own_start(void **state)
{
	struct fakehost *host = make(), *other = make(), *rm = train_reward(7);

	(void)state;
	fakehost_bind(other, "value", fakehost_output(rm, "model"));
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_int_equal(fakehost_run(other), CAIRN_DONE);
	assert_true(world_metric_at(host, 2, "objective/scores") ==
		    world_metric_at(other, 2, "objective/scores"));
	assert_true(world_metric_at(host, 2, "loss/value_avg") !=
		    world_metric_at(other, 2, "loss/value_avg"));
	fakehost_free(rm);
	fakehost_free(other);
	fakehost_free(host);
}

/* METHOD 2.3: OpenAI's code replaces the score. Without any end token (none is drawn where they
 * are rare and responses short) all scores are the penalty. */
static void test_ppo_options__missing_end_token_may_replace_the_score(void **state)
{
	struct fakehost *host = make();
	double ended;

	(void)state;
	fakehost_param(host, "missing_eos=1.5");
	fakehost_param(host, "missing_eos_form=replace");
	fakehost_param(host, "batch=64");
	fakehost_param(host, "max_new=1");
	fakehost_param(host, "iterations=1");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	ended = fakehost_metric(host, "eos_rate");
	assert_true(ended < 0.1);
	assert_true(
		fabs(fakehost_metric(host, "objective/scores") + 1.5 * (1 - ended)) <= 10 * ended);
	fakehost_free(host);
}

/* Once an iteration instead of twice: the average is closer to where it started. */
static void test_ppo_options__average_may_be_taken_by_iteration(void **state)
{
	struct fakehost *often = make(), *seldom = make(), *same[2] = {make(), make()};

	(void)state;
	fakehost_param(seldom, "ema_every=iteration");
	assert_int_equal(fakehost_run(often), CAIRN_DONE);
	assert_int_equal(fakehost_run(seldom), CAIRN_DONE);
	assert_false(world_equal(
		fakehost_output(often, "model"), fakehost_output(seldom, "model"), "wte.weight"));
	/* With one step an iteration the two are one. */
	for (int i = 0; i < 2; i++) {
		fakehost_param(same[i], "minibatch=16");
		fakehost_param(same[i], i ? "ema_every=iteration" : "ema_every=step");
		assert_int_equal(fakehost_run(same[i]), CAIRN_DONE);
	}
	fake_assert_equal(fakehost_output(same[0], "model"), fakehost_output(same[1], "model"));
	for (int i = 0; i < 2; i++)
		fakehost_free(same[i]);
	fakehost_free(seldom);
	fakehost_free(often);
}

/* METHOD 2.4: values of 0 explain nothing of the returns; the reward model's explain something or
 * mislead. */
static void test_ppo_options__value_head_may_start_at_zero(void **state)
{
	struct fakehost *zero = make(), *reward = make();
	double mean;

	(void)state;
	fakehost_param(zero, "value_head=zero");
	assert_int_equal(fakehost_run(zero), CAIRN_DONE);
	assert_int_equal(fakehost_run(reward), CAIRN_DONE);
	assert_true(world_metric_at(zero, 2, "ppo/val/var_explained") == 0);
	assert_true(world_metric_at(reward, 2, "ppo/val/var_explained") != 0);
	assert_true(world_metric_at(zero, 2, "ppo/val/mean") == 0);
	assert_true(world_metric_at(zero, 2, "ppo/val/var") == 0);
	mean = world_metric_at(zero, 2, "ppo/returns/mean");
	/* E[(R - 0)^2] = Var R + (E R)^2 */
	assert_true(fabs(world_metric_at(zero, 2, "ppo/val/error") -
			    world_metric_at(zero, 2, "ppo/returns/var") - mean * mean) < 1e-12);
	assert_true(world_metric_at(zero, 2, "ppo/val/error") > 0);
	assert_true(world_metric_at(zero, 2, "objective/scores") ==
		    world_metric_at(reward, 2, "objective/scores"));
	fakehost_free(reward);
	fakehost_free(zero);
}

/* METHOD 2.13: OpenAI's code goes to 0 in a line; warm-up first, of both networks alike. */
static void test_ppo_options__rates_may_fall(void **state)
{
	struct fakehost *host = make();

	(void)state;
	fakehost_param(host, "iterations=6");
	fakehost_param(host, "schedule=linear");
	fakehost_param(host, "lr_floor=0.2");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fabs(world_metric_at(host, 2, "lr") - 1e-4) < 1e-12);
	assert_true(fabs(world_metric_at(host, 6, "lr") - 1e-3) < 1e-12);
	assert_true(fabs(world_metric_at(host, 10, "lr") - 1e-3 * (1 - 0.8 * 0.5)) < 1e-12);
	fakehost_free(host);
}

/* ---- networks of other sizes --------------------------------------------------------------------
 */

/* P section 4.1: one 6B reward model and value function for policies of 1.3B, 6B and 175B. */
static void test_ppo_options__sizes_may_differ(void **state)
{
	static const char *const width[] = {"n_embd=8", "n_embd=32"};
	static const char *const depth[] = {"n_layer=1", "n_layer=3"};

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct fakehost *host = make(), *pretrain = world_pretrain();
		const struct fake_artifact *model;

		fakehost_param(pretrain, width[i]);
		fakehost_param(pretrain, depth[i]);
		assert_int_equal(fakehost_run(pretrain), CAIRN_DONE);
		fakehost_unbind(host, "policy");
		fakehost_bind(host, "policy", fakehost_output(pretrain, "model"));
		assert_int_equal(fakehost_run(host), CAIRN_DONE);
		model = fakehost_output(host, "model");
		assert_int_equal(fake_entry(model, "wte.weight")->dims[1], i ? 32 : 8);
		assert_true(world_metric_at(host, 2, "objective/kl") == 0);
		assert_true(isfinite(fakehost_metric(host, "loss/value_avg")));
		fakehost_free(pretrain);
		fakehost_free(host);
	}
}

/* ---- what is averaged over what
 * ------------------------------------------------------------------ */

/* METHOD 2.14: entropy is a mean over the drawn tokens, whatever was padded. A policy whose
 * embeddings are 0 draws evenly: its entropy is ln V at every token, to rounding. */
static void test_ppo_options__entropy_leaves_padding_out(void **state)
{
	struct fakehost *host = make(), *pretrain = world_pretrain();
	struct fake_artifact *flat;
	const struct fake_artifact *from;

	(void)state;
	assert_int_equal(fakehost_run(pretrain), CAIRN_DONE);
	from = fakehost_output(pretrain, "model");
	fakehost_unbind(host, "policy");
	flat = fakehost_input(host, "policy", "model/lm", "flat");
	for (uint64_t i = 0; i < fake_artifact_entries(from); i++) {
		const cairn_tensor *tensor = fake_entry_at(from, i);
		char *data = calloc(1, tensor->bytes);

		assert_non_null(data);
		if (strcmp(tensor->name, "wte.weight") != 0)
			memcpy(data, tensor->data, tensor->bytes);
		fake_add(flat, tensor->name, tensor->dtype, tensor->n_dims, tensor->dims, data,
			tensor->bytes);
		free(data);
	}
	fake_meta(flat, fake_artifact_meta(from));
	fakehost_param(host, "lr=0");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	assert_true(fabs(world_metric_at(host, 2, "policy/entropy_avg") - log(WORLD_VOCAB)) < 1e-6);
	/* Of an episode: all its tokens' log-probabilities. */
	assert_true(fabs(world_metric_at(host, 2, "objective/entropy") -
			    log(WORLD_VOCAB) * world_metric_at(host, 2, "response_length")) < 1e-4);
	fakehost_free(pretrain);
	fakehost_free(host);
}

/* METHOD 2.2: a temperature that reaches the sampler only would show as KL at the start and as
 * ratios that are not 1. */
static void test_ppo_options__temperature_is_everywhere(void **state)
{
	struct fakehost *cold = make(), *plain = make();

	(void)state;
	fakehost_param(cold, "temperature=0.7");
	fakehost_param(cold, "minibatch=16");
	fakehost_param(plain, "minibatch=16");
	assert_int_equal(fakehost_run(cold), CAIRN_DONE);
	assert_int_equal(fakehost_run(plain), CAIRN_DONE);
	assert_true(world_metric_at(cold, 1, "objective/kl") == 0);
	assert_true(world_metric_at(cold, 3, "val/ratio") == 1);
	/* Colder is surer. */
	assert_true(world_metric_at(cold, 1, "policy/entropy_avg") <
		    world_metric_at(plain, 1, "policy/entropy_avg") - 0.05);
	fakehost_free(plain);
	fakehost_free(cold);
}

/* Every prompt once before any comes again. */
static void test_ppo_options__prompts_take_turns(void **state)
{
	static const char *const prompts[] = {"\"prompt\":\"the \"", "\"prompt\":\"a dog\"",
		"\"prompt\":\"sat\"", "\"prompt\":\"\"", "\"prompt\":\"ran to\""};
	struct fakehost *host = make();
	const char *samples;

	(void)state;
	fakehost_param(host, "batch=15");
	fakehost_param(host, "minibatch=15");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	samples = fake_text(fakehost_output(host, "report"), "samples.jsonl");
	for (size_t i = 0; i < CAIRN_COUNT(prompts); i++) {
		int count = 0;

		for (const char *at = samples; (at = strstr(at, prompts[i])); at++)
			count++;
		assert_int_equal(count, 3);
	}
	fakehost_free(host);
}

/* ---- backends that are not one function
 * ---------------------------------------------------------- */

static cairn_kernels sound;
static cairn_real *reference_weights;

/* Draws at a temperature of its own. */
static void hot_sample(const cairn_kernels *k, const cairn_sample *s)
{
	cairn_sample hot = *s;

	hot.temperature *= (cairn_real)1.01;
	sound.sample(k, &hot);
}

/* From the second update on, the last bit of one token's log-probability is wrong. */
static int n_steps;

static void late_sample(const cairn_kernels *k, const cairn_sample *s)
{
	sound.sample(k, s);
	if (n_steps > 0 && s->R > 3)
		s->logprob[3] = nextafterf(s->logprob[3], -100);
}

static void counting_adam(const cairn_kernels *k, const cairn_adam *a)
{
	n_steps++;
	sound.adam(k, a);
}

/* Writes where it should not: the reference is the one whose weights are summed. */
static double watching_sum(const cairn_kernels *k, const cairn_real *x, int64_t n)
{
	if (!reference_weights)
		reference_weights = (cairn_real *)x;
	return sound.sum_squares(k, x, n);
}

static void leaking_adam(const cairn_kernels *k, const cairn_adam *a)
{
	sound.adam(k, a);
	reference_weights[7] *= (cairn_real)1.001;
}

static void assert_stage_fails(const cairn_kernels *k, const char *message)
{
	struct fakehost *host = make();

	n_steps = 0;
	reference_weights = NULL;
	fakehost_kernels(host, k);
	assert_int_equal(fakehost_run(host), CAIRN_EBUG);
	if (!strstr(fakehost_error(host)->message, message))
		fail_msg("'%s' does not say '%s'", fakehost_error(host)->message, message);
	assert_null(fakehost_output(host, "model"));
	fakehost_free(host);
}

static void test_ppo_options__an_unsound_backend_ends_the_stage(void **state)
{
	cairn_kernels crooked;
	cairn_error err = {0};

	(void)state;
	assert_int_equal(cairn_kernels_portable_open(&sound, 1, &err), 0);
	crooked = sound;
	crooked.sample = hot_sample;
	assert_stage_fails(&crooked, "the policy differs from the reference");
	crooked = sound;
	crooked.sample = late_sample;
	crooked.adam = counting_adam;
	assert_stage_fails(&crooked, "iteration 1: ");
	crooked = sound;
	crooked.sum_squares = watching_sum;
	crooked.adam = leaking_adam;
	assert_stage_fails(&crooked, "the reference model changed while the policy learned");
	cairn_kernels_portable_close(&sound);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ppo_options__gives_the_average_or_the_last_weights),
		cmocka_unit_test(test_ppo_options__missing_end_token_costs),
		cmocka_unit_test(test_ppo_options__value_may_have_its_own_start),
		cmocka_unit_test(test_ppo_options__missing_end_token_may_replace_the_score),
		cmocka_unit_test(test_ppo_options__average_may_be_taken_by_iteration),
		cmocka_unit_test(test_ppo_options__value_head_may_start_at_zero),
		cmocka_unit_test(test_ppo_options__rates_may_fall),
		cmocka_unit_test(test_ppo_options__sizes_may_differ),
		cmocka_unit_test(test_ppo_options__entropy_leaves_padding_out),
		cmocka_unit_test(test_ppo_options__temperature_is_everywhere),
		cmocka_unit_test(test_ppo_options__prompts_take_turns),
		cmocka_unit_test(test_ppo_options__an_unsound_backend_ends_the_stage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
