/* SPDX-License-Identifier: Apache-2.0 */
/* Characters among bytes that may be anything: the table of the Unicode standard, and all pairs. */
#include "gpt/utf8.h"

#include <string.h>

#include "test.h"

static void mends(const char *bytes, size_t len, const char *want)
{
	cairn_text text = {0};

	gpt_utf8_add(&text, bytes, len);
	assert_string_equal(cairn_text_get(&text), want);
	cairn_text_free(&text);
}

#define R "\xef\xbf\xbd"

static void test_gpt_utf8__replaces_as_unicode_says(void **state)
{
	(void)state;
	mends("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z", 11,
		"a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z");
	mends("", 0, "");
	/* Unicode 15, tables 3-8 to 3-11. */
	mends("\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", 9, R R R R R R R R "A");
	mends("\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", 9, R R R R R R R R "A");
	mends("\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", 9, R R R R R "A" R R "B");
	mends("\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", 9, R R R R "A");
}

static void test_gpt_utf8__knows_a_beginning(void **state)
{
	static const char whole[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
	static const size_t unfinished[] = {0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0};

	(void)state;
	for (size_t len = 0; len < sizeof(whole); len++)
		assert_int_equal(gpt_utf8_unfinished(whole, len), unfinished[len]);
	assert_int_equal(gpt_utf8_unfinished("\xff", 1), 0);
	assert_int_equal(gpt_utf8_unfinished("\x80", 1), 0);
	assert_int_equal(gpt_utf8_unfinished("\xe0\x80", 2), 0);
	assert_int_equal(gpt_utf8_unfinished("\xed\xa0", 2), 0);
}

/* Cut anywhere, with the unfinished part carried over, any bytes give what they give whole. */
static void test_gpt_utf8__streams_the_same(void **state)
{
	static const char letters[] = {'a', '\xc3', '\xa9', '\xe2', '\x82', '\xf0', '\x9f', '\xff'};
	char bytes[4];

	(void)state;
	for (unsigned all = 0; all < 8 * 8 * 8 * 8; all++) {
		for (int i = 0; i < 4; i++)
			bytes[i] = letters[all >> 3 * i & 7];
		for (size_t cut = 0; cut <= 4; cut++) {
			size_t kept = gpt_utf8_unfinished(bytes, cut);
			cairn_text whole = {0}, parts = {0};

			gpt_utf8_add(&whole, bytes, 4);
			gpt_utf8_add(&parts, bytes, cut - kept);
			gpt_utf8_add(&parts, bytes + cut - kept, 4 - cut + kept);
			assert_string_equal(cairn_text_get(&whole), cairn_text_get(&parts));
			cairn_text_free(&whole);
			cairn_text_free(&parts);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_utf8__replaces_as_unicode_says),
		cmocka_unit_test(test_gpt_utf8__knows_a_beginning),
		cmocka_unit_test(test_gpt_utf8__streams_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
