/* SPDX-License-Identifier: Apache-2.0 */
/* bare.c - works, but says nothing of itself, has a kind of its own and a constructor. */
#define cairn_plugin cairn_plugin_of_today
#include "faulty.h"
#undef cairn_plugin

struct params {
	int64_t n;
};

static const cairn_param table[] = {
	{"n", NULL, CAIRN_PARAM_INT, 0, offsetof(struct params, n), "1", 0, 9, NULL, NULL}};
static const cairn_port own[] = {{"out", "my/kind", 0, 0, NULL}};
static int is_ready;

__attribute__((constructor)) static void get_ready(void)
{
	is_ready = 1;
}

static int run_bare(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)params;
	return is_ready ? write_out(host, run, "bare") : CAIRN_EBUG;
}

extern CAIRN_EXPORT const cairn_stage_plugin cairn_plugin;
CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "bare",
	.version = "1",
	.params = table,
	.n_params = CAIRN_COUNT(table),
	.params_size = sizeof(struct params),
	.outputs = own,
	.n_outputs = CAIRN_COUNT(own),
	.run = run_bare,
};
