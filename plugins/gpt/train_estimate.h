/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_estimate.h - the cost of a stage before it runs, from parameters and sizes of inputs.
 *
 * FLOPs are counted as the paper's table counts them (METHOD 1.9): 2 per parameter and token
 * forward, 4 backward, over sequences of full length. It is an upper bound: what a stage
 * spends is metered.
 */
#ifndef CAIRN_GPT_TRAIN_ESTIMATE_H
#define CAIRN_GPT_TRAIN_ESTIMATE_H

#include "cairn/stage.h"

/* A number of the metadata of what is bound to `port`, added up over several artifacts; or
 * `fallback` where it is not known. */
double gpt_estimate_number(const cairn_estimate_input *inputs, uint64_t n_inputs, const char *port,
	const char *key, double fallback);
/* Tokens of a full sequence: max_prompt + max_response where both are set, else the model's
 * context, else 2048 (the paper's). */
double gpt_estimate_length(const cairn_estimate_input *inputs, uint64_t n_inputs,
	const char *model_port, int64_t max_prompt, int64_t max_response);
/* Bytes of a model that is trained (weights, gradients, two moments) or only used. */
uint64_t gpt_estimate_bytes(double n_params, int trained);

#endif
