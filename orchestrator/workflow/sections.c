/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sections.c - what each section declares: [workflow], [params], [axis], [labelers], [stage].
 *
 * A file may say again what a file that it includes says of [workflow] and [params]: the
 * including file wins. Everything else is said once in all files together.
 */
#include <string.h>

#include "workflow/draft.h"

#define FEW_KEYS 12 /* looking at all pairs of so many takes less time than sorting them */

static const char *const kinds[] = {"workflow", "params", "axis", "labelers", "stage"};
static const char *const labelers_keys[] = {"members", "utility", "noise", "from", "note"};

enum {
	WORKFLOW_NAME,
	WORKFLOW_SEED,
	WORKFLOW_DEVICE,
	WORKFLOW_DESCRIPTION,
	WORKFLOW_ENV,
	WORKFLOW_INCLUDE,
	WORKFLOW_KEYS
};
static const char *const workflow_keys[WORKFLOW_KEYS] = {
	"name", "seed", "device", "description", "env", "include"};

/* The [workflow] sections of all files, merged. */
struct head {
	cairn_entry *entries[WORKFLOW_KEYS];
	unsigned depths[WORKFLOW_KEYS];
	const char *file; /* of the newest section, to find a second one in the same file */
	const char *params_file;
};

static size_t index_of(const char *const *names, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(names[i], name) == 0)
			return i;
	}
	return CAIRN_MAP_NONE;
}

static void first_at(cairn_draft *draft, cairn_error *err, cairn_place first)
{
	cairn_error_detail(err, "first at %s", cairn_draft__place(draft, first));
}

static void unknown_key(cairn_draft *draft, const cairn_section *section, cairn_entry *entry,
	const char *const *known, size_t n)
{
	const char *near = cairn_did_you_mean(entry->key, known, n);
	cairn_text all = {0};
	cairn_error *err;

	entry->is_broken = true;
	err = cairn_draft__mistake(draft, entry->place, section->title, "unknown key '%s'",
		cairn_draft__clip(draft, entry->key));
	if (near)
		cairn_error_hint(err, "Did you mean '%s'?", near);
	for (size_t i = 0; i < n; i++)
		cairn_text_printf(&all, "%s%s", i ? ", " : "", known[i]);
	cairn_error_hint(err, "Known here: %s.", cairn_text_get(&all));
	cairn_text_free(&all);
}

static int by_key_then_line(const void *left, const void *right)
{
	const cairn_entry *a = *(cairn_entry *const *)left, *b = *(cairn_entry *const *)right;
	int order = strcmp(a->key, b->key);

	return order ? order : (a->place.line > b->place.line) - (a->place.line < b->place.line);
}

/* Do two keys of a short section agree? */
static bool has_repeats(const cairn_draft *draft, const cairn_section *section)
{
	size_t end = section->first + section->n;

	for (size_t i = section->first; i < end; i++) {
		for (size_t j = section->first; j < i; j++) {
			if (strcmp(draft->entries[i].key, draft->entries[j].key) == 0)
				return true;
		}
	}
	return false;
}

/* A key is given once in a section: the first one counts. */
static void check_repeats(cairn_draft *draft, const cairn_section *section)
{
	cairn_entry **sorted;

	if (section->n < FEW_KEYS && !has_repeats(draft, section))
		return;
	sorted = cairn_arena_alloc(draft->scratch, section->n, sizeof(*sorted));
	for (size_t i = 0; i < section->n; i++)
		sorted[i] = &draft->entries[section->first + i];
	qsort(sorted, section->n, sizeof(*sorted), by_key_then_line);
	for (size_t i = 1, first = 0; i < section->n; i++) {
		cairn_error *err;

		if (strcmp(sorted[i]->key, sorted[first]->key) != 0) {
			first = i;
			continue;
		}
		sorted[i]->is_broken = true;
		err = cairn_draft__mistake(draft, sorted[i]->place, section->title,
			"key '%s' is given twice", cairn_draft__clip(draft, sorted[i]->key));
		first_at(draft, err, sorted[first]->place);
		cairn_error_hint(err, "Keep one of the two.");
	}
}

/* A second [workflow] or [params] in one file. */
static void check_once(cairn_draft *draft, const cairn_section *section, const char **newest)
{
	cairn_error *err;

	if (*newest != section->place.file) {
		*newest = section->place.file;
		return;
	}
	err = cairn_draft__mistake(draft, section->place, section->title,
		"section [%s] is given twice in this file", section->title);
	cairn_error_hint(err, "Put the keys into one section.");
}

static void read_workflow(cairn_draft *draft, const cairn_section *section, struct head *head)
{
	check_once(draft, section, &head->file);
	for (size_t i = section->first; i < section->first + section->n; i++) {
		cairn_entry *entry = &draft->entries[i], **slot;
		size_t key = index_of(workflow_keys, WORKFLOW_KEYS, entry->key);
		cairn_error *err;

		if (key == CAIRN_MAP_NONE) {
			unknown_key(draft, section, entry, workflow_keys, WORKFLOW_KEYS);
			continue;
		}
		slot = &head->entries[key];
		if (!*slot || section->depth < head->depths[key]) {
			*slot = entry;
			head->depths[key] = section->depth;
		} else if (section->depth == head->depths[key] && key != WORKFLOW_INCLUDE &&
			   !entry->is_broken) {
			err = cairn_draft__mistake(draft, entry->place, section->title,
				"'%s' is given by two files", entry->key);
			first_at(draft, err, (*slot)->place);
			cairn_error_hint(err, "Give it in the file that includes both: that wins.");
		}
	}
}

static cairn_constant *add_constant(cairn_draft *draft, const char *name, const cairn_entry *entry,
	const cairn_section *section)
{
	cairn_constant *constant;

	draft->constants = cairn_draft__grow(draft->scratch, draft->constants, draft->n_constants,
		&draft->cap_constants, sizeof(*draft->constants));
	constant = &draft->constants[draft->n_constants];
	*constant = (cairn_constant){.name = name,
		.title = section->title,
		.raw = entry->value,
		.place = entry->place,
		.depth = section->depth,
		.state = entry->is_broken ? CAIRN_CONSTANT_BROKEN : CAIRN_CONSTANT_FRESH};
	(void)cairn_map_put(&draft->constant_by_name, draft->scratch, name, draft->n_constants++);
	return constant;
}

static void read_param(cairn_draft *draft, const cairn_section *section, const cairn_entry *entry)
{
	size_t found = cairn_map_get(&draft->constant_by_name, entry->key);
	cairn_constant *before;
	cairn_error *err;

	if (!cairn_draft__is_name(entry->key, strlen(entry->key), false)) {
		err = cairn_draft__mistake(draft, entry->place, section->title,
			"'%s' is no name for a parameter", cairn_draft__clip(draft, entry->key));
		cairn_error_hint(err, "Use up to %u letters, digits, '_' and '-'.", CAIRN_MAX_NAME);
		return;
	}
	if (found == CAIRN_MAP_NONE) {
		add_constant(draft, entry->key, entry, section)->is_param = true;
		return;
	}
	before = &draft->constants[found];
	if (section->depth > before->depth || entry->is_broken)
		return;
	if (section->depth < before->depth) {
		before->raw = entry->value;
		before->place = entry->place;
		before->depth = section->depth;
		before->title = section->title;
		before->state = CAIRN_CONSTANT_FRESH;
		return;
	}
	err = cairn_draft__mistake(draft, entry->place, section->title,
		"parameter '%s' is given by two files", entry->key);
	first_at(draft, err, before->place);
	cairn_error_hint(err, "Give it in the file that includes both: that wins.");
}

/* What stands before the colon of a source that is no stage. */
static bool is_source_form(const char *name)
{
	static const char *const forms[] = {"file", "sha256", "ref", "planned"};

	for (size_t i = 0; i < CAIRN_COUNT(forms); i++) {
		if (strcmp(name, forms[i]) == 0)
			return true;
	}
	return false;
}

static cairn_place axis_place(const cairn_draft *draft, size_t number)
{
	return draft->axes[number].place;
}

static cairn_place labelers_place(const cairn_draft *draft, size_t number)
{
	return draft->labelers[number].place;
}

static cairn_place stage_place(const cairn_draft *draft, size_t number)
{
	return draft->stages[number].section->place;
}

/* Is the section's name new and good? place_of: where a numbered thing of its kind stands. */
static bool claim_name(cairn_draft *draft, const cairn_section *section, cairn_map *map,
	size_t number, cairn_place (*place_of)(const cairn_draft *draft, size_t number))
{
	size_t before;
	bool is_stage = strcmp(section->kind, "stage") == 0;
	cairn_error *err;

	if (!cairn_draft__is_name(section->name, strlen(section->name), true) ||
		(is_stage && is_source_form(section->name))) {
		err = cairn_draft__mistake(draft, section->place, NULL,
			section->name[0] ? "'%s' is no name for a [%s]"
					 : "section%s [%s] has no name",
			cairn_draft__clip(draft, section->name), section->kind);
		cairn_error_hint(err,
			"Write [%s NAME]; a name has up to %u letters, digits, '_', '-' and '.'%s.",
			section->kind, CAIRN_MAX_NAME,
			is_stage ? ", and is not 'file', 'sha256', 'ref' or 'planned'" : "");
		return false;
	}
	before = cairn_map_put(map, draft->scratch, section->name, number);
	if (before == CAIRN_MAP_NONE)
		return true;
	err = cairn_draft__mistake(
		draft, section->place, NULL, "section [%s] is given twice", section->title);
	first_at(draft, err, place_of(draft, before));
	cairn_error_hint(err, "Give one of them another name.");
	return false;
}

static void read_axis(cairn_draft *draft, const cairn_section *section)
{
	static const char *const known[] = {"values"};
	cairn_axis *axis;

	if (!claim_name(draft, section, &draft->axis_by_name, draft->n_axes, axis_place))
		return;
	draft->axes = cairn_draft__grow(
		draft->scratch, draft->axes, draft->n_axes, &draft->cap_axes, sizeof(*draft->axes));
	axis = &draft->axes[draft->n_axes++];
	*axis = (cairn_axis){
		.name = section->name, .title = section->title, .place = section->place};
	for (size_t i = section->first; i < section->first + section->n; i++) {
		cairn_entry *entry = &draft->entries[i];

		if (strcmp(entry->key, "values") != 0)
			unknown_key(draft, section, entry, known, CAIRN_COUNT(known));
		else if (!axis->entry)
			axis->entry = entry;
	}
}

static void read_labelers(cairn_draft *draft, const cairn_section *section)
{
	if (!claim_name(
		    draft, section, &draft->labelers_by_name, draft->n_labelers, labelers_place))
		return;
	draft->labelers = cairn_draft__grow(draft->scratch, draft->labelers, draft->n_labelers,
		&draft->cap_labelers, sizeof(*draft->labelers));
	draft->labelers[draft->n_labelers++] = (cairn_labelers){section->name, section->place};
	for (size_t i = section->first; i < section->first + section->n; i++) {
		cairn_entry *entry = &draft->entries[i];

		if (index_of(labelers_keys, CAIRN_COUNT(labelers_keys), entry->key) ==
			CAIRN_MAP_NONE)
			unknown_key(
				draft, section, entry, labelers_keys, CAIRN_COUNT(labelers_keys));
		else
			(void)add_constant(draft,
				cairn_arena_printf(
					draft->arena, "labelers.%s.%s", section->name, entry->key),
				entry, section);
	}
}

static void read_stage(cairn_draft *draft, const cairn_section *section)
{
	if (!claim_name(draft, section, &draft->stage_by_name, draft->n_stages, stage_place))
		return;
	draft->stages = cairn_draft__extend(
		draft->stages, draft->n_stages, &draft->cap_stages, sizeof(*draft->stages));
	draft->stages[draft->n_stages++] =
		(cairn_draft_stage){.name = section->name, .section = section};
}

/* A key before the first section. */
static void homeless(cairn_draft *draft, const cairn_entry *entry)
{
	cairn_error *err = cairn_draft__mistake(draft, entry->place, NULL,
		"key '%s' is in no section", cairn_draft__clip(draft, entry->key));

	cairn_error_hint(err, "Put it below a header, e.g. [workflow]: only `include` may stand "
			      "before the first one.");
}

static void read_section(cairn_draft *draft, const cairn_section *section, struct head *head)
{
	const char *near;
	cairn_error *err;

	check_repeats(draft, section);
	if (strcmp(section->kind, "stage") == 0) {
		read_stage(draft, section);
	} else if (strcmp(section->kind, "axis") == 0) {
		read_axis(draft, section);
	} else if (strcmp(section->kind, "labelers") == 0) {
		read_labelers(draft, section);
	} else if (strcmp(section->title, "workflow") == 0) {
		read_workflow(draft, section, head);
	} else if (strcmp(section->title, "params") == 0) {
		check_once(draft, section, &head->params_file);
		for (size_t i = section->first; i < section->first + section->n; i++)
			read_param(draft, section, &draft->entries[i]);
	} else if (section->place.line == 0) { /* what stands before the first header */
		for (size_t i = section->first; i < section->first + section->n; i++) {
			if (strcmp(draft->entries[i].key, "include") != 0)
				homeless(draft, &draft->entries[i]);
		}
	} else {
		near = cairn_did_you_mean(section->kind, kinds, CAIRN_COUNT(kinds));
		err = cairn_draft__mistake(draft, section->place, NULL, "unknown section [%s]",
			cairn_draft__clip(draft, section->title));
		if (near && strcmp(near, "workflow") != 0 && strcmp(near, "params") != 0)
			cairn_error_hint(err, "Did you mean [%s %s]?", near,
				section->name[0] ? cairn_draft__clip(draft, section->name)
						 : "NAME");
		else if (near)
			cairn_error_hint(err, "Did you mean [%s]?", near);
		cairn_error_hint(err, "Known: [workflow], [params], [axis NAME], [labelers NAME], "
				      "[stage NAME].");
	}
}

static void override_params(cairn_draft *draft, const cairn_override *overrides, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t found = cairn_map_get(&draft->constant_by_name, overrides[i].name);
		cairn_place place = {cairn_arena_printf(draft->arena, "-p %s=%s",
					     cairn_draft__clip(draft, overrides[i].name),
					     cairn_draft__clip(draft, overrides[i].value)),
			0};
		const char *near;
		cairn_error *err;

		if (found != CAIRN_MAP_NONE && draft->constants[found].is_param) {
			cairn_constant *constant = &draft->constants[found];

			constant->raw = cairn_arena_strdup(draft->arena, overrides[i].value);
			constant->place = place;
			constant->title = NULL;
			constant->state = CAIRN_CONSTANT_FRESH;
			continue;
		}
		err = cairn_draft__mistake(draft, place, NULL, "unknown parameter '%s'",
			cairn_draft__clip(draft, overrides[i].name));
		near = cairn_draft__nearest(overrides[i].name, draft->constants, draft->n_constants,
			sizeof(*draft->constants));
		if (near && !strchr(near, '.'))
			cairn_error_hint(err, "Did you mean '%s'?", near);
		cairn_error_hint(err, "Only what [params] of '%s' defines can be replaced.",
			draft->workflow->file);
	}
}

/* `env = X Y`: may be used as ${env.X}. Taken as it stands. */
static void read_env(cairn_draft *draft, const cairn_entry *entry)
{
	const char *list, *word;
	size_t len, cap = 0;

	if (!entry || entry->is_broken)
		return;
	list = entry->value;
	while ((len = cairn_draft__word(&list, true, &word))) {
		if (!cairn_draft__is_name(word, len, false)) {
			cairn_draft__mistake(draft, entry->place, "workflow",
				"'%.*s' is no name of an environment variable",
				(int)(len < 60 ? len : 60), word);
			continue;
		}
		draft->env = cairn_draft__grow(
			draft->scratch, draft->env, draft->n_env, &cap, sizeof(*draft->env));
		draft->env[draft->n_env++] = cairn_arena_strndup(draft->arena, word, len);
	}
}

/* The text of a [workflow] key, or the fallback where it is absent or broken. */
static const char *head_text(
	cairn_draft *draft, const struct head *head, size_t key, const char *fallback)
{
	const char *text = NULL;

	if (head->entries[key])
		text = cairn_interpolate__entry(draft, head->entries[key], NULL, "workflow");
	return text ? text : fallback;
}

static void read_head(cairn_draft *draft, const struct head *head)
{
	cairn_workflow *workflow = draft->workflow;
	const cairn_entry *entry = head->entries[WORKFLOW_NAME];
	const char *text = head_text(draft, head, WORKFLOW_NAME, NULL);
	cairn_error *err;

	if (!entry) {
		err = cairn_draft__mistake(draft, (cairn_place){workflow->file, 1}, "workflow",
			"the workflow has no name");
		cairn_error_hint(err, "Add `name = NAME` to [workflow].");
	} else if (text && !cairn_draft__is_name(text, strlen(text), false)) {
		err = cairn_draft__mistake(draft, entry->place, "workflow",
			"'%s' is no name for a workflow", cairn_draft__clip(draft, text));
		cairn_error_hint(err, "Use up to %u letters, digits, '_' and '-'.", CAIRN_MAX_NAME);
	}
	workflow->name = text ? text : "";
	workflow->seed = 1;
	text = head_text(draft, head, WORKFLOW_SEED, "1");
	if (!cairn_parse_i64(text, &workflow->seed)) {
		err = cairn_draft__mistake(draft, head->entries[WORKFLOW_SEED]->place, "workflow",
			"seed must be a whole number, not '%s'", cairn_draft__clip(draft, text));
		cairn_error_hint(err, "Write it as a decimal number, e.g. `seed = 1`.");
	}
	workflow->device = head_text(draft, head, WORKFLOW_DEVICE, "auto");
	if (strcmp(workflow->device, "auto") != 0 && strcmp(workflow->device, "cpu") != 0 &&
		strcmp(workflow->device, "cuda") != 0) {
		err = cairn_draft__mistake(draft, head->entries[WORKFLOW_DEVICE]->place, "workflow",
			"unknown device '%s'", cairn_draft__clip(draft, workflow->device));
		cairn_error_hint(err, "Write auto, cpu or cuda.");
	}
	(void)head_text(draft, head, WORKFLOW_DESCRIPTION, NULL);
}

static void read_axis_values(cairn_draft *draft, cairn_axis *axis)
{
	const char *list, *word, **values = NULL;
	size_t len, cap = 0;
	cairn_error *err;

	if (cairn_map_get(&draft->constant_by_name, axis->name) != CAIRN_MAP_NONE) {
		err = cairn_draft__mistake(draft, axis->place, NULL,
			"axis '%s' has the name of a parameter", axis->name);
		cairn_error_hint(err, "Rename one of them: ${%s} could mean either.", axis->name);
	}
	if (!axis->entry) {
		err = cairn_draft__mistake(
			draft, axis->place, NULL, "axis '%s' has no values", axis->name);
		cairn_error_hint(err, "Add `values = A, B`.");
		return;
	}
	list = cairn_interpolate__entry(draft, axis->entry, NULL, axis->title);
	if (!list)
		return;
	while ((len = cairn_draft__word(&list, true, &word))) {
		const char *value = cairn_arena_strndup(draft->arena, word, len);
		bool is_name = cairn_draft__is_name(word, len, true);

		if (!is_name || cairn_map_put(&axis->by_value, draft->scratch, value, axis->n) !=
					CAIRN_MAP_NONE) {
			err = cairn_draft__mistake(draft, axis->entry->place, axis->title,
				is_name ? "value '%s' is given twice"
					: "'%s' is no name for a value of an axis",
				cairn_draft__clip(draft, value));
			cairn_error_hint(err,
				"Values are distinct names of up to %u letters, "
				"digits, '_', '-' and '.'.",
				CAIRN_MAX_NAME);
			axis->entry->is_broken = true;
			continue;
		}
		values = cairn_draft__grow(draft->arena, values, axis->n, &cap, sizeof(*values));
		values[axis->n++] = value;
	}
	axis->values = values;
	if (axis->n || axis->entry->is_broken)
		return;
	err = cairn_draft__mistake(
		draft, axis->entry->place, axis->title, "axis '%s' has no values", axis->name);
	cairn_error_hint(err, "Write them separated by commas or blanks: `values = A, B`.");
}

void cairn_sections__read(cairn_draft *draft, const cairn_override *overrides, size_t n_overrides)
{
	struct head head = {0};

	cairn_map_reserve(&draft->stage_by_name, draft->scratch, draft->n_sections);
	for (size_t i = 0; i < draft->n_sections; i++)
		read_section(draft, &draft->sections[i], &head);
	override_params(draft, overrides, n_overrides);
	read_env(draft, head.entries[WORKFLOW_ENV]);
	cairn_interpolate__constants(draft);
	read_head(draft, &head);
	for (size_t i = 0; i < draft->n_axes; i++)
		read_axis_values(draft, &draft->axes[i]);
}
