/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a vocabulary and its merges, with a zero byte between the two: refused, or a
 * tokenizer that takes any text apart and together again.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "gpt/tokenizer.h"

static void round_trip(const gpt_tokenizer *tokenizer, const char *text, size_t len)
{
	cairn_error err = {0};
	int32_t *ids = NULL;
	char *back = NULL;
	size_t n, back_len;

	if (gpt_tokenizer_encode(tokenizer, text, len, &ids, &n, &err) ||
		gpt_tokenizer_decode(tokenizer, ids, n, &back, &back_len, &err) ||
		back_len != len || (len && memcmp(back, text, len) != 0))
		abort();
	free(ids);
	free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *bytes = (const char *)data;
	const char *zero = size ? memchr(bytes, '\0', size) : NULL;
	size_t vocab_len = zero ? (size_t)(zero - bytes) : size;
	const char *merges = zero ? zero + 1 : bytes + size;
	size_t merges_len = size - vocab_len - (zero ? 1 : 0);
	gpt_tokenizer *tokenizer = NULL;
	cairn_error err = {0};

	if (gpt_tokenizer_load(&tokenizer, bytes, vocab_len, merges, merges_len, &err)) {
		if (err.code >= 0 || !err.message[0] || tokenizer)
			abort();
		return 0;
	}
	round_trip(tokenizer, bytes, size < 2000 ? size : 2000);
	round_trip(tokenizer, merges, merges_len);
	gpt_tokenizer_free(tokenizer);
	return 0;
}
