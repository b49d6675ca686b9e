/* SPDX-License-Identifier: Apache-2.0 */
/* waiter.c - waits for people until a file named in a neutral parameter exists. */
#include <unistd.h>

#include "faulty.h"

struct params {
	const char *until, *what;
};

static const cairn_param table[] = {
	{"until", "the file to wait for", CAIRN_PARAM_STRING, CAIRN_PARAM_NEUTRAL,
		offsetof(struct params, until), NULL, 0, 0, NULL, NULL},
	{"what", "what people are to do", CAIRN_PARAM_STRING, CAIRN_PARAM_NEUTRAL,
		offsetof(struct params, what), "", 0, 0, NULL, NULL},
};

static int run_waiter(const cairn_host *host, cairn_run *run, const void *params_)
{
	const struct params *params = params_;

	if (access(params->until, F_OK) != 0) {
		if (params->what[0])
			host->hint(run, "%s", params->what);
		return CAIRN_WAITING;
	}
	return write_out(host, run, "somebody came");
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "waiter",
	.summary = "waits for people",
	.version = "1",
	.license = "Apache-2.0",
	.params = table,
	.n_params = CAIRN_COUNT(table),
	.params_size = sizeof(struct params),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.run = run_waiter,
};
