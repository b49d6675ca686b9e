/* SPDX-License-Identifier: Apache-2.0 */
/* Bit rot: each kind of damage is found, named and repaired, and nothing else is touched. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "cairn/fsck.h"
#include "store/internal.h"

enum {
	N = 3,
	LEN = 100 << 10,
	MAX_FOUND = 64,
};

/* ---- what a check finds ------------------------------------------------------------------- */

typedef struct found {
	char what[16], table[16], entry[32], message[200];
	uint8_t key[64];
	size_t key_len;
	uint64_t chunk, n_chunks, offset;
	uint32_t segment;
	bool has_place;
} found;

static found list[MAX_FOUND];
static size_t n_found;
static uint64_t last_done, last_total;

static void note(void *arg, const cairn_damage *damage)
{
	found *f = &list[n_found++];

	(void)arg;
	assert_true(n_found < MAX_FOUND);
	memset(f, 0, sizeof(*f));
	snprintf(f->what, sizeof(f->what), "%s", damage->what);
	snprintf(f->table, sizeof(f->table), "%s", damage->table);
	snprintf(f->entry, sizeof(f->entry), "%s", damage->entry ? damage->entry : "-");
	snprintf(f->message, sizeof(f->message), "%.199s", damage->why->message);
	if (damage->key)
		memcpy(f->key, damage->key, damage->key_len);
	f->key_len = damage->key_len;
	f->chunk = damage->chunk;
	f->n_chunks = damage->n_chunks;
	f->has_place = damage->has_place;
	f->segment = damage->segment;
	f->offset = damage->offset;
	assert_int_equal(damage->why->code < 0, 1);
}

static void count(void *arg, const char *part, uint64_t done, uint64_t total)
{
	(void)arg, (void)part;
	last_done = done;
	last_total = total;
}

static size_t check(cairn_store *store, bool is_quick)
{
	const cairn_fsck_observer observer = {note, count, NULL};
	cairn_error err = {0};
	cairn_fsck *fsck;

	n_found = 0;
	OK(cairn_fsck_new(&fsck, store, is_quick, &observer, &err));
	OK(cairn_fsck_index(fsck, &err));
	OK(cairn_fsck_segments(fsck, &err));
	assert_int_equal(last_done, last_total);
	OK(cairn_fsck_artifacts(fsck, &err));
	assert_int_equal(last_done, last_total);
	cairn_fsck_free(fsck);
	return n_found;
}

static const found *of(const char *what)
{
	for (size_t i = 0; i < n_found; i++) {
		if (!strcmp(list[i].what, what))
			return &list[i];
	}
	fail_msg("nothing is called '%s'", what);
	return NULL;
}

/* 0: nothing was found and all can be read. A damaged page may kill whoever reads it. */
static int check_in_child(void *arg)
{
	const cairn_fsck_observer observer = {note, NULL, NULL};
	cairn_store *store;
	cairn_fsck *fsck;

	signal(SIGSEGV, SIG_DFL); /* cmocka's handler would go on with its tests */
	signal(SIGBUS, SIG_DFL);
	signal(SIGABRT, SIG_DFL);
	n_found = 0;
	if (cairn_store_open(&store, arg, CAIRN_STORE_READONLY, NULL) != 0 ||
		cairn_fsck_new(&fsck, store, true, &observer, NULL) != 0 ||
		cairn_fsck_index(fsck, NULL) != 0 || cairn_fsck_segments(fsck, NULL) != 0)
		return 1;
	return n_found > 0;
}

static size_t n_told;

static void told(void *arg, const char *action, const cairn_fsck_target *target)
{
	(void)arg, (void)target;
	assert_true(!strcmp(action, "drop") || !strcmp(action, "restore"));
	n_told++;
}

/* Repairs all that the last check found; how many things were done. */
static size_t repair(cairn_store *store)
{
	cairn_fsck_target targets[MAX_FOUND];
	cairn_error err = {0};

	for (size_t i = 0; i < n_found; i++)
		targets[i] = (cairn_fsck_target){.what = list[i].what,
			.table = list[i].table,
			.key = list[i].key_len ? list[i].key : NULL,
			.key_len = list[i].key_len,
			.has_place = list[i].has_place,
			.segment = list[i].segment,
			.offset = list[i].offset};
	n_told = 0;
	OK(cairn_fsck_repair(store, targets, n_found, told, NULL, NULL, &err));
	return n_told;
}

/* ---- doing damage ------------------------------------------------------------------------- */

static char *path_of(void **state, const char *name)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s/%s", (char *)*state, name);
	return path;
}

static void flip(const char *path, uint64_t at)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

/* Changes the last byte of each place in the index where these bytes lie: old pages keep theirs. */
static void flip_in_index(void **state, const void *bytes, size_t len)
{
	size_t size, n = 0;
	uint8_t *file = support_read(path_of(state, "meta/data.mdb"), &size);

	for (size_t at = 0; at + len <= size; at++) {
		if (memcmp(file + at, bytes, len) != 0)
			continue;
		flip(path_of(state, "meta/data.mdb"), at + len - 1);
		n++;
	}
	free(file);
	assert_true(n > 0);
}

#define SEGMENT "seg/00000000.seg"

/* Where record i of the first segment begins, if all have LEN bytes. */
static uint64_t record(uint64_t i)
{
	return CAIRN_BLOCK_BYTES + i * (CAIRN_BLOCK_BYTES + LEN);
}

/* ---- checks ------------------------------------------------------------------------------- */

static void test_store_fsck__finds_nothing_where_nothing_is(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	cairn_batch *batch;

	assert_int_equal(check(store, false), 0);
	support_commit(store, N, LEN, 1);
	support_commit(store, 1, 9 << 20, 7);
	support_commit(store, 5, 300, 20);
	support_commit(store, 2, 0, 20);
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_put(batch, "note", "key", 3, "value", 5, &err));
	OK(cairn_batch_commit(batch, &err));
	assert_int_equal(check(store, false), 0);
	assert_int_equal(check(store, true), 0);
	cairn_store_close(store);
	store = support_open(*state, CAIRN_STORE_READONLY);
	assert_int_equal(check(store, false), 0);
	cairn_store_close(store);
}

static void test_store_fsck__names_entry_chunk_and_place(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id id = support_commit(store, N, LEN, 1);
	const found *f;

	flip(path_of(state, SEGMENT), record(1) + CAIRN_BLOCK_BYTES + 99999);
	assert_int_equal(check(store, true), 0); /* not read */
	assert_int_equal(check(store, false), 2);
	f = of("chunk");
	assert_true(f->has_place);
	assert_int_equal(f->segment, 0);
	assert_int_equal(f->offset, record(1));
	f = of("artifact");
	assert_memory_equal(f->key, id.bytes, 32);
	assert_string_equal(f->entry, "e1");
	assert_int_equal(f->chunk, 1);
	assert_int_equal(f->n_chunks, 1);
	assert_int_equal(f->offset, record(1));
	cairn_store_close(store);
}

static void test_store_fsck__no_flip_in_a_segment_escapes(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint64_t size, padding = 0;

	support_commit(store, N, LEN, 1);
	size = support_size(*state, "seg");
	for (uint64_t i = 0; i < 60; i++) {
		uint64_t at = i * 104729 % size;

		flip(path_of(state, SEGMENT), at);
		if (check(store, false) == 0)
			padding++;
		flip(path_of(state, SEGMENT), at);
	}
	assert_int_equal(padding, 0); /* LEN is a multiple of 4096: there is none */
	assert_int_equal(check(store, false), 0);
	cairn_store_close(store);
}

static void test_store_fsck__truncated_and_missing_segments(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);

	support_commit(store, N, LEN, 1);
	assert_int_equal(truncate(path_of(state, SEGMENT), (off_t)record(2) + 9000), 0);
	for (int quick = 0; quick < 2; quick++) {
		assert_int_equal(check(store, quick), 2);
		assert_non_null(strstr(of("chunk")->message, "truncated"));
		assert_string_equal(of("artifact")->entry, "e2");
	}
	assert_int_equal(unlink(path_of(state, SEGMENT)), 0);
	assert_int_equal(check(store, true), 2 * N);
	assert_non_null(strstr(of("chunk")->message, "missing"));
	cairn_store_close(store);
}

static void test_store_fsck__damaged_values_of_the_index(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t *bytes = support_bytes(3000, 8);
	cairn_error err = {0};
	cairn_batch *batch;
	cairn_id id;

	OK(cairn_batch_begin(&batch, store, &err));
	support_put(batch, 2, 3000, 8, &id);
	OK(cairn_batch_put(batch, "note", "key", 3, "a value to be found", 19, &err));
	OK(cairn_batch_commit(batch, &err));
	cairn_store_close(store);
	flip_in_index(state, "a value to be found", 19);
	flip_in_index(state, bytes, 3000);
	store = support_open(*state, 0);
	assert_int_equal(check(store, false), 3);
	assert_string_equal(of("record")->table, "note");
	assert_memory_equal(of("record")->key, "key", 3);
	assert_string_equal(of("blob")->table, "blob");
	assert_string_equal(of("artifact")->entry, "e0");
	assert_int_equal(repair(store), 3);
	assert_int_equal(check(store, false), 0);
	cairn_store_close(store);
	free(bytes);
}

static void test_store_fsck__a_damaged_manifest_or_node(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);

	support_commit(store, N, LEN, 1);
	cairn_store_close(store);
	flip_in_index(state, "CAIRNART\1\0", 10);
	store = support_open(*state, 0);
	assert_int_equal(check(store, false), 2);
	of("manifest");
	assert_int_equal(of("artifact")->chunk, 0);
	assert_int_equal(repair(store), 1); /* the artifact is its manifest */
	assert_int_equal(check(store, false), 0);
	support_commit(store, N, LEN, 1);
	cairn_store_close(store);
	flip_in_index(state, "CAIRNENT\1\0", 10);
	store = support_open(*state, 0);
	assert_int_equal(check(store, false), 2 * N);
	assert_int_equal(repair(store), N + 1);
	support_commit(store, N, LEN, 1);
	assert_int_equal(check(store, false), 0);
	cairn_store_close(store);
}

static void test_store_fsck__a_lost_entry_of_the_index(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t *bytes = support_bytes(LEN, 2);
	cairn_error err = {0};
	cairn_id chunk;
	cairn_txn *txn;

	support_commit(store, N, LEN, 1);
	cairn_sha256(bytes, LEN, chunk.bytes);
	OK(cairn_index__begin(&txn, store->index, true, &err));
	OK(cairn_index__delete(txn, CAIRN_TABLE_CHUNK, chunk.bytes, sizeof(chunk.bytes), &err));
	OK(cairn_index__commit(txn, &err));
	assert_int_equal(check(store, true), 1);
	assert_string_equal(of("artifact")->entry, "e1");
	assert_non_null(strstr(of("artifact")->message, "no such chunk"));
	cairn_store_close(store);
	free(bytes);
}

/* LMDB takes a page of zeros for one without values. */
static void test_store_fsck__pages_of_zeros(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t zeros[4096] = {0};
	size_t size, n_missed = 0;
	uint8_t *index;

	support_commit(store, 40, 3000, 50);
	cairn_store_close(store);
	index = support_read(path_of(state, "meta/data.mdb"), &size);
	for (size_t page = 2; page < size / 4096; page++) {
		int fd = open(path_of(state, "meta/data.mdb"), O_RDWR);

		assert_int_equal(pwrite(fd, zeros, 4096, (off_t)(page * 4096)), 4096);
		close(fd);
		n_missed += support_child(check_in_child, *state) == 0;
		support_write(path_of(state, "meta/data.mdb"), index, size);
	}
	free(index);
	/* Of some pages nobody can know: those that are free, or of an older time. */
	assert_true(n_missed < 12);
	assert_int_equal(support_child(check_in_child, *state), 0);
}

/* ---- repairs ------------------------------------------------------------------------------ */

static void test_store_fsck__what_was_repaired_can_be_put_again(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id id = support_commit(store, N, LEN, 1), fine = support_commit(store, 1, LEN, 3);
	uint64_t size = support_size(*state, "seg");
	cairn_error err = {0};

	flip(path_of(state, SEGMENT), record(0) + CAIRN_BLOCK_BYTES);
	/* A put trusts the index: nothing would be written. */
	support_commit(store, N, LEN, 1);
	assert_int_equal(support_verify(store, &id, N, LEN, 1, &err), CAIRN_EINTEGRITY);
	assert_int_equal(check(store, false), 2);
	assert_int_equal(repair(store), 2);
	assert_int_equal(check(store, false), 0);
	cairn_error_clear(&err);
	assert_int_equal(support_verify(store, &id, N, LEN, 1, &err), CAIRN_ENOTFOUND);
	cairn_error_clear(&err);
	OK(support_verify(store, &fine, 1, LEN, 3, &err)); /* shares e2's chunk, which is right */
	support_commit(store, N, LEN, 1);
	OK(support_verify(store, &id, N, LEN, 1, &err));
	assert_int_equal(support_size(*state, "seg"), size + CAIRN_BLOCK_BYTES + LEN);
	assert_int_equal(check(store, false), 0);
	cairn_store_close(store);
}

static void test_store_fsck__headers_are_written_again_in_place(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id id = support_commit(store, N, LEN, 1);
	size_t len, again_len;
	uint8_t *before = support_read(path_of(state, SEGMENT), &len), *after;
	cairn_error err = {0};

	flip(path_of(state, SEGMENT), 20);
	flip(path_of(state, SEGMENT), record(1) + 40);
	assert_int_equal(check(store, false), 2);
	assert_string_equal(list[0].what, "header");
	assert_string_equal(list[1].what, "header");
	OK(support_verify(store, &id, N, LEN, 1, &err));
	assert_int_equal(repair(store), 2);
	after = support_read(path_of(state, SEGMENT), &again_len);
	assert_int_equal(len, again_len);
	assert_memory_equal(before, after, len);
	assert_int_equal(check(store, false), 0);
	cairn_store_close(store);
	free(before);
	free(after);
}

static void test_store_fsck__what_is_right_by_now_stays(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id id = support_commit(store, N, LEN, 1);
	cairn_error err = {0};

	flip(path_of(state, SEGMENT), record(0) + CAIRN_BLOCK_BYTES);
	assert_int_equal(check(store, false), 2);
	assert_int_equal(repair(store), 2);
	support_commit(store, N, LEN, 1);
	/* The same report once more: its chunk lies elsewhere now, its artifact is whole. */
	assert_int_equal(repair(store), 0);
	OK(support_verify(store, &id, N, LEN, 1, &err));
	cairn_store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_fsck__finds_nothing_where_nothing_is),
		TEST(test_store_fsck__names_entry_chunk_and_place),
		TEST(test_store_fsck__no_flip_in_a_segment_escapes),
		TEST(test_store_fsck__truncated_and_missing_segments),
		TEST(test_store_fsck__damaged_values_of_the_index),
		TEST(test_store_fsck__a_damaged_manifest_or_node),
		TEST(test_store_fsck__a_lost_entry_of_the_index),
		TEST(test_store_fsck__pages_of_zeros),
		TEST(test_store_fsck__what_was_repaired_can_be_put_again),
		TEST(test_store_fsck__headers_are_written_again_in_place),
		TEST(test_store_fsck__what_is_right_by_now_stays),
	};

	return cmocka_run_group_tests_name("store/fsck", tests, NULL, NULL);
}
