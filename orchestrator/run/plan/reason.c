/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reason.c - why a stage must run: today's components against those of its last result.
 *
 * The last key of each instance is kept in `note` under "key:WORKFLOW/INSTANCE"; the result
 * record of that key holds its components by name and value.
 */
#include <string.h>

#include "audit/numerics.h"
#include "base/text.h"
#include "run/plan/plan.h"

#define NAME_MAX_BYTES 511 /* a key of the store */
#define VALUE_SHOWN    32
#define REASON_SHOWN   255

bool cairn_plan_note_name(
	char *out, size_t cap, const cairn_plan *plan, const cairn_instance *instance)
{
	int len = snprintf(out, cap, "key:%s/%s", plan->workflow->name, instance->name);

	return len > 0 && (size_t)len < cap && len <= NAME_MAX_BYTES;
}

/* A value short enough for a reason: of an id the first six digits. */
static void add_value(cairn_text *text, const char *value)
{
	if (!value)
		cairn_text_add(text, "(none)");
	else if (strncmp(value, "sha256:", 7) == 0)
		cairn_text_printf(text, "%.6s", value + 7);
	else if (strlen(value) > VALUE_SHOWN)
		cairn_text_printf(text, "%.*s...", VALUE_SHOWN - 3, value);
	else
		cairn_text_add(text, value[0] ? value : "''");
}

/* The names of numeric classes tell a person little. */
static void add_words(cairn_text *text, const char *old, const char *new)
{
	cairn_text words = {0};

	cairn_numerics_change(&words, old, new);
	if (words.len)
		cairn_text_printf(text, " (%s)", cairn_text_get(&words));
	cairn_text_free(&words);
}

static void add_change(cairn_text *text, const char *name, const char *old, const char *new)
{
	if (text->len)
		cairn_text_add(text, ", ");
	cairn_text_add(text, name);
	cairn_text_add_char(text, ' ');
	add_value(text, old);
	cairn_text_add(text, " -> ");
	add_value(text, new);
	if (strcmp(name, "numerics") == 0)
		add_words(text, old, new);
}

static bool has_component(const cairn_component *components, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(components[i].name, name) == 0)
			return true;
	}
	return false;
}

static void list_changes(cairn_text *text, const cairn_plan *plan, size_t stage, const json_t *old)
{
	cairn_arena *arena = cairn_arena_new();
	const cairn_component *now;
	size_t n = cairn_plan_components(plan, stage, &now, arena);
	const char *name;
	const json_t *value;

	for (size_t i = 0; i < n; i++) {
		const char *then = cairn_json_string(old, now[i].name, NULL);

		if (!then || strcmp(then, now[i].value) != 0)
			add_change(text, now[i].name, then, now[i].value);
	}
	json_object_foreach((json_t *)old, name, value)
	{
		if (!has_component(now, n, name))
			add_change(text, name, json_string_value(value), NULL);
	}
	cairn_arena_free(arena);
}

/* The result that this instance had last, by whatever key; NULL where there is none. */
static json_t *last_result(
	cairn_plan *plan, cairn_snapshot *snapshot, const cairn_instance *instance)
{
	char name[NAME_MAX_BYTES + 1];
	json_t *result = NULL;
	const void *value;
	cairn_key key;
	size_t len;

	if (!cairn_plan_note_name(name, sizeof(name), plan, instance) ||
		cairn_snapshot_get(snapshot, "note", name, strlen(name), &value, &len, NULL) < 0 ||
		len != sizeof(key.bytes))
		return NULL;
	memcpy(key.bytes, value, len);
	if (cairn_record_result(&result, snapshot, &key, NULL) < 0)
		return NULL;
	return result;
}

int cairn_plan_reason(
	cairn_plan *plan, size_t i, cairn_snapshot *snapshot, const char *lost, cairn_error *err)
{
	cairn_planned *planned = &plan->stages[i];
	json_t *checkpoint = NULL, *last;
	cairn_text text = {0};
	int rc = cairn_record_newest_checkpoint(&checkpoint, snapshot, &planned->key, err);

	if (rc < 0 && rc != CAIRN_ENOTFOUND)
		return rc;
	last = last_result(plan, snapshot, planned->instance);
	if (checkpoint)
		cairn_text_printf(&text, "resumes at step %lld",
			(long long)cairn_json_integer(checkpoint, "step", 0));
	else if (lost[0])
		cairn_text_add(&text, lost);
	else if (last)
		list_changes(&text, plan, i, json_object_get(last, "components"));
	if (text.len > REASON_SHOWN)
		cairn_plan_say(plan, planned, "%.*s...", REASON_SHOWN - 3, cairn_text_get(&text));
	else
		cairn_plan_say(
			plan, planned, "%s", text.len ? cairn_text_get(&text) : "no result yet");
	cairn_text_free(&text);
	json_decref(checkpoint);
	json_decref(last);
	return 0;
}
