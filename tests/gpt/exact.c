/* SPDX-License-Identifier: Apache-2.0 */
/* Our elementary functions: close to libm's long double, and the same bits for ever. */
#include "gpt/exact.h"

#include <math.h>

#include "gpt/rng.h"
#include "test.h"

enum {
	N = 100000
};

static void assert_close(double x, double ours, long double want)
{
	if (!(fabsl(ours - want) <= 1e-15L * fabsl(want)))
		fail_msg("at %.17g: %.17g, not %.17Lg", x, ours, want);
}

static void test_gpt_exact__log_is_libms(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < N; i++) {
		double u = gpt_random_uniform(1, 0, i);
		double wide = ldexp(u, (int)gpt_random_below(1, 1, i, 2000) - 1000);
		double near = 1 + (u - 0.5) * 1e-3;

		assert_close(u, gpt_log(u), logl(u));
		assert_close(wide, gpt_log(wide), logl(wide));
		assert_close(near, gpt_log(near), logl(near));
	}
	assert_true(gpt_log(1) == 0);
}

static void test_gpt_exact__exp_is_libms(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < N; i++) {
		double u = gpt_random_uniform(2, 0, i) - 0.5;

		assert_close(u, gpt_exp(u), expl(u));
		assert_close(1400 * u, gpt_exp(1400 * u), expl(1400 * u));
		assert_close(1e-6 * u, gpt_exp(1e-6 * u), expl(1e-6 * u));
	}
	/* A ratio of equal log-probabilities is 1 to the bit: the first minibatch counts on it. */
	assert_true(gpt_exp(0) == 1);
	assert_true(gpt_exp(-1e4) == 0 && isinf(gpt_exp(1e4)) && isnan(gpt_exp(NAN)));
}

static void test_gpt_exact__log1p_is_libms(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < N; i++) {
		double u = gpt_random_uniform(3, 0, i);
		double tiny = exp(-40 * u);

		assert_close(u, gpt_log1p(u), log1pl(u));
		assert_close(-u, gpt_log1p(-u), log1pl(-u));
		assert_close(tiny, gpt_log1p(tiny), log1pl(tiny));
	}
}

static void test_gpt_exact__expm1_is_libms(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < N; i++) {
		double u = gpt_random_uniform(5, 0, i) - 0.5, tiny = u * exp(-30 * fabs(u));

		assert_close(u, gpt_expm1(u), expm1l(u));
		assert_close(100 * u, gpt_expm1(100 * u), expm1l(100 * u));
		assert_close(tiny, gpt_expm1(tiny), expm1l(tiny));
	}
	assert_true(gpt_expm1(0) == 0 && gpt_expm1(-1e4) == -1 && isinf(gpt_expm1(1e4)));
}

static void test_gpt_exact__cos_is_libms(void **state)
{
	const long double two_pi = 6.283185307179586476925286766559L;

	(void)state;
	for (uint64_t i = 0; i < N; i++) {
		double u = gpt_random_uniform(4, 0, i);
		long double want = cosl(two_pi * u);

		/* Near its zeros what long double knows of pi limits libm, not us. */
		if (fabsl(want) > 1e-3L)
			assert_close(u, gpt_cos_turns(u), want);
		else
			assert_true(fabsl(gpt_cos_turns(u) - want) < 1e-18L);
	}
	assert_true(gpt_cos_turns(0) == 1 && gpt_cos_turns(0.25) == 0);
	assert_true(gpt_cos_turns(0.5) == -1 && gpt_cos_turns(0.75) == 0 && gpt_cos_turns(1) == 1);
	assert_close(1e-9, gpt_cos_turns(0.25 - 0x1p-40), sinl(two_pi * 0x1p-40L));
}

/* What these were when weights were first drawn with them, on every machine since. */
static void test_gpt_exact__bits(void **state)
{
	(void)state;
	assert_true(gpt_log(1e-300) == -0x1.5963447f87fb5p+9);
	assert_true(gpt_log(0.1) == -0x1.26bb1bbb55515p+1);
	assert_true(gpt_log(0.999999) == -0x1.0c6f82d74d23p-20);
	assert_true(gpt_exp(-740) == 0x0.0000000000055p-1022);
	assert_true(gpt_exp(-1e-9) == 0x1.fffffff768fa1p-1);
	assert_true(gpt_exp(1) == 0x1.5bf0a8b14576ap+1);
	assert_true(gpt_exp(709) == 0x1.d422d2be5dc9bp+1022);
	assert_true(gpt_log1p(-0.9) == -0x1.26bb1bbb55516p+1);
	assert_true(gpt_log1p(-1e-10) == -0x1.b7cdfd9dda4e3p-34);
	assert_true(gpt_cos_turns(0.1) == 0x1.9e3779b97f4a8p-1);
	assert_true(gpt_cos_turns(0.125) == 0x1.6a09e667f3bccp-1);
	assert_true(gpt_cos_turns(0.7) == -0x1.3c6ef372fe954p-2);
	assert_true(gpt_cos_turns(0.9) == 0x1.9e3779b97f4a8p-1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_exact__log_is_libms),
		cmocka_unit_test(test_gpt_exact__exp_is_libms),
		cmocka_unit_test(test_gpt_exact__log1p_is_libms),
		cmocka_unit_test(test_gpt_exact__expm1_is_libms),
		cmocka_unit_test(test_gpt_exact__cos_is_libms),
		cmocka_unit_test(test_gpt_exact__bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
