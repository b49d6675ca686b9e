/* SPDX-License-Identifier: Apache-2.0 */
/* test_device.c - device.c itself, on a runtime that does everything as late as it may. */
#include <stdlib.h>
#include <string.h>

#include "../../../test.h"
#include "fake_runtime.h"
#include "kernels/cuda/device.h"

#define MIB ((size_t)1 << 20)

static cuda_device *device(void)
{
	cuda_device *d;
	cuda_found found;
	cairn_error err = {0};

	fake_runtime_reset();
	cuda_device_find(&found, 0);
	if (cuda_device_open(&d, &found, &err))
		fail_msg("%s", err.message);
	return d;
}

static void nothing_is_left(void)
{
	assert_int_equal(fake.streams, 0);
	assert_int_equal(fake.events, 0);
	assert_int_equal(fake.graphs, 0);
	assert_int_equal(fake.allocations, 0);
	assert_int_equal(fake.pinned, 0);
}

static void is_well(cuda_device *d)
{
	cairn_error err = {0};

	if (cuda_device_status(d, &err))
		fail_msg("%s", err.message);
}

static void has_failed(cuda_device *d, const char *message)
{
	cairn_error err = {0};

	assert_int_equal(cuda_device_status(d, &err), CAIRN_EDEVICE);
	assert_string_equal(err.message, message);
	assert_true(err.hint[0]);
}

/* Bytes that are told from their neighbours' and from other seeds'. */
static unsigned char *pattern(size_t bytes, unsigned seed)
{
	unsigned char *x = malloc(bytes + 1);

	assert_non_null(x);
	for (size_t i = 0; i < bytes; i++) {
		seed = seed * 1664525u + 1013904223u;
		x[i] = (unsigned char)(seed >> 24);
	}
	return x;
}

/* ---- opening ----------------------------------------------------------------------------------
 */

static void test_cuda_device__leaves_nothing_behind(void **state)
{
	cuda_device *d = device();

	(void)state;
	assert_non_null(cuda_device_stream(d));
	assert_non_null(cuda_device_alloc(d, 1000));
	is_well(d);
	cuda_device_close(d);
	nothing_is_left();
	cuda_device_close(NULL);
}

/* Whatever fails first while it is opened. */
static void test_cuda_device__open_can_fail_anywhere(void **state)
{
	static const struct {
		const char *call;
		int times;
	} calls[] = {{"cudaSetDevice", 1}, {"cudaStreamCreateWithFlags", 2}, {"cudaHostAlloc", 2},
		{"cudaEventCreateWithFlags", 12}};
	cuda_device *d;
	cuda_found found;

	(void)state;
	fake_runtime_reset();
	cuda_device_find(&found, 0);
	for (size_t i = 0; i < CAIRN_COUNT(calls); i++) {
		for (int after = 0; after < calls[i].times; after++) {
			cairn_error err = {0};

			fake_runtime_reset();
			fake.fails = calls[i].call;
			fake.fails_after = after;
			fake.fails_with = cudaErrorUnknown;
			assert_int_equal(cuda_device_open(&d, &found, &err), CAIRN_EDEVICE);
			assert_null(d);
			assert_non_null(strstr(err.message, found.name));
			assert_non_null(strstr(err.message, "error 999"));
			assert_non_null(strstr(err.hint, "device = cpu"));
			nothing_is_left();
		}
	}
}

static void open_fails(const char *call, cudaError_t with, const char *hint)
{
	cuda_device *d;
	cuda_found found;
	cairn_error err = {0};

	fake_runtime_reset();
	cuda_device_find(&found, 0);
	fake.fails = call;
	fake.fails_with = with;
	assert_int_equal(cuda_device_open(&d, &found, &err), CAIRN_EDEVICE);
	if (!strstr(err.hint, hint))
		fail_msg("'%s' does not say '%s'", err.hint, hint);
	nothing_is_left();
}

static void test_cuda_device__open_says_who_has_it(void **state)
{
	(void)state;
	open_fails("cudaSetDevice", cudaErrorDevicesUnavailable, "Another process holds the GPU");
	open_fails("cudaSetDevice", cudaErrorMemoryAllocation, "have taken the GPU's memory");
	open_fails("cudaStreamCreateWithFlags", cudaErrorMemoryAllocation,
		"have taken the GPU's memory");
	open_fails("cudaHostAlloc", cudaErrorMemoryAllocation, "machine's memory");
}

/* ---- memory -----------------------------------------------------------------------------------
 */

static void test_cuda_device__memory_is_zeroed_and_counted(void **state)
{
	cuda_device *d = device();
	unsigned char *a = cuda_device_alloc(d, 3000), *b = cuda_device_alloc(d, 2 * MIB),
		      got[3000];

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	cuda_device_read(d, got, a, sizeof(got));
	for (size_t i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], 0);
	cuda_device_free(d, b);
	cuda_device_free(d, NULL);
	b = cuda_device_alloc(d, MIB);
	assert_int_equal(cuda_device_peak(d), 3000 + 2 * MIB);
	assert_int_equal(fake.bytes, 3000 + MIB);
	cuda_device_free(d, a);
	cuda_device_free(d, b);
	assert_int_equal(fake.allocations, 0);
	is_well(d);
	cuda_device_close(d);
	nothing_is_left();
}

/* As the caller is told by NULL, it may do with less; only what cannot is an error. */
static void test_cuda_device__no_memory_is_no_error(void **state)
{
	cuda_device *d = device();
	cairn_error err = {0};

	(void)state;
	assert_non_null(cuda_device_alloc(d, 600 * MIB));
	assert_null(cuda_device_alloc(d, 600 * MIB));
	is_well(d);
	fake.fails = "cudaHostAlloc";
	fake.fails_with = cudaErrorMemoryAllocation;
	assert_null(cuda_device_pinned_alloc(d, 100));
	is_well(d);
	cuda_device_lacks(d, "getting a workspace", 600 * MIB);
	assert_int_equal(cuda_device_status(d, &err), CAIRN_EDEVICE);
	assert_string_equal(err.message, "getting a workspace failed on the GPU: out of memory");
	assert_non_null(strstr(err.detail, "(600 MiB); of the 1024 MiB of NVIDIA H100 80GB HBM3 "
					   "600 were taken"));
	assert_non_null(strstr(err.hint, "micro_tokens"));
	cuda_device_close(d);
	nothing_is_left();
}

/* ---- copies -----------------------------------------------------------------------------------
 */

/* The ring holds 32 MiB: nobody waits before it is full, and nothing in it is lost after. */
static void test_cuda_device__what_was_written_may_change_at_once(void **state)
{
	cuda_device *d = device();
	size_t bytes = 75 * MIB + 13, at = 0, step = 1;
	unsigned char *want = pattern(bytes, 1), *got = malloc(bytes), *passing = malloc(17 * MIB);
	unsigned char *dev = cuda_device_alloc(d, bytes);
	int waits = fake.waits;

	(void)state;
	while (at < bytes) {
		size_t piece = bytes - at < step ? bytes - at : step;

		memcpy(passing, want + at, piece);
		cuda_device_write(d, dev + at, passing, piece);
		memset(passing, 0xee, piece);
		at += piece;
		if (at < 30 * MIB)
			assert_true(fake.waits - waits <= 8); /* on events nobody recorded */
		step = step < 8 * MIB ? 2 * step + 1 : step;
	}
	cuda_device_read(d, got, dev, bytes);
	assert_memory_equal(got, want, bytes);
	is_well(d);
	cuda_device_close(d);
	nothing_is_left();
	free(want);
	free(got);
	free(passing);
}

static void test_cuda_device__many_small_writes(void **state)
{
	enum {
		N = 200000, /* 64 bytes each: more than a third of the ring */
	};
	cuda_device *d = device();
	int32_t *dev = cuda_device_alloc(d, N * sizeof(*dev)), *got = malloc(N * sizeof(*got));

	(void)state;
	for (int32_t round = 0; round < 4; round++)
		for (int32_t i = 0; i < N; i++) {
			int32_t value = i ^ round;

			cuda_device_write(d, dev + i, &value, sizeof(value));
		}
	cuda_device_read(d, got, dev, N * sizeof(*got));
	for (int32_t i = 0; i < N; i++)
		assert_int_equal(got[i], i ^ 3);
	is_well(d);
	cuda_device_close(d);
	free(got);
}

static void test_cuda_device__reads_of_every_size(void **state)
{
	static const size_t sizes[] = {
		0, 1, 63, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 8 * MIB, 13 * MIB + 5};
	cuda_device *d = device();
	size_t most = 14 * MIB;
	unsigned char *want = pattern(most, 2), *got = malloc(most);
	unsigned char *dev = cuda_device_alloc(d, most);

	(void)state;
	cuda_device_write(d, dev, want, most);
	for (size_t i = 0; i < CAIRN_COUNT(sizes); i++) {
		memset(got, 0xee, most);
		cuda_device_read(d, got, dev + 7, sizes[i]);
		assert_memory_equal(got, want + 7, sizes[i]);
		assert_int_equal(got[sizes[i]], 0xee);
	}
	is_well(d);
	cuda_device_close(d);
	free(want);
	free(got);
}

static void test_cuda_device__copies_and_zeros_in_order(void **state)
{
	cuda_device *d = device();
	unsigned char *want = pattern(1000, 3), got[1000];
	unsigned char *a = cuda_device_alloc(d, 1000), *b = cuda_device_alloc(d, 1000);

	(void)state;
	cuda_device_write(d, a, want, 1000);
	cuda_device_copy(d, b, a, 1000);
	cuda_device_zero(d, a, 1000);
	cuda_device_copy(d, a + 500, b, 500);
	cuda_device_copy(d, a, b, 0);
	cuda_device_read(d, got, a, 1000);
	assert_int_equal(got[499], 0);
	assert_memory_equal(got + 500, want, 500);
	cuda_device_close(d);
	free(want);
}

/* ---- fetching ---------------------------------------------------------------------------------
 */

static void add_one(void *argument)
{
	unsigned char *x = argument;

	for (size_t i = 0; i < 1000; i++)
		x[i]++;
}

/* What is computed before is in it, what comes after the fence is not - and would be without. */
static void test_cuda_device__fetches_what_was_there(void **state)
{
	(void)state;
	for (int with_fence = 0; with_fence < 2; with_fence++) {
		cuda_device *d = device();
		unsigned char *dev = cuda_device_alloc(d, 1000), now[1000];
		unsigned char *pinned = cuda_device_pinned_alloc(d, 1000);

		fake_launch(cuda_device_stream(d), add_one, dev);
		cuda_device_fetch(d, pinned, dev, 1000);
		cuda_device_fetch(d, pinned, dev, 0);
		if (with_fence)
			cuda_device_fetch_fence(d);
		fake_launch(cuda_device_stream(d), add_one, dev);
		cuda_device_read(d, now, dev, 1000); /* so the computing stream is far ahead */
		assert_int_equal(now[999], 2);
		cuda_device_fetch_wait(d);
		assert_int_equal(pinned[0], with_fence ? 1 : 2);
		cuda_device_pinned_free(d, pinned);
		cuda_device_pinned_free(d, NULL);
		is_well(d);
		cuda_device_close(d);
		nothing_is_left();
	}
}

static void test_cuda_device__frees_nothing_that_is_fetched(void **state)
{
	cuda_device *d = device();
	unsigned char *dev = cuda_device_alloc(d, 1000);
	unsigned char *pinned = cuda_device_pinned_alloc(d, 1000);

	(void)state;
	fake_launch(cuda_device_stream(d), add_one, dev);
	cuda_device_fetch(d, pinned, dev, 1000);
	cuda_device_free(d, dev);
	assert_int_equal(pinned[500], 1);
	cuda_device_fetch_wait(d);
	cuda_device_pinned_free(d, pinned);
	is_well(d);
	cuda_device_close(d);
	nothing_is_left();
}

/* ---- graphs -----------------------------------------------------------------------------------
 */

static void test_cuda_device__replays_what_was_captured(void **state)
{
	cuda_device *d = device();
	unsigned char *dev = cuda_device_alloc(d, 1000), *other = cuda_device_alloc(d, 1000), got;
	cuda_recording *recording;

	(void)state;
	cuda_device_record(d);
	assert_true(cuda_device_is_recording(d));
	fake_launch(cuda_device_stream(d), add_one, dev);
	cuda_device_copy(d, other, dev, 1000);
	recording = cuda_device_recorded(d);
	assert_non_null(recording);
	assert_false(cuda_device_is_recording(d));
	cuda_device_read(d, &got, dev, 1);
	assert_int_equal(got, 0);
	cuda_device_replay(d, recording);
	cuda_device_replay(d, recording);
	cuda_device_replay(d, recording);
	cuda_device_read(d, &got, other, 1);
	assert_int_equal(got, 3);
	cuda_recording_free(d, recording);
	cuda_recording_free(d, NULL);
	is_well(d);
	cuda_device_close(d);
	nothing_is_left();
}

enum breach {
	ALLOC,
	FREE,
	STATUS,
	CHECK,
	FAIL,
	LACKS,
	BEGIN,
	END,
	INSTANTIATE
};

/* Whatever goes wrong between the two: there is no graph, and the device is as before. */
static void test_cuda_device__a_capture_that_fails_leaves_no_trace(void **state)
{
	(void)state;
	for (int breach = ALLOC; breach <= INSTANTIATE; breach++) {
		cuda_device *d = device();
		unsigned char *dev = cuda_device_alloc(d, 1000), got = 99;
		cairn_error err = {0};
		cuda_recording *recording;

		cuda_device_zero(d, dev, 1000);
		fake.fails = breach == BEGIN         ? "cudaStreamBeginCapture"
			     : breach == END         ? "cudaStreamEndCapture"
			     : breach == INSTANTIATE ? "cudaGraphInstantiate"
						     : NULL;
		fake.fails_with = cudaErrorUnknown;
		cuda_device_record(d);
		if (breach != BEGIN)
			fake_launch(cuda_device_stream(d), add_one, dev);
		if (breach == ALLOC)
			assert_null(cuda_device_alloc(d, 100));
		else if (breach == FREE)
			cuda_device_free(d, dev);
		else if (breach == STATUS)
			assert_int_equal(cuda_device_status(d, &err), CAIRN_OK);
		else if (breach == CHECK && cudaSetDevice(7) != cudaSuccess)
			cuda_device_check(d, "a product");
		else if (breach == FAIL)
			cuda_device_fail(d, "a product", "has no plan");
		else if (breach == LACKS)
			cuda_device_lacks(d, "getting a workspace", 100);
		recording = cuda_device_recorded(d);
		if (breach == STATUS) {
			assert_non_null(recording); /* to ask is no breach */
			cuda_recording_free(d, recording);
		} else {
			assert_null(recording);
		}
		is_well(d);
		cuda_device_read(d, &got, dev, 1);
		assert_int_equal(got, 0);
		assert_int_equal(cudaGetLastError(), cudaSuccess);
		cuda_device_close(d);
		nothing_is_left();
	}
}

/* ---- what went wrong --------------------------------------------------------------------------
 */

static void test_cuda_device__the_first_error_is_kept(void **state)
{
	cuda_device *d = device();
	unsigned char *dev = cuda_device_alloc(d, 1000), got[4] = {9, 9, 9, 9};

	(void)state;
	is_well(d);
	assert_int_not_equal(cudaSetDevice(7), cudaSuccess); /* as a launch that is refused */
	cuda_device_check(d, "a product");
	cuda_device_fail(d, "sampling", "nothing");
	fake.fails = "cudaMemcpyAsync";
	fake.fails_with = cudaErrorUnknown;
	cuda_device_read(d, got, dev, sizeof(got));
	assert_int_equal(got[0] + got[1] + got[2] + got[3], 0);
	has_failed(d, "a product failed on the GPU: what CUDA says of error 101");
	has_failed(d, "a product failed on the GPU: what CUDA says of error 101");
	cuda_device_close(d);
	nothing_is_left();
}

/* An operation is only found to have failed when somebody waits; then nothing works any more. */
static void test_cuda_device__death_is_seen_by_who_waits(void **state)
{
	cuda_device *d = device();
	unsigned char *dev = cuda_device_alloc(d, 1000), got[1000];
	unsigned char *pinned = cuda_device_pinned_alloc(d, 1000);

	(void)state;
	is_well(d);
	fake.dies_after = 1;
	fake.dies_with = cudaErrorIllegalAddress;
	for (int i = 0; i < 3; i++)
		fake_launch(cuda_device_stream(d), add_one, dev);
	cuda_device_check(d, "a product");
	cuda_device_fetch(d, pinned, dev, 1000);
	cuda_device_fetch_fence(d);
	cuda_device_fetch_wait(d);
	has_failed(d, "fetching failed on the GPU: what CUDA says of error 700");
	cuda_device_read(d, got, dev, sizeof(got));
	assert_int_equal(got[0], 0);
	assert_null(cuda_device_alloc(d, 100));
	has_failed(d, "fetching failed on the GPU: what CUDA says of error 700");
	cuda_device_pinned_free(d, pinned);
	cuda_device_close(d);
	nothing_is_left();
}

static void test_cuda_device__status_waits(void **state)
{
	cuda_device *d = device();
	unsigned char *dev = cuda_device_alloc(d, 1000);

	(void)state;
	fake.dies_after = 1; /* after the zeroing */
	fake.dies_with = cudaErrorLaunchFailure;
	fake_launch(cuda_device_stream(d), add_one, dev);
	has_failed(d, "waiting for the device failed on the GPU: what CUDA says of error 719");
	cuda_device_close(d);
	nothing_is_left();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cuda_device__leaves_nothing_behind),
		cmocka_unit_test(test_cuda_device__open_can_fail_anywhere),
		cmocka_unit_test(test_cuda_device__open_says_who_has_it),
		cmocka_unit_test(test_cuda_device__memory_is_zeroed_and_counted),
		cmocka_unit_test(test_cuda_device__no_memory_is_no_error),
		cmocka_unit_test(test_cuda_device__what_was_written_may_change_at_once),
		cmocka_unit_test(test_cuda_device__many_small_writes),
		cmocka_unit_test(test_cuda_device__reads_of_every_size),
		cmocka_unit_test(test_cuda_device__copies_and_zeros_in_order),
		cmocka_unit_test(test_cuda_device__fetches_what_was_there),
		cmocka_unit_test(test_cuda_device__frees_nothing_that_is_fetched),
		cmocka_unit_test(test_cuda_device__replays_what_was_captured),
		cmocka_unit_test(test_cuda_device__a_capture_that_fails_leaves_no_trace),
		cmocka_unit_test(test_cuda_device__the_first_error_is_kept),
		cmocka_unit_test(test_cuda_device__death_is_seen_by_who_waits),
		cmocka_unit_test(test_cuda_device__status_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
