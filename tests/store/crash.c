/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are killed, and several that write at once. */
#include "support.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "store/internal.h"

enum {
	N = 4,
	LEN = 3 << 20
}; /* more than a staging buffer holds: parts reach the file early */

enum point {
	AFTER_BEGIN,
	AFTER_HALF,
	AFTER_PUTS,
	AFTER_END,
	IN_COMMIT, /* segment synced, records put, transaction open */
	AFTER_COMMIT,
	POINTS
};

typedef struct victim {
	const char *directory;
	enum point point;
} victim;

static void die_at(const victim *v, enum point here)
{
	if (v->point == here)
		raise(SIGKILL);
}

static int die_in_commit(cairn_snapshot *now, cairn_batch *batch, void *arg, cairn_error *err)
{
	(void)now;
	(void)batch;
	(void)err;
	die_at(arg, IN_COMMIT);
	return 0;
}

static int write_and_die(void *arg)
{
	victim *v = arg;
	cairn_error err = {0};
	uint8_t *bytes = support_bytes(LEN, 0);
	cairn_batch *batch;
	cairn_store *store;
	cairn_id id;
	char name[32];

	if (cairn_store_open(&store, v->directory, 0, &err) ||
		cairn_batch_begin(&batch, store, &err) ||
		cairn_batch_artifact_begin(batch, "file", &err))
		return 1;
	die_at(v, AFTER_BEGIN);
	for (int i = 0; i < N; i++) {
		cairn_tensor tensor = support_file(name, bytes, LEN);

		snprintf(name, sizeof(name), "e%d", i);
		support_fill(bytes, LEN, 1000 + (uint64_t)i);
		if (cairn_batch_artifact_put(batch, &tensor, &err))
			return 1;
		if (i == N / 2)
			die_at(v, AFTER_HALF);
	}
	die_at(v, AFTER_PUTS);
	if (cairn_batch_artifact_end(batch, NULL, &id, &err) ||
		cairn_batch_put(batch, "ref", "second", 6, id.bytes, sizeof(id.bytes), &err))
		return 1;
	die_at(v, AFTER_END);
	cairn_batch_on_commit(batch, die_in_commit, v);
	if (cairn_batch_commit(batch, &err))
		return 1;
	die_at(v, AFTER_COMMIT);
	return 1;
}

static bool read_ref(cairn_store *store, const char *name, cairn_id *out)
{
	cairn_error err = {0};
	cairn_snapshot *snapshot;
	const void *value;
	size_t len;
	int rc;

	OK(cairn_snapshot_begin(&snapshot, store, &err));
	rc = cairn_snapshot_get(snapshot, "ref", name, strlen(name), &value, &len, &err);
	if (rc == 0) {
		assert_int_equal(len, sizeof(out->bytes));
		memcpy(out->bytes, value, len);
	}
	cairn_snapshot_end(snapshot);
	if (rc && rc != CAIRN_ENOTFOUND)
		OK(rc);
	return rc == 0;
}

/* The id that the victim's artifact has: from a store where it was committed in peace. */
static cairn_id expected_id(const char *directory)
{
	char other[600];
	cairn_store *store;
	cairn_id id;

	snprintf(other, sizeof(other), "%s-peace", directory);
	store = support_open(other, CAIRN_STORE_CREATE);
	id = support_commit(store, N, LEN, 1000);
	cairn_store_close(store);
	return id;
}

static void test_store_crash__a_kill_at_any_point_leaves_all_or_nothing(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id first = support_commit(store, N, LEN, 1), second = expected_id(*state), found;
	cairn_error err = {0};
	cairn_object *object;

	cairn_store_close(store);
	for (enum point p = 0; p < POINTS; p++) {
		victim v = {.directory = *state, .point = p};

		assert_int_equal(support_child(write_and_die, &v), 128 + SIGKILL);
		store = support_open(*state, 0);
		OK(support_verify(store, &first, N, LEN, 1, &err));
		if (p < AFTER_COMMIT) {
			assert_false(read_ref(store, "second", &found));
			assert_int_equal(
				cairn_object_open(&object, store, &second, NULL), CAIRN_ENOTFOUND);
		} else {
			assert_true(read_ref(store, "second", &found));
			assert_int_equal(cairn_id_compare(&found, &second), 0);
			OK(support_verify(store, &second, N, LEN, 1000, &err));
		}
		/* And it works on, without any repair. */
		first = support_commit(store, N, LEN, 1);
		cairn_store_close(store);
	}
}

/* ---- killed at any time ------------------------------------------------------------------ */

typedef struct runner {
	const char *directory;
	int acks;
	uint64_t first;
} runner;

/* Commits without end; each acknowledged through the pipe. */
static int commit_for_ever(void *arg)
{
	const runner *r = arg;
	cairn_error err = {0};
	cairn_store *store;

	if (cairn_store_open(&store, r->directory, 0, &err))
		return 1;
	for (uint64_t i = r->first;; i++) {
		cairn_batch *batch;
		cairn_id id;

		if (cairn_batch_begin(&batch, store, &err))
			return 1;
		support_put(batch, 3, 200 << 10, i * 10, &id);
		if (cairn_batch_put(batch, "ref", "head", 4, id.bytes, sizeof(id.bytes), &err) ||
			cairn_batch_put(batch, "note", "head", 4, &i, sizeof(i), &err) ||
			cairn_batch_commit(batch, &err))
			return 1;
		if (write(r->acks, &i, sizeof(i)) != sizeof(i))
			return 1;
	}
}

static uint64_t head_number(cairn_store *store)
{
	cairn_error err = {0};
	cairn_snapshot *snapshot;
	uint64_t number = 0;
	const void *value;
	size_t len;

	OK(cairn_snapshot_begin(&snapshot, store, &err));
	OK(cairn_snapshot_get(snapshot, "note", "head", 4, &value, &len, &err));
	memcpy(&number, value, sizeof(number));
	cairn_snapshot_end(snapshot);
	return number;
}

static void test_store_crash__acknowledged_commits_survive_a_kill_at_any_time(void **state)
{
	runner r = {.directory = *state, .first = 1};

	cairn_store_close(support_open(*state, CAIRN_STORE_CREATE));
	for (int round = 0; round < 10; round++) {
		/* After the third commit, and then a different while later each round. */
		struct timespec pause = {.tv_nsec = 731000L * round};
		uint64_t acked = 0, number;
		cairn_error err = {0};
		cairn_store *store;
		cairn_id head;
		int acks[2];
		pid_t pid;

		assert_int_equal(pipe(acks), 0);
		r.acks = acks[1];
		pid = support_fork(commit_for_ever, &r);
		close(acks[1]);
		while (acked < r.first + 2)
			assert_int_equal(read(acks[0], &acked, sizeof(acked)), sizeof(acked));
		nanosleep(&pause, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(support_wait(pid), 128 + SIGKILL);
		while (read(acks[0], &number, sizeof(number)) == sizeof(number))
			acked = number;
		close(acks[0]);

		store = support_open(*state, 0);
		number = head_number(store);
		assert_true(number == acked || number == acked + 1);
		assert_true(read_ref(store, "head", &head));
		OK(support_verify(store, &head, 3, 200 << 10, number * 10, &err));
		cairn_store_close(store);
		r.first = number + 1;
	}
}

/* ---- at the same time --------------------------------------------------------------------- */

enum {
	ROUNDS = 15
};

static int count_up(cairn_snapshot *now, cairn_batch *batch, void *arg, cairn_error *err)
{
	uint64_t count = 0;
	const void *value;
	size_t len;
	int rc = cairn_snapshot_get(now, "note", "count", 5, &value, &len, err);

	(void)arg;
	if (rc == 0)
		memcpy(&count, value, sizeof(count));
	else if (rc != CAIRN_ENOTFOUND)
		return rc;
	count++;
	return cairn_batch_put(batch, "note", "count", 5, &count, sizeof(count), err);
}

/* Half of what each writes is what the other writes too. */
static int write_many(void *arg)
{
	const runner *r = arg;
	cairn_error err = {0};
	cairn_store *store;

	if (cairn_store_open(&store, r->directory, CAIRN_STORE_CREATE, &err))
		return 1;
	for (uint64_t i = 0; i < ROUNDS; i++) {
		uint64_t seed = i % 2 ? 1000 * i : r->first + 1000 * i;
		cairn_batch *batch;
		cairn_id id;

		if (cairn_batch_begin(&batch, store, &err))
			return 1;
		support_put(batch, 4, 150 << 10, seed, &id);
		cairn_batch_on_commit(batch, count_up, NULL);
		if (cairn_batch_commit(batch, &err))
			return 2;
		if (support_verify(store, &id, 4, 150 << 10, seed, &err))
			return 3;
	}
	cairn_store_close(store);
	return 0;
}

static void test_store_crash__processes_write_at_once(void **state)
{
	runner runners[3];
	pid_t pids[3];
	cairn_error err = {0};
	cairn_snapshot *snapshot;
	cairn_store *store;
	const void *value;
	uint64_t count;
	size_t len;

	for (uint64_t i = 0; i < 3; i++) {
		runners[i] = (runner){.directory = *state, .first = 100 * (i + 1)};
		pids[i] = support_fork(write_many, &runners[i]);
	}
	for (int i = 0; i < 3; i++)
		assert_int_equal(support_wait(pids[i]), 0);
	store = support_open(*state, 0);
	OK(cairn_snapshot_begin(&snapshot, store, &err));
	OK(cairn_snapshot_get(snapshot, "note", "count", 5, &value, &len, &err));
	memcpy(&count, value, sizeof(count));
	cairn_snapshot_end(snapshot);
	assert_int_equal(count, 3 * ROUNDS);
	for (uint64_t r = 0; r < 3; r++) {
		for (uint64_t i = 0; i < ROUNDS; i++) {
			uint64_t seed = i % 2 ? 1000 * i : runners[r].first + 1000 * i;
			cairn_id id = support_commit(store, 4, 150 << 10, seed);

			OK(support_verify(store, &id, 4, 150 << 10, seed, &err));
		}
	}
	cairn_store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_crash__a_kill_at_any_point_leaves_all_or_nothing),
		TEST(test_store_crash__acknowledged_commits_survive_a_kill_at_any_time),
		TEST(test_store_crash__processes_write_at_once),
	};

	return cmocka_run_group_tests_name("store/crash", tests, NULL, NULL);
}
