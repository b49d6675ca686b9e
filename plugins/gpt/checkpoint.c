/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.c - models and optimizer state as named tensors.
 *
 * config.json has Hugging Face's names (n_positions, vocab_size, ...), so that an exported
 * model is one that other tools read. Tensors are stored one by one, not as the flat buffer: the
 * store shares equal ones between artifacts, and the layout of the buffer stays our own affair.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/text.h"
#include "gpt/checkpoint.h"

#ifdef CAIRN_DOUBLE
#error "artifacts hold float; the double build is for gradient checks only"
#endif

#define MAX_NAME 200 /* of an entry: stage.h */

/* ---- tensors of one flat buffer --------------------------------------------------------- */

/* "PREFIX/NAME", or NAME where prefix is "". */
static void entry_name(char out[MAX_NAME], const char *prefix, const char *name)
{
	int n = snprintf(out, MAX_NAME, "%s%s%s", prefix, *prefix ? "/" : "", name);

	CAIRN_ASSERT(n > 0 && n < MAX_NAME);
}

static void format_shape(char *out, size_t cap, uint32_t n_dims, const uint64_t *dims)
{
	size_t len = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < n_dims && i < CAIRN_MAX_DIMS && len < cap; i++)
		len += (size_t)snprintf(out + len, cap - len, "%s%" PRIu64, i ? "," : "", dims[i]);
}

static int check_tensor(const cairn_host *host, cairn_run *run, const cairn_artifact *artifact,
	const cairn_tensor *found, const gpt_tensor *wanted, const char *name)
{
	char has[192], needs[64];

	if (found->dtype != CAIRN_F32)
		return host->fail(run, CAIRN_EINPUT, "tensor '%s' of '%s' is not float32", name,
			artifact->source);
	if (found->n_dims == wanted->n_dims &&
		memcmp(found->dims, wanted->dims, wanted->n_dims * sizeof(uint64_t)) == 0 &&
		found->bytes == wanted->size * sizeof(float))
		return 0;
	format_shape(has, sizeof(has), found->n_dims, found->dims);
	format_shape(needs, sizeof(needs), wanted->n_dims, wanted->dims);
	return host->fail(run, CAIRN_EINPUT,
		"tensor '%s' of '%s' has the shape [%s], the model needs [%s]", name,
		artifact->source, has, needs);
}

/* Reads one tensor into flat + tensor->offset. */
static int get_tensor(const cairn_host *host, cairn_run *run, const cairn_artifact *artifact,
	const char *prefix, const gpt_tensor *tensor, const cairn_kernels *k, cairn_real *flat)
{
	char name[MAX_NAME];
	cairn_tensor found;
	int rc;

	entry_name(name, prefix, tensor->name);
	rc = host->entry_get(run, artifact, name, &found);
	if (rc == 1)
		return host->fail(
			run, CAIRN_EINPUT, "'%s' has no tensor '%s'", artifact->source, name);
	if (!rc)
		rc = check_tensor(host, run, artifact, &found, tensor, name);
	if (!rc)
		k->write(k, flat + tensor->offset, found.data, found.bytes);
	return rc;
}

static int get_tensors(const cairn_host *host, cairn_run *run, const cairn_artifact *artifact,
	const char *prefix, const gpt_model *model, cairn_real *flat)
{
	for (size_t i = 0; i < model->n_tensors; i++) {
		int rc =
			get_tensor(host, run, artifact, prefix, &model->tensors[i], model->k, flat);

		if (rc)
			return rc;
	}
	return 0;
}

static int put_tensors(const cairn_host *host, cairn_run *run, cairn_writer *writer,
	const char *prefix, const gpt_model *model, const cairn_real *flat)
{
	size_t largest = 0;
	cairn_real *data;
	int rc = 0;

	for (size_t i = 0; i < model->n_tensors; i++)
		largest = model->tensors[i].size > largest ? model->tensors[i].size : largest;
	data = cairn_alloc(largest, sizeof(*data));
	if (!data)
		return host->fail(run, CAIRN_ENOMEM, "no memory to write a model's tensors");
	for (size_t i = 0; !rc && i < model->n_tensors; i++) {
		const gpt_tensor *tensor = &model->tensors[i];
		cairn_tensor entry = {
			.dtype = CAIRN_F32,
			.n_dims = tensor->n_dims,
			.dims = {tensor->dims[0], tensor->dims[1]},
			.data = data,
			.bytes = tensor->size * sizeof(*data),
		};
		char name[MAX_NAME];

		entry_name(name, prefix, tensor->name);
		entry.name = name;
		model->k->read(model->k, data, flat + tensor->offset, entry.bytes);
		rc = host->put(writer, &entry);
	}
	free(data);
	return rc;
}

/* ---- plain bytes -------------------------------------------------------------------------- */

int gpt_put_bytes(const cairn_host *host, cairn_run *run, cairn_writer *writer, const char *name,
	const void *data, size_t bytes)
{
	(void)run;
	return host->put(writer, &(cairn_tensor){
					 .name = name,
					 .dtype = CAIRN_U8,
					 .n_dims = 1,
					 .dims = {bytes},
					 .data = data,
					 .bytes = bytes,
				 });
}

int gpt_get_bytes(const cairn_host *host, cairn_run *run, const cairn_artifact *checkpoint,
	const char *name, void *data, size_t bytes)
{
	cairn_tensor found;
	int rc = host->entry_get(run, checkpoint, name, &found);

	if (rc < 0)
		return rc;
	if (rc == 1)
		return host->fail(run, CAIRN_EINTEGRITY, "the checkpoint has no entry '%s'", name);
	if (found.bytes != bytes)
		return host->fail(run, CAIRN_EINTEGRITY,
			"entry '%s' of the checkpoint has %" PRIu64 " bytes, not %zu", name,
			found.bytes, bytes);
	if (bytes)
		memcpy(data, found.data, bytes);
	return 0;
}

/* ---- reading a model artifact ------------------------------------------------------------- */

typedef struct reader {
	const cairn_host *host;
	cairn_run *run;
	cairn_artifact artifact;
	gpt_config config;
	bool is_scalar;
	double reward_gain, reward_bias;
} reader;

static int bad_config(const reader *in, const char *key, const char *what)
{
	return in->host->fail(in->run, CAIRN_EINPUT, "config.json of '%s': %s %s",
		in->artifact.source, key, what);
}

static int get_integer(const reader *in, const json_t *config, const char *key, int32_t *out)
{
	const json_t *value = json_object_get(config, key);

	if (!json_is_integer(value) || json_integer_value(value) < 1 ||
		json_integer_value(value) > INT32_MAX)
		return bad_config(in, key, "is not a positive whole number");
	*out = (int32_t)json_integer_value(value);
	return 0;
}

/* Members that would make it another network than ours. Absent ones have GPT-2's defaults. */
static int check_architecture(const reader *in, const json_t *config)
{
	const char *activation = cairn_json_string(config, "activation_function", "gelu_new");

	if (strcmp(cairn_json_string(config, "model_type", "gpt2"), "gpt2") != 0)
		return bad_config(in, "model_type", "is not gpt2");
	if (strcmp(activation, "gelu_new") != 0)
		return bad_config(in, "activation_function", "is not gelu_new");
	if (fabs(cairn_json_number(config, "layer_norm_epsilon", 1e-5) - 1e-5) > 1e-9)
		return bad_config(in, "layer_norm_epsilon", "is not 1e-5");
	if (json_is_false(json_object_get(config, "tie_word_embeddings")))
		return bad_config(in, "tie_word_embeddings", "is false; the head is always tied");
	return 0;
}

static int read_members(reader *in, const json_t *config)
{
	const json_t *inner = json_object_get(config, "n_inner");
	gpt_config *out = &in->config;
	cairn_error err = {0};
	int rc = check_architecture(in, config);

	if (!rc)
		rc = get_integer(in, config, "n_layer", &out->n_layer);
	if (!rc)
		rc = get_integer(in, config, "n_head", &out->n_head);
	if (!rc)
		rc = get_integer(in, config, "n_embd", &out->n_embd);
	if (!rc)
		rc = get_integer(in, config, "n_positions", &out->n_ctx);
	if (!rc)
		rc = get_integer(in, config, "vocab_size", &out->n_vocab);
	if (!rc && inner && !json_is_null(inner))
		rc = get_integer(in, config, "n_inner", &out->n_inner);
	else if (!rc)
		out->n_inner = out->n_embd <= INT32_MAX / 4 ? 4 * out->n_embd : INT32_MAX;
	if (rc)
		return rc;
	if (gpt_config_check(out, &err)) {
		cairn_error_at(&err, "%s: config.json", in->artifact.source);
		return in->host->fail_with(in->run, &err);
	}
	return 0;
}

static int read_config(reader *in)
{
	cairn_tensor entry;
	cairn_error err = {0};
	json_t *config = NULL;
	char place[300];
	int rc = in->host->entry_get(in->run, &in->artifact, "config.json", &entry);

	if (rc < 0)
		return rc;
	if (rc == 1)
		return in->host->fail(in->run, CAIRN_EINPUT, "'%s' has no entry 'config.json'",
			in->artifact.source);
	(void)snprintf(place, sizeof(place), "%s: config.json", in->artifact.source);
	if (cairn_json_parse(&config, entry.data, entry.bytes, place, &err))
		return in->host->fail_with(in->run, &err);
	rc = read_members(in, config);
	json_decref(config);
	return rc;
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
	in->reward_gain = cairn_json_number(meta, "reward_gain", 1);
	in->reward_bias = cairn_json_number(meta, "reward_bias", 0);
	json_decref(meta);
	return 0;
}

static int open_model(reader *in, const char *port)
{
	int rc = in->host->input_open(in->run, port, 0, &in->artifact);

	if (!rc)
		rc = read_meta(in);
	if (!rc)
		rc = read_config(in);
	return rc;
}

static int read_parameters(const reader *in, gpt_model *model, uint64_t score_key)
{
	bool new_head = model->head == GPT_HEAD_SCALAR && !in->is_scalar;

	for (size_t i = 0; i < model->n_tensors; i++) {
		const gpt_tensor *tensor = &model->tensors[i];
		int rc;

		if (new_head && strncmp(tensor->name, "score.", 6) == 0)
			continue;
		rc = get_tensor(
			in->host, in->run, &in->artifact, "", tensor, model->k, model->params);
		if (rc)
			return rc;
	}
	if (new_head)
		gpt_model_init_score(model, score_key);
	else if (model->head == GPT_HEAD_SCALAR) {
		model->reward_gain = in->reward_gain;
		model->reward_bias = in->reward_bias;
	}
	return 0;
}

int gpt_load_model(gpt_model **out, const cairn_host *host, cairn_run *run, const char *port,
	enum gpt_head head, unsigned flags, uint64_t score_key)
{
	reader in = {.host = host, .run = run};
	const cairn_kernels *k;
	gpt_model *model = NULL;
	cairn_error err = {0};
	int rc = open_model(&in, port);

	if (!rc && in.is_scalar && head == GPT_HEAD_LM) {
		rc = host->fail(run, CAIRN_EINPUT, "'%s' is a reward model, not a language model",
			in.artifact.source);
		host->hint(
			run, "Bind the input '%s' to a stage that trains a language model.", port);
	}
	if (!rc)
		rc = host->kernels(run, &k);
	if (rc)
		return rc;
	if (gpt_model_new(&model, k, &in.config, head, flags, &err))
		return host->fail_with(run, &err);
	rc = read_parameters(&in, model, score_key);
	if (rc) {
		gpt_model_free(model);
		return rc;
	}
	*out = model;
	return 0;
}

/* An entry that lies under "tokenizer/" in a model artifact, at the top in a tokenizer's. */
static int get_tokenizer_file(const cairn_host *host, cairn_run *run,
	const cairn_artifact *artifact, const char *file, cairn_tensor *out)
{
	char name[MAX_NAME];
	int rc;

	entry_name(name, "tokenizer", file);
	rc = host->entry_get(run, artifact, name, out);
	if (rc == 1)
		rc = host->entry_get(run, artifact, file, out);
	if (rc != 1)
		return rc;
	return host->fail(
		run, CAIRN_EINPUT, "'%s' has no entry '%s' or '%s'", artifact->source, name, file);
}

int gpt_load_tokenizer(
	gpt_tokenizer **out, const cairn_host *host, cairn_run *run, const char *port)
{
	cairn_artifact artifact;
	cairn_tensor vocab, merges;
	cairn_error err = {0};
	int rc = host->input_open(run, port, 0, &artifact);

	if (!rc)
		rc = get_tokenizer_file(host, run, &artifact, "vocab.json", &vocab);
	if (!rc)
		rc = get_tokenizer_file(host, run, &artifact, "merges.txt", &merges);
	if (rc)
		return rc;
	if (gpt_tokenizer_load(out, vocab.data, vocab.bytes, merges.data, merges.bytes, &err)) {
		cairn_error_at(&err, "%s", artifact.source);
		return host->fail_with(run, &err);
	}
	return 0;
}

/* ---- writing a model artifact -------------------------------------------------------------- */

static json_t *config_json(const gpt_config *config)
{
	return json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:s, s:f, s:b}", "model_type", "gpt2",
		"n_layer", config->n_layer, "n_head", config->n_head, "n_embd", config->n_embd,
		"n_positions", config->n_ctx, "vocab_size", config->n_vocab, "n_inner",
		config->n_inner, "activation_function", "gelu_new", "layer_norm_epsilon", 1e-5,
		"tie_word_embeddings", 1);
}

/* With the network's shape, so that `cairn plan` can tell what a stage that reads it will need. */
static json_t *meta_json(const gpt_model *model)
{
	const gpt_config *config = &model->config;
	bool scalar = model->head == GPT_HEAD_SCALAR;
	json_t *meta = json_pack("{s:s, s:s, s:I, s:i, s:i, s:i, s:i, s:i, s:i, s:b}",
		"architecture", "gpt2", "head", scalar ? "scalar" : "lm", "n_params",
		(json_int_t)gpt_param_count(config, model->head), "n_ctx", config->n_ctx, "n_layer",
		config->n_layer, "n_head", config->n_head, "n_embd", config->n_embd, "n_inner",
		config->n_inner, "n_vocab", config->n_vocab, "untied", (int)config->untied);

	if (meta && scalar &&
		(json_object_set_new(meta, "reward_gain", json_real(model->reward_gain)) ||
			json_object_set_new(meta, "reward_bias", json_real(model->reward_bias)))) {
		json_decref(meta);
		return NULL;
	}
	return meta;
}

/* Canonical text of a JSON value, which is taken over. NULL where there is no memory. */
static char *canonical(json_t *take_json)
{
	char *text = take_json ? cairn_json_canonical(take_json) : NULL;

	json_decref(take_json);
	return text;
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
	char *config = canonical(config_json(&model->config)), *meta = canonical(meta_json(model));
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
		rc = put_tensors(host, run, writer, "", model, model->params);
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

/* ---- state inside a checkpoint -------------------------------------------------------------- */

/* "PREFIX/adam.m" and the like, as the prefix of a tensor or the name of plain bytes. */
static const char *under(char out[MAX_NAME], const char *prefix, const char *name)
{
	entry_name(out, prefix, name);
	return out;
}

int gpt_put_state(const cairn_host *host, cairn_run *run, cairn_writer *writer, const char *prefix,
	const gpt_model *model, const gpt_adam *adam)
{
	double reward[2] = {model->reward_gain, model->reward_bias};
	char name[MAX_NAME];
	int rc = put_tensors(host, run, writer, prefix, model, model->params);

	if (!rc)
		rc = gpt_put_bytes(
			host, run, writer, under(name, prefix, "reward"), reward, sizeof(reward));
	if (rc || !adam)
		return rc;
	rc = put_tensors(host, run, writer, under(name, prefix, "adam.m"), model, adam->m);
	if (!rc)
		rc = put_tensors(host, run, writer, under(name, prefix, "adam.v"), model, adam->v);
	if (!rc)
		rc = gpt_put_bytes(host, run, writer, under(name, prefix, "adam.t"), &adam->t,
			sizeof(adam->t));
	return rc;
}

int gpt_get_state(const cairn_host *host, cairn_run *run, const cairn_artifact *checkpoint,
	const char *prefix, gpt_model *model, gpt_adam *adam)
{
	double reward[2];
	char name[MAX_NAME];
	int rc = get_tensors(host, run, checkpoint, prefix, model, model->params);

	if (!rc)
		rc = gpt_get_bytes(host, run, checkpoint, under(name, prefix, "reward"), reward,
			sizeof(reward));
	if (rc)
		return rc;
	model->reward_gain = reward[0];
	model->reward_bias = reward[1];
	if (!adam)
		return 0;
	rc = get_tensors(host, run, checkpoint, under(name, prefix, "adam.m"), model, adam->m);
	if (!rc)
		rc = get_tensors(
			host, run, checkpoint, under(name, prefix, "adam.v"), model, adam->v);
	if (!rc)
		rc = gpt_get_bytes(host, run, checkpoint, under(name, prefix, "adam.t"), &adam->t,
			sizeof(adam->t));
	return rc;
}

int gpt_put_training(const cairn_host *host, cairn_run *run, cairn_writer *writer,
	const gpt_model *model, const gpt_adam *adam, const void *counters, size_t bytes)
{
	int code = gpt_put_state(host, run, writer, "model", model, adam);

	return code ? code : gpt_put_bytes(host, run, writer, "counters", counters, bytes);
}

int gpt_resume_training(const cairn_host *host, cairn_run *run, gpt_model *model, gpt_adam *adam,
	void *counters, size_t bytes)
{
	cairn_artifact checkpoint = {0};
	uint64_t step = 0;
	int code = host->resume(run, &checkpoint, &step);

	if (code <= 0)
		return code;
	code = gpt_get_state(host, run, &checkpoint, "model", model, adam);
	return code ? code : gpt_get_bytes(host, run, &checkpoint, "counters", counters, bytes);
}
