/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pointwise.cu - gelu and its slope, sums of vectors, conversion of weights to bf16.
 *
 * All of them run at the speed of memory: a thread does 16 bytes of each operand (of the narrower
 * one where they differ), with enough threads that loads overlap. What is left over, or not
 * aligned, is done element by element.
 */
#include "kernels/cuda/pointwise.h"

#include "kernels/cuda/device.cuh"

enum {
	POINT_THREADS = 256,
	POINT_WIDE = 8, /* columns of a thread in matrices */
	FLIP_TILE = 64, /* edge of the tile that is transposed at once */
};

/* ---- gelu -------------------------------------------------------------------------------------
 *
 * gelu(z) = z / (1 + e^-2u), u = sqrt(2/pi) (z + 0.044715 z^3), which is GPT-2's tanh form. In bf16
 * by the hardware's functions, whose error is far below the type's; in float by the exact ones.
 */

/* e^-2u. Bounded, so that the slope has no inf * 0; gelu is below 1e-33 there. */
template <typename A> static __device__ __forceinline__ float gelu_power(float z)
{
	float u2 = z * fmaf(z * z, 0.0713548163f, 1.59576912f);

	return sizeof(A) == 2 ? fast_exp(fminf(-u2, 80.0f)) : expf(fminf(-u2, 80.0f));
}

template <typename A> static __device__ __forceinline__ float gelu_ratio(float x, float y)
{
#ifdef __CUDACC__
	if (sizeof(A) == 2)
		return __fdividef(x, y);
#endif
	return x / y;
}

/* What is done to x, with y where binary. */
template <typename A> struct gelu_value {
	enum {
		BINARY = 0
	};
	__device__ __forceinline__ float operator()(float z, float) const
	{
		return gelu_ratio<A>(z, 1 + gelu_power<A>(z));
	}
};

template <typename A> struct gelu_slope {
	enum {
		BINARY = 1
	};
	__device__ __forceinline__ float operator()(float d, float z) const
	{
		float power = gelu_power<A>(z), s = gelu_ratio<A>(1, 1 + power);
		float du2 = fmaf(z * z, 0.214064449f, 1.59576912f);

		return d * fmaf(z * s, power * s * du2, s);
	}
};

struct add_scaled {
	enum {
		BINARY = 1
	};
	float a;
	__device__ __forceinline__ float operator()(float y, float x) const
	{
		return fmaf(a, x, y);
	}
};

struct multiply {
	enum {
		BINARY = 0
	};
	float a;
	__device__ __forceinline__ float operator()(float x, float) const
	{
		return a * x;
	}
};

/* Towards y: the rounding of a factor `decay` itself would shift the average in every step. */
struct move_towards {
	enum {
		BINARY = 1
	};
	float part;
	__device__ __forceinline__ float operator()(float average, float w) const
	{
		return fmaf(part, w - average, average);
	}
};

template <typename A, typename Op>
__global__ void __launch_bounds__(POINT_THREADS)
	pointwise(A *out, const A *x, const A *y, int64_t n, bool wide, Op op)
{
	constexpr int N = vec<A>::N;
	int64_t first = flat_index() * N;

	if (wide && first + N <= n) {
		float a[N], b[N] = {};

		load_n<N>(a, x + first);
		if (Op::BINARY)
			load_n<N>(b, y + first);
#pragma unroll
		for (int i = 0; i < N; i++)
			a[i] = op(a[i], b[i]);
		store_n<N>(out + first, a);
		return;
	}
	for (int64_t i = first; i < n && i < first + N; i++)
		out[i] = from_float<A>(op(to_float(x[i]), Op::BINARY ? to_float(y[i]) : 0));
}

template <typename A, typename Op>
static void launch_pointwise(cuda_stream stream, A *out, const A *x, const A *y, int64_t n, Op op)
{
	bool wide = aligned16(out) && aligned16(x) && aligned16(y);

	if (n > 0)
		LAUNCH((pointwise<A, Op>), dim3((unsigned)pieces(n, vec<A>::N * POINT_THREADS)),
			dim3(POINT_THREADS), 0, stream, out, x, y, n, wide, op);
}

void cuda_gelu(cuda_stream stream, enum cuda_type type, void *out, const void *z, int64_t n)
{
	WITH_ACTIVATION(type, A,
		launch_pointwise(
			stream, (A *)out, (const A *)z, (const A *)nullptr, n, gelu_value<A>()));
}

void cuda_gelu_backward(cuda_stream stream, enum cuda_type type, void *d, const void *z, int64_t n)
{
	WITH_ACTIVATION(type, A,
		launch_pointwise(stream, (A *)d, (const A *)d, (const A *)z, n, gelu_slope<A>()));
}

void cuda_axpy(cuda_stream stream, float *y, const float *x, double a, int64_t n)
{
	launch_pointwise(stream, y, (const float *)y, x, n, add_scaled{(float)a});
}

void cuda_scale(cuda_stream stream, float *x, double a, int64_t n)
{
	launch_pointwise(
		stream, x, (const float *)x, (const float *)nullptr, n, multiply{(float)a});
}

void cuda_ema(cuda_stream stream, float *average, const float *w, double decay, int64_t n)
{
	launch_pointwise(
		stream, average, (const float *)average, w, n, move_towards{(float)(1 - decay)});
}

/* A thread: N columns of a row. */
template <typename A, int N>
__global__ void __launch_bounds__(POINT_THREADS) bias_gelu(
	A *out, A *pre, const A *x, const float *bias, int64_t R, int64_t columns, int64_t ld)
{
	uint32_t per_row = (uint32_t)(columns / N);
	int64_t i = flat_index(), row;
	float z[N], b[N] = {};

	if (i >= R * per_row)
		return;
	/* A division in 32 bits is a quarter of one in 64. */
	row = i <= UINT32_MAX ? (int64_t)((uint32_t)i / per_row) : i / per_row;
	i = (i - row * per_row) * N;
	load_n<N>(z, x + row * ld + i);
	if (bias)
		load_n<N>(b, bias + i);
#pragma unroll
	for (int j = 0; j < N; j++)
		z[j] = to_float(from_float<A>(z[j] + b[j]));
	if (pre)
		store_n<N>(pre + row * ld + i, z);
#pragma unroll
	for (int j = 0; j < N; j++)
		z[j] = gelu_value<A>()(z[j], 0);
	store_n<N>(out + row * ld + i, z);
}

template <typename A, int N>
static void launch_bias_gelu(cuda_stream stream, A *out, A *pre, const A *x, const float *bias,
	int64_t R, int64_t columns, int64_t ld)
{
	LAUNCH((bias_gelu<A, N>), dim3((unsigned)pieces(R * (columns / N), POINT_THREADS)),
		dim3(POINT_THREADS), 0, stream, out, pre, x, bias, R, columns, ld);
}

void cuda_bias_gelu(cuda_stream stream, enum cuda_type type, void *out, void *pre, const void *x,
	const float *bias, int64_t R, int64_t N, int64_t ld)
{
	bool wide = N % POINT_WIDE == 0 && ld % POINT_WIDE == 0 && aligned16(out) &&
		    aligned16(pre) && aligned16(x) && aligned16(bias);

	if (R <= 0 || N <= 0)
		return;
	if (wide)
		WITH_ACTIVATION(type, A,
			launch_bias_gelu<A, POINT_WIDE>(
				stream, (A *)out, (A *)pre, (const A *)x, bias, R, N, ld));
	else
		WITH_ACTIVATION(type, A,
			launch_bias_gelu<A, 1>(
				stream, (A *)out, (A *)pre, (const A *)x, bias, R, N, ld));
}

/* ---- weights in bf16 --------------------------------------------------------------------------
 */

template <int N>
__global__ void __launch_bounds__(POINT_THREADS) to_bf16(
	bf16 *out, int64_t ld_out, const float *in, int64_t ld_in, int64_t rows, int64_t cols)
{
	uint32_t per_row = (uint32_t)(cols / N);
	int64_t i = flat_index(), row;
	float x[N];

	if (i >= rows * per_row)
		return;
	row = i <= UINT32_MAX ? (int64_t)((uint32_t)i / per_row) : i / per_row;
	i = (i - row * per_row) * N;
	load_n<N>(x, in + row * ld_in + i);
	store_n<N>(out + row * ld_out + i, x);
}

/* A block: one tile of `in`, through shared memory; `wide`: stores of 16 bytes. The tile's rows are
 * a word longer than they need to be, so that a column lies in different banks. */
__global__ void __launch_bounds__(POINT_THREADS) to_bf16_transposed(bf16 *out, int64_t ld_out,
	const float *in, int64_t ld_in, int64_t rows, int64_t cols, bool wide)
{
	SHARED(float, tile);
	constexpr int STEP = POINT_THREADS / FLIP_TILE, PITCH = FLIP_TILE + 1;
	int64_t row0 = (int64_t)blockIdx.x * FLIP_TILE, col0 = (int64_t)blockIdx.y * FLIP_TILE;
	int x = (int)threadIdx.x % FLIP_TILE, y = (int)threadIdx.x / FLIP_TILE;

#pragma unroll
	for (int r = 0; r < FLIP_TILE; r += STEP) {
		bool inside = row0 + r + y < rows && col0 + x < cols;

		tile[(r + y) * PITCH + x] = inside ? in[(row0 + r + y) * ld_in + col0 + x] : 0;
	}
	__syncthreads();
	for (int i = (int)threadIdx.x; i < FLIP_TILE * FLIP_TILE / POINT_WIDE; i += POINT_THREADS) {
		int r = i % (FLIP_TILE / POINT_WIDE) * POINT_WIDE;
		int c = i / (FLIP_TILE / POINT_WIDE);
		bf16 *to = out + (col0 + c) * ld_out + row0 + r;
		float v[POINT_WIDE];

		if (col0 + c >= cols)
			continue;
#pragma unroll
		for (int j = 0; j < POINT_WIDE; j++)
			v[j] = tile[(r + j) * PITCH + c];
		if (wide && row0 + r + POINT_WIDE <= rows) {
			store_n<POINT_WIDE>(to, v);
			continue;
		}
#pragma unroll
		for (int j = 0; j < POINT_WIDE; j++)
			if (row0 + r + j < rows)
				to[j] = from_float<bf16>(v[j]);
	}
}

void cuda_to_bf16(cuda_stream stream, void *out, int64_t ld_out, const float *in, int64_t ld_in,
	int64_t rows, int64_t cols)
{
	bool wide = cols % POINT_WIDE == 0 && ld_in % 4 == 0 && ld_out % POINT_WIDE == 0 &&
		    aligned16(in) && aligned16(out);

	if (rows <= 0 || cols <= 0)
		return;
	if (wide)
		LAUNCH((to_bf16<POINT_WIDE>),
			dim3((unsigned)pieces(rows * (cols / POINT_WIDE), POINT_THREADS)),
			dim3(POINT_THREADS), 0, stream, (bf16 *)out, ld_out, in, ld_in, rows, cols);
	else
		LAUNCH((to_bf16<1>), dim3((unsigned)pieces(rows * cols, POINT_THREADS)),
			dim3(POINT_THREADS), 0, stream, (bf16 *)out, ld_out, in, ld_in, rows, cols);
}

void cuda_to_bf16_transposed(cuda_stream stream, void *out, int64_t ld_out, const float *in,
	int64_t ld_in, int64_t rows, int64_t cols)
{
	if (rows <= 0 || cols <= 0)
		return;
	LAUNCH(to_bf16_transposed,
		dim3((unsigned)pieces(rows, FLIP_TILE), (unsigned)pieces(cols, FLIP_TILE)),
		dim3(POINT_THREADS), FLIP_TILE * (FLIP_TILE + 1) * sizeof(float), stream,
		(bf16 *)out, ld_out, in, ld_in, rows, cols,
		ld_out % POINT_WIDE == 0 && aligned16(out));
}
