/* SPDX-License-Identifier: Apache-2.0 */
/* gemm.c - the matrix product: all kinds, odd shapes, poisoned outputs, independent rows. */
#include <math.h>
#include <string.h>

#include "harness.h"

typedef struct product {
	int64_t M, N, K;
	bool transpose_a, transpose_b, accumulate, bias, gelu, pre;
} product;

/* Sums are gradients of weights: of two activations, and floats. Else it is a layer. */
static bool is_gradient(const product *p)
{
	return p->accumulate;
}

/* One element in: no pointer is aligned beyond its element. */
static void *shifted(const cairn_kernels *k, bool act, int64_t n, uint64_t seed)
{
	if (act)
		return cairn_act_at(k, normal_acts(k, n + 1, seed, 1), 1);
	return normal(k, n + 1, seed, 1) + 1;
}

static void *shifted_poison(const cairn_kernels *k, bool act, int64_t n)
{
	return act ? (void *)cairn_act_at(k, poisoned_acts(k, n + 1), 1) : poisoned(k, n + 1) + 1;
}

/* Without the columns between N and the stride. The operands and the result are rounded. */
static void emit_matrix(outcome *out, const cairn_kernels *k, const void *x, const product *p)
{
	double tolerance =
		loosened(k, 3e-6 * sqrt((double)p->K + 1), 2) + (p->gelu ? GELU_ERROR : 0);
	bool act = !is_gradient(p);
	size_t bytes = act ? (size_t)k->act_bytes : sizeof(float);
	char *dense =
		act ? (char *)poisoned_acts(k, p->M * p->N) : (char *)poisoned(k, p->M * p->N);

	for (int64_t i = 0; i < p->M; i++)
		k->copy(k, dense + (size_t)(i * p->N) * bytes,
			(const char *)x + (size_t)(i * (p->N + 2)) * bytes, bytes * (size_t)p->N);
	if (act)
		emit_acts(out, k, (cairn_act *)dense, p->M * p->N, tolerance);
	else
		emit(out, k, (float *)dense, p->M * p->N, tolerance);
}

static void run_product(const cairn_kernels *k, const void *shape, outcome *out)
{
	const product *p = shape;
	int64_t lda = (p->transpose_a ? p->M : p->K) + 3, ldb = (p->transpose_b ? p->K : p->N) + 1;
	int64_t ldc = p->N + 2;
	bool gradient = is_gradient(p);
	cairn_gemm g = {.M = p->M,
		.N = p->N,
		.K = p->K,
		.transpose_a = p->transpose_a,
		.transpose_b = p->transpose_b,
		.accumulate = p->accumulate,
		.gelu = p->gelu,
		.act_a = true,
		.act_b = gradient,
		.act_c = !gradient,
		.lda = lda,
		.ldb = ldb,
		.ldc = ldc};

	g.A = shifted(k, true, (p->transpose_a ? p->K : p->M) * lda, 1);
	g.B = shifted(k, gradient, (p->transpose_b ? p->N : p->K) * ldb, 2);
	g.C = gradient ? shifted(k, false, p->M * ldc, 3) : shifted_poison(k, true, p->M * ldc);
	g.bias = p->bias ? shifted(k, false, p->N, 4) : NULL;
	g.pre = p->pre ? poisoned_acts(k, p->M * ldc) : NULL;
	k->gemm(k, &g);
	emit_matrix(out, k, g.C, p);
	if (p->pre)
		emit_matrix(out, k, g.pre, p);
}

static const int64_t sizes[][3] = {
	{1, 1, 1}, {1, 33, 17}, {5, 7, 3}, {14, 32, 16}, {15, 31, 18}, {29, 65, 511}, {64, 40, 513},
	{3, 200, 1030}, {70, 129, 40}, {71, 66, 515}, {300, 33, 30}, {65, 1, 700},
	{200, 600, 40}, /* A is packed even where its rows lie side by side */
};

static void run_all_sizes(product p)
{
	for (size_t i = 0; i < CAIRN_COUNT(sizes); i++) {
		p.M = sizes[i][0];
		p.N = sizes[i][1];
		p.K = sizes[i][2];
		check_case(run_product, &p);
	}
}

static void test_kernels_gemm__plain(void **state)
{
	(void)state;
	run_all_sizes((product){0});
}

static void test_kernels_gemm__b_transposed(void **state)
{
	(void)state;
	run_all_sizes((product){.transpose_b = true});
}

static void test_kernels_gemm__a_transposed_adds(void **state)
{
	(void)state;
	run_all_sizes((product){.transpose_a = true, .accumulate = true});
}

static void test_kernels_gemm__both_transposed(void **state)
{
	(void)state;
	run_all_sizes((product){.transpose_a = true, .transpose_b = true});
}

static void test_kernels_gemm__bias(void **state)
{
	(void)state;
	run_all_sizes((product){.bias = true});
}

static void test_kernels_gemm__bias_gelu_and_value_before(void **state)
{
	(void)state;
	run_all_sizes((product){.bias = true, .gelu = true, .pre = true});
}

static void test_kernels_gemm__no_terms(void **state)
{
	product p = {.M = 5, .N = 37, .K = 0};

	(void)state;
	check_case(run_product, &p);
	p.accumulate = p.bias = true;
	check_case(run_product, &p);
}

/* kernels.h: chains of fused multiply-adds, cut every CAIRN_KC terms, block sums in order. */
static void test_kernels_gemm__is_the_chain_it_promises(void **state)
{
	enum {
		M = 80,
		N = 45,
		K = 1300
	};
	const cairn_kernels *k = cpu_table(NULL, 2);
	float *a = normal(k, M * K, 5, 1), *b = normal(k, K * N, 6, 1);
	float *c = normal(k, M * N, 7, 1), *old = normal(k, M * N, 7, 1);
	cairn_gemm g = {.M = M,
		.N = N,
		.K = K,
		.accumulate = true,
		.A = a,
		.lda = K,
		.B = b,
		.ldb = N,
		.C = c,
		.ldc = N};

	(void)state;
	k->gemm(k, &g);
	for (int i = 0; i < M; i += 7) {
		for (int j = 0; j < N; j++) {
			float want = old[i * N + j];

			for (int from = 0; from < K; from += CAIRN_KC) {
				float sum = 0;

				for (int x = from; x < K && x < from + CAIRN_KC; x++)
					sum = fmaf(a[i * K + x], b[x * N + j], sum);
				want += sum;
			}
			assert_memory_equal(&want, &c[i * N + j], sizeof(want));
		}
	}
	drop_tensors();
}

/* A row of the output does not know how many others there are. */
static void test_kernels_gemm__rows_are_independent(void **state)
{
	enum {
		M = 150,
		N = 70,
		K = 600
	};
	const cairn_kernels *k = cpu_table(NULL, 2);
	float *a = normal(k, M * K, 8, 1), *b = normal(k, K * N, 9, 1);
	float *all = poisoned(k, M * N), *one = poisoned(k, N);
	cairn_gemm g = {
		.M = M, .N = N, .K = K, .A = a, .lda = K, .B = b, .ldb = N, .C = all, .ldc = N};

	(void)state;
	k->gemm(k, &g);
	g.M = 1;
	g.C = one;
	for (int i = 0; i < M; i++) {
		g.A = a + i * K;
		k->gemm(k, &g);
		assert_memory_equal(one, all + i * N, sizeof(float) * N);
	}
	drop_tensors();
}

/* The columns between N and ldc belong to somebody else. */
static void test_kernels_gemm__leaves_the_gap_alone(void **state)
{
	enum {
		M = 90,
		N = 50,
		K = 60,
		LD = 61
	};
	const cairn_kernels *k = cpu_table(NULL, 2);
	float *c = normal(k, M * LD, 10, 1), *old = normal(k, M * LD, 10, 1);
	cairn_gemm g = {.M = M,
		.N = N,
		.K = K,
		.gelu = true,
		.A = normal(k, M * K, 11, 1),
		.lda = K,
		.B = normal(k, K * N, 12, 1),
		.ldb = N,
		.C = c,
		.ldc = LD};

	(void)state;
	k->gemm(k, &g);
	for (int i = 0; i < M; i++) {
		assert_memory_equal(c + i * LD + N, old + i * LD + N, sizeof(float) * (LD - N));
		assert_memory_not_equal(c + i * LD, old + i * LD, sizeof(float) * N);
	}
	drop_tensors();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_gemm__plain),
		cmocka_unit_test(test_kernels_gemm__b_transposed),
		cmocka_unit_test(test_kernels_gemm__a_transposed_adds),
		cmocka_unit_test(test_kernels_gemm__both_transposed),
		cmocka_unit_test(test_kernels_gemm__bias),
		cmocka_unit_test(test_kernels_gemm__bias_gelu_and_value_before),
		cmocka_unit_test(test_kernels_gemm__no_terms),
		cmocka_unit_test(test_kernels_gemm__is_the_chain_it_promises),
		cmocka_unit_test(test_kernels_gemm__rows_are_independent),
		cmocka_unit_test(test_kernels_gemm__leaves_the_gap_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
