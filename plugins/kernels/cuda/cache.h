/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.h - keys and values of positions that were seen, and attention of one new position to them.
 *
 * Layout: [slot][key or value][NH][T_max][D] of `type`: what one head reads is contiguous. Nothing
 * may overlap. slot, lengths and position are the device's: a captured call follows them.
 */
#ifndef CAIRN_KERNELS_CUDA_CACHE_H
#define CAIRN_KERNELS_CUDA_CACHE_H

#include "kernels/cuda/types.h"

#ifdef __cplusplus
extern "C" {
#endif

size_t cuda_cache_bytes(enum cuda_type type, int64_t slots, int64_t NH, int64_t D, int64_t T_max);

/* Puts k and v of qkv[B,T,3C], positions 0..lengths[b]-1 (NULL: all T), into the caches slot[b]. */
void cuda_cache_fill(cuda_stream stream, enum cuda_type type, void *cache, const void *qkv,
	const int32_t *slot, const int32_t *lengths, int64_t B, int64_t T, int64_t NH, int64_t D,
	int64_t T_max);

typedef struct cuda_decode {
	int64_t B, NH, D, T_max; /* D <= 512 */
	const void *qkv;         /* [B,3C] */
	const int32_t *slot;     /* [B] */
	const int32_t *position; /* [B]: of the new token; the cache holds 0..position-1 */
	void *cache;             /* gets the new k and v */
	void *out;               /* [B,C] */
	void *workspace;         /* cuda_decode_workspace() bytes, aligned to 16 */
} cuda_decode;

size_t cuda_decode_workspace(int64_t B, int64_t NH, int64_t D, int64_t T_max);
/* The bits of a row depend on its own q, k, v and cache only. */
void cuda_decode_attention(cuda_stream stream, enum cuda_type type, const cuda_decode *d);

#ifdef __cplusplus
}
#endif
#endif
