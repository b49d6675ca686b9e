/* SPDX-License-Identifier: Apache-2.0 */
/* two_writers.c - opens a second writer while the first is open. */
#include "faulty.h"

static int run_two(const cairn_host *host, cairn_run *run, const void *params)
{
	cairn_writer *first, *second;
	int rc = host->output_begin(run, "out", &first);

	(void)params;
	return rc < 0 ? rc : host->checkpoint_begin(run, 1, &second);
}

FAULTY_PLUGIN("two_writers", run_two, CAIRN_CAN_CHECKPOINT);
