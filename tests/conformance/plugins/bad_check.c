/* SPDX-License-Identifier: Apache-2.0 */
/* bad_check.c - a check() that dies of one value in range, and refuses another without a word. */
#define cairn_plugin cairn_plugin_of_today
#include "faulty.h"
#undef cairn_plugin

#include <stdlib.h>

struct params {
	int64_t deadly;
	int32_t mute;
};

static const cairn_param table[] = {
	{"mute", "whether one value is refused without a word, rather than died of",
		CAIRN_PARAM_BOOL, 0, offsetof(struct params, mute), BAD_CHECK_MUTE, 0, 0, NULL,
		NULL},
	{"deadly", "one of these is not survived", CAIRN_PARAM_INT, 0,
		offsetof(struct params, deadly), "1", 1, 100, NULL, NULL},
};

static int run_bad(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)params;
	return write_out(host, run, "but it runs");
}

static int check(const void *params, cairn_error *err)
{
	const struct params *p = params;

	(void)err;
	if (p->deadly < 100)
		return 0;
	if (!p->mute)
		abort();
	return CAIRN_EPARAM;
}

extern CAIRN_EXPORT const cairn_stage_plugin cairn_plugin;
CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = BAD_CHECK_NAME,
	.summary = "has a check that cannot answer",
	.version = "1",
	.license = "Apache-2.0",
	.params = table,
	.n_params = CAIRN_COUNT(table),
	.params_size = sizeof(struct params),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.run = run_bad,
	.check = check,
};
