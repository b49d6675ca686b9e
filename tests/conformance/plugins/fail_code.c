/* SPDX-License-Identifier: Apache-2.0 */
/* fail_code.c - fails with the code that it is told. */
#include "faulty.h"

struct params {
	int32_t code;
};

/* What clang-format makes of this does not please it. */
/* clang-format off */
#define CODES(X)                                                       \
	X("io", EIO) X("nomem", ENOMEM) X("device", EDEVICE)           \
	X("busy", EBUSY) X("param", EPARAM) X("input", EINPUT)         \
	X("diverged", EDIVERGED) X("limit", ELIMIT) X("bug", EBUG)     \
	X("integrity", EINTEGRITY) X("abi", EABI) X("notfound", ENOTFOUND)
/* clang-format on */
#define NAME(name, code)  "|" name
#define VALUE(name, code) CAIRN_##code,

static const cairn_param table[] = {
	{"code", "how it fails", CAIRN_PARAM_ENUM, 0, offsetof(struct params, code), NULL, 0, 0,
		NULL, &(CODES(NAME))[1]},
};

static int run_fail(const cairn_host *host, cairn_run *run, const void *params)
{
	static const int codes[] = {CODES(VALUE)};
	int code = codes[((const struct params *)params)->code];

	return host->fail(run, code, "as it was told to");
}

CAIRN_EXPORT const cairn_stage_plugin cairn_plugin = {
	.head = CAIRN_STAGE_HEAD(cairn_stage_plugin),
	.name = "fail_code",
	.summary = "fails as it is told",
	.version = "1",
	.license = "Apache-2.0",
	.params = table,
	.n_params = CAIRN_COUNT(table),
	.params_size = sizeof(struct params),
	.outputs = outputs,
	.n_outputs = CAIRN_COUNT(outputs),
	.run = run_fail,
};
