/* SPDX-License-Identifier: Apache-2.0 */
/* InstructGPT's arithmetic against golden numbers that a separate program computed in double. */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "gpt/rlhf.h"
#include "gpt/rng.h"
#include "test.h"

#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static void assert_all_near(const double *a, const double *b, int64_t n, double tolerance)
{
	for (int64_t i = 0; i < n; i++)
		assert_near(a[i], b[i], tolerance);
}

static const double rewards[] = {-.01, .02, 0, 1}, values[] = {.5, .4, .3, .2};

static void test_gpt_rlhf__gae_golden(void **state)
{
	static const double want_a[] = {.40965, .547, .66, .8}, want_r[] = {.90965, .947, .96, 1};
	double a[4], r[4];

	(void)state;
	rlhf_gae(rewards, values, 4, 1, .95, a, r);
	assert_all_near(a, want_a, 4, 1e-12);
	assert_all_near(r, want_r, 4, 1e-12);
}

/* lambda = 1: returns are the suffix sums of rewards. */
static void test_gpt_rlhf__gae_without_lambda_sums_rewards(void **state)
{
	static const double want[] = {1.01, 1.02, 1, 1};
	double a[4], r[4];

	(void)state;
	rlhf_gae(rewards, values, 4, 1, 1, a, r);
	assert_all_near(r, want, 4, 1e-12);
}

static void test_gpt_rlhf__gae_discounts(void **state)
{
	double a[4], r[4];

	(void)state;
	/* lambda = 0: one-step errors. */
	rlhf_gae(rewards, values, 4, .9, 0, a, r);
	for (int t = 0; t < 4; t++)
		assert_near(a[t], rewards[t] + (t < 3 ? .9 * values[t + 1] : 0) - values[t], 1e-12);
}

static void test_gpt_rlhf__whiten_golden(void **state)
{
	static const double biased[] = {-1.353813548, -.397852924, .38863088, 1.363035593};
	static const double unbiased[] = {-1.172436996, -.34455076, .336564235, 1.180423521};
	/* The printed case of "The N Implementation Details of RLHF with PPO": TensorFlow gives
	 * .05080712 and 3.1491938 where variance is biased. */
	static const double n_biased[] = {.050806778, .438105083, .825403389, 1.212701694, 1.6,
		1.987298306, 2.374596611, 2.761894917, 3.149193222};
	static const double n_unbiased[] = {.139406611, .504554958, .869703305, 1.234851653, 1.6,
		1.965148347, 2.330296695, 2.695445042, 3.060593389};
	double a[4], r[4], x[4], y[9];

	(void)state;
	rlhf_gae(rewards, values, 4, 1, .95, a, r);
	memcpy(x, a, sizeof(a));
	rlhf_whiten(x, 4, true, false);
	assert_all_near(x, biased, 4, 1e-9);
	memcpy(x, a, sizeof(a));
	rlhf_whiten(x, 4, true, true);
	assert_all_near(x, unbiased, 4, 1e-9);

	for (int i = 0; i < 9; i++)
		y[i] = 1.2 + .1 * i;
	rlhf_whiten(y, 9, false, false);
	assert_all_near(y, n_biased, 9, 1e-9);
	for (int i = 0; i < 9; i++)
		y[i] = 1.2 + .1 * i;
	rlhf_whiten(y, 9, false, true);
	assert_all_near(y, n_unbiased, 9, 1e-9);
}

static void test_gpt_rlhf__whiten_bears_edges(void **state)
{
	double one = 3, equal[3] = {2, 2, 2};

	(void)state;
	rlhf_whiten(&one, 0, true, true);
	assert_true(one == 3);
	rlhf_whiten(&one, 1, true, true);
	assert_true(one == 0);
	rlhf_whiten(equal, 3, false, false);
	assert_true(equal[0] == 2 && equal[1] == 2 && equal[2] == 2);
}

static void test_gpt_rlhf__kl_golden(void **state)
{
	static const double p[] = {.5, .3, .2}, q[] = {.2, .3, .5};
	double k1 = 0, k2 = 0, k3 = 0;

	(void)state;
	assert_near(rlhf_kl_k1(-1, -1.5), .5, 1e-12);
	assert_near(rlhf_kl_k2(-1, -1.5), .125, 1e-12);
	assert_near(rlhf_kl_k3(-1, -1.5), .10653066, 1e-8);
	assert_near(rlhf_kl_k1(-2, -1), -1, 1e-12);
	assert_near(rlhf_kl_k2(-2, -1), .5, 1e-12);
	assert_near(rlhf_kl_k3(-2, -1), .718281828, 1e-9);
	/* k1 and k3 are unbiased, k2 is not. */
	for (int i = 0; i < 3; i++) {
		k1 += p[i] * rlhf_kl_k1(log(p[i]), log(q[i]));
		k2 += p[i] * rlhf_kl_k2(log(p[i]), log(q[i]));
		k3 += p[i] * rlhf_kl_k3(log(p[i]), log(q[i]));
	}
	assert_near(k1, .27488722, 1e-8);
	assert_near(k3, .27488722, 1e-8);
	assert_near(k2, .293856047, 1e-9);
	/* Second order near 0: x^2/2, to its last digits. */
	assert_near(rlhf_kl_k3(-1, -1 - 1e-7) / 5e-15, 1, 1e-2);
}

/* The sum of rewards is the score less beta times the log ratio of the whole completion. */
static void test_gpt_rlhf__rewards_add_up(void **state)
{
	static const double logp[] = {-1, -2, -.5}, ref[] = {-1.5, -1, -.25};
	double r[3];

	(void)state;
	rlhf_rewards(logp, ref, 3, .02, 1.7, r);
	assert_near(r[0], -.02 * .5, 1e-15);
	assert_near(r[1], .02 * 1, 1e-15);
	assert_near(r[2], .02 * .25 + 1.7, 1e-15);
	assert_near(r[0] + r[1] + r[2], 1.7 - .02 * (-3.5 + 2.75), 1e-15);
	rlhf_rewards(logp, ref, 0, .02, 1.7, r);
}

static void test_gpt_rlhf__policy_loss_golden(void **state)
{
	static const struct {
		double ratio, advantage, loss, dlogp;
		bool clipped;
	} cases[] = {
		{1.5, 1, -1.2, 0, true},
		{.5, 1, -.5, -.5, false},
		{1.5, -1, 1.5, 1.5, false},
		{.5, -1, .8, 0, true},
		{1, 2, -2, -2, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double dlogp;
		bool clipped;
		double loss = rlhf_policy_loss(
			-3 + log(cases[i].ratio), -3, cases[i].advantage, .2, &dlogp, &clipped);

		assert_near(loss, cases[i].loss, 1e-12);
		assert_near(dlogp, cases[i].dlogp, 1e-12);
		assert_int_equal(clipped, cases[i].clipped);
	}
	/* Exactly at ratio 1 nothing is clipped, and the loss is -A to the bit. */
	assert_true(rlhf_policy_loss(-3, -3, .7, .2, NULL, NULL) == -.7);
}

/* METHOD 2.8: a log ratio counts as +-20 at most; with a negative advantage nothing else bounds the
 * loss, and the push back must stay. */
static void test_gpt_rlhf__policy_loss_stays_finite(void **state)
{
	double dlogp, loss = rlhf_policy_loss(-1, -2000, -1, .2, &dlogp, NULL);

	(void)state;
	assert_near(loss / exp(20), 1, 1e-12);
	assert_near(dlogp / exp(20), 1, 1e-12);
	assert_near(rlhf_policy_loss(-2000, -1, 1, .2, &dlogp, NULL), -exp(-20), 1e-20);
	assert_near(dlogp, -exp(-20), 1e-20);
}

/* METHOD 2.6: what stands behind the kept tokens cannot reach them. */
static void test_gpt_rlhf__gae_sees_kept_tokens_only(void **state)
{
	double reward[6], value[6], a[4], r[4], b[4], s[4];

	(void)state;
	memcpy(reward, rewards, sizeof(rewards));
	memcpy(value, values, sizeof(values));
	reward[4] = value[4] = NAN;
	reward[5] = value[5] = 1e30;
	rlhf_gae(rewards, values, 4, 1, .95, a, r);
	rlhf_gae(reward, value, 4, 1, .95, b, s);
	assert_memory_equal(a, b, sizeof(a));
	assert_memory_equal(r, s, sizeof(r));
}

static void test_gpt_rlhf__value_loss_golden(void **state)
{
	static const struct {
		double value, returns, loss, dvalue;
		bool clipped;
	} cases[] = {
		{1, 2, .845, 0, true},
		{1, 0, .5, 1, false},
		{.6, 2, .98, -1.4, false},
	};
	double dvalue;
	bool clipped;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		double loss = rlhf_value_loss(
			cases[i].value, .5, cases[i].returns, .2, &dvalue, &clipped);

		assert_near(loss, cases[i].loss, 1e-12);
		assert_near(dvalue, cases[i].dvalue, 1e-12);
		assert_int_equal(clipped, cases[i].clipped);
	}
	assert_near(rlhf_value_loss(1, .5, 2, 0, &dvalue, &clipped), .5, 1e-12);
	assert_near(dvalue, -1, 1e-12);
	assert_false(clipped);
}

static void test_gpt_rlhf__ranking_loss_golden(void **state)
{
	static const double score[] = {1, .5, -.5, 0};
	static const int32_t rank[] = {0, 1, 2, 3}, tie[] = {0, 1, 1, 2};
	static const double want[] = {-.138151269, -.04482357, -.028515398, .211490237};
	static const double want_tie[] = {-.165781523, 0, -.088006761, .253788284};
	double d[4], right;
	int32_t pairs;

	(void)state;
	assert_near(rlhf_ranking_loss(score, rank, 4, false, d, &pairs, &right), .458361268, 1e-9);
	assert_all_near(d, want, 4, 1e-9);
	assert_int_equal(pairs, 6);
	assert_true(right == 5);
	/* Ties are dropped; what the sum is divided by is the caller's choice. */
	assert_near(rlhf_ranking_loss(score, tie, 4, false, d, &pairs, &right), .487381184, 1e-9);
	assert_all_near(d, want_tie, 4, 1e-9);
	assert_int_equal(pairs, 5);
	assert_true(right == 4);
	assert_near(
		rlhf_ranking_loss(score, tie, 4, true, NULL, NULL, NULL), .487381184 * 5 / 6, 1e-9);
}

static void test_gpt_rlhf__ranking_loss_starts_at_ln_2(void **state)
{
	static const double score[4] = {0}, want[] = {-1. / 4, -1. / 12, 1. / 12, 1. / 4};
	static const int32_t rank[] = {0, 1, 2, 3}, equal[] = {1, 1, 1, 1};
	double d[4], right;
	int32_t pairs;

	(void)state;
	assert_near(rlhf_ranking_loss(score, rank, 4, false, d, &pairs, &right), log(2), 1e-12);
	assert_all_near(d, want, 4, 1e-12);
	assert_true(right == 3);
	assert_true(rlhf_ranking_loss(score, equal, 4, false, d, &pairs, &right) == 0);
	assert_int_equal(pairs, 0);
	assert_true(d[0] == 0 && d[3] == 0);
}

/* K completions without ties make C(K,2) pairs: 64 prompts of 9 at most 2,304 (P app. C.2). */
static void test_gpt_rlhf__ranking_counts_its_pairs(void **state)
{
	static const int32_t want[] = {6, 10, 15, 21, 28, 36};
	double score[9] = {0};
	int32_t rank[9], pairs;

	(void)state;
	for (int32_t i = 0; i < 9; i++)
		rank[i] = i;
	for (int32_t K = 4; K <= 9; K++) {
		(void)rlhf_ranking_loss(score, rank, K, false, NULL, &pairs, NULL);
		assert_int_equal(pairs, want[K - 4]);
	}
	assert_int_equal(64 * pairs, 2304);
}

/* Only differences of scores count, and huge ones do not overflow. */
static void test_gpt_rlhf__ranking_loss_is_shift_invariant(void **state)
{
	static const int32_t rank[] = {2, 0, 1, 1, 3};
	double score[5], moved[5], d[5], e[5], sum = 0, large[2] = {-1e4, 1e4};

	(void)state;
	for (uint64_t i = 0; i < 5; i++) {
		score[i] = gpt_random_normal(9, 0, i);
		moved[i] = score[i] + 100;
	}
	assert_near(rlhf_ranking_loss(score, rank, 5, false, d, NULL, NULL),
		rlhf_ranking_loss(moved, rank, 5, false, e, NULL, NULL), 1e-12);
	assert_all_near(d, e, 5, 1e-12);
	for (int i = 0; i < 5; i++)
		sum += d[i];
	assert_near(sum, 0, 1e-15);
	assert_near(
		rlhf_ranking_loss(large, (int32_t[]){0, 1}, 2, false, d, NULL, NULL), 2e4, 1e-9);
	assert_near(d[0], -1, 1e-15);
	assert_true(rlhf_ranking_loss(large, (int32_t[]){1, 0}, 2, false, d, NULL, NULL) == 0);
}

/* METHOD 5.1: the K-wise gradient is the mean of the pairwise ones. */
static void test_gpt_rlhf__ranking_is_the_mean_of_pairs(void **state)
{
	static const double score[] = {.3, -1, 2, .1};
	static const int32_t rank[] = {1, 0, 3, 2};
	double all[4], mean[4] = {0}, loss = 0;
	int n = 0;

	(void)state;
	for (int i = 0; i < 4; i++)
		for (int j = i + 1; j < 4; j++, n++) {
			double two[2] = {score[i], score[j]}, d[2];
			int32_t order[2] = {rank[i], rank[j]};

			loss += rlhf_ranking_loss(two, order, 2, false, d, NULL, NULL);
			mean[i] += d[0];
			mean[j] += d[1];
		}
	assert_near(rlhf_ranking_loss(score, rank, 4, false, all, NULL, NULL), loss / n, 1e-12);
	for (int i = 0; i < 4; i++)
		assert_near(all[i], mean[i] / n, 1e-12);
}

static void test_gpt_rlhf__adaptive_beta_golden(void **state)
{
	(void)state;
	assert_near(rlhf_adapt_beta(.15, 3, 6, 512, 10000), .148464, 1e-12);
	assert_near(rlhf_adapt_beta(.15, 6, 6, 512, 10000), .15, 1e-12);
	assert_near(rlhf_adapt_beta(.15, 7, 6, 512, 10000), .15128, 1e-12);
	assert_near(rlhf_adapt_beta(.15, 20, 6, 512, 10000), .151536, 1e-12);
}

static void test_gpt_rlhf__wilson(void **state)
{
	double low, high;

	(void)state;
	/* 85 of 100: (0.7672, 0.9069), as statistics tables have it. */
	rlhf_wilson(85, 100, &low, &high);
	assert_near(low, .7672, 5e-5);
	assert_near(high, .9069, 5e-5);
	rlhf_wilson(0, 10, &low, &high);
	assert_true(low == 0);
	assert_near(high, .2775, 5e-5);
	rlhf_wilson(0, 0, &low, &high);
	assert_true(low == 0 && high == 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_rlhf__gae_golden),
		cmocka_unit_test(test_gpt_rlhf__gae_without_lambda_sums_rewards),
		cmocka_unit_test(test_gpt_rlhf__gae_discounts),
		cmocka_unit_test(test_gpt_rlhf__whiten_golden),
		cmocka_unit_test(test_gpt_rlhf__whiten_bears_edges),
		cmocka_unit_test(test_gpt_rlhf__kl_golden),
		cmocka_unit_test(test_gpt_rlhf__rewards_add_up),
		cmocka_unit_test(test_gpt_rlhf__policy_loss_golden),
		cmocka_unit_test(test_gpt_rlhf__policy_loss_stays_finite),
		cmocka_unit_test(test_gpt_rlhf__gae_sees_kept_tokens_only),
		cmocka_unit_test(test_gpt_rlhf__value_loss_golden),
		cmocka_unit_test(test_gpt_rlhf__ranking_loss_golden),
		cmocka_unit_test(test_gpt_rlhf__ranking_loss_starts_at_ln_2),
		cmocka_unit_test(test_gpt_rlhf__ranking_counts_its_pairs),
		cmocka_unit_test(test_gpt_rlhf__ranking_loss_is_shift_invariant),
		cmocka_unit_test(test_gpt_rlhf__ranking_is_the_mean_of_pairs),
		cmocka_unit_test(test_gpt_rlhf__adaptive_beta_golden),
		cmocka_unit_test(test_gpt_rlhf__wilson),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
