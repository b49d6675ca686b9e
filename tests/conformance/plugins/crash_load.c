/* SPDX-License-Identifier: Apache-2.0 */
/* crash_load.c - crashes when it is loaded, before anybody looks at its descriptor. */
#include "faulty.h"

__attribute__((constructor)) static void crash(void)
{
	fprintf(stderr, "crash_load: no one shall load me\n");
	abort();
}

static int run_nothing(const cairn_host *host, cairn_run *run, const void *params)
{
	(void)params;
	return write_out(host, run, "");
}

FAULTY_PLUGIN("crash_load", run_nothing, 0);
