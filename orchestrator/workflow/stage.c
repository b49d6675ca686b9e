/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stage.c - a stage's keys, each sorted to whom it belongs: plugin, foreach and seed to the
 * stage, the settings to the runner, input.PORT and the rest to the plugin.
 *
 * Where the plugin is missing or unknown nothing can be said of the other keys: the stage is
 * then broken, and so that nothing follows from one slip, later steps pass over it.
 */
#include <string.h>

#include "workflow/draft.h"

/* Most keys differ in the first letter from what they are compared with. */
static bool is_key(const char *key, const char *name)
{
	return key[0] == name[0] && strcmp(key, name) == 0;
}

/* Canonical defaults, once per plugin: shared by every stage that gives no parameter. */
static int make_fallbacks(cairn_draft *draft, cairn_draft_plugin *plugin, cairn_error *err)
{
	const cairn_plugin_info *info = plugin->info;
	cairn_value *values = cairn_arena_alloc(draft->arena, info->n_params + 1, sizeof(*values));

	for (uint64_t i = 0; i < info->n_params; i++) {
		const cairn_param *param = &info->params[i];

		values[i].param = param;
		if (param->fallback && cairn_param_canonical(param, param->fallback, draft->arena,
					       &values[i].text, err) < 0) {
			cairn_error_detail(
				err, "it is the default that plugin '%s' gives", plugin->name);
			return err->code;
		}
	}
	plugin->fallbacks = values;
	return 0;
}

/* Every name is looked up once, found or not. */
static cairn_draft_plugin *find_plugin(cairn_draft *draft, const char *name)
{
	size_t found = cairn_map_get(&draft->plugin_by_name, name);
	cairn_draft_plugin *plugin;
	cairn_error error = {0};

	if (found != CAIRN_MAP_NONE)
		return draft->plugins[found];
	plugin = cairn_arena_alloc(draft->scratch, 1, sizeof(*plugin));
	plugin->name = cairn_arena_strdup(draft->scratch, name);
	plugin->info = draft->registry->find(draft->registry, name, &error);
	if (plugin->info && make_fallbacks(draft, plugin, &error) < 0)
		plugin->info = NULL;
	if (!plugin->info) {
		cairn_error_set(&error, CAIRN_ENOTFOUND, "unknown plugin '%s'",
			cairn_draft__clip(draft, name));
		plugin->error = cairn_arena_alloc(draft->scratch, 1, sizeof(error));
		*plugin->error = error;
	}
	draft->plugins = cairn_draft__grow(draft->scratch, draft->plugins, draft->n_plugins,
		&draft->cap_plugins, sizeof(cairn_draft_plugin *));
	(void)cairn_map_put(&draft->plugin_by_name, draft->scratch, plugin->name, draft->n_plugins);
	draft->plugins[draft->n_plugins++] = plugin;
	return plugin;
}

static void read_plugin(cairn_draft *draft, cairn_draft_stage *stage, cairn_entry *entry)
{
	const cairn_section *section = stage->section;
	const char *name, *const *names = NULL, *near;
	cairn_draft_plugin *plugin;
	cairn_error *err;
	size_t n;

	if (!entry) {
		err = cairn_draft__mistake(draft, section->place, section->title,
			"stage '%s' has no plugin", stage->name);
		cairn_error_hint(err, "Add `plugin = NAME`; `cairn plugins` lists what there is.");
		return;
	}
	name = cairn_interpolate__entry(draft, entry, NULL, section->title);
	if (!name)
		return;
	plugin = find_plugin(draft, name);
	if (plugin->info) {
		stage->plugin = plugin;
		return;
	}
	err = cairn_draft__adopt(draft, entry->place, section->title, plugin->error);
	if (!err || err->code != CAIRN_ENOTFOUND)
		return;
	n = draft->registry->names(draft->registry, &names);
	near = cairn_did_you_mean(name, names, n);
	if (near)
		cairn_error_hint(err, "Did you mean '%s'?", near);
	cairn_error_hint(err, "`cairn plugins` lists what there is.");
}

/* false after reporting. */
static bool add_axis(
	cairn_draft *draft, cairn_draft_stage *stage, const cairn_entry *entry, const char *name)
{
	const char *title = stage->section->title, *near;
	size_t found = cairn_map_get(&draft->axis_by_name, name);
	cairn_error *err;

	if (found == CAIRN_MAP_NONE) {
		err = cairn_draft__mistake(draft, entry->place, title, "unknown axis '%s'",
			cairn_draft__clip(draft, name));
		near = cairn_draft__nearest(name, draft->axes, draft->n_axes, sizeof(*draft->axes));
		if (near)
			cairn_error_hint(err, "Did you mean '%s'?", near);
		cairn_error_hint(err, "Define it: a section [axis %s] with `values = A, B`.",
			cairn_draft__clip(draft, name));
		return false;
	}
	for (size_t i = 0; i < stage->n_axes; i++) {
		if (stage->axes[i] == &draft->axes[found]) {
			err = cairn_draft__mistake(
				draft, entry->place, title, "axis '%s' is named twice", name);
			cairn_error_hint(err, "Name every axis once.");
			return false;
		}
	}
	if (stage->n_axes == CAIRN_MAX_AXES) {
		cairn_draft__mistake(
			draft, entry->place, title, "a stage has at most %u axes", CAIRN_MAX_AXES);
		return false;
	}
	if (!stage->axes)
		stage->axes =
			cairn_arena_alloc(draft->scratch, CAIRN_MAX_AXES, sizeof(cairn_axis *));
	stage->axes[stage->n_axes++] = &draft->axes[found];
	return true;
}

static void read_foreach(cairn_draft *draft, cairn_draft_stage *stage, cairn_entry *entry)
{
	const char *list, *word;
	size_t len;

	if (!entry)
		return;
	list = cairn_interpolate__entry(draft, entry, NULL, stage->section->title);
	if (!list)
		return;
	while (!entry->is_broken && (len = cairn_draft__word(&list, true, &word)))
		entry->is_broken = !add_axis(
			draft, stage, entry, cairn_arena_strndup(draft->scratch, word, len));
	for (size_t i = 0; i < stage->n_axes; i++)
		entry->is_broken |= stage->axes[i]->n == 0; /* told where the axis is */
}

/* The entry seems to mean that port or parameter: nothing is missing there then. */
static void excuse(cairn_entry **place, cairn_entry *entry)
{
	entry->is_broken = true;
	if (!*place)
		*place = entry;
}

static void unknown_input(
	cairn_draft *draft, const cairn_draft_stage *stage, cairn_entry *entry, const char *name)
{
	const cairn_plugin_info *info = stage->plugin->info;
	const char *near =
		cairn_draft__nearest(name, info->inputs, info->n_inputs, sizeof(*info->inputs));
	cairn_text all = {0};
	cairn_error *err = cairn_draft__mistake(draft, entry->place, stage->section->title,
		"plugin '%s' has no input '%s'", info->name, cairn_draft__clip(draft, name));

	if (near) {
		cairn_error_hint(err, "Did you mean 'input.%s'?", near);
		excuse(&draft->keys.inputs[cairn_plugin_input(info, near) - info->inputs], entry);
	}
	for (uint64_t i = 0; i < info->n_inputs; i++)
		cairn_text_printf(&all, "%s%s", i ? ", " : "", info->inputs[i].name);
	if (all.len)
		cairn_error_hint(err, "Its inputs are: %s.", cairn_text_get(&all));
	cairn_error_hint(err, "It takes no input.");
	cairn_text_free(&all);
}

static void unknown_param(cairn_draft *draft, const cairn_draft_stage *stage, cairn_entry *entry)
{
	static const char *const own[] = {"plugin", "foreach", "seed", "when"};
	const cairn_plugin_info *info = stage->plugin->info;
	const cairn_port *port = cairn_plugin_input(info, entry->key);
	const char *near = cairn_draft__nearest(
		entry->key, info->params, info->n_params, sizeof(*info->params));
	cairn_error *err = cairn_draft__mistake(draft, entry->place, stage->section->title,
		"unknown parameter '%s' for plugin '%s'", cairn_draft__clip(draft, entry->key),
		info->name);

	cairn_error_detail(err, "'%s' %s accepts %llu parameter%s", info->name, info->version,
		(unsigned long long)info->n_params, info->n_params == 1 ? "" : "s");
	if (port) {
		cairn_error_hint(err, "It is an input: write `input.%s = STAGE:PORT`.", entry->key);
		excuse(&draft->keys.inputs[port - info->inputs], entry);
	}
	if (near)
		excuse(&draft->keys.params[cairn_plugin_param(info, near) - info->params], entry);
	if (!near)
		near = cairn_did_you_mean(entry->key, cairn_settings__names, CAIRN_SETTINGS);
	if (!near)
		near = cairn_did_you_mean(entry->key, own, CAIRN_COUNT(own));
	if (near)
		cairn_error_hint(err, "Did you mean '%s'? List them with `cairn plugins %s`.", near,
			info->name);
	cairn_error_hint(err, "List them with `cairn plugins %s`.", info->name);
}

/* Where the entry belongs; NULL after reporting that nobody knows it. */
static cairn_entry **place_of(
	cairn_draft *draft, const cairn_draft_stage *stage, cairn_entry *entry)
{
	cairn_stage_keys *keys = &draft->keys;
	const cairn_plugin_info *info = stage->plugin->info;
	const char *key = entry->key;

	if (is_key(key, "seed"))
		return &keys->seed;
	if (strcmp(key, "when") == 0)
		return &keys->when;
	for (size_t i = 0; i < CAIRN_SETTINGS; i++) {
		if (is_key(key, cairn_settings__names[i]))
			return &keys->settings[i];
	}
	if (strncmp(key, "input.", 6) == 0) {
		const cairn_port *port = cairn_plugin_input(info, key + 6);

		if (port)
			return &keys->inputs[port - info->inputs];
		unknown_input(draft, stage, entry, key + 6);
		return NULL;
	}
	for (uint64_t i = 0; i < info->n_params; i++) {
		if (is_key(key, info->params[i].name))
			return &keys->params[i];
	}
	unknown_param(draft, stage, entry);
	return NULL;
}

/* An empty row of n places, in `row` if that is long enough. */
static cairn_entry **clear_row(cairn_arena *arena, cairn_entry **row, size_t n, size_t *cap)
{
	if (n <= *cap) {
		if (n) /* else there may be no row yet */
			memset(row, 0, n * sizeof(cairn_entry *));
		return row;
	}
	*cap = n;
	return cairn_arena_alloc(arena, n, sizeof(cairn_entry *));
}

static void clear_keys(cairn_draft *draft, const cairn_plugin_info *info)
{
	cairn_stage_keys *keys = &draft->keys;

	keys->inputs = clear_row(draft->scratch, keys->inputs, info->n_inputs, &keys->cap_inputs);
	keys->params = clear_row(draft->scratch, keys->params, info->n_params, &keys->cap_params);
	memset(keys->settings, 0, sizeof(keys->settings));
	keys->seed = keys->when = NULL;
	keys->varies = false;
}

void cairn_stage__read_keys(cairn_draft *draft, const cairn_draft_stage *stage)
{
	const cairn_section *section = stage->section;

	clear_keys(draft, stage->plugin->info);
	for (size_t i = section->first; i < section->first + section->n; i++) {
		cairn_entry *entry = &draft->entries[i], **place;

		if (is_key(entry->key, "plugin") || is_key(entry->key, "foreach"))
			continue;
		place = place_of(draft, stage, entry);
		if (!place)
			continue;
		if (!*place || (*place)->is_broken)
			*place = entry;
		if (stage->n_axes && strncmp(entry->key, "input.", 6) != 0 &&
			strstr(entry->value, "${"))
			draft->keys.varies = true;
	}
}

void cairn_stage__read_all(cairn_draft *draft)
{
	for (size_t i = 0; i < draft->n_stages; i++) {
		cairn_draft_stage *stage = &draft->stages[i];
		const cairn_section *section = stage->section;
		cairn_entry *plugin = NULL, *foreach = NULL;

		for (size_t j = section->first; j < section->first + section->n; j++) {
			cairn_entry *entry = &draft->entries[j];

			if (!plugin && is_key(entry->key, "plugin"))
				plugin = entry;
			if (!foreach && is_key(entry->key, "foreach"))
				foreach = entry;
		}
		read_plugin(draft, stage, plugin);
		read_foreach(draft, stage, foreach);
		stage->is_broken = !stage->plugin || (foreach && foreach->is_broken);
	}
}
