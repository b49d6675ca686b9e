/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_heads.c - what is read from the hidden states: log-probabilities or scalars, and
 * the way back.
 *
 * Only rows with a target go through the unembedding, which is the largest product of a small
 * model: they are gathered first. A row's result does not depend on its neighbours
 * (kernels.h), so this changes no bit of it.
 */
#include <math.h>
#include <string.h>

#include "gpt/model_internal.h"

static int check_ready(const gpt_model *model, enum gpt_head head, bool backward, cairn_error *err)
{
	if (model->head != head)
		return cairn_error_set(err, CAIRN_EBUG, "the model has no %s head",
			head == GPT_HEAD_LM ? "language-model" : "scalar");
	if (!model->acts->ready)
		return cairn_error_set(err, CAIRN_EBUG, "the model's head before gpt_forward()");
	if (backward && !(model->grads && model->acts->kept))
		return cairn_error_set(
			err, CAIRN_EBUG, "backward after a forward pass that kept nothing for it");
	return 0;
}

static bool is_padding(const gpt_activations *acts, int64_t r)
{
	return r % acts->T >= acts->host_length[r / acts->T];
}

/* The rows with a target: their number; on the host index in host_b, on dev target and index.
 * Padding has no target whatever the caller says. */
static int put_targets(gpt_model *model, const int32_t *target, int64_t *n, cairn_error *err)
{
	const cairn_kernels *k = model->k;
	const gpt_activations *acts = model->acts;
	int64_t rows = 0;

	for (int64_t r = 0; r < acts->R; r++) {
		if (is_padding(acts, r) || target[r] == -1)
			continue;
		if (target[r] < 0 || target[r] >= model->config.n_vocab)
			return cairn_error_set(err, CAIRN_EPARAM,
				"target %d does not fit a model of n_vocab = %d", target[r],
				model->config.n_vocab);
		acts->host_a[rows] = target[r];
		acts->host_b[rows++] = (int32_t)r;
	}
	k->write(k, acts->target, acts->host_a, (size_t)rows * sizeof(int32_t));
	k->write(k, acts->index, acts->host_b, (size_t)rows * sizeof(int32_t));
	*n = rows;
	return 0;
}

/* Spreads n values of the rows with a target over all rows; the others are 0. */
static void get_rows(const gpt_model *model, cairn_real *out, const cairn_real *dev, int64_t n)
{
	const gpt_activations *acts = model->acts;

	memset(out, 0, (size_t)acts->R * sizeof(*out));
	if (n == 0)
		return;
	model->k->read(model->k, acts->host_real, dev, (size_t)n * sizeof(*dev));
	for (int64_t i = 0; i < n; i++)
		out[acts->host_b[i]] = acts->host_real[i];
}

static int check_temperature(double temperature, cairn_error *err)
{
	if (temperature > 0 && isfinite(temperature))
		return 0;
	return cairn_error_set(err, CAIRN_EPARAM, "temperature cannot be %g", temperature);
}

/* The head over n rows with targets; with dloss, dnarrow becomes d/dh of all rows. */
static void lm_head(
	gpt_model *model, int64_t n, double temperature, const cairn_real *dloss, bool entropy)
{
	const cairn_kernels *k = model->k;
	gpt_activations *acts = model->acts;
	int64_t C = model->config.n_embd, R = acts->R;
	bool gathered = n < R;
	cairn_lm_head head = {
		.R = n,
		.C = C,
		.V = model->config.n_vocab,
		.h = gathered ? acts->wide : acts->h,
		.wte = gpt__param(model, gpt__unembedding(model)),
		.target = acts->target,
		.temperature = (cairn_real)temperature,
		.logprob = acts->logprob,
		.entropy = entropy ? acts->entropy : NULL,
	};

	if (gathered)
		k->gather_rows(k, acts->wide, acts->h, acts->index, n, C);
	if (dloss) {
		for (int64_t i = 0; i < n; i++)
			acts->host_real[i] = dloss[acts->host_b[i]];
		k->write(k, acts->weight, acts->host_real, (size_t)n * sizeof(cairn_real));
		head.dlogprob = acts->weight;
		head.dh = gathered ? acts->wide + n * C : acts->dnarrow;
		head.dwte = gpt__grad(model, gpt__unembedding(model));
	}
	k->lm_head(k, &head);
	if (dloss && gathered) {
		k->zero(k, acts->dnarrow, (size_t)(R * C) * sizeof(cairn_real));
		k->scatter_rows(k, acts->dnarrow, head.dh, acts->index, n, C);
	}
}

int gpt_logprobs(gpt_model *model, const int32_t *target, double temperature, cairn_real *logprob,
	cairn_real *entropy, cairn_error *err)
{
	int64_t n;
	int rc = check_ready(model, GPT_HEAD_LM, false, err);

	if (!rc)
		rc = check_temperature(temperature, err);
	if (!rc)
		rc = put_targets(model, target, &n, err);
	if (rc)
		return rc;
	if (n > 0)
		lm_head(model, n, temperature, NULL, entropy != NULL);
	get_rows(model, logprob, model->acts->logprob, n);
	if (entropy)
		get_rows(model, entropy, model->acts->entropy, n);
	return 0;
}

int gpt_logprobs_backward(gpt_model *model, const int32_t *target, double temperature,
	const cairn_real *dloss_dlogprob, cairn_real *logprob, cairn_real *entropy,
	cairn_error *err)
{
	int64_t n;
	int rc = check_ready(model, GPT_HEAD_LM, true, err);

	if (!rc)
		rc = check_temperature(temperature, err);
	if (!rc)
		rc = put_targets(model, target, &n, err);
	if (rc)
		return rc;
	if (n > 0) {
		lm_head(model, n, temperature, dloss_dlogprob, entropy != NULL);
		gpt__backward(model);
	}
	if (logprob)
		get_rows(model, logprob, model->acts->logprob, n);
	if (entropy)
		get_rows(model, entropy, model->acts->entropy, n);
	return 0;
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
	return 0;
}

/* value = h score + bias: adds to the head's gradients, dnarrow = dvalue score^T. */
static void score_backward(gpt_model *model)
{
	const cairn_kernels *k = model->k;
	const gpt_activations *acts = model->acts;
	size_t weight = gpt__after_layers(&model->config, SCORE_WEIGHT);
	int64_t C = model->config.n_embd, R = acts->R;

	k->bias_backward(k, gpt__grad(model, weight + 1), acts->weight, R, 1);
	k->gemm(k, &(cairn_gemm){
			   .M = C,
			   .N = 1,
			   .K = R,
			   .transpose_a = true,
			   .accumulate = true,
			   .A = acts->h,
			   .lda = C,
			   .B = acts->weight,
			   .ldb = 1,
			   .C = gpt__grad(model, weight),
			   .ldc = 1,
		   });
	k->gemm(k, &(cairn_gemm){
			   .M = R,
			   .N = C,
			   .K = 1,
			   .A = acts->weight,
			   .lda = 1,
			   .B = gpt__param(model, weight),
			   .ldb = C,
			   .C = acts->dnarrow,
			   .ldc = C,
		   });
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
	score_backward(model);
	gpt__backward(model);
	return 0;
}
