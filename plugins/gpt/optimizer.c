/* SPDX-License-Identifier: Apache-2.0 */
/*
 * optimizer.c - AdamW, clipping and schedules.
 *
 * Weight decay touches matrices only: all tensors of two dimensions, the embeddings wte and
 * wpe among them, as GPT-2's successors do it; gains, biases and the scalar head do not decay.
 * Matrices lie first in the flat buffer, so a step is two calls at most.
 */
#include <math.h>

#include "base/alloc.h"
#include "gpt/exact.h"
#include "gpt/no_memory.h"
#include "gpt/optimizer.h"

static int check_options(const gpt_adam_options *options, cairn_error *err)
{
	if (!(options->beta1 >= 0 && options->beta1 < 1 && options->beta2 >= 0 &&
		    options->beta2 < 1))
		return cairn_error_set(err, CAIRN_EPARAM, "adam cannot have betas %g and %g",
			options->beta1, options->beta2);
	if (!(options->eps > 0))
		return cairn_error_set(err, CAIRN_EPARAM, "adam cannot have eps %g", options->eps);
	if (!(options->weight_decay >= 0 && options->clip >= 0))
		return cairn_error_set(err, CAIRN_EPARAM,
			"adam cannot have weight decay %g and clipping at %g",
			options->weight_decay, options->clip);
	return 0;
}

int gpt_adam_new(
	gpt_adam **out, const gpt_model *model, const gpt_adam_options *options, cairn_error *err)
{
	const cairn_kernels *k = model->k;
	size_t bytes = model->n_params * sizeof(cairn_real);
	gpt_adam *adam;
	int rc = check_options(options, err);

	if (rc)
		return rc;
	if (!model->grads)
		return cairn_error_set(
			err, CAIRN_EBUG, "an optimizer for a model without gradients");
	adam = cairn_alloc(1, sizeof(*adam));
	if (adam) {
		adam->options = *options;
		adam->k = k;
		adam->m = k->alloc(k, bytes);
		adam->v = k->alloc(k, bytes);
	}
	if (!adam || !adam->m || !adam->v) {
		gpt_adam_free(adam);
		return gpt_no_memory_for(k, "adam's moments", 2 * bytes,
			"Take a smaller model, or a device with more memory.", err);
	}
	*out = adam;
	return 0;
}

void gpt_adam_free(gpt_adam *adam)
{
	if (!adam)
		return;
	if (adam->m)
		adam->k->free(adam->k, adam->m);
	if (adam->v)
		adam->k->free(adam->k, adam->v);
	free(adam);
}

/* Where the vectors begin. */
static size_t end_of_matrices(const gpt_model *model)
{
	size_t end = model->n_params;

	for (size_t i = 0; i < model->n_tensors; i++)
		if (!model->tensors[i].decays && model->tensors[i].offset < end)
			end = model->tensors[i].offset;
	return end;
}

static void update(
	const gpt_adam *adam, gpt_model *model, size_t from, size_t to, const cairn_adam *step)
{
	cairn_adam part = *step;

	if (from == to)
		return;
	part.n = (int64_t)(to - from);
	part.w = gpt_params_change(model) + from;
	part.g = model->grads + from;
	part.m = adam->m + from;
	part.v = adam->v + from;
	adam->k->adam(adam->k, &part);
}

int gpt_adam_step(gpt_adam *adam, gpt_model *model, double lr, double *norm, cairn_error *err)
{
	const gpt_adam_options *options = &adam->options;
	size_t matrices = end_of_matrices(model);
	double length;
	int rc;
	cairn_adam step = {
		.grad_scale = 1,
		.lr = lr,
		.beta1 = options->beta1,
		.beta2 = options->beta2,
		.eps = options->eps,
		.t = adam->t + 1,
		.tf_form = options->tf_form,
	};

	gpt_finish_grads(model);
	length = sqrt(adam->k->sum_squares(adam->k, model->grads, (int64_t)model->n_params));
	rc = adam->k->status(adam->k, err);
	if (rc)
		return rc;
	if (!isfinite(length)) {
		(void)cairn_error_set(err, CAIRN_EDIVERGED,
			"the gradient is not finite at optimizer step %llu",
			(unsigned long long)adam->t + 1);
		cairn_error_hint(err, "Lower the learning rate, or clip the gradient.");
		return CAIRN_EDIVERGED;
	}
	if (norm)
		*norm = length;
	if (options->clip > 0 && length > options->clip)
		step.grad_scale = options->clip / length;
	step.weight_decay = options->weight_decay;
	update(adam, model, 0, matrices, &step);
	step.weight_decay = 0;
	update(adam, model, matrices, model->n_params, &step);
	adam->t++;
	return 0;
}

double gpt_learning_rate(enum gpt_schedule schedule, double lr, double floor, uint64_t step,
	uint64_t total, uint64_t warmup, double warmup_from)
{
	double done = 1;

	if (step < warmup)
		return lr * (warmup_from + (1 - warmup_from) * (double)step / (double)warmup);
	if (step < total)
		done = (double)(step - warmup) / (double)(total - warmup);
	switch (schedule) {
	case GPT_SCHEDULE_CONSTANT:
		return lr;
	case GPT_SCHEDULE_COSINE:
		return lr * (floor + (1 - floor) * 0.5 * (1 + gpt_cos_turns(done / 2)));
	case GPT_SCHEDULE_LINEAR:
		return lr * (1 - (1 - floor) * done);
	}
	CAIRN_UNREACHABLE();
}
