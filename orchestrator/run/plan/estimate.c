/* SPDX-License-Identifier: Apache-2.0 */
/*
 * estimate.c - what the stages of a plan would cost, from first to last.
 *
 * In topological order each plugin is asked with what is known of the stage's inputs; what it
 * says of its outputs is known to those that come after. So the cost of a whole programme is
 * there before anything of it exists. A plugin's child process answers for all its stages.
 *
 * Reads like: describe.h.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "run/compute/probe.h"
#include "run/plan/plan.h"
#include "run/plan/preflight.h"
#include "run/plugin/describe.h"
#include "run/wire.h"

/* Of a large file the lines are counted in its beginning only. */
#define COUNTED_BYTES (16u << 20)
/* What the store takes to write at full speed: its buffers (store/segment.c). */
#define STORE_BYTES (32u << 20)

/* ---- children that answer ----------------------------------------------------------------- */

struct answerer {
	const char *path; /* of the plugin */
	cairn_describer *describer;
	bool is_dead; /* it failed once; not asked again for this plan */
};

struct asking {
	struct answerer *of; /* one per plugin that was asked */
	size_t n, cap;
};

static struct answerer *answerer_of(struct asking *asking, const char *path)
{
	for (size_t i = 0; i < asking->n; i++) {
		if (strcmp(asking->of[i].path, path) == 0)
			return &asking->of[i];
	}
	if (asking->n == asking->cap) {
		size_t cap = asking->cap ? asking->cap * 2 : 16;
		struct answerer *more = cairn_realloc(asking->of, cap, sizeof(*more));

		if (!more)
			return NULL;
		asking->of = more;
		asking->cap = cap;
	}
	asking->of[asking->n] = (struct answerer){.path = path};
	return &asking->of[asking->n++];
}

/* NULL where no answer is to be had. */
static json_t *ask(struct asking *asking, const char *path, const json_t *request)
{
	struct answerer *answerer = answerer_of(asking, path);
	json_t *answer = NULL;
	int rc;

	if (!answerer || answerer->is_dead)
		return NULL;
	rc = answerer->describer ? 0 : cairn_describer_open(&answerer->describer, path, NULL);
	if (rc == 0)
		rc = cairn_describer_ask(answerer->describer, &answer, "estimate", request, NULL);
	answerer->is_dead = rc == CAIRN_ECRASH || rc == CAIRN_ETIMEOUT || rc == CAIRN_EABI;
	return rc == 0 ? answer : NULL;
}

static void close_all(struct asking *asking)
{
	for (size_t i = 0; i < asking->n; i++)
		cairn_describer_close(asking->of[i].describer);
	free(asking->of);
}

/* ---- what is known of inputs ---------------------------------------------------------------- */

/* Puts a JSON value as canonical text. */
static void put_text(json_t *object, const char *name, const json_t *value)
{
	char *text = cairn_json_canonical(value);

	if (text)
		json_object_set_new(object, name, json_string(text));
	free(text);
}

/* Line ends in the beginning of a file, and how many bytes that was; false where it is no text (it
 * may be compressed). */
static bool count_lines(int fd, double *lines, double *seen)
{
	char bytes[16384];
	ssize_t n;

	*lines = *seen = 0;
	while (*seen < COUNTED_BYTES && (n = read(fd, bytes, sizeof(bytes))) > 0) {
		const char *at = bytes, *end = bytes + n;

		if (memchr(bytes, '\0', (size_t)n))
			return false;
		for (; (at = memchr(at, '\n', (size_t)(end - at))); at++)
			*lines += 1;
		*seen += (double)n;
	}
	return *seen > 0;
}

/* By the lines of a file a plugin knows about how many rows it will get. */
static void add_lines(json_t *input, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	double lines, seen, bytes = (double)cairn_json_integer(input, "bytes", 0);
	const char *text = cairn_json_string(input, "meta", "{}");
	json_t *meta = NULL;

	if (fd < 0)
		return;
	if (count_lines(fd, &lines, &seen) &&
		cairn_json_parse(&meta, text, strlen(text), path, NULL) == 0) {
		if (seen < bytes)
			lines *= bytes / seen;
		json_object_set_new(meta, "lines", json_integer((json_int_t)lines));
		put_text(input, "meta", meta);
		json_decref(meta);
	}
	close(fd);
}

/* An artifact that exists. */
static void add_artifact(json_t *input, cairn_store *store, const cairn_id *id)
{
	cairn_object *object = NULL;

	if (cairn_object_open(&object, store, id, NULL) < 0)
		return;
	json_object_set_new(input, "meta", json_string(cairn_object_meta(object)));
	json_object_set_new(input, "bytes", json_integer((json_int_t)cairn_object_bytes(object)));
	cairn_object_close(object);
}

/* What a `planned:` source states; "bytes" among it is the artifact's size. */
static void add_planned(json_t *input, const char *meta)
{
	json_t *stated = NULL;

	json_object_set_new(input, "meta", json_string(meta));
	if (cairn_json_parse(&stated, meta, strlen(meta), "planned", NULL) == 0)
		json_object_set_new(
			input, "bytes", json_integer(cairn_json_integer(stated, "bytes", 0)));
	json_decref(stated);
}

/* {"port", "meta" (absent while nothing is known), "bytes"} */
static json_t *input_of(const cairn_plan *plan, size_t i, size_t b)
{
	const cairn_planned *planned = &plan->stages[i];
	const cairn_id *id = cairn_plan_input(plan, i, b);
	const cairn_binding *binding = &planned->instance->bindings[b];
	json_t *input = json_pack("{s:s}", "port", binding->port->name);
	const cairn_planned_cost *maker =
		binding->type == CAIRN_FROM_INSTANCE ? plan->stages[binding->instance].cost : NULL;
	const json_t *expected = maker ? json_object_get(maker->outputs, binding->output) : NULL;

	if (id)
		add_artifact(input, plan->store, id);
	else if (binding->type == CAIRN_FROM_PLANNED)
		add_planned(input, binding->meta);
	else if (expected)
		put_text(input, "meta", expected);
	if (binding->type == CAIRN_FROM_FILE)
		add_lines(input, binding->path);
	return input;
}

/* ---- answers ----------------------------------------------------------------------------------
 */

/* What the numbers follow from beside parameters and inputs. */
static json_t *compute_of(const cairn_plan *plan)
{
	const cairn_compute *compute = plan->compute;

	if (!compute)
		return json_object();
	return json_pack("{s:b, s:b, s:b, s:i, s:I}", "in_host_memory",
		(int)compute->of.in_host_memory, "batch_invariant",
		(int)compute->of.batch_invariant, "wants_packed", (int)compute->of.wants_packed,
		"act_bytes", (int)compute->of.act_bytes, "enough_rows",
		(json_int_t)compute->of.enough_rows);
}

static json_t *request_of(const cairn_plan *plan, size_t i)
{
	const cairn_instance *instance = plan->stages[i].instance;
	json_t *values = json_array(), *inputs = json_array();

	for (uint64_t v = 0; v < instance->plugin->n_params; v++)
		json_array_append_new(values, json_string(instance->values[v].text));
	for (size_t b = 0; b < instance->n_bindings; b++)
		json_array_append_new(inputs, input_of(plan, i, b));
	return json_pack(
		"{s:o, s:o, s:o}", "values", values, "inputs", inputs, "compute", compute_of(plan));
}

/* A checkpoint of so many bytes is copied, where there is room for it, and written from the copy
 * while the stage computes; else it is written at once. */
static void add_checkpoint(
	cairn_planned_cost *cost, const cairn_planned *planned, uint64_t bytes, uint64_t limit)
{
	uint64_t own = planned->instance->settings.memory_bytes;

	cost->checkpoint_bytes = bytes;
	cost->least_bytes = cost->memory_bytes + (bytes < STORE_BYTES ? bytes : STORE_BYTES);
	cost->memory_bytes = cost->least_bytes + bytes;
	cost->lacks_copy =
		(limit && cost->memory_bytes > limit) || (own && cost->memory_bytes > own);
}

static void take_answer(
	cairn_plan *plan, cairn_planned *planned, const json_t *answer, uint64_t limit)
{
	const cairn_plugin_info *plugin = planned->instance->plugin;
	cairn_planned_cost *cost = planned->cost;

	if (!cost)
		cost = planned->cost = cairn_arena_alloc(plan->arena, 1, sizeof(*cost));
	json_decref(cost->outputs);
	*cost = (cairn_planned_cost){
		.flop = cairn_json_number(answer, "flop", 0),
		.memory_bytes = (uint64_t)cairn_json_integer(answer, "memory_bytes", 0),
		.device_bytes = (uint64_t)cairn_json_integer(answer, "device_bytes", 0),
		.output_bytes = (uint64_t)cairn_json_integer(answer, "output_bytes", 0),
		.is_partial = json_is_true(json_object_get(answer, "is_partial")),
		.outputs = json_incref(json_object_get(answer, "outputs")),
	};
	add_checkpoint(
		cost, planned, (uint64_t)cairn_json_integer(answer, "checkpoint_bytes", 0), limit);
	cairn_wire_account_of(cost->flop_of, json_object_get(answer, "flop_of"));
	/* Contract 1.0 had no word for it: nothing, before the inputs are known, meant that the
	 * plugin could not tell. */
	if (plugin->major == 1 && plugin->minor == 0 && planned->state == CAIRN_STATE_PENDING &&
		cost->flop == 0)
		cost->is_partial = true;
}

static int estimate_stage(
	cairn_plan *plan, size_t i, struct asking *asking, uint64_t limit, cairn_error *err)
{
	cairn_planned *planned = &plan->stages[i];
	json_t *request, *answer;

	if (planned->state == CAIRN_STATE_CACHED || planned->state == CAIRN_STATE_SKIPPED ||
		!planned->instance->plugin->has_estimate)
		return 0;
	request = request_of(plan, i);
	if (!request)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory estimating a plan");
	answer = ask(asking, planned->instance->plugin->path, request);
	if (answer)
		take_answer(plan, planned, answer, limit);
	json_decref(answer);
	json_decref(request);
	return 0;
}

int cairn_plan_estimate(cairn_plan *plan, cairn_error *err)
{
	struct asking asking = {0};
	uint64_t limit = cairn_memory_limit();
	int rc = 0;

	for (size_t i = 0; i < plan->n_stages && rc == 0; i++)
		rc = estimate_stage(plan, i, &asking, limit, err);
	close_all(&asking);
	return rc;
}

int cairn_plan_estimate_stage(cairn_plan *plan, size_t i, cairn_error *err)
{
	struct asking asking = {0};
	int rc = estimate_stage(plan, i, &asking, cairn_memory_limit(), err);

	close_all(&asking);
	return rc;
}
