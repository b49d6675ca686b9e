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

/* Those of one verb and its tool; with NULL, those of every verb. */
static void print_options(const cli *c, const cli_verb *verb)
{
	for (size_t i = 0; i < c->n_options; i++) {
		if (cli_option_is_of(c, &c->options[i], verb))
			print_option(&c->options[i]);
	}
}

static void print_exits(void)
{
	cairn_text text = {0};
	size_t n;
	const cli_exit *exits = cli_exits(&n);

	cairn_text_add(&text, "Exit status: ");
	for (size_t i = 0; i < n; i++)
		cairn_text_printf(
			&text, "%s%d %s", i ? ", " : "", exits[i].status, exits[i].meaning);
	cairn_text_add(&text, ".");
	putchar('\n');
	fill(cairn_text_get(&text), 0, 0);
	cairn_text_free(&text);
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
	printf("\nOptions of a verb are listed by `cairn help VERB`.\n");
	print_exits();
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

/* ---- as a document ------------------------------------------------------------------------ */

static json_t *text_or_null(const char *text)
{
	return text ? cairn_record_text(text) : json_null();
}

static json_t *option_json(const cli_option *option)
{
	const char letter[] = {option->letter, '\0'}, *at = cli_option_choices(option);
	json_t *json = json_pack("{s:s, s:o, s:o, s:o}", "name", option->name, "letter",
		option->letter ? json_string(letter) : json_null(), "value",
		text_or_null(option->value), "summary", cairn_record_text(option->summary));
	json_t *choices = at ? json_array() : NULL;

	while (at && *at) {
		size_t len = strcspn(at, "|");
		json_array_append_new(choices, json_stringn(at, len));
		at += len + (at[len] == '|');
	}
	if (choices)
		json_object_set_new(json, "choices", choices);
	return json;
}

static json_t *options_json(const cli *c, const cli_verb *verb)
{
	json_t *list = json_array();

	for (size_t i = 0; i < c->n_options; i++) {
		if (cli_option_is_of(c, &c->options[i], verb))
			json_array_append_new(list, option_json(&c->options[i]));
	}
	return list;
}

static json_t *verb_json(cli *c, const cli_verb *verb)
{
	json_t *json;

	cli_options_of(c, verb->name);
	json = json_pack("{s:s, s:o, s:s, s:s, s:s, s:o}", "name", verb->name, "alias",
		text_or_null(verb->alias), "usage", verb->usage, "summary", verb->summary, "text",
		verb->text, "options", options_json(c, verb));
	/* Each tool is looked for anew: the next verb may have one, too. */
	cli_tool_close(c);
	return json;
}

/* Everything, or one verb. */
static int print_json(cli *c, const cli_verb *only)
{
	size_t n, n_exits;
	const cli_verb *verbs = cli_verbs(&n);
	const cli_exit *exits = cli_exits(&n_exits);
	json_t *list = json_array(), *statuses = json_array();

	for (size_t i = 0; i < n; i++) {
		if (!only || only == &verbs[i])
			json_array_append_new(list, verb_json(c, &verbs[i]));
	}
	for (size_t i = 0; i < n_exits; i++)
		json_array_append_new(statuses, json_pack("{s:i, s:s}", "status", exits[i].status,
							"meaning", exits[i].meaning));
	cli_options_of(c, "");
	return cli_print_json(json_pack("{s:o, s:o, s:o}", "verbs", list, "options",
				      options_json(c, NULL), "exits", statuses),
		"cairn.help/1");
}

int cli_help(cli *c)
{
	const cli_verb *verb = c->n_args ? cli_verb_find(c->args[0]) : NULL;

	if (c->n_args && !verb)
		return cli_fail(c, CAIRN_EUSAGE, "`cairn help` lists the verbs.",
			"unknown verb '%.200s'", c->args[0]);
	if (c->json)
		return print_json(c, verb);
	if (!verb)
		print_overview(c);
	else if (c->is_help_option || !cli_manual_show(c, verb->name))
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
