/* SPDX-License-Identifier: Apache-2.0 */
/* emulated.h - the whole CUDA backend on the host: kernels emulated, host_device.c below them. */
#ifndef CAIRN_TESTS_EMULATED_H
#define CAIRN_TESTS_EMULATED_H

#include "cairn/kernels.h"

CAIRN_BEGIN_DECLS

/* mode: "bf16" or "fp32". Kept open until the program ends. */
const cairn_kernels *emulated_table(const char *mode);
/* The next call of it opens a device that knows nothing of this one's past. */
void emulated_close(const char *mode);

CAIRN_END_DECLS

#endif
