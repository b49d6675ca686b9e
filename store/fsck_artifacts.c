/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck_artifacts.c - every artifact from its manifest down to its chunks: which of them does the
 * damage hurt that the parts before have found, and what is missing?
 *
 * The walk (walk.c) tells of nodes; chunks are looked up here. What object.c demands at open is
 * demanded here too: entries in order, and sizes that add up.
 */
#include "store/fsck.h"

#include <string.h>

#include "base/alloc.h"

/* The artifact being walked. */
typedef struct visit {
	cairn_fsck *fsck;
	cairn_txn *txn;
	cairn_id artifact;
	uint64_t n_entries, bytes; /* so far, and what the manifest says: */
	cairn_manifest manifest;
	bool is_hurt;
	/* The entry that the next chunks belong to; none: the metadata. */
	char entry[CAIRN_MAX_NAME + 1];
	bool has_entry;
	uint64_t chunk, n_chunks;
	uint64_t missing; /* bytes of it that its chunks so far do not have */
	cairn_id node;
} visit;

static void hurt(visit *v, const cairn_part *part, const cairn_error *why)
{
	const cairn_fsck_bad *known = cairn_fsck__find(v->fsck, part->table, &part->id);
	cairn_damage damage = {.what = "artifact",
		.table = cairn_index__table_name(part->table),
		.key = v->artifact.bytes,
		.key_len = sizeof(v->artifact.bytes),
		.part = &part->id,
		.entry = v->has_entry ? v->entry : NULL,
		.chunk = part->table == CAIRN_TABLE_ARTIFACT || part->is_node ? 0 : v->chunk,
		.n_chunks = v->n_chunks,
		.why = why};

	if (known && known->has_place) {
		damage.has_place = true;
		damage.segment = known->place.segment;
		damage.offset = known->place.offset;
	}
	v->is_hurt = true;
	v->fsck->observer.damage(v->fsck->observer.arg, &damage);
}

static void malformed(visit *v, const cairn_part *part, const char *how)
{
	cairn_error why = {0};

	cairn_error_set(&why, CAIRN_EINTEGRITY, "an artifact is malformed: %s", how);
	hurt(v, part, &why);
}

/* All chunks of an entry have passed: do they add up? */
static void leave_entry(visit *v)
{
	const cairn_part node = {.table = CAIRN_TABLE_BLOB, .is_node = true, .id = v->node};

	if (v->has_entry && v->missing != 0 && !v->is_hurt)
		malformed(v, &node, "an entry is not the sum of its chunks");
}

/* An entry's node comes before its chunks; so does a list's, which says nothing. */
static void enter_entry(visit *v, const cairn_part *part)
{
	cairn_entry_node entry;
	char name[CAIRN_MAX_NAME + 1];

	if (cairn_manifest__read_entry(&entry, part->bytes, part->len, NULL) != 0)
		return;
	leave_entry(v);
	memcpy(name, entry.name, entry.name_len);
	name[entry.name_len] = 0;
	if (v->has_entry && strcmp(v->entry, name) >= 0)
		malformed(v, part, "its entries are not in order");
	memcpy(v->entry, name, sizeof(name));
	v->has_entry = true;
	v->chunk = 0;
	v->n_chunks = entry.n_chunks;
	v->missing = entry.bytes;
	v->node = part->id;
	v->n_entries++;
	v->bytes += entry.bytes;
}

static void check_chunk(visit *v, const cairn_part *part)
{
	bool is_large = part->table == CAIRN_TABLE_CHUNK;
	cairn_error why = {0};
	cairn_place place;
	const void *bytes;
	size_t len = 0;
	int rc;

	v->chunk++;
	if (is_large)
		rc = cairn_catalog__get_chunk(v->txn, &part->id, &place, &why);
	else
		rc = cairn_catalog__get_blob(
			v->txn, CAIRN_TABLE_BLOB, &part->id, &bytes, &len, &why);
	if (rc == CAIRN_ENOTFOUND)
		cairn_error_set(&why, rc, "the index has no such chunk");
	else if (!rc && part->len && part->len != (is_large ? place.raw_len : len))
		rc = cairn_error_set(&why, CAIRN_EINTEGRITY, "a chunk has the wrong size");
	else if (!rc && cairn_fsck__find(v->fsck, part->table, &part->id))
		rc = cairn_error_set(
			&why, CAIRN_EINTEGRITY, "stored bytes do not match their digest");
	if (rc)
		hurt(v, part, &why);
	else
		v->missing -= is_large ? place.raw_len : len;
}

static int visit_part(void *arg, const cairn_part *part, cairn_error *err)
{
	visit *v = arg;

	(void)err;
	if (part->problem)
		hurt(v, part, part->why);
	else if (part->table == CAIRN_TABLE_ARTIFACT)
		(void)!cairn_manifest__read(&v->manifest, part->bytes, part->len, NULL);
	else if (part->is_node)
		enter_entry(v, part);
	else
		check_chunk(v, part);
	return 0;
}

int cairn_fsck__artifact(cairn_fsck *fsck, cairn_txn *txn, const cairn_id *id, cairn_error *err)
{
	visit v = {.fsck = fsck, .txn = txn, .artifact = *id};
	const cairn_part manifest = {.table = CAIRN_TABLE_ARTIFACT, .id = *id};
	int rc = cairn_walk(txn, id, visit_part, &v, err);

	if (rc)
		return rc;
	leave_entry(&v);
	v.has_entry = false;
	if (!v.is_hurt && (v.n_entries != v.manifest.n_entries || v.bytes != v.manifest.bytes))
		malformed(&v, &manifest, "its size is not the sum of its entries");
	return 0;
}

struct ids {
	cairn_id *items;
	size_t n, cap;
};

static int take_id(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	struct ids *list = arg;

	(void)value, (void)value_len;
	if (key_len != sizeof(cairn_id))
		return 0;
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 256;
		cairn_id *grown = cairn_realloc(list->items, cap, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		list->items = grown;
		list->cap = cap;
	}
	memcpy(list->items[list->n++].bytes, key, key_len);
	return 0;
}

/* The artifacts of one first byte, all in one view of the index: none is collected halfway. */
static int check_some(cairn_fsck *fsck, uint8_t first, struct ids *list, cairn_error *err)
{
	cairn_error why = {0};
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, fsck->store->index, false, err);

	if (rc)
		return rc;
	list->n = 0;
	rc = cairn_index__scan(txn, CAIRN_TABLE_ARTIFACT, &first, 1, false, take_id, list, &why);
	if (rc == CAIRN_EINTEGRITY)
		rc = 0; /* the index cannot be read on: told by the part before */
	for (size_t i = 0; i < list->n && !rc; i++) {
		rc = cairn_fsck__artifact(fsck, txn, &list->items[i], &why);
		fsck->done++;
	}
	cairn_index__abort(txn);
	if (rc && err)
		*err = why;
	return rc;
}

int cairn_fsck_artifacts(cairn_fsck *fsck, cairn_error *err)
{
	struct ids list = {0};
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, fsck->store->index, false, err);

	if (rc)
		return rc;
	rc = cairn_index__count(txn, CAIRN_TABLE_ARTIFACT, &fsck->total, err);
	cairn_index__abort(txn);
	fsck->done = 0;
	for (int i = 0; i < CAIRN_FSCK_FIRST_BYTES && !rc; i++) {
		cairn_fsck__progress(fsck, "artifacts");
		rc = check_some(fsck, (uint8_t)i, &list, err);
	}
	cairn_fsck__progress(fsck, "artifacts");
	free(list.items);
	return rc;
}
