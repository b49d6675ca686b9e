/* SPDX-License-Identifier: Apache-2.0 */
/*
 * noop.c - next to nothing, as fast as can be: a few bytes that depend on `text` alone.
 *
 * Takes any number of inputs and looks at none. What the runner's own work costs is what such
 * stages cost (bench/scale).
 */
#include "faulty.h"

struct params {
	const char *text;
};

static const cairn_param table[] = {
	{"text", "goes into the output", CAIRN_PARAM_STRING, 0, offsetof(struct params, text), "",
		0, 0, NULL, NULL},
};

static const cairn_port inputs[] = {
	{"in", "file|report", CAIRN_PORT_OPTIONAL | CAIRN_PORT_MANY, 0, "what it waits for"},
};

static int run_noop(const cairn_host *host, cairn_run *run, const void *params_)
{
	const struct params *params = params_;

	return write_out(host, run, params->text);
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "noop",
	.summary = "does nothing, quickly",
	.version = "1",
	.license = "Apache-2.0",
	.params = table,
	.n_params = CAIRN_COUNT(table),
	.params_size = sizeof(struct params),
	.inputs = inputs,
	.n_inputs = CAIRN_COUNT(inputs),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.capabilities = CAIRN_CAN_REPEAT,
	.run = run_noop,
};
