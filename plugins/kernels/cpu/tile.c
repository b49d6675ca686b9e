/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tile.c - the innermost kernel: m x NR sums in registers, one step of k at a time.
 *
 * The body is written once with m as a constant; a function is made of it for every height,
 * so that the last rows of a matrix cost what they are worth. AVX-512: 14 x 32 uses 28 of 32
 * registers for sums; AVX2: 6 x 16 uses 12 of 16. The wide ones are for one to three rows:
 * there the time goes into fetching B, in long pieces.
 *
 * Operands come from the second-level cache or from farther away, and what is asked for early
 * costs nothing: fetching the next panel meanwhile makes 97 % of the peak out of 88 %.
 */
#include "kernels/cpu/compute.h"

enum {
	AHEAD = 12,         /* terms */
	AHEAD_SHALLOW = 40, /* of A, in blocks of few terms: each strip comes from far */
	SHALLOW = 256,
};

ALWAYS void tile(int m, int nv, const terms *t, const operands *o, float *c, int64_t ldc, bool add)
{
	const float *a = o->a, *b = o->b, *next = o->next;
	int64_t lda = o->lda, ldb = o->ldb, stride = o->stride;
	int64_t ahead = (t->kc > SHALLOW ? (int64_t)AHEAD : (int64_t)AHEAD_SHALLOW) * lda;

	/* C is met once in hundreds of steps: it comes from far, so ask for it now. */
#pragma GCC unroll 16
	for (int i = 0; i < m; i++) {
		__builtin_prefetch(c + i * ldc, 1);
		__builtin_prefetch(c + i * ldc + nv * VL - 1, 1);
	}
	for (int64_t chain = 0; chain < t->n; chain++, add = true) {
		vec sum[MR][WIDE_NV];

#pragma GCC unroll 16
		for (int i = 0; i < m; i++)
#pragma GCC unroll 8
			for (int j = 0; j < nv; j++)
				sum[i][j] = vec_zero();
		for (int32_t k = t->length[chain]; k > 0; k--, a += lda, b += ldb, next += 16) {
			vec row[WIDE_NV];

			__builtin_prefetch(next, 0, 2);
			__builtin_prefetch(a + ahead);
			__builtin_prefetch(a + ahead + m - 1);
#pragma GCC unroll 8
			for (int j = 0; j < nv; j++) {
				/* Where an operand is not packed its rows lie far apart: no
				 * hardware foresees them. */
				__builtin_prefetch(b + j / NV * stride + AHEAD * ldb + j % NV * VL);
				row[j] = vec_load(b + j / NV * stride + j % NV * VL);
			}
#pragma GCC unroll 16
			for (int i = 0; i < m; i++) {
				vec x = vec_all(a[i]);

#pragma GCC unroll 8
				for (int j = 0; j < nv; j++)
					sum[i][j] = vec_fma(x, row[j], sum[i][j]);
			}
		}
#pragma GCC unroll 16
		for (int i = 0; i < m; i++) {
#pragma GCC unroll 8
			for (int j = 0; j < nv; j++) {
				float *to = c + i * ldc + j * VL;

				vec_store(to, add ? vec_add(vec_load(to), sum[i][j]) : sum[i][j]);
			}
		}
	}
}

#define TILE(m)                                                                                  \
	static void tile_##m(const terms *t, const operands *o, float *c, int64_t ldc, bool add) \
	{                                                                                        \
		tile(m, NV, t, o, c, ldc, add);                                                  \
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

#define WIDE(m)                                                                                  \
	static void wide_##m(const terms *t, const operands *o, float *c, int64_t ldc, bool add) \
	{                                                                                        \
		tile(m, WIDE_NV, t, o, c, ldc, add);                                             \
	}

WIDE(1)
WIDE(2)
WIDE(3)

tile_fn *const ISA(wide_tiles)[WIDE_ROWS + 1] = {NULL, wide_1, wide_2, wide_3};
