/* SPDX-License-Identifier: Apache-2.0 */
/* peak.h - what a GPU can do in a second at best, by what its maker says. */
#ifndef CAIRN_KERNELS_CUDA_PEAK_H
#define CAIRN_KERNELS_CUDA_PEAK_H

#include "kernels/cuda/device.h"

/* FLOP a second of dense products with float sums, operands of `type`; 0: not known. */
double cuda_peak_flops(const cuda_found *gpu, enum cuda_type type);

#endif
