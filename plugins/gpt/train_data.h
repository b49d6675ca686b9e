/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_data.h - datasets as token sequences: windows of text, tokenised rows, data order.
 *
 * A row becomes prompt tokens, completion tokens and the end token; the two texts are encoded
 * apart, so that the border is where it will be when the completion is drawn. An empty prompt
 * becomes one end token, because a network needs something to start from. The paper's limits
 * (P app. C: prompts of more than 1k tokens are filtered, responses have at most 1k) are
 * max_prompt and max_response: longer prompts drop the row, longer completions are cut and
 * lose their end token. What was dropped and cut is counted and logged.
 */
#ifndef CAIRN_GPT_TRAIN_DATA_H
#define CAIRN_GPT_TRAIN_DATA_H

#include "gpt/rows.h"
#include "gpt/tokenizer.h"
#include "gpt/train_run.h"

/* ---- text ---------------------------------------------------------------------------- */

/* A dataset/text; the host's memory. */
typedef struct gpt_text {
	const int32_t *train, *valid;
	uint64_t n_train, n_valid;
} gpt_text;

/* EINPUT where a token is outside 0..n_vocab-1 or "train" has no window of `length`. */
CAIRN_MUST int gpt_text_open(
	gpt_text *out, const gpt_work *work, const char *port, int32_t n_vocab, int32_t length);
/* The window of `length` predicted tokens at a random place: draw (step, index). */
gpt_seq gpt_text_window(
	const gpt_text *text, uint64_t key, uint64_t step, uint64_t index, int32_t length);
/* Windows side by side over the first max_tokens of "valid". Caller frees *out. */
CAIRN_MUST int gpt_text_valid(gpt_seq **out, size_t *n, const gpt_text *text, const gpt_work *work,
	int32_t length, uint64_t max_tokens);

/* ---- rows ---------------------------------------------------------------------------- */

typedef struct gpt_limits {
	int32_t max_prompt;   /* tokens */
	int32_t max_response; /* tokens, the end token included */
	int32_t n_ctx;        /* of the smallest network that reads the sequence */
	bool loss_on_all;     /* the prompt counts, too */
} gpt_limits;

/* 0 parameters become half of the context, and the rest of it. EPARAM where they do not fit. */
CAIRN_MUST int gpt_limits_set(gpt_limits *out, const gpt_work *work, int64_t max_prompt,
	int64_t max_response, int32_t n_ctx);

/* Sequences made of rows. seqs[i] is of row[i]; its unit is the row's place among those kept. */
typedef struct gpt_examples {
	gpt_seq *seqs;
	size_t *row;
	size_t n, cap;
	int32_t *ids; /* all tokens */
	size_t n_ids, cap_ids;
	size_t n_units;
	uint64_t n_dropped; /* rows whose prompt is too long */
	uint64_t n_cut;     /* completions that were cut */
} gpt_examples;

enum gpt_example_form {
	GPT_EXAMPLE_PROMPT = 0,     /* the prompt alone; first = n */
	GPT_EXAMPLE_DEMO = 1,       /* prompt, completion, end */
	GPT_EXAMPLE_CANDIDATES = 2, /* one sequence per completion, one unit per row */
};

/* Makes sequences of all rows; `what` names them in the log. Free with gpt_examples_free, also
 * after failure. */
CAIRN_MUST int gpt_examples_make(gpt_examples *out, const gpt_work *work, const gpt_rows *rows,
	const gpt_tokenizer *tokenizer, const gpt_limits *limits, enum gpt_example_form form,
	const char *what);
void gpt_examples_free(gpt_examples *examples);

/* Models that read each other's tokens need one vocabulary: EINPUT where that of the model on
 * `port` is not `tokenizer`'s, byte for byte. */
CAIRN_MUST int gpt_same_tokenizer(
	const gpt_work *work, const gpt_tokenizer *tokenizer, const char *port);

/* ---- order --------------------------------------------------------------------------- */

/* Place i of an endless run through n things, each epoch in an order of its own. */
typedef struct gpt_order {
	uint64_t key, n;
	uint64_t epoch; /* whose order is in `index` */
	uint64_t *index;
} gpt_order;

CAIRN_MUST int gpt_order_init(gpt_order *out, const gpt_work *work, uint64_t key, uint64_t n);
uint64_t gpt_order_at(gpt_order *order, uint64_t i);
void gpt_order_free(gpt_order *order);

#endif
