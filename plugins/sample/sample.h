/* SPDX-License-Identifier: Apache-2.0 */
/* sample.h - what a workflow can set, and what the descriptor calls. */
#ifndef CAIRN_SAMPLE_H
#define CAIRN_SAMPLE_H

#include "cairn/stage.h"

typedef struct sample_params {
	int64_t K;
	double temperature;
	int64_t top_k;
	double top_p;
	int64_t max_new, max_prompt, max_prompts, batch;
} sample_params;

int sample_estimate(const void *params, const cairn_estimate_input *inputs, uint64_t n_inputs,
	cairn_estimate *out);
int sample_run(const cairn_host *host, cairn_run *run, const void *params);

#endif
