/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugin_info.h - what the planner knows of a plugin: its description as data.
 *
 * The runner takes it from the shared object in a child process (run/plugin/plugins.c) as JSON
 * "cairn.plugin/1"; nothing here opens a library.
 */
#ifndef CAIRN_WORKFLOW_PLUGIN_INFO_H
#define CAIRN_WORKFLOW_PLUGIN_INFO_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/json.h"
#include "cairn/stage.h"

typedef struct cairn_plugin_info {
	const char *name, *summary, *version, *license, *build;
	const char *path;   /* of the shared object */
	const char *digest; /* SHA-256 of it, 64 hex digits */
	uint32_t major, minor;
	const cairn_param *params; /* offsets as in the descriptor */
	uint64_t n_params, params_size;
	const cairn_port *inputs, *outputs;
	uint64_t n_inputs, n_outputs;
	uint64_t capabilities;
	uint32_t state_version, state_version_oldest;
	bool has_check, has_estimate;
} cairn_plugin_info;

/* How the planner asks for plugins. */
typedef struct cairn_registry {
	/* NULL and a filled error where there is none of that name. */
	const cairn_plugin_info *(*find)(
		struct cairn_registry *self, const char *name, cairn_error *err);
	/* All names, ascending; for "did you mean" and `cairn plugins`. */
	size_t (*names)(struct cairn_registry *self, const char *const **out);
	/* Runs the plugin's own check() on parameters as text; 0 where it has none. May be NULL. */
	int (*check)(struct cairn_registry *self, const cairn_plugin_info *plugin,
		const char *const *values, cairn_error *err);
	/* No more questions for now: what was kept ready for them may go. May be NULL. */
	void (*rest)(struct cairn_registry *self);
} cairn_registry;

/* JSON <-> info. The info lives in the arena. */
json_t *cairn_plugin_info_to_json(const cairn_plugin_info *info);
CAIRN_MUST int cairn_plugin_info_from_json(
	cairn_plugin_info *out, const json_t *json, cairn_arena *arena, cairn_error *err);
const cairn_port *cairn_plugin_input(const cairn_plugin_info *info, const char *name);
const cairn_port *cairn_plugin_output(const cairn_plugin_info *info, const char *name);
const cairn_param *cairn_plugin_param(const cairn_plugin_info *info, const char *name);
/* Does a port that accepts `accepted` ("a|b") take an artifact of `kind`? */
bool cairn_kind_accepts(const char *accepted, const char *kind);

/* Parameter text -> canonical text (as it enters the key), type and range checked. */
CAIRN_MUST int cairn_param_canonical(const cairn_param *param, const char *text, cairn_arena *arena,
	const char **out, cairn_error *err);
/* Canonical texts (one per parameter of the table) -> the plugin's struct of params_size bytes.
 * Strings are borrowed from values. */
CAIRN_MUST int cairn_param_fill(const cairn_param *params, uint64_t n_params,
	const char *const *values, void *params_struct, cairn_error *err);

#endif
