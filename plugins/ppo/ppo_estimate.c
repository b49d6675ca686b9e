/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ppo_estimate.c - what PPO and PPO-ptx will cost, before they run.
 *
 * METHOD 1.9: of each token of an episode the policy draws it (2N), the reference scores it
 * (2N) and the policy learns from it (6N); reward model and value function read it (2R, 2V)
 * and the value function learns (6V). With ptx, ptx_ratio times as many sequences of text
 * (6N). The sampler's log-probabilities are the old ones, so nothing is read twice; but where what
 * a row gives depends on its batch, the policy reads what it has drawn once more (2N).
 */
#include "ppo.h"

#include "gpt/train_memory.h"

/* The value function starts as a model of its own, or as the reward model. */
static gpt_network value_of(gpt_estimate_inputs in, const gpt_network *reward, cairn_estimate *out)
{
	if (gpt_estimate_bound(in, "value"))
		return gpt_estimate_network(in, "value", GPT_HEAD_SCALAR, out);
	return *reward;
}

static void add_memory(const ppo_params *params, gpt_estimate_inputs in, gpt_token_lengths drawn,
	double window, const gpt_network networks[3], cairn_estimate *out)
{
	const gpt_network *policy = &networks[0], *reward = &networks[1], *value = &networks[2];
	double length = drawn.longest, minibatch = (double)params->minibatch,
	       batch = (double)params->batch;
	int64_t slots = gpt_slots(0, batch);
	gpt_pass_shape learnt[] = {
		gpt_micro_shape(out, params->micro_tokens, length, minibatch, true),
		gpt_micro_shape(out, params->micro_tokens, window,
			minibatch * (double)params->ptx_ratio, params->gamma_ptx > 0),
		gpt_prefill_shape(slots, drawn.prompt),
		gpt_micro_shape(out, params->micro_tokens, length, batch, false),
	};
	const gpt_pass_shape *read = &learnt[3];
	gpt_memory memory;

	if (params->gamma_ptx == 0)
		learnt[1] = learnt[0];
	learnt[0].recomputes = learnt[1].recomputes = params->recompute;
	gpt_memory_begin(&memory, out);
	gpt_memory_input(&memory, in, "pretrain");
	gpt_memory_network(&memory, policy, true, learnt, CAIRN_COUNT(learnt));
	gpt_memory_network(&memory, policy, false, read, 1); /* the reference */
	gpt_memory_network(&memory, reward, false, read, 1);
	gpt_memory_network(&memory, value, true, learnt, 1);
	gpt_memory_cache(&memory, policy, slots, length);
	gpt_memory_copy_on_host(&memory, policy); /* to verify that the reference never changes */
	if (params->ema > 0)
		gpt_memory_copy(&memory, policy, true);
	gpt_memory_process(&memory, policy, &learnt[0]);
}

int ppo_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const ppo_params *params = opaque;
	gpt_estimate_inputs in = gpt_estimate_begin(inputs, n_inputs, out);
	gpt_network policy = gpt_estimate_network(in, "policy", GPT_HEAD_LM, out);
	gpt_network reward = gpt_estimate_network(in, "reward", GPT_HEAD_SCALAR, out);
	gpt_network value = value_of(in, &reward, out);
	gpt_token_lengths length =
		gpt_estimate_drawn(in, "prompts", &policy, params->max_prompt, params->max_new);
	double window = params->ptx_length > 0 ? (double)params->ptx_length
					       : gpt_estimate_length(&policy, 0, 0);
	double inner = (double)params->inner_epochs;
	double episodes = (double)ppo_count_iterations(params) * (double)params->batch;
	double tokens = episodes * length.mean;
	double ptx =
		params->gamma_ptx > 0 ? inner * (double)params->ptx_ratio * episodes * window : 0;

	gpt_estimate_forward(out, CAIRN_ACCOUNT_ROLLOUT, &policy, tokens);
	if (out->compute.act_bytes > 0 && !out->compute.batch_invariant)
		gpt_estimate_forward(out, CAIRN_ACCOUNT_ROLLOUT, &policy, tokens);
	gpt_estimate_forward(out, CAIRN_ACCOUNT_REFERENCE, &policy, tokens);
	gpt_estimate_forward(out, CAIRN_ACCOUNT_REWARD, &reward, tokens);
	gpt_estimate_add(out, CAIRN_ACCOUNT_VALUE, (2 + 6 * inner) * value.n_params * tokens);
	gpt_estimate_training(out, &policy, inner * tokens);
	gpt_estimate_add(out, CAIRN_ACCOUNT_PTX, 6 * policy.n_params * ptx);
	if (params->recompute) {
		double again = gpt_estimate_again(&policy);

		gpt_estimate_add(out, CAIRN_ACCOUNT_BACKWARD, again * inner * tokens);
		gpt_estimate_add(out, CAIRN_ACCOUNT_PTX, again * ptx);
		gpt_estimate_add(
			out, CAIRN_ACCOUNT_VALUE, gpt_estimate_again(&value) * inner * tokens);
	}
	add_memory(params, in, length, window, (gpt_network[]){policy, reward, value}, out);
	gpt_estimate_makes_model(out, "model", &policy);
	return 0;
}
