/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model.c - a model's tensors: table, memory, copies.
 *
 * Reads like: model_internal.h first (the order of the table), then model_init.c, model_forward.c,
 * model_heads.c, model_backward.c, model_embedding.c.
 */
#include <string.h>

#include "base/alloc.h"
#include "gpt/model_internal.h"
#include "gpt/model_parts.h"
#include "gpt/no_memory.h"

/* Limits keep every product of sizes far from overflow; n_ctx also fits 16 bits, because the
 * random streams of dropout and sampling are keyed by sample_id << 16 | position. */
enum {
	MAX_LAYERS = 1024,
	MAX_HEADS = 1024,
	MAX_EMBD = 1 << 16,
	MAX_CTX = 1 << 16,
	MAX_VOCAB = 1 << 24,
	MAX_INNER = 1 << 18,
};

static int check_range(
	const char *name, int32_t value, int32_t max, const char *why, cairn_error *err)
{
	if (value >= 1 && value <= max)
		return 0;
	(void)cairn_error_set(err, CAIRN_EPARAM, "a model cannot have %s = %d", name, value);
	cairn_error_detail(err, "%s is 1..%d%s", name, max, why);
	return CAIRN_EPARAM;
}

int gpt_config_check(const gpt_config *config, cairn_error *err)
{
	int rc = check_range("n_layer", config->n_layer, MAX_LAYERS, "", err);

	if (!rc)
		rc = check_range("n_head", config->n_head, MAX_HEADS, "", err);
	if (!rc)
		rc = check_range("n_embd", config->n_embd, MAX_EMBD, "", err);
	if (!rc)
		rc = check_range("n_ctx", config->n_ctx, MAX_CTX, "", err);
	if (!rc)
		rc = check_range("n_vocab", config->n_vocab, MAX_VOCAB, "", err);
	if (!rc)
		rc = check_range(
			"n_inner", config->n_inner, MAX_INNER, ", usually 4 * n_embd", err);
	if (rc)
		return rc;
	if (config->n_embd % config->n_head == 0)
		return 0;
	(void)cairn_error_set(err, CAIRN_EPARAM, "a model cannot split n_embd = %d into %d heads",
		config->n_embd, config->n_head);
	cairn_error_hint(err, "Make n_embd a multiple of n_head.");
	return CAIRN_EPARAM;
}

static size_t count_tensors(const gpt_config *config, enum gpt_head head)
{
	int last = LN_F_BIAS;

	if (head == GPT_HEAD_SCALAR)
		last = SCORE_BIAS;
	else if (config->untied)
		last = LM_HEAD_WEIGHT;
	return gpt__after_layers(config, last) + 1;
}

/* cols 0: a vector of `rows`. */
static void name_tensor(gpt_tensor *tensor, const char *name, int32_t rows, int32_t cols)
{
	(void)snprintf(tensor->name, sizeof(tensor->name), "%s", name);
	tensor->n_dims = cols ? 2 : 1;
	tensor->dims[0] = (uint64_t)rows;
	tensor->dims[1] = (uint64_t)cols;
	tensor->size = (size_t)rows * (cols ? (size_t)cols : 1);
	tensor->decays = cols != 0;
}

static void name_in_layer(
	gpt_tensor *tensors, int32_t layer, int which, const char *name, int32_t rows, int32_t cols)
{
	char full[64];

	(void)snprintf(full, sizeof(full), "h.%d.%s", layer, name);
	name_tensor(&tensors[gpt__in_layer(layer, which)], full, rows, cols);
}

static void name_tensors(gpt_tensor *tensors, const gpt_config *config, enum gpt_head head)
{
	const int32_t C = config->n_embd, inner = config->n_inner;

	name_tensor(&tensors[WTE], "wte.weight", config->n_vocab, C);
	name_tensor(&tensors[WPE], "wpe.weight", config->n_ctx, C);
	for (int32_t l = 0; l < config->n_layer; l++) {
		name_in_layer(tensors, l, LN_1_WEIGHT, "ln_1.weight", C, 0);
		name_in_layer(tensors, l, LN_1_BIAS, "ln_1.bias", C, 0);
		name_in_layer(tensors, l, ATTN_WEIGHT, "attn.c_attn.weight", C, 3 * C);
		name_in_layer(tensors, l, ATTN_BIAS, "attn.c_attn.bias", 3 * C, 0);
		name_in_layer(tensors, l, ATTN_PROJ_WEIGHT, "attn.c_proj.weight", C, C);
		name_in_layer(tensors, l, ATTN_PROJ_BIAS, "attn.c_proj.bias", C, 0);
		name_in_layer(tensors, l, LN_2_WEIGHT, "ln_2.weight", C, 0);
		name_in_layer(tensors, l, LN_2_BIAS, "ln_2.bias", C, 0);
		name_in_layer(tensors, l, FC_WEIGHT, "mlp.c_fc.weight", C, inner);
		name_in_layer(tensors, l, FC_BIAS, "mlp.c_fc.bias", inner, 0);
		name_in_layer(tensors, l, MLP_PROJ_WEIGHT, "mlp.c_proj.weight", inner, C);
		name_in_layer(tensors, l, MLP_PROJ_BIAS, "mlp.c_proj.bias", C, 0);
	}
	name_tensor(&tensors[gpt__after_layers(config, LN_F_WEIGHT)], "ln_f.weight", C, 0);
	name_tensor(&tensors[gpt__after_layers(config, LN_F_BIAS)], "ln_f.bias", C, 0);
	if (head == GPT_HEAD_LM && config->untied)
		name_tensor(&tensors[gpt__after_layers(config, LM_HEAD_WEIGHT)], "lm_head.weight",
			config->n_vocab, C);
	if (head != GPT_HEAD_SCALAR)
		return;
	name_tensor(&tensors[gpt__after_layers(config, SCORE_WEIGHT)], "score.weight", C, 0);
	name_tensor(&tensors[gpt__after_layers(config, SCORE_BIAS)], "score.bias", 1, 0);
}

/* Matrices first; returns the size of the flat buffer. */
static size_t place_tensors(gpt_tensor *tensors, size_t n)
{
	size_t offset = 0;

	for (int matrices = 1; matrices >= 0; matrices--) {
		for (size_t i = 0; i < n; i++) {
			if (tensors[i].decays != (bool)matrices)
				continue;
			tensors[i].offset = offset;
			offset += (tensors[i].size + GPT_ALIGN - 1) / GPT_ALIGN * GPT_ALIGN;
		}
	}
	return offset;
}

static bool is_tied(const gpt_config *config, enum gpt_head head)
{
	return head == GPT_HEAD_LM && !config->untied;
}

static int allocate(gpt_model *model, unsigned flags, cairn_error *err)
{
	const cairn_kernels *k = model->k;
	size_t bytes = model->n_params * sizeof(cairn_real);
	char what[64];
	int rc = gpt__activations_new(&model->acts, &model->config, err);

	if (rc)
		return rc;
	model->params = k->alloc(k, bytes);
	if (flags & GPT_TRAINABLE)
		model->grads = k->alloc(k, bytes);
	if (model->params && (model->grads || !(flags & GPT_TRAINABLE)))
		return is_tied(&model->config, model->head) && model->grads
			       ? gpt__tied_new(model, err)
			       : 0;
	(void)snprintf(what, sizeof(what), "a model of %zu parameters", model->n_params);
	return gpt_no_memory_for(k, what, flags & GPT_TRAINABLE ? 2 * bytes : bytes,
		"Take a smaller model, or a device with more memory.", err);
}

int gpt_model_new(gpt_model **out, const cairn_kernels *k, const gpt_config *config,
	enum gpt_head head, unsigned flags, cairn_error *err)
{
	gpt_model *model;
	int rc = gpt_config_check(config, err);

	if (rc)
		return rc;
	model = cairn_alloc(1, sizeof(*model));
	if (!model)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for a model");
	model->config = *config;
	model->head = head;
	model->k = k;
	model->reward_gain = 1;
	model->n_tensors = count_tensors(config, head);
	model->tensors = cairn_alloc(model->n_tensors, sizeof(*model->tensors));
	if (!model->tensors) {
		rc = cairn_error_set(err, CAIRN_ENOMEM, "no memory for a model's tensor table");
		goto out;
	}
	name_tensors(model->tensors, config, head);
	model->n_params = place_tensors(model->tensors, model->n_tensors);
	rc = allocate(model, flags, err);
	if (rc)
		goto out;
	*out = model;
	model = NULL;
out:
	gpt_model_free(model);
	return rc;
}

void gpt_model_free(gpt_model *model)
{
	if (!model)
		return;
	gpt__activations_free(model, model->acts);
	gpt__tied_free(model);
	gpt__parts_free(model);
	gpt__cache_free(model);
	gpt__packed_free(model);
	if (model->params)
		model->k->free(model->k, gpt_params_change(model));
	if (model->grads)
		model->k->free(model->k, model->grads);
	free(model->tensors);
	free(model);
}

const gpt_tensor *gpt_model_tensor(const gpt_model *model, const char *name)
{
	for (size_t i = 0; i < model->n_tensors; i++)
		if (strcmp(model->tensors[i].name, name) == 0)
			return &model->tensors[i];
	return NULL;
}

void gpt_model_copy(gpt_model *to, const gpt_model *from)
{
	for (size_t i = 0; i < from->n_tensors; i++) {
		const gpt_tensor *source = &from->tensors[i];
		const gpt_tensor *target = gpt_model_tensor(to, source->name);

		if (!target)
			continue;
		CAIRN_ASSERT(target->size == source->size);
		to->k->copy(to->k, gpt_params_change(to) + target->offset,
			from->params + source->offset, source->size * sizeof(cairn_real));
	}
	if (to->head == from->head) {
		to->reward_gain = from->reward_gain;
		to->reward_bias = from->reward_bias;
	}
}

void gpt_model_fold_reward(gpt_model *model)
{
	const cairn_kernels *k = model->k;
	size_t weight = gpt__after_layers(&model->config, SCORE_WEIGHT);
	size_t bias = gpt__after_layers(&model->config, SCORE_BIAS);
	cairn_real b;

	CAIRN_ASSERT(model->head == GPT_HEAD_SCALAR);
	k->scale(k, gpt__param_change(model, weight), model->reward_gain, model->config.n_embd);
	k->read(k, &b, gpt__param(model, bias), sizeof(b));
	b = (cairn_real)(model->reward_gain * (double)b + model->reward_bias);
	k->write(k, gpt__param_change(model, bias), &b, sizeof(b));
	model->reward_gain = 1;
	model->reward_bias = 0;
}

uint64_t gpt_param_count(const gpt_config *config, enum gpt_head head)
{
	uint64_t C = (uint64_t)config->n_embd, inner = (uint64_t)config->n_inner;
	uint64_t matrices = 3 * C * C + C * C + 2 * C * inner;
	uint64_t vectors = 2 * C + 3 * C + C + 2 * C + inner + C;
	uint64_t vocabulary = C * (uint64_t)config->n_vocab;
	uint64_t embeddings = vocabulary + C * (uint64_t)config->n_ctx;
	uint64_t own_head = config->untied ? vocabulary : 0;

	return embeddings + (uint64_t)config->n_layer * (matrices + vectors) + 2 * C +
	       (head == GPT_HEAD_SCALAR ? C + 1 : own_head);
}

uint64_t gpt_memory_bytes(
	const gpt_config *config, enum gpt_head head, int64_t B, int64_t T, bool trainable)
{
	/* The gaps between tensors are not counted: at most 60 bytes each. */
	uint64_t params = gpt_param_count(config, head) * sizeof(cairn_real);

	return (trainable ? 2 : 1) * params +
	       gpt__activations_bytes(config, B, T, trainable, sizeof(cairn_real)) +
	       (trainable && is_tied(config, head) ? gpt__tied_bytes(config) : 0);
}
