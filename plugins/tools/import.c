/* SPDX-License-Identifier: Apache-2.0 */
/* import.c - a directory in Hugging Face's layout becomes an artifact. */
#include "gpt/checkpoint.h"
#include "gpt/hf.h"
#include "tools.h"

static int put_file(const tool_work *work, cairn_writer *writer, const char *name,
	const char *bytes, size_t len)
{
	return gpt_put_bytes(work->host, work->run, writer, name, bytes, len);
}

/* A directory without a model: its tokenizer. */
static int import_tokenizer(const tool_work *work)
{
	gpt_tokenizer *tokenizer = NULL;
	cairn_writer *writer = NULL;
	const char *bytes;
	size_t len;
	int rc = gpt_load_tokenizer(&tokenizer, work->host, work->run, "directory");

	if (rc)
		return rc;
	rc = work->host->output_begin(work->run, "tokenizer", &writer);
	if (!rc) {
		bytes = gpt_tokenizer_vocab_json(tokenizer, &len);
		rc = put_file(work, writer, "vocab.json", bytes, len);
	}
	if (!rc) {
		bytes = gpt_tokenizer_merges(tokenizer, &len);
		rc = put_file(work, writer, "merges.txt", bytes, len);
	}
	if (!rc)
		rc = work->host->commit(writer);
	gpt_tokenizer_free(tokenizer);
	return rc;
}

static int check_vocabulary(
	const tool_work *work, const gpt_model *model, const gpt_tokenizer *tokenizer)
{
	if (!tokenizer) {
		work->host->log(work->run, CAIRN_LOG_WARNING,
			"the directory has no tokenizer: the model will work on token numbers only");
		return 0;
	}
	if (gpt_tokenizer_size(tokenizer) <= model->config.n_vocab)
		return 0;
	return work->host->fail(work->run, CAIRN_EINPUT,
		"the tokenizer has %d tokens, the model knows %d", gpt_tokenizer_size(tokenizer),
		model->config.n_vocab);
}

/* A completion of ours ends with the tokenizer's end token, whatever config.json says. */
static int compare_ends(const tool_work *work, const gpt_tokenizer *tokenizer)
{
	gpt_hf_config config;
	cairn_artifact directory;
	cairn_tensor entry;
	cairn_error err = {0};
	int rc = work->host->input_open(work->run, "directory", 0, &directory);

	if (!rc)
		rc = work->host->entry_get(work->run, &directory, "config.json", &entry);
	if (rc)
		return rc;
	if (gpt_hf_config_read(&config, entry.data, entry.bytes, directory.source, &err))
		return work->host->fail_with(work->run, &err);
	if (config.end_token >= 0 && config.end_token != gpt_tokenizer_end(tokenizer))
		work->host->log(work->run, CAIRN_LOG_WARNING,
			"config.json ends texts with token %lld, the tokenizer with %d (<|endoftext|>): "
			"the latter counts",
			(long long)config.end_token, gpt_tokenizer_end(tokenizer));
	return 0;
}

static int import_model(const tool_work *work)
{
	gpt_model *model = NULL;
	gpt_tokenizer *tokenizer = NULL;
	int rc = gpt_load_model_as_is(&model, work->host, work->run, "directory");

	if (!rc)
		rc = gpt_load_tokenizer_if_any(&tokenizer, work->host, work->run, "directory");
	if (!rc)
		rc = check_vocabulary(work, model, tokenizer);
	if (!rc && tokenizer)
		rc = compare_ends(work, tokenizer);
	if (!rc)
		rc = gpt_save_model(work->host, work->run,
			model->head == GPT_HEAD_SCALAR ? "reward" : "model", model, tokenizer);
	gpt_tokenizer_free(tokenizer);
	gpt_model_free(model);
	return rc;
}

int tool_import(const cairn_host *host, cairn_run *run, const cairn_tool_io *io, const void *params,
	const char *text)
{
	tool_work work = {.host = host, .run = run, .io = io};
	cairn_artifact directory;
	int rc = host->input_open(run, "directory", 0, &directory);

	(void)params;
	(void)text;
	if (rc)
		return rc;
	if (!gpt_has_entry(host, run, &directory, "config.json") &&
		(gpt_has_entry(host, run, &directory, "vocab.json") ||
			gpt_has_entry(host, run, &directory, "encoder.json")))
		return import_tokenizer(&work);
	return import_model(&work);
}
