/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ranking_pairs.c - "which of the two is better", asked of several people about each pair.
 *
 * The judgments of one group on one pair become one ranking of two by majority (equal votes for
 * both: a tie), or stay a ranking each. Items are described in a file of their own; both items
 * of a pair must answer the same prompt.
 */
#include <string.h>

#include "base/alloc.h"
#include "gpt/template.h"
#include "judgments.h"

enum {
	FIRST,
	SECOND,
	EQUAL,
	VALUES
};

struct item {
	const char *prompt, *completion, *user;
};

struct pair {
	const struct item *first, *second;
	const char *group; /* of those who judged it here */
	int64_t votes[VALUES];
	cairn_text labelers; /* joined with commas */
};

struct collector {
	struct ranking_work *w;
	json_t *item_by_id, *pair_by_ids; /* to indices */
	struct item *items;
	size_t n_items, cap_items;
	struct pair *pairs;
	size_t n_pairs, cap_pairs;
};

/* ---- items ----------------------------------------------------------------------------------- */

static int render(const struct ranking_work *w, const char *template, const json_t *json,
	const char **out, cairn_error *err)
{
	cairn_text text = {0};
	int rc = gpt_template_render(template, json, &text, err);

	if (!rc)
		*out = cairn_arena_strndup(w->arena, cairn_text_get(&text), text.len);
	cairn_text_free(&text);
	return rc;
}

static int add_item(struct collector *c, gpt_jsonl *reader, const json_t *json, cairn_error *err)
{
	const struct ranking_params *p = c->w->params;
	struct item item;
	const char *id;
	int rc;

	if ((rc = render(c->w, p->item_id, json, &id, err)) ||
		(rc = render(c->w, p->item_prompt, json, &item.prompt, err)) ||
		(rc = render(c->w, p->item_completion, json, &item.completion, err)) ||
		(rc = render(c->w, p->item_user, json, &item.user, err)))
		return rc;
	if (json_object_get(c->item_by_id, id))
		return gpt_jsonl_bad(
			reader, GPT_BAD_VALUE, err, "item '%.60s' is listed twice", id);
	if (c->n_items == c->cap_items) {
		size_t cap = c->cap_items ? c->cap_items * 2 : 256;
		struct item *items = cairn_realloc(c->items, cap, sizeof(*items));

		if (!items)
			return cairn_error_set(err, CAIRN_ENOMEM, "no memory for the items");
		c->items = items;
		c->cap_items = cap;
	}
	if (json_object_set_new(c->item_by_id, id, json_integer((json_int_t)c->n_items)))
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for the items");
	c->items[c->n_items++] = item;
	return 0;
}

static int read_items(struct collector *c)
{
	const char *source, *text;
	cairn_error err = {0};
	gpt_jsonl reader;
	json_t *json;
	size_t len;
	int rc = ranking_read_file(c->w, "items", 0, &source, &text, &len);

	if (rc)
		return rc;
	rc = gpt_jsonl_open(&reader, source, text, len, &err);
	if (rc)
		return c->w->host->fail_with(c->w->run, &err);
	while (!rc && (rc = gpt_jsonl_next(&reader, &json, &err)) > 0) {
		rc = add_item(c, &reader, json, &err);
		json_decref(json);
		if (rc)
			cairn_error_at(&err, "%s:%llu", source, (unsigned long long)reader.line);
	}
	gpt_jsonl_close(&reader);
	return rc ? c->w->host->fail_with(c->w->run, &err) : 0;
}

/* ---- judgments ---------------------------------------------------------------------------------
 */

static const struct item *find_item(const struct collector *c, const char *id)
{
	const json_t *index = json_object_get(c->item_by_id, id);

	return index ? &c->items[json_integer_value(index)] : NULL;
}

static int value_of(const struct ranking_params *p, const char *text)
{
	if (!strcmp(text, p->value_a))
		return FIRST;
	if (!strcmp(text, p->value_b))
		return SECOND;
	return !strcmp(text, p->value_equal) ? EQUAL : VALUES;
}

/* What is wrong with a judgment, told at its row. */
static int check_judgment(
	const struct collector *c, gpt_jsonl *reader, const char *const *fields, cairn_error *err)
{
	const struct ranking_params *p = c->w->params;
	const struct item *a = find_item(c, fields[COLUMN_A]), *b = find_item(c, fields[COLUMN_B]);

	if (!a || !b) {
		gpt_jsonl_bad(reader, GPT_BAD_VALUE, err, "item '%.60s' is not among the items",
			fields[a ? COLUMN_B : COLUMN_A]);
		cairn_error_hint(err, "Look at item_id: it makes the id of each row of `items`.");
	} else if (a == b) {
		gpt_jsonl_bad(reader, GPT_BAD_EQUAL, err, "item '%.60s' is compared with itself",
			fields[COLUMN_A]);
	} else if (value_of(p, fields[COLUMN_VALUE]) == VALUES) {
		gpt_jsonl_bad(reader, GPT_BAD_VALUE, err,
			"value '%.60s' is none of '%s', '%s', '%s'", fields[COLUMN_VALUE],
			p->value_a, p->value_b, p->value_equal);
		cairn_error_hint(err, "Set value_a, value_b and value_equal as the file has them.");
	} else if (strcmp(a->prompt, b->prompt)) {
		gpt_jsonl_bad(reader, GPT_BAD_PROMPTS, err,
			"items '%.60s' and '%.60s' have different prompts", fields[COLUMN_A],
			fields[COLUMN_B]);
	} else {
		return 0;
	}
	return CAIRN_EINPUT;
}

/* A group's pair of two items, whichever comes first in the row; NULL without memory. */
static struct pair *find_pair(
	struct collector *c, const struct item *a, const struct item *b, const char *group)
{
	const struct item *low = a < b ? a : b, *high = a < b ? b : a;
	const char *key = cairn_arena_printf(c->w->arena, "%zu %zu %s", (size_t)(low - c->items),
		(size_t)(high - c->items), group);
	const json_t *index = json_object_get(c->pair_by_ids, key);

	if (index)
		return &c->pairs[json_integer_value(index)];
	if (c->n_pairs == c->cap_pairs) {
		size_t cap = c->cap_pairs ? c->cap_pairs * 2 : 1024;
		struct pair *pairs = cairn_realloc(c->pairs, cap, sizeof(*pairs));

		if (!pairs)
			return NULL;
		c->pairs = pairs;
		c->cap_pairs = cap;
	}
	if (json_object_set_new(c->pair_by_ids, key, json_integer((json_int_t)c->n_pairs)))
		return NULL;
	c->pairs[c->n_pairs] = (struct pair){.first = a, .second = b, .group = group};
	return &c->pairs[c->n_pairs++];
}

/* One ranking of a pair: which < 0 the first is better, > 0 the second, 0 a tie. */
static int add_ranking(
	struct ranking_work *w, const struct pair *pair, int which, const char *labeler)
{
	const char **texts = cairn_arena_alloc(w->arena, 2, sizeof(*texts));
	int32_t *ranks = cairn_arena_alloc(w->arena, 2, sizeof(*ranks));
	gpt_row row = {.prompt = pair->first->prompt,
		.completions = texts,
		.ranks = ranks,
		.n_completions = 2,
		.user = pair->first->user,
		.labeler = labeler,
		.group = pair->group,
		.answer = ""};

	if (!which && !w->params->keep_ties) {
		w->ties_dropped++;
		return 0;
	}
	texts[0] = pair->first->completion;
	texts[1] = pair->second->completion;
	ranks[0] = which > 0;
	ranks[1] = which < 0;
	return ranking_add(w, &row);
}

static int take_judgment(struct collector *c, const char *const *fields)
{
	struct ranking_work *w = c->w;
	const struct item *a = find_item(c, fields[COLUMN_A]), *b = find_item(c, fields[COLUMN_B]);
	gpt_row whose = {.prompt = a->prompt, .user = a->user};
	const char *labeler = fields[COLUMN_LABELER], *group = w->params->group;
	struct pair *pair;
	int value = value_of(w->params, fields[COLUMN_VALUE]), which;
	int rc = ranking_add_draw(w, &whose);

	if (rc)
		return rc;
	if (w->params->group[0] && strcmp(fields[COLUMN_GROUP], w->params->group)) {
		w->other_group++;
		return 0;
	}
	if (!ranking_folds_keep(w, labeler, &group)) {
		w->other_fold++;
		return 0;
	}
	pair = find_pair(c, a, b, group);
	if (!pair)
		return ranking_no_memory(w);
	if (pair->first != a && value != EQUAL)
		value = value == FIRST ? SECOND : FIRST;
	pair->votes[value]++;
	if (pair->labelers.len && labeler[0])
		cairn_text_add_char(&pair->labelers, ',');
	cairn_text_add(&pair->labelers, labeler);
	if (w->params->aggregate == AGGREGATE_MAJORITY)
		return pair->labelers.failed ? ranking_no_memory(w) : 0;
	which = value == EQUAL ? 0 : value == FIRST ? -1 : 1;
	return add_ranking(w, pair, which, labeler);
}

/* Takes one good judgment; a failure was reported. */
typedef int (*judgment_taker)(struct collector *c, const char *const *fields);

static int name_labeler(struct collector *c, const char *const *fields)
{
	return ranking_folds_name(c->w, fields[COLUMN_LABELER]);
}

/* Every judgment of a file; bad rows are counted where `counts`. */
static int read_judgments(struct collector *c, uint64_t index, judgment_taker take, bool counts)
{
	struct ranking_work *w = c->w;
	const char *source, *text, *fields[COLUMNS];
	struct judgments judgments;
	cairn_error err = {0};
	size_t len;
	int rc = ranking_read_file(w, "rankings", index, &source, &text, &len);

	if (rc)
		return rc;
	if (judgments_open(&judgments, w->params, source, text, len, w->arena, &err))
		return w->host->fail_with(w->run, &err);
	while ((rc = judgments_next(&judgments, fields, &err))) {
		if (judgments.reader.is_broken) {
			rc = w->host->fail_with(w->run, &err);
			break;
		}
		if (rc > 0)
			rc = check_judgment(c, &judgments.reader, fields, &err);
		w->read += counts;
		if (!rc && (rc = take(c, fields)))
			break;
		if (rc && counts)
			gpt_bad_rows_add(
				&w->tally.bad, w->host, w->run, &judgments.reader, index + 1, &err);
		cairn_error_clear(&err);
	}
	judgments_close(&judgments);
	return rc;
}

/* All files, twice where labelers are dealt out: who is in which fold needs everybody's name. */
static int read_all_judgments(struct collector *c)
{
	struct ranking_work *w = c->w;
	uint64_t n = w->host->input_count(w->run, "rankings");
	int rc = 0;

	for (uint64_t i = 0; !rc && w->params->folds && i < n; i++)
		rc = read_judgments(c, i, name_labeler, false);
	if (!rc)
		rc = ranking_folds_deal(w);
	for (uint64_t i = 0; !rc && i < n; i++)
		rc = read_judgments(c, i, take_judgment, true);
	return rc ? rc
		  : gpt_bad_rows_check(
			    &w->tally.bad, w->host, w->run, w->read, w->params->shapes.max_bad);
}

/* Rankings by majority, and how far those who voted agree. */
static int count_votes(struct collector *c)
{
	struct ranking_work *w = c->w;
	static const int32_t orders[VALUES][2] = {{0, 1}, {1, 0}, {0, 0}};
	int rc = 0;

	for (size_t i = 0; !rc && i < c->n_pairs; i++) {
		const struct pair *pair = &c->pairs[i];
		const int64_t *votes = pair->votes;
		size_t n = (size_t)(votes[FIRST] + votes[SECOND] + votes[EQUAL]), at = 0;
		const int32_t **ranks = cairn_arena_alloc(w->arena, n, sizeof(*ranks));

		for (int v = 0; v < VALUES; v++)
			for (int64_t k = 0; k < votes[v]; k++)
				ranks[at++] = orders[v];
		if (n > 1)
			ranking_agree(&w->agreement, ranks, n, 2);
		if (w->params->aggregate == AGGREGATE_MAJORITY)
			rc = add_ranking(w, pair,
				(votes[SECOND] > votes[FIRST]) - (votes[SECOND] < votes[FIRST]),
				cairn_arena_strdup(w->arena, cairn_text_get(&pair->labelers)));
	}
	return rc;
}

int ranking_pairs(struct ranking_work *w)
{
	struct collector c = {.w = w, .item_by_id = json_object(), .pair_by_ids = json_object()};
	int rc = c.item_by_id && c.pair_by_ids ? read_items(&c) : ranking_no_memory(w);

	if (!rc)
		rc = read_all_judgments(&c);
	if (!rc)
		rc = count_votes(&c);
	for (size_t i = 0; i < c.n_pairs; i++)
		cairn_text_free(&c.pairs[i].labelers);
	free(c.pairs);
	free(c.items);
	json_decref(c.item_by_id);
	json_decref(c.pair_by_ids);
	return rc;
}
