/* SPDX-License-Identifier: Apache-2.0 */
/* emulated.c - see emulated.h. */
#include "emulated.h"

#include <string.h>

#include "../../test.h"

extern const cairn_kernels_backend cairn_kernels_backend_cuda __asm__(CAIRN_KERNELS_SYMBOL);

static cairn_kernels *table_of(const char *mode)
{
	static cairn_kernels tables[2];

	return &tables[strcmp(mode, "bf16") == 0];
}

void emulated_close(const char *mode)
{
	cairn_kernels *table = table_of(mode);

	if (table->abi.magic)
		cairn_kernels_backend_cuda.close(table);
	memset(table, 0, sizeof(*table));
}

const cairn_kernels *emulated_table(const char *mode)
{
	cairn_kernels *table = table_of(mode);
	cairn_error err = {0};

	if (!table->abi.magic) {
		setenv("CAIRN_CUDA", mode, 1);
		if (cairn_kernels_backend_cuda.open(table, 1, &err))
			fail_msg("%s", err.message);
		unsetenv("CAIRN_CUDA");
	}
	return table;
}
