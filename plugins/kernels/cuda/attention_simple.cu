/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention_simple.cu - causal attention for what the fast kernels do not take: float, any D <=
 * 512.
 *
 * A warp has ROWS rows (queries, or keys for their gradients), a tile in shared memory 32 rows of
 * the other side, one a lane: a lane's dot product is a score, the sum over lanes a softmax. What a
 * row sums (D numbers) stands in shared memory, each column with one lane. All in float, with
 * exact exponentials.
 */
#include "kernels/cuda/attention.cuh"

#define ROWS 4 /* of a warp */

namespace
{

struct simple_args {
	attention_shape s;
	int width;  /* of rows in shared memory: D, rounded up to 4, and 4 more against conflicts */
	int blocks; /* of a head */
	const void *qkv, *out_in, *dout;
	const int32_t *lengths;
	void *out, *dqkv;
	float *lse, *stats;
};

/* What a block works on. */
struct simple_block {
	int64_t head, C;
	int rows, first, mine, length; /* rows: of the block; mine: first row of the warp in it */
	int64_t qkv, out;              /* index of the head's first element */
};

__device__ __forceinline__ simple_block open_block(const simple_args &a)
{
	simple_block w;
	int64_t b;

	w.head = (int64_t)blockIdx.x / a.blocks;
	w.C = (int64_t)a.s.NH * a.s.D;
	w.rows = (int)(blockDim.x >> 5) * ROWS;
	w.first = (int)((int64_t)blockIdx.x % a.blocks) * w.rows;
	w.mine = warp_id() * ROWS;
	w.length = attention_length(a.s, a.lengths, w.head);
	b = w.head / a.s.NH;
	w.qkv = b * a.s.T * 3 * w.C + w.head % a.s.NH * a.s.D;
	w.out = b * a.s.T * w.C + w.head % a.s.NH * a.s.D;
	return w;
}

/* Rows first .. first+n-1 as floats; zeros from row `limit` and column D on. By the whole block. */
template <typename A>
__device__ __forceinline__ void load_rows(
	float *to, int width, const A *from, int64_t stride, int n, int first, int limit, int D)
{
	for (int i = (int)threadIdx.x; i < n * width; i += (int)blockDim.x) {
		int row = i / width, d = i % width;

		to[i] = first + row < limit && d < D ? to_float(from[(first + row) * stride + d])
						     : 0;
	}
}

/* A new tile of 32 rows, once all are through with the old one. */
template <typename A>
__device__ __forceinline__ void next_tile(
	float *tile, int width, const A *from, int64_t stride, int first, int limit, int D)
{
	__syncthreads();
	load_rows(tile, width, from, stride, 32, first, limit, D);
	__syncthreads();
}

/* Of a warp's rows with the lane's row of the tile. */
__device__ __forceinline__ void dot_rows(
	float dot[ROWS], const float *rows, const float *tile, int width)
{
	const float4 *own = reinterpret_cast<const float4 *>(tile + lane_id() * width);

	for (int r = 0; r < ROWS; r++)
		dot[r] = 0;
	for (int i = 0; i < width / 4 - 1; i++) {
		float4 y = own[i];

#pragma unroll
		for (int r = 0; r < ROWS; r++) {
			float4 x = reinterpret_cast<const float4 *>(rows + r * width)[i];

			dot[r] = fmaf(x.x, y.x, dot[r]);
			dot[r] = fmaf(x.y, y.y, dot[r]);
			dot[r] = fmaf(x.z, y.z, dot[r]);
			dot[r] = fmaf(x.w, y.w, dot[r]);
		}
	}
}

/* sum[r] = sum[r] * factor[r] + the tile's rows, weighted by each lane's weight[r]. room: 32 *
 * ROWS floats of the warp. */
__device__ __forceinline__ void mix_rows(float *sum, const float factor[ROWS],
	const float weight[ROWS], const float *tile, int width, int D, float *room)
{
	__syncwarp();
	for (int r = 0; r < ROWS; r++)
		room[r * 32 + lane_id()] = weight[r];
	__syncwarp();
	for (int d = lane_id(); d < D; d += 32) {
		float x[ROWS];

#pragma unroll
		for (int r = 0; r < ROWS; r++)
			x[r] = sum[r * width + d] * factor[r];
		for (int i = 0; i < 32; i++) {
			float y = tile[i * width + d];

#pragma unroll
			for (int r = 0; r < ROWS; r++)
				x[r] = fmaf(room[r * 32 + i], y, x[r]);
		}
#pragma unroll
		for (int r = 0; r < ROWS; r++)
			sum[r * width + d] = x[r];
	}
}

/* A warp's sums to rows of memory; zeros from `length` on. */
template <typename A>
__device__ __forceinline__ void put_rows(A *to, int64_t stride, const float *sum,
	const float factor[ROWS], const simple_args &a, const simple_block &w)
{
	for (int r = 0; r < ROWS; r++) {
		int t = w.first + w.mine + r;

		if (t < a.s.T)
			for (int d = lane_id(); d < a.s.D; d += 32)
				to[t * stride + d] = from_float<A>(
					t < w.length ? sum[r * a.width + d] * factor[r] : 0);
	}
}

__device__ __forceinline__ void clear_floats(float *x, int n)
{
	for (int i = (int)threadIdx.x; i < n; i += (int)blockDim.x)
		x[i] = 0;
}

/* Keys of a tile that rows first .. first+rows-1 see, in tiles. */
__device__ __forceinline__ int tiles_before(const simple_block &w)
{
	int end = min(w.first + w.rows, w.length);

	return w.first < w.length ? (end + 31) / 32 : 0;
}

template <typename A> __global__ void simple_forward(const simple_args a)
{
	SHARED(float, shared);
	simple_block w = open_block(a);
	int width = a.width, D = a.s.D;
	float *q = shared, *sum = q + w.rows * width, *tile = sum + w.rows * width;
	float *room = tile + 32 * width + w.mine * 32;
	const A *from = (const A *)a.qkv + w.qkv;
	float max[ROWS], total[ROWS], factor[ROWS], p[ROWS];
	int n_tiles = tiles_before(w);

	load_rows(q, width, from, 3 * w.C, w.rows, w.first, w.length, D);
	clear_floats(sum, w.rows * width);
	for (int r = 0; r < ROWS; r++) {
		max[r] = -INFINITY;
		total[r] = 0;
	}
	for (int i = 0; i < n_tiles; i++) {
		int key = i * 32;

		next_tile(tile, width, from + w.C, 3 * w.C, key, w.length, D);
		dot_rows(p, q + w.mine * width, tile, width);
		for (int r = 0; r < ROWS; r++) {
			float score = key + lane_id() <= w.first + w.mine + r ? p[r] * a.s.scale
									      : -INFINITY;
			float best = fmaxf(max[r], warp_max(score));

			factor[r] = expf(max[r] - best);
			p[r] = expf(score - best);
			max[r] = best;
			total[r] = total[r] * factor[r] + warp_sum(p[r]);
		}
		next_tile(tile, width, from + 2 * w.C, 3 * w.C, key, w.length, D);
		mix_rows(sum + w.mine * width, factor, p, tile, width, D, room);
	}
	for (int r = 0; r < ROWS; r++) {
		int t = w.first + w.mine + r;

		factor[r] = 1 / total[r];
		if (t < a.s.T && lane_id() == 0)
			a.lse[w.head * a.s.T + t] = t < w.length ? max[r] + logf(total[r]) : 0;
	}
	put_rows((A *)a.out + w.out, w.C, sum + w.mine * width, factor, a, w);
}

/* dQ, and delta for the next kernel. */
template <typename A> __global__ void simple_queries(const simple_args a)
{
	SHARED(float, shared);
	simple_block w = open_block(a);
	int width = a.width, D = a.s.D, n_tiles = tiles_before(w);
	float *q = shared, *dout = q + w.rows * width, *sum = dout + w.rows * width;
	float *tile = sum + w.rows * width, *room = tile + 32 * width + w.mine * 32;
	const A *from = (const A *)a.qkv + w.qkv, *out = (const A *)a.out_in + w.out;
	float delta[ROWS], lse[ROWS], one[ROWS], scale[ROWS], score[ROWS], ds[ROWS];

	load_rows(q, width, from, 3 * w.C, w.rows, w.first, w.length, D);
	load_rows(dout, width, (const A *)a.dout + w.out, w.C, w.rows, w.first, w.length, D);
	clear_floats(sum, w.rows * width);
	__syncthreads();
	for (int r = 0; r < ROWS; r++) {
		int t = w.first + w.mine + r;
		bool valid = t < w.length;
		float x = 0;

		for (int d = lane_id(); valid && d < D; d += 32)
			x = fmaf(to_float(out[t * w.C + d]), dout[(w.mine + r) * width + d], x);
		delta[r] = warp_sum(x);
		lse[r] = valid ? a.lse[w.head * a.s.T + t] : INFINITY;
		one[r] = 1;
		scale[r] = a.s.scale;
		if (lane_id() == 0 && t < a.s.T)
			a.stats[w.head * 2 * a.s.stat_rows + t] = delta[r];
	}
	for (int i = 0; i < n_tiles; i++) {
		int key = i * 32;

		next_tile(tile, width, from + 2 * w.C, 3 * w.C, key, w.length, D);
		dot_rows(ds, dout + w.mine * width, tile, width);
		next_tile(tile, width, from + w.C, 3 * w.C, key, w.length, D);
		dot_rows(score, q + w.mine * width, tile, width);
		for (int r = 0; r < ROWS; r++)
			ds[r] = key + lane_id() <= w.first + w.mine + r
					? expf(score[r] * a.s.scale - lse[r]) * (ds[r] - delta[r])
					: 0;
		mix_rows(sum + w.mine * width, one, ds, tile, width, D, room);
	}
	put_rows((A *)a.dqkv + w.qkv, 3 * w.C, sum + w.mine * width, scale, a, w);
}

template <typename A> __global__ void simple_keys(const simple_args a)
{
	SHARED(float, shared);
	simple_block w = open_block(a);
	int width = a.width, D = a.s.D;
	float *k = shared, *v = k + w.rows * width, *dk = v + w.rows * width;
	float *dv = dk + w.rows * width, *tile = dv + w.rows * width;
	float *room = tile + 32 * width + w.mine * 32;
	const A *from = (const A *)a.qkv + w.qkv, *dout = (const A *)a.dout + w.out;
	float one[ROWS], scale[ROWS], p[ROWS], ds[ROWS];

	load_rows(k, width, from + w.C, 3 * w.C, w.rows, w.first, w.length, D);
	load_rows(v, width, from + 2 * w.C, 3 * w.C, w.rows, w.first, w.length, D);
	clear_floats(dk, 2 * w.rows * width);
	for (int r = 0; r < ROWS; r++) {
		one[r] = 1;
		scale[r] = a.s.scale;
	}
	for (int query = w.first / 32 * 32; query < w.length; query += 32) {
		int t = query + lane_id();
		bool valid = t < w.length;
		float lse = valid ? a.lse[w.head * a.s.T + t] : 0;
		float delta = valid ? a.stats[w.head * 2 * a.s.stat_rows + t] : 0;

		next_tile(tile, width, from, 3 * w.C, query, w.length, D);
		dot_rows(p, k + w.mine * width, tile, width);
		for (int r = 0; r < ROWS; r++)
			p[r] = valid && t >= w.first + w.mine + r ? expf(p[r] * a.s.scale - lse)
								  : 0;
		next_tile(tile, width, dout, w.C, query, w.length, D);
		dot_rows(ds, v + w.mine * width, tile, width);
		mix_rows(dv + w.mine * width, one, p, tile, width, D, room);
		for (int r = 0; r < ROWS; r++)
			ds[r] = p[r] * (ds[r] - delta);
		next_tile(tile, width, from, 3 * w.C, query, w.length, D);
		mix_rows(dk + w.mine * width, one, ds, tile, width, D, room);
	}
	__syncthreads();
	put_rows((A *)a.dqkv + w.qkv + w.C, 3 * w.C, dk + w.mine * width, scale, a, w);
	put_rows((A *)a.dqkv + w.qkv + 2 * w.C, 3 * w.C, dv + w.mine * width, one, a, w);
}

int width_of(const cuda_attention *a)
{
	return (int)pieces(a->D, 4) * 4 + 4;
}

/* Bytes for the rows of a block's warps times `tensors`, a tile, and the weights. */
size_t shared_for(const cuda_attention *a, int warps, int tensors)
{
	return (size_t)((warps * ROWS * tensors + 32) * width_of(a) + warps * ROWS * 32) *
	       sizeof(float);
}

/* Fewer rows a block where they are long: what takes most must fit. */
int warps_for(const cuda_attention *a)
{
	int warps = 4;

	while (warps > 1 && shared_for(a, warps, 4) > SHARED_LIMIT)
		warps /= 2;
	return warps;
}

simple_args args_of(const cuda_attention *a, int warps)
{
	simple_args args = {};

	args.s = attention_shape_of(a);
	args.width = width_of(a);
	args.blocks = (int)pieces(a->T, warps * ROWS);
	args.qkv = a->qkv;
	args.out_in = args.out = a->out;
	args.dout = a->dout;
	args.lengths = a->lengths;
	args.dqkv = a->dqkv;
	args.lse = a->lse;
	args.stats = (float *)a->workspace;
	return args;
}

template <typename A> void launch_forward(cuda_stream stream, const cuda_attention *a)
{
	int warps = warps_for(a);
	simple_args args = args_of(a, warps);
	dim3 grid((unsigned)(args.s.heads * args.blocks)), block(32 * (unsigned)warps);
	size_t shared = shared_for(a, warps, 2);

	ALLOW_SHARED(simple_forward<A>, shared);
	LAUNCH(simple_forward<A>, grid, block, shared, stream, args);
}

template <typename A> void launch_backward(cuda_stream stream, const cuda_attention *a)
{
	int warps = warps_for(a);
	simple_args args = args_of(a, warps);
	dim3 grid((unsigned)(args.s.heads * args.blocks)), block(32 * (unsigned)warps);
	size_t shared = shared_for(a, warps, 3);

	ALLOW_SHARED(simple_queries<A>, shared);
	LAUNCH(simple_queries<A>, grid, block, shared, stream, args);
	shared = shared_for(a, warps, 4);
	ALLOW_SHARED(simple_keys<A>, shared);
	LAUNCH(simple_keys<A>, grid, block, shared, stream, args);
}

} // namespace

void attention_simple_forward(cuda_stream stream, enum cuda_type type, const cuda_attention *a)
{
	if (type == CUDA_BF16)
		launch_forward<bf16>(stream, a);
	else
		launch_forward<float>(stream, a);
}

void attention_simple_backward(cuda_stream stream, enum cuda_type type, const cuda_attention *a)
{
	if (type == CUDA_BF16)
		launch_backward<bf16>(stream, a);
	else
		launch_backward<float>(stream, a);
}
