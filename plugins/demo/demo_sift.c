/* SPDX-License-Identifier: Apache-2.0 */
/* demo_sift.c - duplicates, the cap per user, the split by user, what identifies people. */
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

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Draws of the rows of a set, in their order. */
static void draw_all(const struct demo_set *set, uint64_t key, double *draws)
{
	for (size_t i = 0; i < set->n; i++)
		draws[i] = gpt_split_draw(&set->rows[i], key);
}

/* Users of the demonstrations are split; of the other users of prompts, the same share. `known`
 * holds the demonstrations' draws, sorted; `scratch` has room for the larger set. */
static void split_sets(struct demo_work *w, uint64_t key, double *known, double *scratch)
{
	struct demo_set *demos = &w->demos, *prompts = &w->prompts;
	double of_demos, of_others, draw;
	size_t n = 0;

	draw_all(demos, key, scratch);
	of_demos = gpt_split_threshold(scratch, demos->n, w->params->valid_fraction);
	for (size_t i = 0; i < demos->n; i++)
		demos->is_valid[i] = gpt_split_draw(&demos->rows[i], key) < of_demos;
	for (size_t i = 0; i < prompts->n; i++) {
		draw = gpt_split_draw(&prompts->rows[i], key);
		if (!bsearch(&draw, known, demos->n, sizeof(draw), by_value))
			scratch[n++] = draw;
	}
	of_others = gpt_split_threshold(scratch, n, w->params->valid_fraction);
	for (size_t i = 0; i < prompts->n; i++) {
		draw = gpt_split_draw(&prompts->rows[i], key);
		prompts->is_valid[i] =
			draw < (bsearch(&draw, known, demos->n, sizeof(draw), by_value)
					       ? of_demos
					       : of_others);
	}
	if (of_demos <= 0 && w->params->valid_fraction > 0)
		w->host->log(w->run, CAIRN_LOG_WARNING,
			"too few users to hold any out: all demonstrations are for training");
}

int demo_split(struct demo_work *w)
{
	size_t larger = w->demos.n > w->prompts.n ? w->demos.n : w->prompts.n;
	double *known = cairn_alloc(w->demos.n + 1, sizeof(*known));
	double *scratch = cairn_alloc(larger + 1, sizeof(*scratch));
	uint64_t key = w->host->rng_key(w->run, "split");
	int rc = 0;

	if (known && scratch) {
		draw_all(&w->demos, key, known);
		qsort(known, w->demos.n, sizeof(*known), by_value);
		split_sets(w, key, known, scratch);
	} else {
		rc = w->host->fail(w->run, CAIRN_ENOMEM, "no memory to split the rows");
	}
	free(known);
	free(scratch);
	return rc;
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
		bool is_valid = set->is_valid[i];
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
		set->is_valid[kept++] = is_valid;
		set->counts.valid += is_valid;
		set->counts.train += !is_valid;
	}
	set->n = kept;
}
