/* SPDX-License-Identifier: Apache-2.0 */
/* Hugging Face's layout: PyTorch's own model, every variant of names and files, every refusal. */
#include "gpt/hf.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "gpt/checkpoint.h"
#include "gpt/memhost.h"
#include "gpt/oracle_file.h"
#include "gpt/safetensors.h"
#include "gpt/support.h"
#include "kernels/portable/portable.h"
#include "test.h"

typedef struct fixture {
	cairn_kernels k;
	memhost *memory;
	const cairn_host *host;
	cairn_run *run;
} fixture;

static int set_up(void **state)
{
	fixture *f = cairn_alloc(1, sizeof(*f));
	cairn_error err = {0};

	assert_non_null(f);
	assert_int_equal(cairn_kernels_portable_open(&f->k, 1, &err), 0);
	f->memory = memhost_new(&f->k);
	memhost_set_kind(f->memory, "directory");
	f->host = memhost_table();
	f->run = memhost_run(f->memory);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	fixture *f = *state;

	memhost_free(f->memory);
	cairn_kernels_portable_close(&f->k);
	free(f);
	return 0;
}

/* ---- directories made here ------------------------------------------------------------------- */

/* How a directory is written. */
typedef struct variant {
	const char *prefix;      /* of all tensors but the heads */
	enum gpt_st_dtype dtype; /* F32, F64, or BF16 of which the lower bits are lost */
	bool untied;             /* a head of its own */
	bool head_twice;         /* the tied head is written, too */
	bool buffers;            /* the masks of old files */
	const char *leave_out;   /* this tensor */
	const char *widen;       /* one row more for this one */
	const char *add;         /* a tensor that no model has */
	int parts;               /* files; 0: "model.safetensors" alone */
} variant;

enum {
	MAX_TENSORS = 64
};

typedef struct listed {
	gpt_st_tensor tensors[MAX_TENSORS];
	char names[MAX_TENSORS][100];
	const cairn_real *data[MAX_TENSORS];
	size_t n;
} listed;

static void list(listed *all, const char *prefix, const char *name, enum gpt_st_dtype dtype,
	uint32_t n_dims, const uint64_t *dims, const cairn_real *data)
{
	gpt_st_tensor *tensor = &all->tensors[all->n];

	assert_true(all->n < MAX_TENSORS);
	(void)snprintf(all->names[all->n], sizeof(all->names[0]), "%s%s", prefix, name);
	*tensor = (gpt_st_tensor){.name = all->names[all->n], .dtype = dtype, .n_dims = n_dims};
	for (uint32_t i = 0; i < n_dims; i++)
		tensor->dims[i] = dims[i];
	all->data[all->n++] = data;
}

static void list_all(listed *all, const variant *v, const gpt_model *model, const cairn_real *flat)
{
	static const uint64_t mask[] = {1, 1, 6, 6}, vector[] = {3};

	*all = (listed){0};
	for (size_t i = 0; i < model->n_tensors; i++) {
		const gpt_tensor *t = &model->tensors[i];
		bool is_head = !strncmp(t->name, "score", 5) || !strncmp(t->name, "lm_head", 7);
		uint64_t dims[3] = {t->dims[0], t->dims[1]};

		if (v->leave_out && !strcmp(t->name, v->leave_out))
			continue;
		if (v->widen && !strcmp(t->name, v->widen))
			dims[0]++;
		list(all, is_head ? "" : v->prefix, t->name, v->dtype, t->n_dims, dims,
			flat + t->offset);
	}
	if (v->head_twice)
		list(all, "", "lm_head.weight", v->dtype, 2,
			gpt_model_tensor(model, "wte.weight")->dims,
			flat + gpt_model_tensor(model, "wte.weight")->offset);
	if (v->buffers) {
		list(all, v->prefix, "h.0.attn.bias", GPT_ST_U8, 4, mask, NULL);
		list(all, v->prefix, "h.1.attn.masked_bias", GPT_ST_F32, 0, NULL, NULL);
	}
	if (v->add)
		list(all, v->prefix, v->add, v->dtype, 1, vector, NULL);
}

static void put_value(char *to, enum gpt_st_dtype dtype, float value)
{
	double wide = (double)value;
	uint32_t bits;
	uint16_t half;

	memcpy(&bits, &value, sizeof(bits));
	half = (uint16_t)(bits >> 16);
	if (dtype == GPT_ST_F64)
		memcpy(to, &wide, sizeof(wide));
	else if (dtype == GPT_ST_BF16)
		memcpy(to, &half, sizeof(half));
	else
		memcpy(to, &value, sizeof(value));
}

/* Tensors [from, to) of the list as one file of the directory. */
static void add_file(fixture *f, const char *name, listed *all, size_t from, size_t to)
{
	cairn_error err = {0};
	char *file;
	size_t len;

	if (gpt_safetensors_layout(&file, &len, all->tensors + from, to - from, NULL, 0, &err))
		fail_msg("%s", err.message);
	for (size_t i = from; i < to; i++) {
		const gpt_st_tensor *tensor = &all->tensors[i];

		for (uint64_t j = 0; all->data[i] && j < tensor->n; j++)
			put_value(file + tensor->begin + j * gpt_st_dtype_bytes(tensor->dtype),
				tensor->dtype, (float)all->data[i][j]);
	}
	memhost_add(f->memory, name, file, len);
	free(file);
}

static void add_parts(fixture *f, listed *all, int parts)
{
	json_t *map = json_object(), *index;
	char *text;

	for (int p = 0; p < parts; p++) {
		size_t from = all->n * (size_t)p / (size_t)parts;
		size_t to = all->n * (size_t)(p + 1) / (size_t)parts;
		char name[60];

		(void)snprintf(name, sizeof(name), "model-%05d-of-%05d.safetensors", p + 1, parts);
		add_file(f, name, all, from, to);
		for (size_t i = from; i < to; i++)
			json_object_set_new(map, all->names[i], json_string(name));
	}
	index = json_pack("{s:{s:i}, s:o}", "metadata", "total_size", 1, "weight_map", map);
	text = json_dumps(index, 0);
	memhost_add(f->memory, "model.safetensors.index.json", text, strlen(text));
	free(text);
	json_decref(index);
}

static const char config_json[] =
	"{\"model_type\":\"gpt2\",\"n_layer\":2,\"n_head\":2,\"n_embd\":8,\"n_positions\":6,"
	"\"n_ctx\":6,\"vocab_size\":11,\"n_inner\":null,\"tie_word_embeddings\":%s}";

/* Fills the directory with the variant of a model. */
static void write_variant(fixture *f, const variant *v, const gpt_model *model)
{
	cairn_real *flat = read_flat(model, model->params);
	char config[300];
	listed all;

	memhost_clear(f->memory);
	(void)snprintf(config, sizeof(config), config_json, v->untied ? "false" : "true");
	memhost_add(f->memory, "config.json", config, strlen(config));
	list_all(&all, v, model, flat);
	if (v->parts)
		add_parts(f, &all, v->parts);
	else
		add_file(f, "model.safetensors", &all, 0, all.n);
	free(flat);
}

static gpt_model *variant_model(fixture *f, enum gpt_head head, bool untied)
{
	gpt_config config = tiny_config;

	config.untied = untied;
	return random_model(&f->k, &config, head, 0, 3);
}

static gpt_model *load(fixture *f)
{
	gpt_model *model = NULL;

	if (gpt_load_model_as_is(&model, f->host, f->run, "model"))
		fail_msg("%s", memhost_error(f->memory).message);
	return model;
}

static void assert_same_model(const gpt_model *a, const gpt_model *b)
{
	cairn_real *x = read_flat(a, a->params), *y = read_flat(b, b->params);

	assert_int_equal(a->head, b->head);
	assert_int_equal(a->config.untied, b->config.untied);
	assert_int_equal(a->n_params, b->n_params);
	assert_memory_equal(x, y, a->n_params * sizeof(*x));
	free(x);
	free(y);
}

/* ---- reading ------------------------------------------------------------------------------------
 */

static void test_gpt_hf__reads_every_variant(void **state)
{
	static const variant variants[] = {
		{.prefix = "", .dtype = GPT_ST_F32},
		{.prefix = "transformer.", .dtype = GPT_ST_F32},
		{.prefix = "transformer.", .dtype = GPT_ST_F64},
		{.prefix = "", .dtype = GPT_ST_F32, .buffers = true},
		{.prefix = "transformer.", .dtype = GPT_ST_F32, .buffers = true},
		{.prefix = "transformer.", .dtype = GPT_ST_F32, .head_twice = true},
		{.prefix = "", .dtype = GPT_ST_F32, .untied = true},
		{.prefix = "transformer.", .dtype = GPT_ST_F32, .untied = true},
		{.prefix = "transformer.", .dtype = GPT_ST_F32, .parts = 3},
		{.prefix = "", .dtype = GPT_ST_F32, .untied = true, .parts = 5},
	};
	fixture *f = *state;

	for (size_t i = 0; i < CAIRN_COUNT(variants); i++) {
		gpt_model *want = variant_model(f, GPT_HEAD_LM, variants[i].untied), *got;

		write_variant(f, &variants[i], want);
		got = load(f);
		assert_same_model(want, got);
		gpt_model_free(got);
		/* An artifact that holds the files is read like the directory. */
		memhost_set_kind(f->memory, "model/lm");
		got = load(f);
		assert_same_model(want, got);
		gpt_model_free(got);
		memhost_set_kind(f->memory, "directory");
		gpt_model_free(want);
	}
}

/* BF16 keeps the upper half of each float. */
static void test_gpt_hf__reads_half_precision(void **state)
{
	static const variant v = {.prefix = "", .dtype = GPT_ST_BF16};
	fixture *f = *state;
	gpt_model *model = variant_model(f, GPT_HEAD_LM, false), *got;
	cairn_real *want, *have;

	write_variant(f, &v, model);
	got = load(f);
	want = read_flat(model, model->params);
	have = read_flat(got, got->params);
	for (size_t i = 0; i < model->n_params; i++) {
		float value = (float)want[i];
		uint32_t bits;

		memcpy(&bits, &value, sizeof(bits));
		bits &= 0xffff0000;
		memcpy(&value, &bits, sizeof(bits));
		assert_true((float)have[i] == value);
	}
	free(want);
	free(have);
	gpt_model_free(got);
	gpt_model_free(model);
}

/* Said to be untied, but the head is the embedding, bit by bit: it is tied. */
static void test_gpt_hf__ties_an_equal_head(void **state)
{
	static const variant v = {
		.prefix = "transformer.", .dtype = GPT_ST_F32, .untied = true, .head_twice = true};
	fixture *f = *state;
	gpt_model *model = variant_model(f, GPT_HEAD_LM, false), *got;

	write_variant(f, &v, model);
	got = load(f);
	assert_same_model(model, got);
	assert_false(got->config.untied);
	gpt_model_free(got);
	gpt_model_free(model);
}

static void test_gpt_hf__reads_a_classifier_as_reward_model(void **state)
{
	static const variant with_bias = {.prefix = "transformer.", .dtype = GPT_ST_F32};
	static const variant without = {
		.prefix = "transformer.", .dtype = GPT_ST_F32, .leave_out = "score.bias"};
	fixture *f = *state;
	gpt_model *model = variant_model(f, GPT_HEAD_SCALAR, false), *got;
	char config[300];
	cairn_real *flat;

	write_variant(f, &with_bias, model);
	got = load(f);
	assert_same_model(model, got);
	assert_true(got->reward_gain == 1 && got->reward_bias == 0);
	gpt_model_free(got);
	/* As transformers writes it: no bias; and with what we add to config.json. */
	write_variant(f, &without, model);
	(void)snprintf(config, sizeof(config), config_json,
		"true,\"cairn\":{\"reward_gain\":2.5,\"reward_bias\":-1}");
	memhost_replace(f->memory, "config.json", config);
	got = load(f);
	flat = read_flat(got, got->params);
	assert_true(flat[gpt_model_tensor(got, "score.bias")->offset] == 0);
	assert_true(got->reward_gain == 2.5 && got->reward_bias == -1);
	free(flat);
	gpt_model_free(got);
	/* A reward model is no language model. */
	got = NULL;
	assert_int_equal(
		gpt_load_model(&got, f->host, f->run, "model", GPT_HEAD_LM, 0, 0), CAIRN_EINPUT);
	assert_string_equal(memhost_error(f->memory).message,
		"'the test's model' is a reward model, not a language model");
	gpt_model_free(model);
}

/* METHOD 1.4 from somebody else's checkpoint: everything but the head, which is new. */
static void test_gpt_hf__a_reward_model_starts_as_language_model(void **state)
{
	static const variant v = {.prefix = "transformer.", .dtype = GPT_ST_F32, .untied = true};
	fixture *f = *state;
	gpt_model *lm = variant_model(f, GPT_HEAD_LM, true), *got = NULL, *again = NULL;
	cairn_real *x, *y, *z;

	write_variant(f, &v, lm);
	assert_int_equal(gpt_load_model(&got, f->host, f->run, "model", GPT_HEAD_SCALAR, 0, 5), 0);
	assert_int_equal(
		gpt_load_model(&again, f->host, f->run, "model", GPT_HEAD_SCALAR, 0, 6), 0);
	x = read_flat(lm, lm->params);
	y = read_flat(got, got->params);
	z = read_flat(again, again->params);
	for (size_t i = 0; i < got->n_tensors; i++) {
		const gpt_tensor *tensor = &got->tensors[i];
		const gpt_tensor *twin = gpt_model_tensor(lm, tensor->name);

		if (twin)
			assert_memory_equal(
				y + tensor->offset, x + twin->offset, tensor->size * sizeof(*x));
	}
	assert_memory_not_equal(y + gpt_model_tensor(got, "score.weight")->offset,
		z + gpt_model_tensor(got, "score.weight")->offset, 8 * sizeof(*x));
	free(x);
	free(y);
	free(z);
	gpt_model_free(got);
	gpt_model_free(again);
	gpt_model_free(lm);
}

/* ---- refusing
 * -------------------------------------------------------------------------------------- */

static void refused(fixture *f, const char *message)
{
	gpt_model *model = NULL;

	assert_true(gpt_load_model_as_is(&model, f->host, f->run, "model") < 0);
	assert_null(model);
	assert_string_equal(memhost_error(f->memory).message, message);
}

static void refuses(fixture *f, const variant *v, const char *message)
{
	gpt_model *model = variant_model(f, GPT_HEAD_LM, v->untied);

	write_variant(f, v, model);
	refused(f, message);
	gpt_model_free(model);
}

static void test_gpt_hf__names_tensor_and_shapes(void **state)
{
	fixture *f = *state;
	const char *t = "transformer.";

	refuses(f, &(variant){.prefix = t, .dtype = GPT_ST_F32, .leave_out = "h.1.ln_2.bias"},
		"'the test's model' has no tensor 'h.1.ln_2.bias', of the shape [8]");
	refuses(f, &(variant){.prefix = "", .dtype = GPT_ST_F32, .leave_out = "wte.weight"},
		"'the test's model' has no tensor 'wte.weight', of the shape [11,8]");
	refuses(f,
		&(variant){.prefix = t,
			.dtype = GPT_ST_F32,
			.untied = true,
			.leave_out = "lm_head.weight"},
		"'the test's model' has no tensor 'lm_head.weight', of the shape [11,8]");
	refuses(f, &(variant){.prefix = t, .dtype = GPT_ST_F32, .widen = "h.0.mlp.c_fc.weight"},
		"tensor 'transformer.h.0.mlp.c_fc.weight' of 'the test's model' has the shape "
		"[9,32], the model needs [8,32]");
	refuses(f, &(variant){.prefix = t, .dtype = GPT_ST_F32, .add = "h.2.ln_1.weight"},
		"'the test's model' has a tensor 'transformer.h.2.ln_1.weight', of the shape [3], "
		"which the model does not have");
	refuses(f, &(variant){.prefix = "", .dtype = GPT_ST_F32, .add = "h.x.attn.bias"},
		"'the test's model' has a tensor 'h.x.attn.bias', of the shape [3], which the "
		"model does not have");
	refuses(f, &(variant){.prefix = "", .dtype = GPT_ST_F32, .add = "transformer.wpe.weight"},
		"'the test's model' has the tensor 'wpe.weight' twice");
	refuses(f, &(variant){.prefix = "", .dtype = GPT_ST_I32},
		"tensor 'wte.weight' of 'the test's model' has the dtype I32; weights are F32, "
		"F16, BF16 or F64");
}

/* Config and weights contradict each other: which of the two is right, nobody can know. */
static void test_gpt_hf__refuses_a_head_that_is_said_to_be_tied(void **state)
{
	static const variant v = {.prefix = "transformer.", .dtype = GPT_ST_F32};
	fixture *f = *state;
	gpt_model *model = variant_model(f, GPT_HEAD_LM, true);

	write_variant(f, &v, model);
	refused(f, "'lm_head.weight' of 'the test's model' is not 'wte.weight', but config.json "
		   "says that they are one");
	gpt_model_free(model);
}

static void test_gpt_hf__refuses_what_is_not_there(void **state)
{
	static const variant v = {.prefix = "", .dtype = GPT_ST_F32, .parts = 2};
	fixture *f = *state;
	gpt_model *model = variant_model(f, GPT_HEAD_LM, false);

	memhost_add(f->memory, "x", "", 0);
	refused(f, "'the test's model' has no file 'config.json'");
	write_variant(f, &v, model);
	memhost_remove(f->memory, "model-00002-of-00002.safetensors");
	refused(f, "'the test's model' has no file 'model-00002-of-00002.safetensors'");
	write_variant(f, &v, model);
	memhost_replace(f->memory, "model.safetensors.index.json",
		"{\"weight_map\":{\"wte.weight\":\"model-00002-of-00002.safetensors\"}}");
	refused(f, "'model-00002-of-00002.safetensors' of 'the test's model' has no tensor "
		   "'wte.weight', which model.safetensors.index.json says it has");
	memhost_replace(f->memory, "model.safetensors.index.json", "{\"weight_map\":{\"a\":1}}");
	refused(f, "model.safetensors.index.json of 'the test's model' names no file for 'a'");
	memhost_replace(f->memory, "model.safetensors.index.json", "{}");
	refused(f, "model.safetensors.index.json of 'the test's model' has no 'weight_map'");
	memhost_remove(f->memory, "model.safetensors.index.json");
	refused(f, "'the test's model' has no 'model.safetensors'");
	gpt_model_free(model);
}

static void test_gpt_hf__says_how_to_convert_pickles(void **state)
{
	fixture *f = *state;
	gpt_model *model = NULL;
	char config[300];
	cairn_error err;

	(void)snprintf(config, sizeof(config), config_json, "true");
	memhost_add(f->memory, "config.json", config, strlen(config));
	memhost_add(f->memory, "pytorch_model.bin", "PK", 2);
	assert_int_equal(gpt_load_model_as_is(&model, f->host, f->run, "model"), CAIRN_EINPUT);
	err = memhost_error(f->memory);
	assert_string_equal(err.message, "'the test's model' has its weights as "
					 "'pytorch_model.bin', not as 'model.safetensors'");
	assert_non_null(strstr(err.hint, "save_pretrained"));
}

static void test_gpt_hf__places_mistakes_inside_the_file(void **state)
{
	fixture *f = *state;
	gpt_model *model = NULL;
	char config[300];

	(void)snprintf(config, sizeof(config), config_json, "true");
	memhost_add(f->memory, "config.json", config, strlen(config));
	memhost_add(f->memory, "model.safetensors", "\1\0\0\0\0\0\0\0{", 9);
	assert_int_equal(gpt_load_model_as_is(&model, f->host, f->run, "model"), CAIRN_EINPUT);
	assert_string_equal(
		memhost_error(f->memory).place, "the test's model: model.safetensors, byte 9");
}

/* ---- PyTorch's own
 * ------------------------------------------------------------------------------------ */

/* Logits of the model as PyTorch gives them in double. */
static void check_logits(gpt_model *model)
{
	enum {
		ROWS = 36,
		V = 31
	};
	int32_t tokens[ROWS], target[ROWS];
	cairn_real logprob[ROWS];
	gpt_batch batch = {.B = 3, .T = 12, .tokens = tokens};
	cairn_error err = {0};
	oracle_file *oracle;
	double *ids, *logits;
	char path[1024];
	size_t n;

	data_path(path, sizeof(path), "gpt2-oracle/sft.safetensors");
	oracle = oracle_open(path);
	assert_non_null(oracle);
	ids = oracle_get(oracle, "tokens", &n);
	assert_int_equal(n, ROWS);
	for (int r = 0; r < ROWS; r++)
		tokens[r] = (int32_t)ids[r];
	logits = oracle_get(oracle, "logits", &n);
	assert_int_equal(n, ROWS * V);
	assert_int_equal(gpt_forward(model, &batch, &err), 0);
	for (int v = 0; v < V; v++) {
		for (int r = 0; r < ROWS; r++)
			target[r] = v;
		assert_int_equal(gpt_logprobs(model, target, 1, logprob, NULL, &err), 0);
		for (int r = 0; r < ROWS; r++) {
			double sum = 0;

			for (int u = 0; u < V; u++)
				sum += exp(logits[r * V + u]);
			assert_true(fabs((double)logprob[r] - logits[r * V + v] + log(sum)) < 1e-5);
		}
	}
	free(ids);
	free(logits);
	oracle_close(oracle);
}

static void test_gpt_hf__the_oracle_there_and_back(void **state)
{
	fixture *f = *state;
	size_t config_len, model_len, len;
	char *config = read_data("gpt2-oracle/config.json", &config_len);
	char *weights = read_data("gpt2-oracle/model.safetensors", &model_len), *file, *text;
	gpt_model *first, *second;
	cairn_error err = {0};

	memhost_add(f->memory, "config.json", config, config_len);
	memhost_add(f->memory, "model.safetensors", weights, model_len);
	first = load(f);
	check_logits(first);
	assert_int_equal(gpt_hf_weights(&file, &len, first, &err), 0);
	text = gpt_hf_config_write(first, -1);
	assert_non_null(text);
	memhost_clear(f->memory);
	memhost_add(f->memory, "config.json", text, strlen(text));
	memhost_add(f->memory, "model.safetensors", file, len);
	second = load(f);
	assert_same_model(first, second);
	gpt_model_free(first);
	gpt_model_free(second);
	free(file);
	free(text);
	free(config);
	free(weights);
}

/* Both heads: what is written reads back as the same model, and gives the same file again. */
static void test_gpt_hf__writes_what_it_reads(void **state)
{
	fixture *f = *state;

	for (int which = 0; which < 3; which++) {
		enum gpt_head head = which == 2 ? GPT_HEAD_SCALAR : GPT_HEAD_LM;
		gpt_model *model = variant_model(f, head, which == 1), *got;
		char *file, *again, *text;
		size_t len, len_again;
		cairn_error err = {0};

		model->reward_gain = which == 2 ? 1.0 / 3 : 1;
		model->reward_bias = which == 2 ? -1e-17 : 0;
		assert_int_equal(gpt_hf_weights(&file, &len, model, &err), 0);
		text = gpt_hf_config_write(model, 5);
		memhost_clear(f->memory);
		memhost_add(f->memory, "config.json", text, strlen(text));
		memhost_add(f->memory, "model.safetensors", file, len);
		got = load(f);
		assert_same_model(model, got);
		assert_true(got->reward_gain == model->reward_gain);
		assert_true(got->reward_bias == model->reward_bias);
		assert_int_equal(gpt_hf_weights(&again, &len_again, got, &err), 0);
		assert_int_equal(len, len_again);
		assert_memory_equal(file, again, len);
		gpt_model_free(model);
		gpt_model_free(got);
		free(file);
		free(again);
		free(text);
	}
}

#define in_fixture(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_fixture(test_gpt_hf__reads_every_variant),
		in_fixture(test_gpt_hf__reads_half_precision),
		in_fixture(test_gpt_hf__ties_an_equal_head),
		in_fixture(test_gpt_hf__reads_a_classifier_as_reward_model),
		in_fixture(test_gpt_hf__a_reward_model_starts_as_language_model),
		in_fixture(test_gpt_hf__names_tensor_and_shapes),
		in_fixture(test_gpt_hf__refuses_a_head_that_is_said_to_be_tied),
		in_fixture(test_gpt_hf__refuses_what_is_not_there),
		in_fixture(test_gpt_hf__says_how_to_convert_pickles),
		in_fixture(test_gpt_hf__places_mistakes_inside_the_file),
		in_fixture(test_gpt_hf__the_oracle_there_and_back),
		in_fixture(test_gpt_hf__writes_what_it_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
