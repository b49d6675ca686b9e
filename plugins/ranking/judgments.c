/* SPDX-License-Identifier: Apache-2.0 */
/* judgments.c - tables of judgments. */
#include "judgments.h"

#include <string.h>

#define MAX_PLACES 256

/* Cuts a line at its tabs, in place. Number of fields, at most MAX_PLACES. */
static size_t cut_line(char *line, char *fields[MAX_PLACES])
{
	size_t n = 0;

	for (char *at = line; at && n < MAX_PLACES;) {
		char *tab = strchr(at, '\t');

		fields[n++] = at;
		if (tab)
			*tab++ = '\0';
		at = tab;
	}
	return n;
}

static int missing_column(
	struct judgments *j, const char *name, char *const *fields, size_t n, cairn_error *err)
{
	const char *guess = cairn_did_you_mean(name, (const char *const *)fields, n);
	cairn_text list = {0};

	gpt_jsonl_bad(&j->reader, GPT_BAD_MISSING, err, "no column '%s'", name);
	for (size_t i = 0; i < n; i++)
		cairn_text_printf(&list, "%s%s", i ? ", " : "", fields[i]);
	cairn_error_detail(err, "columns: %s", cairn_text_get(&list));
	if (guess)
		cairn_error_hint(err,
			"Did you mean '%s'? Set column_a, column_b, column_labeler, "
			"column_value and column_group.",
			guess);
	else
		cairn_error_hint(err, "Set column_a, column_b, column_labeler, column_value and "
				      "column_group to columns of the file.");
	cairn_text_free(&list);
	return CAIRN_EINPUT;
}

static int read_header(struct judgments *j, cairn_error *err)
{
	char *fields[MAX_PLACES];
	const char *line;
	size_t len;
	int rc;

	rc = gpt_jsonl_line(&j->reader, &line, &len, err);
	if (rc == 0)
		return cairn_error_set(err, CAIRN_EINPUT, "'%s' is empty", j->reader.source);
	if (rc < 0)
		return rc;
	j->n_places = cut_line(cairn_arena_strndup(j->arena, line, len), fields);
	for (int c = 0; c < COLUMNS; c++) {
		j->place[c] = j->n_places;
		for (size_t i = 0; i < j->n_places; i++)
			if (!strcmp(fields[i], j->names[c]))
				j->place[c] = i;
		/* Who and of which group may be unknown. */
		if (j->place[c] == j->n_places && c != COLUMN_LABELER && c != COLUMN_GROUP)
			return missing_column(j, j->names[c], fields, j->n_places, err);
	}
	return 0;
}

int judgments_open(struct judgments *out, const struct ranking_params *params, const char *source,
	const char *text, size_t len, cairn_arena *arena, cairn_error *err)
{
	struct judgments j = {.arena = arena,
		.names = {params->column_a, params->column_b, params->column_labeler,
			params->column_value, params->column_group}};
	int rc = gpt_jsonl_open(&j.reader, source, text, len, err);

	if (rc)
		return rc;
	j.is_tsv = j.reader.at < j.reader.len && !j.reader.in_array &&
		   j.reader.text[j.reader.at] != '{';
	if (j.is_tsv)
		rc = read_header(&j, err);
	if (!rc && params->group[0] && j.is_tsv && j.place[COLUMN_GROUP] == j.n_places)
		rc = gpt_jsonl_bad(&j.reader, GPT_BAD_MISSING, err, "no column '%s' for group '%s'",
			params->column_group, params->group);
	if (rc)
		gpt_jsonl_close(&j.reader);
	else
		*out = j;
	return rc;
}

void judgments_close(struct judgments *judgments)
{
	gpt_jsonl_close(&judgments->reader);
}

static int next_tsv(struct judgments *j, const char *fields[COLUMNS], cairn_error *err)
{
	char *all[MAX_PLACES];
	const char *line;
	size_t len, n;
	int rc;

	do {
		rc = gpt_jsonl_line(&j->reader, &line, &len, err);
		if (rc <= 0)
			return rc;
	} while (!len);
	n = cut_line(cairn_arena_strndup(j->arena, line, len), all);
	if (n != j->n_places) {
		gpt_jsonl_bad(&j->reader, GPT_BAD_TYPE, err, "row has %zu fields, the header %zu",
			n, j->n_places);
		cairn_error_hint(err, "Fields are separated by one tab each.");
		return CAIRN_EINPUT;
	}
	for (int c = 0; c < COLUMNS; c++)
		fields[c] = j->place[c] < n ? all[j->place[c]] : "";
	return 1;
}

static int next_json(struct judgments *j, const char *fields[COLUMNS], cairn_error *err)
{
	json_t *json;
	int rc = gpt_jsonl_next(&j->reader, &json, err);

	if (rc <= 0)
		return rc;
	for (int c = 0; rc > 0 && c < COLUMNS; c++) {
		const json_t *value = json_object_get(json, j->names[c]);

		fields[c] = "";
		if (json_is_string(value))
			fields[c] = cairn_arena_strdup(j->arena, json_string_value(value));
		else if (json_is_integer(value))
			fields[c] = cairn_arena_printf(
				j->arena, "%lld", (long long)json_integer_value(value));
		else if (value && !json_is_null(value))
			rc = gpt_jsonl_bad(
				&j->reader, GPT_BAD_TYPE, err, "'%s' is no text", j->names[c]);
		else if (c != COLUMN_LABELER && c != COLUMN_GROUP)
			rc = gpt_jsonl_bad(
				&j->reader, GPT_BAD_MISSING, err, "'%s' is missing", j->names[c]);
	}
	json_decref(json);
	return rc;
}

int judgments_next(struct judgments *j, const char *fields[COLUMNS], cairn_error *err)
{
	return j->is_tsv ? next_tsv(j, fields, err) : next_json(j, fields, err);
}
