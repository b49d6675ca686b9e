/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_packed.c - copies of a model's matrices in the order in which products read them.
 *
 * On a CPU they pay for themselves where a few rows are multiplied by every weight once per token:
 * with weights as they lie more time would go into arranging them than into multiplying. Packing
 * costs as much as two or three tokens of a batch, so only sampling does it. A GPU multiplies in
 * bf16 and wants a rounded copy whatever it does: one serves all passes between two updates, and
 * forward and backward alike.
 *
 * A copy is never older than the weights: these cannot be written to but through
 * gpt_params_change(), and that is remembered.
 */
#include "base/alloc.h"
#include "gpt/model_internal.h"
#include "gpt/model_parts.h"
#include "gpt/sampling.h"

struct gpt_packed {
	cairn_packed **of; // [n_tensors]
	bool is_stale;
};

cairn_real *gpt_params_change(gpt_model *model)
{
	if (model->packed)
		model->packed->is_stale = true;
	return (cairn_real *)(uintptr_t)model->params;
}

/* Packs one matrix, anew where there is a copy already. */
static void pack(gpt_model *model, size_t weight, int64_t K, int64_t N, bool transpose)
{
	const cairn_kernels *k = model->k;
	cairn_packed **packed = &model->packed->of[weight];
	const cairn_real *w = gpt__param(model, weight);
	int64_t ld = transpose ? K : N;

	if (*packed) {
		k->repack(k, *packed, w, ld);
		return;
	}
	*packed = k->pack(k, w, ld, K, N, transpose);
	gpt__parts_forget(model);
}

static void pack_all(gpt_model *model)
{
	static const int matrices[] = {ATTN_WEIGHT, ATTN_PROJ_WEIGHT, FC_WEIGHT, MLP_PROJ_WEIGHT};
	const gpt_config *config = &model->config;

	for (int32_t l = 0; l < config->n_layer; l++)
		for (size_t i = 0; i < CAIRN_COUNT(matrices); i++) {
			size_t weight = gpt__in_layer(l, matrices[i]);
			const uint64_t *dims = model->tensors[weight].dims;

			pack(model, weight, (int64_t)dims[0], (int64_t)dims[1], false);
		}
	if (model->head == GPT_HEAD_LM)
		pack(model, gpt__unembedding(model), config->n_embd, config->n_vocab, true);
}

static gpt_packed *packed_new(const gpt_model *model)
{
	gpt_packed *packed = cairn_alloc(1, sizeof(*packed));

	if (packed)
		packed->of = cairn_alloc(model->n_tensors, sizeof(cairn_packed *));
	if (packed && packed->of) {
		packed->is_stale = true;
		return packed;
	}
	free(packed);
	return NULL;
}

cairn_packed **gpt__packed(gpt_model *model)
{
	if (!model->packed)
		model->packed = packed_new(model);
	if (!model->packed)
		return NULL;
	if (model->packed->is_stale)
		pack_all(model);
	model->packed->is_stale = false;
	return model->packed->of;
}

cairn_packed **gpt__packed_if_wanted(gpt_model *model)
{
	return model->k->wants_packed ? gpt__packed(model) : NULL;
}

const cairn_packed *gpt__packed_of(const gpt_model *model, size_t weight)
{
	if (!model->k->wants_packed || !model->packed || model->packed->is_stale)
		return NULL;
	return model->packed->of[weight];
}

void gpt__packed_free(gpt_model *model)
{
	if (!model->packed)
		return;
	for (size_t i = 0; i < model->n_tensors; i++)
		model->k->pack_free(model->k, model->packed->of[i]);
	free(model->packed->of);
	free(model->packed);
	model->packed = NULL;
}

uint64_t gpt_packed_bytes(const gpt_config *config)
{
	uint64_t C = (uint64_t)config->n_embd, inner = (uint64_t)config->n_inner;
	uint64_t layer = 4 * C * C + 2 * C * inner;

	return ((uint64_t)config->n_layer * layer + C * (uint64_t)config->n_vocab) *
	       sizeof(cairn_real);
}
