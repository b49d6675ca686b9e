/* SPDX-License-Identifier: Apache-2.0 */
/* plugin_info.c - looking into a description. Tables are short: a walk is enough. */
#include "workflow/plugin_info.h"

#include <string.h>

static const cairn_port *find_port(const cairn_port *ports, uint64_t n, const char *name)
{
	for (uint64_t i = 0; i < n; i++) {
		if (strcmp(ports[i].name, name) == 0)
			return &ports[i];
	}
	return NULL;
}

const cairn_port *cairn_plugin_input(const cairn_plugin_info *info, const char *name)
{
	return find_port(info->inputs, info->n_inputs, name);
}

const cairn_port *cairn_plugin_output(const cairn_plugin_info *info, const char *name)
{
	return find_port(info->outputs, info->n_outputs, name);
}

const cairn_param *cairn_plugin_param(const cairn_plugin_info *info, const char *name)
{
	for (uint64_t i = 0; i < info->n_params; i++) {
		if (strcmp(info->params[i].name, name) == 0)
			return &info->params[i];
	}
	return NULL;
}

bool cairn_kind_accepts(const char *accepted, const char *kind)
{
	size_t len = strlen(kind);

	for (const char *a = accepted;;) {
		size_t n = strcspn(a, "|");

		if (n == len && memcmp(a, kind, n) == 0)
			return true;
		if (!a[n])
			return false;
		a += n + 1;
	}
}
