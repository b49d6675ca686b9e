/* SPDX-License-Identifier: Apache-2.0 */
/* old_abi.c - built when the descriptor ended with run(): what came later must read as NULL. */
#define cairn_plugin cairn_plugin_of_today
#include "faulty.h"
#undef cairn_plugin

struct old_plugin {
	cairn_abi_head head;
	const char *name, *summary, *version, *license;
	const cairn_param *params;
	uint64_t n_params, params_size;
	const cairn_port *inputs;
	uint64_t n_inputs;
	const cairn_port *outputs;
	uint64_t n_outputs, capabilities;
	uint32_t state_version, state_version_oldest;
	int (*run)(const cairn_host *host, cairn_run *run, const void *params);
};
_Static_assert(sizeof(struct old_plugin) == offsetof(cairn_stage_plugin, check), "a prefix");

static int run_old(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)params;
	return write_out(host, run, "still good");
}

extern CAIRN_EXPORT const struct old_plugin cairn_plugin;
CAIRN_EXPORT const struct old_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(struct old_plugin),
	.name = "old_abi",
	.summary = "of an older minor version",
	.version = "1",
	.license = "Apache-2.0",
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.run = run_old,
};
