/* SPDX-License-Identifier: Apache-2.0 */
/* ppo_estimate.c - what PPO and PPO-ptx (METHOD 1.9) will cost, before it runs. */
#include "ppo.h"

#include "gpt/train_estimate.h"

int ppo_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const ppo_params *params = opaque;
	double policy = gpt_estimate_number(inputs, n_inputs, "policy", "n_params", 0);
	double reward = gpt_estimate_number(inputs, n_inputs, "reward", "n_params", policy);
	double value = gpt_estimate_number(inputs, n_inputs, "value", "n_params", reward);
	double length = gpt_estimate_length(
		inputs, n_inputs, "policy", params->max_prompt, params->max_new);
	double ptx_length = params->ptx_length > 0 ? (double)params->ptx_length : length;
	double episodes = (double)ppo_count_iterations(params) * (double)params->batch;
	double inner = (double)params->inner_epochs;
	/* Rollout, reference, training; METHOD 1.9. */
	double flop = (2 + 2 + 6 * inner) * policy * episodes * length;

	flop += (2 * reward + (2 + 6 * inner) * value) * episodes * length;
	if (params->gamma_ptx > 0)
		flop += 6 * policy * inner * (double)params->ptx_ratio * episodes * ptx_length;
	*out = (cairn_estimate){
		.flop = flop,
		.memory_bytes = gpt_estimate_bytes(policy, 1) + gpt_estimate_bytes(value, 1) +
				2 * gpt_estimate_bytes(policy, 0) + gpt_estimate_bytes(reward, 0),
		.output_bytes = gpt_estimate_bytes(policy, 0),
	};
	return 0;
}
