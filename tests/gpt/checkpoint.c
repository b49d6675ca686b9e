/* SPDX-License-Identifier: Apache-2.0 */
/* Models and optimizer state through artifacts: everything comes back, mistakes are named. */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "gpt/checkpoint.h"
#include "gpt/memhost.h"
#include "gpt/save.h"
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

static void save(fixture *f, enum gpt_head head, double gain, double bias)
{
	gpt_model *model = random_model(&f->k, &tiny_config, head, 0, 3);

	model->reward_gain = gain;
	model->reward_bias = bias;
	assert_int_equal(gpt_save_model(f->host, f->run, "model", model, NULL), 0);
	gpt_model_free(model);
}

static void assert_same_tensor(const gpt_model *a, const gpt_model *b, const char *name)
{
	const gpt_tensor *tensor = gpt_model_tensor(a, name);
	const gpt_tensor *twin = gpt_model_tensor(b, name);
	cairn_real *x = read_flat(a, a->params), *y = read_flat(b, b->params);

	assert_memory_equal(
		x + tensor->offset, y + twin->offset, tensor->size * sizeof(cairn_real));
	free(x);
	free(y);
}

static void test_gpt_checkpoint__model_round_trip(void **state)
{
	fixture *f = *state;

	for (enum gpt_head head = GPT_HEAD_LM; head <= GPT_HEAD_SCALAR; head++) {
		gpt_model *want = random_model(&f->k, &tiny_config, head, 0, 3), *got;

		save(f, head, 1.25, -.1);
		assert_int_equal(
			gpt_load_model(&got, f->host, f->run, "model", head, GPT_TRAINABLE, 0), 0);
		assert_memory_equal(&got->config, &tiny_config, sizeof(tiny_config));
		assert_int_equal(got->head, head);
		assert_non_null(got->grads);
		for (size_t i = 0; i < want->n_tensors; i++)
			assert_same_tensor(want, got, want->tensors[i].name);
		assert_true(got->reward_gain == (head == GPT_HEAD_LM ? 1 : 1.25));
		assert_true(got->reward_bias == (head == GPT_HEAD_LM ? 0 : -.1));
		gpt_model_free(want);
		gpt_model_free(got);
	}
	assert_int_equal(memhost_commits(f->memory), 2);
}

static void test_gpt_checkpoint__untied_head_round_trip(void **state)
{
	fixture *f = *state;
	gpt_config config = tiny_config;
	gpt_model *want, *got;

	config.untied = true;
	want = random_model(&f->k, &config, GPT_HEAD_LM, 0, 3);
	assert_int_equal(gpt_save_model(f->host, f->run, "model", want, NULL), 0);
	assert_non_null(memhost_entry(f->memory, "lm_head.weight"));
	assert_int_equal(gpt_load_model_as_is(&got, f->host, f->run, "model"), 0);
	assert_true(got->config.untied);
	assert_same_tensor(want, got, "lm_head.weight");
	gpt_model_free(got);
	/* A reward model made of it has no such head. */
	assert_int_equal(gpt_load_model(&got, f->host, f->run, "model", GPT_HEAD_SCALAR, 0, 5), 0);
	assert_false(got->config.untied);
	assert_null(gpt_model_tensor(got, "lm_head.weight"));
	gpt_model_free(got);
	gpt_model_free(want);
}

static void test_gpt_checkpoint__artifact_is_self_describing(void **state)
{
	fixture *f = *state;
	const cairn_tensor *config;

	save(f, GPT_HEAD_SCALAR, 2, -.5);
	assert_string_equal(memhost_artifact(f->memory).meta,
		"{\"architecture\":\"gpt2\",\"head\":\"scalar\",\"n_ctx\":6,\"n_embd\":8,\"n_head\":2,"
		"\"n_inner\":32,\"n_layer\":2,\"n_params\":1905,\"n_vocab\":11,"
		"\"reward_bias\":-0.5,\"reward_gain\":2.0,\"untied\":false}");
	assert_int_equal(gpt_param_count(&tiny_config, GPT_HEAD_SCALAR), 1905);
	config = memhost_entry(f->memory, "config.json");
	assert_non_null(config);
	assert_string_equal(config->data,
		"{\"activation_function\":\"gelu_new\",\"layer_norm_epsilon\":1e-05,"
		"\"model_type\":\"gpt2\",\"n_embd\":8,\"n_head\":2,\"n_inner\":32,\"n_layer\":2,"
		"\"n_positions\":6,\"tie_word_embeddings\":true,\"vocab_size\":11}");
	assert_int_equal(memhost_entries(f->memory), 1 + 2 + 2 * 12 + 2 + 2);
	save(f, GPT_HEAD_LM, 2, -.5);
	assert_string_equal(memhost_artifact(f->memory).meta,
		"{\"architecture\":\"gpt2\",\"head\":\"lm\",\"n_ctx\":6,\"n_embd\":8,\"n_head\":2,"
		"\"n_inner\":32,\"n_layer\":2,\"n_params\":1896,\"n_vocab\":11,"
		"\"untied\":false}");
}

/* METHOD 1.4: a reward model starts as a language model with a new head. */
static void test_gpt_checkpoint__scalar_from_language_model(void **state)
{
	fixture *f = *state;
	gpt_model *lm = random_model(&f->k, &tiny_config, GPT_HEAD_LM, 0, 3), *got, *again;

	save(f, GPT_HEAD_LM, 1, 0);
	assert_int_equal(gpt_load_model(&got, f->host, f->run, "model", GPT_HEAD_SCALAR, 0, 5), 0);
	assert_int_equal(
		gpt_load_model(&again, f->host, f->run, "model", GPT_HEAD_SCALAR, 0, 6), 0);
	for (size_t i = 0; i < lm->n_tensors; i++)
		assert_same_tensor(lm, got, lm->tensors[i].name);
	gpt_model_init_score(again, 5);
	assert_same_tensor(got, again, "score.weight");
	gpt_model_free(lm);
	gpt_model_free(got);
	gpt_model_free(again);
}

static void refuses(fixture *f, enum gpt_head head, int code, const char *message)
{
	gpt_model *model = NULL;
	cairn_error err;

	assert_int_equal(gpt_load_model(&model, f->host, f->run, "model", head, 0, 0), code);
	assert_null(model);
	err = memhost_error(f->memory);
	assert_int_equal(err.code, code);
	assert_string_equal(err.message, message);
}

static void test_gpt_checkpoint__refuses_a_reward_model_as_language_model(void **state)
{
	fixture *f = *state;

	save(f, GPT_HEAD_SCALAR, 1, 0);
	refuses(f, GPT_HEAD_LM, CAIRN_EINPUT,
		"'the test's model' is a reward model, not a language model");
}

static void test_gpt_checkpoint__names_tensor_and_both_shapes(void **state)
{
	fixture *f = *state;

	save(f, GPT_HEAD_LM, 1, 0);
	memhost_entry(f->memory, "h.1.mlp.c_fc.weight")->dims[1] = 31;
	refuses(f, GPT_HEAD_LM, CAIRN_EINPUT,
		"tensor 'h.1.mlp.c_fc.weight' of 'the test's model' has the shape [8,31], the "
		"model needs [8,32]");

	save(f, GPT_HEAD_LM, 1, 0);
	memhost_entry(f->memory, "wpe.weight")->n_dims = 1;
	refuses(f, GPT_HEAD_LM, CAIRN_EINPUT,
		"tensor 'wpe.weight' of 'the test's model' has the shape [6], the model needs "
		"[6,8]");

	save(f, GPT_HEAD_LM, 1, 0);
	memhost_entry(f->memory, "ln_f.bias")->dtype = CAIRN_BF16;
	refuses(f, GPT_HEAD_LM, CAIRN_EINPUT,
		"tensor 'ln_f.bias' of 'the test's model' is not float32");

	save(f, GPT_HEAD_LM, 1, 0);
	memhost_rename(f->memory, "ln_f.bias", "other");
	refuses(f, GPT_HEAD_LM, CAIRN_EINPUT, "'the test's model' has no tensor 'ln_f.bias'");
}

static void test_gpt_checkpoint__refuses_other_configurations(void **state)
{
	static const struct {
		const char *config, *message;
	} cases[] = {
		{"{\"n_layer\":2,\"n_head\":2,\"n_embd\":8,\"n_positions\":6}",
			"config.json of 'the test's model': vocab_size is not a positive whole "
			"number"},
		{"{\"n_layer\":2,\"n_head\":3,\"n_embd\":8,\"n_positions\":6,\"vocab_size\":11}",
			"a model cannot split n_embd = 8 into 3 heads"},
		{"{\"n_layer\":2,\"n_head\":2,\"n_embd\":8,\"n_positions\":99999,"
		 "\"vocab_size\":11}",
			"a model cannot have n_ctx = 99999"},
		{"{\"activation_function\":\"relu\"}",
			"config.json of 'the test's model': activation_function is not gelu_new, "
			"the only one that the kernels have"},
		{"{\"model_type\":\"llama\"}",
			"config.json of 'the test's model': model_type is not gpt2"},
		{"{\"layer_norm_epsilon\":1e-6}",
			"config.json of 'the test's model': layer_norm_epsilon is not 1e-5, which "
			"the kernels have built in"},
		{"{\"scale_attn_weights\":false}",
			"config.json of 'the test's model': scale_attn_weights is false; attention "
			"is always scaled"},
		{"[]", "config.json of 'the test's model' is no JSON object"},
	};
	fixture *f = *state;

	save(f, GPT_HEAD_LM, 1, 0);
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		int code = i == 1 || i == 2 ? CAIRN_EPARAM : CAIRN_EINPUT;

		memhost_replace(f->memory, "config.json", cases[i].config);
		refuses(f, GPT_HEAD_LM, code, cases[i].message);
	}
	/* n_inner may be absent or null: four times the width. */
	memhost_replace(f->memory, "config.json",
		"{\"n_layer\":2,\"n_head\":2,\"n_embd\":8,\"n_positions\":6,\"vocab_size\":11,"
		"\"n_inner\":null}");
	{
		gpt_model *model;

		assert_int_equal(
			gpt_load_model(&model, f->host, f->run, "model", GPT_HEAD_LM, 0, 0), 0);
		assert_int_equal(model->config.n_inner, 32);
		gpt_model_free(model);
	}
}

static void test_gpt_checkpoint__refuses_to_save_nan(void **state)
{
	fixture *f = *state;
	gpt_model *model = random_model(&f->k, &tiny_config, GPT_HEAD_LM, 0, 3);
	cairn_real bad = (cairn_real)NAN;

	f->k.write(&f->k, gpt_params_change(model) + 100, &bad, sizeof(bad));
	assert_int_equal(gpt_save_model(f->host, f->run, "model", model, NULL), CAIRN_EDIVERGED);
	assert_int_equal(memhost_commits(f->memory), 0);
	gpt_model_free(model);
}

/* ---- training state ---------------------------------------------------------------------- */

static gpt_adam *new_adam(gpt_model *model)
{
	gpt_adam_options options = {.beta1 = .9, .beta2 = .95, .eps = 1e-8};
	gpt_adam *adam;
	cairn_error err = {0};

	assert_int_equal(gpt_adam_new(&adam, model, &options, &err), 0);
	return adam;
}

/* One optimizer step on a fixed batch. */
static void train_step(gpt_model *model, gpt_adam *adam)
{
	int32_t tokens[] = {1, 2, 3, 4, 5}, target[] = {2, 3, 4, 5, 6};
	cairn_real weight[] = {-1, -1, -1, -1, -1};
	gpt_batch batch = {.B = 1, .T = 5, .tokens = tokens};
	cairn_error err = {0};

	gpt_zero_grads(model);
	assert_int_equal(gpt_forward(model, &batch, &err), 0);
	assert_int_equal(gpt_logprobs_backward(model, target, 1, weight, NULL, NULL, &err), 0);
	assert_int_equal(gpt_adam_step(adam, model, 1e-2, NULL, &err), 0);
}

/* Saved after two steps, restored into fresh memory, the third step gives the same bits. */
static void test_gpt_checkpoint__training_goes_on_exactly(void **state)
{
	fixture *f = *state;
	gpt_model *straight = random_model(&f->k, &tiny_config, GPT_HEAD_LM, GPT_TRAINABLE, 3);
	gpt_model *resumed = random_model(&f->k, &tiny_config, GPT_HEAD_LM, GPT_TRAINABLE, 4);
	gpt_adam *adam = new_adam(straight), *other = new_adam(resumed);
	gpt_save save;
	cairn_artifact checkpoint;
	cairn_real *a, *b;

	train_step(straight, adam);
	train_step(straight, adam);
	gpt_save_init(&save, f->host, f->run);
	assert_int_equal(f->host->checkpoint_begin(f->run, 2, &save.writer), 0);
	assert_int_equal(gpt_save_state(&save, "policy", straight, adam), 0);
	assert_int_equal(gpt_save_state(&save, "ema", straight, NULL), 0);
	assert_int_equal(f->host->commit(save.writer), 0);
	gpt_save_free(&save);
	train_step(straight, adam);

	checkpoint = memhost_artifact(f->memory);
	assert_int_equal(gpt_get_state(f->host, f->run, &checkpoint, "policy", resumed, other), 0);
	assert_int_equal(other->t, 2);
	train_step(resumed, other);
	a = read_flat(straight, straight->params);
	b = read_flat(resumed, resumed->params);
	assert_memory_equal(a, b, straight->n_params * sizeof(*a));
	/* Without the moments it would not. */
	assert_int_equal(gpt_get_state(f->host, f->run, &checkpoint, "ema", resumed, NULL), 0);
	train_step(resumed, other);
	free(b);
	b = read_flat(resumed, resumed->params);
	assert_memory_not_equal(a, b, straight->n_params * sizeof(*a));
	free(a);
	free(b);
	gpt_adam_free(adam);
	gpt_adam_free(other);
	gpt_model_free(straight);
	gpt_model_free(resumed);
}

static void test_gpt_checkpoint__plain_bytes(void **state)
{
	fixture *f = *state;
	uint64_t cursor[2] = {7, 9}, got[2] = {0};
	cairn_writer *writer;
	cairn_artifact checkpoint;
	cairn_error err;

	assert_int_equal(f->host->checkpoint_begin(f->run, 1, &writer), 0);
	assert_int_equal(
		gpt_put_bytes(f->host, f->run, writer, "cursor", cursor, sizeof(cursor)), 0);
	assert_int_equal(f->host->commit(writer), 0);
	checkpoint = memhost_artifact(f->memory);
	assert_int_equal(
		gpt_get_bytes(f->host, f->run, &checkpoint, "cursor", got, sizeof(got)), 0);
	assert_memory_equal(cursor, got, sizeof(got));
	assert_int_equal(
		gpt_get_bytes(f->host, f->run, &checkpoint, "cursor", got, 8), CAIRN_EINTEGRITY);
	err = memhost_error(f->memory);
	assert_string_equal(err.message, "entry 'cursor' of the checkpoint has 16 bytes, not 8");
	assert_int_equal(
		gpt_get_bytes(f->host, f->run, &checkpoint, "data", got, 8), CAIRN_EINTEGRITY);
	err = memhost_error(f->memory);
	assert_string_equal(err.message, "the checkpoint has no entry 'data'");
}

static void test_gpt_checkpoint__carries_its_tokenizer(void **state)
{
	static const char *const texts[] = {"the cat and the hat", "the other cat"};
	static const char *const vocab_names[] = {
		"tokenizer/vocab.json", "vocab.json", "encoder.json", "-"};
	static const char *const merges_names[] = {
		"tokenizer/merges.txt", "merges.txt", "vocab.bpe", "--"};
	const size_t lens[] = {19, 13};
	fixture *f = *state;
	gpt_tokenizer *tokenizer, *got;
	gpt_model *model = random_model(&f->k, &tiny_config, GPT_HEAD_LM, 0, 3);
	const char *a, *b;
	size_t n, m;
	cairn_error err = {0};

	assert_int_equal(gpt_tokenizer_train(&tokenizer, texts, lens, 2, 262, &err), 0);
	assert_int_equal(gpt_save_model(f->host, f->run, "model", model, tokenizer), 0);
	/* As a model has them, as a tokenizer artifact has them, as OpenAI calls them. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(gpt_load_tokenizer(&got, f->host, f->run, "model"), 0);
		a = gpt_tokenizer_vocab_json(tokenizer, &n);
		b = gpt_tokenizer_vocab_json(got, &m);
		assert_int_equal(n, m);
		assert_memory_equal(a, b, n);
		gpt_tokenizer_free(got);
		memhost_rename(f->memory, vocab_names[i], vocab_names[i + 1]);
		memhost_rename(f->memory, merges_names[i], merges_names[i + 1]);
	}
	memhost_rename(f->memory, "-", "vocab.json");
	assert_int_equal(gpt_load_tokenizer(&got, f->host, f->run, "model"), CAIRN_EINPUT);
	assert_string_equal(memhost_error(f->memory).message,
		"'the test's model' has vocab.json (encoder.json), but no merges.txt (vocab.bpe)");
	memhost_rename(f->memory, "vocab.json", "y");
	assert_int_equal(gpt_load_tokenizer(&got, f->host, f->run, "model"), CAIRN_EINPUT);
	assert_string_equal(
		memhost_error(f->memory).message, "'the test's model' has no tokenizer");
	got = tokenizer;
	assert_int_equal(gpt_load_tokenizer_if_any(&got, f->host, f->run, "model"), 0);
	assert_null(got);
	gpt_tokenizer_free(tokenizer);
	gpt_model_free(model);
}

#define in_fixture(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		in_fixture(test_gpt_checkpoint__model_round_trip),
		in_fixture(test_gpt_checkpoint__untied_head_round_trip),
		in_fixture(test_gpt_checkpoint__artifact_is_self_describing),
		in_fixture(test_gpt_checkpoint__scalar_from_language_model),
		in_fixture(test_gpt_checkpoint__refuses_a_reward_model_as_language_model),
		in_fixture(test_gpt_checkpoint__names_tensor_and_both_shapes),
		in_fixture(test_gpt_checkpoint__refuses_other_configurations),
		in_fixture(test_gpt_checkpoint__refuses_to_save_nan),
		in_fixture(test_gpt_checkpoint__training_goes_on_exactly),
		in_fixture(test_gpt_checkpoint__plain_bytes),
		in_fixture(test_gpt_checkpoint__carries_its_tokenizer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
