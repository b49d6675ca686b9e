/* SPDX-License-Identifier: Apache-2.0 */
/* test_blas.c - blas.c itself, on a cuBLASLt that keeps to its manual and multiplies by loops. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../test.h"
#include "fake_lt.h"
#include "fake_runtime.h"
#include "kernels/cuda/blas.h"

enum {
	M = 5,
	N = 16,
	K = 24,
	ROOM = 64 * 64, /* elements of each operand */
};

static cuda_device *device;
static cuda_blas *blas;

static void *operand_a, *operand_b, *operand_c, *offset, *before;

static int open_blas(cairn_error *err)
{
	cuda_found found;

	fake_runtime_reset();
	cuda_device_find(&found, 0);
	assert_int_equal(cuda_device_open(&device, &found, err), 0);
	return cuda_blas_open(&blas, device, err);
}

static void **operands(int i)
{
	void **const all[] = {&operand_a, &operand_b, &operand_c, &offset, &before};

	return i < (int)CAIRN_COUNT(all) ? all[i] : NULL;
}

static int setup(void **state)
{
	cairn_error err = {0};

	(void)state;
	fake_lt_reset();
	if (open_blas(&err))
		fail_msg("%s", err.message);
	for (int i = 0; operands(i); i++)
		assert_non_null(*operands(i) = aligned_alloc(256, ROOM * sizeof(float)));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	cuda_blas_close(blas);
	cuda_device_close(device);
	for (int i = 0; operands(i); i++)
		free(*operands(i));
	return fake_lt.alive || fake.allocations;
}

/* ---- what is multiplied -----------------------------------------------------------------------
 */

static float get(enum cuda_type type, const void *x, int64_t i)
{
	uint32_t bits;
	float value;

	if (type == CUDA_FLOAT)
		return ((const float *)x)[i];
	bits = (uint32_t)((const uint16_t *)x)[i] << 16;
	memcpy(&value, &bits, sizeof(value));
	return value;
}

/* Halves between -4 and 4, which bf16 has, too. */
static void fill(enum cuda_type type, void *x, unsigned seed)
{
	for (int64_t i = 0; i < ROOM; i++) {
		float value;
		uint32_t bits;

		seed = seed * 1664525u + 1013904223u;
		value = (float)(int)(seed >> 28) / 2 - 4;
		memcpy(&bits, &value, sizeof(bits));
		if (type == CUDA_FLOAT)
			((float *)x)[i] = value;
		else
			((uint16_t *)x)[i] = (uint16_t)(bits >> 16);
	}
}

static cuda_product product(enum cuda_type type, enum cuda_type type_c)
{
	return (cuda_product){.M = M,
		.N = N,
		.K = K,
		.lda = K + 8,
		.ldb = N + 16,
		.ldc = N + 8,
		.type_a = type,
		.type_b = type,
		.type_c = type_c,
		.A = operand_a,
		.B = operand_b,
		.C = operand_c};
}

static void fill_all(const cuda_product *p)
{
	fill(p->type_a, operand_a, 1);
	fill(p->type_b, operand_b, 2);
	fill(p->type_c, operand_c, 3);
	fill(p->type_c, offset, 4);
	fill(p->type_c, before, 5);
}

static void near(const char *what, enum cuda_type type, double got, double want)
{
	if (!(fabs(got - want) <= (type == CUDA_BF16 ? 0x1p-8 : 0x1p-20) * (1 + fabs(want))))
		fail_msg("%s: %g instead of %g", what, got, want);
}

/* Multiplies, and compares with the definition: row-major, as cairn_gemm has it. */
static void check(const cuda_product *p, const void *bias)
{
	float *old = malloc(ROOM * sizeof(*old));

	for (int64_t i = 0; i < ROOM; i++)
		old[i] = get(p->type_c, p->C, i);
	assert_true(cuda_blas_product(blas, p, bias));
	for (int64_t i = 0; i < p->M; i++) {
		for (int64_t j = 0; j < p->ldc; j++) {
			double sum = p->accumulate ? (double)old[i * p->ldc + j] : 0, u;

			if (j >= p->N) { /* between the rows */
				assert_true(get(p->type_c, p->C, i * p->ldc + j) ==
					    old[i * p->ldc + j]);
				continue;
			}
			for (int64_t k = 0; k < p->K; k++)
				sum += (double)get(p->type_a, p->A,
					       p->transpose_a ? k * p->lda + i : i * p->lda + k) *
				       (double)get(p->type_b, p->B,
					       p->transpose_b ? j * p->ldb + k : k * p->ldb + j);
			sum += bias ? (double)get(p->type_c, bias, j) : 0;
			if (p->pre)
				near("pre", p->type_c,
					(double)get(p->type_c, p->pre, i * p->ldc + j), sum);
			u = 0.7978845608028654 * (sum + 0.044715 * sum * sum * sum);
			near("C", p->type_c, (double)get(p->type_c, p->C, i * p->ldc + j),
				p->gelu ? sum / (1 + exp(-2 * u)) : sum);
		}
	}
	free(old);
}

static void test_cuda_blas__multiplies_rows(void **state)
{
	static const enum cuda_type types[][2] = {
		{CUDA_FLOAT, CUDA_FLOAT}, {CUDA_BF16, CUDA_BF16}, {CUDA_BF16, CUDA_FLOAT}};

	(void)state;
	for (size_t t = 0; t < CAIRN_COUNT(types); t++) {
		for (int bits = 0; bits < 64; bits++) {
			cuda_product p = product(types[t][0], types[t][1]);

			p.transpose_a = bits & 1;
			p.transpose_b = bits & 2;
			p.lda = p.transpose_a ? M + 3 : K + 8;
			p.ldb = p.transpose_b ? K + 8 : N + 16;
			p.accumulate = bits & 8;
			p.gelu = bits & 16;
			p.pre = p.gelu && bits & 32 ? before : NULL;
			fill_all(&p);
			check(&p, bits & 4 ? offset : NULL);
		}
	}
}

/* ---- plans ------------------------------------------------------------------------------------
 */

static void test_cuda_blas__plans_once_for_a_kind(void **state)
{
	cuda_product p = product(CUDA_BF16, CUDA_BF16);

	(void)state;
	p.gelu = true;
	p.pre = before;
	fill_all(&p);
	check(&p, offset);
	assert_int_equal(fake_lt.asked, 1);
	/* Other addresses, as well aligned, are the same kind. */
	p.A = (char *)operand_a + 256;
	p.C = (char *)operand_c + 32;
	p.pre = (char *)before + 64;
	check(&p, (char *)offset + 16);
	assert_int_equal(fake_lt.asked, 1);
	/* Less aligned ones are not: nobody may read them 16 bytes at a time. */
	p.A = (char *)operand_a + 8;
	check(&p, (char *)offset + 16);
	assert_int_equal(fake_lt.asked, 2);
	p.A = (char *)operand_a + 16;
	check(&p, (char *)offset + 2);
	assert_int_equal(fake_lt.asked, 3);
	p.accumulate = true;
	check(&p, offset);
	p.accumulate = false;
	p.pre = NULL;
	check(&p, offset);
	check(&p, NULL);
	p.ldc = N + 16;
	check(&p, NULL);
	p.M = M - 1;
	check(&p, NULL);
	assert_int_equal(fake_lt.asked, 8);
}

static void test_cuda_blas__finds_each_of_many_plans(void **state)
{
	enum {
		KINDS = 300,
	};

	(void)state;
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < KINDS; i++) {
			cuda_product p = product(CUDA_BF16, CUDA_FLOAT);

			p.M = 1 + i % 20;
			p.K = 1 + i / 20;
			fill_all(&p);
			check(&p, NULL);
		}
		assert_int_equal(fake_lt.asked, KINDS);
	}
}

static void answers(const fake_lt_answer *of, int n)
{
	memcpy(fake_lt.answers, of, (size_t)n * sizeof(*of));
	fake_lt.n_answers = n;
}

/* Not those whose sums depend on the order of blocks, nor those that round parts. */
static void test_cuda_blas__takes_the_first_answer_that_keeps_the_rules(void **state)
{
	static const fake_lt_answer found[] = {
		{1, 4, CUBLASLT_REDUCTION_SCHEME_INPLACE, 1024, CUBLAS_STATUS_SUCCESS},
		{2, 4, CUBLASLT_REDUCTION_SCHEME_OUTPUT_TYPE, 1024, CUBLAS_STATUS_SUCCESS},
		{3, 1, CUBLASLT_REDUCTION_SCHEME_NONE, 0, CUBLAS_STATUS_NOT_SUPPORTED},
		{4, 9, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, (size_t)CUDA_BLAS_WORKSPACE + 1,
			CUBLAS_STATUS_SUCCESS},
		{5, 3, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 4096, CUBLAS_STATUS_SUCCESS},
		{6, 1, CUBLASLT_REDUCTION_SCHEME_NONE, 0, CUBLAS_STATUS_SUCCESS}};
	cuda_product p = product(CUDA_BF16, CUDA_BF16);

	(void)state;
	answers(found, CAIRN_COUNT(found));
	fill_all(&p);
	check(&p, NULL);
	assert_non_null(strstr(cuda_blas_plans(blas), ": algorithm 5 "));
}

static void test_cuda_blas__does_nothing_where_nothing_keeps_them(void **state)
{
	static const fake_lt_answer found[] = {
		{1, 4, CUBLASLT_REDUCTION_SCHEME_INPLACE, 1024, CUBLAS_STATUS_SUCCESS}};
	cuda_product p = product(CUDA_BF16, CUDA_BF16);
	cairn_error err = {0};
	uint16_t old[ROOM];

	(void)state;
	fill_all(&p);
	memcpy(old, operand_c, sizeof(old));
	for (int n = 1; n >= 0; n--) {
		p.N = N - 8 * n;
		answers(found, n);
		assert_false(cuda_blas_product(blas, &p, NULL));
		assert_false(cuda_blas_product(blas, &p, NULL));
	}
	assert_int_equal(fake_lt.asked, 2); /* that there is none is remembered, too */
	assert_int_equal(fake_lt.multiplied, 0);
	assert_memory_equal(operand_c, old, sizeof(old));
	assert_int_equal(cuda_device_status(device, &err), CAIRN_OK);
}

/* As its manual has it: ld of what gelu is taken of is a multiple of 8, strides are of 16 bytes. */
static void test_cuda_blas__leaves_to_others_what_the_library_has_not(void **state)
{
	cuda_product p = product(CUDA_FLOAT, CUDA_FLOAT);

	(void)state;
	p.gelu = true;
	p.ldc = N + 4;
	fill_all(&p);
	check(&p, offset);
	p.pre = before;
	assert_false(cuda_blas_product(blas, &p, offset));
	p = product(CUDA_BF16, CUDA_BF16);
	p.ldb = N + 1;
	assert_false(cuda_blas_product(blas, &p, NULL));
}

static void test_cuda_blas__tells_its_plans(void **state)
{
	static const fake_lt_answer split[] = {
		{7, 3, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE, 4096, CUBLAS_STATUS_SUCCESS}};
	cuda_product p = product(CUDA_BF16, CUDA_FLOAT);
	char want[512];

	(void)state;
	assert_string_equal(cuda_blas_plans(blas), "");
	answers(split, 1);
	fill_all(&p);
	p.accumulate = true;
	check(&p, NULL);
	check(&p, NULL);
	p.transpose_b = true;
	p.ldb = K + 1;
	assert_false(cuda_blas_product(blas, &p, offset));
	snprintf(want, sizeof(want),
		"5x16x24 nn ld 32,32,24 bf16>float added epilogue %d: algorithm 7 tile %d stages "
		"%d split-k 3 reduction %d swizzle %d custom %d inner %d cluster %d workspace "
		"4096\n"
		"5x16x24 nt ld 32,25,24 bf16>float added epilogue %d: none\n",
		CUBLASLT_EPILOGUE_DEFAULT, 100 + CUBLASLT_ALGO_CONFIG_TILE_ID,
		100 + CUBLASLT_ALGO_CONFIG_STAGES_ID, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE,
		100 + CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING, 100 + CUBLASLT_ALGO_CONFIG_CUSTOM_OPTION,
		100 + CUBLASLT_ALGO_CONFIG_INNER_SHAPE_ID,
		100 + CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, CUBLASLT_EPILOGUE_BIAS);
	assert_string_equal(cuda_blas_plans(blas), want);
}

static void test_cuda_blas__a_refusal_is_an_error_of_the_device(void **state)
{
	cuda_product p = product(CUDA_BF16, CUDA_BF16);
	cairn_error err = {0};

	(void)state;
	fill_all(&p);
	fake_lt.matmul = CUBLAS_STATUS_EXECUTION_FAILED;
	assert_true(cuda_blas_product(blas, &p, NULL));
	assert_int_equal(cuda_device_status(device, &err), CAIRN_EDEVICE);
	assert_string_equal(
		err.message, "a product failed on the GPU: cuBLASLt refused what it had planned");
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static void refused(const char *message, const char *detail, const char *hint)
{
	cairn_error err = {0};

	assert_int_equal(open_blas(&err), CAIRN_EDEVICE);
	assert_null(blas);
	assert_string_equal(err.message, message);
	if (!strstr(err.detail, detail))
		fail_msg("'%s' does not say '%s'", err.detail, detail);
	if (!strstr(err.hint, hint))
		fail_msg("'%s' does not say '%s'", err.hint, hint);
	cuda_device_close(device);
	assert_int_equal(fake_lt.alive + fake.allocations, 0);
}

static void looks_like(const char *want)
{
	char got[256];

	cuda_blas_look(got, sizeof(got));
	assert_string_equal(got, want);
}

#define NAME "libcublasLt.so.13"

static void test_cuda_blas__open_says_what_is_missing(void **state)
{
	(void)state;
	if (CUBLAS_VER_MAJOR != 13)
		skip();
	fake_lt_reset();
	fake_lt.version = 130204;
	looks_like("13.2.4");
	fake_lt.is_missing = true;
	refused("'" NAME "' cannot be loaded", "/nowhere/", "package libcublas-13-");
	refused("'" NAME "' cannot be loaded", "/nowhere/", "LD_LIBRARY_PATH");
	looks_like("'" NAME "' cannot be loaded");
	fake_lt.other_major = 12;
	refused("'" NAME "' cannot be loaded", "/nowhere/", "only version 12 was found");
}

static void test_cuda_blas__open_sees_through_a_wrong_name(void **state)
{
	(void)state;
	if (CUBLAS_VER_MAJOR != 13)
		skip();
	fake_lt_reset();
	fake_lt.version = 120304;
	refused("'" NAME "' is not what its name says", "version is 120304", "ldconfig");
	fake_lt_reset();
	fake_lt.lacks = "cublasLtMatmulAlgoGetHeuristic";
	refused("'" NAME "' is not what its name says",
		"no function 'cublasLtMatmulAlgoGetHeuristic'", "ldconfig");
}

static void test_cuda_blas__open_says_that_memory_is_short(void **state)
{
	cairn_error err = {0};
	cuda_found found;

	(void)state;
	fake_lt_reset();
	fake_lt.create = CUBLAS_STATUS_ALLOC_FAILED;
	refused("cuBLASLt cannot be started on the GPU", "", "nvidia-smi");
	fake_lt_reset();
	fake_runtime_reset();
	fake.memory = CUDA_BLAS_WORKSPACE / 2;
	cuda_device_find(&found, 0);
	assert_int_equal(cuda_device_open(&device, &found, &err), 0);
	assert_int_equal(cuda_blas_open(&blas, device, &err), CAIRN_EDEVICE);
	assert_string_equal(err.message, "no memory on the GPU for the workspace of products");
	assert_non_null(strstr(err.hint, "nvidia-smi"));
	assert_null(blas);
	cuda_device_close(device);
	assert_int_equal(fake_lt.alive + fake.allocations, 0);
}

int main(void)
{
#define WITH_BLAS(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_BLAS(test_cuda_blas__multiplies_rows),
		WITH_BLAS(test_cuda_blas__plans_once_for_a_kind),
		WITH_BLAS(test_cuda_blas__finds_each_of_many_plans),
		WITH_BLAS(test_cuda_blas__takes_the_first_answer_that_keeps_the_rules),
		WITH_BLAS(test_cuda_blas__does_nothing_where_nothing_keeps_them),
		WITH_BLAS(test_cuda_blas__leaves_to_others_what_the_library_has_not),
		WITH_BLAS(test_cuda_blas__tells_its_plans),
		WITH_BLAS(test_cuda_blas__a_refusal_is_an_error_of_the_device),
		cmocka_unit_test(test_cuda_blas__open_says_what_is_missing),
		cmocka_unit_test(test_cuda_blas__open_sees_through_a_wrong_name),
		cmocka_unit_test(test_cuda_blas__open_says_that_memory_is_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
