/* SPDX-License-Identifier: Apache-2.0 */
/* abort.c - gives up the process. */
#include "faulty.h"

static int run_abort(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)host, (void)run, (void)params;
	abort();
}

FAULTY_PLUGIN("abort", run_abort, 0);
