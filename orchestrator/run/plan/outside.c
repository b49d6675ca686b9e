/* SPDX-License-Identifier: Apache-2.0 */
/*
 * outside.c - what stages take from elsewhere than other stages: files, artifacts by id, names.
 *
 * Files are looked at once, however many stages name them (files.c). An artifact that is named
 * must exist and be of a kind that the port takes; files are of one kind, which the workflow has
 * checked already.
 */
#include <string.h>

#include "run/plan/files.h"
#include "run/plan/plan.h"

#define NAME_MAX_BYTES 511 /* a key of the store */

static int place_error(cairn_error *err, const cairn_place *place, int rc)
{
	if (place->file)
		cairn_error_at(err, "%s:%d", place->file, place->line);
	return rc;
}

static int check_kind(const cairn_plan *plan, const cairn_binding *binding, const cairn_id *id,
	const char *text, cairn_error *err)
{
	cairn_object *object = NULL;
	int rc = cairn_object_open(&object, plan->store, id, err);

	if (rc == 0 && !cairn_kind_accepts(binding->port->kind, cairn_object_kind(object)))
		rc = cairn_error_set(err, CAIRN_EINPUT, "input '%s' takes %s, '%s' is a %s",
			binding->port->name, binding->port->kind, text, cairn_object_kind(object));
	cairn_object_close(object);
	return rc;
}

/* An input given by its id. */
static int find_artifact(
	cairn_id *out, const cairn_plan *plan, const cairn_binding *binding, cairn_error *err)
{
	int rc = cairn_store_find(plan->store, binding->text, out, err);

	if (rc == 0)
		rc = check_kind(plan, binding, out, binding->text, err);
	return rc < 0 ? place_error(err, &binding->place, rc) : 0;
}

/* An input given by a name: exactly that one, so that no other name can change a result. */
static int find_name(
	cairn_id *out, const cairn_plan *plan, const cairn_binding *binding, cairn_error *err)
{
	cairn_snapshot *snapshot;
	char text[CAIRN_ID_TEXT];
	const void *value = NULL;
	size_t len = strlen(binding->path);
	int rc = cairn_snapshot_begin(&snapshot, plan->store, err);

	if (rc < 0)
		return rc;
	rc = len <= NAME_MAX_BYTES
		     ? cairn_snapshot_get(snapshot, "ref", binding->path, len, &value, &len, NULL)
		     : CAIRN_ENOTFOUND;
	if (rc == 0 && len == sizeof(out->bytes))
		memcpy(out->bytes, value, len);
	cairn_snapshot_end(snapshot);
	if (rc < 0 || len != sizeof(out->bytes)) {
		rc = cairn_error_set(
			err, CAIRN_ENOTFOUND, "no artifact is called '%.200s'", binding->path);
		cairn_error_hint(err, "`cairn ls` lists the names of this store.");
		return place_error(err, &binding->place, rc);
	}
	cairn_id_format(out, text);
	rc = check_kind(plan, binding, out, text, err);
	return rc < 0 ? place_error(err, &binding->place, rc) : 0;
}

static bool is_outside(const cairn_binding *binding)
{
	return binding->type == CAIRN_FROM_FILE || binding->type == CAIRN_FROM_ARTIFACT ||
	       binding->type == CAIRN_FROM_REF;
}

/* Makes room for the ids of each stage that takes something from outside; answers how many of
 * these are files. */
static size_t make_room(cairn_plan *plan)
{
	size_t n_files = 0;

	for (size_t i = 0; i < plan->n_stages; i++) {
		const cairn_instance *instance = plan->stages[i].instance;
		cairn_planned *planned = &plan->stages[i];

		for (size_t b = 0; b < instance->n_bindings; b++) {
			n_files += instance->bindings[b].type == CAIRN_FROM_FILE;
			if (!planned->outside && is_outside(&instance->bindings[b]))
				planned->outside = cairn_arena_alloc(plan->arena,
					instance->n_bindings, sizeof(*planned->outside));
		}
	}
	return n_files;
}

static int take_named(cairn_plan *plan, cairn_planned *planned, size_t b, cairn_error *err)
{
	const cairn_binding *binding = &planned->instance->bindings[b];
	cairn_id *id = cairn_arena_alloc(plan->arena, 1, sizeof(*id));

	planned->outside[b] = id;
	return binding->type == CAIRN_FROM_REF ? find_name(id, plan, binding, err)
					       : find_artifact(id, plan, binding, err);
}

int cairn_plan_take_outside(cairn_plan *plan, cairn_error *err)
{
	size_t n_files = make_room(plan), k = 0;
	cairn_file_input *files = cairn_arena_alloc(plan->arena, n_files, sizeof(*files));
	int rc = 0;

	for (size_t i = 0; i < plan->n_stages; i++) {
		cairn_planned *planned = &plan->stages[i];

		for (size_t b = 0; planned->outside && b < planned->instance->n_bindings; b++) {
			const cairn_binding *binding = &planned->instance->bindings[b];

			if (binding->type == CAIRN_FROM_FILE)
				files[k++] = (cairn_file_input){
					.binding = binding, .id = &planned->outside[b]};
			else if (is_outside(binding))
				rc = take_named(plan, planned, b, err);
			if (rc < 0)
				return rc;
		}
	}
	return cairn_files_take(files, k, plan->store, plan->arena, err);
}
