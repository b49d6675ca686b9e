/* SPDX-License-Identifier: Apache-2.0 */
/* train_optimizer.c - from parameters to Adam and its rate; see train_optimizer.h. */
#include "gpt/train_optimizer.h"

gpt_adam_options gpt_adam_options_of(const gpt_adam_params *params)
{
	return (gpt_adam_options){
		.beta1 = params->beta1,
		.beta2 = params->beta2,
		.eps = params->eps,
		.weight_decay = params->weight_decay,
		.clip = params->grad_clip,
		.tf_form = params->form == 1,
	};
}

int gpt_optimizer_open(
	gpt_adam **out, gpt_work *work, const gpt_model *model, const gpt_optimizer_params *params)
{
	gpt_adam_options options = gpt_adam_options_of(&params->adam);
	cairn_error err = {0};

	work->dropout = params->dropout;
	work->dropout_key = work->host->rng_key(work->run, "dropout");
	if (gpt_adam_new(out, model, &options, &err))
		return gpt_report(work, &err);
	return 0;
}

int gpt_optimizer_step(gpt_work *work, gpt_adam *adam, gpt_model *model,
	const gpt_optimizer_params *params, uint64_t step, uint64_t total, double *lr, double *norm)
{
	uint64_t warmup = (uint64_t)params->warmup;

	*lr = gpt_learning_rate((enum gpt_schedule)params->schedule, params->lr, params->lr_floor,
		step, total, warmup, 1.0 / (double)(warmup + 1));
	return gpt_update(work, adam, model, *lr, norm);
}
