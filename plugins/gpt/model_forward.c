/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_forward.c - tokens to final hidden states.
 *
 *	x = wte[token] + wpe[position]
 *	x = x + drop(attention(ln_1(x)))        each layer
 *	x = x + drop(mlp(ln_2(x)))
 *	h = ln_f(x)
 *
 * The addition to the residual stream is done by the layer norm that follows it, which reads
 * the same memory anyway. "Residual dropout" (METHOD 1.3) is taken literally: the two
 * branches of a layer, not the embeddings, not the attention weights.
 */
#include <math.h>
#include <string.h>

#include "gpt/model_internal.h"
#include "gpt/model_parts.h"

/* out = x W + b, or gelu of it (pre: the value before gelu, or NULL). */
static void linear(const gpt_model *model, const gpt__pass *pass, cairn_act *out,
	const cairn_act *x, size_t weight, bool gelu, cairn_act *pre)
{
	const gpt_tensor *w = &model->tensors[weight];
	int64_t in = (int64_t)w->dims[0], n = (int64_t)w->dims[1];

	model->k->gemm(model->k, &(cairn_gemm){
					 .M = pass->B * pass->T,
					 .N = n,
					 .K = in,
					 .gelu = gelu,
					 .act_a = true,
					 .act_c = true,
					 .A = x,
					 .lda = in,
					 .B = gpt__param(model, weight),
					 .ldb = n,
					 .C = out,
					 .ldc = n,
					 .bias = gpt__param(model, weight + 1),
					 .pre = pre,
					 .packed = pass->packed ? pass->packed[weight] : NULL,
				 });
}

static void attend(const gpt_model *model, const gpt__pass *pass, int32_t l)
{
	const cairn_kernels *k = model->k;
	const gpt_activations *acts = model->acts;
	const gpt__layer *layer = &acts->layers[l];
	int64_t NH = model->config.n_head, D = model->config.n_embd / NH;

	if (pass->decode) {
		k->decode(k, &(cairn_decode){
				     .B = pass->B,
				     .NH = NH,
				     .D = D,
				     .T_max = pass->cache->T_max,
				     .qkv = layer->qkv,
				     .slot = pass->cache->slot,
				     .position = acts->position,
				     .n_keys = pass->n_keys,
				     .cache = pass->cache->layers[l],
				     .out = layer->att,
			     });
		return;
	}
	k->attention(k, &(cairn_attention){
				.B = pass->B,
				.T = pass->T,
				.NH = NH,
				.D = D,
				.qkv = layer->qkv,
				.lengths = acts->padded ? acts->length : NULL,
				.out = layer->att,
				.lse = layer->lse,
			});
	if (pass->cache)
		k->cache_fill(k, pass->cache->layers[l], layer->qkv, pass->cache->slot,
			acts->length, pass->B, pass->T, NH, D, pass->cache->T_max);
}

/* Residual dropout of branch 0 (attention) or 1 (mlp). */
static void drop(const gpt_model *model, int64_t R, int32_t l, int branch)
{
	const gpt_activations *acts = model->acts;

	if (acts->dropout > 0)
		model->k->dropout(model->k, acts->branch, acts->row_id, R, model->config.n_embd,
			acts->dropout, acts->dropout_key, (uint32_t)(2 * l + branch));
}

/* sum = a + b and its layer norm; gain is tensor `norm`, bias the next. */
static void norm(const gpt_model *model, cairn_act *out, cairn_real *mean, cairn_real *rstd,
	cairn_act *sum, const cairn_act *a, const cairn_act *b, size_t gain, int64_t R)
{
	model->k->layernorm(model->k, out, mean, rstd, sum, a, b, gpt__param(model, gain),
		gpt__param(model, gain + 1), R, model->config.n_embd);
}

/* From ln_1 to what goes into the MLP's projection. */
static void run_middle(const gpt_model *model, const gpt__pass *pass, int32_t l)
{
	const gpt_activations *acts = model->acts;
	const gpt__layer *layer = &acts->layers[l];
	int64_t R = pass->B * pass->T;

	linear(model, pass, layer->qkv, layer->ln_1, gpt__in_layer(l, ATTN_WEIGHT), false, NULL);
	attend(model, pass, l);
	linear(model, pass, acts->branch, layer->att, gpt__in_layer(l, ATTN_PROJ_WEIGHT), false,
		NULL);
	drop(model, R, l, 0);
	norm(model, layer->ln_2, layer->ln_2_mean, layer->ln_2_rstd, layer->res_mid, layer->res_in,
		acts->branch, gpt__in_layer(l, LN_2_WEIGHT), R);
	linear(model, pass, layer->fc_gelu, layer->ln_2, gpt__in_layer(l, FC_WEIGHT), true,
		layer->fc);
}

void gpt__run_layers(gpt_model *model, const gpt__pass *pass)
{
	const cairn_kernels *k = model->k;
	const gpt_activations *acts = model->acts;
	const gpt__layer *before = NULL;
	int64_t R = pass->B * pass->T;

	k->embed(k, acts->layers[0].res_in, acts->token, acts->position, gpt__param(model, WTE),
		gpt__param(model, WPE), R, model->config.n_embd);
	for (int32_t l = 0; l < model->config.n_layer; l++) {
		const gpt__layer *layer = &acts->layers[l];

		norm(model, layer->ln_1, layer->ln_1_mean, layer->ln_1_rstd,
			before ? layer->res_in : NULL, before ? before->res_mid : layer->res_in,
			before ? acts->branch : NULL, gpt__in_layer(l, LN_1_WEIGHT), R);
		run_middle(model, pass, l);
		linear(model, pass, acts->branch, layer->fc_gelu, gpt__in_layer(l, MLP_PROJ_WEIGHT),
			false, NULL);
		drop(model, R, l, 1);
		before = layer;
	}
	norm(model, acts->h, acts->ln_f_mean, acts->ln_f_rstd, acts->res_final, before->res_mid,
		acts->branch, gpt__after_layers(&model->config, LN_F_WEIGHT), R);
}

void gpt__run_layer_again(gpt_model *model, int32_t l)
{
	const gpt_activations *acts = model->acts;
	const gpt__layer *layer = &acts->layers[l];
	const gpt__pass pass = {.B = acts->B, .T = acts->T, .packed = gpt__packed_if_wanted(model)};

	norm(model, layer->ln_1, layer->ln_1_mean, layer->ln_1_rstd, NULL, layer->res_in, NULL,
		gpt__in_layer(l, LN_1_WEIGHT), acts->R);
	run_middle(model, &pass, l);
}

static int check_shape(const gpt_model *model, const gpt_batch *batch, cairn_error *err)
{
	if (batch->B < 1 || batch->T < 1 || batch->B > INT32_MAX / batch->T)
		return cairn_error_set(err, CAIRN_EPARAM, "a batch cannot be %lld x %lld",
			(long long)batch->B, (long long)batch->T);
	if (batch->T > model->config.n_ctx)
		return cairn_error_set(err, CAIRN_EPARAM,
			"a batch of %lld positions does not fit a model of n_ctx = %d",
			(long long)batch->T, model->config.n_ctx);
	if (!(batch->dropout >= 0 && batch->dropout < 1))
		return cairn_error_set(err, CAIRN_EPARAM, "dropout cannot be %g", batch->dropout);
	if (batch->dropout > 0 && !batch->sample_ids)
		return cairn_error_set(err, CAIRN_EBUG, "dropout without sample ids");
	return 0;
}

static int put_sequence(gpt_model *model, const gpt_batch *batch, int64_t b, cairn_error *err)
{
	gpt_activations *acts = model->acts;
	int32_t length = batch->lengths ? batch->lengths[b] : (int32_t)batch->T;

	if (length < 1 || length > batch->T)
		return cairn_error_set(err, CAIRN_EPARAM,
			"sequence %lld of a batch cannot have length %d of %lld", (long long)b,
			length, (long long)batch->T);
	acts->host_length[b] = length;
	for (int32_t t = 0; t < (int32_t)batch->T; t++) {
		int64_t r = b * batch->T + t;
		int32_t token = t < length ? batch->tokens[r] : 0;

		if (token < 0 || token >= model->config.n_vocab)
			return cairn_error_set(err, CAIRN_EPARAM,
				"token %d does not fit a model of n_vocab = %d", token,
				model->config.n_vocab);
		acts->host_token[r] = token;
		acts->host_b[r] = t;
		if (batch->dropout > 0)
			acts->host_row_id[r] = batch->sample_ids[b] << 16 | (uint64_t)t;
	}
	return 0;
}

int gpt__put_batch(gpt_model *model, const gpt_batch *batch, cairn_error *err)
{
	const cairn_kernels *k = model->k;
	gpt_activations *acts = model->acts;
	size_t B = (size_t)batch->B, R = (size_t)acts->R;

	for (int64_t b = 0; b < batch->B; b++) {
		int rc = put_sequence(model, batch, b, err);

		if (rc)
			return rc;
	}
	k->write(k, acts->token, acts->host_token, R * sizeof(*acts->token));
	k->write(k, acts->position, acts->host_b, R * sizeof(*acts->position));
	k->write(k, acts->length, acts->host_length, B * sizeof(*acts->length));
	if (batch->dropout > 0)
		k->write(k, acts->row_id, acts->host_row_id, R * sizeof(*acts->row_id));
	acts->padded = batch->lengths != NULL;
	acts->dropout = batch->dropout;
	acts->dropout_key = batch->dropout_key;
	return 0;
}

static void run_pass(gpt_model *model, const void *pass)
{
	gpt__run_layers(model, pass);
}

static void run_batch(gpt_model *model, enum gpt__keep keep)
{
	const gpt_activations *acts = model->acts;
	const gpt__pass pass = {.B = acts->B, .T = acts->T, .packed = gpt__packed_if_wanted(model)};
	const gpt__part_key key = {
		.part = GPT__FORWARD,
		.B = acts->B,
		.T = acts->T,
		.kept = (int32_t)keep,
		.padded = acts->padded,
		.packed = pass.packed != NULL,
		.dropout = acts->dropout,
		.rng_key = acts->dropout_key,
	};

	gpt__part_run(model, &key, 0, run_pass, &pass);
}

int gpt_forward(gpt_model *model, const gpt_batch *batch, cairn_error *err)
{
	enum gpt__keep keep = batch->recompute ? GPT__KEEP_INPUTS : GPT__KEEP_ALL;
	int rc = check_shape(model, batch, err);

	if (!model->grads || batch->forward_only)
		keep = GPT__KEEP_NOTHING;
	/* Whatever fails below, the results of an earlier pass are not taken for this one's. */
	model->acts->ready = false;
	model->acts->kept = GPT__KEEP_NOTHING;
	if (rc)
		return rc;
	rc = gpt__activations_prepare(model, batch->B, batch->T, keep, err);
	if (rc)
		return rc;
	rc = gpt__put_batch(model, batch, err);
	if (rc)
		return rc;
	run_batch(model, keep);
	model->acts->ready = true;
	model->acts->kept = keep;
	return 0;
}
