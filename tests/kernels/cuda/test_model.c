/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_model.c - a small GPT on the CUDA backend against the portable one: what it says of tokens,
 * its gradients tensor by tensor, and what it draws; and captured calls against plain ones.
 *
 * bf16 has 8 bits: a rounding is up to 2^-8 of a number. Some 20 roundings lie between the
 * embedding and a logit of this model (and as many on the way back), of which each term of a sum
 * has its own; 4 % of a tensor's size is twice what was seen, and a missing term, a wrong
 * row or a wrong scale gives far more. A tensor that is nearly a sum of cancelling terms (the key's
 * biases, whose true gradient is 0) is held to the size of its mates instead.
 *
 * In fp32 a GPU is off by more than what is emulated where cuBLASLt's gelu has the hardware's tanh,
 * whose relative error is 2^-11: each hidden unit has it.
 */
#include <math.h>
#include <string.h>

#include "../../test.h"
#include "base/alloc.h"
#include "gpt/rng.h"
#include "gpt/sampling.h"
#include "gpt/support.h"
#include "kernels/portable/portable.h"
#include "record.h"
#include "table.h"

enum {
	B = 3,
	T = 9,
	R = B * T,
	DRAWN = 10,
};

static const gpt_config config = {
	.n_layer = 2,
	.n_head = 2,
	.n_embd = 32,
	.n_ctx = 16,
	.n_vocab = 37,
	.n_inner = 128,
};

#ifdef CAIRN_ON_GPU
#define FLOAT_ERROR 5e-4
#else
#define FLOAT_ERROR 2e-5
#endif

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
	compare("fp32", GPT_HEAD_LM, 0, FLOAT_ERROR);
	compare("fp32", GPT_HEAD_LM, 0.25, FLOAT_ERROR);
	compare("bf16", GPT_HEAD_LM, 0, 0.04);
	compare("bf16", GPT_HEAD_LM, 0.25, 0.04);
}

static void test_cuda_model__scalar_head(void **state)
{
	(void)state;
	compare("fp32", GPT_HEAD_SCALAR, 0, FLOAT_ERROR);
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
			    FLOAT_ERROR * size_of(&want.logprob[0][0], B * DRAWN));
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

/* ---- captured calls ---------------------------------------------------------------------------
 *
 * The model captures a pass when it has met its shape a few times (model_parts.c), and later passes
 * replay it.
 */

static int n_replays;
static void (*replay)(const cairn_kernels *k, cairn_graph *graph, int64_t n_keys);

static void count_replay(const cairn_kernels *k, cairn_graph *graph, int64_t n_keys)
{
	n_replays++;
	replay(k, graph, n_keys);
}

/* Captures: a GPU itself, what is emulated by record.h. */
static cairn_kernels capturing_table(const char *mode)
{
	cairn_kernels k = *cuda_table(mode);

#ifdef CAIRN_ON_GPU
	assert_non_null(k.capture_begin);
#else
	k = record_table(cuda_table(mode));
#endif
	return k;
}

/* Captures not, or counts replays. */
static cairn_kernels table_that(const char *mode, bool captures)
{
	cairn_kernels k = captures ? capturing_table(mode) : *cuda_table(mode);

	n_replays = 0;
	replay = k.replay;
	if (captures)
		k.replay = count_replay;
	else
		k.capture_begin = NULL;
	return k;
}

/* One pass of `length` positions, forward and back. */
static void pass(gpt_model *model, int64_t length, results *out)
{
	int32_t tokens[R], target[R], lengths[B];
	cairn_real weight[R];
	cairn_error err = {0};
	gpt_batch batch = {.B = B, .T = length, .tokens = tokens, .lengths = lengths};

	memset(out, 0, sizeof(*out));
	random_tokens(tokens, R, config.n_vocab, 30 + (uint64_t)length);
	random_tokens(target, R, config.n_vocab, 40 + (uint64_t)length);
	for (int b = 0; b < B; b++)
		lengths[b] = (int32_t)length - b % 2;
	for (int r = 0; r < R; r++)
		weight[r] = (cairn_real)gpt_random_normal(6, 0, (uint64_t)r);
	for (int64_t r = 0; r < B * length; r++)
		target[r] = r % length < lengths[r / length] ? target[r] : -1;
	assert_int_equal(gpt_forward(model, &batch, &err), 0);
	gpt_zero_grads(model);
	assert_int_equal(
		gpt_logprobs_backward(model, target, 0.9, weight, out->out, out->entropy, &err), 0);
	out->grads = read_grads(model);
	out->n = model->n_params;
	assert_int_equal(model->k->status(model->k, &err), 0);
}

/* Lengths in an order in which captured passes take turns with each other and with new ones. */
static const int order[] = {9, 5, 9, 9, 5, 9, 5, 5, 9, 5, 7, 9};

static void check_captured(const char *mode)
{
	cairn_kernels plain = table_that(mode, false), captured = table_that(mode, true);
	gpt_model *here = random_model(&plain, &config, GPT_HEAD_LM, GPT_TRAINABLE, 3);
	gpt_model *there = random_model(&captured, &config, GPT_HEAD_LM, GPT_TRAINABLE, 3);

	for (size_t i = 0; i < CAIRN_COUNT(order); i++) {
		results want, got;

		pass(here, order[i], &want);
		pass(there, order[i], &got);
		assert_memory_equal(want.out, got.out, sizeof(want.out));
		assert_memory_equal(want.entropy, got.entropy, sizeof(want.entropy));
		assert_memory_equal(want.grads, got.grads, want.n * sizeof(cairn_real));
		free(want.grads);
		free(got.grads);
	}
	assert_true(n_replays >= 8); /* five passes, forward and back */
	gpt_model_free(here);
	gpt_model_free(there);
}

static void test_cuda_model__captured_passes_give_the_bits_of_plain_ones(void **state)
{
	(void)state;
	check_captured("fp32");
	check_captured("bf16");
}

/* Equal tokens and equal bits: what is captured is one step of decoding. */
static void test_cuda_model__captured_steps_draw_the_same(void **state)
{
	static const char *const modes[] = {"fp32", "bf16"};

	(void)state;
	for (int m = 0; m < 2; m++) {
		cairn_kernels plain = table_that(modes[m], false);
		cairn_kernels captured = table_that(modes[m], true);
		drawn want, got;

		draw(&plain, 0.8, &want);
		draw(&captured, 0.8, &got);
		assert_memory_equal(want.tokens, got.tokens, sizeof(want.tokens));
		assert_memory_equal(want.logprob, got.logprob, sizeof(want.logprob));
		assert_true(n_replays > 3);
	}
}

enum {
	N = 300,
	ROWS = 30000,
};

static void assert_holds(const cairn_kernels *k, const float *dev, float value)
{
	float host[N];

	k->read(k, host, dev, sizeof(host));
	for (int i = 0; i < N; i++)
		assert_true(host[i] == value);
}

static float *filled(const cairn_kernels *k, float value)
{
	float host[N], *dev = k->alloc(k, sizeof(host));

	assert_non_null(dev);
	for (int i = 0; i < N; i++)
		host[i] = value;
	k->write(k, dev, host, sizeof(host));
	return dev;
}

/* Sums of columns, which take a workspace. */
static void sum_ones(const cairn_kernels *k, float *sums, const float *ones)
{
	k->bias_backward(k, sums, ones, false, N / 3, 3, 0);
}

/* Nothing is done while it is captured; then as often, and in such an order, as it is replayed. */
static void test_cuda_graphs__do_what_was_captured(void **state)
{
	const cairn_kernels table = capturing_table("fp32"), *k = &table;
	float *x = filled(k, 1), *y = filled(k, 2);
	cairn_graph *add, *twice;
	cairn_error err = {0};

	(void)state;
	k->axpy(k, y, x, 1, N);
	k->scale(k, y, 2, N);
	assert_holds(k, y, 6);
	k->capture_begin(k);
	k->axpy(k, y, x, 1, N);
	add = k->capture_end(k);
	k->capture_begin(k);
	k->scale(k, y, 2, N);
	k->axpy(k, y, x, 1, N);
	twice = k->capture_end(k);
	assert_true(add && twice);
	assert_holds(k, y, 6);
	k->replay(k, twice, 0); /* 13 */
	k->replay(k, add, 0);   /* 14 */
	k->scale(k, y, 0.5, N); /* 7 */
	k->replay(k, add, 0);   /* 8 */
	k->replay(k, twice, 0); /* 17 */
	assert_holds(k, y, 17);
	assert_int_equal(k->status(k, &err), 0);
	k->graph_free(k, add);
	k->graph_free(k, twice);
	k->graph_free(k, NULL);
	k->free(k, x);
	k->free(k, y);
}

/* A workspace that is outgrown after a capture stays where the graph knows it. */
static void test_cuda_graphs__keep_their_workspace(void **state)
{
	cairn_kernels table;
	const cairn_kernels *k = &table;
	float *x, *sums, *large, got[3];
	cairn_graph *graph;
	cairn_error err = {0};

	(void)state;
	cuda_table_close("fp32"); /* of others' workspaces, too */
	table = capturing_table("fp32");
	x = filled(k, 1);
	sums = filled(k, 0);
	large = k->alloc(k, sizeof(float) * (ROWS + 1) * 64);
	assert_non_null(large);
	sum_ones(k, sums, x);
	k->capture_begin(k);
	sum_ones(k, sums, x);
	graph = k->capture_end(k);
	assert_non_null(graph);
	k->bias_backward(k, large + ROWS * 64, large, false, ROWS, 64, 0);
	for (int i = 0; i < 3; i++) {
		k->replay(k, graph, 0);
		k->bias_backward(k, large + ROWS * 64, large, false, ROWS, 64, 0);
	}
	k->read(k, got, sums, sizeof(got));
	for (int i = 0; i < 3; i++)
		assert_true(got[i] == 4 * (float)(N / 3));
	assert_int_equal(k->status(k, &err), 0);
	k->graph_free(k, graph);
	k->free(k, x);
	k->free(k, sums);
	k->free(k, large);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_model__language_model),
		cmocka_unit_test(test_cuda_model__scalar_head),
		cmocka_unit_test(test_cuda_model__draws_the_same_tokens),
		cmocka_unit_test(test_cuda_model__repeats_itself),
		cmocka_unit_test(test_cuda_model__captured_passes_give_the_bits_of_plain_ones),
		cmocka_unit_test(test_cuda_model__captured_steps_draw_the_same),
		cmocka_unit_test(test_cuda_graphs__do_what_was_captured),
		cmocka_unit_test(test_cuda_graphs__keep_their_workspace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
