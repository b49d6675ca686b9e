/* SPDX-License-Identifier: Apache-2.0 */
/* sample.h - one token a row of logits. */
#ifndef CAIRN_KERNELS_CUDA_SAMPLE_H
#define CAIRN_KERNELS_CUDA_SAMPLE_H

#include "kernels/cuda/types.h"

CAIRN_BEGIN_DECLS

/* As cairn_sample, after its product. */
typedef struct cuda_sample_rows {
	int64_t rows, V;
	const float *logits; /* row stride ld: a multiple of 4, at least V */
	int64_t ld;
	float scale; /* 1 / temperature; 1 where greedy */
	bool greedy;
	uint64_t key;
	const uint64_t *row_id;
	int32_t top_k; /* 0: all */
	double top_p;  /* 1: all */
	int32_t *token;
	float *logprob; /* bitwise what cuda_head() says of this row and token */
} cuda_sample_rows;

/* type: of the activations that the logits came from; it chooses the exponential. */
void cuda_sample(cuda_stream stream, enum cuda_type type, const cuda_sample_rows *s);

CAIRN_END_DECLS

#endif
