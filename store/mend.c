/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mend.c - one artifact that a reader found damaged: looked at as by a check, and what is wrong
 * taken out as by a repair, so that whoever makes it again can put it again.
 *
 * A check of all would do the same and read every byte of the store; this reads what the artifact
 * is made of.
 */
#include <string.h>

#include "base/alloc.h"
#include "base/digest.h"
#include "store/fsck.h"

enum {
	MOVES = 8 /* of one chunk, while we look at it */
};

struct mending {
	cairn_fsck *fsck;
	cairn_id artifact;
	cairn_id *chunks;
	size_t n_chunks, cap_chunks;
	cairn_fsck_target *targets;
	cairn_id *keys; /* of the targets; each in memory of its own place, see add_target */
	size_t n_targets, cap_targets;
	bool has_failed; /* no memory, where nobody can be told */
	cairn_error *why;
};

/* ---- the chunks in segments -------------------------------------------------------------- */

static int take_chunk(void *arg, const cairn_part *part, cairn_error *err)
{
	struct mending *m = arg;
	cairn_id *grown;
	size_t cap;

	if (part->problem || part->table != CAIRN_TABLE_CHUNK)
		return 0;
	if (m->n_chunks == m->cap_chunks) {
		cap = m->cap_chunks ? 2 * m->cap_chunks : 64;
		grown = cairn_realloc(m->chunks, cap, sizeof(*grown));
		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
		m->chunks = grown;
		m->cap_chunks = cap;
	}
	m->chunks[m->n_chunks++] = part->id;
	return 0;
}

static int place_of(cairn_store *store, const cairn_id *id, cairn_place *out, cairn_error *err)
{
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, store->index, false, err);

	if (rc)
		return rc;
	rc = cairn_catalog__get_chunk(txn, id, out, NULL);
	cairn_index__abort(txn);
	return rc;
}

/* EINTEGRITY where what lies there is not the chunk. */
static int verify(cairn_scrub *scrub, const cairn_id *id, const cairn_place *place, uint8_t *buffer,
	cairn_error *why)
{
	size_t len = cairn_scrub__padded(place->stored_len);
	cairn_id found;
	int rc = cairn_scrub__open(scrub, place->segment, why);

	if (!rc && !cairn_scrub__fits(scrub, place))
		rc = cairn_error_set(why, CAIRN_EINTEGRITY, "a segment is truncated");
	if (!rc)
		rc = cairn_scrub__read(scrub, place->offset + CAIRN_BLOCK_BYTES, buffer, len, why);
	if (rc)
		return rc;
	cairn_sha256(buffer, place->stored_len, found.bytes);
	return cairn_id_compare(&found, id) == 0
		       ? 0
		       : cairn_error_set(
				 why, CAIRN_EINTEGRITY, "stored bytes do not match their digest");
}

/* Somebody may move it meanwhile: it is damaged where the index and what was read agree on its
 * place. A chunk that is missing, or whose entry is damaged, is found by the walk. */
static int check_chunk(struct mending *m, cairn_scrub *scrub, const cairn_id *id, uint8_t *buffer,
	cairn_error *err)
{
	cairn_place place, now;
	int rc = place_of(m->fsck->store, id, &place, err);

	for (int i = 0; i < MOVES && !rc; i++) {
		cairn_error why = {0};

		rc = verify(scrub, id, &place, buffer, &why);
		if (rc != CAIRN_EINTEGRITY) {
			if (rc && err)
				*err = why;
			return rc;
		}
		rc = place_of(m->fsck->store, id, &now, err);
		if (!rc && now.segment == place.segment && now.offset == place.offset)
			return cairn_fsck__remember(m->fsck, CAIRN_TABLE_CHUNK, id, &place, err);
		cairn_scrub__close(scrub);
		place = now;
	}
	return rc == CAIRN_ENOTFOUND || rc == CAIRN_EINTEGRITY ? 0 : rc;
}

static int check_chunks(struct mending *m, cairn_error *err)
{
	cairn_scrub scrub = {.directory = m->fsck->store->path, .fd = -1};
	uint8_t *buffer;
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, m->fsck->store->index, false, err);

	if (rc)
		return rc;
	rc = cairn_walk(txn, &m->artifact, take_chunk, m, err);
	cairn_index__abort(txn);
	if (rc || !m->n_chunks)
		return rc;
	buffer = aligned_alloc(CAIRN_BLOCK_BYTES, CAIRN_RECORD_BYTES);
	if (!buffer)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	for (size_t i = 0; i < m->n_chunks && !rc; i++)
		rc = check_chunk(m, &scrub, &m->chunks[i], buffer, err);
	cairn_scrub__close(&scrub);
	free(buffer);
	return rc;
}

/* ---- what is to go ------------------------------------------------------------------------ */

static void add_target(struct mending *m, const cairn_fsck_target *target, const cairn_id *key)
{
	if (m->n_targets == m->cap_targets) {
		size_t cap = m->cap_targets ? 2 * m->cap_targets : 16;
		cairn_fsck_target *targets = cairn_realloc(m->targets, cap, sizeof(*targets));
		cairn_id *keys;

		if (targets)
			m->targets = targets;
		keys = targets ? cairn_realloc(m->keys, cap, sizeof(*keys)) : NULL;
		if (!keys) {
			m->has_failed = true;
			return;
		}
		m->keys = keys;
		m->cap_targets = cap;
	}
	m->keys[m->n_targets] = *key;
	m->targets[m->n_targets++] = *target;
}

/* A part of the artifact that is damaged or missing. */
static void on_damage(void *arg, const cairn_damage *damage)
{
	struct mending *m = arg;
	bool is_manifest = !strcmp(damage->table, cairn_index__table_name(CAIRN_TABLE_ARTIFACT));
	bool is_chunk = !strcmp(damage->table, cairn_index__table_name(CAIRN_TABLE_CHUNK));
	const cairn_fsck_target target = {
		.what = is_manifest ? "manifest"
			: is_chunk  ? "chunk"
				    : "blob",
		.table = damage->table,
		.has_place = damage->has_place,
		.segment = damage->segment,
		.offset = damage->offset,
	};

	if (m->why && !m->why->code)
		*m->why = *damage->why;
	add_target(m, &target, damage->part);
}

static int find_damage(struct mending *m, cairn_error *err)
{
	const cairn_fsck_target whole = {
		.what = "artifact", .table = cairn_index__table_name(CAIRN_TABLE_ARTIFACT)};
	cairn_txn *txn;
	int rc = check_chunks(m, err);

	if (!rc)
		rc = cairn_index__begin(&txn, m->fsck->store->index, false, err);
	if (rc)
		return rc;
	rc = cairn_fsck__artifact(m->fsck, txn, &m->artifact, err);
	cairn_index__abort(txn);
	if (!rc && m->n_targets)
		add_target(m, &whole, &m->artifact);
	if (!rc && m->has_failed)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	for (size_t i = 0; i < m->n_targets; i++) {
		m->targets[i].key = m->keys[i].bytes;
		m->targets[i].key_len = sizeof(m->keys[i].bytes);
	}
	return rc;
}

int cairn_store_mend(cairn_store *store, const cairn_id *artifact, bool *is_gone, cairn_error *why,
	cairn_batch_fn records, void *arg, cairn_error *err)
{
	struct mending m = {.artifact = *artifact, .why = why};
	const cairn_fsck_observer observer = {on_damage, NULL, &m};
	int rc = cairn_fsck_new(&m.fsck, store, false, &observer, err);

	*is_gone = false;
	if (!rc)
		rc = find_damage(&m, err);
	if (!rc && m.n_targets)
		rc = cairn_fsck_repair(store, m.targets, m.n_targets, NULL, records, arg, err);
	*is_gone = !rc && m.n_targets > 0;
	cairn_fsck_free(m.fsck);
	free(m.chunks);
	free(m.targets);
	free(m.keys);
	return rc;
}
