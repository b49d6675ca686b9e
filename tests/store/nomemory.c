/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nomemory.c - every allocation fails once, and all from one on, in the middle of everything that a
 * store can do; LMDB's, jansson's and the C library's among them. Threads that cannot be started,
 * too. trial.h says what must be true then.
 */
#include "trial.h"

#include <errno.h>

static const int no_memory[TRIAL_ERRORS] = {ENOMEM}, no_thread[TRIAL_ERRORS] = {EAGAIN};

static void sweep(const char *origin, bool stays)
{
	for (size_t i = 0; i < n_operations; i++) {
		trial_sweep(&operations[i], origin, INJECT_MALLOC, no_memory, stays);
		trial_sweep(&operations[i], origin, INJECT_THREAD, no_thread, stays);
	}
	assert_int_equal(trials.n_failed, 0);
}

static void test_store_nomemory__each_allocation_once(void **state)
{
	sweep(*state, false);
	assert_true(trials.n_errors > 200);
}

static void test_store_nomemory__none_from_one_on(void **state)
{
	sweep(*state, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, trial_setup, trial_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_nomemory__each_allocation_once),
		TEST(test_store_nomemory__none_from_one_on),
	};

	return cmocka_run_group_tests_name("store/nomemory", tests, NULL, NULL);
}
