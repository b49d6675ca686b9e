/* SPDX-License-Identifier: Apache-2.0 */
/*
 * skim.c - tests: what is skimmed is what the parser reads; whatever else is odd.
 */
#include "audit/skim.h"

#include <string.h>

#include "base/json.h"
#include "base/text.h"
#include "test.h"

/* A record with all that records have; as the store's writers write it. */
static const char record[] =
	"{\"axes\":{},\"blessed\":null,\"components\":{\"input.a.0\":\"sha256:"
	"903f22c5cebac2f9d6470ef68a879020863ef19b5b9c50e07dfe407bdfad02e8\",\"seed\":\"1\"},"
	"\"end_ms\":1700000000900,\"flop\":[0.0,1e11,-2.5e-7,3E+11],\"inputs\":{\"a\":[{\"id\":"
	"\"sha256:903f22c5cebac2f9d6470ef68a879020863ef19b5b9c50e07dfe407bdfad02e8\",\"kind\":"
	"\"model/lm\"},{\"id\":\"none\"}]},\"outputs\":{\"b\":{\"bytes\":12,\"id\":\"sha256:"
	"cd2d29a3467bdc4b7abad58ab56c3b08fbc63be492ed070db6f3e231ab34e151\"}},\"show\":false,"
	"\"steps\":-0,\"words\":[\"\",\"a\",true,[],[[]],{}]}";

static int add_string(void *arg, cairn_span string, cairn_error *err)
{
	cairn_text *all = arg;

	(void)err;
	cairn_text_add_bytes(all, string.at, string.len);
	cairn_text_add_char(all, '\n');
	return 0;
}

static void add_strings_of(cairn_text *all, const json_t *json)
{
	const char *name;
	json_t *value;
	size_t i;

	if (json_is_string(json)) {
		cairn_text_add(all, json_string_value(json));
		cairn_text_add_char(all, '\n');
	}
	json_array_foreach(json, i, value) add_strings_of(all, value);
	json_object_foreach((json_t *)json, name, value) add_strings_of(all, value);
}

/* Each member's name and value, one level. */
static void add_members_of(cairn_text *all, const json_t *json)
{
	const char *name;
	json_t *value;

	json_object_foreach((json_t *)json, name, value)
	{
		json_int_t integer = json_is_integer(value) ? json_integer_value(value) : -1;
		const char *string = json_is_string(value) ? json_string_value(value) : "-";

		cairn_text_printf(all, "%s %lld %s\n", name, (long long)integer, string);
	}
}

static void skim_members(cairn_text *all, cairn_skim *skim)
{
	while (cairn_skim_next(skim)) {
		cairn_span string = cairn_skim_string(skim->value);
		int64_t integer = -1;

		if (skim->close != '}')
			continue;
		(void)cairn_skim_integer(skim->value, &integer);
		cairn_text_printf(all, "%.*s %lld %.*s\n", (int)skim->name.len, skim->name.at,
			(long long)integer, string.at ? (int)string.len : 1,
			string.at ? string.at : "-");
	}
}

/* Does the parser agree, where the text is not odd? Tells whether it is. */
static bool agrees(const char *text, size_t len)
{
	cairn_text skimmed = {0}, parsed = {0};
	cairn_skim skim = cairn_skim_begin(text, len);
	json_t *json = NULL;
	int rc = cairn_skim_strings(text, len, add_string, &skimmed, NULL);
	bool is_list = len && (text[0] == '{' || text[0] == '[');

	skim_members(&skimmed, &skim);
	assert_true(rc == 0 || rc == 1);
	assert_int_equal(skim.is_odd, rc == 1 || !is_list);
	if (rc == 0) {
		assert_int_equal(cairn_json_parse(&json, text, len, "test", NULL), 0);
		add_strings_of(&parsed, json);
		add_members_of(&parsed, json);
		assert_string_equal(cairn_text_get(&skimmed), cairn_text_get(&parsed));
	}
	json_decref(json);
	cairn_text_free(&skimmed);
	cairn_text_free(&parsed);
	return rc == 0;
}

static void test_audit_skim__reads_a_record_as_the_parser_does(void **state)
{
	(void)state;
	assert_true(agrees(record, strlen(record)));
}

static void test_audit_skim__what_the_writer_writes_is_not_odd(void **state)
{
	json_t *json;
	char *text;

	(void)state;
	assert_int_equal(cairn_json_parse(&json, record, strlen(record), "test", NULL), 0);
	text = cairn_json_canonical(json);
	assert_true(agrees(text, strlen(text)));
	free(text);
	json_decref(json);
}

static void test_audit_skim__leaves_to_the_parser_what_is_odd(void **state)
{
	static const char *const odd[] = {"", "{", "{}}", "[1,]", "{\"a\":1,\"a\":1}",
		"{\"b\":1,\"a\":1}", "{\"a\": 1}", " {}", "{} ", "[\"\\u0061\"]", "[\"\\\\\"]",
		"[\"\xc3\xa4\"]", "[\"\x01\"]", "[01]", "[1.]", "[.5]", "[+1]", "[1e]", "[1e999]",
		"[9999999999999999999]", "[nul]", "[\"a]", "[tru]", "{\"a\"}", "{\"a\":}", "{1:2}",
		"[}", "{]", "[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]", "[NaN]", "[-]", "[1 2]", "[,1]"};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(odd); i++) {
		if (agrees(odd[i], strlen(odd[i])))
			fail_msg("%s is not odd", odd[i]);
	}
}

/* Every byte of the record as every other byte, and the record cut at every byte. */
static void test_audit_skim__agrees_with_the_parser_on_whatever_a_record_becomes(void **state)
{
	static const char bytes[] = "\"\\{}[]:,0-.eEtn a\x01\x7f\x80\xff";
	char text[sizeof(record)];
	size_t n_read = 0, n_odd = 0;

	(void)state;
	for (size_t at = 0; at < sizeof(record) - 1; at++) {
		for (size_t i = 0; i < sizeof(bytes); i++) { /* the zero, too */
			memcpy(text, record, sizeof(record));
			text[at] = bytes[i];
			if (agrees(text, sizeof(record) - 1))
				n_read++;
			else
				n_odd++;
		}
		assert_false(agrees(record, at));
		memmove(text, record + at + 1, sizeof(record) - at - 1);
		(void)agrees(text, sizeof(record) - at - 2);
	}
	assert_true(n_read > 1000 && n_odd > 1000);
}

static void test_audit_skim__finds_members_ids_and_integers(void **state)
{
	const cairn_span whole = {record, sizeof(record) - 1};
	cairn_span output = cairn_skim_get(cairn_skim_get(whole, "outputs"), "b");
	char text[CAIRN_ID_TEXT];
	int64_t integer = 0;
	cairn_id id;

	(void)state;
	assert_true(cairn_skim_integer(cairn_skim_get(output, "bytes"), &integer));
	assert_int_equal(integer, 12);
	assert_false(cairn_skim_integer(cairn_skim_get(output, "id"), &integer));
	assert_false(cairn_skim_integer(cairn_skim_get(output, "no"), &integer));
	assert_true(cairn_skim_id(cairn_skim_get(output, "id"), &id));
	cairn_id_format(&id, text);
	assert_string_equal(
		text, "sha256:cd2d29a3467bdc4b7abad58ab56c3b08fbc63be492ed070db6f3e231ab34e151");
	assert_false(cairn_skim_id(cairn_skim_get(output, "bytes"), &id));
	assert_null(cairn_skim_get(output, "b").at);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_audit_skim__reads_a_record_as_the_parser_does),
		cmocka_unit_test(test_audit_skim__what_the_writer_writes_is_not_odd),
		cmocka_unit_test(test_audit_skim__leaves_to_the_parser_what_is_odd),
		cmocka_unit_test(
			test_audit_skim__agrees_with_the_parser_on_whatever_a_record_becomes),
		cmocka_unit_test(test_audit_skim__finds_members_ids_and_integers),
	};

	return cmocka_run_group_tests_name("audit/skim", tests, NULL, NULL);
}
