/* SPDX-License-Identifier: Apache-2.0 */
/* An index that is lost or damaged in many ways: what its backup had is there again, and right. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cairn/fsck.h"
#include "store/internal.h"

enum {
	LEN = 100 << 10,
	PAGE = 4096,
};

static char *path_of(void **state, const char *name)
{
	static char path[600];

	snprintf(path, sizeof(path), "%s/%s", (char *)*state, name);
	return path;
}

static void put_note(cairn_store *store, const char *value)
{
	cairn_error err = {0};
	cairn_batch *batch;

	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_put(batch, "note", "key", 3, value, strlen(value), &err));
	OK(cairn_batch_commit(batch, &err));
}

static void assert_note(cairn_store *store, const char *want)
{
	cairn_error err = {0};
	cairn_snapshot *snapshot;
	const void *value;
	size_t len;

	OK(cairn_snapshot_begin(&snapshot, store, &err));
	OK(cairn_snapshot_get(snapshot, "note", "key", 3, &value, &len, &err));
	assert_int_equal(len, strlen(want));
	assert_memory_equal(value, want, len);
	cairn_snapshot_end(snapshot);
}

static void backup(cairn_store *store)
{
	cairn_error err = {0};
	bool is_done;

	OK(cairn_store_backup(store, 0, &is_done, &err));
	assert_true(is_done);
}

static cairn_rebuilt rebuild(void **state)
{
	cairn_rebuilt result = {0};
	cairn_error err = {0};

	OK(cairn_store_rebuild(&result, *state, NULL, &err));
	assert_int_not_equal(access(path_of(state, "rebuild"), F_OK), 0);
	return result;
}

/* Two artifacts and a note, all in the backup; one artifact after it. */
static void fill(void **state, cairn_id ids[3])
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);

	ids[0] = support_commit(store, 2, LEN, 1);
	ids[1] = support_commit(store, 40, 3000, 50);
	put_note(store, "before");
	backup(store);
	ids[2] = support_commit(store, 1, LEN, 9);
	cairn_store_close(store);
}

static void assert_backed_up(cairn_store *store, const cairn_id ids[3])
{
	cairn_error err = {0};

	OK(support_verify(store, &ids[0], 2, LEN, 1, &err));
	OK(support_verify(store, &ids[1], 40, 3000, 50, &err));
	assert_note(store, "before");
}

static void test_store_rebuild__a_lost_index_comes_from_its_backup(void **state)
{
	cairn_rebuilt result;
	cairn_store *store;
	cairn_error err = {0};
	cairn_id ids[3];
	uint64_t size;

	fill(state, ids);
	assert_int_equal(unlink(path_of(state, "meta/data.mdb")), 0);
	assert_int_equal(cairn_store_open(&store, *state, 0, &err), CAIRN_EINTEGRITY);
	result = rebuild(state);
	assert_false(result.has_index);
	assert_true(result.has_backup && result.backup_ms > 0 && result.n_from_backup > 0);
	assert_int_equal(result.n_scanned, 1);
	store = support_open(*state, 0);
	assert_backed_up(store, ids);
	/* Its chunk is known: putting it again writes nothing. */
	size = support_size(*state, "seg");
	assert_int_equal(
		cairn_object_open(&(cairn_object *){NULL}, store, &ids[2], NULL), CAIRN_ENOTFOUND);
	support_commit(store, 1, LEN, 9);
	assert_int_equal(support_size(*state, "seg"), size);
	cairn_error_clear(&err);
	OK(support_verify(store, &ids[2], 1, LEN, 9, &err));
	cairn_store_close(store);
}

static void test_store_rebuild__without_a_backup_chunks_are_found(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id id = support_commit(store, 4, LEN, 1);
	uint64_t size = support_size(*state, "seg");
	cairn_rebuilt result;
	cairn_error err = {0};

	cairn_store_close(store);
	assert_int_equal(unlink(path_of(state, "meta/data.mdb")), 0);
	result = rebuild(state);
	assert_int_equal(result.n_scanned, 4);
	store = support_open(*state, 0);
	assert_int_equal(support_verify(store, &id, 4, LEN, 1, &err), CAIRN_ENOTFOUND);
	support_commit(store, 4, LEN, 1);
	assert_int_equal(support_size(*state, "seg"), size);
	support_commit(store, 1, LEN, 77); /* in a segment that is new */
	cairn_store_close(store);
}

static void test_store_rebuild__a_sound_index_stays_what_it_was(void **state)
{
	cairn_error err = {0};
	cairn_rebuilt result;
	cairn_store *store;
	cairn_id ids[3];

	fill(state, ids);
	store = support_open(*state, 0);
	put_note(store, "after");
	cairn_store_close(store);
	result = rebuild(state);
	assert_true(result.has_index && !result.has_backup); /* not asked */
	assert_int_equal(result.n_from_backup, 0);
	assert_int_equal(result.n_scanned + result.n_dropped, 0);
	store = support_open(*state, 0);
	assert_note(store, "after");
	OK(support_verify(store, &ids[0], 2, LEN, 1, &err));
	OK(support_verify(store, &ids[2], 1, LEN, 9, &err));
	cairn_store_close(store);
}

/* Whichever page is zero or full of other bytes. */
static void test_store_rebuild__any_page_may_be_damaged(void **state)
{
	size_t size;
	cairn_id ids[3];
	uint8_t *index;

	fill(state, ids);
	index = support_read(path_of(state, "meta/data.mdb"), &size);
	for (size_t page = 0; page < size / PAGE; page += 1 + page / 8) {
		uint8_t *damaged = malloc(size);
		cairn_store *store;

		assert_non_null(damaged);
		memcpy(damaged, index, size);
		if (page % 2)
			support_fill(damaged + page * PAGE, PAGE, page);
		else
			memset(damaged + page * PAGE, 0, PAGE);
		support_write(path_of(state, "meta/data.mdb"), damaged, size);
		rebuild(state);
		store = support_open(*state, 0);
		assert_backed_up(store, ids);
		cairn_store_close(store);
		free(damaged);
	}
	free(index);
}

static void test_store_rebuild__cut_off_anywhere(void **state)
{
	size_t size;
	cairn_id ids[3];
	uint8_t *index;

	fill(state, ids);
	index = support_read(path_of(state, "meta/data.mdb"), &size);
	for (size_t len = 0; len < size; len += size / 7 + 1) {
		cairn_store *store;

		support_write(path_of(state, "meta/data.mdb"), index, len);
		rebuild(state);
		store = support_open(*state, 0);
		assert_backed_up(store, ids);
		cairn_store_close(store);
	}
	free(index);
}

static int open_and_wait(void *arg)
{
	int *ends = ((void **)arg)[1];
	cairn_store *store;
	char byte = 0;

	if (cairn_store_open(&store, ((void **)arg)[0], CAIRN_STORE_READONLY, NULL) != 0)
		return 1;
	if (write(ends[1], &byte, 1) != 1 || read(ends[2], &byte, 1) != 0)
		return 2;
	return 0;
}

static void test_store_rebuild__refuses_while_somebody_has_it_open(void **state)
{
	int ends[4];
	void *arg[2] = {*state, ends};
	cairn_rebuilt result;
	cairn_error err = {0};
	cairn_id ids[3];
	char byte;
	pid_t pid;

	fill(state, ids);
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(pipe(ends + 2), 0);
	pid = support_fork(open_and_wait, arg);
	assert_int_equal(read(ends[0], &byte, 1), 1);
	assert_int_equal(cairn_store_rebuild(&result, *state, NULL, &err), CAIRN_EBUSY);
	assert_non_null(strstr(err.message, "in use"));
	kill(pid, SIGKILL);
	support_wait(pid);
	rebuild(state);
	for (size_t i = 0; i < 4; i++)
		close(ends[i]);
}

static void test_store_rebuild__a_chunk_that_is_not_where_it_should_be(void **state)
{
	cairn_rebuilt result;
	cairn_store *store;
	cairn_error err = {0};
	cairn_id ids[3];

	fill(state, ids);
	assert_int_equal(truncate(path_of(state, "seg/00000000.seg"), 2 * CAIRN_BLOCK_BYTES), 0);
	result = rebuild(state);
	assert_int_equal(result.n_dropped, 3);
	store = support_open(*state, 0);
	support_commit(store, 2, LEN, 1);
	OK(support_verify(store, &ids[0], 2, LEN, 1, &err));
	cairn_store_close(store);
}

static void test_store_rebuild__behind_a_damaged_header_the_scan_goes_on(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t zeros[CAIRN_BLOCK_BYTES] = {0};
	int fd;

	support_commit(store, 4, LEN, 1);
	cairn_store_close(store);
	fd = open(path_of(state, "seg/00000000.seg"), O_RDWR);
	assert_int_equal(pwrite(fd, zeros, sizeof(zeros), 0), sizeof(zeros));
	assert_int_equal(
		pwrite(fd, zeros, sizeof(zeros), CAIRN_BLOCK_BYTES + (CAIRN_BLOCK_BYTES + LEN)),
		sizeof(zeros));
	close(fd);
	assert_int_equal(unlink(path_of(state, "meta/data.mdb")), 0);
	assert_int_equal(rebuild(state).n_scanned, 3);
}

static void test_store_rebuild__the_backup_is_made_once_a_day(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	const struct timespec old[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
	cairn_error err = {0};
	bool is_done;

	support_commit(store, 1, 300, 1);
	OK(cairn_store_backup(store, 1, &is_done, &err));
	assert_false(is_done); /* too large */
	OK(cairn_store_backup(store, 1 << 30, &is_done, &err));
	assert_true(is_done);
	OK(cairn_store_backup(store, 1 << 30, &is_done, &err));
	assert_false(is_done);
	assert_int_equal(utimensat(AT_FDCWD, path_of(state, "meta/backup.mdb"), old, 0), 0);
	OK(cairn_store_backup(store, 1 << 30, &is_done, &err));
	assert_true(is_done);
	cairn_store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_rebuild__a_lost_index_comes_from_its_backup),
		TEST(test_store_rebuild__without_a_backup_chunks_are_found),
		TEST(test_store_rebuild__a_sound_index_stays_what_it_was),
		TEST(test_store_rebuild__any_page_may_be_damaged),
		TEST(test_store_rebuild__cut_off_anywhere),
		TEST(test_store_rebuild__refuses_while_somebody_has_it_open),
		TEST(test_store_rebuild__a_chunk_that_is_not_where_it_should_be),
		TEST(test_store_rebuild__behind_a_damaged_header_the_scan_goes_on),
		TEST(test_store_rebuild__the_backup_is_made_once_a_day),
	};

	return cmocka_run_group_tests_name("store/rebuild", tests, NULL, NULL);
}
