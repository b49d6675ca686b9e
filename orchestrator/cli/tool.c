/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool.c - `cairn generate`, `score`, `tokenize`, `import` and `export MODEL`.
 *
 * What a verb does is in a tool (cairn/tool.h), which knows what a model is. Here its inputs
 * are found among the artifacts of the store and the directories of the disk.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "run/tool/directory.h"

/* A verb's use of its tool. */
struct use {
	const char *text, *directory, *ref;
	void (*print)(cli *c, const json_t *result);
	const char *schema; /* of --json; NULL: there is none but the tool's own */
};

struct session {
	cairn_store *store; /* NULL as long as nobody asked for an artifact */
	unsigned flags;
	cairn_snapshot *snapshot;
	cairn_tool_input *inputs;
	size_t n_inputs;
};

/* ---- inputs ------------------------------------------------------------------------------- */

static bool is_directory(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

/* "./gpt2", "/models/gpt2", "gpt2/": no artifact is called so. */
static bool must_be_path(const char *text)
{
	size_t len = strlen(text);

	return text[0] == '/' || strcmp(text, ".") == 0 || strcmp(text, "..") == 0 ||
	       strncmp(text, "./", 2) == 0 || strncmp(text, "../", 3) == 0 ||
	       (len > 1 && text[len - 1] == '/');
}

/* The first verb whose tool takes this kind. */
static const char *taker_of(const cli *c, const char *kind)
{
	const cairn_tool_info *info;
	size_t n;
	const cli_verb *verbs = cli_verbs(&n);

	for (size_t i = 0; i < n; i++) {
		if (cli_verb_has_tool(verbs[i].name) &&
			cairn_tools_find(&info, c->tool.box, verbs[i].name, NULL) == 0 &&
			info->tool->n_inputs &&
			cairn_kind_accepts(info->tool->inputs[0].kind, kind))
			return verbs[i].name;
	}
	return NULL;
}

static int wrong_kind(
	cli *c, const cairn_port *port, const char *text, const char *kind, cairn_error *err)
{
	const char *taker = taker_of(c, kind);

	cairn_error_set(err, CAIRN_EINPUT, "'%.150s' is of kind '%.60s', `cairn %s` takes '%.60s'",
		text, kind, c->verb, port->kind);
	if (strcmp(kind, CAIRN_DIRECTORY_KIND) == 0)
		cairn_error_hint(err, "Take it into the store first: `cairn import %.150s`.", text);
	else if (taker)
		cairn_error_hint(
			err, "`cairn %s` takes that kind; `cairn ls` lists what is there.", taker);
	else
		cairn_error_hint(err, "`cairn ls` lists the names of what is there.");
	return CAIRN_EINPUT;
}

static int check_kind(cli *c, cairn_store *store, const cairn_port *port, const char *text,
	const cairn_id *id, cairn_error *err)
{
	cairn_object *object = NULL;
	int rc = cairn_object_open(&object, store, id, err);

	if (rc == 0 && !cairn_kind_accepts(port->kind, cairn_object_kind(object)))
		rc = wrong_kind(c, port, text, cairn_object_kind(object), err);
	cairn_object_close(object);
	return rc;
}

/* ENOTFOUND where there is no such artifact. */
static int find_artifact(
	cli *c, struct session *s, const char *text, cairn_id *id, cairn_error *err)
{
	cairn_run_id run;
	int rc = 0;

	if (!s->store)
		rc = cairn_store_open(&s->store, c->store_dir, s->flags, err);
	if (rc == CAIRN_ENOTFOUND) {
		cairn_error_clear(err);
		cairn_error_set(err, rc, "there is no directory '%.150s', and no store '%.150s'",
			text, c->store_dir);
		cairn_error_hint(err, "Name a directory, or with --store a store with artifacts.");
	}
	if (rc == 0 && !s->snapshot)
		rc = cairn_snapshot_begin(&s->snapshot, s->store, err);
	if (rc == 0)
		rc = cairn_resolve_artifact(id, s->store, s->snapshot, text, err);
	if (rc == CAIRN_ENOTFOUND && s->snapshot &&
		cairn_resolve_run(&run, s->snapshot, text, NULL) == 0) {
		cairn_error_clear(err);
		cairn_error_set(err, rc, "'%.150s' is a run, not an artifact", text);
		cairn_error_hint(err,
			"`cairn status %.100s` lists its artifacts; `cairn export %.100s --format "
			"tensorboard` writes its metrics.",
			text, text);
	}
	return rc;
}

static int bind(
	cli *c, struct session *s, const cairn_port *port, const char *text, cairn_error *err)
{
	cairn_tool_input *input = &s->inputs[s->n_inputs++];
	bool takes_directory = cairn_kind_accepts(port->kind, CAIRN_DIRECTORY_KIND);
	bool takes_artifact = strcmp(port->kind, CAIRN_DIRECTORY_KIND) != 0;
	char *id_text = cairn_arena_alloc(c->arena, CAIRN_ID_TEXT, 1);
	cairn_id id;
	int rc = CAIRN_ENOTFOUND;

	*input = (cairn_tool_input){.port = port->name, .id = "", .source = text};
	if (takes_artifact && !must_be_path(text))
		rc = find_artifact(c, s, text, &id, err);
	if (rc == 0) {
		cairn_id_format(&id, id_text);
		input->id = id_text;
		return check_kind(c, s->store, port, text, &id, err);
	}
	if (rc != CAIRN_ENOTFOUND)
		return rc;
	/* An artifact comes first; but a directory can always be written ./so. */
	if (is_directory(text)) {
		cairn_error_clear(err);
		return takes_directory ? 0 : wrong_kind(c, port, text, CAIRN_DIRECTORY_KIND, err);
	}
	if (err->code)
		return err->code;
	cairn_error_set(err, CAIRN_ENOTFOUND, "'%.200s' is no directory", text);
	cairn_error_hint(err, "Name the directory that holds the model's files.");
	return CAIRN_ENOTFOUND;
}

/* Arguments go to the required inputs in order, options to the others. */
static int bind_all(cli *c, struct session *s, cairn_error *err)
{
	const cairn_tool *tool = c->tool.info->tool;
	int next = 0, rc = 0;

	s->inputs = cairn_arena_alloc(c->arena, tool->n_inputs + 1, sizeof(*s->inputs));
	for (uint64_t i = 0; rc == 0 && i < tool->n_inputs; i++) {
		const cairn_port *port = &tool->inputs[i];
		const char *text = c->tool.bound[i];
		if (!(port->flags & CAIRN_PORT_OPTIONAL)) {
			if (next == c->n_args)
				return cairn_error_set(err, CAIRN_EUSAGE, "`cairn %s` needs %s: %s",
					c->verb, port->name, port->doc ? port->doc : port->kind);
			text = c->args[next++];
		}
		if (text)
			rc = bind(c, s, port, text, err);
	}
	return rc;
}

/* ---- running ------------------------------------------------------------------------------ */

static bool writes_to_store(const cairn_tool *tool)
{
	for (uint64_t i = 0; i < tool->n_outputs; i++) {
		if (strcmp(tool->outputs[i].kind, CAIRN_DIRECTORY_KIND) != 0)
			return true;
	}
	return false;
}

static void print_log(void *arg, int level, const char *text)
{
	cli *c = arg;

	if (level == CAIRN_LOG_WARNING)
		fprintf(stderr, "%swarning:%s %s\n", cli_style(c->color_err, CLI_YELLOW),
			cli_style(c->color_err, CLI_PLAIN), cli_safe(c, text));
	else if (level == CAIRN_LOG_DEBUG ? c->verbose : !c->quiet)
		fprintf(stderr, "%s\n", cli_safe(c, text));
}

static int open_session(cli *c, struct session *s, cairn_error *err)
{
	bool writes = writes_to_store(c->tool.info->tool);
	int rc;

	s->flags = writes ? 0 : CAIRN_STORE_READONLY;
	rc = bind_all(c, s, err);
	/* Only once there is something to put into it. */
	if (rc == 0 && writes && !s->store)
		rc = cli_open_store(c, &s->store, CAIRN_STORE_CREATE, err);
	/* A transaction must not be open while the tool works. */
	if (s->snapshot)
		cairn_snapshot_end(s->snapshot);
	s->snapshot = NULL;
	return rc;
}

/* The end that the tool came to: its result printed, its error, or the signal. */
static int conclude(cli *c, const struct use *use, int rc, json_t *result, const cairn_error *err)
{
	if (rc < 0)
		return cli_error(c, err);
	if (rc == CAIRN_STOPPED)
		return cli_fail(c, CAIRN_EBUG, NULL, "tool '%s' stopped though nobody asked it to",
			c->verb);
	if (c->json && use->schema)
		return cli_print_json(json_incref(result), use->schema);
	if (use->print)
		use->print(c, result);
	return CLI_OK;
}

static int run_tool(cli *c, const struct use *use)
{
	struct session s = {0};
	cli_tool_io io;
	cairn_error err = {0};
	json_t *result = NULL;
	int status, rc, signal_number;

	if (!c->tool.info)
		return cli_error(c, &c->tool.error);
	if (c->json && !use->schema)
		return cli_fail(c, CAIRN_EUSAGE, "`cairn help VERB` lists what it takes.",
			"'cairn %s' takes no option '--json'", c->verb);
	cli_tool_io_open(&io);
	rc = open_session(c, &s, &err);
	if (rc == 0)
		rc = cairn_tool_run(&result,
			&(cairn_tool_job){.info = c->tool.info,
				.store = s.store,
				.values = c->tool.values,
				.inputs = s.inputs,
				.n_inputs = s.n_inputs,
				.directory = use->directory,
				.force = c->force,
				.ref = use->ref,
				.threads = c->threads,
				.text = use->text,
				.io = &io.io,
				.log = print_log,
				.log_arg = c},
			&err);
	signal_number = cli_tool_io_signal(&io);
	cli_tool_io_close(&io);
	/* Who is stopped has nothing to explain. */
	if (signal_number && rc != 0)
		status = CLI_FAILED;
	else
		status = conclude(c, use, rc, result, io.error.code ? &io.error : &err);
	json_decref(result);
	cairn_store_close(s.store);
	if (signal_number) {
		if (signal_number != SIGPIPE)
			fflush(stdout);
		signal(signal_number, SIG_DFL);
		raise(signal_number);
	}
	return status;
}

/* ---- the verbs ---------------------------------------------------------------------------- */

int cli_generate(cli *c)
{
	return run_tool(c, &(struct use){.text = c->n_args > 1 ? c->args[1] : NULL});
}

int cli_score(cli *c)
{
	return run_tool(c, &(struct use){0});
}

int cli_tokenize(cli *c)
{
	return run_tool(c, &(struct use){0});
}

static void print_imported(cli *c, const json_t *result)
{
	json_t *output;
	const char *port;

	json_object_foreach(json_object_get(result, "outputs"), port, output)
	{
		printf("%s", cairn_json_string(output, "id", "?"));
		if (!c->quiet)
			printf("  %s", cli_safe(c, cairn_json_string(output, "name", "?")));
		putchar('\n');
	}
}

/* What refs are made of; others become '-', so that a name can be typed. */
static bool is_name_char(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') ||
	       (ch && strchr("._-", ch));
}

/* The last part of the directory's path. */
static const char *name_of_directory(cli *c, const char *path)
{
	char absolute[PATH_MAX];
	char *name, *slash;

	if (!realpath(path, absolute))
		cairn_copy(absolute, sizeof(absolute), path);
	slash = strrchr(absolute, '/');
	name = cairn_arena_strdup(c->arena, slash ? slash + 1 : absolute);
	for (char *at = name; *at; at++) {
		if (!is_name_char(*at))
			*at = '-';
	}
	return name[0] ? name : "model";
}

int cli_import(cli *c)
{
	const char *name = c->n_args > 1 ? c->args[1] : name_of_directory(c, c->args[0]);
	struct use use = {.print = print_imported, .schema = "cairn.import/1"};

	for (const char *at = name; *at; at++) {
		if (!is_name_char(*at) && *at != '/')
			return cli_fail(c, CAIRN_EUSAGE,
				"A name is made of letters, digits, '.', '_', '-' and '/'.",
				"'%.100s' cannot be a name", name);
	}
	if (cli_is_bundle(c->args[0]))
		return cli_import_bundle(c, c->n_args > 1 ? name : NULL);
	if (!name[0])
		return cli_fail(c, CAIRN_EUSAGE, "Leave it out for that of the directory.",
			"a name must not be empty");
	use.ref = cairn_arena_printf(c->arena, "imported/%s", name);
	return run_tool(c, &use);
}

static void print_exported(cli *c, const json_t *result)
{
	printf("%s\n",
		cli_safe(c, cairn_json_string(json_object_get(result, "directory"), "path", "?")));
}

const char *cli_directory_name(cli *c, const char *name, const char *ending)
{
	char *out = cairn_arena_printf(c->arena, "%s%s", name, ending);

	for (char *at = out; *at; at++) {
		if (!is_name_char(*at))
			*at = '-';
	}
	return out;
}

int cli_export(cli *c)
{
	struct use use = {.print = print_exported, .schema = "cairn.export/1"};
	const char *format = c->format ? c->format : "safetensors";

	if (strcmp(format, "bundle") == 0)
		return cli_export_bundle(c);
	if (strcmp(format, "safetensors") != 0)
		return cli_export_run(c);
	if (cli_tool_has(c, "format") && cli_tool_set(c, "format", format) != CLI_OK)
		return CLI_USAGE;
	use.directory = c->n_args > 1 ? c->args[1] : cli_directory_name(c, c->args[0], "");
	return run_tool(c, &use);
}
