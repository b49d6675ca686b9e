/* SPDX-License-Identifier: Apache-2.0 */
/* rm_estimate.c - what training a reward model will cost, before it runs (METHOD 1.4). */
#include "rm.h"

#include "gpt/train_memory.h"

/* Completions of the rankings on a port: where they are not counted, as many as the paper's
 * labelers ranked at least (METHOD 1.4: K = 4..9). */
static double completions(gpt_estimate_inputs in, const char *port, cairn_estimate *out)
{
	return gpt_estimate_number(in, port, "completions", 4 * gpt_estimate_rows(in, port, out));
}

/* Sequences of an epoch that go through the network: a ranking's completions once, or, where every
 * pair is an element of its own, each of them K-1 times. */
static double sequences(const rm_params *params, double K_all, double rows)
{
	double K = rows > 0 ? K_all / rows : 0;

	return params->pairs == RM_PAIRS_SHUFFLED && K > 1 ? K_all * (K - 1) : K_all;
}

int rm_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const rm_params *params = opaque;
	gpt_estimate_inputs in = gpt_estimate_begin(inputs, n_inputs, out);
	gpt_network init = gpt_estimate_network(in, "init", GPT_HEAD_LM, out);
	gpt_network network = gpt_network_with(&init, GPT_HEAD_SCALAR);
	gpt_token_lengths length = gpt_estimate_lengths(
		in, "rankings", &network, params->max_prompt, params->max_response);
	double rows = gpt_estimate_rows(in, "rankings", out),
	       K_all = completions(in, "rankings", out);
	double trained = sequences(params, K_all, rows) * (double)params->epochs;
	/* Held-out rankings, and the demonstrations that set its bias. */
	double read = completions(in, "valid", out) + gpt_estimate_rows(in, "demos", out);
	double step = rows > 0 ? sequences(params, K_all, rows) / rows * (double)params->batch : 0;
	gpt_pass_shape passes[] = {
		gpt_micro_shape(out, params->micro_tokens, length.longest, step, true),
		gpt_micro_shape(out, params->micro_tokens, length.longest, read, false),
	};
	gpt_pass_shape *micro = &passes[0];
	gpt_memory memory;
	double K = rows > 0 ? K_all / rows : 1;

	if (params->pairs == RM_PAIRS_TOGETHER && (double)micro->B < K)
		micro->B = (int64_t)(K + 0.5); /* a ranking is never parted */
	micro->recomputes = params->recompute;
	gpt_estimate_training(out, &network, trained * length.mean);
	if (params->recompute)
		gpt_estimate_add(out, CAIRN_ACCOUNT_BACKWARD,
			gpt_estimate_again(&network) * trained * length.mean);
	gpt_estimate_forward(out, CAIRN_ACCOUNT_FORWARD, &network, read * length.mean);
	gpt_memory_begin(&memory, out);
	gpt_memory_network(&memory, &network, true, passes, read > 0 ? 2 : 1);
	gpt_memory_process(&memory, &network, micro);
	gpt_estimate_makes_model(out, "model", &network);
	return 0;
}
