/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ranking_folds.c - labelers dealt out to n groups, to ask whether a reward model predicts people
 * whom it never saw (2203.02155, 4.1: five groups; 72.4 % inside, 69.6 % outside).
 *
 * All who judged anything are put in the order of a hash of their names and dealt out in turn, so
 * that groups differ by one at most. Neither the order of the rows, nor the group that a stage
 * keeps, nor its key changes who is in which fold.
 */
#include <string.h>

#include "base/alloc.h"
#include "gpt/rng.h"
#include "gpt/rows_split.h"
#include "ranking.h"

/* Names are hashed under this key, in every run. */
#define FOLDS_KEY 0x666f6c6473u /* "folds" */

struct ranking_folds {
	json_t *fold_of; /* by name; integers */
};

struct seat {
	uint64_t draw;
	const char *name;
};

int ranking_folds_name(struct ranking_work *w, const char *labeler)
{
	if (!w->params->folds)
		return 0;
	if (!w->folds) {
		w->folds = cairn_alloc(1, sizeof(*w->folds));
		if (!w->folds || !(w->folds->fold_of = json_object()))
			return ranking_no_memory(w);
	}
	if (json_object_set_new(w->folds->fold_of, labeler, json_integer(0)))
		return ranking_no_memory(w);
	return 0;
}

static int by_draw(const void *a, const void *b)
{
	const struct seat *x = a, *y = b;

	if (x->draw != y->draw)
		return x->draw < y->draw ? -1 : 1;
	return strcmp(x->name, y->name);
}

int ranking_folds_deal(struct ranking_work *w)
{
	size_t n, k = 0, folds = (size_t)w->params->folds;
	struct seat *seats;
	const char *name;
	json_t *value;

	if (!folds)
		return 0;
	n = w->folds ? json_object_size(w->folds->fold_of) : 0;
	if (n < folds || json_object_get(w->folds->fold_of, "")) {
		if (n < folds)
			w->host->fail(w->run, CAIRN_EINPUT, "%zu labelers for %zu folds", n, folds);
		else
			w->host->fail(w->run, CAIRN_EINPUT,
				"folds of labelers, but a row does not name its labeler");
		w->host->hint(w->run, "Rows must say who ranked: set labeler to a template.");
		return CAIRN_EINPUT;
	}
	seats = cairn_alloc(n, sizeof(*seats));
	if (!seats)
		return ranking_no_memory(w);
	json_object_foreach(w->folds->fold_of, name, value)
	{
		seats[k].name = name;
		seats[k++].draw = gpt_random_u64(FOLDS_KEY, gpt_hash_text(name), 0);
	}
	qsort(seats, n, sizeof(*seats), by_draw);
	for (size_t i = 0; i < n; i++)
		json_integer_set(json_object_get(w->folds->fold_of, seats[i].name),
			(json_int_t)(1 + i % folds));
	free(seats);
	return 0;
}

bool ranking_folds_keep(const struct ranking_work *w, const char *labeler, const char **group)
{
	json_int_t fold;

	if (!w->params->folds)
		return true;
	fold = json_integer_value(json_object_get(w->folds->fold_of, labeler));
	*group = cairn_arena_printf(w->arena, "fold%d", (int)fold);
	return !w->params->fold || fold == w->params->fold;
}

void ranking_folds_free(struct ranking_folds *folds)
{
	if (!folds)
		return;
	json_decref(folds->fold_of);
	free(folds);
}
