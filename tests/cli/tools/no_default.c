/* SPDX-License-Identifier: Apache-2.0 */
/* no_default.c - a tool whose parameter nobody would set. */
#include "cairn/tool.h"

static const cairn_param params[] = {
	{"must", "has no default", CAIRN_PARAM_INT, 0, 0, NULL, 0, 0, NULL, NULL},
};

static int run_it(const cairn_host *host, cairn_run *run, const cairn_tool_io *io, const void *p,
	const char *text)
{
	(void)host, (void)run, (void)io, (void)p, (void)text;
	return CAIRN_DONE;
}

static const cairn_tool tool = {
	.name = "score",
	.params = params,
	.n_params = 1,
	.params_size = sizeof(int64_t),
	.run = run_it,
};

CAIRN_EXPORT const cairn_tools cairn_tools_table = {
	.head = CAIRN_TOOL_HEAD(cairn_tools),
	.tools = &tool,
	.n_tools = 1,
};
