/* SPDX-License-Identifier: Apache-2.0 */
/*
 * emulate.h - CUDA's words on the host: enough of them for the kernels of plugins/kernels/cuda.
 *
 * LAUNCH runs the blocks of a grid one after the other, the threads of a block as fibers that take
 * turns at barriers and shuffles. The order in which fibers run is shuffled anew in every block by
 * emulate_seed(): a kernel that lacks a barrier gives other results with another seed. What it
 * finds at once, and ends the program for: a barrier or a shuffle that not all threads reach, an
 * access that is not aligned, an asynchronous copy that is read before it was waited for (its
 * target holds NaNs until then). Global memory is the host's, so the address sanitizer watches it;
 * shared memory is a fresh block for each block of the grid, exactly as large as was asked for.
 *
 * Not the GPU: rounding of fast functions, speed, limits of registers.
 */
#ifndef CAIRN_TESTS_EMULATE_H
#define CAIRN_TESTS_EMULATE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>

#define __global__ static
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict

struct uint3 {
	unsigned x, y, z;
};
struct dim3 {
	unsigned x, y, z;
	dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_)
	{
	}
};
struct alignas(16) uint4 {
	uint32_t x, y, z, w;
};
struct alignas(8) uint2 {
	uint32_t x, y;
};
struct alignas(8) float2 {
	float x, y;
};
struct alignas(16) float4 {
	float x, y, z, w;
};
typedef void *cudaStream_t;

extern uint3 threadIdx, blockIdx; /* of the fiber that runs */
extern dim3 blockDim, gridDim;

#define SHARED(T, name)             T *name = reinterpret_cast<T *>(emulate_shared())
#define ALLOW_SHARED(kernel, bytes) ((void)0)
#define LAUNCH(kernel, grid, block, shared, stream, ...) \
	((void)(stream), emulate_launch(grid, block, shared, [&] { (kernel)(__VA_ARGS__); }))

void emulate_launch(dim3 grid, dim3 block, size_t shared, const std::function<void()> &kernel);
/* Another order of threads. 0: ascending. */
void emulate_seed(uint64_t seed);
void *emulate_shared();
void emulate_aligned(const void *address, size_t to);
/* Gives every lane of the warp what each lane gave; all must come. */
void emulate_exchange(const void *mine, size_t size, void *all);

void __syncthreads();
void __syncwarp(unsigned mask = 0xffffffffu);

/* ---- shuffles ---------------------------------------------------------------------------------
 */

template <typename T> static inline T emulate_lane(T mine, int from)
{
	T all[32];

	emulate_exchange(&mine, sizeof(T), all);
	return all[from & 31];
}

template <typename T> static inline T __shfl_xor_sync(unsigned, T x, int mask)
{
	return emulate_lane(x, (int)(threadIdx.x & 31) ^ mask);
}

template <typename T> static inline T __shfl_sync(unsigned, T x, int from)
{
	return emulate_lane(x, from);
}

template <typename T> static inline T __shfl_up_sync(unsigned, T x, int by)
{
	int lane = (int)(threadIdx.x & 31);

	return emulate_lane(x, lane < by ? lane : lane - by);
}

template <typename T> static inline T __shfl_down_sync(unsigned, T x, int by)
{
	int lane = (int)(threadIdx.x & 31);

	return emulate_lane(x, lane + by > 31 ? lane : lane + by);
}

static inline unsigned __ballot_sync(unsigned, int predicate)
{
	int all[32];
	unsigned mask = 0;

	emulate_exchange(&predicate, sizeof(int), all);
	for (int i = 0; i < 32; i++)
		mask |= all[i] ? 1u << i : 0;
	return mask;
}

static inline int __any_sync(unsigned mask, int predicate)
{
	return __ballot_sync(mask, predicate) != 0;
}

/* ---- arithmetic -------------------------------------------------------------------------------
 */

static inline float __uint_as_float(uint32_t x)
{
	float y;

	memcpy(&y, &x, sizeof(y));
	return y;
}

static inline uint32_t __float_as_uint(float x)
{
	uint32_t y;

	memcpy(&y, &x, sizeof(y));
	return y;
}

static inline uint16_t emulate_bf16(float x)
{
	uint32_t bits = __float_as_uint(x);

	if (isnan(x))
		return 0x7fff;
	return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static inline float rsqrtf(float x)
{
	return 1 / sqrtf(x);
}
static inline int __popc(unsigned x)
{
	return __builtin_popcount(x);
}
static inline int __ffs(int x)
{
	return __builtin_ffs(x);
}
static inline uint32_t __umulhi(uint32_t a, uint32_t b)
{
	return (uint32_t)((uint64_t)a * b >> 32);
}
template <typename T> static inline T __ldg(const T *at)
{
	return *at;
}
template <typename T> static inline T min(T a, T b)
{
	return a < b ? a : b;
}
template <typename T> static inline T max(T a, T b)
{
	return a > b ? a : b;
}

/* ---- tensor cores and copies (device.cuh says what they do) -----------------------------------
 */

struct bf16;
void emulate_mma(float d[4], const uint32_t a[4], const uint32_t b[2]);
void emulate_matrices(uint32_t r[4], const bf16 *row, bool transposed);
void emulate_copy(void *shared, const void *global, bool valid);
void emulate_commit();
void emulate_wait(int pending);

#endif
