/* SPDX-License-Identifier: Apache-2.0 */
/*
 * manual.c - the manual and the binary say the same, both ways round.
 *
 * What the binary knows of itself is `cairn help --json`; what the pages say is read by page.c.
 * So a verb, an option, an exit status or a member of a document that is added to one of the two
 * and not to the other makes a test fail.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "drive.h"
#include "page.h"

#define MAN_DIR CAIRN_SOURCE_DIR "/orchestrator/man"

static const char *text_of(const json_t *json, const char *name)
{
	return cairn_json_string(json, name, NULL);
}

static char *page_of(const char *verb)
{
	char name[64], *page;

	snprintf(name, sizeof(name), "cairn-%s.1", verb);
	page = page_read(name);
	if (!page)
		fail_msg("the verb '%s' has no page orchestrator/man/%s", verb, name);
	return page;
}

/* ---- verbs -------------------------------------------------------------------------------- */

static void test_cli_manual__every_verb_has_a_page(void **state)
{
	json_t *help = cairn_json("help", "cairn.help/1"), *verb;
	size_t i;

	(void)state;
	assert_true(json_array_size(json_object_get(help, "verbs")) >= 20);
	json_array_foreach(json_object_get(help, "verbs"), i, verb)
		free(page_of(text_of(verb, "name")));
	json_decref(help);
}

static void test_cli_manual__every_page_has_a_verb(void **state)
{
	DIR *dir = opendir(MAN_DIR);
	const struct dirent *file;
	int n = 0;

	(void)state;
	assert_non_null(dir);
	while ((file = readdir(dir))) {
		char verb[64], args[80];
		if (sscanf(file->d_name, "cairn-%63[^.].1", verb) != 1 ||
			!strstr(file->d_name, ".1"))
			continue;
		snprintf(args, sizeof(args), "help %s", verb);
		if (cairn(args)->status != 0)
			fail_msg("%s is about no verb", file->d_name);
		n++;
	}
	closedir(dir);
	assert_true(n >= 20);
}

static void assert_section(const char *page, const char *title, const char *expected)
{
	char *section = page_section(page, title);

	assert_string_equal(section, expected);
	free(section);
}

static void test_cli_manual__name_and_synopsis_are_the_table(void **state)
{
	json_t *help = cairn_json("help", "cairn.help/1"), *verb;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(help, "verbs"), i, verb)
	{
		const char *name = text_of(verb, "name"), *usage = text_of(verb, "usage");
		char *page = page_of(name), line[256];
		snprintf(line, sizeof(line), "cairn-%s - %s\n", name, text_of(verb, "summary"));
		assert_section(page, "NAME", line);
		snprintf(line, sizeof(line), "cairn %s [OPTIONS]%s%s\n", name, usage[0] ? " " : "",
			usage);
		assert_section(page, "SYNOPSIS", line);
		if (text_of(verb, "alias")) {
			snprintf(line, sizeof(line), "cairn %s", text_of(verb, "alias"));
			assert_has(page, line);
		}
		free(page);
	}
	json_decref(help);
}

static void test_cli_manual__overview_lists_the_verbs(void **state)
{
	json_t *help = cairn_json("help", "cairn.help/1"), *verb;
	char *page = page_read("cairn.1"), *verbs = page_section(page, "VERBS"), line[64];
	const char *at = verbs;
	size_t i;

	(void)state;
	json_array_foreach(json_object_get(help, "verbs"), i, verb)
	{
		char expected[64];
		snprintf(expected, sizeof(expected), "cairn-%s(1)", text_of(verb, "name"));
		if (!page_next(&at, '=', line, sizeof(line)))
			fail_msg("%s is not in the list of cairn(1)", expected);
		assert_string_equal(line, expected);
	}
	assert_false(page_next(&at, '=', line, sizeof(line)));
	free(verbs);
	free(page);
	json_decref(help);
}

/* ---- options ------------------------------------------------------------------------------ */

/* "-p, --param NAME=VALUE", as a page writes an option of the table. */
static void option_text(char *out, size_t cap, const json_t *option)
{
	const char *letter = text_of(option, "letter"), *value = text_of(option, "value");

	snprintf(out, cap, "%s%s%s--%s%s%s", letter ? "-" : "", letter ? letter : "",
		letter ? ", " : "", text_of(option, "name"), value && value[0] != '[' ? " " : "",
		value ? value : "");
}

/* The options of a page are those of the list. */
static void assert_options(const char *page, const char *who, const json_t *options)
{
	char *section = page_section(page, "OPTIONS"), line[128], expected[128];
	const char *at;
	json_t *option;
	size_t i, n_found = 0, n_items = 0;

	json_array_foreach(options, i, option)
	{
		bool is_there = false;
		option_text(expected, sizeof(expected), option);
		for (at = section; page_next(&at, '=', line, sizeof(line));)
			is_there |= strcmp(line, expected) == 0;
		if (!is_there)
			fail_msg("%s does not have the option '%s'", who, expected);
		n_found++;
	}
	for (at = section; page_next(&at, '=', line, sizeof(line));)
		n_items++;
	if (n_items != n_found)
		fail_msg("%s has %zu options, the table %zu", who, n_items, n_found);
	free(section);
}

static void test_cli_manual__options_are_the_tables(void **state)
{
	json_t *help = cairn_json("help", "cairn.help/1"), *verb;
	char *page = page_read("cairn.1");
	size_t i, n = 0;

	(void)state;
	assert_options(page, "cairn.1", json_object_get(help, "options"));
	free(page);
	json_array_foreach(json_object_get(help, "verbs"), i, verb)
	{
		const json_t *options = json_object_get(verb, "options");
		page = page_of(text_of(verb, "name"));
		assert_options(page, text_of(verb, "name"), options);
		n += json_array_size(options);
		free(page);
	}
	assert_true(n > 30); /* the tools' are among them */
	json_decref(help);
}

/* ---- exit statuses ------------------------------------------------------------------------ */

static bool has_status(const json_t *exits, const char *text)
{
	const json_t *one;
	size_t i;

	json_array_foreach(exits, i, one)
	{
		char number[16];
		snprintf(number, sizeof(number), "%lld",
			(long long)cairn_json_integer(one, "status", -1));
		if (strcmp(number, text) == 0)
			return true;
	}
	return false;
}

static void test_cli_manual__exit_statuses_are_the_tables(void **state)
{
	json_t *help = cairn_json("help", "cairn.help/1"), *verb, *exits;
	char *page = page_read("cairn.1"), *section = page_section(page, "EXIT STATUS");
	const char *at = section;
	char line[64];
	size_t i, n = 0;

	(void)state;
	exits = json_object_get(help, "exits");
	while (page_next(&at, '=', line, sizeof(line))) {
		assert_true(has_status(exits, line));
		n++;
	}
	assert_int_equal(n, json_array_size(exits));
	free(section);
	free(page);
	json_array_foreach(json_object_get(help, "verbs"), i, verb)
	{
		const char *name = text_of(verb, "name");
		page = page_of(name);
		section = page_section(page, "EXIT STATUS");
		at = section;
		assert_true(page_next(&at, '=', line, sizeof(line)));
		assert_string_equal(line, "0");
		while (page_next(&at, '=', line, sizeof(line))) {
			if (!has_status(exits, line))
				fail_msg("cairn-%s(1): exit status %s is none", name, line);
		}
		assert_has(section, "= 2\n");
		free(section);
		free(page);
	}
	json_decref(help);
}

/* ---- examples ----------------------------------------------------------------------------- */

/* Cuts a line of shell into commands, at | & ; and #; what < and > name is taken out. Blanks in
 * quotes become '_', so that drive.c, which splits at blanks, sees one word. */
static size_t split_commands(char *line, char commands[8][256])
{
	size_t n = 0, len = 0;
	char quote = 0;
	bool skip = false;

	memset(commands, 0, 8 * sizeof(commands[0]));
	for (const char *at = line; *at && !(*at == '#' && !quote); at++) {
		if (quote ? *at == quote : *at == '\'' || *at == '"') {
			quote = quote ? 0 : *at;
			continue;
		}
		if (!quote && strchr("|&;", *at)) {
			n += len > 0;
			len = 0;
			skip = false;
			continue;
		}
		if (!quote && strchr("<>", *at))
			skip = true; /* up to the next blank */
		else if (*at == ' ' && !quote)
			skip = false;
		if (!skip && !(len == 0 && *at == ' ') && len + 1 < sizeof(commands[0]))
			commands[n][len++] = quote && *at == ' ' ? '_' : *at;
		assert_true(n < 7);
	}
	return n + (len > 0);
}

/* Every command line of the manual is one that the parser takes. */
static int check_examples(const char *name)
{
	char *page = page_read(name), *section, line[256], commands[8][256];
	const char *at;
	int n_checked = 0;

	assert_non_null(page);
	section = page_section(page, "EXAMPLES");
	for (at = section; page_next(&at, '>', line, sizeof(line));) {
		size_t n = split_commands(line, commands);
		for (size_t i = 0; i < n; i++) {
			char args[300];
			if (strncmp(commands[i], "cairn ", 6) != 0)
				continue;
			snprintf(args, sizeof(args), "--check-usage %s", commands[i] + 6);
			if (cairn(args)->status != 0)
				fail_msg("%s: `%s` is no command line: %s", name, commands[i],
					cairn(args)->err);
			n_checked++;
		}
	}
	free(section);
	free(page);
	return n_checked;
}

static void test_cli_manual__examples_are_command_lines(void **state)
{
	json_t *help = cairn_json("help", "cairn.help/1"), *verb;
	char name[64];
	size_t i;

	(void)state;
	assert_true(check_examples("cairn.1") >= 5);
	json_array_foreach(json_object_get(help, "verbs"), i, verb)
	{
		snprintf(name, sizeof(name), "cairn-%s.1", text_of(verb, "name"));
		if (!check_examples(name))
			fail_msg("%s has no example", name);
	}
	json_decref(help);
}

static void test_cli_manual__usage_check_finds_mistakes(void **state)
{
	(void)state;
	cairn_is(0, "--check-usage run -p a=b --jobs 2");
	cairn_is(2, "--check-usage run --by stage");
	cairn_is(2, "--check-usage cost --by colour");
	cairn_is(2, "--check-usage explain");
	cairn_is(2, "--check-usage nothing");
}

/* ---- references --------------------------------------------------------------------------- */

/* Every page that is named exists: cairn-status(1), cairn-workflow(5). */
static void check_references(const char *name)
{
	char *page = page_read(name);

	for (const char *at = page; (at = strstr(at, "cairn-")); at++) {
		char other[64], file[80], *target;
		int section, end = 0;
		if (sscanf(at, "%63[a-z-](%1d)%n", other, &section, &end) != 2 || !end)
			continue;
		snprintf(file, sizeof(file), "%s.%d", other, section);
		target = page_read(file);
		if (!target)
			fail_msg("%s names %s, which there is not", name, file);
		free(target);
	}
	free(page);
}

static void test_cli_manual__references_lead_somewhere(void **state)
{
	DIR *dir = opendir(MAN_DIR);
	const struct dirent *file;

	(void)state;
	assert_non_null(dir);
	while ((file = readdir(dir))) {
		if (file->d_name[0] != '.' && !strstr(file->d_name, ".md"))
			check_references(file->d_name);
	}
	closedir(dir);
}

/* ---- how it looks ------------------------------------------------------------------------- */

/* Lines that the program prints and that matter; the first is kept in `first`. */
static int count_complaints(const char *program, const char *ignore, char first[256])
{
	FILE *pipe = popen(program, "r");
	char line[256];
	int n = 0;

	assert_non_null(pipe);
	while (fgets(line, sizeof(line), pipe)) {
		if ((ignore && strstr(line, ignore)) || n++)
			continue;
		snprintf(first, 256, "%s", line);
	}
	pclose(pipe);
	return n;
}

/* A date would have to be changed with each page; there is none. */
static void test_cli_manual__formatters_have_no_complaint(void **state)
{
	char first[256];

	(void)state;
	if (count_complaints("command -v mandoc", NULL, first) == 0)
		skip();
	if (count_complaints(
		    "mandoc -T lint -W warning " MAN_DIR "/*.[157] 2>&1", "missing date", first))
		fail_msg("mandoc: %s", first);
	if (count_complaints("command -v groff", NULL, first) &&
		count_complaints("for page in " MAN_DIR "/*.[157]; do "
				 "groff -ww -man -Tutf8 -z $page; done 2>&1",
			NULL, first))
		fail_msg("groff: %s", first);
}

/* An installation in the test's directory: bin/cairn, its page, and a `man` that shows what it
 * was asked to show. */
static void test_cli_manual__help_opens_the_page_on_a_terminal(void **state)
{
	static const char install[] =
		"mkdir -p bin share/man/man1 && cp " CAIRN_BINARY " bin/ && "
		"cp " MAN_DIR "/cairn-run.1 share/man/man1/ && "
		"printf '#!/bin/sh\\necho shown: \"$@\"\\n' >bin/man && chmod +x bin/man";
	char first[256];

	(void)state;
	/* A container may have no terminals at all. */
	if (count_complaints("command -v script", NULL, first) == 0 ||
		count_complaints("script -qec true /dev/null </dev/null 2>&1", NULL, first) > 0) {
		print_message("skipped: no script(1), or no pseudo-terminal\n");
		skip();
	}
	assert_int_equal(count_complaints(install, NULL, first), 0);
#define ON_A_TERMINAL(args) "PATH=$PWD/bin:$PATH script -qec 'cairn " args "' /dev/null </dev/null"
	assert_int_equal(count_complaints(ON_A_TERMINAL("help run"), NULL, first), 1);
	assert_has(first, "shown: -l ");
	assert_has(first, "/share/man/man1/cairn-run.1");
	/* What is compiled in: no page, no terminal, or asked for. */
	assert_true(count_complaints(ON_A_TERMINAL("help cost"), NULL, first) > 5);
	assert_has(first, "usage: cairn cost");
	assert_true(count_complaints(ON_A_TERMINAL("run --help"), NULL, first) > 5);
	assert_has(first, "usage: cairn run");
	assert_true(count_complaints("PATH=$PWD/bin:$PATH cairn help run", NULL, first) > 5);
	assert_has(first, "usage: cairn run");
	/* A man that cannot show it. */
	assert_int_equal(
		count_complaints("printf '#!/bin/sh\\nexit 3\\n' >bin/man", NULL, first), 0);
	assert_true(count_complaints(ON_A_TERMINAL("help run"), NULL, first) > 5);
	assert_has(first, "usage: cairn run");
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_cli_manual__every_verb_has_a_page),
		DRIVEN(test_cli_manual__every_page_has_a_verb),
		DRIVEN(test_cli_manual__name_and_synopsis_are_the_table),
		DRIVEN(test_cli_manual__overview_lists_the_verbs),
		DRIVEN(test_cli_manual__options_are_the_tables),
		DRIVEN(test_cli_manual__exit_statuses_are_the_tables),
		DRIVEN(test_cli_manual__examples_are_command_lines),
		DRIVEN(test_cli_manual__usage_check_finds_mistakes),
		DRIVEN(test_cli_manual__references_lead_somewhere),
		DRIVEN(test_cli_manual__formatters_have_no_complaint),
		DRIVEN(test_cli_manual__help_opens_the_page_on_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
