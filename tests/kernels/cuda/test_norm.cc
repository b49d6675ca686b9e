/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_norm.cc - layer norm of the CUDA backend on the host, against the portable reference, which
 * adds in double.
 *
 * Tolerances: what is stored as an activation is rounded once, to the type; numbers are of size 1,
 * so sums of floats add a few times C * 2^-24 at most, and far less in the mean.
 */
#include "compare.h"

#include "kernels/cuda/norm.h"

namespace
{

struct shape {
	int64_t R, C;
	bool residual, in_place;
};

/* Each kernel: warps of 1, 2, 3, 4, 6, 8 spans, full and not; the plain one, wide and not. */
const shape shapes[] = {
	{1, 8, true, false},
	{5, 256, false, false},
	{9, 264, true, true},
	{6, 768, true, false},
	{5, 1024, false, true},
	{3, 1600, true, true},
	{2, 2048, true, false},
	{2, 2056, true, true},
	{3, 4096, false, false},
	{3, 4104, true, false},
	{1, 1, false, false},
	{7, 5, true, true},
	{4, 130, true, false},
	{2, 513, false, false},
	{13, 40, true, true},
};

/* The hardware's 1/sqrt is off by 2^-22. */
const double FLOAT_SUMS = 4e-6 * hardware;

tensors forward(const shape &s, enum cuda_type type, const acts &a, const acts &b, bool keep_sum)
{
	floats gain = normal(s.C, 3), bias = normal(s.C, 4);
	floats mean = poisoned(s.R), rstd = poisoned(s.R);
	acts out(type, poisoned(s.R * s.C)), sum(type, poisoned(s.R * s.C)), left = a, right = b;
	void *to = s.in_place ? left.dev() : sum.dev();

	cuda_layernorm(nullptr, type, out.dev(), mean.data(), rstd.data(), keep_sum ? to : nullptr,
		left.dev(), s.residual ? right.dev() : nullptr, gain.data(), bias.data(), s.R, s.C);
	return {out.values(), mean, rstd, s.in_place ? left.values() : sum.values()};
}

/* The reference, in floats, from a sum that is rounded as the kernel's is. */
tensors expected(const shape &s, const floats &sum)
{
	floats gain = normal(s.C, 3), bias = normal(s.C, 4);
	floats out = poisoned(s.R * s.C), mean = poisoned(s.R), rstd = poisoned(s.R);

	portable()->layernorm(portable(), out.data(), mean.data(), rstd.data(), nullptr, sum.data(),
		nullptr, gain.data(), bias.data(), s.R, s.C);
	return {out, mean, rstd, sum};
}

void check_forward(const shape &s, enum cuda_type type)
{
	acts a(type, normal(s.R * s.C, 1)), b(type, normal(s.R * s.C, 2));
	floats sum = a.values(), other = b.values();
	tensors got, want, without;

	for (size_t i = 0; s.residual && i < sum.size(); i++)
		sum[i] = rounded(type, sum[i] + other[i]);
	got = in_any_order([&] { return forward(s, type, a, b, true); });
	want = expected(s, sum);
	check_near("out", got[0], want[0], rounding(type), s.C > 1 ? FLOAT_SUMS : 1e-4);
	check_near("mean", got[1], want[1], 0, FLOAT_SUMS);
	check_near("rstd", got[2], want[2], FLOAT_SUMS, 0);
	check_same("sum", got[3], want[3]);
	without = forward(s, type, a, b, false);
	check_same("out without a sum", without[0], got[0]);
}

void test_cuda_norm__forward(void **)
{
	for (const shape &s : shapes)
		for (enum cuda_type type : both_types)
			check_forward(s, type);
}

/* A row's bits are its own: neither R nor its place in the block changes them. */
void test_cuda_norm__rows_are_independent(void **)
{
	shape s = {11, 768, true, false}, one = {1, 768, true, false};
	floats a = normal(s.R * s.C, 1), b = normal(s.R * s.C, 2);
	tensors all = forward(s, CUDA_BF16, acts(CUDA_BF16, a), acts(CUDA_BF16, b), true);

	for (int64_t r = 0; r < s.R; r++) {
		auto row = [&](const floats &x) {
			return floats(x.begin() + r * s.C, x.begin() + (r + 1) * s.C);
		};
		tensors alone = forward(
			one, CUDA_BF16, acts(CUDA_BF16, row(a)), acts(CUDA_BF16, row(b)), true);

		check_same("row", alone[0], row(all[0]));
	}
}

void test_cuda_norm__forward_takes_unaligned_rows_and_null(void **)
{
	shape s = {3, 64, false, false};
	acts x(CUDA_BF16, normal(s.R * s.C + 1, 1)), out(CUDA_BF16, poisoned(s.R * s.C + 1));
	floats gain = normal(s.C, 3), bias = normal(s.C, 4), from = x.values();
	tensors want = expected(s, floats(from.begin() + 1, from.end()));

	cuda_layernorm(nullptr, CUDA_BF16, (uint16_t *)out.dev() + 1, nullptr, nullptr, nullptr,
		(uint16_t *)x.dev() + 1, nullptr, gain.data(), bias.data(), s.R, s.C);
	floats got = out.values();
	check_near("out", floats(got.begin() + 1, got.end()), want[0], rounding(CUDA_BF16),
		FLOAT_SUMS);
	assert_true(isnan(got[0]));
	cuda_layernorm(nullptr, CUDA_BF16, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr,
		nullptr, nullptr, 0, s.C);
}

struct backward_case {
	backward_case(const shape &s, enum cuda_type type)
	    : x(type, normal(s.R * s.C, 1)), dout(type, normal(s.R * s.C, 5)),
	      dx(type, normal(s.R * s.C, 6)), gain(normal(s.C, 3)), dgain(normal(s.C, 7)),
	      dbias(normal(s.C, 8)), mean(normal(s.R, 9, 0.1)), rstd(normal(s.R, 10, 0.1))
	{
		for (float &r : rstd)
			r += 1;
	}
	acts x, dout, dx;
	floats gain, dgain, dbias, mean, rstd;
};

void check_backward(const shape &s, enum cuda_type type)
{
	const backward_case c(s, type);
	floats dout = c.dout.values(), x = c.x.values(), dx = c.dx.values();
	floats dgain = c.dgain, dbias = c.dbias;
	tensors got = in_any_order([&] {
		backward_case mine = c;
		workspace room(cuda_layernorm_backward_workspace(s.R, s.C));

		cuda_layernorm_backward(nullptr, type, mine.dx.dev(), mine.dgain.data(),
			mine.dbias.data(), mine.dout.dev(), mine.x.dev(), mine.gain.data(),
			mine.mean.data(), mine.rstd.data(), s.R, s.C, room.dev());
		return tensors{mine.dx.values(), mine.dgain, mine.dbias};
	});

	portable()->layernorm_backward(portable(), dx.data(), dgain.data(), dbias.data(),
		dout.data(), x.data(), c.gain.data(), c.mean.data(), c.rstd.data(), s.R, s.C, 0);
	check_near("dx", got[0], dx, rounding(type), FLOAT_SUMS);
	/* Sums of R products of size 1; the reference rounds after each. */
	check_near("dgain", got[1], dgain, 0, 1e-6 * (4 + sqrt((double)s.R) * 8));
	check_near("dbias", got[2], dbias, 0, 1e-6 * (4 + sqrt((double)s.R) * 8));
}

void test_cuda_norm__backward(void **)
{
	static const shape more[] = {
		{131, 8, false, false},   /* chunks that are not full */
		{1100, 16, false, false}, /* chunks of 16 rows */
	};

	/* Long rows once only: their many columns take the second kernel many blocks. */
	for (enum cuda_type type : both_types) {
		for (const shape &s : shapes)
			if (s.C <= 1024 || (type == CUDA_BF16 && s.C < 4096))
				check_backward(s, type);
		for (const shape &s : more)
			check_backward(s, type);
	}
}

} // namespace

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_norm__forward),
		cmocka_unit_test(test_cuda_norm__rows_are_independent),
		cmocka_unit_test(test_cuda_norm__forward_takes_unaligned_rows_and_null),
		cmocka_unit_test(test_cuda_norm__backward),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
