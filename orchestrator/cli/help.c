/* SPDX-License-Identifier: Apache-2.0 */
/* help.c - help and version, from the tables of verbs.c and options.c. */
#include <string.h>

#include "cli/cli.h"

#define HELP_COLUMNS 78

static void print_option(const cli_option *option)
{
	char left[40];

	snprintf(left, sizeof(left), "%s%c%s --%s%s%s", option->letter ? "-" : " ",
		option->letter ? option->letter : ' ', option->letter ? "," : " ", option->name,
		option->value ? " " : "", option->value ? option->value : "");
	printf("  %-24s %s\n", left, option->summary);
}

/* Filled to HELP_COLUMNS, indented by two. */
static void print_paragraph(const char *text)
{
	size_t at = 0;

	while (*text) {
		size_t len = strcspn(text, " ");
		if (at > 0 && at + 1 + len > HELP_COLUMNS) {
			putchar('\n');
			at = 0;
		}
		at += (size_t)printf("%s%.*s", at == 0 ? "  " : " ", (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
	putchar('\n');
}

static void print_options(const cli_verb *verb)
{
	size_t n;
	const cli_option *options = cli_options(&n);
	char word[32];

	snprintf(word, sizeof(word), " %s ", verb ? verb->name : "");
	for (size_t i = 0; i < n; i++) {
		bool mine = options[i].verbs && strstr(options[i].verbs, word);
		if (verb ? mine : !options[i].verbs)
			print_option(&options[i]);
	}
}

static void print_overview(void)
{
	size_t n;
	const cli_verb *verbs = cli_verbs(&n);

	printf("cairn runs workflows of training stages, and goes on where they stopped.\n\n"
	       "usage: cairn [OPTIONS] VERB [ARGUMENTS]\n\n");
	for (size_t i = 0; i < n; i++)
		printf("  %-9s %s%s%s%s\n", verbs[i].name, verbs[i].summary,
			verbs[i].alias ? " (also: " : "", verbs[i].alias ? verbs[i].alias : "",
			verbs[i].alias ? ")" : "");
	printf("\nOptions of every verb, before or after it:\n");
	print_options(NULL);
	printf("\nOptions of a verb are listed by `cairn help VERB`.\n"
	       "\nExit status: 0 ok, 1 a stage failed, 2 usage or workflow error, 3 no such thing,\n"
	       "4 integrity failure, 5 waiting for people, 75 busy with --no-wait.\n");
}

static void print_verb(const cli_verb *verb)
{
	printf("usage: cairn %s%s%s\n", verb->name, verb->usage[0] ? " " : "", verb->usage);
	if (verb->alias)
		printf("also:  cairn %s\n", verb->alias);
	printf("\n  %s\n\n", verb->summary);
	print_paragraph(verb->text);
	printf("\nOptions:\n");
	print_options(verb);
	print_options(NULL);
}

int cli_help(cli *c)
{
	const cli_verb *verb;

	if (c->n_args == 0) {
		print_overview();
		return CLI_OK;
	}
	verb = cli_verb_find(c->args[0]);
	if (!verb)
		return cli_fail(c, CAIRN_EUSAGE, "`cairn help` lists the verbs.",
			"unknown verb '%.200s'", c->args[0]);
	print_verb(verb);
	return CLI_OK;
}

int cli_version(cli *c)
{
	if (c->json)
		return cli_print_json(json_pack("{s:s, s:i, s:i, s:s}", "version", CAIRN_VERSION,
					      "abi_major", CAIRN_STAGE_MAJOR, "abi_minor",
					      CAIRN_STAGE_MINOR, "compiler", __VERSION__),
			"cairn.version/1");
	printf("cairn %s\nplugin contract %d.%d\ncompiler %s\njansson %s\n", CAIRN_VERSION,
		CAIRN_STAGE_MAJOR, CAIRN_STAGE_MINOR, __VERSION__, JANSSON_VERSION);
	return CLI_OK;
}
