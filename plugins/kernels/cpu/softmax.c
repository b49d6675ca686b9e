/* SPDX-License-Identifier: Apache-2.0 */
/*
 * softmax.c - the softmax of one row, for decoding; attention.c walks four rows at once and head.c
 * wants more of a walk, by the same operations.
 *
 * Element i belongs to lane i % 16 whatever the length of the row, so the first n elements
 * give the same sums in a long row as in a short one: that is why a decoded token is
 * bitwise the token of the whole sequence.
 */
#include "kernels/cpu/compute.h"

static float row_max(const float *x, int64_t n, v16 scale)
{
	v16 max = v_all(-INFINITY);

	for (int64_t i = 0; i < n; i += 16)
		max = v_max(max, v_get_or(x + i, n - i, -INFINITY) * scale);
	return v_largest(max);
}

softmax_row ISA(softmax_weights)(float *weight, const float *x, int64_t n, float scale)
{
	v16 s = v_all(scale), sum = v_all(0), max = v_all(row_max(x, n, s));

	for (int64_t i = 0; i < n; i += 16) {
		v16 w = v_keep(v_exp(v_get(x + i, n - i) * s - max), n - i);

		v_put(weight + i, w, n - i);
		sum += w;
	}
	return (softmax_row){max[0], v_sum(sum), 0};
}
