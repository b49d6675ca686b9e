/* SPDX-License-Identifier: Apache-2.0 */
/*
 * write.c - an artifact on its way in: entries are cut into chunks, hashed, looked up, and
 * appended where they are new. Nothing here is visible before batch.c commits it.
 *
 * Hashing runs ahead of the look-ups and of the copying by a few chunks (pool.c), writing runs
 * behind them (segment.c).
 */
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "base/json.h"
#include "store/internal.h"

enum {
	HASH_AHEAD = 16
};

/* ---- chunks and nodes ------------------------------------------------------------- */

/* What is found with this stamp or a later one stays until the batch ends (lease.c). */
static int look_up(cairn_batch *batch, enum cairn_table table, const cairn_id *id, bool *is_there,
	bool *is_safe, cairn_error *err)
{
	uint64_t floor = cairn_lease__rely(batch), epoch = 0;
	const void *value;
	size_t len;
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, batch->store->index, false, err);

	if (rc)
		return rc;
	rc = cairn_index__get(txn, table, id->bytes, sizeof(id->bytes), &value, &len, err);
	*is_there = rc == 0;
	if (rc == 0)
		rc = cairn_catalog__stamp(table, id, value, len, &epoch, err);
	else if (rc == CAIRN_ENOTFOUND)
		rc = 0;
	cairn_index__abort(txn);
	*is_safe = *is_there && epoch >= floor;
	return rc;
}

static int append(
	cairn_batch *batch, const cairn_id *id, const void *bytes, uint32_t len, cairn_error *err)
{
	cairn_pending_item *item;
	cairn_place place;
	int rc = cairn_batch__append(batch, id, bytes, len, &place, err);

	if (rc)
		return rc;
	item = cairn_pending__add(&batch->pending, CAIRN_TABLE_CHUNK, id);
	if (!item)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	item->is_new = true;
	item->place = place;
	return 0;
}

/* A chunk that is there, and old enough to be collected before we commit: the bytes are kept until
 * its stamp is renewed. */
static bool keep_copy(cairn_pending *pending, const cairn_id *id, const void *bytes, size_t len)
{
	if (!cairn_pending__add_bytes(pending, CAIRN_TABLE_CHUNK, id, bytes, len))
		return false;
	pending->items[pending->n_items - 1].is_new = false;
	return true;
}

int cairn_batch__keep(
	cairn_batch *batch, const cairn_id *id, const void *bytes, size_t len, cairn_error *err)
{
	enum cairn_table table = len <= CAIRN_INLINE_BYTES ? CAIRN_TABLE_BLOB : CAIRN_TABLE_CHUNK;
	cairn_pending *pending = &batch->pending;
	bool is_there, is_safe, is_kept = true;
	int rc;

	if (cairn_pending__has(pending, table, id))
		return 0;
	if ((rc = look_up(batch, table, id, &is_there, &is_safe, err)))
		return rc;
	cairn_store__step(table == CAIRN_TABLE_CHUNK ? "put" : "put small");
	if (is_safe)
		is_kept = cairn_pending__add(pending, table, id);
	else if (table == CAIRN_TABLE_BLOB)
		is_kept = cairn_pending__add_bytes(pending, table, id, bytes, len);
	else if (is_there)
		is_kept = keep_copy(pending, id, bytes, len);
	else if ((rc = append(batch, id, bytes, (uint32_t)len, err)))
		return rc;
	if (!is_kept)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	return cairn_batch__spill(batch, err);
}

static int put_node(void *arg, const void *bytes, size_t len, cairn_id *out, cairn_error *err)
{
	cairn_sha256(bytes, len, out->bytes);
	return cairn_batch__keep(arg, out, bytes, len, err);
}

/* The chunks of an entry or of long metadata, in order. */
typedef struct chunk_list {
	cairn_id *ids;
	uint64_t n, cap;
	size_t last_len;
} chunk_list;

static int list_chunk(chunk_list *list, const cairn_hash_job *job, cairn_error *err)
{
	if (list->n == list->cap) {
		uint64_t cap = list->cap ? list->cap * 2 : 16;
		cairn_id *grown = cairn_realloc(list->ids, cap, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		list->ids = grown;
		list->cap = cap;
	}
	list->ids[list->n++] = job->id;
	list->last_len = job->len;
	return 0;
}

/* Cuts, hashes and keeps. */
static int keep_chunks(cairn_batch *batch, const uint8_t *bytes, uint64_t len, bool by_content,
	chunk_list *list, cairn_error *err)
{
	cairn_pool *pool = batch->store->pool;
	cairn_hash_job jobs[HASH_AHEAD];
	uint64_t at = 0, n_submitted = 0, n_waited = 0;
	int rc = 0;

	while (!rc && (at < len || n_waited < n_submitted)) {
		cairn_hash_job *job;

		for (; at < len && n_submitted < n_waited + HASH_AHEAD; n_submitted++) {
			job = &jobs[n_submitted % HASH_AHEAD];
			job->bytes = bytes + at;
			job->len = cairn_cuts__next(by_content, bytes + at, len - at);
			at += job->len;
			if (job->len < len) {
				cairn_pool__submit(pool, job);
			} else { /* no second chunk to overlap with */
				cairn_sha256(job->bytes, job->len, job->id.bytes);
				job->is_done = true;
			}
		}
		job = &jobs[n_waited++ % HASH_AHEAD];
		cairn_pool__wait(pool, job);
		rc = list_chunk(list, job, err);
		if (!rc)
			rc = cairn_batch__keep(batch, &job->id, job->bytes, job->len, err);
	}
	/* After a failure: the threads still read the caller's bytes. */
	for (; n_waited < n_submitted; n_waited++)
		cairn_pool__wait(pool, &jobs[n_waited % HASH_AHEAD]);
	return rc;
}

/* ---- the artifact being written ---------------------------------------------------- */

void cairn_batch__free_draft(cairn_batch *batch)
{
	cairn_draft *draft = &batch->draft;

	for (size_t i = 0; i < draft->n_entries; i++)
		free(draft->entries[i].name);
	free(draft->entries);
	free(draft->kind);
	memset(draft, 0, sizeof(*draft));
}

void cairn_batch_artifact_drop(cairn_batch *batch)
{
	cairn_batch__free_draft(batch);
}

int cairn_batch_artifact_begin(cairn_batch *batch, const char *kind, cairn_error *err)
{
	int rc;

	if (batch->draft.kind || batch->txn)
		return cairn_error_set(err, CAIRN_EBUG,
			"an artifact cannot begin inside another one or inside a commit");
	if ((rc = cairn_manifest__check_name("an artifact's kind", kind, strlen(kind), err)))
		return rc;
	batch->draft.kind = cairn_strdup(kind);
	return batch->draft.kind ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
}

/* Remembers the entry; its node is kept already. */
static int add_entry(cairn_draft *draft, const char *name, const cairn_id *node, cairn_error *err)
{
	if (draft->n_entries == draft->cap_entries) {
		size_t cap = draft->cap_entries ? draft->cap_entries * 2 : 64;
		cairn_draft_entry *grown = cairn_realloc(draft->entries, cap, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		draft->entries = grown;
		draft->cap_entries = cap;
	}
	draft->entries[draft->n_entries].name = cairn_strdup(name);
	if (!draft->entries[draft->n_entries].name)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	draft->entries[draft->n_entries++].node = *node;
	return 0;
}

/* Its node, now that its chunks are known. */
static int put_entry(
	cairn_batch *batch, const cairn_tensor *tensor, const chunk_list *chunks, cairn_error *err)
{
	cairn_entry_node entry = {.name = tensor->name,
		.name_len = (uint32_t)strlen(tensor->name),
		.dtype = tensor->dtype,
		.n_dims = tensor->n_dims,
		.bytes = tensor->bytes,
		.is_cut_by_content =
			cairn_cuts__by_content(tensor->dtype, tensor->n_dims, tensor->bytes),
		.last_len = (uint32_t)chunks->last_len,
		.n_chunks = chunks->n};
	cairn_text node = {0};
	cairn_id id;
	int rc;

	memcpy(entry.dims, tensor->dims, sizeof(entry.dims));
	cairn_manifest__add_entry_head(&node, &entry);
	rc = cairn_manifest__add_list(&node, chunks->ids, chunks->n, put_node, batch, err);
	if (!rc && node.failed)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	if (!rc)
		rc = put_node(batch, node.data, node.len, &id, err);
	if (!rc)
		rc = add_entry(&batch->draft, tensor->name, &id, err);
	cairn_text_free(&node);
	return rc;
}

static int put_tensor(cairn_batch *batch, const cairn_tensor *tensor, cairn_error *err)
{
	chunk_list chunks = {0};
	int rc = cairn_manifest__check_tensor(tensor, err);

	if (rc)
		return rc;
	if (batch->draft.n_entries >= CAIRN_MAX_ENTRIES)
		return cairn_error_set(err, CAIRN_ELIMIT, "an artifact can have %d entries at most",
			CAIRN_MAX_ENTRIES);
	rc = keep_chunks(batch, tensor->data, tensor->bytes,
		cairn_cuts__by_content(tensor->dtype, tensor->n_dims, tensor->bytes), &chunks, err);
	if (!rc)
		rc = put_entry(batch, tensor, &chunks, err);
	if (!rc)
		batch->draft.bytes += tensor->bytes;
	free(chunks.ids);
	return rc;
}

int cairn_batch_artifact_put(cairn_batch *batch, const cairn_tensor *tensor, cairn_error *err)
{
	int rc;

	if (!batch->draft.kind || batch->draft.is_failed || batch->txn)
		return cairn_error_set(err, CAIRN_EBUG,
			"an entry was put into no artifact, or after a failed put");
	rc = put_tensor(batch, tensor, err);
	batch->draft.is_failed = rc != 0;
	return rc;
}

/* ---- its manifest ------------------------------------------------------------------ */

/* Canonical text of the metadata; the caller frees it. */
static int canonical_meta(char **out, const char *meta, cairn_error *err)
{
	json_t *json;
	char *text;
	int rc;

	if (!meta)
		meta = "{}";
	rc = cairn_json_parse(&json, meta, strlen(meta), "artifact metadata", err);
	if (rc)
		return rc;
	if (!json_is_object(json)) {
		json_decref(json);
		return cairn_error_set(
			err, CAIRN_EINPUT, "the metadata of an artifact must be a JSON object");
	}
	text = cairn_json_canonical(json);
	json_decref(json);
	if (!text)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	if (strlen(text) > CAIRN_MAX_META) {
		free(text);
		return cairn_error_set(
			err, CAIRN_ELIMIT, "the metadata of an artifact is over 16 MiB");
	}
	*out = text;
	return 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const cairn_draft_entry *)a)->name, ((const cairn_draft_entry *)b)->name);
}

/* Sorts the entries; EINPUT where two have one name. *out: their nodes, in order. */
static int sorted_nodes(cairn_id **out, cairn_draft *draft, cairn_error *err)
{
	cairn_draft_entry *entries = draft->entries;
	size_t n = draft->n_entries;
	cairn_id *ids = cairn_alloc(n ? n : 1, sizeof(*ids));

	if (!ids)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	if (n)
		qsort(entries, n, sizeof(*entries), by_name);
	for (size_t i = 0; i < n; i++) {
		if (i && !strcmp(entries[i - 1].name, entries[i].name)) {
			free(ids);
			return cairn_error_set(err, CAIRN_EINPUT,
				"the artifact has two entries '%s'", entries[i].name);
		}
		ids[i] = entries[i].node;
	}
	*out = ids;
	return 0;
}

/* The metadata, or where it is long the list of its chunks. */
static int add_meta(cairn_batch *batch, cairn_text *node, const char *meta, cairn_error *err)
{
	chunk_list chunks = {0};
	size_t len = strlen(meta);
	int rc;

	if (len <= CAIRN_META_INLINE_BYTES) {
		cairn_text_add_bytes(node, meta, len);
		return 0;
	}
	rc = keep_chunks(batch, (const uint8_t *)meta, len, false, &chunks, err);
	if (!rc)
		rc = cairn_manifest__add_list(node, chunks.ids, chunks.n, put_node, batch, err);
	free(chunks.ids);
	return rc;
}

static int end_draft(cairn_batch *batch, const char *meta, cairn_id *out, cairn_error *err)
{
	cairn_draft *draft = &batch->draft;
	cairn_manifest head = {.kind = draft->kind,
		.kind_len = (uint32_t)strlen(draft->kind),
		.n_entries = draft->n_entries,
		.bytes = draft->bytes,
		.meta_len = strlen(meta)};
	cairn_text node = {0};
	cairn_id *ids = NULL, id;
	int rc = sorted_nodes(&ids, draft, err);

	if (rc)
		return rc;
	cairn_manifest__add_head(&node, &head);
	rc = add_meta(batch, &node, meta, err);
	if (!rc)
		rc = cairn_manifest__add_list(&node, ids, draft->n_entries, put_node, batch, err);
	if (!rc && node.failed)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	if (!rc) {
		cairn_sha256(node.data, node.len, id.bytes);
		if (!cairn_pending__has(&batch->pending, CAIRN_TABLE_ARTIFACT, &id) &&
			!cairn_pending__add_bytes(
				&batch->pending, CAIRN_TABLE_ARTIFACT, &id, node.data, node.len))
			rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	}
	if (!rc)
		*out = id;
	cairn_text_free(&node);
	free(ids);
	return rc;
}

int cairn_batch_artifact_end(cairn_batch *batch, const char *meta, cairn_id *out, cairn_error *err)
{
	char *canonical = NULL;
	int rc;

	if (!batch->draft.kind || batch->draft.is_failed || batch->txn)
		return cairn_error_set(err, CAIRN_EBUG,
			"no artifact can end here: none began, or a put of it failed");
	rc = canonical_meta(&canonical, meta, err);
	if (!rc)
		rc = end_draft(batch, canonical, out, err);
	free(canonical);
	if (rc)
		batch->draft.is_failed = true;
	else
		cairn_batch__free_draft(batch);
	return rc;
}
