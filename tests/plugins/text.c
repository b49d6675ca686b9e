/* SPDX-License-Identifier: Apache-2.0 */
/* Stage `text`: what is held out, what ends with the end token, whose tokenizer it is. */
#include "fakehost.h"

#include <math.h>
#include <string.h>

#include "base/json.h"

/* n different lines, each with its number. Caller frees. */
static char *numbered_lines(int first, int n)
{
	char *text = malloc((size_t)n * 40 + 1), *at = text;

	assert_non_null(text);
	for (int i = first; i < first + n; i++)
		at += snprintf(at, 40, "line %05d of the long text\n", i);
	return text;
}

static const int32_t *ids_of(const struct fakehost *host, const char *name, size_t *n)
{
	const cairn_tensor *entry = fake_entry(fakehost_output(host, "tokens"), name);

	assert_non_null(entry);
	assert_int_equal(entry->dtype, CAIRN_I32);
	*n = entry->dims[0];
	return entry->data;
}

static int64_t meta_number(const struct fakehost *host, const char *port, const char *name)
{
	const char *meta = fake_artifact_meta(fakehost_output(host, port));
	cairn_error err = {0};
	json_t *json = NULL;
	int64_t number;

	assert_int_equal(cairn_json_parse(&json, meta, strlen(meta), "meta", &err), 0);
	number = cairn_json_integer(json, name, -1);
	json_decref(json);
	return number;
}

/* With a vocabulary of bytes alone, ids can be read as text: '|' for the end token. GPT-2's order
 * of bytes begins with '!'. */
static char *spell(const struct fakehost *host, const char *name)
{
	size_t n;
	const int32_t *ids = ids_of(host, name, &n);
	char *text = malloc(n + 1);

	assert_non_null(text);
	assert_int_equal(meta_number(host, "tokenizer", "end"), 256);
	for (size_t i = 0; i < n; i++) {
		if (ids[i] == 256)
			text[i] = '|';
		else if (ids[i] < 94)
			text[i] = (char)('!' + ids[i]);
		else /* the 188 printable bytes come first: 198 is byte 10, 220 byte 32 */
			text[i] = (char)(ids[i] - 188);
	}
	text[n] = '\0';
	return text;
}

static void test_plugin_text__ends_files_with_the_end_token(void **state)
{
	struct fakehost *host = fakehost_new("text");
	char *text;

	(void)state;
	fakehost_param(host, "n_vocab=257");
	fakehost_param(host, "valid_fraction=0");
	fakehost_file(host, "text", "a.txt", "one\n\ntwo\n");
	fakehost_file(host, "text", "b.txt", "three");
	fakehost_file(host, "text", "empty.txt", "");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	text = spell(host, "train");
	assert_string_equal(text, "one\n\ntwo\n|three|");
	free(text);
	assert_int_equal(meta_number(host, "tokens", "n_vocab"), 257);
	assert_int_equal(meta_number(host, "tokens", "train_tokens"), 16);
	assert_int_equal(meta_number(host, "tokens", "valid_tokens"), 0);
	assert_int_equal(meta_number(host, "tokens", "train_bytes"), 14);
	assert_float_equal(fakehost_summary(host, "train_tokens"), 16, 0);
	fakehost_free(host);
}

static void test_plugin_text__ends_paragraphs_with_the_end_token(void **state)
{
	struct fakehost *host = fakehost_new("text");
	char *text;

	(void)state;
	fakehost_param(host, "n_vocab=257");
	fakehost_param(host, "valid_fraction=0");
	fakehost_param(host, "document=paragraph");
	fakehost_file(host, "text", "a.txt", "\n one\nmore \n\n \n\ntwo\n\nthree\n\n");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	text = spell(host, "train");
	assert_string_equal(text, " one\nmore|two|three|");
	free(text);
	fakehost_free(host);
}

/* gzip of "aa\nbb\n", and of two rows with the texts aa and bb. */
#define PACKED_TEXT                                                                        \
	"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x4b\x4c\xe4\x4a\x4a\xe2\x02\x00\xb0\x3c" \
	"\xc8\x45\x06\x00\x00\x00"
#define PACKED_ROWS                                                                                \
	"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xab\x56\x2a\x49\xad\x28\x51\xb2\x52\x4a\x4c\x54" \
	"\xaa\xe5\xaa\x86\xf1\x92\x92\x80\x3c\x00\x72\x58\x4d\x21\x1c\x00\x00\x00"

static void bind_packed(struct fakehost *host, const char *name, const char *bytes, size_t len)
{
	fake_add(fakehost_input(host, "text", "file", name), "data", CAIRN_U8, 0, NULL, bytes, len);
}

static void test_plugin_text__takes_rows_and_packed_files(void **state)
{
	struct fakehost *host = fakehost_new("text");
	char *text;

	(void)state;
	fakehost_param(host, "n_vocab=257");
	fakehost_param(host, "valid_fraction=0");
	fakehost_param(host, "document=row");
	fakehost_file(
		host, "text", "a.jsonl", "{\"text\":\"one\\n\\ntwo\"}\n{\"text\":\"three\"}\n");
	fakehost_file(host, "text", "b.json", "[{\"text\":\"four\"},\n{\"text\":\"one\"}]\n");
	bind_packed(host, "c", PACKED_ROWS, sizeof(PACKED_ROWS) - 1);
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	text = spell(host, "train");
	assert_string_equal(text, "one\n\ntwo|three|four|one|aa|bb|");
	free(text);
	fakehost_param(host, "max_bytes=10");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	text = spell(host, "train");
	assert_string_equal(text, "one\n\ntwo|th|");
	free(text);
	fakehost_free(host);
	host = fakehost_new("text");
	fakehost_param(host, "n_vocab=257");
	fakehost_param(host, "valid_fraction=0");
	bind_packed(host, "c", PACKED_TEXT, sizeof(PACKED_TEXT) - 1);
	bind_packed(host, "d", PACKED_TEXT, sizeof(PACKED_TEXT) - 1);
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	text = spell(host, "train");
	assert_string_equal(text, "aa\nbb\n|aa\nbb\n|");
	free(text);
	fakehost_param(host, "document=paragraph");
	fakehost_param(host, "max_bytes=8");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	text = spell(host, "train");
	assert_string_equal(text, "aa\nbb|aa|");
	free(text);
	fakehost_free(host);
}

static void test_plugin_text__tells_bad_rows(void **state)
{
	static const char rows[] =
		"{\"text\":\"a\"}\n{\"txt\":\"b\"}\n{\"text\":\"\"}\n{\"text\":\"c\"}\n";
	struct fakehost *host = fakehost_new("text");
	char *text;

	(void)state;
	fakehost_param(host, "n_vocab=257");
	fakehost_param(host, "valid_fraction=0");
	fakehost_param(host, "document=row");
	fakehost_file(host, "text", "a.jsonl", rows);
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_string_equal(fakehost_error(host)->place, "a.jsonl:2");
	assert_string_equal(fakehost_error(host)->message, "'text' is missing");
	assert_non_null(strstr(fakehost_error(host)->hint, "max_bad"));
	fakehost_param(host, "max_bad=0.5");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	text = spell(host, "train");
	assert_string_equal(text, "a|c|");
	free(text);
	assert_non_null(strstr(fakehost_log(host), "1 field missing, 1 empty"));
	fakehost_param(host, "row={text}{");
	assert_int_equal(fakehost_run(host), CAIRN_EPARAM);
	fakehost_free(host);
	host = fakehost_new("text");
	bind_packed(host, "c.gz", PACKED_TEXT, sizeof(PACKED_TEXT) - 5);
	assert_int_equal(fakehost_run(host), CAIRN_EINPUT);
	assert_non_null(strstr(fakehost_error(host)->message, "'c.gz' ends in the middle"));
	fakehost_free(host);
}

/* Every line is on exactly one side, and the share is about as asked. */
static void test_plugin_text__holds_out_whole_blocks(void **state)
{
	struct fakehost *host = fakehost_new("text");
	char *all = numbered_lines(0, 2000), *sides[2], line[40];
	int n[2] = {0, 0};

	(void)state;
	fakehost_param(host, "n_vocab=257");
	fakehost_param(host, "valid_fraction=0.2");
	fakehost_param(host, "block=256");
	fakehost_file(host, "text", "a.txt", all);
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	sides[0] = spell(host, "train");
	sides[1] = spell(host, "valid");
	for (int i = 0; i < 2000; i++) {
		snprintf(line, sizeof(line), "line %05d of the long text\n", i);
		assert_int_equal(
			(strstr(sides[0], line) != NULL) + (strstr(sides[1], line) != NULL), 1);
		n[strstr(sides[1], line) != NULL]++;
	}
	/* 223 blocks of 9 lines at 20 %: 45 +- 6 of them. */
	assert_in_range(n[1], 9 * 21, 9 * 69);
	free(all);
	free(sides[0]);
	free(sides[1]);
	fakehost_free(host);
}

/* The same passage, twice: both on one side. */
static void test_plugin_text__holds_out_by_content(void **state)
{
	struct fakehost *host = fakehost_new("text");
	char *all = numbered_lines(0, 900), *sides[2];

	(void)state;
	fakehost_param(host, "n_vocab=257");
	fakehost_param(host, "valid_fraction=0.3");
	fakehost_param(host, "block=100");
	fakehost_file(host, "text", "a.txt", all);
	fakehost_file(host, "text", "copy.txt", all);
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	sides[0] = spell(host, "train");
	sides[1] = spell(host, "valid");
	for (int i = 0; i < 900; i++) {
		char line[40];

		snprintf(line, sizeof(line), "line %05d of the long text\n", i);
		assert_false(strstr(sides[0], line) && strstr(sides[1], line));
	}
	free(all);
	free(sides[0]);
	free(sides[1]);
	fakehost_free(host);
}

static void test_plugin_text__leaves_no_side_empty(void **state)
{
	char seed[2] = "0";

	(void)state;
	for (int s = 1; s < 6; s++) {
		struct fakehost *host = fakehost_new("text");
		char *text = numbered_lines(s, 12);

		seed[0] = (char)('0' + s);
		fakehost_seed(host, (uint64_t)s);
		fakehost_param(host, "valid_fraction=0.01");
		fakehost_param(host, "block=128");
		fakehost_file(host, "text", seed, text);
		assert_int_equal(fakehost_run(host), CAIRN_DONE);
		assert_true(meta_number(host, "tokens", "valid_tokens") > 0);
		assert_true(meta_number(host, "tokens", "train_tokens") > 0);
		free(text);
		fakehost_free(host);
	}
}

static void test_plugin_text__takes_a_tokenizer(void **state)
{
	struct fakehost *first = fakehost_new("text"), *second = fakehost_new("text"),
			*third = fakehost_new("text");
	char *text = numbered_lines(0, 300);

	(void)state;
	fakehost_param(first, "n_vocab=300");
	fakehost_file(first, "text", "a.txt", text);
	assert_int_equal(fakehost_run(first), CAIRN_DONE);
	fakehost_bind(second, "tokenizer", fakehost_output(first, "tokenizer"));
	fakehost_file(second, "text", "a.txt", text);
	assert_int_equal(fakehost_run(second), CAIRN_DONE);
	fake_assert_equal(
		fakehost_output(first, "tokenizer"), fakehost_output(second, "tokenizer"));
	fake_assert_equal(fakehost_output(first, "tokens"), fakehost_output(second, "tokens"));
	/* The same as two files. */
	fakehost_file(third, "vocab", "vocab.json",
		fake_text(fakehost_output(first, "tokenizer"), "vocab.json"));
	fakehost_file(third, "merges", "merges.txt",
		fake_text(fakehost_output(first, "tokenizer"), "merges.txt"));
	fakehost_file(third, "text", "a.txt", text);
	assert_int_equal(fakehost_run(third), CAIRN_DONE);
	fake_assert_equal(fakehost_output(first, "tokens"), fakehost_output(third, "tokens"));
	fakehost_free(first);
	fakehost_free(second);
	fakehost_free(third);
	free(text);
}

static void test_plugin_text__stops_at_max_bytes(void **state)
{
	struct fakehost *host = fakehost_new("text");
	char *text;

	(void)state;
	fakehost_param(host, "n_vocab=257");
	fakehost_param(host, "valid_fraction=0");
	fakehost_param(host, "max_bytes=6");
	fakehost_file(host, "text", "a.txt", "four");
	fakehost_file(host, "text", "b.txt", "four");
	fakehost_file(host, "text", "c.txt", "four");
	assert_int_equal(fakehost_run(host), CAIRN_DONE);
	text = spell(host, "train");
	assert_string_equal(text, "four|fo|");
	free(text);
	fakehost_free(host);
}

static void expect_error(struct fakehost *host, int code, const char *message, const char *hint)
{
	assert_int_equal(fakehost_run(host), code);
	if (!strstr(fakehost_error(host)->message, message))
		fail_msg("'%s' does not say '%s'", fakehost_error(host)->message, message);
	if (!strstr(fakehost_error(host)->hint, hint))
		fail_msg("hint '%s' does not say '%s'", fakehost_error(host)->hint, hint);
	fakehost_free(host);
}

static void test_plugin_text__tells_what_is_wrong(void **state)
{
	struct fakehost *host = fakehost_new("text");

	(void)state;
	fakehost_file(host, "text", "a.txt", "");
	expect_error(host, CAIRN_EINPUT, "the text is empty", "");
	host = fakehost_new("text");
	fakehost_file(host, "text", "a.txt", "text");
	fakehost_file(host, "vocab", "vocab.json", "{}");
	expect_error(host, CAIRN_EINPUT, "'vocab' is bound without 'merges'", "bind both");
	host = fakehost_new("text");
	fakehost_file(host, "text", "a.txt", "text");
	fakehost_file(host, "vocab", "vocab.json", "{}");
	fakehost_file(host, "merges", "merges.txt", "");
	expect_error(host, CAIRN_EINPUT, "vocabulary is no object of 256", "vocab.json");
	host = fakehost_new("text");
	fakehost_file(host, "text", "a.txt", "text");
	fakehost_param(host, "n_vocab=200");
	assert_int_equal(fakehost_run(host), CAIRN_EPARAM);
	fakehost_free(host);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plugin_text__ends_files_with_the_end_token),
		cmocka_unit_test(test_plugin_text__ends_paragraphs_with_the_end_token),
		cmocka_unit_test(test_plugin_text__holds_out_whole_blocks),
		cmocka_unit_test(test_plugin_text__holds_out_by_content),
		cmocka_unit_test(test_plugin_text__leaves_no_side_empty),
		cmocka_unit_test(test_plugin_text__takes_a_tokenizer),
		cmocka_unit_test(test_plugin_text__stops_at_max_bytes),
		cmocka_unit_test(test_plugin_text__tells_what_is_wrong),
		cmocka_unit_test(test_plugin_text__takes_rows_and_packed_files),
		cmocka_unit_test(test_plugin_text__tells_bad_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
