/* SPDX-License-Identifier: Apache-2.0 */
/* tiny.h - memory and products, enough for matmul.c: what the backends of the tests have. */
#ifndef CAIRN_TESTS_TINY_H
#define CAIRN_TESTS_TINY_H

#include <string.h>

#include "cairn/kernels.h"

static void *tiny_alloc(const cairn_kernels *k, size_t bytes)
{
	(void)k;
	return calloc(1, bytes);
}

static void tiny_free(const cairn_kernels *k, void *dev)
{
	(void)k;
	free(dev);
}

static void tiny_write(const cairn_kernels *k, void *dev, const void *host, size_t bytes)
{
	(void)k;
	memcpy(dev, host, bytes);
}

static void tiny_read(const cairn_kernels *k, void *host, const void *dev, size_t bytes)
{
	(void)k;
	memcpy(host, dev, bytes);
}

static void tiny_gemm(const cairn_kernels *k, const cairn_gemm *g)
{
	const float *A = g->A, *B = g->B;
	float *C = g->C;

	(void)k;
	for (int64_t m = 0; m < g->M; m++) {
		for (int64_t n = 0; n < g->N; n++) {
			float sum = 0;
			for (int64_t i = 0; i < g->K; i++)
				sum += A[m * g->lda + i] * B[i * g->ldb + n];
			C[m * g->ldc + n] = sum;
		}
	}
}

static int tiny_fill(cairn_kernels *out, int threads)
{
	*out = (cairn_kernels){
		.abi = {CAIRN_KERNELS_MAGIC, CAIRN_KERNELS_MAJOR, CAIRN_KERNELS_MINOR,
			sizeof(cairn_kernels), 0, CAIRN_BUILD},
		.name = "tiny",
		.numerics = CAIRN_NUMERICS,
		.threads = threads,
		.act_bytes = sizeof(cairn_real),
		.batch_invariant = 1,
		.alloc = tiny_alloc,
		.free = tiny_free,
		.write = tiny_write,
		.read = tiny_read,
		.gemm = tiny_gemm,
	};
	return 0;
}

static void tiny_close(cairn_kernels *k)
{
	(void)k;
}

/* The descriptor of a backend: TINY_EXPORT(.name = "x", .score = ..., .open = ...). */
#define TINY_EXPORT(...)                                                                    \
	extern CAIRN_EXPORT const cairn_kernels_backend cairn_kernels_backend_here __asm__( \
		CAIRN_KERNELS_SYMBOL);                                                      \
	CAIRN_EXPORT const cairn_kernels_backend cairn_kernels_backend_here = {             \
		.abi = {CAIRN_KERNELS_MAGIC, CAIRN_KERNELS_MAJOR, CAIRN_KERNELS_MINOR,      \
			sizeof(cairn_kernels_backend), 0, CAIRN_BUILD},                     \
		.close = tiny_close,                                                        \
		__VA_ARGS__}

#endif
