/* SPDX-License-Identifier: Apache-2.0 */
/* functions.c - how exact the backend's own exp, gelu and log are. */
#include "kernels/cpu/functions.h"

#include "../test.h"

/* Error of `got` in units of the last place of a float near `want`. */
static double ulps(double got, double want)
{
	int exponent;

	(void)frexp(want, &exponent);
	return fabs(got - want) / ldexp(1, exponent - 24);
}

static double worst_exp(uint32_t from, uint32_t to, uint32_t sign)
{
	double worst = 0;

	for (uint32_t bits = from; bits < to; bits += 16 * 397) {
		v16 x, y;

		for (uint32_t i = 0; i < 16; i++) {
			uint32_t one = (bits + i * 397) | sign;
			float f;

			memcpy(&f, &one, sizeof(f));
			x[i] = f;
		}
		y = v_exp(x);
		for (int i = 0; i < 16; i++)
			worst = fmax(worst, ulps((double)y[i], exp((double)x[i])));
	}
	return worst;
}

/* Floats as bits: 1e-9 and 87.3 (88.7 above 0). */
static void test_kernels_functions__exp_within_its_bound(void **state)
{
	double below = worst_exp(0x30897000, 0x42ae9999, 0x80000000u);
	double above = worst_exp(0x30897000, 0x42b16000, 0);

	(void)state;
	print_message("v_exp: %.3f ulp below 0, %.3f above\n", below, above);
	assert_true(below < 1.1 && above < 1.1);
}

static void test_kernels_functions__exp_of_special_values(void **state)
{
	v16 y = v_exp((v16){0, -INFINITY, INFINITY, NAN, -88, 89, -1e30f, 1e30f});

	(void)state;
	assert_true(y[0] == 1);
	assert_true(y[1] == 0 && y[4] == 0 && y[6] == 0);
	assert_true(isinf(y[2]) && isinf(y[5]) && isinf(y[7]) && y[2] > 0);
	assert_true(isnan(y[3]));
}

static void test_kernels_functions__log_within_its_bound(void **state)
{
	double worst = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		double x = exp((i - 100000) * 3.3e-4), want = log(x);

		worst = fmax(worst, fabs(scalar_log(x) - want) / fmax(fabs(want), 0x1p-10));
	}
	print_message("scalar_log: %.3g relative\n", worst);
	assert_true(worst < 1e-15);
	assert_true(scalar_log(1) == 0);
	assert_true(isinf(scalar_log(0)) && isnan(scalar_log(-1)) && isnan(scalar_log(NAN)));
}

/* Eight at once are eight times one: to the bit, special values and denormals among them. */
static void test_kernels_functions__logs_are_the_log(void **state)
{
	static const float special[8] = {1, 0, -1, INFINITY, NAN, 0x1p-149f, 0x1.fffffep127f, 0.5f};

	(void)state;
	for (uint32_t bits = 0; bits < 0x7f800000u; bits += 8 * 6007) {
		float x[8];
		v8d y;

		for (uint32_t i = 0; i < 8; i++) {
			uint32_t one = bits + i * 6007;

			memcpy(&x[i], &one, sizeof(x[i]));
		}
		y = v_log(bits == 0 ? special : x);
		for (int i = 0; i < 8; i++) {
			double got = y[i], want = scalar_log((double)(bits == 0 ? special : x)[i]);

			assert_true(isnan(want) ? isnan(got) : got == want);
		}
	}
}

static void test_kernels_functions__gelu(void **state)
{
	double worst = 0;

	(void)state;
	for (int i = 0; i < 100000; i += 16) {
		v16 z, y;

		for (int j = 0; j < 16; j++)
			z[j] = (float)(i + j - 50000) * 1.9e-4f;
		y = v_gelu(z);
		for (int j = 0; j < 16; j++) {
			double x = (double)z[j];
			double u = 0.7978845608028654 * (x + 0.044715 * x * x * x);
			double want = x / (1 + exp(-2 * u));

			/* Rounding of the exponent counts times its size. */
			if (want != 0)
				worst = fmax(worst, ulps((double)y[j], want) / (1 + fabs(2 * u)));
		}
	}
	print_message("v_gelu: %.3f ulp for each unit of the exponent\n", worst);
	assert_true(worst < 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_functions__exp_within_its_bound),
		cmocka_unit_test(test_kernels_functions__exp_of_special_values),
		cmocka_unit_test(test_kernels_functions__log_within_its_bound),
		cmocka_unit_test(test_kernels_functions__logs_are_the_log),
		cmocka_unit_test(test_kernels_functions__gelu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
