/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.cuh - what the attention kernels share: tiles in shared memory, products of tiles,
 * the order of blocks.
 *
 * The fast kernels (bf16, D a multiple of 8 and <= 128) use 16-row tiles of mma.sync. A warp has
 * two of them wherever its registers allow: each fragment of the right operand that is read from
 * shared memory then serves two products, and shared memory (128 bytes a cycle and SM) keeps up
 * with the tensor cores (about 0.6 products a cycle and SM on an H100, 256 bytes of fragments
 * each). Everything else takes the kernels of attention_simple.cu.
 */
#ifndef CAIRN_KERNELS_CUDA_ATTENTION_CUH
#define CAIRN_KERNELS_CUDA_ATTENTION_CUH

#include "kernels/cuda/attention.h"
#include "kernels/cuda/device.cuh"

#define LOG2_E 1.4426950408889634f
#define LN_2   0.6931471805599453f

/* Rows of the longer side of a block's tiles. */
#define ATTENTION_ROWS 128
/* Keys and values of heads that run at the same time, in bytes: a part of the L2 cache. */
#define ATTENTION_GROUP_BYTES ((int64_t)16 << 20)

/* What all kernels need of a problem; T, D and heads fit in an int. */
struct attention_shape {
	int T, NH, D;
	int tiles;         /* of ATTENTION_ROWS rows in T */
	int group;         /* heads whose blocks run side by side */
	int64_t heads;     /* B * NH */
	float scale;       /* of scores */
	float scale_log2;  /* and for exp2 */
	int64_t stat_rows; /* T, rounded up to whole tiles */
};

static inline attention_shape attention_shape_of(const cuda_attention *a)
{
	int64_t group = ATTENTION_GROUP_BYTES / (a->T * a->D * 4), heads = a->B * a->NH;
	double scale = 1 / sqrt((double)a->D);
	attention_shape s;

	s.T = (int)a->T;
	s.NH = (int)a->NH;
	s.D = (int)a->D;
	s.heads = heads;
	s.group = (int)(group < 1 ? 1 : group > heads ? heads : group);
	s.scale = (float)scale;
	s.scale_log2 = (float)(scale * 1.4426950408889634);
	s.tiles = (int)pieces(a->T, ATTENTION_ROWS);
	s.stat_rows = (int64_t)s.tiles * ATTENTION_ROWS;
	return s;
}

/* A block's head and the rank of its tile among the head's tiles. */
struct attention_work {
	int64_t head;
	int rank;
};

/*
 * Heads run in groups whose keys and values stay in the L2 cache; within a group all tiles of
 * rank 0 go first, then those of rank 1: with the longest rows of tiles first, the short ones fill
 * the gaps at the end.
 */
static __device__ __forceinline__ attention_work attention_work_of(
	const attention_shape &s, int64_t block)
{
	int64_t first = block / ((int64_t)s.group * s.tiles) * s.group;
	int64_t rest = block - first * s.tiles, heads = min((int64_t)s.group, s.heads - first);

	return {first + rest % heads, (int)(rest / heads)};
}

static __device__ __forceinline__ int attention_length(
	const attention_shape &s, const int32_t *lengths, int64_t head)
{
	return lengths ? max(0, min(lengths[head / s.NH], s.T)) : s.T;
}

/* ---- tiles ------------------------------------------------------------------------------------
 *
 * [rows][W] bf16 in chunks of 16 bytes. The chunks of a row are permuted such that eight rows'
 * chunks of one column (what ldmatrix reads at once) lie in different banks.
 */
template <int W> static __device__ __forceinline__ int twist_of(int row)
{
	static_assert(W % 32 == 0, "rows are whole or half lines of banks");
	return W % 64 == 0 ? row & 7 : row >> 1 & 3;
}

/* Index of a chunk's first element. */
template <int W> static __device__ __forceinline__ int place(int row, int chunk)
{
	return row * W + ((chunk ^ twist_of<W>(row)) << 3);
}

/* Where a lane reads fragments: at() is the chunk of its own row in the 16 x 16 square whose
 * first row is `row` (a multiple of 16) and whose first chunk is `chunk` (even). */
template <int W> struct lane_place {
	int start, twist;

	__device__ __forceinline__ int at(int row, int chunk) const
	{
		enum {
			TWISTED = W % 64 == 0 ? 7 : 3
		};

		/* The rest of the chunk's number is a constant, which the instruction adds. */
		return start + (((chunk & TWISTED) ^ twist) << 3) + row * W +
		       (chunk & ~TWISTED) * 8;
	}
};

/* As left operand [row][k], and, transposed, as right operand [k][column]. */
template <int W> static __device__ __forceinline__ lane_place<W> left_place()
{
	int row = lane_id() & 15;

	return {row * W, lane_id() >> 4 ^ twist_of<W>(row)};
}

/* As right operand that is stored [column][k]. */
template <int W> static __device__ __forceinline__ lane_place<W> right_place()
{
	int row = (lane_id() & 7) + (lane_id() >> 4 << 3);

	return {row * W, (lane_id() >> 3 & 1) ^ twist_of<W>(row)};
}

/* Rows first .. first+ROWS-1 of a matrix of rows `stride` apart; zeros from row `limit` and from
 * column D on. */
template <int W, int ROWS, int THREADS>
static __device__ __forceinline__ void fetch_tile(
	bf16 *tile, const bf16 *from, int64_t stride, int first, int limit, int D)
{
	enum {
		CHUNKS = W / 8,
		STEPS = ROWS * CHUNKS / THREADS
	};
	int thread = (int)threadIdx.x;

	static_assert(ROWS * CHUNKS % THREADS == 0, "all threads copy alike");
	/* An address behind the matrix is made up at most, never read. */
	if constexpr (THREADS % CHUNKS == 0 && THREADS / CHUNKS % 8 == 0) {
		int row = thread / CHUNKS, chunk = thread % CHUNKS, left = limit - first - row;
		const bf16 *at = from + (first + row) * stride + chunk * 8;
		bf16 *to = tile + place<W>(row, chunk);

		left = chunk * 8 < D ? left : 0;
#pragma unroll
		for (int i = 0; i < STEPS; i++) {
			copy_async(to + i * THREADS * 8, at, i * (THREADS / CHUNKS) < left);
			at += THREADS / CHUNKS * stride;
		}
	} else {
#pragma unroll
		for (int i = 0; i < STEPS; i++) {
			int row = (i * THREADS + thread) / CHUNKS;
			int chunk = (i * THREADS + thread) % CHUNKS;

			copy_async(tile + place<W>(row, chunk),
				from + (first + row) * stride + chunk * 8,
				first + row < limit && chunk * 8 < D);
		}
	}
}

/* A warp's sums, 16*M x W from row `first` of the tile on, into the tile as bf16. */
template <int W, int M>
static __device__ __forceinline__ void put_sums(
	bf16 *tile, int first, const float (&sum)[M][W / 8][4], const float (&factor)[M][2])
{
	int group = lane_id() >> 2, pair = lane_id() & 3;

#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int half = 0; half < 2; half++)
#pragma unroll
			for (int n = 0; n < W / 8; n++) {
				int row = first + m * 16 + half * 8 + group;

				*reinterpret_cast<uint32_t *>(tile + place<W>(row, n) + 2 * pair) =
					pack_bf16(sum[m][n][2 * half] * factor[m][half],
						sum[m][n][2 * half + 1] * factor[m][half]);
			}
}

/* A warp's ROWS rows of a tile to rows of memory: those from `limit` on are zeros, those from T
 * on are left out. */
template <int W, int ROWS>
static __device__ __forceinline__ void store_rows(bf16 *to, int64_t stride, const bf16 *tile,
	int first_in_tile, int first, int limit, int T, int D)
{
	enum {
		CHUNKS = W / 8
	};

	for (int i = lane_id(); i < ROWS * CHUNKS; i += 32) {
		int row = i / CHUNKS, chunk = i % CHUNKS;

		if (first + row < T && chunk * 8 < D)
			store16(to + (first + row) * stride + chunk * 8,
				first + row < limit
					? load16(tile + place<W>(first_in_tile + row, chunk))
					: uint4{0, 0, 0, 0});
	}
}

/* Rows first .. first+ROWS-1 become zeros; by the whole block. */
template <int ROWS>
static __device__ __forceinline__ void clear_rows(bf16 *to, int64_t stride, int first, int T, int D)
{
	int chunks = D / 8;

	for (int i = (int)threadIdx.x; i < ROWS * chunks; i += (int)blockDim.x) {
		int row = first + i / chunks;

		if (row < T)
			store16(to + row * stride + i % chunks * 8, uint4{0, 0, 0, 0});
	}
}

/* ---- products ---------------------------------------------------------------------------------
 */

/* A left operand of 16*M x W: kept in registers from fill() on, or read from its tile each time. */
template <int W, int M, bool KEEP> struct left_rows {
	uint32_t kept[KEEP ? M : 1][KEEP ? W / 16 : 1][4];
	const bf16 *tile;
	lane_place<W> lane;

	__device__ __forceinline__ explicit left_rows(const bf16 *from)
	    : tile(from), lane(left_place<W>())
	{
	}

	/* The tile is there. */
	__device__ __forceinline__ void fill()
	{
		if constexpr (KEEP) {
#pragma unroll
			for (int m = 0; m < M; m++)
#pragma unroll
				for (int k = 0; k < W / 16; k++)
					load_matrices<false>(
						kept[m][k], tile + lane.at(m * 16, 2 * k));
		}
	}

	/* The M squares of columns 16 k .. 16 k + 15. */
	__device__ __forceinline__ void get(uint32_t (&a)[M][4], int k) const
	{
#pragma unroll
		for (int m = 0; m < M; m++) {
			if constexpr (KEEP) {
#pragma unroll
				for (int i = 0; i < 4; i++)
					a[m][i] = kept[m][k][i];
			} else {
				load_matrices<false>(a[m], tile + lane.at(m * 16, 2 * k));
			}
		}
	}
};

/* sum[16 M][8 N] = left[16 M][W] right[8 N][W]^T, with the right operand from row `row` of its
 * tile on. */
template <int W, int M, int N, bool KEEP>
static __device__ __forceinline__ void multiply_rows(float (&sum)[M][N][4],
	const left_rows<W, M, KEEP> &left, const bf16 *right, int row, const lane_place<W> &lane)
{
#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int n = 0; n < N; n++)
#pragma unroll
			for (int i = 0; i < 4; i++)
				sum[m][n][i] = 0;
#pragma unroll
	for (int k = 0; k < W / 16; k++) {
		uint32_t a[M][4];

		left.get(a, k);
#pragma unroll
		for (int n = 0; n < N; n += 2) {
			uint32_t b[4];

			load_matrices<false>(b, right + lane.at(row + n * 8, 2 * k));
#pragma unroll
			for (int m = 0; m < M; m++) {
				mma_bf16(sum[m][n], a[m], b);
				mma_bf16(sum[m][n + 1], a[m], b + 2);
			}
		}
	}
}

/* Two neighbouring squares of sums as one left operand of 16 x 16. */
static __device__ __forceinline__ void pack_left(
	uint32_t a[4], const float (&low)[4], const float (&high)[4])
{
	a[0] = pack_bf16(low[0], low[1]);
	a[1] = pack_bf16(low[2], low[3]);
	a[2] = pack_bf16(high[0], high[1]);
	a[3] = pack_bf16(high[2], high[3]);
}

/* sum[16 M][W] += a[16 M][16] right[16][W], with the right operand from row `row` on. */
template <int W, int M>
static __device__ __forceinline__ void add_product(float (&sum)[M][W / 8][4],
	const uint32_t (&a)[M][4], const bf16 *right, int row, const lane_place<W> &lane)
{
#pragma unroll
	for (int n = 0; n < W / 8; n += 2) {
		uint32_t b[4];

		load_matrices<true>(b, right + lane.at(row, n));
#pragma unroll
		for (int m = 0; m < M; m++) {
			mma_bf16(sum[m][n], a[m], b);
			mma_bf16(sum[m][n + 1], a[m], b + 2);
		}
	}
}

template <int W, int M> static __device__ __forceinline__ void clear_sums(float (&sum)[M][W / 8][4])
{
#pragma unroll
	for (int m = 0; m < M; m++)
#pragma unroll
		for (int n = 0; n < W / 8; n++)
#pragma unroll
			for (int i = 0; i < 4; i++)
				sum[m][n][i] = 0;
}

/* ---- the rest ---------------------------------------------------------------------------------
 */

/* May the fast kernels take it? */
static inline bool attention_is_fast(enum cuda_type type, const cuda_attention *a)
{
	uintptr_t at =
		(uintptr_t)a->qkv | (uintptr_t)a->out | (uintptr_t)a->dout | (uintptr_t)a->dqkv;

	return type == CUDA_BF16 && a->D % 8 == 0 && a->D <= 128 && at % 16 == 0;
}

void attention_simple_forward(cuda_stream stream, enum cuda_type type, const cuda_attention *a);
void attention_simple_backward(cuda_stream stream, enum cuda_type type, const cuda_attention *a);

#endif
