/* SPDX-License-Identifier: Apache-2.0 */
#include "run/host/job.h"

#include <string.h>

#include "run/compute/probe.h"

/* An instance's name as a file's: axis values may hold a slash. */
static const char *file_name(const cairn_instance *instance, cairn_arena *arena)
{
	char *name = cairn_arena_strdup(arena, instance->name);

	for (char *c = name; *c; c++) {
		if (*c == '/')
			*c = '_';
	}
	return name;
}

char *cairn_job_scratch_path(const cairn_plan *plan, size_t i, const char *run, cairn_arena *arena)
{
	return cairn_arena_printf(arena, "%s/tmp/%s-%s-%u", cairn_store_path(plan->store), run,
		file_name(plan->stages[i].instance, arena), plan->stages[i].attempt);
}

char *cairn_job_log_path(const cairn_plan *plan, size_t i, const char *run, cairn_arena *arena)
{
	return cairn_arena_printf(arena, "%s/logs/%s/%s.%u.log", cairn_store_path(plan->store), run,
		file_name(plan->stages[i].instance, arena), plan->stages[i].attempt);
}

static json_t *inputs_of(const cairn_plan *plan, size_t i)
{
	const cairn_instance *instance = plan->stages[i].instance;
	json_t *list = json_array();
	char id[CAIRN_ID_TEXT];

	for (size_t b = 0; b < instance->n_bindings; b++) {
		const cairn_binding *binding = &instance->bindings[b];

		cairn_id_format(cairn_plan_input(plan, i, b), id);
		json_array_append_new(
			list, json_pack("{s:s, s:s, s:s}", "port", binding->port->name, "id", id,
				      "source", binding->text));
	}
	return list;
}

json_t *cairn_job_make(const cairn_plan *plan, size_t i, const char *run, int threads)
{
	const cairn_planned *planned = &plan->stages[i];
	const cairn_instance *instance = planned->instance;
	const cairn_settings *settings = &instance->settings;
	cairn_arena *arena = cairn_arena_new();
	json_t *values = json_array(), *components = json_object(), *job;
	const cairn_component *component;
	char key[CAIRN_KEY_TEXT];
	size_t n = cairn_plan_components(plan, i, &component, arena);

	cairn_key_format(&planned->key, key);
	for (uint64_t v = 0; v < instance->plugin->n_params; v++)
		json_array_append_new(values, json_string(instance->values[v].text));
	for (size_t c = 0; c < n; c++)
		json_object_set_new(components, component[c].name, json_string(component[c].value));
	job = json_pack(
		"{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:o, s:o, s:o}",
		"store", cairn_store_path(plan->store), "run", run, "workflow",
		plan->workflow->name, "instance", instance->name, "plugin_path",
		instance->plugin->path, "plugin_digest", instance->plugin->digest, "numerics",
		plan->arithmetic.numerics, "device",
		plan->workflow->device ? plan->workflow->device : "auto", "scratch",
		cairn_job_scratch_path(plan, i, run, arena), "log",
		cairn_job_log_path(plan, i, run, arena), "key", key, "attempt",
		(int)planned->attempt, "values", values, "components", components, "inputs",
		inputs_of(plan, i));
	if (job && plan->compute) {
		json_object_set_new(job, "backend", cairn_record_text(plan->compute->path));
		json_object_set_new(
			job, "passed_over", cairn_record_text(plan->compute->passed_over));
		json_object_set_new(job, "is_batch_invariant",
			json_boolean(plan->arithmetic.is_batch_invariant));
	}
	if (job) {
		json_object_set_new(
			job, "checkpoint_every_s", json_real(settings->checkpoint_every_s));
		json_object_set_new(job, "checkpoint_every_steps",
			json_integer(settings->checkpoint_every_steps));
		json_object_set_new(
			job, "keep_checkpoints", json_integer(settings->keep_checkpoints));
		json_object_set_new(job, "keep_every", json_integer(settings->keep_every));
		if (settings->keep_best)
			json_object_set_new(job, "keep_best", json_string(settings->keep_best));
		json_object_set_new(
			job, "best_is_largest", json_boolean(settings->best_is_largest));
		json_object_set_new(job, "writes_at_once",
			json_boolean(planned->cost && planned->cost->lacks_copy));
		if (planned->cost) {
			json_object_set_new(job, "checkpoint_bytes",
				json_integer((json_int_t)planned->cost->checkpoint_bytes));
			json_object_set_new(job, "device_bytes",
				json_integer((json_int_t)planned->cost->device_bytes));
		}
		json_object_set_new(job, "threads", json_integer(threads));
		json_object_set_new(
			job, "memory_bytes", json_integer((json_int_t)settings->memory_bytes));
	}
	cairn_arena_free(arena);
	return job;
}

/* Every text must be there: the runner and the stage host are one program. */
static bool take_texts(cairn_job *job)
{
	const struct {
		const char **to, *name;
	} fields[] = {
		{&job->store, "store"},
		{&job->run, "run"},
		{&job->workflow, "workflow"},
		{&job->instance, "instance"},
		{&job->plugin_path, "plugin_path"},
		{&job->plugin_digest, "plugin_digest"},
		{&job->numerics, "numerics"},
		{&job->device, "device"},
		{&job->scratch, "scratch"},
		{&job->log, "log"},
	};

	for (size_t i = 0; i < CAIRN_COUNT(fields); i++) {
		*fields[i].to = cairn_json_string(job->json, fields[i].name, NULL);
		if (!*fields[i].to)
			return false;
	}
	return true;
}

static bool take_lists(cairn_job *job, cairn_arena *arena)
{
	const json_t *values = json_object_get(job->json, "values");
	const json_t *inputs = json_object_get(job->json, "inputs");

	job->n_values = json_array_size(values);
	job->values = cairn_arena_alloc(arena, job->n_values + 1, sizeof(*job->values));
	for (size_t i = 0; i < job->n_values; i++) {
		job->values[i] = json_string_value(json_array_get(values, i));
		if (!job->values[i])
			return false;
	}
	job->n_inputs = json_array_size(inputs);
	job->inputs = cairn_arena_alloc(arena, job->n_inputs + 1, sizeof(*job->inputs));
	for (size_t i = 0; i < job->n_inputs; i++) {
		const json_t *input = json_array_get(inputs, i);
		job->inputs[i].port = cairn_json_string(input, "port", NULL);
		job->inputs[i].id = cairn_json_string(input, "id", NULL);
		job->inputs[i].source = cairn_json_string(input, "source", NULL);
		if (!job->inputs[i].port || !job->inputs[i].id || !job->inputs[i].source)
			return false;
	}
	return true;
}

int cairn_job_read(cairn_job *out, json_t *take_json, cairn_arena *arena, cairn_error *err)
{
	cairn_job job = {.json = take_json};
	const json_t *json = take_json;

	if (!take_texts(&job) || !take_lists(&job, arena) ||
		cairn_key_parse(&job.key, cairn_json_string(json, "key", ""), NULL) < 0) {
		json_decref(take_json);
		return cairn_error_set(err, CAIRN_EBUG, "the stage host got an incomplete job");
	}
	job.attempt = (uint32_t)cairn_json_integer(json, "attempt", 0);
	job.components = json_object_get(json, "components");
	job.checkpoint_every_s = cairn_json_number(json, "checkpoint_every_s", 0);
	job.checkpoint_every_steps = cairn_json_integer(json, "checkpoint_every_steps", 0);
	job.keep_checkpoints = cairn_json_integer(json, "keep_checkpoints", 1);
	job.keep_every = cairn_json_integer(json, "keep_every", 0);
	job.gpus = cairn_json_string(json, "gpus", NULL);
	job.backend = cairn_json_string(json, "backend", NULL);
	job.passed_over = cairn_json_string(json, "passed_over", "");
	job.is_batch_invariant = json_is_true(json_object_get(json, "is_batch_invariant"));
	job.keep_best = cairn_json_string(json, "keep_best", NULL);
	job.best_is_largest = json_is_true(json_object_get(json, "best_is_largest"));
	job.writes_at_once = json_is_true(json_object_get(json, "writes_at_once"));
	job.threads = cairn_json_integer(json, "threads", 0);
	job.checkpoint_bytes = (uint64_t)cairn_json_integer(json, "checkpoint_bytes", 0);
	job.device_bytes = (uint64_t)cairn_json_integer(json, "device_bytes", 0);
	job.memory_bytes = (uint64_t)cairn_json_integer(json, "memory_bytes", 0);
	*out = job;
	return 0;
}
