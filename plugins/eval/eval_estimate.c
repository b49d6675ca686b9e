/* SPDX-License-Identifier: Apache-2.0 */
/* eval_estimate.c - what an evaluation will cost, before it runs. */
#include "eval.h"

#include "gpt/train_estimate.h"

int eval_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const eval_params *params = opaque;
	double model = gpt_estimate_number(inputs, n_inputs, "model", "n_params", 0);
	double baseline = gpt_estimate_number(inputs, n_inputs, "baseline", "n_params", 0);
	double reward = gpt_estimate_number(inputs, n_inputs, "reward", "n_params", 0);
	double rows = gpt_estimate_number(inputs, n_inputs, "prompts", "rows", 0);
	double length =
		gpt_estimate_length(inputs, n_inputs, "model", params->max_prompt, params->max_new);
	double drawn, valid = (double)params->valid_tokens;

	if (params->max_prompts > 0 && rows > (double)params->max_prompts)
		rows = (double)params->max_prompts;
	drawn = rows * (double)params->K * length;
	*out = (cairn_estimate){
		.flop = 2 * (model + baseline) * (drawn + valid) +
			2 * reward * drawn * (baseline > 0 ? 2 : 1),
		.memory_bytes = gpt_estimate_bytes(model + baseline + reward, 0),
	};
	return 0;
}
