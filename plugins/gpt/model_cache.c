/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_cache.c - what sampling needs beside a pass: keys and values.
 *
 * The memory stays with a model in training: getting as much anew for each call took a twentieth
 * of its time where models are small.
 */
#include "base/alloc.h"
#include "gpt/model_internal.h"
#include "gpt/model_parts.h"
#include "gpt/no_memory.h"

static int no_memory(const cairn_kernels *k, size_t bytes, cairn_error *err)
{
	return gpt_no_memory_for(k, "a model's keys and values", bytes,
		"Sample fewer sequences at once ('batch'), or shorter ones ('max_new').", err);
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

static void free_dev(const cairn_kernels *k, void *dev)
{
	if (dev)
		k->free(k, dev);
}

static void free_rows(const cairn_kernels *k, gpt_cache *cache)
{
	free_dev(k, cache->slot);
	free_dev(k, cache->token);
	free_dev(k, cache->last);
	free_dev(k, cache->row_id);
	free_dev(k, cache->h);
	free_dev(k, cache->logprob);
	cache->slot = cache->token = cache->last = NULL;
	cache->row_id = NULL;
	cache->h = NULL;
	cache->logprob = NULL;
	cache->slots = 0;
}

static bool rows_for(gpt_model *model, gpt_cache *cache, int64_t slots)
{
	const cairn_kernels *k = model->k;
	size_t n = (size_t)slots;

	if (slots <= cache->slots)
		return true;
	gpt__parts_forget(model);
	free_rows(k, cache);
	cache->slot = k->alloc(k, n * sizeof(*cache->slot));
	cache->token = k->alloc(k, n * sizeof(*cache->token));
	cache->last = k->alloc(k, n * sizeof(*cache->last));
	cache->row_id = k->alloc(k, n * sizeof(*cache->row_id));
	cache->h = k->alloc(k, n * (size_t)(model->config.n_embd * k->act_bytes));
	cache->logprob = k->alloc(k, n * sizeof(*cache->logprob));
	if (!cache->slot || !cache->token || !cache->last || !cache->row_id || !cache->h ||
		!cache->logprob)
		return false;
	cache->slots = slots;
	return true;
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
		return no_memory(k, bytes, err);
	if (bytes > cache->bytes) {
		gpt__parts_forget(model);
		free_dev(k, cache->dev);
		cache->dev = k->alloc(k, bytes);
		cache->bytes = cache->dev ? bytes : 0;
	}
	if (!cache->dev || !rows_for(model, cache, slots))
		return no_memory(k, bytes, err);
	for (int32_t l = 0; l < config->n_layer; l++)
		cache->layers[l] = (cairn_act *)((uintptr_t)cache->dev + (size_t)l * layer);
	return 0;
}

void gpt__cache_free(gpt_model *model)
{
	gpt_cache *cache = model->cache;

	if (!cache)
		return;
	gpt__parts_forget(model);
	free_rows(model->k, cache);
	free_dev(model->k, cache->dev);
	free(cache->layers);
	free(cache);
	model->cache = NULL;
}
