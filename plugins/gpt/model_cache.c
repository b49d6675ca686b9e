/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_cache.c - what sampling needs beside a pass: keys and values, and packed weights.
 *
 * Drawing completions multiplies a few rows by every weight once per token: with weights as they
 * lie more time would go into arranging them than into multiplying. So each call of gpt_sample()
 * packs them first. A call follows an update, so they are packed once for it; and as none relies on
 * what an earlier call packed, a copy is never older than the weights. Packing costs as much as two
 * or three tokens of a batch.
 *
 * The memory stays with a model in training: getting as much anew for each call took a twentieth
 * of its time where models are small.
 */
#include "base/alloc.h"
#include "gpt/model_internal.h"
#include "gpt/sampling.h"

static int no_memory(cairn_error *err)
{
	(void)cairn_error_set(err, CAIRN_ENOMEM, "no memory for a model's keys and values");
	cairn_error_hint(err, "Sample fewer sequences at once, or shorter ones.");
	return CAIRN_ENOMEM;
}

static gpt_cache *cache_new(const gpt_config *config)
{
	gpt_cache *cache = cairn_alloc(1, sizeof(*cache));

	if (cache)
		cache->layers = cairn_alloc((size_t)config->n_layer, sizeof(*cache->layers));
	if (cache && cache->layers)
		return cache;
	free(cache);
	return NULL;
}

int gpt__cache_prepare(gpt_model *model, int64_t slots, int64_t T_max, cairn_error *err)
{
	const cairn_kernels *k = model->k;
	const gpt_config *config = &model->config;
	size_t layer =
		k->cache_bytes(k, slots, config->n_head, config->n_embd / config->n_head, T_max);
	size_t bytes;
	gpt_cache *cache;

	layer = (layer + 63) / 64 * 64;
	bytes = layer * (size_t)config->n_layer;
	if (!model->cache)
		model->cache = cache_new(config);
	cache = model->cache;
	if (!cache)
		return no_memory(err);
	if (bytes > cache->bytes) {
		if (cache->dev)
			k->free(k, cache->dev);
		cache->dev = k->alloc(k, bytes);
		cache->bytes = cache->dev ? bytes : 0;
	}
	if (!cache->dev)
		return no_memory(err);
	for (int32_t l = 0; l < config->n_layer; l++)
		cache->layers[l] = (cairn_act *)((uintptr_t)cache->dev + (size_t)l * layer);
	return 0;
}

/* Packs one matrix, anew where there is a copy already. */
static void pack(const gpt_model *model, size_t weight, int64_t K, int64_t N, bool transpose)
{
	const cairn_kernels *k = model->k;
	cairn_packed **packed = &model->cache->packed[weight];
	const cairn_real *w = gpt__param(model, weight);
	int64_t ld = transpose ? K : N;

	if (*packed)
		k->repack(k, *packed, w, ld);
	else
		*packed = k->pack(k, w, ld, K, N, transpose);
}

void gpt__cache_pack(gpt_model *model)
{
	static const int matrices[] = {ATTN_WEIGHT, ATTN_PROJ_WEIGHT, FC_WEIGHT, MLP_PROJ_WEIGHT};
	const gpt_config *config = &model->config;
	gpt_cache *cache = model->cache;

	if (!cache->packed)
		cache->packed = cairn_alloc(model->n_tensors, sizeof(cairn_packed *));
	if (!cache->packed)
		return;
	for (int32_t l = 0; l < config->n_layer; l++)
		for (size_t i = 0; i < CAIRN_COUNT(matrices); i++) {
			size_t weight = gpt__in_layer(l, matrices[i]);
			const uint64_t *dims = model->tensors[weight].dims;

			pack(model, weight, (int64_t)dims[0], (int64_t)dims[1], false);
		}
	pack(model, gpt__unembedding(model), config->n_embd, config->n_vocab, true);
}

uint64_t gpt_packed_bytes(const gpt_config *config)
{
	uint64_t C = (uint64_t)config->n_embd, inner = (uint64_t)config->n_inner;
	uint64_t layer = 4 * C * C + 2 * C * inner;

	return ((uint64_t)config->n_layer * layer + C * (uint64_t)config->n_vocab) *
	       sizeof(cairn_real);
}

void gpt__cache_free(gpt_model *model)
{
	const cairn_kernels *k = model->k;
	gpt_cache *cache = model->cache;

	if (!cache)
		return;
	for (size_t i = 0; cache->packed && i < model->n_tensors; i++)
		k->pack_free(k, cache->packed[i]);
	if (cache->dev)
		k->free(k, cache->dev);
	free(cache->packed);
	free(cache->layers);
	free(cache);
	model->cache = NULL;
}
