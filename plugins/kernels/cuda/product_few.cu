/* SPDX-License-Identifier: Apache-2.0 */
/*
 * product_few.cu - products of up to 8 rows with a weight: the steps of decoding few sequences.
 *
 * Such a product takes as long as its weight needs to come from memory, so all that counts is that
 * many loads of 16 bytes are under way, each byte is read once, and there is one launch. The weight
 * may lie either way:
 *
 * [N,K]	A warp makes the sums of one column; a lane takes 8 terms of 256 at a time. (Where K is
 *		short a half or a quarter of a warp is enough.)
 * [K,N]	A block makes those of 16 columns (the 32 bytes that memory gives at once); two threads
 *		read 8 columns each of every 128th row (every 32nd where K is short). Their sums
 *		meet in shared memory.
 *
 * Either order of sums follows from K alone: neither from the GPU nor from the number of rows.
 */
#include "kernels/cuda/product.cuh"

namespace
{

enum {
	WIDE = 8, /* elements of a load */
	DOT_THREADS = 128, /* where rows of the weight are columns */
	/* Where columns lie side by side: */
	COLUMNS = 16,	     /* of a block */
	THREADS = 256,	     /* of a block at most */
	SHORT_K = 256,	     /* up to which so many would have nothing to do ... */
	SHORT_THREADS = 64,  /* ... and these are enough */
	STRIDE = COLUMNS + 1, /* so that those who add read from different banks */
};

/* WIDE elements as floats, 0 behind the `left` that there are; as bf16 has them. */
template <typename T>
__device__ __forceinline__ void load(float x[WIDE], const T *from, int64_t left, bool wide)
{
	if (wide && left >= WIDE) {
		load_n<WIDE>(x, from);
	} else {
#pragma unroll
		for (int i = 0; i < WIDE; i++)
			x[i] = i < left ? to_float(from[i]) : 0;
	}
	if (sizeof(T) == sizeof(float)) {
#pragma unroll
		for (int i = 0; i < WIDE; i++)
			x[i] = to_float(from_float<bf16>(x[i]));
	}
}

/* Row m of A; of those behind the last, the last, whose sum nobody takes. */
__device__ __forceinline__ const bf16 *row_of(const cuda_product &p, int m)
{
	return static_cast<const bf16 *>(p.A) + (m < p.M ? m : p.M - 1) * p.lda;
}

/* B [N,K]; `lanes` (8, 16 or 32) make a column. */
template <int ROWS, typename TB, typename TC>
__global__ void __launch_bounds__(DOT_THREADS)
	few_dots(cuda_product p, int lanes, bool wide_a, bool wide_b)
{
	int lane = (int)threadIdx.x % lanes;
	int64_t column = flat_index() / lanes;
	/* Whoever is behind the last column does its work once more, for all must meet. */
	const TB *w = static_cast<const TB *>(p.B) + (column < p.N ? column : p.N - 1) * p.ldb;
	float sum[ROWS] = {};

#pragma unroll 4
	for (int64_t k = lane * WIDE; k < p.K; k += lanes * WIDE) {
		float b[WIDE], a[WIDE];

		load(b, w + k, p.K - k, wide_b);
#pragma unroll
		for (int m = 0; m < ROWS; m++) {
			load(a, row_of(p, m) + k, p.K - k, wide_a);
#pragma unroll
			for (int i = 0; i < WIDE; i++)
				sum[m] = fmaf(a[i], b[i], sum[m]);
		}
	}
	for (int step = lanes / 2; step > 0; step >>= 1)
#pragma unroll
		for (int m = 0; m < ROWS; m++)
			sum[m] += __shfl_xor_sync(ALL_LANES, sum[m], step);
#pragma unroll
	for (int m = 0; m < ROWS; m++)
		if (lane == m && m < p.M && column < p.N)
			finish<TC>(p, m, column, sum[m]);
}

/* B [K,N] */
template <int ROWS, typename TB, typename TC>
__global__ void __launch_bounds__(THREADS) few_columns(cuda_product p, bool wide)
{
	SHARED(float, sums); /* [groups][STRIDE], of one row */
	int64_t first = (int64_t)blockIdx.x * COLUMNS;
	int half = (int)threadIdx.x % (COLUMNS / WIDE) * WIDE;
	int group = (int)threadIdx.x / (COLUMNS / WIDE);
	int groups = (int)blockDim.x / (COLUMNS / WIDE);
	int parts = (int)blockDim.x / COLUMNS; /* threads that add the groups of a column */
	int column = (int)threadIdx.x / parts, part = (int)threadIdx.x % parts;
	const TB *w = static_cast<const TB *>(p.B) + first + half;
	float sum[ROWS][WIDE] = {};

#pragma unroll 4
	for (int64_t k = group; k < p.K; k += groups) {
		float b[WIDE];

		load(b, w + k * p.ldb, p.N - first - half, wide);
#pragma unroll
		for (int m = 0; m < ROWS; m++) {
			float a = to_float(row_of(p, m)[k]);

#pragma unroll
			for (int i = 0; i < WIDE; i++)
				sum[m][i] = fmaf(a, b[i], sum[m][i]);
		}
	}
#pragma unroll
	for (int m = 0; m < ROWS; m++) {
		float all = 0;

		if (m >= p.M)
			break;
		__syncthreads();
#pragma unroll
		for (int i = 0; i < WIDE; i++)
			sums[group * STRIDE + half + i] = sum[m][i];
		__syncthreads();
#pragma unroll
		for (int i = 0; i < WIDE; i++)
			all += sums[(i * parts + part) * STRIDE + column];
		for (int step = parts / 2; step > 0; step >>= 1)
			all += __shfl_xor_sync(ALL_LANES, all, step);
		if (part == 0 && first + column < p.N)
			finish<TC>(p, m, first + column, all);
	}
}

template <int ROWS, typename TB, typename TC> void run(cuda_stream stream, const cuda_product *p)
{
	bool wide = aligned16(p->B) && p->ldb * (int64_t)sizeof(TB) % 16 == 0;
	int lanes = p->K <= 8 * WIDE ? 8 : p->K <= 16 * WIDE ? 16 : 32;
	unsigned threads = p->K <= SHORT_K ? SHORT_THREADS : THREADS;

	if (p->transpose_b)
		LAUNCH((few_dots<ROWS, TB, TC>), dim3((unsigned)pieces(p->N * lanes, DOT_THREADS)),
			dim3(DOT_THREADS), 0, stream, *p, lanes,
			aligned16(p->A) && p->lda % WIDE == 0, wide);
	else
		LAUNCH((few_columns<ROWS, TB, TC>), dim3((unsigned)pieces(p->N, COLUMNS)),
			dim3(threads), threads * WIDE / COLUMNS * STRIDE * sizeof(float), stream,
			*p, wide);
}

template <int ROWS> void run_typed(cuda_stream stream, const cuda_product *p)
{
	if (p->type_b == CUDA_BF16 && p->type_c == CUDA_BF16)
		run<ROWS, bf16, bf16>(stream, p);
	else if (p->type_b == CUDA_BF16)
		run<ROWS, bf16, float>(stream, p);
	else if (p->type_c == CUDA_BF16)
		run<ROWS, float, bf16>(stream, p);
	else
		run<ROWS, float, float>(stream, p);
}

} // namespace

bool cuda_product_few(cuda_stream stream, const cuda_product *p)
{
	if (p->type_a != CUDA_BF16 || p->transpose_a || p->M < 1 || p->M > CUDA_FEW_ROWS || p->N < 1)
		return false;
	if (p->M == 1)
		run_typed<1>(stream, p);
	else if (p->M == 2)
		run_typed<2>(stream, p);
	else if (p->M <= 4)
		run_typed<4>(stream, p);
	else
		run_typed<8>(stream, p);
	return true;
}
