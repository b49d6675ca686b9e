/* SPDX-License-Identifier: Apache-2.0 */
/* test_cache.cc - caches of keys and values on the GPU, and decoding from them. */
#include "compare.h"
#include "kernels/cuda/cache.h"

/* B sequences that stand at different positions, in caches of `slots` > B slots, which are NaN
 * where nobody wrote. */
struct decode_case {
	enum cuda_type type;
	int64_t B, T, NH, D, T_max; /* T: of the rows that fill; decoding goes on behind them */

	int64_t C() const
	{
		return NH * D;
	}
	int64_t slots() const
	{
		return B + 2;
	}
	int32_t length(int64_t b) const
	{
		return (int32_t)(b % 3 == 2 ? 0 : T - (b * 37) % T);
	}
	int32_t slot(int64_t b) const
	{
		return (int32_t)((b * 2 + 1) % (B % 2 ? B : B + 1));
	}
};

/* `steps` positions behind the rows, for sequences first .. first+n-1. */
static tensors run(const decode_case &c, int64_t first, int64_t n, int64_t T_max, int steps)
{
	floats rows = normal(c.B * c.T * 3 * c.C(), 1, 1.3);
	device_vector<int32_t> slot, position;
	acts cache(c.type, poisoned(c.slots() * 2 * T_max * c.C()));
	workspace room(cuda_decode_workspace(n, c.NH, c.D, T_max));
	tensors outs;

	assert_int_equal(cuda_cache_bytes(c.type, c.slots(), c.NH, c.D, T_max),
		cache.n * cuda_type_bytes(c.type));
	rows.assign(rows.begin() + first * c.T * 3 * c.C(),
		rows.begin() + (first + n) * c.T * 3 * c.C());
	for (int64_t b = first; b < first + n; b++) {
		slot.push_back(c.slot(b));
		position.push_back(c.length(b));
	}

	acts qkv(c.type, rows);

	cuda_cache_fill(NULL, c.type, cache.dev(), qkv.dev(), slot.data(), position.data(), n, c.T,
		c.NH, c.D, T_max);
	for (int step = 0; step < steps; step++) {
		floats x = normal(c.B * 3 * c.C(), 10 + (uint64_t)step, 1.3);
		acts row(c.type,
			floats(x.begin() + first * 3 * c.C(), x.begin() + (first + n) * 3 * c.C()));
		acts out(c.type, poisoned(n * c.C()));
		cuda_decode d = {};

		d.B = n;
		d.NH = c.NH;
		d.D = c.D;
		d.T_max = T_max;
		d.qkv = row.dev();
		d.slot = slot.data();
		d.position = position.data();
		d.cache = cache.dev();
		d.out = out.dev();
		d.workspace = room.dev();
		cuda_decode_attention(NULL, c.type, &d);
		outs.push_back(out.values());
		for (int32_t &p : position)
			p++;
	}
	return outs;
}

static tensors reference(const decode_case &c, int steps)
{
	floats rows = acts(c.type, normal(c.B * c.T * 3 * c.C(), 1, 1.3)).values();
	floats cache = poisoned(c.slots() * 2 * c.T_max * c.C());
	device_vector<int32_t> slot, position;
	tensors outs;

	for (int64_t b = 0; b < c.B; b++) {
		slot.push_back(c.slot(b));
		position.push_back(c.length(b));
	}
	portable()->cache_fill(portable(), cache.data(), rows.data(), slot.data(), position.data(),
		c.B, c.T, c.NH, c.D, c.T_max);
	for (int step = 0; step < steps; step++) {
		floats row =
			acts(c.type, normal(c.B * 3 * c.C(), 10 + (uint64_t)step, 1.3)).values();
		floats out = poisoned(c.B * c.C());
		cairn_decode d = {};

		d.B = c.B;
		d.NH = c.NH;
		d.D = c.D;
		d.T_max = c.T_max;
		d.qkv = row.data();
		d.slot = slot.data();
		d.position = position.data();
		d.cache = cache.data();
		d.out = out.data();
		portable()->decode(portable(), &d);
		outs.push_back(out);
		for (int32_t &p : position)
			p++;
	}
	return outs;
}

static const decode_case cases[] = {
	{CUDA_BF16, 3, 70, 2, 64, 100},  /* one part */
	{CUDA_BF16, 4, 300, 2, 64, 310}, /* three */
	{CUDA_BF16, 1, 127, 1, 64, 200}, /* goes on into a second */
	{CUDA_BF16, 2, 140, 1, 128, 150},
	{CUDA_BF16, 2, 40, 3, 8, 60},
	{CUDA_BF16, 2, 40, 1, 96, 60},
	{CUDA_BF16, 1, 50, 1, 256, 60},
	{CUDA_BF16, 2, 135, 3, 7, 140},
	{CUDA_BF16, 1, 20, 1, 512, 30},
	{CUDA_FLOAT, 3, 140, 2, 16, 150},
	{CUDA_FLOAT, 2, 33, 1, 64, 64},
	{CUDA_FLOAT, 2, 33, 1, 128, 64},
	{CUDA_FLOAT, 2, 30, 2, 4, 64},
	{CUDA_FLOAT, 1, 20, 1, 300, 30},
	{CUDA_FLOAT, 3, 5, 3, 1, 9},
};

/* All sums run in float: only the output is rounded to the type. */
static void test_cuda_cache__decodes_near_the_reference(void **state)
{
	(void)state;
	for (const decode_case &c : cases) {
		tensors got = in_any_order([&] { return run(c, 0, c.B, c.T_max, 3); });
		tensors want = reference(c, 3);

		for (size_t i = 0; i < want.size(); i++)
			check_near("out", got[i], want[i], rounding(c.type) * 1.01, 2e-5);
	}
}

/* Neither who else is in the batch nor how long the cache is changes a bit. */
static void test_cuda_cache__a_row_depends_on_itself_only(void **state)
{
	(void)state;
	for (const decode_case &c : {cases[0], cases[1], cases[7], cases[9]}) {
		tensors all = run(c, 0, c.B, c.T_max, 2);

		for (int64_t b = 0; b < c.B; b++) {
			tensors alone = run(c, b, 1, c.T_max + 400, 2);

			for (size_t i = 0; i < all.size(); i++)
				check_same("alone", alone[i],
					floats(all[i].begin() + b * c.C(),
						all[i].begin() + (b + 1) * c.C()));
		}
	}
}

/* Without lengths, all rows are taken; what is behind a length stays as it was. */
static void test_cuda_cache__fill_writes_what_it_should(void **state)
{
	enum {
		B = 2,
		T = 5,
		NH = 3,
		T_max = 8
	};
	const device_vector<int32_t> slot = {2, 0}, lengths = {3, 5};

	(void)state;
	for (enum cuda_type type : both_types)
		for (int64_t D : {8, 5})
			for (bool cut : {false, true}) {
				int64_t C = NH * D;
				acts qkv(type, normal(B * T * 3 * C, 3));
				acts cache(type, floats((size_t)(3 * 2 * T_max * C), 77));
				floats want((size_t)(3 * 2 * T_max * C), 77), from = qkv.values();

				want = acts(type, want).values();
				for (int64_t b = 0; b < B; b++)
					for (int64_t t = 0; t < (cut ? lengths[b] : T); t++)
						for (int64_t i = 0; i < 2 * C; i++)
							want[(size_t)(((slot[b] * 2 * NH + i / D) *
										      T_max +
									      t) *
									      D +
								      i % D)] =
								from[(size_t)((b * T + t) * 3 * C +
									      C + i)];
				cuda_cache_fill(NULL, type, cache.dev(), qkv.dev(), slot.data(),
					cut ? lengths.data() : NULL, B, T, NH, D, T_max);
				check_same("cache", cache.values(), want);
			}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_cache__decodes_near_the_reference),
		cmocka_unit_test(test_cuda_cache__a_row_depends_on_itself_only),
		cmocka_unit_test(test_cuda_cache__fill_writes_what_it_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
