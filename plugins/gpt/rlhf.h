/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rlhf.h - the arithmetic of InstructGPT between the networks: pure functions on host
 * arrays in double. Sources: P = arXiv:2203.02155; details: METHOD.md section 2; golden
 * numbers 5.1.
 */
#ifndef CAIRN_GPT_RLHF_H
#define CAIRN_GPT_RLHF_H

#include <stdbool.h>
#include <stdint.h>

/* Generalised advantage estimation over the n kept tokens of one episode; the value after the
 * last token is 0. returns[t] = advantage[t] + value[t]. */
void rlhf_gae(const double *reward, const double *value, int64_t n, double gamma, double lambda,
	double *advantage, double *returns);
/* x = (x - mean)/sqrt(var + 1e-8) (+ mean where !shift_mean); var divides by n, or n-1 if unbiased.
 */
void rlhf_whiten(double *x, int64_t n, bool shift_mean, bool unbiased);

/* Estimators of KL from one sample's log ratio logp - ref: k1, k2, k3 (METHOD 2.12). */
double rlhf_kl_k1(double logp, double ref);
double rlhf_kl_k2(double logp, double ref);
double rlhf_kl_k3(double logp, double ref);

/* reward[t] = -beta*(logp[t]-ref[t]); the score is added at the last kept token (METHOD 2.5). */
void rlhf_rewards(const double *logp, const double *ref, int64_t n, double beta, double score,
	double *reward);

/* Clipped policy loss of one token; *dlogp is its derivative by the new logprob. */
double rlhf_policy_loss(
	double logp, double old_logp, double advantage, double clip, double *dlogp, bool *clipped);
/* .5*max((v-R)^2, (clip(v, old-c, old+c)-R)^2); clip <= 0: no clipping. */
double rlhf_value_loss(
	double value, double old_value, double returns, double clip, double *dvalue, bool *clipped);

/* K-way ranking loss (P eq. 1): mean over pairs with rank[i] < rank[j] (i better) of
 * -log sigmoid(score[i]-score[j]). Ties are dropped. divide_by_all: divide by C(K,2) instead of
 * the kept pairs. *n_pairs and *n_right (pairs in the right order; equal scores count half) may
 * be NULL; dscore may be NULL. 0 pairs: loss 0. */
double rlhf_ranking_loss(const double *score, const int32_t *rank, int32_t K, bool divide_by_all,
	double *dscore, int32_t *n_pairs, double *n_right);

/* Adaptive controller (METHOD 2.12): beta *= 1 + clip(kl/target-1, -.2, .2) * n/horizon. */
double rlhf_adapt_beta(double beta, double kl, double target, double n, double horizon);

/* Wilson score interval of k successes (ties as halves) of n at 95 %; [0,1] where n is 0. */
void rlhf_wilson(double k, double n, double *low, double *high);

#endif
