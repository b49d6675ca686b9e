/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as config.json: refused, or sizes that a model can have. */
#include <stdlib.h>

#include "fuzz.h"
#include "gpt/hf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gpt_hf_config config = {0};
	cairn_error err = {0};

	if (gpt_hf_config_read(&config, (const char *)data, size, "fuzz", &err)) {
		if (err.code >= 0 || !err.message[0])
			abort();
		return 0;
	}
	if (gpt_config_check(&config.config, &err))
		abort();
	return 0;
}
