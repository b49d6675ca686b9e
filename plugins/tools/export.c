/* SPDX-License-Identifier: Apache-2.0 */
/*
 * export.c - a model as a directory that transformers loads.
 *
 * The same model gives the same bytes: no date, no version, no path.
 */
#include <string.h>

#include "gpt/checkpoint.h"
#include "gpt/hf.h"
#include "tools.h"

struct export
{
	tool_work work;
	gpt_model *model;
	gpt_tokenizer *tokenizer; /* NULL: none */
	cairn_writer *writer;
	int32_t end; /* token; -1: none */
};

/* Takes the text over. */
static int put_text(const struct export *self, const char *name, char *take_text)
{
	int rc = take_text ? gpt_put_bytes(self->work.host, self->work.run, self->writer, name,
				     take_text, strlen(take_text))
			   : tool_no_memory(&self->work, name);

	free(take_text);
	return rc;
}

/* Pretty text of a JSON value, which is taken over, with a line's end; NULL without memory. */
static char *file_text(json_t *take_json)
{
	char *pretty = take_json ? cairn_json_pretty(take_json) : NULL;
	cairn_text text = {0};

	if (pretty)
		cairn_text_printf(&text, "%s\n", pretty);
	free(pretty);
	json_decref(take_json);
	if (text.failed)
		cairn_text_free(&text);
	return text.data;
}

static int put_weights(const struct export *self)
{
	cairn_error err = {0};
	char *file = NULL;
	size_t len;
	int rc;

	if (gpt_hf_weights(&file, &len, self->model, &err))
		return self->work.host->fail_with(self->work.run, &err);
	rc = gpt_put_bytes(
		self->work.host, self->work.run, self->writer, "model.safetensors", file, len);
	free(file);
	return rc;
}

static int put_tokenizer(const struct export *self)
{
	const cairn_host *host = self->work.host;
	const char *bytes;
	size_t len;
	int rc;

	bytes = gpt_tokenizer_vocab_json(self->tokenizer, &len);
	rc = gpt_put_bytes(host, self->work.run, self->writer, "vocab.json", bytes, len);
	if (rc)
		return rc;
	bytes = gpt_tokenizer_merges(self->tokenizer, &len);
	rc = gpt_put_bytes(host, self->work.run, self->writer, "merges.txt", bytes, len);
	if (rc)
		return rc;
	return put_text(self, "tokenizer_config.json",
		file_text(json_pack("{s:s, s:i}", "tokenizer_class", "GPT2Tokenizer",
			"model_max_length", self->model->config.n_ctx)));
}

/* transformers would go on drawing behind the end token otherwise. */
static int put_generation(const struct export *self)
{
	if (self->end < 0 || self->model->head != GPT_HEAD_LM)
		return 0;
	return put_text(self, "generation_config.json",
		file_text(json_pack(
			"{s:i, s:i}", "bos_token_id", self->end, "eos_token_id", self->end)));
}

static int put_all(struct export *self)
{
	int rc = self->work.host->output_begin(self->work.run, "directory", &self->writer);

	if (!rc)
		rc = put_text(self, "config.json", gpt_hf_config_write(self->model, self->end));
	if (!rc)
		rc = put_weights(self);
	if (!rc && self->tokenizer)
		rc = put_tokenizer(self);
	if (!rc)
		rc = put_generation(self);
	return rc ? rc : self->work.host->commit(self->writer);
}

int tool_export(const cairn_host *host, cairn_run *run, const cairn_tool_io *io, const void *params,
	const char *text)
{
	struct export self = {.work = {.host = host, .run = run, .io = io}, .end = -1};
	int rc = gpt_load_model_as_is(&self.model, host, run, "model");

	(void)params; /* `format` has one value so far: the name of what is written */
	(void)text;
	if (!rc)
		rc = gpt_load_tokenizer_if_any(&self.tokenizer, host, run, "model");
	if (!rc && self.tokenizer)
		self.end = gpt_tokenizer_end(self.tokenizer);
	if (!rc)
		rc = put_all(&self);
	gpt_tokenizer_free(self.tokenizer);
	gpt_model_free(self.model);
	return rc;
}
