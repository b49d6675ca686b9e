/* SPDX-License-Identifier: Apache-2.0 */
/* text_estimate.c - about how many tokens a text will give; counting them costs no FLOPs. */
#include "text.h"

#include <stdio.h>

#include "gpt/train_estimate.h"

/* English under GPT-2's tokenizer and its like. */
#define BYTES_PER_TOKEN 4.0
#define GPT2_VOCABULARY 50257

int text_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const struct params *params = opaque;
	gpt_estimate_inputs in = gpt_estimate_begin(inputs, n_inputs, out);
	double bytes = (double)gpt_estimate_bytes(in, "text"), tokens, valid, n_vocab;
	char members[128];

	if (params->max_bytes > 0 && bytes > (double)params->max_bytes)
		bytes = (double)params->max_bytes;
	tokens = bytes / BYTES_PER_TOKEN;
	valid = tokens * params->valid_fraction;
	n_vocab = gpt_estimate_bound(in, "vocab") ? GPT2_VOCABULARY : (double)params->n_vocab;
	n_vocab = gpt_estimate_number(in, "tokenizer", "n_vocab", n_vocab);
	(void)snprintf(members, sizeof(members), "\"n_vocab\":%.0f", n_vocab);
	gpt_estimate_makes(out, "tokenizer", members);
	if (tokens > 0) {
		(void)snprintf(members, sizeof(members),
			"\"n_vocab\":%.0f,\"train_tokens\":%.0f,\"valid_tokens\":%.0f", n_vocab,
			tokens - valid, valid);
		gpt_estimate_makes(out, "tokens", members);
		out->output_bytes = (uint64_t)(4 * tokens);
	}
	return 0;
}
