/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storm.c - SIGKILL, thousands of times, and no repair in between.
 *
 * First at every point: each operation is killed before each of its calls that change a file, and
 * in the middle of each write. Then in a storm: two writers at once put, replace, forget, collect,
 * compact and back up, and die at any microsecond or at any call. They say in a pipe what they are
 * about to commit and what was acknowledged; after each kill the store has to be one of the two,
 * and whole.
 */
#include "inject.h"
#include "operations.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cairn/fsck.h"
#include "store/internal.h"

static uint64_t next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return *state >> 33;
}

static int setup(void **state)
{
	inject_spare_the_disk();
	return support_setup(state);
}

/* ---- at every point ---------------------------------------------------------------------------
 */

typedef struct victim {
	const operation *operation;
	const char *directory;
	inject_fault fault;
} victim;

static int run(const operation *o, const char *directory)
{
	cairn_store *store = NULL;
	cairn_error err = {0};

	if (o->flags != UINT_MAX)
		OK(cairn_store_open(&store, directory, o->flags, &err));
	OK(o->run(store, directory, &err));
	cairn_store_close(store);
	return 0;
}

static int run_and_die(void *arg)
{
	const victim *v = arg;

	inject_arm(&v->fault);
	return run(v->operation, v->directory);
}

/* One death; false: it lived to its end. */
static bool kill_once(const char *origin, const victim *v)
{
	const operation *o = v->operation;
	bool is_new = o == &operations[0];
	cairn_error err = {0};
	cairn_store *store;
	size_t n_damages;
	int status;

	support_copy_tree(origin, v->directory);
	if (o->prepare)
		o->prepare(v->directory);
	status = support_child(run_and_die, (void *)v);
	assert_true(status == 0 || status == 128 + SIGKILL);
	if (!is_new) {
		store = support_open(v->directory, CAIRN_STORE_READONLY);
		operations_check_kept(store, o);
		cairn_store_close(store);
	}
	assert_int_equal(run(o, v->directory), 0); /* as if nothing had been */
	store = support_open(v->directory, 0);
	if (!is_new) {
		o->check(store);
		operations_check_kept(store, o);
	}
	OK(operations_fsck(store, false, &n_damages, &err));
	assert_int_equal(n_damages, 0);
	cairn_store_close(store);
	support_remove_tree(v->directory);
	return status != 0;
}

static void test_store_storm__killed_at_every_change(void **state)
{
	static const int deaths[] = {INJECT_KILL, INJECT_TORN};
	uint64_t n_kills = 0, most_slow = getenv("CAIRN_SOAK") ? UINT64_MAX : 24;
	char copy[600];

	operations_make(*state);
	snprintf(copy, sizeof(copy), "%s-copy", (const char *)*state);
	for (size_t i = 0; i < n_operations; i++) {
		const operation *o = &operations[i];

		for (uint64_t n = 1;; n++) {
			int death = deaths[n % 2];
			victim v = {o, copy, {INJECT_CHANGES, n, death, false}};

			if (!kill_once(*state, &v))
				break;
			n_kills++;
			v.fault.error = deaths[(n + 1) % 2];
			if (!o->is_slow)
				n_kills += kill_once(*state, &v);
			else if (n > most_slow)
				n += 7;
		}
	}
	print_message("%llu kills\n", (unsigned long long)n_kills);
	assert_true(n_kills > 250);
}

/* ---- the storm --------------------------------------------------------------------------------
 */

enum {
	WRITERS = 2,
	NAMES = 5,     /* refs of each */
	CONTENTS = 24, /* few: what was collected is put again */
	ROUNDS = 900,  /* of two kills; $CAIRN_SOAK is the number of others */
	FULL_CHECK_EVERY = 25,
	LIFE_US = 9000,
	LIFE_CALLS = 90,
	NONE = UINT32_MAX,
};

/* What a writer says: before the commit and after it. */
struct word {
	uint32_t name, content; /* NONE: the ref goes */
	uint64_t is_done;
};

struct writer {
	const char *directory;
	uint32_t number;
	uint64_t random;
	int pipe;
	inject_fault fault;
};

/* Of each kind of bytes something; some entries are shared by many. */
static void describe(uint32_t content, cairn_tensor out[2], uint8_t *bytes)
{
	static const size_t lens[] = {3000, 80 << 10, 150 << 10, 200};
	size_t len = lens[content % 4];

	support_fill(bytes, len, 100 + content);
	out[0] = support_file("e0", bytes, len);
	if (content % 4 == 1)
		out[0] = (cairn_tensor){.name = "e0",
			.dtype = CAIRN_F32,
			.n_dims = 1,
			.dims = {len / 4},
			.data = bytes,
			.bytes = len};
	if (content % 4 == 2)
		support_fill(bytes, len - 3000, 7); /* a text that differs at its end */
	support_fill(bytes + len, 70 << 10, 50 + content % 3);
	out[1] = support_file("e1", bytes + len, 70 << 10);
}

static int say(const struct writer *w, uint32_t name, uint32_t content, bool is_done)
{
	const struct word word = {name, content, is_done};

	return write(w->pipe, &word, sizeof(word)) == sizeof(word) ? 0 : CAIRN_EIO;
}

/* The ref, and a note of what it should be. */
static int set_name(const struct writer *w, cairn_batch *batch, uint32_t name, uint32_t content,
	const cairn_id *id, cairn_error *err)
{
	const uint32_t key[] = {w->number, name};
	int rc = id ? cairn_batch_put(batch, "ref", key, sizeof(key), id->bytes, 32, err)
		    : cairn_batch_delete(batch, "ref", key, sizeof(key), err);

	if (!rc)
		rc = id ? cairn_batch_put(
				  batch, "note", key, sizeof(key), &content, sizeof(content), err)
			: cairn_batch_delete(batch, "note", key, sizeof(key), err);
	if (!rc)
		rc = say(w, name, id ? content : NONE, false);
	if (rc) {
		cairn_batch_abort(batch);
		return rc;
	}
	rc = cairn_batch_commit(batch, err);
	return rc ? rc : say(w, name, id ? content : NONE, true);
}

static int put(const struct writer *w, cairn_store *store, uint32_t name, uint32_t content,
	bool in_packet, cairn_error *err)
{
	uint8_t *bytes = malloc(300 << 10);
	cairn_batch *batch, *other;
	cairn_tensor tensors[2];
	void *packet;
	cairn_id id;
	size_t len;
	int rc = cairn_batch_begin(&batch, store, err);

	describe(content, tensors, bytes);
	if (!rc)
		rc = cairn_batch_artifact_begin(batch, "file", err);
	for (int i = 0; i < 2 && !rc; i++)
		rc = cairn_batch_artifact_put(batch, &tensors[i], err);
	if (!rc)
		rc = cairn_batch_artifact_end(batch, NULL, &id, err);
	free(bytes);
	if (rc)
		return rc; /* the process ends */
	if (in_packet && cairn_batch_pack(batch, 1 << 20, &packet, &len) == 0) {
		cairn_batch_abort(batch);
		rc = cairn_batch_begin(&other, store, err);
		if (!rc)
			rc = cairn_batch_unpack(other, packet, len, err);
		free(packet);
		batch = other;
	}
	return rc ? rc : set_name(w, batch, name, content, &id, err);
}

static int act(struct writer *w, cairn_store *store, cairn_error *err)
{
	uint32_t name = (uint32_t)(next_random(&w->random) % NAMES);
	uint32_t content = (uint32_t)(next_random(&w->random) % CONTENTS);
	cairn_compact_report compacted;
	cairn_gc_report report;
	cairn_batch *batch;
	bool is_done;
	int rc;

	switch (next_random(&w->random) % 16) {
	case 0:
	case 1:
		return operations_collect(store, &report, err);
	case 2:
		return cairn_store_compact(store, &compacted, err);
	case 3:
		return cairn_store_backup(store, 0, &is_done, err);
	case 4:
		return cairn_fsck_repair(store, NULL, 0, NULL, NULL, NULL, err);
	case 5:
	case 6:
		rc = cairn_batch_begin(&batch, store, err);
		return rc ? rc : set_name(w, batch, name, 0, NULL, err);
	default:
		return put(w, store, name, content, content % 3 == 0, err);
	}
}

/* Until it is killed. EBUSY: the other one collects, or has the store open. */
static int live(void *arg)
{
	struct writer *w = arg;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGKILL};
	const struct itimerspec at = {
		.it_value = {.tv_nsec = 1000 * (long)(1 + next_random(&w->random) % LIFE_US)}};
	const struct itimerspec at_last = {.it_value = {.tv_sec = 5}};
	cairn_error err = {0};
	cairn_store *store;
	timer_t timer;

	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
		return 1;
	if (timer_settime(timer, 0, w->fault.nth ? &at_last : &at, NULL) != 0)
		return 1;
	if (w->fault.nth)
		inject_arm(&w->fault);
	OK(cairn_store_open(&store, w->directory, 0, &err));
	for (;;) {
		int rc = act(w, store, &err);

		if (rc && rc != CAIRN_EBUSY) {
			fprintf(stderr, "%s: %s\n  %s\n", cairn_error_name(rc), err.message,
				err.detail);
			return 1;
		}
		err = (cairn_error){0};
	}
}

/* ---- what is left of it -----------------------------------------------------------------------
 */

struct belief {
	uint32_t acked, begun;
	bool has_begun;
};

static uint64_t n_acks, n_seen_unacked;

static void listen(int fd, struct belief beliefs[NAMES])
{
	struct word word;

	for (int i = 0; i < NAMES; i++)
		beliefs[i].has_begun = false;
	while (read(fd, &word, sizeof(word)) == sizeof(word)) {
		struct belief *belief = &beliefs[word.name];

		*belief = (struct belief){.acked = word.is_done ? word.content : belief->acked,
			.begun = word.content,
			.has_begun = !word.is_done};
		n_acks += word.is_done;
	}
	close(fd);
}

static void check_content(cairn_store *store, const cairn_id *id, uint32_t content)
{
	uint8_t *bytes = malloc(300 << 10);
	cairn_tensor want[2], got;
	cairn_error err = {0};
	cairn_object *object;

	describe(content, want, bytes);
	OK(cairn_object_open(&object, store, id, &err));
	assert_int_equal(cairn_object_count(object), 2);
	for (int i = 0; i < 2; i++) {
		OK(cairn_object_read(object, want[i].name, &got, &err));
		assert_int_equal(got.bytes, want[i].bytes);
		assert_memory_equal(got.data, want[i].data, got.bytes);
	}
	cairn_object_close(object);
	free(bytes);
}

static void check_name(cairn_store *store, cairn_snapshot *now, uint32_t writer, uint32_t name,
	struct belief *belief)
{
	const uint32_t key[] = {writer, name};
	const void *id_bytes, *content;
	cairn_error err = {0};
	uint32_t found = NONE;
	size_t id_len, len;
	cairn_id id;
	int rc = cairn_snapshot_get(now, "ref", key, sizeof(key), &id_bytes, &id_len, &err);
	int rc_note = cairn_snapshot_get(now, "note", key, sizeof(key), &content, &len, &err);

	assert_int_equal(rc, rc_note); /* both or none */
	if (rc != CAIRN_ENOTFOUND) {
		OK(rc);
		memcpy(&found, content, sizeof(found));
		memcpy(&id, id_bytes, sizeof(id));
		check_content(store, &id, found);
	}
	if (belief->has_begun && found == belief->begun && found != belief->acked)
		n_seen_unacked++;
	else
		assert_int_equal(found, belief->acked);
	belief->acked = found;
}

static void check_store(const char *directory, struct belief beliefs[WRITERS][NAMES], int round)
{
	bool is_full = round % FULL_CHECK_EVERY == 0;
	cairn_store *store = support_open(directory, round % 2 ? 0 : CAIRN_STORE_READONLY);
	cairn_error err = {0};
	cairn_snapshot *now;
	size_t n_damages;

	OK(cairn_snapshot_begin(&now, store, &err));
	for (uint32_t w = 0; w < WRITERS; w++) {
		for (uint32_t n = 0; n < NAMES; n++)
			check_name(store, now, w, n, &beliefs[w][n]);
	}
	cairn_snapshot_end(now);
	if (is_full || round % 5 == 0) {
		OK(operations_fsck(store, !is_full, &n_damages, &err));
		assert_int_equal(n_damages, 0);
	}
	cairn_store_close(store);
}

static void storm_once(const char *directory, struct belief beliefs[WRITERS][NAMES], int round)
{
	uint64_t random = (uint64_t)round * 0x9e3779b97f4a7c15u + 1;
	struct writer writers[WRITERS];
	int pipes[WRITERS][2];
	pid_t pids[WRITERS];

	for (uint32_t w = 0; w < WRITERS; w++) {
		assert_int_equal(pipe2(pipes[w], O_CLOEXEC), 0);
		writers[w] = (struct writer){.directory = directory,
			.number = w,
			.random = next_random(&random) << 20 | next_random(&random),
			.pipe = pipes[w][1]};
		/* A word is shorter than what a pipe takes at once; a life than what it holds. */
		if (next_random(&random) % 2)
			writers[w].fault = (inject_fault){INJECT_CHANGES,
				1 + next_random(&random) % LIFE_CALLS,
				next_random(&random) % 2 ? INJECT_KILL : INJECT_TORN, false};
		pids[w] = support_fork(live, &writers[w]);
	}
	for (int w = 0; w < WRITERS; w++) {
		assert_int_equal(support_wait(pids[w]), 128 + SIGKILL);
		close(pipes[w][1]);
		listen(pipes[w][0], beliefs[w]);
	}
}

/* What may lie about after a collection: segments are rewritten once less than half is used. */
static void check_leftovers(const char *directory)
{
	cairn_store *store = support_open(directory, 0);
	cairn_compact_report compacted;
	cairn_gc_report report;
	cairn_error err = {0};
	size_t n_damages;

	OK(operations_collect(store, &report, &err));
	cairn_store_close(store); /* its own segment is not in use any more */
	store = support_open(directory, 0);
	OK(operations_collect(store, &report, &err));
	OK(cairn_store_compact(store, &compacted, &err));
	OK(operations_fsck(store, false, &n_damages, &err));
	cairn_store_close(store);
	assert_int_equal(n_damages, 0);
	assert_int_equal(report.held.n + report.n_missing, 0);
	assert_true(report.segment_bytes_after <= 2 * report.segment_bytes_live + (64 << 10));
	assert_true(compacted.index_after < 4 << 20);
	print_message("left: segments %llu KiB for %llu KiB, index %llu KiB\n",
		(unsigned long long)report.segment_bytes_after >> 10,
		(unsigned long long)report.segment_bytes_live >> 10,
		(unsigned long long)compacted.index_after >> 10);
}

static void test_store_storm__thousands_of_kills(void **state)
{
	const char *soak = getenv("CAIRN_SOAK");
	int n_rounds = soak && atoi(soak) > ROUNDS ? atoi(soak) : ROUNDS;
	struct belief beliefs[WRITERS][NAMES];

	memset(beliefs, 0xff, sizeof(beliefs)); /* NONE */
	cairn_store_close(support_open(*state, CAIRN_STORE_CREATE));
	for (int round = 0; round < n_rounds; round++) {
		storm_once(*state, beliefs, round);
		check_store(*state, beliefs, round);
	}
	check_leftovers(*state);
	print_message("%d kills, %llu commits acknowledged, %llu seen that were not\n",
		WRITERS * n_rounds, (unsigned long long)n_acks, (unsigned long long)n_seen_unacked);
	assert_true(n_acks > (uint64_t)n_rounds);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_storm__killed_at_every_change),
		TEST(test_store_storm__thousands_of_kills),
	};

	return cmocka_run_group_tests_name("store/storm", tests, NULL, NULL);
}
