/* SPDX-License-Identifier: Apache-2.0 */
/* table.c - see table.h. */
#include "table.h"

#include <string.h>

#include "../../test.h"

static cairn_kernels *table_of(const char *mode)
{
	static cairn_kernels tables[2];

	return &tables[strcmp(mode, "bf16") == 0];
}

void cuda_table_close(const char *mode)
{
	cairn_kernels *table = table_of(mode);

	if (table->abi.magic)
		cuda_tested_backend()->close(table);
	memset(table, 0, sizeof(*table));
}

const cairn_kernels *cuda_table(const char *mode)
{
	cairn_kernels *table = table_of(mode);
	cairn_error err = {0};

	if (!table->abi.magic) {
		setenv("CAIRN_CUDA", mode, 1);
		if (cuda_tested_backend()->open(table, 1, &err))
			fail_msg("%s", err.message);
		unsetenv("CAIRN_CUDA");
	}
	return table;
}
