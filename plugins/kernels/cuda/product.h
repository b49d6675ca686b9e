/* SPDX-License-Identifier: Apache-2.0 */
/*
 * product.h - what a matrix product is to the CUDA backend, and the kernels that do some of them.
 *
 * products.c gives most of them to cuBLASLt (blas.h). Two are ours: one for few rows, which is the
 * decoding of few sequences, and one that takes anything else that cuBLASLt refuses: vectors, mixed
 * types, strides that are no multiple of 16 bytes.
 */
#ifndef CAIRN_KERNELS_CUDA_PRODUCT_H
#define CAIRN_KERNELS_CUDA_PRODUCT_H

#include "kernels/cuda/types.h"

CAIRN_BEGIN_DECLS

/* C[M,N] = op(A) op(B) (+ C) (+ bias), gelu of it; row-major, as cairn_gemm. */
typedef struct cuda_product {
	int64_t M, N, K, lda, ldb, ldc;
	bool transpose_a, transpose_b, accumulate, gelu;
	enum cuda_type type_a, type_b, type_c; /* type_c: of `pre`, too */
	const void *A, *B;
	void *C;
	void *pre;         /* like C, or NULL; with gelu */
	const float *bias; /* [N] or NULL */
} cuda_product;

enum {
	CUDA_FEW_ROWS = 8,
};

/* One launch for 1..CUDA_FEW_ROWS rows of bf16 A that is not transposed; a B of floats is rounded
 * to bf16. False, and nothing done, for others. A row's bits do not depend on how many there are.
 */
bool cuda_product_few(cuda_stream stream, const cuda_product *p);

size_t cuda_product_workspace(const cuda_product *p);
/* Any shape, any stride, no alignment beyond the element's. */
void cuda_product_simple(cuda_stream stream, const cuda_product *p, void *workspace);

/* to[rows_to, columns_to] of row stride columns_to, as activations, = from[rows, columns] of row
 * stride ld; what `from` has not is 0. `to` and its rows are aligned to 16 bytes. */
void cuda_pad(cuda_stream stream, enum cuda_type type, void *to, int64_t rows_to,
	int64_t columns_to, const float *from, int64_t ld, int64_t rows, int64_t columns);

CAIRN_END_DECLS

#endif
