/* SPDX-License-Identifier: Apache-2.0 */
/*
 * describe_main.c - the answering side of describe.h: loads one plugin and says what it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "audit/record.h"
#include "base/alloc.h"
#include "run/compute/backends.h"
#include "run/plugin/abi.h"
#include "run/plugin/describe.h"
#include "run/plugin/elf.h"
#include "run/run.h"
#include "run/wire.h"

#define MAX_REQUEST (16u << 20)

static json_t *describe(const cairn_stage_plugin *plugin, const char *path)
{
	cairn_plugin_info info = {
		.name = plugin->name,
		.summary = plugin->summary,
		.version = plugin->version,
		.license = plugin->license,
		.build = plugin->head.build ? plugin->head.build : "",
		.path = path,
		.digest = "",
		.major = plugin->head.major,
		.minor = plugin->head.minor,
		.params = plugin->params,
		.n_params = plugin->n_params,
		.params_size = plugin->params_size,
		.inputs = plugin->inputs,
		.outputs = plugin->outputs,
		.n_inputs = plugin->n_inputs,
		.n_outputs = plugin->n_outputs,
		.capabilities = plugin->capabilities,
		.state_version = plugin->state_version,
		.state_version_oldest = plugin->state_version_oldest,
		.has_check = plugin->check != NULL,
		.has_estimate = plugin->estimate != NULL,
	};

	return cairn_plugin_info_to_json(&info);
}

static int read_request(json_t **out, cairn_error *err)
{
	char *text = NULL;
	size_t len = 0, cap = 0;
	ssize_t n;
	int rc;

	do {
		if (len + 65536 > cap) {
			char *more =
				cap < MAX_REQUEST ? cairn_realloc(text, cap += 262144, 1) : NULL;
			if (!more) {
				free(text);
				return cairn_error_set(
					err, CAIRN_ELIMIT, "the request is too long");
			}
			text = more;
		}
		n = read(STDIN_FILENO, text + len, 65536);
		if (n > 0)
			len += (size_t)n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	rc = cairn_json_parse(out, text, len, "request", err);
	free(text);
	return rc;
}

/* {"values": [...]} -> the plugin's own struct. */
static int fill_params(void **out, const cairn_stage_plugin *plugin, const json_t *request,
	cairn_arena *arena, cairn_error *err)
{
	const json_t *values = json_object_get(request, "values");
	const char **texts = cairn_arena_alloc(arena, plugin->n_params + 1, sizeof(*texts));
	void *params = cairn_arena_alloc(arena, plugin->params_size + 1, 1);

	if (json_array_size(values) != plugin->n_params)
		return cairn_error_set(err, CAIRN_EBUG, "%zu values for %llu parameters",
			json_array_size(values), (unsigned long long)plugin->n_params);
	for (uint64_t i = 0; i < plugin->n_params; i++) {
		texts[i] = json_string_value(json_array_get(values, i));
		if (!texts[i])
			return cairn_error_set(err, CAIRN_EBUG, "parameter '%s' is no text",
				plugin->params[i].name);
	}
	*out = params;
	return cairn_param_fill(plugin->params, plugin->n_params, texts, params, err);
}

static int check(
	json_t **out, const cairn_stage_plugin *plugin, const void *params, cairn_error *err)
{
	int rc = plugin->check ? plugin->check(params, err) : 0;

	if (rc < 0) {
		cairn_error_set(
			err, rc, "'%s' refuses these parameters without a word", plugin->name);
		return rc;
	}
	*out = json_object();
	return 0;
}

/* One number per account of stage.h; absent where the plugin does not split. */
static void put_accounts(json_t *answer, const cairn_estimate *sum)
{
	double total = 0;

	for (int i = 0; i < CAIRN_ACCOUNTS; i++)
		total += sum->flop_of[i];
	if (total > 0)
		json_object_set_new(answer, "flop_of", cairn_wire_account(sum->flop_of));
}

/* What is known of the outputs' metadata; a plugin whose text is no JSON says nothing. */
static int put_outputs(
	json_t *answer, const cairn_stage_plugin *plugin, cairn_estimate *sum, cairn_error *err)
{
	json_t *outputs = NULL;
	int rc;

	sum->outputs[sizeof(sum->outputs) - 1] = '\0';
	if (!sum->outputs[0])
		return 0;
	rc = cairn_json_parse(&outputs, sum->outputs, strlen(sum->outputs), plugin->name, err);
	if (rc == 0)
		json_object_set_new(answer, "outputs", outputs);
	return rc;
}

/* All zeros where the planner says nothing. */
static cairn_estimate_compute compute_of(const json_t *request)
{
	const json_t *compute = json_object_get(request, "compute");

	return (cairn_estimate_compute){
		.in_host_memory = json_is_true(json_object_get(compute, "in_host_memory")),
		.batch_invariant = json_is_true(json_object_get(compute, "batch_invariant")),
		.wants_packed = json_is_true(json_object_get(compute, "wants_packed")),
		.act_bytes = (int32_t)cairn_json_integer(compute, "act_bytes", 0),
		.enough_rows = cairn_json_integer(compute, "enough_rows", 0),
	};
}

static int estimate(json_t **out, const cairn_stage_plugin *plugin, const void *params,
	const json_t *request, cairn_arena *arena, cairn_error *err)
{
	const json_t *list = json_object_get(request, "inputs");
	size_t n = json_array_size(list);
	cairn_estimate_input *inputs = cairn_arena_alloc(arena, n + 1, sizeof(*inputs));
	cairn_estimate *sum = cairn_arena_alloc(arena, 1, sizeof(*sum));
	int rc;

	for (size_t i = 0; i < n; i++) {
		const json_t *input = json_array_get(list, i);
		inputs[i].port = cairn_json_string(input, "port", "");
		inputs[i].meta = cairn_json_string(input, "meta", NULL);
		inputs[i].bytes = (uint64_t)cairn_json_integer(input, "bytes", 0);
	}
	if (!plugin->estimate)
		return cairn_error_set(err, CAIRN_ENOTFOUND, "'%s' has no estimate", plugin->name);
	sum->compute = compute_of(request);
	rc = plugin->estimate(params, inputs, n, sum);
	if (rc < 0)
		return cairn_error_set(err, rc, "'%s' cannot estimate its cost", plugin->name);
	*out = json_pack("{s:f, s:I, s:I, s:I, s:I, s:b}", "flop", sum->flop, "memory_bytes",
		(json_int_t)sum->memory_bytes, "device_bytes", (json_int_t)sum->device_bytes,
		"checkpoint_bytes", (json_int_t)sum->checkpoint_bytes, "output_bytes",
		(json_int_t)sum->output_bytes, "is_partial", (int)(sum->is_partial != 0));
	if (!*out)
		return cairn_error_set(err, CAIRN_EBUG, "'%s' estimates no number", plugin->name);
	put_accounts(*out, sum);
	return put_outputs(*out, plugin, sum, err);
}

/* One question about a plugin that is loaded. On failure *out may hold half an answer. */
static int answer_one(json_t **out, const cairn_stage_plugin *plugin, const char *action,
	const json_t *request, cairn_arena *arena, cairn_error *err)
{
	void *params = NULL;
	int rc = fill_params(&params, plugin, request, arena, err);

	if (rc < 0)
		return rc;
	if (strcmp(action, "check") == 0)
		return check(out, plugin, params, err);
	if (strcmp(action, "estimate") == 0)
		return estimate(out, plugin, params, request, arena, err);
	return cairn_error_set(err, CAIRN_EUSAGE, "unknown question '%s'", action);
}

static int answer(
	json_t **out, const char *path, const char *action, cairn_arena *arena, cairn_error *err)
{
	cairn_stage_plugin plugin;
	json_t *request = NULL;
	int rc;

	if (action && strcmp(action, "symbols") == 0) /* the plugin itself is not loaded */
		return cairn_elf_read(out, path, err);
	if (action && strcmp(action, "backend") == 0) {
		rc = read_request(&request, err);
		if (rc == 0)
			rc = cairn_backend_describe(out, path, request, err);
		json_decref(request);
		return rc;
	}
	rc = cairn_abi_stage(&plugin, path, arena, err);
	if (rc < 0)
		return rc;
	if (!action) {
		*out = describe(&plugin, path);
		return 0;
	}
	rc = read_request(&request, err);
	if (rc == 0)
		rc = answer_one(out, &plugin, action, request, arena, err);
	json_decref(request);
	return rc;
}

/* Takes over `json`: the answer, or the error in its place. */
static json_t *finished(json_t *json, int rc, const cairn_error *err)
{
	if (rc == 0 && json)
		return json;
	json_decref(json);
	return json_pack("{s:o}", "error", cairn_record_error(err));
}

/* Questions over the socket until nobody asks any more. A plugin that cannot be loaded answers
 * every one of them with that. */
static int serve(const char *path, cairn_arena *arena)
{
	cairn_stage_plugin plugin;
	cairn_error refused = {0};
	json_t *frame = NULL;
	int rc_load;

	fcntl(CAIRN_WIRE_FD, F_SETFD, FD_CLOEXEC);
	rc_load = cairn_abi_stage(&plugin, path, arena, &refused);
	while (cairn_wire_receive(&frame, CAIRN_WIRE_FD, MAX_REQUEST, NULL) == 0) {
		cairn_arena *own = cairn_arena_new();
		cairn_error err = refused;
		json_t *json = NULL;
		int rc = rc_load;

		if (rc == 0)
			rc = answer_one(&json, &plugin, cairn_json_string(frame, "action", ""),
				json_object_get(frame, "request"), own, &err);
		json = finished(json, rc, &err);
		rc = cairn_wire_send(CAIRN_WIRE_FD, json, NULL);
		json_decref(json);
		json_decref(frame);
		cairn_arena_free(own);
		if (rc < 0)
			break;
	}
	return 0;
}

int cairn_describe_main(int argc, char **argv)
{
	cairn_arena *arena = cairn_arena_new();
	cairn_error err = {0};
	json_t *json = NULL;
	char *text;
	int out, rc;

	/* Whatever the plugin's constructors print must not get into the document. */
	out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	if (argc == 4 && strcmp(argv[3], "serve") == 0) {
		rc = serve(argv[2], arena);
		cairn_arena_free(arena);
		return rc;
	}
	if (argc < 3 || argc > 4)
		rc = cairn_error_set(&err, CAIRN_EUSAGE,
			"usage: cairn --describe FILE.so [check|estimate|symbols|backend|serve]");
	else
		rc = answer(&json, argv[2], argc == 4 ? argv[3] : NULL, arena, &err);
	json = finished(json, rc, &err);
	text = json ? cairn_json_canonical(json) : NULL;
	if (!text || dprintf(out, "%s\n", text) < 0)
		rc = CAIRN_EIO;
	free(text);
	json_decref(json);
	cairn_arena_free(arena);
	return rc < 0 ? 1 : 0;
}
