/* SPDX-License-Identifier: Apache-2.0 */
/*
 * types.h - what the launch functions of the CUDA backend have in common.
 *
 * Each NAME.cu has a NAME.h that C reads too. A launch function starts its kernels on a stream and
 * returns: it allocates nothing and waits for nothing, so all of them can be captured into a graph.
 * Pointers are the device's. Activations are `void *`, of the type that `type` names; parameters,
 * their gradients and numbers a row has one of are float. Base addresses of tensors are multiples
 * of 16 unless said otherwise; shapes are arbitrary (rows whose length is no multiple of 16 bytes
 * take slower paths).
 */
#ifndef CAIRN_KERNELS_CUDA_TYPES_H
#define CAIRN_KERNELS_CUDA_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cairn/base.h"

CAIRN_BEGIN_DECLS

typedef void *cuda_stream; /* a cudaStream_t */

/* Of activations. */
enum cuda_type {
	CUDA_FLOAT,
	CUDA_BF16,
};

static inline size_t cuda_type_bytes(enum cuda_type type)
{
	return type == CUDA_BF16 ? 2 : 4;
}

CAIRN_END_DECLS

#endif
