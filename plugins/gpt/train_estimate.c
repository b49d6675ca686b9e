/* SPDX-License-Identifier: Apache-2.0 */
/* train_estimate.c - what metadata tells about a stage's cost; see train_estimate.h. */
#include "gpt/train_estimate.h"

#include <stdbool.h>
#include <string.h>

#include "base/json.h"

#define PAPER_CONTEXT 2048

double gpt_estimate_number(const cairn_estimate_input *inputs, uint64_t n_inputs, const char *port,
	const char *key, double fallback)
{
	double sum = 0;
	bool known = false;

	for (uint64_t i = 0; i < n_inputs; i++) {
		json_t *meta = NULL;
		const json_t *number;

		if (strcmp(inputs[i].port, port) != 0 || !inputs[i].meta)
			continue;
		if (cairn_json_parse(&meta, inputs[i].meta, strlen(inputs[i].meta), port, NULL))
			continue;
		number = json_object_get(meta, key);
		known = known || json_is_number(number);
		sum += json_number_value(number);
		json_decref(meta);
	}
	return known ? sum : fallback;
}

double gpt_estimate_length(const cairn_estimate_input *inputs, uint64_t n_inputs,
	const char *model_port, int64_t max_prompt, int64_t max_response)
{
	if (max_prompt > 0 && max_response > 0)
		return (double)(max_prompt + max_response);
	return gpt_estimate_number(inputs, n_inputs, model_port, "n_ctx", PAPER_CONTEXT);
}

uint64_t gpt_estimate_bytes(double n_params, int trained)
{
	return (uint64_t)(n_params * (trained ? 16 : 4));
}
