/* SPDX-License-Identifier: Apache-2.0 */
/* packed.c - products with a packed operand: the bits of products without, on every unit. */
#include <math.h>
#include <string.h>

#include "harness.h"

typedef struct product {
	int64_t M, N, K;
	bool transpose_a, transpose_b, accumulate;
	int64_t cut;
} product;

static void assert_same(const cairn_kernels *k, const void *a, const void *b, size_t bytes)
{
	assert_memory_equal(seen(k, a, bytes), seen(k, b, bytes), bytes);
}

/* The product as it is and with B packed; B itself must not be looked at then. */
static void run_both(const cairn_kernels *k, const void *shape, outcome *out)
{
	const product *p = shape;
	/* Of a stride that a copy may have, too: where a library multiplies, it chooses by that. */
	int64_t lda = (p->transpose_a ? p->M : p->K) + 1;
	int64_t ldb = ((p->transpose_b ? p->K : p->N) + 7) / 8 * 8;
	float *b = normal(k, (p->transpose_b ? p->N : p->K) * ldb, 2, 1);
	cairn_packed *packed = k->pack(k, b, ldb, p->K, p->N, p->transpose_b);
	cairn_gemm g = {.M = p->M,
		.N = p->N,
		.K = p->K,
		.transpose_a = p->transpose_a,
		.transpose_b = p->transpose_b,
		.accumulate = p->accumulate,
		.act_a = true,
		.A = normal_acts(k, (p->transpose_a ? p->K : p->M) * lda, 1, 1),
		.lda = lda,
		.B = b,
		.ldb = ldb,
		.C = normal(k, p->M * p->N, 3, 1),
		.ldc = p->N,
		.bias = normal(k, p->N, 4, 1),
		.cut = p->cut};
	float *other = normal(k, p->M * p->N, 3, 1), *plain = g.C;

	assert_non_null(packed);
	k->gemm(k, &g);
	g.C = other;
	g.B = NULL;
	g.packed = packed;
	k->gemm(k, &g);
	k->pack_free(k, packed);
	assert_same(k, plain, other, sizeof(float) * (size_t)(p->M * p->N));
	emit(out, k, other, p->M * p->N, loosened(k, 3e-6 * sqrt((double)p->K + 1), 1));
}

static void run_all_sizes(product p)
{
	static const int64_t sizes[][3] = {
		{1, 1, 1},
		{1, 400, 17},
		{2, 270, 60},
		{16, 77, 130},
		{29, 35, 511},
		{64, 70, 530},
		{70, 300, 20},
		{71, 66, 115},
		{66, 33, 1100},
	};

	for (size_t i = 0; i < CAIRN_COUNT(sizes); i++) {
		p.M = sizes[i][0];
		p.N = sizes[i][1];
		p.K = sizes[i][2];
		check_case(run_both, &p);
	}
}

static void test_kernels_packed__plain(void **state)
{
	(void)state;
	run_all_sizes((product){0});
}

static void test_kernels_packed__b_transposed(void **state)
{
	(void)state;
	run_all_sizes((product){.transpose_b = true});
}

static void test_kernels_packed__a_transposed_adds_with_cuts(void **state)
{
	(void)state;
	run_all_sizes((product){.transpose_a = true, .accumulate = true, .cut = 100});
}

/* Cheap numbers for large operands. */
static float *filled(const cairn_kernels *k, int64_t n)
{
	float *x = poisoned(k, n);

	for (int64_t i = 0; i < n; i++)
		x[i] = (float)(i * 2654435761 % 1000) / 1000 - 0.5f;
	return x;
}

/* What is not packed before goes in parts when it is large: in depth, and in width. */
static void test_kernels_packed__large_operands_go_in_parts(void **state)
{
	static const product shapes[] = {
		{.M = 70, .N = 600, .K = 8000}, {.M = 1100, .N = 4200, .K = 20}};
	const cairn_kernels *k = cpu_table(NULL, 2);

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++) {
		const product *p = &shapes[i];
		float *plain = poisoned(k, p->M * p->N);
		cairn_gemm g = {.M = p->M, .N = p->N, .K = p->K, .lda = p->K, .ldb = p->N};
		cairn_packed *packed;

		g.A = filled(k, p->M * p->K);
		g.B = filled(k, p->K * p->N);
		g.C = plain;
		g.ldc = p->N;
		packed = k->pack(k, g.B, p->N, p->K, p->N, false);
		assert_non_null(packed);
		k->gemm(k, &g);
		g.C = poisoned(k, p->M * p->N);
		g.packed = packed;
		k->gemm(k, &g);
		assert_memory_equal(plain, g.C, sizeof(float) * (size_t)(p->M * p->N));
		k->pack_free(k, packed);
		drop_tensors();
	}
}

/* Weights change: the copy keeps the old ones until repack(). */
static void test_kernels_packed__repack_takes_over(void **state)
{
	enum {
		M = 9,
		N = 50,
		K = 40
	};
	const cairn_kernels *k = cpu_table(NULL, 2);
	float *b = normal(k, K * N, 1, 1), *new_b = normal(k, K * N, 2, 1);
	float *c = poisoned(k, M * N), *old_c = poisoned(k, M * N), *new_c = poisoned(k, M * N);
	cairn_packed *packed = k->pack(k, b, N, K, N, false);
	cairn_gemm g = {.M = M, .N = N, .K = K, .lda = K, .B = b, .ldb = N, .C = old_c, .ldc = N};

	(void)state;
	assert_non_null(packed);
	g.A = normal(k, M * K, 3, 1);
	k->gemm(k, &g);
	memcpy(b, new_b, sizeof(float) * K * N);
	g.C = new_c;
	k->gemm(k, &g);
	g.C = c;
	g.packed = packed;
	k->gemm(k, &g);
	assert_memory_equal(c, old_c, sizeof(float) * M * N);
	k->repack(k, packed, b, N);
	k->gemm(k, &g);
	assert_memory_equal(c, new_c, sizeof(float) * M * N);
	assert_memory_not_equal(old_c, new_c, sizeof(float) * M * N);
	k->pack_free(k, packed);
	k->pack_free(k, NULL);
	drop_tensors();
}

/* Plans count with it. */
static void test_kernels_packed__bytes_are_what_is_taken(void **state)
{
	static const int64_t shapes[][2] = {{1, 1}, {100, 77}, {768, 3072}};
	const cairn_kernels *k = cpu_table(NULL, 1);

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++) {
		int64_t K = shapes[i][0], N = shapes[i][1];
		size_t want = k->packed_bytes(k, K, N), before = k->peak_bytes(k);
		float *b = normal(k, K * N, 1, 1);
		size_t with_b = k->peak_bytes(k), grown;
		cairn_packed *packed = k->pack(k, b, N, K, N, false);

		assert_non_null(packed);
		assert_true(want >= sizeof(float) * (size_t)(K * N));
		grown = k->peak_bytes(k) - with_b;
		/* alloc() rounds up; what was freed before may be part of the peak. */
		assert_true(grown <= want + 8192);
		if (with_b > before)
			assert_true(grown >= want);
		k->pack_free(k, packed);
		drop_tensors();
	}
}

typedef struct vocabulary {
	int64_t V, C;
} vocabulary;

static void run_head(const cairn_kernels *k, const void *shape, outcome *out)
{
	enum {
		R = 70
	};
	const int64_t V = ((const vocabulary *)shape)->V, C = ((const vocabulary *)shape)->C;
	float *wte = normal_narrow(k, V * C, 2, 0.5);
	cairn_packed *logits = k->pack(k, wte, C, C, V, true);
	cairn_packed *back = k->pack(k, wte, C, V, C, false);
	cairn_lm_head head = {.R = R, .C = C, .V = V, .wte = wte, .temperature = 0.8f};
	cairn_sample sample = {.R = R, .C = C, .V = V, .temperature = 0.8f, .key = 5, .top_p = 1};
	float *dwte = normal(k, V * C, 5, 1), *logprob = poisoned(k, R);
	cairn_act *dh = poisoned_acts(k, R * C);

	assert_true(logits && back);
	head.h = sample.h = normal_acts(k, R * C, 1, 1);
	head.target = random_ints(k, R, 3, V);
	head.dlogprob = normal(k, R, 4, 1);
	head.logprob = logprob;
	head.dh = dh;
	head.dwte = dwte;
	k->lm_head(k, &head);
	head.logprob = poisoned(k, R);
	head.dh = poisoned_acts(k, R * C);
	head.dwte = normal(k, V * C, 5, 1);
	head.packed_logits = sample.packed = logits;
	head.packed_dh = back;
	head.wte = NULL;
	k->lm_head(k, &head);
	assert_same(k, logprob, head.logprob, sizeof(float) * R);
	assert_same(k, dh, head.dh, (size_t)(k->act_bytes * R * C));
	assert_same(k, dwte, head.dwte, sizeof(float) * (size_t)(V * C));
	sample.row_id = row_ids(k, R, 9);
	sample.token = random_ints(k, R, 6, 1);
	sample.logprob = logprob;
	k->sample(k, &sample);
	emit_ints(out, k, sample.token, R);
	emit_acts(out, k, dh, R * C, loosened(k, 5e-6, 3));
	head.target = sample.token;
	head.dlogprob = NULL;
	k->lm_head(k, &head);
	emit(out, k, head.logprob, R, 3e-6);
	if (strncmp(k->name, "cpu/", 4) == 0)
		assert_same(k, logprob, head.logprob, sizeof(float) * R);
	k->pack_free(k, logits);
	k->pack_free(k, back);
}

static void test_kernels_packed__unembedding_and_sampling(void **state)
{
	static const vocabulary shapes[] = {{333, 40}, {1, 40}, {333, 1}};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(shapes); i++) {
		check_case(run_head, &shapes[i]);
		drop_tensors();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_packed__plain),
		cmocka_unit_test(test_kernels_packed__b_transposed),
		cmocka_unit_test(test_kernels_packed__a_transposed_adds_with_cuts),
		cmocka_unit_test(test_kernels_packed__large_operands_go_in_parts),
		cmocka_unit_test(test_kernels_packed__repack_takes_over),
		cmocka_unit_test(test_kernels_packed__bytes_are_what_is_taken),
		cmocka_unit_test(test_kernels_packed__unembedding_and_sampling),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
