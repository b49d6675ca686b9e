/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.c - causal attention with its backward pass, and decoding from a cache.
 *
 * Cache: [slot][k or v][T_max][C]. Both directions call attend_row(), so a decoded row is
 * bitwise the row of the whole sequence.
 */
#include <math.h>
#include <string.h>

#include "kernels/portable/ops.h"

/* One query against keys 0..n-1, `stride` elements apart. p: room for n. Returns lse. */
static double attend_row(cairn_real *out, double *p, const cairn_real *q, const cairn_real *keys,
	const cairn_real *values, int64_t stride, int64_t n, int64_t D)
{
	double scale = 1 / sqrt((double)D), max = -INFINITY, sum = 0;

	for (int64_t s = 0; s < n; s++) {
		double dot = 0;

		for (int64_t d = 0; d < D; d++)
			dot += (double)q[d] * (double)keys[s * stride + d];
		p[s] = dot * scale;
		max = p[s] > max ? p[s] : max;
	}
	for (int64_t s = 0; s < n; s++) {
		p[s] = exp(p[s] - max);
		sum += p[s];
	}
	for (int64_t d = 0; d < D; d++) {
		double mix = 0;

		for (int64_t s = 0; s < n; s++)
			mix += p[s] * (double)values[s * stride + d];
		out[d] = (cairn_real)(mix / sum);
	}
	return max + log(sum);
}

static int64_t length_of(const int32_t *lengths, int64_t b, int64_t T)
{
	return lengths && lengths[b] < T ? lengths[b] : T;
}

static void attention(const cairn_kernels *k, const cairn_attention *a)
{
	int64_t C = a->NH * a->D;
	double *p = portable_scratch(a->T, sizeof(*p));

	(void)k;
	for (int64_t b = 0; b < a->B; b++) {
		int64_t length = length_of(a->lengths, b, a->T);

		for (int64_t t = 0; t < a->T; t++) {
			for (int64_t h = 0; h < a->NH; h++) {
				const cairn_real *head = a->qkv + b * a->T * 3 * C + h * a->D;
				cairn_real *out = a->out + (b * a->T + t) * C + h * a->D;
				cairn_real *lse = &a->lse[(b * a->NH + h) * a->T + t];

				*lse = 0;
				memset(out, 0, sizeof(*out) * (size_t)a->D);
				if (t < length)
					*lse = (cairn_real)attend_row(out, p, head + t * 3 * C,
						head + C, head + 2 * C, 3 * C, t + 1, a->D);
			}
		}
	}
	free(p);
}

/* The rows of one head of one sequence. d: double [n][3][D], zeroed. */
static void head_backward(const cairn_attention *a, int64_t b, int64_t h, int64_t n, double *d)
{
	int64_t D = a->D, C = a->NH * D;
	const cairn_real *head = a->qkv + b * a->T * 3 * C + h * D;
	double scale = 1 / sqrt((double)D);

	for (int64_t t = 0; t < n; t++) {
		const cairn_real *q = head + t * 3 * C;
		const cairn_real *out = a->out + (b * a->T + t) * C + h * D;
		const cairn_real *dout = a->dout + (b * a->T + t) * C + h * D;
		double lse = (double)a->lse[(b * a->NH + h) * a->T + t], delta = 0;

		/* delta = sum_s P dP, by way of the output. */
		for (int64_t x = 0; x < D; x++)
			delta += (double)out[x] * (double)dout[x];
		for (int64_t s = 0; s <= t; s++) {
			const cairn_real *key = head + s * 3 * C + C;
			const cairn_real *value = head + s * 3 * C + 2 * C;
			double score = 0, dp = 0, p, ds;

			for (int64_t x = 0; x < D; x++) {
				score += (double)q[x] * (double)key[x];
				dp += (double)dout[x] * (double)value[x];
			}
			p = exp(score * scale - lse);
			ds = p * (dp - delta) * scale;
			for (int64_t x = 0; x < D; x++) {
				d[(3 * t + 0) * D + x] += ds * (double)key[x];
				d[(3 * s + 1) * D + x] += ds * (double)q[x];
				d[(3 * s + 2) * D + x] += p * (double)dout[x];
			}
		}
	}
}

static void attention_backward(const cairn_kernels *k, const cairn_attention *a)
{
	int64_t D = a->D, C = a->NH * D;
	double *d = portable_scratch(a->T * 3 * D, sizeof(*d));

	(void)k;
	for (int64_t b = 0; b < a->B; b++) {
		for (int64_t h = 0; h < a->NH; h++) {
			memset(d, 0, sizeof(*d) * (size_t)(a->T * 3 * D));
			head_backward(a, b, h, length_of(a->lengths, b, a->T), d);
			for (int64_t i = 0; i < a->T * 3; i++)
				for (int64_t x = 0; x < D; x++)
					a->dqkv[(b * a->T * 3 + i) * C + h * D + x] =
						(cairn_real)d[i * D + x];
		}
	}
	free(d);
}

static size_t cache_bytes(
	const cairn_kernels *k, int64_t slots, int64_t NH, int64_t D, int64_t T_max)
{
	(void)k;
	return sizeof(cairn_real) * (size_t)slots * 2 * (size_t)T_max * (size_t)(NH * D);
}

/* Puts k and v of one row of qkv into position t of a slot. */
static void cache_put(
	cairn_real *cache, const cairn_real *row, int64_t slot, int64_t t, int64_t T_max, int64_t C)
{
	cairn_real *to = cache + (slot * 2 * T_max + t) * C;

	memcpy(to, row + C, sizeof(*to) * (size_t)C);
	memcpy(to + T_max * C, row + 2 * C, sizeof(*to) * (size_t)C);
}

static void cache_fill(const cairn_kernels *k, cairn_real *cache, const cairn_real *qkv,
	const int32_t *slot, const int32_t *lengths, int64_t B, int64_t T, int64_t NH, int64_t D,
	int64_t T_max)
{
	int64_t C = NH * D;

	(void)k;
	for (int64_t b = 0; b < B; b++)
		for (int64_t t = 0; t < length_of(lengths, b, T); t++)
			cache_put(cache, qkv + (b * T + t) * 3 * C, slot[b], t, T_max, C);
}

static void decode(const cairn_kernels *k, const cairn_decode *d)
{
	int64_t C = d->NH * d->D;
	double *p = portable_scratch(d->T_max, sizeof(*p));

	(void)k;
	for (int64_t b = 0; b < d->B; b++) {
		const cairn_real *row = d->qkv + b * 3 * C;
		const cairn_real *keys = d->cache + (int64_t)d->slot[b] * 2 * d->T_max * C;

		cache_put(d->cache, row, d->slot[b], d->position[b], d->T_max, C);
		for (int64_t h = 0; h < d->NH; h++)
			(void)attend_row(d->out + b * C + h * d->D, p, row + h * d->D,
				keys + h * d->D, keys + d->T_max * C + h * d->D, C,
				d->position[b] + 1, d->D);
	}
	free(p);
}

void portable_fill_attention(cairn_kernels *k)
{
	k->attention = attention;
	k->attention_backward = attention_backward;
	k->cache_bytes = cache_bytes;
	k->cache_fill = cache_fill;
	k->decode = decode;
}
