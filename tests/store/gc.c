/* SPDX-License-Identifier: Apache-2.0 */
/* What a collection takes and what it keeps; segments; leases. Races are in gc_interleave.c. */
#include "support.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "store/internal.h"

enum {
	SMALL = 3000,      /* lies in the index */
	LARGE = 128 << 10, /* lies in a segment, as one chunk */
};

/* ---- roots: what the refs name ------------------------------------------------------------ */

struct telling {
	cairn_root_fn tell;
	void *arg;
};

static int tell_ref(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	const struct telling *telling = arg;
	cairn_id id;

	(void)key, (void)key_len;
	if (value_len != sizeof(id))
		return 0;
	memcpy(&id, value, sizeof(id));
	return telling->tell(telling->arg, &id, err);
}

static int tell_refs(
	void *arg, cairn_store *store, cairn_root_fn tell, void *root_arg, cairn_error *err)
{
	struct telling telling = {tell, root_arg};
	cairn_snapshot *snapshot;
	int rc = cairn_snapshot_begin(&snapshot, store, err);

	(void)arg;
	if (rc)
		return rc;
	rc = cairn_snapshot_scan(snapshot, "ref", NULL, 0, false, tell_ref, &telling, err);
	cairn_snapshot_end(snapshot);
	return rc;
}

static cairn_gc_report collect(cairn_store *store, bool is_dry_run)
{
	const cairn_gc_options options = {.roots = tell_refs, .is_dry_run = is_dry_run};
	cairn_gc_report report;
	cairn_error err = {0};

	OK(cairn_store_gc(store, &options, &report, &err));
	return report;
}

static void name(cairn_store *store, const char *ref, const cairn_id *id)
{
	cairn_error err = {0};
	cairn_batch *batch;

	OK(cairn_batch_begin(&batch, store, &err));
	if (id)
		OK(cairn_batch_put(batch, "ref", ref, strlen(ref), id->bytes, 32, &err));
	else
		OK(cairn_batch_delete(batch, "ref", ref, strlen(ref), &err));
	OK(cairn_batch_commit(batch, &err));
}

static bool is_there(cairn_store *store, const cairn_id *id)
{
	cairn_object *object = NULL;
	int rc = cairn_object_open(&object, store, id, NULL);

	cairn_object_close(object);
	assert_true(rc == 0 || rc == CAIRN_ENOTFOUND);
	return rc == 0;
}

static size_t n_segments(const char *directory)
{
	char path[600];
	size_t n = 0;
	DIR *stream;

	snprintf(path, sizeof(path), "%s/seg", directory);
	stream = opendir(path);
	assert_non_null(stream);
	for (const struct dirent *found; (found = readdir(stream));)
		n += strstr(found->d_name, ".seg") != NULL;
	closedir(stream);
	return n;
}

/* ---- what stays, what goes ------------------------------------------------------------------ */

static void test_store_gc__keeps_what_a_ref_names(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id kept = support_commit(store, 3, LARGE, 1),
		 small = support_commit(store, 4, SMALL, 50);
	cairn_id gone = support_commit(store, 3, LARGE, 20), gone_small;
	cairn_error err = {0};
	cairn_gc_report report;

	gone_small = support_commit(store, 2, SMALL, 90);
	name(store, "a", &kept);
	name(store, "b", &small);
	report = collect(store, false);
	assert_int_equal(report.n_roots, 2);
	assert_int_equal(report.dead_artifacts.n, 2);
	assert_int_equal(report.dead_chunks.n, 3);
	assert_int_equal(report.dead_blobs.n, 3 + 2 + 2); /* entry nodes, and two small chunks */
	assert_int_equal(report.held.n, 0);
	assert_false(is_there(store, &gone));
	assert_false(is_there(store, &gone_small));
	OK(support_verify(store, &kept, 3, LARGE, 1, &err));
	OK(support_verify(store, &small, 4, SMALL, 50, &err));
	/* And a second one finds nothing to do. */
	report = collect(store, false);
	assert_int_equal(report.dead_artifacts.n + report.dead_blobs.n + report.dead_chunks.n, 0);
	cairn_store_close(store);
}

static void test_store_gc__keeps_what_is_shared(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	/* Entries 5 and 6 are in both. */
	cairn_id kept = support_commit(store, 3, LARGE, 5),
		 gone = support_commit(store, 4, LARGE, 3);
	cairn_error err = {0};
	cairn_gc_report report;

	name(store, "a", &kept);
	report = collect(store, false);
	assert_int_equal(report.dead_chunks.n, 2);
	assert_false(is_there(store, &gone));
	OK(support_verify(store, &kept, 3, LARGE, 5, &err));
	cairn_store_close(store);
}

/* 2000 entries of a few bytes: two nodes of a list. The first 1500 are the same for every tag. */
static cairn_id commit_long_list(cairn_store *store, uint8_t tag)
{
	cairn_error err = {0};
	cairn_batch *batch;
	cairn_id id;

	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_artifact_begin(batch, "file", &err));
	for (int i = 0; i < 2000; i++) {
		uint8_t bytes[3] = {(uint8_t)i, (uint8_t)(i >> 8), i < 1500 ? 0 : tag};
		char entry[16];
		cairn_tensor tensor;

		snprintf(entry, sizeof(entry), "e%04d", i);
		tensor = support_file(entry, bytes, sizeof(bytes));
		OK(cairn_batch_artifact_put(batch, &tensor, &err));
	}
	OK(cairn_batch_artifact_end(batch, NULL, &id, &err));
	OK(cairn_batch_commit(batch, &err));
	return id;
}

/* What one artifact was marked for is passed over in the next, but not what comes behind it. */
static void test_store_gc__keeps_what_follows_a_shared_part_of_a_list(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id ids[] = {
		commit_long_list(store, 1), commit_long_list(store, 2), commit_long_list(store, 3)};
	cairn_error err = {0};
	cairn_gc_report report;

	name(store, "a", &ids[0]);
	name(store, "b", &ids[1]);
	report = collect(store, false);
	assert_int_equal(report.dead_artifacts.n, 1);
	assert_int_equal(report.dead_blobs.n, 2 * 500 + 1); /* and a node of the list */
	assert_false(is_there(store, &ids[2]));
	for (int k = 0; k < 2; k++) {
		cairn_object *object;

		OK(cairn_object_open(&object, store, &ids[k], &err));
		for (int i = 0; i < 2000; i++) {
			cairn_tensor tensor;
			char entry[16];

			snprintf(entry, sizeof(entry), "e%04d", i);
			OK(cairn_object_read(object, entry, &tensor, &err));
			assert_int_equal(((const uint8_t *)tensor.data)[2], i < 1500 ? 0 : k + 1);
		}
		cairn_object_close(object);
	}
	cairn_store_close(store);
}

static void test_store_gc__dry_run_counts_and_changes_nothing(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id gone = support_commit(store, 3, LARGE, 20);
	cairn_gc_report dry, wet;
	cairn_error err = {0};

	dry = collect(store, true);
	OK(support_verify(store, &gone, 3, LARGE, 20, &err));
	wet = collect(store, false);
	assert_int_equal(dry.dead_artifacts.n, 1);
	assert_int_equal(dry.dead_chunks.bytes, 3 * (LARGE + 4096));
	assert_memory_equal(&dry.dead_artifacts, &wet.dead_artifacts, sizeof(dry.dead_artifacts));
	assert_memory_equal(&dry.dead_blobs, &wet.dead_blobs, sizeof(dry.dead_blobs));
	assert_memory_equal(&dry.dead_chunks, &wet.dead_chunks, sizeof(dry.dead_chunks));
	cairn_store_close(store);
}

/* A file whose bytes are those of an entry node: reached as a chunk, it must not hide the node. */
static void test_store_gc__a_file_that_looks_like_a_node_hides_nothing(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id whole = support_commit(store, 1, LARGE, 7), copy;
	cairn_entry_node head = {.name = "e0",
		.name_len = 2,
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {LARGE},
		.bytes = LARGE};
	uint8_t *bytes = support_bytes(LARGE, 7);
	cairn_text node = {0};
	cairn_error err = {0};
	cairn_batch *batch;
	cairn_id chunk;

	cairn_sha256(bytes, LARGE, chunk.bytes);
	cairn_manifest__add_entry_head(&node, &head);
	OK(cairn_manifest__add_list(&node, &chunk, 1, NULL, NULL, &err));
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_artifact_begin(batch, "file", &err));
	OK(cairn_batch_artifact_put(batch,
		&(cairn_tensor){.name = "x",
			.dtype = CAIRN_U8,
			.n_dims = 1,
			.dims = {node.len},
			.data = node.data,
			.bytes = node.len},
		&err));
	OK(cairn_batch_artifact_end(batch, NULL, &copy, &err));
	OK(cairn_batch_commit(batch, &err));
	name(store, "a", &copy);
	name(store, "b", &whole);
	(void)collect(store, false);
	OK(support_verify(store, &whole, 1, LARGE, 7, &err));
	assert_true(is_there(store, &copy));
	cairn_text_free(&node);
	free(bytes);
	cairn_store_close(store);
}

static void test_store_gc__takes_many_in_many_transactions(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id kept = support_commit(store, 1500, 40, 1000000);
	cairn_error err = {0};
	cairn_gc_report report;

	(void)support_commit(store, 1600, 40, 2000000);
	name(store, "kept", &kept);
	report = collect(store, false);
	assert_int_equal(report.dead_blobs.n, 2 * 1600 + 2); /* and two nodes of the list */
	OK(support_verify(store, &kept, 1500, 40, 1000000, &err));
	cairn_store_close(store);
}

/* ---- writers ----------------------------------------------------------------------------------
 */

static void test_store_gc__an_open_batch_keeps_what_it_spilled(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	cairn_gc_report report;
	cairn_batch *batch;
	cairn_id id;

	OK(cairn_batch_begin(&batch, store, &err));
	/* More than one transaction takes: the first part is in the index, and nothing names it. */
	support_put(batch, 20000, 16, 5000000, &id);
	report = collect(store, false);
	assert_int_equal(report.dead_blobs.n, 0);
	assert_true(report.held.n > 10000);
	OK(cairn_batch_put(batch, "ref", "r", 1, id.bytes, 32, &err));
	OK(cairn_batch_commit(batch, &err));
	(void)collect(store, false);
	OK(support_verify(store, &id, 20000, 16, 5000000, &err));
	cairn_store_close(store);
}

/* It was there when it was put, and was collected before the commit. */
static void test_store_gc__what_was_found_and_collected_is_written_anew(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	cairn_gc_report report;
	cairn_batch *batch;
	cairn_id id;

	(void)support_commit(store, 3, LARGE, 30);
	(void)support_commit(store, 3, SMALL, 40);
	cairn_store_close(store);
	store = support_open(*state, 0);
	/* This process relies on nothing old without a copy: it has taken no lease yet. */
	OK(cairn_batch_begin(&batch, store, &err));
	support_put(batch, 3, LARGE, 30, &id);
	report = collect(store, false);
	assert_int_equal(report.dead_chunks.n, 3);
	OK(cairn_batch_put(batch, "ref", "r", 1, id.bytes, 32, &err));
	OK(cairn_batch_commit(batch, &err));
	OK(support_verify(store, &id, 3, LARGE, 30, &err));
	(void)collect(store, false);
	OK(support_verify(store, &id, 3, LARGE, 30, &err));
	cairn_store_close(store);
}

static void test_store_gc__a_long_lived_writer_does_not_keep_its_garbage(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	cairn_batch *idle;
	cairn_id id;

	/* Like a trainer: a batch for outputs is open all the time, checkpoints come and go. */
	OK(cairn_batch_begin(&idle, store, &err));
	for (uint64_t i = 0; i < 4; i++) {
		id = support_commit(store, 2, LARGE, 100 * i);
		name(store, "checkpoint", &id);
		(void)collect(store, false);
		OK(support_verify(store, &id, 2, LARGE, 100 * i, &err));
	}
	/* One behind at most: what was published since the last collection. */
	assert_true(collect(store, true).held.n <= 4);
	assert_true(collect(store, true).live_chunks.n == 2);
	cairn_batch_abort(idle);
	cairn_store_close(store);
}

static void test_store_gc__a_use_of_what_is_gone_is_told(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id id = support_commit(store, 1, SMALL, 1);
	cairn_error err = {0};
	cairn_batch *batch;

	(void)collect(store, false);
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_use(batch, &id, false, &err));
	OK(cairn_batch_commit(batch, &err));
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_use(batch, &id, true, &err));
	assert_int_equal(cairn_batch_commit(batch, &err), CAIRN_EBUSY);
	assert_non_null(strstr(err.hint, "Run again"));
	cairn_store_close(store);
}

/* ---- damage ------------------------------------------------------------------------------------
 */

static int spoil(cairn_txn *txn, void *arg, cairn_error *err)
{
	const cairn_id *id = arg;
	uint8_t *room;
	const void *value;
	size_t len;
	uint8_t copy[4096];
	int rc = cairn_index__get(txn, CAIRN_TABLE_ARTIFACT, id->bytes, 32, &value, &len, err);

	if (rc)
		return rc;
	memcpy(copy, value, len);
	copy[len - 1] ^= 1;
	rc = cairn_index__reserve(txn, CAIRN_TABLE_ARTIFACT, id->bytes, 32, len, &room, err);
	if (!rc)
		memcpy(room, copy, len);
	return rc;
}

static void test_store_gc__takes_nothing_while_a_root_is_damaged(void **state)
{
	const cairn_gc_options options = {.roots = tell_refs};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id kept = support_commit(store, 2, LARGE, 1),
		 other = support_commit(store, 1, LARGE, 9);
	cairn_error err = {0};
	cairn_gc_report report;

	name(store, "a", &kept);
	OK(cairn_index__write(store->index, spoil, &kept, &err));
	assert_int_equal(cairn_store_gc(store, &options, &report, &err), CAIRN_EINTEGRITY);
	assert_non_null(strstr(err.hint, "fsck"));
	err = (cairn_error){0};
	OK(support_verify(store, &other, 1, LARGE, 9, &err));
	cairn_store_close(store);
}

/* ---- segments
 * ------------------------------------------------------------------------------------ */

static int write_one(void *arg)
{
	cairn_store *store = support_open(arg, 0);

	name(store, "kept", &(cairn_id[]){support_commit(store, 2, LARGE, 1)}[0]);
	(void)support_commit(store, 6, LARGE, 100);
	cairn_store_close(store);
	return 0;
}

static void test_store_gc__rewrites_a_sparse_segment(void **state)
{
	cairn_error err = {0};
	cairn_gc_report report;
	cairn_store *store;
	cairn_id kept;

	cairn_store_close(support_open(*state, CAIRN_STORE_CREATE));
	assert_int_equal(support_child(write_one, *state), 0);
	store = support_open(*state, 0);
	assert_int_equal(n_segments(*state), 1);
	report = collect(store, false);
	assert_int_equal(report.segments_rewritten.n, 1);
	assert_int_equal(report.segments_rewritten.bytes, 4096 + 6 * (LARGE + 4096));
	assert_int_equal(n_segments(*state), 1);
	assert_int_equal(support_size(*state, "seg"), 4096 + 2 * (LARGE + 4096));
	kept = support_commit(store, 2, LARGE, 1);
	OK(support_verify(store, &kept, 2, LARGE, 1, &err));
	cairn_store_close(store);
	/* And closing it did not take the new file with it. */
	store = support_open(*state, 0);
	OK(support_verify(store, &kept, 2, LARGE, 1, &err));
	cairn_store_close(store);
}

static int die_before_commit(void *arg)
{
	cairn_store *store = support_open(arg, 0);
	cairn_error err = {0};
	cairn_batch *batch;
	cairn_id id;

	if (cairn_batch_begin(&batch, store, &err))
		return 1;
	support_put(batch, 4, LARGE, 500, &id);
	OK(cairn_segments__sync(store->segments, &err));
	raise(SIGKILL);
	return 1;
}

static void test_store_gc__removes_what_a_crash_left(void **state)
{
	cairn_gc_report report;
	cairn_store *store;

	cairn_store_close(support_open(*state, CAIRN_STORE_CREATE));
	assert_int_equal(support_child(die_before_commit, *state), 128 + SIGKILL);
	assert_int_equal(n_segments(*state), 1);
	store = support_open(*state, 0);
	report = collect(store, false);
	assert_int_equal(report.segments_removed.n, 1);
	assert_int_equal(n_segments(*state), 0);
	cairn_store_close(store);
}

static void test_store_gc__leaves_a_segment_that_is_written(void **state)
{
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	cairn_gc_report report;
	cairn_batch *batch;
	cairn_id id;

	OK(cairn_batch_begin(&batch, store, &err));
	support_put(batch, 2, LARGE, 1, &id);
	report = collect(store, false);
	assert_int_equal(report.segments_in_use.n, 1);
	assert_int_equal(report.segments_removed.n, 0);
	OK(cairn_batch_commit(batch, &err));
	OK(support_verify(store, &id, 2, LARGE, 1, &err));
	cairn_store_close(store);
}

/* ---- one at a time
 * -------------------------------------------------------------------------------- */

static void test_store_gc__only_one_at_a_time(void **state)
{
	const cairn_gc_options options = {.roots = tell_refs};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	cairn_gc_report report;
	int lock;

	OK(cairn_gc__lock(store, &lock, &err));
	assert_int_equal(cairn_store_gc(store, &options, &report, &err), CAIRN_EBUSY);
	close(lock);
	err = (cairn_error){0};
	OK(cairn_store_gc(store, &options, &report, &err));
	cairn_store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_gc__keeps_what_a_ref_names),
		TEST(test_store_gc__keeps_what_is_shared),
		TEST(test_store_gc__keeps_what_follows_a_shared_part_of_a_list),
		TEST(test_store_gc__dry_run_counts_and_changes_nothing),
		TEST(test_store_gc__a_file_that_looks_like_a_node_hides_nothing),
		TEST(test_store_gc__takes_many_in_many_transactions),
		TEST(test_store_gc__an_open_batch_keeps_what_it_spilled),
		TEST(test_store_gc__what_was_found_and_collected_is_written_anew),
		TEST(test_store_gc__a_long_lived_writer_does_not_keep_its_garbage),
		TEST(test_store_gc__a_use_of_what_is_gone_is_told),
		TEST(test_store_gc__takes_nothing_while_a_root_is_damaged),
		TEST(test_store_gc__rewrites_a_sparse_segment),
		TEST(test_store_gc__removes_what_a_crash_left),
		TEST(test_store_gc__leaves_a_segment_that_is_written),
		TEST(test_store_gc__only_one_at_a_time),
	};

	return cmocka_run_group_tests_name("store/gc", tests, NULL, NULL);
}
