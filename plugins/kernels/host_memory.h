/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_memory.h - `dev` memory of the backends that compute in the host's own memory.
 *
 * A backend's `self` begins with a host_memory; the functions then fit into its table.
 */
#ifndef CAIRN_KERNELS_HOST_MEMORY_H
#define CAIRN_KERNELS_HOST_MEMORY_H

#include <stdatomic.h>

#include "cairn/kernels.h"

typedef struct host_memory {
	atomic_size_t now, peak; /* bytes */
} host_memory;

/* Sets alloc, free, write, read, copy, zero and peak_bytes of *k. */
void host_memory_fill(cairn_kernels *k);

#endif
