/* SPDX-License-Identifier: Apache-2.0 */
/* test_attention.cc - attention on the GPU, forward: near the reference in every shape. */
#include "attention_case.h"
#ifndef CAIRN_ON_GPU
#include "kernels/cuda/attention.cuh"
#endif

static tensors run(const attention_case &c)
{
	acts qkv = c.qkv(), out(c.type, poisoned(c.B * c.T * c.C()));
	floats lse = poisoned(c.B * c.NH * c.T);
	device_vector<int32_t> lengths = c.lengths();
	cuda_attention a = {};

	a.B = c.B;
	a.T = c.T;
	a.NH = c.NH;
	a.D = c.D;
	a.qkv = qkv.dev();
	a.lengths = c.padded ? lengths.data() : NULL;
	a.out = out.dev();
	a.lse = lse.data();
	cuda_attention_forward(NULL, c.type, &a);
	return {out.values(), lse};
}

static tensors reference(const attention_case &c)
{
	floats qkv = c.qkv().values(), out = poisoned(c.B * c.T * c.C());
	floats lse = poisoned(c.B * c.NH * c.T);
	device_vector<int32_t> lengths = c.lengths();
	cairn_attention a = {};

	a.B = c.B;
	a.T = c.T;
	a.NH = c.NH;
	a.D = c.D;
	a.qkv = qkv.data();
	a.lengths = lengths.data();
	a.out = out.data();
	a.lse = lse.data();
	portable()->attention(portable(), &a);
	return {out, lse};
}

/*
 * What may be off: P, rounded to the type before it mixes the values, and all of it by the error
 * of its score, a sum of D terms in float: spread^2 sqrt(D) at most some 100, times 2^-22. Tensor
 * cores cut off what they add instead of rounding it, which is worse by a few units.
 */
static void check(const attention_case &c)
{
	tensors got = in_any_order([&] { return run(c); }), want = reference(c);
	attention_bounds bounds = attention_bounds_of(c, c.qkv().values(), {}, {});

	check_bounded(
		"out", c, got[0], want[0], rounding(c.type) + 2e-5, bounds.out, 0, bounds.out);
	check_near("lse", got[1], want[1], 1e-6, 2e-5 * hardware);
	for (int64_t b = 0; b < c.B; b++)
		for (int64_t i = 0; i < c.NH; i++)
			for (int64_t t = c.length(b); t < c.T; t++)
				assert_true(got[1][(size_t)((b * c.NH + i) * c.T + t)] == 0);
}

/* Tiles of 128 queries and 64, 32 or 48 keys: below, at and above their edges. */
static void test_cuda_attention__tensor_cores_take_bf16(void **state)
{
	static const attention_case cases[] = {
		{CUDA_BF16, 1, 1, 1, 64, false, 1.5},
		{CUDA_BF16, 2, 67, 2, 64, true, 1.5},
		{CUDA_BF16, 1, 128, 1, 64, false, 1.5},
		{CUDA_BF16, 4, 193, 1, 64, true, 1},
		{CUDA_BF16, 1, 300, 1, 64, false, 3},
		{CUDA_BF16, 2, 65, 2, 8, true, 1.5},
		{CUDA_BF16, 1, 129, 1, 16, false, 1.5},
		{CUDA_BF16, 1, 97, 2, 32, false, 1.5},
		{CUDA_BF16, 1, 70, 1, 40, false, 1.5},
		{CUDA_BF16, 2, 130, 1, 80, true, 1.5},
		{CUDA_BF16, 1, 131, 1, 96, false, 1.5},
		{CUDA_BF16, 1, 50, 1, 104, false, 1.5},
		{CUDA_BF16, 2, 150, 2, 128, true, 1.5},
	};

	(void)state;
	for (const attention_case &c : cases)
		check(c);
}

static void test_cuda_attention__any_shape_and_type(void **state)
{
	static const attention_case cases[] = {
		{CUDA_FLOAT, 1, 1, 1, 1, false, 1.5},
		{CUDA_FLOAT, 2, 5, 3, 7, false, 1.5},
		{CUDA_FLOAT, 4, 67, 2, 16, true, 1.5},
		{CUDA_FLOAT, 1, 70, 1, 64, false, 3},
		{CUDA_FLOAT, 1, 33, 1, 300, false, 1},
		{CUDA_FLOAT, 1, 9, 1, 512, false, 1},
		{CUDA_BF16, 2, 37, 3, 7, true, 1.5},
		{CUDA_BF16, 1, 40, 1, 136, false, 1.5},
		{CUDA_BF16, 1, 34, 1, 256, false, 1.5},
	};

	(void)state;
	for (const attention_case &c : cases)
		check(c);
}

/* Scores that rise along the row, by far more than the maximum lags behind: it is raised in later
 * tiles, too, and what was summed before is rescaled. */
static void test_cuda_attention__follows_a_rising_maximum(void **state)
{
	attention_case c = {CUDA_BF16, 1, 260, 1, 64, false, 1};
	int64_t C = 64;
	floats x = normal(c.T * 3 * C, 5, 0.1);

	(void)state;
	for (int64_t t = 0; t < c.T; t++) {
		x[(size_t)(t * 3 * C)] = 8;                     /* q */
		x[(size_t)(t * 3 * C + C)] = (float)t * 0.125f; /* k: one more power of e a key */
	}

	acts qkv(c.type, x), out(c.type, poisoned(c.T * C));
	floats lse = poisoned(c.T), values = qkv.values(), want = poisoned(c.T * C), want_lse = lse;
	cuda_attention a = {};
	cairn_attention r = {};

	a.B = r.B = 1;
	a.T = r.T = c.T;
	a.NH = r.NH = 1;
	a.D = r.D = C;
	a.qkv = qkv.dev();
	a.out = out.dev();
	a.lse = lse.data();
	cuda_attention_forward(NULL, c.type, &a);
	r.qkv = values.data();
	r.out = want.data();
	r.lse = want_lse.data();
	portable()->attention(portable(), &r);
	check_bounded("out", c, out.values(), want, rounding(c.type) + 2e-4,
		attention_bounds_of(c, values, {}, {}).out, 0, want);
	check_near("lse", lse, want_lse, 1e-6, 2e-5 * hardware);
}

#ifndef CAIRN_ON_GPU
/* Every tile of every head has its block, also in a last group that is smaller. */
static void test_cuda_attention__heads_run_in_groups(void **state)
{
	attention_shape s = {};
	std::vector<int> seen(7 * 4);
	int last = 0;

	(void)state;
	s.heads = 7;
	s.tiles = 4;
	s.group = 3;
	for (int block = 0; block < 7 * 4; block++) {
		attention_work work = attention_work_of(s, block);

		assert_in_range(work.head, 0, 6);
		assert_in_range(work.rank, 0, 3);
		seen[(size_t)(work.head * 4 + work.rank)]++;
		/* The long rows of a group first. */
		if (block != 0 && block != 12 && block != 24)
			assert_true(work.rank >= last);
		last = work.rank;
	}
	for (int n : seen)
		assert_int_equal(n, 1);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_attention__tensor_cores_take_bf16),
		cmocka_unit_test(test_cuda_attention__any_shape_and_type),
		cmocka_unit_test(test_cuda_attention__follows_a_rising_maximum),
#ifndef CAIRN_ON_GPU
		cmocka_unit_test(test_cuda_attention__heads_run_in_groups),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
