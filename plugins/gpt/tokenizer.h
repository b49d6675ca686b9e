/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer.h - byte-level BPE as GPT-2's: any bytes round-trip.
 *
 * A vocabulary is two files, as GPT-2 ships them: vocab.json (token text in the byte-to-
 * unicode alphabet -> id) and merges.txt. The pre-tokenizer is GPT-2's pattern (PCRE2).
 * The end token is "<|endoftext|>"; text never encodes to it.
 */
#ifndef CAIRN_GPT_TOKENIZER_H
#define CAIRN_GPT_TOKENIZER_H

#include <stdint.h>

#include "cairn/base.h"
#include "cairn/error.h"

typedef struct gpt_tokenizer gpt_tokenizer;

/* From the two files' contents. Limits: 1,000,000 tokens, 64 MiB a file. */
CAIRN_MUST int gpt_tokenizer_load(gpt_tokenizer **out, const char *vocab_json, size_t vocab_len,
	const char *merges, size_t merges_len, cairn_error *err);
/* Trains one of n_vocab tokens (>= 257: the bytes and the end token) on texts. Ties between
 * pairs go to the smaller pair of ids: deterministic. Fewer tokens where no pair occurs twice.
 * ELIMIT, EPARAM, ENOMEM. */
CAIRN_MUST int gpt_tokenizer_train(gpt_tokenizer **out, const char *const *texts,
	const size_t *lens, size_t n_texts, int32_t n_vocab, cairn_error *err);
void gpt_tokenizer_free(gpt_tokenizer *tokenizer);
/* The two files. Borrowed. */
const char *gpt_tokenizer_vocab_json(const gpt_tokenizer *tokenizer, size_t *len);
const char *gpt_tokenizer_merges(const gpt_tokenizer *tokenizer, size_t *len);
int32_t gpt_tokenizer_size(const gpt_tokenizer *tokenizer);
/* Id of "<|endoftext|>"; -1 where the vocabulary has none. */
int32_t gpt_tokenizer_end(const gpt_tokenizer *tokenizer);

/* *ids is caller's, freed with free(). */
CAIRN_MUST int gpt_tokenizer_encode(const gpt_tokenizer *tokenizer, const char *text, size_t len,
	int32_t **ids, size_t *n, cairn_error *err);
/* Bytes of the tokens, NUL-terminated after *len; caller's. The end token gives nothing. */
CAIRN_MUST int gpt_tokenizer_decode(const gpt_tokenizer *tokenizer, const int32_t *ids, size_t n,
	char **text, size_t *len, cairn_error *err);

#endif
