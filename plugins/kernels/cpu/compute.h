/* SPDX-License-Identifier: Apache-2.0 */
/* compute.h - what the files that are compiled for each vector unit share. */
#ifndef CAIRN_KERNELS_CPU_COMPUTE_H
#define CAIRN_KERNELS_CPU_COMPUTE_H

#include "kernels/cpu/cpu.h"
#include "kernels/cpu/functions.h"

/* ---- tile.c: the innermost kernel ------------------------------------------------------- */

enum {
	DEPTH = 2 * CAIRN_KC, /* terms of a block of K at most; at least CAIRN_KC */
	MAX_CHAINS = 64,
};
_Static_assert((int)DEPTH >= CAIRN_KC, "a chain must fit into a block");

/* A block of K: terms k0 .. k0+kc-1, which are n whole chains. Start with zeros. */
typedef struct terms {
	int64_t k0, kc, n;
	int64_t before; /* chains of the blocks before */
	int32_t length[MAX_CHAINS];
} terms;

/* What a tile multiplies: of each term m floats of A and a row of B. */
typedef struct operands {
	const float *a, *b;
	int64_t lda, ldb;
	int64_t stride;    /* wide tiles: from one panel of NR columns to the next */
	const float *next; /* is fetched into the second-level cache meanwhile: 16 floats a term */
} operands;

/* C[m,NR] (add: +=) = the chains of fused multiply-adds over the terms, each added to the sum of
 * those before it. */
typedef void tile_fn(const terms *t, const operands *o, float *c, int64_t ldc, bool add);
/* By m = 1..MR. */
extern tile_fn *const ISA(tiles)[MR + 1];

enum {
	WIDE_ROWS = 3,
	WIDE_NV = 8,
	WIDE = WIDE_NV * VL,
};

/* By m = 1..WIDE_ROWS: the same of WIDE columns. */
extern tile_fn *const ISA(wide_tiles)[WIDE_ROWS + 1];

/* ---- pack.c ------------------------------------------------------------------------------ */

/* Rows i0..i0+m-1 (m <= MR) and terms k0..k0+kc-1 of op(A) into a strip: kc rows of MR floats;
 * up to 16 floats behind it are written, too. */
void ISA(pack_a)(float *to, const cairn_gemm *g, int64_t i0, int64_t m, int64_t k0, int64_t kc);
/* Columns j0..j0+n-1 (n <= NR) of op(B) into a panel: kc rows of NR; columns behind n are 0. */
void ISA(pack_b)(float *to, const cairn_gemm *g, int64_t j0, int64_t n, int64_t k0, int64_t kc);
/* pack(): panels of NR columns over all of K. */
struct cairn_packed {
	int64_t K, N;
	bool transpose_b;
	float *panels; /* [N/NR, rounded up][K][NR] */
};
void ISA(fill_pack)(cairn_kernels *k);
/* to[16][16] of row stride ldt = transpose of from[16][16] of row stride ldf. */
void ISA(transpose)(float *to, int64_t ldt, const float *from, int64_t ldf);

/* ---- gemm.c ------------------------------------------------------------------------------ */

/* On all threads. */
void ISA(product)(cpu *c, const cairn_gemm *g);
/* The same, but the chains have these lengths (each at most CAIRN_KC; their sum is K). */
void ISA(product_of_chains)(cpu *c, const cairn_gemm *g, const int32_t *length);
/* On the calling thread: from within a task. */
void ISA(product_serial)(cpu *c, int thread, const cairn_gemm *g);

/* ---- softmax.c --------------------------------------------------------------------------- */

/* What a row of scaled scores x[0..n-1] gives. Room behind n up to a multiple of 16 is used. */
typedef struct softmax_row {
	float max, sum;
	double log_sum; /* log of sum(exp(x - max)) */
} softmax_row;

/* weight[i] = exp(x[i]*scale - max); weight may be x. Lanes behind n become 0. log_sum stays 0. */
softmax_row ISA(softmax_weights)(float *weight, const float *x, int64_t n, float scale);

/* ---- the table's functions, by file -------------------------------------------------------- */

void ISA(fill_head)(cairn_kernels *k);
void ISA(fill_attention)(cairn_kernels *k);
void ISA(fill_decode)(cairn_kernels *k);
void ISA(fill_layers)(cairn_kernels *k);
void ISA(fill_rows)(cairn_kernels *k);
void ISA(fill_updates)(cairn_kernels *k);

ALWAYS int64_t at_most(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

ALWAYS int64_t at_least(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

ALWAYS int64_t pieces(int64_t n, int64_t size)
{
	return (n + size - 1) / size;
}

ALWAYS int64_t round_up(int64_t n, int64_t to)
{
	return pieces(n, to) * to;
}

#endif
