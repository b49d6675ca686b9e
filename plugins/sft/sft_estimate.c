/* SPDX-License-Identifier: Apache-2.0 */
/* sft_estimate.c - what supervised fine-tuning will cost, before it runs. */
#include "sft.h"

#include "gpt/train_estimate.h"

int sft_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const sft_params *params = opaque;
	double n_params = gpt_estimate_number(inputs, n_inputs, "base", "n_params", 0);
	double rows = gpt_estimate_number(inputs, n_inputs, "demos", "rows", 0);
	double length = gpt_estimate_length(
		inputs, n_inputs, "base", params->max_prompt, params->max_response);

	*out = (cairn_estimate){
		.flop = 6 * n_params * rows * (double)params->epochs * length /
			(1 - params->pretrain_mix),
		.memory_bytes = gpt_estimate_bytes(n_params, 1),
		.output_bytes = gpt_estimate_bytes(n_params, 0),
	};
	return 0;
}
