/* SPDX-License-Identifier: Apache-2.0 */
/*
 * complete.c - `cairn --complete-words KIND PREFIX cairn WORDS...`: what could stand there.
 *
 * Asked by the completion scripts (complete_script.c) at each TAB, so it must be quick: it reads
 * the store's records and the workflow's names, asks no plugin and changes nothing.
 * WORDS is the line so far, for its -C, --store and -f. Prints NAME, or NAME TAB MEANING, a line
 * each; a name with a control character cannot be typed and is left out. Nothing goes wrong: what
 * cannot be read has no names.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "workflow/outline.h"

#define MAX_RUNS      200
#define MAX_INSTANCES 20000

static bool can_be_typed(const char *name)
{
	for (; *name; name++) {
		if ((unsigned char)*name < 0x20 || *name == 0x7f)
			return false;
	}
	return true;
}

static void offer(cli *c, const char *prefix, const char *name, const char *meaning)
{
	if (!can_be_typed(name) || strncmp(name, prefix, strlen(prefix)) != 0)
		return;
	if (meaning && meaning[0])
		printf("%s\t%.60s\n", name, cli_safe(c, meaning));
	else
		printf("%s\n", name);
}

/* ---- the workflow at hand ----------------------------------------------------------------- */

static void read_outline(cli *c, cairn_outline *out)
{
	const char *file, *given = NULL;
	bool is_argument = strcmp(c->verb, "run") == 0 || strcmp(c->verb, "check") == 0 ||
			   strcmp(c->verb, "plan") == 0 || strcmp(c->verb, "graph") == 0;

	*out = (cairn_outline){0};
	if (is_argument && c->n_args)
		given = c->args[0];
	if (cli_workflow_file(c, given, &file, NULL) == 0)
		cairn_outline_read(out, file, MAX_INSTANCES, c->arena);
}

static void offer_stages(cli *c, const char *prefix)
{
	cairn_outline outline;

	read_outline(c, &outline);
	for (size_t i = 0; i < outline.n_instances; i++)
		offer(c, prefix, outline.instances[i], NULL);
}

static void offer_params(cli *c, const char *prefix)
{
	cairn_outline outline;

	read_outline(c, &outline);
	for (size_t i = 0; i < outline.n_params; i++)
		offer(c, prefix, cairn_arena_printf(c->arena, "%s=", outline.params[i]),
			outline.values[i]);
}

/* ---- the store ---------------------------------------------------------------------------- */

typedef struct asking {
	cli *c;
	const char *prefix;
	cairn_snapshot *snapshot;
	const char *workflows[MAX_RUNS]; /* said already */
	size_t n_workflows, n_runs;
} asking;

static int offer_run(const cairn_run_id *id, void *arg, cairn_error *err)
{
	asking *a = arg;
	char text[CAIRN_RUN_TEXT], when[32];
	const char *workflow;
	json_t *record = NULL;
	bool is_known = false;

	if (cairn_record_run(&record, a->snapshot, id, err) < 0)
		return 0;
	workflow = cairn_arena_strdup(a->c->arena, cairn_json_string(record, "workflow", ""));
	cairn_run_id_format(id, text);
	cli_time(when, cairn_json_integer(record, "start_ms", 0));
	for (size_t i = 0; i < a->n_workflows; i++)
		is_known |= strcmp(a->workflows[i], workflow) == 0;
	if (!is_known && workflow[0]) {
		a->workflows[a->n_workflows++] = workflow;
		offer(a->c, a->prefix, workflow, "its newest run");
	}
	offer(a->c, a->prefix, text,
		cairn_arena_printf(a->c->arena, "%s %s %s", workflow, when,
			cairn_json_string(record, "state", "")));
	json_decref(record);
	return ++a->n_runs >= MAX_RUNS;
}

static void offer_runs(asking *a)
{
	if (cairn_record_scan_runs(a->snapshot, NULL, NULL, offer_run, a, NULL) < 0)
		return;
}

/* Of the run that the line names, or the newest. */
static void offer_run_stages(asking *a)
{
	cli *c = a->c;
	json_t *stages = NULL, *stage;
	cairn_run_id run;
	size_t i;

	if (cairn_resolve_run(&run, a->snapshot, c->n_args ? c->args[0] : NULL, NULL) < 0 ||
		cairn_record_stages(&stages, a->snapshot, &run, NULL) < 0)
		return;
	json_array_foreach(stages, i, stage) offer(c, a->prefix,
		cairn_json_string(stage, "instance", ""), cairn_json_string(stage, "state", NULL));
	json_decref(stages);
}

static int offer_ref(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	asking *a = arg;
	char name[CAIRN_REF_MAX + 1];

	(void)value, (void)value_len, (void)err;
	if (key_len < sizeof(name) && !memchr(key, '\0', key_len)) {
		memcpy(name, key, key_len);
		name[key_len] = '\0';
		offer(a->c, a->prefix, name, NULL);
	}
	return 0;
}

/* Names in the store; and STAGE:PORT, where the word does not go on as one of them. */
static void offer_artifacts(asking *a)
{
	json_t *refs = NULL, *ref;
	size_t i;

	if (cairn_snapshot_scan(a->snapshot, "ref", a->prefix, strlen(a->prefix), false, offer_ref,
		    a, NULL) < 0 ||
		strchr(a->prefix, '/') || cairn_report_refs(&refs, a->snapshot, NULL) < 0)
		return;
	json_array_foreach(json_object_get(refs, "refs"), i, ref)
	{
		const char *name = cairn_json_string(ref, "name", ""), *slash = strchr(name, '/');
		if (slash && !strchr(slash + 1, '/'))
			offer(a->c, a->prefix, slash + 1, NULL);
	}
	json_decref(refs);
}

static void offer_entries(asking *a, cairn_store *store)
{
	cli *c = a->c;
	cairn_object *object = NULL;
	cairn_tensor entry;
	cairn_id id;

	if (!c->n_args || cairn_resolve_artifact(&id, store, a->snapshot, c->args[0], NULL) < 0 ||
		cairn_object_open(&object, store, &id, NULL) < 0)
		return;
	for (uint64_t i = 0; i < cairn_object_count(object); i++) {
		if (cairn_object_entry(object, i, &entry, NULL) == 0)
			offer(c, a->prefix, entry.name, NULL);
	}
	cairn_object_close(object);
}

static void ask_store(cli *c, const char *kind, const char *prefix)
{
	asking a = {.c = c, .prefix = prefix};
	cli_reader reader = {0};

	if (cli_reader_open(c, &reader, NULL) < 0) {
		cli_reader_close(&reader);
		return;
	}
	a.snapshot = reader.snapshot;
	if (strcmp(kind, "runs") == 0)
		offer_runs(&a);
	else if (strcmp(kind, "run-stages") == 0)
		offer_run_stages(&a);
	else if (strcmp(kind, "artifacts") == 0)
		offer_artifacts(&a);
	else if (strcmp(kind, "entries") == 0)
		offer_entries(&a, reader.store);
	cli_reader_close(&reader);
}

static void offer_plugins(cli *c, const char *prefix)
{
	cairn_registry *registry = NULL;
	const char *const *names;
	size_t n;

	if (cairn_plugins_open(&registry, NULL, NULL) < 0)
		return;
	n = registry->names(registry, &names);
	for (size_t i = 0; i < n; i++)
		offer(c, prefix, names[i], NULL);
	cairn_plugins_close(registry);
}

static void offer_verbs(cli *c, const char *prefix)
{
	size_t n;
	const cli_verb *verbs = cli_verbs(&n);

	for (size_t i = 0; i < n; i++)
		offer(c, prefix, verbs[i].name, verbs[i].summary);
}

/* ---- the line so far ---------------------------------------------------------------------- */

/* Takes its options; it need not be complete, and nobody wants to hear what is missing. */
static void read_line(cli *c, int argc, char **argv)
{
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC), n = 1;
	char **words = cairn_arena_alloc(c->arena, (size_t)argc + 2, sizeof(*words));
	bool stop = false;

	if (null < 0)
		return;
	dup2(null, STDERR_FILENO);
	close(null);
	words[0] = argv[0];
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") != 0 && strcmp(argv[i], "-h") != 0 &&
			strcmp(argv[i], "--version") != 0)
			words[n++] = argv[i];
	}
	if (cli_parse(c, n, words, &stop) != CLI_OK && !c->verb)
		c->verb = "";
}

int cli_complete_words(cli *c, int argc, char **argv)
{
	const char *kind = argc > 0 ? argv[0] : "", *prefix = argc > 1 ? argv[1] : "";

	if (argc > 2)
		read_line(c, argc - 2, argv + 2);
	if (!c->verb)
		c->verb = "";
	if (strcmp(kind, "stages") == 0)
		offer_stages(c, prefix);
	else if (strcmp(kind, "params") == 0)
		offer_params(c, prefix);
	else if (strcmp(kind, "plugins") == 0)
		offer_plugins(c, prefix);
	else if (strcmp(kind, "verbs") == 0)
		offer_verbs(c, prefix);
	else
		ask_store(c, kind, prefix);
	return CLI_OK;
}
