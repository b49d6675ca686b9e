/* SPDX-License-Identifier: Apache-2.0 */
/*
 * splits.c - gradients of parameters that end their sums with sequences: the same bits however a
 * batch is split, whatever its padding, on every vector unit and number of threads.
 *
 * A case computes its gradient from `each` sequences at a time and T + pad rows a sequence; what
 * it emits must be that of one sequence at a time without padding.
 */
#include <math.h>
#include <string.h>

#include "harness.h"

typedef struct batch {
	int64_t B, T, pad, each;
	int64_t M, N; /* of the gradient */
} batch;

typedef void split_case(const cairn_kernels *k, const batch *s, outcome *out);

static int64_t at_most(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* [B,T+pad,n]: sequences of T rows from `seed`, with rows of `filler` behind them. */
static float *padded_rows(
	const cairn_kernels *k, const batch *s, int64_t n, uint64_t seed, float filler)
{
	int64_t rows = s->T + s->pad;
	float *x = poisoned(k, s->B * rows * n), *dense = normal(k, s->B * s->T * n, seed, 1);

	for (int64_t i = 0; i < s->B * rows * n; i++)
		x[i] = filler;
	for (int64_t b = 0; b < s->B; b++)
		memcpy(x + b * rows * n, dense + b * s->T * n, sizeof(float) * (size_t)(s->T * n));
	return x;
}

/* ---- products ---------------------------------------------------------------------------------
 */

static void product_case(const cairn_kernels *k, const batch *s, outcome *out)
{
	int64_t rows = s->T + s->pad;
	/* Rows of zeros meet whatever activations there are. */
	float *x = padded_rows(k, s, s->M, 1, -3), *d = padded_rows(k, s, s->N, 2, 0);
	float *dw = normal(k, s->M * s->N, 3, 1);

	for (int64_t b = 0; b < s->B; b += s->each) {
		cairn_gemm g = {.M = s->M,
			.N = s->N,
			.K = at_most(s->each, s->B - b) * rows,
			.transpose_a = true,
			.accumulate = true,
			.A = x + b * rows * s->M,
			.lda = s->M,
			.B = d + b * rows * s->N,
			.ldb = s->N,
			.C = dw,
			.ldc = s->N,
			.cut = rows};

		k->gemm(k, &g);
	}
	emit(out, k, dw, s->M * s->N, 3e-6 * sqrt((double)(s->B * s->T)));
}

/* ---- layer norm and bias ------------------------------------------------------------------------
 */

static void norm_case(const cairn_kernels *k, const batch *s, outcome *out)
{
	int64_t rows = s->T + s->pad, C = s->N, all = s->B * rows;
	float *x = padded_rows(k, s, C, 1, 0.5f), *d = padded_rows(k, s, C, 2, 0);
	float *gain = normal(k, C, 3, 1), *y = poisoned(k, all * C), *dx = normal(k, all * C, 4, 0);
	float *mean = poisoned(k, all), *rstd = poisoned(k, all);
	float *dgain = normal(k, C, 5, 1), *dbias = normal(k, C, 6, 1), *sums = normal(k, C, 7, 1);

	k->layernorm(k, y, mean, rstd, NULL, x, NULL, gain, gain, all, C);
	for (int64_t b = 0; b < s->B; b += s->each) {
		int64_t from = b * rows, R = at_most(s->each, s->B - b) * rows;

		k->layernorm_backward(k, dx + from * C, dgain, dbias, d + from * C, x + from * C,
			gain, mean + from, rstd + from, R, C, rows);
		k->bias_backward(k, sums, d + from * C, true, R, C, rows);
	}
	emit(out, k, dgain, C, 1e-5);
	emit(out, k, dbias, C, 1e-5);
	emit(out, k, sums, C, 1e-5);
}

/* ---- the unembedding
 * ------------------------------------------------------------------------------
 */

/* Some positions have no target, and some sequences none at all; padding has none and holds NaN. */
static void head_case(const cairn_kernels *k, const batch *s, outcome *out)
{
	int64_t rows = s->T + s->pad, C = s->M, V = s->N;
	float *h = padded_rows(k, s, C, 1, NAN), *wte = normal(k, V * C, 2, 0.3);
	float *dwte = normal(k, V * C, 3, 1), *logprob = poisoned(k, s->B * rows);
	float *d = padded_rows(k, s, 1, 4, NAN), *dh = poisoned(k, s->B * rows * C);
	int32_t *target = random_ints(k, s->B * rows, 0, (int32_t)V);
	int32_t *dense = random_ints(k, s->B * s->T, 5, (int32_t)V);
	int32_t *coin = random_ints(k, s->B * s->T, 6, 10);

	for (int64_t i = 0; i < s->B * rows; i++) {
		int64_t at = i / rows * s->T + i % rows;
		bool real = i % rows < s->T && i / rows % 5 != 3 && coin[at] < 8;

		target[i] = real ? dense[at] : -1;
	}
	for (int64_t b = 0; b < s->B; b += s->each) {
		int64_t from = b * rows;
		cairn_lm_head head = {.R = at_most(s->each, s->B - b) * rows,
			.C = C,
			.V = V,
			.h = h + from * C,
			.wte = wte,
			.target = target + from,
			.temperature = 0.9f,
			.logprob = logprob + from,
			.dlogprob = d + from,
			.dh = dh + from * C,
			.dwte = dwte,
			.cut = rows};

		k->lm_head(k, &head);
	}
	emit(out, k, dwte, V * C, 1e-5);
	for (int64_t b = 0; b < s->B; b++)
		emit(out, k, dh + b * rows * C, s->T * C, 5e-6);
}

/* ---- every split of every shape
 * ---------------------------------------------------------------------
 */

typedef struct bound_case {
	split_case *run;
	batch shape;
} bound_case;

static void run_bound(const cairn_kernels *k, const void *context, outcome *out)
{
	const bound_case *c = context;

	c->run(k, &c->shape, out);
}

static void same_bits(split_case *run, const batch *one, const batch *other, int threads)
{
	const cairn_kernels *k = cpu_table(NULL, threads);
	outcome want = {0}, got = {0};

	run(k, one, &want);
	drop_tensors();
	run(k, other, &got);
	drop_tensors();
	assert_int_equal(want.n, got.n);
	for (size_t i = 0; i < want.n; i++)
		if (memcmp(&want.data[i], &got.data[i], sizeof(float)) != 0)
			fail_msg("B %d, T %d + %d, %d at a time: element %zu is %.9g, one by one "
				 "%.9g",
				(int)other->B, (int)other->T, (int)other->pad, (int)other->each, i,
				(double)got.data[i], (double)want.data[i]);
	outcome_free(&want);
	outcome_free(&got);
}

static void check_splits(split_case *run, batch s)
{
	static const int64_t pads[] = {0, 1, 30};
	batch one = s;
	bound_case all = {run, s};

	one.each = 1;
	all.shape.each = s.B;
	/* On every unit and number of threads, and near the reference. */
	check_case(run_bound, &all);
	for (int64_t each = 1; each <= s.B; each++) {
		for (size_t p = 0; p < CAIRN_COUNT(pads); p++) {
			s.each = each;
			s.pad = pads[p];
			same_bits(run, &one, &s, 1 + (int)(each + (int64_t)p) % 4);
		}
	}
}

static void test_kernels_splits__products(void **state)
{
	static const batch shapes[] = {
		{.B = 5, .T = 1, .M = 33, .N = 40},
		{.B = 7, .T = 16, .M = 70, .N = 65},
		{.B = 4, .T = 100, .M = 66, .N = 33},
		{.B = 3, .T = 300, .M = 5, .N = 40},
		{.B = 2, .T = 512, .M = 20, .N = 20},
		{.B = 2, .T = 700, .M = 20, .N = 33},
		{.B = 2, .T = 1100, .M = 15, .N = 9},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_splits(product_case, shapes[i]);
}

static void test_kernels_splits__norms_and_biases(void **state)
{
	static const batch shapes[] = {
		{.B = 5, .T = 1, .N = 33},
		{.B = 7, .T = 20, .N = 130},
		{.B = 3, .T = 64, .N = 16},
		{.B = 4, .T = 150, .N = 70},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_splits(norm_case, shapes[i]);
}

static void test_kernels_splits__unembedding(void **state)
{
	static const batch shapes[] = {
		{.B = 5, .T = 1, .M = 12, .N = 37},
		{.B = 6, .T = 40, .M = 20, .N = 130},
		{.B = 2, .T = 256, .M = 16, .N = 40},
		{.B = 4, .T = 300, .M = 9, .N = 50},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_splits(head_case, shapes[i]);
}

/* kernels.h: chains end at every cut and every CAIRN_KC terms from there, parts in order. */
static void test_kernels_splits__are_the_chains_they_promise(void **state)
{
	enum {
		M = 40,
		N = 37,
		K = 1500,
		CUT = 600
	};
	const cairn_kernels *k = cpu_table(NULL, 2);
	float *a = normal(k, K * M, 5, 1), *b = normal(k, K * N, 6, 1);
	float *c = normal(k, M * N, 7, 1), *old = normal(k, M * N, 7, 1);
	cairn_gemm g = {.M = M,
		.N = N,
		.K = K,
		.transpose_a = true,
		.accumulate = true,
		.A = a,
		.lda = M,
		.B = b,
		.ldb = N,
		.C = c,
		.ldc = N,
		.cut = CUT};

	(void)state;
	k->gemm(k, &g);
	for (int i = 0; i < M; i++) {
		for (int j = 0; j < N; j++) {
			float want = old[i * N + j], sum = 0;

			for (int x = 0; x < K; x++) {
				sum = fmaf(a[x * M + i], b[x * N + j], sum);
				if ((x + 1) % CUT % CAIRN_KC == 0 || x + 1 == K) {
					want += sum;
					sum = 0;
				}
			}
			assert_memory_equal(&want, &c[i * N + j], sizeof(want));
		}
	}
	drop_tensors();
}

/* A sum is +0 where nothing was added: rows of zeros must not turn it, or be turned, into -0. */
static void test_kernels_splits__padding_leaves_zeros_alone(void **state)
{
	enum {
		T = 20,
		M = 30,
		N = 40
	};
	const cairn_kernels *k = cpu_table(NULL, 1);
	float *x = normal(k, 2 * T * M, 1, 1), *d = normal(k, 2 * T * N, 2, 0);
	float *dw = normal(k, M * N, 3, 0), zero = 0;
	cairn_gemm g = {.M = M,
		.N = N,
		.K = 2 * T,
		.transpose_a = true,
		.accumulate = true,
		.A = x,
		.lda = M,
		.B = d,
		.ldb = N,
		.C = dw,
		.ldc = N,
		.cut = T};

	(void)state;
	for (int i = 0; i < 2 * T * N; i++)
		d[i] = i % 3 ? 0.0f : -0.0f;
	for (int i = 0; i < M * N; i++)
		dw[i] = 0;
	k->gemm(k, &g);
	for (int i = 0; i < M * N; i++)
		assert_memory_equal(&dw[i], &zero, sizeof(zero));
	drop_tensors();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_splits__products),
		cmocka_unit_test(test_kernels_splits__norms_and_biases),
		cmocka_unit_test(test_kernels_splits__unembedding),
		cmocka_unit_test(test_kernels_splits__are_the_chains_they_promise),
		cmocka_unit_test(test_kernels_splits__padding_leaves_zeros_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
