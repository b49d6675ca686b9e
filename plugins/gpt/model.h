/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.h - a GPT-2 shaped transformer with a language-model head or a scalar head.
 *
 * Parameters lie in one flat buffer (dev memory of the kernel table), gradients in a
 * second of the same layout, so that the optimizer, the moving average and the gradient
 * norm are single calls. Tensors have Hugging Face's GPT-2 names and layouts
 * ("h.0.attn.c_attn.weight" is [in,out]); the head is tied to "wte.weight", or `untied`, a
 * matrix "lm_head.weight" [V,C] of its own; a scalar head adds "score.weight" [C] and
 * "score.bias" [1].
 *
 * Sequences are padded on the right; attention is causal, so what stands behind a sequence
 * cannot reach it: positions are 0,1,2..., and results do not depend on T or on batch mates.
 *
 * One activation buffer serves forward and backward: forward(), read results, backward().
 * Errors: ENOMEM, EPARAM (shapes), EBUG.
 */
#ifndef CAIRN_GPT_MODEL_H
#define CAIRN_GPT_MODEL_H

#include "cairn/kernels.h"

typedef struct gpt_config {
	int32_t n_layer, n_head, n_embd, n_ctx, n_vocab;
	int32_t n_inner; /* 4 * n_embd */
	bool untied;     /* a language-model head has an output matrix of its own */
} gpt_config;

enum gpt_head {
	GPT_HEAD_LM = 0,
	GPT_HEAD_SCALAR = 1, /* reward and value models: METHOD 1.2 */
};

typedef struct gpt_tensor {
	char name[64];
	uint32_t n_dims;
	uint64_t dims[2];
	size_t offset, size; /* in elements of the flat buffer */
	bool decays;         /* weight decay applies: matrices only */
} gpt_tensor;

typedef struct gpt_activations gpt_activations;
typedef struct gpt_tied gpt_tied;
typedef struct gpt_cache gpt_cache;
typedef struct gpt_packed gpt_packed;
typedef struct gpt_parts gpt_parts;

typedef struct gpt_model {
	gpt_config config;
	enum gpt_head head;
	const cairn_kernels *k;
	gpt_tensor *tensors;
	size_t n_tensors;
	size_t n_params; /* elements of the flat buffer */
	/* dev; written to through gpt_params_change() only, which is why it is const */
	const cairn_real *params;
	cairn_real *grads; /* dev; NULL in a model that is not trained; see gpt_finish_grads() */
	gpt_activations *acts;
	gpt_tied *tied;     /* NULL but in a trained model whose head is its embedding */
	gpt_cache *cache;   /* what sampling needs; kept from call to call in a trained model */
	gpt_packed *packed; /* copies of weights in the order products read them in; or NULL */
	gpt_parts *parts;   /* captured calls; or NULL */
	/* Reward models: score = gain * raw + bias (METHOD 1.4: demonstrations score mean 0).
	 * Applied by callers that report or use rewards, not by gpt_values(). */
	double reward_gain, reward_bias;
} gpt_model;

enum {
	GPT_TRAINABLE = 1,
};

/* A batch on the host. Rows t >= lengths[b] are padding; tokens there are ignored. */
typedef struct gpt_batch {
	int64_t B, T;
	const int32_t *tokens;  /* [B,T] */
	const int32_t *lengths; /* [B], 1..T; NULL: all T */
	double dropout;         /* residual dropout; 0 at evaluation and in PPO (METHOD 2.10) */
	uint64_t dropout_key;
	const uint64_t *sample_ids; /* [B]: unique per sample drawn in a training run; needed with
				       dropout */
	/* Keeps nothing for backward, even in a trainable model: for evaluation and for old
	 * log-probabilities, which need a fraction of the memory then. Same bits. */
	bool forward_only;
	/* Keeps the inputs of layers only: backward computes the rest again, layer by layer, for a
	 * third more time and a fraction of the memory. Same bits. Then one backward pass follows a
	 * forward pass, not several. */
	bool recompute;
} gpt_batch;

CAIRN_MUST int gpt_config_check(const gpt_config *config, cairn_error *err);
CAIRN_MUST int gpt_model_new(gpt_model **out, const cairn_kernels *k, const gpt_config *config,
	enum gpt_head head, unsigned flags, cairn_error *err);
void gpt_model_free(gpt_model *model);
/* GPT-2's initialisation: N(0, 0.02), residual projections scaled by 1/sqrt(2 n_layer), gains 1,
 * biases 0; scalar head N(0, 1/sqrt(C+1)) (METHOD 2.4). Counter-based: thread independent. */
void gpt_model_init(gpt_model *model, uint64_t rng_key);
/* Only the scalar head. */
void gpt_model_init_score(gpt_model *model, uint64_t rng_key);
/* Copies all tensors that both have (a reward model from an LM: everything but the head); between
 * models of one kind, reward_gain and reward_bias too. */
void gpt_model_copy(gpt_model *to, const gpt_model *from);
/* Puts reward_gain and reward_bias into the head itself, so that gpt_values() gives the reward: for
 * a value model that starts as a reward model (METHOD 1.6). */
void gpt_model_fold_reward(gpt_model *model);
/* The parameters, to be changed now: what was derived from them is made anew before it is used
 * next. */
cairn_real *gpt_params_change(gpt_model *model);
/* Tensor of that name, or NULL. */
const gpt_tensor *gpt_model_tensor(const gpt_model *model, const char *name);

/* Final hidden states (after ln_f) of every row stay in the model, until the next gpt_forward() or
 * gpt_sample(). EPARAM: shapes, tokens, lengths that cannot be. */
CAIRN_MUST int gpt_forward(gpt_model *model, const gpt_batch *batch, cairn_error *err);
void gpt_zero_grads(gpt_model *model);
/*
 * To be called between the last backward pass and the reading of grads (gpt_adam_step() does).
 * Gradients are sums over sequences, one after the other: they are the same bits however a step's
 * sequences are split into batches and padded, as long as their order is the same. In a tied wte
 * two such sums meet, the head's and the embedding's; the latter is kept apart until here.
 */
void gpt_finish_grads(gpt_model *model);

/* ---- language-model head; all arrays are on the host ------------------------------- */

/* logprob[b,t] of target[b,t] given the tokens up to t (so target is tokens shifted by one);
 * target -1: left out, 0. entropy may be NULL. After gpt_forward(). */
CAIRN_MUST int gpt_logprobs(gpt_model *model, const int32_t *target, double temperature,
	cairn_real *logprob, cairn_real *entropy, cairn_error *err);
/* Adds the gradient of sum(weight * logprob) to grads, through the whole network; and gives
 * logprob (may be NULL). To minimise the mean negative log-likelihood, weight is -1/n; what is
 * added is d/dparams of sum(weight*logprob), so pass the LOSS's derivative by logprob. Entropies
 * (may be NULL) may take the place of the weights. */
CAIRN_MUST int gpt_logprobs_backward(gpt_model *model, const int32_t *target, double temperature,
	const cairn_real *dloss_dlogprob, cairn_real *logprob, cairn_real *entropy,
	cairn_error *err);

/* 1 for each row of the last call of one of the two whose target is as likely as any other token,
 * else 0. */
void gpt_best(const gpt_model *model, cairn_real *best);

/* ---- scalar head --------------------------------------------------------------------- */

/* Raw head output of every row, [B,T], on the host; 0 for padding. */
CAIRN_MUST int gpt_values(gpt_model *model, cairn_real *value, cairn_error *err);
/* Adds the gradient for dloss/dvalue [B,T] (0 where a row does not count). */
CAIRN_MUST int gpt_values_backward(
	gpt_model *model, const cairn_real *dloss_dvalue, cairn_error *err);

/* ---- memory ---------------------------------------------------------------------------- */

/* Bytes of parameters, gradients and activations for a batch of B x T. */
uint64_t gpt_memory_bytes(
	const gpt_config *config, enum gpt_head head, int64_t B, int64_t T, bool trainable);
uint64_t gpt_param_count(const gpt_config *config, enum gpt_head head);

#endif
