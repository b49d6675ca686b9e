/* SPDX-License-Identifier: Apache-2.0 */
/* stopwatch.c - says when its run() began, in milliseconds of the system's clock (bench/start). */
#include <time.h>

#include "faulty.h"

struct params {
	const char *text;
};

static const cairn_param table[] = {
	{"text", "goes into the output", CAIRN_PARAM_STRING, 0, offsetof(struct params, text), "",
		0, 0, NULL, NULL},
};

static int run_stopwatch(const cairn_host *host, cairn_run *run, const void *params_)
{
	const struct params *params = params_;
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	host->summary(run, "began_ms", (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6);
	return write_out(host, run, params->text);
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "stopwatch",
	.summary = "says when it began",
	.version = "1",
	.license = "Apache-2.0",
	.params = table,
	.n_params = CAIRN_COUNT(table),
	.params_size = sizeof(struct params),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.run = run_stopwatch,
};
