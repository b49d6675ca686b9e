/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a plugin's description, as the store keeps it and a child process answers it:
 * refused, or one that can be written, is read again as the same, and whose values can be filled
 * into the struct that it describes.
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "fuzz.h"
#include "workflow/plugin_info.h"

static void require(bool is_true)
{
	if (!is_true)
		abort();
}

/* Every default, into a struct of exactly the size that is stated. */
static void fill(const cairn_plugin_info *info, cairn_arena *arena)
{
	const char **values = cairn_arena_alloc(arena, info->n_params + 1, sizeof(*values));
	void *exact = malloc(info->params_size ? info->params_size : 1);
	bool has_all = true;

	require(exact != NULL);
	for (uint64_t i = 0; i < info->n_params && has_all; i++) {
		const cairn_param *param = &info->params[i];
		has_all = param->fallback && cairn_param_canonical(param, param->fallback, arena,
						     &values[i], NULL) == 0;
	}
	if (has_all)
		require(cairn_param_fill(info->params, info->n_params, values, exact, NULL) == 0);
	free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cairn_arena *arena = cairn_arena_new();
	cairn_plugin_info info, again;
	cairn_error err = {0};
	json_t *json = NULL, *written = NULL, *rewritten = NULL;

	if (cairn_json_parse(&json, (const char *)data, size, "fuzz", &err) < 0)
		goto out;
	if (cairn_plugin_info_from_json(&info, json, arena, &err) < 0) {
		require(err.code < 0 && err.message[0]);
		goto out;
	}
	written = cairn_plugin_info_to_json(&info);
	require(written != NULL);
	require(cairn_plugin_info_from_json(&again, written, arena, NULL) == 0);
	rewritten = cairn_plugin_info_to_json(&again);
	require(json_equal(written, rewritten));
	fill(&info, arena);
out:
	json_decref(rewritten);
	json_decref(written);
	json_decref(json);
	cairn_arena_free(arena);
	return 0;
}
