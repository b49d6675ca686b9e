/* SPDX-License-Identifier: Apache-2.0 */
/*
 * isa.h - the three vector units behind one set of names.
 *
 * The files that compute are compiled once for each unit, with CPU_AVX512, CPU_AVX2 or
 * CPU_PORTABLE defined; ISA(name) keeps their symbols apart. Everything that decides a
 * result is the same on all of them: vectors of 16 floats, fused multiply-adds where
 * v_fma() is written and nowhere else (-ffp-contract=off), one tree for sums across lanes.
 *
 *   v16       16 floats, whatever the hardware has
 *   vec       one hardware vector of VL floats, for the tiles of the matrix product
 *   MR x NR   the tile of C that one call of the innermost kernel computes
 */
#ifndef CAIRN_KERNELS_CPU_ISA_H
#define CAIRN_KERNELS_CPU_ISA_H

#include <math.h>
#include <string.h>

#include "cairn/base.h"

#define ISA_PASTE_(isa, name) cpu_##isa##_##name
#define ISA_PASTE(isa, name)  ISA_PASTE_(isa, name)
#define ISA(name)             ISA_PASTE(CPU_ISA, name)

#define ALWAYS static inline __attribute__((always_inline))

typedef float v16 __attribute__((vector_size(64)));
typedef int32_t v16i __attribute__((vector_size(64)));
typedef float v16_any __attribute__((vector_size(64), aligned(4), may_alias));

ALWAYS v16 v_load(const float *p)
{
	return *(const v16_any *)p;
}

ALWAYS void v_store(float *p, v16 x)
{
	*(v16_any *)p = x;
}

ALWAYS v16 v_all(float x)
{
	return (v16){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
}

/* Bits of a where the mask is all ones, of b where it is 0. */
ALWAYS v16 v_select(v16i mask, v16 a, v16 b)
{
	return (v16)((mask & (v16i)a) | (~mask & (v16i)b));
}

/* Eight 64-bit lanes, for products of 32-bit numbers. */
typedef uint64_t v8u __attribute__((vector_size(64)));

#if defined(CPU_AVX512)

#include <immintrin.h>
#define CPU_ISA  avx512
#define CPU_NAME "cpu/avx512"

typedef __m512 vec;
enum {
	VL = 16,
	MR = 14,
	NV = 2,
};
#define vec_load(p)      _mm512_loadu_ps(p)
#define vec_store(p, x)  _mm512_storeu_ps(p, x)
#define vec_all(x)       _mm512_set1_ps(x)
#define vec_fma(a, b, c) _mm512_fmadd_ps(a, b, c)
#define vec_add(a, b)    _mm512_add_ps(a, b)
#define vec_zero()       _mm512_setzero_ps()

ALWAYS v16 v_fma(v16 a, v16 b, v16 c)
{
	return (v16)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
}

/* a > b ? a : b in each lane: b where they do not compare. */
ALWAYS v16 v_max(v16 a, v16 b)
{
	return (v16)_mm512_max_ps((__m512)a, (__m512)b);
}

ALWAYS v16 v_sqrt(v16 x)
{
	return (v16)_mm512_sqrt_ps((__m512)x);
}

/* The first n (1..16) floats at p; `rest` in the other lanes. */
ALWAYS v16 v_load_part(const float *p, int64_t n, float rest)
{
	__mmask16 mask = (__mmask16)((1u << n) - 1);

	return (v16)_mm512_mask_loadu_ps(_mm512_set1_ps(rest), mask, p);
}

ALWAYS void v_store_part(float *p, v16 x, int64_t n)
{
	_mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)x);
}

/* Lower halves multiplied; the upper halves count nothing. */
ALWAYS v8u v_product(v8u a, v8u b)
{
	return (v8u)_mm512_mul_epu32((__m512i)a, (__m512i)b);
}

#elif defined(CPU_AVX2)

#include <immintrin.h>
#define CPU_ISA          avx2
#define CPU_NAME         "cpu/avx2"

typedef __m256 vec;
enum {
	VL = 8,
	MR = 6,
	NV = 2,
};
#define vec_load(p)      _mm256_loadu_ps(p)
#define vec_store(p, x)  _mm256_storeu_ps(p, x)
#define vec_all(x)       _mm256_set1_ps(x)
#define vec_fma(a, b, c) _mm256_fmadd_ps(a, b, c)
#define vec_add(a, b)    _mm256_add_ps(a, b)
#define vec_zero()       _mm256_setzero_ps()

typedef union halves {
	v16 whole;
	__m256 half[2];
} halves;

ALWAYS v16 v_fma(v16 a, v16 b, v16 c)
{
	halves x = {a}, y = {b}, z = {c};

	z.half[0] = _mm256_fmadd_ps(x.half[0], y.half[0], z.half[0]);
	z.half[1] = _mm256_fmadd_ps(x.half[1], y.half[1], z.half[1]);
	return z.whole;
}

ALWAYS v16 v_max(v16 a, v16 b)
{
	halves x = {a}, y = {b};

	x.half[0] = _mm256_max_ps(x.half[0], y.half[0]);
	x.half[1] = _mm256_max_ps(x.half[1], y.half[1]);
	return x.whole;
}

ALWAYS v16 v_sqrt(v16 a)
{
	halves x = {a};

	x.half[0] = _mm256_sqrt_ps(x.half[0]);
	x.half[1] = _mm256_sqrt_ps(x.half[1]);
	return x.whole;
}

ALWAYS v8u v_product(v8u a, v8u b)
{
	union {
		v8u whole;
		__m256i half[2];
	} x = {a}, y = {b};

	x.half[0] = _mm256_mul_epu32(x.half[0], y.half[0]);
	x.half[1] = _mm256_mul_epu32(x.half[1], y.half[1]);
	return x.whole;
}

#else

#define CPU_ISA          portable
#define CPU_NAME         "cpu/portable"

typedef v16 vec;
enum {
	VL = 16,
	MR = 4,
	NV = 1,
};
#define vec_load(p)      v_load(p)
#define vec_store(p, x)  v_store(p, x)
#define vec_all(x)       v_all(x)
#define vec_fma(a, b, c) v_fma(a, b, c)
#define vec_add(a, b)    ((a) + (b))
#define vec_zero()       v_all(0)

/* Without the instruction this is a call a lane: slow, and the same bits. */
ALWAYS v16 v_fma(v16 a, v16 b, v16 c)
{
	for (int i = 0; i < 16; i++)
		c[i] = fmaf(a[i], b[i], c[i]);
	return c;
}

ALWAYS v16 v_max(v16 a, v16 b)
{
	return v_select(a > b, a, b);
}

ALWAYS v16 v_sqrt(v16 x)
{
	for (int i = 0; i < 16; i++)
		x[i] = sqrtf(x[i]);
	return x;
}

ALWAYS v8u v_product(v8u a, v8u b)
{
	return (a & UINT32_MAX) * (b & UINT32_MAX);
}

#endif

#if !defined(CPU_AVX512)
ALWAYS v16 v_load_part(const float *p, int64_t n, float rest)
{
	v16 x = v_all(rest);

	memcpy(&x, p, (size_t)n * sizeof(float));
	return x;
}

ALWAYS void v_store_part(float *p, v16 x, int64_t n)
{
	memcpy(p, &x, (size_t)n * sizeof(float));
}
#endif

enum {
	NR = NV * VL,
};

/* ---- with what is left of a row: 16 or the rest ------------------------------------------ */

ALWAYS v16 v_get_or(const float *p, int64_t left, float rest)
{
	return left >= 16 ? v_load(p) : v_load_part(p, left, rest);
}

ALWAYS v16 v_get(const float *p, int64_t left)
{
	return v_get_or(p, left, 0);
}

ALWAYS void v_put(float *p, v16 x, int64_t left)
{
	if (left >= 16)
		v_store(p, x);
	else
		v_store_part(p, x, left);
}

/* x in the first `left` lanes, 0 behind. */
ALWAYS v16 v_keep(v16 x, int64_t left)
{
	const v16i lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
	int32_t n = left >= 16 ? 16 : (int32_t)left;
	const v16i limit = {n, n, n, n, n, n, n, n, n, n, n, n, n, n, n, n};

	return left >= 16 ? x : (v16)((v16i)x & (lane < limit));
}

/* ---- across lanes: lane i with lane i+8, then 4, 2, 1 apart ------------------------------ */

#if defined(CPU_AVX512) || defined(CPU_AVX2)

ALWAYS __m256 v_half(v16 x, int which)
{
	union {
		v16 whole;
		__m256 half[2];
	} u = {x};

	return u.half[which];
}

ALWAYS float v_sum(v16 x)
{
	__m256 h = _mm256_add_ps(v_half(x, 0), v_half(x, 1));
	__m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));

	q = _mm_add_ps(q, _mm_movehl_ps(q, q));
	return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}

ALWAYS float v_largest(v16 x)
{
	__m256 h = _mm256_max_ps(v_half(x, 0), v_half(x, 1));
	__m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));

	q = _mm_max_ps(q, _mm_movehl_ps(q, q));
	return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}

#else

ALWAYS float v_sum(v16 x)
{
	float t[16];

	v_store(t, x);
	for (int half = 8; half > 0; half /= 2)
		for (int i = 0; i < half; i++)
			t[i] += t[i + half];
	return t[0];
}

ALWAYS float v_largest(v16 x)
{
	float t[16];

	v_store(t, x);
	for (int half = 8; half > 0; half /= 2)
		for (int i = 0; i < half; i++)
			t[i] = t[i] > t[i + half] ? t[i] : t[i + half];
	return t[0];
}

#endif

#endif
