/* SPDX-License-Identifier: Apache-2.0 */
/* generate.c - unit tests of the generate tool: what it draws, and how it shows it. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "fakeio.h"
#include "gpt/sampling.h"
#include "gpt/utf8.h"

static struct fakehost *make(void)
{
	struct fakehost *host = fakehost_new_tool("model", "generate");

	tools_model(host, "model", GPT_HEAD_LM);
	fakehost_param(host, "max_new=12");
	return host;
}

static char *answers(struct fakehost *host, const char *in, const char *text, int code)
{
	fakeio io;
	char *out;

	fakeio_init(&io, in);
	assert_int_equal(fakeio_run(host, &io, text), code);
	out = strdup(cairn_text_get(&io.out));
	fakeio_free(&io);
	return out;
}

/* The greedy completion's bytes, drawn here; caller frees. */
static char *greedy(const char *prompt, int32_t max_new, size_t *len)
{
	gpt_model *model = tools_new_model(GPT_HEAD_LM);
	gpt_tokenizer *tokenizer = tools_new_tokenizer();
	gpt_sampling options = {.temperature = 0,
		.top_p = 1,
		.max_new = max_new,
		.end_token = gpt_tokenizer_end(tokenizer)};
	int32_t tokens[64], *ids;
	gpt_sequence sequence = {.tokens = tokens};
	cairn_error err = {0};
	size_t n;
	char *bytes;

	assert_int_equal(
		gpt_tokenizer_encode(tokenizer, prompt, strlen(prompt), &ids, &n, &err), 0);
	sequence.prompt = ids;
	sequence.n_prompt = (int32_t)n;
	assert_int_equal(gpt_sample(model, &sequence, 1, &options, &err), 0);
	for (int32_t i = 0; i < sequence.n_tokens; i++)
		assert_true(tokens[i] < gpt_tokenizer_size(tokenizer));
	assert_int_equal(gpt_tokenizer_decode(
				 tokenizer, tokens, (size_t)sequence.n_tokens, &bytes, len, &err),
		0);
	free(ids);
	gpt_tokenizer_free(tokenizer);
	gpt_model_free(model);
	return bytes;
}

static void test_tools_generate__draws_what_the_model_says(void **state)
{
	struct fakehost *host = make();
	size_t len;
	char *bytes = greedy("the cat", 12, &len), *out;
	cairn_text want = {0};

	(void)state;
	gpt_utf8_add(&want, bytes, len);
	cairn_text_add_char(&want, '\n');
	fakehost_param(host, "temperature=0");
	out = answers(host, "not read\n", "the cat", CAIRN_DONE);
	assert_string_equal(out, want.data);
	free(out);
	/* A prompt is a line without its end. */
	out = answers(host, "the cat\n", NULL, CAIRN_DONE);
	assert_string_equal(out, want.data);
	cairn_text_free(&want);
	free(bytes);
	free(out);
	fakehost_free(host);
}

/* Counts flushes and characters of several bytes; each flush comes after whole characters. */
static void check_parts(const cairn_text *marks, size_t *n_flushes, size_t *n_valid)
{
	for (size_t at = 0, len; at < marks->len; at += len + 1, ++*n_flushes) {
		const char *part = marks->data + at;
		const char *end = memchr(part, '|', marks->len - at);

		assert_non_null(end);
		len = (size_t)(end - part);
		for (size_t i = 0, one; i < len; i += one) {
			one = gpt_utf8_character(part + i, len - i);
			assert_true(one > 0);
			*n_valid += one > 1 && memcmp(part + i, "\xef\xbf\xbd", 3) != 0;
		}
	}
}

static void test_tools_generate__never_splits_a_character(void **state)
{
	struct fakehost *host = make();
	size_t n_flushes = 0, n_valid = 0;

	(void)state;
	fakehost_param(host, "stop_at_end=no");
	for (uint64_t seed = 1; seed <= 60; seed++) {
		fakeio io;

		fakehost_seed(host, seed);
		fakeio_init(&io, NULL);
		assert_int_equal(fakeio_run(host, &io, "a"), CAIRN_DONE);
		check_parts(&io.marks, &n_flushes, &n_valid);
		fakeio_free(&io);
	}
	/* The model draws bytes nearly at random: some must have made a character by chance for
	 * this to mean anything. */
	print_message("%zu flushes, %zu characters of several bytes\n", n_flushes, n_valid);
	assert_true(n_flushes > 300);
	assert_true(n_valid > 0);
	fakehost_free(host);
}

/* Token by token or as rows: the same completions. */
static void test_tools_generate__streams_the_same_text(void **state)
{
	struct fakehost *text = make(), *rows = make();
	char *streamed, *jsonl;
	cairn_text joined = {0};

	(void)state;
	fakehost_param(text, "samples=7");
	fakehost_param(rows, "samples=7");
	fakehost_param(rows, "format=jsonl");
	streamed = answers(text, NULL, "the", CAIRN_DONE);
	jsonl = answers(rows, NULL, "the", CAIRN_DONE);
	for (const char *at = jsonl; *at; at += strcspn(at, "\n") + 1) {
		json_t *row = json_loadb(at, strcspn(at, "\n"), JSON_ALLOW_NUL, NULL);
		const json_t *completion = json_object_get(row, "completion");

		assert_non_null(completion);
		assert_int_equal(json_object_size(row), 3);
		assert_true(json_is_boolean(json_object_get(row, "ended")));
		assert_in_range(json_integer_value(json_object_get(row, "tokens")), 1, 12);
		cairn_text_add_bytes(
			&joined, json_string_value(completion), json_string_length(completion));
		cairn_text_add_char(&joined, '\n');
		json_decref(row);
	}
	assert_string_equal(streamed, joined.data);
	cairn_text_free(&joined);
	free(streamed);
	free(jsonl);
	fakehost_free(text);
	fakehost_free(rows);
}

static void test_tools_generate__batch_changes_nothing(void **state)
{
	static const char in[] = "{\"prompt\":\"the\",\"id\":1}\n{\"prompt\":\"\"}\n"
				 "{\"prompt\":\"a cat on\"}\n";
	struct fakehost *host = make();
	char *want, *got;

	(void)state;
	fakehost_param(host, "format=jsonl");
	fakehost_param(host, "samples=2");
	want = answers(host, in, NULL, CAIRN_DONE);
	assert_int_equal(strncmp(want, "{\"id\":1,\"completion\":", 21), 0);
	fakehost_param(host, "batch=2");
	got = answers(host, in, NULL, CAIRN_DONE);
	assert_string_equal(got, want);
	free(got);
	fakehost_seed(host, 2);
	got = answers(host, in, NULL, CAIRN_DONE);
	assert_string_not_equal(got, want);
	free(got);
	free(want);
	fakehost_free(host);
}

static void refuses(struct fakehost *host, const char *in, const char *text, const char *message,
	const char *place)
{
	char *out = answers(host, in, text, CAIRN_EINPUT);

	assert_string_equal(fakehost_error(host)->message, message);
	assert_string_equal(fakehost_error(host)->place, place);
	free(out);
}

static void test_tools_generate__refuses_prompts_beyond_the_context(void **state)
{
	static const char long_prompt[] = "xyxyxyxyxyxyxyxyxyxyxyxy";
	struct fakehost *host = make();
	char *out;

	(void)state;
	refuses(host, NULL, long_prompt,
		"prompt of 24 tokens leaves no room in the model's context of 24", "");
	assert_non_null(strstr(fakehost_error(host)->hint, "at most 23 tokens"));
	refuses(host, "the\nxyxyxyxyxyxyxyxyxyxyxyxy\n", NULL,
		"prompt of 24 tokens leaves no room in the model's context of 24", "stdin, line 2");
	/* One that leaves room for one. */
	fakehost_param(host, "format=jsonl");
	out = answers(host, NULL, long_prompt + 1, CAIRN_DONE);
	assert_non_null(strstr(out, "\"tokens\":1,"));
	free(out);
	refuses(host, "{\"text\":\"a\"}\n", NULL, "row has no 'prompt'", "stdin, line 1");
	fakehost_free(host);
}

static void test_tools_generate__refuses_a_reward_model(void **state)
{
	struct fakehost *host = fakehost_new_tool("model", "generate");

	(void)state;
	tools_directory(host, "model", GPT_HEAD_SCALAR);
	refuses(host, NULL, "a", "'directory' is a reward model, not a language model", "");
	fakehost_free(host);
}

static void test_tools_generate__stops_when_asked(void **state)
{
	struct fakehost *host = make();
	char *whole = answers(host, NULL, "the", CAIRN_DONE);
	fakeio io;

	(void)state;
	fakeio_init(&io, NULL);
	io.stop_after = 3;
	assert_int_equal(fakeio_run(host, &io, "the"), CAIRN_STOPPED);
	/* The beginning of it, and the line's end. */
	assert_true(io.out.len < strlen(whole));
	assert_int_equal(io.out.data[io.out.len - 1], '\n');
	assert_memory_equal(io.out.data, whole, io.out.len - 1);
	fakeio_free(&io);
	fakeio_init(&io, NULL);
	io.close_after = 2;
	assert_int_equal(fakeio_run(host, &io, "the"), CAIRN_STOPPED);
	assert_int_equal(io.n_written, 2);
	fakeio_free(&io);
	free(whole);
	fakehost_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tools_generate__draws_what_the_model_says),
		cmocka_unit_test(test_tools_generate__never_splits_a_character),
		cmocka_unit_test(test_tools_generate__streams_the_same_text),
		cmocka_unit_test(test_tools_generate__batch_changes_nothing),
		cmocka_unit_test(test_tools_generate__refuses_prompts_beyond_the_context),
		cmocka_unit_test(test_tools_generate__refuses_a_reward_model),
		cmocka_unit_test(test_tools_generate__stops_when_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
