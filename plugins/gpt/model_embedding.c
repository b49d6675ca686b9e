/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_embedding.c - the gradient of the embeddings.
 *
 * A tied wte gets two gradients: the head's, a sum over sequences, and the embedding's, a sum over
 * sequences too, known only after the whole backward pass. Added to one tensor as they come, they
 * would take turns batch by batch, and the last bits would tell how a step was split. So the
 * embedding's share is summed up apart and joins at the end of the step, in gpt_finish_grads().
 *
 * A step meets few of the tokens there are. Each gets a row when it is first met: clearing and
 * joining cost what was met, not the vocabulary.
 */
#include "base/alloc.h"
#include "gpt/model_internal.h"
#include "gpt/no_memory.h"

int gpt__tied_new(gpt_model *model, cairn_error *err)
{
	const cairn_kernels *k = model->k;
	size_t V = (size_t)model->config.n_vocab;
	gpt_tied *tied = cairn_alloc(1, sizeof(*tied));

	model->tied = tied;
	if (tied) {
		tied->rows = k->alloc(k, V * (size_t)model->config.n_embd * sizeof(*tied->rows));
		tied->token = k->alloc(k, V * sizeof(*tied->token));
		tied->met = cairn_alloc(V, sizeof(*tied->met));
		tied->row_of = cairn_alloc(V, sizeof(*tied->row_of));
	}
	if (!tied || !tied->rows || !tied->token || !tied->met || !tied->row_of)
		return gpt_no_memory_for(k, "the gradient of the embeddings",
			gpt__tied_bytes(&model->config),
			"Take a smaller model, or a device with more memory.", err);
	for (size_t v = 0; v < V; v++)
		tied->row_of[v] = -1;
	return 0;
}

void gpt__tied_free(gpt_model *model)
{
	gpt_tied *tied = model->tied;

	if (!tied)
		return;
	if (tied->rows)
		model->k->free(model->k, tied->rows);
	if (tied->token)
		model->k->free(model->k, tied->token);
	free(tied->met);
	free(tied->row_of);
	free(tied);
}

uint64_t gpt__tied_bytes(const gpt_config *config)
{
	return (uint64_t)config->n_vocab *
	       ((uint64_t)config->n_embd * sizeof(cairn_real) + sizeof(int32_t));
}

void gpt__tied_clear(gpt_model *model)
{
	gpt_tied *tied = model->tied;

	if (!tied)
		return;
	model->k->zero(model->k, tied->rows,
		(size_t)(tied->n * model->config.n_embd) * sizeof(*tied->rows));
	for (int64_t i = 0; i < tied->n; i++)
		tied->row_of[tied->met[i]] = -1;
	tied->n = 0;
}

/* The row of a token, which may be its first. */
static int32_t row_of(gpt_tied *tied, int32_t token)
{
	if (tied->row_of[token] < 0) {
		tied->row_of[token] = (int32_t)tied->n;
		tied->met[tied->n++] = token;
	}
	return tied->row_of[token];
}

void gpt__embedding_rows(gpt_model *model)
{
	const cairn_kernels *k = model->k;
	const gpt_activations *acts = model->acts;

	if (!model->tied)
		return;
	for (int64_t r = 0; r < acts->R; r++)
		acts->host_a[r] = row_of(model->tied, acts->host_token[r]);
	k->write(k, acts->token, acts->host_a, (size_t)acts->R * sizeof(*acts->token));
}

void gpt__embedding_backward(gpt_model *model)
{
	const cairn_kernels *k = model->k;
	const gpt_activations *acts = model->acts;
	cairn_real *dwte = model->tied ? model->tied->rows : gpt__grad(model, WTE);

	k->embed_backward(k, dwte, gpt__grad(model, WPE), acts->dres, acts->token, acts->position,
		acts->R, model->config.n_embd);
}

void gpt_finish_grads(gpt_model *model)
{
	const cairn_kernels *k = model->k;
	gpt_tied *tied = model->tied;

	if (!tied || tied->n == 0)
		return;
	k->write(k, tied->token, tied->met, (size_t)tied->n * sizeof(*tied->token));
	k->scatter_rows(
		k, gpt__grad(model, WTE), tied->rows, tied->token, tied->n, model->config.n_embd);
	gpt__tied_clear(model);
}
