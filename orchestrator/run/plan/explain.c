/* SPDX-License-Identifier: Apache-2.0 */
/*
 * explain.c - a stage of today's plan beside its last result.
 *
 * Where an input is not known yet, the rest is compared all the same, and the stages that will
 * make it are asked what changed in them.
 */
#include "run/plan/explain.h"

#include <string.h>

#include "audit/cause.h"
#include "audit/explain.h"
#include "audit/report.h"
#include "base/text.h"

#define VALUE_SHOWN 24

/* ---- a stage as it is now ------------------------------------------------------------------- */

/* An id that is not known yet is "" here. */
static json_t *components_json(
	const cairn_plan *plan, const cairn_instance *instance, const char *const *ids)
{
	cairn_arena *arena = cairn_arena_new();
	const cairn_component *components;
	size_t n = cairn_key_components(&components, instance, ids, &plan->arithmetic, arena);
	json_t *json = json_object();

	for (size_t c = 0; c < n; c++) {
		const char *name = components[c].name, *value = components[c].value;
		bool is_unknown = !value[0] && strncmp(name, "input.", 6) == 0;
		json_object_set_new(
			json, name, is_unknown ? json_null() : cairn_record_text(value));
	}
	cairn_arena_free(arena);
	return json;
}

static json_t *inputs_json(const cairn_instance *instance, const char *const *ids)
{
	json_t *ports = json_object();

	for (size_t b = 0; b < instance->n_bindings; b++) {
		const char *port = instance->bindings[b].port->name;
		json_t *list = json_object_get(ports, port);
		if (!list) {
			list = json_array();
			json_object_set_new(ports, port, list);
		}
		json_array_append_new(
			list, json_pack("{s:s?, s:o}", "id", ids[b][0] ? ids[b] : NULL, "source",
				      cairn_record_text(instance->bindings[b].text)));
	}
	return ports;
}

json_t *cairn_plan_stage_json(const cairn_plan *plan, size_t i)
{
	const cairn_planned *planned = &plan->stages[i];
	const cairn_instance *instance = planned->instance;
	cairn_arena *arena = cairn_arena_new();
	const char **ids = cairn_arena_alloc(arena, instance->n_bindings + 1, sizeof(*ids));
	json_t *json;

	for (size_t b = 0; b < instance->n_bindings; b++) {
		const cairn_id *id = cairn_plan_input(plan, i, b);
		char *text = cairn_arena_alloc(arena, 1, CAIRN_ID_TEXT);
		ids[b] = text;
		if (id)
			cairn_id_format(id, text);
	}
	json = json_pack("{s:s, s:o, s:o}", "instance", instance->name, "components",
		components_json(plan, instance, ids), "inputs", inputs_json(instance, ids));
	if (planned->state != CAIRN_STATE_CACHED && planned->state != CAIRN_STATE_DONE)
		json_object_set_new(json, "reason", cairn_record_text(planned->reason));
	cairn_arena_free(arena);
	return json;
}

static json_t *maker_of(void *arg, const char *instance, const char *id)
{
	const cairn_plan *plan = arg;
	const cairn_instance *found = cairn_workflow_find(plan->workflow, instance, NULL);

	(void)id; /* of today there is one only */
	return found ? cairn_plan_stage_json(plan, (size_t)(found - plan->workflow->instances))
		     : NULL;
}

/* ---- the document --------------------------------------------------------------------------- */

static json_t *unknown_inputs(const cairn_plan *plan, size_t i)
{
	const cairn_instance *instance = plan->stages[i].instance;
	json_t *json = json_array();

	for (size_t b = 0; b < instance->n_bindings; b++) {
		if (!cairn_plan_input(plan, i, b))
			json_array_append_new(json, cairn_record_text(instance->bindings[b].text));
	}
	return json;
}

static json_t *key_json(bool is_known, const cairn_key *key)
{
	char text[CAIRN_KEY_TEXT];

	cairn_key_format(key, text);
	return is_known ? json_string(text) : json_null();
}

static int explain(
	json_t **out, const cairn_plan *plan, size_t i, cairn_snapshot *snapshot, cairn_error *err)
{
	const cairn_planned *planned = &plan->stages[i];
	bool is_cached = planned->state == CAIRN_STATE_CACHED, is_known = planned->has_key;
	json_t *last = NULL, *now = cairn_plan_stage_json(plan, i);
	json_t *changes = NULL, *causes = NULL;
	cairn_key last_key = {{0}};
	int rc = cairn_report_last_result(
		&last, &last_key, snapshot, plan->workflow->name, planned->instance->name, err);

	rc = rc == CAIRN_ENOTFOUND ? 0 : rc;
	if (is_cached) { /* perhaps another instance's, or what `last` was blessed for */
		json_decref(last);
		last = json_incref(cairn_plan_result(plan, i));
		last_key = planned->key;
	}
	if (rc == 0 && last && !is_cached)
		rc = cairn_explain_changes(&changes, plan->store, last, now, err);
	if (rc == 0 && !is_cached) {
		causes = cairn_causes(snapshot, last, now, maker_of, (void *)plan);
		rc = cairn_explain_differences(causes, plan->store, err);
	}
	if (rc < 0) {
		json_decref(changes);
		json_decref(causes);
		goto out;
	}
	*out = json_pack("{s:s, s:s, s:s, s:o, s:b, s:o, s:o, s:o, s:o, s:O?, s:o, s:o, s:O?, s:o}",
		"instance", planned->instance->name, "plugin", planned->instance->plugin->name,
		"state", cairn_state_name(planned->state), "key", key_json(is_known, &planned->key),
		"up_to_date", (int)is_cached, "reason", cairn_record_text(planned->reason),
		"changes", changes ? changes : json_array(), "causes",
		causes ? causes : json_array(), "waits_for", unknown_inputs(plan, i), "components",
		is_known ? json_object_get(now, "components") : NULL, "last_key",
		key_json(last != NULL, &last_key), "last", cairn_explain_origin(last), "blessed",
		json_object_get(is_cached ? last : NULL, "blessed"), "last_attempt",
		is_known && !is_cached ? cairn_explain_attempt(snapshot, &planned->key)
				       : json_null());
	if (!*out)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory explaining a stage");
out:
	json_decref(now);
	json_decref(last);
	return rc;
}

int cairn_plan_explain(json_t **out, const cairn_plan *plan, size_t i, cairn_error *err)
{
	cairn_snapshot *snapshot;
	int rc = cairn_snapshot_begin(&snapshot, plan->store, err);

	*out = NULL;
	if (rc < 0)
		return rc;
	rc = explain(out, plan, i, snapshot, err);
	cairn_snapshot_end(snapshot);
	return rc;
}

/* ---- in short ------------------------------------------------------------------------------- */

static void add_value(cairn_text *out, const json_t *value)
{
	const char *text = json_string_value(value);

	if (!text)
		cairn_text_add(out, "(none)");
	else if (strncmp(text, "sha256:", 7) == 0)
		cairn_text_printf(out, "%.6s", text + 7);
	else if (strlen(text) > VALUE_SHOWN)
		cairn_text_printf(out, "%.*s...", VALUE_SHOWN - 3, text);
	else
		cairn_text_add(out, text[0] ? text : "''");
}

const char *cairn_plan_cause_text(
	const cairn_plan *plan, size_t i, cairn_snapshot *snapshot, cairn_arena *arena)
{
	json_t *last = NULL, *now, *causes, *cause;
	cairn_text text = {0};
	const char *copy = NULL;
	cairn_key key;

	if (cairn_report_last_result(&last, &key, snapshot, plan->workflow->name,
		    plan->stages[i].instance->name, NULL) < 0)
		return NULL;
	now = cairn_plan_stage_json(plan, i);
	causes = cairn_causes(snapshot, last, now, maker_of, (void *)plan);
	cause = json_array_get(causes, 0);
	if (cairn_json_string(cause, "name", NULL)) {
		cairn_text_printf(&text, "%s: %s ", cairn_json_string(cause, "instance", "?"),
			cairn_json_string(cause, "name", "?"));
		add_value(&text, json_object_get(cause, "before"));
		cairn_text_add(&text, " -> ");
		add_value(&text, json_object_get(cause, "after"));
		if (json_array_size(causes) > 1)
			cairn_text_printf(&text, ", and %zu more", json_array_size(causes) - 1);
		copy = cairn_arena_strdup(arena, cairn_text_get(&text));
	}
	cairn_text_free(&text);
	json_decref(causes);
	json_decref(now);
	json_decref(last);
	return copy;
}
