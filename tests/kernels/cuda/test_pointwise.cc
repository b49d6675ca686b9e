/* SPDX-License-Identifier: Apache-2.0 */
/* test_pointwise.cc - gelu's slope and sums of vectors of the CUDA backend.
 * Errors: one rounding of what is stored, and a few of floats before it. */
#include "compare.h"

#include "kernels/cuda/pointwise.h"

namespace
{

const double FLOAT_STEPS = 1e-6;

/* Not a whole block, whole vectors or not; one that starts off a multiple of 16 bytes. */
struct span {
	int64_t n, offset;
};
const span spans[] = {{1, 0}, {7, 0}, {8, 0}, {2048, 0}, {2051, 0}, {1000, 1}};

/* From deep in one tail to deep in the other. */
floats slopes_of_gelu(int64_t n)
{
	floats z = normal(n, 1, 3);

	for (size_t i = 0; i < z.size() && i < 16; i++)
		z[i] = ldexpf(i % 2 ? -1.0f : 1.0f, (int)i);
	return z;
}

/* `floats` from `offset` on. */
floats after(const floats &x, int64_t offset)
{
	return floats(x.begin() + offset, x.end());
}

void *at(acts &x, int64_t offset)
{
	return (char *)x.dev() + (size_t)offset * cuda_type_bytes(x.type);
}

void test_cuda_pointwise__gelu_backward(void **)
{
	for (enum cuda_type type : both_types) {
		for (const span &s : spans) {
			acts z(type, slopes_of_gelu(s.n + s.offset));
			const acts d(type, normal(s.n + s.offset, 2));
			floats want = d.values(), of = z.values();
			tensors got = in_any_order([&] {
				acts mine = d;

				cuda_gelu_backward(
					nullptr, type, at(mine, s.offset), at(z, s.offset), s.n);
				return tensors{after(mine.values(), s.offset)};
			});

			portable()->gelu_backward(
				portable(), want.data() + s.offset, of.data() + s.offset, s.n);
			check_near("d", got[0], after(want, s.offset), rounding(type) + FLOAT_STEPS,
				4 * FLOAT_STEPS);
		}
	}
}

void test_cuda_pointwise__vectors(void **)
{
	for (const span &s : spans) {
		const floats y = normal(s.n + s.offset, 4), x = normal(s.n + s.offset, 5);
		floats axpy = y, scale = y, ema = y, from = x;
		tensors got = in_any_order([&] {
			tensors out = {y, y, y};

			cuda_axpy(nullptr, out[0].data() + s.offset, from.data() + s.offset, 0.3,
				s.n);
			cuda_scale(nullptr, out[1].data() + s.offset, -1.7, s.n);
			cuda_ema(nullptr, out[2].data() + s.offset, from.data() + s.offset, 0.992,
				s.n);
			return out;
		});

		portable()->axpy(portable(), axpy.data() + s.offset, x.data() + s.offset, 0.3, s.n);
		portable()->scale(portable(), scale.data() + s.offset, -1.7, s.n);
		portable()->ema(portable(), ema.data() + s.offset, x.data() + s.offset, 0.992, s.n);
		check_near("axpy", got[0], axpy, 2e-7, 1e-7);
		check_near("scale", got[1], scale, 2e-7, 0);
		check_near("ema", got[2], ema, 2e-7, 1e-7);
	}
}

/* An average of what does not change stays there, however long. */
void test_cuda_pointwise__ema_does_not_drift(void **)
{
	floats w(8, 0.7f), average = w;

	for (int i = 0; i < 1000; i++)
		cuda_ema(nullptr, average.data(), w.data(), 0.9999, 8);
	check_same("average", average, w);
}

} // namespace

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_pointwise__gelu_backward),
		cmocka_unit_test(test_cuda_pointwise__vectors),
		cmocka_unit_test(test_cuda_pointwise__ema_does_not_drift),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
