/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ranking.c - stage `ranking`: the rankings of one group of labelers, for its reward model.
 *
 * Where they come from is seen from what is bound: `completions` are ranked by simulated
 * labelers (ranking_simulate.c), `rankings` are people's (ranking_import.c), and with `items`
 * they are judgments of pairs (ranking_pairs.c). Users, or prompts where there are none, are held
 * out whole; which ones depends neither on the group nor on the stage's key, so that the groups'
 * reward models can be compared on the same held-out rows.
 */
#include "ranking.h"

#include <string.h>

#include "base/alloc.h"
#include "gpt/labeler.h"
#include "gpt/rows_split.h"
#include "gpt/template.h"

#define AT(field) offsetof(struct ranking_params, field)
#define TEXT(name, doc, field, fallback)                                                \
	{                                                                               \
		name, doc, CAIRN_PARAM_STRING, 0, AT(field), fallback, 0, 0, NULL, NULL \
	}

static const cairn_param params[] = {
	TEXT("group", "Keep, or simulate, only this group of labelers; empty: all.", group, ""),
	{"valid_fraction", "Share of users held out; of prompts, where rows have no user.",
		CAIRN_PARAM_REAL, 0, AT(valid_fraction), "0.1", 0, 0.5, NULL, NULL},
	{"split_seed", "Which users are held out; the same for all groups.", CAIRN_PARAM_INT, 0,
		AT(split_seed), "0", 0, 1e15, NULL, NULL},
	{"max_rows", "Keep only so many rankings, from the start; 0: all.", CAIRN_PARAM_INT, 0,
		AT(max_rows), "0", 0, 1e15, "rows", NULL},
	{"folds",
		"Deal the labelers out to so many groups of the same size, fold1, fold2 ..., by a "
		"hash of their names (2203.02155, 4.1: 5); 0: groups stay as they are.",
		CAIRN_PARAM_INT, 0, AT(folds), "0", 0, 1000, "groups", NULL},
	{"fold", "Keep only this fold, from 1; 0: all.", CAIRN_PARAM_INT, 0, AT(fold), "0", 0, 1000,
		NULL, NULL},
	TEXT("members", "Simulated: names of the group's labelers.", members, ""),
	TEXT("utility",
		"Simulated: what they like, as feature:weight; features: words, characters, "
		"courtesy, answer, ended, repeats.",
		utility, ""),
	{"noise", "Simulated: scale of the Bradley-Terry noise; 0: always by utility.",
		CAIRN_PARAM_REAL, 0, AT(noise), "1", 0, 1e6, NULL, NULL},
	{"disagreement",
		"Simulated: how far members differ; each weight is multiplied by 1 + this * "
		"N(0,1).",
		CAIRN_PARAM_REAL, 0, AT(disagreement), "0", 0, 10, NULL, NULL},
	{"overlap", "Simulated: share of prompts that a second member ranks, too.",
		CAIRN_PARAM_REAL, 0, AT(overlap), "0", 0, 1, NULL, NULL},
	GPT_SHAPE_PARAMS(AT(shapes)),
	TEXT("prompt", "Rankings: template of the prompt; empty: as the shape has it.", prompt, ""),
	TEXT("user", "Rankings: template of who asked; empty: as the shape has it.", user, ""),
	TEXT("labeler", "Rankings: template of who ranked; empty: as the shape has it.", labeler,
		""),
	TEXT("group_of",
		"Rankings: template of the labeler's group, or its name for all rows; empty: "
		"{group?}.",
		group_of, ""),
	{"format", "Imported: rankings in one of the shapes, or judgments of pairs.",
		CAIRN_PARAM_ENUM, 0, AT(format), "rankings", 0, 0, NULL, "rankings|pairs"},
	{"aggregate", "Pairs: one ranking by the majority of the group, or one of each judgment.",
		CAIRN_PARAM_ENUM, 0, AT(aggregate), "majority", 0, 0, NULL, "majority|each"},
	{"keep_ties", "Pairs: keep ties as equal ranks (2203.02155, C.2 drops them in training).",
		CAIRN_PARAM_BOOL, 0, AT(keep_ties), "yes", 0, 0, NULL, NULL},
	TEXT("column_a", "Pairs: column with the id of the first item.", column_a, "a"),
	TEXT("column_b", "Pairs: column with the id of the second item.", column_b, "b"),
	TEXT("column_labeler", "Pairs: column that says who judged.", column_labeler, "labeler"),
	TEXT("column_value", "Pairs: column with the judgment.", column_value, "value"),
	TEXT("column_group", "Pairs: column with the labeler's group.", column_group, "group"),
	TEXT("value_a", "Pairs: the judgment that the first is better.", value_a, "a"),
	TEXT("value_b", "Pairs: the judgment that the second is better.", value_b, "b"),
	TEXT("value_equal", "Pairs: the judgment that neither is.", value_equal, "equal"),
	TEXT("item_id", "Pairs: template of an item's id.", item_id, "{id}"),
	TEXT("item_prompt", "Pairs: template of the prompt that an item answers.", item_prompt,
		"{prompt}"),
	TEXT("item_completion", "Pairs: template of an item's text.", item_completion,
		"{completion}"),
	TEXT("item_user", "Pairs: template of who asked; the split goes by it.", item_user,
		"{user?}"),
};

static const cairn_port inputs[] = {
	{"completions", "dataset/completion", CAIRN_PORT_OPTIONAL, 0,
		"Completions for simulated labelers to rank."},
	{"rankings", "file", CAIRN_PORT_OPTIONAL | CAIRN_PORT_MANY, 0,
		"What people judged: JSON lines or an array, TSV for pairs; also packed with "
		"gzip; docs/data.md."},
	{"items", "file", CAIRN_PORT_OPTIONAL, 0, "JSON lines with the items of the pairs."},
};

static const cairn_port outputs[] = {
	{"train", "dataset/ranking", 0, 0, "Rankings to train on."},
	{"valid", "dataset/ranking", 0, 0, "Rankings of other users or prompts."},
	{"report", "report", 0, 0, "Agreement of the labelers, length baseline, counts."},
};

/* ---- helpers of the collectors ------------------------------------------------------------- */

int ranking_no_memory(const struct ranking_work *w)
{
	return w->host->fail(w->run, CAIRN_ENOMEM, "no memory for the rankings");
}

int ranking_add(struct ranking_work *w, const gpt_row *row)
{
	if (w->params->max_rows && w->n >= (size_t)w->params->max_rows)
		return 0;
	return ranking_append(w, row);
}

int ranking_append(struct ranking_work *w, const gpt_row *row)
{
	if (w->n == w->cap) {
		size_t cap = w->cap ? w->cap * 2 : 256;
		gpt_row *rows = cairn_realloc(w->rows, cap, sizeof(*rows));

		if (!rows)
			return ranking_no_memory(w);
		w->rows = rows;
		w->cap = cap;
	}
	w->rows[w->n++] = *row;
	return 0;
}

int ranking_add_draw(struct ranking_work *w, const gpt_row *row)
{
	if (w->n_draws == w->cap_draws) {
		size_t cap = w->cap_draws ? w->cap_draws * 2 : 1024;
		double *draws = cairn_realloc(w->draws, cap, sizeof(*draws));

		if (!draws)
			return ranking_no_memory(w);
		w->draws = draws;
		w->cap_draws = cap;
	}
	w->draws[w->n_draws++] = gpt_split_draw(row, (uint64_t)w->params->split_seed);
	return 0;
}

int ranking_read_file(const struct ranking_work *w, const char *port, uint64_t index,
	const char **source, const char **text, size_t *len)
{
	cairn_artifact artifact;
	cairn_tensor entry;
	int rc = w->host->input_open(w->run, port, index, &artifact);

	if (!rc)
		rc = w->host->entry_get(w->run, &artifact, "data", &entry);
	if (rc > 0)
		return w->host->fail(w->run, CAIRN_EINPUT, "'%s' holds no file", artifact.source);
	if (rc)
		return rc;
	*source = artifact.source;
	*text = entry.data;
	*len = entry.bytes;
	return 0;
}

/* ---- the stage ----------------------------------------------------------------------------- */

static int check(const void *given, cairn_error *err)
{
	const struct ranking_params *p = given;
	const struct {
		const char *name, *text;
	} templates[] = {{"prompt", p->prompt}, {"user", p->user}, {"labeler", p->labeler},
		{"group_of", p->group_of}, {"item_id", p->item_id}, {"item_prompt", p->item_prompt},
		{"item_completion", p->item_completion}, {"item_user", p->item_user}};
	gpt_utility utility;
	int rc = gpt_utility_parse(&utility, p->utility, err);

	for (size_t i = 0; !rc && i < CAIRN_COUNT(templates); i++)
		rc = gpt_template_check(templates[i].name, templates[i].text, err);
	if (!rc && p->fold > p->folds) {
		cairn_error_set(err, CAIRN_EPARAM, "fold %lld of %lld folds", (long long)p->fold,
			(long long)p->folds);
		cairn_error_hint(err, "Folds are counted from 1; 0 keeps all.");
		return CAIRN_EPARAM;
	}
	return rc ? rc : gpt_shape_check(&p->shapes, err);
}

static int wrong_inputs(const struct ranking_work *w, const char *what, const char *hint)
{
	w->host->fail(w->run, CAIRN_EINPUT, "%s", what);
	w->host->hint(w->run, "%s", hint);
	return CAIRN_EINPUT;
}

static int collect(struct ranking_work *w)
{
	bool simulated = w->host->input_count(w->run, "completions") > 0;
	bool imported = w->host->input_count(w->run, "rankings") > 0;
	bool has_items = w->host->input_count(w->run, "items") > 0;
	bool is_pairs = w->params->format == FORMAT_PAIRS;

	if (simulated == imported)
		return wrong_inputs(w,
			simulated ? "both 'completions' and 'rankings' are bound"
				  : "neither 'completions' nor 'rankings' is bound",
			"Bind completions to simulate labelers, or rankings to take people's.");
	if (imported && is_pairs != has_items)
		return wrong_inputs(w,
			has_items ? "'items' is bound, but format is not pairs"
				  : "format is pairs, but 'items' is not bound",
			"Pairs need both: format = pairs and input.items, which has the texts.");
	if (simulated && !w->params->utility[0])
		return wrong_inputs(w, "simulated labelers without a utility",
			"Say what they like: utility = words:-0.5 answer:2.");
	if (simulated)
		return ranking_simulate(w);
	return is_pairs ? ranking_pairs(w) : ranking_import(w);
}

static int put_side(const struct ranking_work *w, double threshold, bool is_valid, const char *port,
	uint64_t *n)
{
	gpt_rows_writer *writer = gpt_rows_writer_new();
	int rc = writer ? 0 : ranking_no_memory(w);

	for (size_t i = 0; !rc && i < w->n; i++) {
		double draw = gpt_split_draw(&w->rows[i], (uint64_t)w->params->split_seed);

		if ((draw < threshold) == is_valid && gpt_rows_writer_add(writer, &w->rows[i]))
			rc = ranking_no_memory(w);
	}
	if (!rc)
		rc = gpt_rows_writer_commit(writer, w->host, w->run, port);
	if (!rc)
		*n = gpt_rows_writer_count(writer);
	gpt_rows_writer_free(writer);
	return rc;
}

static int run(const cairn_host *host, cairn_run *the_run, const void *given)
{
	struct ranking_work w = {
		.host = host, .run = the_run, .params = given, .arena = cairn_arena_new()};
	uint64_t n_train = 0, n_valid = 0;
	double threshold;
	int rc = collect(&w);

	if (rc)
		goto out;
	if (!w.n) {
		rc = host->fail(the_run, CAIRN_EINPUT, "no ranking of group '%s' in %llu rows",
			w.params->group, (unsigned long long)w.read);
		goto out;
	}
	threshold = gpt_split_threshold(w.draws, w.n_draws, w.params->valid_fraction);
	if ((rc = put_side(&w, threshold, false, "train", &n_train)) ||
		(rc = put_side(&w, threshold, true, "valid", &n_valid)) ||
		(rc = ranking_report(&w, threshold, n_train, n_valid)))
		goto out;
	host->summary(the_run, "train", (double)n_train);
	host->summary(the_run, "valid", (double)n_valid);
out:
	free(w.rows);
	free(w.draws);
	gpt_tally_free(&w.tally);
	ranking_folds_free(w.folds);
	gpt_rows_free(&w.completions);
	cairn_arena_free(w.arena);
	return rc;
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "ranking",
	.summary = "rankings of one group of labelers, simulated or imported",
	.version = "3",
	.license = "Apache-2.0",
	.params = params,
	.n_params = CAIRN_COUNT(params),
	.params_size = sizeof(struct ranking_params),
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.run = run,
	.check = check,
	.estimate = ranking_estimate,
};
