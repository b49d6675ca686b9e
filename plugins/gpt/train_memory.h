/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_memory.h - how large the process of a stage will grow, from its networks and batches.
 *
 * Tensors are counted by the functions that carve them (gpt_memory_bytes() and the activations'),
 * so the two cannot disagree; the rest is what was measured of the process around them. What a
 * network of unknown shape keeps of a pass is not known: the estimate is partial then.
 */
#ifndef CAIRN_GPT_TRAIN_MEMORY_H
#define CAIRN_GPT_TRAIN_MEMORY_H

#include "gpt/train_estimate.h"

/* B sequences of T tokens that go through a network at once. */
typedef struct gpt_pass_shape {
	int64_t B, T;
	bool keeps; /* what backward needs */
} gpt_pass_shape;

/* What `micro_tokens` comes to, for up to n sequences of full length. */
gpt_pass_shape gpt_micro_shape(int64_t micro_tokens, double length, double n, bool keeps);
/* Sequences that are sampled at once: `batch` (0: what the sampler takes by itself) of n. */
int64_t gpt_slots(int64_t batch, double n);
/* The largest pass through prompts when `slots` are sampled at once. */
gpt_pass_shape gpt_prefill_shape(int64_t slots, double prompt);

/* A network and the largest of its passes: weights and activations; where it is trained also
 * gradients and Adam's moments, and what of it a checkpoint holds. */
void gpt_memory_network(cairn_estimate *out, const gpt_network *network, bool is_trained,
	const gpt_pass_shape *passes, size_t n);
/* Its weights once more: a moving average, the best so far. In checkpoints too? */
void gpt_memory_copy(cairn_estimate *out, const gpt_network *network, bool is_state);
/* Sampling: keys and values of `slots` sequences of `longest` tokens, packed weights. */
void gpt_memory_cache(
	cairn_estimate *out, const gpt_network *network, int64_t slots, double longest);
/* Tokens are read in place, and stay in memory as long as the stage runs. (Models are not: each
 * tensor is given back when it was copied.) */
void gpt_memory_input(cairn_estimate *out, gpt_estimate_inputs in, const char *port);
/* The process itself, and the scratch of the compute backend for passes of this network. */
void gpt_memory_process(
	cairn_estimate *out, const gpt_network *largest, const gpt_pass_shape *pass);

#endif
