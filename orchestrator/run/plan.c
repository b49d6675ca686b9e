/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plan.c - from a workflow to keys, and from keys to what need not run.
 *
 * Invariant: a stage has a key once all its inputs are known artifacts, and it is CACHED or
 * READY from then on. A result counts only while every output it names is in the store; one
 * of a plugin that is not deterministic never counts. Inputs enter keys by the producer's
 * *output* ids, so a rerun that gives the same bytes stops the rerunning there.
 *
 * Reads like: workflow/key.h, files.h, reason.c.
 */
#include "run/plan.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "cairn/kernels.h"
#include "run/files.h"
#include "run/relations.h"

#define NAME_MAX_BYTES 511 /* a key of the store */

const char *cairn_state_name(enum cairn_state state)
{
	switch (state) {
	case CAIRN_STATE_PENDING:
		return "pending";
	case CAIRN_STATE_READY:
		return "ready";
	case CAIRN_STATE_RUNNING:
		return "running";
	case CAIRN_STATE_CACHED:
		return "cached";
	case CAIRN_STATE_DONE:
		return "done";
	case CAIRN_STATE_FAILED:
		return "failed";
	case CAIRN_STATE_STOPPED:
		return "stopped";
	case CAIRN_STATE_WAITING:
		return "waiting";
	case CAIRN_STATE_BLOCKED:
		return "blocked";
	}
	CAIRN_UNREACHABLE();
}

const char *cairn_plan_output_id(const json_t *result, const char *port)
{
	const json_t *output = json_object_get(json_object_get(result, "outputs"), port);

	return cairn_json_string(output, "id", NULL);
}

void cairn_plan_say(cairn_plan *plan, cairn_planned *planned, const char *format, ...)
{
	char text[256];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	planned->reason = cairn_arena_strdup(plan->arena, text);
}

/* ---- inputs ----------------------------------------------------------------------------- */

/* The array behind planned->input_ids, which is constant for everybody else. */
static const char **ids_of(const cairn_planned *planned)
{
	return (const char **)planned->input_ids;
}

static int place_error(cairn_error *err, const cairn_place *place, int rc)
{
	if (place->file)
		cairn_error_at(err, "%s:%d", place->file, place->line);
	return rc;
}

/* An input given by its id: it must exist and be of a kind that the port takes. */
static int find_artifact(
	const char **out, const cairn_plan *plan, const cairn_binding *binding, cairn_error *err)
{
	char text[CAIRN_ID_TEXT];
	cairn_object *object = NULL;
	cairn_id id;
	int rc = cairn_store_find(plan->store, binding->text, &id, err);

	if (rc == 0)
		rc = cairn_object_open(&object, plan->store, &id, err);
	if (rc == 0 && !cairn_kind_accepts(binding->port->kind, cairn_object_kind(object)))
		rc = cairn_error_set(err, CAIRN_EINPUT, "input '%s' takes %s, '%s' is a %s",
			binding->port->name, binding->port->kind, binding->text,
			cairn_object_kind(object));
	cairn_object_close(object);
	if (rc < 0)
		return place_error(err, &binding->place, rc);
	cairn_id_format(&id, text);
	*out = cairn_arena_strdup(plan->arena, text);
	return 0;
}

/* An input given by a name: exactly that one, so that no other name can change a result. */
static int find_name(
	const char **out, const cairn_plan *plan, const cairn_binding *binding, cairn_error *err)
{
	cairn_binding by_id = *binding;
	cairn_snapshot *snapshot;
	char text[CAIRN_ID_TEXT];
	const void *value = NULL;
	cairn_id id;
	size_t len = strlen(binding->path);
	int rc = cairn_snapshot_begin(&snapshot, plan->store, err);

	if (rc < 0)
		return rc;
	rc = len <= NAME_MAX_BYTES
		     ? cairn_snapshot_get(snapshot, "ref", binding->path, len, &value, &len, NULL)
		     : CAIRN_ENOTFOUND;
	if (rc == 0 && len == sizeof(id.bytes))
		memcpy(id.bytes, value, len);
	cairn_snapshot_end(snapshot);
	if (rc < 0 || len != sizeof(id.bytes)) {
		rc = cairn_error_set(
			err, CAIRN_ENOTFOUND, "no artifact is called '%.200s'", binding->path);
		cairn_error_hint(err, "`cairn ls` lists the names of this store.");
		return place_error(err, &binding->place, rc);
	}
	cairn_id_format(&id, text);
	by_id.text = text;
	return find_artifact(out, plan, &by_id, err);
}

/* All inputs that come from outside of the workflow. */
static int take_outside(cairn_plan *plan, cairn_error *err)
{
	cairn_file_input *files;
	size_t n = 0, k = 0;
	int rc;

	for (size_t i = 0; i < plan->n_stages; i++)
		n += plan->stages[i].instance->n_bindings;
	files = cairn_arena_alloc(plan->arena, n + 1, sizeof(*files));
	for (size_t i = 0; i < plan->n_stages; i++) {
		const cairn_instance *instance = plan->stages[i].instance;
		for (size_t b = 0; b < instance->n_bindings; b++) {
			const cairn_binding *binding = &instance->bindings[b];
			if (binding->type == CAIRN_FROM_FILE)
				files[k++].binding = binding;
			rc = 0;
			if (binding->type == CAIRN_FROM_ARTIFACT)
				rc = find_artifact(
					&ids_of(&plan->stages[i])[b], plan, binding, err);
			else if (binding->type == CAIRN_FROM_REF)
				rc = find_name(&ids_of(&plan->stages[i])[b], plan, binding, err);
			if (rc < 0)
				return rc;
		}
	}
	rc = cairn_files_take(files, k, plan->store, plan->arena, err);
	k = 0;
	for (size_t i = 0; i < plan->n_stages && rc == 0; i++) {
		const cairn_instance *instance = plan->stages[i].instance;
		for (size_t b = 0; b < instance->n_bindings; b++) {
			if (instance->bindings[b].type == CAIRN_FROM_FILE)
				ids_of(&plan->stages[i])[b] = files[k++].id;
		}
	}
	return rc;
}

/* Fills in what earlier stages have made by now: true when nothing is missing. Otherwise the
 * reason says what is; a producer that is finished without that output blocks for good. */
static bool take_inputs(cairn_plan *plan, cairn_planned *planned)
{
	const cairn_instance *instance = planned->instance;

	for (size_t b = 0; b < instance->n_bindings; b++) {
		const cairn_binding *binding = &instance->bindings[b];
		const cairn_planned *from;

		if (binding->type == CAIRN_FROM_PLANNED) {
			cairn_plan_say(plan, planned, "input '%.60s' is only planned",
				binding->port->name);
			return false;
		}
		if (binding->type != CAIRN_FROM_INSTANCE || planned->input_ids[b])
			continue;
		from = &plan->stages[binding->instance];
		if (from->result) {
			const char *id = cairn_plan_output_id(from->result, binding->output);
			if (id) {
				ids_of(planned)[b] = cairn_arena_strdup(plan->arena, id);
				continue;
			}
			planned->state = CAIRN_STATE_BLOCKED;
			cairn_plan_say(plan, planned, "'%.100s' wrote no output '%.60s'",
				from->instance->name, binding->output);
			return false;
		}
		cairn_plan_say(plan, planned, "waits for '%.200s'", from->instance->name);
		return false;
	}
	return true;
}

/* ---- results ---------------------------------------------------------------------------- */

/* Is every output of this result still there? Otherwise `lost` says which is not. */
static bool has_outputs(cairn_store *store, const json_t *result, char *lost, size_t cap)
{
	const json_t *output;
	const char *port;

	json_object_foreach(json_object_get(result, "outputs"), port, output)
	{
		cairn_object *object = NULL;
		cairn_id id;
		int rc = cairn_id_parse(&id, cairn_json_string(output, "id", ""), NULL);

		if (rc == 0)
			rc = cairn_object_open(&object, store, &id, NULL);
		cairn_object_close(object);
		if (rc < 0) {
			snprintf(lost, cap, "its output '%.60s' is %s", port,
				rc == CAIRN_EINTEGRITY ? "damaged" : "no longer in the store");
			return false;
		}
	}
	return true;
}

/* Decides between CACHED and READY. */
static int look_up(cairn_plan *plan, cairn_planned *planned, cairn_error *err)
{
	char lost[128] = "";
	cairn_snapshot *snapshot;
	json_t *result = NULL;
	int rc = cairn_snapshot_begin(&snapshot, plan->store, err);

	if (rc < 0)
		return rc;
	rc = cairn_record_result(&result, snapshot, &planned->key, err);
	cairn_snapshot_end(snapshot);
	if (rc < 0 && rc != CAIRN_ENOTFOUND)
		return rc;
	if (result && (planned->instance->plugin->capabilities & CAIRN_NOT_DETERMINISTIC))
		snprintf(lost, sizeof(lost), "not deterministic: runs each time");
	else if (result && has_outputs(plan->store, result, lost, sizeof(lost))) {
		json_decref(planned->result);
		planned->result = result;
		planned->state = CAIRN_STATE_CACHED;
		planned->reason = "up to date";
		return 0;
	}
	json_decref(result);
	planned->state = CAIRN_STATE_READY;
	return cairn_plan_reason(plan, planned, lost, err);
}

/* Calls to make, refresh and update say whose state they changed. */
static void note_change(cairn_plan *plan, size_t i, enum cairn_state before)
{
	if (plan->stages[i].state == before)
		return;
	plan->changed[plan->n_changed++] = (uint32_t)i;
	if (plan->stages[i].state == CAIRN_STATE_READY)
		cairn_relations_add_ready(plan, (uint32_t)i);
}

/* A stage that has no key gets one as soon as all its inputs are known. */
static int settle(cairn_plan *plan, size_t i, cairn_error *err)
{
	cairn_planned *planned = &plan->stages[i];
	int rc = 0;

	if (planned->has_key || planned->state != CAIRN_STATE_PENDING)
		return 0;
	if (take_inputs(plan, planned)) {
		planned->n_components = cairn_key_components(&planned->components,
			planned->instance, planned->input_ids, plan->numerics, plan->arena);
		cairn_key_of(&planned->key, planned->components, planned->n_components);
		planned->has_key = true;
		rc = look_up(plan, planned, err);
	}
	note_change(plan, i, CAIRN_STATE_PENDING);
	return rc;
}

/* ---- life of a plan --------------------------------------------------------------------- */

int cairn_plan_make(
	cairn_plan **out, const cairn_workflow *workflow, cairn_store *store, cairn_error *err)
{
	cairn_plan *plan = cairn_alloc(1, sizeof(*plan));
	int rc;

	if (!plan)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory making a plan");
	plan->workflow = workflow;
	plan->store = store;
	plan->arena = cairn_arena_new();
	plan->numerics = CAIRN_NUMERICS;
	plan->n_stages = workflow->n_instances;
	plan->stages = cairn_arena_alloc(plan->arena, plan->n_stages + 1, sizeof(*plan->stages));
	plan->changed = cairn_arena_alloc(plan->arena, plan->n_stages + 1, sizeof(uint32_t));
	for (size_t i = 0; i < plan->n_stages; i++) {
		const cairn_instance *instance = &workflow->instances[i];
		plan->stages[i].instance = instance;
		plan->stages[i].reason = "";
		plan->stages[i].input_ids =
			cairn_arena_alloc(plan->arena, instance->n_bindings + 1, sizeof(char *));
	}
	rc = take_outside(plan, err);
	for (size_t i = 0; i < plan->n_stages && rc == 0; i++)
		rc = settle(plan, i, err);
	if (rc < 0) {
		cairn_plan_free(plan);
		return rc;
	}
	*out = plan;
	return 0;
}

/* Another stage of the same key has the same result, unless it is never to be reused. */
static void share_result(cairn_plan *plan, size_t i)
{
	const cairn_planned *from = &plan->stages[i];
	uint32_t twin = cairn_relations_first(plan, &from->key);

	for (; twin != CAIRN_NO_STAGE; twin = cairn_relations_next(plan, twin)) {
		cairn_planned *planned = &plan->stages[twin];

		if (planned->state != CAIRN_STATE_READY || !from->result ||
			(planned->instance->plugin->capabilities & CAIRN_NOT_DETERMINISTIC))
			continue;
		planned->result = json_incref(from->result);
		planned->state = CAIRN_STATE_CACHED;
		cairn_plan_say(plan, planned, "same as '%.200s'", from->instance->name);
		note_change(plan, twin, CAIRN_STATE_READY);
	}
}

static int settle_users(cairn_plan *plan, size_t i, cairn_error *err)
{
	const uint32_t *users;
	size_t n = cairn_plan_users(plan, i, &users);
	int rc = 0;

	for (size_t u = 0; u < n && rc == 0; u++)
		rc = settle(plan, users[u], err);
	return rc;
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int cairn_plan_update(cairn_plan *plan, size_t i, cairn_error *err)
{
	int rc;

	(void)cairn_relations_of(plan);
	plan->n_changed = 0;
	share_result(plan, i);
	rc = settle_users(plan, i, err);
	/* What turned out to be cached lets its own users go on: they queue behind it. */
	for (size_t at = 0; at < plan->n_changed && rc == 0; at++) {
		if (plan->stages[plan->changed[at]].state == CAIRN_STATE_CACHED)
			rc = settle_users(plan, plan->changed[at], err);
	}
	qsort(plan->changed, plan->n_changed, sizeof(*plan->changed), ascending);
	return rc;
}

int cairn_plan_refresh(cairn_plan *plan, cairn_error *err)
{
	int rc = 0;

	plan->n_changed = 0;
	for (size_t i = 0; i < plan->n_stages && rc == 0; i++) {
		if (plan->stages[i].state == CAIRN_STATE_READY) {
			rc = look_up(plan, &plan->stages[i], err);
			note_change(plan, i, CAIRN_STATE_READY);
		} else {
			rc = settle(plan, i, err);
		}
	}
	return rc;
}

void cairn_plan_free(cairn_plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->n_stages; i++) {
		json_decref(plan->stages[i].result);
		if (plan->stages[i].cost)
			json_decref(plan->stages[i].cost->outputs);
	}
	cairn_arena_free(plan->arena);
	free(plan);
}
