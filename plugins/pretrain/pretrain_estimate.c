/* SPDX-License-Identifier: Apache-2.0 */
/* pretrain_estimate.c - what pretraining will cost, before it runs (METHOD 1.9: 6ND). */
#include "pretrain.h"

#include "gpt/train_memory.h"

#define GPT2_VOCABULARY 50257 /* where the tokenizer is not known */

static gpt_network network_of(const pretrain_params *params, gpt_estimate_inputs in)
{
	gpt_config config = {
		.n_layer = (int32_t)params->n_layer,
		.n_head = (int32_t)params->n_head,
		.n_embd = (int32_t)params->n_embd,
		.n_ctx = (int32_t)params->n_ctx,
		.n_vocab =
			(int32_t)gpt_estimate_number(in, "tokenizer", "n_vocab", GPT2_VOCABULARY),
		.n_inner = (int32_t)(4 * params->n_embd),
	};

	return gpt_network_of(&config, GPT_HEAD_LM);
}

/* Held-out tokens that are measured, over all validations. */
static double validated(const pretrain_params *params, gpt_estimate_inputs in)
{
	double most = (double)params->valid_tokens, steps = (double)pretrain_total_steps(params);
	double there = gpt_estimate_number(in, "tokens", "valid_tokens", most);
	double times = 2; /* after the last step, and of the finished model */

	if (params->eval_every > 0)
		times += (double)((int64_t)steps / params->eval_every);
	return times * (there < most ? there : most);
}

int pretrain_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const pretrain_params *params = opaque;
	gpt_estimate_inputs in = gpt_estimate_begin(inputs, n_inputs, out);
	gpt_network network = network_of(params, in);
	double length = (double)(params->context ? params->context : params->n_ctx);
	double tokens = (double)pretrain_total_steps(params) * (double)params->batch * length;
	gpt_pass_shape micro =
		gpt_micro_shape(out, params->micro_tokens, length, (double)params->batch, true);
	gpt_memory memory;

	micro.recomputes = params->recompute;
	gpt_estimate_training(out, &network, tokens);
	if (params->recompute)
		gpt_estimate_add(
			out, CAIRN_ACCOUNT_BACKWARD, gpt_estimate_again(&network) * tokens);
	gpt_estimate_forward(out, CAIRN_ACCOUNT_FORWARD, &network, validated(params, in));
	gpt_memory_begin(&memory, out);
	gpt_memory_input(&memory, in, "tokens");
	gpt_memory_network(&memory, &network, true, &micro, 1);
	gpt_memory_process(&memory, &network, &micro);
	gpt_estimate_makes_model(out, "model", &network);
	return 0;
}
