/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpu.h - what compare.h needs where the kernels under test are nvcc's and run on a GPU.
 *
 * Arrays lie in managed memory, which host and GPU see at the same address. Each is a block of its
 * own and exactly as large as asked for, so that compute-sanitizer sees a step too far; a block
 * that is given back is kept for the next array of that size, because getting one takes long.
 * settle() waits for what was launched: nobody may look into an array before.
 */
#ifndef CAIRN_TESTS_CUDA_GPU_H
#define CAIRN_TESTS_CUDA_GPU_H

#include <cuda_runtime_api.h>

#include <map>
#include <vector>

extern "C" {
#include "../../test.h"
}

/* Fails the test where a launch or what was launched failed. */
static inline void settle()
{
	cudaError_t launched = cudaGetLastError(), ran = cudaDeviceSynchronize();

	if (launched != cudaSuccess || ran != cudaSuccess)
		fail_msg("a kernel failed: %s",
			cudaGetErrorString(launched != cudaSuccess ? launched : ran));
}

/* Never freed: arrays may be given back when the program ends. */
static inline std::vector<void *> &gpu_free_blocks(size_t bytes)
{
	static std::map<size_t, std::vector<void *>> *of_size =
		new std::map<size_t, std::vector<void *>>;

	return (*of_size)[bytes];
}

template <typename T> struct device_allocator {
	typedef T value_type;

	device_allocator() = default;
	template <typename U> device_allocator(const device_allocator<U> &)
	{
	}
	T *allocate(size_t n)
	{
		std::vector<void *> &free_blocks = gpu_free_blocks(n * sizeof(T));
		void *block = nullptr;

		settle(); /* what this array gets may be the result of a launch */
		if (!free_blocks.empty()) {
			block = free_blocks.back();
			free_blocks.pop_back();
		} else if (cudaMallocManaged(&block, n * sizeof(T)) != cudaSuccess) {
			fail_msg("no managed memory");
		}
		return static_cast<T *>(block);
	}
	void deallocate(T *block, size_t n)
	{
		gpu_free_blocks(n * sizeof(T)).push_back(block);
	}
	friend bool operator==(const device_allocator &, const device_allocator &)
	{
		return true;
	}
	friend bool operator!=(const device_allocator &, const device_allocator &)
	{
		return false;
	}
};

/* A GPU chooses the order of its threads itself. */
static inline void emulate_seed(uint64_t)
{
}

static inline uint32_t __float_as_uint(float x)
{
	uint32_t y;

	memcpy(&y, &x, sizeof(y));
	return y;
}

static inline float __uint_as_float(uint32_t x)
{
	float y;

	memcpy(&y, &x, sizeof(y));
	return y;
}

/* To nearest even. */
static inline uint16_t emulate_bf16(float x)
{
	uint32_t bits = __float_as_uint(x);

	return isnan(x) ? 0x7fff : (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#endif
