/* SPDX-License-Identifier: Apache-2.0 */
/* ranking_import.c - rankings that people gave, in one of the shapes of gpt/shapes.h. */
#include <string.h>

#include "base/alloc.h"
#include "ranking.h"

static int take(void *context, const gpt_row *row)
{
	struct ranking_work *w = context;
	int rc = ranking_add_draw(w, row);

	if (!rc)
		rc = ranking_folds_name(w, row->labeler);
	if (rc)
		return rc;
	if (!w->params->group[0] || !strcmp(row->group, w->params->group))
		return w->params->folds ? ranking_append(w, row) : ranking_add(w, row);
	w->other_group++;
	return 0;
}

/* Whose fold it is can be said when everybody was seen. */
static int keep_fold(struct ranking_work *w)
{
	size_t kept = 0, limit = w->params->max_rows ? (size_t)w->params->max_rows : SIZE_MAX;
	int rc = ranking_folds_deal(w);

	if (rc || !w->params->folds)
		return rc;
	for (size_t i = 0; i < w->n; i++) {
		gpt_row row = w->rows[i];

		if (!ranking_folds_keep(w, row.labeler, &row.group))
			w->other_fold++;
		else if (kept < limit)
			w->rows[kept++] = row;
	}
	w->n = kept;
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
	const struct ranking_params *p = w->params;
	gpt_rows_reader reader = {.host = w->host,
		.run = w->run,
		.port = "rankings",
		.take = take,
		.context = w,
		.shaper = {.params = &p->shapes,
			.want = GPT_WANT_RANKING,
			.arena = w->arena,
			.fields = {.prompt = p->prompt,
				.completion = "",
				.user = p->user,
				.labeler = p->labeler,
				.group = p->group_of,
				.answer = ""}}};
	int rc = gpt_rows_read(&reader, &w->tally);

	w->read = w->tally.records;
	if (!rc)
		rc = keep_fold(w);
	return rc ? rc : measure_agreement(w);
}
