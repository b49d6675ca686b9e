/* SPDX-License-Identifier: Apache-2.0 */
/* pool.c - every task once, whatever the number of threads; also with more than cores. */
#include "kernels/cpu/pool.h"

#include <stdatomic.h>
#include <string.h>

#include "../test.h"

enum {
	TASKS = 1000,
};

typedef struct job {
	atomic_int times[TASKS];
	atomic_int wrong_thread;
	int threads;
} job;

static void count(void *context, int64_t task, int thread)
{
	job *j = context;

	atomic_fetch_add(&j->times[task], 1);
	if (thread < 0 || thread >= j->threads)
		atomic_fetch_add(&j->wrong_thread, 1);
}

static void check_threads(int threads, int rounds)
{
	pool *p = pool_new(threads);
	static job j;

	assert_non_null(p);
	for (int round = 0; round < rounds; round++) {
		int64_t n = round * 37 % TASKS;

		memset(&j, 0, sizeof(j));
		j.threads = threads;
		pool_for(p, n, count, &j);
		for (int64_t i = 0; i < TASKS; i++)
			assert_int_equal(atomic_load(&j.times[i]), i < n);
		assert_int_equal(atomic_load(&j.wrong_thread), 0);
	}
	pool_free(p);
}

static void test_kernels_pool__runs_every_task_once(void **state)
{
	(void)state;
	check_threads(1, 50);
	check_threads(2, 500);
	check_threads(3, 300);
}

static void test_kernels_pool__more_threads_than_cores(void **state)
{
	(void)state;
	check_threads(32, 50);
}

static void test_kernels_pool__starts_and_stops(void **state)
{
	(void)state;
	for (int i = 0; i < 50; i++)
		check_threads(1 + i % 5, 2);
	pool_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kernels_pool__runs_every_task_once),
		cmocka_unit_test(test_kernels_pool__more_threads_than_cores),
		cmocka_unit_test(test_kernels_pool__starts_and_stops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
