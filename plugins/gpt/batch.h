/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch.h - token sequences of any length to padded micro-batches.
 *
 * An optimizer step works on a list of sequences; the network takes it in micro-batches of
 * at most `micro_tokens` positions, padded on the right to the longest of the micro-batch.
 * Gradients are sums over tokens, weighted by what the caller counted over the whole list, so
 * neither the split nor the padding changes the mathematics (METHOD 2.8: a mean of means is not
 * the token mean), nor a bit of the gradient (gpt_finish_grads()): micro_tokens bounds the memory
 * of a step and is no part of a stage's key.
 */
#ifndef CAIRN_GPT_BATCH_H
#define CAIRN_GPT_BATCH_H

#include "gpt/model.h"

typedef struct gpt_seq {
	const int32_t *tokens;
	int32_t n;     /* tokens: at least 2 where they are predicted, 1 where they are scored */
	int32_t first; /* tokens[first..n-1] count in the loss; 1 or more */
	uint64_t unit; /* neighbours of one unit are never parted (K completions of a prompt) */
	uint64_t id;   /* unique per sample drawn in a training run: keys its dropout */
} gpt_seq;

enum gpt_rows_form {
	GPT_ROWS_PREDICT = 0, /* tokens[0..n-2] go in, row t predicts tokens[t+1] */
	GPT_ROWS_SCORE = 1,   /* all tokens go in, the last row is read */
};

/* One micro-batch and its buffers; {0} is valid and empty. */
typedef struct gpt_micro {
	gpt_batch batch;
	int32_t *tokens;       /* [B,T] */
	int32_t *target;       /* [B,T]; -1: does not count */
	cairn_real *x, *y, *z; /* [B,T] each: the caller's, for log-probabilities and the like */
	int32_t *lengths;      /* [B] */
	uint64_t *ids;         /* [B] */
	size_t count;          /* sequences in it: B */
	uint64_t real;         /* positions that are not padding, of B*T */
	size_t cap_rows, cap_seqs;
} gpt_micro;

void gpt_micro_free(gpt_micro *micro);
/* Positions that are worth taking at once where `micro_tokens` may be: no more than the backend
 * says are enough (cairn_kernels.enough_rows; 0: it says nothing). */
int64_t gpt_micro_limit(int64_t micro_tokens, int64_t enough_rows);
/* Packs seqs[from..) up to the limit, whole units, at least one. ENOMEM. */
CAIRN_MUST int gpt_micro_pack(gpt_micro *micro, const gpt_seq *seqs, size_t n, size_t from,
	int64_t micro_tokens, enum gpt_rows_form form, cairn_error *err);
/* Row of the micro-batch that predicts tokens[j] of its b-th sequence. */
size_t gpt_micro_row(const gpt_micro *micro, size_t b, int32_t j);

/* Tokens that count in the loss. */
uint64_t gpt_seqs_counted(const gpt_seq *seqs, size_t n);
/* All tokens. */
uint64_t gpt_seqs_tokens(const gpt_seq *seqs, size_t n);
/* Shortest first, so that neighbours need little padding; equals keep their order by id. */
void gpt_seqs_sort(gpt_seq *seqs, size_t n);

#endif
