/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo_bandit.c - PPO where the answer is known (METHOD 5.3): the expected gradient is the policy
 * gradient, and the policy goes to the best one and never beyond.
 */
#include <math.h>
#include <string.h>

#include "bandit.h"

/* ---- the expected gradient ----------------------------------------------------------------------
 */

/* Weighs each episode of an enumerated rollout by its probability and adds up what the stage
 * makes of it: the expectation of its gradient, without a sample. */
static void expected_gradient(bandit *self)
{
	ppo_stage *stage = &self->stage;
	ppo_rollout *rollout = &stage->rollout;
	uint64_t all[BANDIT_ALL];
	ppo_policy_sum sum = {0};

	for (size_t e = 0; e < BANDIT_ALL; e++) {
		double logp = 0;

		for (size_t t = rollout->first[e]; t < rollout->first[e + 1]; t++)
			logp += rollout->logp[t];
		for (size_t t = rollout->first[e]; t < rollout->first[e + 1]; t++)
			rollout->advantage[t] *= exp(logp) / BANDIT_PROMPTS;
		all[e] = e;
	}
	ppo_minibatch_set(stage, all, BANDIT_ALL);
	gpt_zero_grads(stage->policy);
	assert_int_equal(ppo_policy_gradient(stage, BANDIT_ALL, 1, &sum), 0);
	assert_int_equal(sum.n_changed, 0);
	assert_int_equal(sum.n_clipped, 0);
}

static double loss(void *self)
{
	return -bandit_objective(self, NULL, NULL);
}

static bool same_start(const ppo_rollout *rollout, size_t a, size_t b, int32_t n)
{
	const gpt_completions *drawn = &rollout->drawn;

	return rollout->prompt[a].unit == rollout->prompt[b].unit && drawn->n_tokens[b] > n &&
	       memcmp(drawn->tokens + a * BANDIT_LONGEST, drawn->tokens + b * BANDIT_LONGEST,
		       (size_t)n * sizeof(int32_t)) == 0;
}

/* V of the policy itself: what it earns from each prefix on, over all ends. */
static void true_values(ppo_rollout *rollout)
{
	for (size_t e = 0; e < BANDIT_ALL; e++) {
		for (int32_t t = 0; t < rollout->drawn.n_tokens[e]; t++) {
			double value = 0, total = 0;

			for (size_t o = 0; o < BANDIT_ALL; o++) {
				double logp = 0, rest = 0;

				if (!same_start(rollout, e, o, t))
					continue;
				for (size_t i = rollout->first[o] + (size_t)t;
					i < rollout->first[o + 1]; i++) {
					logp += rollout->logp[i];
					rest += rollout->reward[i];
				}
				value += exp(logp) * rest;
				total += exp(logp);
			}
			assert_true(fabs(total - 1) < 1e-12);
			rollout->value[rollout->first[e] + (size_t)t] = value;
		}
	}
}

/* At ratio 1, with three kinds of values: any baseline where lambda is 1 (here a network's, and
 * 0), and the policy's true values at lambda 0.95. Each gives the gradient of J in expectation. */
static void test_ppo_bandit__expected_gradient_is_the_policy_gradient(void **state)
{
	double *slopes = NULL;

	(void)state;
	for (int kind = 0; kind < 3; kind++) {
		static const char *const what[] = {"network", "zero", "true values"};
		bandit self;
		double *gradient;

		bandit_init(&self, BANDIT_ALL);
		self.params.gae_lambda = kind == 2 ? 0.95 : 1;
		bandit_open(&self, 8);
		bandit_shake(&self, 0.2, 9);
		bandit_enumerate(&self);
		if (kind == 1)
			memset(self.stage.rollout.value, 0,
				self.stage.rollout.first[BANDIT_ALL] * sizeof(double));
		if (kind == 2)
			true_values(&self.stage.rollout);
		if (kind > 0)
			assert_int_equal(ppo_rollout_credit(&self.stage), 0);
		expected_gradient(&self);
		gradient = bandit_gradient(self.stage.policy);
		if (!slopes)
			slopes = bandit_slopes(self.stage.policy, loss, &self);
		bandit_compare(self.stage.policy, slopes, gradient, what[kind]);
		free(gradient);
		bandit_close(&self);
	}
	free(slopes);
}

/* ---- the optimum -------------------------------------------------------------------------------
 */

/* Adam along the expected gradient. Returns KL(pi || pi*) at the end; J stays below J* by beta
 * times it, all the way. */
static double climb(bandit *self, int steps, double lr)
{
	double kl = 0, best;
	cairn_error err = {0};

	for (int step = 0; step < steps; step++) {
		double J;

		bandit_enumerate(self);
		expected_gradient(self);
		assert_int_equal(gpt_adam_step(self->stage.policy_adam, self->stage.policy,
					 lr * (1 - (double)step / steps), NULL, &err),
			0);
		J = bandit_objective(self, &kl, &best);
		assert_true(kl >= 0);
		assert_true(
			fabs(best - J - self->params.beta * kl) < 1e-9 * (1 + self->params.beta));
	}
	return kl;
}

static void test_ppo_bandit__becomes_the_best_policy(void **state)
{
	bandit self;
	double start, best;

	(void)state;
	bandit_init(&self, BANDIT_ALL);
	bandit_open(&self, 16);
	bandit_objective(&self, &start, &best);
	assert_true(start > 0.15);
	assert_true(climb(&self, 300, 5e-3) < 0.002);
	bandit_close(&self);
}

/* pi_ref exp(r/beta)/Z is pi_ref where beta is large: a policy that was pushed away returns. */
static void test_ppo_bandit__large_beta_returns_to_the_reference(void **state)
{
	double logp[BANDIT_ALL], ref[BANDIT_ALL], before = 0, after = 0;
	bandit self;

	(void)state;
	bandit_init(&self, BANDIT_ALL);
	self.params.beta = 100;
	bandit_open(&self, 8);
	bandit_shake(&self, 0.1, 9);
	bandit_logps(&self, self.stage.reference, ref);
	bandit_logps(&self, self.stage.policy, logp);
	for (size_t e = 0; e < BANDIT_ALL; e++)
		before += exp(logp[e]) * (logp[e] - ref[e]) / BANDIT_PROMPTS;
	/* The best policy is this close to the reference: var(r)/(2 beta^2). */
	assert_true(climb(&self, 300, 5e-3) < 1e-4);
	bandit_logps(&self, self.stage.policy, logp);
	for (size_t e = 0; e < BANDIT_ALL; e++)
		after += exp(logp[e]) * (logp[e] - ref[e]) / BANDIT_PROMPTS;
	assert_true(before > 1e-2 && after < 2e-4);
	bandit_close(&self);
}

/* ---- the stage as it runs ----------------------------------------------------------------------
 */

/* Mean over the rollout of score - beta KL, and its standard error. */
static double sampled_objective(const ppo_rollout *rollout, double *error)
{
	double n = (double)rollout->n, mean = 0, square = 0;

	for (size_t e = 0; e < rollout->n; e++) {
		double earned = 0;

		for (size_t t = rollout->first[e]; t < rollout->first[e + 1]; t++)
			earned += rollout->reward[t];
		mean += earned / n;
		square += earned * earned / n;
	}
	*error = sqrt((square - mean * mean) / n);
	return mean;
}

/* Rollouts, whitened minibatches, a value network, clips: J is below J* in every iteration (an
 * enumeration, no estimate), comes close, and what the stage samples is J but for its error. */
static void test_ppo_bandit__approaches_the_optimum_from_below(void **state)
{
	enum {
		ITERATIONS = 100
	};
	static bandit self, exact;
	double J = 0, best = 0, first = 0, kl;

	(void)state;
	bandit_init(&self, 256);
	self.params.minibatch = 64;
	self.params.whiten = PPO_WHITEN_MINIBATCH;
	self.params.schedule = GPT_SCHEDULE_LINEAR;
	self.params.iterations = ITERATIONS;
	bandit_init(&exact, BANDIT_ALL);
	bandit_open(&self, 16);
	bandit_open(&exact, 16);
	for (uint64_t i = 0; i < ITERATIONS; i++) {
		double sampled, error;

		gpt_model_copy(exact.stage.policy, self.stage.policy);
		J = bandit_objective(&exact, &kl, &best);
		first = i == 0 ? J : first;
		assert_true(J <= best);
		if (ppo_rollout_make(&self.stage, i))
			fail_msg("%s", self.message);
		sampled = sampled_objective(&self.stage.rollout, &error);
		assert_true(fabs(sampled - J) < 5 * error);
		for (uint64_t u = 0; u < self.stage.per_iteration; u++) {
			if (ppo_update(&self.stage, i, u))
				fail_msg("%s", self.message);
			self.stage.at.update++;
		}
		assert_int_equal(ppo_verify_reference(&self.stage, i + 1 == ITERATIONS), 0);
	}
	gpt_model_copy(exact.stage.policy, self.stage.policy);
	J = bandit_objective(&exact, &kl, &best);
	if (!(best - J < 0.1 * (best - first)))
		fail_msg("J went from %g to %g; the best is %g", first, J, best);
	bandit_close(&exact);
	bandit_close(&self);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ppo_bandit__expected_gradient_is_the_policy_gradient),
		cmocka_unit_test(test_ppo_bandit__becomes_the_best_policy),
		cmocka_unit_test(test_ppo_bandit__large_beta_returns_to_the_reference),
		cmocka_unit_test(test_ppo_bandit__approaches_the_optimum_from_below),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
