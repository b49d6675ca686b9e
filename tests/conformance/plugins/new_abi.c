/* SPDX-License-Identifier: Apache-2.0 */
/* new_abi.c - from a future in which the descriptor has grown; it may use what we lack. */
#define cairn_plugin cairn_plugin_of_today
#include "faulty.h"
#undef cairn_plugin

struct new_plugin {
	cairn_stage_plugin known;
	int (*dream)(void);
};

static int run_new(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)params;
	return write_out(host, run, "");
}

extern CAIRN_EXPORT const struct new_plugin cairn_plugin;
CAIRN_EXPORT const struct new_plugin cairn_plugin = {
	.known = {.head = {CAIRN_STAGE_MAGIC, CAIRN_STAGE_MAJOR, CAIRN_STAGE_MINOR + 1,
			  sizeof(struct new_plugin), 0, "a compiler to come"},
		.name = "new_abi",
		.summary = "of a newer minor version",
		.version = "1",
		.license = "Apache-2.0",
		.outputs = outputs,
		.n_outputs = CAIRN_COUNT(outputs),
		.run = run_new},
};
