/* SPDX-License-Identifier: Apache-2.0 */
/* shapes.c - which shape a record has, and what every shape's rows have in common. */
#include "gpt/shapes.h"

#include <string.h>

#include "base/alloc.h"
#include "gpt/shapes_internal.h"
#include "gpt/template.h"

const char *const gpt_shape_names[GPT_SHAPES] = {
	"auto", "own", "trl", "messages", "hh", "openrlhf", "summarize", "oasst", "bestof"};

/* ---- recognising ------------------------------------------------------------------------- */

const json_t *shape_get(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);

	return json_is_null(value) ? NULL : value;
}

static bool has(const json_t *record, const char *key)
{
	return key[0] && shape_get(record, key);
}

static bool is_dialog(const json_t *text)
{
	static const char start[] = "\n\nHuman:";

	return json_is_string(text) && !strncmp(json_string_value(text), start, strlen(start));
}

/* The user named keys of his own, and the record has them. */
static bool has_named_keys(const gpt_shape_params *p, const json_t *record)
{
	bool demo = strcmp(p->input_key, "input") || strcmp(p->output_key, "output");
	bool pair = strcmp(p->prompt_key, "prompt") || strcmp(p->chosen_key, "chosen") ||
		    strcmp(p->rejected_key, "rejected");

	return (demo && has(record, p->input_key)) ||
	       (pair && has(record, p->chosen_key) && has(record, p->rejected_key));
}

enum gpt_shape gpt_shape_recognise(const gpt_shaper *s, const json_t *record)
{
	const json_t *prompt = shape_get(record, "prompt");
	const json_t *completion = shape_get(record, "completion");
	const json_t *chosen = shape_get(record, "chosen");
	const json_t *rejected = shape_get(record, "rejected");

	/* Whoever says where prompt and completion are needs no shape. */
	if (s->want != GPT_WANT_RANKING && (s->fields.prompt[0] || s->fields.completion[0]))
		return GPT_SHAPE_OWN;
	if (has_named_keys(s->params, record))
		return GPT_SHAPE_OPENRLHF;
	if (json_is_array(shape_get(record, "messages")))
		return GPT_SHAPE_MESSAGES;
	if (json_is_object(prompt) && has(prompt, "replies"))
		return GPT_SHAPE_OASST;
	if (has(record, "summaries") && has(record, "choice"))
		return GPT_SHAPE_SUMMARIZE;
	if (has(record, "query") && has(record, "best"))
		return GPT_SHAPE_BESTOF;
	if (chosen && rejected)
		return !prompt && is_dialog(chosen) && is_dialog(rejected) ? GPT_SHAPE_HH
									   : GPT_SHAPE_TRL;
	if (json_is_array(prompt) || json_is_array(completion) ||
		json_is_boolean(shape_get(record, "label")))
		return GPT_SHAPE_TRL;
	if (prompt || completion || has(record, "completions"))
		return GPT_SHAPE_OWN;
	/* "instruction" beside them is part of the prompt: only a template can say how. */
	if (has(record, s->params->input_key) && has(record, s->params->output_key) &&
		!has(record, "instruction"))
		return GPT_SHAPE_OPENRLHF;
	return GPT_SHAPE_AUTO;
}

/* ---- texts --------------------------------------------------------------------------------- */

const char *shape_copy(const struct record *r, const json_t *string)
{
	return cairn_arena_strndup(
		r->shaper->arena, json_string_value(string), json_string_length(string));
}

int shape_borrow(const struct record *r, const char *key, const char **out)
{
	const json_t *value = shape_get(r->json, key);

	if (!value)
		return gpt_jsonl_bad(r->reader, GPT_BAD_MISSING, r->err, "'%.60s' is missing", key);
	if (!json_is_string(value))
		return gpt_jsonl_bad(r->reader, GPT_BAD_TYPE, r->err, "'%.60s' is no text", key);
	*out = json_string_value(value);
	return 0;
}

int shape_text(const struct record *r, const char *key, const char **out)
{
	int rc = shape_borrow(r, key, out);

	if (!rc)
		*out = cairn_arena_strdup(r->shaper->arena, *out);
	return rc;
}

int shape_render(const struct record *r, const char *template, const char **out)
{
	cairn_text text = {0};
	int rc = gpt_template_render(template, r->json, &text, r->err);

	if (!rc)
		*out = cairn_arena_strndup(r->shaper->arena, cairn_text_get(&text), text.len);
	cairn_text_free(&text);
	if (!rc)
		return 0;
	r->reader->why = strstr(r->err->message, "missing") ? GPT_BAD_MISSING : GPT_BAD_TYPE;
	cairn_error_at(r->err, "%s:%llu", r->reader->source, (unsigned long long)r->reader->line);
	return rc;
}

/* What the field's template says; where that is nothing, what the shape's own does. */
static int render_field(
	const struct record *r, const char *field, const char *of_shape, const char **out)
{
	int rc = 0;

	*out = "";
	if (field[0])
		rc = shape_render(r, field, out);
	if (!rc && !(*out)[0] && of_shape)
		rc = shape_render(r, of_shape, out);
	return rc;
}

static bool is_blank(const char *text)
{
	return !text[strspn(text, " \t\r\n")];
}

/* ---- rows ---------------------------------------------------------------------------------- */

static int append(const struct record *r, const gpt_row *row)
{
	gpt_shaper *s = r->shaper;

	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		gpt_row *rows = cairn_realloc(s->rows, cap, sizeof(*rows));

		if (!rows)
			return cairn_error_set(r->err, CAIRN_ENOMEM, "no memory for the rows");
		s->rows = rows;
		s->cap = cap;
	}
	s->rows[s->n++] = *row;
	return 0;
}

/* Leaves of a row what the stage wants. */
static int add_wanted(const struct record *r, gpt_row row)
{
	int32_t best = 0;

	switch (r->shaper->want) {
	case GPT_WANT_RANKING:
		if (row.n_completions < 2 || !row.ranks)
			return gpt_jsonl_bad(r->reader, GPT_BAD_MISSING, r->err,
				"row has %d completion%s: a ranking needs 2",
				(int)row.n_completions, row.n_completions == 1 ? "" : "s");
		return append(r, &row);
	case GPT_WANT_DEMO:
		if (row.n_completions < 1)
			return gpt_jsonl_bad(
				r->reader, GPT_BAD_MISSING, r->err, "row has no completion");
		for (int32_t i = 1; row.ranks && i < row.n_completions; i++)
			best = row.ranks[i] < row.ranks[best] ? i : best;
		row.completion = row.completions[best];
		break;
	case GPT_WANT_PROMPT:
		break;
	}
	row.completions = NULL;
	row.ranks = NULL;
	row.n_completions = 0;
	return append(r, &row);
}

int shape_add(const struct record *r, const char *prompt, const char *const *completions,
	const int32_t *ranks, int32_t K)
{
	const gpt_fields *f = &r->shaper->fields;
	gpt_row row = {.prompt = prompt, .ranks = ranks, .n_completions = K};
	const char **texts = cairn_arena_alloc(r->shaper->arena, (size_t)K + 1, sizeof(*texts));
	int rc;

	for (int32_t i = 0; i < K; i++) {
		if (is_blank(completions[i]))
			return gpt_jsonl_bad(
				r->reader, GPT_BAD_EMPTY, r->err, "completion %d is empty", i + 1);
		texts[i] = completions[i];
	}
	row.completions = texts;
	row.labeler = row.group = "";
	if ((rc = render_field(r, f->user, r->user, &row.user)) ||
		(rc = render_field(r, f->answer, "{answer?}", &row.answer)))
		return rc;
	if (f->prompt[0] && (rc = shape_render(r, f->prompt, &row.prompt)))
		return rc;
	if (r->shaper->want != GPT_WANT_PROMPT &&
		(rc = render_field(r, f->labeler, r->labeler, &row.labeler)))
		return rc;
	if (r->shaper->want == GPT_WANT_RANKING &&
		(rc = render_field(r, f->group, "{group?}", &row.group)))
		return rc;
	return add_wanted(r, row);
}

int shape_add_pair(
	const struct record *r, const char *prompt, const char *chosen, const char *rejected)
{
	const char *const texts[2] = {chosen, rejected};
	int32_t *ranks = cairn_arena_alloc(r->shaper->arena, 2, sizeof(*ranks));

	if (!strcmp(chosen, rejected))
		return gpt_jsonl_bad(
			r->reader, GPT_BAD_EQUAL, r->err, "chosen and rejected are equal");
	ranks[1] = 1;
	return shape_add(r, prompt, texts, ranks, 2);
}

/* ---- our own shape ------------------------------------------------------------------------------
 */

/* "scores", the highest best, as ranks: how many are better. */
static int rank_scores(const struct record *r, const json_t *scores, gpt_row *row)
{
	size_t n = (size_t)row->n_completions;
	int32_t *ranks = cairn_arena_alloc(r->shaper->arena, n + 1, sizeof(*ranks));

	if (!json_is_array(scores) || json_array_size(scores) != n)
		return gpt_jsonl_bad(
			r->reader, GPT_BAD_RANKS, r->err, "'scores' is no list of %zu numbers", n);
	for (size_t i = 0; i < n; i++) {
		const json_t *mine = json_array_get(scores, i);

		if (!json_is_number(mine))
			return gpt_jsonl_bad(r->reader, GPT_BAD_RANKS, r->err,
				"'scores' item %zu is no number", i);
		for (size_t j = 0; j < n; j++)
			ranks[i] += json_number_value(json_array_get(scores, j)) >
				    json_number_value(mine);
	}
	row->ranks = ranks;
	return 0;
}

/* Rankings of K. An empty completion may be ranked here: models write such. */
static int own_ranking(const struct record *r)
{
	const gpt_fields *f = &r->shaper->fields;
	const json_t *scores = shape_get(r->json, "scores");
	gpt_row row;
	int rc = gpt_row_parse(&row, r->reader, r->json,
		scores ? "dataset/completion" : "dataset/ranking", r->shaper->arena, r->err);

	if (!rc && scores && !row.ranks)
		rc = rank_scores(r, scores, &row);
	if (!rc && f->prompt[0])
		rc = shape_render(r, f->prompt, &row.prompt);
	if (!rc && f->user[0])
		rc = shape_render(r, f->user, &row.user);
	if (!rc && f->labeler[0])
		rc = shape_render(r, f->labeler, &row.labeler);
	if (!rc && f->group[0])
		rc = shape_render(r, f->group, &row.group);
	if (!rc && row.n_completions < 2)
		rc = gpt_jsonl_bad(r->reader, GPT_BAD_MISSING, r->err,
			"'completions' has 1 item: a ranking needs 2");
	return rc ? rc : append(r, &row);
}

/* Prompt, and completion where one is wanted, by the templates. */
static int own_text(const struct record *r)
{
	const gpt_fields *f = &r->shaper->fields;
	const char *prompt = "", *completion = NULL;
	bool is_demo = r->shaper->want == GPT_WANT_DEMO;
	int rc = f->prompt[0] ? 0 : shape_render(r, "{prompt}", &prompt);

	if (!rc && is_demo)
		rc = shape_render(
			r, f->completion[0] ? f->completion : "{completion}", &completion);
	return rc ? rc : shape_add(r, prompt, &completion, NULL, is_demo);
}

static int own_record(const struct record *r)
{
	return r->shaper->want == GPT_WANT_RANKING ? own_ranking(r) : own_text(r);
}

/* ---- the shapes by name
 * --------------------------------------------------------------------------- */

/* What the members of a record are called. */
struct keys {
	const char *input, *output, *prompt, *chosen, *rejected;
};

/* A demonstration, a prompt or a comparison under these keys. */
static int keyed_record(const struct record *r, const struct keys *keys)
{
	enum gpt_want want = r->shaper->want;
	const char *prompt, *completion = NULL;
	bool has_output = has(r->json, keys->output) || want == GPT_WANT_DEMO;
	int rc;

	if (has(r->json, keys->chosen) || has(r->json, keys->rejected) || want == GPT_WANT_RANKING)
		return dialog_pair(r, keys->prompt, keys->chosen, keys->rejected);
	/* TRL's unpaired preferences: what was found bad is no demonstration. */
	if (want == GPT_WANT_DEMO && json_is_false(json_object_get(r->json, "label")))
		return gpt_jsonl_bad(r->reader, GPT_BAD_VALUE, r->err,
			"completion is labelled as a bad one ('label' is false)");
	rc = dialog_prompt_of(r, keys->input, &prompt);
	if (!rc && has_output)
		rc = dialog_completion_of(r, keys->output, &completion);
	return rc ? rc : shape_add(r, prompt, &completion, NULL, has_output);
}

int gpt_shape_record(gpt_shaper *s, enum gpt_shape shape, gpt_jsonl *reader, const json_t *json,
	cairn_error *err)
{
	const gpt_shape_params *p = s->params;
	const struct keys trl = {"prompt", "completion", "prompt", "chosen", "rejected"};
	const struct keys named = {
		p->input_key, p->output_key, p->prompt_key, p->chosen_key, p->rejected_key};
	struct record r = {s, reader, json, err, "{user?}", "{labeler?}"};

	s->n = 0;
	switch (shape) {
	case GPT_SHAPE_OWN:
		return own_record(&r);
	case GPT_SHAPE_TRL:
		return keyed_record(&r, &trl);
	case GPT_SHAPE_OPENRLHF:
		return keyed_record(&r, &named);
	case GPT_SHAPE_MESSAGES:
		return dialog_messages(&r);
	case GPT_SHAPE_HH:
		return dialog_hh(&r);
	case GPT_SHAPE_SUMMARIZE:
		return set_summarize(&r);
	case GPT_SHAPE_OASST:
		return set_oasst(&r);
	case GPT_SHAPE_BESTOF:
		return set_bestof(&r);
	case GPT_SHAPE_AUTO:
	case GPT_SHAPES:
		break;
	}
	gpt_jsonl_bad(reader, GPT_BAD_SHAPE, err, "row has none of the shapes that are known");
	cairn_error_hint(err, "Set shape; or say with templates where prompt and completion are.");
	return CAIRN_EINPUT;
}

int gpt_shape_check(const gpt_shape_params *p, cairn_error *err)
{
	const char *const turns[][2] = {{"system_turn", p->system_turn},
		{"user_turn", p->user_turn}, {"assistant_turn", p->assistant_turn}};

	for (size_t i = 0; i < CAIRN_COUNT(turns); i++) {
		int rc = gpt_template_check(turns[i][0], turns[i][1], err);

		if (rc)
			return rc;
		if (strstr(turns[i][1], "{content}"))
			continue;
		cairn_error_set(err, CAIRN_EPARAM, "'%s' has no {content}", turns[i][0]);
		cairn_error_hint(err, "Put {content} where what is said belongs.");
		return CAIRN_EPARAM;
	}
	return 0;
}

void gpt_shaper_close(gpt_shaper *shaper)
{
	free(shaper->rows);
	shaper->rows = NULL;
	shaper->n = shaper->cap = 0;
}
