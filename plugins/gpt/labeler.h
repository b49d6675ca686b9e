/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labeler.h - simulated labelers: a stated utility and Bradley-Terry noise.
 *
 * utility("words:-0.2 courtesy:1.5 answer:3"): a weighted sum of features of a completion:
 *   words       number of words
 *   characters  number of UTF-8 characters
 *   courtesy    courteous expressions found ("please", "thank you", "glad", ...), at most 3
 *   answer      1 if the row's answer occurs in it
 *   ended       1 if it ended by itself
 *   repeats     share of words that repeat the word before, or of a repeated 3-gram
 * P(a better than b) = sigmoid((u(a)-u(b))/noise); a ranking of K is drawn as utility +
 * noise * Gumbel, which has these pairwise odds (Plackett-Luce).
 */
#ifndef CAIRN_GPT_LABELER_H
#define CAIRN_GPT_LABELER_H

#include <stdbool.h>

#include "cairn/error.h"

#define GPT_LABELER_MAX_TERMS 16

typedef struct gpt_utility {
	int32_t n_terms;
	int32_t feature[GPT_LABELER_MAX_TERMS];
	double weight[GPT_LABELER_MAX_TERMS];
} gpt_utility;

/* Parses "feature:weight ..." (separated by blanks or commas). EPARAM with "did you mean". */
CAIRN_MUST int gpt_utility_parse(gpt_utility *out, const char *text, cairn_error *err);
double gpt_utility_of(
	const gpt_utility *utility, const char *completion, const char *answer, bool ended);
/* One labeler's ranking of K completions: ranks[i], 0 best. noise 0: by utility, equals tie.
 * Noise is drawn from Philox(key; id, i). */
void gpt_utility_rank(
	const double *utility, int32_t K, double noise, uint64_t key, uint64_t id, int32_t *ranks);
/* The features' names, for docs and errors. */
const char *const *gpt_utility_features(int32_t *n);

#endif
