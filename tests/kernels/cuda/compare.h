/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compare.h - inputs, poison and tolerances for tests of the CUDA kernels, on the host (emulate.h)
 * or, with CAIRN_ON_GPU, on a GPU (gpu.h).
 *
 * What a kernel reads or writes is a device_vector. Arrays are as large as asked for and not an
 * element more, so that a sanitizer sees a step too far, and aligned to 16 bytes. The reference is
 * given the inputs after they were rounded to the type of activations. After a launch settle()
 * comes before anybody looks; what is made of results here and all comparisons do that themselves.
 */
#ifndef CAIRN_TESTS_COMPARE_H
#define CAIRN_TESTS_COMPARE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <memory>
#include <vector>

extern "C" {
#include "../../test.h"
}

#include "cairn/kernels.h"
#include "gpt/rng.h"
#include "kernels/cuda/types.h"
#include "kernels/portable/portable.h"

#ifdef CAIRN_ON_GPU
#include "gpu.h"
#else
#include "emulate.h"

template <typename T> using device_allocator = std::allocator<T>;

static inline void settle()
{
}
#endif

/* What is off by the hardware's own functions beside what is emulated, in units of that. */
#ifdef CAIRN_ON_GPU
static const double hardware = 4;
#else
static const double hardware = 1;
#endif

template <typename T> using device_vector = std::vector<T, device_allocator<T>>;
typedef device_vector<float> floats;
typedef std::vector<floats> tensors;

static const enum cuda_type both_types[] = {CUDA_FLOAT, CUDA_BF16};

/* Largest relative error of one rounding to the type. */
static inline double rounding(enum cuda_type type)
{
	return type == CUDA_BF16 ? 0x1p-8 : 0x1p-24;
}

static inline float rounded(enum cuda_type type, float x)
{
	return type == CUDA_BF16 ? __uint_as_float((uint32_t)emulate_bf16(x) << 16) : x;
}

/* About N(0, scale): the sum of four uniform numbers. */
static inline floats normal(int64_t n, uint64_t seed, double scale = 1)
{
	floats x((size_t)n);

	for (size_t i = 0; i < x.size(); i++) {
		double sum = -2;

		for (uint64_t part = 0; part < 4; part++)
			sum += gpt_random_uniform(seed, i, part);
		x[i] = (float)(sum * scale * 1.7320508);
	}
	return x;
}

/* NaNs: for what is to be overwritten, and for workspace. */
static inline floats poisoned(int64_t n)
{
	return floats((size_t)n, NAN);
}

/* Uniform in low..high-1. */
static inline device_vector<int32_t> random_ints(
	int64_t n, uint64_t seed, int32_t low, int32_t high)
{
	device_vector<int32_t> x((size_t)n);

	for (size_t i = 0; i < x.size(); i++)
		x[i] = low + (int32_t)gpt_random_below(seed, i, 7, (uint64_t)(high - low));
	return x;
}

/* Workspace of `bytes`, all NaN. */
struct workspace {
	explicit workspace(size_t bytes) : room(bytes, 0xff)
	{
	}
	void *dev()
	{
		return room.data();
	}
	device_vector<uint8_t> room;
};

/* Activations as the kernels see them. */
struct acts {
	acts(enum cuda_type type_, const floats &x) : type(type_), n(x.size())
	{
		if (type == CUDA_BF16) {
			half.resize(n);
			for (size_t i = 0; i < n; i++)
				half[i] = emulate_bf16(x[i]);
		} else {
			real = x;
		}
	}
	void *dev()
	{
		return type == CUDA_BF16 ? (void *)half.data() : (void *)real.data();
	}
	/* What they are as floats; the reference's input. */
	floats values() const
	{
		settle();

		floats x = real;

		if (type == CUDA_BF16) {
			x.resize(n);
			for (size_t i = 0; i < n; i++)
				x[i] = __uint_as_float((uint32_t)half[i] << 16);
		}
		return x;
	}
	enum cuda_type type;
	size_t n;
	device_vector<uint16_t> half;
	floats real;
};

/* Are all of them there, and |got - want| <= relative |want| + absolute? */
static inline void check_near(
	const char *what, const floats &got, const floats &want, double relative, double absolute)
{
	settle();
	assert_int_equal(got.size(), want.size());
	for (size_t i = 0; i < got.size(); i++) {
		double allowed = relative * fabs((double)want[i]) + absolute;

		if (!(fabs((double)got[i] - (double)want[i]) <= allowed) && got[i] != want[i])
			fail_msg("%s[%zu] is %.9g, not %.9g within %.3g", what, i, (double)got[i],
				(double)want[i], allowed);
	}
}

static inline void check_same(const char *what, const floats &got, const floats &want)
{
	settle();
	assert_int_equal(got.size(), want.size());
	for (size_t i = 0; i < got.size(); i++)
		if (__float_as_uint(got[i]) != __float_as_uint(want[i]))
			fail_msg("%s[%zu] is %.9g, not %.9g", what, i, (double)got[i],
				(double)want[i]);
}

/* What `run` gives; its bits must not depend on the order in which threads run. */
static inline tensors in_any_order(const std::function<tensors()> &run)
{
	tensors first;

	for (uint64_t seed = 0; seed < 3; seed++) {
		emulate_seed(seed);
		tensors now = run();

		settle();
		if (seed == 0)
			first = now;
		assert_int_equal(now.size(), first.size());
		for (size_t i = 0; i < now.size(); i++)
			check_same("in another order of threads: tensor", now[i], first[i]);
	}
	emulate_seed(0);
	return first;
}

/* The reference. */
static inline const cairn_kernels *portable()
{
	static cairn_kernels k;
	static bool open;
	cairn_error err;

	settle(); /* it is about to look at what kernels may be writing */
	if (!open && cairn_kernels_portable_open(&k, 1, &err) != 0)
		fail_msg("no portable backend");
	open = true;
	return &k;
}

#endif
