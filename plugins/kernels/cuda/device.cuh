/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.cuh - the few words in which all kernels are written: element types, vectors of 16 bytes,
 * sums over a warp and a block, tensor-core products and asynchronous copies.
 *
 * The same kernels are compiled for the host, where tests/kernels/cuda/emulate.h gives the words of
 * CUDA another meaning: threads of a block are fibers, a warp meets at its shuffles, and each
 * instruction below is spelled out in plain C. So indices, barriers and fragments are tested
 * without a GPU; speed and rounding of the hardware's own functions are not.
 *
 * Rules that keep a kernel deterministic and testable:
 * - no atomics; a sum over blocks is partial sums in memory, added in order by a second kernel;
 * - the grid never depends on the device, only on the problem, wherever it is part of a sum;
 * - shared memory is dynamic (SHARED), launches go through LAUNCH, memory is addressed in 64 bits.
 */
#ifndef CAIRN_KERNELS_CUDA_DEVICE_CUH
#define CAIRN_KERNELS_CUDA_DEVICE_CUH

#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__

#include <cuda_runtime.h>

#define LAUNCH(kernel, grid, block, shared, stream, ...)                                           \
	(kernel)<<<(grid), (block), (shared), (cudaStream_t)(stream)>>>(__VA_ARGS__)
/* The block's dynamic shared memory, as an array of T. */
#define SHARED(T, name)                                                                            \
	extern __shared__ __align__(128) unsigned char cairn_shared[];                             \
	T *name = reinterpret_cast<T *>(cairn_shared)
/* Must precede a launch with more than 48 KiB of shared memory. */
#define ALLOW_SHARED(kernel, bytes)                                                                \
	cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),                               \
		cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes))

#else

#include "emulate.h"

#endif

#define ALL_LANES 0xffffffffu

/* Shared memory that a block may have on every GPU from capability 8.0 on: 8.6, 8.9 and 12.0 have the
 * least. */
#define SHARED_LIMIT (99 << 10)

/* ---- elements --------------------------------------------------------------------------------
 */

/* The upper half of a float, rounded to nearest even. */
struct bf16 {
	uint16_t bits;
};

static __device__ __forceinline__ float to_float(float x)
{
	return x;
}

static __device__ __forceinline__ float to_float(bf16 x)
{
	return __uint_as_float((uint32_t)x.bits << 16);
}

/* Two at once: `low` becomes the lower half of the word. */
static __device__ __forceinline__ uint32_t pack_bf16(float low, float high)
{
#ifdef __CUDACC__
	uint32_t word;

	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(word) : "f"(high), "f"(low));
	return word;
#else
	return (uint32_t)emulate_bf16(high) << 16 | emulate_bf16(low);
#endif
}

template <typename T> static __device__ __forceinline__ T from_float(float x);

template <> __device__ __forceinline__ float from_float<float>(float x)
{
	return x;
}

template <> __device__ __forceinline__ bf16 from_float<bf16>(float x)
{
	return bf16{(uint16_t)pack_bf16(x, 0)};
}

/* 16 bytes of T, read and written as one access; addresses are multiples of 16. */
template <typename T> struct vec {
	enum {
		N = 16 / sizeof(T)
	};
	float x[16 / sizeof(T)];
};

static __device__ __forceinline__ uint4 load16(const void *from)
{
#ifndef __CUDACC__
	emulate_aligned(from, 16);
#endif
	return *reinterpret_cast<const uint4 *>(from);
}

static __device__ __forceinline__ void store16(void *to, uint4 x)
{
#ifndef __CUDACC__
	emulate_aligned(to, 16);
#endif
	*reinterpret_cast<uint4 *>(to) = x;
}

static __device__ __forceinline__ vec<float> load_vec(const float *from)
{
	uint4 raw = load16(from);

	return {{__uint_as_float(raw.x), __uint_as_float(raw.y), __uint_as_float(raw.z),
		__uint_as_float(raw.w)}};
}

static __device__ __forceinline__ vec<bf16> load_vec(const bf16 *from)
{
	uint4 raw = load16(from);
	uint32_t word[4] = {raw.x, raw.y, raw.z, raw.w};
	vec<bf16> out;

#pragma unroll
	for (int i = 0; i < 4; i++) {
		out.x[2 * i] = __uint_as_float(word[i] << 16);
		out.x[2 * i + 1] = __uint_as_float(word[i] & 0xffff0000u);
	}
	return out;
}

static __device__ __forceinline__ void store_vec(float *to, const vec<float> &v)
{
	store16(to, uint4{__float_as_uint(v.x[0]), __float_as_uint(v.x[1]), __float_as_uint(v.x[2]),
			    __float_as_uint(v.x[3])});
}

static __device__ __forceinline__ void store_vec(bf16 *to, const vec<bf16> &v)
{
	store16(to, uint4{pack_bf16(v.x[0], v.x[1]), pack_bf16(v.x[2], v.x[3]),
			    pack_bf16(v.x[4], v.x[5]), pack_bf16(v.x[6], v.x[7])});
}

/* n elements as floats: in accesses of 16 bytes where n makes whole ones (then aligned to 16), one by
 * one else. */
template <int n, typename T> static __device__ __forceinline__ void load_n(float x[n], const T *from)
{
	if constexpr (n * sizeof(T) % 16 == 0) {
#pragma unroll
		for (int i = 0; i < n; i += vec<T>::N) {
			vec<T> v = load_vec(from + i);

#pragma unroll
			for (int j = 0; j < vec<T>::N; j++)
				x[i + j] = v.x[j];
		}
	} else {
#pragma unroll
		for (int i = 0; i < n; i++)
			x[i] = to_float(from[i]);
	}
}

template <int n, typename T> static __device__ __forceinline__ void store_n(T *to, const float x[n])
{
	if constexpr (n * sizeof(T) % 16 == 0) {
#pragma unroll
		for (int i = 0; i < n; i += vec<T>::N) {
			vec<T> v;

#pragma unroll
			for (int j = 0; j < vec<T>::N; j++)
				v.x[j] = x[i + j];
			store_vec(to + i, v);
		}
	} else {
#pragma unroll
		for (int i = 0; i < n; i++)
			to[i] = from_float<T>(x[i]);
	}
}

/* The hardware's own, of a few ulp; elsewhere libm's. */
static __device__ __forceinline__ float fast_exp(float x)
{
#ifdef __CUDACC__
	return __expf(x);
#else
	return expf(x);
#endif
}

static __device__ __forceinline__ float fast_exp2(float x)
{
#ifdef __CUDACC__
	float y;

	asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
	return y;
#else
	return exp2f(x);
#endif
}

static __device__ __forceinline__ float fast_log(float x)
{
#ifdef __CUDACC__
	return __logf(x);
#else
	return logf(x);
#endif
}

/* Four random words: Philox4x32-10, as gpt/rng.h has it. */
static __device__ __forceinline__ void philox(
	uint64_t key, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t out[4])
{
	uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);

#pragma unroll
	for (int round = 0; round < 10; round++) {
		uint32_t n0 = __umulhi(0xCD9E8D57u, c2) ^ c1 ^ k0;
		uint32_t n2 = __umulhi(0xD2511F53u, c0) ^ c3 ^ k1;

		c1 = 0xCD9E8D57u * c2;
		c3 = 0xD2511F53u * c0;
		c0 = n0;
		c2 = n2;
		k0 += 0x9E3779B9u;
		k1 += 0xBB67AE85u;
	}
	out[0] = c0;
	out[1] = c1;
	out[2] = c2;
	out[3] = c3;
}

/* ---- warps and blocks -------------------------------------------------------------------------
 */

static __device__ __forceinline__ int lane_id()
{
	return (int)(threadIdx.x & 31);
}

static __device__ __forceinline__ int warp_id()
{
	return (int)(threadIdx.x >> 5);
}

/* Of all lanes, in every lane; the same tree always. */
template <typename T> static __device__ __forceinline__ T warp_sum(T x)
{
#pragma unroll
	for (int step = 16; step > 0; step >>= 1)
		x += __shfl_xor_sync(ALL_LANES, x, step);
	return x;
}

static __device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
	for (int step = 16; step > 0; step >>= 1)
		x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, step));
	return x;
}

/* Over a block of whole warps, in every thread. room: 32 elements of shared memory, which are free
 * again after the call. */
template <typename T> static __device__ T block_sum(T x, T *room)
{
	int warps = (int)(blockDim.x >> 5);

	x = warp_sum(x);
	__syncthreads();
	if (lane_id() == 0)
		room[warp_id()] = x;
	__syncthreads();
	return warp_sum(lane_id() < warps ? room[lane_id()] : T(0));
}

static inline __device__ float block_max(float x, float *room)
{
	int warps = (int)(blockDim.x >> 5);

	x = warp_max(x);
	__syncthreads();
	if (lane_id() == 0)
		room[warp_id()] = x;
	__syncthreads();
	return warp_max(lane_id() < warps ? room[lane_id()] : -INFINITY);
}

/* ---- tensor cores -----------------------------------------------------------------------------
 *
 * mma.sync m16n8k16, bf16 in, float sums: D[16,8] += A[16,16] B[16,8]. With group = lane / 4 and
 * pair = lane % 4 a lane holds
 *	a[0] = A[group][2 pair, +1]	a[1] = A[group + 8][the same]
 *	a[2] = A[group][2 pair + 8, +9]	a[3] = A[group + 8][the same]
 *	b[0] = B[2 pair, +1][group]	b[1] = B[2 pair + 8, +9][group]
 *	d[0], d[1] = D[group][2 pair, +1]	d[2], d[3] = D[group + 8][the same]
 * so sums of one product, packed in pairs, are the A of the next.
 */
static __device__ __forceinline__ void mma_bf16(
	float d[4], const uint32_t a[4], const uint32_t b[2])
{
#ifdef __CUDACC__
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
		     "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
		     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
		     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
	emulate_mma(d, a, b);
#endif
}

/*
 * Four 8 x 8 matrices of bf16 from shared memory. Lane l gives the address of row l % 8 of matrix
 * l / 8 (16 bytes, aligned); it gets in r[i] elements [lane / 4][2 (lane % 4), +1] of matrix i, or
 * with `transposed` elements [2 (lane % 4), +1][lane / 4].
 */
template <bool transposed>
static __device__ __forceinline__ void load_matrices(uint32_t r[4], const bf16 *row)
{
#ifdef __CUDACC__
	uint32_t address = (uint32_t)__cvta_generic_to_shared(row);

	if (transposed)
		asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
			     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
			     : "r"(address)
			     : "memory");
	else
		asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
			     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
			     : "r"(address)
			     : "memory");
#else
	emulate_matrices(r, row, transposed);
#endif
}

/* ---- copies that overlap ----------------------------------------------------------------------
 */

/* 16 bytes of global to shared memory, or zeros where not `valid`; both addresses are aligned. They
 * are there after copies_wait() and a barrier. */
static __device__ __forceinline__ void copy_async(void *shared, const void *global, bool valid)
{
#ifdef __CUDACC__
	uint32_t address = (uint32_t)__cvta_generic_to_shared(shared);
	int bytes = valid ? 16 : 0;

	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(global),
		     "r"(bytes)
		     : "memory");
#else
	emulate_copy(shared, global, valid);
#endif
}

/* Ends a group of copies. */
static __device__ __forceinline__ void copies_commit()
{
#ifdef __CUDACC__
	asm volatile("cp.async.commit_group;" ::: "memory");
#else
	emulate_commit();
#endif
}

/* Waits until at most `pending` of this thread's newest groups are under way. */
template <int pending> static __device__ __forceinline__ void copies_wait()
{
#ifdef __CUDACC__
	asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#else
	emulate_wait(pending);
#endif
}

/* ---- launching --------------------------------------------------------------------------------
 */

/* Number of this thread in a grid of one dimension. */
static __device__ __forceinline__ int64_t flat_index()
{
	return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}

/* The statement with A as the type of activations. */
#define WITH_ACTIVATION(type, A, ...)                                                              \
	do {                                                                                       \
		if ((type) == CUDA_BF16) {                                                         \
			typedef bf16 A;                                                            \
			__VA_ARGS__;                                                               \
		} else {                                                                           \
			typedef float A;                                                           \
			__VA_ARGS__;                                                               \
		}                                                                                  \
	} while (0)

/* May accesses be of 16 bytes? NULL may. */
static inline bool aligned16(const void *at)
{
	return reinterpret_cast<uintptr_t>(at) % 16 == 0;
}

static inline int64_t pieces(int64_t n, int64_t size)
{
	return (n + size - 1) / size;
}

#endif
