/* SPDX-License-Identifier: Apache-2.0 */
/*
 * softmax.cuh - one block sums up one row of logits. lm_head and sample share it, so that they say
 * the same of the same row, bit for bit.
 *
 * The shape of the block follows from V alone, each thread takes every blockDim-th group of four
 * logits with a maximum of its own, and the threads' sums are joined in double in a fixed tree.
 */
#ifndef CAIRN_KERNELS_CUDA_SOFTMAX_CUH
#define CAIRN_KERNELS_CUDA_SOFTMAX_CUH

#include "kernels/cuda/device.cuh"

/* Shared memory of the functions below; free again after each call and a barrier. */
struct softmax_room {
	double sum[32];
	float max[32];
};

/* Of x * scale over a row. */
struct softmax_row {
	float raw_max, max; /* without and with the scale */
	double sum, moment; /* of e = exp(x scale - max), and of e (x scale - max) */
	double log_sum;
};

/* Threads of a block for rows of V: a power of two. */
static inline unsigned softmax_threads(int64_t V)
{
	return V > 8192 ? 1024 : V > 2048 ? 256 : 64;
}

/* exp for x <= 0. `exact`: libm's, else the hardware's. */
template <bool exact> static __device__ __forceinline__ float softmax_exp(float x)
{
	return exact ? expf(x) : fast_exp(x);
}

/* Four logits from place v; x is aligned, and there is memory up to a multiple of four. */
static __device__ __forceinline__ vec<float> softmax_load(const float *x, int64_t v, int64_t V)
{
	vec<float> four = load_vec(x + v);

#pragma unroll
	for (int i = 0; i < 4; i++)
		four.x[i] = v + i < V ? four.x[i] : -INFINITY;
	return four;
}

/* exp(x scale - max), and 0 for what lies behind V. */
template <bool exact>
static __device__ __forceinline__ float softmax_weight(float x, float scale, float max)
{
	return x == -INFINITY ? 0 : softmax_exp<exact>(x * scale - max);
}

template <bool exact>
static __device__ softmax_row softmax_sums(
	const float *x, int64_t V, float scale, softmax_room *room)
{
	float raw = -INFINITY, max = -INFINITY, sum = 0, moment = 0;
	softmax_row row;

	for (int64_t v = 4 * (int64_t)threadIdx.x; v < V; v += 4 * (int64_t)blockDim.x) {
		vec<float> four = softmax_load(x, v, V);
		float largest = fmaxf(fmaxf(four.x[0], four.x[1]), fmaxf(four.x[2], four.x[3]));

		if (largest > raw) {
			float next = largest * scale, down = max - next;
			float factor = raw == -INFINITY ? 0 : softmax_exp<exact>(down);

			moment = raw == -INFINITY ? 0 : factor * (moment + sum * down);
			sum *= factor;
			raw = largest;
			max = next;
		}
#pragma unroll
		for (int i = 0; i < 4; i++) {
			float y = four.x[i] * scale - max;

			if (four.x[i] != -INFINITY) {
				float e = softmax_exp<exact>(y);

				sum += e;
				moment += e * y;
			}
		}
	}
	row.raw_max = block_max(raw, room->max);
	row.max = row.raw_max * scale;
	if (raw != -INFINITY) {
		double down = (double)max - row.max, factor = exp(down);

		row.moment = factor * (moment + sum * down);
		row.sum = sum * factor;
	} else {
		row.moment = 0;
		row.sum = sum; /* 0, or what is not a number */
	}
	row.sum = block_sum(row.sum, room->sum);
	row.moment = block_sum(row.moment, room->sum);
	row.log_sum = log(row.sum);
	return row;
}

/* log softmax of logit x in its row. */
static __device__ __forceinline__ float softmax_logprob(
	const softmax_row &row, float x, float scale)
{
	return (float)((double)(x * scale) - (double)row.max - row.log_sum);
}

#endif
