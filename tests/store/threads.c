/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One handle, two threads: one writes artifacts, batch after batch, while the other reads. That is
 * a stage whose checkpoint is written beside its next steps. Meant for the thread sanitizer too
 * (-DCAIRN_SANITIZE=thread); without it, every byte read must be right.
 */
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>

#define ENTRIES 3
#define BYTES   (5u << 20) /* more than a chunk: hashed by the pool, read from a segment */
#define ROUNDS  12

struct writing {
	cairn_store *store;
	cairn_id ids[ROUNDS];
	atomic_bool is_over;
};

static void *write_all(void *arg)
{
	struct writing *writing = arg;

	for (uint64_t i = 0; i < ROUNDS; i++)
		writing->ids[i] = support_commit(writing->store, ENTRIES, BYTES, 100 * (i + 1));
	atomic_store(&writing->is_over, true);
	return NULL;
}

static int count(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	(void)key, (void)key_len, (void)value, (void)value_len, (void)err;
	++*(size_t *)arg;
	return 0;
}

/* Records of a table that the writer does not touch. */
static void scan(cairn_store *store)
{
	cairn_snapshot *snapshot;
	cairn_error err = {0};
	size_t n = 0;

	OK(cairn_snapshot_begin(&snapshot, store, &err));
	OK(cairn_snapshot_scan(snapshot, "checkpoint", "", 0, false, count, &n, &err));
	cairn_snapshot_end(snapshot);
	assert_int_equal(n, 0);
}

static void test_store_threads__reads_beside_a_writer(void **state)
{
	struct writing writing = {.store = support_open(*state, CAIRN_STORE_CREATE)};
	cairn_id large = support_commit(writing.store, ENTRIES, BYTES, 7);
	cairn_id small = support_commit(writing.store, ENTRIES, 1000, 7);
	cairn_error err = {0};
	pthread_t thread;
	unsigned reads = 0;

	assert_int_equal(pthread_create(&thread, NULL, write_all, &writing), 0);
	while (!atomic_load(&writing.is_over)) {
		OK(support_verify(writing.store, &large, ENTRIES, BYTES, 7, &err));
		OK(support_verify(writing.store, &small, ENTRIES, 1000, 7, &err));
		scan(writing.store);
		reads++;
	}
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_true(reads > 0);
	for (uint64_t i = 0; i < ROUNDS; i++)
		OK(support_verify(
			writing.store, &writing.ids[i], ENTRIES, BYTES, 100 * (i + 1), &err));
	cairn_store_close(writing.store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_store_threads__reads_beside_a_writer, support_setup, support_teardown),
	};

	return cmocka_run_group_tests_name("store/threads", tests, NULL, NULL);
}
