/* SPDX-License-Identifier: Apache-2.0 */
/* portable.c - opens the table of the portable backend. */
#include "kernels/portable/portable.h"

#include <string.h>

#include "kernels/host_memory.h"
#include "kernels/portable/ops.h"

#ifdef CAIRN_DOUBLE
#define PORTABLE_NUMERICS "portable-fp64"
#else
#define PORTABLE_NUMERICS "portable-fp32"
#endif

void *portable_scratch(int64_t n, size_t size)
{
	void *scratch = calloc((size_t)n + 1, size);

	CAIRN_ASSERT(scratch);
	return scratch;
}

int cairn_kernels_portable_open(cairn_kernels *out, int threads, cairn_error *err)
{
	static const cairn_abi_head head = {CAIRN_KERNELS_MAGIC, CAIRN_KERNELS_MAJOR,
		CAIRN_KERNELS_MINOR, sizeof(cairn_kernels), 0, CAIRN_BUILD};
	host_memory *memory = calloc(1, sizeof(*memory));

	(void)threads;
	if (!memory)
		return cairn_error_set(err, CAIRN_ENOMEM, "no memory for the portable backend");
	memset(out, 0, sizeof(*out));
	out->abi = head;
	out->name = "portable";
	out->numerics = PORTABLE_NUMERICS;
	out->self = memory;
	out->threads = 1;
	host_memory_fill(out);
	portable_fill_products(out);
	portable_fill_attention(out);
	portable_fill_layers(out);
	portable_fill_updates(out);
	return CAIRN_OK;
}

void cairn_kernels_portable_close(cairn_kernels *k)
{
	free(k->self);
	k->self = NULL;
}
