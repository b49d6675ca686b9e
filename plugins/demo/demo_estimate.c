/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo_estimate.c - about how many rows will come out; sifting costs no FLOPs.
 *
 * A line is a row, at most: duplicates, bad rows and what is over a cap are not known yet.
 */
#include "demo.h"

#include "gpt/train_estimate.h"

int demo_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const struct demo_params *params = opaque;
	gpt_estimate_inputs in = gpt_estimate_begin(inputs, n_inputs, out);
	double demos = gpt_estimate_number(in, "demos", "lines", 0);
	double prompts = gpt_estimate_bound(in, "prompts")
				 ? gpt_estimate_number(in, "prompts", "lines", 0)
				 : demos;
	double valid = params->valid_fraction;

	gpt_estimate_makes_rows(out, "train", demos * (1 - valid), 0);
	gpt_estimate_makes_rows(out, "valid", demos * valid, 0);
	gpt_estimate_makes_rows(out, "prompts_train", prompts * (1 - valid), 0);
	gpt_estimate_makes_rows(out, "prompts_valid", prompts * valid, 0);
	return 0;
}
