/* SPDX-License-Identifier: Apache-2.0 */
/*
 * batch.c - the commit: the one place where anything becomes visible.
 *
 *   1. sync the segment                 what the index will name is on the disk
 *   2. begin the write transaction      the only one, in all processes
 *   3. chunks, blobs, manifests         those that are not there yet
 *   4. record changes, in order
 *   5. the caller's callback            which sees all of this, and may change more
 *   6. commit
 *
 * A crash before 6 leaves bytes in a segment that nothing names; FORMAT.md has the argument.
 * Chunks and blobs may go to the index earlier (spill), because nothing names them yet.
 */
#include <string.h>

#include "base/alloc.h"
#include "store/internal.h"

/* One transaction holds its pages in memory: these bound it (and stay under LMDB's 131,071 pages,
 * beyond which 0.9.24 spills and may leak them). */
enum {
	SPILL_ITEMS = 32768,
	SPILL_BYTES = 64 << 20
};

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
	cairn_batch__free_draft(batch);
	cairn_pending__free(&batch->pending);
	forget_changes(batch, 0);
	free(batch->changes);
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
		return cairn_index__delete(txn, c->table, c->key, c->key_len, err);
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

static int apply_records(cairn_batch *batch, cairn_txn *txn, cairn_error *err)
{
	cairn_snapshot now = {.txn = txn, .is_borrowed = true};
	size_t n_changes = batch->n_changes;
	int rc = 0;

	for (size_t i = 0; i < n_changes && !rc; i++)
		rc = apply(txn, &batch->changes[i], err);
	if (rc || !batch->on_commit)
		return rc;
	batch->txn = txn;
	rc = batch->on_commit(&now, batch, batch->on_commit_arg, err);
	batch->txn = NULL;
	forget_changes(batch, n_changes);
	return rc < 0 ? rc : 0;
}

/* One transaction, tried again where the index had to grow. */
static int publish(cairn_batch *batch, bool is_commit, cairn_error *err)
{
	cairn_index *index = batch->store->index;
	bool is_again;
	cairn_txn *txn;
	int rc = sync_chunks(batch, err);

	if (rc)
		return rc;
	cairn_index__tend(index);
	do {
		cairn_error failure = {0};

		rc = cairn_index__begin(&txn, index, true, &failure);
		if (!rc) {
			rc = cairn_pending__publish(&batch->pending, txn, is_commit, &failure);
			if (!rc && is_commit)
				rc = apply_records(batch, txn, &failure);
			if (!rc)
				rc = cairn_index__commit(txn, &failure);
			else
				cairn_index__abort(txn);
		}
		is_again = rc && cairn_index__grow_if_full(index);
		if (rc && !is_again && err && !err->code)
			*err = failure;
	} while (is_again);
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
	else if (batch->pending.n_items || batch->n_changes || batch->on_commit)
		rc = publish(batch, true, err);
	cairn_batch_abort(batch);
	return rc;
}
