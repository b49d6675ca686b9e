/* SPDX-License-Identifier: Apache-2.0 */
/* hang.c - never comes back and never calls step(). */
#include <unistd.h>

#include "faulty.h"

static int run_hang(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)params;
	host->log(run, CAIRN_LOG_INFO, "hanging");
	while (pause() < 0)
		; /* a signal: wait on */
	return CAIRN_EBUG;
}

FAULTY_PLUGIN("hang", run_hang, 0);
