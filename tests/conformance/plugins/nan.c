/* SPDX-License-Identifier: Apache-2.0 */
/* nan.c - its loss is no number; it goes on, reports it, and finishes. */
#include <math.h>

#include "faulty.h"

static int run_nan(const cairn_host *host, cairn_run *run, const void *params)
{
	cairn_metric metrics[] = {{"loss", NAN}, {"bound", INFINITY}, {"floor", -INFINITY}};
	cairn_progress progress = {1, 1, 0, NULL, metrics, CAIRN_COUNT(metrics)};
	int rc = host->step(run, &progress);

	(void)params;
	host->summary(run, "loss", NAN);
	return rc < 0 ? rc : write_out(host, run, "no number");
}

FAULTY_PLUGIN("nan", run_nan, 0);
