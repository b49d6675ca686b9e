/* SPDX-License-Identifier: Apache-2.0 */
/* old_estimate.c - of contract 1.0, when an estimate had three members: no more is written. */
#define cairn_plugin cairn_plugin_of_today
#include "faulty.h"
#undef cairn_plugin

struct old_estimate {
	double flop;
	uint64_t memory_bytes, output_bytes;
};

static const cairn_port inputs[] = {{"in", "report", CAIRN_PORT_OPTIONAL, 0, "anything"}};

static int run_old(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)params;
	return write_out(host, run, "estimated");
}

/* Knows something where its input exists. */
static int estimate(
	const void *params, const cairn_estimate_input *in, uint64_t n_inputs, cairn_estimate *out)
{
	struct old_estimate *old = (struct old_estimate *)out;

	(void)params;
	*old = (struct old_estimate){n_inputs && in[0].bytes ? 5 : 0, 6, 7};
	return 0;
}

extern CAIRN_EXPORT const cairn_stage_plugin cairn_plugin;
CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = {CAIRN_STAGE_MAGIC, 1, 0, sizeof(cairn_stage_plugin), 0, "a compiler of old"},
	.name = "old_estimate",
	.summary = "of contract 1.0",
	.version = "1",
	.license = "Apache-2.0",
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.run = run_old,
	.estimate = estimate,
};
