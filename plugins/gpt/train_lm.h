/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_lm.h - the language-model objective over a list of sequences, whatever its length:
 * for pretraining, SFT, the pretraining part of PPO-ptx, and evaluation.
 */
#ifndef CAIRN_GPT_TRAIN_LM_H
#define CAIRN_GPT_TRAIN_LM_H

#include "gpt/train_run.h"

typedef struct gpt_lm_sum {
	double nll; /* sum of -log p over counted tokens, in nats */
	uint64_t n_counted;
	uint64_t n_tokens; /* positions that were computed and are no padding */
	bool detailed;     /* set it before for the next two: */
	double entropy;    /* sum over counted positions, in nats */
	uint64_t n_best;   /* counted tokens than which the model thought none more likely */
} gpt_lm_sum;

/* Adds to the gradients: scale * d(sum of -log p over counted tokens). For the token mean of a
 * batch, scale is 1/gpt_seqs_counted(batch). Adds to *sum. */
CAIRN_MUST int gpt_lm_backward(gpt_work *work, gpt_model *model, const gpt_seq *seqs, size_t n,
	double scale, gpt_lm_sum *sum);
/* The same sums without gradients and dropout. */
CAIRN_MUST int gpt_lm_evaluate(
	gpt_work *work, gpt_model *model, const gpt_seq *seqs, size_t n, gpt_lm_sum *sum);
/* Mean over counted tokens; 0 where there are none. */
double gpt_lm_mean(const gpt_lm_sum *sum);
double gpt_lm_entropy(const gpt_lm_sum *sum);
double gpt_lm_accuracy(const gpt_lm_sum *sum);

/* Log-probabilities (and entropies; may be NULL) of the counted tokens, one sequence after the
 * other, at a temperature; booked to `account`. */
CAIRN_MUST int gpt_lm_logprobs(gpt_work *work, gpt_model *model, const gpt_seq *seqs, size_t n,
	double temperature, int account, cairn_real *logprob, cairn_real *entropy);

/* Raw head outputs of a scalar model at each sequence's last token, times gain plus bias. */
CAIRN_MUST int gpt_scores(gpt_work *work, gpt_model *model, const gpt_seq *seqs, size_t n,
	int account, double *score);

#endif
