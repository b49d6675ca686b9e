/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_accuracy.h - how well scores predict rankings, and how sure that is.
 *
 * Pairs of one prompt are not independent, whoever ranked them: the prompts are. So the
 * interval goes by prompts (METHOD 5.5), not by pairs.
 */
#ifndef CAIRN_GPT_TRAIN_ACCURACY_H
#define CAIRN_GPT_TRAIN_ACCURACY_H

#include "gpt/train_data.h"

typedef struct gpt_accuracy {
	double loss;      /* ranking loss, mean over rankings */
	double share;     /* of pairs in the right order; equal scores are halves */
	double low, high; /* its 95 % interval, within [0,1] */
	double n_pairs, n_rankings, n_prompts;
} gpt_accuracy;

/* Of examples made as GPT_EXAMPLE_CANDIDATES and one score for each. NANs where there is no
 * pair. */
CAIRN_MUST int gpt_accuracy_of(gpt_accuracy *out, const gpt_work *work, const gpt_rows *rows,
	const gpt_examples *examples, const double *score, bool divide_by_all);

#endif
