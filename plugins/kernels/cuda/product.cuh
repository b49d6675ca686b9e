/* SPDX-License-Identifier: Apache-2.0 */
/* product.cuh - the end of an element of a product, the same in all of our kernels. */
#ifndef CAIRN_KERNELS_CUDA_PRODUCT_CUH
#define CAIRN_KERNELS_CUDA_PRODUCT_CUH

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/product.h"

/* GPT-2's tanh form, as z times a sigmoid. */
static __device__ __forceinline__ float product_gelu(float z)
{
	float u = 0.7978845608f * (z + 0.044715f * z * z * z);

	return z / (1 + expf(-2 * u));
}

/* Of element (i,j): what is added to the sum, and where it goes. */
template <typename TC>
static __device__ __forceinline__ void finish(
	const cuda_product &p, int64_t i, int64_t j, float sum)
{
	TC *c = static_cast<TC *>(p.C) + i * p.ldc + j;

	if (p.accumulate)
		sum += to_float(*c);
	if (p.bias)
		sum += p.bias[j];
	if (p.gelu && p.pre)
		static_cast<TC *>(p.pre)[i * p.ldc + j] = from_float<TC>(sum);
	*c = from_float<TC>(p.gelu ? product_gelu(sum) : sum);
}

#endif
