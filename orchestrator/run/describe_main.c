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
#include "run/abi.h"
#include "run/describe.h"
#include "run/run.h"

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

static int estimate(json_t **out, const cairn_stage_plugin *plugin, const void *params,
	const json_t *request, cairn_arena *arena, cairn_error *err)
{
	const json_t *list = json_object_get(request, "inputs");
	size_t n = json_array_size(list);
	cairn_estimate_input *inputs = cairn_arena_alloc(arena, n + 1, sizeof(*inputs));
	cairn_estimate sum = {0};
	int rc;

	for (size_t i = 0; i < n; i++) {
		const json_t *input = json_array_get(list, i);
		inputs[i].port = cairn_json_string(input, "port", "");
		inputs[i].meta = cairn_json_string(input, "meta", NULL);
		inputs[i].bytes = (uint64_t)cairn_json_integer(input, "bytes", 0);
	}
	if (!plugin->estimate)
		return cairn_error_set(err, CAIRN_ENOTFOUND, "'%s' has no estimate", plugin->name);
	rc = plugin->estimate(params, inputs, n, &sum);
	if (rc < 0)
		return cairn_error_set(err, rc, "'%s' cannot estimate its cost", plugin->name);
	*out = json_pack("{s:f, s:I, s:I}", "flop", sum.flop, "memory_bytes",
		(json_int_t)sum.memory_bytes, "output_bytes", (json_int_t)sum.output_bytes);
	return *out ? 0
		    : cairn_error_set(err, CAIRN_EBUG, "'%s' estimates no number", plugin->name);
}

static int answer(
	json_t **out, const char *path, const char *action, cairn_arena *arena, cairn_error *err)
{
	cairn_stage_plugin plugin;
	json_t *request = NULL;
	void *params = NULL;
	int rc = cairn_abi_stage(&plugin, path, arena, err);

	if (rc < 0)
		return rc;
	if (!action) {
		*out = describe(&plugin, path);
		return 0;
	}
	rc = read_request(&request, err);
	if (rc == 0)
		rc = fill_params(&params, &plugin, request, arena, err);
	if (rc == 0 && strcmp(action, "check") == 0)
		rc = check(out, &plugin, params, err);
	else if (rc == 0 && strcmp(action, "estimate") == 0)
		rc = estimate(out, &plugin, params, request, arena, err);
	else if (rc == 0)
		rc = cairn_error_set(err, CAIRN_EUSAGE, "unknown question '%s'", action);
	json_decref(request);
	return rc;
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
	if (argc < 3 || argc > 4)
		rc = cairn_error_set(
			&err, CAIRN_EUSAGE, "usage: cairn --describe FILE.so [check|estimate]");
	else
		rc = answer(&json, argv[2], argc == 4 ? argv[3] : NULL, arena, &err);
	if (rc < 0 || !json)
		json = json_pack("{s:o}", "error", cairn_record_error(&err));
	text = json ? cairn_json_canonical(json) : NULL;
	if (!text || dprintf(out, "%s\n", text) < 0)
		rc = CAIRN_EIO;
	free(text);
	json_decref(json);
	cairn_arena_free(arena);
	return rc < 0 ? 1 : 0;
}
