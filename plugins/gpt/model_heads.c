/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_heads.c - what is read from the hidden states: log-probabilities or scalars, and
 * the way back.
 *
 * Only rows with a target go through the unembedding, which is the largest product of a small
 * model: the kernel leaves out the others. A row's result does not depend on its neighbours
 * (kernels.h), so this changes no bit of it.
 */
#include <math.h>

#include "gpt/model_internal.h"
#include "gpt/model_parts.h"

static int check_ready(const gpt_model *model, enum gpt_head head, bool backward, cairn_error *err)
{
	if (model->head != head)
		return cairn_error_set(err, CAIRN_EBUG, "the model has no %s head",
			head == GPT_HEAD_LM ? "language-model" : "scalar");
	if (!model->acts->ready)
		return cairn_error_set(err, CAIRN_EBUG, "the model's head before gpt_forward()");
	if (backward && !(model->grads && model->acts->kept != GPT__KEEP_NOTHING))
		return cairn_error_set(
			err, CAIRN_EBUG, "backward after a forward pass that kept nothing for it");
	return 0;
}

static bool is_padding(const gpt_activations *acts, int64_t r)
{
	return r % acts->T >= acts->host_length[r / acts->T];
}

/* Targets to dev. Padding has none whatever the caller says. */
static int put_targets(gpt_model *model, const int32_t *target, cairn_error *err)
{
	const gpt_activations *acts = model->acts;

	for (int64_t r = 0; r < acts->R; r++) {
		int32_t wanted = is_padding(acts, r) ? -1 : target[r];

		if (wanted < -1 || wanted >= model->config.n_vocab)
			return cairn_error_set(err, CAIRN_EPARAM,
				"target %d does not fit a model of n_vocab = %d", wanted,
				model->config.n_vocab);
		acts->host_a[r] = wanted;
	}
	model->k->write(
		model->k, acts->target, acts->host_a, (size_t)acts->R * sizeof(*acts->target));
	return 0;
}

/* One number a row; rows without a target have 0. `out` may be NULL. Whoever has read them has
 * waited for the device, so it can be asked how it is. */
static void get_rows(const gpt_model *model, cairn_real *out, const cairn_real *dev)
{
	if (out)
		model->k->read(model->k, out, dev, (size_t)model->acts->R * sizeof(*out));
}

static int check_temperature(double temperature, cairn_error *err)
{
	if (temperature > 0 && isfinite(temperature))
		return 0;
	return cairn_error_set(err, CAIRN_EPARAM, "temperature cannot be %g", temperature);
}

/* What the way back depends on beside shapes. */
typedef struct way_back {
	double temperature;
	bool entropy;
} way_back;

/* The head over all rows; backward: with acts->weight as dloss, dnarrow becomes d/dh. */
static void lm_head(gpt_model *model, double temperature, bool backward, bool entropy)
{
	const cairn_kernels *k = model->k;
	const gpt_activations *acts = model->acts;
	cairn_lm_head head = {
		.R = acts->R,
		.C = model->config.n_embd,
		.V = model->config.n_vocab,
		.h = acts->h,
		.wte = gpt__param(model, gpt__unembedding(model)),
		.target = acts->target,
		.temperature = (cairn_real)temperature,
		.logprob = acts->logprob,
		.entropy = entropy ? acts->entropy : NULL,
		.cut = acts->T,
		.best = acts->best,
		.packed_logits = gpt__packed_of(model, gpt__unembedding(model)),
	};

	if (backward) {
		head.dlogprob = acts->weight;
		head.dh = acts->dnarrow;
		head.dwte = gpt__grad(model, gpt__unembedding(model));
	}
	k->lm_head(k, &head);
}

int gpt_logprobs(gpt_model *model, const int32_t *target, double temperature, cairn_real *logprob,
	cairn_real *entropy, cairn_error *err)
{
	int rc = check_ready(model, GPT_HEAD_LM, false, err);

	if (!rc)
		rc = check_temperature(temperature, err);
	if (!rc)
		rc = put_targets(model, target, err);
	if (rc)
		return rc;
	lm_head(model, temperature, false, entropy != NULL);
	get_rows(model, logprob, model->acts->logprob);
	get_rows(model, entropy, model->acts->entropy);
	return model->k->status(model->k, err);
}

static void run_back(gpt_model *model, enum gpt__part part, const way_back *way, gpt__part_fn run)
{
	gpt_activations *acts = model->acts;
	const gpt__part_key key = {
		.part = part,
		.B = acts->B,
		.T = acts->T,
		.kept = (int32_t)acts->kept,
		.padded = acts->padded,
		.packed = gpt__packed_of(model, gpt__in_layer(0, ATTN_WEIGHT)) != NULL,
		.entropy = way->entropy,
		.temperature = way->temperature,
		.dropout = acts->dropout,
		.rng_key = acts->dropout_key,
	};

	gpt__embedding_rows(model);
	gpt__part_run(model, &key, 0, run, way);
	/* The last layer's share has been written over. */
	if (acts->kept == GPT__KEEP_INPUTS)
		acts->kept = GPT__KEEP_NOTHING;
}

static void run_lm_back(gpt_model *model, const void *arg)
{
	const way_back *way = arg;

	lm_head(model, way->temperature, true, way->entropy);
	gpt__backward(model);
}

int gpt_logprobs_backward(gpt_model *model, const int32_t *target, double temperature,
	const cairn_real *dloss_dlogprob, cairn_real *logprob, cairn_real *entropy,
	cairn_error *err)
{
	int rc = check_ready(model, GPT_HEAD_LM, true, err);

	if (!rc)
		rc = check_temperature(temperature, err);
	if (!rc)
		rc = put_targets(model, target, err);
	if (rc)
		return rc;
	model->k->write(model->k, model->acts->weight, dloss_dlogprob,
		(size_t)model->acts->R * sizeof(*dloss_dlogprob));
	run_back(model, GPT__LM_BACKWARD, &(way_back){temperature, entropy != NULL}, run_lm_back);
	get_rows(model, logprob, model->acts->logprob);
	get_rows(model, entropy, model->acts->entropy);
	return logprob || entropy ? model->k->status(model->k, err) : 0;
}

void gpt_best(const gpt_model *model, cairn_real *best)
{
	get_rows(model, best, model->acts->best);
}

int gpt_values(gpt_model *model, cairn_real *value, cairn_error *err)
{
	const cairn_kernels *k = model->k;
	const gpt_activations *acts = model->acts;
	int64_t C = model->config.n_embd;
	int rc = check_ready(model, GPT_HEAD_SCALAR, false, err);

	if (rc)
		return rc;
	k->gemm(k, &(cairn_gemm){
			   .M = acts->R,
			   .N = 1,
			   .K = C,
			   .act_a = true,
			   .A = acts->h,
			   .lda = C,
			   .B = gpt__param(model, gpt__after_layers(&model->config, SCORE_WEIGHT)),
			   .ldb = 1,
			   .C = acts->logprob,
			   .ldc = 1,
			   .bias = gpt__param(model, gpt__after_layers(&model->config, SCORE_BIAS)),
		   });
	k->read(k, value, acts->logprob, (size_t)acts->R * sizeof(*value));
	for (int64_t r = 0; r < acts->R; r++)
		if (is_padding(acts, r))
			value[r] = 0;
	return k->status(k, err);
}

/* value = h score + bias: adds to the head's gradients, dnarrow = dvalue score^T. */
static void score_backward(gpt_model *model)
{
	const cairn_kernels *k = model->k;
	const gpt_activations *acts = model->acts;
	size_t weight = gpt__after_layers(&model->config, SCORE_WEIGHT);
	int64_t C = model->config.n_embd, R = acts->R;

	k->bias_backward(k, gpt__grad(model, weight + 1), acts->weight, false, R, 1, acts->T);
	k->gemm(k, &(cairn_gemm){
			   .M = C,
			   .N = 1,
			   .K = R,
			   .transpose_a = true,
			   .accumulate = true,
			   .act_a = true,
			   .A = acts->h,
			   .lda = C,
			   .B = acts->weight,
			   .ldb = 1,
			   .C = gpt__grad(model, weight),
			   .ldc = 1,
			   .cut = acts->T,
		   });
	k->gemm(k, &(cairn_gemm){
			   .M = R,
			   .N = C,
			   .K = 1,
			   .act_c = true,
			   .A = acts->weight,
			   .lda = 1,
			   .B = gpt__param(model, weight),
			   .ldb = C,
			   .C = acts->dnarrow,
			   .ldc = C,
		   });
}

static void run_values_back(gpt_model *model, const void *arg)
{
	(void)arg;
	score_backward(model);
	gpt__backward(model);
}

int gpt_values_backward(gpt_model *model, const cairn_real *dloss_dvalue, cairn_error *err)
{
	const cairn_kernels *k = model->k;
	const gpt_activations *acts = model->acts;
	int rc = check_ready(model, GPT_HEAD_SCALAR, true, err);

	if (rc)
		return rc;
	for (int64_t r = 0; r < acts->R; r++)
		acts->host_real[r] = is_padding(acts, r) ? 0 : dloss_dvalue[r];
	k->write(k, acts->weight, acts->host_real, (size_t)acts->R * sizeof(cairn_real));
	run_back(model, GPT__VALUES_BACKWARD, &(way_back){0}, run_values_back);
	return 0;
}
