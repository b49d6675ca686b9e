/* SPDX-License-Identifier: Apache-2.0 */
/* test_adam.cc - AdamW of the CUDA backend on the host, against the portable one, which computes in
 * double and rounds what it stores. */
#include "compare.h"

#include "kernels/cuda/adam.h"

namespace
{

struct state {
	floats w, g, m, v;
};

state start(int64_t n)
{
	state s = {normal(n, 1, 0.1), normal(n, 2, 1e-3), normal(n, 3, 1e-4), normal(n, 4, 1e-6)};

	for (float &v : s.v)
		v = fabsf(v);
	return s;
}

cairn_adam step_of(state &s, int64_t offset, uint64_t t, bool tf_form)
{
	cairn_adam a = {};

	a.n = (int64_t)s.w.size() - offset;
	a.w = s.w.data() + offset;
	a.g = s.g.data() + offset;
	a.m = s.m.data() + offset;
	a.v = s.v.data() + offset;
	a.grad_scale = 0.7;
	a.lr = 6e-4;
	a.beta1 = 0.9;
	a.beta2 = 0.95;
	a.eps = 1e-8;
	a.weight_decay = 0.1;
	a.t = t;
	a.tf_form = tf_form;
	return a;
}

void check_step(int64_t n, int64_t offset, uint64_t t, bool tf_form)
{
	state want = start(n + offset);
	cairn_adam reference = step_of(want, offset, t, tf_form);
	tensors got = in_any_order([&] {
		state s = start(n + offset);
		cairn_adam a = step_of(s, offset, t, tf_form);

		cuda_adam(nullptr, &a);
		return tensors{s.w, s.m, s.v};
	});

	portable()->adam(portable(), &reference);
	check_near("w", got[0], want.w, 1.2e-7, 2e-9);
	check_near("m", got[1], want.m, 2e-7, 1e-10);
	check_near("v", got[2], want.v, 3e-7, 0);
}

void test_cuda_adam__one_step(void **)
{
	for (bool tf_form : {false, true}) {
		for (uint64_t t : {1, 2, 1000}) {
			check_step(1, 0, t, tf_form);
			check_step(1027, 0, t, tf_form);
			check_step(40, 1, t, tf_form);
		}
	}
}

/* Rounding does not gather: two thousand steps with steady gradients, and the decay. */
void test_cuda_adam__many_steps(void **)
{
	state mine = start(64), want = mine;

	for (uint64_t t = 1; t <= 2000; t++) {
		cairn_adam a = step_of(mine, 0, t, false), b = step_of(want, 0, t, false);

		a.beta2 = b.beta2 = 0.999;
		cuda_adam(nullptr, &a);
		portable()->adam(portable(), &b);
	}
	/* Each stored number is rounded two thousand times in both. */
	check_near("w", mine.w, want.w, 0, 2e-6);
	check_near("m", mine.m, want.m, 3e-6, 0);
	check_near("v", mine.v, want.v, 3e-5, 0);
}

void test_cuda_adam__a_gradient_of_zero_moves_nothing(void **)
{
	state s = {normal(5, 1), floats(5, 0), floats(5, 0), floats(5, 0)}, before = s;
	cairn_adam a = step_of(s, 0, 1, false);

	a.weight_decay = 0;
	cuda_adam(nullptr, &a);
	check_same("w", s.w, before.w);
	check_same("v", s.v, before.v);
	a.n = 0;
	cuda_adam(nullptr, &a);
}

} // namespace

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_adam__one_step),
		cmocka_unit_test(test_cuda_adam__many_steps),
		cmocka_unit_test(test_cuda_adam__a_gradient_of_zero_moves_nothing),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
