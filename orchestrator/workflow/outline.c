/* SPDX-License-Identifier: Apache-2.0 */
#include "workflow/outline.h"

#include <string.h>

#include "workflow/draft.h"
#include "workflow/path.h"

typedef struct listing {
	const char **names;
	size_t n, cap, limit;
} listing;

static void add(cairn_draft *draft, listing *list, const char *name)
{
	list->names = cairn_draft__grow(
		draft->arena, list->names, list->n, &list->cap, sizeof(*list->names));
	list->names[list->n++] = name;
}

/* The axes of a stage, as its `foreach` names them; false where one is not known. */
static bool take_axes(cairn_draft *draft, cairn_draft_stage *stage)
{
	const cairn_section *section = stage->section;
	const char *list = "", *word;
	size_t len;

	for (size_t i = 0; i < section->n; i++) {
		cairn_entry *entry = &draft->entries[section->first + i];
		if (strcmp(entry->key, "foreach") == 0)
			list = cairn_interpolate__entry(draft, entry, NULL, section->title);
	}
	stage->n = 1;
	while (list && (len = cairn_draft__word(&list, true, &word))) {
		const char *name = cairn_arena_strndup(draft->scratch, word, len);
		size_t found = cairn_map_get(&draft->axis_by_name, name);
		if (found == CAIRN_MAP_NONE || stage->n_axes == CAIRN_MAX_AXES)
			return false;
		if (!stage->axes)
			stage->axes = cairn_arena_alloc(
				draft->scratch, CAIRN_MAX_AXES, sizeof(cairn_axis *));
		stage->axes[stage->n_axes++] = &draft->axes[found];
		stage->n *= draft->axes[found].n;
		if (stage->n > CAIRN_MAX_INSTANCES)
			return false;
	}
	return list != NULL;
}

static void add_instances(cairn_draft *draft, listing *list, const cairn_draft_stage *stage)
{
	for (size_t i = 0; i < stage->n && list->n < list->limit; i++) {
		size_t position[CAIRN_MAX_AXES];
		cairn_text name = {0};
		cairn_expand__position(stage, i, position);
		cairn_text_add(&name, stage->name);
		for (size_t j = 0; j < stage->n_axes; j++)
			cairn_text_printf(
				&name, "%c%s", j ? ',' : '@', stage->axes[j]->values[position[j]]);
		add(draft, list, cairn_arena_strdup(draft->arena, cairn_text_get(&name)));
		cairn_text_free(&name);
	}
}

static void add_params(cairn_draft *draft, cairn_outline *out)
{
	listing names = {0}, values = {0};

	for (size_t i = 0; i < draft->n_constants; i++) {
		if (!draft->constants[i].is_param)
			continue;
		add(draft, &names, draft->constants[i].name);
		add(draft, &values, draft->constants[i].value);
	}
	out->params = names.names;
	out->values = values.names;
	out->n_params = names.n;
}

void cairn_outline_read(cairn_outline *out, const char *file, size_t limit, cairn_arena *arena)
{
	cairn_arena *scratch = cairn_arena_new();
	cairn_draft *draft = cairn_arena_alloc(scratch, 1, sizeof(*draft));
	cairn_workflow *workflow = cairn_arena_alloc(scratch, 1, sizeof(*workflow));
	listing list = {.limit = limit};

	*out = (cairn_outline){0};
	workflow->arena = arena;
	workflow->file = file;
	workflow->directory = cairn_path__directory(arena, file);
	draft->workflow = workflow;
	draft->arena = arena;
	draft->scratch = scratch;
	if (cairn_source__read(draft, file, NULL) == 0) {
		cairn_sections__read(draft, NULL, 0);
		for (size_t i = 0; i < draft->n_stages; i++) {
			if (take_axes(draft, &draft->stages[i]))
				add_instances(draft, &list, &draft->stages[i]);
		}
		add_params(draft, out);
		out->instances = list.names;
		out->n_instances = list.n;
	}
	cairn_draft__end(draft);
	cairn_arena_free(scratch);
}
