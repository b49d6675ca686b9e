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
	cairn_part_fn fn;
	void *arg;
	int told; /* what fn answered to a node that has a problem, or < 0 */
	bool is_told;
} walk;

/* Reads a manifest or node and tells of it. 0: *bytes are there to be gone into; 1: pass over. */
static int tell_node(walk *w, enum cairn_table table, const cairn_id *id, const void **bytes,
	size_t *len, cairn_error *err)
{
	cairn_error why = {0};
	cairn_part part = {.table = table, .is_node = table == CAIRN_TABLE_BLOB, .id = *id};
	char text[CAIRN_ID_TEXT];
	int rc;

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

/* A node of a list, on behalf of cairn_manifest__read_list: that ends at what cannot be read. */
static int get_list_node(
	void *arg, const cairn_id *id, const void **bytes, size_t *len, cairn_error *err)
{
	walk *w = arg;
	int rc = tell_node(w, CAIRN_TABLE_BLOB, id, bytes, len, err);

	if (rc == 0)
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

static int tell_chunks(walk *w, const cairn_id *ids, uint64_t n, uint64_t bytes, cairn_error *err)
{
	int rc = 0;

	for (uint64_t i = 0; i < n && rc >= 0; i++) {
		uint64_t left = bytes - i * CAIRN_CHUNK_BYTES;
		cairn_part part = {.id = ids[i]};

		part.len = left < CAIRN_CHUNK_BYTES ? left : CAIRN_CHUNK_BYTES;
		part.table = part.len > CAIRN_INLINE_BYTES ? CAIRN_TABLE_CHUNK : CAIRN_TABLE_BLOB;
		rc = w->fn(w->arg, &part, err);
	}
	return rc < 0 ? rc : 0;
}

static int walk_content(walk *w, enum cairn_table table, const cairn_id *owner, const void *list,
	size_t list_len, uint64_t n, uint64_t bytes, cairn_error *err)
{
	cairn_id *ids;
	int rc = read_list(w, &ids, table, owner, list, list_len, n, err);

	if (rc)
		return rc < 0 ? rc : 0;
	rc = tell_chunks(w, ids, n, bytes, err);
	free(ids);
	return rc;
}

static int walk_entry(walk *w, const cairn_id *id, cairn_error *err)
{
	cairn_entry_node entry;
	cairn_error why = {0};
	const void *bytes;
	size_t len;
	int rc = tell_node(w, CAIRN_TABLE_BLOB, id, &bytes, &len, err);

	if (rc)
		return rc < 0 ? rc : 0;
	if (cairn_manifest__read_entry(&entry, bytes, len, &why) < 0) {
		rc = tell_malformed(w, CAIRN_TABLE_BLOB, id, &why, err);
		return rc < 0 ? rc : 0;
	}
	return walk_content(w, CAIRN_TABLE_BLOB, id, entry.list, entry.list_len, entry.n_chunks,
		entry.bytes, err);
}

int cairn_walk(
	cairn_txn *txn, const cairn_id *artifact, cairn_part_fn fn, void *arg, cairn_error *err)
{
	walk w = {.txn = txn, .fn = fn, .arg = arg};
	cairn_manifest manifest;
	cairn_error why = {0};
	cairn_id *ids;
	const void *bytes;
	size_t len;
	int rc = tell_node(&w, CAIRN_TABLE_ARTIFACT, artifact, &bytes, &len, err);

	if (rc)
		return rc < 0 ? rc : 0;
	if (cairn_manifest__read(&manifest, bytes, len, &why) < 0) {
		rc = tell_malformed(&w, CAIRN_TABLE_ARTIFACT, artifact, &why, err);
		return rc < 0 ? rc : 0;
	}
	if (manifest.meta_list)
		rc = walk_content(&w, CAIRN_TABLE_ARTIFACT, artifact, manifest.meta_list,
			manifest.meta_list_len, cairn_manifest__chunks(manifest.meta_len),
			manifest.meta_len, err);
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
