/* SPDX-License-Identifier: Apache-2.0 */
/* emulated.c - see emulated.h. */
#include "emulated.h"

#include <string.h>

#include "../../test.h"

extern const cairn_kernels_backend cairn_kernels_backend_cuda __asm__(CAIRN_KERNELS_SYMBOL);

const cairn_kernels *emulated_table(const char *mode)
{
	static cairn_kernels tables[2];
	cairn_kernels *table = &tables[strcmp(mode, "bf16") == 0];
	cairn_error err = {0};

	if (!table->abi.magic) {
		setenv("CAIRN_CUDA", mode, 1);
		if (cairn_kernels_backend_cuda.open(table, 1, &err))
			fail_msg("%s", err.message);
		unsetenv("CAIRN_CUDA");
	}
	return table;
}
