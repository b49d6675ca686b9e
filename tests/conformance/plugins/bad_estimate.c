/* SPDX-License-Identifier: Apache-2.0 */
/* bad_estimate.c - dies when it is asked what it would cost. */
#define cairn_plugin cairn_plugin_of_today
#include "faulty.h"
#undef cairn_plugin

#include <stdlib.h>

static int run_bad(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)params;
	return write_out(host, run, "but it runs");
}

static int estimate(
	const void *params, const cairn_estimate_input *in, uint64_t n_inputs, cairn_estimate *out)
{
	(void)params, (void)in, (void)n_inputs, (void)out;
	abort();
}

extern CAIRN_EXPORT const cairn_stage_plugin cairn_plugin;
CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "bad_estimate",
	.summary = "dies when it is asked what it would cost",
	.version = "1",
	.license = "Apache-2.0",
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.run = run_bad,
	.estimate = estimate,
};
