/* SPDX-License-Identifier: Apache-2.0 */
/*
 * planned.c - "planned:rows=12725,n_ctx=2048": what is known of data that do not exist yet.
 *
 * The pairs become the metadata that estimates are made from, a JSON object; so a workflow
 * that only states its sizes can be checked and planned. It cannot be run, and such a
 * source never reaches a key.
 */
#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "workflow/draft.h"

/* A number where it reads as one, otherwise a text. */
static json_t *value_of(const char *text)
{
	int64_t integer;
	double real;

	if (cairn_parse_i64(text, &integer))
		return json_integer(integer);
	return cairn_parse_double(text, &real) ? json_real(real) : json_string(text);
}

static bool add_pair(json_t *meta, const char *pair, size_t len, cairn_arena *scratch)
{
	const char *equals = memchr(pair, '=', len);
	size_t key_len = equals ? (size_t)(equals - pair) : 0;
	char *key;

	if (!cairn_draft__is_name(pair, key_len, true) || key_len + 1 == len)
		return false;
	key = cairn_arena_strndup(scratch, pair, key_len);
	return !json_object_get(meta, key) &&
	       json_object_set_new(meta, key,
		       value_of(cairn_arena_strndup(scratch, equals + 1, len - key_len - 1))) == 0;
}

const char *cairn_planned__meta(cairn_draft *draft, const char *pairs)
{
	json_t *meta = json_object();
	const char *word, *copy = NULL;
	char *text = NULL;
	size_t len;
	bool good = meta != NULL;

	while (good && (len = cairn_draft__word(&pairs, true, &word)))
		good = add_pair(meta, word, len, draft->scratch);
	if (good)
		text = cairn_json_canonical(meta);
	if (text)
		copy = cairn_arena_strdup(draft->arena, text);
	free(text);
	json_decref(meta);
	return copy;
}
