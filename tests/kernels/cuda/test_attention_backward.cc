/* SPDX-License-Identifier: Apache-2.0 */
/* test_attention_backward.cc - gradients of attention on the GPU, near the reference. */
#include "attention_case.h"

/* What the forward pass left, by the reference, so that both sides start alike. */
struct inputs {
	acts qkv, out, dout;
	floats lse;

	explicit inputs(const attention_case &c)
	    : qkv(c.qkv()), out(c.type, poisoned(c.B * c.T * c.C())), dout(c.rows(c.C(), 2, 1)),
	      lse(poisoned(c.B * c.NH * c.T))
	{
		floats x = qkv.values(), y = poisoned(c.B * c.T * c.C());
		device_vector<int32_t> lengths = c.lengths();
		cairn_attention a = {};

		a.B = c.B;
		a.T = c.T;
		a.NH = c.NH;
		a.D = c.D;
		a.qkv = x.data();
		a.lengths = lengths.data();
		a.out = y.data();
		a.lse = lse.data();
		portable()->attention(portable(), &a);
		for (int64_t b = 0; b < c.B; b++)
			for (int64_t h = 0; h < c.NH; h++)
				for (int64_t t = c.length(b); t < c.T; t++)
					lse[(size_t)((b * c.NH + h) * c.T + t)] = NAN;
		out = acts(c.type, y);
	}
};

static tensors run(const attention_case &c)
{
	inputs in(c);
	acts dqkv(c.type, poisoned(c.B * c.T * 3 * c.C()));
	workspace room(cuda_attention_workspace(c.B, c.T, c.NH));
	device_vector<int32_t> lengths = c.lengths();
	cuda_attention a = {};

	a.B = c.B;
	a.T = c.T;
	a.NH = c.NH;
	a.D = c.D;
	a.qkv = in.qkv.dev();
	a.lengths = c.padded ? lengths.data() : NULL;
	a.out = in.out.dev();
	a.lse = in.lse.data();
	a.dout = in.dout.dev();
	a.dqkv = dqkv.dev();
	a.workspace = room.dev();
	cuda_attention_backward(NULL, c.type, &a);
	return {dqkv.values()};
}

/*
 * What may be off: P and dS, rounded to the type before they mix rows, and all they are made of by
 * errors of sums in float. Rows behind a sequence have bounds of 0: they are zeros, bit for bit.
 */
static void check(const attention_case &c)
{
	tensors got = in_any_order([&] { return run(c); });
	inputs in(c);
	floats qkv = in.qkv.values(), out = in.out.values(), dout = in.dout.values();
	floats want = poisoned(c.B * c.T * 3 * c.C());
	device_vector<int32_t> lengths = c.lengths();
	attention_bounds bounds = attention_bounds_of(c, qkv, out, dout);
	cairn_attention a = {};

	a.B = c.B;
	a.T = c.T;
	a.NH = c.NH;
	a.D = c.D;
	a.qkv = qkv.data();
	a.lengths = lengths.data();
	a.out = out.data();
	a.lse = in.lse.data();
	a.dout = dout.data();
	a.dqkv = want.data();
	portable()->attention_backward(portable(), &a);
	check_bounded(
		"dqkv", c, got[0], want, rounding(c.type), bounds.dqkv, 2e-5, bounds.exact_dqkv);
}

static void test_cuda_attention_backward__tensor_cores_take_bf16(void **state)
{
	static const attention_case cases[] = {
		{CUDA_BF16, 1, 1, 1, 64, false, 1.5},
		{CUDA_BF16, 4, 67, 2, 64, true, 1.5},
		{CUDA_BF16, 1, 128, 1, 64, false, 1.5},
		{CUDA_BF16, 2, 193, 1, 64, true, 1},
		{CUDA_BF16, 1, 290, 1, 64, false, 3},
		{CUDA_BF16, 2, 65, 2, 8, true, 1.5},
		{CUDA_BF16, 1, 129, 1, 32, false, 1.5},
		{CUDA_BF16, 1, 70, 1, 40, false, 1.5},
		{CUDA_BF16, 1, 131, 1, 96, false, 1.5},
		{CUDA_BF16, 2, 150, 1, 128, true, 1.5},
	};

	(void)state;
	for (const attention_case &c : cases)
		check(c);
}

static void test_cuda_attention_backward__any_shape_and_type(void **state)
{
	static const attention_case cases[] = {
		{CUDA_FLOAT, 1, 1, 1, 1, false, 1.5},
		{CUDA_FLOAT, 2, 5, 3, 7, false, 1.5},
		{CUDA_FLOAT, 4, 67, 2, 16, true, 1.5},
		{CUDA_FLOAT, 1, 70, 1, 64, false, 3},
		{CUDA_FLOAT, 1, 20, 1, 300, false, 1},
		{CUDA_FLOAT, 1, 9, 1, 512, false, 1},
		{CUDA_BF16, 2, 37, 3, 7, true, 1.5},
		{CUDA_BF16, 1, 34, 1, 136, false, 1.5},
	};

	(void)state;
	for (const attention_case &c : cases)
		check(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_attention_backward__tensor_cores_take_bf16),
		cmocka_unit_test(test_cuda_attention_backward__any_shape_and_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
