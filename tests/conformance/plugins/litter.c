/* SPDX-License-Identifier: Apache-2.0 */
/* litter.c - leaves a directory and a file in its scratch; fails at the first attempt only. */
#include <sys/stat.h>

#include "faulty.h"

static int run_litter(const cairn_host *host, cairn_run *run, const void *params)
{
	const char *scratch = host->scratch(run);
	char path[1024];
	FILE *file;

	(void)params;
	snprintf(path, sizeof(path), "%s/deep", scratch);
	if (mkdir(path, 0777) < 0)
		return host->fail(run, CAIRN_EIO, "the scratch is not empty");
	snprintf(path, sizeof(path), "%s/deep/paper", scratch);
	file = fopen(path, "w");
	if (!file)
		return CAIRN_EIO;
	fclose(file);
	if (strcmp(scratch + strlen(scratch) - 2, "-1") == 0)
		return host->fail(run, CAIRN_EIO, "the first attempt fails");
	return write_out(host, run, "tidy");
}

FAULTY_PLUGIN("litter", run_litter, 0);
