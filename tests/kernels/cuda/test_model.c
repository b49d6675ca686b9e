/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_model.c - a small GPT on the emulated CUDA backend against the portable one: what it says of
 * tokens, its gradients tensor by tensor, and what it draws.
 *
 * bf16 has 8 bits: a rounding is up to 2^-8 of a number. Some 20 roundings lie between the
 * embedding and a logit of this model (and as many on the way back), of which each term of a sum
 * has its own; 4 % of a tensor's size is twice what was seen, and a missing term, a wrong
 * row or a wrong scale gives far more. A tensor that is nearly a sum of cancelling terms (the key's
 * biases, whose true gradient is 0) is held to the size of its mates instead.
 */
#include <math.h>
#include <string.h>

#include "../../test.h"
#include "base/alloc.h"
#include "gpt/rng.h"
#include "gpt/sampling.h"
#include "gpt/support.h"
#include "kernels/portable/portable.h"
#include "table.h"

enum {
	B = 3,
	T = 9,
	R = B * T,
	DRAWN = 5,
};

static const gpt_config config = {
	.n_layer = 2,
	.n_head = 2,
	.n_embd = 32,
	.n_ctx = 16,
	.n_vocab = 37,
	.n_inner = 128,
};

typedef struct results {
	cairn_real out[R], entropy[R];
	cairn_real *grads;
	size_t n;
} results;

static void run(
	const cairn_kernels *k, enum gpt_head head, double dropout, results *out, gpt_model **model)
{
	static const int32_t lengths[B] = {9, 4, 7};
	static const uint64_t sample_ids[B] = {5, 9, 2};
	int32_t tokens[R], target[R];
	cairn_real weight[R];
	cairn_error err = {0};
	gpt_batch batch = {.B = B,
		.T = T,
		.tokens = tokens,
		.lengths = lengths,
		.dropout = dropout,
		.dropout_key = 4,
		.sample_ids = sample_ids};

	*model = random_model(k, &config, head, GPT_TRAINABLE, 3);
	random_tokens(tokens, R, config.n_vocab, 1);
	random_tokens(target, R, config.n_vocab, 2);
	for (int r = 0; r < R; r++) {
		weight[r] = (cairn_real)gpt_random_normal(6, 0, (uint64_t)r);
		target[r] = r % 5 == 3 ? -1 : target[r];
	}
	memset(out, 0, sizeof(*out));
	assert_int_equal(gpt_forward(*model, &batch, &err), 0);
	gpt_zero_grads(*model);
	if (head == GPT_HEAD_LM) {
		assert_int_equal(gpt_logprobs_backward(
					 *model, target, 0.9, weight, out->out, out->entropy, &err),
			0);
	} else {
		assert_int_equal(gpt_values(*model, out->out, &err), 0);
		assert_int_equal(gpt_values_backward(*model, weight, &err), 0);
	}
	out->grads = read_grads(*model);
	out->n = (*model)->n_params;
	assert_int_equal(k->status(k, &err), 0);
}

static double size_of(const cairn_real *x, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += (double)x[i] * (double)x[i];
	return sqrt(sum);
}

static double distance(const cairn_real *a, const cairn_real *b, size_t n)
{
	double sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
	return sqrt(sum);
}

static void compare(const char *mode, enum gpt_head head, double dropout, double tolerance)
{
	results want, got;
	gpt_model *reference, *model;
	cairn_kernels portable;
	double size;

	assert_int_equal(cairn_kernels_portable_open(&portable, 1, NULL), 0);
	run(&portable, head, dropout, &want, &reference);
	run(cuda_table(mode), head, dropout, &got, &model);
	assert_true(distance(got.out, want.out, R) <= tolerance * size_of(want.out, R));
	assert_true(distance(got.entropy, want.entropy, R) <= tolerance * size_of(want.entropy, R));
	size = size_of(want.grads, want.n) / sqrt((double)want.n);
	for (size_t i = 0; i < reference->n_tensors; i++) {
		const gpt_tensor *t = &reference->tensors[i];
		double own = size_of(want.grads + t->offset, t->size);
		double mates = size * sqrt((double)t->size);
		double error = distance(got.grads + t->offset, want.grads + t->offset, t->size);

		if (!(error <= tolerance * fmax(own, mates)))
			fail_msg("%s: the gradient of '%s' is off by %.3g of %.3g", mode, t->name,
				error, fmax(own, mates));
	}
	free(want.grads);
	free(got.grads);
	gpt_model_free(reference);
	gpt_model_free(model);
	cairn_kernels_portable_close(&portable);
}

static void test_cuda_model__language_model(void **state)
{
	(void)state;
	compare("fp32", GPT_HEAD_LM, 0, 2e-5);
	compare("fp32", GPT_HEAD_LM, 0.25, 2e-5);
	compare("bf16", GPT_HEAD_LM, 0, 0.04);
	compare("bf16", GPT_HEAD_LM, 0.25, 0.04);
}

static void test_cuda_model__scalar_head(void **state)
{
	(void)state;
	compare("fp32", GPT_HEAD_SCALAR, 0, 2e-5);
	compare("bf16", GPT_HEAD_SCALAR, 0, 0.04);
}

typedef struct drawn {
	int32_t prompt[B][4], tokens[B][DRAWN];
	cairn_real logprob[B][DRAWN];
	gpt_sequence sequences[B];
} drawn;

static void draw(const cairn_kernels *k, double temperature, drawn *out)
{
	gpt_model *model = random_model(k, &config, GPT_HEAD_LM, 0, 3);
	gpt_sampling options = {.temperature = temperature,
		.top_p = 1,
		.max_new = DRAWN,
		.end_token = -1,
		.key = 11,
		.batch = B};
	cairn_error err = {0};

	for (int i = 0; i < B; i++) {
		random_tokens(out->prompt[i], 4, config.n_vocab, 20 + (uint64_t)i);
		out->sequences[i] = (gpt_sequence){.prompt = out->prompt[i],
			.n_prompt = 2 + i % 3,
			.sample_id = 7 + (uint64_t)i,
			.tokens = out->tokens[i],
			.logprobs = out->logprob[i]};
	}
	if (gpt_sample(model, out->sequences, B, &options, &err))
		fail_msg("%s", err.message);
	gpt_model_free(model);
}

/* The numbers are fixed: none of these draws lies on a border. */
static void test_cuda_model__draws_the_same_tokens(void **state)
{
	cairn_kernels portable;

	(void)state;
	assert_int_equal(cairn_kernels_portable_open(&portable, 1, NULL), 0);
	for (int greedy = 0; greedy < 2; greedy++) {
		drawn want, got;

		draw(&portable, greedy ? 0 : 0.8, &want);
		draw(cuda_table("fp32"), greedy ? 0 : 0.8, &got);
		assert_memory_equal(want.tokens, got.tokens, sizeof(want.tokens));
		assert_true(distance(&got.logprob[0][0], &want.logprob[0][0], B * DRAWN) <
			    1e-5 * size_of(&want.logprob[0][0], B * DRAWN));
	}
	cairn_kernels_portable_close(&portable);
}

/* Equal calls give equal bits. */
static void test_cuda_model__repeats_itself(void **state)
{
	static const char *const modes[] = {"fp32", "bf16"};

	(void)state;
	for (int m = 0; m < 2; m++) {
		const cairn_kernels *k = cuda_table(modes[m]);
		results first, second;
		gpt_model *model;

		run(k, GPT_HEAD_LM, 0.25, &first, &model);
		gpt_model_free(model);
		run(k, GPT_HEAD_LM, 0.25, &second, &model);
		gpt_model_free(model);
		assert_memory_equal(first.out, second.out, sizeof(first.out));
		assert_memory_equal(first.grads, second.grads, first.n * sizeof(cairn_real));
		free(first.grads);
		free(second.grads);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_model__language_model),
		cmocka_unit_test(test_cuda_model__scalar_head),
		cmocka_unit_test(test_cuda_model__draws_the_same_tokens),
		cmocka_unit_test(test_cuda_model__repeats_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
