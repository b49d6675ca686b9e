/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that change after they were written, and disks that are full.
 *
 * The rule: whatever is damaged, a read gives the right bytes or an error. Wrong bytes without
 * an error never.
 */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "store/internal.h"

enum {
	N = 3,
	LEN = 100 << 10
};

static void segment_path(char *out, size_t cap, const char *directory)
{
	snprintf(out, cap, "%s/seg/00000000.seg", directory);
}

static void flip(const char *path, uint64_t at, uint8_t bits)
{
	int fd = open(path, O_RDWR);
	uint8_t byte;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
	byte ^= bits;
	assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
	close(fd);
}

static void test_store_damage__names_entry_chunk_and_segment(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id id = support_commit(store, N, LEN, 1);
	/* Segment header, record 0, then the header of record 1. */
	uint64_t second = CAIRN_BLOCK_BYTES + (CAIRN_BLOCK_BYTES + LEN) + CAIRN_BLOCK_BYTES;
	cairn_error err = {0};
	cairn_object *object;
	cairn_tensor tensor;
	char path[600];

	segment_path(path, sizeof(path), *state);
	flip(path, second + 77, 1);
	OK(cairn_object_open(&object, store, &id, &err));
	OK(cairn_object_read(object, "e0", &tensor, &err));
	OK(cairn_object_read(object, "e2", &tensor, &err));
	assert_int_equal(cairn_object_read(object, "e1", &tensor, &err), CAIRN_EINTEGRITY);
	assert_non_null(strstr(err.detail, "entry 'e1' of sha256:"));
	assert_non_null(strstr(err.detail, "chunk 1 of 1, sha256:"));
	assert_non_null(strstr(err.detail, "segment 00000000.seg at byte 110592"));
	flip(path, second + 77, 1);
	cairn_error_clear(&err);
	OK(cairn_object_read(object, "e1", &tensor, &err));
	cairn_object_close(object);
	cairn_store_close(store);
}

/* Any byte of a payload. */
static void test_store_damage__no_flip_in_a_payload_passes(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id id = support_commit(store, 1, LEN, 1);
	cairn_error err = {0};
	char path[600];

	segment_path(path, sizeof(path), *state);
	for (uint64_t i = 0; i < 200; i++) {
		uint64_t at = 2 * CAIRN_BLOCK_BYTES + i * 7919 % LEN;

		flip(path, at, (uint8_t)(1u << i % 8));
		cairn_error_clear(&err);
		assert_int_equal(support_verify(store, &id, 1, LEN, 1, &err), CAIRN_EINTEGRITY);
		flip(path, at, (uint8_t)(1u << i % 8));
	}
	cairn_error_clear(&err);
	OK(support_verify(store, &id, 1, LEN, 1, &err));
	cairn_store_close(store);
}

static void test_store_damage__a_truncated_or_missing_segment_is_an_error(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id id = support_commit(store, N, LEN, 1);
	cairn_error err = {0};
	cairn_object *object;
	cairn_tensor tensor;
	char path[600];

	segment_path(path, sizeof(path), *state);
	assert_int_equal(truncate(path, (off_t)support_size(*state, "seg") - CAIRN_BLOCK_BYTES), 0);
	OK(cairn_object_open(&object, store, &id, &err));
	OK(cairn_object_read(object, "e1", &tensor, &err));
	assert_int_equal(cairn_object_read(object, "e2", &tensor, &err), CAIRN_EINTEGRITY);
	assert_non_null(strstr(err.message, "truncated"));
	assert_non_null(strstr(err.detail, "entry 'e2'"));
	cairn_object_close(object);
	assert_int_equal(unlink(path), 0);
	cairn_error_clear(&err);
	assert_int_equal(support_verify(store, &id, N, LEN, 1, &err), CAIRN_EINTEGRITY);
	assert_non_null(strstr(err.message, "missing"));
	assert_non_null(strstr(err.detail, "entry 'e0'"));
	cairn_store_close(store);
}

/* ---- what is mapped ----------------------------------------------------------------------- */

enum {
	TENSOR = 3 * CAIRN_CHUNK_BYTES +
		 4100, /* three chunks in the segment, and one in the index */
};

static cairn_id commit_tensor(cairn_store *store, uint8_t *bytes, size_t len)
{
	cairn_error err = {0};
	cairn_tensor tensor = {.name = "w",
		.dtype = CAIRN_F32,
		.n_dims = 1,
		.dims = {len / 4},
		.data = bytes,
		.bytes = len};
	cairn_batch *batch;
	cairn_id id;

	support_fill(bytes, len, 3);
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_artifact_begin(batch, "model/lm", &err));
	OK(cairn_batch_artifact_put(batch, &tensor, &err));
	OK(cairn_batch_artifact_end(batch, NULL, &id, &err));
	OK(cairn_batch_commit(batch, &err));
	return id;
}

/* Mappings of segments that this process has. */
static int count_maps(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	assert_non_null(file);
	while (fgets(line, sizeof(line), file))
		n += strstr(line, ".seg") != NULL;
	fclose(file);
	return n;
}

static void test_store_damage__a_large_tensor_is_mapped_until_it_is_released(void **state)
{
	static const size_t lens[] = {TENSOR, 1 << 20, CAIRN_CHUNK_BYTES, CAIRN_CHUNK_BYTES + 4,
		2 * CAIRN_CHUNK_BYTES - 4};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t *bytes = malloc(TENSOR);
	cairn_error err = {0};

	assert_non_null(bytes);
	for (size_t i = 0; i < CAIRN_COUNT(lens); i++) {
		cairn_id id = commit_tensor(store, bytes, lens[i]);
		cairn_object *object;
		cairn_tensor got;

		OK(cairn_object_open(&object, store, &id, &err));
		for (int again = 0; again < 2; again++) {
			store->copies_reads = again == 1;
			OK(cairn_object_read(object, "w", &got, &err));
			assert_int_equal((uintptr_t)got.data % 64, 0);
			assert_memory_equal(got.data, bytes, lens[i]);
			assert_true(again ? count_maps() == 0 : count_maps() > 0);
			cairn_object_release(object, "w");
			assert_int_equal(count_maps(), 0);
		}
		store->copies_reads = false;
		OK(cairn_object_read(object, "w", &got, &err));
		cairn_object_close(object);
		assert_int_equal(count_maps(), 0);
	}
	free(bytes);
	cairn_store_close(store);
}

static int read_tensor(cairn_store *store, const cairn_id *id, cairn_error *err)
{
	cairn_object *object;
	cairn_tensor got;
	int rc;

	cairn_error_clear(err);
	support_check(cairn_object_open(&object, store, id, err), err, "open", __FILE__, __LINE__);
	rc = cairn_object_read(object, "w", &got, err);
	cairn_object_close(object);
	assert_int_equal(count_maps(), 0); /* a failed read leaves none */
	return rc;
}

/* A flip is met by the digest, through the mapping; a file that ends early before anybody touches
 * what is not there (which would be a SIGBUS). */
static void test_store_damage__is_met_before_a_mapping_is_handed_out(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t *bytes = malloc(TENSOR);
	cairn_error err = {0};
	cairn_id id;
	char path[600];
	uint64_t size;

	assert_non_null(bytes);
	id = commit_tensor(store, bytes, TENSOR);
	segment_path(path, sizeof(path), *state);
	for (int i = 0; i < 3; i++) {
		uint64_t at = CAIRN_BLOCK_BYTES +
			      (uint64_t)i * (CAIRN_BLOCK_BYTES + CAIRN_CHUNK_BYTES) +
			      CAIRN_BLOCK_BYTES + 12345;
		char chunk[32];

		snprintf(chunk, sizeof(chunk), "chunk %d of 4", i + 1);
		flip(path, at, 8);
		assert_int_equal(read_tensor(store, &id, &err), CAIRN_EINTEGRITY);
		assert_non_null(strstr(err.detail, chunk));
		flip(path, at, 8);
		assert_int_equal(read_tensor(store, &id, &err), 0);
	}
	size = support_size(*state, "seg");
	for (uint64_t cut = 1; cut < size; cut += 1234567) {
		assert_int_equal(truncate(path, (off_t)(size - cut)), 0);
		assert_int_equal(read_tensor(store, &id, &err), CAIRN_EINTEGRITY);
		assert_non_null(strstr(err.message, "truncated"));
	}
	assert_int_equal(unlink(path), 0);
	assert_int_equal(read_tensor(store, &id, &err), CAIRN_EINTEGRITY);
	assert_non_null(strstr(err.message, "missing"));
	free(bytes);
	cairn_store_close(store);
}

/* A segment that is removed under a mapping, as a collector does after moving what lives, stays
 * readable there. */
static void test_store_damage__a_mapping_outlives_its_segment(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t *bytes = malloc(TENSOR);
	cairn_error err = {0};
	cairn_object *object;
	cairn_tensor got;
	cairn_id id;
	char path[600];

	assert_non_null(bytes);
	id = commit_tensor(store, bytes, TENSOR);
	OK(cairn_object_open(&object, store, &id, &err));
	OK(cairn_object_read(object, "w", &got, &err));
	segment_path(path, sizeof(path), *state);
	assert_int_equal(unlink(path), 0);
	assert_memory_equal(got.data, bytes, TENSOR);
	cairn_object_close(object);
	free(bytes);
	cairn_store_close(store);
}

/* ---- the index -------------------------------------------------------------------------- */

enum {
	RIGHT = 0,
	REFUSED = 1,
	WRONG = 2
};

typedef struct target {
	const char *directory;
	cairn_id id;
} target;

/* In a child, because LMDB may crash on a damaged tree. */
static int examine(void *arg)
{
	const target *t = arg;
	cairn_error err = {0};
	cairn_store *store;
	cairn_snapshot *snapshot;
	const void *value;
	size_t len;
	int rc = cairn_store_open(&store, t->directory, CAIRN_STORE_READONLY, &err);

	if (rc)
		return REFUSED;
	rc = support_verify(store, &t->id, 20, 3000, 1, &err);
	if (rc)
		return rc == CAIRN_EBUG ? WRONG : REFUSED;
	if (cairn_snapshot_begin(&snapshot, store, &err))
		return REFUSED;
	rc = cairn_snapshot_get(snapshot, "note", "key", 3, &value, &len, &err);
	if (rc)
		return REFUSED;
	return len == 5 && !memcmp(value, "value", 5) ? RIGHT : WRONG;
}

static void test_store_damage__no_flip_in_the_index_gives_wrong_bytes(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	target t = {.directory = *state};
	int count[3] = {0}, n_crashed = 0;
	cairn_batch *batch;
	char path[600];
	uint64_t size;

	OK(cairn_batch_begin(&batch, store, &err));
	support_put(batch, 20, 3000, 1, &t.id);
	OK(cairn_batch_put(batch, "note", "key", 3, "value", 5, &err));
	OK(cairn_batch_commit(batch, &err));
	cairn_store_close(store);
	snprintf(path, sizeof(path), "%s/meta/data.mdb", t.directory);
	size = support_size(*state, "meta") - 65536; /* without the lock file */
	for (uint64_t i = 0; i < 150; i++) {
		uint64_t at = i * 104729 % size;
		int answer;

		flip(path, at, (uint8_t)(1u << i % 8));
		answer = support_child(examine, &t);
		if (answer > WRONG)
			n_crashed++; /* LMDB's own asserts: loud, so not silent */
		else
			count[answer]++;
		flip(path, at, (uint8_t)(1u << i % 8));
	}
	assert_int_equal(count[WRONG], 0);
	assert_true(count[REFUSED] > 0); /* the flips do hit something */
	assert_true(n_crashed < 20);
	assert_int_equal(support_child(examine, &t), RIGHT);
}

static void test_store_damage__a_truncated_index_is_refused(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	char path[600];

	support_commit(store, 20, 3000, 1);
	cairn_store_close(store);
	snprintf(path, sizeof(path), "%s/meta/data.mdb", (char *)*state);
	assert_int_equal(truncate(path, 16384), 0);
	assert_int_equal(cairn_store_open(&store, *state, 0, &err), CAIRN_EINTEGRITY);
	assert_non_null(strstr(err.message, "truncated"));
}

/* ---- full disks ------------------------------------------------------------------------- */

static void limit_files(uint64_t bytes)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes ? bytes : limit.rlim_max;
	setrlimit(RLIMIT_FSIZE, &limit);
}

#define EXPECT(condition)                                                                  \
	do {                                                                               \
		if (!(condition)) {                                                        \
			fprintf(stderr, "%s:%d: %s\n  %s | %s | %s\n", __FILE__, __LINE__, \
				#condition, err.message, err.detail, err.hint);            \
			return 1;                                                          \
		}                                                                          \
	} while (0)

/* One file may not grow over a limit: to the store the same as a disk without room. */
static int fill_segment(void *arg)
{
	cairn_error err = {0};
	cairn_object *object;
	cairn_batch *batch;
	cairn_store *store;
	uint8_t *bytes = support_bytes(48 << 20, 5);
	cairn_tensor tensor = support_file("big", bytes, 48 << 20);
	cairn_id id;
	int rc;

	signal(SIGXFSZ, SIG_IGN);
	EXPECT(cairn_store_open(&store, arg, CAIRN_STORE_CREATE, &err) == 0);
	limit_files(20 << 20);
	EXPECT(cairn_batch_begin(&batch, store, &err) == 0);
	EXPECT(cairn_batch_put(batch, "note", "k", 1, "v", 1, &err) == 0);
	EXPECT(cairn_batch_artifact_begin(batch, "file", &err) == 0);
	rc = cairn_batch_artifact_put(batch, &tensor, &err);
	EXPECT(rc == CAIRN_EIO && strstr(err.hint, "full"));
	cairn_batch_artifact_drop(batch);
	cairn_error_clear(&err);
	rc = cairn_batch_commit(batch, &err); /* its earlier chunks are lost as well */
	EXPECT(rc == CAIRN_EIO);
	cairn_error_clear(&err);

	limit_files(0); /* room again, in the same process */
	EXPECT(cairn_batch_begin(&batch, store, &err) == 0);
	EXPECT(cairn_batch_artifact_begin(batch, "file", &err) == 0);
	EXPECT(cairn_batch_artifact_put(batch, &tensor, &err) == 0);
	EXPECT(cairn_batch_artifact_end(batch, NULL, &id, &err) == 0);
	EXPECT(cairn_batch_commit(batch, &err) == 0);
	EXPECT(cairn_object_open(&object, store, &id, &err) == 0);
	EXPECT(cairn_object_read(object, "big", &tensor, &err) == 0);
	EXPECT(memcmp(tensor.data, bytes, 48 << 20) == 0);
	cairn_object_close(object);
	cairn_store_close(store);
	free(bytes);
	return 0;
}

static void test_store_damage__a_full_disk_loses_nothing(void **state)
{
	assert_int_equal(support_child(fill_segment, *state), 0);
}

static int fill_index(void *arg)
{
	cairn_error err = {0};
	cairn_object *object;
	cairn_batch *batch;
	cairn_store *store;
	cairn_id first, second;
	int rc;

	signal(SIGXFSZ, SIG_IGN);
	EXPECT(cairn_store_open(&store, arg, CAIRN_STORE_CREATE, &err) == 0);
	first = support_commit(store, 20, 3000, 1);
	limit_files(1 << 20);
	EXPECT(cairn_batch_begin(&batch, store, &err) == 0);
	support_put(batch, 40, CAIRN_INLINE_BYTES, 500, &second);
	rc = cairn_batch_commit(batch, &err);
	EXPECT(rc == CAIRN_EIO);
	cairn_error_clear(&err);
	EXPECT(support_verify(store, &first, 20, 3000, 1, &err) == 0);
	EXPECT(cairn_object_open(&object, store, &second, NULL) == CAIRN_ENOTFOUND);

	limit_files(0);
	second = support_commit(store, 40, CAIRN_INLINE_BYTES, 500);
	EXPECT(support_verify(store, &second, 40, CAIRN_INLINE_BYTES, 500, &err) == 0);
	EXPECT(support_verify(store, &first, 20, 3000, 1, &err) == 0);
	cairn_store_close(store);
	EXPECT(cairn_store_open(&store, arg, 0, &err) == 0);
	EXPECT(support_verify(store, &first, 20, 3000, 1, &err) == 0);
	cairn_store_close(store);
	return 0;
}

static void test_store_damage__a_full_index_loses_nothing(void **state)
{
	assert_int_equal(support_child(fill_index, *state), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_damage__names_entry_chunk_and_segment),
		TEST(test_store_damage__no_flip_in_a_payload_passes),
		TEST(test_store_damage__a_truncated_or_missing_segment_is_an_error),
		TEST(test_store_damage__a_large_tensor_is_mapped_until_it_is_released),
		TEST(test_store_damage__is_met_before_a_mapping_is_handed_out),
		TEST(test_store_damage__a_mapping_outlives_its_segment),
		TEST(test_store_damage__no_flip_in_the_index_gives_wrong_bytes),
		TEST(test_store_damage__a_truncated_index_is_refused),
		TEST(test_store_damage__a_full_disk_loses_nothing),
		TEST(test_store_damage__a_full_index_loses_nothing),
	};

	return cmocka_run_group_tests_name("store/damage", tests, NULL, NULL);
}
