/* SPDX-License-Identifier: Apache-2.0 */
/* power.h - x^n by repeated squaring: multiplications alone, so the same bits on every machine,
 * which pow() does not promise. For Adam's bias correction. */
#ifndef CAIRN_KERNELS_POWER_H
#define CAIRN_KERNELS_POWER_H

#include <stdint.h>

static inline double cairn_power(double x, uint64_t n)
{
	double power = 1;

	for (; n > 0; n >>= 1, x *= x)
		if (n & 1)
			power *= x;
	return power;
}

#endif
