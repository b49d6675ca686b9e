/* SPDX-License-Identifier: Apache-2.0 */
/* test_pointwise.cc - gelu, sums of vectors and conversions of the CUDA backend on the host.
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

double gelu(double z)
{
	return 0.5 * z * (1 + tanh(0.7978845608028654 * (z + 0.044715 * z * z * z)));
}

floats gelus(const floats &z)
{
	floats y(z.size());

	for (size_t i = 0; i < z.size(); i++)
		y[i] = (float)gelu((double)z[i]);
	return y;
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

void test_cuda_pointwise__gelu(void **)
{
	for (enum cuda_type type : both_types) {
		for (const span &s : spans) {
			const acts z(type, slopes_of_gelu(s.n + s.offset));
			tensors got = in_any_order([&] {
				acts from = z, to(type, poisoned(s.n + s.offset));

				cuda_gelu(nullptr, type, at(to, s.offset), at(from, s.offset), s.n);
				cuda_gelu(
					nullptr, type, at(from, s.offset), at(from, s.offset), s.n);
				check_same("in place", after(to.values(), s.offset),
					after(from.values(), s.offset));
				check_same("before", floats(1, s.offset ? z.values()[0] : 0),
					floats(1, s.offset ? from.values()[0] : 0));
				return tensors{after(to.values(), s.offset)};
			});

			check_near("gelu", got[0], gelus(after(z.values(), s.offset)),
				rounding(type) + FLOAT_STEPS, FLOAT_STEPS);
		}
	}
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

/* Rows of N in a matrix of row stride ld; what lies between them stays poisoned. */
void check_bias_gelu(enum cuda_type type, int64_t R, int64_t N, int64_t ld, bool with_bias)
{
	const acts x(type, slopes_of_gelu(R * ld));
	floats bias = normal(N, 3), want = x.values();
	tensors got = in_any_order([&] {
		acts from = x, out(type, poisoned(R * ld)), pre(type, poisoned(R * ld));
		acts alone = x, again(type, poisoned(R * ld));
		const float *b = with_bias ? bias.data() : nullptr;

		cuda_bias_gelu(nullptr, type, out.dev(), pre.dev(), from.dev(), b, R, N, ld);
		cuda_bias_gelu(nullptr, type, alone.dev(), nullptr, alone.dev(), b, R, N, ld);
		cuda_bias_gelu(nullptr, type, again.dev(), from.dev(), from.dev(), b, R, N, ld);
		for (int64_t r = 0; r < R; r++) {
			for (int64_t i = r * ld; i < r * ld + N; i++) {
				check_same("out over x", {alone.values()[i]}, {out.values()[i]});
				check_same(
					"out, pre over x", {again.values()[i]}, {out.values()[i]});
				check_same("pre over x", {from.values()[i]}, {pre.values()[i]});
			}
		}
		cuda_gelu(nullptr, type, again.dev(), pre.dev(), R * ld);
		floats of_pre = again.values(), all = out.values();
		for (size_t i = 0; i < all.size(); i++)
			if (!isnan(all[i]))
				check_same("gelu of pre", {of_pre[i]}, {all[i]});
		return tensors{out.values(), pre.values()};
	});

	for (int64_t i = 0; i < R * ld; i++) {
		float z = i % ld < N ? want[i] + (with_bias ? bias[i % ld] : 0) : NAN;

		if (isnan(z)) {
			assert_true(isnan(got[0][i]) && isnan(got[1][i]));
			continue;
		}
		check_same("pre", {got[1][i]}, {rounded(type, z)});
		check_near("out", {got[0][i]}, {(float)gelu((double)got[1][i])},
			rounding(type) + FLOAT_STEPS, FLOAT_STEPS);
	}
}

void test_cuda_pointwise__bias_gelu(void **)
{
	for (enum cuda_type type : both_types) {
		check_bias_gelu(type, 5, 24, 24, true);
		check_bias_gelu(type, 3, 24, 40, true);
		check_bias_gelu(type, 4, 16, 16, false);
		check_bias_gelu(type, 7, 13, 15, true);
		check_bias_gelu(type, 1, 1, 1, true);
		check_bias_gelu(type, 2, 24, 25, false);
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

void check_to_bf16(int64_t rows, int64_t cols, int64_t ld_in, int64_t ld_out)
{
	floats in = normal(rows * ld_in, 6);
	tensors got = in_any_order([&] {
		acts straight(CUDA_BF16, poisoned(rows * ld_out));
		acts flipped(CUDA_BF16, poisoned(cols * (ld_out - cols + rows)));

		cuda_to_bf16(nullptr, straight.dev(), ld_out, in.data(), ld_in, rows, cols);
		cuda_to_bf16_transposed(
			nullptr, flipped.dev(), ld_out - cols + rows, in.data(), ld_in, rows, cols);
		return tensors{straight.values(), flipped.values()};
	});

	for (int64_t r = 0; r < rows; r++) {
		for (int64_t c = 0; c < ld_out; c++) {
			float x = got[0][r * ld_out + c];

			assert_true(
				c < cols ? x == rounded(CUDA_BF16, in[r * ld_in + c]) : isnan(x));
		}
	}
	for (int64_t c = 0; c < cols; c++) {
		for (int64_t r = 0; r < ld_out - cols + rows; r++) {
			float x = got[1][c * (ld_out - cols + rows) + r];

			assert_true(
				r < rows ? x == rounded(CUDA_BF16, in[r * ld_in + c]) : isnan(x));
		}
	}
}

void test_cuda_pointwise__to_bf16(void **)
{
	check_to_bf16(64, 64, 64, 64);
	check_to_bf16(72, 136, 136, 136);
	check_to_bf16(72, 40, 44, 48);
	check_to_bf16(65, 7, 9, 8);
	check_to_bf16(1, 1, 1, 1);
	check_to_bf16(3, 130, 130, 131);
}

} // namespace

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_pointwise__gelu),
		cmocka_unit_test(test_cuda_pointwise__gelu_backward),
		cmocka_unit_test(test_cuda_pointwise__bias_gelu),
		cmocka_unit_test(test_cuda_pointwise__vectors),
		cmocka_unit_test(test_cuda_pointwise__ema_does_not_drift),
		cmocka_unit_test(test_cuda_pointwise__to_bf16),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
