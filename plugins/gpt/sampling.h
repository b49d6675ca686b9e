/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sampling.h - completions from a language model with a KV cache.
 *
 * Finished sequences leave the batch. The random number of a token is keyed by
 * (key, sample id, position), so a completion depends on its prompt and its sample id only,
 * not on the batch it was drawn in.
 */
#ifndef CAIRN_GPT_SAMPLING_H
#define CAIRN_GPT_SAMPLING_H

#include "gpt/model.h"

/* Rows of one pass through prompts, at most: bounds its memory; a prompt is never cut. */
#define GPT_PREFILL_ROWS 1024

struct gpt_sequence;

typedef struct gpt_sampling {
	double temperature; /* 1 for rollouts (METHOD 1.6); 0: greedy, logprobs as at 1 */
	int32_t top_k;      /* 0: all; generation only */
	double top_p;       /* 1: all; generation only */
	int32_t max_new;    /* tokens, the end token included */
	int32_t end_token;  /* drawn: the sequence ends with it. -1: none */
	uint64_t key;
	int64_t batch; /* sequences at once; 0: chosen */
	/* Looks at each token as it is drawn, the newest of `sequence`; may be NULL. Not 0: nothing
	 * more is drawn and gpt_sample() returns 0. */
	int (*drawn)(void *self, const struct gpt_sequence *sequence);
	void *self;
} gpt_sampling;

typedef struct gpt_sequence {
	const int32_t *prompt; /* host */
	int32_t n_prompt;      /* 1..n_ctx-1 */
	uint64_t sample_id;    /* unique under a key; below 2^48 */
	/* filled: */
	int32_t *tokens;      /* caller's, room for max_new */
	cairn_real *logprobs; /* caller's, room for max_new; or NULL. At `temperature`. */
	int32_t n_tokens;     /* drawn, the end token included */
	bool ended;           /* by the end token, not by max_new or n_ctx */
} gpt_sequence;

/* Bytes of the copies of the weights that gpt_sample() makes for more than a few sequences. */
uint64_t gpt_packed_bytes(const gpt_config *config);
/* The hidden states of an earlier gpt_forward() are gone after this. */
CAIRN_MUST int gpt_sample(gpt_model *model, gpt_sequence *sequences, int64_t n,
	const gpt_sampling *options, cairn_error *err);

#endif
