/* SPDX-License-Identifier: Apache-2.0 */
/* sample_estimate.c - what sampling will cost, before it runs. */
#include "sample.h"

#include "gpt/train_estimate.h"

int sample_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const sample_params *params = opaque;
	double n_params = gpt_estimate_number(inputs, n_inputs, "policy", "n_params", 0);
	double rows = gpt_estimate_number(inputs, n_inputs, "prompts", "rows", 0);
	double length = gpt_estimate_length(
		inputs, n_inputs, "policy", params->max_prompt, params->max_new);

	if (params->max_prompts > 0 && rows > (double)params->max_prompts)
		rows = (double)params->max_prompts;
	*out = (cairn_estimate){
		.flop = 2 * n_params * rows * (double)params->K * length,
		.memory_bytes = gpt_estimate_bytes(n_params, 0),
	};
	return 0;
}
