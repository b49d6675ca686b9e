/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pointwise.cu - gelu's slope, and sums of vectors.
 *
 * All of them run at the speed of memory: a thread does 16 bytes of each operand, with enough threads
 * that loads overlap. What is left over, or not aligned, is done element by element.
 */
#include "kernels/cuda/pointwise.h"

#include "kernels/cuda/device.cuh"

enum {
	POINT_THREADS = 256,
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
