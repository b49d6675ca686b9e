/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_packed.c - copies of the weights in the order in which products read them.
 *
 * Drawing completions multiplies a few rows by every weight once per token: without such copies
 * more time would go into arranging weights than into multiplying. They are made when gpt_sample()
 * begins and dropped when it ends, so they cannot be older than the weights; an update and the
 * drawing that follows it pay for them once.
 *
 * They save time only: where there is no memory for one, the weight itself is read, with the same
 * bits.
 */
#include "base/alloc.h"
#include "gpt/model_internal.h"
#include "gpt/sampling.h"

static void pack_layer(const gpt_model *model, cairn_packed **packed, int32_t l)
{
	static const int matrices[] = {ATTN_WEIGHT, ATTN_PROJ_WEIGHT, FC_WEIGHT, MLP_PROJ_WEIGHT};

	for (size_t i = 0; i < CAIRN_COUNT(matrices); i++) {
		size_t weight = gpt__in_layer(l, matrices[i]);
		const uint64_t *dims = model->tensors[weight].dims;

		packed[weight] = model->k->pack(model->k, gpt__param(model, weight),
			(int64_t)dims[1], (int64_t)dims[0], (int64_t)dims[1], false);
	}
}

cairn_packed **gpt__packed_new(const gpt_model *model)
{
	cairn_packed **packed = cairn_alloc(model->n_tensors, sizeof(cairn_packed *));
	size_t head = gpt__unembedding(model);
	int64_t C = model->config.n_embd;

	if (!packed)
		return NULL;
	for (int32_t l = 0; l < model->config.n_layer; l++)
		pack_layer(model, packed, l);
	packed[head] = model->k->pack(
		model->k, gpt__param(model, head), C, C, model->config.n_vocab, true);
	return packed;
}

uint64_t gpt_packed_bytes(const gpt_config *config)
{
	uint64_t C = (uint64_t)config->n_embd, inner = (uint64_t)config->n_inner;
	uint64_t layer = 4 * C * C + 2 * C * inner;

	return ((uint64_t)config->n_layer * layer + C * (uint64_t)config->n_vocab) *
	       sizeof(cairn_real);
}

void gpt__packed_free(const gpt_model *model, cairn_packed **packed)
{
	if (!packed)
		return;
	for (size_t i = 0; i < model->n_tensors; i++)
		model->k->pack_free(model->k, packed[i]);
	free(packed);
}
