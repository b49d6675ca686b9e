/* SPDX-License-Identifier: Apache-2.0 */
/* reduce.h - sums over rows and over all elements, on the GPU; in an order that depends on the
 * shape alone. */
#ifndef CAIRN_KERNELS_CUDA_REDUCE_H
#define CAIRN_KERNELS_CUDA_REDUCE_H

#include "kernels/cuda/types.h"

CAIRN_BEGIN_DECLS

/* dbias[N] += column sums of dout[R,N], which are activations, or floats with type CUDA_FLOAT. */
void cuda_bias_backward(cuda_stream stream, enum cuda_type type, float *dbias, const void *dout,
	int64_t R, int64_t N, void *workspace);
size_t cuda_bias_backward_workspace(int64_t R, int64_t N);

/* *sum (on the device) = the sum of squares of x[n], in double; not finite where an element is not.
 */
void cuda_sum_squares(cuda_stream stream, double *sum, const float *x, int64_t n, void *workspace);
size_t cuda_sum_squares_workspace(int64_t n);

/* out[N] += the sum over i of partial[i * stride + column], i = 0..parts-1; floats. */
void cuda_add_partials(cuda_stream stream, float *out, const float *partial, int64_t parts,
	int64_t stride, int64_t N);

CAIRN_END_DECLS

#endif
