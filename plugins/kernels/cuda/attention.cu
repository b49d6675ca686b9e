/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.cu - causal attention, forward: scores never leave the registers.
 *
 * A block of four warps has 128 queries of one head, a warp 32 of them. Keys and values pass
 * through shared memory in tiles of 64 (of fewer for wide heads), two deep; one barrier a tile. Two
 * blocks share an SM, so each scheduler has two warps that do not wait for each other: while one
 * takes exponentials, the other multiplies.
 *
 * The running maximum of a row is raised only when a score exceeds it by more than LAZY powers of
 * two: probabilities then reach 2^LAZY, which costs no precision in floats, and the sums are
 * rescaled a few times in all, not in every tile. A row's factor is 1 where its own maximum stands,
 * so its bits do not depend on the other rows of the warp.
 */
#include "kernels/cuda/attention.cuh"

#define WARPS 4
#define LAZY  8.0f

namespace
{

struct forward_args {
	attention_shape s;
	const bf16 *qkv;
	const int32_t *lengths;
	bf16 *out;
	float *lse;
};

/* Of the rows a thread has a part of: two in each of M tiles. */
template <int M> struct row_state {
	float max[M][2]; /* of unscaled scores, lazily */
	float sum[M][2]; /* of this thread's columns */
};

/* Columns from `key` on that lie behind a row's own position. */
template <int M, int N>
__device__ __forceinline__ void mask_later(float (&score)[M][N][4], int row, int key)
{
	int behind = row + (lane_id() >> 2) - key - 2 * (lane_id() & 3);

#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int n = 0; n < N; n++)
#pragma unroll
			for (int i = 0; i < 4; i++)
				if (n * 8 + i % 2 > behind + m * 16 + i / 2 * 8)
					score[m][n][i] = -INFINITY;
}

/* Raises the maxima where needed, and rescales what was summed below the old ones. */
template <int W, int M, int N>
__device__ __forceinline__ void raise_max(row_state<M> &rows, float (&sum)[M][W / 8][4],
	const float (&score)[M][N][4], float scale_log2)
{
	float factor[M][2];
	bool raised = false;

#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int half = 0; half < 2; half++) {
			float best = score[m][0][2 * half], old = rows.max[m][half];

#pragma unroll
			for (int n = 0; n < N; n++)
				best = fmaxf(best,
					fmaxf(score[m][n][2 * half], score[m][n][2 * half + 1]));
			best = fmaxf(best, __shfl_xor_sync(ALL_LANES, best, 1));
			best = fmaxf(best, __shfl_xor_sync(ALL_LANES, best, 2));
			factor[m][half] = 1;
			if ((best - old) * scale_log2 > LAZY) {
				factor[m][half] = fast_exp2((old - best) * scale_log2);
				rows.max[m][half] = best;
				raised = true;
			}
		}
	if (!__any_sync(ALL_LANES, raised))
		return;
#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int half = 0; half < 2; half++) {
			rows.sum[m][half] *= factor[m][half];
#pragma unroll
			for (int n = 0; n < W / 8; n++) {
				sum[m][n][2 * half] *= factor[m][half];
				sum[m][n][2 * half + 1] *= factor[m][half];
			}
		}
}

/* Scores become probabilities, 16 keys at a time, and mix the values. */
template <int W, int M, int N>
__device__ __forceinline__ void mix_values(row_state<M> &rows, float (&sum)[M][W / 8][4],
	float (&score)[M][N][4], const bf16 *values, const lane_place<W> &lane, float scale_log2)
{
	float shift[M][2];

#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int half = 0; half < 2; half++)
			shift[m][half] = -rows.max[m][half] * scale_log2;
#pragma unroll
	for (int k = 0; k < N / 2; k++) {
		uint32_t p[M][4];

#pragma unroll
		for (int m = 0; m < M; m++) {
#pragma unroll
			for (int n = 2 * k; n < 2 * k + 2; n++)
#pragma unroll
				for (int i = 0; i < 4; i++) {
					float x = fast_exp2(
						fmaf(score[m][n][i], scale_log2, shift[m][i / 2]));

					score[m][n][i] = x;
					rows.sum[m][i / 2] += x;
				}
			pack_left(p[m], score[m][2 * k], score[m][2 * k + 1]);
		}
		add_product<W, M>(sum, p, values, k * 16, lane);
	}
}

template <int W> struct forward_plan {
	enum {
		M = 2,
		KEYS = W <= 64 ? 64 : W <= 96 ? 32 : 48, /* what the registers hold */
		KEEP = W <= 64,
		THREADS = 32 * WARPS,
		Q_TILE = ATTENTION_ROWS * W,
		KV_TILE = KEYS * W,
		SHARED_BYTES = (Q_TILE + 4 * KV_TILE) * 2
	};
};

template <int W>
__global__ void __launch_bounds__(32 * WARPS, 2) forward_kernel(const forward_args a)
{
	typedef forward_plan<W> plan;
	enum {
		M = plan::M,
		KEYS = plan::KEYS,
		N = KEYS / 8
	};
	SHARED(bf16, shared);
	bf16 *q_tile = shared, *kv_tiles = shared + plan::Q_TILE;
	const attention_shape &s = a.s;
	attention_work work = attention_work_of(s, blockIdx.x);
	int length = attention_length(s, a.lengths, work.head);
	int first = (s.tiles - 1 - work.rank) * ATTENTION_ROWS; /* long rows first */
	int64_t C = (int64_t)s.NH * s.D, stride = 3 * C;
	int64_t b = work.head / s.NH, column = work.head % s.NH * s.D;
	const bf16 *q = a.qkv + b * s.T * stride + column;
	bf16 *out = a.out + b * s.T * C + column;
	float *lse = a.lse + work.head * s.T;

	if (first >= length) {
		clear_rows<ATTENTION_ROWS>(out, C, first, s.T, s.D);
		if (first + (int)threadIdx.x < s.T)
			lse[first + (int)threadIdx.x] = 0;
		return;
	}
	fetch_tile<W, ATTENTION_ROWS, plan::THREADS>(q_tile, q, stride, first, length, s.D);
	fetch_tile<W, KEYS, plan::THREADS>(kv_tiles, q + C, stride, 0, length, s.D);
	fetch_tile<W, KEYS, plan::THREADS>(
		kv_tiles + plan::KV_TILE, q + 2 * C, stride, 0, length, s.D);
	copies_commit();

	int mine = warp_id() * 16 * M, row = first + mine;
	int n_tiles = (min(first + ATTENTION_ROWS, length) - 1) / KEYS + 1;
	left_rows<W, M, plan::KEEP> left(q_tile + mine * W);
	lane_place<W> key_lane = right_place<W>(), value_lane = left_place<W>();
	float sum[M][W / 8][4];
	row_state<M> rows;

	clear_sums<W, M>(sum);
#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int half = 0; half < 2; half++) {
			rows.max[m][half] = -INFINITY;
			rows.sum[m][half] = 0;
		}
	for (int tile = 0; tile < n_tiles; tile++) {
		const bf16 *keys = kv_tiles + (tile & 1) * 2 * plan::KV_TILE;
		const bf16 *values = keys + plan::KV_TILE;
		int key = tile * KEYS;

		copies_wait<0>();
		__syncthreads();
		if (tile == 0)
			left.fill();
		if (tile + 1 < n_tiles) {
			bf16 *next = kv_tiles + (~tile & 1) * 2 * plan::KV_TILE;

			fetch_tile<W, KEYS, plan::THREADS>(
				next, q + C, stride, key + KEYS, length, s.D);
			fetch_tile<W, KEYS, plan::THREADS>(
				next + plan::KV_TILE, q + 2 * C, stride, key + KEYS, length, s.D);
			copies_commit();
		}
		if (key > row + 16 * M - 1 || row >= length)
			continue; /* nothing for this warp */
		float score[M][N][4];

		multiply_rows<W, M, N, plan::KEEP>(score, left, keys, 0, key_lane);
		if (key + KEYS - 1 > row)
			mask_later<M, N>(score, row, key);
		raise_max<W, M, N>(rows, sum, score, s.scale_log2);
		mix_values<W, M, N>(rows, sum, score, values, value_lane, s.scale_log2);
	}

	float factor[M][2];

#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int half = 0; half < 2; half++) {
			int t = row + m * 16 + half * 8 + (lane_id() >> 2);
			float total = rows.sum[m][half];

			total += __shfl_xor_sync(ALL_LANES, total, 1);
			total += __shfl_xor_sync(ALL_LANES, total, 2);
			factor[m][half] = 1 / total;
			if ((lane_id() & 3) == 0 && t < s.T)
				lse[t] = t < length ? (rows.max[m][half] * s.scale_log2 +
							      log2f(total)) *
							      LN_2
						    : 0;
		}
	/* A warp has read its queries; their place takes what it puts out. */
	__syncwarp();
	put_sums<W, M>(q_tile, mine, sum, factor);
	__syncwarp();
	store_rows<W, 16 * M>(out, C, q_tile, mine, row, length, s.T, s.D);
}

template <int W> void launch_forward(cuda_stream stream, const cuda_attention *a)
{
	forward_args args = {
		attention_shape_of(a), (const bf16 *)a->qkv, a->lengths, (bf16 *)a->out, a->lse};
	int64_t blocks = args.s.heads * args.s.tiles;

	static_assert((int)forward_plan<W>::SHARED_BYTES <= SHARED_LIMIT, "fits on every GPU");
	ALLOW_SHARED(forward_kernel<W>, forward_plan<W>::SHARED_BYTES);
	LAUNCH(forward_kernel<W>, dim3((unsigned)blocks), dim3(forward_plan<W>::THREADS),
		forward_plan<W>::SHARED_BYTES, stream, args);
}

} // namespace

extern "C" void cuda_attention_forward(
	cuda_stream stream, enum cuda_type type, const cuda_attention *a)
{
	if (a->B * a->T * a->NH * a->D == 0)
		return;
	if (!attention_is_fast(type, a))
		attention_simple_forward(stream, type, a);
	else if (a->D <= 32)
		launch_forward<32>(stream, a);
	else if (a->D <= 64)
		launch_forward<64>(stream, a);
	else if (a->D <= 96)
		launch_forward<96>(stream, a);
	else
		launch_forward<128>(stream, a);
}
