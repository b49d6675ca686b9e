/* SPDX-License-Identifier: Apache-2.0 */
/* test_find.c - what find.c says of machines that have no GPU, or none that can be used. */
#include <stdlib.h>
#include <string.h>

#include "../../../test.h"
#include "fake_runtime.h"
#include "kernels/cuda/device.h"

static cuda_found find(void)
{
	cuda_found found;

	cuda_device_find(&found, 0);
	return found;
}

static void refused(const char *why, const char *hint)
{
	cuda_found found = find();

	assert_false(found.usable);
	if (!strstr(found.why, why))
		fail_msg("'%s' does not say '%s'", found.why, why);
	if (!strstr(found.hint, hint) || !strstr(found.hint, "device = cpu"))
		fail_msg("'%s' does not say '%s'", found.hint, hint);
	/* Nobody after it finds an error that was told already. */
	assert_int_equal(cudaGetLastError(), cudaSuccess);
}

static void test_cuda_find__an_h100(void **state)
{
	cuda_found found;

	(void)state;
	fake_runtime_reset();
	found = find();
	assert_true(found.usable);
	assert_string_equal(found.name, "NVIDIA H100 80GB HBM3");
	assert_int_equal(found.devices, 1);
	assert_int_equal(found.capability, 90);
	assert_int_equal(found.multiprocessors, 132);
	assert_int_equal(found.khz, 1980000);
	assert_int_equal(found.memory, 1 << 30);
	assert_int_equal(fake.streams + fake.events + fake.allocations + fake.pinned, 0);
}

static void test_cuda_find__no_driver(void **state)
{
	(void)state;
	fake_runtime_reset();
	fake.driver = 0;
	fake.count_error = cudaErrorInsufficientDriver;
	refused("no NVIDIA driver is installed", "libcuda.so.1");
}

static void test_cuda_find__an_old_driver(void **state)
{
	(void)state;
	fake_runtime_reset();
	fake.driver = 12040;
	fake.count_error = cudaErrorInsufficientDriver;
	refused("the driver is one of CUDA 12.4, and one of CUDA 13 is needed", "newer");
}

static void test_cuda_find__no_device(void **state)
{
	(void)state;
	fake_runtime_reset();
	fake.devices = 0;
	unsetenv("CUDA_VISIBLE_DEVICES");
	refused("no NVIDIA GPU can be seen", "container");
	setenv("CUDA_VISIBLE_DEVICES", "7", 1);
	refused("CUDA_VISIBLE_DEVICES='7'", "Unset CUDA_VISIBLE_DEVICES");
	setenv("CUDA_VISIBLE_DEVICES", "", 1);
	refused("CUDA_VISIBLE_DEVICES=''", "Unset CUDA_VISIBLE_DEVICES");
	unsetenv("CUDA_VISIBLE_DEVICES");
}

static void test_cuda_find__a_device_of_long_ago(void **state)
{
	(void)state;
	fake_runtime_reset();
	fake.name = "Tesla V100";
	fake.major = 7;
	refused("Tesla V100 has compute capability 7.0, and 8.0 is needed", "A100");
	assert_string_equal(find().name, "Tesla V100");
}

static void test_cuda_find__a_driver_that_is_not_ready(void **state)
{
	(void)state;
	fake_runtime_reset();
	fake.count_error = cudaErrorSystemNotReady;
	refused("cudaErrorSystemNotReady", "nvidia-fabricmanager");
	fake.count_error = cudaErrorSystemDriverMismatch;
	refused("what CUDA says of error 803", "restart");
	fake.count_error = cudaErrorUnknown;
	refused("what CUDA says of error 999", "nvidia-smi");
}

static void test_cuda_find__a_device_that_says_nothing(void **state)
{
	(void)state;
	fake_runtime_reset();
	fake.fails = "cudaGetDeviceProperties";
	fake.fails_with = cudaErrorOperatingSystem;
	refused("what CUDA says of error 304", "Xid");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_find__an_h100),
		cmocka_unit_test(test_cuda_find__no_driver),
		cmocka_unit_test(test_cuda_find__an_old_driver),
		cmocka_unit_test(test_cuda_find__no_device),
		cmocka_unit_test(test_cuda_find__a_device_of_long_ago),
		cmocka_unit_test(test_cuda_find__a_driver_that_is_not_ready),
		cmocka_unit_test(test_cuda_find__a_device_that_says_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
