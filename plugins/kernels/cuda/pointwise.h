/* SPDX-License-Identifier: Apache-2.0 */
/* pointwise.h - what is done to each element by itself, on the GPU. */
#ifndef CAIRN_KERNELS_CUDA_POINTWISE_H
#define CAIRN_KERNELS_CUDA_POINTWISE_H

#include "kernels/cuda/types.h"

CAIRN_BEGIN_DECLS

/* out[n] = gelu(z); both activations, `out` may be z. */
void cuda_gelu(cuda_stream stream, enum cuda_type type, void *out, const void *z, int64_t n);
/* d[n] *= gelu'(z), in place; both activations. */
void cuda_gelu_backward(cuda_stream stream, enum cuda_type type, void *d, const void *z, int64_t n);
/*
 * Of matrices [R,N] of activations, all of row stride `ld`: pre = x + bias, out = gelu(pre).
 * bias: float [N], or NULL. pre: or NULL. `pre` or `out` (not both) may be x. Gelu is taken of what
 * is stored, rounded to the type, so cuda_gelu() of `pre` gives the bits of `out`.
 */
void cuda_bias_gelu(cuda_stream stream, enum cuda_type type, void *out, void *pre, const void *x,
	const float *bias, int64_t R, int64_t N, int64_t ld);

/* As in cairn_kernels; floats. */
void cuda_axpy(cuda_stream stream, float *y, const float *x, double a, int64_t n);
void cuda_scale(cuda_stream stream, float *x, double a, int64_t n);
void cuda_ema(cuda_stream stream, float *average, const float *w, double decay, int64_t n);

/* bf16 of a float matrix in[rows,cols] of row stride ld_in: out[rows,cols] of row stride ld_out, or
 * transposed out[cols,rows]. What lies between the rows of `out` is left alone. */
void cuda_to_bf16(cuda_stream stream, void *out, int64_t ld_out, const float *in, int64_t ld_in,
	int64_t rows, int64_t cols);
void cuda_to_bf16_transposed(cuda_stream stream, void *out, int64_t ld_out, const float *in,
	int64_t ld_in, int64_t rows, int64_t cols);

CAIRN_END_DECLS

#endif
