/* SPDX-License-Identifier: Apache-2.0 */
/* head.h - softmax, log-probabilities and the gradient of logits, a row a block. */
#ifndef CAIRN_KERNELS_CUDA_HEAD_H
#define CAIRN_KERNELS_CUDA_HEAD_H

#include "kernels/cuda/types.h"

CAIRN_BEGIN_DECLS

/* Rows of [rows, V] logits; what belongs to row r of the pointers below belongs to row r here. */
typedef struct cuda_head_rows {
	int64_t rows, V;
	float *logits; /* row stride ld: a multiple of 4 (8 with bf16), at least V */
	int64_t ld;
	float scale;           /* 1 / temperature */
	const int32_t *target; /* -1: logprob, entropy, best and the gradient are 0 */
	const float *dlogprob; /* or NULL */
	float *logprob;
	float *entropy, *best; /* or NULL */
} cuda_head_rows;

/*
 * With dlogprob the gradient of the logits takes their place, as activations: row r begins where
 * its logits began (a stride of 2 ld elements of bf16), columns V..ld-1 are 0. Without, logits
 * stay.
 */
void cuda_head(cuda_stream stream, enum cuda_type type, const cuda_head_rows *h);
/* to[R,C] = from, but rows without a target are 0, whatever they hold. */
void cuda_head_keep(cuda_stream stream, enum cuda_type type, void *to, const void *from,
	const int32_t *target, int64_t R, int64_t C);

CAIRN_END_DECLS

#endif
