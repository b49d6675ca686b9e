/* SPDX-License-Identifier: Apache-2.0 */
/* rng.c - what is made of Philox's bits: permutations and normal numbers. */
#include <math.h>

#include "gpt/exact.h"
#include "gpt/rng.h"

void gpt_shuffle(uint64_t key, uint64_t epoch, uint64_t *order, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		order[i] = i;
	for (uint64_t i = n; i > 1; i--) {
		uint64_t j = gpt_random_below(key, epoch, i, i);
		uint64_t last = order[i - 1];

		order[i - 1] = order[j];
		order[j] = last;
	}
}

double gpt_random_normal(uint64_t key, uint64_t a, uint64_t b)
{
	uint32_t counter[4] = {(uint32_t)a, (uint32_t)(a >> 32), (uint32_t)b, (uint32_t)(b >> 32)};
	uint32_t bits[4];
	double radius, angle;

	gpt_philox(key, counter, bits);
	/* 64 bits of one block for each of Box-Muller's two uniforms, as gpt_random_uniform(). */
	radius = ((double)(((uint64_t)bits[1] << 32 | bits[0]) >> 11) + 0.5) * 0x1p-53;
	angle = ((double)(((uint64_t)bits[3] << 32 | bits[2]) >> 11) + 0.5) * 0x1p-53;
	return sqrt(-2 * gpt_log(radius)) * gpt_cos_turns(angle);
}
