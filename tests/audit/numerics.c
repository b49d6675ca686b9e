/* SPDX-License-Identifier: Apache-2.0 */
/* numerics.c - tests: what a change of the numeric class is called. */
#include "audit/numerics.h"

#include "test.h"

#define CPU  "fp32-fma512-lanes16-v2"
#define CUDA "cuda-bf16-v1-sm90x132-lt130100"

static void is_called(const char *words, const char *before, const char *after)
{
	cairn_text text = {0};

	cairn_numerics_change(&text, before, after);
	assert_string_equal(cairn_text_get(&text), words);
	cairn_text_free(&text);
}

static void test_audit_numerics__in_words(void **state)
{
	(void)state;
	is_called("CPU to CUDA", CPU, CUDA);
	is_called("CUDA to CPU", CUDA, CPU);
	is_called("another version of the CPU's kernels", CPU, "fp32-fma512-lanes16-v3");
	is_called("bf16 to fp32", CUDA, "cuda-fp32-v1-sm90x132-lt130100");
	is_called("another GPU", CUDA, "cuda-bf16-v1-sm80x108-lt130100");
	is_called("another version of the kernels, another cuBLASLt", CUDA,
		"cuda-bf16-v2-sm90x132-lt130200");
	is_called("bf16 to fp32, another GPU", CUDA, "cuda-fp32-v1-sm80x108-lt130100");
}

static void test_audit_numerics__what_nobody_knows_is_not_named(void **state)
{
	(void)state;
	is_called("", CPU, CPU);
	is_called("", CUDA, CUDA);
	is_called("", NULL, CPU);
	is_called("", CPU, "abacus-7");
	is_called("", "", CUDA);
	is_called("", "-----------", "cuda");
	is_called("", "cuda", CUDA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_audit_numerics__in_words),
		cmocka_unit_test(test_audit_numerics__what_nobody_knows_is_not_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
