/* SPDX-License-Identifier: Apache-2.0 */
/* test_rows.cc - embedding, its gradient, gathered and scattered rows and dropout of the CUDA
 * backend on the host. */
#include "compare.h"

#include "kernels/cuda/rows.h"

namespace
{

typedef device_vector<int32_t> ints;

/* Tokens with every fifth left out. */
ints some_tokens(int64_t R, int32_t V)
{
	ints token = random_ints(R, 1, 0, V);

	for (size_t r = 0; r < token.size(); r += 5)
		token[r] = -1;
	return token;
}

void test_cuda_rows__embed(void **)
{
	const int64_t R = 70, V = 11, T = 9;

	for (enum cuda_type type : both_types) {
		for (int64_t C : {1, 5, 16, 72}) {
			ints token = some_tokens(R, (int32_t)V),
			     position = random_ints(R, 2, 0, (int32_t)T);
			floats wte = normal(V * C, 3), wpe = normal(T * C, 4),
			       want = poisoned(R * C);
			tensors got = in_any_order([&] {
				acts out(type, poisoned(R * C));

				cuda_embed(nullptr, type, out.dev(), token.data(), position.data(),
					wte.data(), wpe.data(), R, C);
				return tensors{out.values()};
			});

			portable()->embed(portable(), want.data(), token.data(), position.data(),
				wte.data(), wpe.data(), R, C);
			for (float &x : want)
				x = rounded(type, x);
			check_same("out", got[0], want);
		}
	}
}

void check_backward(
	enum cuda_type type, const ints &token, const ints &position, int64_t C, double absolute)
{
	const int64_t R = (int64_t)token.size(), V = 41, T = 64;
	acts dout(type, normal(R * C, 5));
	const floats dwte = normal(V * C, 6), dwpe = normal(T * C, 7);
	floats wte = dwte, wpe = dwpe, of = dout.values();
	tensors got = in_any_order([&] {
		tensors grads = {dwte, dwpe};
		workspace room(cuda_embed_backward_workspace(R, C));

		cuda_embed_backward(nullptr, type, grads[0].data(), grads[1].data(), dout.dev(),
			token.data(), position.data(), R, C, room.dev());
		return grads;
	});

	portable()->embed_backward(
		portable(), wte.data(), wpe.data(), of.data(), token.data(), position.data(), R, C);
	check_near("dwte", got[0], wte, 1e-6, absolute);
	check_near("dwpe", got[1], wpe, 1e-6, absolute);
}

/* Rows that share a token, from none to all; R about the chunks of 32 rows. Both sides add up to
 * hundreds of numbers of size 1 in floats. */
void test_cuda_rows__embed_backward(void **)
{
	for (enum cuda_type type : both_types) {
		for (int64_t R : {1, 31, 32, 33, 64, 65, 200}) {
			ints position = random_ints(R, 2, 0, 64), one((size_t)R, 17);
			ints two = one, none((size_t)R, -1);

			for (size_t r = 0; r < two.size(); r += 3)
				two[r] = 40;
			check_backward(type, some_tokens(R, 41), position, 8, 4e-6);
			check_backward(type, random_ints(R, 3, 0, 3), position, 5, 2e-5);
			check_backward(type, one, position, 8, 2e-5);
			check_backward(type, two, random_ints(R, 4, 63, 64), 16, 2e-5);
			check_backward(type, none, position, 8, 0);
		}
		check_backward(type, some_tokens(90, 7), random_ints(90, 2, 0, 2), 264, 4e-6);
		/* More chunks than a warp looks at together, and columns for two blocks. */
		check_backward(type, ints(1200, 3), random_ints(1200, 2, 0, 64), 8, 1e-4);
		check_backward(type, ints(70, 3), random_ints(70, 2, 0, 64), 2056, 1e-5);
	}
}

/* Sums run over the sorted rows, so what a token gets does not depend on where others stand. */
void test_cuda_rows__embed_backward_adds_equal_rows_exactly(void **)
{
	const int64_t R = 100, C = 8;
	ints token((size_t)R, 2), position((size_t)R, 1);
	acts dout(CUDA_BF16, floats((size_t)(R * C), 0.5f));
	floats dwte(3 * C, 0), dwpe(2 * C, 0);
	workspace room(cuda_embed_backward_workspace(R, C));

	cuda_embed_backward(nullptr, CUDA_BF16, dwte.data(), dwpe.data(), dout.dev(), token.data(),
		position.data(), R, C, room.dev());
	settle();
	for (int64_t i = 0; i < 3 * C; i++)
		assert_true(dwte[i] == (i < 2 * C ? 0 : 50));
	for (int64_t i = 0; i < 2 * C; i++)
		assert_true(dwpe[i] == (i < C ? 0 : 50));
}

void test_cuda_rows__gather_and_scatter(void **)
{
	const int64_t n = 13, rows = 20;
	ints index = {19, 0, 3, 5, 4, 11, 12, 1, 7, 18, 2, 9, 15}, twice = index;

	twice[3] = twice[4] = 19; /* rows may be taken twice, but not added to */
	for (int64_t C : {1, 7, 8, 40}) {
		floats add = normal(n * C, 8), x = normal(rows * C, 9), want = x;
		tensors got = in_any_order([&] {
			floats to = x;

			cuda_scatter_rows(nullptr, to.data(), add.data(), index.data(), n, C);
			return tensors{to};
		});

		portable()->scatter_rows(portable(), want.data(), add.data(), index.data(), n, C);
		check_same("scattered", got[0], want);
		for (enum cuda_type type : both_types) {
			acts from(type, x), out(type, poisoned(n * C));
			floats of = from.values(), rest = poisoned(n * C);

			cuda_gather_rows(nullptr, type, out.dev(), from.dev(), twice.data(), n, C);
			portable()->gather_rows(
				portable(), rest.data(), of.data(), twice.data(), n, C);
			check_same("gathered", out.values(), rest);
		}
	}
}

void test_cuda_rows__dropout(void **)
{
	const int64_t R = 9;
	device_vector<uint64_t> id = {0, 1, 5, 7, 1ull << 33, 9, 1ull << 63, 11, 12};

	for (enum cuda_type type : both_types) {
		for (int64_t C : {1, 6, 8, 13, 72}) {
			for (double p : {0.0, 0.1, 0.9}) {
				const acts x(type, normal(R * C, 10));
				floats want = x.values();
				tensors got = in_any_order([&] {
					acts mine = x;

					cuda_dropout(nullptr, type, mine.dev(), id.data(), R, C, p,
						0x123456789abcdefull, 3);
					return tensors{mine.values()};
				});

				portable()->dropout(portable(), want.data(), id.data(), R, C, p,
					0x123456789abcdefull, 3);
				for (float &v : want)
					v = rounded(type, v);
				check_same("x", got[0], want);
			}
		}
	}
}

void test_cuda_rows__nothing_is_left_alone(void **)
{
	cuda_embed(nullptr, CUDA_BF16, nullptr, nullptr, nullptr, nullptr, nullptr, 0, 8);
	cuda_embed_backward(
		nullptr, CUDA_BF16, nullptr, nullptr, nullptr, nullptr, nullptr, 0, 8, nullptr);
	cuda_gather_rows(nullptr, CUDA_BF16, nullptr, nullptr, nullptr, 0, 8);
	cuda_scatter_rows(nullptr, nullptr, nullptr, nullptr, 0, 8);
	cuda_dropout(nullptr, CUDA_BF16, nullptr, nullptr, 0, 8, 0.1, 1, 1);
	assert_int_equal(cuda_embed_backward_workspace(0, 8), 0);
}

} // namespace

int main()
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_rows__embed),
		cmocka_unit_test(test_cuda_rows__embed_backward),
		cmocka_unit_test(test_cuda_rows__embed_backward_adds_equal_rows_exactly),
		cmocka_unit_test(test_cuda_rows__gather_and_scatter),
		cmocka_unit_test(test_cuda_rows__dropout),
		cmocka_unit_test(test_cuda_rows__nothing_is_left_alone),
	};

	return cmocka_run_group_tests(tests, nullptr, nullptr);
}
