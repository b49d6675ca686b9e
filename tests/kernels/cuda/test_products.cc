/* SPDX-License-Identifier: Apache-2.0 */
/* test_products.cc - gemm and packed weights of the emulated table: types, strides, both paths. */
#include "compare.h"
#include "table.h"
#include "kernels/cuda/product.h"

namespace
{

struct shape {
	int64_t M, N, K;
};

const shape shapes[] = {
	{16, 24, 40}, /* multiples of 8: cuBLASLt's */
	{7, 13, 5},
	{33, 65, 70},
	{50, 1, 40},
	{20, 1, 1500},
	{30, 20, 1},
	{1, 48, 32},
	{4, 8, 0},
};

struct kind {
	bool transpose_a, transpose_b, accumulate, gelu, bias, pre;
	bool act_a, act_b, act_c;
};

/* The products of the model, and a few that nothing asks for yet. */
const kind kinds[] = {
	{false, false, false, false, true, false, true, false, true},
	{false, false, false, true, true, true, true, false, true},
	{false, false, false, true, true, false, true, false, true},
	{false, true, false, false, false, false, true, false, true},
	{true, false, true, false, false, false, true, true, false},
	{true, false, true, false, false, false, true, false, false},
	{false, false, false, false, true, false, true, false, false},
	{false, false, false, false, false, false, false, false, true},
	{true, true, true, true, true, true, true, true, true},
	{false, true, true, true, false, true, false, true, true},
};

/* A matrix of the table's memory, as an activation or as floats. */
struct matrix {
	matrix(const cairn_kernels *table, bool act, const floats &x)
	    : k(table), type(act && table->act_bytes == 2 ? CUDA_BF16 : CUDA_FLOAT), host(type, x),
	      bytes(x.size() * cuda_type_bytes(type)), dev(k->alloc(k, bytes ? bytes : 1))
	{
		k->write(k, dev, host.dev(), bytes);
	}
	~matrix()
	{
		k->free(k, dev);
	}
	matrix(const matrix &) = delete;
	matrix &operator=(const matrix &) = delete;
	floats values()
	{
		k->read(k, host.dev(), dev, bytes);
		return host.values();
	}
	const cairn_kernels *k;
	enum cuda_type type;
	acts host;
	size_t bytes;
	void *dev;
};

double gelu(double z)
{
	return z / (1 + exp(-2 * 0.7978845608028654 * (z + 0.044715 * z * z * z)));
}

/* Weights are rounded to bf16 where cuBLASLt multiplies them: one rounding more in each term. */
void check(const char *mode, const shape &s, const kind &t, bool packed)
{
	const cairn_kernels *k = cuda_table(mode);
	int64_t lda = t.transpose_a ? s.M : s.K, ldb = t.transpose_b ? s.K : s.N;
	matrix a(k, t.act_a, normal(s.M * s.K, 1)), b(k, t.act_b, normal(s.K * s.N, 2));
	matrix c(k, t.act_c, t.accumulate ? normal(s.M * s.N, 3) : poisoned(s.M * s.N));
	matrix pre(k, t.act_c, poisoned(s.M * s.N)), bias(k, false, normal(s.N, 4));
	floats x = a.values(), y = b.values(), old = c.values(), offset = bias.values();
	double type_error = rounding(k->act_bytes == 2 ? CUDA_BF16 : CUDA_FLOAT);
	double operand_error = (2 * type_error + 0x1p-22) * sqrt((double)s.K + 1) + 0x1p-20;
	/* cuBLASLt's own may have the hardware's tanh. */
	double gelu_error = t.gelu && hardware > 1 ? 0x1p-10 : 0;
	floats want, want_pre;
	cairn_gemm g = {};

	for (int64_t i = 0; i < s.M; i++) {
		for (int64_t j = 0; j < s.N; j++) {
			double sum = t.accumulate ? (double)old[(size_t)(i * s.N + j)] : 0;

			for (int64_t q = 0; q < s.K; q++)
				sum += (double)x[(
					       size_t)(t.transpose_a ? q * lda + i : i * lda + q)] *
				       (double)y[(
					       size_t)(t.transpose_b ? j * ldb + q : q * ldb + j)];
			sum += t.bias ? (double)offset[(size_t)j] : 0;
			want_pre.push_back((float)sum);
			want.push_back((float)(t.gelu ? gelu(sum) : sum));
		}
	}
	g.M = s.M;
	g.N = s.N;
	g.K = s.K;
	g.transpose_a = t.transpose_a;
	g.transpose_b = t.transpose_b;
	g.accumulate = t.accumulate;
	g.gelu = t.gelu;
	g.act_a = t.act_a;
	g.act_b = t.act_b;
	g.act_c = t.act_c;
	g.A = a.dev;
	g.lda = lda;
	g.B = b.dev;
	g.ldb = ldb;
	g.C = c.dev;
	g.ldc = s.N;
	g.bias = t.bias ? static_cast<float *>(bias.dev) : nullptr;
	g.pre = t.pre ? pre.dev : nullptr;
	cairn_packed *copy = nullptr;
	if (packed) {
		copy = k->pack(k, static_cast<float *>(b.dev), ldb, s.K, s.N, t.transpose_b);
		assert_non_null(copy);
		g.packed = copy;
		g.B = nullptr;
	}
	k->gemm(k, &g);
	k->pack_free(k, copy);
	check_near("C", c.values(), want, 2 * type_error + gelu_error,
		operand_error * 4 + gelu_error);
	if (t.pre)
		check_near("pre", pre.values(), want_pre, 2 * type_error, operand_error * 4);
}

void test_cuda_products__all_kinds(void **)
{
	for (const char *mode : {"fp32", "bf16"})
		for (const shape &s : shapes)
			for (const kind &t : kinds) {
				check(mode, s, t, false);
				if (!t.act_b)
					check(mode, s, t, true);
			}
}

/* What travels through the workspace must not depend on the order of threads. */
void test_cuda_products__pieces_of_a_long_k(void **)
{
	cuda_product p = {};
	floats x = normal(3000 * 40, 1), y = normal(3000, 2);

	p.M = 40;
	p.N = 1;
	p.K = 3000;
	p.lda = 40;
	p.ldb = 1;
	p.ldc = 1;
	p.transpose_a = true;
	p.A = x.data();
	p.B = y.data();
	tensors got = in_any_order([&] {
		workspace room(cuda_product_workspace(&p));
		tensors out = {poisoned(40)};

		p.C = out[0].data();
		cuda_product_simple(nullptr, &p, room.dev());
		return out;
	});
	floats want(40);
	for (size_t i = 0; i < 40; i++) {
		double sum = 0;

		for (size_t q = 0; q < 3000; q++)
			sum += (double)x[q * 40 + i] * (double)y[q];
		want[i] = (float)sum;
	}
	assert_true(cuda_product_workspace(&p) > 0);
	check_near("C", got[0], want, 1e-6, 1e-4);
}

void test_cuda_products__pads_with_zeros(void **)
{
	for (enum cuda_type type : both_types) {
		floats x = normal(5 * 11 + 1, 1), want;
		acts from(type, x), to(type, poisoned(8 * 16));
		floats rounded_x = from.values();

		for (int64_t r = 0; r < 8; r++)
			for (int64_t c = 0; c < 16; c++)
				want.push_back(
					r < 5 && c < 9 ? rounded_x[(size_t)(r * 11 + c + 1)] : 0);
		cuda_pad(nullptr, type, to.dev(), 8, 16, x.data() + 1, 11, 5, 9);
		check_same("padded", to.values(), want);
	}
}

void test_cuda_products__the_table_says_what_it_is(void **)
{
	const cairn_kernels *k = cuda_table("bf16");
	cairn_error err = {};
	void *small;

#ifndef CAIRN_ON_GPU
	assert_string_equal(k->numerics, "cuda-bf16-v1-sm90x132-lt1");
	assert_string_equal(cuda_table("fp32")->numerics, "cuda-fp32-v1-sm90x132-lt1");
#endif
	assert_int_equal(k->act_bytes, 2);
	assert_int_equal(k->batch_invariant, 0);
	assert_int_equal(k->in_host_memory, 0);
	assert_int_equal(k->wants_packed, 1);
	/* No memory is no fault of the device. */
	assert_null(k->alloc(k, (size_t)1 << 40));
	assert_int_equal(k->status(k, &err), 0);
	small = k->alloc(k, 1000);
	assert_non_null(small);
	assert_true(k->peak_bytes(k) >= 1000);
	k->free(k, small);
}

} // namespace

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_products__all_kinds),
		cmocka_unit_test(test_cuda_products__pieces_of_a_long_k),
		cmocka_unit_test(test_cuda_products__pads_with_zeros),
		cmocka_unit_test(test_cuda_products__the_table_says_what_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
