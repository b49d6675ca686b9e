/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_estimate.h - the cost of a stage before it runs, from parameters and metadata.
 *
 * FLOPs are counted as the paper's table counts them (METHOD 1.9): 2 per parameter and token
 * forward, 4 backward. Sequences are as long as the data say; where that is not known they are of
 * full length, as in the paper's own numbers. What a stage spends is metered.
 *
 * Metadata are those that the stages write (checkpoint.h, rows.h), or that estimates and
 * `planned:` sources promise: of a model n_params, or its shape (n_layer, n_embd, ...); of rows
 * "rows", "completions", and the bytes of their texts, all together and of the longest; of text
 * "train_tokens", "valid_tokens".
 */
#ifndef CAIRN_GPT_TRAIN_ESTIMATE_H
#define CAIRN_GPT_TRAIN_ESTIMATE_H

#include <stdbool.h>

#include "cairn/stage.h"
#include "gpt/model.h"

/* What is bound to the ports of a stage. */
typedef struct gpt_estimate_inputs {
	const cairn_estimate_input *of;
	uint64_t n;
} gpt_estimate_inputs;

/* Empties *out, but for what is known of who will compute. */
gpt_estimate_inputs gpt_estimate_begin(
	const cairn_estimate_input *inputs, uint64_t n_inputs, cairn_estimate *out);
/* Is anything bound to `port`? */
bool gpt_estimate_bound(gpt_estimate_inputs in, const char *port);
/* A number of the metadata of what is bound to `port`, added up over several artifacts; or
 * `fallback` where it is not known. */
double gpt_estimate_number(
	gpt_estimate_inputs in, const char *port, const char *key, double fallback);
/* Rows bound to `port`. Where they are not known: 0, and the estimate is partial. */
double gpt_estimate_rows(gpt_estimate_inputs in, const char *port, cairn_estimate *out);
uint64_t gpt_estimate_bytes(gpt_estimate_inputs in, const char *port);

/* A network as far as metadata tell. */
typedef struct gpt_network {
	gpt_config config;
	enum gpt_head head;
	double n_params; /* 0: not known */
	bool has_shape;  /* config is known; needed for activations */
} gpt_network;

/* The model on `port`. Where its size is not known the estimate is partial. */
gpt_network gpt_estimate_network(
	gpt_estimate_inputs in, const char *port, enum gpt_head head, cairn_estimate *out);
/* One of this shape; the same body under another head. */
gpt_network gpt_network_of(const gpt_config *config, enum gpt_head head);
gpt_network gpt_network_with(const gpt_network *network, enum gpt_head head);

/* Tokens of a full sequence: max_prompt + max_response where both are set, else the context (the
 * paper's 2048 where it is not known). */
double gpt_estimate_length(const gpt_network *network, int64_t max_prompt, int64_t max_response);

/* Tokens of the sequences of a stage: on average, and of the longest; of these the longest prompt,
 * where responses are drawn. */
typedef struct gpt_token_lengths {
	double mean, longest, prompt;
} gpt_token_lengths;

/* Prompt and completion of what is bound to `port`, about, within the limits of
 * gpt_estimate_length(). */
gpt_token_lengths gpt_estimate_lengths(gpt_estimate_inputs in, const char *port,
	const gpt_network *network, int64_t max_prompt, int64_t max_response);
/* Prompts of what is bound to `port`, with max_new tokens to come (0: the rest of the context). */
gpt_token_lengths gpt_estimate_drawn(gpt_estimate_inputs in, const char *port,
	const gpt_network *network, int64_t max_prompt, int64_t max_new);

/* Books FLOPs. */
void gpt_estimate_add(cairn_estimate *out, enum cairn_account account, double flop);
/* 2 FLOP per parameter and token forward, under this account; or 2 forward and 4 backward. */
void gpt_estimate_forward(
	cairn_estimate *out, enum cairn_account account, const gpt_network *network, double tokens);
void gpt_estimate_training(cairn_estimate *out, const gpt_network *network, double tokens);
/* FLOP a token that a backward pass spends on computing again what a forward pass did not keep. */
double gpt_estimate_again(const gpt_network *network);

/* What the metadata of an output will be; adds output_bytes. */
void gpt_estimate_makes_model(cairn_estimate *out, const char *port, const gpt_network *network);
/* completions 0: one a row. Rows 0: not known, nothing is said. */
void gpt_estimate_makes_rows(
	cairn_estimate *out, const char *port, double rows, double completions);
/* `members`: "\"n_vocab\":1024". */
void gpt_estimate_makes(cairn_estimate *out, const char *port, const char *members);

#endif
