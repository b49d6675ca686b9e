/* SPDX-License-Identifier: Apache-2.0 */
/* tiny.c - a backend with memory and products, enough for matmul.c. */
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

static int tiny_score(void)
{
	return 1;
}

static int tiny_open(cairn_kernels *out, int threads, cairn_error *err)
{
	(void)err;
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

extern CAIRN_EXPORT const cairn_kernels_backend cairn_kernels_backend_tiny __asm__(
	CAIRN_KERNELS_SYMBOL);
CAIRN_EXPORT const cairn_kernels_backend cairn_kernels_backend_tiny = {
	.abi = {CAIRN_KERNELS_MAGIC, CAIRN_KERNELS_MAJOR, CAIRN_KERNELS_MINOR,
		sizeof(cairn_kernels_backend), 0, CAIRN_BUILD},
	.name = "tiny",
	.score = tiny_score,
	.open = tiny_open,
	.close = tiny_close,
};
