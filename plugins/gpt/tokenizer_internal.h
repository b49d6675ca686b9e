/* SPDX-License-Identifier: Apache-2.0 */
/* tokenizer_internal.h - what the tokenizer's files share: alphabet, words, vocabulary. */
#ifndef CAIRN_GPT_TOKENIZER_INTERNAL_H
#define CAIRN_GPT_TOKENIZER_INTERNAL_H

#include <stdbool.h>

#include "gpt/tokenizer.h"

#define GPT_END_TOKEN "<|endoftext|>"
#define GPT_BYTES     256

/* The letters that stand for bytes in vocab.json and merges.txt: the printable ones of Latin-1
 * for themselves, the other 68 bytes in ascending order as U+0100, U+0101 ... */
typedef struct gpt_alphabet {
	uint16_t letter[GPT_BYTES];   /* byte -> code point, all below U+0144 */
	int16_t byte[GPT_BYTES + 68]; /* code point -> byte; -1: stands for none */
	uint8_t order[GPT_BYTES];     /* bytes in GPT-2's order of ids */
	char utf8[GPT_BYTES][3];      /* byte -> its letter, NUL-terminated */
} gpt_alphabet;

void gpt_alphabet_init(gpt_alphabet *alphabet);

/* Cuts text into the words that merges never cross. Valid UTF-8 is cut by GPT-2's pattern; a run
 * of bytes that are no UTF-8 is a word of its own. So the words are the text, whatever it is. */
typedef struct gpt_splitter gpt_splitter;

CAIRN_MUST int gpt_splitter_new(gpt_splitter **out, cairn_error *err);
void gpt_splitter_free(gpt_splitter *splitter);

typedef struct gpt_words {
	const gpt_splitter *splitter;
	void *match; /* of PCRE2 */
	const char *text;
	size_t len, at;
	size_t valid_end; /* text[at..valid_end) is valid UTF-8 */
} gpt_words;

CAIRN_MUST int gpt_words_begin(gpt_words *out, const gpt_splitter *splitter, const char *text,
	size_t len, cairn_error *err);
/* 1: *word, *len; 0: the end; < 0: PCRE2 gave up. */
CAIRN_MUST int gpt_words_next(gpt_words *words, const char **word, size_t *len, cairn_error *err);
void gpt_words_end(gpt_words *words);

static inline uint64_t gpt_hash_bytes(const char *bytes, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)bytes[i]) * 0x100000001b3u;
	return h ^ h >> 32;
}

static inline uint64_t gpt_hash_pair(uint64_t pair)
{
	pair *= 0x9E3779B97F4A7C15u; /* Fibonacci hashing */
	return pair ^ pair >> 29;
}

static inline uint64_t gpt_pair(int32_t left, int32_t right)
{
	return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

struct gpt_tokenizer {
	gpt_splitter *splitter;
	int32_t n_vocab, end;
	char *bytes;     /* of all tokens, one after another */
	uint32_t *start; /* [n_vocab+1]: token i is bytes[start[i]..start[i+1]) */
	int32_t byte_id[GPT_BYTES];
	/* pair of ids -> rank, open addressing; rank -1: free */
	uint64_t *pairs;
	int32_t *ranks;
	size_t pair_mask;
	int32_t *merged; /* rank -> id of the two together */
	size_t n_merges;
	char *vocab_json, *merges;
	size_t vocab_len, merges_len;
};

/* The slot of a pair: its own, or the free one where it belongs. */
static inline size_t gpt_pair_slot(const gpt_tokenizer *t, uint64_t pair)
{
	size_t slot = gpt_hash_pair(pair) & t->pair_mask;

	while (t->ranks[slot] >= 0 && t->pairs[slot] != pair)
		slot = (slot + 1) & t->pair_mask;
	return slot;
}

#endif
