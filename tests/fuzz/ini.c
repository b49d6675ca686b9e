/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a workflow file, with plugins that exist as descriptions only: refused, each
 * mistake with words, or a plan that is what workflow.h promises. The names in it (outline.h) are
 * read as well. ${...} is part of it: some of the corpus consists of little else.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/text.h"
#include "fuzz.h"
#include "workflow/outline.h"
#include "workflow/workflow.h"

/* More axes would fill the memory with what a test of limits tests. */
#define MAX_INPUT 4096

struct params {
	int64_t steps;
	double lr;
	const char *text;
	uint64_t buffer;
	int32_t schedule, mask;
};

static const cairn_param params[] = {
	{"steps", "a", CAIRN_PARAM_INT, 0, offsetof(struct params, steps), "20", 1, 1e6, "steps",
		NULL},
	{"lr", "b", CAIRN_PARAM_REAL, 0, offsetof(struct params, lr), "0.5", 0, 1, NULL, NULL},
	{"text", "c", CAIRN_PARAM_STRING, 0, offsetof(struct params, text), "", 0, 0, NULL, NULL},
	{"buffer", "d", CAIRN_PARAM_SIZE, CAIRN_PARAM_NEUTRAL, offsetof(struct params, buffer),
		"64K", 0, 0, NULL, NULL},
	{"schedule", "e", CAIRN_PARAM_ENUM, 0, offsetof(struct params, schedule), "none", 0, 0,
		NULL, "none|linear|cosine"},
	{"mask", "f", CAIRN_PARAM_BOOL, 0, offsetof(struct params, mask), "yes", 0, 0, NULL, NULL},
};

static const cairn_port inputs[] = {
	{"in", "file|report", CAIRN_PORT_OPTIONAL | CAIRN_PORT_MANY, 0, "anything"},
	{"one", "model/lm", CAIRN_PORT_OPTIONAL, 0, "a model"}};
static const cairn_port outputs[] = {
	{"out", "report", 0, 0, "text"}, {"model", "model/lm", CAIRN_PORT_OPTIONAL, 0, "a model"}};

static const cairn_plugin_info info = {.name = "node",
	.summary = "s",
	.version = "1",
	.license = "Apache-2.0",
	.build = "b",
	.path = "node.so",
	.digest = "0",
	.major = 1,
	.params = params,
	.n_params = CAIRN_COUNT(params),
	.params_size = sizeof(struct params),
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs)};

static const cairn_plugin_info *find(cairn_registry *self, const char *name, cairn_error *err)
{
	(void)self;
	if (strcmp(name, "node") == 0)
		return &info;
	cairn_error_set(err, CAIRN_ENOTFOUND, "no plugin is called '%.60s'", name);
	return NULL;
}

static size_t names(cairn_registry *self, const char *const **out)
{
	static const char *const all[] = {"node"};

	(void)self;
	*out = all;
	return 1;
}

static void require(bool is_true)
{
	if (!is_true)
		abort();
}

static void check_values(const cairn_instance *instance, cairn_arena *arena)
{
	const char *texts[CAIRN_COUNT(params)], *again;
	struct params filled;

	for (size_t i = 0; i < CAIRN_COUNT(params); i++) {
		texts[i] = instance->values[i].text;
		/* Canonical is what canonical text becomes; a string may hold what looks like
		 * an escape. */
		require(texts[i] != NULL);
		if (params[i].type == CAIRN_PARAM_STRING)
			continue;
		require(cairn_param_canonical(&params[i], texts[i], arena, &again, NULL) == 0);
		require(strcmp(again, texts[i]) == 0);
	}
	require(cairn_param_fill(params, CAIRN_COUNT(params), texts, &filled, NULL) == 0);
	require(filled.steps >= 1 && filled.steps <= 1000000 && filled.lr >= 0 && filled.lr <= 1);
}

/* What load() promises. */
static void check_workflow(const cairn_workflow *workflow)
{
	cairn_arena *arena = cairn_arena_new();

	require(workflow->name != NULL);
	for (size_t i = 0; i < workflow->n_instances; i++) {
		const cairn_instance *instance = &workflow->instances[i];
		require(cairn_workflow_find(workflow, instance->name, NULL) == instance);
		require(instance->plugin == &info);
		require(instance->settings.keep_checkpoints >= 1);
		for (size_t b = 0; b < instance->n_bindings; b++) {
			const cairn_binding *binding = &instance->bindings[b];
			require(binding->text && binding->port);
			require(binding->type != CAIRN_FROM_INSTANCE || binding->instance < i);
		}
		if (i < 100)
			check_values(instance, arena);
	}
	cairn_arena_free(arena);
}

static bool is_same(const cairn_workflow *a, const cairn_workflow *b)
{
	bool same = a->n_instances == b->n_instances && a->seed == b->seed &&
		    strcmp(a->name, b->name) == 0;

	for (size_t i = 0; same && i < a->n_instances; i++)
		same = strcmp(a->instances[i].name, b->instances[i].name) == 0;
	return same;
}

static int load(cairn_workflow **out, const char *path)
{
	static cairn_registry registry = {.find = find, .names = names};
	static const cairn_override override = {"steps", "7"};
	cairn_errors errors = {0};
	int rc = cairn_workflow_load(out, path, &override, 1, &registry, &errors);

	if (rc < 0) { /* -p may be a mistake here: without it */
		cairn_errors_free(&errors);
		rc = cairn_workflow_load(out, path, NULL, 0, &registry, &errors);
	}
	require((rc < 0) == (errors.n > 0));
	for (size_t i = 0; i < errors.n; i++)
		require(errors.items[i].code < 0 && errors.items[i].message[0]);
	cairn_errors_free(&errors);
	return rc;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cairn_workflow *first = NULL, *second = NULL;
	cairn_arena *arena;
	cairn_outline outline;
	char path[64];
	int fd;

	if (size > MAX_INPUT)
		return 0;
	fd = memfd_create("fuzz.ini", MFD_CLOEXEC);
	require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (load(&first, path) == 0) {
		check_workflow(first);
		require(load(&second, path) == 0 && is_same(first, second));
	}
	arena = cairn_arena_new();
	cairn_outline_read(&outline, path, 100000, arena);
	/* What can be loaded has these instances, in an order of its own. */
	require(!first || first->n_instances > 100000 || outline.n_instances == first->n_instances);
	cairn_arena_free(arena);
	cairn_workflow_free(first);
	cairn_workflow_free(second);
	close(fd);
	return 0;
}
