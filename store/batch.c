/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch.c - the commit: the one place where anything becomes visible.
 *
 *   1. sync the segment                 what the index will name is on the disk
 *   2. begin the write transaction      the only one, in all processes
 *   3. our lease                        what we stamp from here on is in use (lease.c)
 *   4. chunks, blobs, manifests         those that are not there yet; all are stamped
 *   5. uses                             what our records name stays, if a collection is under way
 *   6. record changes, in order
 *   7. the caller's callback            which sees all of this, and may change more
 *   8. commit
 *
 * Where 4 meets a chunk that was there when it was put and has been collected since, all is undone,
 * the chunk is written anew from the copy that was kept, and we begin again.
 *
 * A crash before 8 leaves bytes in a segment that nothing names; FORMAT.md has the argument.
 * Chunks and blobs may go to the index earlier (spill), because nothing names them yet.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "store/internal.h"

/* One transaction holds its pages in memory: these bound it (and stay under LMDB's 131,071 pages,
 * beyond which 0.9.24 spills and may leak them). */
enum {
	SPILL_ITEMS = 32768,
	SPILL_BYTES = 64 << 20
};

void (*cairn_store__hook)(const char *where);

int cairn_batch_begin(cairn_batch **out, cairn_store *store, cairn_error *err)
{
	cairn_batch *batch;

	if (store->is_readonly)
		return cairn_error_set(
			err, CAIRN_EBUG, "the store '%s' is open for reading only", store->path);
	batch = cairn_alloc(1, sizeof(*batch));
	if (!batch)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	batch->store = store;
	cairn_lease__enter(batch);
	*out = batch;
	return 0;
}

/* Forgets all changes but the first n. */
static void forget_changes(cairn_batch *batch, size_t n)
{
	while (batch->n_changes > n)
		free(batch->changes[--batch->n_changes].key);
}

void cairn_batch_abort(cairn_batch *batch)
{
	if (!batch)
		return;
	CAIRN_ASSERT(!batch->txn);
	if (batch->has_appended && --batch->store->n_appending == 0)
		cairn_segments__settle(batch->store->segments);
	cairn_lease__leave(batch);
	cairn_batch__free_draft(batch);
	cairn_pending__free(&batch->pending);
	forget_changes(batch, 0);
	free(batch->changes);
	free(batch->uses);
	free(batch);
}

void cairn_batch_on_commit(cairn_batch *batch, cairn_batch_fn fn, void *arg)
{
	batch->on_commit = fn;
	batch->on_commit_arg = arg;
}

/* ---- record changes --------------------------------------------------------------- */

static int apply(cairn_txn *txn, const cairn_change *c, cairn_error *err)
{
	if (!c->value)
		return cairn_catalog__delete(txn, c->table, c->key, c->key_len, err);
	return cairn_catalog__put(txn, c->table, c->key, c->key_len, c->value, c->value_len, err);
}

static int remember(cairn_batch *batch, enum cairn_table table, const void *key, size_t key_len,
	const void *value, size_t value_len, cairn_error *err)
{
	cairn_change *change;

	if (batch->n_changes == batch->cap_changes) {
		size_t cap = batch->cap_changes ? batch->cap_changes * 2 : 8;
		cairn_change *grown = cairn_realloc(batch->changes, cap, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		batch->changes = grown;
		batch->cap_changes = cap;
	}
	change = &batch->changes[batch->n_changes];
	*change = (cairn_change){
		.table = table, .key_len = (uint32_t)key_len, .value_len = (uint32_t)value_len};
	change->key = cairn_alloc(key_len + value_len, 1);
	if (!change->key)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	memcpy(change->key, key, key_len);
	if (value) {
		change->value = change->key + key_len;
		memcpy(change->value, value, value_len);
	}
	batch->n_changes++;
	return 0;
}

static int change(cairn_batch *batch, const char *table_name, const void *key, size_t key_len,
	const void *value, size_t value_len, cairn_error *err)
{
	enum cairn_table table;
	int rc = cairn_index__table(&table, table_name, err);

	if (rc)
		return rc;
	if (key_len == 0 || key_len > CAIRN_MAX_KEY)
		return cairn_error_set(err, CAIRN_ELIMIT,
			"a key of table '%s' has %zu bytes (1 to %d are allowed)", table_name,
			key_len, CAIRN_MAX_KEY);
	if (value_len > CAIRN_MAX_VALUE)
		return cairn_error_set(err, CAIRN_ELIMIT,
			"a value of table '%s' has %zu bytes (%d are allowed)", table_name,
			value_len, CAIRN_MAX_VALUE);
	if (table == CAIRN_TABLE_REF && value && value_len == sizeof(cairn_id)) {
		cairn_id id;

		memcpy(&id, value, sizeof(id));
		if ((rc = cairn_batch_use(batch, &id, false, err)))
			return rc;
	}
	rc = remember(batch, table, key, key_len, value, value_len, err);
	/* Inside a commit it applies at once, from the copy: what the caller gave may point into
	 * the page that is about to change. */
	if (!rc && batch->txn)
		rc = apply(batch->txn, &batch->changes[batch->n_changes - 1], err);
	return rc;
}

int cairn_batch_put(cairn_batch *batch, const char *table, const void *key, size_t key_len,
	const void *value, size_t value_len, cairn_error *err)
{
	return change(batch, table, key, key_len, value ? value : "", value_len, err);
}

int cairn_batch_delete(
	cairn_batch *batch, const char *table, const void *key, size_t key_len, cairn_error *err)
{
	return change(batch, table, key, key_len, NULL, 0, err);
}

/* ---- uses ------------------------------------------------------------------------- */

static int gone(const cairn_id *id, cairn_error *err)
{
	char text[CAIRN_ID_TEXT];

	cairn_id_format(id, text);
	cairn_error_set(err, CAIRN_EBUSY, "an artifact was collected while it was to be used");
	cairn_error_detail(err, "%s", text);
	cairn_error_hint(err, "Run again: what is missing will be made anew.");
	return CAIRN_EBUSY;
}

static int take_last(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	uint64_t *seq = arg;

	(void)value, (void)value_len, (void)err;
	*seq = cairn_get_be(key, key_len < 8 ? key_len : 8) + 1;
	return 1;
}

/* Tells the collection under way of a root that it may not have met. */
static int tell_collector(cairn_txn *txn, const cairn_id *id, cairn_error *err)
{
	uint8_t key[8];
	uint64_t seq = 0;
	int rc = cairn_index__scan(txn, CAIRN_TABLE_RECENT, NULL, 0, true, take_last, &seq, err);

	if (rc)
		return rc;
	cairn_put_be(key, seq, sizeof(key));
	return cairn_catalog__put(
		txn, CAIRN_TABLE_RECENT, key, sizeof(key), id->bytes, sizeof(id->bytes), err);
}

/* The manifest is the last of an artifact that a commit makes, and the first that a collection
 * takes: where it is, all of it is. */
static int apply_use(cairn_txn *txn, const cairn_use *use, uint64_t epoch, cairn_error *err)
{
	const void *value;
	size_t len;
	int rc = cairn_index__get(
		txn, CAIRN_TABLE_ARTIFACT, use->id.bytes, sizeof(use->id.bytes), &value, &len, err);

	if (rc == CAIRN_ENOTFOUND)
		return use->must_exist ? gone(&use->id, err) : 0;
	if (rc || !cairn_epoch__is_collecting(epoch))
		return rc;
	return tell_collector(txn, &use->id, err);
}

/* Where no collection began since we opened the store, whatever we read in it is still there. */
static int apply_uses(
	const cairn_batch *batch, cairn_txn *txn, size_t first, uint64_t epoch, cairn_error *err)
{
	int rc = 0;

	if (epoch == batch->store->opened_epoch && !cairn_epoch__is_collecting(epoch))
		return 0;
	for (size_t i = first; i < batch->n_uses && !rc; i++)
		rc = apply_use(txn, &batch->uses[i], epoch, err);
	return rc;
}

int cairn_batch_use(cairn_batch *batch, const cairn_id *id, bool must_exist, cairn_error *err)
{
	if (batch->n_uses == batch->cap_uses) {
		size_t cap = batch->cap_uses ? batch->cap_uses * 2 : 8;
		cairn_use *grown = cairn_realloc(batch->uses, cap, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		batch->uses = grown;
		batch->cap_uses = cap;
	}
	batch->uses[batch->n_uses++] = (cairn_use){.id = *id, .must_exist = must_exist};
	return 0;
}

/* ---- publishing ------------------------------------------------------------------- */

/* Everything this batch appended is on the disk after this. */
static int sync_chunks(cairn_batch *batch, cairn_error *err)
{
	cairn_segments *segments = batch->store->segments;
	int rc;

	if (!batch->has_appended)
		return 0;
	if (cairn_segments__failures(segments) != batch->failures)
		return cairn_error_set(err, CAIRN_EIO, "an earlier write to the store '%s' failed",
			batch->store->path);
	rc = cairn_segments__sync(segments, err);
	if (!rc)
		cairn_segments__keep(segments);
	return rc;
}

int cairn_batch__append(cairn_batch *batch, const cairn_id *id, const void *bytes, uint32_t len,
	cairn_place *out, cairn_error *err)
{
	cairn_segments *segments = batch->store->segments;
	int rc = cairn_segments__append(segments, id, bytes, len, out, err);

	if (rc || batch->has_appended)
		return rc;
	batch->has_appended = true;
	batch->failures = cairn_segments__failures(segments);
	batch->store->n_appending++;
	return 0;
}

static int apply_records(cairn_batch *batch, cairn_txn *txn, uint64_t epoch, cairn_error *err)
{
	cairn_snapshot now = {.txn = txn, .is_borrowed = true};
	size_t n_changes = batch->n_changes, n_uses = batch->n_uses;
	int rc = apply_uses(batch, txn, 0, epoch, err);

	for (size_t i = 0; i < n_changes && !rc; i++)
		rc = apply(txn, &batch->changes[i], err);
	if (rc || !batch->on_commit)
		return rc;
	batch->txn = txn;
	rc = batch->on_commit(&now, batch, batch->on_commit_arg, err);
	batch->txn = NULL;
	if (rc >= 0)
		rc = apply_uses(batch, txn, n_uses, epoch, err);
	forget_changes(batch, n_changes);
	batch->n_uses = n_uses;
	return rc < 0 ? rc : 0;
}

struct publishing {
	cairn_batch *batch;
	bool is_commit;
};

static int publish_in(cairn_txn *txn, void *arg, cairn_error *err)
{
	const struct publishing *publishing = arg;
	cairn_batch *batch = publishing->batch;
	uint64_t epoch;
	int rc = cairn_catalog__number(txn, "gc_epoch", &epoch, err);

	if (!rc)
		rc = cairn_lease__hold(
			batch->store, txn, batch, publishing->is_commit, &epoch, err);
	if (!rc)
		rc = cairn_pending__publish(
			&batch->pending, txn, publishing->is_commit, epoch, err);
	if (!rc && publishing->is_commit)
		rc = apply_records(batch, txn, epoch, err);
	return rc;
}

/* Chunks that were collected under us go to the segment again. */
static int write_lost(cairn_batch *batch, cairn_error *err)
{
	cairn_pending *pending = &batch->pending;
	int rc = 0;

	for (size_t i = 0; i < pending->n_items && !rc; i++) {
		cairn_pending_item *item = &pending->items[i];

		if (item->table != CAIRN_TABLE_CHUNK || item->is_new || !item->bytes)
			continue;
		rc = cairn_batch__append(
			batch, &item->id, item->bytes, item->len, &item->place, err);
		item->is_new = rc == 0;
	}
	return rc;
}

static int publish(cairn_batch *batch, bool is_commit, cairn_error *err)
{
	struct publishing publishing = {batch, is_commit};
	cairn_error failure;
	int rc;

	for (;;) {
		failure = (cairn_error){0};
		batch->pending.n_lost = 0;
		rc = sync_chunks(batch, &failure);
		cairn_store__step(is_commit ? "commit" : "spill");
		if (!rc)
			rc = cairn_index__write(
				batch->store->index, publish_in, &publishing, &failure);
		if (rc != CAIRN_EBUSY || !batch->pending.n_lost)
			break;
		failure = (cairn_error){0};
		if ((rc = write_lost(batch, &failure)))
			break;
	}
	if (!rc)
		cairn_lease__held(batch->store);
	else if (err && !err->code)
		*err = failure;
	return rc;
}

int cairn_batch__spill(cairn_batch *batch, cairn_error *err)
{
	int rc;

	if (batch->pending.n_unpublished < SPILL_ITEMS && batch->pending.bytes < SPILL_BYTES)
		return 0;
	rc = publish(batch, false, err);
	if (!rc)
		cairn_pending__spilled(&batch->pending);
	return rc;
}

int cairn_batch_commit(cairn_batch *batch, cairn_error *err)
{
	int rc = 0;

	if (batch->draft.kind)
		rc = cairn_error_set(err, CAIRN_EBUG,
			"a batch cannot be committed while an artifact is being written");
	else if (batch->pending.n_items || batch->n_changes || batch->n_uses || batch->on_commit)
		rc = publish(batch, true, err);
	cairn_batch_abort(batch);
	return rc;
}
