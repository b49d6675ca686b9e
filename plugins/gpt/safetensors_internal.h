/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors_internal.h - the header being read, shared by the reader's two files. */
#ifndef CAIRN_GPT_SAFETENSORS_INTERNAL_H
#define CAIRN_GPT_SAFETENSORS_INTERNAL_H

#include "gpt/safetensors.h"

#define GPT_ST_LENGTH_BYTES 8

typedef struct gpt__st_header {
	const char *text;
	size_t len, at;
	size_t n_strings; /* bytes used of out->strings, which has room for all of them */
	size_t cap, cap_metadata;
	bool has_metadata;
	const char *source;
	gpt_safetensors *out;
	cairn_error *err;
} gpt__st_header;

/* Fills the error with the byte; `at` counts from the begin of the header. Returns EINPUT. */
int gpt__st_bad(gpt__st_header *h, size_t at, const char *format, ...) CAIRN_PRINTF(3, 4);
int gpt__st_no_memory(gpt__st_header *h);
/* Reads the text into out->tensors and out->metadata, in the order in which they stand there. Each
 * tensor is right in itself; how they lie to each other is not looked at. */
CAIRN_MUST int gpt__st_read_header(gpt__st_header *h);

#endif
