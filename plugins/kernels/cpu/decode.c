/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode.c - attention of one new position against cached keys and values.
 *
 * Cache of a slot, for each head: keys [T16/16][D][16], so that the scores of 16 keys are
 * one vector of chains over D; then values [T_max][D16]. T16 and D16 are T_max and D rounded
 * up to 16. Keys behind the position may be leftovers: their scores are never looked at.
 */
#include "kernels/cpu/compute.h"

typedef struct cache_shape {
	int64_t NH, D, D16, T16, T_max;
} cache_shape;

static cache_shape shape_of(int64_t NH, int64_t D, int64_t T_max)
{
	return (cache_shape){NH, D, round_up(D, 16), round_up(T_max, 16), T_max};
}

static int64_t head_size(const cache_shape *s)
{
	return s->T16 * s->D + s->T_max * s->D16;
}

static float *keys_of(float *cache, const cache_shape *s, int64_t slot, int64_t h)
{
	return cache + (slot * s->NH + h) * head_size(s);
}

static float *values_of(float *cache, const cache_shape *s, int64_t slot, int64_t h)
{
	return keys_of(cache, s, slot, h) + s->T16 * s->D;
}

static size_t cache_bytes(
	const cairn_kernels *k, int64_t slots, int64_t NH, int64_t D, int64_t T_max)
{
	cache_shape s = shape_of(NH, D, T_max);

	(void)k;
	return sizeof(float) * (size_t)(slots * NH * head_size(&s));
}

/* Puts k and v of one head at position t. */
static void put_one(float *keys, float *values, const cache_shape *s, int64_t t, const float *key,
	const float *value)
{
	float *column = keys + t / 16 * 16 * s->D + t % 16;

	for (int64_t d = 0; d < s->D; d++)
		column[d * 16] = key[d];
	memcpy(values + t * s->D16, value, sizeof(float) * (size_t)s->D);
	memset(values + t * s->D16 + s->D, 0, sizeof(float) * (size_t)(s->D16 - s->D));
}

/* ---- filling from a prompt ------------------------------------------------------------------ */

typedef struct fill_job {
	cache_shape shape;
	float *cache;
	const float *qkv;
	const int32_t *slot, *lengths;
	int64_t T;
} fill_job;

static void fill_task(void *context, int64_t task, int thread)
{
	const fill_job *job = context;
	const cache_shape *s = &job->shape;
	int64_t b = task / s->NH, h = task % s->NH, C = s->NH * s->D;
	int64_t n = job->lengths ? at_most(job->lengths[b], job->T) : job->T;
	float *keys = keys_of(job->cache, s, job->slot[b], h);
	float *values = values_of(job->cache, s, job->slot[b], h);
	const float *head = job->qkv + b * job->T * 3 * C + h * s->D;

	(void)thread;
	CAIRN_ASSERT(n <= s->T_max);
	for (int64_t t = 0; t < n; t++)
		put_one(keys, values, s, t, head + t * 3 * C + C, head + t * 3 * C + 2 * C);
}

static void cache_fill(const cairn_kernels *k, float *cache, const float *qkv, const int32_t *slot,
	const int32_t *lengths, int64_t B, int64_t T, int64_t NH, int64_t D, int64_t T_max)
{
	cpu *c = k->self;
	fill_job job = {shape_of(NH, D, T_max), cache, qkv, slot, lengths, T};

	pool_for(c->pool, B * NH, fill_task, &job);
}

/* ---- one position -----------------------------------------------------------------------------
 */

/* score[0..n-1], and leftovers up to a multiple of 64. */
static void scores(float *score, const float *q, const float *keys, int64_t n, int64_t D)
{
	int64_t t = 0, step = 16 * D;

	for (; t + 48 < n; t += 64) { /* four chains at once hide the latency of one */
		const float *key = keys + t * D;
		v16 a = v_all(0), b = a, c = a, e = a;

		for (int64_t d = 0; d < D; d++, key += 16) {
			v16 x = v_all(q[d]);

			a = v_fma(x, v_load(key), a);
			b = v_fma(x, v_load(key + step), b);
			c = v_fma(x, v_load(key + 2 * step), c);
			e = v_fma(x, v_load(key + 3 * step), e);
		}
		v_store(score + t, a);
		v_store(score + t + 16, b);
		v_store(score + t + 32, c);
		v_store(score + t + 48, e);
	}
	for (; t < n; t += 16) {
		const float *key = keys + t * D;
		v16 a = v_all(0);

		for (int64_t d = 0; d < D; d++)
			a = v_fma(v_all(q[d]), v_load(key + d * 16), a);
		v_store(score + t, a);
	}
}

/* out[0..left-1] = sum over t < n of weight[t] * value[t], times `inverse`. */
ALWAYS void mix(float *out, const float *weight, const float *value, int64_t ld, int64_t n,
	float inverse, int vectors, int64_t left)
{
	v16 total[4];

#pragma GCC unroll 4
	for (int i = 0; i < vectors; i++)
		total[i] = v_all(0);
	for (int64_t t0 = 0; t0 < n; t0 += CAIRN_KC) {
		int64_t end = at_most(n, t0 + CAIRN_KC);
		v16 sum[4];

#pragma GCC unroll 4
		for (int i = 0; i < vectors; i++)
			sum[i] = v_all(0);
		for (int64_t t = t0; t < end; t++)
#pragma GCC unroll 4
			for (int i = 0; i < vectors; i++)
				sum[i] = v_fma(
					v_all(weight[t]), v_load(value + t * ld + i * 16), sum[i]);
#pragma GCC unroll 4
		for (int i = 0; i < vectors; i++)
			total[i] = t0 ? total[i] + sum[i] : sum[i];
	}
#pragma GCC unroll 4
	for (int i = 0; i < vectors; i++)
		v_put(out + i * 16, total[i] * v_all(inverse) + v_all(0), left - i * 16);
}

typedef struct decode_job {
	cpu *c;
	const cairn_decode *d;
	cache_shape shape;
	float scale;
} decode_job;

static void decode_task(void *context, int64_t task, int thread)
{
	const decode_job *job = context;
	const cache_shape *s = &job->shape;
	int64_t b = task / s->NH, h = task % s->NH, C = s->NH * s->D;
	int64_t slot = job->d->slot[b], t = job->d->position[b], j = 0;
	const float *row = job->d->qkv + b * 3 * C + h * s->D;
	float *keys = keys_of(job->d->cache, s, slot, h);
	float *values = values_of(job->d->cache, s, slot, h);
	float *p = cpu_own(job->c, thread, CPU_OWN_WORK, sizeof(float) * (size_t)(s->T16 + 64));
	float *out = job->d->out + b * C + h * s->D, inverse;

	CAIRN_ASSERT(t >= 0 && t < s->T_max);
	put_one(keys, values, s, t, row + C, row + 2 * C);
	scores(p, row, keys, t + 1, s->D);
	inverse = 1 / ISA(softmax)(p, p, t + 1, job->scale).sum;
	for (; j + 64 <= s->D; j += 64)
		mix(out + j, p, values + j, s->D16, t + 1, inverse, 4, 64);
	for (; j < s->D; j += 16)
		mix(out + j, p, values + j, s->D16, t + 1, inverse, 1, s->D - j);
}

static void decode(const cairn_kernels *k, const cairn_decode *d)
{
	decode_job job = {k->self, d, shape_of(d->NH, d->D, d->T_max), 1 / sqrtf((float)d->D)};

	CAIRN_ASSERT(d->D <= CAIRN_KC);
	pool_for(job.c->pool, d->B * d->NH, decode_task, &job);
}

void ISA(fill_decode)(cairn_kernels *k)
{
	k->cache_bytes = cache_bytes;
	k->cache_fill = cache_fill;
	k->decode = decode;
}
