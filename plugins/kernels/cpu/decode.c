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
 *
 * The time goes into fetching the cache: each key and value is used once. So the values are asked
 * for while the scores are computed, and several heads are mixed at once, because the chain of one
 * element over the keys cannot be cut and would wait for itself.
 */

enum {
	HEADS = 4, /* of one task, at most */
};

/* score[0..n-1], and leftovers up to a multiple of 16. `wanted`: n rows of ld that come next. */
static void scores(float *score, const float *q, const float *keys, int64_t n, int64_t D,
	const float *wanted, int64_t ld)
{
	int64_t t = 0, step = 16 * D;

	for (; t + 48 < n; t += 64) { /* four chains at once hide the latency of one */
		const float *key = keys + t * D, *values = wanted + t * ld;
		v16 a = v_all(0), b = a, c = a, e = a;

		/* 64 values are as many lines as 64 keys: four a step. */
		for (int64_t d = 0; d < D; d++, key += 16, values += 64) {
			v16 x = v_all(q[d]);

			__builtin_prefetch(values);
			__builtin_prefetch(values + 16);
			__builtin_prefetch(values + 32);
			__builtin_prefetch(values + 48);
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
		const float *key = keys + t * D, *values = wanted + t * ld;
		v16 a = v_all(0);

		for (int64_t d = 0; d < D; d++) {
			__builtin_prefetch(values + d * 16);
			a = v_fma(v_all(q[d]), v_load(key + d * 16), a);
		}
		v_store(score + t, a);
	}
}

/* Some heads of a sequence: of head i, weights of n keys, their values and where the result goes.
 */
typedef struct mixture {
	const float *weight[HEADS], *value[HEADS];
	float *out[HEADS], inverse[HEADS];
	int64_t n, ld; /* ld: from value to value */
} mixture;

/* out[j..] = sum over t < n of weight[t] * value[t][j..], times `inverse`, for 16 * vectors
 * elements, of which `left` are there. */
ALWAYS void mix(const mixture *m, int heads, int vectors, int64_t j, int64_t left)
{
	v16 total[HEADS][4] = {{{0}}};

	for (int64_t t0 = 0; t0 < m->n; t0 += CAIRN_KC) {
		int64_t end = at_most(m->n, t0 + CAIRN_KC);
		v16 sum[HEADS][4];

#pragma GCC unroll 4
		for (int h = 0; h < heads; h++)
#pragma GCC unroll 4
			for (int i = 0; i < vectors; i++)
				sum[h][i] = v_all(0);
		for (int64_t t = t0; t < end; t++)
#pragma GCC unroll 4
			for (int h = 0; h < heads; h++) {
				const float *value = m->value[h] + t * m->ld + j;
				v16 weight = v_all(m->weight[h][t]);

#pragma GCC unroll 4
				for (int i = 0; i < vectors; i++)
					sum[h][i] =
						v_fma(weight, v_load(value + i * 16), sum[h][i]);
			}
#pragma GCC unroll 4
		for (int h = 0; h < heads; h++)
#pragma GCC unroll 4
			for (int i = 0; i < vectors; i++)
				total[h][i] = t0 ? total[h][i] + sum[h][i] : sum[h][i];
	}
#pragma GCC unroll 4
	for (int h = 0; h < heads; h++)
#pragma GCC unroll 4
		for (int i = 0; i < vectors; i++)
			v_put(m->out[h] + j + i * 16, total[h][i] * v_all(m->inverse[h]) + v_all(0),
				left - i * 16);
}

/* All D elements of the heads, eight chains at once where there are as many. */
static void mix_heads(const mixture *m, int64_t heads, int64_t D)
{
	int64_t j = 0;

	for (; heads == 2 && j + 64 <= D; j += 64)
		mix(m, 2, 4, j, 64);
	for (; heads == 1 && j + 64 <= D; j += 64)
		mix(m, 1, 4, j, 64);
	for (; heads == 4 && j + 32 <= D; j += 32)
		mix(m, 4, 2, j, 32);
	for (; heads == 4 && j < D; j += 16)
		mix(m, 4, 1, j, D - j);
	for (; heads == 2 && j < D; j += 16)
		mix(m, 2, 1, j, D - j);
	for (; heads == 1 && j < D; j += 16)
		mix(m, 1, 1, j, D - j);
}

typedef struct decode_job {
	cpu *c;
	const cairn_decode *d;
	cache_shape shape;
	int64_t heads, groups; /* of a task; tasks of a sequence */
	float scale;
} decode_job;

static void decode_task(void *context, int64_t task, int thread)
{
	const decode_job *job = context;
	const cache_shape *s = &job->shape;
	int64_t b = task / job->groups, first = task % job->groups * job->heads, C = s->NH * s->D;
	int64_t slot = job->d->slot[b], t = job->d->position[b], room = s->T16 + 64;
	float *p =
		cpu_own(job->c, thread, CPU_OWN_WORK, sizeof(float) * (size_t)(job->heads * room));
	mixture m = {.n = t + 1, .ld = s->D16};

	CAIRN_ASSERT(t >= 0 && t < s->T_max);
	for (int64_t i = 0; i < job->heads; i++, p += room) {
		int64_t h = first + i;
		const float *row = job->d->qkv + b * 3 * C + h * s->D;
		float *keys = keys_of(job->d->cache, s, slot, h);
		float *values = values_of(job->d->cache, s, slot, h);

		put_one(keys, values, s, t, row + C, row + 2 * C);
		scores(p, row, keys, t + 1, s->D, values, s->D16);
		m.inverse[i] = 1 / ISA(softmax_weights)(p, p, t + 1, job->scale).sum;
		m.weight[i] = p;
		m.value[i] = values;
		m.out[i] = job->d->out + b * C + h * s->D;
	}
	mix_heads(&m, job->heads, s->D);
}

/* Heads of one task: as many chains as a processor keeps going, as long as all threads have work.
 */
static int64_t heads_of(const cpu *c, const cairn_decode *d)
{
	int64_t heads = d->D < 64 ? HEADS : d->D < 128 ? 2 : 1;

	while (heads > 1 && (d->NH % heads != 0 || d->B * d->NH / heads < 4 * c->threads))
		heads /= 2;
	return heads;
}

static void decode(const cairn_kernels *k, const cairn_decode *d)
{
	decode_job job = {.c = k->self, .d = d, .shape = shape_of(d->NH, d->D, d->T_max)};

	CAIRN_ASSERT(d->D <= CAIRN_KC);
	job.scale = 1 / sqrtf((float)d->D);
	job.heads = heads_of(job.c, d);
	job.groups = d->NH / job.heads;
	pool_for(job.c->pool, d->B * job.groups, decode_task, &job);
}

void ISA(fill_decode)(cairn_kernels *k)
{
	k->cache_bytes = cache_bytes;
	k->cache_fill = cache_fill;
	k->decode = decode;
}
