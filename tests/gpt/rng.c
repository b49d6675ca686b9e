/* SPDX-License-Identifier: Apache-2.0 */
/* Random numbers: known answers, permutations, moments. */
#include <math.h>
#include <stdlib.h>

#include "gpt/rng.h"
#include "test.h"

/* Known-answer vectors of Random123, philox4x32, 10 rounds. */
static void test_gpt_rng__philox_known_answers(void **state)
{
	static const struct {
		uint64_t key;
		uint32_t counter[4], out[4];
	} cases[] = {
		{0, {0, 0, 0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{UINT64_MAX, {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX},
			{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
			{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t out[4];

		gpt_philox(cases[i].key, cases[i].counter, out);
		assert_memory_equal(out, cases[i].out, sizeof(out));
	}
}

static void test_gpt_rng__shuffle_is_a_permutation(void **state)
{
	enum {
		N = 1000
	};
	uint64_t order[N], again[N], other[N];
	unsigned char seen[N] = {0};
	int fixed = 0, equal = 0;

	(void)state;
	gpt_shuffle(7, 0, order, N);
	gpt_shuffle(7, 0, again, N);
	gpt_shuffle(7, 1, other, N);
	assert_memory_equal(order, again, sizeof(order));
	for (uint64_t i = 0; i < N; i++) {
		assert_in_range(order[i], 0, N - 1);
		assert_int_equal(seen[order[i]]++, 0);
		fixed += order[i] == i;
		equal += order[i] == other[i];
	}
	/* About one fixed point each is expected of a random permutation. */
	assert_in_range(fixed, 0, 8);
	assert_in_range(equal, 0, 8);
	gpt_shuffle(7, 0, order, 0);
	gpt_shuffle(7, 0, order, 1);
	assert_int_equal(order[0], 0);
}

/* All 6 orders of 3 things equally often: chi-square with 5 degrees of freedom, 99.9 %: 20.5. */
static void test_gpt_rng__shuffle_is_fair(void **state)
{
	enum {
		ROUNDS = 6000
	};
	int count[3][3] = {{0}};
	double chi = 0;

	(void)state;
	for (uint64_t epoch = 0; epoch < ROUNDS; epoch++) {
		uint64_t order[3];

		gpt_shuffle(11, epoch, order, 3);
		count[order[0]][order[1]]++;
	}
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < 3; j++)
			if (i != j)
				chi += pow(count[i][j] - ROUNDS / 6.0, 2) / (ROUNDS / 6.0);
	assert_true(chi < 20.5);
}

static void test_gpt_rng__uniform_and_below(void **state)
{
	double sum = 0;

	(void)state;
	for (uint64_t i = 0; i < 10000; i++) {
		double u = gpt_random_uniform(3, 1, i);

		assert_true(u > 0 && u < 1);
		assert_in_range(gpt_random_below(3, 2, i, 7), 0, 6);
		sum += u;
	}
	/* Standard deviation of the mean: 0.0029. */
	assert_true(fabs(sum / 10000 - 0.5) < 0.012);
}

static void test_gpt_rng__normal_moments(void **state)
{
	enum {
		N = 100000
	};
	double m1 = 0, m2 = 0, m4 = 0;

	(void)state;
	for (uint64_t i = 0; i < N; i++) {
		double x = gpt_random_normal(5, 0, i);

		m1 += x / N;
		m2 += x * x / N;
		m4 += x * x * x * x / N;
	}
	/* Four standard deviations: of the mean .0032, of the square .0045, of the fourth .031. */
	assert_true(fabs(m1) < 0.013);
	assert_true(fabs(m2 - 1) < 0.018);
	assert_true(fabs(m4 - 3) < 0.125);
}

/* The same numbers on every machine: initial weights are made of them. */
static void test_gpt_rng__normal_bits(void **state)
{
	static const double want[] = {0x1.209a10621f614p+1, -0x1.7425f9cef4985p-2,
		0x1.3d59ec7d678bp-1, 0x1.f6ae572c58b0ap-2, 0x1.6ded42a749f9ap+0,
		0x1.6431f6aab7953p-2};

	(void)state;
	for (uint64_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		assert_true(gpt_random_normal(5, 0, i) == want[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_rng__philox_known_answers),
		cmocka_unit_test(test_gpt_rng__shuffle_is_a_permutation),
		cmocka_unit_test(test_gpt_rng__shuffle_is_fair),
		cmocka_unit_test(test_gpt_rng__uniform_and_below),
		cmocka_unit_test(test_gpt_rng__normal_moments),
		cmocka_unit_test(test_gpt_rng__normal_bits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
