/* SPDX-License-Identifier: Apache-2.0 */
/* pretrain_estimate.c - what pretraining will cost, before it runs. */
#include "pretrain.h"

#include "gpt/model.h"
#include "gpt/train_estimate.h"

int pretrain_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const pretrain_params *params = opaque;
	uint64_t context = (uint64_t)(params->context ? params->context : params->n_ctx);
	gpt_config config = {
		.n_layer = (int32_t)params->n_layer,
		.n_head = (int32_t)params->n_head,
		.n_embd = (int32_t)params->n_embd,
		.n_ctx = (int32_t)params->n_ctx,
		.n_vocab = (int32_t)gpt_estimate_number(
			inputs, n_inputs, "tokenizer", "n_vocab", 50257),
		.n_inner = (int32_t)(4 * params->n_embd),
	};
	int64_t B = params->micro_tokens / (int64_t)context;
	double n_params = (double)gpt_param_count(&config, GPT_HEAD_LM);
	double tokens =
		(double)pretrain_total_steps(params) * (double)params->batch * (double)context;

	*out = (cairn_estimate){
		.flop = 6 * n_params * tokens,
		.memory_bytes = gpt_memory_bytes(&config, GPT_HEAD_LM, B > 0 ? B : 1,
					(int64_t)context, true) +
				(uint64_t)(8 * n_params),
		.output_bytes = gpt_estimate_bytes(n_params, 0),
	};
	return 0;
}
