/* SPDX-License-Identifier: Apache-2.0 */
/* sft.h - what a workflow can set, and what the descriptor calls. */
#ifndef CAIRN_SFT_H
#define CAIRN_SFT_H

#include "cairn/stage.h"

typedef struct sft_params {
	int64_t epochs, batch, micro_tokens;
	int64_t max_prompt, max_response;
	int32_t loss_on; /* 0 completion, 1 all */
	double lr, lr_floor;
	int64_t warmup;
	int32_t schedule; /* enum gpt_schedule */
	double beta1, beta2, adam_eps;
	int32_t adam_form; /* 0 torch, 1 tf */
	double weight_decay, grad_clip, dropout;
	double pretrain_mix;
	int64_t pretrain_length;
	int64_t eval_every;
} sft_params;

int sft_check(const void *params, cairn_error *err);
int sft_estimate(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out);
int sft_run(const cairn_host *host, cairn_run *run, const void *params);

#endif
