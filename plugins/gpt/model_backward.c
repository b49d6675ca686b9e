/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_backward.c - the mirror of model_forward.c, layer by layer from the last.
 *
 * dres is the gradient of the residual stream: both branches of a layer add to it. The
 * gradients of activations are overwritten, those of parameters added to, sequence by sequence:
 * that is what `cut` (kernels.h) is for.
 */
#include "gpt/model_internal.h"

/* out = x W + b: adds to dW and db; dx (overwritten) from dout. */
static void linear_backward(const gpt_model *model, cairn_act *dx, const cairn_act *dout,
	const cairn_act *x, size_t weight)
{
	const cairn_kernels *k = model->k;
	const gpt_tensor *w = &model->tensors[weight];
	int64_t R = model->acts->R, in = (int64_t)w->dims[0], n = (int64_t)w->dims[1];

	k->bias_backward(k, gpt__grad(model, weight + 1), dout, true, R, n, model->acts->T);
	k->gemm(k, &(cairn_gemm){
			   .M = in,
			   .N = n,
			   .K = R,
			   .transpose_a = true,
			   .accumulate = true,
			   .act_a = true,
			   .act_b = true,
			   .A = x,
			   .lda = in,
			   .B = dout,
			   .ldb = n,
			   .C = gpt__grad(model, weight),
			   .ldc = n,
			   .cut = model->acts->T,
		   });
	k->gemm(k, &(cairn_gemm){
			   .M = R,
			   .N = in,
			   .K = n,
			   .transpose_b = true,
			   .act_a = true,
			   .act_c = true,
			   .A = dout,
			   .lda = n,
			   .B = gpt__param(model, weight),
			   .ldb = n,
			   .C = dx,
			   .ldc = in,
			   .packed = gpt__packed_of(model, weight),
		   });
}

/* dres += the gradient through a layer norm, from dnarrow. */
static void norm_backward(const gpt_model *model, const cairn_act *x, const cairn_real *mean,
	const cairn_real *rstd, size_t gain)
{
	const gpt_activations *acts = model->acts;

	model->k->layernorm_backward(model->k, acts->dres, gpt__grad(model, gain),
		gpt__grad(model, gain + 1), acts->dnarrow, x, gpt__param(model, gain), mean, rstd,
		acts->R, model->config.n_embd, acts->T);
}

/* The gradient that enters a branch: dres, or a copy with the forward's coins. */
static const cairn_act *drop_backward(const gpt_model *model, int32_t l, int branch)
{
	const cairn_kernels *k = model->k;
	const gpt_activations *acts = model->acts;
	int64_t C = model->config.n_embd;

	if (acts->dropout == 0)
		return acts->dres;
	k->copy(k, acts->branch, acts->dres, (size_t)(acts->R * C * k->act_bytes));
	k->dropout(k, acts->branch, acts->row_id, acts->R, C, acts->dropout, acts->dropout_key,
		(uint32_t)(2 * l + branch));
	return acts->branch;
}

static void attention_backward(const gpt_model *model, const gpt__layer *layer)
{
	const gpt_activations *acts = model->acts;

	model->k->attention_backward(
		model->k, &(cairn_attention){
				  .B = acts->B,
				  .T = acts->T,
				  .NH = model->config.n_head,
				  .D = model->config.n_embd / model->config.n_head,
				  .qkv = layer->qkv,
				  .lengths = acts->padded ? acts->length : NULL,
				  .out = layer->att,
				  .lse = layer->lse,
				  .dout = acts->dnarrow,
				  .dqkv = acts->wide,
			  });
}

static void layer_backward(const gpt_model *model, int32_t l)
{
	const gpt_activations *acts = model->acts;
	const gpt__layer *layer = &acts->layers[l];

	linear_backward(model, acts->wide, drop_backward(model, l, 1), layer->fc_gelu,
		gpt__in_layer(l, MLP_PROJ_WEIGHT));
	model->k->gelu_backward(model->k, acts->wide, layer->fc, acts->R * model->config.n_inner);
	linear_backward(model, acts->dnarrow, acts->wide, layer->ln_2, gpt__in_layer(l, FC_WEIGHT));
	norm_backward(model, layer->res_mid, layer->ln_2_mean, layer->ln_2_rstd,
		gpt__in_layer(l, LN_2_WEIGHT));

	linear_backward(model, acts->dnarrow, drop_backward(model, l, 0), layer->att,
		gpt__in_layer(l, ATTN_PROJ_WEIGHT));
	attention_backward(model, layer);
	linear_backward(
		model, acts->dnarrow, acts->wide, layer->ln_1, gpt__in_layer(l, ATTN_WEIGHT));
	norm_backward(model, layer->res_in, layer->ln_1_mean, layer->ln_1_rstd,
		gpt__in_layer(l, LN_1_WEIGHT));
}

void gpt__backward(gpt_model *model)
{
	const cairn_kernels *k = model->k;
	const gpt_activations *acts = model->acts;
	int64_t C = model->config.n_embd;

	k->zero(k, acts->dres, (size_t)(acts->R * C * k->act_bytes));
	norm_backward(model, acts->res_final, acts->ln_f_mean, acts->ln_f_rstd,
		gpt__after_layers(&model->config, LN_F_WEIGHT));
	for (int32_t l = model->config.n_layer; l-- > 0;) {
		/* What the last layer left behind is still there. */
		if (acts->kept == GPT__KEEP_INPUTS && l + 1 < model->config.n_layer)
			gpt__run_layer_again(model, l);
		layer_backward(model, l);
	}
	gpt__embedding_backward(model);
}

void gpt_zero_grads(gpt_model *model)
{
	CAIRN_ASSERT(model->grads);
	model->k->zero(model->k, model->grads, model->n_params * sizeof(cairn_real));
	gpt__tied_clear(model);
}
