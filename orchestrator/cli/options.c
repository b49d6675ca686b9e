/* SPDX-License-Identifier: Apache-2.0 */
/*
 * options.c - the command line as data: one table, read by the parser, --help and the tests.
 *
 * Options may stand before or after the verb (getopt_long permutes). An option that does not
 * belong to the verb is a mistake, not silently ignored. A verb with a tool behind it brings the
 * options of the tool, so the verb is looked for first; these stand behind it.
 */
#include <getopt.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static const cli_option options[] = {
	{"directory", 'C', "DIR", NULL, "work in DIR"},
	{"store", 0, "DIR", NULL, "the store (default: $CAIRN_STORE, else .cairn)"},
	{"json", 0, NULL, NULL, "print one JSON document with a \"schema\""},
	{"quiet", 'q', NULL, NULL, "the last line only"},
	{"verbose", 'v', NULL, NULL, "say more"},
	{"progress", 0, "auto|tty|plain|json|none", NULL,
		"how a run tells what it does (default: auto, by what stderr is)"},
	{"color", 0, "auto|always|never", NULL, "NO_COLOR is respected (default: auto)"},
	{"param", 'p', "NAME=VALUE", " run plan check explain bless graph plugins ",
		"replace a value of [params]; may be repeated"},
	{"jobs", 'j', "N", " run ", "stages at once (default: 1)"},
	{"keep-going", 'k', NULL, " run ", "after a failure, run what does not depend on it"},
	{"dry-run", 'n', NULL, " run bless ", "say what would run, and why"},
	{"threads", 0, "N", " run generate score plugins ",
		"threads of a stage or tool (default: all cpus)"},
	{"format", 0, "safetensors|bundle|tensorboard|jsonl", " export ",
		"of a model (safetensors, the default), of a run (tensorboard, jsonl), of both "
		"(bundle)"},
	{"with-inputs", 0, NULL, " export ",
		"of a bundle: the bytes, too, of all that it was made from"},
	{"as", 0, "text|dot|mermaid", " graph ",
		"how to draw it (default: text on a terminal, else dot)"},
	{"collapse", 0, NULL, " graph ", "one node for all instances of a section"},
	{"force", 0, NULL, " export ", "write into a directory that is not empty"},
	{"reason", 0, "TEXT", " bless ", "why the result is as good as a new one"},
	{"revoke", 0, NULL, " bless ", "take a blessing back"},
	{"overcommit", 0, NULL, " run ", "run stages that do not fit in memory, too"},
	{"max-cost", 0, "COST", " run plan ",
		"refuse to spend more: petaflop/s-days, or FLOP with a unit (0.5, 18TFLOP)"},
	{"no-wait", 0, NULL, " run bless ", "exit with 75 where another run uses the store"},
	{"file", 'f', "FILE", " explain bless check plan run graph plugins ", "the workflow"},
	{"stage", 0, "STAGE", " plugins ", "the stage to check a plugin with"},
	{"exit-code", 0, NULL, " explain plan run ",
		"exit with 1 where something would run; `run` with 5 where it waits for people"},
	{"table", 0, "gpt3", " plan ", "the compute of published models, as cairn counts it"},
	{"by", 0, "stage|group|account", " cost ", "what the rows are (default: stage)"},
	{"metrics", 0, NULL, " log ", "the metric rows instead of the log"},
	{"attempt", 0, "N", " log ", "an earlier attempt"},
	{"depth", 0, "N", " lineage ", "at most N edges from the start"},
	{"limit", 0, "N", " lineage log ", "at most N nodes or runs; 0: all"},
	{"keep-runs", 0, "N", " gc ", "give up all but the newest N runs of each workflow"},
	{"older-than", 0, "DURATION", " gc ", "give up runs that ended longer ago: 12h, 30d"},
	{"checkpoints", 0, NULL, " gc ", "give up the resume state of stages that do not run"},
	{"delete", 0, NULL, " gc ", "do it, instead of saying what it would do"},
	{"break-lease", 0, "ID", " gc ",
		"end the lease of a process that is gone, on another host or in a container"},
	{"index", 0, NULL, " fsck ", "check the index alone, and read no data"},
	{"repair", 0, NULL, " fsck ", "drop what is damaged, so that it is made again"},
	{"rebuild", 0, NULL, " fsck ", "make the index anew; then as --repair"},
	{"backup", 0, NULL, " fsck ", "copy the index, where nothing is damaged"},
	{"help", 'h', NULL, NULL, "help, for the verb where one is given"},
	{"version", 0, NULL, NULL, "version"},
};

/* Values that getopt answers for options without a letter. */
#define LONG_BASE 256

static bool belongs(const cli_option *option, const char *verb)
{
	char word[32];

	snprintf(word, sizeof(word), " %s ", verb);
	return !option->verbs || strstr(option->verbs, word);
}

const char *cli_option_choices(const cli_option *option)
{
	bool are_words = option->value && option->value[0] >= 'a' && option->value[0] <= 'z';

	return are_words ? option->value : NULL;
}

bool cli_option_is_of(const cli *c, const cli_option *option, const cli_verb *verb)
{
	bool is_tools = option < c->options + c->n_tool_options;

	/* A tool's own comes before cairn's of the same name. */
	for (size_t i = 0; !is_tools && i < c->n_tool_options; i++) {
		if (strcmp(c->options[i].name, option->name) == 0)
			return false;
	}
	if (!verb)
		return !is_tools && !option->verbs;
	return is_tools || (option->verbs && belongs(option, verb->name));
}

/* A tool's parameter does not hide what the verb has itself. */
static bool is_taken(const char *verb, const char *name)
{
	for (size_t i = 0; i < CAIRN_COUNT(options); i++) {
		if (strcmp(options[i].name, name) == 0 && options[i].verbs &&
			belongs(&options[i], verb))
			return true;
	}
	return false;
}

void cli_options_of(cli *c, const char *verb)
{
	cli_option *all = cairn_arena_alloc(c->arena, CLI_MAX_OPTIONS, sizeof(*all));

	_Static_assert(CAIRN_COUNT(options) < CLI_MAX_OPTIONS, "no room for a tool's options");
	c->n_tool_options = 0;
	if (cli_verb_has_tool(verb)) {
		cli_tool_load(c, verb);
		c->n_tool_options = cli_tool_options(
			c, verb, all, CLI_MAX_OPTIONS - CAIRN_COUNT(options), is_taken);
	}
	memcpy(all + c->n_tool_options, options, sizeof(options));
	c->options = all;
	c->n_options = c->n_tool_options + CAIRN_COUNT(options);
}

/* getopt's tables; `mode` begins the short one. Of two options of one name the first counts: the
 * tool's. */
static void build_tables(const cli *c, struct option *longs, char *shorts, const char *mode)
{
	size_t at = strlen(mode);

	memcpy(shorts, mode, at + 1);
	for (size_t i = 0; i < c->n_options; i++) {
		const cli_option *option = &c->options[i];
		longs[i] = (struct option){.name = option->name,
			.has_arg = !option->value            ? no_argument
				   : option->value[0] == '[' ? optional_argument
							     : required_argument,
			.val = LONG_BASE + (int)i};
		if (option->letter && !strchr(shorts, option->letter)) {
			shorts[at++] = option->letter;
			if (option->value)
				shorts[at++] = ':';
			shorts[at] = '\0';
		}
	}
	longs[c->n_options] = (struct option){0};
}

static const cli_option *option_of(const cli *c, int answer)
{
	for (size_t i = 0; i < c->n_options; i++) {
		if (answer == LONG_BASE + (int)i ||
			(answer < LONG_BASE && answer == c->options[i].letter))
			return &c->options[i];
	}
	return NULL;
}

/* The first word that is neither an option nor the value of one that cairn has itself. */
static const char *peek_verb(cli *c, int argc, char **argv)
{
	struct option longs[CLI_MAX_OPTIONS + 1];
	char shorts[2 * CLI_MAX_OPTIONS + 3];

	cli_options_of(c, "");
	build_tables(c, longs, shorts, "+:");
	optind = 0; /* begin, also where somebody parsed before */
	opterr = 0;
	while (getopt_long(argc, argv, shorts, longs, NULL) != -1)
		;
	return optind < argc ? argv[optind] : "";
}

/* ---- mistakes ------------------------------------------------------------------------- */

static int unknown_option(cli *c, const char *word)
{
	const char *names[CLI_MAX_OPTIONS], *near = NULL;
	cairn_error err = {0};

	/* Without its tool, nobody knows the options of a verb. */
	if (c->tool.error.code)
		return cli_error(c, &c->tool.error);
	for (size_t i = 0; i < c->n_options; i++)
		names[i] = c->options[i].name;
	if (strncmp(word, "--", 2) == 0) {
		char *name = cairn_arena_strndup(c->arena, word + 2, strcspn(word + 2, "="));
		near = cairn_did_you_mean(name, names, c->n_options);
	}
	cairn_error_set(&err, CAIRN_EUSAGE, "unknown option '%.200s'", word);
	if (near)
		cairn_error_hint(&err, "Did you mean '--%s'?", near);
	else
		cairn_error_hint(&err, "`cairn --help` lists the options.");
	return cli_error(c, &err);
}

static int unknown_verb(cli *c, const char *word)
{
	size_t n;
	const cli_verb *verbs = cli_verbs(&n);
	const char *names[64], *near;
	cairn_error err = {0};

	for (size_t i = 0; i < n; i++)
		names[i] = verbs[i].name;
	near = cairn_did_you_mean(word, names, n);
	cairn_error_set(&err, CAIRN_EUSAGE, "unknown verb '%.200s'", word);
	if (near)
		cairn_error_hint(&err, "Did you mean `cairn %s`?", near);
	else
		cairn_error_hint(&err, "`cairn help` lists the verbs.");
	return cli_error(c, &err);
}

/* ---- values --------------------------------------------------------------------------- */

static int take_number(
	cli *c, const cli_option *option, const char *text, int64_t max, int64_t *out)
{
	int64_t value;

	if (!cairn_parse_i64(text, &value) || value < 0 || value > max)
		return cli_fail(c, CAIRN_EUSAGE, NULL,
			"option '--%s' takes a number from 0 to %lld, not '%.100s'", option->name,
			(long long)max, text);
	*out = value;
	return CLI_OK;
}

/* One of the option's words. */
static int take_choice(cli *c, const cli_option *option, const char *text, const char **out)
{
	const char *at = option->value;
	cairn_text list = {0};
	int status;

	while (*at) {
		size_t len = strcspn(at, "|");
		bool is_first = at == option->value, is_last = !at[len];
		if (strlen(text) == len && strncmp(at, text, len) == 0) {
			*out = cairn_arena_strndup(c->arena, at, len);
			cairn_text_free(&list);
			return CLI_OK;
		}
		cairn_text_printf(&list, "%s%.*s",
			is_first  ? ""
			: is_last ? " or "
				  : ", ",
			(int)len, at);
		at += len + !is_last;
	}
	status = cli_fail(c, CAIRN_EUSAGE, NULL, "option '--%s' takes %s, not '%.100s'",
		option->name, cairn_text_get(&list), text);
	cairn_text_free(&list);
	return status;
}

static int take_param(cli *c, const char *text)
{
	const char *equals = strchr(text, '=');

	if (!equals || equals == text)
		return cli_fail(c, CAIRN_EUSAGE, "Write -p name=value.",
			"option '--param' takes NAME=VALUE, not '%.100s'", text);
	if (c->n_params == CLI_MAX_PARAMS)
		return cli_fail(c, CAIRN_EUSAGE, NULL, "more than %d parameters", CLI_MAX_PARAMS);
	c->params[c->n_params++] = (cairn_override){
		.name = cairn_arena_strndup(c->arena, text, (size_t)(equals - text)),
		.value = equals + 1,
	};
	return CLI_OK;
}

/* What `cairn gc` takes. */
static int take_retention(cli *c, const cli_option *option, const char *text)
{
	int status = CLI_OK;

	if (strcmp(option->name, "break-lease") == 0) {
		c->break_lease = text;
	} else if (strcmp(option->name, "older-than") == 0) {
		if (!cairn_parse_duration(text, &c->older_than_s) || !(c->older_than_s > 0))
			status = cli_fail(c, CAIRN_EUSAGE, "Write 12h or 30d.",
				"option '--older-than' takes a duration, not '%.100s'", text);
	} else if (strcmp(option->name, "keep-runs") == 0) {
		status = take_number(c, option, text, 1000000000, &c->keep_runs);
		if (status == CLI_OK && c->keep_runs == 0)
			status = cli_fail(c, CAIRN_EUSAGE,
				"To give up a workflow whole, keep its last "
				"run and let it grow old: --older-than.",
				"option '--keep-runs' keeps one run of each workflow at least");
	}
	return status;
}

static int take_value(cli *c, const cli_option *option, const char *text)
{
	const char *name = option->name;
	int64_t number = 0;
	int status = CLI_OK;

	if (strcmp(name, "directory") == 0) {
		if (chdir(text) < 0)
			return cli_fail(c, CAIRN_ENOTFOUND, NULL, "cannot work in '%.200s'", text);
	} else if (strcmp(name, "store") == 0) {
		c->store_dir = text;
	} else if (strcmp(name, "file") == 0) {
		c->file = text;
	} else if (strcmp(name, "stage") == 0) {
		c->stage = text;
	} else if (strcmp(name, "param") == 0) {
		status = take_param(c, text);
	} else if (strcmp(name, "progress") == 0) {
		status = take_choice(c, option, text, &c->progress);
	} else if (strcmp(name, "color") == 0) {
		status = take_choice(c, option, text, &c->color);
	} else if (strcmp(name, "by") == 0) {
		status = take_choice(c, option, text, &c->by);
	} else if (strcmp(name, "format") == 0) {
		status = take_choice(c, option, text, &c->format);
	} else if (strcmp(name, "as") == 0) {
		status = take_choice(c, option, text, &c->as);
	} else if (strcmp(name, "table") == 0) {
		status = take_choice(c, option, text, &c->table);
	} else if (strcmp(name, "jobs") == 0) {
		status = take_number(c, option, text, 1024, &number);
		c->jobs = (int)number;
	} else if (strcmp(name, "threads") == 0) {
		status = take_number(c, option, text, 1024, &number);
		c->threads = (int)number;
	} else if (strcmp(name, "attempt") == 0) {
		status = take_number(c, option, text, UINT32_MAX, &c->attempt);
	} else if (strcmp(name, "depth") == 0) {
		status = take_number(c, option, text, 1000000, &c->depth);
	} else if (strcmp(name, "reason") == 0) {
		c->reason = text;
	} else if (strcmp(name, "max-cost") == 0) {
		if (!cli_parse_cost(text, &c->max_flop))
			return cli_fail(c, CAIRN_EUSAGE,
				"Write petaflop/s-days, as 0.5, or FLOP with a unit, as 18TFLOP.",
				"option '--max-cost' takes a cost, not '%.100s'", text);
	} else if (strcmp(name, "limit") == 0) {
		status = take_number(c, option, text, 1000000000, &c->limit);
	} else {
		status = take_retention(c, option, text);
	}
	return status;
}

static void take_flag(cli *c, const char *name)
{
	struct {
		const char *name;
		bool *flag;
	} flags[] = {{"json", &c->json}, {"quiet", &c->quiet}, {"verbose", &c->verbose},
		{"keep-going", &c->keep_going}, {"dry-run", &c->dry_run}, {"no-wait", &c->no_wait},
		{"force", &c->force}, {"collapse", &c->collapse}, {"exit-code", &c->exit_code},
		{"metrics", &c->metrics}, {"overcommit", &c->overcommit}, {"revoke", &c->revoke},
		{"checkpoints", &c->checkpoints}, {"delete", &c->delete}, {"index", &c->index},
		{"repair", &c->repair}, {"rebuild", &c->rebuild}, {"backup", &c->backup},
		{"with-inputs", &c->with_inputs}};

	for (size_t i = 0; i < CAIRN_COUNT(flags); i++) {
		if (strcmp(flags[i].name, name) == 0)
			*flags[i].flag = true;
	}
}

/* ---- the whole line ------------------------------------------------------------------- */

static int check_verb(cli *c, const cli_option *const *used, size_t n_used)
{
	const cli_verb *verb = cli_verb_find(c->verb);

	if (!verb)
		return unknown_verb(c, c->verb);
	for (size_t i = 0; i < n_used; i++) {
		if (used[i] >= c->options + c->n_tool_options && !belongs(used[i], verb->name))
			return cli_fail(c, CAIRN_EUSAGE, "`cairn help VERB` lists what it takes.",
				"'cairn %s' takes no option '--%s'", verb->name, used[i]->name);
	}
	if (c->n_args < verb->min_args || c->n_args > verb->max_args) {
		cairn_error err = {0};
		cairn_error_set(&err, CAIRN_EUSAGE, "'cairn %s' takes %s", verb->name,
			verb->usage[0] ? verb->usage : "no argument");
		cairn_error_hint(&err, "`cairn help %s` says more.", verb->name);
		return cli_error(c, &err);
	}
	c->verb = verb->name;
	return CLI_OK;
}

static void decide_color(cli *c)
{
	const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
	bool may = !(no_color && *no_color) && term && strcmp(term, "dumb") != 0;

	c->color_out = may && isatty(STDOUT_FILENO);
	c->color_err = may && isatty(STDERR_FILENO);
	if (strcmp(c->color, "auto") != 0)
		c->color_out = c->color_err = strcmp(c->color, "always") == 0;
}

/* One option that getopt found. */
static int take(cli *c, const cli_option *option, const char *text)
{
	if (option < c->options + c->n_tool_options)
		return cli_tool_take(c, option, text);
	if (option->value)
		return take_value(c, option, text);
	take_flag(c, option->name);
	return CLI_OK;
}

int cli_parse(cli *c, int argc, char **argv, bool *stop)
{
	struct option longs[CLI_MAX_OPTIONS + 1];
	char shorts[2 * CLI_MAX_OPTIONS + 3];
	const cli_option *used[CLI_MAX_OPTIONS];
	size_t n_used = 0;
	bool help = false, version = false;
	int answer;

	cli_options_of(c, peek_verb(c, argc, argv));
	build_tables(c, longs, shorts, ":");
	optind = 0;
	while ((answer = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		const cli_option *option = option_of(c, answer == ':' ? optopt : answer);
		int status;
		if (answer == '?')
			return unknown_option(c, optind > 0 ? argv[optind - 1] : "");
		if (answer == ':' || !option)
			return cli_fail(c, CAIRN_EUSAGE, NULL, "option '--%s' needs a value",
				option ? option->name : argv[optind - 1]);
		if (n_used < CAIRN_COUNT(used))
			used[n_used++] = option;
		help |= strcmp(option->name, "help") == 0;
		version |= strcmp(option->name, "version") == 0;
		status = take(c, option, optarg);
		if (status != CLI_OK)
			return status;
	}
	decide_color(c);
	c->verb = optind < argc ? argv[optind] : "help";
	c->args = (const char *const *)argv + optind + (optind < argc);
	c->n_args = argc - optind - (optind < argc);
	*stop = help || version;
	if (version)
		return cli_version(c);
	if (help) {
		c->is_help_option = true;
		c->args = &c->verb;
		c->n_args = optind < argc;
		return cli_help(c);
	}
	return check_verb(c, used, n_used);
}
