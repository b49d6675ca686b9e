/* SPDX-License-Identifier: Apache-2.0 */
/* text.h - what a workflow can set, and what the descriptor calls. */
#ifndef CAIRN_TEXT_TEXT_H
#define CAIRN_TEXT_TEXT_H

#include "cairn/stage.h"

struct params {
	int64_t n_vocab;
	double valid_fraction;
	uint64_t block;
	uint64_t max_bytes;
	int32_t document;
};

int text_estimate(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out);

#endif
