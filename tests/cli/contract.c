/* SPDX-License-Identifier: Apache-2.0 */
/*
 * contract.c - cairn-plugin(7) explains every name of stage.h, and its example is a plugin.
 *
 * The header is read as text: members of structs, constants of enums, macros. So a member that
 * is added to the contract has to be explained before the tests pass.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "drive.h"
#include "page.h"
#include "workflow/draft.h"

#define HEADER CAIRN_SOURCE_DIR "/orchestrator/include/cairn/stage.h"

/* The header without its comments. */
static char *read_header(void)
{
	char *text = drive_read(HEADER), *to = text;

	for (const char *at = text; *at;) {
		if (strncmp(at, "/*", 2) == 0)
			at = strstr(at, "*/") + 2;
		else
			*to++ = *at++;
	}
	*to = '\0';
	return text;
}

static bool is_word_char(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* As a word of its own. */
static bool mentions(const char *text, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at++) {
		if ((at == text || !is_word_char(at[-1])) && !is_word_char(at[len]))
			return true;
	}
	return false;
}

/* The name that a declarator declares: "(*step)(..." or "uint64_t dims[..." or "double min". */
static bool declared(const char *text, size_t len, char *out, size_t cap)
{
	const char *function = memmem(text, len, "(*", 2);
	const char *end = function ? function + 2 : memchr(text, '[', len), *begin;

	if (function) {
		begin = end;
		while (is_word_char(*end))
			end++;
	} else {
		end = end ? end : text + len;
		while (end > text && !is_word_char(end[-1]))
			end--;
		begin = end;
		while (begin > text && is_word_char(begin[-1]))
			begin--;
	}
	return end > begin && snprintf(out, cap, "%.*s", (int)(end - begin), begin) < (int)cap;
}

typedef struct names {
	char items[256][48];
	size_t n;
} names;

static void add_name(names *set, const char *text, size_t len)
{
	assert_true(set->n < CAIRN_COUNT(set->items));
	if (declared(text, len, set->items[set->n], sizeof(set->items[0])))
		set->n++;
}

/* Members of one struct body. A comma outside of parentheses separates declarators. */
static void members(names *set, const char *body, const char *end)
{
	const char *from = body;
	int depth = 0;

	for (const char *at = body; at < end; at++) {
		depth += (*at == '(') - (*at == ')');
		if (*at == ';' || (*at == ',' && depth == 0)) {
			add_name(set, from, (size_t)(at - from));
			from = at + 1;
		}
	}
}

/* Members of every struct, or of the one of this name; and the structs' names. */
static void take_structs(names *set, const char *header, const char *only)
{
	for (const char *at = header; (at = strstr(at, "typedef struct ")); at++) {
		const char *open = at + strcspn(at, "{;"), *close;
		char name[64];
		if (*open == ';') {
			if (!only)
				add_name(set, at, (size_t)(open - at));
			continue;
		}
		close = strchr(open, '}');
		assert_non_null(close);
		assert_int_equal(sscanf(close, "} %63[a-z_];", name), 1);
		if (only && strcmp(name, only) != 0)
			continue;
		if (!only)
			add_name(set, name, strlen(name));
		members(set, open + 1, close);
	}
}

/* Every CAIRN_NAME of the header that is part of the contract. */
static void take_constants(names *set, const char *header)
{
	static const char *const not_of_it[] = {"CAIRN_STAGE_H", "CAIRN_BEGIN_DECLS",
		"CAIRN_END_DECLS", "CAIRN_PRINTF", "CAIRN_EXPORT"};

	for (const char *at = header; (at = strstr(at, "CAIRN_")); at++) {
		size_t len = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");
		char name[48];
		bool is_known = false;
		assert_true(len < sizeof(name));
		snprintf(name, sizeof(name), "%.*s", (int)len, at);
		for (size_t i = 0; i < CAIRN_COUNT(not_of_it); i++)
			is_known |= strcmp(not_of_it[i], name) == 0;
		for (size_t i = 0; i < set->n; i++)
			is_known |= strcmp(set->items[i], name) == 0;
		if (!is_known)
			add_name(set, name, len);
	}
}

static void test_cli_contract__every_name_is_explained(void **state)
{
	names *set = calloc(1, sizeof(*set));
	char *header = read_header(), *page = page_read("cairn-plugin.7");
	int n_missing = 0;

	(void)state;
	assert_non_null(page);
	take_structs(set, header, NULL);
	take_constants(set, header);
	assert_true(set->n > 120);
	for (size_t i = 0; i < set->n; i++) {
		if (!mentions(page, set->items[i])) {
			print_error("cairn-plugin(7) does not explain '%s'\n", set->items[i]);
			n_missing++;
		}
	}
	assert_int_equal(n_missing, 0);
	free(page);
	free(header);
	free(set);
}

/* The list of the host's functions is the struct, item by item. */
static void test_cli_contract__host_table(void **state)
{
	names *set = calloc(1, sizeof(*set));
	char *header = read_header(), *page = page_read("cairn-plugin.7");
	char *section = page_section(page, "THE HOST'S TABLE"), line[128];
	const char *at = section;
	size_t n = 0;

	(void)state;
	take_structs(set, header, "cairn_host");
	assert_true(set->n >= 20);
	while (page_next(&at, '=', line, sizeof(line))) {
		bool is_member = false;
		for (size_t i = 0; i < set->n; i++)
			is_member |= strcmp(set->items[i], line) == 0;
		if (!is_member)
			fail_msg("cairn_host has no member '%s'", line);
		n++;
	}
	assert_int_equal(n + 1, set->n); /* the head is no function */
	free(section);
	free(page);
	free(header);
	free(set);
}

static void test_cli_contract__error_codes(void **state)
{
	char *page = page_read("cairn-plugin.7");

	(void)state;
#define ASSERT_EXPLAINED(name, value, text, retry) assert_true(mentions(page, "CAIRN_" #name));
	CAIRN_ERROR_MAP(ASSERT_EXPLAINED)
	free(page);
}

/* The example compiles without a warning, and cairn takes it for a plugin and runs it. */
static void test_cli_contract__example_is_a_plugin(void **state)
{
	char *page = page_read("cairn-plugin.7"), *section = page_section(page, "EXAMPLE");
	char line[256];
	const char *at = section;
	size_t n_lines = 0;
	FILE *file = fopen("linecount.c", "w"), *compiler;
	cairn_text source = {0};

	(void)state;
	while (page_next(&at, '>', line, sizeof(line)))
		cairn_text_printf(&source, "%s\n", line), n_lines++;
	assert_true(n_lines > 30);
	assert_true(fputs(source.data, file) >= 0);
	fclose(file);
	compiler = popen(CAIRN_COMPILER " -std=c11 -O2 -fPIC -shared -fvisibility=hidden "
					"-Wall -Wextra -Werror -Wl,-z,defs -I" CAIRN_SOURCE_DIR
					"/orchestrator/include -o linecount.so linecount.c 2>&1",
		"r");
	assert_non_null(compiler);
	while (fgets(line, sizeof(line), compiler))
		print_error("%s", line);
	assert_int_equal(pclose(compiler), 0);
	drive_env("CAIRN_PLUGIN_PATH", ".");
	assert_has(cairn_is(0, "plugins describe linecount.so")->out, "counts the lines");
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = linecount\n"
			     "input.text = file:linecount.c\n");
	cairn_is(0, "run -q w.ini");
	snprintf(line, sizeof(line), "%zu\n", n_lines);
	assert_string_equal(cairn_is(0, "cat a:count lines.txt")->out, line);
	cairn_text_free(&source);
	free(section);
	free(page);
}

/* Keys of a [stage] that are the runner's. */
static void test_cli_contract__settings_of_a_stage(void **state)
{
	char *page = page_read("cairn-workflow.5");

	(void)state;
	assert_non_null(page);
	for (int i = 0; i < CAIRN_SETTINGS; i++) {
		if (!mentions(page, cairn_settings__names[i]))
			fail_msg("cairn-workflow(5) does not explain '%s'",
				cairn_settings__names[i]);
	}
	free(page);
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_cli_contract__every_name_is_explained),
		DRIVEN(test_cli_contract__host_table),
		DRIVEN(test_cli_contract__error_codes),
		DRIVEN(test_cli_contract__example_is_a_plugin),
		DRIVEN(test_cli_contract__settings_of_a_stage),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
