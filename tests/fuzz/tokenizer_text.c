/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as text for a tokenizer: it comes back as it was, with no end token in between. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "gpt/tokenizer.h"

static const gpt_tokenizer *trained(void)
{
	static const char *const texts[] = {
		"the cat's the hat, the dog's 10 cats; caf\xc3\xa9 caf\xc3\xa9"
		"s\n\n  the end  \xe2\x82\xac\xe2\x82\xac"};
	static gpt_tokenizer *tokenizer;
	const size_t lens[] = {strlen(texts[0])};
	cairn_error err = {0};

	if (!tokenizer && gpt_tokenizer_train(&tokenizer, texts, lens, 1, 300, &err))
		abort();
	return tokenizer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const gpt_tokenizer *tokenizer = trained();
	cairn_error err = {0};
	int32_t *ids = NULL;
	char *back = NULL;
	size_t n, len;

	if (gpt_tokenizer_encode(tokenizer, (const char *)data, size, &ids, &n, &err) || n > size)
		abort();
	for (size_t i = 0; i < n; i++)
		if (ids[i] == gpt_tokenizer_end(tokenizer))
			abort();
	if (gpt_tokenizer_decode(tokenizer, ids, n, &back, &len, &err) || len != size ||
		(size && memcmp(back, data, size) != 0))
		abort();
	free(ids);
	free(back);
	return 0;
}
