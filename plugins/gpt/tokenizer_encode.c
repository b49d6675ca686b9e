/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_encode.c - text to ids and back.
 *
 * A word starts as its bytes; then again and again all places of the pair that comes first in
 * merges.txt are merged, from left to right. A heap of (rank, place) finds them, so that a word
 * of a million letters costs n log n. Pairs that a merge creates wait until the pass of its rank
 * is over, which makes the result GPT-2's for any list of merges.
 * Reads like: tokenizer_split.c.
 */
#include <string.h>

#include "base/alloc.h"
#include "gpt/tokenizer_internal.h"

/* Words met before are copied from the ids they had: text repeats its words. Direct-mapped. */
#define CACHE_SLOTS       (1u << 16)
#define CACHE_SLOTS_SHORT (1u << 8) /* for a text below CACHE_SHORT bytes */
#define CACHE_SHORT       4096
#define CACHE_MAX_BYTES   48

struct cached {
	const char *word; /* in the text */
	size_t len;
	size_t at, n; /* its ids, in the output */
};

/* One word being merged: piece i begins at byte i; merged pieces leave the list. */
struct encoder {
	const gpt_tokenizer *tokenizer;
	int32_t *id;          /* -1: merged into the piece before */
	int32_t *next, *prev; /* -1: none */
	uint64_t *heap;       /* rank << 32 | place, least first */
	size_t n_heap;
	int32_t *fresh; /* places to look at when the pass is over */
	size_t n_fresh, cap;
	struct cached *cache;
	size_t n_cache;
	int32_t *out;
	size_t n_out, cap_out;
};

static void heap_push(struct encoder *e, uint64_t key)
{
	size_t i = e->n_heap++;

	while (i && e->heap[(i - 1) / 2] > key) {
		e->heap[i] = e->heap[(i - 1) / 2];
		i = (i - 1) / 2;
	}
	e->heap[i] = key;
}

static uint64_t heap_pop(struct encoder *e)
{
	uint64_t top = e->heap[0], last = e->heap[--e->n_heap];
	size_t i = 0, child;

	while ((child = 2 * i + 1) < e->n_heap) {
		if (child + 1 < e->n_heap && e->heap[child + 1] < e->heap[child])
			child++;
		if (last <= e->heap[child])
			break;
		e->heap[i] = e->heap[child];
		i = child;
	}
	e->heap[i] = last;
	return top;
}

/* Rank of the piece at `place` with the one after it; -1 where they do not merge. */
static int32_t rank_at(const struct encoder *e, int32_t place)
{
	const gpt_tokenizer *t = e->tokenizer;

	if (place < 0 || e->id[place] < 0 || e->next[place] < 0)
		return -1;
	return t->ranks[gpt_pair_slot(t, gpt_pair(e->id[place], e->id[e->next[place]]))];
}

static void look_at(struct encoder *e, int32_t place)
{
	int32_t rank = rank_at(e, place);

	if (rank >= 0)
		heap_push(e, (uint64_t)(uint32_t)rank << 32 | (uint32_t)place);
}

static void merge_at(struct encoder *e, int32_t place, int32_t rank)
{
	int32_t gone = e->next[place];

	e->id[place] = e->tokenizer->merged[rank];
	e->next[place] = e->next[gone];
	if (e->next[gone] >= 0)
		e->prev[e->next[gone]] = place;
	e->id[gone] = -1;
	e->fresh[e->n_fresh++] = e->prev[place];
	e->fresh[e->n_fresh++] = place;
}

static void merge_word(struct encoder *e, const char *word, size_t len)
{
	int64_t pass = -1; /* the rank being merged */

	e->n_heap = e->n_fresh = 0;
	for (size_t i = 0; i < len; i++) {
		e->id[i] = e->tokenizer->byte_id[(unsigned char)word[i]];
		e->next[i] = i + 1 < len ? (int32_t)i + 1 : -1;
		e->prev[i] = (int32_t)i - 1;
	}
	for (size_t i = 0; i + 1 < len; i++)
		look_at(e, (int32_t)i);
	while (e->n_heap || e->n_fresh) {
		uint64_t key;

		if (!e->n_heap || (int64_t)(e->heap[0] >> 32) != pass) {
			for (size_t i = 0; i < e->n_fresh; i++)
				look_at(e, e->fresh[i]);
			e->n_fresh = 0;
			if (!e->n_heap)
				break;
			pass = (int64_t)(e->heap[0] >> 32);
		}
		key = heap_pop(e);
		/* The piece may have changed since it was pushed. */
		if (rank_at(e, (int32_t)(uint32_t)key) == (int32_t)(key >> 32))
			merge_at(e, (int32_t)(uint32_t)key, (int32_t)(key >> 32));
	}
}

/* Room for a word of `len` bytes. */
static bool widen(struct encoder *e, size_t len)
{
	size_t cap = e->cap ? e->cap : 64;

	while (cap < len)
		cap *= 2;
	if (cap > e->cap) {
		free(e->id);
		free(e->next);
		free(e->prev);
		free(e->heap);
		free(e->fresh);
		e->id = cairn_alloc(cap, sizeof(*e->id));
		e->next = cairn_alloc(cap, sizeof(*e->next));
		e->prev = cairn_alloc(cap, sizeof(*e->prev));
		/* Each of at most cap merges makes two places to look at. */
		e->heap = cairn_alloc(cap * 3, sizeof(*e->heap));
		e->fresh = cairn_alloc(cap * 2, sizeof(*e->fresh));
		e->cap = e->id && e->next && e->prev && e->heap && e->fresh ? cap : 0;
		if (!e->cap)
			return false;
	}
	if (e->cap_out - e->n_out < len) {
		size_t wider = (e->n_out + len) * 2;
		int32_t *out = cairn_realloc(e->out, wider, sizeof(*out));

		if (!out)
			return false;
		e->out = out;
		e->cap_out = wider;
	}
	return true;
}

static int encode_word(struct encoder *e, const char *word, size_t len, cairn_error *err)
{
	struct cached *cached = &e->cache[gpt_hash_bytes(word, len) % e->n_cache];
	size_t at = e->n_out;

	if (len > INT32_MAX)
		return cairn_error_set(err, CAIRN_ELIMIT, "word of %zu bytes", len);
	if (!widen(e, len))
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for a word of %zu bytes", len);
	if (cached->len == len && len <= CACHE_MAX_BYTES && !memcmp(cached->word, word, len)) {
		memcpy(e->out + at, e->out + cached->at, cached->n * sizeof(*e->out));
		e->n_out += cached->n;
		return 0;
	}
	merge_word(e, word, len);
	for (int32_t i = 0; i >= 0; i = e->next[i])
		e->out[e->n_out++] = e->id[i];
	if (len <= CACHE_MAX_BYTES)
		*cached = (struct cached){word, len, at, e->n_out - at};
	return 0;
}

int gpt_tokenizer_encode(const gpt_tokenizer *tokenizer, const char *text, size_t len,
	int32_t **ids, size_t *n, cairn_error *err)
{
	struct encoder e = {.tokenizer = tokenizer};
	gpt_words words = {0};
	const char *word;
	size_t word_len;
	int rc = gpt_words_begin(&words, tokenizer->splitter, text, len, err);

	e.n_cache = len < CACHE_SHORT ? CACHE_SLOTS_SHORT : CACHE_SLOTS;
	e.cache = cairn_alloc(e.n_cache, sizeof(*e.cache));
	if (!rc && (!e.cache || !widen(&e, 1)))
		rc = cairn_error_set(err, CAIRN_ENOMEM, "no memory to encode %zu bytes", len);
	while (!rc && (rc = gpt_words_next(&words, &word, &word_len, err)) > 0)
		rc = encode_word(&e, word, word_len, err);
	if (!rc) {
		*ids = e.out;
		*n = e.n_out;
		e.out = NULL;
	}
	gpt_words_end(&words);
	free(e.id);
	free(e.next);
	free(e.prev);
	free(e.heap);
	free(e.fresh);
	free(e.cache);
	free(e.out);
	return rc;
}

int gpt_tokenizer_decode(const gpt_tokenizer *t, const int32_t *ids, size_t n, char **text,
	size_t *len, cairn_error *err)
{
	size_t total = 0, at = 0;
	char *out;

	for (size_t i = 0; i < n; i++) {
		if (ids[i] < 0 || ids[i] >= t->n_vocab)
			return cairn_error_set(err, CAIRN_EINPUT,
				"token %d at place %zu is outside the vocabulary of %d", ids[i], i,
				t->n_vocab);
		total += t->start[ids[i] + 1] - t->start[ids[i]];
	}
	out = cairn_alloc(total + 1, 1);
	if (!out)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory to decode %zu tokens", n);
	for (size_t i = 0; i < n; i++) {
		size_t one = t->start[ids[i] + 1] - t->start[ids[i]];

		memcpy(out + at, t->bytes + t->start[ids[i]], one);
		at += one;
	}
	*text = out;
	*len = total;
	return 0;
}
