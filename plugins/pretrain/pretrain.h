/* SPDX-License-Identifier: Apache-2.0 */
/* pretrain.h - what a workflow can set, and what the descriptor calls. */
#ifndef CAIRN_PRETRAIN_H
#define CAIRN_PRETRAIN_H

#include "gpt/train_optimizer.h"

typedef struct pretrain_params {
	int64_t n_layer, n_head, n_embd, n_ctx;
	int64_t steps, tokens;
	int64_t batch, context, micro_tokens;
	int32_t recompute;
	gpt_optimizer_params optimizer;
	int64_t eval_every, valid_tokens;
} pretrain_params;

/* Optimizer steps that `steps` or `tokens` ask for. */
uint64_t pretrain_total_steps(const pretrain_params *params);
int pretrain_check(const void *params, cairn_error *err);
int pretrain_estimate(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out);
int pretrain_run(const cairn_host *host, cairn_run *run, const void *params);

#endif
