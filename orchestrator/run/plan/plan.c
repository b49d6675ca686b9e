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
#include "run/plan/plan.h"

#include <stdarg.h>
#include <string.h>

#include "base/alloc.h"
#include "cairn/kernels.h"
#include "run/compute/probe.h"
#include "run/host/host.h"
#include "run/plan/memo.h"
#include "run/plan/relations.h"

/* What the making of keys uses again and again. */
struct cairn_plan_work {
	cairn_text key;
	char (*texts)[CAIRN_ID_TEXT];
	const char **list;
	size_t cap;
	cairn_id *ids;
	uint64_t n_ids;
};

/* Where results are looked up. */
struct looking {
	cairn_snapshot *snapshot;
	cairn_memo *memo; /* may be NULL */
};

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
	case CAIRN_STATE_SKIPPED:
		return "skipped";
	}
	CAIRN_UNREACHABLE();
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

/* Of a stage that is cached or done; NULL where it wrote no such output. */
static const cairn_id *output_of(const cairn_planned *planned, const char *port)
{
	static const cairn_id none;
	const cairn_plugin_info *plugin = planned->instance->plugin;
	const cairn_port *output = cairn_plugin_output(plugin, port);
	const cairn_id *id = &none;

	if (output)
		id = &planned->outputs[output - plugin->outputs];
	else if (strcmp(port, CAIRN_METRICS_PORT) == 0)
		id = &planned->outputs[plugin->n_outputs];
	return cairn_id_compare(id, &none) == 0 ? NULL : id;
}

const cairn_id *cairn_plan_input(const cairn_plan *plan, size_t i, size_t b)
{
	const cairn_planned *planned = &plan->stages[i], *from;
	const cairn_binding *binding = &planned->instance->bindings[b];

	if (binding->type != CAIRN_FROM_INSTANCE)
		return planned->outside ? planned->outside[b] : NULL;
	from = &plan->stages[binding->instance];
	return from->outputs ? output_of(from, binding->output) : NULL;
}

/* Are all inputs known? Otherwise the reason says which is missing; a producer that is finished
 * without that output blocks for good. */
static bool has_inputs(cairn_plan *plan, size_t i)
{
	cairn_planned *planned = &plan->stages[i];
	const cairn_instance *instance = planned->instance;

	for (size_t b = 0; b < instance->n_bindings; b++) {
		const cairn_binding *binding = &instance->bindings[b];
		const cairn_planned *from;

		if (binding->type == CAIRN_FROM_PLANNED) {
			cairn_plan_say(plan, planned, "input '%.60s' is only planned",
				binding->port->name);
			return false;
		}
		if (cairn_plan_input(plan, i, b))
			continue;
		from = &plan->stages[binding->instance];
		if (from->state == CAIRN_STATE_SKIPPED) {
			cairn_plan_skip_after(plan, i, binding->instance);
		} else if (from->outputs) {
			planned->state = CAIRN_STATE_BLOCKED;
			cairn_plan_say(plan, planned, "'%.100s' wrote no output '%.60s'",
				from->instance->name, binding->output);
		} else {
			cairn_plan_say(plan, planned, "waits for '%.200s'", from->instance->name);
		}
		return false;
	}
	return true;
}

/* ---- keys ------------------------------------------------------------------------------- */

/* The ids of a stage's inputs as text; valid until the next call. */
static const char *const *input_texts(const cairn_plan *plan, size_t i)
{
	struct cairn_plan_work *work = plan->work;
	size_t n = plan->stages[i].instance->n_bindings;

	if (n > work->cap) {
		work->cap = n * 2;
		work->texts = cairn_arena_alloc(plan->arena, work->cap, CAIRN_ID_TEXT);
		work->list = cairn_arena_alloc(plan->arena, work->cap, sizeof(*work->list));
	}
	for (size_t b = 0; b < n; b++) {
		cairn_id_format(cairn_plan_input(plan, i, b), work->texts[b]);
		work->list[b] = work->texts[b];
	}
	return work->list;
}

size_t cairn_plan_components(
	const cairn_plan *plan, size_t i, const cairn_component **out, cairn_arena *arena)
{
	const cairn_planned *planned = &plan->stages[i];

	CAIRN_ASSERT(planned->has_key);
	return cairn_key_components(
		out, planned->instance, input_texts(plan, i), &plan->arithmetic, arena);
}

/* ---- results ---------------------------------------------------------------------------- */

const char *cairn_plan_port(const cairn_plugin_info *plugin, uint64_t o)
{
	if (o < plugin->n_outputs)
		return plugin->outputs[o].name;
	return cairn_plugin_output(plugin, CAIRN_METRICS_PORT) ? "" : CAIRN_METRICS_PORT;
}

static double flop_of(const json_t *result)
{
	const json_t *number;
	double sum = 0;
	size_t i;

	json_array_foreach(json_object_get(result, "flop"), i, number) sum +=
		json_number_value(number);
	return sum;
}

/* What the plan keeps of a result. */
static void take_result(cairn_plan *plan, cairn_planned *planned, const json_t *result)
{
	const cairn_plugin_info *plugin = planned->instance->plugin;
	cairn_id *ids = cairn_arena_alloc(plan->arena, plugin->n_outputs + 1, sizeof(*ids));
	const json_t *outputs = json_object_get(result, "outputs");
	size_t n = 0;

	for (uint64_t o = 0; o <= plugin->n_outputs; o++) {
		const json_t *output = json_object_get(outputs, cairn_plan_port(plugin, o));

		n += output != NULL;

		if (cairn_id_parse(&ids[o], cairn_json_string(output, "id", ""), NULL) < 0)
			ids[o] = (cairn_id){{0}};
	}
	planned->outputs = ids;
	planned->has_more = n < json_object_size(outputs);
	planned->flop = flop_of(result);
	planned->seconds = cairn_json_number(result, "seconds", 0);
	planned->is_blessed = json_object_get(result, "blessed") != NULL;
}

/* Why an output is not there: somebody met damage in it, or a collection took it. */
static void say_lost(cairn_planned *planned, cairn_snapshot *snapshot, const char *port,
	const cairn_id *id, char *lost, size_t cap)
{
	json_t *damage = NULL;

	planned->was_damaged = cairn_record_damage(&damage, snapshot, &planned->key, id, NULL) == 0;
	if (planned->was_damaged)
		snprintf(lost, cap, "its output '%.60s' is damaged: %.140s", port,
			cairn_json_string(damage, "message", "?"));
	else
		snprintf(lost, cap, "its output '%.60s' is no longer in the store", port);
	json_decref(damage);
}

/* Is every output of this result still there? Otherwise `lost` says which is not. */
static bool has_outputs(cairn_planned *planned, cairn_snapshot *snapshot, const json_t *result,
	char *lost, size_t cap)
{
	const json_t *output;
	const char *port;

	json_object_foreach(json_object_get(result, "outputs"), port, output)
	{
		cairn_id id = {{0}};

		if (cairn_id_parse(&id, cairn_json_string(output, "id", ""), NULL) == 0 &&
			cairn_snapshot_has(snapshot, &id))
			continue;
		say_lost(planned, snapshot, port, &id, lost, cap);
		return false;
	}
	return true;
}

static void be_cached(cairn_planned *planned)
{
	planned->state = CAIRN_STATE_CACHED;
	planned->reason = "up to date";
}

/* Is this stage's result remembered, and whole? */
static bool remember(cairn_plan *plan, size_t i, const struct looking *look)
{
	cairn_planned *planned = &plan->stages[i];
	const cairn_plugin_info *plugin = planned->instance->plugin;
	cairn_remembered more;

	if (!look->memo || (plugin->capabilities & CAIRN_NOT_DETERMINISTIC))
		return false;
	/* Where it is not remembered, what is taken here is used for the next one. */
	if (plan->work->n_ids < plugin->n_outputs + 1) {
		plan->work->n_ids = plugin->n_outputs + 1;
		plan->work->ids =
			cairn_arena_alloc(plan->arena, plan->work->n_ids, sizeof(*plan->work->ids));
	}
	if (!cairn_memo_find(look->memo, i, plan->work->ids, &more))
		return false;
	planned->outputs = plan->work->ids;
	plan->work->n_ids = 0;
	planned->flop = more.flop;
	planned->seconds = more.seconds;
	planned->is_blessed = more.is_blessed;
	be_cached(planned);
	return true;
}

/* Decides between CACHED and READY. */
static int look_up(cairn_plan *plan, size_t i, const struct looking *look, cairn_error *err)
{
	cairn_planned *planned = &plan->stages[i];
	cairn_snapshot *snapshot = look->snapshot;
	char lost[256] = "";
	json_t *result = NULL;
	int rc;

	if (remember(plan, i, look))
		return 0;
	plan->is_as_remembered = false;
	rc = cairn_record_result(&result, snapshot, &planned->key, err);
	if (rc < 0 && rc != CAIRN_ENOTFOUND)
		return rc;
	if (result && (planned->instance->plugin->capabilities & CAIRN_NOT_DETERMINISTIC)) {
		snprintf(lost, sizeof(lost), "not deterministic: runs each time");
	} else if (result && has_outputs(planned, snapshot, result, lost, sizeof(lost))) {
		take_result(plan, planned, result);
		be_cached(planned);
	}
	json_decref(result);
	if (planned->state == CAIRN_STATE_CACHED)
		return 0;
	planned->state = CAIRN_STATE_READY;
	return cairn_plan_reason(plan, i, snapshot, lost, err);
}

json_t *cairn_plan_result(const cairn_plan *plan, size_t i)
{
	cairn_planned *planned = &plan->stages[i];
	cairn_snapshot *snapshot;
	bool has_one = planned->state == CAIRN_STATE_CACHED || planned->state == CAIRN_STATE_DONE;

	if (planned->result || !has_one || cairn_snapshot_begin(&snapshot, plan->store, NULL) < 0)
		return planned->result;
	if (cairn_record_result(&planned->result, snapshot, &planned->key, NULL) < 0)
		planned->result = NULL;
	cairn_snapshot_end(snapshot);
	return planned->result;
}

/* ---- states ----------------------------------------------------------------------------- */

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
static int settle(cairn_plan *plan, size_t i, const struct looking *look, cairn_error *err)
{
	cairn_planned *planned = &plan->stages[i];
	int rc = 0;

	if (planned->has_key || planned->state != CAIRN_STATE_PENDING)
		return 0;
	if (cairn_plan_condition(plan, i) && has_inputs(plan, i)) {
		cairn_key_make(&planned->key, planned->instance, input_texts(plan, i),
			&plan->arithmetic, &plan->work->key);
		planned->has_key = true;
		rc = look_up(plan, i, look, err);
	}
	note_change(plan, i, CAIRN_STATE_PENDING);
	return rc;
}

/* ---- life of a plan --------------------------------------------------------------------- */

/* Every stage that is not finished, in topological order: a stage that turns out to be cached is
 * seen before those that wait for it. */
static int settle_all(cairn_plan *plan, cairn_error *err)
{
	struct looking look = {0};
	int rc = cairn_snapshot_begin(&look.snapshot, plan->store, err);

	if (rc < 0)
		return rc;
	look.memo = cairn_memo_open(plan, look.snapshot);
	if (!plan->is_looked_up)
		plan->losses = cairn_snapshot_losses(look.snapshot);
	plan->is_looked_up = true;
	plan->n_changed = 0;
	for (size_t i = 0; i < plan->n_stages && rc == 0; i++) {
		if (plan->stages[i].state == CAIRN_STATE_READY) {
			rc = look_up(plan, i, &look, err);
			note_change(plan, i, CAIRN_STATE_READY);
		} else {
			rc = settle(plan, i, &look, err);
		}
	}
	cairn_memo_close(look.memo);
	cairn_snapshot_end(look.snapshot);
	return rc;
}

static void free_stage(cairn_planned *planned)
{
	json_decref(planned->result);
	if (planned->cost)
		json_decref(planned->cost->outputs);
}

static int plan_all(cairn_plan *plan, cairn_error *err)
{
	int rc;

	plan->is_as_remembered = true;
	plan->is_looked_up = false;
	plan->relations = NULL;
	for (size_t i = 0; i < plan->n_stages; i++)
		plan->stages[i] =
			(cairn_planned){.instance = &plan->workflow->instances[i], .reason = ""};
	rc = cairn_plan_take_outside(plan, err);
	return rc < 0 ? rc : settle_all(plan, err);
}

static bool needs_kernels(const cairn_workflow *workflow)
{
	for (size_t i = 0; i < workflow->n_instances; i++) {
		if (workflow->instances[i].plugin->capabilities & CAIRN_NEEDS_KERNELS)
			return true;
	}
	return false;
}

/* Before any key: what computes is part of it. */
static int find_compute(cairn_plan *plan, cairn_error *err)
{
	const cairn_workflow *workflow = plan->workflow;
	cairn_compute *compute;
	int rc;

	plan->arithmetic = (cairn_arithmetic){CAIRN_NUMERICS, true};
	if (!needs_kernels(workflow))
		return 0;
	compute = cairn_arena_alloc(plan->arena, 1, sizeof(*compute));
	rc = cairn_compute_find(compute, workflow->device ? workflow->device : "auto", plan->store,
		plan->arena, err);
	if (rc < 0)
		return rc;
	plan->compute = compute;
	plan->arithmetic = (cairn_arithmetic){compute->numerics, compute->of.batch_invariant};
	return 0;
}

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
	plan->work = cairn_arena_alloc(plan->arena, 1, sizeof(*plan->work));
	plan->n_stages = workflow->n_instances;
	plan->stages = cairn_arena_alloc(plan->arena, plan->n_stages + 1, sizeof(*plan->stages));
	plan->changed = cairn_arena_alloc(plan->arena, plan->n_stages + 1, sizeof(uint32_t));
	rc = find_compute(plan, err);
	if (rc == 0)
		rc = plan_all(plan, err);
	if (rc < 0) {
		cairn_plan_free(plan);
		return rc;
	}
	*out = plan;
	return 0;
}

bool cairn_plan_is_outdated(const cairn_plan *plan)
{
	cairn_snapshot *snapshot;
	bool is_outdated;

	if (cairn_snapshot_begin(&snapshot, plan->store, NULL) < 0)
		return false; /* whoever uses the plan meets that error, too */
	is_outdated = cairn_snapshot_losses(snapshot) != plan->losses;
	cairn_snapshot_end(snapshot);
	return is_outdated;
}

int cairn_plan_refresh(cairn_plan *plan, bool *is_new, cairn_error *err)
{
	*is_new = cairn_plan_is_outdated(plan);
	if (!*is_new)
		return settle_all(plan, err);
	for (size_t i = 0; i < plan->n_stages; i++)
		free_stage(&plan->stages[i]);
	return plan_all(plan, err);
}

/* Another stage of the same key has the same result, unless it is never to be reused. */
static void share_result(cairn_plan *plan, size_t i)
{
	const cairn_planned *from = &plan->stages[i];
	uint32_t twin = cairn_relations_first(plan, &from->key);

	for (; twin != CAIRN_NO_STAGE; twin = cairn_relations_next(plan, twin)) {
		cairn_planned *planned = &plan->stages[twin];

		if (planned->state != CAIRN_STATE_READY || !from->outputs ||
			(planned->instance->plugin->capabilities & CAIRN_NOT_DETERMINISTIC))
			continue;
		planned->outputs = from->outputs;
		planned->flop = from->flop;
		planned->seconds = from->seconds;
		planned->is_blessed = from->is_blessed;
		planned->has_more = from->has_more;
		planned->state = CAIRN_STATE_CACHED;
		cairn_plan_say(plan, planned, "same as '%.200s'", from->instance->name);
		note_change(plan, twin, CAIRN_STATE_READY);
	}
}

static int settle_users(cairn_plan *plan, size_t i, const struct looking *look, cairn_error *err)
{
	const uint32_t *users;
	size_t n = cairn_plan_users(plan, i, &users);
	int rc = 0;

	for (size_t u = 0; u < n && rc == 0; u++)
		rc = settle(plan, users[u], look, err);
	return rc;
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

int cairn_plan_update(cairn_plan *plan, size_t i, cairn_error *err)
{
	struct looking look = {0}; /* results of this run are in no memo */
	json_t *result = cairn_plan_result(plan, i);
	int rc = cairn_snapshot_begin(&look.snapshot, plan->store, err);

	if (rc < 0)
		return rc;
	(void)cairn_relations_of(plan);
	plan->n_changed = 0;
	if (result)
		take_result(plan, &plan->stages[i], result);
	share_result(plan, i);
	rc = settle_users(plan, i, &look, err);
	/* What turned out to be cached lets its own users go on, and what is skipped has them
	 * skipped: they queue behind it. */
	for (size_t at = 0; at < plan->n_changed && rc == 0; at++) {
		enum cairn_state state = plan->stages[plan->changed[at]].state;

		if (state == CAIRN_STATE_CACHED || state == CAIRN_STATE_SKIPPED)
			rc = settle_users(plan, plan->changed[at], &look, err);
	}
	cairn_snapshot_end(look.snapshot);
	qsort(plan->changed, plan->n_changed, sizeof(*plan->changed), ascending);
	return rc;
}

void cairn_plan_free(cairn_plan *plan)
{
	if (!plan)
		return;
	for (size_t i = 0; i < plan->n_stages; i++)
		free_stage(&plan->stages[i]);
	cairn_text_free(&plan->work->key);
	cairn_arena_free(plan->arena);
	free(plan);
}
