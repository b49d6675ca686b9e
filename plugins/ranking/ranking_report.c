/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ranking_report.c - how far labelers agree, and how far length alone explains them.
 *
 * A reward model can hardly agree with labelers more than they do with each other (2203.02155,
 * 4.1: 72.6 +- 1.5 %), and it has learnt nothing if "the longer one is better" does as well.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "gpt/rows_split.h"
#include "ranking.h"

static int order_of(int32_t a, int32_t b)
{
	return (a > b) - (a < b);
}

void ranking_agree(struct ranking_agreement *sum, const int32_t *const *ranks, size_t L, int32_t K)
{
	double k = 0, n = 0;

	for (size_t x = 0; x < L; x++)
		for (size_t y = x + 1; y < L; y++)
			for (int32_t i = 0; i < K; i++)
				for (int32_t j = i + 1; j < K; j++) {
					int one = order_of(ranks[x][i], ranks[x][j]);
					int other = order_of(ranks[y][i], ranks[y][j]);

					n++;
					k += one == other ? 1 : one && other ? 0 : 0.5;
				}
	sum->items++;
	sum->k += k;
	sum->n += n;
	sum->kk += k * k;
	sum->kn += k * n;
	sum->nn += n * n;
}

/* Half the width of the 95 % interval of k/n. Comparisons of one item are not independent: the
 * items are, so the variance is that of a ratio of sums over items. */
static double half_width(const struct ranking_agreement *a)
{
	double p = a->k / a->n, square = a->kk - 2 * p * a->kn + p * p * a->nn;

	if (a->items < 2 || square <= 0)
		return 0;
	return 1.96 * sqrt(square * a->items / (a->items - 1)) / a->n;
}

static double characters(const char *text)
{
	double n = 0;

	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	return n;
}

/* Pairs of held-out rankings that the longer completion wins; equal lengths count half. */
static double longer_wins(const struct ranking_work *w, double threshold, double *pairs)
{
	uint64_t key = (uint64_t)w->params->split_seed;
	double wins = 0;

	*pairs = 0;
	for (size_t r = 0; r < w->n; r++) {
		const gpt_row *row = &w->rows[r];

		if (gpt_split_draw(row, key) >= threshold)
			continue;
		for (int32_t i = 0; i < row->n_completions; i++)
			for (int32_t j = 0; j < row->n_completions; j++) {
				double more = characters(row->completions[i]) -
					      characters(row->completions[j]);

				if (row->ranks[i] >= row->ranks[j])
					continue;
				++*pairs;
				wins += more > 0 ? 1 : more < 0 ? 0 : 0.5;
			}
	}
	return wins;
}

static int put_text(
	const struct ranking_work *w, cairn_writer *writer, const char *name, const char *text)
{
	cairn_tensor entry = {.name = name,
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {strlen(text)},
		.data = text,
		.bytes = strlen(text)};

	return w->host->put(writer, &entry);
}

static int put_report(const struct ranking_work *w, const char *json, const char *text)
{
	cairn_writer *writer;
	int rc = w->host->output_begin(w->run, "report", &writer);

	if (!rc)
		rc = put_text(w, writer, "report.json", json);
	if (!rc)
		rc = put_text(w, writer, "highlight.txt", text);
	return rc ? rc : w->host->commit(writer);
}

static size_t count_labelers(const struct ranking_work *w)
{
	json_t *names = json_object();
	size_t n;

	for (size_t i = 0; i < w->n; i++)
		for (const char *at = w->rows[i].labeler; *at;) {
			size_t len = strcspn(at, ",");
			char name[128];

			snprintf(name, sizeof(name), "%.*s", (int)len, at);
			json_object_set_new(names, name, json_true());
			at += len + (at[len] == ',');
		}
	n = json_object_size(names);
	json_decref(names);
	return n;
}

int ranking_report(
	const struct ranking_work *w, double threshold, uint64_t n_train, uint64_t n_valid)
{
	const struct ranking_agreement *a = &w->agreement;
	double pairs, wins = longer_wins(w, threshold, &pairs);
	size_t labelers = count_labelers(w);
	cairn_text text = {0};
	json_t *json = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "schema",
		"cairn.ranking-report/2", "group", w->params->group, "read", (json_int_t)w->read,
		"bad", (json_int_t)w->tally.bad.n, "other_group", (json_int_t)w->other_group,
		"other_fold", (json_int_t)w->other_fold, "ties_dropped",
		(json_int_t)w->ties_dropped, "train", (json_int_t)n_train, "valid",
		(json_int_t)n_valid, "labelers", (json_int_t)labelers);
	char *machine = NULL;
	int rc = 0;

	cairn_text_printf(
		&text, "rankings%s%s\n", w->params->group[0] ? " of " : "", w->params->group);
	cairn_text_printf(&text,
		"  read         %8" PRIu64 "\n  bad          %8" PRIu64
		"  left out\n  other groups %8" PRIu64 "  left out\n  other folds  %8" PRIu64
		"  left out\n  ties         %8" PRIu64
		"  left out\n  labelers     %8zu\n  train        %8" PRIu64
		"\n  valid        %8" PRIu64 "  other users or prompts\n",
		w->read, w->tally.bad.n, w->other_group, w->other_fold, w->ties_dropped, labelers,
		n_train, n_valid);
	if (a->n > 0) {
		double share = a->k / a->n, half = half_width(a);

		w->host->summary(w->run, "agreement", share);
		rc |= json_object_set_new(json, "agreement",
			json_pack("{s:f, s:f, s:I, s:I}", "share", share, "half_width", half,
				"comparisons", (json_int_t)a->n, "items", (json_int_t)a->items));
		cairn_text_printf(&text,
			"  agreement of labelers %5.1f +- %.1f %% of %.0f "
			"comparisons on %.0f items (95 %%, by item)\n",
			100 * share, 100 * half, a->n, a->items);
	}
	if (pairs > 0) {
		w->host->summary(w->run, "longer_wins", wins / pairs);
		rc |= json_object_set_new(json, "longer_wins",
			json_pack("{s:f, s:I}", "share", wins / pairs, "pairs", (json_int_t)pairs));
		cairn_text_printf(&text,
			"  the longer one wins   %5.1f %% of %.0f held-out pairs\n",
			100 * wins / pairs, pairs);
	}
	gpt_tally_print(&w->tally, &text);
	rc |= gpt_tally_json(&w->tally, json);
	machine = rc ? NULL : cairn_json_pretty(json);
	rc = machine && !text.failed ? put_report(w, machine, text.data) : ranking_no_memory(w);
	free(machine);
	cairn_text_free(&text);
	json_decref(json);
	return rc;
}
