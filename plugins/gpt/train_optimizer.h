/* SPDX-License-Identifier: Apache-2.0 */
/*
 * train_optimizer.h - how pretrain, sft and rm optimize: Adam's settings and the learning rate
 * as parameters of a workflow. (ppo has two networks and a warm-up of its own, and takes Adam's
 * part.)
 */
#ifndef CAIRN_GPT_TRAIN_OPTIMIZER_H
#define CAIRN_GPT_TRAIN_OPTIMIZER_H

#include "gpt/train_run.h"

/* Parts of a stage's parameter struct. */
typedef struct gpt_adam_params {
	double beta1, beta2, eps;
	int32_t form; /* 0 torch, 1 tf */
	double weight_decay, grad_clip;
} gpt_adam_params;

typedef struct gpt_optimizer_params {
	double lr, lr_floor;
	int64_t warmup;
	int32_t schedule; /* enum gpt_schedule */
	gpt_adam_params adam;
	double dropout;
} gpt_optimizer_params;

gpt_adam_options gpt_adam_options_of(const gpt_adam_params *params);

/* Makes the optimizer of a model, and sets the dropout of passes that train. */
CAIRN_MUST int gpt_optimizer_open(
	gpt_adam **out, gpt_work *work, const gpt_model *model, const gpt_optimizer_params *params);
/* Step `step` (from 0) of `total` from the gradients in the model. Gives the rate and the norm of
 * the gradient before clipping. The first step of a warm-up is not lost on a rate of 0. */
CAIRN_MUST int gpt_optimizer_step(gpt_work *work, gpt_adam *adam, gpt_model *model,
	const gpt_optimizer_params *params, uint64_t step, uint64_t total, double *lr,
	double *norm);

#endif
