/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_cache.c - what sampling needs beside a pass: keys and values.
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

void gpt__cache_free(gpt_model *model)
{
	const cairn_kernels *k = model->k;
	gpt_cache *cache = model->cache;

	if (!cache)
		return;
	if (cache->dev)
		k->free(k, cache->dev);
	free(cache->layers);
	free(cache);
	model->cache = NULL;
}
