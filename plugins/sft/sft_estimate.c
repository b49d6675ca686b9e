/* SPDX-License-Identifier: Apache-2.0 */
/* sft_estimate.c - what supervised fine-tuning will cost, before it runs (METHOD 1.9). */
#include "sft.h"

#include "gpt/train_memory.h"

/* Epochs after which held-out demonstrations are measured, and the finished model. */
static double validations(const sft_params *params, double steps)
{
	double every = (double)params->eval_every;

	return 1 + (every > 0 ? steps / every : (double)params->epochs);
}

/* Responses that are drawn and scored to choose an epoch. */
static void add_selection(const sft_params *params, gpt_estimate_inputs in,
	const gpt_network *network, const gpt_network *reward, cairn_estimate *out)
{
	double prompts = gpt_estimate_rows(in, "valid", out), most = (double)params->select_prompts;
	double points =
		(double)((params->epochs + params->select_every - 1) / params->select_every);
	double tokens;

	if (most > 0 && prompts > most)
		prompts = most;
	tokens = points * prompts *
		 gpt_estimate_length(network, params->max_prompt, params->select_max_new);
	gpt_estimate_forward(out, CAIRN_ACCOUNT_ROLLOUT, network, tokens);
	gpt_estimate_forward(out, CAIRN_ACCOUNT_REWARD, reward, tokens);
}

int sft_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const sft_params *params = opaque;
	gpt_estimate_inputs in = gpt_estimate_begin(inputs, n_inputs, out);
	gpt_network network = gpt_estimate_network(in, "base", GPT_HEAD_LM, out), reward;
	gpt_token_lengths length = gpt_estimate_lengths(
		in, "demos", &network, params->max_prompt, params->max_response);
	double window = params->pretrain_length > 0 ? (double)params->pretrain_length
						    : gpt_estimate_length(&network, 0, 0);
	double rows = gpt_estimate_rows(in, "demos", out) * (double)params->epochs;
	double text = params->pretrain_mix / (1 - params->pretrain_mix); /* of a demonstration */
	double held_out = gpt_estimate_rows(in, "valid", out);
	double tokens = rows * length.mean + text * rows * window;
	gpt_pass_shape passes[] = {
		gpt_micro_shape(
			out, params->micro_tokens, length.longest, (double)params->batch, true),
		gpt_micro_shape(
			out, params->micro_tokens, window, text * (double)params->batch, true),
		gpt_micro_shape(out, params->micro_tokens, length.longest, held_out, false),
		gpt_prefill_shape(params->select_batch, length.longest),
	};
	gpt_memory memory;

	/* What is not there is no pass of its own. */
	if (text == 0)
		passes[1] = passes[0];
	if (!gpt_estimate_bound(in, "valid"))
		passes[2] = passes[0];
	if (params->select != SFT_SELECT_REWARD)
		passes[3] = passes[0];
	passes[0].recomputes = passes[1].recomputes = params->recompute;
	gpt_estimate_training(out, &network, tokens);
	if (params->recompute)
		gpt_estimate_add(
			out, CAIRN_ACCOUNT_BACKWARD, gpt_estimate_again(&network) * tokens);
	gpt_estimate_forward(out, CAIRN_ACCOUNT_FORWARD, &network,
		held_out * length.mean * validations(params, rows / (double)params->batch));
	gpt_memory_begin(&memory, out);
	gpt_memory_input(&memory, in, "pretrain");
	gpt_memory_network(&memory, &network, true, passes, CAIRN_COUNT(passes));
	if (params->select != SFT_SELECT_LAST)
		gpt_memory_copy(&memory, &network, true);
	if (params->select == SFT_SELECT_REWARD) {
		reward = gpt_estimate_network(in, "reward", GPT_HEAD_SCALAR, out);
		passes[0].keeps = false;
		add_selection(params, in, &network, &reward, out);
		gpt_memory_network(&memory, &reward, false, passes, 1);
		gpt_memory_cache(&memory, &network, params->select_batch, length.longest);
	}
	gpt_memory_process(&memory, &network, &passes[0]);
	gpt_estimate_makes_model(out, "model", &network);
	return 0;
}
