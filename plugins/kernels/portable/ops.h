/* SPDX-License-Identifier: Apache-2.0 */
/* ops.h - what the files of the portable backend share. The contracts are kernels.h's. */
#ifndef CAIRN_KERNELS_PORTABLE_OPS_H
#define CAIRN_KERNELS_PORTABLE_OPS_H

#include "kernels/portable/portable.h"

/* Scratch of n elements; ends the process where there is no memory. Free with free(). */
void *portable_scratch(int64_t n, size_t size);

void portable_fill_products(cairn_kernels *k);  /* gemm, lm_head, sample */
void portable_fill_attention(cairn_kernels *k); /* attention, caches, decode */
void portable_fill_layers(cairn_kernels *k);    /* embed, layernorm, gelu, bias, dropout, rows */
void portable_fill_updates(cairn_kernels *k);   /* axpy, scale, ema, sum_squares, adam */

#endif
