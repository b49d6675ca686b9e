/* SPDX-License-Identifier: Apache-2.0 */
/* rows_read.c - the files of a port, record by record. */
#include "gpt/rows_read.h"

#include "base/alloc.h"
#include "gpt/release.h"

static int no_memory(const gpt_rows_reader *self)
{
	return self->host->fail(self->run, CAIRN_ENOMEM, "no memory for the rows");
}

/* ---- lengths ---------------------------------------------------------------------------- */

static int add_length(gpt_lengths *lengths, const char *text)
{
	uint32_t n = 0;

	if (lengths->n == lengths->cap) {
		size_t cap = lengths->cap ? lengths->cap * 2 : 1024;
		uint32_t *wider = cairn_realloc(lengths->characters, cap, sizeof(*wider));

		if (!wider)
			return CAIRN_ENOMEM;
		lengths->characters = wider;
		lengths->cap = cap;
	}
	for (; *text; text++)
		n += ((unsigned char)*text & 0xc0) != 0x80;
	lengths->characters[lengths->n++] = n;
	return 0;
}

static int add_lengths(gpt_tally *tally, const gpt_row *row)
{
	int rc = add_length(&tally->prompts, row->prompt);

	if (!rc && row->completion)
		rc = add_length(&tally->completions, row->completion);
	for (int32_t i = 0; !rc && i < row->n_completions; i++)
		rc = add_length(&tally->completions, row->completions[i]);
	return rc;
}

/* ---- files --------------------------------------------------------------------------------- */

/* The first record that we know says what the file is. */
static void recognise(
	gpt_rows_reader *self, gpt_file_tally *file, const gpt_jsonl *jsonl, const json_t *record)
{
	if (file->shape != GPT_SHAPE_AUTO)
		return;
	file->shape = gpt_shape_recognise(&self->shaper, record);
	if (file->shape != GPT_SHAPE_AUTO)
		self->host->log(self->run, CAIRN_LOG_INFO, "'%s' is read as shape %s%s%s",
			jsonl->source, gpt_shape_names[file->shape], jsonl->gzip ? ", gzip" : "",
			jsonl->in_array ? ", one array" : "");
}

static int hand_over(gpt_rows_reader *self, gpt_tally *tally)
{
	const gpt_shaper *s = &self->shaper;
	int rc = 0;

	for (size_t i = 0; !rc && i < s->n; i++)
		rc = add_lengths(tally, &s->rows[i]) ? no_memory(self)
						     : self->take(self->context, &s->rows[i]);
	tally->files[tally->n_files - 1].rows += s->n;
	return rc;
}

static int read_records(gpt_rows_reader *self, gpt_tally *tally, gpt_jsonl *jsonl)
{
	gpt_file_tally *file = &tally->files[tally->n_files - 1];
	cairn_error err = {0};
	json_t *record;
	int rc;

	while ((rc = gpt_jsonl_next(jsonl, &record, &err))) {
		if (rc > 0) {
			recognise(self, file, jsonl, record);
			rc = gpt_shape_record(&self->shaper, file->shape, jsonl, record, &err);
			json_decref(record);
		}
		if (jsonl->is_broken || rc == CAIRN_ENOMEM)
			return self->host->fail_with(self->run, &err);
		file->records++;
		file->bad += rc != 0;
		if (rc)
			gpt_bad_rows_add(
				&tally->bad, self->host, self->run, jsonl, tally->n_files, &err);
		else if ((rc = hand_over(self, tally)))
			return rc;
	}
	return 0;
}

static int read_file(
	gpt_rows_reader *self, gpt_tally *tally, const char *source, const void *data, size_t len)
{
	gpt_file_tally *file,
		*files = cairn_realloc(tally->files, tally->n_files + 1, sizeof(*files));
	cairn_error err = {0};
	gpt_jsonl jsonl;
	int rc;

	if (!files)
		return no_memory(self);
	tally->files = files;
	file = &files[tally->n_files++];
	*file = (gpt_file_tally){.shape = (enum gpt_shape)self->shaper.params->shape};
	if (gpt_jsonl_open(&jsonl, source, data, len, &err))
		return self->host->fail_with(self->run, &err);
	rc = read_records(self, tally, &jsonl);
	gpt_jsonl_close(&jsonl);
	tally->records += file->records;
	tally->rows += file->rows;
	return rc;
}

int gpt_rows_read(gpt_rows_reader *self, gpt_tally *tally)
{
	const cairn_host *host = self->host;
	int rc = 0;

	*tally = (gpt_tally){0};
	for (uint64_t i = 0; !rc && i < host->input_count(self->run, self->port); i++) {
		cairn_artifact artifact;
		cairn_tensor data;

		rc = host->input_open(self->run, self->port, i, &artifact);
		if (!rc)
			rc = host->entry_get(self->run, &artifact, "data", &data);
		if (rc > 0)
			rc = host->fail(
				self->run, CAIRN_EINPUT, "'%s' holds no file", artifact.source);
		if (!rc)
			rc = read_file(self, tally, artifact.source, data.data, data.bytes);
		gpt_release(host, self->run, &artifact, "data");
	}
	gpt_shaper_close(&self->shaper);
	if (rc)
		return rc;
	return gpt_bad_rows_check(
		&tally->bad, host, self->run, tally->records, self->shaper.params->max_bad);
}

void gpt_tally_free(gpt_tally *tally)
{
	free(tally->files);
	free(tally->prompts.characters);
	free(tally->completions.characters);
	*tally = (gpt_tally){0};
}
