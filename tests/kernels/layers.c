/* SPDX-License-Identifier: Apache-2.0 */
/* layers.c - layer norm, gelu's derivative, bias gradients. */
#include <math.h>
#include <string.h>

#include "harness.h"

typedef struct shape {
	int64_t R, C;
	bool residual;
} shape;

static const shape shapes[] = {
	{1, 1, false},
	{1, 1, true},
	{3, 5, true},
	{70, 17, false},
	{129, 64, true},
	{200, 130, true},
	{40, 513, false},
};

static void run_norm(const cairn_kernels *k, const void *context, outcome *out)
{
	const shape *s = context;
	int64_t n = s->R * s->C;
	cairn_act *a = normal_acts(k, n, 1, 1), *b = s->residual ? normal_acts(k, n, 2, 1) : NULL;
	cairn_act *sum = s->residual ? poisoned_acts(k, n) : NULL, *y = poisoned_acts(k, n);
	float *mean = poisoned(k, s->R), *rstd = poisoned(k, s->R);
	float *gain = normal(k, s->C, 3, 1), *bias = normal(k, s->C, 4, 1);

	k->layernorm(k, y, mean, rstd, sum, a, b, gain, bias, s->R, s->C);
	/* Of a residual the sum is rounded before its mean is taken. */
	emit_acts(out, k, y, n, loosened(k, 5e-6, s->residual ? 3 : 1));
	emit(out, k, mean, s->R, loosened(k, 1e-6, s->residual ? 2 : 0));
	emit(out, k, rstd, s->R, loosened(k, 3e-6, s->residual ? 2 : 0));
	if (sum)
		emit_acts(out, k, sum, n, loosened(k, 1e-7, 1));
}

static void run_norm_backward(const cairn_kernels *k, const void *context, outcome *out)
{
	const shape *s = context;
	int64_t n = s->R * s->C;
	cairn_act *x = normal_acts(k, n, 1, 1), *y = poisoned_acts(k, n);
	cairn_act *dout = normal_acts(k, n, 5, 1), *dx = normal_acts(k, n, 6, 1);
	float *mean = poisoned(k, s->R), *rstd = poisoned(k, s->R), *gain = normal(k, s->C, 3, 1);
	float *dgain = normal(k, s->C, 7, 1), *dbias = normal(k, s->C, 8, 1);

	k->layernorm(k, y, mean, rstd, NULL, x, NULL, gain, gain, s->R, s->C);
	k->layernorm_backward(k, dx, dgain, dbias, dout, x, gain, mean, rstd, s->R, s->C, 0);
	emit_acts(out, k, dx, n,
		loosened(k, s->C > 1 ? 1e-5 : 1e-2, 1)); /* one channel: 0 times 1/sqrt(1e-5) */
	emit(out, k, dgain, s->C, 5e-6);
	emit(out, k, dbias, s->C, 5e-6);
}

static void test_kernels_layers__layernorm(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_case(run_norm, &shapes[i]);
}

static void test_kernels_layers__layernorm_backward(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_case(run_norm_backward, &shapes[i]);
}

/* The sum may take the place of its first term, and mean and rstd may be left out. */
static void test_kernels_layers__layernorm_in_place(void **state)
{
	enum {
		R = 20,
		C = 37
	};
	const cairn_kernels *k = cpu_table(NULL, 2);
	float *a = normal(k, R * C, 1, 1), *b = normal(k, R * C, 2, 1), *g = normal(k, C, 3, 1);
	float *sum = poisoned(k, R * C), *y = poisoned(k, R * C), *z = poisoned(k, R * C);
	float *mean = poisoned(k, R), *rstd = poisoned(k, R);

	(void)state;
	k->layernorm(k, y, mean, rstd, sum, a, b, g, g, R, C);
	k->layernorm(k, z, NULL, NULL, a, a, b, g, g, R, C);
	assert_memory_equal(y, z, sizeof(float) * R * C);
	assert_memory_equal(sum, a, sizeof(float) * R * C);
	drop_tensors();
}

static void run_gelu_backward(const cairn_kernels *k, const void *context, outcome *out)
{
	const shape *s = context;
	int64_t n = s->R * s->C;
	cairn_act *d = normal_acts(k, n, 1, 1);

	k->gelu_backward(k, d, normal_acts(k, n, 2, 3), n);
	emit_acts(out, k, d, n, loosened(k, 2e-6, 1));
}

static void test_kernels_layers__gelu_backward(void **state)
{
	const shape large = {90, 401, false};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_case(run_gelu_backward, &shapes[i]);
	check_case(run_gelu_backward, &large);
}

/* Far from 0 the derivative is 0 or 1, never NaN. */
static void test_kernels_layers__gelu_backward_of_large_values(void **state)
{
	const cairn_kernels *k = cpu_table(NULL, 1);
	float z[6] = {-1e4f, -50, -10, 10, 50, 1e4f}, d[6] = {1, 1, 1, 1, 1, 1};

	(void)state;
	k->gelu_backward(k, d, z, 6);
	for (int i = 0; i < 6; i++)
		assert_true(fabs((double)d[i] - (z[i] > 0)) < 1e-6);
}

static void run_bias(const cairn_kernels *k, const void *context, outcome *out)
{
	const shape *s = context;
	float *dbias = normal(k, s->C, 1, 1);

	k->bias_backward(k, dbias, normal_acts(k, s->R * s->C, 2, 1), true, s->R, s->C, 0);
	emit(out, k, dbias, s->C, 3e-6);
}

static void test_kernels_layers__bias_backward(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++)
		check_case(run_bias, &shapes[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_layers__layernorm),
		cmocka_unit_test(test_kernels_layers__layernorm_backward),
		cmocka_unit_test(test_kernels_layers__layernorm_in_place),
		cmocka_unit_test(test_kernels_layers__gelu_backward),
		cmocka_unit_test(test_kernels_layers__gelu_backward_of_large_values),
		cmocka_unit_test(test_kernels_layers__bias_backward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
