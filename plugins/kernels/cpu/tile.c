/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tile.c - the innermost kernel: m x NR sums in registers, one step of k at a time.
 *
 * The body is written once with m as a constant; a function is made of it for every height,
 * so that the last rows of a matrix cost what they are worth. AVX-512: 14 x 32 uses 28 of 32
 * registers for sums; AVX2: 6 x 16 uses 12 of 16.
 */
#include "kernels/cpu/compute.h"

ALWAYS void tile(int m, int64_t kc, const float *a, const float *b, int64_t ldb, float *c,
	int64_t ldc, bool add)
{
	vec sum[MR][NV];

#pragma GCC unroll 16
	for (int i = 0; i < m; i++)
#pragma GCC unroll 4
		for (int j = 0; j < NV; j++)
			sum[i][j] = vec_zero();
	for (int64_t k = 0; k < kc; k++, a += MR, b += ldb) {
		vec row[NV];

#pragma GCC unroll 4
		for (int j = 0; j < NV; j++)
			row[j] = vec_load(b + j * VL);
#pragma GCC unroll 16
		for (int i = 0; i < m; i++) {
			vec x = vec_all(a[i]);

#pragma GCC unroll 4
			for (int j = 0; j < NV; j++)
				sum[i][j] = vec_fma(x, row[j], sum[i][j]);
		}
	}
#pragma GCC unroll 16
	for (int i = 0; i < m; i++) {
#pragma GCC unroll 4
		for (int j = 0; j < NV; j++) {
			float *to = c + i * ldc + j * VL;

			vec_store(to, add ? vec_add(vec_load(to), sum[i][j]) : sum[i][j]);
		}
	}
}

#define TILE(m)                                                                                 \
	static void tile_##m(int64_t kc, const float *a, const float *b, int64_t ldb, float *c, \
		int64_t ldc, bool add)                                                          \
	{                                                                                       \
		tile(m, kc, a, b, ldb, c, ldc, add);                                            \
	}

TILE(1)
TILE(2)
TILE(3)
TILE(4)
#if defined(CPU_AVX2) || defined(CPU_AVX512)
TILE(5)
TILE(6)
#endif
#if defined(CPU_AVX512)
TILE(7)
TILE(8)
TILE(9)
TILE(10)
TILE(11)
TILE(12)
TILE(13)
TILE(14)
#endif

tile_fn *const ISA(tiles)[MR + 1] = {
	NULL,
	tile_1,
	tile_2,
	tile_3,
	tile_4,
#if defined(CPU_AVX2) || defined(CPU_AVX512)
	tile_5,
	tile_6,
#endif
#if defined(CPU_AVX512)
	tile_7,
	tile_8,
	tile_9,
	tile_10,
	tile_11,
	tile_12,
	tile_13,
	tile_14,
#endif
};
