/* SPDX-License-Identifier: Apache-2.0 */
#include "operations.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "cairn/fsck.h"
#include "store/internal.h"

enum {
	SMALL = 3000,
	LARGE = 5 << 18,  /* 1.25 MiB: mapped when it is read */
	TEXT = 300 << 10, /* cut by content */
	GARBAGE = 70 << 10,
	NEW_LARGE = 9 << 20, /* more than one staging buffer, more than two chunks */
};

static const struct kept {
	const char *ref;
	uint64_t seed;
} small = {"small", 10}, large = {"large", 100}, text = {"text", 200}, sparse = {"sparse", 300};

/* Memory of this test's own: the faults are not for it. */
static uint8_t room[NEW_LARGE];

static const uint8_t *fill(size_t len, uint64_t seed)
{
	assert_true(len <= sizeof(room));
	support_fill(room, len, seed);
	return room;
}

/* As support_verify. */
static int verify_id(cairn_store *store, const cairn_id *id, uint64_t n, size_t len, uint64_t seed,
	cairn_error *err)
{
	cairn_object *object = NULL;
	cairn_tensor got;
	int rc = cairn_object_open(&object, store, id, err);

	if (!rc)
		assert_int_equal(cairn_object_count(object), n);
	for (uint64_t i = 0; i < n && !rc; i++) {
		rc = cairn_object_read(object, i ? "e1" : "e0", &got, err);
		if (!rc) {
			assert_int_equal(got.bytes, len);
			assert_memory_equal(got.data, fill(len, seed + i), len);
		}
	}
	cairn_object_close(object);
	return rc;
}

/* ---- artifacts ------------------------------------------------------------------------------ */

static cairn_tensor tensor_of(const char *name, const void *data, size_t len)
{
	return (cairn_tensor){.name = name,
		.dtype = CAIRN_F32,
		.n_dims = 1,
		.dims = {len / 4},
		.data = data,
		.bytes = len};
}

/* One entry "e0"; a ref names it. */
static int put(cairn_store *store, const char *ref, bool is_tensor, size_t len, uint64_t seed,
	cairn_error *err)
{
	const uint8_t *bytes = fill(len, seed);
	cairn_tensor tensor =
		is_tensor ? tensor_of("e0", bytes, len) : support_file("e0", bytes, len);
	cairn_batch *batch = NULL;
	cairn_id id;
	int rc = cairn_batch_begin(&batch, store, err);

	if (!rc)
		rc = cairn_batch_artifact_begin(batch, "file", err);
	if (!rc)
		rc = cairn_batch_artifact_put(batch, &tensor, err);
	if (!rc)
		rc = cairn_batch_artifact_end(batch, "{\"step\": 1}", &id, err);
	if (!rc)
		rc = cairn_batch_put(batch, "ref", ref, strlen(ref), id.bytes, 32, err);
	if (rc) {
		cairn_batch_abort(batch);
		return rc;
	}
	return cairn_batch_commit(batch, err);
}

static int find(cairn_store *store, const char *ref, cairn_id *out, cairn_error *err)
{
	cairn_snapshot *snapshot;
	const void *value;
	size_t len;
	int rc = cairn_snapshot_begin(&snapshot, store, err);

	if (rc)
		return rc;
	rc = cairn_snapshot_get(snapshot, "ref", ref, strlen(ref), &value, &len, err);
	if (rc == 0)
		memcpy(out, value, sizeof(*out));
	cairn_snapshot_end(snapshot);
	return rc;
}

static int verify(cairn_store *store, const char *ref, size_t len, uint64_t seed, cairn_error *err)
{
	cairn_id id;
	int rc = find(store, ref, &id, err);

	return rc ? rc : verify_id(store, &id, 1, len, seed, err);
}

static void drop_ref(cairn_store *store, const char *ref)
{
	cairn_error err = {0};
	cairn_batch *batch;

	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_delete(batch, "ref", ref, strlen(ref), &err));
	OK(cairn_batch_commit(batch, &err));
}

/* ---- the store before ----------------------------------------------------------------------- */

/* Two segments; less than half of the second one is kept. */
static int make(void *arg)
{
	const char *directory = arg;
	cairn_store *store = support_open(directory, CAIRN_STORE_CREATE);
	cairn_error err = {0};

	OK(put(store, small.ref, false, SMALL, small.seed, &err));
	OK(put(store, large.ref, true, LARGE, large.seed, &err));
	OK(put(store, text.ref, false, TEXT, text.seed, &err));
	cairn_store_close(store);
	store = support_open(directory, 0);
	OK(put(store, sparse.ref, true, GARBAGE, sparse.seed, &err));
	for (uint64_t i = 0; i < 3; i++) {
		OK(put(store, "garbage", true, GARBAGE, 1000 + i, &err));
		OK(put(store, "garbage", false, SMALL, 2000 + i, &err));
	}
	drop_ref(store, "garbage");
	cairn_store_close(store);
	return 0;
}

/* In a process of its own: by then its lease is dead. */
void operations_make(const char *directory)
{
	assert_int_equal(support_child(make, (void *)directory), 0);
}

void operations_check_kept(cairn_store *store, const operation *after)
{
	cairn_error err = {0};

	OK(verify(store, small.ref, SMALL, small.seed, &err));
	OK(verify(store, text.ref, TEXT, text.seed, &err));
	OK(verify(store, sparse.ref, GARBAGE, sparse.seed, &err));
	if (!after->loses_large)
		OK(verify(store, large.ref, LARGE, large.seed, &err));
}

/* ---- the operations -------------------------------------------------------------------------- */

static int do_nothing(cairn_store *store, const char *directory, cairn_error *err)
{
	(void)store, (void)directory, (void)err;
	return 0;
}

static void remove_all(const char *directory)
{
	support_remove_tree(directory);
}

static void make_format_1(const char *directory)
{
	char path[600];
	uint8_t *bytes;
	size_t len;
	char *digit;

	snprintf(path, sizeof(path), "%s/format", directory);
	bytes = support_read(path, &len);
	bytes[len] = '\0';
	digit = strstr((char *)bytes, "version = ");
	assert_non_null(digit);
	digit[10] = '1';
	support_write(path, bytes, len);
	free(bytes);
}

static int put_small(cairn_store *store, const char *directory, cairn_error *err)
{
	(void)directory;
	return put(store, "new", false, SMALL, 400, err);
}

static void check_small(cairn_store *store)
{
	cairn_error err = {0};

	OK(verify(store, "new", SMALL, 400, &err));
}

static int put_large(cairn_store *store, const char *directory, cairn_error *err)
{
	(void)directory;
	return put(store, "new", true, NEW_LARGE, 500, err);
}

static void check_large(cairn_store *store)
{
	cairn_error err = {0};

	OK(verify(store, "new", NEW_LARGE, 500, &err));
}

/* What is there already, but for its end. */
static int put_text(cairn_store *store, const char *directory, cairn_error *err)
{
	(void)directory;
	return put(store, "new", false, TEXT + SMALL, text.seed, err);
}

static void check_text(cairn_store *store)
{
	cairn_error err = {0};

	OK(verify(store, "new", TEXT + SMALL, text.seed, &err));
}

/* A batch that another process made. */
static int unpack(cairn_store *store, const char *directory, cairn_error *err)
{
	cairn_batch *batch = NULL, *copy = NULL;
	void *bytes = NULL;
	cairn_id id;
	size_t len;
	int rc = cairn_batch_begin(&batch, store, err);

	(void)directory;
	if (!rc)
		rc = cairn_batch_begin(&copy, store, err);
	if (!rc)
		rc = cairn_batch_artifact_begin(batch, "file", err);
	for (uint64_t i = 0; i < 2 && !rc; i++) {
		const cairn_tensor tensor =
			support_file(i ? "e1" : "e0", fill(SMALL, 600 + i), SMALL);

		rc = cairn_batch_artifact_put(batch, &tensor, err);
	}
	if (!rc)
		rc = cairn_batch_artifact_end(batch, NULL, &id, err);
	if (!rc && (rc = cairn_batch_pack(batch, 1 << 20, &bytes, &len)) == 1)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	if (!rc)
		rc = cairn_batch_unpack(copy, bytes, len, err);
	if (!rc)
		rc = cairn_batch_put(copy, "ref", "new", 3, id.bytes, 32, err);
	free(bytes);
	cairn_batch_abort(batch);
	if (rc) {
		cairn_batch_abort(copy);
		return rc;
	}
	return cairn_batch_commit(copy, err);
}

static void check_unpacked(cairn_store *store)
{
	cairn_error err = {0};
	cairn_id id;

	OK(find(store, "new", &id, &err));
	OK(verify_id(store, &id, 2, SMALL, 600, &err));
}

static int read_all(cairn_store *store, const char *directory, cairn_error *err)
{
	int rc;

	(void)directory;
	if ((rc = verify(store, small.ref, SMALL, small.seed, err)) ||
		(rc = verify(store, large.ref, LARGE, large.seed, err)) ||
		(rc = verify(store, text.ref, TEXT, text.seed, err)))
		return rc;
	return verify(store, sparse.ref, GARBAGE, sparse.seed, err);
}

/* ---- collections ----------------------------------------------------------------------------- */

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

int operations_collect(cairn_store *store, cairn_gc_report *report, cairn_error *err)
{
	const cairn_gc_options options = {.roots = tell_refs};

	return cairn_store_gc(store, &options, report, err);
}

static int collect(cairn_store *store, const char *directory, cairn_error *err)
{
	cairn_gc_report report;

	(void)directory;
	return operations_collect(store, &report, err);
}

static void check_collected(cairn_store *store)
{
	const cairn_gc_options options = {.roots = tell_refs, .is_dry_run = true};
	cairn_gc_report report;
	cairn_error err = {0};

	OK(cairn_store_gc(store, &options, &report, &err));
	/* A copy that was not published lies in a segment that was in use still. */
	assert_true(report.segments_removed.n + report.segments_rewritten.n <= 1);
	assert_int_equal(report.n_missing, 0);
}

static int compact(cairn_store *store, const char *directory, cairn_error *err)
{
	cairn_compact_report report;

	(void)directory;
	return cairn_store_compact(store, &report, err);
}

static int back_up(cairn_store *store, const char *directory, cairn_error *err)
{
	bool is_done;

	(void)directory;
	return cairn_store_backup(store, 0, &is_done, err);
}

static void check_nothing(cairn_store *store)
{
	(void)store;
}

/* ---- after bit rot ----------------------------------------------------------------------------
 */

enum {
	DAMAGES = 16
};

struct found {
	size_t n;
	cairn_fsck_target targets[DAMAGES];
	uint8_t keys[DAMAGES][CAIRN_MAX_KEY];
};

static void note_damage(void *arg, const cairn_damage *damage)
{
	struct found *found = arg;
	cairn_fsck_target *target;

	if (found->n == DAMAGES || !damage->key)
		return;
	target = &found->targets[found->n];
	memcpy(found->keys[found->n], damage->key, damage->key_len);
	*target = (cairn_fsck_target){.what = damage->what,
		.table = damage->table,
		.key = found->keys[found->n],
		.key_len = damage->key_len,
		.has_place = damage->has_place,
		.segment = damage->segment,
		.offset = damage->offset};
	found->n++;
}

static int check_all(cairn_store *store, bool is_quick, struct found *found, cairn_error *err)
{
	const cairn_fsck_observer observer = {.damage = note_damage, .arg = found};
	cairn_fsck *fsck;
	int rc = cairn_fsck_new(&fsck, store, is_quick, &observer, err);

	if (rc)
		return rc;
	rc = cairn_fsck_index(fsck, err);
	if (!rc)
		rc = cairn_fsck_segments(fsck, err);
	if (!rc)
		rc = cairn_fsck_artifacts(fsck, err);
	cairn_fsck_free(fsck);
	return rc;
}

int operations_fsck(cairn_store *store, bool is_quick, size_t *n_damages, cairn_error *err)
{
	struct found found = {0};
	int rc = check_all(store, is_quick, &found, err);

	*n_damages = found.n;
	return rc;
}

static int fsck(cairn_store *store, const char *directory, cairn_error *err)
{
	struct found found = {0};
	int rc = check_all(store, false, &found, err);

	(void)directory;
	return !rc && found.n ? cairn_error_set(err, CAIRN_EINTEGRITY, "damage where there is none")
			      : rc;
}

/* In the first chunk of the artifact `large`, and in a header. */
static void damage_large(const char *directory)
{
	char path[600];
	uint8_t *bytes;
	size_t len;

	snprintf(path, sizeof(path), "%s/seg/00000000.seg", directory);
	bytes = support_read(path, &len);
	bytes[2 * CAIRN_BLOCK_BYTES + 4711] ^= 4;
	bytes[2 * CAIRN_BLOCK_BYTES + LARGE + 40] ^= 1;
	support_write(path, bytes, len);
	free(bytes);
}

static int repair(cairn_store *store, const char *directory, cairn_error *err)
{
	struct found found = {0};
	int rc = check_all(store, false, &found, err);

	(void)directory;
	if (!rc)
		rc = cairn_fsck_repair(store, found.targets, found.n, NULL, NULL, NULL, err);
	return rc;
}

static void check_repaired(cairn_store *store)
{
	struct found found = {0};
	cairn_error err = {0};
	cairn_id id;

	OK(check_all(store, false, &found, &err));
	assert_int_equal(found.n, 0);
	OK(find(store, large.ref, &id, &err));
	assert_int_equal(verify_id(store, &id, 1, LARGE, large.seed, NULL), CAIRN_ENOTFOUND);
}

static int rebuild(cairn_store *store, const char *directory, cairn_error *err)
{
	cairn_rebuilt rebuilt;

	(void)store;
	return cairn_store_rebuild(&rebuilt, directory, NULL, err);
}

const operation operations[] = {
	{"create", remove_all, CAIRN_STORE_CREATE, do_nothing, check_nothing, false, false},
	{"open", NULL, 0, do_nothing, check_nothing, false, false},
	{"upgrade", make_format_1, 0, do_nothing, check_nothing, false, false},
	{"put small", NULL, 0, put_small, check_small, false, false},
	{"put large", NULL, 0, put_large, check_large, false, true},
	{"put text", NULL, 0, put_text, check_text, false, false},
	{"unpack", NULL, 0, unpack, check_unpacked, false, false},
	{"read", NULL, CAIRN_STORE_READONLY, read_all, check_nothing, false, false},
	{"gc", NULL, 0, collect, check_collected, false, false},
	{"compact", NULL, 0, compact, check_nothing, false, false},
	{"backup", NULL, 0, back_up, check_nothing, false, false},
	{"fsck", NULL, CAIRN_STORE_READONLY, fsck, check_nothing, false, false},
	{"repair", damage_large, 0, repair, check_repaired, true, false},
	{"rebuild", NULL, UINT_MAX, rebuild, check_nothing, false, true},
};
const size_t n_operations = CAIRN_COUNT(operations);
