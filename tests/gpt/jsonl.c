/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of JSON: lines and arrays, plain and packed, and everything that can be wrong with them. */
#include "../test.h"

#include <string.h>
#include <zlib.h>

#include "base/text.h"
#include "gpt/gzip.h"
#include "gpt/jsonl.h"
#include "gpt/rows_bad.h"

/* One gzip member of the text, appended. */
static void pack(cairn_text *out, const void *text, size_t len)
{
	static unsigned char packed[1 << 20];
	z_stream z = {0};

	assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
	z.next_in = (Bytef *)(uintptr_t)text;
	z.avail_in = (uInt)len;
	z.next_out = packed;
	z.avail_out = sizeof(packed);
	assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
	cairn_text_add_bytes(out, packed, sizeof(packed) - z.avail_out);
	deflateEnd(&z);
}

/* What comes of a file, in one line: "1:a 2!why 3:b end", a row's "x" or the reason it is bad. */
static void walk(const char *bytes, size_t len, cairn_text *out, cairn_error *last)
{
	gpt_jsonl reader;
	cairn_error err = {0};
	json_t *row;
	int rc = gpt_jsonl_open(&reader, "f", bytes, len, &err);

	cairn_text_clear(out);
	*last = err;
	if (rc) {
		cairn_text_add(out, "closed");
		return;
	}
	while ((rc = gpt_jsonl_next(&reader, &row, &err))) {
		cairn_text_printf(out, "%d%c", (int)reader.line, rc > 0 ? ':' : '!');
		if (rc > 0) {
			cairn_text_printf(out, "%s ", cairn_json_string(row, "x", "?"));
			json_decref(row);
			continue;
		}
		*last = err;
		cairn_error_clear(&err);
		if (reader.is_broken)
			break;
		cairn_text_printf(out, "%s ", gpt_bad_reasons[reader.why]);
	}
	cairn_text_add(out, rc ? "broken" : "end");
	gpt_jsonl_close(&reader);
}

/* The same plain and packed. */
static void expect(const char *file, const char *walked)
{
	cairn_text packed = {0}, out = {0};
	cairn_error err;

	walk(file, strlen(file), &out, &err);
	assert_string_equal(cairn_text_get(&out), walked);
	pack(&packed, file, strlen(file));
	walk(packed.data, packed.len, &out, &err);
	assert_string_equal(cairn_text_get(&out), walked);
	cairn_text_free(&packed);
	cairn_text_free(&out);
}

static void test_gpt_jsonl__reads_lines(void **state)
{
	(void)state;
	expect("", "end");
	expect("\n \t\r\n\n", "end");
	expect("{\"x\":\"a\"}", "1:a end");
	expect("\xef\xbb\xbf\n{\"x\":\"a\"}\r\n\r\n{\"x\":\"b\"}\n", "2:a 4:b end");
	expect("{\"x\":\"a\"}\n{\"x\":\n{\"x\":\"b\"}\nnull\n\"s\"\n",
		"1:a 2!no valid JSON 3:b 4!no object 5!no object end");
	expect("{\"x\":\"a\"} {\"x\":\"b\"}\n", "1!no valid JSON end");
	expect("{\"x\":\"a\",\"x\":\"b\"}\n", "1!no valid JSON end");
	expect("{\"x\":\"caf\xe9\"}\n{\"x\":\"\xed\xa0\x80\"}\n{\"x\":\"\xc3\xa9\"}\n",
		"1!not UTF-8 2!not UTF-8 3:\xc3\xa9 end");
	expect("{\"x\":\"a\\u0000b\"}\n{\"x\":\"b\"}\n", "1!NUL character 2:b end");
}

static void test_gpt_jsonl__reads_an_array(void **state)
{
	(void)state;
	expect("[]", "end");
	expect("\n [ \n ] \n", "end");
	expect("[{\"x\":\"a\"},{\"x\":\"b\"}]", "1:a 1:b end");
	expect("[\n{\"x\":\"a, ]}\",\n\"y\":[1,{\"z\":2}]},\n\n {\"x\":\"\\\"]\"} ]\n",
		"2:a, ]} 5:\"] end");
	/* A bad item is a bad row; the next is found by its brackets. */
	expect("[{\"x\":},{\"x\":\"b\"},7,\"s\",{\"x\":\"c\"}]",
		"1!no valid JSON 1:b 1!no object 1!no object 1:c end");
	expect("[{\"x\":\"a\"}{\"x\":\"b\"}]", "1:a 1!broken");
	expect("[{\"x\":\"a\"},]", "1:a 1!broken");
	expect("[,{\"x\":\"a\"}]", "1!broken");
	expect("[{\"x\":\"a\"}", "1:a 1!broken");
	expect("[{\"x\":\"a\"},\n{\"x\":\"b", "1:a 2!broken");
	expect("[{\"x\":\"a\"}]\n[]", "1:a 2!broken");
	expect("[", "1!broken");
}

/* A NUL byte is no end of anything. */
static void test_gpt_jsonl__tells_nul_bytes(void **state)
{
	static const char file[] = "{\"x\":\"a\0b\"}\n{\"x\":\"c\"}\n";
	cairn_text out = {0};
	cairn_error err;

	(void)state;
	walk(file, sizeof(file) - 1, &out, &err);
	assert_string_equal(out.data, "1!NUL character 2:c end");
	assert_string_equal(err.place, "f:1");
	walk("\0\0", 2, &out, &err);
	assert_string_equal(out.data, "1!NUL character end");
	cairn_text_free(&out);
}

/* Lines of the limit and one above, plain and packed, as a line and as an item. */
static void test_gpt_jsonl__passes_over_long_rows(void **state)
{
	static const char *const frames[][2] = {{"", "\n"}, {"[", ","}};
	cairn_text file = {0}, packed = {0}, out = {0};
	cairn_error err;

	(void)state;
	for (int form = 0; form < 2; form++)
		for (size_t over = 0; over < 2; over++) {
			size_t len = GPT_JSONL_MAX_LINE + over - strlen("{\"x\":\"a\",\"y\":\"\"}");
			char *filler = malloc(len);

			assert_non_null(filler);
			memset(filler, '-', len);
			cairn_text_clear(&file);
			cairn_text_clear(&packed);
			cairn_text_printf(&file, "%s{\"x\":\"a\",\"y\":\"", frames[form][0]);
			cairn_text_add_bytes(&file, filler, len);
			cairn_text_printf(
				&file, "\"}%s{\"x\":\"b\"}%s", frames[form][1], form ? "]" : "\n");
			free(filler);
			walk(file.data, file.len, &out, &err);
			assert_string_equal(
				out.data, form   ? over ? "1!too long 1:b end" : "1:a 1:b end"
					  : over ? "1!too long 2:b end"
						 : "1:a 2:b end");
			pack(&packed, file.data, file.len);
			cairn_text_clear(&file);
			cairn_text_add(&file, out.data);
			walk(packed.data, packed.len, &out, &err);
			assert_string_equal(out.data, file.data);
		}
	cairn_text_free(&file);
	cairn_text_free(&packed);
	cairn_text_free(&out);
}

/* ---- packed files -----------------------------------------------------------------------------
 */

static void expect_refusal(const cairn_text *file, const char *message, const char *hint)
{
	cairn_text out = {0};
	cairn_error err;

	walk(file->data, file->len, &out, &err);
	if (!strstr(err.message, message) || !strstr(err.hint, hint))
		fail_msg("'%s' ('%s') does not say '%s' ('%s')", err.message, err.hint, message,
			hint);
	assert_true(strstr(out.data, "broken") || strstr(out.data, "closed"));
	assert_non_null(strstr(err.place, "f, byte "));
	cairn_text_free(&out);
}

static void test_gpt_gzip__takes_several_members(void **state)
{
	cairn_text file = {0}, out = {0};
	cairn_error err;

	(void)state;
	pack(&file, "{\"x\":\"a\"}\n{\"x\":", 15);
	pack(&file, "", 0);
	pack(&file, "\"b\"}\n", 5);
	cairn_text_add_bytes(&file, "\0\0\0\0", 4); /* padding, as tapes have it */
	walk(file.data, file.len, &out, &err);
	assert_string_equal(out.data, "1:a 2:b end");
	cairn_text_free(&file);
	cairn_text_free(&out);
}

static void test_gpt_gzip__refuses_damaged_files(void **state)
{
	cairn_text file = {0};
	char text[4096], kept;
	size_t whole;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(' ' + i * i % 91);
	pack(&file, text, sizeof(text));
	whole = file.len;
	/* Cut anywhere. */
	for (file.len = 2; file.len < whole; file.len += 1 + file.len / 7)
		expect_refusal(&file, "ends in the middle", "not copied whole");
	file.len = whole;
	/* The checksum, the length, the data, the header. */
	for (size_t i = 0; i < 4; i++) {
		size_t at = i == 0 ? whole - 6 : i == 1 ? whole - 2 : i == 2 ? whole / 2 : 2;

		kept = file.data[at];
		file.data[at] = (char)(kept ^ 0x55);
		expect_refusal(&file, "is damaged gzip data", "gzip -t");
		file.data[at] = kept;
	}
	cairn_text_add(&file, "more");
	expect_refusal(&file, "has other bytes behind", "gunzip -c");
	cairn_text_free(&file);
}

/* 100 MB of one letter pack to 100 KB. */
static void test_gpt_gzip__refuses_bombs(void **state)
{
	size_t len = 100u << 20;
	char *text = malloc(len);
	cairn_text file = {0};

	(void)state;
	assert_non_null(text);
	memset(text, ' ', len);
	pack(&file, text, len);
	free(text);
	assert_true(file.len < len / GPT_GZIP_MAX_RATIO);
	expect_refusal(&file, "unpacks to more than 200 times its size", "gunzip");
	cairn_text_free(&file);
}

/* ---- bad rows -------------------------------------------------------------------------------- */

static struct {
	char log[8192];
	cairn_error err;
} fake;

static CAIRN_PRINTF(3, 4) void fake_log(cairn_run *run, int level, const char *format, ...)
{
	size_t len = strlen(fake.log);
	va_list args;

	(void)run, (void)level;
	va_start(args, format);
	vsnprintf(fake.log + len, sizeof(fake.log) - len, format, args);
	va_end(args);
	strncat(fake.log, "\n", sizeof(fake.log) - strlen(fake.log) - 1);
}

static int fake_fail_with(cairn_run *run, const cairn_error *err)
{
	(void)run;
	fake.err = *err;
	return err->code;
}

static const cairn_host host = {.log = fake_log, .fail_with = fake_fail_with};

static void test_gpt_bad_rows__are_told_and_counted(void **state)
{
	gpt_bad_rows bad = {0};
	cairn_text text = {0}, table = {0};
	cairn_error err = {0};
	gpt_jsonl reader;
	json_t *row, *list;
	int rc;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	for (int i = 0; i < 30; i++)
		cairn_text_add(&text, i % 3 ? "{}\n" : i % 2 ? "[1]\n" : "{\n");
	assert_int_equal(gpt_jsonl_open(&reader, "f", text.data, text.len, &err), 0);
	for (int round = 0; round < 3; round++) {
		reader.at = 0;
		while ((rc = gpt_jsonl_next(&reader, &row, &err))) {
			if (rc > 0)
				json_decref(row);
			else
				gpt_bad_rows_add(&bad, &host, NULL, &reader, 7, &err);
		}
	}
	assert_int_equal(bad.n, 30);
	assert_int_equal(bad.by_reason[GPT_BAD_JSON], 15);
	assert_int_equal(bad.by_reason[GPT_BAD_OBJECT], 15);
	assert_int_equal(bad.first_line[GPT_BAD_OBJECT], 4);
	/* The first 20 by name. */
	assert_non_null(strstr(fake.log, "bad row at f:1, column"));
	assert_non_null(strstr(fake.log, "bad row at f:4: row is no JSON object\n"));
	assert_non_null(strstr(fake.log, "bad row at f:58"));
	assert_null(strstr(fake.log, "bad row at f:61"));
	assert_non_null(strstr(fake.log, "more bad rows follow"));
	gpt_bad_rows_print(&bad, &table);
	assert_non_null(strstr(table.data, "15  no valid JSON; the first in file 7, line 1\n"));
	list = gpt_bad_rows_json(&bad);
	assert_int_equal(json_array_size(list), 2);
	json_decref(list);
	/* 30 of 90 is a third. */
	assert_int_equal(gpt_bad_rows_check(&bad, &host, NULL, 90, 0.34), 0);
	assert_non_null(strstr(fake.log, "30 of 90 rows are bad and left out: 15 no valid JSON"));
	assert_int_equal(gpt_bad_rows_check(&bad, &host, NULL, 90, 0.33), CAIRN_EINPUT);
	assert_non_null(strstr(fake.err.place, "f:1"));
	assert_non_null(strstr(fake.err.detail, "30 of 90 rows are bad"));
	assert_non_null(strstr(fake.err.hint, "one complete JSON object"));
	assert_non_null(strstr(fake.err.hint, "max_bad = 0.34"));
	cairn_text_free(&text);
	cairn_text_free(&table);
	gpt_jsonl_close(&reader);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_jsonl__reads_lines),
		cmocka_unit_test(test_gpt_jsonl__reads_an_array),
		cmocka_unit_test(test_gpt_jsonl__tells_nul_bytes),
		cmocka_unit_test(test_gpt_jsonl__passes_over_long_rows),
		cmocka_unit_test(test_gpt_gzip__takes_several_members),
		cmocka_unit_test(test_gpt_gzip__refuses_damaged_files),
		cmocka_unit_test(test_gpt_gzip__refuses_bombs),
		cmocka_unit_test(test_gpt_bad_rows__are_told_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
