/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance.c - the order of the checks, and those that need no run: object and descriptor.
 *
 * Reads like: checkup.h.
 */
#include "run/check/conformance.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "base/text.h"
#include "run/check/checkup.h"
#include "run/plugin/describe.h"

/* A function at the beginning is the compiler's own. */
#define USUAL_CONSTRUCTORS 1

const char *cairn_verdict_name(enum cairn_verdict verdict)
{
	static const char *const names[] = {
		[CAIRN_PASSED] = "ok",
		[CAIRN_WARNED] = "warning",
		[CAIRN_FAILED] = "failed",
		[CAIRN_SKIPPED] = "skipped",
	};

	return names[verdict];
}

void cairn_checkup_say(cairn_checkup *c, const char *check, enum cairn_verdict verdict,
	const char *hint, const char *format, ...)
{
	cairn_finding finding = {.check = check, .verdict = verdict, .hint = hint ? hint : ""};
	char what[1024];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	finding.what = what;
	c->n_failed += verdict == CAIRN_FAILED;
	c->ask->found(&finding, c->ask->arg);
}

/* "'a', 'b' and 7 more" */
static void add_list(cairn_text *out, const json_t *names)
{
	size_t n = json_array_size(names), shown = n < 12 ? n : 12;

	for (size_t i = 0; i < shown; i++)
		cairn_text_printf(
			out, "%s'%s'", i ? ", " : "", json_string_value(json_array_get(names, i)));
	if (shown < n)
		cairn_text_printf(out, " and %zu more", n - shown);
}

/* ---- the shared object -------------------------------------------------------------------- */

static void check_undefined(cairn_checkup *c, const json_t *symbols)
{
	const json_t *missing = json_object_get(symbols, "missing");
	const json_t *undefined = json_object_get(symbols, "undefined");
	cairn_text list = {0};

	if (json_array_size(missing)) {
		add_list(&list, missing);
		cairn_checkup_say(c, "symbols", CAIRN_FAILED,
			"Install the libraries, or link them statically.",
			"it needs libraries that are not found: %s", cairn_text_get(&list));
	} else if (json_array_size(undefined)) {
		add_list(&list, undefined);
		cairn_checkup_say(c, "symbols", CAIRN_FAILED,
			"Link what defines them; `-Wl,-z,defs` tells when it is built.",
			"nobody defines %s", cairn_text_get(&list));
	} else {
		cairn_checkup_say(c, "symbols", CAIRN_PASSED, NULL,
			"every symbol that it uses is defined by itself or by a library it names");
	}
	cairn_text_free(&list);
}

static void check_exports(cairn_checkup *c, const json_t *symbols)
{
	const json_t *exported = json_object_get(symbols, "exported"), *name;
	json_t *others = json_array();
	cairn_text list = {0};
	size_t i;

	json_array_foreach((json_t *)exported, i, name)
	{
		if (strcmp(json_string_value(name), CAIRN_STAGE_SYMBOL) != 0)
			json_array_append(others, (json_t *)name);
	}
	add_list(&list, others);
	if (list.len)
		cairn_checkup_say(c, "exports", CAIRN_WARNED,
			"Build with `-fvisibility=hidden`; only the descriptor is CAIRN_EXPORT.",
			"it also exports %s", list.data);
	else
		cairn_checkup_say(c, "exports", CAIRN_PASSED, NULL,
			"nothing but '" CAIRN_STAGE_SYMBOL "' is exported");
	cairn_text_free(&list);
	json_decref(others);
}

static void check_constructors(cairn_checkup *c, const json_t *symbols)
{
	int64_t n = cairn_json_integer(symbols, "constructors", 0);

	if (n > USUAL_CONSTRUCTORS)
		cairn_checkup_say(c, "constructors", CAIRN_WARNED,
			"Do it in run(): constructors run whenever it is described.",
			"%lld functions run when it is loaded", (long long)n - USUAL_CONSTRUCTORS);
	else
		cairn_checkup_say(
			c, "constructors", CAIRN_PASSED, NULL, "nothing runs when it is loaded");
}

/* True where the description came. */
static bool check_object(cairn_checkup *c)
{
	json_t *symbols = NULL;
	cairn_error err = {0};
	bool is_whole = false;
	int rc = cairn_describe_ask(&symbols, c->path, "symbols", NULL, &err);

	if (rc < 0) {
		cairn_checkup_say(c, "symbols", CAIRN_FAILED, err.hint, "%s", err.message);
	} else {
		is_whole = !json_array_size(json_object_get(symbols, "undefined")) &&
			   !json_array_size(json_object_get(symbols, "missing"));
		check_undefined(c, symbols);
		check_exports(c, symbols);
		check_constructors(c, symbols);
	}
	json_decref(symbols);
	err = (cairn_error){0};
	rc = cairn_plugin_describe(&c->info, c->path, c->arena, &err);
	if (rc < 0 && (rc != CAIRN_EABI || !is_whole)) {
		cairn_checkup_say(c, "loads", CAIRN_FAILED,
			err.hint[0] ? err.hint : "Loading it must do nothing but load it.",
			"%s%s%s", err.message, err.detail[0] ? "; " : "", err.detail);
		return false;
	}
	cairn_checkup_say(c, "loads", CAIRN_PASSED, NULL, "it can be loaded");
	if (rc < 0)
		cairn_checkup_say(c, "descriptor", CAIRN_FAILED, err.hint, "%s%s%s", err.message,
			err.detail[0] ? "; " : "", err.detail);
	else
		cairn_checkup_say(c, "descriptor", CAIRN_PASSED, NULL,
			"contract %u.%u, %llu parameters, %llu inputs, %llu outputs; defaults are "
			"in range",
			c->info.major, c->info.minor, (unsigned long long)c->info.n_params,
			(unsigned long long)c->info.n_inputs,
			(unsigned long long)c->info.n_outputs);
	return rc == 0;
}

/* ---- the description ---------------------------------------------------------------------- */

static void check_identity(cairn_checkup *c)
{
	const cairn_plugin_info *info = &c->info;
	const char *slash = strrchr(c->path, '/'), *base = slash ? slash + 1 : c->path;
	size_t len = strlen(info->name);

	if (strncmp(base, info->name, len) != 0 || strcmp(base + len, ".so") != 0)
		cairn_checkup_say(c, "name", CAIRN_FAILED,
			"A plugin is found by its file: rename one of the two.",
			"the file '%s' calls itself '%s'", base, info->name);
	else
		cairn_checkup_say(c, "name", CAIRN_PASSED, NULL, "'%s', version %s", info->name,
			info->version);
	if (!info->license[0] || strcmp(info->license, "unknown") == 0)
		cairn_checkup_say(c, "licence", CAIRN_WARNED,
			"Set .license to an SPDX identifier, such as \"Apache-2.0\".",
			"it states no licence");
	else
		cairn_checkup_say(c, "licence", CAIRN_PASSED, NULL, "%s", info->license);
}

static bool is_text(const char *text)
{
	return text && text[0];
}

static void check_documented(cairn_checkup *c)
{
	const cairn_plugin_info *info = &c->info;
	json_t *bare = json_array();
	cairn_text list = {0};

	if (!is_text(info->summary))
		json_array_append_new(bare, json_string("summary"));
	for (uint64_t i = 0; i < info->n_params; i++) {
		if (!is_text(info->params[i].doc))
			json_array_append_new(bare, cairn_record_text(info->params[i].name));
	}
	for (uint64_t i = 0; i < info->n_inputs; i++) {
		if (!is_text(info->inputs[i].doc))
			json_array_append_new(bare, cairn_record_text(info->inputs[i].name));
	}
	for (uint64_t i = 0; i < info->n_outputs; i++) {
		if (!is_text(info->outputs[i].doc))
			json_array_append_new(bare, cairn_record_text(info->outputs[i].name));
	}
	add_list(&list, bare);
	if (list.len)
		cairn_checkup_say(c, "documented", CAIRN_FAILED,
			"One sentence each: `cairn plugins NAME` shows them.",
			"nothing is said of %s", list.data);
	else
		cairn_checkup_say(c, "documented", CAIRN_PASSED, NULL,
			"every parameter and port has its sentence");
	cairn_text_free(&list);
	json_decref(bare);
}

/* One of the kinds in use (stage.h), in a port's list "a|b". */
static bool is_known_kind(const char *kind, size_t len)
{
	static const char *const kinds[] = {"file", "text", "tokenizer", "dataset/text",
		"dataset/demo", "dataset/prompt", "dataset/completion", "dataset/ranking",
		"model/lm", "model/reward", "report", "metrics"};

	for (size_t i = 0; i < CAIRN_COUNT(kinds); i++) {
		if (strlen(kinds[i]) == len && strncmp(kinds[i], kind, len) == 0)
			return true;
	}
	return false;
}

static void add_unknown_kinds(json_t *out, const cairn_port *ports, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++) {
		for (const char *at = ports[i].kind; *at;) {
			size_t len = strcspn(at, "|");
			if (!is_known_kind(at, len))
				json_array_append_new(out, json_stringn(at, len));
			at += len + (at[len] == '|');
		}
	}
}

static void check_ports(cairn_checkup *c)
{
	json_t *unknown = json_array();
	cairn_text list = {0};

	add_unknown_kinds(unknown, c->info.inputs, c->info.n_inputs);
	add_unknown_kinds(unknown, c->info.outputs, c->info.n_outputs);
	add_list(&list, unknown);
	if (c->info.n_outputs == 0)
		cairn_checkup_say(c, "ports", CAIRN_FAILED,
			"What nobody can read need not be computed: give it an output.",
			"it has no output");
	else if (list.len)
		cairn_checkup_say(c, "ports", CAIRN_WARNED,
			"A kind of one's own is allowed; only its own plugins will read it.",
			"kinds that no other plugin has: %s", list.data);
	else
		cairn_checkup_say(c, "ports", CAIRN_PASSED, NULL, "kinds are those in use");
	cairn_text_free(&list);
	json_decref(unknown);
}

static void check_state(cairn_checkup *c)
{
	uint32_t newest = c->info.state_version, oldest = c->info.state_version_oldest;

	if (!(c->info.capabilities & CAIRN_CAN_CHECKPOINT))
		cairn_checkup_say(c, "state", CAIRN_SKIPPED,
			"A stage of more than a minute should write checkpoints.",
			"it has no checkpoints");
	else if (newest == 0 || oldest == 0 || oldest > newest)
		cairn_checkup_say(c, "state", CAIRN_FAILED,
			"Begin with 1 for both, and raise .state_version when the form changes.",
			"its checkpoints are of version %u, and those of %u are read", newest,
			oldest);
	else
		cairn_checkup_say(c, "state", CAIRN_PASSED, NULL,
			"checkpoints of version %u; those since %u are read", newest, oldest);
}

static int check_run(cairn_checkup *c, cairn_error *err)
{
	int rc = cairn_checkup_stage(c, err);
	const cairn_workflow *workflow = c->workflow;

	if (rc < 0)
		return rc;
	cairn_checkup_params(
		c, workflow ? workflow->instances[workflow->n_instances - 1].values : NULL);
	return rc == 1 ? cairn_checkup_trials(c, err) : 0;
}

int cairn_conformance_check(const cairn_conformance *ask, cairn_error *err)
{
	char path[PATH_MAX], home[PATH_MAX];
	cairn_checkup c = {.ask = ask, .path = path, .home = home};
	int rc = 0;

	if (!realpath(ask->file, path))
		return cairn_error_errno(
			err, CAIRN_ENOTFOUND, errno, "cannot read '%.250s'", ask->file);
	if (!getcwd(home, sizeof(home)))
		return cairn_error_errno(err, CAIRN_EIO, errno, "cannot tell where we are");
	c.arena = cairn_arena_new();
	if (check_object(&c)) {
		check_identity(&c);
		check_documented(&c);
		check_ports(&c);
		check_state(&c);
		rc = check_run(&c, err);
	}
	cairn_checkup_stage_close(&c);
	cairn_arena_free(c.arena);
	if (chdir(home) < 0 && rc == 0)
		rc = cairn_error_errno(err, CAIRN_EIO, errno, "cannot go back to '%.250s'", home);
	return rc < 0 ? rc : c.n_failed || c.is_stopped ? 1 : 0;
}
