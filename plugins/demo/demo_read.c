/* SPDX-License-Identifier: Apache-2.0 */
/* demo_read.c - JSON lines to rows, by the templates of the parameters. */
#include <string.h>

#include "base/alloc.h"
#include "demo.h"
#include "gpt/jsonl.h"
#include "gpt/template.h"

static int append(struct demo_set *set, const gpt_row *row)
{
	if (set->n == set->cap) {
		size_t cap = set->cap ? set->cap * 2 : 256;
		gpt_row *rows = cairn_realloc(set->rows, cap, sizeof(*rows));

		if (!rows)
			return CAIRN_ENOMEM;
		set->rows = rows;
		set->cap = cap;
	}
	set->rows[set->n++] = *row;
	return 0;
}

static int render(struct demo_work *w, const char *template, const json_t *json, const char **out,
	cairn_error *err)
{
	cairn_text text = {0};
	int rc = gpt_template_render(template, json, &text, err);

	if (!rc)
		*out = cairn_arena_strndup(w->arena, cairn_text_get(&text), text.len);
	cairn_text_free(&text);
	return rc;
}

static int make_row(struct demo_work *w, const struct demo_set *set, const json_t *json,
	gpt_row *out, cairn_error *err)
{
	const struct demo_params *p = w->params;
	gpt_row row = {0};
	int rc;

	if ((rc = render(w, p->prompt, json, &row.prompt, err)) ||
		(rc = render(w, p->user, json, &row.user, err)) ||
		(rc = render(w, p->answer, json, &row.answer, err)))
		return rc;
	if (set->has_completions && ((rc = render(w, p->completion, json, &row.completion, err)) ||
					    (rc = render(w, p->labeler, json, &row.labeler, err))))
		return rc;
	*out = row;
	return 0;
}

static int read_file(struct demo_work *w, struct demo_set *set, gpt_bad_rows *bad,
	const cairn_artifact *artifact, const cairn_tensor *data)
{
	gpt_jsonl reader;
	cairn_error err = {0};
	json_t *json;
	int rc = gpt_jsonl_open(&reader, artifact->source, data->data, data->bytes, &err);

	if (rc)
		return w->host->fail_with(w->run, &err);
	while ((rc = gpt_jsonl_next(&reader, &json, &err))) {
		gpt_row row;

		set->counts.read++;
		if (rc > 0) {
			rc = make_row(w, set, json, &row, &err);
			json_decref(json);
			if (rc)
				cairn_error_at(&err, "%s:%llu", reader.source,
					(unsigned long long)reader.line);
			else if (append(set, &row))
				return w->host->fail(
					w->run, CAIRN_ENOMEM, "no memory for the rows");
		}
		if (rc && gpt_bad_rows_add(bad, &err))
			return w->host->fail_with(w->run, &err);
	}
	return 0;
}

int demo_read(struct demo_work *w, struct demo_set *set)
{
	gpt_bad_rows bad = {.limit = (uint64_t)w->params->max_bad_rows};
	int rc = 0;

	for (uint64_t i = 0; !rc && i < w->host->input_count(w->run, set->port); i++) {
		cairn_artifact artifact;
		cairn_tensor data;

		rc = w->host->input_open(w->run, set->port, i, &artifact);
		if (!rc)
			rc = w->host->entry_get(w->run, &artifact, "data", &data);
		if (rc > 0)
			rc = w->host->fail(
				w->run, CAIRN_EINPUT, "'%s' holds no file", artifact.source);
		if (!rc)
			rc = read_file(w, set, &bad, &artifact, &data);
		set->counts.files++;
	}
	set->counts.bad = bad.n;
	if (bad.n && !rc)
		w->host->log(w->run, CAIRN_LOG_WARNING,
			"%llu bad rows were left out; the first: "
			"%s: %s",
			(unsigned long long)bad.n, bad.first.place, bad.first.message);
	return rc;
}
