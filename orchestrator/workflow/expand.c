/* SPDX-License-Identifier: Apache-2.0 */
/*
 * expand.c - foreach -> instances, and then, stage by stage, parameters, settings and seed.
 *
 * The instances of a stage stand side by side, the last axis of its `foreach` running
 * fastest, so that a reference finds its instance by arithmetic (resolve.c). Where nothing
 * of a stage names an axis, its instances share one table of values; where it gives no
 * parameter at all, they share the plugin's defaults: 100,000 plain stages stay small.
 */
#include <string.h>

#include "workflow/draft.h"

void cairn_expand__position(const cairn_draft_stage *stage, size_t instance, size_t *position)
{
	size_t rest = instance - stage->first;

	for (size_t i = stage->n_axes; i-- > 0;) {
		position[i] = rest % stage->axes[i]->n;
		rest /= stage->axes[i]->n;
	}
}

/* Numbers the instances of all stages; a broken one has none. */
static void count(cairn_draft *draft)
{
	for (size_t i = 0; i < draft->n_stages; i++) {
		cairn_draft_stage *stage = &draft->stages[i];
		cairn_error *err;

		stage->first = draft->n_instances;
		stage->n = stage->is_broken ? 0 : 1;
		for (size_t j = 0; j < stage->n_axes && stage->n <= CAIRN_MAX_INSTANCES; j++)
			stage->n *= stage->axes[j]->n;
		if (stage->n > CAIRN_MAX_INSTANCES - draft->n_instances) {
			err = cairn_draft__mistake(draft, stage->section->place,
				stage->section->title, "too many stages once axes are expanded");
			cairn_error_detail(err, "at most %u", CAIRN_MAX_INSTANCES);
			cairn_error_hint(err, "Take fewer values, or split the workflow.");
			stage->n = 0;
			stage->is_broken = true;
		}
		draft->n_instances += stage->n;
	}
}

static void name_instance(
	cairn_draft *draft, const cairn_draft_stage *stage, size_t i, cairn_instance *instance)
{
	size_t position[CAIRN_MAX_AXES];
	cairn_axis_value *axes;
	cairn_text name = {0};

	instance->stage = stage->name;
	instance->name = stage->name;
	instance->plugin = stage->plugin->info;
	instance->place = stage->section->place;
	if (!stage->n_axes)
		return;
	cairn_expand__position(stage, i, position);
	axes = cairn_arena_alloc(draft->arena, stage->n_axes, sizeof(*axes));
	cairn_text_add(&name, stage->name);
	for (size_t j = 0; j < stage->n_axes; j++) {
		axes[j].axis = stage->axes[j]->name;
		axes[j].value = stage->axes[j]->values[position[j]];
		cairn_text_printf(&name, "%c%s", j ? ',' : '@', axes[j].value);
	}
	instance->axes = axes;
	instance->n_axes = stage->n_axes;
	instance->name = cairn_arena_strdup(draft->arena, cairn_text_get(&name));
	cairn_text_free(&name);
}

/* A setting or a parameter of one instance is wrong: say it once, and for whom. */
static void tell(cairn_draft *draft, const cairn_draft_stage *stage, cairn_entry *entry,
	const cairn_instance *instance, const cairn_error *error)
{
	cairn_error told = *error;

	entry->is_broken = true;
	if (stage->n_axes && strstr(entry->value, "${")) {
		told.detail[0] = '\0';
		cairn_error_detail(&told, "in '%s'%s%.600s", instance->name,
			error->detail[0] ? "; " : "", error->detail);
	}
	cairn_draft__adopt(draft, entry->place, stage->section->title, &told);
}

static void set_settings(
	cairn_draft *draft, const cairn_draft_stage *stage, cairn_instance *instance)
{
	const cairn_scope scope = {instance->axes, instance->n_axes};
	const char *title = stage->section->title, *text;
	cairn_error error = {0};

	instance->settings = cairn_settings__fallback;
	for (int i = 0; i < CAIRN_SETTINGS; i++) {
		cairn_entry *entry = draft->keys.settings[i];

		text = entry ? cairn_interpolate__entry(draft, entry, &scope, title) : NULL;
		if (text && cairn_settings__set(&instance->settings, (enum cairn_setting)i, text,
				    draft->arena, &error) < 0) {
			tell(draft, stage, entry, instance, &error);
			cairn_error_clear(&error);
		}
	}
	instance->seed = draft->workflow->seed;
	if (!draft->keys.seed)
		return;
	text = cairn_interpolate__entry(draft, draft->keys.seed, &scope, title);
	if (text && !cairn_parse_i64(text, &instance->seed)) {
		cairn_error_set(&error, CAIRN_EWORKFLOW, "seed must be a whole number, not '%s'",
			cairn_draft__clip(draft, text));
		cairn_error_hint(&error, "Write it as a decimal number, e.g. `seed = 1`.");
		tell(draft, stage, draft->keys.seed, instance, &error);
	}
}

static void missing_param(
	cairn_draft *draft, const cairn_draft_stage *stage, const cairn_param *param)
{
	cairn_error *err = cairn_draft__mistake(draft, stage->section->place, stage->section->title,
		"stage '%s' does not give parameter '%s'", stage->name, param->name);

	cairn_error_detail(err, "%s: %s", param->name, param->doc ? param->doc : "");
	cairn_error_hint(err, "Add `%s = ...`: plugin '%s' has no default for it.", param->name,
		stage->plugin->name);
}

/* Values of one instance; NULL where one is missing or wrong. */
static const cairn_value *make_values(
	cairn_draft *draft, const cairn_draft_stage *stage, const cairn_instance *instance)
{
	const cairn_plugin_info *info = stage->plugin->info;
	const cairn_scope scope = {instance->axes, instance->n_axes};
	cairn_value *values = NULL;
	bool ok = true;

	for (uint64_t i = 0; i < info->n_params; i++) {
		cairn_entry *entry = draft->keys.params[i];
		const cairn_param *param = &info->params[i];
		cairn_error error = {0};
		const char *text;

		if (!entry && !param->fallback) {
			missing_param(draft, stage, param);
			ok = false;
		}
		if (!entry)
			continue;
		if (!values) {
			values = cairn_arena_alloc(draft->arena, info->n_params, sizeof(*values));
			memcpy(values, stage->plugin->fallbacks, info->n_params * sizeof(*values));
		}
		values[i].is_given = true;
		values[i].line = entry->place.line;
		text = cairn_interpolate__entry(draft, entry, &scope, stage->section->title);
		if (text && cairn_param_canonical(
				    param, text, draft->arena, &values[i].text, &error) < 0)
			tell(draft, stage, entry, instance, &error);
		ok &= !entry->is_broken;
	}
	if (!ok)
		return NULL;
	return values ? values : stage->plugin->fallbacks;
}

/* The plugin's own rules between its parameters. false after reporting. */
static bool check_values(
	cairn_draft *draft, const cairn_draft_stage *stage, const cairn_instance *instance)
{
	const cairn_plugin_info *info = stage->plugin->info;
	const char **texts;
	cairn_error error = {0}, *err;

	if (!info->has_check || !draft->registry->check ||
		stage->plugin->checked == instance->values)
		return true;
	stage->plugin->checked = instance->values;
	texts = cairn_arena_alloc(draft->scratch, info->n_params + 1, sizeof(*texts));
	for (uint64_t i = 0; i < info->n_params; i++)
		texts[i] = instance->values[i].text;
	if (draft->registry->check(draft->registry, info, texts, &error) >= 0)
		return true;
	cairn_error_set(&error, CAIRN_EPARAM, "plugin '%s' refuses these parameters", info->name);
	err = cairn_draft__adopt(draft, stage->section->place, stage->section->title, &error);
	if (stage->n > 1)
		cairn_error_detail(err, "in '%s'", instance->name);
	return false;
}

void cairn_expand__fill(cairn_draft *draft, const cairn_draft_stage *stage)
{
	bool ok = true;

	for (size_t i = stage->first; i < stage->first + stage->n; i++) {
		cairn_instance *instance = &draft->instances[i];
		const cairn_instance *first = &draft->instances[stage->first];

		if (!ok)
			return;
		if (instance == first || draft->keys.varies) {
			set_settings(draft, stage, instance);
			instance->values = make_values(draft, stage, instance);
			ok = instance->values && check_values(draft, stage, instance);
		} else {
			instance->settings = first->settings;
			instance->seed = first->seed;
			instance->values = first->values;
		}
	}
}

void cairn_expand__all(cairn_draft *draft)
{
	count(draft);
	draft->instances =
		cairn_arena_alloc(draft->arena, draft->n_instances + 1, sizeof(*draft->instances));
	for (size_t i = 0; i < draft->n_stages; i++) {
		const cairn_draft_stage *stage = &draft->stages[i];

		for (size_t j = stage->first; j < stage->first + stage->n; j++)
			name_instance(draft, stage, j, &draft->instances[j]);
	}
}
