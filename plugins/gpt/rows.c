/* SPDX-License-Identifier: Apache-2.0 */
/* rows.c - rows of JSON from and to the datasets that stages pass on. */
#include "gpt/rows.h"

#include <string.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/text.h"
#include "gpt/jsonl.h"
#include "gpt/release.h"

/* The paper ranks 4 to 9 completions (2203.02155, 3.4); this bounds what a file may ask for. */
#define MAX_COMPLETIONS 64

#define ENTRY "rows.jsonl"

/* ---- reading -------------------------------------------------------------------------- */

/* What a row of each kind must have besides "prompt". */
struct needs {
	const char *kind;
	bool completion, completions, ranks;
};

static const struct needs all_needs[] = {
	{"dataset/demo", true, false, false},
	{"dataset/prompt", false, false, false},
	{"dataset/completion", false, true, false},
	{"dataset/ranking", false, true, true},
};

static const struct needs *needs_of(const char *kind)
{
	for (size_t i = 0; i < CAIRN_COUNT(all_needs); i++)
		if (!strcmp(all_needs[i].kind, kind))
			return &all_needs[i];
	return NULL;
}

/* The string member `key`, copied; `absent` where there is none. A member of another type is a
 * mistake. */
static int take_string(gpt_jsonl *reader, const json_t *row, const char *key, cairn_arena *arena,
	const char *absent, const char **out, cairn_error *err)
{
	const json_t *value = json_object_get(row, key);

	if (!value || json_is_null(value)) {
		*out = absent;
		return 0;
	}
	if (!json_is_string(value))
		return gpt_jsonl_bad(reader, GPT_BAD_TYPE, err, "'%s' is no string", key);
	*out = cairn_arena_strndup(arena, json_string_value(value), json_string_length(value));
	return 0;
}

static int take_completions(
	gpt_jsonl *reader, const json_t *row, cairn_arena *arena, gpt_row *out, cairn_error *err)
{
	const json_t *list = json_object_get(row, "completions");
	const char **texts;
	size_t n = json_array_size(list);

	if (!list)
		return 0;
	if (!json_is_array(list) || n < 1 || n > MAX_COMPLETIONS)
		return gpt_jsonl_bad(reader, GPT_BAD_TYPE, err,
			"'completions' is no list of 1 to %d texts", MAX_COMPLETIONS);
	texts = cairn_arena_alloc(arena, n, sizeof(*texts));
	for (size_t i = 0; i < n; i++) {
		const json_t *text = json_array_get(list, i);

		if (!json_is_string(text))
			return gpt_jsonl_bad(reader, GPT_BAD_TYPE, err,
				"'completions' item %zu is no string", i);
		texts[i] = cairn_arena_strndup(
			arena, json_string_value(text), json_string_length(text));
	}
	out->completions = texts;
	out->n_completions = (int32_t)n;
	return 0;
}

/* `ended` and `ranks`: one value per completion. */
static int take_marks(
	gpt_jsonl *reader, const json_t *row, cairn_arena *arena, gpt_row *out, cairn_error *err)
{
	const json_t *ended = json_object_get(row, "ended"), *ranks = json_object_get(row, "ranks");
	size_t n = (size_t)out->n_completions;
	bool *flags = cairn_arena_alloc(arena, n + 1, sizeof(*flags));
	int32_t *numbers = cairn_arena_alloc(arena, n + 1, sizeof(*numbers));

	if ((ended && json_array_size(ended) != n) || (ranks && json_array_size(ranks) != n))
		return gpt_jsonl_bad(reader, GPT_BAD_RANKS, err,
			"'%s' has %zu items for %zu completions",
			ranks && json_array_size(ranks) != n ? "ranks" : "ended",
			json_array_size(ranks && json_array_size(ranks) != n ? ranks : ended), n);
	for (size_t i = 0; i < n; i++) {
		const json_t *flag = json_array_get(ended, i), *rank = json_array_get(ranks, i);

		if (flag && !json_is_boolean(flag))
			return gpt_jsonl_bad(
				reader, GPT_BAD_TYPE, err, "'ended' item %zu is no boolean", i);
		if (rank && (!json_is_integer(rank) || json_integer_value(rank) < 0 ||
				    json_integer_value(rank) >= 1 << 20))
			return gpt_jsonl_bad(reader, GPT_BAD_RANKS, err,
				"'ranks' item %zu is no rank (0, 1, 2 ...)", i);
		flags[i] = json_is_true(flag);
		numbers[i] = (int32_t)json_integer_value(rank);
	}
	out->ended = ended ? flags : NULL;
	out->ranks = ranks ? numbers : NULL;
	return 0;
}

int gpt_row_parse(gpt_row *out, gpt_jsonl *reader, const json_t *row, const char *kind, void *arena,
	cairn_error *err)
{
	const struct needs *needs = needs_of(kind);
	gpt_row r = {0};
	int rc;

	if ((rc = take_string(reader, row, "prompt", arena, NULL, &r.prompt, err)) ||
		(rc = take_string(reader, row, "completion", arena, NULL, &r.completion, err)) ||
		(rc = take_string(reader, row, "user", arena, "", &r.user, err)) ||
		(rc = take_string(reader, row, "labeler", arena, "", &r.labeler, err)) ||
		(rc = take_string(reader, row, "group", arena, "", &r.group, err)) ||
		(rc = take_string(reader, row, "answer", arena, "", &r.answer, err)) ||
		(rc = take_completions(reader, row, arena, &r, err)) ||
		(rc = take_marks(reader, row, arena, &r, err)))
		return rc;
	if (!r.prompt)
		return gpt_jsonl_bad(reader, GPT_BAD_MISSING, err, "'prompt' is missing");
	if (needs && needs->completion && !r.completion)
		return gpt_jsonl_bad(reader, GPT_BAD_MISSING, err, "'completion' is missing");
	if (needs && needs->completions && !r.completions)
		return gpt_jsonl_bad(reader, GPT_BAD_MISSING, err, "'completions' is missing");
	if (needs && needs->ranks && !r.ranks)
		return gpt_jsonl_bad(reader, GPT_BAD_MISSING, err, "'ranks' is missing");
	*out = r;
	return 0;
}

static int append_row(gpt_rows *rows, size_t *cap, const gpt_row *row, cairn_error *err)
{
	if (rows->n == *cap) {
		size_t wider = *cap ? *cap * 2 : 256;
		gpt_row *grown = cairn_realloc(rows->rows, wider, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "no memory for %zu rows", wider);
		rows->rows = grown;
		*cap = wider;
	}
	rows->rows[rows->n++] = *row;
	return 0;
}

static int load_artifact(gpt_rows *rows, size_t *cap, const cairn_artifact *artifact,
	const cairn_tensor *entry, cairn_error *err)
{
	gpt_jsonl reader;
	json_t *json = NULL;
	int rc = gpt_jsonl_open(&reader, artifact->source, entry->data, entry->bytes, err);

	if (rc)
		return rc;
	while (!rc && (rc = gpt_jsonl_next(&reader, &json, err)) > 0) {
		gpt_row row;

		rc = gpt_row_parse(&row, &reader, json, artifact->kind, rows->arena, err);
		json_decref(json);
		if (!rc)
			rc = append_row(rows, cap, &row, err);
	}
	gpt_jsonl_close(&reader);
	return rc;
}

int gpt_rows_load(gpt_rows *out, const cairn_host *host, cairn_run *run, const char *port)
{
	gpt_rows rows = {.arena = cairn_arena_new()};
	cairn_error err = {0};
	size_t cap = 0;
	int rc = 0;

	for (uint64_t i = 0; !rc && i < host->input_count(run, port); i++) {
		cairn_artifact artifact;
		cairn_tensor entry;

		rc = host->input_open(run, port, i, &artifact);
		if (rc)
			break;
		rc = host->entry_get(run, &artifact, ENTRY, &entry);
		if (rc > 0)
			rc = host->fail(run, CAIRN_EINPUT, "'%s' has no entry '" ENTRY "'",
				artifact.source);
		if (rc)
			break;
		rc = load_artifact(&rows, &cap, &artifact, &entry, &err);
		if (rc)
			rc = host->fail_with(run, &err);
		gpt_release(host, run, &artifact, ENTRY);
	}
	if (rc)
		gpt_rows_free(&rows);
	else
		*out = rows;
	return rc;
}

void gpt_rows_free(gpt_rows *rows)
{
	free(rows->rows);
	cairn_arena_free(rows->arena);
	*rows = (gpt_rows){0};
}

/* ---- writing -------------------------------------------------------------------------- */

struct gpt_rows_writer {
	cairn_text text;
	size_t n;
	/* For the metadata, by which a plan estimates the lengths in tokens. */
	size_t n_completions, prompt_bytes, completion_bytes;
	size_t longest_prompt, longest_completion;
};

gpt_rows_writer *gpt_rows_writer_new(void)
{
	return cairn_alloc(1, sizeof(gpt_rows_writer));
}

void gpt_rows_writer_free(gpt_rows_writer *writer)
{
	if (!writer)
		return;
	cairn_text_free(&writer->text);
	free(writer);
}

static int set_string(json_t *object, const char *key, const char *text, bool keep_empty)
{
	if (!text || (!text[0] && !keep_empty))
		return 0;
	return json_object_set_new(object, key, gpt_json_string(text));
}

static int set_lists(json_t *object, const gpt_row *row)
{
	json_t *texts = json_array(), *ended = json_array(), *ranks = json_array();
	int rc = 0;

	for (int32_t i = 0; i < row->n_completions; i++) {
		rc |= json_array_append_new(texts, gpt_json_string(row->completions[i]));
		if (row->ended)
			rc |= json_array_append_new(ended, json_boolean(row->ended[i]));
		if (row->ranks)
			rc |= json_array_append_new(ranks, json_integer(row->ranks[i]));
	}
	if (row->n_completions)
		rc |= json_object_set(object, "completions", texts);
	if (row->n_completions && row->ended)
		rc |= json_object_set(object, "ended", ended);
	if (row->n_completions && row->ranks)
		rc |= json_object_set(object, "ranks", ranks);
	json_decref(texts);
	json_decref(ended);
	json_decref(ranks);
	return rc;
}

static void measure(size_t *sum, size_t *longest, const char *text)
{
	size_t len = text ? strlen(text) : 0;

	*sum += len;
	*longest = len > *longest ? len : *longest;
}

static void measure_row(gpt_rows_writer *writer, const gpt_row *row)
{
	measure(&writer->prompt_bytes, &writer->longest_prompt, row->prompt);
	measure(&writer->completion_bytes, &writer->longest_completion, row->completion);
	for (int32_t i = 0; i < row->n_completions; i++)
		measure(&writer->completion_bytes, &writer->longest_completion,
			row->completions[i]);
	writer->n_completions += (size_t)row->n_completions + (row->completion != NULL);
}

int gpt_rows_writer_add(gpt_rows_writer *writer, const gpt_row *row)
{
	json_t *object = json_object();
	char *line = NULL;
	int rc = 0;

	rc |= set_string(object, "prompt", row->prompt, true);
	rc |= set_string(object, "completion", row->completion, true);
	rc |= set_string(object, "user", row->user, false);
	rc |= set_string(object, "labeler", row->labeler, false);
	rc |= set_string(object, "group", row->group, false);
	rc |= set_string(object, "answer", row->answer, false);
	rc |= set_lists(object, row);
	if (!rc)
		line = cairn_json_canonical(object);
	if (line) {
		cairn_text_add(&writer->text, line);
		cairn_text_add_char(&writer->text, '\n');
		writer->n++;
		measure_row(writer, row);
	}
	free(line);
	json_decref(object);
	return line && !writer->text.failed ? 0 : CAIRN_ENOMEM;
}

size_t gpt_rows_writer_count(const gpt_rows_writer *writer)
{
	return writer->n;
}

int gpt_rows_writer_commit(
	gpt_rows_writer *writer, const cairn_host *host, cairn_run *run, const char *port)
{
	cairn_tensor entry = {.name = ENTRY, .dtype = CAIRN_U8, .n_dims = 1};
	cairn_writer *output = NULL;
	char meta[256];
	int rc;

	entry.dims[0] = entry.bytes = writer->text.len;
	entry.data = cairn_text_get(&writer->text);
	snprintf(meta, sizeof(meta),
		"{\"completion_bytes\":%zu,\"completion_bytes_max\":%zu,\"completions\":%zu,"
		"\"prompt_bytes\":%zu,\"prompt_bytes_max\":%zu,\"rows\":%zu}",
		writer->completion_bytes, writer->longest_completion, writer->n_completions,
		writer->prompt_bytes, writer->longest_prompt, writer->n);
	if ((rc = host->output_begin(run, port, &output)) || (rc = host->put(output, &entry)) ||
		(rc = host->meta(output, meta)))
		return rc;
	return host->commit(output);
}
