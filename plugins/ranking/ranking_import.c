/* SPDX-License-Identifier: Apache-2.0 */
/* ranking_import.c - rankings that people gave, in our own record: a JSON line with prompt,
 * completions, ranks (0 best, equal: tie), labeler and group. */
#include <string.h>

#include "base/alloc.h"
#include "gpt/jsonl.h"
#include "ranking.h"

static int check_row(const gpt_jsonl *reader, const gpt_row *row, cairn_error *err)
{
	if (row->n_completions >= 2)
		return 0;
	gpt_jsonl_bad(reader, err, "'completions' has 1 item: a ranking needs 2");
	return CAIRN_EINPUT;
}

static int import_file(struct ranking_work *w, gpt_bad_rows *bad, gpt_jsonl *reader)
{
	cairn_error err = {0};
	json_t *json;
	int rc;

	while ((rc = gpt_jsonl_next(reader, &json, &err))) {
		gpt_row row = {0};

		w->read++;
		if (rc > 0) {
			rc = gpt_row_parse(&row, reader, json, "dataset/ranking", w->arena, &err);
			json_decref(json);
			if (!rc)
				rc = check_row(reader, &row, &err);
		}
		if (rc) {
			if (gpt_bad_rows_add(bad, &err))
				return w->host->fail_with(w->run, &err);
			continue;
		}
		rc = ranking_add_draw(w, &row);
		if (!rc && w->params->group[0] && strcmp(row.group, w->params->group))
			w->other_group++;
		else if (!rc)
			rc = ranking_add(w, &row);
		if (rc)
			return rc;
	}
	return 0;
}

/* Prompt and completions as one text: rankings of the same item have the same. */
static char *item_key(const gpt_row *row)
{
	cairn_text key = {0};

	cairn_text_add(&key, row->prompt);
	for (int32_t i = 0; i < row->n_completions; i++) {
		cairn_text_add_char(&key, '\x1f');
		cairn_text_add(&key, row->completions[i]);
	}
	if (key.failed)
		cairn_text_free(&key);
	return key.data;
}

/* Lists of row numbers by item, in the order of first appearance. */
static int list_items(const struct ranking_work *w, json_t *items)
{
	for (size_t i = 0; i < w->n; i++) {
		char *key = item_key(&w->rows[i]);
		json_t *list = key ? json_object_get(items, key) : NULL;
		int rc = key ? 0 : -1;

		if (key && !list) {
			list = json_array();
			rc = json_object_set_new(items, key, list);
		}
		if (!rc)
			rc = json_array_append_new(list, json_integer((json_int_t)i));
		free(key);
		if (rc)
			return ranking_no_memory(w);
	}
	return 0;
}

static int measure_agreement(struct ranking_work *w)
{
	json_t *items = json_object(), *list;
	const int32_t **ranks = cairn_alloc(w->n + 1, sizeof(*ranks));
	const char *key;
	int rc = items && ranks ? list_items(w, items) : ranking_no_memory(w);

	if (!rc)
		json_object_foreach(items, key, list)
		{
			size_t L = json_array_size(list);
			const gpt_row *first = NULL;

			for (size_t i = 0; i < L; i++) {
				first = &w->rows[json_integer_value(json_array_get(list, i))];
				ranks[i] = first->ranks;
			}
			if (L > 1)
				ranking_agree(&w->agreement, ranks, L, first->n_completions);
		}
	free(ranks);
	json_decref(items);
	return rc;
}

int ranking_import(struct ranking_work *w)
{
	gpt_bad_rows bad = {.limit = (uint64_t)w->params->max_bad_rows};
	int rc = 0;

	for (uint64_t i = 0; !rc && i < w->host->input_count(w->run, "rankings"); i++) {
		const char *source, *text;
		cairn_error err = {0};
		gpt_jsonl reader;
		size_t len;

		rc = ranking_read_file(w, "rankings", i, &source, &text, &len);
		if (rc)
			break;
		if (gpt_jsonl_open(&reader, source, text, len, &err))
			rc = w->host->fail_with(w->run, &err);
		else
			rc = import_file(w, &bad, &reader);
	}
	w->bad = bad.n;
	return rc ? rc : measure_agreement(w);
}
