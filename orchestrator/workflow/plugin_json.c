/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin_json.c - a plugin's description <-> JSON, schema "cairn.plugin/1".
 *
 * It comes from a process that had a foreign library open, and parameter values are written
 * at the offsets it names: so every field is checked before it is believed. A parameter
 * must lie inside the struct, aligned for its type; names must be distinct and writable in
 * a workflow file, where they must not hide a key of cairn's own.
 */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "workflow/draft.h"

#define SCHEMA    "cairn.plugin/1"
#define MAX_TABLE 1024u /* parameters or ports */

static const char *const type_words[] = {
	[CAIRN_PARAM_INT] = "int",
	[CAIRN_PARAM_REAL] = "real",
	[CAIRN_PARAM_BOOL] = "bool",
	[CAIRN_PARAM_STRING] = "string",
	[CAIRN_PARAM_ENUM] = "enum",
	[CAIRN_PARAM_SIZE] = "size",
	[CAIRN_PARAM_DURATION] = "duration",
};
static const uint8_t type_sizes[] = {
	[CAIRN_PARAM_INT] = sizeof(int64_t),
	[CAIRN_PARAM_REAL] = sizeof(double),
	[CAIRN_PARAM_BOOL] = sizeof(int32_t),
	[CAIRN_PARAM_STRING] = sizeof(const char *),
	[CAIRN_PARAM_ENUM] = sizeof(int32_t),
	[CAIRN_PARAM_SIZE] = sizeof(uint64_t),
	[CAIRN_PARAM_DURATION] = sizeof(double),
};

/* ---- writing ---------------------------------------------------------------------------- */

static void put_string(json_t *object, const char *key, const char *value)
{
	if (value)
		json_object_set_new(object, key, json_string(value));
}

/* JSON has no infinities: they are words. */
static void put_bound(json_t *object, const char *key, double value)
{
	if (isfinite(value))
		json_object_set_new(object, key, json_real(value));
	else
		put_string(object, key, value < 0 ? "-inf" : "inf");
}

static json_t *param_to_json(const cairn_param *param)
{
	json_t *json = json_object();
	bool has_type = param->type >= CAIRN_PARAM_INT && param->type <= CAIRN_PARAM_DURATION;

	put_string(json, "name", param->name);
	put_string(json, "type", has_type ? type_words[param->type] : "unknown");
	json_object_set_new(json, "offset", json_integer((json_int_t)param->offset));
	put_string(json, "default", param->fallback);
	if (param->min != 0 || param->max != 0) {
		put_bound(json, "min", param->min);
		put_bound(json, "max", param->max);
	}
	put_string(json, "unit", param->unit);
	put_string(json, "choices", param->choices);
	json_object_set_new(json, "neutral", json_boolean(param->flags & CAIRN_PARAM_NEUTRAL));
	json_object_set_new(json, "cuts", json_boolean(param->flags & CAIRN_PARAM_CUTS));
	put_string(json, "doc", param->doc);
	return json;
}

static json_t *ports_to_json(const cairn_port *ports, uint64_t n)
{
	json_t *array = json_array();

	for (uint64_t i = 0; i < n; i++) {
		json_t *json = json_object();

		put_string(json, "name", ports[i].name);
		put_string(json, "kind", ports[i].kind);
		json_object_set_new(
			json, "optional", json_boolean(ports[i].flags & CAIRN_PORT_OPTIONAL));
		json_object_set_new(json, "many", json_boolean(ports[i].flags & CAIRN_PORT_MANY));
		put_string(json, "doc", ports[i].doc);
		json_array_append_new(array, json);
	}
	return array;
}

json_t *cairn_plugin_info_to_json(const cairn_plugin_info *info)
{
	json_t *json = json_object(), *params = json_array();

	put_string(json, "schema", SCHEMA);
	put_string(json, "name", info->name);
	put_string(json, "summary", info->summary);
	put_string(json, "version", info->version);
	put_string(json, "license", info->license);
	put_string(json, "build", info->build);
	put_string(json, "path", info->path);
	put_string(json, "digest", info->digest);
	json_object_set_new(json, "major", json_integer(info->major));
	json_object_set_new(json, "minor", json_integer(info->minor));
	for (uint64_t i = 0; i < info->n_params; i++)
		json_array_append_new(params, param_to_json(&info->params[i]));
	json_object_set_new(json, "params", params);
	json_object_set_new(json, "params_size", json_integer((json_int_t)info->params_size));
	json_object_set_new(json, "inputs", ports_to_json(info->inputs, info->n_inputs));
	json_object_set_new(json, "outputs", ports_to_json(info->outputs, info->n_outputs));
	json_object_set_new(json, "capabilities", json_integer((json_int_t)info->capabilities));
	json_object_set_new(json, "state_version", json_integer(info->state_version));
	json_object_set_new(json, "state_version_oldest", json_integer(info->state_version_oldest));
	json_object_set_new(json, "has_check", json_boolean(info->has_check));
	json_object_set_new(json, "has_estimate", json_boolean(info->has_estimate));
	return json;
}

/* ---- reading ---------------------------------------------------------------------------- */

struct reader {
	cairn_arena *arena;
	const char *plugin;
	cairn_error *err;
};

static int refuse(struct reader *r, const char *what, const char *name)
{
	cairn_error_set(r->err, CAIRN_EABI, "plugin '%s' describes itself wrongly", r->plugin);
	cairn_error_detail(r->err, "%s: '%s'", what, name);
	cairn_error_hint(r->err, "Correct the plugin's descriptor and build it again.");
	return CAIRN_EABI;
}

static const char *get_string(struct reader *r, const json_t *json, const char *key)
{
	const char *text = cairn_json_string(json, key, NULL);

	return text ? cairn_arena_strdup(r->arena, text) : NULL;
}

static bool get_flag(const json_t *json, const char *key)
{
	return json_is_true(json_object_get(json, key));
}

static double get_bound(const json_t *json, const char *key)
{
	const char *word = cairn_json_string(json, key, NULL);

	if (word)
		return word[0] == '-' ? -(double)INFINITY : (double)INFINITY;
	return cairn_json_number(json, key, 0);
}

/* Keys of a [stage] that a parameter must not hide. */
static bool is_reserved(const char *name)
{
	if (strcmp(name, "plugin") == 0 || strcmp(name, "foreach") == 0 ||
		strcmp(name, "seed") == 0)
		return true;
	for (size_t i = 0; i < CAIRN_SETTINGS; i++) {
		if (strcmp(name, cairn_settings__names[i]) == 0)
			return true;
	}
	return false;
}

static int check_param(struct reader *r, const cairn_param *param, uint64_t params_size)
{
	uint64_t size;
	const char *canonical;
	cairn_error error = {0};

	if (!cairn_draft__is_name(param->name, strlen(param->name), false) ||
		is_reserved(param->name))
		return refuse(r, "no name for a parameter", param->name);
	if (param->type == 0)
		return refuse(r, "unknown type of parameter", param->name);
	size = type_sizes[param->type];
	if (param->offset % size != 0 || params_size < size || param->offset > params_size - size)
		return refuse(r, "parameter outside its struct", param->name);
	if (param->type == CAIRN_PARAM_ENUM && (!param->choices || !param->choices[0]))
		return refuse(r, "no choices for parameter", param->name);
	if (param->fallback &&
		cairn_param_canonical(param, param->fallback, r->arena, &canonical, &error) < 0)
		return refuse(r, "impossible default of parameter", param->name);
	return 0;
}

static int read_param(struct reader *r, cairn_param *out, const json_t *json, uint64_t params_size)
{
	const char *type = cairn_json_string(json, "type", "");
	int64_t offset = cairn_json_integer(json, "offset", -1);

	*out = (cairn_param){.name = get_string(r, json, "name"),
		.doc = get_string(r, json, "doc"),
		.flags = (get_flag(json, "neutral") ? CAIRN_PARAM_NEUTRAL : 0u) |
			 (get_flag(json, "cuts") ? CAIRN_PARAM_CUTS : 0u),
		.offset = offset < 0 ? UINT64_MAX : (uint64_t)offset,
		.fallback = get_string(r, json, "default"),
		.min = get_bound(json, "min"),
		.max = get_bound(json, "max"),
		.unit = get_string(r, json, "unit"),
		.choices = get_string(r, json, "choices")};
	for (uint32_t i = CAIRN_PARAM_INT; i <= CAIRN_PARAM_DURATION; i++) {
		if (strcmp(type, type_words[i]) == 0)
			out->type = i;
	}
	if (!out->name)
		return refuse(r, "parameter without", "name");
	return check_param(r, out, params_size);
}

static int read_params(struct reader *r, cairn_plugin_info *out, const json_t *array)
{
	size_t n = json_array_size(array);
	cairn_param *params;
	cairn_map names = {0};

	if (n > MAX_TABLE)
		return refuse(r, "too many", "parameters");
	params = cairn_arena_alloc(r->arena, n + 1, sizeof(*params));
	for (size_t i = 0; i < n; i++) {
		int rc = read_param(r, &params[i], json_array_get(array, i), out->params_size);

		if (rc < 0)
			return rc;
		if (cairn_map_put(&names, r->arena, params[i].name, i) != CAIRN_MAP_NONE)
			return refuse(r, "two parameters of one name", params[i].name);
	}
	out->params = params;
	out->n_params = n;
	return 0;
}

static int read_ports(
	struct reader *r, const cairn_port **out, uint64_t *n_out, const json_t *array)
{
	size_t n = json_array_size(array);
	cairn_port *ports;
	cairn_map names = {0};

	if (n > MAX_TABLE)
		return refuse(r, "too many", "ports");
	ports = cairn_arena_alloc(r->arena, n + 1, sizeof(*ports));
	for (size_t i = 0; i < n; i++) {
		const json_t *json = json_array_get(array, i);

		ports[i] = (cairn_port){.name = get_string(r, json, "name"),
			.kind = get_string(r, json, "kind"),
			.flags = (get_flag(json, "optional") ? CAIRN_PORT_OPTIONAL : 0u) |
				 (get_flag(json, "many") ? CAIRN_PORT_MANY : 0u),
			.doc = get_string(r, json, "doc")};
		if (!ports[i].name ||
			!cairn_draft__is_name(ports[i].name, strlen(ports[i].name), false))
			return refuse(r, "no name for a port", ports[i].name ? ports[i].name : "");
		if (!ports[i].kind || !ports[i].kind[0])
			return refuse(r, "port without a kind", ports[i].name);
		if (cairn_map_put(&names, r->arena, ports[i].name, i) != CAIRN_MAP_NONE)
			return refuse(r, "two ports of one name", ports[i].name);
	}
	*out = ports;
	*n_out = n;
	return 0;
}

int cairn_plugin_info_from_json(
	cairn_plugin_info *out, const json_t *json, cairn_arena *arena, cairn_error *err)
{
	struct reader r = {arena, cairn_json_string(json, "name", "?"), err};
	cairn_plugin_info info = {.name = get_string(&r, json, "name"),
		.summary = get_string(&r, json, "summary"),
		.version = get_string(&r, json, "version"),
		.license = get_string(&r, json, "license"),
		.build = get_string(&r, json, "build"),
		.path = get_string(&r, json, "path"),
		.digest = get_string(&r, json, "digest"),
		.major = (uint32_t)cairn_json_integer(json, "major", 0),
		.minor = (uint32_t)cairn_json_integer(json, "minor", 0),
		.params_size = (uint64_t)cairn_json_integer(json, "params_size", 0),
		.capabilities = (uint64_t)cairn_json_integer(json, "capabilities", 0),
		.state_version = (uint32_t)cairn_json_integer(json, "state_version", 0),
		.state_version_oldest =
			(uint32_t)cairn_json_integer(json, "state_version_oldest", 0),
		.has_check = get_flag(json, "has_check"),
		.has_estimate = get_flag(json, "has_estimate")};
	int rc;

	if (strcmp(cairn_json_string(json, "schema", ""), SCHEMA) != 0)
		return refuse(&r, "schema of the description is not", SCHEMA);
	if (!info.name || !cairn_draft__is_name(info.name, strlen(info.name), false))
		return refuse(&r, "no name for a plugin", r.plugin);
	if (!info.version || !info.version[0])
		return refuse(&r, "no version of plugin", info.name);
	if (info.params_size > (1u << 20))
		return refuse(&r, "parameter struct of more than 1 MiB in", info.name);
	rc = read_params(&r, &info, json_object_get(json, "params"));
	if (rc == 0)
		rc = read_ports(&r, &info.inputs, &info.n_inputs, json_object_get(json, "inputs"));
	if (rc == 0)
		rc = read_ports(
			&r, &info.outputs, &info.n_outputs, json_object_get(json, "outputs"));
	if (rc == 0)
		*out = info;
	return rc;
}
