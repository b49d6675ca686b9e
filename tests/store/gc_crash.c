/* SPDX-License-Identifier: Apache-2.0 */
/* A collection or compaction that is killed at any step; one that runs beside a storm of writers.
 */
#include "support.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "store/internal.h"

enum {
	SMALL = 3000,
	LARGE = 100 << 10,
};

/* ---- roots: what the refs name -------------------------------------------------------------- */

static int tell_ref(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	void **telling = arg;
	cairn_id id;

	(void)key, (void)key_len;
	if (value_len != sizeof(id))
		return 0;
	memcpy(&id, value, sizeof(id));
	return (*(cairn_root_fn *)telling[0])(telling[1], &id, err);
}

static int tell_refs(
	void *arg, cairn_store *store, cairn_root_fn tell, void *root_arg, cairn_error *err)
{
	void *telling[] = {&tell, root_arg};
	cairn_snapshot *snapshot;
	int rc = cairn_snapshot_begin(&snapshot, store, err);

	(void)arg;
	if (rc)
		return rc;
	rc = cairn_snapshot_scan(snapshot, "ref", NULL, 0, false, tell_ref, telling, err);
	cairn_snapshot_end(snapshot);
	return rc;
}

static int collect(cairn_store *store, bool is_dry_run, cairn_gc_report *report, cairn_error *err)
{
	const cairn_gc_options options = {.roots = tell_refs, .is_dry_run = is_dry_run};

	return cairn_store_gc(store, &options, report, err);
}

static int put_named(
	cairn_store *store, const char *ref, size_t len, uint64_t seed, cairn_error *err)
{
	cairn_batch *batch;
	cairn_id id;
	int rc = cairn_batch_begin(&batch, store, err);

	if (rc)
		return rc;
	support_put(batch, 2, len, seed, &id);
	rc = cairn_batch_put(batch, "ref", ref, strlen(ref), id.bytes, 32, err);
	if (rc) {
		cairn_batch_abort(batch);
		return rc;
	}
	return cairn_batch_commit(batch, err);
}

/* ---- killed at the n-th step --------------------------------------------------------------------
 */

static int n_steps_left;

static void die_at_step(const char *where)
{
	(void)where;
	if (--n_steps_left == 0)
		raise(SIGKILL);
}

typedef struct victim {
	const char *directory;
	int step;
	bool compacts;
} victim;

static int prepare(void *arg)
{
	cairn_store *store = support_open(arg, CAIRN_STORE_CREATE);
	cairn_error err = {0};

	for (uint64_t i = 0; i < 6; i++) {
		(void)support_commit(store, 2, LARGE, 1000 + 10 * i);
		(void)support_commit(store, 2, SMALL, 2000 + 10 * i);
	}
	OK(put_named(store, "large", LARGE, 100, &err));
	OK(put_named(store, "small", SMALL, 200, &err));
	cairn_store_close(store);
	return 0;
}

static int collect_and_die(void *arg)
{
	const victim *v = arg;
	cairn_store *store = support_open(v->directory, 0);
	cairn_compact_report compacted;
	cairn_gc_report report;
	cairn_error err = {0};
	int rc;

	n_steps_left = v->step;
	cairn_store__hook = die_at_step;
	rc = v->compacts ? cairn_store_compact(store, &compacted, &err)
			 : collect(store, false, &report, &err);
	cairn_store__hook = NULL;
	cairn_store_close(store);
	return rc ? 1 : 0;
}

static void check_named(cairn_store *store)
{
	static const struct {
		const char *ref;
		size_t len;
		uint64_t seed;
	} named[] = {{"large", LARGE, 100}, {"small", SMALL, 200}};
	cairn_error err = {0};

	for (size_t i = 0; i < CAIRN_COUNT(named); i++) {
		cairn_snapshot *snapshot;
		const void *value;
		cairn_id id;
		size_t len;

		OK(cairn_snapshot_begin(&snapshot, store, &err));
		OK(cairn_snapshot_get(
			snapshot, "ref", named[i].ref, strlen(named[i].ref), &value, &len, &err));
		memcpy(&id, value, sizeof(id));
		cairn_snapshot_end(snapshot);
		OK(support_verify(store, &id, 2, named[i].len, named[i].seed, &err));
	}
}

/* Steps until one child lives to its end; returns how many died. */
static int kill_at_every_step(const char *origin, bool compacts)
{
	for (int step = 1;; step++) {
		victim v = {.step = step, .compacts = compacts};
		cairn_compact_report compacted;
		cairn_error err = {0};
		cairn_gc_report report;
		cairn_store *store;
		char copy[600];
		int status;

		snprintf(copy, sizeof(copy), "%s-%d", origin, step);
		support_copy_tree(origin, copy);
		v.directory = copy;
		status = support_child(collect_and_die, &v);
		assert_true(status == 0 || status == 128 + SIGKILL);
		store = support_open(copy, 0);
		check_named(store);
		OK(collect(store, false, &report, &err));
		check_named(store);
		OK(collect(store, true, &report, &err));
		assert_int_equal(report.dead_artifacts.n + report.dead_blobs.n +
					 report.dead_chunks.n + report.held.n,
			0);
		assert_int_equal(report.live_chunks.n, 2);
		assert_int_equal(support_size(copy, "seg"), 4096 + 2 * (LARGE + 4096));
		OK(cairn_store_compact(store, &compacted, &err));
		check_named(store);
		cairn_store_close(store);
		support_remove_tree(copy);
		if (status == 0)
			return step - 1;
	}
}

static void test_store_gc_crash__killed_at_any_step(void **state)
{
	assert_int_equal(support_child(prepare, *state), 0);
	assert_true(kill_at_every_step(*state, false) >= 8);
}

static int prepare_for_compaction(void *arg)
{
	cairn_store *store = support_open(arg, 0);
	cairn_gc_report report;
	cairn_error err = {0};

	OK(collect(store, false, &report, &err));
	cairn_store_close(store);
	return 0;
}

static void test_store_gc_crash__compaction_killed_at_any_step(void **state)
{
	assert_int_equal(support_child(prepare, *state), 0);
	assert_int_equal(support_child(prepare_for_compaction, *state), 0);
	assert_true(kill_at_every_step(*state, true) >= 4);
}

/* ---- compaction
 * ------------------------------------------------------------------------------------ */

static uint64_t file_size(const char *directory, const char *name)
{
	char path[600];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static void test_store_compact__gives_free_pages_back(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_compact_report report;
	cairn_gc_report collected;
	cairn_error err = {0};

	(void)support_commit(store, 2000, SMALL, 1000000);
	OK(put_named(store, "large", LARGE, 100, &err));
	OK(put_named(store, "small", SMALL, 200, &err));
	OK(collect(store, false, &collected, &err));
	assert_int_equal(collected.dead_artifacts.n, 1);
	OK(cairn_store_compact(store, &report, &err));
	assert_true(report.index_before > 2000 * SMALL);
	assert_true(report.index_after < 1 << 20);
	assert_int_equal(file_size(*state, "meta/data.mdb"), report.index_after);
	check_named(store);
	OK(put_named(store, "third", LARGE, 300, &err)); /* and it can be written on */
	cairn_store_close(store);
	store = support_open(*state, CAIRN_STORE_READONLY);
	check_named(store);
	cairn_store_close(store);
}

static int hold_open(void *arg)
{
	const int *pipes = arg;
	cairn_store *store = support_open(getenv("CAIRN_TEST_STORE"), CAIRN_STORE_READONLY);
	char byte = 'x';
	int rc = write(pipes[1], &byte, 1) == 1 && read(pipes[2], &byte, 1) == 1;

	cairn_store_close(store);
	return rc ? 0 : 1;
}

static void test_store_compact__waits_for_nobody(void **state)
{
	cairn_compact_report report;
	cairn_error err = {0};
	cairn_store *store;
	int pipes[4];
	char byte;
	pid_t pid;

	assert_int_equal(support_child(prepare, *state), 0);
	setenv("CAIRN_TEST_STORE", *state, 1);
	assert_int_equal(pipe(pipes), 0);
	assert_int_equal(pipe(pipes + 2), 0);
	pid = support_fork(hold_open, pipes);
	assert_int_equal(read(pipes[0], &byte, 1), 1);
	store = support_open(*state, 0);
	assert_int_equal(cairn_store_compact(store, &report, &err), CAIRN_EBUSY);
	check_named(store); /* it is as it was */
	assert_int_equal(write(pipes[3], "x", 1), 1);
	assert_int_equal(support_wait(pid), 0);
	err = (cairn_error){0};
	OK(cairn_store_compact(store, &report, &err));
	check_named(store);
	cairn_store_close(store);
	for (int i = 0; i < 4; i++)
		close(pipes[i]);
}

/* ---- a storm
 * ------------------------------------------------------------------------------------------ */

enum {
	WRITERS = 2,
	STORM_MS = 2500,
	NAMES = 8,
	CONTENTS = 12, /* few, so that what was just deleted is put again */
};

typedef struct writer {
	const char *directory;
	uint64_t number;
	int64_t end_ms;
} writer;

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

static size_t len_of(uint64_t seed)
{
	return seed % 2 ? SMALL : LARGE;
}

/* Puts, names, renames and forgets. What it read before, it may name again: strictly, so it must be
 * told where that is gone. Now and then it begins anew, as a process that has no lease. */
static int storm(void *arg)
{
	const writer *me = arg;
	uint64_t random = me->number * 77 + 1;
	cairn_store *store = support_open(me->directory, 0);
	cairn_error err = {0};

	while (now_ms() < me->end_ms) {
		uint64_t seed = 1000 * (1 + next_random(&random) % CONTENTS);
		char ref[32];
		int rc;

		seed += seed / 1000 % 2;
		snprintf(ref, sizeof(ref), "%llu-%llu", (unsigned long long)me->number,
			(unsigned long long)(next_random(&random) % NAMES));
		err = (cairn_error){0};
		rc = put_named(store, ref, len_of(seed), seed, &err);
		if (rc) {
			print_error("%s: %s\n", err.message, err.detail);
			return 1;
		}
		if (next_random(&random) % 3 == 0) {
			cairn_batch *batch;

			OK(cairn_batch_begin(&batch, store, &err));
			OK(cairn_batch_delete(batch, "ref", ref, strlen(ref), &err));
			OK(cairn_batch_commit(batch, &err));
		}
		if (next_random(&random) % 16 == 0) {
			cairn_store_close(store);
			store = support_open(me->directory, 0);
		}
	}
	cairn_store_close(store);
	return 0;
}

static int collect_on(void *arg)
{
	const writer *me = arg;
	cairn_store *store = support_open(me->directory, 0);
	cairn_error err = {0};
	uint64_t n = 0, n_dead = 0;

	for (; now_ms() < me->end_ms; n++) {
		cairn_gc_report report;

		OK(collect(store, false, &report, &err));
		n_dead += report.dead_artifacts.n;
	}
	cairn_store_close(store);
	return n > 3 && n_dead > 0 ? 0 : 2;
}

static int check_one(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	cairn_id *ids = arg;

	(void)key, (void)key_len, (void)err;
	assert_int_equal(value_len, sizeof(*ids));
	while (memcmp(ids, &(cairn_id){{0}}, sizeof(*ids)) != 0)
		ids++;
	memcpy(ids, value, sizeof(*ids));
	return 0;
}

static void test_store_gc_crash__beside_a_storm_of_writers(void **state)
{
	writer writers[WRITERS + 1];
	pid_t pids[WRITERS + 1];
	cairn_id ids[WRITERS * NAMES + 1] = {{{0}}}, made[CONTENTS];
	cairn_error err = {0};
	cairn_snapshot *snapshot;
	cairn_gc_report report;
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);

	cairn_store_close(store);
	for (int i = 0; i <= WRITERS; i++) {
		writers[i] = (writer){*state, (uint64_t)i, now_ms() + STORM_MS};
		pids[i] = support_fork(i < WRITERS ? storm : collect_on, &writers[i]);
	}
	for (int i = 0; i <= WRITERS; i++)
		assert_int_equal(support_wait(pids[i]), 0);
	store = support_open(*state, 0);
	OK(cairn_snapshot_begin(&snapshot, store, &err));
	OK(cairn_snapshot_scan(snapshot, "ref", NULL, 0, false, check_one, ids, &err));
	cairn_snapshot_end(snapshot);
	/* All that is named is whole; by its id, it is one of those that were put. */
	for (uint64_t c = 0; c < CONTENTS; c++) {
		uint64_t seed = 1000 * (1 + c) + (1 + c) % 2;
		char other[600];
		cairn_store *peace;

		snprintf(other, sizeof(other), "%s-peace", (const char *)*state);
		peace = support_open(other, CAIRN_STORE_CREATE);
		made[c] = support_commit(peace, 2, len_of(seed), seed);
		cairn_store_close(peace);
		for (size_t i = 0; i < WRITERS * NAMES; i++) {
			if (cairn_id_compare(&ids[i], &made[c]) == 0)
				OK(support_verify(store, &ids[i], 2, len_of(seed), seed, &err));
		}
	}
	OK(collect(store, false, &report, &err));
	assert_int_equal(report.n_missing, 0);
	OK(collect(store, true, &report, &err));
	assert_int_equal(report.dead_chunks.n + report.held.n, 0);
	cairn_store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_gc_crash__killed_at_any_step),
		TEST(test_store_gc_crash__compaction_killed_at_any_step),
		TEST(test_store_compact__gives_free_pages_back),
		TEST(test_store_compact__waits_for_nobody),
		TEST(test_store_gc_crash__beside_a_storm_of_writers),
	};

	return cmocka_run_group_tests_name("store/gc_crash", tests, NULL, NULL);
}
