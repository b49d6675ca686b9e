/* SPDX-License-Identifier: Apache-2.0 */
/* backend.h - what the files of the CUDA backend share on the host's side. */
#ifndef CAIRN_KERNELS_CUDA_BACKEND_H
#define CAIRN_KERNELS_CUDA_BACKEND_H

#include "cairn/kernels.h"
#include "kernels/cuda/blas.h"
#include "kernels/cuda/device.h"

/* Workspaces that grow and stay, each used within one call of the table. */
enum cuda_buffer {
	CUDA_BUFFER_A, /* operands as bf16 */
	CUDA_BUFFER_B,
	CUDA_BUFFER_BIAS,
	CUDA_BUFFER_LOGITS,
	CUDA_BUFFER_H,       /* rows that have a target */
	CUDA_BUFFER_WTE,     /* as bf16 */
	CUDA_BUFFER_SCRATCH, /* of kernels: partial sums */
	CUDA_BUFFERS,
};

typedef struct cuda_backend {
	cuda_device *device;
	cuda_stream stream;
	cuda_blas *blas;
	enum cuda_type type; /* of activations */
	struct {
		void *dev;
		size_t bytes;
	} buffer[CUDA_BUFFERS];
	/* Buffers that were too small while captured calls still knew their addresses. */
	void **retired;
	size_t n_retired, cap_retired;
	int64_t n_graphs;
	char name[160], numerics[96];
} cuda_backend;

/* NULL where there is no memory, which the device then remembers: whoever asked does nothing. */
void *cuda_backend_buffer(cuda_backend *b, enum cuda_buffer which, size_t bytes);
/* After a graph was freed. */
void cuda_backend_drop_retired(cuda_backend *b);

static inline cuda_backend *cuda_backend_of(const cairn_kernels *k)
{
	return (cuda_backend *)k->self;
}

/* products.c: gemm, packed weights, lm_head, sample. */
void cuda_fill_products(cairn_kernels *k);
/* layers.c: all others that compute. */
void cuda_fill_layers(cairn_kernels *k);

#endif
