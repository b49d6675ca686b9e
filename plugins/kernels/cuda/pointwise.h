/* SPDX-License-Identifier: Apache-2.0 */
/* pointwise.h - what is done to each element by itself, on the GPU. */
#ifndef CAIRN_KERNELS_CUDA_POINTWISE_H
#define CAIRN_KERNELS_CUDA_POINTWISE_H

#include "kernels/cuda/types.h"

CAIRN_BEGIN_DECLS

/* d[n] *= gelu'(z), in place; both activations. */
void cuda_gelu_backward(cuda_stream stream, enum cuda_type type, void *d, const void *z, int64_t n);

/* As in cairn_kernels; floats. */
void cuda_axpy(cuda_stream stream, float *y, const float *x, double a, int64_t n);
void cuda_scale(cuda_stream stream, float *x, double a, int64_t n);
void cuda_ema(cuda_stream stream, float *average, const float *w, double decay, int64_t n);

CAIRN_END_DECLS

#endif
