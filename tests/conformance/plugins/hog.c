/* SPDX-License-Identifier: Apache-2.0 */
/* hog.c - wants 256 MiB of memory, and says so properly where it does not get them. */
#include "faulty.h"

static int run_hog(const cairn_host *host, cairn_run *run, const void *params)
{
	size_t bytes = (size_t)256 << 20;
	char *volatile block = malloc(bytes);

	(void)params;
	if (!block)
		return host->fail(run, CAIRN_ENOMEM, "no %zu bytes for the hog", bytes);
	free(block);
	return write_out(host, run, "had its fill");
}

FAULTY_PLUGIN("hog", run_hog, 0);
