/* SPDX-License-Identifier: Apache-2.0 */
/* help.c - help and version, from the tables of verbs.c and options.c. */
#include <string.h>

#include "cli/cli.h"

#define HELP_COLUMNS   79
#define OPTION_COLUMNS 27 /* where the meaning of an option begins */

/* Words filled to HELP_COLUMNS; this line stands at column `at`, the following begin at `indent`.
 */
static void fill(const char *text, size_t indent, size_t at)
{
	while (*text) {
		size_t len = strcspn(text, " ");
		if (at > indent && at + 1 + len > HELP_COLUMNS) {
			putchar('\n');
			at = 0;
		}
		at += (size_t)printf("%*s%.*s", at == 0 ? (int)indent : 1, "", (int)len, text);
		text += len;
		text += strspn(text, " ");
	}
	putchar('\n');
}

static void print_option(const cli_option *option)
{
	bool may = option->value && option->value[0] == '['; /* "--decode[=yes|no]" */
	int at = printf("  %s%c%s --%s%s%s", option->letter ? "-" : " ",
		option->letter ? option->letter : ' ', option->letter ? "," : " ", option->name,
		option->value && !may ? " " : "", option->value ? option->value : "");

	if (at < OPTION_COLUMNS - 1)
		at += printf("%*s", OPTION_COLUMNS - 1 - at, "");
	fill(option->summary, OPTION_COLUMNS, (size_t)at);
}

static bool is_replaced(const cli *c, const cli_option *option)
{
	for (size_t i = 0; i < c->n_tool_options; i++) {
		if (&c->options[i] != option && strcmp(c->options[i].name, option->name) == 0)
			return true;
	}
	return false;
}

/* Those of one verb and its tool; with NULL, those of every verb. */
static void print_options(const cli *c, const cli_verb *verb)
{
	char word[32];

	snprintf(word, sizeof(word), " %s ", verb ? verb->name : "");
	for (size_t i = 0; i < c->n_options; i++) {
		const cli_option *option = &c->options[i];
		bool mine = i < c->n_tool_options || (option->verbs && strstr(option->verbs, word));
		bool everyones = i >= c->n_tool_options && !option->verbs;
		if ((verb ? mine : everyones) && !is_replaced(c, option))
			print_option(option);
	}
}

static void print_overview(cli *c)
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
	cli_options_of(c, "");
	print_options(c, NULL);
	printf("\nOptions of a verb are listed by `cairn help VERB`.\n"
	       "\nExit status: 0 ok, 1 a stage failed, 2 usage or workflow error, 3 no such thing,\n"
	       "4 integrity failure, 5 waiting for people, 75 busy with --no-wait.\n");
}

static void print_verb(cli *c, const cli_verb *verb)
{
	printf("usage: cairn %s%s%s\n", verb->name, verb->usage[0] ? " " : "", verb->usage);
	if (verb->alias)
		printf("also:  cairn %s\n", verb->alias);
	printf("\n  %s\n\n", verb->summary);
	fill(verb->text, 2, 0);
	printf("\nOptions:\n");
	cli_options_of(c, verb->name);
	print_options(c, verb);
	print_options(c, NULL);
	/* Help on a tool that cannot be had says why its options are missing. */
	if (c->tool.error.code)
		cli_error(c, &c->tool.error);
}

int cli_help(cli *c)
{
	const cli_verb *verb;

	if (c->n_args == 0) {
		print_overview(c);
		return CLI_OK;
	}
	verb = cli_verb_find(c->args[0]);
	if (!verb)
		return cli_fail(c, CAIRN_EUSAGE, "`cairn help` lists the verbs.",
			"unknown verb '%.200s'", c->args[0]);
	print_verb(c, verb);
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
