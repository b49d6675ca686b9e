/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gradients.c - every element of every gradient against central differences, in double.
 *
 * An objective is a function of the model that returns its loss and, asked to, adds the loss's
 * gradient to the model's: the losses of all the training stages are here.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "gpt/rlhf.h"
#include "gpt/rng.h"
#include "gpt/support.h"
#include "kernels/portable/portable.h"
#include "test.h"

#ifndef CAIRN_DOUBLE
#error "gradient checks need the double build"
#endif

enum {
	B = 3,
	T = 6,
	R = B * T
};

typedef double (*objective)(gpt_model *model, bool backward);

static const int32_t lengths[B] = {6, 4, 5};
static const uint64_t sample_ids[B] = {5, 900, 77};
static double dropout;

static void run_forward(gpt_model *model, uint64_t key)
{
	int32_t tokens[R];
	gpt_batch batch = {
		.B = B,
		.T = T,
		.tokens = tokens,
		.lengths = lengths,
		.dropout = dropout,
		.dropout_key = 31,
		.sample_ids = sample_ids,
	};
	cairn_error err = {0};

	random_tokens(tokens, R, model->config.n_vocab, key);
	if (gpt_forward(model, &batch, &err))
		fail_msg("%s", err.message);
}

/* Targets of some rows, also such in the padding, which must not count. */
static void random_targets(int32_t target[R], int32_t n_vocab)
{
	random_tokens(target, R, n_vocab, 101);
	for (int r = 0; r < R; r += 5)
		target[r] = -1;
}

/* Sum of weight * logprob over the rows that count. */
static double weighted_logprobs(gpt_model *model, uint64_t key, double temperature, bool backward)
{
	int32_t target[R];
	double weight[R], logprob[R], entropy[R], loss = 0;
	cairn_error err = {0};

	run_forward(model, key);
	random_targets(target, model->config.n_vocab);
	for (uint64_t r = 0; r < R; r++)
		weight[r] = gpt_random_normal(key, 7, r);
	if (backward)
		assert_int_equal(gpt_logprobs_backward(model, target, temperature, weight, logprob,
					 entropy, &err),
			0);
	else
		assert_int_equal(
			gpt_logprobs(model, target, temperature, logprob, entropy, &err), 0);
	for (int r = 0; r < R; r++)
		loss += weight[r] * logprob[r];
	return loss;
}

static double language_model(gpt_model *model, bool backward)
{
	return weighted_logprobs(model, 1, 1, backward);
}

static double cold_language_model(gpt_model *model, bool backward)
{
	return weighted_logprobs(model, 1, 0.7, backward);
}

/* Fixed weights on the values of all rows; padding must not count. */
static double scalar_head(gpt_model *model, bool backward)
{
	double value[R], weight[R], loss = 0;
	cairn_error err = {0};

	run_forward(model, 2);
	assert_int_equal(gpt_values(model, value, &err), 0);
	for (int r = 0; r < R; r++) {
		weight[r] = gpt_random_normal(3, 0, (uint64_t)r);
		if (r % T < lengths[r / T])
			loss += weight[r] * value[r];
	}
	if (backward)
		assert_int_equal(gpt_values_backward(model, weight, &err), 0);
	return loss;
}

/* The K-wise ranking loss on the values of the last tokens. */
static double ranking(gpt_model *model, const int32_t rank[B], bool by_all, bool backward)
{
	double value[R], dvalue[R] = {0}, score[B], dscore[B], loss;
	cairn_error err = {0};

	run_forward(model, 4);
	assert_int_equal(gpt_values(model, value, &err), 0);
	for (int b = 0; b < B; b++)
		score[b] = value[b * T + lengths[b] - 1];
	loss = rlhf_ranking_loss(score, rank, B, by_all, dscore, NULL, NULL);
	for (int b = 0; b < B; b++)
		dvalue[b * T + lengths[b] - 1] = dscore[b];
	if (backward)
		assert_int_equal(gpt_values_backward(model, dvalue, &err), 0);
	return loss;
}

static double reward_model(gpt_model *model, bool backward)
{
	static const int32_t rank[B] = {1, 0, 2};

	return ranking(model, rank, false, backward);
}

static double reward_model_with_a_tie(gpt_model *model, bool backward)
{
	static const int32_t rank[B] = {1, 0, 1};

	return ranking(model, rank, true, backward);
}

/* Old values at +-.5 and +-.1 from the first ones, so that both branches of the clip occur and no
 * row is near its kink. Set on the first call. */
static double old_value[R], old_logprob[R];
static bool old_is_set;

static double away(int r)
{
	static const double offset[] = {.5, -.1, -.5, .1};

	return offset[r % 4];
}

static double value_function(gpt_model *model, bool backward)
{
	double value[R], dvalue[R] = {0}, loss = 0;
	int clipped = 0, rows = 0;
	cairn_error err = {0};

	run_forward(model, 5);
	assert_int_equal(gpt_values(model, value, &err), 0);
	for (int r = 0; !old_is_set && r < R; r++)
		old_value[r] = value[r] + away(r);
	old_is_set = true;
	for (int r = 0; r < R; r++) {
		bool is_clipped;

		if (r % T >= lengths[r / T])
			continue;
		loss += rlhf_value_loss(value[r], old_value[r],
			old_value[r] + 2 * gpt_random_normal(8, 0, (uint64_t)r), .2, &dvalue[r],
			&is_clipped);
		clipped += is_clipped;
		rows++;
	}
	assert_true(clipped > 0 && clipped < rows);
	if (backward)
		assert_int_equal(gpt_values_backward(model, dvalue, &err), 0);
	return loss;
}

static double policy(gpt_model *model, bool backward)
{
	int32_t target[R];
	double logprob[R], dlogprob[R] = {0}, loss = 0;
	int clipped = 0, rows = 0;
	cairn_error err = {0};

	run_forward(model, 6);
	random_targets(target, model->config.n_vocab);
	assert_int_equal(gpt_logprobs(model, target, .9, logprob, NULL, &err), 0);
	for (int r = 0; !old_is_set && r < R; r++)
		old_logprob[r] = logprob[r] + away(r);
	old_is_set = true;
	for (int r = 0; r < R; r++) {
		bool is_clipped;

		if (r % T >= lengths[r / T] || target[r] < 0)
			continue;
		loss += rlhf_policy_loss(logprob[r], old_logprob[r],
			gpt_random_normal(10, 0, (uint64_t)r), .2, &dlogprob[r], &is_clipped);
		clipped += is_clipped;
		rows++;
	}
	assert_true(clipped > 0 && clipped < rows);
	if (backward)
		assert_int_equal(
			gpt_logprobs_backward(model, target, .9, dlogprob, NULL, NULL, &err), 0);
	return loss;
}

/* PPO-ptx: both gradients in one buffer (METHOD 2.9). */
static double policy_and_pretraining(gpt_model *model, bool backward)
{
	double loss = policy(model, backward);
	int32_t target[R];
	double weight[R], logprob[R];
	cairn_error err = {0};

	run_forward(model, 12);
	random_targets(target, model->config.n_vocab);
	for (int r = 0; r < R; r++)
		weight[r] = -27.8 / R;
	if (backward)
		assert_int_equal(
			gpt_logprobs_backward(model, target, 1, weight, logprob, NULL, &err), 0);
	else
		assert_int_equal(gpt_logprobs(model, target, 1, logprob, NULL, &err), 0);
	for (int r = 0; r < R; r++)
		loss += weight[r] * logprob[r];
	return loss;
}

static double loss_with(gpt_model *model, objective f, size_t element, double value)
{
	model->k->write(model->k, gpt_params_change(model) + element, &value, sizeof(value));
	return f(model, false);
}

static void check_tensor(
	gpt_model *model, objective f, const gpt_tensor *tensor, const double *gradient)
{
	const double step = 1e-5;
	double difference = 0, size = 0, error;

	for (size_t i = tensor->offset; i < tensor->offset + tensor->size; i++) {
		double w, slope;

		model->k->read(model->k, &w, model->params + i, sizeof(w));
		slope = (loss_with(model, f, i, w + step) - loss_with(model, f, i, w - step)) /
			(2 * step);
		model->k->write(model->k, gpt_params_change(model) + i, &w, sizeof(w));
		difference += (slope - gradient[i]) * (slope - gradient[i]);
		size += slope * slope;
	}
	error = sqrt(difference / size);
	if (size < 1e-16) {
		/* All scores of a ranking shifted alike: zero by symmetry, but for rounding; the
		 * other gradients are of order 1. */
		assert_true((f == reward_model || f == reward_model_with_a_tie) &&
			    strstr(tensor->name, "bias"));
		error = sqrt(difference);
	}
	if (!(error < 1e-6))
		fail_msg("gradient of %s: relative error %g", tensor->name, error);
}

/* p: residual dropout. */
static void check_with(const gpt_config *config, enum gpt_head head, objective f, double p)
{
	cairn_kernels k;
	cairn_error err = {0};
	gpt_model *model;
	double *gradient, before, after;

	assert_int_equal(cairn_kernels_portable_open(&k, 1, &err), 0);
	model = random_model(&k, config, head, GPT_TRAINABLE, 21);
	dropout = p;
	old_is_set = false;
	before = f(model, false);
	gpt_zero_grads(model);
	after = f(model, true);
	assert_true(before == after);
	gradient = read_grads(model);
	for (size_t i = 0; i < model->n_tensors; i++)
		check_tensor(model, f, &model->tensors[i], gradient);
	free(gradient);
	gpt_model_free(model);
	cairn_kernels_portable_close(&k);
}

static void check(enum gpt_head head, objective f, double p)
{
	check_with(&tiny_config, head, f, p);
}

static void test_gpt_gradients__language_model(void **state)
{
	(void)state;
	check(GPT_HEAD_LM, language_model, 0);
}

static void test_gpt_gradients__untied_head(void **state)
{
	gpt_config untied = tiny_config;

	(void)state;
	untied.untied = true;
	check_with(&untied, GPT_HEAD_LM, language_model, 0);
}

static void test_gpt_gradients__temperature(void **state)
{
	(void)state;
	check(GPT_HEAD_LM, cold_language_model, 0);
}

static void test_gpt_gradients__dropout(void **state)
{
	(void)state;
	check(GPT_HEAD_LM, language_model, 0.3);
}

static void test_gpt_gradients__scalar_head(void **state)
{
	(void)state;
	check(GPT_HEAD_SCALAR, scalar_head, 0.2);
}

static void test_gpt_gradients__reward_model(void **state)
{
	(void)state;
	check(GPT_HEAD_SCALAR, reward_model, 0);
}

static void test_gpt_gradients__reward_model_with_a_tie(void **state)
{
	(void)state;
	check(GPT_HEAD_SCALAR, reward_model_with_a_tie, 0);
}

static void test_gpt_gradients__value_function(void **state)
{
	(void)state;
	check(GPT_HEAD_SCALAR, value_function, 0);
}

static void test_gpt_gradients__policy(void **state)
{
	(void)state;
	check(GPT_HEAD_LM, policy, 0);
}

static void test_gpt_gradients__policy_and_pretraining(void **state)
{
	(void)state;
	check(GPT_HEAD_LM, policy_and_pretraining, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_gradients__language_model),
		cmocka_unit_test(test_gpt_gradients__untied_head),
		cmocka_unit_test(test_gpt_gradients__temperature),
		cmocka_unit_test(test_gpt_gradients__dropout),
		cmocka_unit_test(test_gpt_gradients__scalar_head),
		cmocka_unit_test(test_gpt_gradients__reward_model),
		cmocka_unit_test(test_gpt_gradients__reward_model_with_a_tie),
		cmocka_unit_test(test_gpt_gradients__value_function),
		cmocka_unit_test(test_gpt_gradients__policy),
		cmocka_unit_test(test_gpt_gradients__policy_and_pretraining),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
