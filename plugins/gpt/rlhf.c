/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rlhf.c - InstructGPT's arithmetic.
 *
 * PAPER marks what arXiv:2203.02155 states; what it leaves open follows OpenAI's published
 * lm-human-preferences code, METHOD.md section 2, and is marked so.
 */
#include <math.h>
#include <string.h>

#include "gpt/exact.h"
#include "gpt/rlhf.h"

void rlhf_gae(const double *reward, const double *value, int64_t n, double gamma, double lambda,
	double *advantage, double *returns)
{
	double last = 0;

	/* PAPER 2203.02155 C.4: no discount, gamma = 1. lambda, and 0 as the value after the last
	 * token, are METHOD 2.6. */
	for (int64_t t = n; t-- > 0;) {
		double next = t + 1 < n ? value[t + 1] : 0;
		double delta = reward[t] + gamma * next - value[t];

		last = delta + gamma * lambda * last;
		advantage[t] = last;
		returns[t] = last + value[t];
	}
}

void rlhf_whiten(double *x, int64_t n, bool shift_mean, bool unbiased)
{
	double mean = 0, variance = 0, scale;

	/* METHOD 2.7; not in the paper. */
	if (n < 1)
		return;
	for (int64_t i = 0; i < n; i++)
		mean += x[i];
	mean /= (double)n;
	for (int64_t i = 0; i < n; i++)
		variance += (x[i] - mean) * (x[i] - mean);
	if (n > 1)
		variance /= (double)(unbiased ? n - 1 : n);
	scale = 1 / sqrt(variance + 1e-8);
	for (int64_t i = 0; i < n; i++)
		x[i] = (x[i] - mean) * scale + (shift_mean ? 0 : mean);
}

double rlhf_kl_k1(double logp, double ref)
{
	return logp - ref;
}

double rlhf_kl_k2(double logp, double ref)
{
	return 0.5 * (logp - ref) * (logp - ref);
}

double rlhf_kl_k3(double logp, double ref)
{
	/* expm1: near 0 the value is of second order, and 1 - 1 would lose it. */
	return gpt_expm1(ref - logp) + (logp - ref);
}

void rlhf_rewards(
	const double *logp, const double *ref, int64_t n, double beta, double score, double *reward)
{
	/* PAPER 2203.02155 eq. 2: r(x,y) - beta log(pi(y|x)/pi_SFT(y|x)), the second term token by
	 * token (S3.5: "a per-token KL penalty ... at each token"); the score at the end token. */
	for (int64_t t = 0; t < n; t++)
		reward[t] = -beta * rlhf_kl_k1(logp[t], ref[t]);
	if (n > 0)
		reward[n - 1] += score;
}

static double clamp(double x, double low, double high)
{
	return x < low ? low : x > high ? high : x;
}

double rlhf_policy_loss(
	double logp, double old_logp, double advantage, double clip, double *dlogp, bool *clipped)
{
	/* PAPER 2203.02155 C.4: PPO with clip 0.2. d ratio / d logp = ratio. At a log ratio of
	 * +-20 it stays where it is (METHOD 2.8, as OpenRLHF): with a negative advantage nothing
	 * else would bound it. The push back stays, too. */
	double ratio = gpt_exp(clamp(logp - old_logp, -20, 20));
	double plain = -advantage * ratio;
	double bounded = -advantage * clamp(ratio, 1 - clip, 1 + clip);
	bool is_clipped = bounded > plain;

	if (dlogp)
		*dlogp = is_clipped ? 0 : plain;
	if (clipped)
		*clipped = is_clipped;
	return is_clipped ? bounded : plain;
}

double rlhf_value_loss(
	double value, double old_value, double returns, double clip, double *dvalue, bool *clipped)
{
	/* METHOD 2.8; the paper does not state its value loss. */
	double near = clip > 0 ? clamp(value, old_value - clip, old_value + clip) : value;
	double plain = (value - returns) * (value - returns);
	double bounded = (near - returns) * (near - returns);
	bool is_clipped = bounded > plain;

	if (dvalue)
		*dvalue = is_clipped ? 0 : value - returns;
	if (clipped)
		*clipped = is_clipped;
	return 0.5 * (is_clipped ? bounded : plain);
}

/* -log sigmoid(d), without overflow. */
static double softplus_minus(double d)
{
	return (d < 0 ? -d : 0) + gpt_log1p(gpt_exp(-fabs(d)));
}

/* sigmoid(-d) */
static double sigmoid_minus(double d)
{
	return d > 0 ? gpt_exp(-d) / (1 + gpt_exp(-d)) : 1 / (1 + gpt_exp(d));
}

double rlhf_ranking_loss(const double *score, const int32_t *rank, int32_t K, bool divide_by_all,
	double *dscore, int32_t *n_pairs, double *n_right)
{
	double loss = 0, right = 0, divisor;
	int32_t pairs = 0;

	/* PAPER 2203.02155 eq. 1: -1/C(K,2) E log sigmoid(r(x,y_w) - r(x,y_l)), all pairs of a
	 * prompt as one batch element; C.2: ties are dropped. */
	if (dscore)
		memset(dscore, 0, sizeof(*dscore) * (size_t)K);
	for (int32_t i = 0; i < K; i++) {
		for (int32_t j = 0; j < K; j++) {
			double d = score[i] - score[j];

			if (rank[i] >= rank[j])
				continue;
			pairs++;
			loss += softplus_minus(d);
			right += d > 0 ? 1 : d == 0 ? 0.5 : 0;
			if (dscore) {
				dscore[i] -= sigmoid_minus(d);
				dscore[j] += sigmoid_minus(d);
			}
		}
	}
	/* C(K,2) as printed, or the pairs that were kept: the paper leaves ties open (METHOD 1.4).
	 */
	divisor = divide_by_all ? (double)K * (K - 1) / 2 : pairs;
	for (int32_t i = 0; dscore && pairs > 0 && i < K; i++)
		dscore[i] /= divisor;
	if (n_pairs)
		*n_pairs = pairs;
	if (n_right)
		*n_right = right;
	return pairs > 0 ? loss / divisor : 0;
}

double rlhf_adapt_beta(double beta, double kl, double target, double n, double horizon)
{
	/* METHOD 2.12 (lm-human-preferences); the paper's beta is fixed at 0.02. */
	return beta * (1 + clamp(kl / target - 1, -0.2, 0.2) * n / horizon);
}

void rlhf_wilson(double k, double n, double *low, double *high)
{
	const double z = 1.959963984540054; /* 97.5 % point of the normal distribution */
	double p, centre, half;

	if (n <= 0) {
		*low = 0;
		*high = 1;
		return;
	}
	p = k / n;
	centre = (p + z * z / (2 * n)) / (1 + z * z / n);
	half = z / (1 + z * z / n) * sqrt(p * (1 - p) / n + z * z / (4 * n * n));
	*low = clamp(centre - half, 0, 1);
	*high = clamp(centre + half, 0, 1);
}
