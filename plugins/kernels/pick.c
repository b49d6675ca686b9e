/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pick.c - sampling by inversion of the cumulative distribution, in a fixed order.
 *
 * cairn_pick goes through the sums of blocks, which whoever makes the weights has made on the
 * way, then through the tokens of one block: V/BLOCK + BLOCK additions in double instead of V.
 * The truncated form builds a heap (O(V)) and takes tokens off it until k or p is
 * reached, because k is small and sorting V tokens would cost more than the model.
 */
#include "kernels/pick.h"

#include <stdbool.h>

int32_t cairn_pick_largest(const cairn_real *value, int64_t V)
{
	int64_t best = 0;

	for (int64_t v = 1; v < V; v++)
		if (value[v] > value[best])
			best = v;
	return (int32_t)best;
}

/* The token of block b at which the sum, `before` at its start, comes to lie behind the goal.
 * Rounding may leave the goal behind the last: then that. */
static int32_t pick_of_block(
	const cairn_real *weight, int64_t V, int64_t b, double before, double goal)
{
	int64_t v = b * CAIRN_PICK_BLOCK, end = v + CAIRN_PICK_BLOCK, last = v;

	for (; v < end && v < V; v++) {
		before += (double)weight[v];
		if (weight[v] > 0) {
			last = v;
			if (before > goal)
				break;
		}
	}
	return (int32_t)last;
}

int32_t cairn_pick(const cairn_real *weight, const cairn_real *block, int64_t V, double uniform)
{
	int64_t blocks = (V + CAIRN_PICK_BLOCK - 1) / CAIRN_PICK_BLOCK, last = 0;
	double total = 0, sum = 0, before = 0;

	for (int64_t b = 0; b < blocks; b++)
		total += (double)block[b];
	for (int64_t b = 0; b < blocks; b++) {
		if (!(block[b] > 0))
			continue;
		last = b;
		before = sum;
		sum += (double)block[b];
		if (sum > uniform * total)
			break;
	}
	return pick_of_block(weight, V, last, before, uniform * total);
}

/* Does a go before b? A strict order, so that the heap gives one result. */
static bool goes_first(const cairn_real *weight, int32_t a, int32_t b)
{
	return weight[a] > weight[b] || (weight[a] == weight[b] && a < b);
}

static void sift_down(const cairn_real *weight, int32_t *heap, int64_t n, int64_t at)
{
	for (;;) {
		int64_t first = at, left = 2 * at + 1;
		int32_t id = heap[at];

		for (int64_t child = left; child < left + 2 && child < n; child++)
			if (goes_first(weight, heap[child], heap[first]))
				first = child;
		if (first == at)
			return;
		heap[at] = heap[first];
		heap[first] = id;
		at = first;
	}
}

/* Moves the first of heap[0..n-1] to heap[n-1]. */
static void take_first(const cairn_real *weight, int32_t *heap, int64_t n)
{
	int32_t id = heap[0];

	heap[0] = heap[n - 1];
	heap[n - 1] = id;
	sift_down(weight, heap, n - 1, 0);
}

int32_t cairn_pick_truncated(const cairn_real *weight, int64_t V, double uniform, int32_t top_k,
	double top_p, int32_t *heap)
{
	int64_t limit = top_k > 0 && top_k < V ? top_k : V, kept = 0;
	double mass = 0, sum = 0, goal;

	for (int64_t v = 0; v < V; v++)
		heap[v] = (int32_t)v;
	for (int64_t at = V / 2 - 1; at >= 0; at--)
		sift_down(weight, heap, V, at);
	if (limit == V) { /* the mass is known without taking the tokens off */
		for (int64_t v = 0; v < V; v++)
			mass += (double)weight[v];
	} else {
		int64_t taken = 0;

		for (; taken < limit; taken++) {
			take_first(weight, heap, V - taken);
			mass += (double)weight[heap[V - 1 - taken]];
		}
		kept = taken;
	}
	if (limit == V || top_p < 1) {
		bool on_heap = limit == V;

		for (kept = 0; kept < limit && (kept == 0 || sum < top_p * mass); kept++) {
			if (on_heap)
				take_first(weight, heap, V - kept);
			sum += (double)weight[heap[V - 1 - kept]];
		}
		mass = sum;
	}
	/* The kept tokens, heaviest first, lie at the end of the array, backwards. */
	goal = uniform * mass;
	sum = 0;
	for (int64_t i = 0; i < kept; i++) {
		sum += (double)weight[heap[V - 1 - i]];
		if (sum > goal)
			return heap[V - 1 - i];
	}
	return heap[V - 1];
}
