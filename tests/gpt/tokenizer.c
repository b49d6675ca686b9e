/* SPDX-License-Identifier: Apache-2.0 */
/* The tokenizer: GPT-2's own cases, any bytes, training against a slow oracle, bad files. */
#include "../test.h"

#include <string.h>

#include "base/json.h"
#include "gpt/jsonl.h"
#include "gpt/oracle_file.h"
#include "gpt/rng.h"
#include "gpt/tokenizer.h"

static gpt_tokenizer *gpt2(void)
{
	gpt_tokenizer *tokenizer = NULL;
	cairn_error err = {0};
	size_t vocab_len, merges_len;
	char *vocab = read_data("gpt2-bpe/encoder.json", &vocab_len);
	char *merges = read_data("gpt2-bpe/vocab.bpe", &merges_len);

	if (gpt_tokenizer_load(&tokenizer, vocab, vocab_len, merges, merges_len, &err))
		fail_msg("%s: %s", err.place, err.message);
	free(vocab);
	free(merges);
	return tokenizer;
}

static gpt_tokenizer *train(const char *text, size_t len, int32_t n_vocab)
{
	gpt_tokenizer *tokenizer = NULL;
	cairn_error err = {0};

	if (gpt_tokenizer_train(&tokenizer, &text, &len, 1, n_vocab, &err))
		fail_msg("%s", err.message);
	return tokenizer;
}

static void assert_round_trip(const gpt_tokenizer *tokenizer, const char *text, size_t len)
{
	cairn_error err = {0};
	int32_t *ids = NULL;
	char *back = NULL;
	size_t n, back_len;

	assert_int_equal(gpt_tokenizer_encode(tokenizer, text, len, &ids, &n, &err), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_not_equal(ids[i], gpt_tokenizer_end(tokenizer));
	assert_int_equal(gpt_tokenizer_decode(tokenizer, ids, n, &back, &back_len, &err), 0);
	assert_int_equal(back_len, len);
	assert_memory_equal(back, text, len + 1);
	free(ids);
	free(back);
}

/* ---- GPT-2's vocabulary ------------------------------------------------------------------- */

static void test_gpt_tokenizer__encodes_as_gpt2(void **state)
{
	size_t len, n_cases = 0;
	char *cases = read_data("gpt2-bpe/cases.jsonl", &len);
	gpt_tokenizer *tokenizer = gpt2();
	cairn_error err = {0};
	gpt_jsonl reader;
	json_t *row;

	(void)state;
	assert_int_equal(gpt_tokenizer_size(tokenizer), 50257);
	assert_int_equal(gpt_tokenizer_end(tokenizer), 50256);
	assert_int_equal(gpt_jsonl_open(&reader, "cases.jsonl", cases, len, &err), 0);
	while (gpt_jsonl_next(&reader, &row, &err) == 1) {
		const json_t *text = json_object_get(row, "text"),
			     *want = json_object_get(row, "ids");
		int32_t *ids = NULL;
		size_t n;

		assert_int_equal(gpt_tokenizer_encode(tokenizer, json_string_value(text),
					 json_string_length(text), &ids, &n, &err),
			0);
		assert_int_equal(n, json_array_size(want));
		for (size_t i = 0; i < n; i++)
			if (ids[i] != json_integer_value(json_array_get(want, i)))
				fail_msg("case %zu, token %zu: %d, not %lld", n_cases, i, ids[i],
					(long long)json_integer_value(json_array_get(want, i)));
		assert_round_trip(tokenizer, json_string_value(text), json_string_length(text));
		free(ids);
		json_decref(row);
		n_cases++;
	}
	assert_int_equal(err.code, 0);
	assert_int_equal(n_cases, 30);
	gpt_tokenizer_free(tokenizer);
	free(cases);
}

static void test_gpt_tokenizer__gives_its_files_back(void **state)
{
	size_t len, file_len;
	char *file = read_data("gpt2-bpe/vocab.bpe", &file_len);
	gpt_tokenizer *tokenizer = gpt2();
	const char *merges = gpt_tokenizer_merges(tokenizer, &len);

	(void)state;
	assert_int_equal(len, file_len);
	assert_memory_equal(merges, file, len);
	gpt_tokenizer_free(tokenizer);
	free(file);
}

/* ---- any bytes ---------------------------------------------------------------------------- */

static const char sample[] =
	"The cat sat on the mat. The dog's bone isn't the cat's: they've said it'll do. 12 + 30 = 42\n"
	"\n  The end of the tale   of the cat and the dog.\n\tcaf\xc3\xa9 na\xc3\xafve \xe2\x82\xac 5\n";

static void test_gpt_tokenizer__round_trips_any_bytes(void **state)
{
	gpt_tokenizer *tokenizer = train(sample, sizeof(sample) - 1, 300);
	static const char *const hard[] = {"", " ", "\n", "   x", "x   ", "\xff", "a\xff\xfe b",
		"\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xed\xa0\x80", "\xc0\xaf", "\xf4\x90\x80\x80",
		"\x80\x80 \x80", "\xef\xbf\xbd", "<|endoftext|>", "caf\xc3\xa9\xc3",
		"\xe1\xa0\x8e"};
	char bytes[257];

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(hard); i++)
		assert_round_trip(tokenizer, hard[i], strlen(hard[i]));
	for (int i = 0; i < 256; i++)
		bytes[i] = (char)i;
	bytes[256] = '\0';
	assert_round_trip(tokenizer, bytes, 256);
	for (uint64_t trial = 0; trial < 500; trial++) {
		size_t len = gpt_random_below(1, trial, 0, 200);

		/* Few values, so that valid, cut and wrong sequences all occur. */
		for (size_t i = 0; i < len; i++)
			bytes[i] = "a \n1'\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xff\0"
				   "s"[gpt_random_below(2, trial, i, 16)];
		bytes[len] = '\0';
		assert_round_trip(tokenizer, bytes, len);
	}
	gpt_tokenizer_free(tokenizer);
}

/* With GPT-2's vocabulary: each byte, each pair of bytes, and what chance makes of them. */
static void test_gpt_tokenizer__gpt2_round_trips_any_bytes(void **state)
{
	gpt_tokenizer *tokenizer = gpt2();
	char bytes[301];

	(void)state;
	for (int a = 0; a < 256; a++) {
		bytes[0] = (char)a;
		bytes[1] = '\0';
		assert_round_trip(tokenizer, bytes, 1);
		for (int b = 0; b < 256; b++) {
			bytes[1] = (char)b;
			bytes[2] = '\0';
			assert_round_trip(tokenizer, bytes, 2);
		}
	}
	for (uint64_t trial = 0; trial < 2000; trial++) {
		size_t len = gpt_random_below(5, trial, 0, 300);

		for (size_t i = 0; i < len; i++)
			bytes[i] = (char)gpt_random_below(6, trial, i, 256);
		bytes[len] = '\0';
		assert_round_trip(tokenizer, bytes, len);
	}
	gpt_tokenizer_free(tokenizer);
}

/* The square of a million steps would take hours: the test's time limit is the test. */
static void test_gpt_tokenizer__gpt2_encodes_a_long_word(void **state)
{
	gpt_tokenizer *tokenizer = gpt2();
	size_t len = 1 << 20;
	char *text = malloc(len + 1);

	(void)state;
	assert_non_null(text);
	for (size_t i = 0; i < len; i++)
		text[i] = (char)('a' + gpt_random_below(7, 0, i, 26));
	text[len] = '\0';
	assert_round_trip(tokenizer, text, len);
	memset(text, ' ', len);
	assert_round_trip(tokenizer, text, len);
	free(text);
	gpt_tokenizer_free(tokenizer);
}

/* A long word must not cost the square of its length. */
static void test_gpt_tokenizer__encodes_a_long_word(void **state)
{
	gpt_tokenizer *tokenizer = train("aaaa aaaa aaaaaaaa aaaaaaaa", 27, 300);
	size_t len = 1 << 20;
	char *text = malloc(len + 1);

	(void)state;
	assert_non_null(text);
	memset(text, 'a', len);
	text[len] = '\0';
	assert_round_trip(tokenizer, text, len);
	free(text);
	gpt_tokenizer_free(tokenizer);
}

static void test_gpt_tokenizer__refuses_ids_outside(void **state)
{
	gpt_tokenizer *tokenizer = train(sample, sizeof(sample) - 1, 300);
	int32_t ids[2] = {5, gpt_tokenizer_size(tokenizer)};
	int32_t end = gpt_tokenizer_end(tokenizer);
	cairn_error err = {0};
	char *text = NULL;
	size_t len;

	(void)state;
	assert_int_equal(gpt_tokenizer_decode(tokenizer, ids, 2, &text, &len, &err), CAIRN_EINPUT);
	assert_non_null(strstr(err.message, "at place 1 is outside"));
	assert_null(text);
	cairn_error_clear(&err);
	ids[1] = -1;
	assert_int_equal(gpt_tokenizer_decode(tokenizer, ids, 2, &text, &len, &err), CAIRN_EINPUT);
	cairn_error_clear(&err);
	assert_int_equal(gpt_tokenizer_decode(tokenizer, &end, 1, &text, &len, &err), 0);
	assert_int_equal(len, 0);
	free(text);
	gpt_tokenizer_free(tokenizer);
}

/* ---- training ---------------------------------------------------------------------------------
 */

static void test_gpt_tokenizer__trains_the_most_frequent_pair_first(void **state)
{
	/* Words: "ab" x3, " ab" x2, " cd" x2, "cd" x1. Pairs: (a,b) 5, (c,d) 3, then (' ',ab) and
	 * (' ',cd) 2 each: the smaller left id is the same, so the smaller right id, ab, wins. */
	const char *texts[] = {"ab ab ab", "ab", "ab cd cd", "cd"};
	const size_t lens[] = {8, 2, 8, 2};
	gpt_tokenizer *tokenizer = NULL;
	cairn_error err = {0};
	size_t len;

	(void)state;
	assert_int_equal(gpt_tokenizer_train(&tokenizer, texts, lens, 4, 300, &err), 0);
	assert_string_equal(gpt_tokenizer_merges(tokenizer, &len),
		"#version: 0.2\na b\nc d\n\xc4\xa0 ab\n\xc4\xa0 cd\n");
	/* Nothing occurs twice any more: fewer tokens than allowed. */
	assert_int_equal(gpt_tokenizer_size(tokenizer), 256 + 4 + 1);
	assert_int_equal(gpt_tokenizer_end(tokenizer), 260);
	gpt_tokenizer_free(tokenizer);
}

/* The pair's count in the text as the tokenizer so far cuts it: the definition, by brute force. */
static void most_frequent_pair(const gpt_tokenizer *tokenizer, const char *const *words,
	size_t n_words, int32_t *left, int32_t *right)
{
	enum {
		SIDE = 320
	};
	static int64_t count[SIDE][SIDE];
	int64_t best = 1;

	memset(count, 0, sizeof(count));
	*left = *right = -1;
	for (size_t w = 0; w < n_words; w++) {
		cairn_error err = {0};
		int32_t *ids;
		size_t n;

		assert_int_equal(
			gpt_tokenizer_encode(tokenizer, words[w], strlen(words[w]), &ids, &n, &err),
			0);
		for (size_t i = 0; i + 1 < n; i++)
			count[ids[i]][ids[i + 1]]++;
		free(ids);
	}
	for (int32_t a = 0; a < SIDE; a++)
		for (int32_t b = 0; b < SIDE; b++)
			if (count[a][b] > best) {
				best = count[a][b];
				*left = a;
				*right = b;
			}
}

static void test_gpt_tokenizer__trains_as_the_definition_says(void **state)
{
	enum {
		WORDS = 300,
		MERGES = 40
	};
	static char letters[WORDS][12];
	const char *words[WORDS];
	size_t lens[WORDS];
	gpt_tokenizer *all = NULL;
	cairn_error err = {0};
	char expected[64];
	const char *line;
	size_t at = 0, len, total;

	(void)state;
	for (size_t w = 0; w < WORDS; w++) {
		lens[w] = 1 + gpt_random_below(3, w, 99, 10);
		for (size_t i = 0; i < lens[w]; i++)
			letters[w][i] = (char)('a' + gpt_random_below(3, w, i, 3));
		words[w] = letters[w];
	}
	assert_int_equal(gpt_tokenizer_train(&all, words, lens, WORDS, 257 + MERGES, &err), 0);
	line = gpt_tokenizer_merges(all, &total);
	assert_true(gpt_line_next(gpt_tokenizer_merges(all, &total), total, &at, &line, &len));
	for (int32_t m = 0; m < MERGES; m++) {
		gpt_tokenizer *before = NULL;
		char *a, *b;
		int32_t left, right;
		size_t n;

		assert_int_equal(
			gpt_tokenizer_train(&before, words, lens, WORDS, 257 + m, &err), 0);
		most_frequent_pair(before, words, WORDS, &left, &right);
		assert_int_equal(gpt_tokenizer_decode(before, &left, 1, &a, &n, &err), 0);
		assert_int_equal(gpt_tokenizer_decode(before, &right, 1, &b, &n, &err), 0);
		snprintf(expected, sizeof(expected), "%s %s", a, b);
		assert_true(
			gpt_line_next(gpt_tokenizer_merges(all, &total), total, &at, &line, &len));
		assert_int_equal(len, strlen(expected));
		assert_memory_equal(line, expected, len);
		free(a);
		free(b);
		gpt_tokenizer_free(before);
	}
	gpt_tokenizer_free(all);
}

static void test_gpt_tokenizer__trains_the_same_twice(void **state)
{
	gpt_tokenizer *a = train(sample, sizeof(sample) - 1, 320);
	gpt_tokenizer *b = train(sample, sizeof(sample) - 1, 320), *c = NULL;
	cairn_error err = {0};
	size_t a_len, b_len, m_len;
	const char *vocab = gpt_tokenizer_vocab_json(a, &a_len), *merges;

	(void)state;
	assert_string_equal(vocab, gpt_tokenizer_vocab_json(b, &b_len));
	assert_string_equal(gpt_tokenizer_merges(a, &a_len), gpt_tokenizer_merges(b, &b_len));
	/* Its own files load again and encode the same. */
	vocab = gpt_tokenizer_vocab_json(a, &a_len);
	merges = gpt_tokenizer_merges(a, &m_len);
	assert_int_equal(gpt_tokenizer_load(&c, vocab, a_len, merges, m_len, &err), 0);
	assert_round_trip(c, sample, sizeof(sample) - 1);
	assert_int_equal(gpt_tokenizer_size(c), gpt_tokenizer_size(a));
	gpt_tokenizer_free(a);
	gpt_tokenizer_free(b);
	gpt_tokenizer_free(c);
}

static void test_gpt_tokenizer__trains_on_nothing(void **state)
{
	gpt_tokenizer *tokenizer = train("", 0, 1000);
	cairn_error err = {0};
	const char *text = "x";
	size_t len = 1;

	(void)state;
	assert_int_equal(gpt_tokenizer_size(tokenizer), 257);
	assert_round_trip(tokenizer, "hello", 5);
	gpt_tokenizer_free(tokenizer);
	assert_int_equal(gpt_tokenizer_train(&tokenizer, &text, &len, 1, 256, &err), CAIRN_EPARAM);
}

/* ---- bad files ----------------------------------------------------------------------------------
 */

/* The byte vocabulary with one piece of its JSON replaced, and merges. */
static void expect_refusal(const char *from, const char *to, const char *merges,
	const char *message, const char *place)
{
	gpt_tokenizer *bytes = train("", 0, 257), *loaded = NULL;
	cairn_error err = {0};
	size_t len;
	const char *vocab = gpt_tokenizer_vocab_json(bytes, &len);
	const char *at = strstr(vocab, from);
	char *changed = malloc(len + strlen(to) + 1);

	assert_non_null(at);
	assert_non_null(changed);
	snprintf(changed, len + strlen(to) + 1, "%.*s%s%s", (int)(at - vocab), vocab, to,
		at + strlen(from));
	if (!gpt_tokenizer_load(&loaded, changed, strlen(changed), merges, strlen(merges), &err))
		fail_msg("'%s' was not refused", message);
	assert_null(loaded);
	assert_int_equal(err.code, CAIRN_EINPUT);
	if (!strstr(err.message, message))
		fail_msg("'%s' does not say '%s'", err.message, message);
	if (!strstr(err.place, place))
		fail_msg("'%s' is not at '%s'", err.place, place);
	free(changed);
	gpt_tokenizer_free(bytes);
}

static void test_gpt_tokenizer__refuses_bad_vocabularies(void **state)
{
	(void)state;
	expect_refusal("\"!\": 0", "\"!\": 1", "", "have both number 1", "vocab.json");
	expect_refusal("\"!\": 0", "\"!\": 257", "", "'!' has no number in 0..256", "vocab.json");
	expect_refusal("\"!\": 0", "\"!\": \"0\"", "", "'!' has no number", "vocab.json");
	expect_refusal("\"!\": 0", "\"!!\": 0", "", "no token for byte 0x21", "vocab.json");
	expect_refusal("\"!\": 0", "\"a\": 0", "", "duplicate", "vocab.json");
	expect_refusal("\"!\": 0", "\"\": 0", "", "token 0 is empty", "vocab.json");
	expect_refusal(
		"\"!\": 0", "\"\xe2\x82\xac\": 0", "", "outside the byte alphabet", "vocab.json");
	expect_refusal("{", "[", "", "not valid JSON", "vocab.json");
}

static void test_gpt_tokenizer__refuses_bad_merges(void **state)
{
	const char *ab = "\"ab\": 257, \"!\": 0";

	(void)state;
	expect_refusal("\"!\": 0", ab, "#version: 0.2\na b\na\n", "not two tokens", "merges.txt:3");
	expect_refusal("\"!\": 0", ab, "a b c\n", "not two tokens", "merges.txt:1");
	expect_refusal("\"!\": 0", ab, "a b\na b\n", "listed twice", "merges.txt:2");
	expect_refusal("\"!\": 0", ab, "a xx\n", "'xx' of a merge is not", "merges.txt:1");
	expect_refusal("\"!\": 0", ab, "a b\nb a\n", "makes 'ba', which is not", "merges.txt:2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_tokenizer__encodes_as_gpt2),
		cmocka_unit_test(test_gpt_tokenizer__gives_its_files_back),
		cmocka_unit_test(test_gpt_tokenizer__round_trips_any_bytes),
		cmocka_unit_test(test_gpt_tokenizer__gpt2_round_trips_any_bytes),
		cmocka_unit_test(test_gpt_tokenizer__gpt2_encodes_a_long_word),
		cmocka_unit_test(test_gpt_tokenizer__encodes_a_long_word),
		cmocka_unit_test(test_gpt_tokenizer__refuses_ids_outside),
		cmocka_unit_test(test_gpt_tokenizer__trains_the_most_frequent_pair_first),
		cmocka_unit_test(test_gpt_tokenizer__trains_as_the_definition_says),
		cmocka_unit_test(test_gpt_tokenizer__trains_the_same_twice),
		cmocka_unit_test(test_gpt_tokenizer__trains_on_nothing),
		cmocka_unit_test(test_gpt_tokenizer__refuses_bad_vocabularies),
		cmocka_unit_test(test_gpt_tokenizer__refuses_bad_merges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
