/* SPDX-License-Identifier: Apache-2.0 */
/* eval_estimate.c - what an evaluation will cost, before it runs. */
#include "eval.h"

#include "gpt/train_memory.h"

/* One of the two models: it answers, and reads the held-out text. */
static void add_side(const eval_params *params, gpt_estimate_inputs in, const char *port,
	double drawn, gpt_memory *memory)
{
	cairn_estimate *out = memory->out;
	gpt_network network;
	double valid;
	gpt_token_lengths length;
	gpt_pass_shape passes[2];

	if (!gpt_estimate_bound(in, port))
		return;
	network = gpt_estimate_network(in, port, GPT_HEAD_LM, out);
	length = gpt_estimate_drawn(in, "prompts", &network, params->max_prompt, params->max_new);
	valid = gpt_estimate_number(in, "pretrain", "valid_tokens", (double)params->valid_tokens);
	if (valid > (double)params->valid_tokens)
		valid = (double)params->valid_tokens;
	passes[0] = gpt_prefill_shape(gpt_slots(params->batch, drawn), length.prompt);
	passes[1] = gpt_micro_shape(out, params->micro_tokens, length.longest, drawn, false);
	gpt_estimate_forward(out, CAIRN_ACCOUNT_ROLLOUT, &network, drawn * length.mean);
	if (gpt_estimate_bound(in, "pretrain"))
		gpt_estimate_forward(out, CAIRN_ACCOUNT_FORWARD, &network, valid);
	gpt_memory_network(memory, &network, false, passes, CAIRN_COUNT(passes));
}

int eval_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const eval_params *params = opaque;
	gpt_estimate_inputs in = gpt_estimate_begin(inputs, n_inputs, out);
	gpt_network model = gpt_estimate_network(in, "model", GPT_HEAD_LM, out), reward, reference;
	gpt_token_lengths length =
		gpt_estimate_drawn(in, "prompts", &model, params->max_prompt, params->max_new);
	double rows = gpt_estimate_rows(in, "prompts", out), drawn, ranked;
	gpt_pass_shape micro;
	gpt_memory memory;
	int64_t slots;

	if (params->max_prompts > 0 && rows > (double)params->max_prompts)
		rows = (double)params->max_prompts;
	drawn = rows * (double)params->K;
	ranked = gpt_estimate_number(in, "rankings", "completions", 0);
	slots = gpt_slots(params->batch, drawn);
	micro = gpt_micro_shape(out, params->micro_tokens, length.longest, drawn, false);
	gpt_memory_begin(&memory, out);
	add_side(params, in, "model", drawn, &memory);
	add_side(params, in, "baseline", drawn, &memory);
	if (gpt_estimate_bound(in, "reference")) {
		/* The model's answers are read by both. */
		reference = gpt_estimate_network(in, "reference", GPT_HEAD_LM, out);
		gpt_estimate_forward(out, CAIRN_ACCOUNT_FORWARD, &model, drawn * length.mean);
		gpt_estimate_forward(out, CAIRN_ACCOUNT_REFERENCE, &reference, drawn * length.mean);
		gpt_memory_network(&memory, &reference, false, &micro, 1);
	}
	if (gpt_estimate_bound(in, "reward")) {
		reward = gpt_estimate_network(in, "reward", GPT_HEAD_SCALAR, out);
		drawn *= gpt_estimate_bound(in, "baseline") ? 2 : 1;
		gpt_estimate_forward(
			out, CAIRN_ACCOUNT_REWARD, &reward, (drawn + ranked) * length.mean);
		gpt_memory_network(&memory, &reward, false, &micro, 1);
	}
	/* The two answer one after the other. */
	gpt_memory_cache(&memory, &model, slots, length.longest);
	gpt_memory_input(&memory, in, "pretrain");
	gpt_memory_process(&memory, &model, &micro);
	return 0;
}
