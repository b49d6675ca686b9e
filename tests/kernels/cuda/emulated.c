/* SPDX-License-Identifier: Apache-2.0 */
/* emulated.c - the whole CUDA backend on the host: kernels emulated, host_device.c below them. */
#include "table.h"

extern const cairn_kernels_backend cairn_kernels_backend_cuda __asm__(CAIRN_KERNELS_SYMBOL);

const cairn_kernels_backend *cuda_tested_backend(void)
{
	return &cairn_kernels_backend_cuda;
}
