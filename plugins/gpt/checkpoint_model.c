/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint_model.c - model artifacts and their tokenizers, read and written.
 *
 * config.json has Hugging Face's names (n_positions, vocab_size, ...). Besides our own artifacts,
 * which have one entry a tensor, Hugging Face's layout is read: directories, and artifacts that
 * hold its files (hf.h).
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "gpt/checkpoint_internal.h"
#include "gpt/hf.h"
#include "gpt/release.h"

/* ---- reading a model artifact ------------------------------------------------------------- */

typedef struct reader {
	const cairn_host *host;
	cairn_run *run;
	cairn_artifact artifact;
	gpt_hf *hf; /* NULL: one entry a tensor */
	gpt_hf_config config;
	bool is_scalar;
} reader;

static int read_config(reader *in)
{
	cairn_tensor entry;
	cairn_error err = {0};
	int rc = in->host->entry_get(in->run, &in->artifact, "config.json", &entry);

	if (rc < 0)
		return rc;
	if (rc == 1)
		return in->host->fail(in->run, CAIRN_EINPUT, "'%s' has no entry 'config.json'",
			in->artifact.source);
	if (gpt_hf_config_read(&in->config, entry.data, entry.bytes, in->artifact.source, &err))
		return in->host->fail_with(in->run, &err);
	return 0;
}

static int read_meta(reader *in)
{
	cairn_error err = {0};
	json_t *meta = NULL;
	const char *head;

	if (cairn_json_parse(
		    &meta, in->artifact.meta, strlen(in->artifact.meta), in->artifact.source, &err))
		return in->host->fail_with(in->run, &err);
	head = cairn_json_string(meta, "head", "lm");
	in->is_scalar = strcmp(head, "scalar") == 0;
	in->config.reward_gain = cairn_json_number(meta, "reward_gain", 1);
	in->config.reward_bias = cairn_json_number(meta, "reward_bias", 0);
	json_decref(meta);
	return 0;
}

/* Hugging Face's layout: the weights are in files of their own. A directory is never ours. */
static bool is_hf(const reader *in)
{
	return !strcmp(in->artifact.kind, "directory") ||
	       gpt_has_entry(in->host, in->run, &in->artifact, "model.safetensors") ||
	       gpt_has_entry(in->host, in->run, &in->artifact, "model.safetensors.index.json");
}

static void close_model(reader *in)
{
	if (in->hf) /* its tensors were read out of whole files */
		gpt_release(in->host, in->run, &in->artifact, NULL);
	gpt_hf_close(in->hf);
}

static int open_model(reader *in, const char *port)
{
	int rc = in->host->input_open(in->run, port, 0, &in->artifact);

	if (rc)
		return rc;
	if (is_hf(in)) {
		rc = gpt_hf_open(&in->hf, in->host, in->run, &in->artifact);
		if (rc)
			return rc;
		in->config = *gpt_hf_get_config(in->hf);
		in->is_scalar = gpt_hf_is_scalar(in->hf);
		return 0;
	}
	rc = read_config(in);
	return rc ? rc : read_meta(in);
}

static int read_parameters(const reader *in, gpt_model *model, uint64_t score_key)
{
	bool new_head = model->head == GPT_HEAD_SCALAR && !in->is_scalar;
	int rc = in->hf ? gpt_hf_fill(in->hf, in->host, in->run, model) : 0;

	for (size_t i = 0; !rc && !in->hf && i < model->n_tensors; i++) {
		const gpt_tensor *tensor = &model->tensors[i];

		if (new_head && strncmp(tensor->name, "score.", 6) == 0)
			continue;
		rc = gpt__get_tensor(in->host, in->run, &in->artifact, "", tensor, model->k,
			gpt_params_change(model));
	}
	if (rc)
		return rc;
	if (new_head)
		gpt_model_init_score(model, score_key);
	else if (model->head == GPT_HEAD_SCALAR) {
		model->reward_gain = in->config.reward_gain;
		model->reward_bias = in->config.reward_bias;
	}
	return 0;
}

static int load(gpt_model **out, reader *in, enum gpt_head head, unsigned flags, uint64_t score_key)
{
	const cairn_kernels *k;
	gpt_model *model = NULL;
	cairn_error err = {0};
	int rc = in->host->kernels(in->run, &k);

	if (rc)
		return rc;
	/* A reward model has no language-model head, tied or not. */
	in->config.config.untied = in->config.config.untied && head == GPT_HEAD_LM;
	if (gpt_model_new(&model, k, &in->config.config, head, flags, &err))
		return in->host->fail_with(in->run, &err);
	rc = read_parameters(in, model, score_key);
	if (rc)
		gpt_model_free(model);
	else
		*out = model;
	return rc;
}

int gpt_load_model(gpt_model **out, const cairn_host *host, cairn_run *run, const char *port,
	enum gpt_head head, unsigned flags, uint64_t score_key)
{
	reader in = {.host = host, .run = run};
	int rc = open_model(&in, port);

	if (!rc && in.is_scalar && head == GPT_HEAD_LM) {
		rc = host->fail(run, CAIRN_EINPUT, "'%s' is a reward model, not a language model",
			in.artifact.source);
		host->hint(
			run, "Bind the input '%s' to a stage that trains a language model.", port);
	}
	if (!rc)
		rc = load(out, &in, head, flags, score_key);
	close_model(&in);
	return rc;
}

int gpt_load_model_as_is(gpt_model **out, const cairn_host *host, cairn_run *run, const char *port)
{
	reader in = {.host = host, .run = run};
	int rc = open_model(&in, port);

	if (!rc)
		rc = load(out, &in, in.is_scalar ? GPT_HEAD_SCALAR : GPT_HEAD_LM, 0, 0);
	close_model(&in);
	return rc;
}

/* ---- the tokenizer -------------------------------------------------------------------------- */

/* The first of the names that is there: 0; 1 where none is. */
static int get_first(const cairn_host *host, cairn_run *run, const cairn_artifact *artifact,
	const char *const *names, cairn_tensor *out)
{
	int rc = 1;

	for (; *names && rc == 1; names++)
		if (gpt_has_entry(host, run, artifact, *names))
			rc = host->entry_get(run, artifact, *names, out);
	return rc;
}

/* 1: the artifact has no tokenizer at all. */
static int find_tokenizer(
	gpt_tokenizer **out, const cairn_host *host, cairn_run *run, const cairn_artifact *artifact)
{
	/* A model's, a tokenizer's or Hugging Face's, OpenAI's. */
	static const char *const vocab_names[] = {
		"tokenizer/vocab.json", "vocab.json", "encoder.json", NULL};
	static const char *const merges_names[] = {
		"tokenizer/merges.txt", "merges.txt", "vocab.bpe", NULL};
	cairn_tensor vocab, merges;
	cairn_error err = {0};
	int has_merges, rc = get_first(host, run, artifact, vocab_names, &vocab);

	if (rc < 0)
		return rc;
	has_merges = get_first(host, run, artifact, merges_names, &merges);
	if (has_merges < 0 || (rc == 1 && has_merges == 1))
		return has_merges;
	if (rc == 1 || has_merges == 1)
		return host->fail(run, CAIRN_EINPUT, "'%s' has %s, but no %s", artifact->source,
			rc == 1 ? "merges.txt (vocab.bpe)" : "vocab.json (encoder.json)",
			rc == 1 ? "vocab.json (encoder.json)" : "merges.txt (vocab.bpe)");
	if (gpt_tokenizer_load(out, vocab.data, vocab.bytes, merges.data, merges.bytes, &err)) {
		cairn_error_at(&err, "%s", artifact->source);
		return host->fail_with(run, &err);
	}
	return 0;
}

int gpt_load_tokenizer_if_any(
	gpt_tokenizer **out, const cairn_host *host, cairn_run *run, const char *port)
{
	cairn_artifact artifact;
	int rc = host->input_open(run, port, 0, &artifact);

	if (!rc)
		rc = find_tokenizer(out, host, run, &artifact);
	if (rc == 1)
		*out = NULL;
	return rc < 0 ? rc : 0;
}

int gpt_load_tokenizer(
	gpt_tokenizer **out, const cairn_host *host, cairn_run *run, const char *port)
{
	cairn_artifact artifact;
	int rc = host->input_open(run, port, 0, &artifact);

	if (!rc)
		rc = find_tokenizer(out, host, run, &artifact);
	if (rc != 1)
		return rc;
	rc = host->fail(run, CAIRN_EINPUT, "'%s' has no tokenizer", artifact.source);
	host->hint(run, "A tokenizer is vocab.json and merges.txt (or encoder.json and vocab.bpe) "
			"beside the model.");
	return rc;
}

/* ---- writing a model artifact -------------------------------------------------------------- */

static json_t *config_json(const gpt_config *config)
{
	return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b}", "model_type", "gpt2",
		"n_layer", config->n_layer, "n_head", config->n_head, "n_embd", config->n_embd,
		"n_positions", config->n_ctx, "vocab_size", config->n_vocab, "n_inner",
		config->n_inner, "activation_function", "gelu_new", "layer_norm_epsilon", 1e-5,
		"tie_word_embeddings", !config->untied);
}

/* Canonical text of a JSON value, which is taken over. NULL where there is no memory. */
static char *canonical(json_t *take_json)
{
	char *text = take_json ? cairn_json_canonical(take_json) : NULL;

	json_decref(take_json);
	return text;
}

char *gpt_model_meta(
	const gpt_config *config, enum gpt_head head, double reward_gain, double reward_bias)
{
	bool scalar = head == GPT_HEAD_SCALAR;
	json_t *meta = json_pack("{s:s, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:b}",
		"architecture", "gpt2", "head", scalar ? "scalar" : "lm", "n_params",
		(json_int_t)gpt_param_count(config, head), "n_ctx", config->n_ctx, "n_layer",
		config->n_layer, "n_head", config->n_head, "n_embd", config->n_embd, "n_inner",
		config->n_inner, "n_vocab", config->n_vocab, "untied", (int)config->untied);

	if (meta && scalar &&
		(json_object_set_new(meta, "reward_gain", json_real(reward_gain)) ||
			json_object_set_new(meta, "reward_bias", json_real(reward_bias)))) {
		json_decref(meta);
		meta = NULL;
	}
	return canonical(meta);
}

static int put_tokenizer(const cairn_host *host, cairn_run *run, cairn_writer *writer,
	const gpt_tokenizer *tokenizer)
{
	size_t len;
	const char *text = gpt_tokenizer_vocab_json(tokenizer, &len);
	int rc = gpt_put_bytes(host, run, writer, "tokenizer/vocab.json", text, len);

	if (rc)
		return rc;
	text = gpt_tokenizer_merges(tokenizer, &len);
	return gpt_put_bytes(host, run, writer, "tokenizer/merges.txt", text, len);
}

/* A model with NaNs must not become an artifact: every stage behind it would fail far from the
 * cause. */
static int check_finite(const cairn_host *host, cairn_run *run, const gpt_model *model)
{
	double squares = model->k->sum_squares(model->k, model->params, (int64_t)model->n_params);

	if (isfinite(squares) && isfinite(model->reward_gain) && isfinite(model->reward_bias))
		return 0;
	return host->fail(run, CAIRN_EDIVERGED, "the trained parameters are not finite");
}

int gpt_save_model(const cairn_host *host, cairn_run *run, const char *port, const gpt_model *model,
	const gpt_tokenizer *tokenizer)
{
	char *config = canonical(config_json(&model->config));
	char *meta =
		gpt_model_meta(&model->config, model->head, model->reward_gain, model->reward_bias);
	cairn_writer *writer;
	int rc;

	if (!config || !meta) {
		rc = host->fail(run, CAIRN_ENOMEM, "no memory to write a model");
		goto out;
	}
	rc = check_finite(host, run, model);
	if (!rc)
		rc = host->output_begin(run, port, &writer);
	if (!rc)
		rc = gpt_put_bytes(host, run, writer, "config.json", config, strlen(config));
	if (!rc)
		rc = gpt__put_tensors(host, run, writer, "", model, model->params);
	if (!rc && tokenizer)
		rc = put_tokenizer(host, run, writer, tokenizer);
	if (!rc)
		rc = host->meta(writer, meta);
	if (!rc)
		rc = host->commit(writer);
out:
	free(config);
	free(meta);
	return rc;
}
