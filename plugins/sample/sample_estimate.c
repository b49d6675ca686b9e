/* SPDX-License-Identifier: Apache-2.0 */
/* sample_estimate.c - what drawing completions will cost, before it runs. */
#include "sample.h"

#include "gpt/train_memory.h"

#define DEFAULT_SLOTS 64

int sample_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const sample_params *params = opaque;
	gpt_estimate_inputs in = {inputs, n_inputs};
	gpt_network network = gpt_estimate_network(in, "policy", GPT_HEAD_LM, out);
	double length = gpt_estimate_length(&network, params->max_prompt, params->max_new);
	double rows = gpt_estimate_rows(in, "prompts", out), drawn;
	int64_t slots = params->batch > 0 ? params->batch : DEFAULT_SLOTS;
	gpt_pass_shape prefill = gpt_prefill_shape(slots, length);

	if (params->max_prompts > 0 && rows > (double)params->max_prompts)
		rows = (double)params->max_prompts;
	drawn = rows * (double)params->K;
	gpt_estimate_forward(out, CAIRN_ACCOUNT_ROLLOUT, &network, drawn * length);
	gpt_memory_process(out, &network, &prefill);
	gpt_memory_model_input(out, &network);
	gpt_memory_network(out, &network, false, &prefill, 1);
	gpt_memory_cache(out, &network, slots, length);
	gpt_estimate_makes_rows(out, "completions", rows, drawn);
	return 0;
}
