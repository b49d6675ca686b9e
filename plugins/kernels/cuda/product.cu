/* SPDX-License-Identifier: Apache-2.0 */
/*
 * product.cu - the product that takes anything, and the rounding of weights to bf16.
 *
 * Tiles of 32 x 32 through shared memory, 2 x 2 sums a thread, multiply-adds in float. Few tiles
 * with a long K (the gradient of a value head: C x 1 x R) are cut along K into pieces that depend
 * on the shape only; their sums go through the workspace and are added in order.
 */
#include "kernels/cuda/product.cuh"

namespace
{

enum {
	TILE = 32,
	THREADS = 256,
	MIN_TERMS = 512, /* of a piece of K */
	MAX_PIECES = 64,
	MANY_TILES = 256, /* enough to fill any GPU */
};

int64_t tiles_of(const cuda_product *p)
{
	return pieces(p->M, TILE) * pieces(p->N, TILE);
}

int64_t pieces_of(const cuda_product *p)
{
	int64_t most = pieces(p->K, MIN_TERMS);

	if (tiles_of(p) >= MANY_TILES || most <= 1)
		return 1;
	return most < MAX_PIECES ? most : (int64_t)MAX_PIECES;
}

/* A tile of X [rows, terms] (transposed: stored [terms, rows]) into tile[row][term]. */
template <typename T>
__device__ __forceinline__ void load_tile(float (*tile)[TILE + 1], const void *from, int64_t ld,
	bool transposed, int64_t row, int64_t rows, int64_t term, int64_t terms)
{
	const T *x = static_cast<const T *>(from);

	for (int at = (int)threadIdx.x; at < TILE * TILE; at += THREADS) {
		int r = transposed ? at % TILE : at / TILE, t = transposed ? at / TILE : at % TILE;
		bool there = row + r < rows && term + t < terms;
		int64_t place = transposed ? (term + t) * ld + row + r : (row + r) * ld + term + t;

		tile[r][t] = there ? to_float(x[place]) : 0;
	}
}

/* Block (x, y, z): tile x of M, y of N, piece z of K; with `part` its sums go there. */
template <typename TA, typename TB, typename TC>
__global__ void __launch_bounds__(THREADS) product_tile(cuda_product p, int64_t terms, float *part)
{
	SHARED(float, room);
	float(*a)[TILE + 1] = reinterpret_cast<float(*)[TILE + 1]>(room);
	float(*b)[TILE + 1] = a + TILE;
	int64_t row = (int64_t)blockIdx.x * TILE, column = (int64_t)blockIdx.y * TILE;
	int64_t first = (int64_t)blockIdx.z * terms;
	int64_t end = first + terms < p.K ? first + terms : p.K;
	int x = (int)(threadIdx.x % 16), y = (int)(threadIdx.x / 16);
	float sum[2][2] = {{0, 0}, {0, 0}};

	for (int64_t k = first; k < end; k += TILE) {
		load_tile<TA>(a, p.A, p.lda, p.transpose_a, row, p.M, k, end);
		load_tile<TB>(b, p.B, p.ldb, !p.transpose_b, column, p.N, k, end);
		__syncthreads();
#pragma unroll 8
		for (int t = 0; t < TILE; t++) {
			float left[2] = {a[y][t], a[y + 16][t]}, right[2] = {b[x][t], b[x + 16][t]};

#pragma unroll
			for (int i = 0; i < 4; i++)
				sum[i / 2][i % 2] =
					fmaf(left[i / 2], right[i % 2], sum[i / 2][i % 2]);
		}
		__syncthreads();
	}
#pragma unroll
	for (int i = 0; i < 4; i++) {
		int64_t r = row + y + i / 2 * 16, c = column + x + i % 2 * 16;

		if (r >= p.M || c >= p.N)
			continue;
		if (part)
			part[((int64_t)blockIdx.z * p.M + r) * p.N + c] = sum[i / 2][i % 2];
		else
			finish<TC>(p, r, c, sum[i / 2][i % 2]);
	}
}

template <typename TC>
__global__ void __launch_bounds__(THREADS) add_parts(cuda_product p, const float *part, int64_t n)
{
	int64_t at = (int64_t)blockIdx.x * THREADS + threadIdx.x;
	float sum = 0;

	if (at >= p.M * p.N)
		return;
	for (int64_t i = 0; i < n; i++)
		sum += part[i * p.M * p.N + at];
	finish<TC>(p, at / p.N, at % p.N, sum);
}

template <typename TA, typename TB, typename TC>
void run(cuda_stream stream, const cuda_product *p, float *part)
{
	int64_t n = pieces_of(p), terms = pieces(pieces(p->K, n), TILE) * TILE;
	dim3 grid((unsigned)pieces(p->M, TILE), (unsigned)pieces(p->N, TILE), (unsigned)n);

	LAUNCH((product_tile<TA, TB, TC>), grid, dim3(THREADS),
		2 * TILE * (TILE + 1) * sizeof(float), stream, *p, terms, n > 1 ? part : nullptr);
	if (n > 1)
		LAUNCH((add_parts<TC>), dim3((unsigned)pieces(p->M * p->N, THREADS)), dim3(THREADS),
			0, stream, *p, part, n);
}

template <typename TA, typename TB>
void run_to(cuda_stream stream, const cuda_product *p, float *part)
{
	if (p->type_c == CUDA_BF16)
		run<TA, TB, bf16>(stream, p, part);
	else
		run<TA, TB, float>(stream, p, part);
}

/* A thread makes 16 bytes of `to`. */
template <typename A>
__global__ void __launch_bounds__(THREADS) pad(A *to, int64_t rows_to, int64_t columns_to,
	const float *from, int64_t ld, int64_t rows, int64_t columns)
{
	int64_t at = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * vec<A>::N;
	int64_t r = at / columns_to, c = at % columns_to;
	const float *x = from + r * ld + c;
	vec<A> out;

	if (r >= rows_to)
		return;
	if (r < rows && c + vec<A>::N <= columns && reinterpret_cast<uintptr_t>(x) % 16 == 0) {
#pragma unroll
		for (int i = 0; i < vec<A>::N; i += 4) {
			vec<float> four = load_vec(x + i);

			for (int j = 0; j < 4; j++)
				out.x[i + j] = four.x[j];
		}
	} else {
#pragma unroll
		for (int i = 0; i < vec<A>::N; i++)
			out.x[i] = r < rows && c + i < columns ? x[i] : 0;
	}
	store_vec(to + at, out);
}

template <typename A>
void run_pad(cuda_stream stream, A *to, int64_t rows_to, int64_t columns_to, const float *from,
	int64_t ld, int64_t rows, int64_t columns)
{
	int64_t n = rows_to * columns_to / vec<A>::N;

	if (n > 0)
		LAUNCH((pad<A>), dim3((unsigned)pieces(n, THREADS)), dim3(THREADS), 0, stream, to,
			rows_to, columns_to, from, ld, rows, columns);
}

} // namespace

size_t cuda_product_workspace(const cuda_product *p)
{
	int64_t n = pieces_of(p);

	return n > 1 ? sizeof(float) * (size_t)(n * p->M * p->N) : 0;
}

void cuda_product_simple(cuda_stream stream, const cuda_product *p, void *workspace)
{
	float *part = static_cast<float *>(workspace);

	if (p->M == 0 || p->N == 0)
		return;
	if (p->type_a == CUDA_BF16 && p->type_b == CUDA_BF16)
		run_to<bf16, bf16>(stream, p, part);
	else if (p->type_a == CUDA_BF16)
		run_to<bf16, float>(stream, p, part);
	else if (p->type_b == CUDA_BF16)
		run_to<float, bf16>(stream, p, part);
	else
		run_to<float, float>(stream, p, part);
}

void cuda_pad(cuda_stream stream, enum cuda_type type, void *to, int64_t rows_to,
	int64_t columns_to, const float *from, int64_t ld, int64_t rows, int64_t columns)
{
	if (type == CUDA_BF16)
		run_pad(stream, static_cast<bf16 *>(to), rows_to, columns_to, from, ld, rows,
			columns);
	else
		run_pad(stream, static_cast<float *>(to), rows_to, columns_to, from, ld, rows,
			columns);
}
