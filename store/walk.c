/* SPDX-License-Identifier: Apache-2.0 */
/*
 * walk.c - all that an artifact is made of, for those who count, check, copy or collect it.
 *
 * The reader (object.c) wants bytes and gives up at the first thing that is wrong; here a part
 * that is missing or damaged is told like any other, and the walk goes on beside it.
 */
#include <string.h>

#include "base/alloc.h"
#include "store/internal.h"

typedef struct walk {
	cairn_txn *txn;
	cairn_known_fn known; /* may be NULL */
	cairn_part_fn fn;
	void *arg;
	int told; /* what fn answered to a node that has a problem, or < 0 */
	bool is_told;
} walk;

/* Reads a manifest or node and tells of it. 0: *bytes are there to be gone into; 1: pass over. */
static int tell_node(walk *w, enum cairn_table table, const cairn_id *id, bool is_in_list,
	const void **bytes, size_t *len, cairn_error *err)
{
	cairn_error why = {0};
	cairn_part part = {.table = table, .is_node = table == CAIRN_TABLE_BLOB, .id = *id};
	char text[CAIRN_ID_TEXT];
	enum cairn_known known = w->known ? w->known(w->arg, table, id, bytes, len) : CAIRN_UNKNOWN;
	int rc;

	if (known == CAIRN_KNOWN_BELOW && !is_in_list)
		return 1;
	if (known != CAIRN_KNOWN_BYTES)
		part.problem = cairn_catalog__get_blob(w->txn, table, id, bytes, len, &why);
	if (part.problem == CAIRN_ENOTFOUND) {
		cairn_id_format(id, text);
		cairn_error_set(&why, CAIRN_ENOTFOUND, "the index has no %s",
			table == CAIRN_TABLE_ARTIFACT ? "such artifact" : "such node");
		cairn_error_detail(&why, "%s", text);
	}
	if (part.problem) {
		part.why = &why;
	} else {
		part.bytes = *bytes;
		part.len = *len;
	}
	rc = w->fn(w->arg, &part, err);
	return rc < 0 ? rc : part.problem ? 1 : rc;
}

/* Tells of a node whose digest is right and whose content is not. */
static int tell_malformed(walk *w, enum cairn_table table, const cairn_id *id,
	const cairn_error *why, cairn_error *err)
{
	const cairn_part part = {.table = table,
		.is_node = table == CAIRN_TABLE_BLOB,
		.id = *id,
		.problem = CAIRN_EINTEGRITY,
		.why = why};
	int rc = w->fn(w->arg, &part, err);

	return rc < 0 ? rc : 1;
}

/* A node of a list, on behalf of cairn_manifest__read_list: that ends at what cannot be read. One
 * that fn would pass over is read all the same, for what stands behind it may be another's. */
static int get_list_node(
	void *arg, const cairn_id *id, const void **bytes, size_t *len, cairn_error *err)
{
	walk *w = arg;
	int rc;

	*bytes = NULL;
	rc = tell_node(w, CAIRN_TABLE_BLOB, id, true, bytes, len, err);
	if (rc >= 0 && *bytes)
		return 0;
	w->is_told = true;
	w->told = rc;
	return CAIRN_EINTEGRITY;
}

/* 0 and the ids; 1: the list cannot be read, which was told under the name of its owner; < 0. */
static int read_list(walk *w, cairn_id **ids, enum cairn_table table, const cairn_id *owner,
	const void *list, size_t list_len, uint64_t n, cairn_error *err)
{
	cairn_error why = {0};
	int rc;

	w->is_told = false;
	rc = cairn_manifest__read_list(ids, list, list_len, n, get_list_node, w, &why);
	if (rc == 0)
		return 0;
	if (w->is_told)
		return w->told;
	if (rc != CAIRN_EINTEGRITY) {
		if (err)
			*err = why;
		return rc;
	}
	return tell_malformed(w, table, owner, &why, err);
}

/* The length of chunk i; where its place alone has it, 0 if that is lost. */
static uint64_t chunk_len(walk *w, const cairn_entry_node *content, uint64_t i, const cairn_id *id)
{
	uint64_t left = content->bytes - i * CAIRN_CHUNK_BYTES;
	cairn_place place;

	if (!content->is_cut_by_content)
		return left < CAIRN_CHUNK_BYTES ? left : CAIRN_CHUNK_BYTES;
	if (i + 1 == content->n_chunks)
		return content->last_len;
	return cairn_catalog__get_chunk(w->txn, id, &place, NULL) == 0 ? place.raw_len : 0;
}

static int tell_chunks(
	walk *w, const cairn_id *ids, const cairn_entry_node *content, cairn_error *err)
{
	uint64_t n = content->n_chunks;
	int rc = 0;

	for (uint64_t i = 0; i < n && rc >= 0; i++) {
		cairn_part part = {.id = ids[i], .len = chunk_len(w, content, i, &ids[i])};
		bool is_small = part.len <= CAIRN_INLINE_BYTES &&
				(i + 1 == n || !content->is_cut_by_content);

		part.table = is_small ? CAIRN_TABLE_BLOB : CAIRN_TABLE_CHUNK;
		rc = w->fn(w->arg, &part, err);
	}
	return rc < 0 ? rc : 0;
}

/* The chunks of an entry, or of metadata in its form. */
static int walk_content(walk *w, enum cairn_table table, const cairn_id *owner,
	const cairn_entry_node *content, cairn_error *err)
{
	cairn_id *ids;
	int rc = read_list(
		w, &ids, table, owner, content->list, content->list_len, content->n_chunks, err);

	if (rc)
		return rc < 0 ? rc : 0;
	rc = tell_chunks(w, ids, content, err);
	free(ids);
	return rc;
}

static int walk_entry(walk *w, const cairn_id *id, cairn_error *err)
{
	cairn_entry_node entry;
	cairn_error why = {0};
	const void *bytes;
	size_t len;
	int rc = tell_node(w, CAIRN_TABLE_BLOB, id, false, &bytes, &len, err);

	if (rc)
		return rc < 0 ? rc : 0;
	if (cairn_manifest__read_entry(&entry, bytes, len, &why) < 0) {
		rc = tell_malformed(w, CAIRN_TABLE_BLOB, id, &why, err);
		return rc < 0 ? rc : 0;
	}
	return walk_content(w, CAIRN_TABLE_BLOB, id, &entry, err);
}

int cairn_walk_known(cairn_txn *txn, const cairn_id *artifact, cairn_known_fn known,
	cairn_part_fn fn, void *arg, cairn_error *err)
{
	walk w = {.txn = txn, .known = known, .fn = fn, .arg = arg};
	cairn_manifest manifest;
	cairn_error why = {0};
	cairn_id *ids;
	const void *bytes;
	size_t len;
	int rc = tell_node(&w, CAIRN_TABLE_ARTIFACT, artifact, false, &bytes, &len, err);

	if (rc)
		return rc < 0 ? rc : 0;
	if (cairn_manifest__read(&manifest, bytes, len, &why) < 0) {
		rc = tell_malformed(&w, CAIRN_TABLE_ARTIFACT, artifact, &why, err);
		return rc < 0 ? rc : 0;
	}
	if (manifest.meta_list) {
		const cairn_entry_node meta = {.bytes = manifest.meta_len,
			.n_chunks = cairn_manifest__chunks(manifest.meta_len),
			.list = manifest.meta_list,
			.list_len = manifest.meta_list_len};

		rc = walk_content(&w, CAIRN_TABLE_ARTIFACT, artifact, &meta, err);
	}
	if (rc == 0)
		rc = read_list(&w, &ids, CAIRN_TABLE_ARTIFACT, artifact, manifest.list,
			manifest.list_len, manifest.n_entries, err);
	if (rc)
		return rc < 0 ? rc : 0;
	for (uint64_t i = 0; i < manifest.n_entries && rc == 0; i++)
		rc = walk_entry(&w, &ids[i], err);
	free(ids);
	return rc;
}

int cairn_walk(
	cairn_txn *txn, const cairn_id *artifact, cairn_part_fn fn, void *arg, cairn_error *err)
{
	return cairn_walk_known(txn, artifact, NULL, fn, arg, err);
}
