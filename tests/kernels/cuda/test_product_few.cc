/* SPDX-License-Identifier: Apache-2.0 */
/* test_product_few.cc - products of few rows against sums in double: both orders of a weight, all
 * types, strides and addresses that allow no wide loads, and that a row knows nothing of others. */
#include "compare.h"

#include "kernels/cuda/product.h"

namespace
{

struct shape {
	int64_t N, K, more; /* more: elements between the rows of each operand */
	int64_t offset;	    /* elements that operands begin after an aligned address */
};

const shape shapes[] = {
	{16, 32, 0, 0},
	{48, 300, 4, 0}, /* the last load of a row is cut short */
	{40, 520, 8, 0},
	{19, 120, 0, 0},
	{13, 7, 1, 1},
	{1, 40, 0, 0},
	{35, 257, 3, 3},
};

struct kind {
	bool transpose_b, accumulate, gelu, pre, bias;
	enum cuda_type type_b, type_c;
};

const kind kinds[] = {
	{false, false, false, false, true, CUDA_BF16, CUDA_BF16}, /* of a layer, packed */
	{false, false, true, false, true, CUDA_BF16, CUDA_BF16},
	{false, false, false, false, true, CUDA_FLOAT, CUDA_BF16}, /* not packed */
	{true, false, false, false, false, CUDA_BF16, CUDA_FLOAT}, /* logits */
	{true, true, true, true, true, CUDA_FLOAT, CUDA_FLOAT},
	{true, false, true, true, true, CUDA_BF16, CUDA_BF16},
	{false, true, false, false, false, CUDA_FLOAT, CUDA_FLOAT},
};

double gelu(double z)
{
	return z / (1 + exp(-2 * 0.7978845608028654 * (z + 0.044715 * z * z * z)));
}

/* A tensor in the order of `of` whose first `offset` elements are nobody's. */
void *at(acts &of, int64_t offset)
{
	return static_cast<char *>(of.dev()) + offset * (int64_t)cuda_type_bytes(of.type);
}

struct operands {
	operands(int64_t M, const shape &s, const kind &t)
	    : a(CUDA_BF16, normal(s.offset + M * (s.K + s.more), 1)),
	      b(t.type_b, normal(s.offset + (t.transpose_b ? s.N * (s.K + s.more)
							    : s.K * (s.N + s.more)),
				  2)),
	      old(t.type_c, t.accumulate ? normal(s.offset + M * (s.N + s.more), 3)
					 : poisoned(s.offset + M * (s.N + s.more))),
	      bias(normal(s.N, 4))
	{
		p.M = M;
		p.N = s.N;
		p.K = s.K;
		p.lda = s.K + s.more;
		p.ldb = (t.transpose_b ? s.K : s.N) + s.more;
		p.ldc = s.N + s.more;
		p.transpose_b = t.transpose_b;
		p.accumulate = t.accumulate;
		p.gelu = t.gelu;
		p.type_a = CUDA_BF16;
		p.type_b = t.type_b;
		p.type_c = t.type_c;
		p.A = at(a, s.offset);
		p.B = at(b, s.offset);
		p.bias = t.bias ? bias.data() : nullptr;
	}
	acts a, b, old;
	floats bias;
	cuda_product p = {};
};

/* C and `pre` of one call; those that nobody writes keep what they held. */
tensors multiply(operands &o, const shape &s, const kind &t)
{
	acts c = o.old, pre(t.type_c, poisoned((int64_t)o.old.n));

	o.p.C = at(c, s.offset);
	o.p.pre = t.pre ? at(pre, s.offset) : nullptr;
	assert_true(cuda_product_few(nullptr, &o.p));
	return {c.values(), pre.values()};
}

void check(int64_t M, const shape &s, const kind &t)
{
	operands o(M, s, t);
	floats x = o.a.values(), y = o.b.values(), before = o.old.values();
	floats want = before, want_pre = poisoned((int64_t)before.size());
	double error = 2 * rounding(t.type_c), terms = sqrt((double)s.K + 4);

	/* Floats of the weight are rounded in passing. */
	for (float &element : y)
		element = rounded(CUDA_BF16, element);
	for (int64_t i = 0; i < M; i++) {
		for (int64_t j = 0; j < s.N; j++) {
			size_t place = (size_t)(s.offset + i * o.p.ldc + j);
			double sum = t.accumulate ? (double)before[place] : 0;

			for (int64_t k = 0; k < s.K; k++)
				sum += (double)x[(size_t)(s.offset + i * o.p.lda + k)] *
				       (double)y[(size_t)(s.offset + (t.transpose_b
									     ? j * o.p.ldb + k
									     : k * o.p.ldb + j))];
			sum += t.bias ? (double)o.bias[(size_t)j] : 0;
			if (t.pre)
				want_pre[place] = (float)sum;
			want[place] = (float)(t.gelu ? gelu(sum) : sum);
		}
	}
	tensors got = in_any_order([&] { return multiply(o, s, t); });
	for (size_t i = 0; i < want.size(); i++) {
		/* What is between rows stays as it was. */
		if (isnan(want[i])) {
			assert_true(isnan(got[0][i]));
			got[0][i] = want[i] = 0;
		}
		if (isnan(want_pre[i])) {
			assert_true(isnan(got[1][i]));
			got[1][i] = want_pre[i] = 0;
		}
	}
	check_near("C", got[0], want, error, 4e-7 * terms * 4);
	check_near("pre", got[1], want_pre, error, 4e-7 * terms * 4);
}

void test_cuda_product_few__is_the_product(void **)
{
	for (const shape &s : shapes)
		for (const kind &t : kinds)
			for (int64_t M : {1, 2, 3, 8})
				check(M, s, t);
}

/* A sequence is decoded alike alone and beside others, as long as these are few. */
void test_cuda_product_few__rows_know_nothing_of_others(void **)
{
	const shape s = {35, 520, 5, 0};

	for (const kind &t : kinds) {
		operands many(CUDA_FEW_ROWS, s, t);
		tensors together = multiply(many, s, t);

		for (int64_t n : {1, 2, 3, 5}) {
			operands few(CUDA_FEW_ROWS, s, t);

			few.p.M = n;
			floats alone = multiply(few, s, t)[0];
			size_t end = (size_t)(n * few.p.ldc);

			for (size_t i = 0; i < end; i++)
				if ((int64_t)i % few.p.ldc < s.N &&
					__float_as_uint(alone[i]) !=
						__float_as_uint(together[0][i]))
					fail_msg("%d rows: element %zu is %.9g, not %.9g", (int)n,
						i, (double)alone[i], (double)together[0][i]);
		}
	}
}

/* As repack() is promised: a copy in bf16 and the floats it was made of give the same bits. */
void test_cuda_product_few__a_rounded_weight_is_the_weight(void **)
{
	const shape s = {48, 300, 0, 0};

	for (bool transposed : {false, true}) {
		kind t = {transposed, false, false, false, true, CUDA_FLOAT, CUDA_BF16};
		operands plain(2, s, t);
		t.type_b = CUDA_BF16;
		operands narrow(2, s, t); /* normal(.., 2), rounded */

		check_same("C", multiply(narrow, s, t)[0], multiply(plain, s, t)[0]);
	}
}

void test_cuda_product_few__leaves_others_alone(void **)
{
	const shape s = {16, 32, 0, 0};
	operands o(CUDA_FEW_ROWS + 1, s, kinds[0]);
	acts c = o.old;
	cuda_product none = o.p, floats_of = o.p, turned = o.p;

	o.p.C = none.C = floats_of.C = turned.C = c.dev();
	assert_false(cuda_product_few(nullptr, &o.p));
	none.M = 0;
	assert_false(cuda_product_few(nullptr, &none));
	floats_of.M = turned.M = 1;
	floats_of.type_a = CUDA_FLOAT;
	assert_false(cuda_product_few(nullptr, &floats_of));
	turned.transpose_a = true;
	assert_false(cuda_product_few(nullptr, &turned));
	for (float x : c.values())
		assert_true(isnan(x));
}

} // namespace

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_product_few__is_the_product),
		cmocka_unit_test(test_cuda_product_few__rows_know_nothing_of_others),
		cmocka_unit_test(test_cuda_product_few__a_rounded_weight_is_the_weight),
		cmocka_unit_test(test_cuda_product_few__leaves_others_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
