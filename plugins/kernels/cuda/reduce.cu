/* SPDX-License-Identifier: Apache-2.0 */
/*
 * reduce.cu - column sums and sums of squares, in two passes: blocks add up pieces whose size
 * depends on the problem only, and leave partial sums; a second kernel adds those in order.
 */
#include "kernels/cuda/reduce.h"

#include "kernels/cuda/device.cuh"

enum {
	REDUCE_THREADS = 256,
	REDUCE_WARPS = REDUCE_THREADS / 32,
	COLUMNS = 8,           /* of a thread */
	PARTS_AT_ONCE = 16,    /* partial sums of a column that different threads add */
	SQUARES = 64,          /* elements of a thread */
	SQUARES_THREADS = 256, /* of the first pass */
	SQUARES_LAST = 1024,   /* of the second */
};

/* ---- column sums ------------------------------------------------------------------------------
 */

/* Rows of a block: as many as leave about a thousand blocks, within bounds. */
static int64_t rows_of_block(int64_t R)
{
	int64_t rows = pieces(pieces(R, 512), REDUCE_WARPS) * REDUCE_WARPS;

	return rows < 2 * REDUCE_WARPS ? 2 * REDUCE_WARPS : rows > 256 ? 256 : rows;
}

/*
 * A block: 32 * N columns of a chunk of rows. A warp adds up every eighth row, a lane N columns;
 * the sums of the warps are added in order.
 */
template <typename A, int N>
__global__ void __launch_bounds__(REDUCE_THREADS)
	column_sums(float *partial, const A *x, int64_t R, int64_t columns, int64_t rows)
{
	SHARED(float, room); /* [warps][N][32]: lanes side by side, so in different banks */
	int64_t column = ((int64_t)blockIdx.y * 32 + lane_id()) * N;
	int64_t row = (int64_t)blockIdx.x * rows + warp_id();
	int64_t end = min((int64_t)(blockIdx.x + 1) * rows, R);
	float sum[N] = {}, x_row[N];

	if (column < columns) {
#pragma unroll 4
		for (; row < end; row += REDUCE_WARPS) {
			load_n<N>(x_row, x + row * columns + column);
#pragma unroll
			for (int i = 0; i < N; i++)
				sum[i] += x_row[i];
		}
	}
#pragma unroll
	for (int i = 0; i < N; i++)
		room[(warp_id() * N + i) * 32 + lane_id()] = sum[i];
	__syncthreads();
	for (int i = (int)threadIdx.x; i < 32 * N; i += REDUCE_THREADS) {
		float all = 0;

		column = (int64_t)blockIdx.y * 32 * N + i;
		for (int w = 0; w < REDUCE_WARPS; w++)
			all += room[(w * N + i % N) * 32 + i / N];
		if (column < columns)
			partial[blockIdx.x * columns + column] = all;
	}
}

/* A block of 32 x PARTS_AT_ONCE threads: 32 columns. A thread adds up every PARTS_AT_ONCEth part.
 */
__global__ void __launch_bounds__(32 * PARTS_AT_ONCE)
	add_partials(float *out, const float *partial, int64_t parts, int64_t stride, int64_t N)
{
	SHARED(float, room);
	int64_t column = (int64_t)blockIdx.x * 32 + lane_id();
	float sum = 0;

	if (column < N) {
#pragma unroll 8
		for (int64_t i = warp_id(); i < parts; i += PARTS_AT_ONCE)
			sum += partial[i * stride + column];
	}
	room[threadIdx.x] = sum;
	__syncthreads();
	if (warp_id() > 0 || column >= N)
		return;
	for (int i = 1; i < PARTS_AT_ONCE; i++)
		sum += room[i * 32 + lane_id()];
	out[column] += sum;
}

void cuda_add_partials(cuda_stream stream, float *out, const float *partial, int64_t parts,
	int64_t stride, int64_t N)
{
	LAUNCH(add_partials, dim3((unsigned)pieces(N, 32)), dim3(32 * PARTS_AT_ONCE),
		32 * PARTS_AT_ONCE * sizeof(float), stream, out, partial, parts, stride, N);
}

size_t cuda_bias_backward_workspace(int64_t R, int64_t N)
{
	return (size_t)pieces(R, rows_of_block(R)) * (size_t)N * sizeof(float);
}

template <typename A, int N>
static void launch_column_sums(
	cuda_stream stream, float *partial, const A *x, int64_t R, int64_t columns)
{
	int64_t rows = rows_of_block(R);

	LAUNCH((column_sums<A, N>),
		dim3((unsigned)pieces(R, rows), (unsigned)pieces(columns, 32 * N)),
		dim3(REDUCE_THREADS), REDUCE_THREADS * N * sizeof(float), stream, partial, x, R,
		columns, rows);
}

void cuda_bias_backward(cuda_stream stream, enum cuda_type type, float *dbias, const void *dout,
	int64_t R, int64_t N, void *workspace)
{
	float *partial = (float *)workspace;

	if (R <= 0 || N <= 0)
		return;
	if (N % COLUMNS == 0 && aligned16(dout))
		WITH_ACTIVATION(type, A,
			launch_column_sums<A, COLUMNS>(stream, partial, (const A *)dout, R, N));
	else
		WITH_ACTIVATION(
			type, A, launch_column_sums<A, 1>(stream, partial, (const A *)dout, R, N));
	cuda_add_partials(stream, dbias, partial, pieces(R, rows_of_block(R)), N, N);
}

/* ---- sum of squares ---------------------------------------------------------------------------
 */

/* In double: a float's square may be too large for one. */
__global__ void __launch_bounds__(SQUARES_THREADS)
	squares(double *partial, const float *x, int64_t n, bool wide)
{
	SHARED(double, room);
	const int64_t piece = SQUARES_THREADS * SQUARES;
	int64_t first = (int64_t)blockIdx.x * piece, end = min(first + piece, n);
	double sum = 0;

	if (wide && end - first == piece) {
#pragma unroll 4
		for (int64_t i = first + threadIdx.x * 4; i < end; i += SQUARES_THREADS * 4) {
			float v[4];

			load_n<4>(v, x + i);
#pragma unroll
			for (int j = 0; j < 4; j++)
				sum += (double)v[j] * (double)v[j];
		}
	} else {
		for (int64_t i = first + threadIdx.x; i < end; i += SQUARES_THREADS)
			sum += (double)x[i] * (double)x[i];
	}
	sum = block_sum(sum, room);
	if (threadIdx.x == 0)
		partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(SQUARES_LAST)
	add_squares(double *out, const double *partial, int64_t parts)
{
	SHARED(double, room);
	double sum = 0;

#pragma unroll 8
	for (int64_t i = threadIdx.x; i < parts; i += SQUARES_LAST)
		sum += partial[i];
	sum = block_sum(sum, room);
	if (threadIdx.x == 0)
		*out = sum;
}

size_t cuda_sum_squares_workspace(int64_t n)
{
	return (size_t)pieces(n, SQUARES_THREADS * SQUARES) * sizeof(double);
}

void cuda_sum_squares(cuda_stream stream, double *sum, const float *x, int64_t n, void *workspace)
{
	int64_t parts = pieces(n, SQUARES_THREADS * SQUARES);
	double *partial = (double *)workspace;

	if (parts > 0)
		LAUNCH(squares, dim3((unsigned)parts), dim3(SQUARES_THREADS), 32 * sizeof(double),
			stream, partial, x, n, aligned16(x));
	LAUNCH(add_squares, dim3(1), dim3(SQUARES_LAST), 32 * sizeof(double), stream, sum,
		(const double *)partial, parts);
}
