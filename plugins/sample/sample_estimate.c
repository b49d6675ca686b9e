/* SPDX-License-Identifier: Apache-2.0 */
/* sample_estimate.c - what drawing completions will cost, before it runs. */
#include "sample.h"

#include "gpt/train_memory.h"

int sample_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const sample_params *params = opaque;
	gpt_estimate_inputs in = gpt_estimate_begin(inputs, n_inputs, out);
	gpt_network network = gpt_estimate_network(in, "policy", GPT_HEAD_LM, out);
	gpt_token_lengths length =
		gpt_estimate_drawn(in, "prompts", &network, params->max_prompt, params->max_new);
	double rows = gpt_estimate_rows(in, "prompts", out), drawn;
	gpt_pass_shape prefill;
	gpt_memory memory;
	int64_t slots;

	if (params->max_prompts > 0 && rows > (double)params->max_prompts)
		rows = (double)params->max_prompts;
	drawn = rows * (double)params->K;
	slots = gpt_slots(params->batch, drawn);
	prefill = gpt_prefill_shape(slots, length.prompt);
	gpt_estimate_forward(out, CAIRN_ACCOUNT_ROLLOUT, &network, drawn * length.mean);
	gpt_memory_begin(&memory, out);
	gpt_memory_network(&memory, &network, false, &prefill, 1);
	gpt_memory_cache(&memory, &network, slots, length.longest);
	gpt_memory_process(&memory, &network, &prefill);
	gpt_estimate_makes_rows(out, "completions", rows, drawn);
	return 0;
}
