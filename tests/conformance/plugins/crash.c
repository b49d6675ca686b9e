/* SPDX-License-Identifier: Apache-2.0 */
/* crash.c - writes its output, then to an address that is not there. */
#include "faulty.h"

static int run_crash(const cairn_host *host, cairn_run *run, const void *params)
{
	volatile int *volatile nowhere = (volatile int *)64;
	int rc = write_out(host, run, "never to be seen");

	(void)params;
	host->log(run, CAIRN_LOG_INFO, "about to crash");
	*nowhere = 1;
	return rc;
}

FAULTY_PLUGIN("crash", run_crash, 0);
