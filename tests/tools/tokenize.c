/* SPDX-License-Identifier: Apache-2.0 */
/* tokenize.c - unit tests of the tokenize tool. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "fakeio.h"
#include "gpt/oracle_file.h"

/* Runs the tool over stdin (or the text) and gives what it wrote; caller frees. */
static char *answer(const char *param, const char *in, const char *text, int code)
{
	struct fakehost *host = fakehost_new_tool("model", "tokenize");
	fakeio io;
	char *out;

	tools_model(host, "tokenizer", GPT_HEAD_LM);
	if (param)
		fakehost_param(host, param);
	fakeio_init(&io, in);
	assert_int_equal(fakeio_run(host, &io, text), code);
	out = strdup(cairn_text_get(&io.out));
	fakeio_free(&io);
	fakehost_free(host);
	return out;
}

static void test_tools_tokenize__encodes_rows(void **state)
{
	char *out = answer(NULL,
		"{\"text\":\"the cat\",\"id\":7,\"ids\":\"old\"}\n\n"
		"{\"text\":\"\"}\r\n"
		"{\"z\":[1,0.1],\"a\":null,\"text\":\"a\\u0000b\"}",
		NULL, CAIRN_DONE);
	gpt_tokenizer *tokenizer = tools_new_tokenizer();
	char want[500];
	cairn_error err = {0};
	int32_t *ids;
	size_t n, at;

	(void)state;
	assert_int_equal(gpt_tokenizer_encode(tokenizer, "the cat", 7, &ids, &n, &err), 0);
	at = (size_t)snprintf(want, sizeof(want), "{\"id\":7,\"ids\":[");
	for (size_t i = 0; i < n; i++)
		at += (size_t)snprintf(want + at, sizeof(want) - at, "%s%d", i ? "," : "", ids[i]);
	/* The bytes a, NUL, b are tokens 64, 188 and 65 in GPT-2's order. */
	(void)snprintf(want + at, sizeof(want) - at,
		"]}\n{\"ids\":[]}\n{\"a\":null,\"z\":[1,0.1],\"ids\":[64,188,65]}\n");
	assert_string_equal(out, want);
	free(ids);
	free(out);
	gpt_tokenizer_free(tokenizer);
}

static void test_tools_tokenize__encodes_the_text_behind_it(void **state)
{
	char *out = answer(NULL, "{\"text\":\"not read\"}\n", "ab\xff", CAIRN_DONE);

	(void)state;
	/* What is no UTF-8 on a command line is U+FFFD: ef bf bd. */
	assert_string_equal(out, "{\"ids\":[64,65,171,123,121]}\n");
	free(out);
}

static void test_tools_tokenize__decodes_rows(void **state)
{
	/* a, NUL, then the three bytes of a euro sign, cut off. */
	char *out = answer("decode=yes",
		"{\"ids\":[64,188],\"id\":1}\n{\"ids\":[]}\n{\"ids\":[158,224,105]}\n"
		"{\"ids\":[158,224,64]}\n",
		NULL, CAIRN_DONE);

	(void)state;
	assert_string_equal(out, "{\"id\":1,\"text\":\"a\\u0000\"}\n{\"text\":\"\"}\n"
				 "{\"text\":\"\xe2\x82\xac\"}\n{\"text\":\"\xef\xbf\xbd"
				 "a\"}\n");
	free(out);
}

/* Unicode's line ends do not end a row for those who split at them. */
static void test_tools_tokenize__keeps_a_row_on_a_line(void **state)
{
	char *out = answer(NULL,
		"{\"id\":\"a\xe2\x80\xa8\xc2\x85z\xc2\x86\xe2\x80\xa9\",\"text\":\"\"}", NULL,
		CAIRN_DONE);

	(void)state;
	assert_string_equal(out, "{\"id\":\"a\\u2028\\u0085z\xc2\x86\\u2029\",\"ids\":[]}\n");
	free(out);
}

static void refuses(
	const char *param, const char *in, const char *text, const char *message, const char *place)
{
	struct fakehost *host = fakehost_new_tool("model", "tokenize");
	fakeio io;

	tools_model(host, "tokenizer", GPT_HEAD_LM);
	if (param)
		fakehost_param(host, param);
	fakeio_init(&io, in);
	assert_true(fakeio_run(host, &io, text) < 0);
	assert_string_equal(fakehost_error(host)->message, message);
	assert_string_equal(fakehost_error(host)->place, place);
	fakeio_free(&io);
	fakehost_free(host);
}

static void test_tools_tokenize__names_the_line_of_a_mistake(void **state)
{
	char *out;

	(void)state;
	refuses(NULL, "{\"text\":\"a\"}\n\n{\"txt\":\"a\"}\n", NULL, "row has no 'text'",
		"stdin, line 3");
	refuses(NULL, "{\"text\":[1]}", NULL, "'text' is no text", "stdin, line 1");
	refuses(NULL, "[1]", NULL, "row is no JSON object", "stdin, line 1");
	refuses(NULL, "{\"text\":\"a\",\"text\":\"b\"}", NULL,
		"not valid JSON: duplicate object key near '\"text\"'", "stdin, line 1");
	refuses("decode=yes", "{\"ids\":[1,267]}", NULL, "'ids' has at place 1 no token of 0..266",
		"stdin, line 1");
	refuses("decode=yes", "{\"ids\":[1,-1]}", NULL, "'ids' has at place 1 no token of 0..266",
		"stdin, line 1");
	refuses("decode=yes", "{\"ids\":[1.0]}", NULL, "'ids' has at place 0 no token of 0..266",
		"stdin, line 1");
	refuses("decode=yes", "{\"ids\":3}", NULL, "'ids' is no list", "stdin, line 1");
	refuses("decode=yes", "{\"text\":\"\"}", NULL, "row has no 'ids'", "stdin, line 1");
	refuses("decode=yes", NULL, "12", "token numbers are read from stdin", "");
	/* What stands before it is answered. */
	out = answer(NULL, "{\"text\":\"a\"}\nx\n", NULL, CAIRN_EINPUT);
	assert_string_equal(out, "{\"ids\":[64]}\n");
	free(out);
}

static void test_tools_tokenize__stops_when_asked(void **state)
{
	struct fakehost *host = fakehost_new_tool("model", "tokenize");
	fakeio io;

	(void)state;
	tools_model(host, "tokenizer", GPT_HEAD_LM);
	fakeio_init(&io, "{\"text\":\"a\"}\n{\"text\":\"b\"}\n{\"text\":\"c\"}\n");
	io.stop_after = 2;
	assert_int_equal(fakeio_run(host, &io, NULL), CAIRN_STOPPED);
	assert_string_equal(cairn_text_get(&io.out), "{\"ids\":[64]}\n{\"ids\":[65]}\n");
	fakeio_free(&io);
	fakeio_init(&io, "{\"text\":\"a\"}\n{\"text\":\"b\"}\n");
	io.close_after = 1;
	assert_int_equal(fakeio_run(host, &io, NULL), CAIRN_STOPPED);
	fakeio_free(&io);
	fakehost_free(host);
}

/* GPT-2's cases, as a script would do it: the file is the input, its ids are what comes out. */
static void test_tools_tokenize__does_as_gpt2(void **state)
{
	static const char *const files[] = {"encoder.json", "vocab.bpe", NULL};
	struct fakehost *host = fakehost_new_tool("model", "tokenize");
	const char *out, *in;
	size_t len, rows = 0;
	char *cases;
	fakeio io;

	(void)state;
	tools_data_directory(host, "tokenizer", "gpt2-bpe", files);
	cases = read_data("gpt2-bpe/cases.jsonl", &len);
	fakeio_init(&io, cases);
	assert_int_equal(fakeio_run(host, &io, NULL), CAIRN_DONE);
	out = cairn_text_get(&io.out);
	for (in = cases; *in; rows++) {
		json_t *want = json_loadb(in, strcspn(in, "\n"), JSON_ALLOW_NUL, NULL);
		json_t *got = json_loadb(out, strcspn(out, "\n"), 0, NULL);

		assert_non_null(want);
		assert_non_null(got);
		assert_true(json_equal(json_object_get(want, "ids"), json_object_get(got, "ids")));
		json_decref(want);
		json_decref(got);
		in += strcspn(in, "\n");
		in += *in == '\n';
		out += strcspn(out, "\n") + 1;
	}
	assert_int_equal(rows, 30);
	free(cases);
	fakeio_free(&io);
	fakehost_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tools_tokenize__encodes_rows),
		cmocka_unit_test(test_tools_tokenize__encodes_the_text_behind_it),
		cmocka_unit_test(test_tools_tokenize__decodes_rows),
		cmocka_unit_test(test_tools_tokenize__keeps_a_row_on_a_line),
		cmocka_unit_test(test_tools_tokenize__names_the_line_of_a_mistake),
		cmocka_unit_test(test_tools_tokenize__stops_when_asked),
		cmocka_unit_test(test_tools_tokenize__does_as_gpt2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
