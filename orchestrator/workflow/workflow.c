/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workflow.c - the steps of loading, in order (draft.h), and finding an instance by name.
 */
#include "workflow/workflow.h"

#include <string.h>

#include "workflow/draft.h"
#include "workflow/path.h"

/* What lasts beyond the draft: the text and the effective parameters. */
static void keep(cairn_draft *draft)
{
	cairn_workflow *workflow = draft->workflow;
	cairn_axis_value *params =
		cairn_arena_alloc(draft->arena, draft->n_constants + 1, sizeof(*params));

	for (size_t i = 0; i < draft->n_constants; i++) {
		const cairn_constant *constant = &draft->constants[i];

		if (constant->is_param)
			params[workflow->n_params++] =
				(cairn_axis_value){constant->name, constant->value};
	}
	workflow->params = params;
	workflow->text = draft->text.data; /* it may be large: handed over */
	draft->text = (cairn_text){0};
}

static void read_stages(cairn_draft *draft)
{
	cairn_resolver *resolver = cairn_resolve__new(draft);

	for (size_t i = 0; i < draft->n_stages; i++) {
		const cairn_draft_stage *stage = &draft->stages[i];

		if (!stage->plugin)
			continue;
		cairn_stage__read_keys(draft, stage);
		cairn_expand__fill(draft, stage);
		cairn_resolve__stage(resolver, stage);
	}
}

static int load(cairn_draft *draft, const cairn_override *overrides, size_t n_overrides,
	cairn_errors *errors)
{
	cairn_error error = {0};
	int rc = cairn_source__read(draft, draft->workflow->file, &error);

	if (rc < 0 && rc != CAIRN_EWORKFLOW) {
		cairn_errors_add(errors, &error);
		return rc;
	}
	if (rc == 0) {
		cairn_sections__read(draft, overrides, n_overrides);
		cairn_stage__read_all(draft);
		cairn_expand__all(draft);
		read_stages(draft);
		cairn_sort__all(draft);
	}
	if (draft->n_mistakes) {
		cairn_draft__tell(draft, errors);
		return CAIRN_EWORKFLOW;
	}
	keep(draft);
	return 0;
}

int cairn_workflow_load(cairn_workflow **out, const char *file, const cairn_override *overrides,
	size_t n_overrides, cairn_registry *registry, cairn_errors *errors)
{
	cairn_arena *arena = cairn_arena_new();
	cairn_workflow *workflow = cairn_arena_alloc(arena, 1, sizeof(*workflow));
	cairn_arena *scratch = cairn_arena_new();
	cairn_draft *draft = cairn_arena_alloc(scratch, 1, sizeof(*draft));
	int rc;

	workflow->arena = arena;
	workflow->file = cairn_arena_strdup(arena, file);
	workflow->directory = cairn_path__directory(arena, file);
	draft->workflow = workflow;
	draft->arena = arena;
	draft->scratch = scratch;
	draft->registry = registry;
	rc = load(draft, overrides, n_overrides, errors);
	if (registry->rest)
		registry->rest(registry);
	cairn_draft__end(draft);
	cairn_arena_free(scratch);
	if (rc < 0) {
		cairn_workflow_free(workflow);
		return rc;
	}
	*out = workflow;
	return 0;
}

void cairn_workflow_free(cairn_workflow *workflow)
{
	if (!workflow)
		return;
	free((char *)workflow->text);
	cairn_arena_free(workflow->arena);
}

/* A stage of several instances was named without '@'. */
static void say_which(const cairn_workflow *workflow, const char *name, size_t n, cairn_error *err)
{
	cairn_text all = {0};

	for (size_t i = 0, shown = 0; i < workflow->n_instances && shown < 9; i++) {
		const cairn_instance *instance = &workflow->instances[i];

		if (strcmp(instance->stage, name) == 0 && shown++ < 8)
			cairn_text_printf(&all, "%s%s", shown > 1 ? ", " : "", instance->name);
	}
	cairn_error_set(err, CAIRN_ENOTFOUND, "stage '%s' exists %zu times", name, n);
	cairn_error_hint(err, "Say which: %s%s.", cairn_text_get(&all), n > 8 ? ", ..." : "");
	cairn_text_free(&all);
}

const cairn_instance *cairn_workflow_find(
	const cairn_workflow *workflow, const char *name, cairn_error *err)
{
	const cairn_instance *only = NULL;
	const char *near = NULL;
	size_t n = 0;

	for (size_t i = 0; i < workflow->n_instances; i++) {
		const cairn_instance *instance = &workflow->instances[i];

		if (strcmp(instance->name, name) == 0)
			return instance;
		if (strcmp(instance->stage, name) == 0) {
			only = instance;
			n++;
		}
	}
	if (n == 1)
		return only;
	if (n > 1) {
		say_which(workflow, name, n, err);
		return NULL;
	}
	near = cairn_draft__nearest(
		name, workflow->instances, workflow->n_instances, sizeof(*workflow->instances));
	cairn_error_set(err, CAIRN_ENOTFOUND, "no stage is named '%.100s'", name);
	if (near)
		cairn_error_hint(err, "Did you mean '%s'?", near);
	cairn_error_hint(err, "`cairn graph` shows the stages of '%s'.", workflow->file);
	return NULL;
}
