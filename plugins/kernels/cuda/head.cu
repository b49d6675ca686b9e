/* SPDX-License-Identifier: Apache-2.0 */
/*
 * head.cu - what is made of a row of logits: its sums, the target's log-probability, its gradient.
 *
 * The row is read twice, the second time mostly from the second-level cache (a row of GPT-2 is 201
 * KB, too much for the registers of a block). The gradient is written over the row: group i of bf16
 * ends before group i of floats begins, except in the first step, so a barrier between reading and
 * writing in each step is enough.
 */
#include "kernels/cuda/head.h"

#include "kernels/cuda/softmax.cuh"

namespace
{

enum {
	COPY_THREADS = 256,
};

__device__ __forceinline__ void store_four(float *to, const float x[4])
{
	store_vec(to, vec<float>{{x[0], x[1], x[2], x[3]}});
}

__device__ __forceinline__ void store_four(bf16 *to, const float x[4])
{
	*reinterpret_cast<uint2 *>(to) = uint2{pack_bf16(x[0], x[1]), pack_bf16(x[2], x[3])};
}

/* The row's gradient: factor * (1 at the target - softmax). factor 0 writes zeros, whatever is
 * there. All threads of the block. */
template <typename A>
__device__ void put_gradient(float *x, int64_t V, int64_t ld, int64_t target, float factor,
	float scale, const softmax_row &row)
{
	A *out = reinterpret_cast<A *>(x);
	float share = (float)(1 / row.sum);
	int64_t step = 4 * (int64_t)blockDim.x;

	for (int64_t start = 0; start < ld; start += step) {
		int64_t v = start + 4 * (int64_t)threadIdx.x;
		float d[4] = {0, 0, 0, 0};

		if (v < V && factor != 0) {
			vec<float> four = softmax_load(x, v, V);

#pragma unroll
			for (int i = 0; i < 4; i++) {
				float e = softmax_weight<sizeof(A) == 4>(four.x[i], scale, row.max);

				d[i] = factor * ((v + i == target ? 1 : 0) - e * share);
				d[i] = v + i < V ? d[i] : 0;
			}
		}
		__syncthreads();
		if (v < ld)
			store_four(out + v, d);
	}
}

template <typename A> __global__ void __launch_bounds__(1024) head_row(cuda_head_rows h)
{
	SHARED(softmax_room, room);
	int64_t r = blockIdx.x;
	float *x = h.logits + r * h.ld;
	int32_t target = h.target[r];
	softmax_row row = {0, 0, 1, 0, 0};
	float factor = 0;

	if (target >= 0) {
		float at = x[target];

		row = softmax_sums<sizeof(A) == 4>(x, h.V, h.scale, room);
		if (threadIdx.x == 0) {
			h.logprob[r] = softmax_logprob(row, at, h.scale);
			if (h.entropy)
				h.entropy[r] = (float)(row.log_sum - row.moment / row.sum);
			if (h.best)
				h.best[r] = at >= row.raw_max ? 1 : 0;
		}
		factor = h.dlogprob ? h.dlogprob[r] * h.scale : 0;
	} else if (threadIdx.x == 0) {
		h.logprob[r] = 0;
		if (h.entropy)
			h.entropy[r] = 0;
		if (h.best)
			h.best[r] = 0;
	}
	if (h.dlogprob)
		put_gradient<A>(x, h.V, h.ld, target, factor, h.scale, row);
}

template <typename A>
__global__ void __launch_bounds__(COPY_THREADS)
	keep_rows(A *to, const A *from, const int32_t *target, int64_t n, int64_t C)
{
	int64_t at = (int64_t)blockIdx.x * COPY_THREADS + threadIdx.x;

	if (at < n)
		to[at] = target[at / C] >= 0 ? from[at] : from_float<A>(0);
}

/* The same, 16 bytes a thread: C is a multiple of a vector. */
template <typename A>
__global__ void __launch_bounds__(COPY_THREADS)
	keep_vectors(A *to, const A *from, const int32_t *target, int64_t n, int64_t C)
{
	int64_t at = ((int64_t)blockIdx.x * COPY_THREADS + threadIdx.x) * vec<A>::N;

	if (at < n)
		store16(to + at, target[at / C] >= 0 ? load16(from + at) : uint4{0, 0, 0, 0});
}

template <typename A>
void keep(cuda_stream stream, A *to, const A *from, const int32_t *target, int64_t R, int64_t C)
{
	int64_t n = R * C, threads = C % vec<A>::N == 0 ? n / vec<A>::N : n;
	dim3 grid((unsigned)pieces(threads, COPY_THREADS));

	if (threads < n)
		LAUNCH((keep_vectors<A>), grid, dim3(COPY_THREADS), 0, stream, to, from, target, n,
			C);
	else
		LAUNCH((keep_rows<A>), grid, dim3(COPY_THREADS), 0, stream, to, from, target, n, C);
}

} // namespace

void cuda_head(cuda_stream stream, enum cuda_type type, const cuda_head_rows *h)
{
	dim3 grid((unsigned)h->rows), block(softmax_threads(h->V));

	if (h->rows == 0)
		return;
	if (type == CUDA_BF16)
		LAUNCH((head_row<bf16>), grid, block, sizeof(softmax_room), stream, *h);
	else
		LAUNCH((head_row<float>), grid, block, sizeof(softmax_room), stream, *h);
}

void cuda_head_keep(cuda_stream stream, enum cuda_type type, void *to, const void *from,
	const int32_t *target, int64_t R, int64_t C)
{
	if (R == 0)
		return;
	if (type == CUDA_BF16)
		keep(stream, static_cast<bf16 *>(to), static_cast<const bf16 *>(from), target, R,
			C);
	else
		keep(stream, static_cast<float *>(to), static_cast<const float *>(from), target, R,
			C);
}
