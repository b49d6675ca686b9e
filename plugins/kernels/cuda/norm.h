/* SPDX-License-Identifier: Apache-2.0 */
/* norm.h - residual sum and layer norm, forward and backward, on the GPU. */
#ifndef CAIRN_KERNELS_CUDA_NORM_H
#define CAIRN_KERNELS_CUDA_NORM_H

#include "kernels/cuda/types.h"

CAIRN_BEGIN_DECLS

/*
 * As cairn_kernels.layernorm: sum = a + b, out = (sum-mean)*rstd*gain+bias. out, sum, a, b are
 * activations [R,C]; b may be NULL, `sum` may be NULL or a (or b); mean, rstd: float [R], or NULL.
 * What is normalised is the sum as it is stored, so that the backward pass sees the same.
 */
void cuda_layernorm(cuda_stream stream, enum cuda_type type, void *out, float *mean, float *rstd,
	void *sum, const void *a, const void *b, const float *gain, const float *bias, int64_t R,
	int64_t C);

/* As cairn_kernels.layernorm_backward: dx (activations [R,C]), dgain and dbias (float [C]) are
 * added to; dout and x are activations. dx may not be dout or x. */
void cuda_layernorm_backward(cuda_stream stream, enum cuda_type type, void *dx, float *dgain,
	float *dbias, const void *dout, const void *x, const float *gain, const float *mean,
	const float *rstd, int64_t R, int64_t C, void *workspace);
size_t cuda_layernorm_backward_workspace(int64_t R, int64_t C);

CAIRN_END_DECLS

#endif
