/* SPDX-License-Identifier: Apache-2.0 */
/*
 * complete_script.c - `cairn --complete SHELL`: a completion script with this binary's tables.
 *
 * The scripts are in orchestrator/completions; where "#TABLES#" stands, the verbs, their options
 * and what each option and argument takes are written as the shell wants it. What an argument
 * takes is read off the verb's usage ("[RUN] [STAGE]"), so a new verb is completed as well.
 *
 * A kind says what can stand somewhere: "files", "dirs", "=a|b" (these words; "=": nothing that
 * could be guessed) or one that `cairn --complete-words` knows.
 */
#include <string.h>

#include "cli/cli.h"
#include "completion_scripts.h"

#define MAX_KINDS     8
#define MAX_ARGUMENTS 3

/* ---- kinds -------------------------------------------------------------------------------- */

/* Of a word in a usage or an option's value; NULL: nothing is known. */
static const char *kind_of(const char *verb, const char *word, size_t len)
{
	static const struct {
		const char *word, *kind;
	} kinds[] = {{"FILE", "files"}, {"FILE.so", "files"}, {"DIR", "dirs"}, {"RUN", "runs"},
		{"STAGE", "stages"}, {"ARTIFACT", "artifacts"}, {"MODEL", "artifacts dirs"},
		{"TOKENIZER", "artifacts dirs"}, {"ENTRY", "entries"}, {"VERB", "verbs"},
		{"NAME=VALUE", "params"}};

	/* Only a run has logs; what is explained is in the file. */
	if (strcmp(verb, "log") == 0 && len == 5 && strncmp(word, "STAGE", len) == 0)
		return "run-stages";
	/* Mostly today's: the first word is a stage then. */
	if (strcmp(verb, "explain") == 0 && len == 3 && strncmp(word, "RUN", len) == 0)
		return "stages";
	if (strcmp(verb, "plugins") == 0 && len == 4 && strncmp(word, "NAME", len) == 0)
		return "plugins";
	for (size_t i = 0; i < CAIRN_COUNT(kinds); i++) {
		if (strlen(kinds[i].word) == len && strncmp(kinds[i].word, word, len) == 0)
			return kinds[i].kind;
	}
	return NULL;
}

static bool is_literal(const char *word, size_t len)
{
	return len && strspn(word, "abcdefghijklmnopqrstuvwxyz-") >= len;
}

typedef struct argument {
	cairn_text kinds, words; /* "runs stages"; "up|down" */
	bool is_optional;
} argument;

static void add_alternative(argument *a, const char *verb, const char *word, size_t len)
{
	const char *kind = kind_of(verb, word, len);

	if (kind && !strstr(cairn_text_get(&a->kinds), kind))
		cairn_text_printf(&a->kinds, "%s%s", a->kinds.len ? " " : "", kind);
	else if (!kind && is_literal(word, len))
		cairn_text_printf(&a->words, "%s%.*s", a->words.len ? "|" : "", (int)len, word);
}

/* "[NAME | describe FILE.so]", "up|down ARTIFACT": `|` between blanks separates whole rows. */
static void read_usage(argument out[MAX_ARGUMENTS], const cli_verb *verb)
{
	size_t at = 0, row = 0;
	bool is_optional = false;

	for (const char *c = verb->usage; *c;) {
		size_t len = strcspn(c, " |[]");
		if (*c == '[')
			is_optional = true, row = at;
		else if (*c == ']')
			is_optional = false;
		else if (strncmp(c, " | ", 3) == 0)
			at = row, c += 2;
		else if (*c == ' ')
			at++;
		if (len && at < MAX_ARGUMENTS) {
			add_alternative(&out[at], verb->name, c, len);
			out[at].is_optional = is_optional;
		}
		c += len ? len : 1;
	}
}

/* What can stand as argument n: also the next one's, where this can be left out. */
static char *argument_kinds(cli *c, const cli_verb *verb, int n)
{
	argument all[MAX_ARGUMENTS] = {0};
	cairn_text kinds = {0};
	char *out;

	read_usage(all, verb);
	for (int i = n; i < verb->max_args && i < MAX_ARGUMENTS; i++) {
		if (all[i].kinds.len)
			cairn_text_printf(&kinds, "%s%s", kinds.len ? " " : "", all[i].kinds.data);
		if (all[i].words.len)
			cairn_text_printf(&kinds, "%s=%s", kinds.len ? " " : "", all[i].words.data);
		if (!all[i].is_optional || verb->min_args > i || strchr(verb->usage, '|'))
			break;
	}
	for (int i = 0; i < MAX_ARGUMENTS; i++) {
		cairn_text_free(&all[i].kinds);
		cairn_text_free(&all[i].words);
	}
	out = cairn_arena_strdup(c->arena, cairn_text_get(&kinds));
	cairn_text_free(&kinds);
	return out;
}

/* NULL: it takes no value. */
static const char *option_kinds(cli *c, const char *verb, const cli_option *option)
{
	const char *words = cli_option_choices(option), *kind;

	if (!option->value)
		return NULL;
	if (option->value[0] == '[')
		words = "yes|no";
	if (words)
		return cairn_arena_printf(c->arena, "=%s", words);
	kind = kind_of(verb, option->value, strlen(option->value));
	return kind ? kind : "=";
}

/* ---- bash and zsh ------------------------------------------------------------------------- */

static void print_verb_names(const cli_verb *verb, const char *between)
{
	printf("%s%s%s", verb->name, verb->alias ? between : "", verb->alias ? verb->alias : "");
}

/* Those of a verb, or of all verbs. */
static void print_sh_options(const cli *c, const cli_verb *verb)
{
	for (size_t i = 0; i < c->n_options; i++) {
		const cli_option *option = &c->options[i];
		if (!cli_option_is_of(c, option, verb) && !cli_option_is_of(c, option, NULL))
			continue;
		if (option->letter)
			printf("-%c ", option->letter);
		printf("--%s ", option->name);
	}
}

static void print_sh_kind(const char *verb, const cli_option *option, const char *kinds)
{
	bool may = option->value[0] == '['; /* only with '=' */

	printf("\t'%s --%s%s'", verb, option->name, may ? "=" : "");
	if (option->letter)
		printf(" | '%s -%c'", verb, option->letter);
	printf(") REPLY='%s' ;;\n", kinds);
}

static void print_sh_kinds_of(cli *c, const cli_verb *verb, const char *name)
{
	for (size_t i = 0; i < c->n_options; i++) {
		const cli_option *option = &c->options[i];
		const char *kinds = option_kinds(c, verb->name, option);
		if (kinds && cli_option_is_of(c, option, verb))
			print_sh_kind(name, option, kinds);
	}
	for (int i = 0; i < verb->max_args && i < MAX_ARGUMENTS; i++) {
		const char *kinds = argument_kinds(c, verb, i);
		if (kinds[0])
			printf("\t'%s %d') REPLY='%s' ;;\n", name, i + 1, kinds);
	}
}

static void print_sh_tables(cli *c)
{
	size_t n;
	const cli_verb *verbs = cli_verbs(&n);

	printf("_cairn_verbs='");
	for (size_t i = 0; i < n; i++) {
		printf("%s", i ? " " : "");
		print_verb_names(&verbs[i], " ");
	}
	printf("'\n\n# The options of a verb.\n_cairn_options() {\n\tcase $1 in\n");
	for (size_t i = 0; i < n; i++) {
		cli_options_of(c, verbs[i].name);
		printf("\t");
		print_verb_names(&verbs[i], " | ");
		printf(") REPLY='");
		print_sh_options(c, &verbs[i]);
		printf("' ;;\n");
		cli_tool_close(c);
	}
	cli_options_of(c, "");
	printf("\t*) REPLY='");
	print_sh_options(c, NULL);
	printf("' ;;\n\tesac\n}\n\n# What stands behind an option of a verb, or as its n-th "
	       "argument.\n_cairn_kinds() {\n\tcase \"$1 $2\" in\n");
	for (size_t i = 0; i < n; i++) {
		cli_options_of(c, verbs[i].name);
		print_sh_kinds_of(c, &verbs[i], verbs[i].name);
		if (verbs[i].alias)
			print_sh_kinds_of(c, &verbs[i], verbs[i].alias);
		cli_tool_close(c);
	}
	cli_options_of(c, "");
	for (size_t i = 0; i < c->n_options; i++) {
		const char *kinds = option_kinds(c, "", &c->options[i]),
			   letter = c->options[i].letter;
		if (!kinds || c->options[i].verbs)
			continue;
		printf("\t*' --%s'", c->options[i].name);
		if (letter)
			printf(" | *' -%c'", letter);
		printf(") REPLY='%s' ;;\n", kinds);
	}
	printf("\t*) REPLY= ;;\n\tesac\n}\n");
}

/* ---- fish --------------------------------------------------------------------------------- */

static void print_fish_text(const char *text)
{
	putchar('\'');
	for (; *text; text++)
		printf("%s%c", *text == '\'' || *text == '\\' ? "\\" : "", *text);
	putchar('\'');
}

/* " -a '(...)'" for each kind, or " -F" for files. */
static void print_fish_kinds(const char *kinds)
{
	printf(" -a '");
	for (const char *at = kinds; *at;) {
		size_t len = strcspn(at, " ");
		if (strncmp(at, "files", 5) == 0) {
			printf("(__fish_complete_path (commandline -ct)) ");
		} else if (strncmp(at, "dirs", 4) == 0) {
			printf("(__fish_complete_directories (commandline -ct)) ");
		} else if (*at == '=') {
			for (size_t i = 1; i < len; i++)
				putchar(at[i] == '|' ? ' ' : at[i]);
		} else {
			printf("(__cairn_words %.*s) ", (int)len, at);
		}
		at += len + (at[len] == ' ');
	}
	putchar('\'');
}

static void print_fish_option(cli *c, const cli_verb *verb, const cli_option *option)
{
	const char *kinds = option_kinds(c, verb ? verb->name : "", option);

	printf("complete -c cairn");
	if (verb) {
		printf(" -n '__cairn_is ");
		print_verb_names(verb, " ");
		putchar('\'');
	}
	if (option->letter)
		printf(" -s %c", option->letter);
	printf(" -l %s", option->name);
	if (kinds) {
		printf(" %s", option->value[0] == '[' ? "-f" : "-x");
		print_fish_kinds(kinds);
	}
	printf(" -d ");
	print_fish_text(option->summary);
	putchar('\n');
}

static void print_fish_verb(cli *c, const cli_verb *verb)
{
	const char *const names[] = {verb->name, verb->alias};

	for (int i = 0; i < 2 && names[i]; i++) {
		printf("complete -c cairn -n \"__cairn_is ''\" -a %s -d ", names[i]);
		print_fish_text(verb->summary);
		putchar('\n');
		for (int n = 0; n < verb->max_args && n < MAX_ARGUMENTS; n++) {
			const char *kinds = argument_kinds(c, verb, n);
			if (!kinds[0])
				continue;
			printf("complete -c cairn -n '__cairn_is_at %s %d'", names[i], n);
			print_fish_kinds(kinds);
			putchar('\n');
		}
	}
	cli_options_of(c, verb->name);
	for (size_t i = 0; i < c->n_options; i++) {
		if (cli_option_is_of(c, &c->options[i], verb))
			print_fish_option(c, verb, &c->options[i]);
	}
	cli_tool_close(c);
}

/* "VERB OPTION" of all options that take the next word. */
static void print_fish_takers(cli *c, const cli_verb *verb, const char *name)
{
	for (size_t i = 0; i < c->n_options; i++) {
		const cli_option *option = &c->options[i];
		if (!option->value || option->value[0] == '[' || !cli_option_is_of(c, option, verb))
			continue;
		printf("\t\tcase '%s --%s'", name, option->name);
		if (option->letter)
			printf(" '%s -%c'", name, option->letter);
		printf("\n\t\t\treturn 0\n");
	}
}

static void print_fish_tables(cli *c)
{
	size_t n;
	const cli_verb *verbs = cli_verbs(&n);

	printf("# Does this option of this verb take the next word?\n"
	       "function __cairn_takes_value\n\tswitch \"$argv[1] $argv[2]\"\n");
	for (size_t i = 0; i < n; i++) {
		cli_options_of(c, verbs[i].name);
		print_fish_takers(c, &verbs[i], verbs[i].name);
		if (verbs[i].alias)
			print_fish_takers(c, &verbs[i], verbs[i].alias);
		cli_tool_close(c);
	}
	cli_options_of(c, "");
	print_fish_takers(c, NULL, "*");
	printf("\tend\n\treturn 1\nend\n\n");
	for (size_t i = 0; i < c->n_options; i++) {
		if (cli_option_is_of(c, &c->options[i], NULL))
			print_fish_option(c, NULL, &c->options[i]);
	}
	for (size_t i = 0; i < n; i++)
		print_fish_verb(c, &verbs[i]);
}

/* ---- the script --------------------------------------------------------------------------- */

int cli_complete_script(cli *c, const char *shell)
{
	static const char mark[] = "#TABLES#\n";
	const struct {
		const char *shell;
		const unsigned char *script;
		void (*tables)(cli *c);
	} all[] = {{"bash", script_bash, print_sh_tables}, {"zsh", script_zsh, print_sh_tables},
		{"fish", script_fish, print_fish_tables}};

	for (size_t i = 0; i < CAIRN_COUNT(all); i++) {
		const char *script = (const char *)all[i].script, *at = strstr(script, mark);
		if (strcmp(all[i].shell, shell) != 0)
			continue;
		printf("%.*s", (int)(at - script), script);
		all[i].tables(c);
		printf("%s", at + strlen(mark));
		return CLI_OK;
	}
	return cli_fail(c, CAIRN_EUSAGE, "Name bash, zsh or fish.",
		"there is no completion for '%.100s'", shell);
}
