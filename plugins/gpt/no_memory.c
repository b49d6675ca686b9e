/* SPDX-License-Identifier: Apache-2.0 */
/* no_memory.c - see no_memory.h. */
#include "gpt/no_memory.h"

#include "cairn/error.h"

#define MIB 1048576.0

int gpt_no_memory_for(
	const cairn_kernels *k, const char *what, size_t bytes, const char *hint, cairn_error *err)
{
	(void)cairn_error_set(err, CAIRN_ENOMEM, "no memory for %s", what);
	if (k->in_host_memory)
		cairn_error_detail(err, "%zu bytes wanted", bytes);
	else
		cairn_error_detail(err,
			"%zu bytes wanted (%.1f MiB); of the %.1f MiB of %s %.1f were taken at "
			"most",
			bytes, (double)bytes / MIB, (double)k->device_bytes / MIB, k->name,
			(double)k->peak_bytes(k) / MIB);
	cairn_error_hint(err, "%s", hint);
	return CAIRN_ENOMEM;
}
