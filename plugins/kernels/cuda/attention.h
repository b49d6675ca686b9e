/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.h - causal attention and its backward pass on the GPU.
 *
 * qkv [B,T,3C] holds q, k, v side by side, head h in columns h*D .. h*D+D-1 of each; C = NH*D,
 * D <= 512. Activations (void *) are of `type`, lse is float. Nothing may overlap.
 */
#ifndef CAIRN_KERNELS_CUDA_ATTENTION_H
#define CAIRN_KERNELS_CUDA_ATTENTION_H

#include "kernels/cuda/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cuda_attention {
	int64_t B, T, NH, D;
	const void *qkv;        /* [B,T,3C] */
	const int32_t *lengths; /* [B] on the device, or NULL: rows t >= lengths[b] give 0 */
	void *out;              /* [B,T,C] */
	float *lse;             /* [B,NH,T]: natural log of the sum of exp of the scaled scores */
	/* backward only; out and lse are then read */
	const void *dout; /* [B,T,C] */
	void *dqkv;       /* [B,T,3C], overwritten */
	void *workspace;  /* cuda_attention_workspace() bytes, aligned to 16 */
} cuda_attention;

size_t cuda_attention_workspace(int64_t B, int64_t T, int64_t NH);
void cuda_attention_forward(cuda_stream stream, enum cuda_type type, const cuda_attention *a);
void cuda_attention_backward(cuda_stream stream, enum cuda_type type, const cuda_attention *a);

#ifdef __cplusplus
}
#endif
#endif
