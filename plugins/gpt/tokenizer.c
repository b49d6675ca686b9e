/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer.c - a vocabulary from its two files, checked so that encode and decode cannot fail
 * on it: ids are dense, every byte has a token, every merge makes a token.
 */
#include "gpt/tokenizer.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "gpt/jsonl.h"
#include "gpt/tokenizer_internal.h"

#define MAX_FILE  (64u << 20)
#define MAX_VOCAB 1000000

/* ---- loading: the vocabulary -------------------------------------------------------------- */

static int bad_vocab(cairn_error *err, const char *format, ...) CAIRN_PRINTF(2, 3);

static int bad_vocab(cairn_error *err, const char *format, ...)
{
	char message[256];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	cairn_error_set(err, CAIRN_EINPUT, "%s", message);
	cairn_error_at(err, "vocab.json");
	cairn_error_hint(err, "A vocabulary is GPT-2's vocab.json (encoder.json): each token's "
			      "text and its number, 0, 1, 2 ...");
	return CAIRN_EINPUT;
}

/* Bytes of a token's text in the alphabet, appended at `to`; -1 where a letter stands for none. */
static int64_t text_to_bytes(const gpt_alphabet *alphabet, const char *text, char *to)
{
	int64_t n = 0;

	for (const unsigned char *c = (const unsigned char *)text; *c;) {
		int code = *c++;

		if (code >= 0x80) {
			if (code < 0xc0 || code >= 0xe0 || (*c & 0xc0) != 0x80)
				return -1;
			code = (code & 0x1f) << 6 | (*c++ & 0x3f);
		}
		if (code >= (int)CAIRN_COUNT(alphabet->byte) || alphabet->byte[code] < 0)
			return -1;
		to[n++] = (char)alphabet->byte[code];
	}
	return n;
}

/* texts[id] for all ids, borrowed from the object. */
static int order_texts(const json_t *vocab, const char **texts, cairn_error *err)
{
	int64_t n = (int64_t)json_object_size(vocab);
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)(uintptr_t)vocab, key, value)
	{
		int64_t id = json_is_integer(value) ? json_integer_value(value) : -1;

		if (id < 0 || id >= n)
			return bad_vocab(err, "token '%.60s' has no number in 0..%lld", key,
				(long long)n - 1);
		if (texts[id])
			return bad_vocab(err, "tokens '%.60s' and '%.60s' have both number %lld",
				texts[id], key, (long long)id);
		if (!key[0])
			return bad_vocab(err, "token %lld is empty", (long long)id);
		texts[id] = key;
	}
	return 0;
}

static int load_vocab(gpt_tokenizer *t, const gpt_alphabet *alphabet, const char *const *texts,
	size_t total, cairn_error *err)
{
	uint32_t at = 0;

	t->bytes = cairn_alloc(total + 1, 1);
	t->start = cairn_alloc((size_t)t->n_vocab + 1, sizeof(*t->start));
	if (!t->bytes || !t->start)
		return cairn_error_set(
			err, CAIRN_ENOMEM, "no memory for %d tokens", (int)t->n_vocab);
	t->end = -1;
	memset(t->byte_id, 0xff, sizeof(t->byte_id));
	for (int32_t id = 0; id < t->n_vocab; id++) {
		int64_t n = 0;

		t->start[id] = at;
		if (!strcmp(texts[id], GPT_END_TOKEN))
			t->end = id;
		else
			n = text_to_bytes(alphabet, texts[id], t->bytes + at);
		if (n < 0)
			return bad_vocab(err,
				"token '%.60s' has a letter outside the byte alphabet", texts[id]);
		if (n == 1)
			t->byte_id[(unsigned char)t->bytes[at]] = id;
		at += (uint32_t)n;
	}
	t->start[t->n_vocab] = at;
	for (int b = 0; b < GPT_BYTES; b++)
		if (t->byte_id[b] < 0)
			return bad_vocab(
				err, "no token for byte 0x%02x ('%s')", b, alphabet->utf8[b]);
	return 0;
}

/* ---- loading: the merges ------------------------------------------------------------------- */

static int bad_merge(cairn_error *err, size_t line, const char *format, ...) CAIRN_PRINTF(3, 4);

static int bad_merge(cairn_error *err, size_t line, const char *format, ...)
{
	char message[256];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	cairn_error_set(err, CAIRN_EINPUT, "%s", message);
	cairn_error_at(err, "merges.txt:%zu", line);
	cairn_error_hint(err, "Take merges.txt (vocab.bpe) and vocab.json of the same model.");
	return CAIRN_EINPUT;
}

static int32_t token_of(const json_t *vocab, const char *text)
{
	const json_t *value = json_object_get(vocab, text);

	return value ? (int32_t)json_integer_value(value) : -1;
}

/* One line "LEFT RIGHT". `both` has room for twice the line. */
static int load_merge(gpt_tokenizer *t, const json_t *vocab, const char *line, size_t len,
	char *both, size_t number, cairn_error *err)
{
	const char *blank = memchr(line, ' ', len);
	size_t n_left = blank ? (size_t)(blank - line) : 0, slot;
	char *left = both, *right = both + n_left + 1;
	int32_t a, b, ab;

	if (!n_left || n_left + 1 == len || memchr(blank + 1, ' ', len - n_left - 1) ||
		memchr(line, '\0', len))
		return bad_merge(err, number, "merge is not two tokens with a blank between");
	memcpy(both, line, len);
	both[n_left] = both[len] = '\0';
	a = token_of(vocab, left);
	b = token_of(vocab, right);
	if (a < 0 || b < 0)
		return bad_merge(err, number, "token '%.60s' of a merge is not in the vocabulary",
			a < 0 ? left : right);
	memmove(both + n_left, both + n_left + 1, len - n_left);
	ab = token_of(vocab, both);
	if (ab < 0 || ab == t->end)
		return bad_merge(err, number, "merge makes '%.60s', which %s", both,
			ab < 0 ? "is not in the vocabulary" : "is the end token");
	slot = gpt_pair_slot(t, gpt_pair(a, b));
	if (t->ranks[slot] >= 0)
		return bad_merge(err, number, "merge of '%.60s' is listed twice", both);
	t->pairs[slot] = gpt_pair(a, b);
	t->ranks[slot] = (int32_t)t->n_merges;
	t->merged[t->n_merges++] = ab;
	return 0;
}

static int load_merges(gpt_tokenizer *t, const json_t *vocab, cairn_error *err)
{
	size_t at = 0, len, number = 0, n_lines = 1, longest = 0, slots = 64;
	const char *line;
	char *both;
	int rc = 0;

	while (gpt_line_next(t->merges, t->merges_len, &at, &line, &len)) {
		n_lines++;
		longest = len > longest ? len : longest;
	}
	while (slots < n_lines * 2)
		slots *= 2;
	t->pair_mask = slots - 1;
	t->pairs = cairn_alloc(slots, sizeof(*t->pairs));
	t->ranks = cairn_alloc(slots, sizeof(*t->ranks));
	t->merged = cairn_alloc(n_lines, sizeof(*t->merged));
	both = cairn_alloc(longest + 2, 1);
	if (!t->pairs || !t->ranks || !t->merged || !both) {
		free(both);
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for %zu merges", n_lines);
	}
	memset(t->ranks, 0xff, slots * sizeof(*t->ranks));
	for (at = 0; !rc && gpt_line_next(t->merges, t->merges_len, &at, &line, &len);) {
		number++;
		if (len == 0 || (number == 1 && len >= 8 && !memcmp(line, "#version", 8)))
			continue;
		rc = load_merge(t, vocab, line, len, both, number, err);
	}
	free(both);
	return rc;
}

static char *copy_bytes(const char *bytes, size_t len)
{
	char *copy = cairn_alloc(len + 1, 1);

	if (copy && len)
		memcpy(copy, bytes, len);
	return copy;
}

int gpt_tokenizer_load(gpt_tokenizer **out, const char *vocab_json, size_t vocab_len,
	const char *merges, size_t merges_len, cairn_error *err)
{
	gpt_tokenizer *t = NULL;
	const char **texts = NULL;
	json_t *vocab = NULL;
	gpt_alphabet alphabet;
	int rc;

	if (vocab_len > MAX_FILE || merges_len > MAX_FILE)
		return cairn_error_set(
			err, CAIRN_ELIMIT, "vocabulary file of more than %u bytes", MAX_FILE);
	rc = cairn_json_parse(&vocab, vocab_json, vocab_len, "vocab.json", err);
	if (rc)
		return rc;
	if (!json_is_object(vocab) || json_object_size(vocab) < GPT_BYTES ||
		json_object_size(vocab) > MAX_VOCAB) {
		rc = bad_vocab(
			err, "vocabulary is no object of %d to %d tokens", GPT_BYTES, MAX_VOCAB);
		goto out;
	}
	t = cairn_alloc(1, sizeof(*t));
	texts = cairn_alloc(json_object_size(vocab), sizeof(*texts));
	if (t) {
		t->n_vocab = (int32_t)json_object_size(vocab);
		t->vocab_json = copy_bytes(vocab_json, vocab_len);
		t->merges = copy_bytes(merges, merges_len);
		t->vocab_len = vocab_len;
		t->merges_len = merges_len;
	}
	if (!t || !texts || !t->vocab_json || !t->merges) {
		rc = cairn_error_set(err, CAIRN_ENOMEM, "no memory for a vocabulary");
		goto out;
	}
	gpt_alphabet_init(&alphabet);
	if ((rc = order_texts(vocab, texts, err)) ||
		(rc = load_vocab(t, &alphabet, texts, vocab_len, err)) ||
		(rc = load_merges(t, vocab, err)) || (rc = gpt_splitter_new(&t->splitter, err)))
		goto out;
	*out = t;
	t = NULL;
out:
	free(texts);
	json_decref(vocab);
	gpt_tokenizer_free(t);
	return rc;
}

void gpt_tokenizer_free(gpt_tokenizer *t)
{
	if (!t)
		return;
	gpt_splitter_free(t->splitter);
	free(t->bytes);
	free(t->start);
	free(t->pairs);
	free(t->ranks);
	free(t->merged);
	free(t->vocab_json);
	free(t->merges);
	free(t);
}

const char *gpt_tokenizer_vocab_json(const gpt_tokenizer *tokenizer, size_t *len)
{
	*len = tokenizer->vocab_len;
	return tokenizer->vocab_json;
}

const char *gpt_tokenizer_merges(const gpt_tokenizer *tokenizer, size_t *len)
{
	*len = tokenizer->merges_len;
	return tokenizer->merges;
}

int32_t gpt_tokenizer_size(const gpt_tokenizer *tokenizer)
{
	return tokenizer->n_vocab;
}

int32_t gpt_tokenizer_end(const gpt_tokenizer *tokenizer)
{
	return tokenizer->end;
}
