/* SPDX-License-Identifier: Apache-2.0 */
/* dangling.c - uses what nobody defines, says nothing of itself, and shows too much. */
#include "faulty.h"

int nobody_defines_this(void);
extern const int nor_this;
CAIRN_EXPORT int shown_to_all(void);

int shown_to_all(void)
{
	return nobody_defines_this() + nor_this;
}

static int run_dangling(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)params;
	return shown_to_all() ? CAIRN_EIO : write_out(host, run, "");
}

FAULTY_PLUGIN("dangling", run_dangling, 0);
