/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_generate.h - completions for a list of prompts, in batches with a step() each, so that
 * a long sampling run can be stopped and resumed.
 *
 * Completion i of n belongs to prompt i / K. Its sample id is first_id + i: what is drawn does
 * not depend on the batch it is in, nor on where a run was interrupted.
 */
#ifndef CAIRN_GPT_TRAIN_GENERATE_H
#define CAIRN_GPT_TRAIN_GENERATE_H

#include "gpt/sampling.h"
#include "gpt/tokenizer.h"
#include "gpt/train_run.h"

typedef struct gpt_completions {
	const char *name; /* prefix of its entries in a checkpoint */
	const gpt_seq *prompt;
	size_t n_prompts;
	int32_t K, max_new;
	size_t n; /* n_prompts * K */
	uint64_t first_id;
	size_t done;          /* the first `done` are drawn */
	int32_t *tokens;      /* [n,max_new] */
	int32_t *n_tokens;    /* [n], the end token included */
	uint8_t *ended;       /* [n]: by the end token */
	cairn_real *logprobs; /* [n,max_new] as drawn: the caller's, or NULL; not in checkpoints */
} gpt_completions;

/* For K completions of each of the prompts, which are borrowed. Free also after failure. */
CAIRN_MUST int gpt_completions_init(gpt_completions *out, const gpt_work *work, const char *name,
	const gpt_seq *prompts, size_t n_prompts, int32_t K, int32_t max_new);
void gpt_completions_free(gpt_completions *completions);

/* Draws the next `batch` completions; booked as rollout. */
CAIRN_MUST int gpt_completions_draw(gpt_completions *completions, gpt_work *work, gpt_model *model,
	const gpt_sampling *options, size_t batch);
/* Tokens drawn so far, and how many of the finished completions ended by themselves. */
uint64_t gpt_completions_tokens(const gpt_completions *completions);
uint64_t gpt_completions_ended(const gpt_completions *completions);

/* Text of one completion without its end token; caller frees. */
CAIRN_MUST int gpt_completions_text(const gpt_completions *completions, const gpt_work *work,
	const gpt_tokenizer *tokenizer, size_t i, char **text);
/* Prompts and completions as sequences to score: unit is the prompt, id the completion. Tokens
 * are in *store; the caller frees both arrays. */
CAIRN_MUST int gpt_completions_seqs(
	const gpt_completions *completions, const gpt_work *work, gpt_seq **seqs, int32_t **store);

/* The finished part in a checkpoint. */
CAIRN_MUST int gpt_completions_put(const gpt_completions *completions, gpt_save *save);
CAIRN_MUST int gpt_completions_get(
	gpt_completions *completions, const gpt_work *work, const cairn_artifact *checkpoint);

#endif
