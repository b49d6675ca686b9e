/* SPDX-License-Identifier: Apache-2.0 */
/* quitter.c - stops though nobody asked. */
#include "faulty.h"

static int run_quitter(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)host, (void)run, (void)params;
	return CAIRN_STOPPED;
}

FAULTY_PLUGIN("quitter", run_quitter, 0);
