/* SPDX-License-Identifier: Apache-2.0 */
/* text_read.c - the files of port `text` to documents: plain, packed with gzip, or rows of JSON. */
#include <string.h>

#include "base/alloc.h"
#include "base/text.h"
#include "gpt/gzip.h"
#include "gpt/rows_bad.h"
#include "gpt/template.h"
#include "text.h"

/* What is unpacked at once. */
#define CHUNK (1u << 20)

static int no_memory(const struct text_reader *r)
{
	return r->host->fail(r->run, CAIRN_ENOMEM, "no memory for the text");
}

int text_read_file(const cairn_host *host, cairn_run *run, const char *port, uint64_t index,
	struct text_file *out)
{
	cairn_artifact artifact;
	cairn_tensor entry;
	int rc = host->input_open(run, port, index, &artifact);

	if (!rc)
		rc = host->entry_get(
			run, &artifact, !strcmp(artifact.kind, "text") ? "text" : "data", &entry);
	if (rc > 0)
		return host->fail(run, CAIRN_EINPUT, "'%s' holds no text", artifact.source);
	if (!rc)
		*out = (struct text_file){artifact.source, entry.data, entry.bytes};
	return rc;
}

/* Hands over a document, or what max_bytes leaves of it. */
static int hand_over(struct text_reader *r, const char *text, size_t len)
{
	len = len > r->left ? r->left : len;
	r->left -= len;
	return r->take(r->context, text, len);
}

/* ---- packed text ------------------------------------------------------------------------ */

/* Unpacks as much as max_bytes wants. The reader owns the bytes. */
static int unpack(struct text_reader *r, struct text_file *file)
{
	cairn_text text = {0};
	cairn_error err = {0};
	gpt_gzip *gzip = NULL;
	char *chunk = cairn_alloc(CHUNK, 1);
	char **owned = cairn_realloc(r->unpacked, r->n_unpacked + 1, sizeof(*owned));
	size_t n = CHUNK;
	int rc = 0;

	if (owned)
		r->unpacked = owned;
	if (!chunk || !owned)
		rc = no_memory(r);
	else if (gpt_gzip_open(&gzip, file->source, file->data, file->len, &err))
		rc = r->host->fail_with(r->run, &err);
	while (!rc && n == CHUNK && text.len < r->left) {
		if (gpt_gzip_read(gzip, chunk, CHUNK, &n, &err))
			rc = r->host->fail_with(r->run, &err);
		else
			cairn_text_add_bytes(&text, chunk, n);
		if (!rc && text.failed)
			rc = no_memory(r);
	}
	gpt_gzip_close(gzip);
	free(chunk);
	if (rc) {
		cairn_text_free(&text);
		return rc;
	}
	file->data = cairn_text_get(&text);
	file->len = text.len;
	r->unpacked[r->n_unpacked++] = text.data;
	return 0;
}

static int read_plain(struct text_reader *r, struct text_file *file)
{
	int rc = gpt_gzip_is(file->data, file->len) ? unpack(r, file) : 0;

	return rc ? rc : hand_over(r, file->data, file->len);
}

/* ---- rows -------------------------------------------------------------------------------- */

static int take_row(
	struct text_reader *r, gpt_jsonl *jsonl, const json_t *row, cairn_error *err, bool *failed)
{
	cairn_text text = {0};
	int rc = gpt_template_render(r->params->row, row, &text, err);
	size_t len = text.len;

	if (rc) {
		jsonl->why = GPT_BAD_MISSING;
		cairn_error_at(err, "%s:%llu", jsonl->source, (unsigned long long)jsonl->line);
	} else if (!len) {
		rc = gpt_jsonl_bad(jsonl, GPT_BAD_EMPTY, err, "row has an empty text");
	} else {
		rc = hand_over(r, cairn_arena_strndup(r->arena, text.data, len), len);
		*failed = rc != 0;
	}
	cairn_text_free(&text);
	return rc;
}

static int read_rows(struct text_reader *r, const struct text_file *file, uint64_t index)
{
	cairn_error err = {0};
	gpt_jsonl jsonl;
	json_t *row;
	bool failed = false;
	int rc = gpt_jsonl_open(&jsonl, file->source, file->data, file->len, &err);

	if (rc)
		return r->host->fail_with(r->run, &err);
	while (!failed && r->left && (rc = gpt_jsonl_next(&jsonl, &row, &err))) {
		r->n_rows++;
		if (rc > 0) {
			rc = take_row(r, &jsonl, row, &err, &failed);
			json_decref(row);
		}
		if (jsonl.is_broken) {
			rc = r->host->fail_with(r->run, &err);
			failed = true;
		} else if (rc && !failed) {
			gpt_bad_rows_add(&r->bad, r->host, r->run, &jsonl, index + 1, &err);
		}
	}
	gpt_jsonl_close(&jsonl);
	return failed ? rc : 0;
}

/* ---- the port ---------------------------------------------------------------------------------
 */

int text_read(struct text_reader *r)
{
	int rc = 0;

	r->left = r->params->max_bytes ? r->params->max_bytes : SIZE_MAX;
	for (uint64_t i = 0; !rc && i < r->host->input_count(r->run, "text") && r->left; i++) {
		struct text_file file;

		rc = text_read_file(r->host, r->run, "text", i, &file);
		if (!rc)
			rc = r->params->document == DOCUMENT_ROW ? read_rows(r, &file, i)
								 : read_plain(r, &file);
	}
	return rc ? rc
		  : gpt_bad_rows_check(&r->bad, r->host, r->run, r->n_rows, r->params->max_bad);
}

void text_reader_free(struct text_reader *r)
{
	for (size_t i = 0; i < r->n_unpacked; i++)
		free(r->unpacked[i]);
	free(r->unpacked);
	cairn_arena_free(r->arena);
}
