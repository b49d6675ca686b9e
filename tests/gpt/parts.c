/* SPDX-License-Identifier: Apache-2.0 */
/* Captured parts of passes give the bits of calls, whatever comes between their replays. */
#include <string.h>

#include "base/alloc.h"
#include "gpt/model_internal.h"
#include "gpt/optimizer.h"
#include "gpt/recorder.h"
#include "gpt/rng.h"
#include "gpt/sampling.h"
#include "gpt/support.h"
#include "test.h"

enum {
	STEPS = 60,
	B = 3,
	T = 12,
	MAX_NEW = 9,
};

static const gpt_config config = {
	.n_layer = 2, .n_head = 2, .n_embd = 16, .n_ctx = 16, .n_vocab = 19, .n_inner = 64};

/* All that a training run and what it samples have told. */
typedef struct told {
	cairn_real logprob[STEPS][B * T], entropy[STEPS][B * T], value[STEPS][B * T];
	int32_t token[STEPS][B][MAX_NEW];
	cairn_real drawn[STEPS][B][MAX_NEW];
	double norm[STEPS];
	cairn_real *params;
} told;

static gpt_batch batch_of(int step, int32_t tokens[B * T], int32_t lengths[B], uint64_t ids[B])
{
	/* Three shapes take turns; a larger one comes late, when graphs of the others stand. */
	int64_t rows = step % 3 == 2 ? 2 : B, width = step < STEPS / 2 ? T - 4 - step % 2 : T;

	random_tokens(tokens, rows * width, config.n_vocab, (uint64_t)step);
	for (int64_t b = 0; b < rows; b++) {
		lengths[b] = (int32_t)(width - (step + b) % 3);
		ids[b] = (uint64_t)(step * B + b);
	}
	return (gpt_batch){
		.B = rows, .T = width, .tokens = tokens, .lengths = lengths, .sample_ids = ids};
}

static void train(gpt_model *model, gpt_adam *adam, int step, bool recompute, told *out)
{
	int32_t tokens[B * T], target[B * T], lengths[B];
	uint64_t ids[B];
	cairn_real weight[B * T];
	gpt_batch batch = batch_of(step, tokens, lengths, ids);
	cairn_error err = {0};

	random_tokens(target, B * T, config.n_vocab, 100 + (uint64_t)step);
	for (int i = 0; i < B * T; i++)
		weight[i] = (cairn_real)gpt_random_normal(5, (uint64_t)step, (uint64_t)i);
	batch.dropout = step % 8 == 7 ? 0.25 : 0;
	batch.dropout_key = 7;
	batch.recompute = recompute;
	gpt_zero_grads(model);
	for (int micro = 0; micro < 2; micro++) {
		assert_int_equal(gpt_forward(model, &batch, &err), 0);
		if (model->head == GPT_HEAD_LM)
			assert_int_equal(gpt_logprobs_backward(model, target, step % 2 ? 0.7 : 1,
						 weight, out->logprob[step],
						 step % 4 < 2 ? out->entropy[step] : NULL, &err),
				0);
		else
			assert_int_equal(gpt_values_backward(model, weight, &err), 0);
	}
	assert_int_equal(gpt_adam_step(adam, model, 1e-3, &out->norm[step], &err), 0);
	batch.forward_only = true;
	batch.dropout = 0;
	assert_int_equal(gpt_forward(model, &batch, &err), 0);
	if (model->head == GPT_HEAD_SCALAR)
		assert_int_equal(gpt_values(model, out->value[step], &err), 0);
}

static void sample(gpt_model *model, int step, told *out)
{
	int32_t prompts[B][4];
	gpt_sequence sequences[B] = {{0}};
	const gpt_sampling options = {.temperature = 0.9,
		.top_p = 1,
		.max_new = MAX_NEW,
		.end_token = 3,
		.key = 77,
		.batch = step % 3 == 1 ? 2 : B};
	cairn_error err = {0};

	for (int b = 0; b < B; b++) {
		random_tokens(prompts[b], 4, config.n_vocab, (uint64_t)(200 + step * B + b));
		sequences[b] = (gpt_sequence){.prompt = prompts[b],
			.n_prompt = 2 + b,
			.sample_id = (uint64_t)(step * B + b),
			.tokens = out->token[step][b],
			.logprobs = out->drawn[step][b]};
	}
	assert_int_equal(gpt_sample(model, sequences, B, &options, &err), 0);
}

static told *run(const cairn_kernels *k, enum gpt_head head, bool recompute)
{
	const gpt_adam_options options = {.beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8};
	gpt_model *model = random_model(k, &config, head, GPT_TRAINABLE, 9);
	told *out = cairn_alloc(1, sizeof(*out));
	gpt_adam *adam;
	cairn_error err = {0};

	assert_non_null(out);
	assert_int_equal(gpt_adam_new(&adam, model, &options, &err), 0);
	for (int step = 0; step < STEPS; step++) {
		train(model, adam, step, recompute, out);
		if (head == GPT_HEAD_LM)
			sample(model, step, out);
	}
	out->params = read_flat(model, model->params);
	gpt_adam_free(adam);
	gpt_model_free(model);
	return out;
}

static void assert_same(const told *a, const told *b)
{
	size_t n = offsetof(told, params);
	size_t params = (size_t)gpt_param_count(&config, GPT_HEAD_LM) - 16;

	assert_memory_equal(a, b, n);
	assert_memory_equal(a->params, b->params, params * sizeof(*a->params));
}

static void told_free(told *t)
{
	free(t->params);
	free(t);
}

static void same_bits(const cairn_kernels *k, void *self)
{
	(void)self;
	for (int head = GPT_HEAD_LM; head <= GPT_HEAD_SCALAR; head++)
		for (int refuses = 0; refuses < 2; refuses++) {
			recorder r;
			told *called, *replayed;

			recorder_wrap(&r, k);
			r.refuses = refuses;
			called = run(k, (enum gpt_head)head, false);
			replayed = run(&r.k, (enum gpt_head)head, false);
			assert_same(replayed, called);
			assert_int_equal(r.n_freed, r.n_captured);
			if (refuses) {
				assert_int_equal(r.n_replayed, 0);
			} else {
				assert_true(r.n_captured >= 6);
				assert_true(r.n_replayed > 2 * r.n_captured);
			}
			told_free(called);
			told_free(replayed);
		}
}

static void test_gpt_parts__replays_are_calls(void **state)
{
	(void)state;
	on_each_backend(same_bits, NULL);
}

static void same_again(const cairn_kernels *k, void *self)
{
	(void)self;
	for (int head = GPT_HEAD_LM; head <= GPT_HEAD_SCALAR; head++) {
		recorder r;
		told *kept, *again, *replayed;

		recorder_wrap(&r, k);
		kept = run(k, (enum gpt_head)head, false);
		again = run(k, (enum gpt_head)head, true);
		replayed = run(&r.k, (enum gpt_head)head, true);
		assert_same(again, kept);
		assert_same(replayed, kept);
		assert_true(r.n_replayed > 0);
		told_free(kept);
		told_free(again);
		told_free(replayed);
	}
}

/* What is computed again in backward is what forward had computed. */
static void test_gpt_parts__recomputed_is_kept(void **state)
{
	(void)state;
	on_each_backend(same_again, NULL);
}

/* Deep networks need a fraction of the memory; and nobody takes a second way back. */
static void test_gpt_parts__recompute_saves_memory(void **state)
{
	gpt_config deep = config;
	size_t real = sizeof(cairn_real);

	(void)state;
	deep.n_layer = 24;
	assert_true(3 * gpt__activations_bytes(&deep, 4, 16, GPT__KEEP_INPUTS, real) <
		    gpt__activations_bytes(&deep, 4, 16, GPT__KEEP_ALL, real));
}

static void one_way_back(const cairn_kernels *k, void *self)
{
	gpt_model *model = random_model(k, &config, GPT_HEAD_SCALAR, GPT_TRAINABLE, 9);
	const int32_t tokens[2] = {1, 2};
	const cairn_real weight[2] = {1, 1};
	cairn_error err = {0};

	(void)self;
	for (int recompute = 0; recompute < 2; recompute++) {
		const gpt_batch batch = {.B = 1, .T = 2, .tokens = tokens, .recompute = recompute};

		assert_int_equal(gpt_forward(model, &batch, &err), 0);
		assert_int_equal(gpt_values_backward(model, weight, &err), 0);
		assert_int_equal(
			gpt_values_backward(model, weight, &err), recompute ? CAIRN_EBUG : 0);
	}
	gpt_model_free(model);
}

static void test_gpt_parts__recompute_is_for_one_way_back(void **state)
{
	(void)state;
	on_each_backend(one_way_back, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_parts__replays_are_calls),
		cmocka_unit_test(test_gpt_parts__recomputed_is_kept),
		cmocka_unit_test(test_gpt_parts__recompute_saves_memory),
		cmocka_unit_test(test_gpt_parts__recompute_is_for_one_way_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
