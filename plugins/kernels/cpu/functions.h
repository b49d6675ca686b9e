/* SPDX-License-Identifier: Apache-2.0 */
/*
 * functions.h - exp, gelu and log of our own.
 *
 * libm's differ from machine to machine by an ulp; these are sequences of IEEE operations
 * and so give one answer everywhere. Largest errors, over all floats of the range (measured
 * by test_kernels_functions): v_exp 1.1 ulp, scalar_log 1e-15 relative.
 */
#ifndef CAIRN_KERNELS_CPU_FUNCTIONS_H
#define CAIRN_KERNELS_CPU_FUNCTIONS_H

#include <stdbool.h>

#include "kernels/cpu/isa.h"

enum {
	EXPS = VL < 16 || NV < 2 ? 1 : 4, /* vectors to give to v_exps() where there are many */
};

/* How v_exps() begins and ends. AVX-512 has instructions for it, which give the same bits. */
#if defined(CPU_AVX512)

/* x, or what has the same exp; NaN passes. Below there is no need: v_exp_power() has its 0. */
ALWAYS v16 v_exp_bounds(v16 x)
{
	return (v16)_mm512_min_ps(_mm512_set1_ps(89.0f), (__m512)x);
}

/* p 2^n, with 0 where exp(x) would be denormal; then nothing was rounded here. */
ALWAYS v16 v_exp_power(v16 p, v16 n, v16 x)
{
	__mmask16 normal = _mm512_cmp_ps_mask((__m512)x, _mm512_set1_ps(-87.3365448f), _CMP_NLT_UQ);

	return (v16)_mm512_maskz_scalef_ps(normal, (__m512)p, (__m512)n);
}

#else

ALWAYS v16 v_exp_bounds(v16 x)
{
	return -v_max(v_all(-89.0f), -v_max(v_all(-88.0f), x));
}

#if defined(CPU_AVX2)

/* By hand: the compiler takes comparisons of v16 apart into single floats. */
ALWAYS v16 v_exp_power(v16 p, v16 n, v16 x)
{
	halves to = {p}, power = {n}, of = {x};

#pragma GCC unroll 2
	for (int i = 0; i < 2; i++) {
		const __m256i bias = _mm256_set1_epi32(127);
		__m256i whole = _mm256_cvttps_epi32(power.half[i]);
		__m256i part = _mm256_srai_epi32(whole, 1), rest = _mm256_sub_epi32(whole, part);
		__m256i first = _mm256_slli_epi32(_mm256_add_epi32(part, bias), 23);
		__m256i second = _mm256_slli_epi32(_mm256_add_epi32(rest, bias), 23);
		__m256 low = _mm256_cmp_ps(of.half[i], _mm256_set1_ps(-87.3365448f), _CMP_LT_OQ);
		__m256 y = _mm256_mul_ps(to.half[i], _mm256_castsi256_ps(first));

		y = _mm256_mul_ps(y, _mm256_castsi256_ps(second));
		to.half[i] = _mm256_andnot_ps(low, y);
	}
	return to.whole;
}

#else

ALWAYS v16 v_exp_power(v16 p, v16 n, v16 x)
{
	v16i whole = __builtin_convertvector(n, v16i), half = whole >> 1;

	p *= (v16)((half + 127) << 23);
	p *= (v16)((whole - half + 127) << 23);
	return (v16)((v16i)p & ~(v16i)(x < v_all(-87.3365448f)));
}

#endif

#endif

/*
 * exp(x). x = n ln2 + r with |r| <= ln2/2; exp(r) by its Taylor series to r^7, whose rest is
 * below 6e-9; times 2^n in two factors, since 2^n alone may not be a float. Results that
 * would be denormal are 0; NaN stays NaN.
 *
 * Of n vectors, step by step: each step waits for the one before it, so several vectors take
 * hardly longer than one.
 */
ALWAYS void v_exps(v16 *x, int n)
{
	const v16 shift = v_all(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer */
	v16 r[EXPS], p[EXPS], power[EXPS];

#define EACH _Pragma("GCC unroll 4") for (int i = 0; i < n; i++)
	EACH r[i] = v_exp_bounds(x[i]);
	EACH power[i] = v_fma(r[i], v_all(1.44269504f), shift) - shift;
	EACH r[i] = v_fma(power[i], v_all(-0.693145751953125f), r[i]); /* 17 bits of ln2: exact */
	EACH r[i] = v_fma(power[i], v_all(-1.42860682e-6f), r[i]);
	EACH p[i] = v_all(1 / 5040.0f);
	EACH p[i] = v_fma(p[i], r[i], v_all(1 / 720.0f));
	EACH p[i] = v_fma(p[i], r[i], v_all(1 / 120.0f));
	EACH p[i] = v_fma(p[i], r[i], v_all(1 / 24.0f));
	EACH p[i] = v_fma(p[i], r[i], v_all(1 / 6.0f));
	EACH p[i] = v_fma(p[i], r[i], v_all(0.5f));
	EACH p[i] = v_fma(p[i] * r[i], r[i], r[i]) + v_all(1.0f);
	EACH x[i] = v_exp_power(p[i], power[i], x[i]);
#undef EACH
}

ALWAYS v16 v_exp(v16 x)
{
	v_exps(&x, 1);
	return x;
}

/* e^-2u for gelu(z) = z / (1 + e^-2u), where u = sqrt(2/pi) (z + 0.044715 z^3). */
ALWAYS v16 gelu_power(v16 z)
{
	v16 u = z * v_fma(z * z, v_all(-0.0713548163f), v_all(-1.59576912f));

	/* Bounded, so that the derivative has no inf * 0; gelu is below 1e-33 there. */
	return v_exp(-v_max(v_all(-80.0f), -u));
}

ALWAYS v16 v_gelu(v16 z)
{
	return z / (v_all(1.0f) + gelu_power(z));
}

ALWAYS v16 v_gelu_slope(v16 z)
{
	v16 power = gelu_power(z), s = v_all(1.0f) / (v_all(1.0f) + power);
	v16 du = v_fma(z * z, v_all(0.214064449f), v_all(1.59576912f)); /* d(2u)/dz */

	return v_fma(z * s, (power * s) * du, s);
}

/*
 * log(x) for finite x > 0, in double. x = 2^n m with m in [1/sqrt2, sqrt2);
 * log m = 2 atanh(s), s = (m-1)/(m+1), |s| < 0.172: eleven terms leave 1e-18.
 */
static inline double scalar_log(double x)
{
	int n;
	double m = frexp(x, &n), s, s2, sum = 0;

	if (!(x > 0 && x < (double)INFINITY))
		return x > 0 ? x : (x == 0 ? -(double)INFINITY : (double)NAN);
	if (m < 0.70710678118654752) {
		m *= 2;
		n--;
	}
	s = (m - 1) / (m + 1);
	s2 = s * s;
#pragma GCC unroll 11
	for (int i = 21; i >= 1; i -= 2)
		sum = sum * s2 + 1.0 / i;
	return n * 0.69314718055994531 + 2 * s * sum;
}

typedef double v8d __attribute__((vector_size(64)));
typedef int64_t v8i __attribute__((vector_size(64)));

/* scalar_log() of x[8] by the same operations: the same bits. */
ALWAYS v8d v_log(const float *x)
{
	v8d wide, m, s, s2, sum = {0};
	v8i n, low;
	bool plain = true;

	for (int i = 0; i < 8; i++) {
		wide[i] = (double)x[i];
		plain = plain && x[i] > 0 && x[i] < INFINITY;
	}
	n = ((v8i)wide >> 52) - 1022; /* what frexp() gives: a float is never denormal as double */
	m = (v8d)(((v8i)wide & 0xfffffffffffff) | 0x3fe0000000000000);
	low = m < 0.70710678118654752;
	m = (v8d)((v8i)m + (low & ((int64_t)1 << 52))); /* doubled */
	n += low;
	s = (m - 1) / (m + 1);
	s2 = s * s;
#pragma GCC unroll 11
	for (int i = 21; i >= 1; i -= 2)
		sum = sum * s2 + 1.0 / i;
	sum = __builtin_convertvector(n, v8d) * 0.69314718055994531 + 2 * s * sum;
	for (int i = 0; !plain && i < 8; i++)
		sum[i] = scalar_log((double)x[i]);
	return sum;
}

#endif
