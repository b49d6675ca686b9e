/* SPDX-License-Identifier: Apache-2.0 */
/* convert.c - unit tests of the import and export tools: there and back, bit by bit. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "fakeio.h"
#include "gpt/safetensors.h"

static struct fakehost *run_tool(struct fakehost *host)
{
	fakeio io;

	fakeio_init(&io, NULL);
	if (fakeio_run(host, &io, NULL) != CAIRN_DONE)
		fail_msg("%s: %s", fakehost_error(host)->place, fakehost_error(host)->message);
	fakeio_free(&io);
	return host;
}

/* Exported from an artifact or directory. */
static struct fakehost *export_of(const struct fake_artifact *artifact)
{
	struct fakehost *host = fakehost_new_tool("model", "export");

	fakehost_bind(host, "model", artifact);
	return run_tool(host);
}

static struct fakehost *import_of(const struct fake_artifact *directory)
{
	struct fakehost *host = fakehost_new_tool("model", "import");

	fakehost_bind(host, "directory", directory);
	return run_tool(host);
}

static void test_tools_convert__there_and_back(void **state)
{
	(void)state;
	for (enum gpt_head head = GPT_HEAD_LM; head <= GPT_HEAD_SCALAR; head++) {
		const char *port = head == GPT_HEAD_LM ? "model" : "reward";
		struct fakehost *first = fakehost_new_tool("model", "export");
		struct fakehost *imported, *second, *again;

		tools_model(first, "model", head);
		run_tool(first);
		imported = import_of(fakehost_output(first, "directory"));
		assert_non_null(fakehost_output(imported, port));
		assert_null(fakehost_output(imported, head == GPT_HEAD_LM ? "reward" : "model"));
		second = export_of(fakehost_output(imported, port));
		fake_assert_equal(
			fakehost_output(first, "directory"), fakehost_output(second, "directory"));
		again = import_of(fakehost_output(second, "directory"));
		fake_assert_equal(fakehost_output(imported, port), fakehost_output(again, port));
		fakehost_free(again);
		fakehost_free(second);
		fakehost_free(imported);
		fakehost_free(first);
	}
}

/* The tensors of the artifact are those of the model, bit by bit, and gain and bias came along. */
static void test_tools_convert__keeps_every_bit(void **state)
{
	struct fakehost *exported = fakehost_new_tool("model", "export"), *imported, *source;
	struct fake_artifact *artifact;
	const struct fake_artifact *got;

	(void)state;
	tools_model(exported, "model", GPT_HEAD_SCALAR);
	run_tool(exported);
	imported = import_of(fakehost_output(exported, "directory"));
	got = fakehost_output(imported, "reward");
	source = fakehost_new_tool("model", "score");
	tools_model(source, "model", GPT_HEAD_SCALAR);
	artifact = fakehost_input_artifact(source, "model");
	for (uint64_t i = 0; i < fake_artifact_entries(artifact); i++) {
		const cairn_tensor *want = fake_entry_at(artifact, i);
		const cairn_tensor *have = fake_entry(got, want->name);

		if (!strcmp(want->name, "config.json"))
			continue;
		assert_non_null(have);
		assert_int_equal(have->bytes, want->bytes);
		assert_memory_equal(have->data, want->data, want->bytes);
	}
	assert_int_equal(fake_artifact_entries(got), fake_artifact_entries(artifact));
	assert_string_equal(fake_artifact_meta(got),
		"{\"architecture\":\"gpt2\",\"head\":\"scalar\",\"n_ctx\":24,\"n_embd\":8,\"n_head\":2,\"n_inner\":32,\"n_layer\":2,\"n_params\":4137,\"n_vocab\":272,"
		"\"reward_bias\":-0.25,\"reward_gain\":1.5,\"untied\":false}");
	fakehost_free(source);
	fakehost_free(imported);
	fakehost_free(exported);
}

static void test_tools_convert__writes_what_transformers_reads(void **state)
{
	struct fakehost *host = fakehost_new_tool("model", "export");
	const struct fake_artifact *out;
	const cairn_tensor *entry;
	gpt_safetensors st = {0};
	cairn_error err = {0};

	(void)state;
	tools_model(host, "model", GPT_HEAD_LM);
	run_tool(host);
	out = fakehost_output(host, "directory");
	assert_string_equal(fake_text(out, "config.json"),
		"{\n"
		"  \"architectures\": [\n"
		"    \"GPT2LMHeadModel\"\n"
		"  ],\n"
		"  \"model_type\": \"gpt2\",\n"
		"  \"n_layer\": 2,\n"
		"  \"n_head\": 2,\n"
		"  \"n_embd\": 8,\n"
		"  \"n_positions\": 24,\n"
		"  \"vocab_size\": 272,\n"
		"  \"n_inner\": 32,\n"
		"  \"activation_function\": \"gelu_new\",\n"
		"  \"layer_norm_epsilon\": 1e-05,\n"
		"  \"tie_word_embeddings\": true,\n"
		"  \"torch_dtype\": \"float32\",\n"
		"  \"bos_token_id\": 266,\n"
		"  \"eos_token_id\": 266\n"
		"}\n");
	assert_string_equal(fake_text(out, "generation_config.json"),
		"{\n  \"bos_token_id\": 266,\n  \"eos_token_id\": 266\n}\n");
	assert_string_equal(fake_text(out, "tokenizer_config.json"),
		"{\n  \"tokenizer_class\": \"GPT2Tokenizer\",\n  \"model_max_length\": 24\n}\n");
	assert_non_null(fake_entry(out, "vocab.json"));
	assert_non_null(fake_entry(out, "merges.txt"));
	assert_int_equal(fake_artifact_entries(out), 6);
	entry = fake_entry(out, "model.safetensors");
	assert_int_equal(gpt_safetensors_open(&st, "it", entry->data, entry->bytes, &err), 0);
	assert_string_equal(gpt_safetensors_metadata(&st, "format"), "pt");
	assert_int_equal(st.n, 2 + 2 * 12 + 2);
	assert_non_null(gpt_safetensors_find(&st, "transformer.h.1.mlp.c_proj.weight"));
	assert_null(gpt_safetensors_find(&st, "lm_head.weight"));
	gpt_safetensors_close(&st);
	fakehost_free(host);
}

static void test_tools_convert__writes_a_reward_model_as_a_classifier(void **state)
{
	struct fakehost *host = fakehost_new_tool("model", "export");
	const struct fake_artifact *out;
	const gpt_st_tensor *score;
	const cairn_tensor *entry;
	gpt_safetensors st = {0};
	cairn_error err = {0};
	json_t *config;

	(void)state;
	tools_model(host, "model", GPT_HEAD_SCALAR);
	run_tool(host);
	out = fakehost_output(host, "directory");
	config = json_loads(fake_text(out, "config.json"), 0, NULL);
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(config, "architectures"), 0)),
		"GPT2ForSequenceClassification");
	assert_int_equal(json_object_size(json_object_get(config, "id2label")), 1);
	assert_true(json_real_value(json_object_get(
			    json_object_get(config, "cairn"), "reward_gain")) == 1.5);
	assert_null(fake_entry(out, "generation_config.json"));
	entry = fake_entry(out, "model.safetensors");
	assert_int_equal(gpt_safetensors_open(&st, "it", entry->data, entry->bytes, &err), 0);
	score = gpt_safetensors_find(&st, "score.weight");
	assert_non_null(score);
	assert_int_equal(score->n_dims, 2);
	assert_int_equal(score->dims[0], 1);
	assert_int_equal(score->dims[1], 8);
	gpt_safetensors_close(&st);
	json_decref(config);
	fakehost_free(host);
}

static void test_tools_convert__imports_a_tokenizer_alone(void **state)
{
	struct fakehost *host = fakehost_new_tool("model", "import"), *other;
	gpt_tokenizer *tokenizer = tools_new_tokenizer();
	struct fake_artifact *directory = fakehost_input(host, "directory", "directory", "bpe/");
	const char *text;
	size_t len;

	(void)state;
	text = gpt_tokenizer_vocab_json(tokenizer, &len);
	fake_add(directory, "encoder.json", CAIRN_U8, 0, NULL, text, len);
	text = gpt_tokenizer_merges(tokenizer, &len);
	fake_add(directory, "vocab.bpe", CAIRN_U8, 0, NULL, text, len);
	run_tool(host);
	assert_non_null(fakehost_output(host, "tokenizer"));
	assert_null(fakehost_output(host, "model"));
	assert_string_equal(fake_text(fakehost_output(host, "tokenizer"), "merges.txt"), text);
	/* Without one of the two files it is none. */
	other = fakehost_new_tool("model", "import");
	directory = fakehost_input(other, "directory", "directory", "bpe/");
	fake_add(directory, "vocab.json", CAIRN_U8, 0, NULL, text, len);
	{
		fakeio io;

		fakeio_init(&io, NULL);
		assert_int_equal(fakeio_run(other, &io, NULL), CAIRN_EINPUT);
		assert_string_equal(fakehost_error(other)->message,
			"'bpe/' has vocab.json (encoder.json), but no merges.txt (vocab.bpe)");
		fakeio_free(&io);
	}
	fakehost_free(other);
	gpt_tokenizer_free(tokenizer);
	fakehost_free(host);
}

/* config.json's end token is not the tokenizer's: said, and the tokenizer's counts. */
static void test_tools_convert__warns_of_another_end_token(void **state)
{
	struct fakehost *host = fakehost_new_tool("model", "import");
	struct fake_artifact *directory;
	const char *config;
	char other[600];

	(void)state;
	tools_directory(host, "directory", GPT_HEAD_LM);
	run_tool(host);
	assert_null(strstr(fakehost_log(host), "the latter counts"));
	directory = fakehost_input_artifact(host, "directory");
	config = fake_text(directory, "config.json");
	(void)snprintf(other, sizeof(other), "%.*s\"eos_token_id\": 5}",
		(int)(strstr(config, "\"eos_token_id\"") - config), config);
	fake_replace(directory, "config.json", other);
	run_tool(host);
	assert_non_null(strstr(fakehost_log(host), "config.json ends texts with token 5, the "
						   "tokenizer with 266"));
	fakehost_free(host);
}

/* PyTorch's own directory: in, out and in again. */
static void test_tools_convert__the_oracle_there_and_back(void **state)
{
	static const char *const files[] = {"config.json", "model.safetensors", NULL};
	struct fakehost *imported = fakehost_new_tool("model", "import"), *exported, *again;

	(void)state;
	tools_data_directory(imported, "directory", "gpt2-oracle", files);
	run_tool(imported);
	assert_non_null(strstr(fakehost_log(imported), "has no tokenizer"));
	exported = export_of(fakehost_output(imported, "model"));
	assert_int_equal(fake_artifact_entries(fakehost_output(exported, "directory")), 2);
	again = import_of(fakehost_output(exported, "directory"));
	fake_assert_equal(fakehost_output(imported, "model"), fakehost_output(again, "model"));
	fakehost_free(again);
	fakehost_free(exported);
	fakehost_free(imported);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tools_convert__there_and_back),
		cmocka_unit_test(test_tools_convert__keeps_every_bit),
		cmocka_unit_test(test_tools_convert__writes_what_transformers_reads),
		cmocka_unit_test(test_tools_convert__writes_a_reward_model_as_a_classifier),
		cmocka_unit_test(test_tools_convert__imports_a_tokenizer_alone),
		cmocka_unit_test(test_tools_convert__warns_of_another_end_token),
		cmocka_unit_test(test_tools_convert__the_oracle_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
