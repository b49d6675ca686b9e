/* SPDX-License-Identifier: Apache-2.0 */
/* demo_sift.c - duplicates, the cap per user, the split by user, what identifies people. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "demo.h"
#include "gpt/rows_split.h"

/* ---- duplicates and the cap ------------------------------------------------------------- */

/* Bytes of the first n characters; all for n = 0. */
static size_t prefix_bytes(const char *text, int64_t n)
{
	size_t len = 0;

	if (n == 0)
		return strlen(text);
	while (text[len]) {
		if (((unsigned char)text[len] & 0xc0) != 0x80 && n-- == 0)
			break;
		len++;
	}
	return len;
}

/* What makes two rows the same. */
static void add_key(const struct demo_work *w, const gpt_row *row, bool whole_row, cairn_text *key)
{
	int64_t n = w->params->dedupe_prefix;

	cairn_text_clear(key);
	cairn_text_add_bytes(key, row->prompt, prefix_bytes(row->prompt, n));
	if (!whole_row || !row->completion)
		return;
	cairn_text_add_char(key, '\x1f'); /* unit separator */
	cairn_text_add_bytes(key, row->completion, prefix_bytes(row->completion, n));
}

/* 1 where the key is new to the set, 0 where it is not, < 0 without memory. */
static int remember(json_t *seen, const cairn_text *key)
{
	const char *text = cairn_text_get(key);

	if (key->failed)
		return CAIRN_ENOMEM;
	if (json_object_get(seen, text))
		return 0;
	return json_object_set_new(seen, text, json_true()) ? CAIRN_ENOMEM : 1;
}

/* How many rows this user has with this one; < 0 without memory. */
static int64_t count_user(json_t *users, const char *user)
{
	int64_t n = json_integer_value(json_object_get(users, user)) + 1;

	return json_object_set_new(users, user, json_integer(n)) ? CAIRN_ENOMEM : n;
}

int demo_sift(struct demo_work *w, struct demo_set *set)
{
	bool whole_row = w->params->dedupe_on == DEDUPE_ROW && set->has_completions;
	json_t *seen = json_object(), *users = json_object();
	cairn_text key = {0};
	size_t kept = 0;
	int rc = seen && users ? 0 : CAIRN_ENOMEM;

	for (size_t i = 0; rc >= 0 && i < set->n; i++) {
		const gpt_row *row = &set->rows[i];
		int64_t n = 0;

		add_key(w, row, whole_row, &key);
		rc = remember(seen, &key);
		if (rc == 0)
			set->counts.duplicates++;
		if (rc <= 0)
			continue;
		if (row->user[0] && w->params->cap_per_user)
			n = count_user(users, row->user);
		if (n > w->params->cap_per_user)
			set->counts.over_cap++;
		else
			set->rows[kept++] = *row;
		rc = n < 0 ? CAIRN_ENOMEM : 1;
	}
	set->n = kept;
	cairn_text_free(&key);
	json_decref(seen);
	json_decref(users);
	return rc < 0 ? w->host->fail(w->run, CAIRN_ENOMEM, "no memory to sift the rows") : 0;
}

int demo_unique_prompts(const struct demo_work *w, gpt_row *rows, size_t *n)
{
	json_t *seen = json_object();
	cairn_text key = {0};
	size_t kept = 0;
	int rc = seen ? 0 : CAIRN_ENOMEM;

	for (size_t i = 0; rc >= 0 && i < *n; i++) {
		add_key(w, &rows[i], false, &key);
		rc = remember(seen, &key);
		if (rc > 0)
			rows[kept++] = rows[i];
	}
	*n = kept;
	cairn_text_free(&key);
	json_decref(seen);
	return rc < 0 ? w->host->fail(w->run, CAIRN_ENOMEM, "no memory to sift the rows") : 0;
}

/* ---- the split --------------------------------------------------------------------------- */

/* Prompts of a file of their own may have no user among the held-out ones. Then the one who drew
 * lowest joins them. */
static void reach_lowest(struct demo_work *w, const struct demo_set *set)
{
	double lowest = 1;

	for (size_t i = 0; i < set->n; i++)
		lowest = fmin(lowest, set->draws[i]);
	if (set->n && w->threshold <= lowest)
		w->threshold = nextafter(lowest, 1);
}

static bool trains_any(const struct demo_work *w, const struct demo_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->draws[i] >= w->threshold)
			return true;
	return set->n == 0;
}

int demo_draw(struct demo_work *w)
{
	uint64_t key = w->host->rng_key(w->run, "split");
	struct demo_set *sets[] = {&w->demos, &w->prompts};
	double *sorted = cairn_alloc(w->demos.n + 1, sizeof(*sorted));

	if (!sorted)
		return w->host->fail(w->run, CAIRN_ENOMEM, "no memory to split the rows");
	for (size_t s = 0; s < CAIRN_COUNT(sets); s++)
		for (size_t i = 0; i < sets[s]->n; i++)
			sets[s]->draws[i] = gpt_split_draw(&sets[s]->rows[i], key);
	if (w->demos.n)
		memcpy(sorted, w->demos.draws, w->demos.n * sizeof(*sorted));
	w->threshold = gpt_split_threshold(sorted, w->demos.n, w->params->valid_fraction);
	free(sorted);
	if (w->threshold > 0)
		reach_lowest(w, &w->prompts);
	if (!trains_any(w, &w->demos) || !trains_any(w, &w->prompts))
		w->threshold = 0;
	if (w->threshold <= 0 && w->params->valid_fraction > 0)
		w->host->log(w->run, CAIRN_LOG_WARNING,
			"too few users to hold any out: all rows are for training");
	return 0;
}

/* ---- people's data --------------------------------------------------------------------------- */

/* Masks one text in place where asked to; number of matches. */
static size_t clean_text(struct demo_work *w, const char **text, uint64_t *counts)
{
	cairn_text masked = {0};
	size_t n;

	if (!*text)
		return 0;
	n = pii_mask(*text, w->params->pii == PII_MASK ? &masked : NULL, counts);
	if (n && w->params->pii == PII_MASK)
		*text = cairn_arena_strndup(w->arena, cairn_text_get(&masked), masked.len);
	cairn_text_free(&masked);
	return n;
}

void demo_clean(struct demo_work *w, struct demo_set *set)
{
	size_t kept = 0;

	for (size_t i = 0; i < set->n; i++) {
		gpt_row *row = &set->rows[i];
		bool is_valid = set->draws[i] < w->threshold;
		size_t n = 0;

		if (!is_valid) {
			n += clean_text(w, &row->prompt, set->counts.pii);
			n += clean_text(w, &row->completion, set->counts.pii);
			n += clean_text(w, &row->answer, set->counts.pii);
		}
		set->counts.pii_rows += n > 0;
		if (n && w->params->pii == PII_DROP)
			continue;
		set->rows[kept] = *row;
		set->draws[kept++] = set->draws[i];
		set->counts.valid += is_valid;
		set->counts.train += !is_valid;
	}
	set->n = kept;
}
