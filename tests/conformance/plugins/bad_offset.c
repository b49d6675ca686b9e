/* SPDX-License-Identifier: Apache-2.0 */
/* bad_offset.c - a parameter outside of the parameter struct: filling it would write over memory.
 */
#include "cairn/stage.h"

static const cairn_param params[] = {
	{"steps", "somewhere else", CAIRN_PARAM_INT, 0, 4096, "1", 0, 0, NULL, NULL},
};

static int run_nothing(const cairn_host *host, cairn_run *run, const void *values)
{
	(void)host, (void)run, (void)values;
	return CAIRN_DONE;
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "bad_offset",
	.summary = "would write over memory",
	.version = "1",
	.license = "Apache-2.0",
	.params = params,
	.n_params = CAIRN_COUNT(params),
	.params_size = 8,
	.run = run_nothing,
};
