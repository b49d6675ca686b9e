/* SPDX-License-Identifier: Apache-2.0 */
#include "../test.h"

#include <locale.h>
#include <string.h>

#include "base/arena.h"
#include "base/digest.h"
#include "base/json.h"
#include "base/text.h"

static void test_error_set__keeps_the_first(void **state)
{
	cairn_error err = {0};

	(void)state;
	assert_int_equal(cairn_error_set(&err, CAIRN_EINPUT, "row %d is bad", 3), CAIRN_EINPUT);
	assert_int_equal(cairn_error_set(&err, CAIRN_EIO, "later"), CAIRN_EINPUT);
	cairn_error_hint(&err, "Mend it.");
	cairn_error_hint(&err, "Never seen.");
	assert_string_equal(err.message, "row 3 is bad");
	assert_string_equal(err.hint, "Mend it.");
	assert_int_equal(cairn_error_set(NULL, CAIRN_EIO, "nobody listens"), CAIRN_EIO);
	assert_string_equal(cairn_error_name(CAIRN_EDIVERGED), "EDIVERGED");
	assert_int_equal(cairn_error_code_of("ENOMEM"), CAIRN_ENOMEM);
	assert_string_equal(cairn_error_name(-999), "E?");
}

static void test_error_set__marks_a_cut(void **state)
{
	char big[2000];
	cairn_error err = {0};

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	cairn_error_set(&err, CAIRN_EINPUT, "%s", big);
	assert_int_equal(strlen(err.message), sizeof(err.message) - 1);
	assert_string_equal(err.message + sizeof(err.message) - 4, "...");
}

static void test_text_numbers__whole_string_or_nothing(void **state)
{
	int64_t i;
	uint64_t u;
	double d;
	bool b;

	(void)state;
	assert_true(cairn_parse_i64("-42", &i) && i == -42);
	assert_false(cairn_parse_i64("42x", &i));
	assert_false(cairn_parse_i64(" 42", &i));
	assert_false(cairn_parse_i64("", &i));
	assert_false(cairn_parse_i64("99999999999999999999", &i));
	assert_false(cairn_parse_u64("-1", &u));
	assert_true(cairn_parse_double("9.65e-6", &d) && d == 9.65e-6);
	assert_false(cairn_parse_double("nan", &d));
	assert_false(cairn_parse_double("inf", &d));
	assert_false(cairn_parse_double("0x10", &d));
	assert_false(cairn_parse_double("1e999", &d));
	assert_true(cairn_parse_size("64K", &u) && u == 65536);
	assert_true(cairn_parse_size("1.5MiB", &u) && u == 1572864);
	assert_false(cairn_parse_size("3X", &u));
	assert_true(cairn_parse_duration("2h", &d) && d == 7200);
	assert_true(cairn_parse_duration("90", &d) && d == 90);
	assert_false(cairn_parse_duration("2 weeks", &d));
	assert_true(cairn_parse_bool("Yes", &b) && b);
	assert_true(cairn_parse_bool("off", &b) && !b);
	assert_false(cairn_parse_bool("maybe", &b));
}

static void test_text_format_double__is_shortest_and_reads_back(void **state)
{
	static const struct {
		double value;
		const char *text;
	} cases[] = {{9.65e-6, "9.65e-06"}, {0.1, "0.1"}, {1, "1"}, {1e-5, "1e-05"},
		{1.0 / 3, "0.3333333333333333"}, {27.8, "27.8"}, {-0.0, "-0"}, {38400, "38400"},
		{1e15, "1e+15"}};
	char out[32];
	double back;

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		cairn_format_double(cases[i].value, out);
		assert_string_equal(out, cases[i].text);
		assert_true(cairn_parse_double(out, &back) && back == cases[i].value);
	}
}

static void test_text_format_double__ignores_the_locale(void **state)
{
	char out[32];
	double d;

	(void)state;
	/* Where no locale with a decimal comma is installed this still runs, and proves less. */
	setlocale(LC_ALL, "de_DE.UTF-8");
	cairn_format_double(0.5, out);
	assert_string_equal(out, "0.5");
	assert_true(cairn_parse_double("0.5", &d) && d == 0.5);
	setlocale(LC_ALL, "C");
}

static void test_text_did_you_mean__finds_near_words_only(void **state)
{
	static const char *const words[] = {"learning_rate", "epochs", "lr", "kl_coef"};

	(void)state;
	assert_string_equal(cairn_did_you_mean("lerning_rate", words, 4), "learning_rate");
	assert_string_equal(cairn_did_you_mean("kl_coeff", words, 4), "kl_coef");
	assert_string_equal(cairn_did_you_mean("epohcs", words, 4), "epochs");
	assert_null(cairn_did_you_mean("zebra", words, 4));
}

static void test_digest_sha256__known_answers(void **state)
{
	uint8_t bytes[32];
	char hex[65];
	cairn_digest *digest = cairn_digest_new();

	(void)state;
	cairn_sha256("abc", 3, bytes);
	cairn_hex_encode(bytes, 32, hex);
	assert_string_equal(
		hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	cairn_digest_add(digest, "a", 1);
	cairn_digest_add(digest, "bc", 2);
	uint8_t parts[32];
	cairn_digest_end(digest, parts);
	assert_memory_equal(bytes, parts, 32);
	assert_int_equal(cairn_hex_decode(hex, parts, 32), 0);
	assert_memory_equal(bytes, parts, 32);
	assert_int_equal(cairn_hex_decode("zz", parts, 1), -1);
	assert_int_equal(cairn_hex_decode("abc", parts, 1), -1);
}

/* All lengths around blocks and padding, and pairs of which one is much longer. */
/* In pieces: that way is OpenSSL's on every processor. */
static void by_openssl(const uint8_t *bytes, size_t len, uint8_t out[CAIRN_DIGEST_BYTES])
{
	cairn_digest *digest = cairn_digest_new();

	assert_non_null(digest);
	cairn_digest_add(digest, bytes, len / 2);
	cairn_digest_add(digest, bytes + len / 2, len - len / 2);
	cairn_digest_end(digest, out);
}

static void test_digest_sha256__agrees_with_openssl(void **state)
{
	uint8_t bytes[6000], got[CAIRN_DIGEST_BYTES], want[CAIRN_DIGEST_BYTES];

	(void)state;
	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * i + i / 7);
	for (size_t len = 0; len < 400; len++) { /* every place where padding can begin */
		cairn_sha256(bytes + 3, len, got);
		by_openssl(bytes + 3, len, want);
		assert_memory_equal(got, want, sizeof(want));
	}
	for (size_t len = 4000; len < 4200; len++) { /* around the border between the two ways */
		cairn_sha256(bytes, len, got);
		by_openssl(bytes, len, want);
		assert_memory_equal(got, want, sizeof(want));
	}
}

static void test_digest_sha256_two__agrees_with_one(void **state)
{
	static const size_t lens[] = {0, 1, 54, 55, 56, 57, 63, 64, 65, 118, 119, 120, 127, 128,
		129, 191, 192, 1000, 4096, 70001};
	uint8_t *bytes = malloc(2 * 70001 + 1);
	uint8_t a[CAIRN_DIGEST_BYTES], b[CAIRN_DIGEST_BYTES], want[CAIRN_DIGEST_BYTES];

	(void)state;
	assert_non_null(bytes);
	for (size_t i = 0; i < 2 * 70001 + 1; i++)
		bytes[i] = (uint8_t)(i * i >> 5 ^ i);
	for (size_t i = 0; i < CAIRN_COUNT(lens); i++) {
		for (size_t j = 0; j < CAIRN_COUNT(lens); j++) {
			const uint8_t *first = bytes + 1, *second = bytes + 70001; /* not aligned */

			cairn_sha256_two(first, lens[i], a, second, lens[j], b);
			by_openssl(first, lens[i], want);
			assert_memory_equal(a, want, sizeof(want));
			by_openssl(second, lens[j], want);
			assert_memory_equal(b, want, sizeof(want));
		}
	}
	free(bytes);
}

static void test_json_canonical__sorts_and_prints_shortest(void **state)
{
	json_t *json = NULL;
	cairn_error err = {0};
	static const char text[] = "{\"b\": 0.1, \"a\": [1, 2.0, true, null, \"\\u00e9\\n\"]}";
	char *out;

	(void)state;
	assert_int_equal(cairn_json_parse(&json, text, strlen(text), "t", &err), 0);
	out = cairn_json_canonical(json);
	assert_string_equal(out, "{\"a\":[1,2.0,true,null,\"\xc3\xa9\\n\"],\"b\":0.1}");
	free(out);
	out = cairn_json_pretty(json);
	assert_string_equal(out,
		"{\n  \"b\": 0.1,\n  \"a\": [\n    1,\n    2.0,\n    true,\n    null,\n"
		"    \"\xc3\xa9\\n\"\n  ]\n}");
	free(out);
	json_decref(json);
}

static void test_json_parse__refuses_with_a_place(void **state)
{
	char deep[400];
	json_t *json = NULL;
	cairn_error err = {0};

	(void)state;
	assert_int_equal(cairn_json_parse(&json, "{\"a\":", 5, "x.jsonl:7", &err), CAIRN_EINPUT);
	assert_non_null(strstr(err.place, "x.jsonl:7"));
	cairn_error_clear(&err);
	assert_int_equal(cairn_json_parse(&json, "{\"a\":1,\"a\":2}", 13, "x", &err), CAIRN_EINPUT);
	cairn_error_clear(&err);
	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	assert_int_equal(cairn_json_parse(&json, deep, 200, "x", &err), CAIRN_ELIMIT);
	assert_null(json);
}

static void test_arena__gives_aligned_zeroed_memory(void **state)
{
	cairn_arena *arena = cairn_arena_new();

	(void)state;
	for (size_t n = 1; n < 3000; n += 7) {
		char *p = cairn_arena_alloc(arena, n, 1);

		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(p[i], 0);
		memset(p, 0xff, n);
	}
	assert_string_equal(cairn_arena_printf(arena, "%s@%d", "rm", 3), "rm@3");
	cairn_arena_free(arena);
	cairn_arena_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_error_set__keeps_the_first),
		cmocka_unit_test(test_error_set__marks_a_cut),
		cmocka_unit_test(test_text_numbers__whole_string_or_nothing),
		cmocka_unit_test(test_text_format_double__is_shortest_and_reads_back),
		cmocka_unit_test(test_text_format_double__ignores_the_locale),
		cmocka_unit_test(test_text_did_you_mean__finds_near_words_only),
		cmocka_unit_test(test_digest_sha256__known_answers),
		cmocka_unit_test(test_digest_sha256__agrees_with_openssl),
		cmocka_unit_test(test_digest_sha256_two__agrees_with_one),
		cmocka_unit_test(test_json_canonical__sorts_and_prints_shortest),
		cmocka_unit_test(test_json_parse__refuses_with_a_place),
		cmocka_unit_test(test_arena__gives_aligned_zeroed_memory),
	};

	return cmocka_run_group_tests_name("base", tests, NULL, NULL);
}
