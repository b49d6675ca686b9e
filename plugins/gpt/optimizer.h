/* SPDX-License-Identifier: Apache-2.0 */
/* optimizer.h - AdamW over a model's flat buffer, gradient clipping, schedules, moving average. */
#ifndef CAIRN_GPT_OPTIMIZER_H
#define CAIRN_GPT_OPTIMIZER_H

#include "gpt/model.h"

typedef struct gpt_adam_options {
	double beta1, beta2, eps; /* METHOD 1.2: .9, .95; eps is not stated */
	double weight_decay;      /* matrices only */
	double clip;              /* largest gradient norm; 0: none */
	bool tf_form;             /* METHOD 2.11 */
} gpt_adam_options;

typedef struct gpt_adam {
	gpt_adam_options options;
	uint64_t t;        /* steps done */
	cairn_real *m, *v; /* dev, like the model's buffer */
	const cairn_kernels *k;
} gpt_adam;

CAIRN_MUST int gpt_adam_new(
	gpt_adam **out, const gpt_model *model, const gpt_adam_options *options, cairn_error *err);
void gpt_adam_free(gpt_adam *adam);
/* One step from model->grads (not cleared). *norm (may be NULL) is the norm before clipping.
 * EDIVERGED, and nothing changed, where the norm is not finite. */
CAIRN_MUST int gpt_adam_step(
	gpt_adam *adam, gpt_model *model, double lr, double *norm, cairn_error *err);

enum gpt_schedule {
	GPT_SCHEDULE_CONSTANT = 0,
	GPT_SCHEDULE_COSINE = 1,
	GPT_SCHEDULE_LINEAR = 2,
};

/* Learning rate of step `step` (from 0) of `total`: linear warm-up from `warmup_from` * lr over
 * `warmup` steps, then the schedule down to `floor` * lr. Golden numbers: METHOD 5.1. */
double gpt_learning_rate(enum gpt_schedule schedule, double lr, double floor, uint64_t step,
	uint64_t total, uint64_t warmup, double warmup_from);

#endif
