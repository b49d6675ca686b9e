/* SPDX-License-Identifier: Apache-2.0 */
/*
 * flips.c - one bit, anywhere in a store: what a reader of everything sees then, and what fsck.
 *
 * Right bytes, or an error. LMDB has no checksums of its pages, so a damaged page of the index may
 * also end the reader, or hide a value; both are counted here, and must stay as rare as they are.
 * Wrong bytes are never seen.
 */
#include "inject.h"
#include "operations.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cairn/fsck.h"
#include "store/internal.h"

enum {
	ARTIFACTS = 12,
	NOTES = 60,
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	SCALE = 4,
#else
	SCALE = 1,
#endif
};

enum outcome {
	DIED, /* LMDB believed a damaged page */
	RIGHT,
	REFUSED,
	STALE,   /* a record as it was some commits ago */
	MISSING, /* a value that is there is said not to be */
	WRONG,
	OUTCOMES
};

static const size_t lens[] = {3000, 100, 70 << 10, 9000};

static size_t len_of(uint64_t i)
{
	return lens[i % CAIRN_COUNT(lens)];
}

static int setup(void **state)
{
	inject_spare_the_disk();
	return support_setup(state);
}

/* ---- the store, and all that is in it ---------------------------------------------------------
 */

static int make(void *arg)
{
	cairn_store *store = support_open(arg, CAIRN_STORE_CREATE);
	cairn_error err = {0};

	for (uint64_t i = 0; i < ARTIFACTS; i++) {
		cairn_batch *batch;
		cairn_id id;

		OK(cairn_batch_begin(&batch, store, &err));
		support_put(batch, 2, len_of(i), 100 * i, &id);
		OK(cairn_batch_put(batch, "ref", &i, sizeof(i), id.bytes, sizeof(id.bytes), &err));
		OK(cairn_batch_put(batch, "note", "now", 3, &i, sizeof(i), &err));
		for (uint64_t n = 0; n < NOTES / ARTIFACTS; n++) {
			uint64_t key = i * (NOTES / ARTIFACTS) + n, value[30];

			support_fill(value, sizeof(value), key);
			OK(cairn_batch_put(
				batch, "note", &key, sizeof(key), value, sizeof(value), &err));
		}
		OK(cairn_batch_commit(batch, &err));
	}
	cairn_store_close(store);
	return 0;
}

static enum outcome worse(enum outcome a, enum outcome b)
{
	return a > b ? a : b;
}

static enum outcome outcome_of(int rc)
{
	return rc == 0                 ? RIGHT
	       : rc == CAIRN_ENOTFOUND ? MISSING
	       : rc == CAIRN_EBUG      ? WRONG /* support_verify */
				       : REFUSED;
}

static enum outcome read_note(cairn_snapshot *now, uint64_t key)
{
	uint64_t want[30];
	const void *value;
	size_t len;
	cairn_error err = {0};
	int rc = cairn_snapshot_get(now, "note", &key, sizeof(key), &value, &len, &err);

	support_fill(want, sizeof(want), key);
	if (rc == 0 && (len != sizeof(want) || memcmp(value, want, len) != 0))
		return WRONG;
	return outcome_of(rc);
}

static enum outcome read_artifact(cairn_store *store, cairn_snapshot *now, uint64_t i)
{
	const void *value;
	cairn_error err = {0};
	cairn_id id;
	size_t len;
	int rc = cairn_snapshot_get(now, "ref", &i, sizeof(i), &value, &len, &err);

	if (rc)
		return outcome_of(rc);
	if (len != sizeof(id))
		return WRONG;
	memcpy(&id, value, sizeof(id));
	return outcome_of(support_verify(store, &id, 2, len_of(i), 100 * i, &err));
}

/* The record that each commit changed. */
static enum outcome read_now(cairn_snapshot *now)
{
	const void *value;
	uint64_t i;
	size_t len;
	cairn_error err = {0};
	int rc = cairn_snapshot_get(now, "note", "now", 3, &value, &len, &err);

	if (rc)
		return outcome_of(rc);
	if (len != sizeof(i))
		return WRONG;
	memcpy(&i, value, sizeof(i));
	return i == ARTIFACTS - 1 ? RIGHT : i < ARTIFACTS ? STALE : WRONG;
}

/* A list of all notes has all of them, or ends with an error. */
static int count_one(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	(void)key, (void)key_len, (void)value, (void)value_len, (void)err;
	++*(uint64_t *)arg;
	return 0;
}

static enum outcome read_everything(const char *directory)
{
	enum outcome outcome = RIGHT;
	cairn_store *store = NULL;
	cairn_snapshot *now = NULL;
	cairn_error err = {0};
	uint64_t n = 0;
	int rc = cairn_store_open(&store, directory, CAIRN_STORE_READONLY, &err);

	if (!rc)
		rc = cairn_snapshot_begin(&now, store, &err);
	if (rc) {
		cairn_store_close(store);
		return rc == CAIRN_ENOTFOUND ? MISSING : REFUSED;
	}
	for (uint64_t i = 0; i < ARTIFACTS; i++)
		outcome = worse(outcome, read_artifact(store, now, i));
	for (uint64_t i = 0; i < NOTES; i++)
		outcome = worse(outcome, read_note(now, i));
	outcome = worse(outcome, read_now(now));
	rc = cairn_snapshot_scan(now, "note", NULL, 0, false, count_one, &n, &err);
	outcome = worse(outcome, rc ? REFUSED : n == NOTES + 1 ? RIGHT : MISSING);
	cairn_snapshot_end(now);
	cairn_store_close(store);
	return outcome;
}

/* ---- flips ------------------------------------------------------------------------------------
 */

struct session {
	const char *directory, *file;
	uint64_t first, step, size; /* of bits */
	size_t n;
	/* Shared with the reader. */
	struct shared {
		size_t next;
		bool is_checking; /* it has read with this bit flipped; now fsck does */
		uint8_t outcomes[1 << 12], is_named[1 << 12];
	} * shared;
};

static void flip(const struct session *s, size_t i)
{
	uint64_t bit = (s->first + i * s->step) % s->size;
	char path[700];
	uint8_t byte;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", s->directory, s->file);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)(bit / 8)), 1);
	byte ^= (uint8_t)(1u << bit % 8);
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)(bit / 8)), 1);
	close(fd);
}

static void count_damage(void *arg, const cairn_damage *damage)
{
	assert_non_null(damage->why->message);
	++*(size_t *)arg;
}

static bool is_named_by_fsck(const char *directory)
{
	size_t n = 0;
	const cairn_fsck_observer observer = {.damage = count_damage, .arg = &n};
	cairn_error err = {0};
	cairn_store *store;
	cairn_fsck *fsck;
	int rc = cairn_store_open(&store, directory, CAIRN_STORE_READONLY, &err);

	if (rc)
		return true;
	OK(cairn_fsck_new(&fsck, store, false, &observer, &err));
	rc = cairn_fsck_index(fsck, &err);
	if (!rc)
		rc = cairn_fsck_segments(fsck, &err);
	if (!rc)
		rc = cairn_fsck_artifacts(fsck, &err);
	cairn_fsck_free(fsck);
	cairn_store_close(store);
	return rc != 0 || n > 0;
}

/* Goes on where the last reader died. */
static int read_on(void *arg)
{
	const struct session *s = arg;
	struct shared *shared = s->shared;
	const struct rlimit none = {0, 0};
	int fd = open("/dev/null", O_WRONLY);

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)dup2(fd, STDERR_FILENO); /* LMDB's last words */
	for (; shared->next < s->n; shared->next++) {
		size_t i = shared->next;

		if (!shared->is_checking) {
			flip(s, i);
			shared->outcomes[i] = (uint8_t)read_everything(s->directory);
		}
		shared->is_checking = true;
		shared->is_named[i] = is_named_by_fsck(s->directory);
		shared->is_checking = false;
		flip(s, i);
	}
	return 0;
}

/* Like read_on. In a program, too, fsck looks from a process of its own, of which the death is a
 * finding (orchestrator/run/check/fsck.c). */
static void read_all(const struct session *s)
{
	struct shared *shared = s->shared;

	while (support_child(read_on, (void *)s) != 0) {
		if (!shared->is_checking) {
			shared->is_checking = true;
			continue;
		}
		shared->is_named[shared->next] = true;
		shared->is_checking = false;
		flip(s, shared->next++);
	}
}

static void run(struct session *s, unsigned counts[OUTCOMES])
{
	unsigned n_unnamed = 0, n_named = 0;
	struct stat st;
	char path[700];

	snprintf(path, sizeof(path), "%s/%s", s->directory, s->file);
	assert_int_equal(stat(path, &st), 0);
	s->size = 8 * (uint64_t)st.st_size;
	s->shared = mmap(NULL, sizeof(*s->shared), PROT_READ | PROT_WRITE,
		MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(s->shared != MAP_FAILED && s->n <= sizeof(s->shared->outcomes));
	memset(counts, 0, OUTCOMES * sizeof(*counts));
	read_all(s);
	for (size_t i = 0; i < s->n; i++) {
		bool is_named = s->shared->is_named[i], is_right = s->shared->outcomes[i] == RIGHT;

		counts[s->shared->outcomes[i]]++;
		n_named += is_named;
		n_unnamed += !is_named && !is_right;
	}
	print_message("%s: %zu flips, %u named by fsck; readers: %u right, %u refused, %u died, ",
		s->file, s->n, n_named, counts[RIGHT], counts[REFUSED], counts[DIED]);
	print_message(
		"%u missing, %u stale, %u wrong\n", counts[MISSING], counts[STALE], counts[WRONG]);
	munmap(s->shared, sizeof(*s->shared));
	assert_int_equal(read_everything(s->directory), RIGHT);
	assert_false(is_named_by_fsck(s->directory));
	assert_int_equal(n_unnamed, 0);
	assert_int_equal(counts[WRONG], 0);
}

static void test_store_flips__in_segments(void **state)
{
	struct session s = {.directory = *state,
		.file = "seg/00000000.seg",
		.first = 3,
		.step = 8 * 397 + 1,
		.n = 1200 / SCALE};
	unsigned counts[OUTCOMES];

	assert_int_equal(support_child(make, *state), 0);
	run(&s, counts);
	assert_int_equal(counts[RIGHT] + counts[REFUSED], s.n);
	assert_true(counts[REFUSED] > s.n * 3 / 4);
}

static void test_store_flips__in_format(void **state)
{
	struct session s = {.directory = *state, .file = "format", .step = SCALE, .n = 400 / SCALE};
	unsigned counts[OUTCOMES];

	assert_int_equal(support_child(make, *state), 0);
	run(&s, counts);
	assert_int_equal(counts[REFUSED], s.n);
}

/* The later one is all that leads to the last commit. */
static void test_store_flips__in_meta_pages(void **state)
{
	struct session s = {
		.directory = *state, .file = "meta/data.mdb", .step = SCALE, .n = 8 * 152 / SCALE};
	unsigned counts[OUTCOMES];

	assert_int_equal(support_child(make, *state), 0);
	for (int page = 0; page < 2; page++) {
		s.first = (uint64_t)page * 8 * 4096;
		run(&s, counts);
		assert_true(counts[DIED] <= s.n / 50);
		assert_int_equal(counts[MISSING] + counts[STALE], 0);
	}
}

/* The pages of an index have no checksums. A normal read cannot see that a page leads to a wrong
 * one, but that happens to less than one flip in a hundred, and to none that fsck does not name. */
static void test_store_flips__in_the_index(void **state)
{
	struct session s = {.directory = *state,
		.file = "meta/data.mdb",
		.first = 8 * 8192,
		.step = 8 * 104729 + 3,
		.n = 3000 / SCALE};
	unsigned counts[OUTCOMES];

	assert_int_equal(support_child(make, *state), 0);
	run(&s, counts);
	assert_true(counts[DIED] <= s.n / 100);
	assert_true(counts[MISSING] + counts[STALE] <= s.n / 100);
	assert_true(counts[REFUSED] > s.n / 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_flips__in_segments),
		TEST(test_store_flips__in_format),
		TEST(test_store_flips__in_meta_pages),
		TEST(test_store_flips__in_the_index),
	};

	return cmocka_run_group_tests_name("store/flips", tests, NULL, NULL);
}
