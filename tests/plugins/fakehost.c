/* SPDX-License-Identifier: Apache-2.0 */
/* fakehost.c - sets a plugin up, runs it in this process and shows what it left. */
#include "fakehost.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "fakehost_private.h"
#include "workflow/plugin_info.h"

/* ---- set up --------------------------------------------------------------------------------- */

/* Opens CAIRN_PLUGIN_DIR/NAME.so and gives its descriptor. */
static const void *open_library(struct fakehost *host, const char *name, const char *symbol)
{
	char path[1024];
	const void *found;

	snprintf(path, sizeof(path), "%s/%s.so", CAIRN_PLUGIN_DIR, name);
	host->library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	if (!host->library)
		fail_msg("%s", dlerror());
	found = dlsym(host->library, symbol);
	if (!found)
		fail_msg("%s", dlerror());
	return found;
}

/* With host->plugin set. */
static struct fakehost *prepare(struct fakehost *host)
{
	host->run.host = host;
	host->seed = 1;
	host->threads = 1;
	host->given = fake_alloc(host->plugin->n_params + 1, sizeof(*host->given));
	host->inputs = fake_alloc(host->plugin->n_inputs + 1, sizeof(*host->inputs));
	host->outputs = fake_alloc(host->plugin->n_outputs + 1, sizeof(*host->outputs));
	host->was_begun = fake_alloc(host->plugin->n_outputs + 1, sizeof(*host->was_begun));
	return host;
}

struct fakehost *fakehost_new(const char *plugin)
{
	struct fakehost *host = fake_alloc(1, sizeof(*host));

	host->plugin = open_library(host, plugin, CAIRN_STAGE_SYMBOL);
	assert_int_equal(host->plugin->head.magic, CAIRN_STAGE_MAGIC);
	assert_int_equal(host->plugin->head.major, CAIRN_STAGE_MAJOR);
	assert_string_equal(host->plugin->name, plugin);
	return prepare(host);
}

struct fakehost *fakehost_new_tool(const char *library, const char *tool)
{
	struct fakehost *host = fake_alloc(1, sizeof(*host));
	const cairn_tools *tools;
	char path[256];

	snprintf(path, sizeof(path), "tools/%s", library);
	tools = open_library(host, path, CAIRN_TOOL_SYMBOL);
	assert_int_equal(tools->head.magic, CAIRN_TOOL_MAGIC);
	assert_int_equal(tools->head.major, CAIRN_TOOL_MAJOR);
	for (uint64_t i = 0; i < tools->n_tools; i++)
		if (!strcmp(tools->tools[i].name, tool))
			host->tool = &tools->tools[i];
	if (!host->tool)
		fail_msg("'%s' has no tool '%s'", path, tool);
	host->made_up = (cairn_stage_plugin){
		.name = host->tool->name,
		.params = host->tool->params,
		.n_params = host->tool->n_params,
		.params_size = host->tool->params_size,
		.inputs = host->tool->inputs,
		.n_inputs = host->tool->n_inputs,
		.outputs = host->tool->outputs,
		.n_outputs = host->tool->n_outputs,
		.capabilities = host->tool->capabilities,
	};
	host->plugin = &host->made_up;
	return prepare(host);
}

void fakehost_io(struct fakehost *host, const cairn_tool_io *io, const char *text)
{
	host->io = io;
	host->text = text;
}

static void forget_outputs(struct fakehost *host)
{
	while (host->writers) {
		fake_artifact_free(host->writers->artifact);
		fake_writer_end(host->writers);
	}
	for (uint64_t i = 0; i < host->plugin->n_outputs; i++) {
		fake_artifact_free(host->outputs[i]);
		host->outputs[i] = NULL;
		host->was_begun[i] = false;
	}
}

void fakehost_free(struct fakehost *host)
{
	if (!host)
		return;
	forget_outputs(host);
	fakehost_forget(host);
	if (host->backend)
		host->backend->close(&host->own_kernels);
	for (uint64_t i = 0; i < host->plugin->n_params; i++)
		free(host->given[i]);
	for (uint64_t i = 0; i < host->plugin->n_inputs; i++)
		fake_artifact_free_list(host->inputs[i]);
	fake_named_clear(&host->summaries, &host->n_summaries);
	fake_named_clear(&host->metrics, &host->n_metrics);
	cairn_text_free(&host->all_lines);
	cairn_text_free(&host->log);
	free(host->given);
	free(host->inputs);
	free(host->outputs);
	free(host->was_begun);
	if (host->scratch[0]) /* what the plugin left in it stays, and shows */
		assert_int_equal(rmdir(host->scratch), 0);
	free(host);
}

const cairn_stage_plugin *fakehost_plugin(const struct fakehost *host)
{
	return host->plugin;
}

void fakehost_param(struct fakehost *host, const char *assignment)
{
	const char *equals = strchr(assignment, '=');
	size_t len = equals ? (size_t)(equals - assignment) : 0;

	for (uint64_t i = 0; equals && i < host->plugin->n_params; i++) {
		const char *name = host->plugin->params[i].name;

		if (strlen(name) != len || memcmp(name, assignment, len))
			continue;
		free(host->given[i]);
		host->given[i] = fake_strdup(equals + 1);
		return;
	}
	fail_msg("the plugin has no parameter of '%s'", assignment);
}

static void append_input(struct fakehost *host, const char *port, struct fake_artifact *artifact)
{
	size_t i = fake_input_index(host, port);
	struct fake_artifact **at = &host->inputs[i];

	if (!cairn_kind_accepts(host->plugin->inputs[i].kind, artifact->kind))
		fail_msg("input '%s' takes '%s', not '%s'", port, host->plugin->inputs[i].kind,
			artifact->kind);
	if (*at && !(host->plugin->inputs[i].flags & CAIRN_PORT_MANY))
		fail_msg("input '%s' takes one artifact", port);
	while (*at)
		at = &(*at)->next;
	*at = artifact;
}

struct fake_artifact *fakehost_input(
	struct fakehost *host, const char *port, const char *kind, const char *source)
{
	struct fake_artifact *artifact = fake_artifact_new(kind, source);

	append_input(host, port, artifact);
	return artifact;
}

struct fake_artifact *fakehost_input_artifact(struct fakehost *host, const char *port)
{
	struct fake_artifact *artifact = host->inputs[fake_input_index(host, port)];

	if (!artifact)
		fail_msg("nothing is bound to '%s'", port);
	return artifact;
}

void fakehost_file(struct fakehost *host, const char *port, const char *source, const char *text)
{
	fake_add(fakehost_input(host, port, "file", source), "data", CAIRN_U8, 0, NULL, text,
		strlen(text));
}

void fakehost_rows(struct fakehost *host, const char *port, const char *kind, const char *source,
	const char *jsonl)
{
	fake_add(fakehost_input(host, port, kind, source), "rows.jsonl", CAIRN_U8, 0, NULL, jsonl,
		strlen(jsonl));
}

void fakehost_bind(struct fakehost *host, const char *port, const struct fake_artifact *artifact)
{
	if (!artifact)
		fail_msg("nothing to bind to '%s'", port);
	append_input(host, port, fake_artifact_copy(artifact));
}

void fakehost_unbind(struct fakehost *host, const char *port)
{
	size_t i = fake_input_index(host, port);

	fake_artifact_free_list(host->inputs[i]);
	host->inputs[i] = NULL;
}

void fakehost_seed(struct fakehost *host, uint64_t seed)
{
	host->seed = seed;
}

void fakehost_kernels(struct fakehost *host, const cairn_kernels *kernels)
{
	host->kernels = kernels;
}

void fakehost_threads(struct fakehost *host, int threads)
{
	host->threads = threads;
}

void fakehost_checkpoint_every(struct fakehost *host, uint64_t n)
{
	host->checkpoint_every = n;
}

void fakehost_stop_at(struct fakehost *host, uint64_t step)
{
	host->stop_at = step;
}

void fakehost_forget(struct fakehost *host)
{
	fake_artifact_free_list(host->checkpoints);
	host->checkpoints = NULL;
	for (size_t i = 0; i < host->n_lines; i++)
		free(host->lines[i].text);
	free(host->lines);
	host->lines = NULL;
	host->n_lines = 0;
	cairn_text_clear(&host->all_lines);
}

void fakehost_rewind(struct fakehost *host, uint64_t step)
{
	while (host->checkpoints && host->checkpoints->step > step) {
		struct fake_artifact *next = host->checkpoints->next;

		fake_artifact_free(host->checkpoints);
		host->checkpoints = next;
	}
}

/* ---- run ----------------------------------------------------------------------------------------
 */

static int fill_params(struct fakehost *host, cairn_arena *arena, void *params)
{
	const cairn_stage_plugin *p = host->plugin;
	const char **values = cairn_arena_alloc(arena, p->n_params + 1, sizeof(*values));

	for (uint64_t i = 0; i < p->n_params; i++) {
		const char *text = host->given[i] ? host->given[i] : p->params[i].fallback;

		if (!text)
			return cairn_error_set(&host->err, CAIRN_EPARAM,
				"parameter '%s' is required", p->params[i].name);
		if (cairn_param_canonical(&p->params[i], text, arena, &values[i], &host->err))
			return host->err.code;
	}
	if (cairn_param_fill(p->params, p->n_params, values, params, &host->err))
		return host->err.code;
	if (p->check && p->check(params, &host->err)) {
		if (!host->err.code)
			fail_msg("check() refused without an error");
		return host->err.code;
	}
	return 0;
}

static void check_inputs(const struct fakehost *host)
{
	for (uint64_t i = 0; i < host->plugin->n_inputs; i++)
		if (!host->inputs[i] && !(host->plugin->inputs[i].flags & CAIRN_PORT_OPTIONAL))
			fail_msg("the test bound nothing to input '%s'",
				host->plugin->inputs[i].name);
}

static void check_answer(struct fakehost *host, int answer)
{
	if (answer < 0 && !host->err.code)
		fail_msg("run() answered %s without an error", cairn_error_name(answer));
	if (answer >= 0 && host->err.code)
		fail_msg("run() answered %d after the error '%s'", answer, host->err.message);
	if (answer == CAIRN_DONE && host->writers)
		fail_msg("run() is done and left a writer of '%s' open",
			host->writers->artifact->source);
	for (uint64_t i = 0; answer == CAIRN_DONE && i < host->plugin->n_outputs; i++)
		if (!host->outputs[i] && !(host->plugin->outputs[i].flags & CAIRN_PORT_OPTIONAL))
			fail_msg(
				"run() is done without output '%s'", host->plugin->outputs[i].name);
}

void fakehost_estimate(struct fakehost *host, cairn_estimate *out)
{
	cairn_arena *arena = cairn_arena_new();
	void *params = cairn_arena_alloc(arena, 1, host->plugin->params_size + 1);
	cairn_estimate_input inputs[32];
	uint64_t n = 0;

	cairn_error_clear(&host->err);
	if (fill_params(host, arena, params))
		fail_msg("%s", host->err.message);
	for (uint64_t i = 0; i < host->plugin->n_inputs; i++)
		for (struct fake_artifact *a = host->inputs[i]; a; a = a->next) {
			assert_true(n < CAIRN_COUNT(inputs));
			fake_artifact_seal(a);
			inputs[n++] = (cairn_estimate_input){
				host->plugin->inputs[i].name, a->meta, a->bytes};
		}
	assert_int_equal(host->plugin->estimate(params, inputs, n, out), 0);
	cairn_arena_free(arena);
}

int fakehost_run(struct fakehost *host)
{
	cairn_arena *arena = cairn_arena_new();
	void *params;
	int answer;

	cairn_error_clear(&host->err);
	cairn_text_clear(&host->log);
	fake_named_clear(&host->summaries, &host->n_summaries);
	forget_outputs(host);
	host->steps = 0;
	check_inputs(host);
	params = cairn_arena_alloc(arena, 1, host->plugin->params_size + 1);
	answer = fill_params(host, arena, params);
	if (!answer) {
		answer = host->tool ? host->tool->run(&fake_host_table, &host->run, host->io,
					      params, host->text)
				    : host->plugin->run(&fake_host_table, &host->run, params);
		check_answer(host, answer);
	}
	cairn_arena_free(arena);
	return answer;
}

const cairn_error *fakehost_error(const struct fakehost *host)
{
	return &host->err;
}

/* ---- results
 * ------------------------------------------------------------------------------------- */

const struct fake_artifact *fakehost_output(const struct fakehost *host, const char *port)
{
	return host->outputs[fake_output_index(host, port)];
}

const struct fake_artifact *fakehost_checkpoint(const struct fakehost *host, uint64_t *step)
{
	if (host->checkpoints && step)
		*step = host->checkpoints->step;
	return host->checkpoints;
}

double fakehost_summary(const struct fakehost *host, const char *name)
{
	return fake_named_get(host->summaries, host->n_summaries, name);
}

const char *fakehost_metrics(const struct fakehost *host)
{
	return cairn_text_get(&host->all_lines);
}

double fakehost_metric(const struct fakehost *host, const char *name)
{
	return fake_named_get(host->metrics, host->n_metrics, name);
}

uint64_t fakehost_steps(const struct fakehost *host)
{
	return host->steps;
}

const char *fakehost_log(const struct fakehost *host)
{
	return cairn_text_get(&host->log);
}
