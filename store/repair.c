/* SPDX-License-Identifier: Apache-2.0 */
/*
 * repair.c - what is damaged goes out of the index, so that it can be put again.
 *
 * A put trusts the index: content that is named there is not written a second time. Once the
 * damaged chunk's entry is gone, the next put of it writes it anew. The manifest of an artifact
 * that is not whole goes too, for then every reader sees that it is not there, rather than that
 * it is broken: a stage whose output is gone runs again. Nothing that is right is touched, not
 * even the other chunks of such an artifact.
 *
 * Headers follow from the index and are written again where they were; the chunk behind one was
 * checked first, and a torn write leaves what was there before: a damaged header.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "cairn/fsck.h"
#include "store/internal.h"

typedef struct repair {
	cairn_store *store;
	const cairn_fsck_target *targets;
	size_t n;
	bool *is_done;  /* dropped or restored, per target */
	bool *is_right; /* a chunk that could not be read once, and can be now */
	uint32_t next_segment;
	cairn_batch_fn records;
	void *arg;
} repair;

int cairn_snapshot_has_artifact(
	cairn_snapshot *snapshot, const cairn_id *id, bool *out, cairn_error *err)
{
	const void *value;
	size_t len;
	int rc = cairn_index__get(snapshot->txn, CAIRN_TABLE_ARTIFACT, id->bytes, sizeof(id->bytes),
		&value, &len, err);

	if (rc && rc != CAIRN_ENOTFOUND)
		return rc;
	*out = rc == 0;
	return 0;
}

/* ---- headers ------------------------------------------------------------------------ */

static int write_block(
	const repair *r, uint32_t segment, uint64_t offset, const uint8_t *block, cairn_error *err)
{
	cairn_text path = {0};
	int fd, failed = 0;
	ssize_t n;

	cairn_text_printf(&path, "%s/seg/%08x.seg", r->store->path, segment);
	if (path.failed) {
		cairn_text_free(&path);
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	}
	fd = open(path.data, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || (n = pwrite(fd, block, CAIRN_BLOCK_BYTES, (off_t)offset)) < 0)
		failed = errno;
	else if (n != CAIRN_BLOCK_BYTES)
		failed = ENOSPC;
	else if (fdatasync(fd) != 0)
		failed = errno;
	if (failed)
		cairn_disk__fail(
			err, failed, r->store->path, "cannot write segment '%s'", path.data);
	if (fd >= 0)
		close(fd);
	cairn_text_free(&path);
	return failed ? CAIRN_EIO : 0;
}

/* 0 with *is_right: is what lies at this place the chunk? EINTEGRITY where it cannot be read. */
static int verify(const repair *r, const cairn_id *id, const cairn_place *place, bool *is_right,
	cairn_error *err)
{
	cairn_scrub scrub = {.directory = r->store->path, .fd = -1};
	size_t len = cairn_scrub__padded(place->stored_len);
	uint8_t *bytes = aligned_alloc(CAIRN_BLOCK_BYTES, len);
	cairn_id found;
	int rc = bytes ? cairn_scrub__open(&scrub, place->segment, err)
		       : cairn_error_set(err, CAIRN_ENOMEM, "out of memory");

	if (!rc)
		rc = cairn_scrub__read(&scrub, place->offset + CAIRN_BLOCK_BYTES, bytes, len, err);
	if (!rc) {
		cairn_sha256(bytes, place->stored_len, found.bytes);
		*is_right = cairn_id_compare(&found, id) == 0;
	}
	cairn_scrub__close(&scrub);
	free(bytes);
	return rc;
}

static int restore_record(
	const repair *r, const cairn_fsck_target *target, bool *is_done, cairn_error *err)
{
	uint8_t block[CAIRN_BLOCK_BYTES];
	bool is_right = false;
	cairn_place place;
	cairn_txn *txn;
	cairn_id id;
	int rc;

	memcpy(id.bytes, target->key, sizeof(id.bytes));
	rc = cairn_index__begin(&txn, r->store->index, false, err);
	if (rc)
		return rc;
	rc = cairn_catalog__get_chunk(txn, &id, &place, NULL);
	cairn_index__abort(txn);
	if (rc || place.segment != target->segment || place.offset != target->offset)
		return 0; /* collected or moved meanwhile */
	rc = verify(r, &id, &place, &is_right, err);
	if (rc || !is_right)
		return rc;
	cairn_header__record(block, &id, &place);
	rc = write_block(r, place.segment, place.offset, block, err);
	*is_done = rc == 0;
	return rc;
}

/* A disk that failed to read once is no reason to drop anything. What the header of such a chunk is
 * like nobody knows: it is written again, too. */
static int read_again(
	const repair *r, const cairn_fsck_target *target, bool *is_right, cairn_error *err)
{
	uint8_t block[CAIRN_BLOCK_BYTES];
	cairn_error why = {0};
	cairn_place place;
	cairn_txn *txn;
	cairn_id id;
	int rc;

	if (!target->has_place || target->key_len != sizeof(id.bytes))
		return 0;
	memcpy(id.bytes, target->key, sizeof(id.bytes));
	rc = cairn_index__begin(&txn, r->store->index, false, err);
	if (rc)
		return rc;
	rc = cairn_catalog__get_chunk(txn, &id, &place, NULL);
	cairn_index__abort(txn);
	if (rc || place.segment != target->segment || place.offset != target->offset)
		return 0;
	rc = verify(r, &id, &place, is_right, &why);
	if (rc && rc != CAIRN_EINTEGRITY && err)
		*err = why;
	if (rc || !*is_right)
		return rc == CAIRN_EINTEGRITY ? 0 : rc;
	cairn_header__record(block, &id, &place);
	return write_block(r, place.segment, place.offset, block, err);
}

/* What has to do with segments, before the transaction. */
static int look_at_segments(repair *r, cairn_error *err)
{
	uint8_t block[CAIRN_BLOCK_BYTES];
	int rc = 0;

	for (size_t i = 0; i < r->n && !rc; i++) {
		const cairn_fsck_target *target = &r->targets[i];

		if (!strcmp(target->what, "chunk"))
			rc = read_again(r, target, &r->is_right[i], err);
		if (strcmp(target->what, "header") != 0)
			continue;
		if (target->key_len == sizeof(cairn_id)) {
			rc = restore_record(r, target, &r->is_done[i], err);
			continue;
		}
		cairn_header__segment(block, target->segment, r->store->uuid);
		rc = write_block(r, target->segment, 0, block, err);
		r->is_done[i] = rc == 0;
	}
	return rc;
}

/* ---- values ------------------------------------------------------------------------- */

static int drop(repair *r, size_t i, cairn_txn *txn, enum cairn_table table, cairn_error *err)
{
	const cairn_fsck_target *target = &r->targets[i];
	int rc = cairn_catalog__delete(txn, table, target->key, target->key_len, err);

	r->is_done[i] = rc == 0;
	return rc;
}

/* A value that does not match its checksum; by now it may. */
static int drop_value(repair *r, size_t i, cairn_txn *txn, enum cairn_table table, cairn_error *err)
{
	const cairn_fsck_target *target = &r->targets[i];
	const void *value;
	size_t len;
	int rc = cairn_index__get(txn, table, target->key, target->key_len, &value, &len, err);

	if (rc)
		return rc == CAIRN_ENOTFOUND ? 0 : rc;
	if (cairn_catalog__check(table, target->key, target->key_len, value, len, NULL) == 0)
		return 0;
	rc = drop(r, i, txn, table, err);
	/* Two numbers of the store itself; an epoch may begin again at 0. */
	if (!rc && table == CAIRN_TABLE_META && target->key_len == 8 &&
		!memcmp(target->key, "next_seg", 8))
		rc = cairn_catalog__set_number(txn, "next_seg", r->next_segment, err);
	return rc;
}

/* The bytes behind a right entry are wrong, if it still says that they lie there. */
static int drop_chunk(repair *r, size_t i, cairn_txn *txn, cairn_error *err)
{
	const cairn_fsck_target *target = &r->targets[i];
	cairn_place place;
	cairn_id id;
	int rc;

	if (!target->has_place || target->key_len != sizeof(id.bytes))
		return drop_value(r, i, txn, CAIRN_TABLE_CHUNK, err);
	memcpy(id.bytes, target->key, sizeof(id.bytes));
	rc = cairn_catalog__get_chunk(txn, &id, &place, NULL);
	if (rc || r->is_right[i] || place.segment != target->segment ||
		place.offset != target->offset)
		return 0;
	return drop(r, i, txn, CAIRN_TABLE_CHUNK, err);
}

struct whole {
	cairn_txn *txn;
	bool is_hurt;
};

static int look_at_part(void *arg, const cairn_part *part, cairn_error *err)
{
	struct whole *whole = arg;
	cairn_place place;
	const void *bytes;
	size_t len;
	int rc = 0;

	(void)err;
	if (part->problem)
		rc = part->problem;
	else if (part->table == CAIRN_TABLE_CHUNK)
		rc = cairn_catalog__get_chunk(whole->txn, &part->id, &place, NULL);
	else if (part->table == CAIRN_TABLE_BLOB && !part->is_node)
		rc = cairn_catalog__get_blob(
			whole->txn, CAIRN_TABLE_BLOB, &part->id, &bytes, &len, NULL);
	whole->is_hurt |= rc != 0;
	return 0;
}

static int drop_artifact(repair *r, size_t i, cairn_txn *txn, cairn_error *err)
{
	const cairn_fsck_target *target = &r->targets[i];
	struct whole whole = {.txn = txn};
	const void *value;
	size_t len;
	cairn_id id;
	int rc;

	if (target->key_len != sizeof(id.bytes))
		return 0;
	rc = cairn_index__get(
		txn, CAIRN_TABLE_ARTIFACT, target->key, target->key_len, &value, &len, err);
	if (rc)
		return rc == CAIRN_ENOTFOUND ? 0 : rc; /* gone already */
	memcpy(id.bytes, target->key, sizeof(id.bytes));
	rc = cairn_walk(txn, &id, look_at_part, &whole, err);
	if (rc || !whole.is_hurt)
		return rc;
	return drop(r, i, txn, CAIRN_TABLE_ARTIFACT, err);
}

static int drop_target(repair *r, size_t i, cairn_txn *txn, cairn_error *err)
{
	const cairn_fsck_target *target = &r->targets[i];

	if (!strcmp(target->what, "chunk"))
		return drop_chunk(r, i, txn, err);
	if (!strcmp(target->what, "header") || !target->key)
		return 0;
	for (int table = 0; table < CAIRN_TABLES; table++) {
		if (!strcmp(target->table, cairn_index__table_name((enum cairn_table)table)))
			return drop_value(r, i, txn, (enum cairn_table)table, err);
	}
	return 0;
}

static int apply(cairn_snapshot *now, cairn_batch *batch, void *arg, cairn_error *err)
{
	repair *r = arg;
	int rc = 0;

	/* Parts before the artifacts that they hurt. */
	for (size_t i = 0; i < r->n && !rc; i++) {
		if (strcmp(r->targets[i].what, "artifact") != 0)
			rc = drop_target(r, i, now->txn, err);
	}
	for (size_t i = 0; i < r->n && !rc; i++) {
		if (!strcmp(r->targets[i].what, "artifact"))
			rc = drop_artifact(r, i, now->txn, err);
	}
	return !rc && r->records ? r->records(now, batch, r->arg, err) : rc;
}

static int find_next_segment(repair *r, cairn_error *err)
{
	uint32_t *numbers;
	size_t n;
	int rc = cairn_scrub__list(&numbers, &n, r->store->path, err);

	if (rc)
		return rc;
	r->next_segment = n ? numbers[n - 1] + 1 : 0;
	free(numbers);
	return 0;
}

int cairn_fsck_repair(cairn_store *store, const cairn_fsck_target *targets, size_t n,
	cairn_fsck_told_fn told, cairn_batch_fn records, void *arg, cairn_error *err)
{
	repair r = {.store = store, .targets = targets, .n = n, .records = records, .arg = arg};
	cairn_batch *batch;
	int rc = cairn_batch_begin(&batch, store, err);

	if (rc)
		return rc;
	r.is_done = cairn_alloc(n + 1, sizeof(*r.is_done));
	r.is_right = cairn_alloc(n + 1, sizeof(*r.is_right));
	if (!r.is_done || !r.is_right)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	if (!rc)
		rc = find_next_segment(&r, err);
	if (!rc)
		rc = look_at_segments(&r, err);
	cairn_batch_on_commit(batch, apply, &r);
	if (rc)
		cairn_batch_abort(batch);
	else
		rc = cairn_batch_commit(batch, err);
	for (size_t i = 0; i < n && !rc && told; i++) {
		if (r.is_done[i])
			told(arg, strcmp(targets[i].what, "header") ? "drop" : "restore",
				&targets[i]);
	}
	free(r.is_done);
	free(r.is_right);
	return rc;
}
