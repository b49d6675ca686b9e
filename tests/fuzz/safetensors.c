/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a safetensors file: refused with a message, or consistent in itself. */
#include "gpt/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* Looks at every byte that the tensor claims. */
static void use(const gpt_safetensors *st, const gpt_st_tensor *tensor)
{
	const unsigned char *bytes = (const unsigned char *)st->file + tensor->begin;
	volatile unsigned sum = 0;
	float out[16];

	MUST(tensor->bytes == tensor->n * gpt_st_dtype_bytes(tensor->dtype));
	for (uint64_t i = 0; i < tensor->bytes; i++)
		sum += bytes[i];
	for (uint64_t at = 0; gpt_st_is_real(tensor->dtype) && at < tensor->n; at += 16)
		gpt_st_floats(st, tensor, at, tensor->n - at < 16 ? tensor->n - at : 16, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	gpt_safetensors st = {0};
	cairn_error err = {0};
	uint64_t covered = 0;

	if (gpt_safetensors_open(&st, "fuzz", data, size, &err)) {
		MUST(err.code < 0 && err.message[0]);
		MUST(!st.tensors && !st.strings);
		return 0;
	}
	for (size_t i = 0; i < st.n; i++) {
		const gpt_st_tensor *tensor = &st.tensors[i];

		MUST(i == 0 || tensor->begin == st.tensors[i - 1].begin + st.tensors[i - 1].bytes);
		MUST(gpt_safetensors_find(&st, tensor->name) == tensor);
		use(&st, tensor);
		covered += tensor->bytes;
	}
	MUST(st.n == 0 || st.tensors[0].begin + covered == size);
	for (size_t i = 0; i < st.n_metadata; i++)
		MUST(gpt_safetensors_metadata(&st, st.metadata[i].key) == st.metadata[i].value);
	gpt_safetensors_close(&st);
	return 0;
}
