/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_memory.h - how large the process of a stage will grow, from its networks and batches.
 *
 * Tensors are counted by the functions that carve them (gpt_memory_bytes() and the activations'),
 * so the two cannot disagree; the rest is what was measured of the process around them. What a
 * network of unknown shape keeps of a pass is not known: the estimate is partial then.
 *
 * Where what computes has memory of its own, tensors are there (device_bytes), and with the host
 * stay the process, what is read in place, and room for checkpoints on their way.
 */
#ifndef CAIRN_GPT_TRAIN_MEMORY_H
#define CAIRN_GPT_TRAIN_MEMORY_H

#include "gpt/train_workspace.h"

/* What is summed up for an estimate; *out is complete after gpt_memory_process(). */
typedef struct gpt_memory {
	cairn_estimate *out;
	bool on_device;
	gpt_workspace work;
} gpt_memory;

void gpt_memory_begin(gpt_memory *memory, cairn_estimate *out);

/* What `micro_tokens` comes to, for up to n sequences of full length. */
gpt_pass_shape gpt_micro_shape(
	const cairn_estimate *out, int64_t micro_tokens, double length, double n, bool keeps);
/* Sequences that are sampled at once: `batch` (0: what the sampler takes by itself) of n. */
int64_t gpt_slots(int64_t batch, double n);
/* The largest pass through prompts when `slots` are sampled at once. */
gpt_pass_shape gpt_prefill_shape(int64_t slots, double prompt);

/* A network and the largest of its passes: weights and activations; where it is trained also
 * gradients and Adam's moments, and what of it a checkpoint holds. */
void gpt_memory_network(gpt_memory *memory, const gpt_network *network, bool is_trained,
	const gpt_pass_shape *passes, size_t n);
/* Its weights once more: a moving average, the best so far. In checkpoints too? */
void gpt_memory_copy(gpt_memory *memory, const gpt_network *network, bool is_state);
/* The same, with the host wherever the others are. */
void gpt_memory_copy_on_host(gpt_memory *memory, const gpt_network *network);
/* Sampling: keys and values of `slots` sequences of `longest` tokens, packed weights. */
void gpt_memory_cache(
	gpt_memory *memory, const gpt_network *network, int64_t slots, double longest);
/* Tokens are read in place, and stay in memory as long as the stage runs. (Models are not: each
 * tensor is given back when it was copied.) */
void gpt_memory_input(gpt_memory *memory, gpt_estimate_inputs in, const char *port);
/* After all others: the process itself, and the scratch of the compute backend, on a CPU for passes
 * of this network. */
void gpt_memory_process(gpt_memory *memory, const gpt_network *largest, const gpt_pass_shape *pass);

#endif
