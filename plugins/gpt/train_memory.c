/* SPDX-License-Identifier: Apache-2.0 */
/* train_memory.c - see train_memory.h. */
#include "gpt/train_memory.h"

#include "gpt/batch.h"
#include "gpt/model_internal.h"
#include "gpt/sampling.h"

/* What a stage's process needs before its first tensor: measured of stages without any. */
#define PROCESS_BYTES (10u << 20)
/* ... and the backend's threads, each with scratch of its own, before theirs. */
#define BACKEND_BYTES (4u << 20)
/* The backend packs operands of products in pieces of at most this size, one of each operand. */
#define PACKED_BYTES (16u << 20)
/* Rows of logits that exist at a time. */
#define LOGIT_ROWS 256
/* Sequences that the sampler takes at once where nobody says. */
#define DEFAULT_SLOTS 64.0
/* cairn_kernels.enough_rows of CPUs. */
#define CPU_ROWS 1024

static void add(cairn_estimate *out, double bytes)
{
	out->memory_bytes += (uint64_t)bytes;
}

static void add_state(cairn_estimate *out, double bytes)
{
	out->checkpoint_bytes += (uint64_t)bytes;
}

static int64_t at_least_one(double x)
{
	return x > 1 ? (int64_t)x : 1;
}

gpt_pass_shape gpt_micro_shape(int64_t micro_tokens, double length, double n, bool keeps)
{
	double B = (double)(gpt_micro_limit(micro_tokens, CPU_ROWS) / at_least_one(length));

	/* A sequence is never cut, a batch may be smaller than a micro-batch. */
	if (n > 0 && B > n)
		B = n;
	return (gpt_pass_shape){at_least_one(B), at_least_one(length), keeps};
}

int64_t gpt_slots(int64_t batch, double n)
{
	double slots = batch > 0 ? (double)batch : DEFAULT_SLOTS;

	return at_least_one(n > 0 && n < slots ? n : slots);
}

gpt_pass_shape gpt_prefill_shape(int64_t slots, double prompt)
{
	double most = GPT_PREFILL_ROWS / (double)at_least_one(prompt);

	return (gpt_pass_shape){at_least_one((double)slots < most ? (double)slots : most),
		at_least_one(prompt), false};
}

void gpt_memory_network(cairn_estimate *out, const gpt_network *network, bool is_trained,
	const gpt_pass_shape *passes, size_t n)
{
	const gpt_config *config = &network->config;
	uint64_t activations = 0;

	if (is_trained) {
		add(out, 2.0 * sizeof(cairn_real) * network->n_params); /* Adam's moments */
		add_state(out, 3.0 * sizeof(cairn_real) * network->n_params);
	}
	if (!network->has_shape) {
		add(out, (is_trained ? 2.0 : 1.0) * sizeof(cairn_real) * network->n_params);
		out->is_partial = 1;
		return;
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t bytes = gpt__activations_bytes(
			config, passes[i].B, passes[i].T, passes[i].keeps, sizeof(cairn_real));

		activations = bytes > activations ? bytes : activations;
	}
	add(out, (double)(gpt_memory_bytes(config, network->head, 0, 0, is_trained) + activations));
}

void gpt_memory_copy(cairn_estimate *out, const gpt_network *network, bool is_state)
{
	add(out, sizeof(cairn_real) * network->n_params);
	if (is_state)
		add_state(out, sizeof(cairn_real) * network->n_params);
}

void gpt_memory_cache(
	cairn_estimate *out, const gpt_network *network, int64_t slots, double longest)
{
	const gpt_config *config = &network->config;

	add(out, 2.0 * sizeof(cairn_real) * (double)slots * longest * config->n_layer *
			 config->n_embd);
	add(out, (double)gpt_packed_bytes(config));
}

void gpt_memory_input(cairn_estimate *out, gpt_estimate_inputs in, const char *port)
{
	add(out, (double)gpt_estimate_bytes(in, port));
}

static double packed(double bytes)
{
	return bytes < PACKED_BYTES ? bytes : PACKED_BYTES;
}

void gpt_memory_process(cairn_estimate *out, const gpt_network *largest, const gpt_pass_shape *pass)
{
	const gpt_config *config = &largest->config;
	double real = sizeof(cairn_real), rows = (double)(pass->B * pass->T);
	double logits = LOGIT_ROWS * real * ((double)config->n_vocab + 2.0 * config->n_embd);

	add(out, PROCESS_BYTES + BACKEND_BYTES);
	if (!largest->has_shape)
		return;
	add(out, packed(real * rows * config->n_inner) +
			 packed(real * config->n_embd * (double)config->n_vocab) +
			 (largest->head == GPT_HEAD_LM ? logits : 0));
}
