/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.h - the CUDA backend that a test is linked with: emulated.c has the whole of it on the host
 * (kernels emulated, host_device.c below them), gpu.c loads cuda.so as cairn does.
 */
#ifndef CAIRN_TESTS_CUDA_TABLE_H
#define CAIRN_TESTS_CUDA_TABLE_H

#include "cairn/kernels.h"

CAIRN_BEGIN_DECLS

const cairn_kernels_backend *cuda_tested_backend(void);
/* mode: "bf16" or "fp32". Kept open until the program ends. */
const cairn_kernels *cuda_table(const char *mode);
/* The next call of it opens a device that knows nothing of this one's past. */
void cuda_table_close(const char *mode);

CAIRN_END_DECLS

#endif
