/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack.c - copies pieces of A and B into the order in which the tile reads them.
 *
 * Whatever the strides and transpositions of the operands, a panel of A is [k][MR] and a
 * panel of B is [k][NR]: four kinds of products, one kernel.
 */
#include "kernels/cpu/compute.h"

enum {
	AHEAD = 16, /* rows */
	AHEAD_FLOATS = 128,
};

#if defined(CPU_AVX512)

/* Interleaves 1, 2, 4 and 8 floats in turn: after four rounds row i holds column i. */
ALWAYS void transpose_vectors(__m512 r[16])
{
	__m512 t[16];

#pragma GCC unroll 8
	for (int i = 0; i < 16; i += 2) {
		t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
		t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
	}
#pragma GCC unroll 4
	for (int i = 0; i < 16; i += 4) {
		r[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
		r[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
		r[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
		r[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
	}
	/* r[4q+c]: column c, 4+c, 8+c, 12+c of rows 4q..4q+3, in the four quarters. */
#pragma GCC unroll 4
	for (int c = 0; c < 4; c++) {
		__m512 a = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x88);
		__m512 b = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xdd);
		__m512 d = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x88);
		__m512 e = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xdd);

		t[c] = _mm512_shuffle_f32x4(a, d, 0x88);
		t[4 + c] = _mm512_shuffle_f32x4(b, e, 0x88);
		t[8 + c] = _mm512_shuffle_f32x4(a, d, 0xdd);
		t[12 + c] = _mm512_shuffle_f32x4(b, e, 0xdd);
	}
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		r[i] = t[i];
}

/* `rows` rows of 16 become 16 rows, stored 16 wide: behind `rows` they are 0. */
ALWAYS void transpose_rows(float *to, int64_t ldt, const float *from, int64_t ldf, int rows)
{
	__m512 r[16];

#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		r[i] = i < rows ? _mm512_loadu_ps(from + i * ldf) : _mm512_setzero_ps();
		/* As many streams as rows are more than the hardware follows. */
#pragma GCC unroll 16
	for (int i = 0; i < rows; i++)
		__builtin_prefetch(from + i * ldf + AHEAD_FLOATS);
	transpose_vectors(r);
#pragma GCC unroll 16
	for (int i = 0; i < 16; i++)
		_mm512_storeu_ps(to + i * ldt, r[i]);
}

#endif

void ISA(transpose)(float *to, int64_t ldt, const float *from, int64_t ldf)
{
#if defined(CPU_AVX512)
	transpose_rows(to, ldt, from, ldf, 16);
#else
	for (int i = 0; i < 16; i++)
		for (int j = 0; j < 16; j++)
			to[j * ldt + i] = from[i * ldf + j];
#endif
}

/* to[k][stride] = rows 0..n-1 of `from`, whose terms lie side by side. */
ALWAYS void pack_rows(
	float *to, int64_t stride, const float *from, int64_t ld, int64_t n, int64_t kc)
{
	int64_t k = 0;

#if defined(CPU_AVX512)
	/* Stores are 16 wide: what they leave behind column n is overwritten by the next row,
	 * or lies in the room between panels. */
	if (n == MR)
		for (; k + 16 <= kc; k += 16)
			transpose_rows(to + k * stride, stride, from + k, ld, MR);
	else if (n == MR - 1)
		for (; k + 16 <= kc; k += 16)
			transpose_rows(to + k * stride, stride, from + k, ld, MR - 1);
	else if (n == 16)
		for (; k + 16 <= kc; k += 16)
			transpose_rows(to + k * stride, stride, from + k, ld, 16);
	else if (n > 2)
		for (; k + 16 <= kc; k += 16)
			transpose_rows(to + k * stride, stride, from + k, ld, (int)n);
#endif
	for (; k < kc; k++)
		for (int64_t i = 0; i < n; i++)
			to[k * stride + i] = from[i * ld + k];
}

/* to[k][stride] = n floats of each of kc rows of `from`. */
ALWAYS void copy_rows(
	float *to, int64_t stride, const float *from, int64_t ld, int64_t n, int64_t kc)
{
	for (int64_t k = 0; k < kc; k++) {
		/* The rows lie far apart: no hardware foresees them. */
		__builtin_prefetch(from + (k + AHEAD) * ld);
		__builtin_prefetch(from + (k + AHEAD) * ld + n - 1);
		memcpy(to + k * stride, from + k * ld, sizeof(float) * (size_t)n);
	}
}

void ISA(pack_a)(float *to, const cairn_gemm *g, int64_t i0, int64_t m, int64_t k0, int64_t kc)
{
	const float *A = g->A;
	const float *from = g->transpose_a ? A + k0 * g->lda + i0 : A + i0 * g->lda + k0;

	if (!g->transpose_a)
		pack_rows(to, MR, from, g->lda, m, kc);
	else if (MR > 8 && i0 + 16 <= g->M)
		copy_rows(to, MR, from, g->lda, 16, kc); /* the next row overwrites the rest */
	else if (m == MR)
		copy_rows(to, MR, from, g->lda, MR, kc);
	else
		copy_rows(to, MR, from, g->lda, m, kc);
}

void ISA(pack_b)(float *to, const cairn_gemm *g, int64_t j0, int64_t n, int64_t k0, int64_t kc)
{
	const float *B = g->B;
	const float *from = g->transpose_b ? B + j0 * g->ldb + k0 : B + k0 * g->ldb + j0;

	if (n < NR)
		memset(to, 0, sizeof(float) * (size_t)(kc * NR));
	if (g->transpose_b)
		for (int64_t j = 0; j < n; j += 16)
			pack_rows(to + j, NR, from + j * g->ldb, g->ldb, at_most(16, n - j), kc);
	else if (n == NR)
		copy_rows(to, NR, from, g->ldb, NR, kc);
	else
		copy_rows(to, NR, from, g->ldb, n, kc);
}

/* ---- copies that are kept ----------------------------------------------------------------------
 */

typedef struct repack_job {
	const cairn_packed *packed;
	const float *B;
	int64_t ldb;
} repack_job;

static void repack_task(void *context, int64_t task, int thread)
{
	const repack_job *job = context;
	const cairn_packed *p = job->packed;
	cairn_gemm g = {.transpose_b = p->transpose_b, .B = job->B, .ldb = job->ldb};

	(void)thread;
	ISA(pack_b)
	(p->panels + task * p->K * NR, &g, task * NR, at_most(NR, p->N - task * NR), 0, p->K);
}

static void repack(const cairn_kernels *k, cairn_packed *packed, const float *B, int64_t ldb)
{
	cpu *c = k->self;
	repack_job job = {packed, B, ldb};

	pool_for(c->pool, pieces(packed->N, NR), repack_task, &job);
}

static size_t packed_bytes(const cairn_kernels *k, int64_t K, int64_t N)
{
	(void)k;
	return sizeof(float) * (size_t)(K * round_up(N, NR));
}

static void pack_free(const cairn_kernels *k, cairn_packed *packed)
{
	if (!packed)
		return;
	k->free(k, packed->panels);
	free(packed);
}

static cairn_packed *pack(
	const cairn_kernels *k, const float *B, int64_t ldb, int64_t K, int64_t N, bool transpose_b)
{
	cairn_packed *packed = malloc(sizeof(*packed));

	if (!packed)
		return NULL;
	*packed = (cairn_packed){K, N, transpose_b, k->alloc(k, packed_bytes(k, K, N))};
	if (!packed->panels) {
		free(packed);
		return NULL;
	}
	repack(k, packed, B, ldb);
	return packed;
}

void ISA(fill_pack)(cairn_kernels *k)
{
	k->pack = pack;
	k->repack = repack;
	k->pack_free = pack_free;
	k->packed_bytes = packed_bytes;
}
