/* SPDX-License-Identifier: Apache-2.0 */
/* silent.c - fails without a word. */
#include "faulty.h"

static int run_silent(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)host, (void)run, (void)params;
	return CAIRN_EDIVERGED;
}

FAULTY_PLUGIN("silent", run_silent, 0);
