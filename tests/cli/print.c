/* SPDX-License-Identifier: Apache-2.0 */
/* print.c - tests of safe text, units and tables. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "test.h"

static void test_cli_print__escapes_what_moves_the_cursor(void **state)
{
	static const struct {
		const char *raw, *safe;
	} cases[] = {
		{"plain", "plain"},
		{"\033[2J", "\\x1b[2J"},
		{"a\nb\tc\r", "a\\x0ab\\x09c\\x0d"},
		{"\x7f", "\\x7f"},
		{"\xc2\x9b"
		 "2J",
			"\\x9b2J"},          /* CSI in one character */
		{"\xe2\x80\xae", "\\u202e"}, /* right to left */
		{"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80",
			"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
		{"\xff\xc3", "\\xff\\xc3"},          /* not UTF-8 */
		{"\xc0\xaf", "\\xc0\\xaf"},          /* '/' in two bytes */
		{"\xed\xa0\x80", "\\xed\\xa0\\x80"}, /* half a pair */
		{"", ""},
	};
	char out[128];

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++)
		assert_string_equal(cli_safe_into(out, sizeof(out), cases[i].raw), cases[i].safe);
}

static void test_cli_print__cuts_between_characters(void **state)
{
	char out[6];

	(void)state;
	/* Five bytes fit: "ab", and the two bytes of one of the characters. */
	assert_string_equal(cli_safe_into(out, sizeof(out), "ab\xc3\xa9\xc3\xa9"), "ab\xc3\xa9");
	assert_string_equal(cli_safe_into(out, sizeof(out), "abc\033"), "abc");
}

static void test_cli_units__flop(void **state)
{
	char out[32];

	(void)state;
	assert_string_equal(cli_flop(out, 0), "0 FLOP");
	assert_string_equal(cli_flop(out, 999), "999 FLOP");
	assert_string_equal(cli_flop(out, 1234567890123.0), "1.2 TFLOP");
	assert_string_equal(cli_flop(out, 999.6e9), "1.0 TFLOP");
	assert_string_equal(cli_flop(out, 43e6), "43 MFLOP");
	/* GPT-3: 3,640 petaflop/s-days. */
	assert_string_equal(cli_pf_days(out, 3640 * 8.64e19), "3640");
	assert_string_equal(cli_pf_days(out, 2.1e-9 * 8.64e19), "2.1e-09");
	assert_string_equal(cli_pf_days(out, 0), "0");
}

static void test_cli_units__time_and_size(void **state)
{
	char out[32];

	(void)state;
	assert_string_equal(cli_duration(out, 0.012), "12ms");
	assert_string_equal(cli_duration(out, 3.14), "3.1s");
	assert_string_equal(cli_duration(out, 59.4), "59s");
	assert_string_equal(cli_duration(out, 59.6), "1m00s");
	assert_string_equal(cli_duration(out, 221), "3m41s");
	assert_string_equal(cli_duration(out, 3600 * 25), "1d01h");
	assert_string_equal(cli_bytes(out, 1023), "1023 B");
	assert_string_equal(cli_bytes(out, 1536), "1.5 KiB");
	assert_string_equal(cli_bytes(out, 4.0 * 1024 * 1024 * 1024), "4.0 GiB");
}

static void test_cli_units__number(void **state)
{
	char out[32];

	(void)state;
	assert_string_equal(cli_number(out, 2.3149), "2.31");
	assert_string_equal(cli_number(out, 0.7142), "0.714");
	assert_string_equal(cli_number(out, 40), "40");
	assert_string_equal(cli_number(out, 1.5e-5), "1.50e-05");
	assert_string_equal(cli_number(out, -123.45), "-123.5");
}

static void test_cli_table__aligns_characters_not_bytes(void **state)
{
	cli c = {.arena = cairn_arena_new()};
	cli_table *table = cli_table_new(&c, "NAME|>N|TEXT");
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	(void)state;
	cli_table_row(table);
	cli_table_cell(table, "caf\xc3\xa9");
	cli_table_cell(table, "%d", 5);
	cli_table_cell(table, "x\033y");
	cli_table_row(table);
	cli_table_cell(table, "longer");
	cli_table_cell(table, "%d", 123);
	cli_table_cell(table, "%s", "");
	cli_table_print(table, out, false);
	assert_int_equal(fclose(out), 0);
	assert_string_equal(
		text, "NAME      N  TEXT\ncaf\xc3\xa9      5  x\\x1by\nlonger  123  \n");
	free(text);
	cairn_arena_free(c.arena);
}

static void test_cli_print__exit_statuses(void **state)
{
	(void)state;
	assert_int_equal(cli_exit_status(CAIRN_EWORKFLOW), 2);
	assert_int_equal(cli_exit_status(CAIRN_ENOTFOUND), 3);
	assert_int_equal(cli_exit_status(CAIRN_EINTEGRITY), 4);
	assert_int_equal(cli_exit_status(CAIRN_EBUSY), 75);
	assert_int_equal(cli_exit_status(CAIRN_ECRASH), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cli_print__escapes_what_moves_the_cursor),
		cmocka_unit_test(test_cli_print__cuts_between_characters),
		cmocka_unit_test(test_cli_units__flop),
		cmocka_unit_test(test_cli_units__time_and_size),
		cmocka_unit_test(test_cli_units__number),
		cmocka_unit_test(test_cli_table__aligns_characters_not_bytes),
		cmocka_unit_test(test_cli_print__exit_statuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
