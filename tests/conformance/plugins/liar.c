/* SPDX-License-Identifier: Apache-2.0 */
/* liar.c - says that it is done and wrote nothing. */
#include "faulty.h"

static int run_liar(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)host, (void)run, (void)params;
	return CAIRN_DONE;
}

FAULTY_PLUGIN("liar", run_liar, 0);
