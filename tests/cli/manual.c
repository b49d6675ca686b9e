/* SPDX-License-Identifier: Apache-2.0 */
/* manual.c - what `cairn help` offers and what cairn(1) explains are the same. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "drive.h"

#define MAX_NAMES 128

typedef struct names {
	char items[MAX_NAMES][32];
	size_t n;
} names;

static void add(names *set, const char *text, size_t len)
{
	assert_true(set->n < MAX_NAMES && len < sizeof(set->items[0]));
	for (size_t i = 0; i < set->n; i++) {
		if (strlen(set->items[i]) == len && strncmp(set->items[i], text, len) == 0)
			return;
	}
	memcpy(set->items[set->n], text, len);
	set->items[set->n++][len] = '\0';
}

static bool has(const names *set, const char *name)
{
	for (size_t i = 0; i < set->n; i++) {
		if (strcmp(set->items[i], name) == 0)
			return true;
	}
	return false;
}

static void assert_same(const names *help, const names *manual, const char *what)
{
	for (size_t i = 0; i < help->n; i++) {
		if (!has(manual, help->items[i]))
			fail_msg("%s '%s' is not in cairn.1", what, help->items[i]);
	}
	for (size_t i = 0; i < manual->n; i++) {
		if (!has(help, manual->items[i]))
			fail_msg("%s '%s' of cairn.1 is not in `cairn help`", what,
				manual->items[i]);
	}
}

static char *read_manual(void)
{
	FILE *file = fopen(CAIRN_SOURCE_DIR "/orchestrator/man/cairn.1", "r");
	cairn_text text = {0};
	char piece[4096];
	size_t n;

	assert_non_null(file);
	while ((n = fread(piece, 1, sizeof(piece), file)) > 0)
		cairn_text_add_bytes(&text, piece, n);
	fclose(file);
	return text.data;
}

/* Lines "  name  summary" between the usage line and the options. */
static void verbs_of_help(names *out)
{
	const char *at = strstr(cairn_is(0, "help")->out, "VERB [ARGUMENTS]\n\n");

	assert_non_null(at);
	for (at = strchr(at, '\n') + 2; strncmp(at, "  ", 2) == 0; at = strchr(at, '\n') + 1)
		add(out, at + 2, strcspn(at + 2, " "));
}

/* "--name" in the help of everything. */
static void options_of_help(names *out, const names *verbs)
{
	char line[64];

	for (size_t i = 0; i < verbs->n; i++) {
		const char *at;
		snprintf(line, sizeof(line), "help %s", verbs->items[i]);
		for (at = cairn_is(0, line)->out; (at = strstr(at, " --")); at++) {
			/* Options stand in a column; what a sentence mentions does not count. */
			if (at[-1] == ',' || at[-1] == ' ')
				add(out, at + 3, strcspn(at + 3, " \n,["));
		}
	}
}

/* The items after ".TP" in the sections VERBS and OPTIONS. */
static void items_of_manual(const char *manual, const char *section, bool options, names *out)
{
	char head[32];
	const char *at, *end;

	snprintf(head, sizeof(head), ".SH %s\n", section);
	at = strstr(manual, head);
	assert_non_null(at);
	end = strstr(at + 1, "\n.SH ");
	while ((at = strstr(at, ".TP\n.")) && at < end) {
		char item[128], plain[128];
		size_t len, n = 0;
		at += strlen(".TP\n.B");
		len = strcspn(at, "\n");
		assert_true(len < sizeof(item));
		memcpy(item, at, len);
		item[len] = '\0';
		/* "\-" is a hyphen. */
		for (const char *c = item; *c; c++) {
			if (*c != '\\')
				plain[n++] = *c;
		}
		plain[n] = '\0';
		if (options) {
			const char *name = strstr(plain, "--");
			assert_non_null(name);
			add(out, name + 2, strcspn(name + 2, " \""));
		} else {
			const char *name = plain + strspn(plain, "R ");
			add(out, name, strcspn(name, " "));
		}
	}
}

static void test_cli_manual__has_every_verb(void **state)
{
	names help = {0}, manual = {0};
	char *text = read_manual();

	(void)state;
	verbs_of_help(&help);
	assert_true(has(&help, "run") && has(&help, "version"));
	items_of_manual(text, "VERBS", false, &manual);
	assert_same(&help, &manual, "verb");
	free(text);
}

static void test_cli_manual__has_every_option(void **state)
{
	names verbs = {0}, help = {0}, manual = {0};
	char *text = read_manual();

	(void)state;
	verbs_of_help(&verbs);
	options_of_help(&help, &verbs);
	assert_true(has(&help, "keep-going") && has(&help, "store") && has(&help, "json"));
	items_of_manual(text, "OPTIONS", true, &manual);
	assert_same(&help, &manual, "option");
	free(text);
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_cli_manual__has_every_verb),
		DRIVEN(test_cli_manual__has_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
