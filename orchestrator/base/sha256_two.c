/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sha256_two.c - SHA-256 (FIPS 180-4) of two messages at once, on processors that have the
 * instructions.
 *
 * One message is a chain: each round waits for the one before, and the unit that computes rounds
 * idles most of the time. Two chains taken in turn fill the gaps: 3.1 GB/s beside 2.0 with OpenSSL,
 * which takes one, on the same core (Zen 5). Hashing is what a store on a fast disk waits for, so
 * it is worth a file. A short message alone takes this way, too: OpenSSL would spend as long again
 * on making and freeing a context. Elsewhere, and for what is left of the longer message, OpenSSL
 * does the work or the same code does it for one. tests/base/base.c compares all lengths around the
 * borders with OpenSSL's digests.
 */
#include <stdbool.h>
#include <string.h>

#include "base/digest.h"

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>

enum {
	BLOCK = 64,
	GROUPS = 16 /* of four rounds each */
};

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t constants[64] __attribute__((aligned(16))) = {0x428a2f98, 0x71374491,
	0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98,
	0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc,
	0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147,
	0x06ca6351, 0x14292967, 0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354,
	0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
	0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c,
	0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3, 0x748f82ee, 0x78a5636f,
	0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* A message under way. The instructions want the words of the state paired in this way. */
typedef struct lane {
	__m128i abef, cdgh;
	__m128i words[4]; /* the last 16 of the message schedule */
} lane;

#define SHA    __attribute__((target("sha,sse4.1")))
#define INLINE SHA __attribute__((always_inline)) static inline

INLINE void begin(lane *x)
{
	x->abef = _mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c);
	x->cdgh = _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19);
}

/* The message is big-endian. */
INLINE void load(lane *x, const uint8_t *block)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);

	for (int i = 0; i < 4; i++)
		x->words[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)block + i), swap);
}

/* Four rounds, after the schedule has moved on to their words. */
INLINE void rounds(lane *x, int group)
{
	__m128i *now = &x->words[group & 3], *last = &x->words[(group + 3) & 3], sum;

	if (group >= 4) {
		sum = _mm_sha256msg1_epu32(*now, x->words[(group + 1) & 3]);
		sum = _mm_add_epi32(sum, _mm_alignr_epi8(*last, x->words[(group + 2) & 3], 4));
		*now = _mm_sha256msg2_epu32(sum, *last);
	}
	sum = _mm_add_epi32(*now, _mm_load_si128((const __m128i *)constants + group));
	x->cdgh = _mm_sha256rnds2_epu32(x->cdgh, x->abef, sum);
	x->abef = _mm_sha256rnds2_epu32(x->abef, x->cdgh, _mm_shuffle_epi32(sum, 0x0e));
}

SHA static void two(lane *to_x, lane *to_y, const uint8_t *a, const uint8_t *b, size_t n)
{
	lane x = *to_x, y = *to_y; /* in registers */

	for (; n > 0; n--, a += BLOCK, b += BLOCK) {
		lane x0 = x, y0 = y;

		load(&x, a);
		load(&y, b);
#pragma GCC unroll 16
		for (int i = 0; i < GROUPS; i++) {
			rounds(&x, i);
			rounds(&y, i);
		}
		x.abef = _mm_add_epi32(x.abef, x0.abef);
		x.cdgh = _mm_add_epi32(x.cdgh, x0.cdgh);
		y.abef = _mm_add_epi32(y.abef, y0.abef);
		y.cdgh = _mm_add_epi32(y.cdgh, y0.cdgh);
	}
	*to_x = x;
	*to_y = y;
}

SHA static void one(lane *to_x, const uint8_t *a, size_t n)
{
	lane x = *to_x;

	for (; n > 0; n--, a += BLOCK) {
		lane x0 = x;

		load(&x, a);
#pragma GCC unroll 16
		for (int i = 0; i < GROUPS; i++)
			rounds(&x, i);
		x.abef = _mm_add_epi32(x.abef, x0.abef);
		x.cdgh = _mm_add_epi32(x.cdgh, x0.cdgh);
	}
	*to_x = x;
}

static void put_be32(uint8_t *to, uint32_t word)
{
	for (int i = 0; i < 4; i++)
		to[i] = (uint8_t)(word >> (24 - 8 * i));
}

/* From block `done` to the end, padding included. */
SHA static void finish(lane *x, const uint8_t *bytes, size_t len, size_t done, uint8_t *out)
{
	uint8_t tail[2 * BLOCK] = {0};
	size_t left = len % BLOCK, n = left + 9 <= BLOCK ? 1 : 2;
	uint32_t state[8]; /* f e b a, h g d c */

	one(x, bytes + done * BLOCK, len / BLOCK - done);
	if (left)
		memcpy(tail, bytes + (len - left), left);
	tail[left] = 0x80;
	put_be32(tail + n * BLOCK - 8, (uint32_t)((uint64_t)len >> 29));
	put_be32(tail + n * BLOCK - 4, (uint32_t)(len << 3));
	one(x, tail, n);
	_mm_storeu_si128((__m128i *)state, x->abef);
	_mm_storeu_si128((__m128i *)state + 1, x->cdgh);
	for (int i = 0; i < 8; i++) {
		static const int from[8] = {3, 2, 7, 6, 1, 0, 5, 4};

		put_be32(out + (size_t)i * 4, state[from[i]]);
	}
}

SHA static void both(
	const void *a, size_t a_len, uint8_t *a_out, const void *b, size_t b_len, uint8_t *b_out)
{
	size_t n = (a_len < b_len ? a_len : b_len) / BLOCK;
	lane x, y;

	begin(&x);
	begin(&y);
	two(&x, &y, a, b, n);
	finish(&x, a, a_len, n, a_out);
	finish(&y, b, b_len, n, b_out);
}

SHA static void alone(const void *bytes, size_t len, uint8_t *out)
{
	lane x;

	begin(&x);
	finish(&x, bytes, len, 0, out);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool has_instructions;

/* Asked once: under a hypervisor the question takes as long as hashing a page. */
static void look(void)
{
	unsigned a, b = 0, c, d;

	has_instructions = __builtin_cpu_supports("sse4.1") &&
			   __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}
#endif

bool cairn_sha256_short(const void *bytes, size_t len, uint8_t out[CAIRN_DIGEST_BYTES])
{
#if defined(__x86_64__)
	pthread_once(&once, look);
	if (has_instructions) {
		alone(bytes, len, out);
		return true;
	}
#endif
	(void)bytes, (void)len, (void)out;
	return false;
}

void cairn_sha256_two(const void *a, size_t a_len, uint8_t a_out[CAIRN_DIGEST_BYTES], const void *b,
	size_t b_len, uint8_t b_out[CAIRN_DIGEST_BYTES])
{
#if defined(__x86_64__)
	pthread_once(&once, look);
	if (has_instructions) {
		both(a, a_len, a_out, b, b_len, b_out);
		return;
	}
#endif
	cairn_sha256(a, a_len, a_out);
	cairn_sha256(b, b_len, b_out);
}
