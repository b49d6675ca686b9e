/* SPDX-License-Identifier: Apache-2.0 */
/* test_peak.c - peak speeds against what NVIDIA publishes, dense, float sums. */
#include <math.h>
#include <stdio.h>

#include "../../../test.h"
#include "kernels/cuda/peak.h"

/* MHz: the highest clock, as the driver reports it. */
typedef struct board {
	const char *name;
	int capability, multiprocessors, mhz;
	double bf16, fp32; /* TFLOP/s */
} board;

static const board boards[] = {
	{"NVIDIA A100-SXM4-80GB", 80, 108, 1410, 312, 19.5},
	{"NVIDIA A30", 80, 56, 1440, 165, 10.3},
	{"NVIDIA A10", 86, 72, 1695, 125, 31.2},
	{"NVIDIA A40", 86, 84, 1740, 149.7, 37.4},
	{"NVIDIA GeForce RTX 3090", 86, 82, 1695, 71, 35.6},
	{"NVIDIA L4", 89, 58, 2040, 121, 30.3},
	{"NVIDIA L40", 89, 142, 2490, 181, 90.5},
	{"NVIDIA L40S", 89, 142, 2520, 362, 91.6},
	{"NVIDIA GeForce RTX 4090", 89, 128, 2520, 165.2, 82.6},
	{"NVIDIA H100 80GB HBM3", 90, 132, 1980, 989.4, 66.9},
	{"NVIDIA H100 PCIe", 90, 114, 1755, 756, 51.2},
	{"NVIDIA H200", 90, 132, 1980, 989.4, 66.9},
};

static cuda_found found_of(const board *b)
{
	cuda_found found = {.capability = b->capability,
		.multiprocessors = b->multiprocessors,
		.khz = 1000 * b->mhz};

	snprintf(found.name, sizeof(found.name), "%s", b->name);
	return found;
}

static void check(const char *name, const char *type, double got, double want)
{
	if (!(fabs(got - want) <= 0.015 * want))
		fail_msg("%s, %s: %.1f TFLOP/s instead of %.1f", name, type, got, want);
}

static void test_cuda_peak__is_what_is_published(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(boards); i++) {
		cuda_found found = found_of(&boards[i]);

		check(boards[i].name, "bf16", 1e-12 * cuda_peak_flops(&found, CUDA_BF16),
			boards[i].bf16);
		check(boards[i].name, "float", 1e-12 * cuda_peak_flops(&found, CUDA_FLOAT),
			boards[i].fp32);
	}
}

static void test_cuda_peak__of_what_is_not_known_is_nothing(void **state)
{
	cuda_found later = {.capability = 100, .multiprocessors = 148, .khz = 1965000};
	cuda_found timeless = {.capability = 80, .multiprocessors = 108};

	(void)state;
	assert_true(cuda_peak_flops(&later, CUDA_BF16) == 0);
	assert_true(cuda_peak_flops(&later, CUDA_FLOAT) == 0);
	assert_true(cuda_peak_flops(&timeless, CUDA_BF16) == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_peak__is_what_is_published),
		cmocka_unit_test(test_cuda_peak__of_what_is_not_known_is_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
