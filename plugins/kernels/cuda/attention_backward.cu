/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention_backward.cu - causal attention, backward, without atomics: two kernels, each of which
 * owns what it sums.
 *
 * queries_kernel has 128 queries of a head and passes over the keys: dQ = scale * sum dS K.
 * keys_kernel has 128 keys and passes over the queries: dV = sum P^T dO, dK = scale * sum dS^T Q.
 * Both compute S and dP anew, that is 7 products instead of 5; in return nothing but inputs and
 * results touches memory, and since keys_kernel computes S and dP transposed, P and dS go from the
 * registers of one product straight into the next, in both kernels: no round trip through shared
 * memory and one barrier a tile. What else would be deterministic and take 5 products: dQ as
 * partial sums of each block of keys, in floats, is about 2 (T/128) T D bytes a head, written and
 * read: by the arithmetic longer in memory than the two products saved would take, and gigabytes of
 * workspace where the batch is large; dQ added up by blocks
 * that wait for each other in turn saves the workspace and depends on the order in which the
 * hardware starts blocks.
 *
 * With P = exp(S - lse): dS = P (dP - delta), delta = rowsum(out * dout). queries_kernel finds
 * delta on its way and leaves it, with lse in powers of two, for keys_kernel, in whole tiles: rows
 * behind a sequence have lse = infinity, so P = 0.
 */
#include "kernels/cuda/attention.cuh"

namespace
{

struct backward_args {
	attention_shape s;
	const bf16 *qkv;
	const int32_t *lengths;
	const bf16 *out, *dout;
	const float *lse;
	float *stats; /* [heads][2][stat_rows]: lse * log2(e), delta */
	bf16 *dqkv;
};

/* ---- dQ ---------------------------------------------------------------------------------------
 */

template <int W> struct queries_plan {
	enum {
		M = 2,
		WARPS = ATTENTION_ROWS / (16 * M),
		KEYS = W <= 64 ? 64 : 32, /* of a tile in shared memory */
		STEP = 32,                /* of them at a time in registers */
		KEEP = W <= 64,
		THREADS = 32 * WARPS,
		Q_TILE = ATTENTION_ROWS * W,
		KV_TILE = KEYS * W,
		SHARED_BYTES = (2 * Q_TILE + 4 * KV_TILE) * 2 + 2 * ATTENTION_ROWS * 4
	};
};

/*
 * lse and delta of a warp's ROWS rows, from `first_in_tile` on: into shared memory (`room`: lse of
 * ATTENTION_ROWS, then delta) and into `stats`.
 */
template <int W, int ROWS>
__device__ __forceinline__ void find_stats(float *room, const backward_args &a, int64_t head,
	const bf16 *out, int64_t C, const bf16 *dout_tile, int first_in_tile, int first, int length)
{
	enum {
		LANES = W <= 32 ? 4 : W <= 64 ? 8 : 16, /* for a row */
		AT_ONCE = 32 / LANES
	};
	const attention_shape &s = a.s;
	float *stats = a.stats + head * 2 * s.stat_rows;
	int chunk = lane_id() % LANES;

	for (int i = 0; i < ROWS; i += AT_ONCE) {
		int row = i + lane_id() / LANES, t = first + row, slot = first_in_tile + row;
		bool valid = t < length;
		float delta = 0;

		if (valid && chunk * 8 < s.D) {
			vec<bf16> x = load_vec(out + t * C + chunk * 8);
			vec<bf16> y = load_vec(dout_tile + place<W>(slot, chunk));

#pragma unroll
			for (int j = 0; j < 8; j++)
				delta = fmaf(x.x[j], y.x[j], delta);
		}
#pragma unroll
		for (int step = LANES / 2; step > 0; step >>= 1)
			delta += __shfl_xor_sync(ALL_LANES, delta, step);
		if (chunk == 0) {
			float lse = valid ? a.lse[head * s.T + t] * LOG2_E : INFINITY;

			room[slot] = stats[t] = lse;
			room[ATTENTION_ROWS + slot] = stats[s.stat_rows + t] = delta;
		}
	}
}

/* dS, unscaled, in place of dP; S is lost. Rows are queries. */
template <int M, int N>
__device__ __forceinline__ void to_dscore(float (&dp)[M][N][4], const float (&score)[M][N][4],
	const float (&lse)[M][2], const float (&delta)[M][2], float scale_log2, bool masked,
	int row, int key)
{
	int behind = row + (lane_id() >> 2) - key - 2 * (lane_id() & 3);

#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int n = 0; n < N; n++)
#pragma unroll
			for (int i = 0; i < 4; i++) {
				float p =
					fast_exp2(fmaf(score[m][n][i], scale_log2, -lse[m][i / 2]));

				if (masked && n * 8 + i % 2 > behind + m * 16 + i / 2 * 8)
					p = 0;
				dp[m][n][i] = p * (dp[m][n][i] - delta[m][i / 2]);
			}
}

template <int W>
__global__ void __launch_bounds__(queries_plan<W>::THREADS, 2) queries_kernel(const backward_args a)
{
	typedef queries_plan<W> plan;
	enum {
		M = plan::M,
		KEYS = plan::KEYS,
		STEP = plan::STEP,
		N = STEP / 8,
		THREADS = plan::THREADS
	};
	SHARED(bf16, shared);
	bf16 *q_tile = shared, *dout_tile = q_tile + plan::Q_TILE;
	bf16 *kv_tiles = dout_tile + plan::Q_TILE;
	float *room = reinterpret_cast<float *>(kv_tiles + 4 * plan::KV_TILE);
	const attention_shape &s = a.s;
	attention_work work = attention_work_of(s, blockIdx.x);
	int length = attention_length(s, a.lengths, work.head);
	int first = (s.tiles - 1 - work.rank) * ATTENTION_ROWS;
	int64_t C = (int64_t)s.NH * s.D, stride = 3 * C;
	int64_t b = work.head / s.NH, column = work.head % s.NH * s.D;
	const bf16 *q = a.qkv + b * s.T * stride + column;
	bf16 *dq = a.dqkv + b * s.T * stride + column;

	if (first >= length) {
		clear_rows<ATTENTION_ROWS>(dq, stride, first, s.T, s.D);
		return;
	}
	fetch_tile<W, ATTENTION_ROWS, THREADS>(q_tile, q, stride, first, length, s.D);
	fetch_tile<W, ATTENTION_ROWS, THREADS>(
		dout_tile, a.dout + b * s.T * C + column, C, first, length, s.D);
	fetch_tile<W, KEYS, THREADS>(kv_tiles, q + C, stride, 0, length, s.D);
	fetch_tile<W, KEYS, THREADS>(kv_tiles + plan::KV_TILE, q + 2 * C, stride, 0, length, s.D);
	copies_commit();

	int mine = warp_id() * 16 * M, row = first + mine;
	int n_tiles = (min(first + ATTENTION_ROWS, length) - 1) / KEYS + 1;
	left_rows<W, M, plan::KEEP> queries(q_tile + mine * W), douts(dout_tile + mine * W);
	lane_place<W> row_lane = right_place<W>(), column_lane = left_place<W>();
	float sum[M][W / 8][4], lse[M][2], delta[M][2];

	clear_sums<W, M>(sum);
	for (int tile = 0; tile < n_tiles; tile++) {
		const bf16 *keys = kv_tiles + (tile & 1) * 2 * plan::KV_TILE;
		const bf16 *values = keys + plan::KV_TILE;

		copies_wait<0>();
		__syncthreads();
		if (tile == 0) {
			find_stats<W, 16 * M>(room, a, work.head, a.out + b * s.T * C + column, C,
				dout_tile, mine, row, length);
			__syncwarp();
			queries.fill();
			douts.fill();
#pragma unroll
			for (int m = 0; m < M; m++)
#pragma unroll
				for (int half = 0; half < 2; half++) {
					int slot = mine + m * 16 + half * 8 + (lane_id() >> 2);

					lse[m][half] = room[slot];
					delta[m][half] = room[ATTENTION_ROWS + slot];
				}
		}
		if (tile + 1 < n_tiles) {
			bf16 *next = kv_tiles + (~tile & 1) * 2 * plan::KV_TILE;
			int key = (tile + 1) * KEYS;

			fetch_tile<W, KEYS, THREADS>(next, q + C, stride, key, length, s.D);
			fetch_tile<W, KEYS, THREADS>(
				next + plan::KV_TILE, q + 2 * C, stride, key, length, s.D);
			copies_commit();
		}
#pragma unroll 1
		for (int step = 0; step < KEYS; step += STEP) {
			int key = tile * KEYS + step;
			float score[M][N][4], dp[M][N][4];

			if (key > row + 16 * M - 1 || row >= length)
				break;
			multiply_rows<W, M, N, plan::KEEP>(score, queries, keys, step, row_lane);
			multiply_rows<W, M, N, plan::KEEP>(dp, douts, values, step, row_lane);
			if (key + STEP - 1 > row)
				to_dscore<M, N>(
					dp, score, lse, delta, s.scale_log2, true, row, key);
			else
				to_dscore<M, N>(
					dp, score, lse, delta, s.scale_log2, false, row, key);
#pragma unroll
			for (int k = 0; k < N / 2; k++) {
				uint32_t ds[M][4];

#pragma unroll
				for (int m = 0; m < M; m++)
					pack_left(ds[m], dp[m][2 * k], dp[m][2 * k + 1]);
				add_product<W, M>(sum, ds, keys, step + k * 16, column_lane);
			}
		}
	}

	float factor[M][2];

#pragma unroll
	for (int m = 0; m < M; m++)
		factor[m][0] = factor[m][1] = s.scale;
	__syncwarp();
	put_sums<W, M>(q_tile, mine, sum, factor);
	__syncwarp();
	store_rows<W, 16 * M>(dq, stride, q_tile, mine, row, length, s.T, s.D);
}

/* ---- dK and dV --------------------------------------------------------------------------------
 */

template <int W> struct keys_plan {
	enum {
		M = W <= 64 ? 2 : 1,
		WARPS = ATTENTION_ROWS / (16 * M),
		QUERIES = W <= 96 ? 64 : 32,      /* of a tile in shared memory */
		STEP = M == 1 ? (int)QUERIES : 32, /* of them at a time in registers */
		KEEP = W <= 32, /* keys and values */
		THREADS = 32 * WARPS,
		BLOCKS = W <= 64 ? 2 : 1, /* on an SM */
		KV_TILE = ATTENTION_ROWS * W,
		Q_TILE = QUERIES * W,
		STATS = 2 * QUERIES,
		SHARED_BYTES = (2 * KV_TILE + 4 * Q_TILE) * 2 + 2 * STATS * 4
	};
};

/* P in place of S. Rows are keys, columns queries. */
template <int M, int N>
__device__ __forceinline__ void to_probability(float (&score)[M][N][4], const float *lse,
	float scale_log2, bool masked, int row, int query)
{
	int before = row + (lane_id() >> 2) - query - 2 * (lane_id() & 3);

#pragma unroll
	for (int n = 0; n < N; n++) {
		float2 shift = *reinterpret_cast<const float2 *>(lse + n * 8 + 2 * (lane_id() & 3));

#pragma unroll
		for (int m = 0; m < M; m++)
#pragma unroll
			for (int i = 0; i < 4; i++) {
				float p = fast_exp2(fmaf(
					score[m][n][i], scale_log2, -(i % 2 ? shift.y : shift.x)));

				if (masked && n * 8 + i % 2 < before + m * 16 + i / 2 * 8)
					p = 0;
				score[m][n][i] = p;
			}
	}
}

/* dS, unscaled, in place of P. */
template <int M, int N>
__device__ __forceinline__ void to_dscore_by_column(
	float (&p)[M][N][4], const float (&dp)[M][N][4], const float *delta)
{
#pragma unroll
	for (int n = 0; n < N; n++) {
		float2 d = *reinterpret_cast<const float2 *>(delta + n * 8 + 2 * (lane_id() & 3));

#pragma unroll
		for (int m = 0; m < M; m++)
#pragma unroll
			for (int i = 0; i < 4; i++)
				p[m][n][i] *= dp[m][n][i] - (i % 2 ? d.y : d.x);
	}
}

/* sum += left right, with left as sums of a product and the right operand from row `row` on. */
template <int W, int M, int N>
__device__ __forceinline__ void add_columns(float (&sum)[M][W / 8][4], const float (&left)[M][N][4],
	const bf16 *right, int row, const lane_place<W> &lane)
{
#pragma unroll
	for (int k = 0; k < N / 2; k++) {
		uint32_t packed[M][4];

#pragma unroll
		for (int m = 0; m < M; m++)
			pack_left(packed[m], left[m][2 * k], left[m][2 * k + 1]);
		add_product<W, M>(sum, packed, right, row + k * 16, lane);
	}
}

/* A tile of queries with what belongs to them. */
template <int W>
__device__ __forceinline__ void fetch_queries(bf16 *tile, float *stats, const bf16 *q,
	const bf16 *dout, int64_t C, const float *from, int first, int length,
	const attention_shape &s)
{
	typedef keys_plan<W> plan;
	int thread = (int)threadIdx.x;

	fetch_tile<W, plan::QUERIES, plan::THREADS>(tile, q, 3 * C, first, length, s.D);
	fetch_tile<W, plan::QUERIES, plan::THREADS>(
		tile + plan::Q_TILE, dout, C, first, length, s.D);
	if (thread < plan::STATS / 4)
		copy_async(stats + thread * 4,
			from + (thread < plan::QUERIES / 4 ? 0 : s.stat_rows - plan::QUERIES) +
				first + thread * 4,
			true);
	copies_commit();
}

template <int W>
__global__ void __launch_bounds__(keys_plan<W>::THREADS, keys_plan<W>::BLOCKS)
	keys_kernel(const backward_args a)
{
	typedef keys_plan<W> plan;
	enum {
		M = plan::M,
		QUERIES = plan::QUERIES,
		STEP = plan::STEP,
		N = STEP / 8,
		THREADS = plan::THREADS
	};
	SHARED(bf16, shared);
	bf16 *k_tile = shared, *v_tile = k_tile + plan::KV_TILE, *q_tiles = v_tile + plan::KV_TILE;
	float *all_stats = reinterpret_cast<float *>(q_tiles + 4 * plan::Q_TILE);
	const attention_shape &s = a.s;
	attention_work work = attention_work_of(s, blockIdx.x);
	int length = attention_length(s, a.lengths, work.head);
	int first = work.rank * ATTENTION_ROWS; /* the first keys have the most queries */
	int64_t C = (int64_t)s.NH * s.D, stride = 3 * C;
	int64_t b = work.head / s.NH, column = work.head % s.NH * s.D;
	const bf16 *q = a.qkv + b * s.T * stride + column;
	const bf16 *dout = a.dout + b * s.T * C + column;
	const float *stats = a.stats + work.head * 2 * s.stat_rows;

	if (first >= length) {
		bf16 *dk = a.dqkv + (q - a.qkv) + C;

		clear_rows<ATTENTION_ROWS>(dk, stride, first, s.T, s.D);
		clear_rows<ATTENTION_ROWS>(dk + C, stride, first, s.T, s.D);
		return;
	}
	fetch_tile<W, ATTENTION_ROWS, THREADS>(k_tile, q + C, stride, first, length, s.D);
	fetch_tile<W, ATTENTION_ROWS, THREADS>(v_tile, q + 2 * C, stride, first, length, s.D);
	fetch_queries<W>(q_tiles, all_stats, q, dout, C, stats, first, length, s);

	int mine = warp_id() * 16 * M, row = first + mine;
	left_rows<W, M, plan::KEEP> keys(k_tile + mine * W), values(v_tile + mine * W);
	lane_place<W> row_lane = right_place<W>(), column_lane = left_place<W>();
	float dk_sum[M][W / 8][4], dv_sum[M][W / 8][4];

	clear_sums<W, M>(dk_sum);
	clear_sums<W, M>(dv_sum);
	for (int query = first; query < length; query += QUERIES) {
		int stage = (query - first) / QUERIES & 1;
		const bf16 *q_tile = q_tiles + stage * 2 * plan::Q_TILE;
		const bf16 *dout_tile = q_tile + plan::Q_TILE;
		const float *lse = all_stats + stage * plan::STATS, *delta = lse + QUERIES;

		copies_wait<0>();
		__syncthreads();
		if (query == first) {
			keys.fill();
			values.fill();
		}
		if (query + QUERIES < length)
			fetch_queries<W>(q_tiles + (stage ^ 1) * 2 * plan::Q_TILE,
				all_stats + (stage ^ 1) * plan::STATS, q, dout, C, stats,
				query + QUERIES, length, s);
#pragma unroll 1
		for (int step = 0; step < QUERIES; step += STEP) {
			float p[M][N][4], dp[M][N][4];

			if (query + step + STEP - 1 < row || query + step >= length ||
				row >= length)
				continue;
			multiply_rows<W, M, N, plan::KEEP>(p, keys, q_tile, step, row_lane);
			if (query + step < row + 16 * M - 1)
				to_probability<M, N>(
					p, lse + step, s.scale_log2, true, row, query + step);
			else
				to_probability<M, N>(
					p, lse + step, s.scale_log2, false, row, query + step);
			add_columns<W, M, N>(dv_sum, p, dout_tile, step, column_lane);
			multiply_rows<W, M, N, plan::KEEP>(dp, values, dout_tile, step, row_lane);
			to_dscore_by_column<M, N>(p, dp, delta + step);
			add_columns<W, M, N>(dk_sum, p, q_tile, step, column_lane);
		}
	}

	bf16 *dk = a.dqkv + (q - a.qkv) + C;
	float factor[M][2], one[M][2];

#pragma unroll
	for (int m = 0; m < M; m++) {
		factor[m][0] = factor[m][1] = s.scale;
		one[m][0] = one[m][1] = 1;
	}
	__syncwarp();
	put_sums<W, M>(k_tile, mine, dk_sum, factor);
	put_sums<W, M>(v_tile, mine, dv_sum, one);
	__syncwarp();
	store_rows<W, 16 * M>(dk, stride, k_tile, mine, row, length, s.T, s.D);
	store_rows<W, 16 * M>(dk + C, stride, v_tile, mine, row, length, s.T, s.D);
}

template <int W> void launch_backward(cuda_stream stream, const cuda_attention *a)
{
	backward_args args = {attention_shape_of(a), (const bf16 *)a->qkv, a->lengths,
		(const bf16 *)a->out, (const bf16 *)a->dout, a->lse, (float *)a->workspace,
		(bf16 *)a->dqkv};
	unsigned blocks = (unsigned)(args.s.heads * args.s.tiles);

	static_assert((int)queries_plan<W>::SHARED_BYTES <= SHARED_LIMIT &&
			      (int)keys_plan<W>::SHARED_BYTES <= SHARED_LIMIT,
		"fits on every GPU");
	ALLOW_SHARED(queries_kernel<W>, queries_plan<W>::SHARED_BYTES);
	ALLOW_SHARED(keys_kernel<W>, keys_plan<W>::SHARED_BYTES);
	LAUNCH(queries_kernel<W>, dim3(blocks), dim3(queries_plan<W>::THREADS),
		queries_plan<W>::SHARED_BYTES, stream, args);
	LAUNCH(keys_kernel<W>, dim3(blocks), dim3(keys_plan<W>::THREADS),
		keys_plan<W>::SHARED_BYTES, stream, args);
}

} // namespace

extern "C" size_t cuda_attention_workspace(int64_t B, int64_t T, int64_t NH)
{
	return (size_t)(B * NH * 2 * pieces(T, ATTENTION_ROWS) * ATTENTION_ROWS) * sizeof(float);
}

extern "C" void cuda_attention_backward(
	cuda_stream stream, enum cuda_type type, const cuda_attention *a)
{
	if (a->B * a->T * a->NH * a->D == 0)
		return;
	if (!attention_is_fast(type, a))
		attention_simple_backward(stream, type, a);
	else if (a->D <= 32)
		launch_backward<32>(stream, a);
	else if (a->D <= 64)
		launch_backward<64>(stream, a);
	else if (a->D <= 96)
		launch_backward<96>(stream, a);
	else
		launch_backward<128>(stream, a);
}
