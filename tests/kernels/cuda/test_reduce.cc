/* SPDX-License-Identifier: Apache-2.0 */
/* test_reduce.cc - column sums and sums of squares of the CUDA backend on the host, against sums in
 * double. */
#include "compare.h"

#include "kernels/cuda/reduce.h"

namespace
{

void check_bias(enum cuda_type type, int64_t R, int64_t N, int64_t offset)
{
	acts dout(type, normal(R * N + offset, 1));
	floats start = normal(N, 2), want = start, of = dout.values();
	tensors got = in_any_order([&] {
		floats dbias = start;
		workspace room(cuda_bias_backward_workspace(R, N));

		cuda_bias_backward(nullptr, type, dbias.data(),
			(char *)dout.dev() + (size_t)offset * cuda_type_bytes(type), R, N,
			room.dev());
		return tensors{dbias};
	});

	portable()->bias_backward(portable(), want.data(), of.data() + offset, true, R, N, 0);
	/* R numbers of size 1 in chunks of at most 256/8: errors grow like the sum itself. */
	check_near("dbias", got[0], want, 1e-6, 2e-7 * sqrt((double)R) * 4);
}

void test_cuda_reduce__bias_backward(void **)
{
	static const int64_t shapes[][3] = {
		{1, 1, 0}, {16, 8, 0}, {17, 264, 0}, {100, 24, 0}, {33, 70, 0},
		{40, 16, 1},  /* not aligned */
		{9000, 8, 0}, /* chunks of more than 16 rows, more than 16 chunks */
	};

	for (enum cuda_type type : both_types)
		for (const auto &s : shapes)
			check_bias(type, s[0], s[1], s[2]);
}

void test_cuda_reduce__bias_backward_of_nothing(void **)
{
	floats dbias = normal(4, 1), before = dbias;

	cuda_bias_backward(nullptr, CUDA_BF16, dbias.data(), nullptr, 0, 4, nullptr);
	check_same("dbias", dbias, before);
}

double squares(floats &x, int64_t offset)
{
	int64_t n = (int64_t)x.size() - offset;
	double first = 0;

	for (uint64_t seed = 0; seed < 3; seed++) {
		workspace room(cuda_sum_squares_workspace(n));
		device_vector<double> sum(1, NAN);

		emulate_seed(seed);
		cuda_sum_squares(nullptr, sum.data(), x.data() + offset, n, room.dev());
		settle();
		if (seed == 0)
			first = sum[0];
		assert_memory_equal(sum.data(), &first, sizeof(first));
	}
	emulate_seed(0);
	return first;
}

void test_cuda_reduce__sum_squares(void **)
{
	for (int64_t n : {1, 5, 4096, 16384, 16385, 40003}) {
		for (int64_t offset : {0, 1}) {
			floats x = normal(n + offset, 3);
			double want = portable()->sum_squares(portable(), x.data() + offset, n);

			assert_true(fabs(squares(x, offset) - want) <= 1e-13 * want);
		}
	}
}

void test_cuda_reduce__sum_squares_of_the_large_and_the_lost(void **)
{
	floats x(20000, 1e30f), none;

	assert_true(fabs(squares(x, 0) / (20000 * (double)1e30f * (double)1e30f) - 1) < 1e-13);
	for (size_t at : {(size_t)0, (size_t)12345, x.size() - 1}) {
		for (float lost : {NAN, INFINITY, -INFINITY}) {
			floats y = x;

			y[at] = lost;
			assert_false(isfinite(squares(y, 0)));
		}
	}
	assert_true(squares(none, 0) == 0);
}

} // namespace

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_reduce__bias_backward),
		cmocka_unit_test(test_cuda_reduce__bias_backward_of_nothing),
		cmocka_unit_test(test_cuda_reduce__sum_squares),
		cmocka_unit_test(test_cuda_reduce__sum_squares_of_the_large_and_the_lost),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
