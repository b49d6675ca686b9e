/* SPDX-License-Identifier: Apache-2.0 */
/*
 * blas.h - products by cuBLASLt: one plan (descriptors, algorithm) for each kind of product.
 *
 * The library is loaded when the backend is opened, not with cuda.so: it is 500 MB, and mapping it
 * costs 50 ms in every process that only wants to know whether there is a GPU.
 */
#ifndef CAIRN_KERNELS_CUDA_BLAS_H
#define CAIRN_KERNELS_CUDA_BLAS_H

#include "kernels/cuda/device.h"
#include "kernels/cuda/product.h"

typedef struct cuda_blas cuda_blas;

enum {
	CUDA_BLAS_WORKSPACE = 32 << 20, /* what NVIDIA advises for Hopper; the same everywhere */
};

/* EDEVICE where the library is missing. */
CAIRN_MUST int cuda_blas_open(cuda_blas **out, cuda_device *d, cairn_error *err);
void cuda_blas_close(cuda_blas *b);
/* 130100: 13.1.0. */
size_t cuda_blas_version(const cuda_blas *b);
/* The library's version, or why there is none: loads it, and needs no device. */
void cuda_blas_look(char *out, size_t size);
/* A and B are of one type. `bias` is of type_c here (p->bias is not looked at), or NULL. False, and
 * nothing done: the library has nothing for this. */
bool cuda_blas_product(cuda_blas *b, const cuda_product *p, const void *bias);
/* The plans so far, a line each, in the order in which they were made. */
const char *cuda_blas_plans(cuda_blas *b);

#endif
