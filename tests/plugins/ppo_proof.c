/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo_proof.c - the stage's gradients against central differences, the identities of PPO-ptx, and
 * every invariant broken on purpose. In double; see bandit.h.
 */
#include <math.h>
#include <string.h>

#include "bandit.h"
#include "base/alloc.h"
#include "gpt/rng.h"
#include "gpt/train_lm.h"

enum {
	EPISODES = 16
};

/* A rollout whose old log-probabilities, values and advantages are far from the networks': both
 * branches of both clips occur, and no token is near a kink. */
static double away(size_t t)
{
	static const double offset[] = {.5, -.1, -.5, .1};

	return offset[t % 4];
}

static void open_moved(bandit *self)
{
	ppo_rollout *rollout = &self->stage.rollout;
	uint64_t all[EPISODES];

	bandit_init(self, EPISODES);
	self->params.gamma_ptx = 2.5;
	self->params.micro_tokens = 9; /* several micro-batches, padded ones among them */
	bandit_open(self, 8);
	assert_int_equal(ppo_rollout_make(&self->stage, 0), 0);
	for (size_t t = 0; t < rollout->first[EPISODES]; t++) {
		rollout->logp[t] += away(t);
		rollout->value[t] += away(t);
		rollout->returns[t] = rollout->value[t] + 2 * gpt_random_normal(8, 1, t);
		rollout->advantage[t] = gpt_random_normal(8, 0, t);
	}
	for (size_t e = 0; e < EPISODES; e++)
		all[e] = e;
	ppo_minibatch_set(&self->stage, all, EPISODES);
}

static double n_tokens(const bandit *self)
{
	return (double)self->stage.rollout.first[EPISODES];
}

/* ---- gradients ----------------------------------------------------------------------------------
 */

static double policy_loss(void *opaque)
{
	bandit *self = opaque;
	ppo_policy_sum sum = {0};

	gpt_zero_grads(self->stage.policy);
	assert_int_equal(ppo_policy_gradient(&self->stage, EPISODES, n_tokens(self), &sum), 0);
	assert_true(sum.n_clipped > 0 && (double)sum.n_clipped < n_tokens(self));
	return sum.loss / n_tokens(self);
}

static void test_ppo_proof__gradient_of_the_policy_loss(void **state)
{
	bandit self;
	double *gradient;

	(void)state;
	open_moved(&self);
	policy_loss(&self);
	gradient = bandit_gradient(self.stage.policy);
	bandit_check_gradient(self.stage.policy, policy_loss, &self, gradient, "policy");
	free(gradient);
	bandit_close(&self);
}

static double policy_and_ptx_loss(void *opaque)
{
	bandit *self = opaque;
	double loss = policy_loss(opaque), ptx;

	assert_int_equal(ppo_ptx_gradient(&self->stage, EPISODES, &ptx), 0);
	return loss + self->params.gamma_ptx * ptx;
}

static void test_ppo_proof__gradient_of_ppo_ptx(void **state)
{
	bandit self;
	double *gradient;

	(void)state;
	open_moved(&self);
	policy_and_ptx_loss(&self);
	gradient = bandit_gradient(self.stage.policy);
	bandit_check_gradient(self.stage.policy, policy_and_ptx_loss, &self, gradient, "ptx");
	free(gradient);
	bandit_close(&self);
}

static double value_loss(void *opaque)
{
	bandit *self = opaque;
	ppo_value_sum sum = {0};

	gpt_zero_grads(self->stage.value);
	assert_int_equal(ppo_value_gradient(&self->stage, EPISODES, n_tokens(self), &sum), 0);
	assert_true(self->params.value_clip == 0
			    ? sum.n_clipped == 0
			    : sum.n_clipped > 0 && (double)sum.n_clipped < n_tokens(self));
	return sum.loss / n_tokens(self);
}

static void test_ppo_proof__gradient_of_the_value_loss(void **state)
{
	(void)state;
	for (int clipped = 0; clipped < 2; clipped++) {
		bandit self;
		double *gradient;

		open_moved(&self);
		self.params.value_clip = clipped ? 0.2 : 0;
		value_loss(&self);
		gradient = bandit_gradient(self.stage.value);
		bandit_check_gradient(self.stage.value, value_loss, &self, gradient, "value");
		free(gradient);
		bandit_close(&self);
	}
}

/* Pretraining counts all tokens of a window, SFT those behind the prompt: gpt_lm_backward() as both
 * stages call it. */
struct lm {
	bandit *self;
	gpt_seq seqs[5];
};

static double lm_loss(void *opaque)
{
	struct lm *lm = opaque;
	gpt_lm_sum sum = {0};

	gpt_zero_grads(lm->self->stage.policy);
	assert_int_equal(gpt_lm_backward(&lm->self->stage.work, lm->self->stage.policy, lm->seqs, 5,
				 1 / (double)gpt_seqs_counted(lm->seqs, 5), &sum),
		0);
	return gpt_lm_mean(&sum);
}

static void test_ppo_proof__gradient_of_the_language_model(void **state)
{
	(void)state;
	for (int sft = 0; sft < 2; sft++) {
		bandit self;
		struct lm lm = {.self = &self};
		double *gradient;

		open_moved(&self);
		for (uint64_t i = 0; i < 5; i++) {
			lm.seqs[i] =
				gpt_text_window(&self.stage.text, 1, 0, i, (int32_t)(3 + i % 3));
			lm.seqs[i].first = sft ? 2 : 1;
		}
		lm_loss(&lm);
		gradient = bandit_gradient(self.stage.policy);
		bandit_check_gradient(
			self.stage.policy, lm_loss, &lm, gradient, sft ? "sft" : "pretraining");
		free(gradient);
		bandit_close(&self);
	}
}

/* ---- PPO-ptx ------------------------------------------------------------------------------------
 */

/* accumulate(PPO) + gamma * accumulate(ptx) is linear in gamma: METHOD 2.9. */
static void test_ppo_proof__ptx_adds_gamma_times_its_gradient(void **state)
{
	bandit self;
	double *ppo, *one, *both, loss, worst = 0, size = 0;

	(void)state;
	open_moved(&self);
	policy_loss(&self);
	ppo = bandit_gradient(self.stage.policy);
	self.params.gamma_ptx = 1;
	gpt_zero_grads(self.stage.policy);
	assert_int_equal(ppo_ptx_gradient(&self.stage, EPISODES, &loss), 0);
	one = bandit_gradient(self.stage.policy);
	self.params.gamma_ptx = 27.8;
	policy_and_ptx_loss(&self);
	both = bandit_gradient(self.stage.policy);
	for (size_t i = 0; i < self.stage.policy->n_params; i++) {
		worst = fmax(worst, fabs(both[i] - ppo[i] - 27.8 * one[i]));
		size = fmax(size, fabs(both[i]));
	}
	assert_true(size > 0.1 && worst < 1e-13 * size);
	free(both);
	free(one);
	free(ppo);
	bandit_close(&self);
}

/* Nothing to learn from rewards: beta 0, all advantages 0. The step is that of training on text
 * with the gradient times gamma, to the bit. */
static void test_ppo_proof__ptx_alone_is_a_language_model_step(void **state)
{
	bandit self, text;
	gpt_seq windows[EPISODES];
	gpt_lm_sum sum = {0};
	double *stepped, *trained;
	cairn_error err = {0};

	(void)state;
	for (int i = 0; i < 2; i++) {
		bandit *each = i ? &text : &self;

		bandit_init(each, EPISODES);
		each->params.beta = 0;
		each->params.gamma_ptx = 27.8;
		bandit_open(each, 8);
		assert_int_equal(ppo_rollout_make(&each->stage, 0), 0);
	}
	memset(self.stage.rollout.advantage, 0, (size_t)n_tokens(&self) * sizeof(double));
	assert_int_equal(ppo_update(&self.stage, 0, 0), 0);

	for (uint64_t i = 0; i < EPISODES; i++)
		windows[i] = gpt_text_window(
			&text.stage.text, text.stage.text_key, 0, i, text.stage.ptx_length);
	gpt_zero_grads(text.stage.policy);
	assert_int_equal(gpt_lm_backward(&text.stage.work, text.stage.policy, windows, EPISODES,
				 27.8 / (double)gpt_seqs_counted(windows, EPISODES), &sum),
		0);
	assert_int_equal(gpt_adam_step(text.stage.policy_adam, text.stage.policy, text.params.lr,
				 NULL, &err),
		0);
	stepped = bandit_weights(self.stage.policy);
	trained = bandit_weights(text.stage.policy);
	assert_memory_equal(stepped, trained, self.stage.policy->n_params * sizeof(*stepped));
	free(trained);
	free(stepped);
	bandit_close(&text);
	bandit_close(&self);
}

/* ---- whitening
 * ----------------------------------------------------------------------------------- */

/* Whitened rewards keep their mean and get variance 1, over all tokens of the batch (METHOD 2.7).
 */
static void test_ppo_proof__rewards_can_be_whitened(void **state)
{
	double mean[2] = {0}, square = 0, n;
	bandit self;

	(void)state;
	bandit_init(&self, EPISODES);
	bandit_open(&self, 8);
	for (int whiten = 0; whiten < 2; whiten++) {
		self.params.whiten_rewards = whiten;
		assert_int_equal(ppo_rollout_make(&self.stage, 0), 0);
		n = n_tokens(&self);
		for (size_t t = 0; t < (size_t)n; t++)
			mean[whiten] += self.stage.rollout.reward[t] / n;
		for (size_t t = 0; t < (size_t)n && whiten; t++)
			square += pow(self.stage.rollout.reward[t] - mean[1], 2) / n;
	}
	assert_true(fabs(mean[0] - mean[1]) < 1e-12);
	assert_true(fabs(square - 1) < 1e-6);
	bandit_close(&self);
}

/* Advantages per minibatch and over the batch; what the policy loss sees has mean 0 and variance 1
 * there. */
static void test_ppo_proof__advantages_are_whitened(void **state)
{
	(void)state;
	for (int whiten = PPO_WHITEN_MINIBATCH; whiten <= PPO_WHITEN_BATCH; whiten++) {
		size_t n = whiten == PPO_WHITEN_BATCH ? EPISODES : EPISODES / 2;
		uint64_t some[EPISODES];
		double mean = 0, square = 0, tokens;
		bandit self;

		bandit_init(&self, EPISODES);
		self.params.whiten = whiten;
		bandit_open(&self, 8);
		assert_int_equal(ppo_rollout_make(&self.stage, 0), 0);
		for (size_t e = 0; e < n; e++)
			some[e] = e;
		ppo_minibatch_set(&self.stage, some, n);
		tokens = (double)self.stage.rollout.first[n];
		for (size_t t = 0; t < (size_t)tokens; t++) {
			mean += self.stage.scratch[t] / tokens;
			square += self.stage.scratch[t] * self.stage.scratch[t] / tokens;
		}
		assert_true(fabs(mean) < 1e-12 && fabs(square - 1) < 1e-6);
		bandit_close(&self);
	}
}

/* ---- invariants, broken on purpose --------------------------------------------------------------
 */

static void open_made(bandit *self)
{
	bandit_init(self, EPISODES);
	bandit_open(self, 8);
	bandit_shake(self, 0.1, 3);
	if (ppo_rollout_make(&self->stage, 1))
		fail_msg("%s", self->message);
}

static void assert_caught(bandit *self, int code, const char *message)
{
	assert_int_equal(code, CAIRN_EBUG);
	assert_int_equal(self->code, CAIRN_EBUG);
	if (!strstr(self->message, message))
		fail_msg("'%s' does not say '%s'", self->message, message);
	self->code = 0;
	bandit_close(self);
}

/* An episode of two tokens or more. */
static size_t long_episode(const bandit *self)
{
	size_t e = 0;

	while (self->stage.rollout.drawn.n_tokens[e] < 2)
		e++;
	assert_true(e < EPISODES);
	return e;
}

static void test_ppo_proof__a_token_behind_the_end_is_caught(void **state)
{
	bandit self;
	size_t e;

	(void)state;
	open_made(&self);
	e = long_episode(&self);
	self.stage.rollout.drawn.tokens[e * BANDIT_LONGEST] = BANDIT_END;
	assert_caught(&self, ppo_verify_drawn(&self.stage), "does not stop at its end token");
	open_made(&self);
	self.stage.rollout.drawn.ended[2] ^= 1;
	assert_caught(&self, ppo_verify_drawn(&self.stage), "episode 2 does not stop");
	open_made(&self);
	self.stage.rollout.drawn.n_tokens[1] = 0;
	assert_caught(&self, ppo_verify_drawn(&self.stage), "episode 1 does not stop");
}

/* One unit in the last place of one log-probability is enough. */
static void test_ppo_proof__a_policy_off_the_reference_is_caught(void **state)
{
	bandit self;
	ppo_rollout *rollout = &self.stage.rollout;
	size_t e;

	(void)state;
	bandit_init(&self, EPISODES);
	bandit_open(&self, 8);
	assert_int_equal(ppo_rollout_make(&self.stage, 0), 0);
	e = long_episode(&self);
	rollout->ref[rollout->first[e] + 1] = nextafter(rollout->ref[rollout->first[e] + 1], 0);
	assert_caught(&self, ppo_verify_start(&self.stage), "token 1 of episode");
	/* And in its place: the stage itself, with other weights than the reference's. */
	bandit_init(&self, EPISODES);
	bandit_open(&self, 8);
	bandit_shake(&self, 1e-9, 3);
	assert_caught(&self, ppo_rollout_make(&self.stage, 0),
		"the policy differs from the reference before the first update");
}

static int forgetful_score(ppo_stage *stage, const gpt_seq *seqs, size_t n, double *score)
{
	for (size_t i = 0; i < n; i++)
		score[i] = 1;
	/* Whoever scatters by a wrong id scores one twice and another not at all. */
	((gpt_seq *)seqs)[0].id = seqs[1].id;
	(void)stage;
	return 0;
}

static void test_ppo_proof__two_scores_for_an_episode_are_caught(void **state)
{
	bandit self;

	(void)state;
	open_made(&self);
	self.stage.score = forgetful_score;
	assert_caught(&self, ppo_rollout_make(&self.stage, 1), "was scored");
}

static void test_ppo_proof__wrong_rewards_are_caught(void **state)
{
	bandit self;
	ppo_rollout *rollout = &self.stage.rollout;
	size_t e, last;

	(void)state;
	/* The score at the token before the last. */
	open_made(&self);
	e = long_episode(&self);
	last = rollout->first[e + 1] - 1;
	rollout->reward[last] -= rollout->score[e];
	rollout->reward[last - 1] += rollout->score[e];
	assert_caught(&self, ppo_verify_rewards(&self.stage), "not at the last token");
	/* A score forgotten, and one given twice. */
	open_made(&self);
	rollout->reward[rollout->first[1] - 1] -= rollout->score[0];
	assert_caught(&self, ppo_verify_rewards(&self.stage), "the rewards of episode 0 sum to");
	open_made(&self);
	rollout->reward[rollout->first[4] - 1] += rollout->score[3];
	assert_caught(&self, ppo_verify_rewards(&self.stage), "the rewards of episode 3 sum to");
	/* A penalty of the wrong sign. */
	open_made(&self);
	self.stage.at.rollout_beta = -self.stage.at.rollout_beta;
	assert_caught(&self, ppo_verify_rewards(&self.stage), "episode");
}

static void test_ppo_proof__a_ratio_that_is_not_one_is_caught(void **state)
{
	bandit self;
	ppo_rollout *rollout = &self.stage.rollout;
	char where[64];
	size_t e;

	(void)state;
	open_made(&self);
	e = long_episode(&self);
	rollout->logp[rollout->first[e] + 1] = nextafter(rollout->logp[rollout->first[e] + 1], 0);
	(void)snprintf(where, sizeof(where), "token 1 of episode %zu was drawn at", e);
	assert_caught(&self, ppo_update(&self.stage, 1, 0), where);
	/* Another temperature than the sampler's. */
	open_made(&self);
	self.params.temperature = 0.7;
	assert_caught(&self, ppo_update(&self.stage, 1, 0), "are not 1");
	/* Later minibatches may differ: that is learning. */
	open_made(&self);
	rollout->logp[0] = nextafter(rollout->logp[0], 0);
	assert_int_equal(ppo_update(&self.stage, 1, 1), 0);
	bandit_close(&self);
}

/* A sampler that rounds otherwise than the pass over sequences. */
static double sampler_is_off;
static void (*plain_sample)(const cairn_kernels *k, const cairn_sample *s);

static void rounding_sample(const cairn_kernels *k, const cairn_sample *s)
{
	plain_sample(k, s);
	for (int64_t r = 0; r < s->R; r++)
		s->logprob[r] += sampler_is_off;
}

static void open_rounding(bandit *self, double off)
{
	open_made(self);
	plain_sample = self->k.sample;
	sampler_is_off = off;
	self->k.sample = rounding_sample;
	self->k.batch_invariant = 0;
	self->k.rounding = 0x1p-24;
}

/* Where bits depend on the batch, the ratio is one of two passes over sequences; the sampler may be
 * off by rounding, not by more. */
static void test_ppo_proof__a_backend_may_round_by_batch(void **state)
{
	bandit self;
	ppo_rollout *rollout = &self.stage.rollout;
	ppo_policy_sum sum = {0};

	(void)state;
	open_rounding(&self, 1e-5);
	assert_int_equal(ppo_rollout_make(&self.stage, 1), 0);
	assert_true(fabs(rollout->logp[0] - rollout->drawn.logprobs[0]) > 1e-6);
	assert_int_equal(ppo_update(&self.stage, 1, 0), 0);
	bandit_close(&self);

	open_rounding(&self, 1e-5);
	assert_int_equal(ppo_rollout_make(&self.stage, 1), 0);
	ppo_minibatch_set(&self.stage, self.stage.shuffled, (size_t)self.params.minibatch);
	assert_int_equal(
		ppo_policy_gradient(&self.stage, (size_t)self.params.minibatch, 1, &sum), 0);
	assert_int_equal(sum.n_changed, 0);
	bandit_close(&self);

	open_rounding(&self, 1e-3);
	assert_caught(&self, ppo_rollout_make(&self.stage, 1), "off what the policy gives");
	open_rounding(&self, 0);
	assert_int_equal(ppo_rollout_make(&self.stage, 1), 0);
	for (size_t t = 0; t < rollout->first[rollout->n]; t++)
		rollout->logp[t] += 1e-5;
	assert_int_equal(ppo_update(&self.stage, 1, 0), 0);
	bandit_close(&self);
	open_rounding(&self, 0);
	assert_int_equal(ppo_rollout_make(&self.stage, 1), 0);
	for (size_t t = 0; t < rollout->first[rollout->n]; t++)
		rollout->logp[t] += 1e-3;
	assert_caught(&self, ppo_update(&self.stage, 1, 0), "are not 1");
}

static void test_ppo_proof__a_moved_reference_is_caught(void **state)
{
	bandit self;
	double w;

	(void)state;
	for (int last = 0; last < 2; last++) {
		cairn_real *at;

		open_made(&self);
		at = gpt_params_change(self.stage.reference) + 5;
		assert_int_equal(ppo_verify_reference(&self.stage, last), 0);
		self.k.read(&self.k, &w, at, sizeof(w));
		/* In the middle of a run a sum of squares is compared; at the end, each bit. */
		w = last ? -w : w * 1.0001;
		self.k.write(&self.k, at, &w, sizeof(w));
		assert_caught(&self, ppo_verify_reference(&self.stage, last),
			"the reference model changed");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ppo_proof__gradient_of_the_policy_loss),
		cmocka_unit_test(test_ppo_proof__gradient_of_ppo_ptx),
		cmocka_unit_test(test_ppo_proof__gradient_of_the_value_loss),
		cmocka_unit_test(test_ppo_proof__gradient_of_the_language_model),
		cmocka_unit_test(test_ppo_proof__ptx_adds_gamma_times_its_gradient),
		cmocka_unit_test(test_ppo_proof__ptx_alone_is_a_language_model_step),
		cmocka_unit_test(test_ppo_proof__rewards_can_be_whitened),
		cmocka_unit_test(test_ppo_proof__advantages_are_whitened),
		cmocka_unit_test(test_ppo_proof__a_token_behind_the_end_is_caught),
		cmocka_unit_test(test_ppo_proof__a_policy_off_the_reference_is_caught),
		cmocka_unit_test(test_ppo_proof__two_scores_for_an_episode_are_caught),
		cmocka_unit_test(test_ppo_proof__wrong_rewards_are_caught),
		cmocka_unit_test(test_ppo_proof__a_ratio_that_is_not_one_is_caught),
		cmocka_unit_test(test_ppo_proof__a_backend_may_round_by_batch),
		cmocka_unit_test(test_ppo_proof__a_moved_reference_is_caught),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
