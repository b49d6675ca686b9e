/* SPDX-License-Identifier: Apache-2.0 */
/* The model: tensors, memory, and that a result depends on its own sequence only. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/rng.h"
#include "gpt/support.h"
#include "kernels/portable/portable.h"
#include "test.h"

enum {
	N = 5,
	LONGEST = 12
};

static const gpt_config config = {
	.n_layer = 3,
	.n_head = 4,
	.n_embd = 32,
	.n_ctx = 16,
	.n_vocab = 37,
	.n_inner = 128,
};
static const int32_t lengths[N] = {12, 3, 7, 1, 9};
static const uint64_t sample_ids[N] = {3, 1, 4, 1ull << 40, 9};

/* Results of the five sequences, whatever they were computed with. */
typedef struct results {
	cairn_real logprob[N][LONGEST], entropy[N][LONGEST], value[N][LONGEST];
} results;

typedef struct split {
	int64_t batch; /* sequences of a micro-batch */
	int64_t width; /* T; 0: the longest of the micro-batch */
	double dropout;
	bool forward_only;
	bool garbage; /* tokens behind the sequences are not zero, targets there are set */
} split;

static int32_t token_of(int64_t s, int64_t t)
{
	return (int32_t)gpt_random_below(17, (uint64_t)s, (uint64_t)t, (uint64_t)config.n_vocab);
}

/* Forward of sequences s..s+n-1; with a trainable model backward too. */
static void run_part(gpt_model *model, const split *how, int64_t s, int64_t n, results *out)
{
	int64_t T = how->width, R;
	int32_t *tokens, *target;
	cairn_real *logprob, *entropy, *weight;
	gpt_batch batch = {.B = n,
		.lengths = lengths + s,
		.dropout = how->dropout,
		.dropout_key = 8,
		.sample_ids = sample_ids + s,
		.forward_only = how->forward_only};
	cairn_error err = {0};

	for (int64_t i = 0; i < n && !how->width; i++)
		T = lengths[s + i] > T ? lengths[s + i] : T;
	R = n * T;
	tokens = cairn_alloc((size_t)R, sizeof(*tokens));
	target = cairn_alloc((size_t)R, sizeof(*target));
	logprob = cairn_alloc((size_t)R, sizeof(*logprob));
	entropy = cairn_alloc((size_t)R, sizeof(*entropy));
	weight = cairn_alloc((size_t)R, sizeof(*weight));
	for (int64_t r = 0; r < R; r++) {
		int64_t b = s + r / T, t = r % T;
		bool real = t < lengths[b];

		tokens[r] = real ? token_of(b, t) : how->garbage ? -7 : 0;
		target[r] = real ? token_of(b, t + 1) : how->garbage ? 3 : -1;
		target[r] = t % 4 == 2 ? -1 : target[r];
		weight[r] = (cairn_real)gpt_random_normal(5, (uint64_t)b, (uint64_t)t);
	}
	batch.T = T;
	batch.tokens = tokens;
	if (gpt_forward(model, &batch, &err))
		fail_msg("%s", err.message);
	if (model->head == GPT_HEAD_LM) {
		assert_int_equal(gpt_logprobs(model, target, 0.8, logprob, entropy, &err), 0);
		if (model->grads && !how->forward_only)
			assert_int_equal(
				gpt_logprobs_backward(model, target, 0.8, weight, NULL, NULL, &err),
				0);
	} else {
		assert_int_equal(gpt_values(model, logprob, &err), 0);
		if (model->grads && !how->forward_only)
			assert_int_equal(gpt_values_backward(model, weight, &err), 0);
	}
	for (int64_t r = 0; r < R; r++) {
		int64_t b = s + r / T, t = r % T;

		if (t >= lengths[b]) {
			assert_true(logprob[r] == 0 && entropy[r] == 0);
			continue;
		}
		if (model->head == GPT_HEAD_SCALAR) {
			out->value[b][t] = logprob[r];
			continue;
		}
		out->logprob[b][t] = logprob[r];
		out->entropy[b][t] = entropy[r];
	}
	free(tokens);
	free(target);
	free(logprob);
	free(entropy);
	free(weight);
}

static void run(gpt_model *model, const split *how, results *out)
{
	memset(out, 0, sizeof(*out));
	if (model->grads)
		gpt_zero_grads(model);
	for (int64_t s = 0; s < N; s += how->batch)
		run_part(model, how, s, N - s < how->batch ? N - s : how->batch, out);
}

/* Results bitwise equal, gradients up to rounding, however the five are split and padded. */
static void invariance(const cairn_kernels *k, void *self)
{
	enum gpt_head head = *(enum gpt_head *)self;
	static const split splits[] = {{.batch = 1}, {.batch = 2}, {.batch = 5, .width = 16},
		{.batch = 3, .width = 13, .garbage = true}};

	for (int p = 0; p < 2; p++) {
		double dropout = p * 0.25;
		gpt_model *model = random_model(k, &config, head, GPT_TRAINABLE, 3);
		split whole = {.batch = N, .dropout = dropout};
		results *want = cairn_alloc(1, sizeof(*want)), *got = cairn_alloc(1, sizeof(*got));
		cairn_real *gradient;
		double *reference = cairn_alloc(model->n_params, sizeof(*reference));

		run(model, &whole, want);
		gradient = read_grads(model);
		for (size_t i = 0; i < model->n_params; i++)
			reference[i] = (double)gradient[i];
		free(gradient);
		for (size_t i = 0; i < CAIRN_COUNT(splits); i++) {
			split how = splits[i];

			how.dropout = dropout;
			run(model, &how, got);
			assert_memory_equal(want, got, sizeof(*want));
			gradient = read_grads(model);
			assert_true(relative_distance(gradient, reference, model->n_params) < 2e-6);
			free(gradient);
		}
		free(want);
		free(got);
		free(reference);
		gpt_model_free(model);
	}
}

static void test_gpt_model__split_and_padding_change_nothing(void **state)
{
	enum gpt_head head = GPT_HEAD_LM;

	(void)state;
	on_each_backend(invariance, &head);
}

static void test_gpt_model__split_and_padding_change_no_value(void **state)
{
	enum gpt_head head = GPT_HEAD_SCALAR;

	(void)state;
	on_each_backend(invariance, &head);
}

/* A pass that keeps nothing gives the same bits. */
static void forward_only(const cairn_kernels *k, void *self)
{
	split how = {.batch = N}, only = {.batch = N, .forward_only = true};
	gpt_model *trained = random_model(k, &config, GPT_HEAD_LM, GPT_TRAINABLE, 3);
	gpt_model *frozen = random_model(k, &config, GPT_HEAD_LM, 0, 3);
	results *want = cairn_alloc(1, sizeof(*want)), *got = cairn_alloc(1, sizeof(*got));

	(void)self;
	run(trained, &how, want);
	run(trained, &only, got);
	assert_memory_equal(want, got, sizeof(*want));
	run(frozen, &how, got);
	assert_memory_equal(want, got, sizeof(*want));
	free(want);
	free(got);
	gpt_model_free(trained);
	gpt_model_free(frozen);
}

static void test_gpt_model__forward_only_gives_the_same_bits(void **state)
{
	(void)state;
	on_each_backend(forward_only, NULL);
}

/* Dropout has its share of zeros and depends on key and sample. */
static void dropout(const cairn_kernels *k, void *self)
{
	gpt_model *model = random_model(k, &config, GPT_HEAD_LM, 0, 3);
	split off = {.batch = N}, on = {.batch = N, .dropout = 0.2};
	results *a = cairn_alloc(1, sizeof(*a)), *b = cairn_alloc(1, sizeof(*b));

	(void)self;
	run(model, &off, a);
	run(model, &on, b);
	assert_memory_not_equal(a, b, sizeof(*a));
	run(model, &on, a);
	assert_memory_equal(a, b, sizeof(*a));
	free(a);
	free(b);
	gpt_model_free(model);
}

static void test_gpt_model__dropout_is_a_function_of_the_sample(void **state)
{
	(void)state;
	on_each_backend(dropout, NULL);
}

/* Gradients of two batches add up: accumulate(a) + accumulate(b). */
static void accumulation(const cairn_kernels *k, void *self)
{
	gpt_model *model = random_model(k, &config, GPT_HEAD_LM, GPT_TRAINABLE, 3);
	split how = {.batch = N};
	results *out = cairn_alloc(1, sizeof(*out));
	cairn_real *once, *twice;

	(void)self;
	run(model, &how, out);
	once = read_grads(model);
	run_part(model, &how, 0, N, out);
	twice = read_grads(model);
	for (size_t i = 0; i < model->n_params; i++)
		assert_true(fabs((double)twice[i] - 2 * (double)once[i]) <=
			    1e-5 * (1 + fabs((double)once[i])));
	free(once);
	free(twice);
	free(out);
	gpt_model_free(model);
}

static void test_gpt_model__gradients_add_up(void **state)
{
	(void)state;
	on_each_backend(accumulation, NULL);
}

/* ---- tensors and memory -------------------------------------------------------------------- */

static void open_portable(cairn_kernels *k)
{
	cairn_error err = {0};

	assert_int_equal(cairn_kernels_portable_open(k, 1, &err), 0);
}

static void test_gpt_model__tensors_have_hugging_face_names(void **state)
{
	cairn_kernels k;
	gpt_model *model;
	const gpt_tensor *tensor;
	uint64_t count = 0;

	(void)state;
	open_portable(&k);
	model = random_model(&k, &config, GPT_HEAD_SCALAR, 0, 1);
	assert_int_equal(model->n_tensors, 2 + 12 * 3 + 2 + 2);
	tensor = gpt_model_tensor(model, "h.2.mlp.c_fc.weight");
	assert_non_null(tensor);
	assert_int_equal(tensor->n_dims, 2);
	assert_int_equal(tensor->dims[0], 32);
	assert_int_equal(tensor->dims[1], 128);
	assert_true(tensor->decays);
	assert_false(gpt_model_tensor(model, "ln_f.weight")->decays);
	assert_null(gpt_model_tensor(model, "h.3.ln_1.weight"));
	/* Nothing overlaps: sorted by offset, each ends before the next begins. */
	for (size_t i = 0; i < model->n_tensors; i++) {
		const gpt_tensor *a = &model->tensors[i];

		count += a->size;
		assert_true(a->offset + a->size <= model->n_params);
		for (size_t j = 0; j < i; j++) {
			const gpt_tensor *b = &model->tensors[j];

			assert_true(a->offset + a->size <= b->offset ||
				    b->offset + b->size <= a->offset);
		}
	}
	assert_int_equal(count, gpt_param_count(&config, GPT_HEAD_SCALAR));
	gpt_model_free(model);
	cairn_kernels_portable_close(&k);
}

/* GPT-2 small has 124,439,808 parameters, as published. */
static void test_gpt_model__counts_gpt2_small(void **state)
{
	static const gpt_config small = {12, 12, 768, 1024, 50257, 3072, false};
	static const gpt_config untied = {12, 12, 768, 1024, 50257, 3072, true};

	(void)state;
	assert_int_equal(gpt_param_count(&small, GPT_HEAD_LM), 124439808);
	assert_int_equal(gpt_param_count(&small, GPT_HEAD_SCALAR), 124439808 + 769);
	assert_int_equal(gpt_param_count(&untied, GPT_HEAD_LM), 124439808 + 50257 * 768);
	assert_int_equal(gpt_param_count(&untied, GPT_HEAD_SCALAR), 124439808 + 769);
}

static void deviation_is(const gpt_model *model, const char *name, double want)
{
	const gpt_tensor *tensor = gpt_model_tensor(model, name);
	cairn_real *flat = read_flat(model, model->params);
	double sum = 0;

	for (size_t i = 0; i < tensor->size; i++)
		sum += (double)flat[tensor->offset + i] * (double)flat[tensor->offset + i];
	sum = sqrt(sum / (double)tensor->size);
	/* Four standard deviations of the estimate. */
	assert_true(fabs(sum / want - 1) < 4 / sqrt(2 * (double)tensor->size));
	free(flat);
}

static void all_are(const gpt_model *model, const char *name, double want)
{
	const gpt_tensor *tensor = gpt_model_tensor(model, name);
	cairn_real *flat = read_flat(model, model->params);

	for (size_t i = 0; i < tensor->size; i++)
		assert_true((double)flat[tensor->offset + i] == want);
	free(flat);
}

static void test_gpt_model__initialisation(void **state)
{
	cairn_kernels k;
	gpt_model *model, *again;
	cairn_real *a, *b;

	(void)state;
	open_portable(&k);
	model = random_model(&k, &config, GPT_HEAD_SCALAR, 0, 1);
	again = random_model(&k, &config, GPT_HEAD_SCALAR, 0, 2);
	gpt_model_init(model, 42);
	gpt_model_init(again, 42);
	a = read_flat(model, model->params);
	b = read_flat(again, again->params);
	assert_memory_equal(a, b, model->n_params * sizeof(*a));
	deviation_is(model, "wte.weight", 0.02);
	deviation_is(model, "wpe.weight", 0.02);
	deviation_is(model, "h.1.attn.c_attn.weight", 0.02);
	deviation_is(model, "h.1.mlp.c_fc.weight", 0.02);
	deviation_is(model, "h.0.attn.c_proj.weight", 0.02 / sqrt(6));
	deviation_is(model, "h.2.mlp.c_proj.weight", 0.02 / sqrt(6));
	deviation_is(model, "score.weight", 1 / sqrt(33));
	all_are(model, "h.0.ln_1.weight", 1);
	all_are(model, "h.0.ln_2.bias", 0);
	all_are(model, "ln_f.weight", 1);
	all_are(model, "score.bias", 0);
	free(a);
	free(b);
	gpt_model_free(model);
	gpt_model_free(again);
	cairn_kernels_portable_close(&k);
}

/* The head is its own matrix: [V,C], decays, is drawn; and a model whose two matrices agree gives
 * what the tied model gives, to the bit. A scalar model of that shape has no such matrix. */
static void untied(const cairn_kernels *k, void *self)
{
	gpt_config apart = config;
	gpt_model *tied, *own, *scalar;
	const gpt_tensor *head;
	split how = {.batch = N, .forward_only = true};
	results *want = cairn_alloc(1, sizeof(*want)), *got = cairn_alloc(1, sizeof(*got));

	(void)self;
	apart.untied = true;
	tied = random_model(k, &config, GPT_HEAD_LM, 0, 3);
	own = random_model(k, &apart, GPT_HEAD_LM, 0, 4);
	scalar = random_model(k, &apart, GPT_HEAD_SCALAR, 0, 4);
	head = gpt_model_tensor(own, "lm_head.weight");
	assert_non_null(head);
	assert_true(head->dims[0] == 37 && head->dims[1] == 32 && head->decays);
	assert_null(gpt_model_tensor(tied, "lm_head.weight"));
	assert_null(gpt_model_tensor(scalar, "lm_head.weight"));
	gpt_model_init(own, 42);
	deviation_is(own, "lm_head.weight", 0.02);
	gpt_model_copy(own, tied);
	run(tied, &how, want);
	run(own, &how, got);
	assert_memory_not_equal(want, got, sizeof(*want));
	k->copy(k, gpt_params_change(own) + head->offset,
		tied->params + gpt_model_tensor(tied, "wte.weight")->offset,
		head->size * sizeof(cairn_real));
	run(own, &how, got);
	assert_memory_equal(want, got, sizeof(*want));
	gpt_model_copy(scalar, own);
	free(want);
	free(got);
	gpt_model_free(tied);
	gpt_model_free(own);
	gpt_model_free(scalar);
}

static void test_gpt_model__untied_head(void **state)
{
	(void)state;
	on_each_backend(untied, NULL);
}

/* The same weights from any number of threads; the largest tensor is a few pieces long. */
static void test_gpt_model__initialisation_does_not_know_threads(void **state)
{
	gpt_config wide = config;
	cairn_real *drawn[3];
	size_t bytes = 0;

	(void)state;
	wide.n_vocab = 30000;
	for (int i = 0; i < 3; i++) {
		cairn_kernels k;
		gpt_model *model;

		if (!open_cpu(&k, i + 1))
			skip();
		model = random_model(&k, &wide, GPT_HEAD_LM, 0, 1);
		gpt_model_init(model, 42);
		drawn[i] = read_flat(model, model->params);
		bytes = model->n_params * sizeof(*drawn[i]);
		gpt_model_free(model);
		close_cpu(&k);
	}
	assert_memory_equal(drawn[0], drawn[1], bytes);
	assert_memory_equal(drawn[0], drawn[2], bytes);
	for (int i = 0; i < 3; i++)
		free(drawn[i]);
}

/* METHOD 5.4: the loss of an untrained model is ln V. */
static void test_gpt_model__starts_at_ln_vocabulary(void **state)
{
	enum {
		T = 16
	};
	cairn_kernels k;
	gpt_model *model;
	int32_t tokens[T + 1], target[T];
	cairn_real logprob[T], entropy[T], best[T], most[T], other[T];
	gpt_batch batch = {.B = 1, .T = T, .tokens = tokens};
	cairn_error err = {0};
	double mean = 0;
	int n_best = 0;

	(void)state;
	open_portable(&k);
	model = random_model(&k, &config, GPT_HEAD_LM, 0, 1);
	gpt_model_init(model, 42);
	random_tokens(tokens, T + 1, config.n_vocab, 4);
	assert_int_equal(gpt_forward(model, &batch, &err), 0);
	assert_int_equal(gpt_logprobs(model, tokens + 1, 1, logprob, entropy, &err), 0);
	for (int t = 0; t < T; t++) {
		mean -= (double)logprob[t] / T;
		assert_true(fabs((double)entropy[t] - log(37)) < 0.02);
	}
	assert_true(fabs(mean - log(37)) < 0.1);
	gpt_best(model, best);
	memcpy(most, logprob, sizeof(most));
	for (int v = 0; v < 37; v++) {
		for (int t = 0; t < T; t++)
			target[t] = v;
		assert_int_equal(gpt_logprobs(model, target, 1, other, NULL, &err), 0);
		for (int t = 0; t < T; t++)
			most[t] = fmaxf(most[t], other[t]);
		gpt_best(model, other);
		for (int t = 0; t < T; t++)
			n_best += other[t] > 0;
	}
	for (int t = 0; t < T; t++)
		assert_true(best[t] == (logprob[t] >= most[t] ? 1 : 0));
	assert_int_equal(n_best, T);
	gpt_model_free(model);
	cairn_kernels_portable_close(&k);
}

static void test_gpt_model__copy_and_fold(void **state)
{
	split how = {.batch = N};
	results *raw = cairn_alloc(1, sizeof(*raw)), *folded = cairn_alloc(1, sizeof(*folded));
	cairn_kernels k;
	gpt_model *lm, *rm, *value;

	(void)state;
	open_portable(&k);
	lm = random_model(&k, &config, GPT_HEAD_LM, 0, 5);
	rm = random_model(&k, &config, GPT_HEAD_SCALAR, 0, 6);
	value = random_model(&k, &config, GPT_HEAD_SCALAR, 0, 7);
	gpt_model_copy(rm, lm);
	rm->reward_gain = 2.5;
	rm->reward_bias = -.75;
	run(rm, &how, raw);
	gpt_model_copy(value, rm);
	assert_true(value->reward_gain == 2.5 && value->reward_bias == -.75);
	gpt_model_fold_reward(value);
	assert_true(value->reward_gain == 1 && value->reward_bias == 0);
	run(value, &how, folded);
	for (int s = 0; s < N; s++)
		for (int t = 0; t < lengths[s]; t++)
			assert_true(fabs(2.5 * (double)raw->value[s][t] - .75 -
					    (double)folded->value[s][t]) < 1e-4);
	free(raw);
	free(folded);
	gpt_model_free(lm);
	gpt_model_free(rm);
	gpt_model_free(value);
	cairn_kernels_portable_close(&k);
}

/* What was promised beforehand is what is used; a forward-only pass needs far less; and after the
 * first pass nothing more is allocated. */
static void test_gpt_model__memory(void **state)
{
	split how = {.batch = N, .width = 12}, small = {.batch = 2};
	results *out = cairn_alloc(1, sizeof(*out));
	uint64_t trained = gpt_memory_bytes(&config, GPT_HEAD_LM, N, 12, true);
	uint64_t frozen = gpt_memory_bytes(&config, GPT_HEAD_LM, N, 12, false);
	uint64_t params = 4 * gpt_param_count(&config, GPT_HEAD_LM);
	size_t peak;
	cairn_kernels k;
	gpt_model *model;

	(void)state;
	open_portable(&k);
	model = random_model(&k, &config, GPT_HEAD_LM, GPT_TRAINABLE, 5);
	run(model, &how, out);
	peak = k.peak_bytes(&k);
	assert_in_range(peak, trained, trained + trained / 20);
	run(model, &small, out);
	run(model, &how, out);
	assert_int_equal(k.peak_bytes(&k), peak);
	gpt_model_free(model);
	assert_true((frozen - params) * 3 < trained - 2 * params);
	free(out);
	cairn_kernels_portable_close(&k);
}

/* ---- mistakes ---------------------------------------------------------------------------- */

static void test_gpt_model__refuses_bad_configurations(void **state)
{
	static const gpt_config bad[] = {
		{0, 4, 32, 16, 37, 128, false},
		{3, 5, 32, 16, 37, 128, false},
		{3, 4, 32, 65537, 37, 128, false},
		{3, 4, 32, 16, 0, 128, false},
		{3, 4, 32, 16, 37, -1, false},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(bad); i++) {
		cairn_error err = {0};

		assert_int_equal(gpt_config_check(&bad[i], &err), CAIRN_EPARAM);
		assert_true(err.message[0] != '\0');
	}
}

static void test_gpt_model__refuses_bad_batches(void **state)
{
	int32_t tokens[17] = {0}, bad_token[] = {0, 37}, negative[] = {-1, 0}, zero = 0, three = 3;
	const gpt_batch bad[] = {
		{.B = 0, .T = 2, .tokens = tokens},
		{.B = 1, .T = 17, .tokens = tokens},
		{.B = 1, .T = 2, .tokens = bad_token},
		{.B = 1, .T = 2, .tokens = negative},
		{.B = 1, .T = 2, .tokens = tokens, .lengths = &zero},
		{.B = 1, .T = 2, .tokens = tokens, .lengths = &three},
		{.B = 1, .T = 2, .tokens = tokens, .dropout = 1},
	};
	gpt_batch good = {.B = 1, .T = 2, .tokens = tokens};
	int32_t target[] = {1, 37};
	cairn_real out[2];
	cairn_kernels k;
	gpt_model *model;
	cairn_error err = {0};

	(void)state;
	open_portable(&k);
	model = random_model(&k, &config, GPT_HEAD_LM, 0, 5);
	assert_int_equal(gpt_logprobs(model, target, 1, out, NULL, &err), CAIRN_EBUG);
	for (size_t i = 0; i < CAIRN_COUNT(bad); i++) {
		cairn_error_clear(&err);
		assert_int_equal(gpt_forward(model, &bad[i], &err), CAIRN_EPARAM);
		/* What was there before is not taken for the result. */
		cairn_error_clear(&err);
		if (bad[i].T == 2 && bad[i].B == 1 && bad[i].dropout == 0)
			assert_int_equal(
				gpt_logprobs(model, target, 1, out, NULL, &err), CAIRN_EBUG);
	}
	cairn_error_clear(&err);
	assert_int_equal(gpt_forward(model, &good, &err), 0);
	assert_int_equal(gpt_logprobs(model, target, 1, out, NULL, &err), CAIRN_EPARAM);
	target[1] = 0;
	cairn_error_clear(&err);
	assert_int_equal(gpt_logprobs(model, target, 0, out, NULL, &err), CAIRN_EPARAM);
	cairn_error_clear(&err);
	assert_int_equal(gpt_values(model, out, &err), CAIRN_EBUG);
	cairn_error_clear(&err);
	assert_int_equal(
		gpt_logprobs_backward(model, target, 1, out, NULL, NULL, &err), CAIRN_EBUG);
	gpt_model_free(model);
	cairn_kernels_portable_close(&k);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_model__split_and_padding_change_nothing),
		cmocka_unit_test(test_gpt_model__split_and_padding_change_no_value),
		cmocka_unit_test(test_gpt_model__forward_only_gives_the_same_bits),
		cmocka_unit_test(test_gpt_model__dropout_is_a_function_of_the_sample),
		cmocka_unit_test(test_gpt_model__gradients_add_up),
		cmocka_unit_test(test_gpt_model__tensors_have_hugging_face_names),
		cmocka_unit_test(test_gpt_model__counts_gpt2_small),
		cmocka_unit_test(test_gpt_model__initialisation),
		cmocka_unit_test(test_gpt_model__initialisation_does_not_know_threads),
		cmocka_unit_test(test_gpt_model__untied_head),
		cmocka_unit_test(test_gpt_model__starts_at_ln_vocabulary),
		cmocka_unit_test(test_gpt_model__copy_and_fold),
		cmocka_unit_test(test_gpt_model__memory),
		cmocka_unit_test(test_gpt_model__refuses_bad_configurations),
		cmocka_unit_test(test_gpt_model__refuses_bad_batches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
