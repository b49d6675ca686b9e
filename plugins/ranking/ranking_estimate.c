/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ranking_estimate.c - about how many rankings will come out; ranking costs no FLOPs.
 *
 * Simulated labelers rank every row of completions, some of them twice; of imported rankings a line
 * is a row, and how many completions it has is not known.
 */
#include "ranking.h"

#include "gpt/train_estimate.h"

int ranking_estimate(const void *opaque, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out)
{
	const struct ranking_params *params = opaque;
	gpt_estimate_inputs in = gpt_estimate_begin(inputs, n_inputs, out);
	bool simulated = gpt_estimate_bound(in, "completions");
	double rows = simulated ? gpt_estimate_number(in, "completions", "rows", 0) *
					  (1 + params->overlap)
				: gpt_estimate_number(in, "rankings", "lines", 0);
	double K = 0, valid = params->valid_fraction;

	if (simulated && rows > 0)
		K = gpt_estimate_number(in, "completions", "completions", 0) *
		    (1 + params->overlap) / rows;
	if (!simulated && params->format == FORMAT_PAIRS)
		K = 2;
	if (params->max_rows > 0 && rows > (double)params->max_rows)
		rows = (double)params->max_rows;
	gpt_estimate_makes_rows(out, "train", rows * (1 - valid), rows * (1 - valid) * K);
	gpt_estimate_makes_rows(out, "valid", rows * valid, rows * valid * K);
	return 0;
}
