/* SPDX-License-Identifier: Apache-2.0 */
/* adam.h - AdamW over a flat buffer, on the GPU. */
#ifndef CAIRN_KERNELS_CUDA_ADAM_H
#define CAIRN_KERNELS_CUDA_ADAM_H

#include "cairn/kernels.h"
#include "kernels/cuda/types.h"

CAIRN_BEGIN_DECLS

/* As cairn_kernels.adam; w, m, v are updated in place, in one launch. */
void cuda_adam(cuda_stream stream, const cairn_adam *a);

CAIRN_END_DECLS

#endif
