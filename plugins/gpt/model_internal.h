/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_internal.h - what the model's own files share: where a tensor stands in the table,
 * the activation buffers, and one pass through the layers.
 *
 * The table lists tensors in reading order (wte, wpe, twelve of each layer, ln_f, the untied or
 * the scalar head); the flat buffer puts all matrices first, so that weight decay touches one run
 * of it. Every tensor starts at a multiple of 16 elements; the gaps are zero and stay zero.
 */
#ifndef CAIRN_GPT_MODEL_INTERNAL_H
#define CAIRN_GPT_MODEL_INTERNAL_H

#include "gpt/model.h"

#define GPT_ALIGN 16

/* Index into gpt_model.tensors. Layer l's tensors: gpt__in_layer(l, LN_1_WEIGHT), ... */
enum {
	WTE,
	WPE,
	FIRST_LAYER
};
enum {
	LN_1_WEIGHT,
	LN_1_BIAS,
	ATTN_WEIGHT,
	ATTN_BIAS,
	ATTN_PROJ_WEIGHT,
	ATTN_PROJ_BIAS,
	LN_2_WEIGHT,
	LN_2_BIAS,
	FC_WEIGHT,
	FC_BIAS,
	MLP_PROJ_WEIGHT,
	MLP_PROJ_BIAS,
	LAYER_TENSORS
};
/* After the layers. */
enum {
	LN_F_WEIGHT,
	LN_F_BIAS,
	LM_HEAD_WEIGHT,                /* of an untied language model ... */
	SCORE_WEIGHT = LM_HEAD_WEIGHT, /* ... or of a scalar head: never both */
	SCORE_BIAS
};

static inline size_t gpt__in_layer(int32_t layer, int tensor)
{
	return FIRST_LAYER + (size_t)layer * LAYER_TENSORS + (size_t)tensor;
}

static inline size_t gpt__after_layers(const gpt_config *config, int tensor)
{
	return gpt__in_layer(config->n_layer, tensor);
}

/* The matrix [V,C] that makes logits of hidden states. */
static inline size_t gpt__unembedding(const gpt_model *model)
{
	return model->config.untied ? gpt__after_layers(&model->config, LM_HEAD_WEIGHT) : WTE;
}

static inline const cairn_real *gpt__param(const gpt_model *model, size_t tensor)
{
	return model->params + model->tensors[tensor].offset;
}

/* The same, to be written to. */
static inline cairn_real *gpt__param_change(gpt_model *model, size_t tensor)
{
	return gpt_params_change(model) + model->tensors[tensor].offset;
}

static inline cairn_real *gpt__grad(const gpt_model *model, size_t tensor)
{
	return model->grads + model->tensors[tensor].offset;
}

/* What a pass leaves behind for backward. */
enum gpt__keep {
	GPT__KEEP_NOTHING = 0,
	GPT__KEEP_ALL = 1,
	GPT__KEEP_INPUTS = 2, /* of layers; backward computes the rest again */
};

/*
 * What one layer leaves behind. A pass that is to be followed by backward has a set for each
 * layer, or, where only inputs are kept, one set for all but for res_in; a forward-only pass has
 * one set for all, with res_in = res_mid, ln_1 = ln_2, qkv = fc_gelu and no fc: the code of the
 * pass is the same.
 */
typedef struct gpt__layer {
	cairn_act *res_in;                 // [R,C] residual stream before attention
	cairn_act *ln_1;                   // [R,C]
	cairn_real *ln_1_mean, *ln_1_rstd; // [R]
	cairn_act *qkv, *att;              // [R,3C] [R,C]
	cairn_real *lse;                   // [B,NH,T]
	cairn_act *res_mid;                // [R,C] residual stream before the MLP
	cairn_act *ln_2;                   // [R,C]
	cairn_real *ln_2_mean, *ln_2_rstd; // [R]
	cairn_act *fc, *fc_gelu;           // [R,n_inner], before and after gelu
} gpt__layer;

struct gpt_activations {
	/* One dev block and one host block, carved anew for every shape, grown when too small. */
	void *dev, *host;
	size_t dev_bytes, host_bytes;

	int64_t B, T, R;     /* of the last gpt_forward(); R = B*T */
	bool ready;          /* h belongs to a gpt_forward() */
	enum gpt__keep kept; /* what of it is there for backward */
	bool padded;         /* lengths were given */
	double dropout;
	uint64_t dropout_key;

	gpt__layer *layers;                // n_layer
	cairn_act *res_final;              // [R,C]
	cairn_real *ln_f_mean, *ln_f_rstd; // [R]
	cairn_act *h;                      // [R,C] after ln_f
	cairn_act *branch;                 // [R,C] what a layer adds, and its gradient
	cairn_act *wide;                   // [R,max(3C,n_inner)] scratch
	cairn_act *dres, *dnarrow;         // [R,C] only where kept

	/* Per row; dev, then the host's staging twins. */
	int32_t *token, *position, *target;     // [R]; backward turns token into rows of gpt_tied
	int32_t *length;                        // [B]
	uint64_t *row_id;                       // [R]
	cairn_real *logprob, *entropy, *weight; // [R]
	cairn_real *best;                       // [R]
	int32_t *host_token, *host_length;      // [R] [B]: of the batch
	int32_t *host_a, *host_b;               // [R]
	uint64_t *host_row_id;                  // [R]
	cairn_real *host_real;                  // [R]
};

/* The embedding's share in the gradient of a tied wte: a row for each token met since the
 * gradients were cleared. */
struct gpt_tied {
	cairn_real *rows; // dev [V,C]: of n tokens in the order of their first meeting, then zeros
	int32_t *token;   // dev [V]: of each row
	int32_t *met;     // host [V]: the same
	int32_t *row_of;  // host [V]: row of each token; -1: not met
	int64_t n;
};

CAIRN_MUST int gpt__tied_new(gpt_model *model, cairn_error *err);
void gpt__tied_free(gpt_model *model);
/* Forgets what was summed up. */
void gpt__tied_clear(gpt_model *model);
uint64_t gpt__tied_bytes(const gpt_config *config);
/* Finds the rows that the batch's tokens have in what is kept apart; before each backward pass. */
void gpt__embedding_rows(gpt_model *model);
/* Adds dres to the gradients of the embeddings, or to what is kept apart of them. */
void gpt__embedding_backward(gpt_model *model);

/* Makes room for B x T rows and carves it; forgets what was there. */
CAIRN_MUST int gpt__activations_prepare(
	gpt_model *model, int64_t B, int64_t T, enum gpt__keep keep, cairn_error *err);
uint64_t gpt__activations_bytes(
	const gpt_config *config, int64_t B, int64_t T, enum gpt__keep keep, size_t act_bytes);
CAIRN_MUST int gpt__activations_new(
	gpt_activations **out, const gpt_config *config, cairn_error *err);
void gpt__activations_free(const gpt_model *model, gpt_activations *acts);

/* What sampling needs beside a pass, kept from call to call: only its contents are of one call. */
struct gpt_cache {
	void *dev;          // keys and values, all layers
	size_t bytes;       // of it
	cairn_act **layers; // [n_layer], into dev

	/* Of the sequences at work; dev, [slots]. */
	int64_t slots;
	int32_t *slot, *token, *last;
	uint64_t *row_id;
	cairn_act *h;        // [slots,C]
	cairn_real *logprob; // [slots]
};

/* Room for `slots` sequences of at most T_max positions; all members are set. ENOMEM. */
CAIRN_MUST int gpt__cache_prepare(gpt_model *model, int64_t slots, int64_t T_max, cairn_error *err);
void gpt__cache_free(gpt_model *model);

/* Copies of today's matrices, arranged for products, by tensor. Where there is no memory for one it
 * is NULL, and the weight itself is read; so is all of it. The layers' are of W [K,N], the
 * unembedding's of its transpose. */
cairn_packed **gpt__packed(gpt_model *model);
/* The same where the backend wants them in every pass, else NULL. */
cairn_packed **gpt__packed_if_wanted(gpt_model *model);
/* Of one matrix: what the last of these two has made, where it is wanted in every pass; or NULL. */
const cairn_packed *gpt__packed_of(const gpt_model *model, size_t weight);
void gpt__packed_free(gpt_model *model);

/* Keys and values of earlier positions, one cache a layer. */
typedef struct gpt__cache {
	cairn_act **layers; // n_layer
	int64_t T_max;
	const int32_t *slot; // [B] dev: which cache a sequence uses
} gpt__cache;

/* One pass through all layers. tokens, positions, row ids and lengths lie in the activations. */
typedef struct gpt__pass {
	int64_t B, T;
	const gpt__cache *cache; /* NULL: none is kept */
	bool decode;             /* T is 1; attention is against the cache */
	int64_t n_keys;          /* with decode: as in cairn_decode */
	cairn_packed **packed;   /* gpt__packed(), or NULL */
} gpt__pass;

void gpt__run_layers(gpt_model *model, const gpt__pass *pass);
/* Computes again, from its input, what layer l left behind and others have written over. */
void gpt__run_layer_again(gpt_model *model, int32_t l);
/* Checks tokens and lengths, puts them and the positions into the activations. */
CAIRN_MUST int gpt__put_batch(gpt_model *model, const gpt_batch *batch, cairn_error *err);
/* The network's backward pass from dnarrow = d/dh. */
void gpt__backward(gpt_model *model);

#endif
