/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splits.c - one gradient, however a step is split: into micro-batches, padding, threads, and on
 * any vector unit. Bitwise.
 */
#include <string.h>

#include "base/alloc.h"
#include "gpt/rng.h"
#include "gpt/support.h"
#include "test.h"

/* Long enough for every place where sums are cut: 64 rows, 256 rows of the head, 512 terms. */
enum {
	SEQUENCES = 6,
	CONTEXT = 640,
	VOCABULARY = 37,
};
static const int32_t lengths[SEQUENCES] = {70, 600, 1, 257, 513, 64};

typedef struct pass_plan {
	enum gpt_head head;
	bool untied;
	int64_t batch; /* sequences of a micro-batch */
	int64_t more;  /* columns of padding behind the longest sequence */
} pass_plan;

static int32_t token_of(int64_t s, int64_t t)
{
	return (int32_t)gpt_random_below(17, (uint64_t)s, (uint64_t)t, VOCABULARY);
}

static void add_gradient(gpt_model *model, const pass_plan *plan, int64_t s, int64_t n)
{
	uint64_t ids[SEQUENCES] = {11, 12, 13, 14, 15, 16};
	int64_t T = 0;
	int32_t *tokens, *target;
	cairn_real *weight;
	gpt_batch batch = {.B = n,
		.lengths = lengths + s,
		.dropout = 0.1,
		.dropout_key = 8,
		.sample_ids = ids + s};
	cairn_error err = {0};
	int rc;

	for (int64_t i = 0; i < n; i++)
		T = lengths[s + i] > T ? lengths[s + i] : T;
	batch.T = T += plan->more;
	tokens = cairn_alloc((size_t)(n * T), sizeof(*tokens));
	target = cairn_alloc((size_t)(n * T), sizeof(*target));
	weight = cairn_alloc((size_t)(n * T), sizeof(*weight));
	for (int64_t r = 0; r < n * T; r++) {
		int64_t b = s + r / T, t = r % T;

		tokens[r] = t < lengths[b] ? token_of(b, t) : 5;
		target[r] = t % 7 == 2 ? -1 : token_of(b, t + 1);
		weight[r] = (cairn_real)gpt_random_normal(5, (uint64_t)b, (uint64_t)t);
	}
	batch.tokens = tokens;
	rc = gpt_forward(model, &batch, &err);
	if (!rc && plan->head == GPT_HEAD_LM)
		rc = gpt_logprobs_backward(model, target, 0.8, weight, NULL, NULL, &err);
	else if (!rc)
		rc = gpt_values_backward(model, weight, &err);
	if (rc)
		fail_msg("%s", err.message);
	free(tokens);
	free(target);
	free(weight);
}

static cairn_real *gradient_of(const char *unit, int threads, const pass_plan *plan, size_t *n)
{
	gpt_config shape = {1, 2, 24, CONTEXT, VOCABULARY, 80, plan->untied};
	cairn_kernels k;
	gpt_model *model;
	cairn_real *gradient;

	setenv("CAIRN_CPU", unit, 1);
	assert_true(open_cpu(&k, threads));
	unsetenv("CAIRN_CPU");
	model = random_model(&k, &shape, plan->head, GPT_TRAINABLE, 3);
	for (int64_t s = 0; s < SEQUENCES; s += plan->batch)
		add_gradient(
			model, plan, s, SEQUENCES - s < plan->batch ? SEQUENCES - s : plan->batch);
	gradient = read_grads(model);
	*n = model->n_params;
	gpt_model_free(model);
	close_cpu(&k);
	return gradient;
}

static bool unit_is_here(const char *unit)
{
	if (strcmp(unit, "portable") == 0)
		return true;
#if defined(__x86_64__)
	if (strcmp(unit, "avx2") == 0)
		return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
	       __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
#else
	return false;
#endif
}

/* Bitwise: all sequences at once or one by one, any padding, threads, vector unit. */
static void one_gradient(enum gpt_head head, bool untied)
{
	static const struct {
		const char *unit;
		int threads;
		int64_t batch, more;
	} ways[] = {
		{"avx512", 1, 1, 0},
		{"avx512", 2, 2, 0},
		{"avx512", 3, 4, 5},
		{"avx512", 4, 6, 40},
		{"avx2", 2, 6, 0},
		{"avx2", 4, 1, 17},
		{"portable", 1, 3, 3},
	};
	pass_plan whole = {head, untied, SEQUENCES, 0};
	size_t n, size;
	cairn_kernels probe;
	cairn_real *want, *got;

	if (!open_cpu(&probe, 1))
		skip();
	close_cpu(&probe);
	want = gradient_of("portable", 2, &whole, &n);
	for (size_t i = 0; i < CAIRN_COUNT(ways); i++) {
		pass_plan plan = {head, untied, ways[i].batch, ways[i].more};

		if (!unit_is_here(ways[i].unit))
			continue;
		got = gradient_of(ways[i].unit, ways[i].threads, &plan, &size);
		assert_int_equal(size, n);
		if (memcmp(want, got, n * sizeof(*want)) != 0)
			fail_msg("%s, %d threads, %lld sequences at once: another gradient",
				ways[i].unit, ways[i].threads, (long long)ways[i].batch);
		free(got);
	}
	free(want);
}

static void test_gpt_splits__tied_head(void **state)
{
	(void)state;
	one_gradient(GPT_HEAD_LM, false);
}

static void test_gpt_splits__untied_head(void **state)
{
	(void)state;
	one_gradient(GPT_HEAD_LM, true);
}

static void test_gpt_splits__scalar_head(void **state)
{
	(void)state;
	one_gradient(GPT_HEAD_SCALAR, false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_splits__tied_head),
		cmocka_unit_test(test_gpt_splits__untied_head),
		cmocka_unit_test(test_gpt_splits__scalar_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
