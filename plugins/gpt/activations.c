/* SPDX-License-Identifier: Apache-2.0 */
/*
 * activations.c - the memory of a pass, carved out of one block.
 *
 * The same function measures and carves, so the two cannot disagree. The block grows to the
 * largest shape that was asked for and is never given back before the model: after the first
 * steps of a training run nothing is allocated any more.
 */
#include <string.h>

#include "base/alloc.h"
#include "gpt/model_internal.h"
#include "gpt/model_parts.h"
#include "gpt/no_memory.h"

/* A block being cut into pieces; without a base it only measures. */
typedef struct cut {
	char *base;
	size_t used;
	size_t act_bytes;
} cut;

static void *take(cut *block, int64_t n, size_t size)
{
	size_t bytes = ((size_t)n * size + 63) & ~(size_t)63;
	char *piece = block->base ? block->base + block->used : NULL;

	block->used += bytes;
	return piece;
}

static cairn_real *take_real(cut *block, int64_t n)
{
	return take(block, n, sizeof(cairn_real));
}

static cairn_act *take_act(cut *block, int64_t n)
{
	return take(block, n, block->act_bytes);
}

static int64_t wide_columns(const gpt_config *config)
{
	int64_t qkv = 3 * (int64_t)config->n_embd;

	return qkv > config->n_inner ? qkv : config->n_inner;
}

/* A layer with everything that backward needs, but for its input. */
static void cut_kept_layer(cut *block, gpt__layer *layer, const gpt_config *config, int64_t R)
{
	int64_t RC = R * config->n_embd;

	layer->ln_1 = take_act(block, RC);
	layer->ln_1_mean = take_real(block, R);
	layer->ln_1_rstd = take_real(block, R);
	layer->qkv = take_act(block, 3 * RC);
	layer->att = take_act(block, RC);
	layer->lse = take_real(block, R * config->n_head);
	layer->res_mid = take_act(block, RC);
	layer->ln_2 = take_act(block, RC);
	layer->ln_2_mean = take_real(block, R);
	layer->ln_2_rstd = take_real(block, R);
	layer->fc = take_act(block, R * config->n_inner);
	layer->fc_gelu = take_act(block, R * config->n_inner);
}

/* The one layer of a forward-only pass; `wide` serves qkv first, then the MLP. */
static void cut_shared_layer(
	cut *block, gpt__layer *layer, const gpt_config *config, int64_t R, cairn_act *wide)
{
	int64_t RC = R * config->n_embd;

	layer->res_in = layer->res_mid = take_act(block, RC);
	layer->ln_1 = layer->ln_2 = take_act(block, RC);
	layer->ln_1_mean = layer->ln_2_mean = take_real(block, R);
	layer->ln_1_rstd = layer->ln_2_rstd = take_real(block, R);
	layer->att = take_act(block, RC);
	layer->lse = take_real(block, R * config->n_head);
	layer->qkv = layer->fc_gelu = wide;
	layer->fc = NULL;
}

static void cut_rows(cut *block, gpt_activations *acts, int64_t B, int64_t R)
{
	acts->token = take(block, R, sizeof(int32_t));
	acts->position = take(block, R, sizeof(int32_t));
	acts->target = take(block, R, sizeof(int32_t));
	acts->length = take(block, B, sizeof(int32_t));
	acts->row_id = take(block, R, sizeof(uint64_t));
	acts->logprob = take_real(block, R);
	acts->entropy = take_real(block, R);
	acts->weight = take_real(block, R);
	acts->best = take_real(block, R);
}

/* All layers; where it is only measured, layers has one entry. */
static void cut_kept_layers(
	cut *block, gpt__layer *layers, const gpt_config *config, int64_t R, enum gpt__keep keep)
{
	gpt__layer shared = {0};

	if (keep == GPT__KEEP_INPUTS)
		cut_kept_layer(block, &shared, config, R);
	for (int32_t l = 0; l < config->n_layer; l++) {
		gpt__layer *layer = &layers[block->base ? l : 0];

		*layer = shared;
		if (keep == GPT__KEEP_ALL)
			cut_kept_layer(block, layer, config, R);
		layer->res_in = take_act(block, R * config->n_embd);
	}
}

/* Cuts dev memory of a pass; returns the bytes. layers has n_layer entries, or 1 to measure. */
static size_t cut_dev(void *base, gpt_activations *acts, const gpt_config *config, int64_t B,
	int64_t T, enum gpt__keep keep, size_t act_bytes)
{
	cut block = {.base = base, .act_bytes = act_bytes};
	int64_t R = B * T, RC = R * config->n_embd;

	cut_rows(&block, acts, B, R);
	acts->wide = take_act(&block, R * wide_columns(config));
	acts->branch = take_act(&block, RC);
	acts->ln_f_mean = take_real(&block, R);
	acts->ln_f_rstd = take_real(&block, R);
	if (keep == GPT__KEEP_NOTHING) {
		cut_shared_layer(&block, &acts->layers[0], config, R, acts->wide);
		for (int32_t l = 1; base && l < config->n_layer; l++)
			acts->layers[l] = acts->layers[0];
		acts->res_final = acts->layers[0].res_in;
		acts->h = acts->layers[0].ln_1;
		acts->dres = acts->dnarrow = NULL;
		return block.used;
	}
	acts->res_final = take_act(&block, RC);
	acts->h = take_act(&block, RC);
	acts->dres = take_act(&block, RC);
	acts->dnarrow = take_act(&block, RC);
	cut_kept_layers(&block, acts->layers, config, R, keep);
	return block.used;
}

static size_t cut_host(void *base, gpt_activations *acts, int64_t B, int64_t R)
{
	cut block = {.base = base};

	acts->host_token = take(&block, R, sizeof(int32_t));
	acts->host_a = take(&block, R, sizeof(int32_t));
	acts->host_b = take(&block, R, sizeof(int32_t));
	acts->host_length = take(&block, B, sizeof(int32_t));
	acts->host_row_id = take(&block, R, sizeof(uint64_t));
	acts->host_real = take_real(&block, R);
	return block.used;
}

uint64_t gpt__activations_bytes(
	const gpt_config *config, int64_t B, int64_t T, enum gpt__keep keep, size_t act_bytes)
{
	gpt__layer layer;
	gpt_activations acts = {.layers = &layer};

	return cut_dev(NULL, &acts, config, B, T, keep, act_bytes);
}

int gpt__activations_new(gpt_activations **out, const gpt_config *config, cairn_error *err)
{
	gpt_activations *acts = cairn_alloc(1, sizeof(*acts));

	if (acts)
		acts->layers = cairn_alloc((size_t)config->n_layer, sizeof(*acts->layers));
	if (!acts || !acts->layers) {
		free(acts);
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for a model's activations");
	}
	*out = acts;
	return 0;
}

void gpt__activations_free(const gpt_model *model, gpt_activations *acts)
{
	if (!acts)
		return;
	if (acts->dev)
		model->k->free(model->k, acts->dev);
	free(acts->host);
	free(acts->layers);
	free(acts);
}

/* The old block goes first: its contents are dead, and two at once need not fit. */
static int grow(gpt_model *model, size_t dev_bytes, size_t host_bytes, cairn_error *err)
{
	const cairn_kernels *k = model->k;
	gpt_activations *acts = model->acts;

	if (dev_bytes > acts->dev_bytes) {
		gpt__parts_forget(model);
		if (acts->dev)
			k->free(k, acts->dev);
		acts->dev = k->alloc(k, dev_bytes);
		acts->dev_bytes = acts->dev ? dev_bytes : 0;
	}
	if (host_bytes > acts->host_bytes) {
		free(acts->host);
		acts->host = cairn_alloc(host_bytes, 1);
		acts->host_bytes = acts->host ? host_bytes : 0;
	}
	if (acts->dev && acts->host)
		return 0;
	return gpt_no_memory_for(k, "a model's activations", dev_bytes,
		"Lower 'micro_tokens', set 'recompute = yes' where it trains, or make the sequences "
		"shorter.",
		err);
}

int gpt__activations_prepare(
	gpt_model *model, int64_t B, int64_t T, enum gpt__keep keep, cairn_error *err)
{
	gpt_activations *acts = model->acts;
	gpt_activations host = {0};
	size_t act_bytes = (size_t)model->k->act_bytes;
	int rc;

	acts->ready = acts->padded = false;
	acts->kept = GPT__KEEP_NOTHING;
	acts->dropout = 0;
	rc = grow(model, gpt__activations_bytes(&model->config, B, T, keep, act_bytes),
		cut_host(NULL, &host, B, B * T), err);
	if (rc)
		return rc;
	(void)cut_dev(acts->dev, acts, &model->config, B, T, keep, act_bytes);
	(void)cut_host(acts->host, acts, B, B * T);
	acts->B = B;
	acts->T = T;
	acts->R = B * T;
	return 0;
}
