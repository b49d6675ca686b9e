/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cache.cu - filling caches of keys and values, and attention of one new position to them.
 *
 * Decoding is bound by memory: each key and value is read once, 16 bytes a lane, all loads of a
 * warp's 32 positions under way before the first is used (D = 64 in bf16). A block has SPLIT
 * positions of one head; blocks behind a sequence's position return at once, so the grid knows
 * T_max only and can be captured. (Sequences are the grid's x: CUDA's y and z end at 65535.) Since
 * SPLIT is fixed, and the parts are put together in the same
 * tree whether one kernel does it or a second one, the bits of a row depend on nothing but the row.
 */
#include "kernels/cuda/cache.h"
#include "kernels/cuda/device.cuh"

#define WARPS          4
#define WARP_POSITIONS 32
#define SPLIT          (WARPS * WARP_POSITIONS)
#define LOG2_E         1.4426950408889634
#define SCALAR_PARTS   16 /* 512 / 32 */

namespace
{

/* ---- a lane's part of a row -------------------------------------------------------------------
 */

/* 16 bytes at a time: `part` of D / E. */
template <typename A> struct vector_part {
	enum {
		E = 16 / sizeof(A),
		UNROLL = 8
	};
	uint4 raw;

	__device__ __forceinline__ void load(const A *row, int part, int D, bool valid)
	{
		raw = valid && part * E < D ? load16(row + part * E) : uint4{0, 0, 0, 0};
	}
	__device__ __forceinline__ void store(A *row, int part, int D) const
	{
		if (part * E < D)
			store16(row + part * E, raw);
	}
	__device__ __forceinline__ float at(int e) const
	{
		const uint32_t word[4] = {raw.x, raw.y, raw.z, raw.w};

		if (sizeof(A) == 4)
			return __uint_as_float(word[e & 3]);
		return __uint_as_float(
			e & 1 ? word[e / 2 & 3] & 0xffff0000u : word[e / 2 & 3] << 16);
	}
	static __device__ __forceinline__ int index(int part, int e)
	{
		return part * E + e;
	}
};

/* Every 32nd element: any D <= 512, any alignment. */
template <typename A> struct scalar_part {
	enum {
		E = SCALAR_PARTS,
		UNROLL = 2
	};
	A raw[E];

	__device__ __forceinline__ void load(const A *row, int part, int D, bool valid)
	{
#pragma unroll
		for (int e = 0; e < E; e++)
			raw[e] = valid && index(part, e) < D ? row[index(part, e)]
							     : from_float<A>(0);
	}
	__device__ __forceinline__ void store(A *row, int part, int D) const
	{
#pragma unroll
		for (int e = 0; e < E; e++)
			if (index(part, e) < D)
				row[index(part, e)] = raw[e];
	}
	__device__ __forceinline__ float at(int e) const
	{
		return to_float(raw[e]);
	}
	static __device__ __forceinline__ int index(int part, int e)
	{
		return e * 32 + part;
	}
};

/* ---- decoding ---------------------------------------------------------------------------------
 */

struct decode_args {
	int NH, D, T_max, splits;
	float scale_log2;
	const void *qkv;
	const int32_t *slot, *position;
	void *cache, *out;
	float *sums;    /* [B,NH,splits,D], unscaled */
	float2 *totals; /* [B,NH,splits]: maximum, and what the sums are over */
};

/* A softmax under way: `sum` mixes values with weights exp2(score - max), `total` adds these. */
template <int E> struct mixture {
	float max, total, sum[E];
};

/* exp2(of - max), where max may be that of nothing. */
__device__ __forceinline__ float weight_of(float of, float max)
{
	return of == -INFINITY ? 0 : fast_exp2(of - max);
}

/* Of all groups of LANES lanes, in every lane; the same tree always. */
template <int E, int LANES> __device__ __forceinline__ void join_groups(mixture<E> &m)
{
	float best = m.max, factor;

#pragma unroll
	for (int step = LANES; step < 32; step <<= 1)
		best = fmaxf(best, __shfl_xor_sync(ALL_LANES, best, step));
	factor = weight_of(m.max, best);
	m.max = best;
	m.total *= factor;
#pragma unroll
	for (int step = LANES; step < 32; step <<= 1)
		m.total += __shfl_xor_sync(ALL_LANES, m.total, step);
#pragma unroll
	for (int e = 0; e < E; e++) {
		m.sum[e] *= factor;
#pragma unroll
		for (int step = LANES; step < 32; step <<= 1)
			m.sum[e] += __shfl_xor_sync(ALL_LANES, m.sum[e], step);
	}
}

/* Where a block finds what it reads. */
template <typename A> struct decode_rows {
	const A *q; /* the new k and v are C and 2 C further */
	A *keys;    /* of the head */
	A *values;
	int64_t C;
	int position;
};

/* UNROLL positions of each group of lanes, from `first` on. The new position's k and v come from
 * qkv and go into the cache here. */
template <typename A, typename P, int LANES, int UNROLL>
__device__ __forceinline__ void attend(
	mixture<P::E> &m, const float (&q)[P::E], const decode_rows<A> &rows, int first, int D)
{
	int group = lane_id() / LANES, part = lane_id() % LANES;
	P key[UNROLL], value[UNROLL];
	float score[UNROLL], best = m.max, factor;

#pragma unroll
	for (int u = 0; u < UNROLL; u++) {
		int t = first + u * (32 / LANES) + group;
		int64_t at = (int64_t)t * D;
		bool fresh = t == rows.position, valid = t <= rows.position;

		key[u].load(fresh ? rows.q + rows.C : rows.keys + at, part, D, valid);
		value[u].load(fresh ? rows.q + 2 * rows.C : rows.values + at, part, D, valid);
	}
#pragma unroll
	for (int u = 0; u < UNROLL; u++) {
		int t = first + u * (32 / LANES) + group;
		float dot = 0;

#pragma unroll
		for (int e = 0; e < P::E; e++)
			dot = fmaf(q[e], key[u].at(e), dot);
#pragma unroll
		for (int step = LANES / 2; step > 0; step >>= 1)
			dot += __shfl_xor_sync(ALL_LANES, dot, step);
		score[u] = t <= rows.position ? dot : -INFINITY;
		best = fmaxf(best, score[u]);
	}
	/* Not among the loads: they would wait for one another. */
#pragma unroll
	for (int u = 0; u < UNROLL; u++)
		if (first + u * (32 / LANES) + group == rows.position) {
			int64_t at = (int64_t)rows.position * D;

			key[u].store(rows.keys + at, part, D);
			value[u].store(rows.values + at, part, D);
		}
	factor = weight_of(m.max, best);
	m.max = best;
	m.total *= factor;
#pragma unroll
	for (int e = 0; e < P::E; e++)
		m.sum[e] *= factor;
#pragma unroll
	for (int u = 0; u < UNROLL; u++) {
		float p = weight_of(score[u], best);

		m.total += p;
#pragma unroll
		for (int e = 0; e < P::E; e++)
			m.sum[e] = fmaf(p, value[u].at(e), m.sum[e]);
	}
}

template <typename A, typename P, int LANES>
__global__ void __launch_bounds__(32 * WARPS) decode_kernel(const decode_args a)
{
	enum {
		GROUPS = 32 / LANES,
		UNROLL = P::UNROLL < LANES ? (int)P::UNROLL : LANES
	};
	SHARED(float, shared);
	float *sums = shared;                                            /* [WARPS][D] */
	float2 *totals = reinterpret_cast<float2 *>(sums + WARPS * a.D); /* [WARPS] */
	int64_t b = blockIdx.x, h = blockIdx.y, C = (int64_t)a.NH * a.D;
	int position = a.position[b], block_first = (int)blockIdx.z * SPLIT;
	int first = block_first + warp_id() * WARP_POSITIONS;
	int part = lane_id() % LANES;

	if (block_first > position)
		return;

	decode_rows<A> rows;
	float q[P::E];
	mixture<P::E> m;
	P raw;

	rows.q = (const A *)a.qkv + b * 3 * C + h * a.D;
	rows.keys = (A *)a.cache + ((int64_t)a.slot[b] * 2 * a.NH + h) * a.T_max * a.D;
	rows.values = rows.keys + (int64_t)a.T_max * C;
	rows.C = C;
	rows.position = position;
	raw.load(rows.q, part, a.D, true);
	m.max = -INFINITY;
	m.total = 0;
#pragma unroll
	for (int e = 0; e < P::E; e++) {
		q[e] = raw.at(e) * a.scale_log2;
		m.sum[e] = 0;
	}
	for (int i = 0; i < WARP_POSITIONS && first + i <= position; i += UNROLL * GROUPS)
		attend<A, P, LANES, UNROLL>(m, q, rows, first + i, a.D);
	join_groups<P::E, LANES>(m);
	if (lane_id() < LANES)
#pragma unroll
		for (int e = 0; e < P::E; e++)
			if (P::index(part, e) < a.D)
				sums[warp_id() * a.D + P::index(part, e)] = m.sum[e];
	if (lane_id() == 0)
		totals[warp_id()] = float2{m.max, m.total};
	__syncthreads();

	int64_t at = (b * a.NH + h) * a.splits + blockIdx.z;
	float2 all = {-INFINITY, 0};

	for (int i = 0; i < WARPS; i++)
		all.x = fmaxf(all.x, totals[i].x);
	for (int i = 0; i < WARPS; i++)
		all.y = fmaf(totals[i].y, weight_of(totals[i].x, all.x), all.y);
	for (int d = (int)threadIdx.x; d < a.D; d += 32 * WARPS) {
		float x = 0;

		for (int i = 0; i < WARPS; i++)
			x = fmaf(sums[i * a.D + d], weight_of(totals[i].x, all.x), x);

		if (a.splits == 1)
			((A *)a.out)[b * C + h * a.D + d] = from_float<A>(x / all.y);
		else
			a.sums[at * a.D + d] = x;
	}
	if (threadIdx.x == 0 && a.splits > 1)
		a.totals[at] = all;
}

/* Puts the parts of a head together, in order: 32 of them at a time, one a lane. */
template <typename A> __global__ void join_kernel(const decode_args a)
{
	int64_t b = blockIdx.x, h = blockIdx.y, at = (b * a.NH + h) * a.splits;
	int n = a.position[b] / SPLIT + 1;
	const float2 *totals = a.totals + at;
	float max = -INFINITY, total = 0;

	for (int i = lane_id(); i < n; i += 32)
		max = fmaxf(max, totals[i].x);
	max = warp_max(max);
	for (int i = lane_id(); i < n; i += 32)
		total = fmaf(totals[i].y, weight_of(totals[i].x, max), total);
	total = warp_sum(total);
	/* All lanes stay for the shuffles; those behind D have nothing to put out. */
	for (int first = 0; first < a.D; first += (int)blockDim.x) {
		int d = first + (int)threadIdx.x;
		const float *sums = a.sums + at * a.D + (d < a.D ? d : 0);
		float x = 0;

		for (int i = 0; i < n; i += 32) {
			float weight =
				i + lane_id() < n ? weight_of(totals[i + lane_id()].x, max) : 0;
			int end = min(32, n - i);

#pragma unroll 8
			for (int j = 0; j < end; j++)
				x = fmaf(sums[(int64_t)(i + j) * a.D],
					__shfl_sync(ALL_LANES, weight, j), x);
		}
		if (d < a.D)
			((A *)a.out)[(b * a.NH + h) * a.D + d] = from_float<A>(x / total);
	}
}

template <typename A, typename P, int LANES>
void launch_split(cuda_stream stream, const decode_args &a, int64_t B)
{
	dim3 grid((unsigned)B, (unsigned)a.NH, (unsigned)a.splits);
	auto kernel = decode_kernel<A, P, LANES>;

	LAUNCH(kernel, grid, dim3(32 * WARPS),
		WARPS * ((size_t)a.D * sizeof(float) + sizeof(float2)), stream, a);
}

/* With as many lanes a row as it has pieces of 16 bytes, to the next power of two. */
template <typename A>
void launch_decode(cuda_stream stream, const decode_args &a, int64_t B, bool vectors)
{
	int lanes = (int)pieces(a.D, 16 / (int)sizeof(A));

	if (!vectors || lanes > 32)
		launch_split<A, scalar_part<A>, 32>(stream, a, B);
	else if (lanes <= 2)
		launch_split<A, vector_part<A>, 2>(stream, a, B);
	else if (lanes <= 4)
		launch_split<A, vector_part<A>, 4>(stream, a, B);
	else if (lanes <= 8)
		launch_split<A, vector_part<A>, 8>(stream, a, B);
	else if (lanes <= 16)
		launch_split<A, vector_part<A>, 16>(stream, a, B);
	else
		launch_split<A, vector_part<A>, 32>(stream, a, B);
	if (a.splits > 1)
		LAUNCH(join_kernel<A>, dim3((unsigned)B, (unsigned)a.NH),
			dim3(a.D <= 64 ? 64 : 128), 0, stream, a);
}

/* ---- filling ----------------------------------------------------------------------------------
 */

struct fill_args {
	int T, NH, D, T_max;
	const void *qkv;
	const int32_t *slot, *lengths;
	void *cache;
};

template <typename A> __device__ __forceinline__ void copy_elements(A *to, const A *from, int n)
{
	if (n > 1)
		store16(to, load16(from));
	else
		*to = *from;
}

/* A block has one position of one sequence; E elements at a time, which lie in one head. */
template <typename A, int E> __global__ void fill_kernel(const fill_args a)
{
	int t = (int)blockIdx.y, C = a.NH * a.D;
	int64_t b = blockIdx.x;
	const A *from = (const A *)a.qkv + ((b * a.T + t) * 3 + 1) * C;
	A *to = (A *)a.cache + (int64_t)a.slot[b] * 2 * a.T_max * C + (int64_t)t * a.D;

	if (t >= (a.lengths ? a.lengths[b] : a.T) || t >= a.T_max)
		return;
	for (int i = (int)threadIdx.x * E; i < 2 * C; i += (int)blockDim.x * E) {
		int head = i / a.D, d = i - head * a.D; /* heads of values follow those of keys */

		copy_elements(to + (int64_t)head * a.T_max * a.D + d, from + i, E);
	}
}

template <typename A, int E> void launch_fill(cuda_stream stream, const fill_args &a, int64_t B)
{
	int64_t threads = pieces(pieces(2 * (int64_t)a.NH * a.D, E), 32) * 32;

	LAUNCH((fill_kernel<A, E>), dim3((unsigned)B, (unsigned)a.T),
		dim3((unsigned)(threads < 512 ? threads : 512)), 0, stream, a);
}

bool by_vectors(enum cuda_type type, int64_t D, const void *a, const void *b)
{
	return D * (int64_t)cuda_type_bytes(type) % 16 == 0 &&
	       ((uintptr_t)a | (uintptr_t)b) % 16 == 0;
}

int64_t splits_of(int64_t T_max)
{
	return pieces(T_max, SPLIT);
}

} // namespace

extern "C" size_t cuda_cache_bytes(
	enum cuda_type type, int64_t slots, int64_t NH, int64_t D, int64_t T_max)
{
	return (size_t)(slots * 2 * T_max * NH * D) * cuda_type_bytes(type);
}

extern "C" void cuda_cache_fill(cuda_stream stream, enum cuda_type type, void *cache,
	const void *qkv, const int32_t *slot, const int32_t *lengths, int64_t B, int64_t T,
	int64_t NH, int64_t D, int64_t T_max)
{
	fill_args a = {(int)T, (int)NH, (int)D, (int)T_max, qkv, slot, lengths, cache};
	bool vectors = by_vectors(type, D, cache, qkv);

	if (B * T * NH * D == 0)
		return;
	if (type == CUDA_BF16 && vectors)
		launch_fill<bf16, 8>(stream, a, B);
	else if (type == CUDA_BF16)
		launch_fill<bf16, 1>(stream, a, B);
	else if (vectors)
		launch_fill<float, 4>(stream, a, B);
	else
		launch_fill<float, 1>(stream, a, B);
}

extern "C" size_t cuda_decode_workspace(int64_t B, int64_t NH, int64_t D, int64_t T_max)
{
	int64_t splits = splits_of(T_max);

	return splits > 1 ? (size_t)(B * NH * splits * (D + 2)) * sizeof(float) : 0;
}

extern "C" void cuda_decode_attention(cuda_stream stream, enum cuda_type type, const cuda_decode *d)
{
	decode_args a = {};
	bool vectors = by_vectors(type, d->D, d->cache, d->qkv);

	if (d->B * d->NH * d->D == 0)
		return;
	a.NH = (int)d->NH;
	a.D = (int)d->D;
	a.T_max = (int)d->T_max;
	a.splits = (int)splits_of(d->T_max);
	a.scale_log2 = (float)(LOG2_E / sqrt((double)d->D));
	a.qkv = d->qkv;
	a.slot = d->slot;
	a.position = d->position;
	a.cache = d->cache;
	a.out = d->out;
	a.totals = (float2 *)d->workspace; /* first: pairs must be aligned */
	a.sums = (float *)d->workspace + d->B * d->NH * a.splits * 2;
	if (type == CUDA_BF16)
		launch_decode<bf16>(stream, a, d->B, vectors);
	else
		launch_decode<float>(stream, a, d->B, vectors);
}
