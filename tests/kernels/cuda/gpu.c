/* SPDX-License-Identifier: Apache-2.0 */
/* gpu.c - cuda.so, as cairn loads it. A program with this in it is skipped where there is no GPU.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#include "table.h"

enum {
	SKIPPED = 77, /* as ctest knows it */
};

const cairn_kernels_backend *cuda_tested_backend(void)
{
	static const cairn_kernels_backend *found;
	void *library;

	if (found)
		return found;
	library = dlopen(CAIRN_PLUGIN_DIR "/kernels/cuda.so", RTLD_NOW | RTLD_LOCAL);
	found = library ? dlsym(library, CAIRN_KERNELS_SYMBOL) : NULL;
	if (!found) {
		(void)fprintf(stderr, "%s\n", dlerror());
		exit(EXIT_FAILURE);
	}
	return found;
}

/* Before main(), so that no test has to ask. */
__attribute__((constructor)) static void skip_without_gpu(void)
{
	const cairn_kernels_backend *backend = cuda_tested_backend();
	cairn_kernels table;
	cairn_error err = {0};

	if (backend->score() > 0)
		return;
	if (backend->open(&table, 1, &err) == CAIRN_OK)
		backend->close(&table);
	(void)printf("skipped: %s\n", err.message);
	(void)fflush(stdout);
	_Exit(SKIPPED);
}
