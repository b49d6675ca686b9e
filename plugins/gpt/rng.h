/* SPDX-License-Identifier: Apache-2.0 */
/*
 * rng.h - Philox4x32-10 (Salmon et al., SC 2011): random numbers as a function of
 * (key, counter). No state: what was drawn for step 7, sample 3 is the same whoever asks.
 * Host-side twin of what the kernels use for dropout and sampling.
 */
#ifndef CAIRN_GPT_RNG_H
#define CAIRN_GPT_RNG_H

#include <stdint.h>

static inline void gpt_philox(uint64_t key, const uint32_t counter[4], uint32_t out[4])
{
	uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
	uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];

	for (int round = 0; round < 10; round++) {
		uint64_t p0 = (uint64_t)0xD2511F53u * c0;
		uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
		uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
		uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;

		c1 = (uint32_t)p1;
		c3 = (uint32_t)p0;
		c0 = n0;
		c2 = n2;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

/* 64 random bits of draw (a, b). */
static inline uint64_t gpt_random_u64(uint64_t key, uint64_t a, uint64_t b)
{
	uint32_t counter[4] = {(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, (uint32_t)(b >> 32)};
	uint32_t out[4];

	gpt_philox(key, counter, out);
	return (uint64_t)out[1] << 32 | out[0];
}

/* Uniform in (0,1), 53 bits: never 0, never 1. */
static inline double gpt_random_uniform(uint64_t key, uint64_t a, uint64_t b)
{
	return ((double)(gpt_random_u64(key, a, b) >> 11) + 0.5) * 0x1p-53;
}

/* Uniform in 0..n-1 (n > 0); the bias of the multiply method is below n/2^64. */
static inline uint64_t gpt_random_below(uint64_t key, uint64_t a, uint64_t b, uint64_t n)
{
	return (uint64_t)((__extension__(unsigned __int128) gpt_random_u64(key, a, b) * n) >> 64);
}

/* A permutation of 0..n-1 for (key, epoch): Fisher-Yates. Caller's array. */
void gpt_shuffle(uint64_t key, uint64_t epoch, uint64_t *order, uint64_t n);
/* Standard normal (Box-Muller on exact.h: the same bits on any machine). Uses up all 128 bits of
 * draw (a, b): take no other number from it. */
double gpt_random_normal(uint64_t key, uint64_t a, uint64_t b);

#endif
