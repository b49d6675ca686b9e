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

/* A process with a CUDA context, its libraries and a ring of pinned memory: an estimate, not
 * measured yet. */
#define CUDA_PROCESS_BYTES (600u << 20)

void gpt_memory_begin(gpt_memory *memory, cairn_estimate *out)
{
	const cairn_estimate_compute *compute = &out->compute;

	*memory = (gpt_memory){
		.out = out,
		.on_device = compute->act_bytes > 0 && !compute->in_host_memory,
	};
}

static void add_to_host(gpt_memory *memory, double bytes)
{
	memory->out->memory_bytes += (uint64_t)bytes;
}

/* To where tensors are. */
static void add(gpt_memory *memory, double bytes)
{
	if (memory->on_device)
		memory->out->device_bytes += (uint64_t)bytes;
	else
		add_to_host(memory, bytes);
}

/* Of what is fetched beside training the host has a copy, from which it takes its own. */
static void add_state(gpt_memory *memory, double bytes)
{
	memory->out->checkpoint_bytes += (uint64_t)bytes;
	if (memory->on_device)
		add_to_host(memory, bytes);
}

static int64_t at_least_one(double x)
{
	return x > 1 ? (int64_t)x : 1;
}

gpt_pass_shape gpt_micro_shape(
	const cairn_estimate *out, int64_t micro_tokens, double length, double n, bool keeps)
{
	int64_t enough = out->compute.enough_rows > 0 ? out->compute.enough_rows : CPU_ROWS;
	double B = (double)(gpt_micro_limit(micro_tokens, enough) / at_least_one(length));

	/* A sequence is never cut, a batch may be smaller than a micro-batch. */
	if (n > 0 && B > n)
		B = n;
	return (gpt_pass_shape){at_least_one(B), at_least_one(length), .keeps = keeps};
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
		at_least_one(prompt), .is_prefill = true};
}

static enum gpt__keep kept(const gpt_pass_shape *pass)
{
	if (!pass->keeps)
		return GPT__KEEP_NOTHING;
	return pass->recomputes ? GPT__KEEP_INPUTS : GPT__KEEP_ALL;
}

/* The largest of the passes; they take turns in one block. */
static uint64_t activations(
	const gpt_memory *memory, const gpt_config *config, const gpt_pass_shape *passes, size_t n)
{
	size_t act_bytes =
		memory->on_device ? (size_t)memory->out->compute.act_bytes : sizeof(cairn_real);
	uint64_t most = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t bytes = gpt__activations_bytes(
			config, passes[i].B, passes[i].T, kept(&passes[i]), act_bytes);

		most = bytes > most ? bytes : most;
	}
	return most;
}

void gpt_memory_network(gpt_memory *memory, const gpt_network *network, bool is_trained,
	const gpt_pass_shape *passes, size_t n)
{
	const cairn_estimate_compute *compute = &memory->out->compute;
	const gpt_config *config = &network->config;

	if (is_trained) {
		add(memory, 2.0 * sizeof(cairn_real) * network->n_params); /* Adam's moments */
		add_state(memory, 3.0 * sizeof(cairn_real) * network->n_params);
		gpt_workspace_update(&memory->work, network);
	}
	if (memory->on_device && compute->wants_packed)
		add(memory, gpt_workspace_packed(compute, network));
	if (!network->has_shape) {
		add(memory, (is_trained ? 2.0 : 1.0) * sizeof(cairn_real) * network->n_params);
		memory->out->is_partial = 1;
		return;
	}
	for (size_t i = 0; memory->on_device && i < n; i++)
		gpt_workspace_pass(&memory->work, compute, network, &passes[i]);
	add(memory, (double)(gpt_memory_bytes(config, network->head, 0, 0, is_trained) +
			     activations(memory, config, passes, n)));
}

void gpt_memory_copy(gpt_memory *memory, const gpt_network *network, bool is_state)
{
	add(memory, sizeof(cairn_real) * network->n_params);
	if (is_state)
		add_state(memory, sizeof(cairn_real) * network->n_params);
}

void gpt_memory_copy_on_host(gpt_memory *memory, const gpt_network *network)
{
	add_to_host(memory, sizeof(cairn_real) * network->n_params);
}

/* What model_cache.c keeps beside keys and values, a sequence. */
static double row_bytes(const gpt_config *config, int32_t act_bytes)
{
	return 3 * sizeof(int32_t) + sizeof(uint64_t) + sizeof(cairn_real) +
	       (double)config->n_embd * act_bytes;
}

void gpt_memory_cache(gpt_memory *memory, const gpt_network *network, int64_t slots, double longest)
{
	const cairn_estimate_compute *compute = &memory->out->compute;
	const gpt_config *config = &network->config;
	double numbers = 2.0 * (double)slots * longest * config->n_layer * config->n_embd;

	if (!memory->on_device) {
		add(memory, sizeof(cairn_real) * numbers + (double)gpt_packed_bytes(config));
		return;
	}
	gpt_workspace_decode(&memory->work, compute, network, slots, longest);
	add(memory, compute->act_bytes * numbers +
			    (double)slots * row_bytes(config, compute->act_bytes));
	if (!compute->wants_packed)
		add(memory, gpt_workspace_packed(compute, network));
}

void gpt_memory_input(gpt_memory *memory, gpt_estimate_inputs in, const char *port)
{
	add_to_host(memory, (double)gpt_estimate_bytes(in, port));
}

static double packed(double bytes)
{
	return bytes < PACKED_BYTES ? bytes : PACKED_BYTES;
}

/* On its way from or to the device a tensor is in the host's memory: the largest is an embedding.
 */
static void add_device(gpt_memory *memory, const gpt_network *largest)
{
	const gpt_config *config = &largest->config;

	add(memory, GPT_DEVICE_CONTEXT + GPT_DEVICE_PRODUCTS + gpt_workspace_bytes(&memory->work));
	add_to_host(memory,
		CUDA_PROCESS_BYTES + sizeof(cairn_real) * (double)config->n_vocab * config->n_embd);
}

void gpt_memory_process(gpt_memory *memory, const gpt_network *largest, const gpt_pass_shape *pass)
{
	const gpt_config *config = &largest->config;
	double real = sizeof(cairn_real), rows = (double)(pass->B * pass->T);
	double logits = LOGIT_ROWS * real * ((double)config->n_vocab + 2.0 * config->n_embd);

	add_to_host(memory, PROCESS_BYTES);
	if (memory->on_device) {
		add_device(memory, largest);
		return;
	}
	add(memory, BACKEND_BYTES);
	if (!largest->has_shape)
		return;
	add(memory, packed(real * rows * config->n_inner) +
			    packed(real * config->n_embd * (double)config->n_vocab) +
			    (largest->head == GPT_HEAD_LM ? logits : 0));
}
