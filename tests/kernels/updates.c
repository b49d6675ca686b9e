/* SPDX-License-Identifier: Apache-2.0 */
/* updates.c - vectors and the optimizer. */
#include <math.h>
#include <string.h>

#include "harness.h"

static const int64_t sizes[] = {1, 15, 16, 33, 70001};

static void run_vectors(const cairn_kernels *k, const void *context, outcome *out)
{
	int64_t n = *(const int64_t *)context;
	float *y = normal(k, n + 1, 1, 1) + 1, *x = normal(k, n + 1, 2, 1) + 1;

	k->axpy(k, y, x, -0.37, n);
	emit(out, k, y, n, 1e-6);
	k->scale(k, y, 1.7, n);
	emit(out, k, y, n, 1e-6);
	k->ema(k, y, x, 0.992, n);
	emit(out, k, y, n, 1e-6);
	emit_value(out, k->sum_squares(k, y, n), 1e-6);
}

static void test_kernels_updates__vectors(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(sizes); i++)
		check_case(run_vectors, &sizes[i]);
}

/* Large enough for several tasks, of an odd size, apart and overlapping. */
static void test_kernels_updates__zero_and_copy(void **state)
{
	enum {
		N = (5 << 20) / 2 + 3
	};
	const cairn_kernels *k = cpu_table(NULL, 3);
	unsigned char *x = k->alloc(k, 2 * N + 2), *y = x + N + 1;

	(void)state;
	for (int i = 0; i < N; i++)
		x[i] = (unsigned char)(i % 251 + 1);
	y[N] = 7;
	k->copy(k, y, x, N);
	assert_memory_equal(x, y, N);
	assert_int_equal(y[N], 7);
	k->copy(k, x + 1, x, N);
	for (int i = 0; i < N; i++)
		assert_int_equal(x[i + 1], i % 251 + 1);
	k->zero(k, x + 1, N - 1);
	for (int i = 1; i < N; i++)
		assert_int_equal(x[i], 0);
	assert_true(x[0] == 1 && x[N] != 0);
	k->zero(k, x, 0);
	k->free(k, x);
}

static void test_kernels_updates__sum_squares_is_exact_in_double(void **state)
{
	const cairn_kernels *k = cpu_table(NULL, 2);
	float *x = poisoned(k, 100000);

	(void)state;
	for (int i = 0; i < 100000; i++)
		x[i] = (float)(i % 1000) * 0x1p-10f;
	/* sum of i^2, i < 1000, is 332833500; a hundred times, over 2^20 */
	assert_true(k->sum_squares(k, x, 100000) == 33283350000.0 / 1048576);
	x[50000] = NAN;
	assert_true(isnan(k->sum_squares(k, x, 100000)));
	x[50000] = 3e38f;
	assert_true(k->sum_squares(k, x, 100000) > 8e76);
	drop_tensors();
}

static void run_adam(const cairn_kernels *k, const void *context, outcome *out)
{
	int64_t n = *(const int64_t *)context;
	cairn_adam a = {.n = n,
		.grad_scale = 0.25,
		.lr = 1e-2,
		.beta1 = 0.9,
		.beta2 = 0.95,
		.eps = 1e-5,
		.weight_decay = 0.1};

	a.w = normal(k, n, 1, 1);
	a.g = normal(k, n, 2, 1);
	a.m = normal(k, n, 3, 0);
	a.v = normal(k, n, 4, 0);
	for (a.t = 1; a.t <= 4; a.t++) {
		a.tf_form = a.t > 2;
		k->adam(k, &a);
	}
	emit(out, k, a.w, n, 1e-6);
	emit(out, k, a.m, n, 1e-6);
	emit(out, k, a.v, n, 1e-6);
}

static void test_kernels_updates__adam(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(sizes); i++)
		check_case(run_adam, &sizes[i]);
}

/* METHOD 5.1: constant g = 1e-6, eps 1e-5, lr 1e-3, betas 0.9 and 0.95. */
static void check_golden(bool tf_form, const double want[3])
{
	const cairn_kernels *k = cpu_table(NULL, 1);
	float w = 0, g = 1e-6f, m = 0, v = 0;
	cairn_adam a = {.n = 1,
		.w = &w,
		.g = &g,
		.m = &m,
		.v = &v,
		.grad_scale = 1,
		.lr = 1e-3,
		.beta1 = 0.9,
		.beta2 = 0.95,
		.eps = 1e-5,
		.tf_form = tf_form};

	for (a.t = 1; a.t <= 3; a.t++) {
		w = 0;
		k->adam(k, &a);
		assert_true(fabs((double)w / want[a.t - 1] - 1) < 1e-6);
	}
}

static void test_kernels_updates__adam_golden_torch(void **state)
{
	const double want[3] = {-9.090909e-5, -9.090909e-5, -9.090909e-5};

	(void)state;
	check_golden(false, want);
}

static void test_kernels_updates__adam_golden_tensorflow(void **state)
{
	const double want[3] = {-2.187162e-5, -3.027951e-5, -3.639138e-5};

	(void)state;
	check_golden(true, want);
}

static void test_kernels_updates__adam_decays_apart_from_the_gradient(void **state)
{
	const cairn_kernels *k = cpu_table(NULL, 1);
	float w = 2, g = 0, m = 0, v = 0;
	cairn_adam a = {.n = 1,
		.w = &w,
		.g = &g,
		.m = &m,
		.v = &v,
		.grad_scale = 1,
		.lr = 0.5,
		.beta1 = 0.9,
		.beta2 = 0.95,
		.eps = 1e-8,
		.weight_decay = 0.1,
		.t = 1};

	(void)state;
	k->adam(k, &a);
	assert_true(fabs((double)w - 1.9) < 1e-6);
	assert_true(m == 0 && v == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_updates__vectors),
		cmocka_unit_test(test_kernels_updates__zero_and_copy),
		cmocka_unit_test(test_kernels_updates__sum_squares_is_exact_in_double),
		cmocka_unit_test(test_kernels_updates__adam),
		cmocka_unit_test(test_kernels_updates__adam_golden_torch),
		cmocka_unit_test(test_kernels_updates__adam_golden_tensorflow),
		cmocka_unit_test(test_kernels_updates__adam_decays_apart_from_the_gradient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
