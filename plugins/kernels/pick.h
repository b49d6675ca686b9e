/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pick.h - one token from unnormalised probabilities: the last step of `sample`, the same
 * for every backend that computes in the host's memory.
 */
#ifndef CAIRN_KERNELS_PICK_H
#define CAIRN_KERNELS_PICK_H

#include "cairn/kernels.h"

/* The first index of the largest value. */
int32_t cairn_pick_largest(const cairn_real *value, int64_t V);
enum {
	CAIRN_PICK_BLOCK = 128,
};
/* Draws v with probability weight[v] / sum(weight), by inversion with `uniform` in (0,1).
 * block[i]: the sum of weights i * CAIRN_PICK_BLOCK and following; they decide the draw, too. */
int32_t cairn_pick(const cairn_real *weight, const cairn_real *block, int64_t V, double uniform);
/* The same among the top_k heaviest (0: all; the lower id goes first among equals), and of
 * these the fewest, heaviest first, that hold top_p of their mass. heap: room for V ids. */
int32_t cairn_pick_truncated(const cairn_real *weight, int64_t V, double uniform, int32_t top_k,
	double top_p, int32_t *heap);

#endif
