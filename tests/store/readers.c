/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several processes with one index: whoever outgrows its map takes the others along, and readers
 * that were killed are forgotten, when the store is opened and once a minute.
 *
 * Time and the door to LMDB are ours here: clock_gettime() and mdb_reader_check() of this program
 * stand before those of the libraries.
 */
#include "support.h"

#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "store/internal.h"

#define SMALL_MAP ((size_t)1 << 20)

static time_t skipped_s;          /* since the test began, beside what really passed */
static int n_checks, n_forgotten; /* of readers */

int clock_gettime(clockid_t clock, struct timespec *out)
{
	int rc = (int)syscall(SYS_clock_gettime, clock, out);

	if (rc == 0 && clock == CLOCK_MONOTONIC)
		out->tv_sec += skipped_s;
	return rc;
}

int mdb_reader_check(void *env, int *dead); /* lmdb.h is the index's alone */
int mdb_reader_check(void *env, int *dead)
{
	int (*real)(void *, int *);
	int rc;

	*(void **)&real = dlsym(RTLD_NEXT, "mdb_reader_check");
	assert_non_null(real);
	rc = real(env, dead);
	n_checks++;
	n_forgotten += *dead;
	return rc;
}

static void commit_note(cairn_store *store, const char *text)
{
	cairn_error err = {0};
	cairn_batch *batch;

	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_put(batch, "note", "k", 1, text, strlen(text), &err));
	OK(cairn_batch_commit(batch, &err));
}

/* ---- readers that were killed ------------------------------------------------------------- */

static int die_reading(void *arg)
{
	cairn_error err = {0};
	cairn_snapshot *snapshot;
	cairn_store *store;

	if (cairn_store_open(&store, arg, 0, &err) || cairn_snapshot_begin(&snapshot, store, &err))
		return 1;
	raise(SIGKILL);
	return 2;
}

typedef struct other {
	const char *directory;
	int ready, go;
} other;

static int stay_open(void *arg)
{
	const other *o = arg;
	cairn_error err = {0};
	cairn_store *store;
	char byte = 0;

	if (cairn_store_open(&store, o->directory, 0, &err) || write(o->ready, &byte, 1) != 1 ||
		read(o->go, &byte, 1) != 1)
		return 1;
	cairn_store_close(store);
	return 0;
}

/* Who opens a store alone finds no readers: another process has it open. */
static void test_store_readers__killed_ones_are_forgotten_at_open(void **state)
{
	other o = {.directory = *state};
	int ready[2], go[2];
	char byte = 0;
	pid_t pid;

	cairn_store_close(support_open(*state, CAIRN_STORE_CREATE));
	assert_int_equal(pipe(ready) | pipe(go), 0);
	o.ready = ready[1];
	o.go = go[0];
	pid = support_fork(stay_open, &o);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_int_equal(support_child(die_reading, *state), 128 + SIGKILL);
	n_checks = n_forgotten = 0;
	cairn_store_close(support_open(*state, 0));
	assert_int_equal(n_checks, 1);
	assert_int_equal(n_forgotten, 1);
	assert_int_equal(write(go[1], &byte, 1), 1);
	assert_int_equal(support_wait(pid), 0);
	close(ready[0]);
	close(ready[1]);
	close(go[0]);
	close(go[1]);
}

static void test_store_readers__killed_ones_are_forgotten_once_a_minute(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);

	assert_int_equal(support_child(die_reading, *state), 128 + SIGKILL);
	n_checks = n_forgotten = 0;
	for (int i = 0; i < 50; i++)
		commit_note(store, "now");
	assert_int_equal(n_checks, 0);
	skipped_s += 61;
	for (int i = 0; i < 50; i++)
		commit_note(store, "a minute later");
	assert_int_equal(n_checks, 1);
	assert_int_equal(n_forgotten, 1);
	cairn_store_close(store);
}

/* ---- a map that grows --------------------------------------------------------------------- */

enum {
	N_ENTRIES = 100, /* of CAIRN_INLINE_BYTES: several times SMALL_MAP */
	N_TURNS = 3,
};

/* Reads what its parent wrote, and writes as much itself, by turns: each outgrows the map that the
 * other one has. */
static int take_turns(void *arg)
{
	const other *o = arg;
	cairn_error err = {0};
	cairn_store *store;
	cairn_id id;

	if (cairn_store__open(&store, o->directory, 0, SMALL_MAP, &err))
		return 1;
	for (uint64_t turn = 0; turn < N_TURNS; turn++) {
		if (read(o->go, &id, sizeof(id)) != sizeof(id))
			return 2;
		if (support_verify(store, &id, N_ENTRIES, CAIRN_INLINE_BYTES, 1000 * turn, &err))
			return 3;
		id = support_commit(store, N_ENTRIES, CAIRN_INLINE_BYTES, 1000 * turn + 500);
		if (write(o->ready, &id, sizeof(id)) != sizeof(id))
			return 4;
	}
	cairn_store_close(store);
	return 0;
}

static void test_store_readers__two_processes_outgrow_each_other(void **state)
{
	other o = {.directory = *state};
	int ready[2], go[2];
	cairn_error err = {0};
	cairn_store *store;
	cairn_id id;
	pid_t pid;

	cairn_store_close(support_open(*state, CAIRN_STORE_CREATE));
	assert_int_equal(pipe(ready) | pipe(go), 0);
	o.ready = ready[1];
	o.go = go[0];
	pid = support_fork(take_turns, &o);
	close(ready[1]); /* so that its death ends a read here */
	OK(cairn_store__open(&store, *state, 0, SMALL_MAP, &err));
	for (uint64_t turn = 0; turn < N_TURNS; turn++) {
		id = support_commit(store, N_ENTRIES, CAIRN_INLINE_BYTES, 1000 * turn);
		assert_int_equal(write(go[1], &id, sizeof(id)), sizeof(id));
		if (read(ready[0], &id, sizeof(id)) != sizeof(id))
			fail_msg("the other process ended with %d", support_wait(pid));
		OK(support_verify(
			store, &id, N_ENTRIES, CAIRN_INLINE_BYTES, 1000 * turn + 500, &err));
	}
	assert_int_equal(support_wait(pid), 0);
	assert_true(support_size(*state, "meta") > 4 * SMALL_MAP);
	cairn_store_close(store);
	close(ready[0]);
	close(go[0]);
	close(go[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_readers__killed_ones_are_forgotten_at_open),
		TEST(test_store_readers__killed_ones_are_forgotten_once_a_minute),
		TEST(test_store_readers__two_processes_outgrow_each_other),
	};

	return cmocka_run_group_tests_name("store/readers", tests, NULL, NULL);
}
