/* SPDX-License-Identifier: Apache-2.0 */
/* rm_estimate.c - what the reward model (METHOD 1.4) will cost, before it runs. */
#include "rm.h"

#include "gpt/train_estimate.h"

int rm_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const rm_params *params = opaque;
	double n_params = gpt_estimate_number(inputs, n_inputs, "init", "n_params", 0);
	double rows = gpt_estimate_number(inputs, n_inputs, "rankings", "rows", 0);
	/* Without its own count a ranking is taken to have 4 completions, the paper's least. */
	double K = gpt_estimate_number(inputs, n_inputs, "rankings", "completions", 4 * rows);
	double length = gpt_estimate_length(
		inputs, n_inputs, "init", params->max_prompt, params->max_response);

	*out = (cairn_estimate){
		.flop = 6 * n_params * K * (double)params->epochs * length,
		.memory_bytes = gpt_estimate_bytes(n_params, 1),
		.output_bytes = gpt_estimate_bytes(n_params, 0),
	};
	return 0;
}
