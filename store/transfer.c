/* SPDX-License-Identifier: Apache-2.0 */
/* transfer.c - pieces of artifacts in and out; see cairn/transfer.h. */
#include "cairn/transfer.h"

#include <string.h>

#include "base/digest.h"
#include "store/fsck.h"

_Static_assert(CAIRN_MAX_CHUNK == CAIRN_CHUNK_BYTES, "the largest chunk");
_Static_assert(CAIRN_MAX_NODE == CAIRN_INLINE_BYTES, "the largest node");

/* ---- out ------------------------------------------------------------------------------ */

typedef struct tour {
	cairn_txn *txn;
	cairn_piece_fn fn;
	void *arg;
} tour;

static int chunk_bytes(cairn_txn *txn, const cairn_part *part, uint64_t *out, cairn_error *err)
{
	cairn_place place;
	const void *bytes;
	size_t len;
	int rc;

	if (part->table == CAIRN_TABLE_CHUNK) {
		rc = cairn_catalog__get_chunk(txn, &part->id, &place, err);
		len = rc ? 0 : place.raw_len;
	} else {
		rc = cairn_catalog__get_blob(txn, CAIRN_TABLE_BLOB, &part->id, &bytes, &len, err);
	}
	if (!rc)
		*out = len;
	return rc;
}

static int tell_part(void *arg, const cairn_part *part, cairn_error *err)
{
	const tour *t = arg;
	cairn_piece piece = {.kind = part->table == CAIRN_TABLE_ARTIFACT ? CAIRN_PIECE_MANIFEST
				     : part->is_node                     ? CAIRN_PIECE_NODE
									 : CAIRN_PIECE_CHUNK,
		.id = part->id,
		.bytes = part->len};
	int rc = 0;

	if (piece.kind == CAIRN_PIECE_CHUNK)
		rc = chunk_bytes(t->txn, part, &piece.bytes, err);
	return rc ? rc : t->fn(t->arg, &piece, err);
}

/* The first thing that is wrong with the artifact. */
static void note_first(void *arg, const cairn_damage *damage)
{
	cairn_error *first = arg;

	if (first->code)
		return;
	cairn_error_set(first, CAIRN_EINTEGRITY, "%s", damage->why->message);
	cairn_error_detail(first, "entry '%s', chunk %llu of %llu",
		damage->entry ? damage->entry : "", (unsigned long long)damage->chunk,
		(unsigned long long)damage->n_chunks);
}

static int check_whole(cairn_txn *txn, const cairn_id *artifact, cairn_error *err)
{
	cairn_error first = {0};
	cairn_fsck check = {.observer = {note_first, NULL, &first}};
	const void *value;
	size_t len;
	char text[CAIRN_ID_TEXT];
	int rc = cairn_index__get(txn, CAIRN_TABLE_ARTIFACT, artifact->bytes,
		sizeof(artifact->bytes), &value, &len, err);

	cairn_id_format(artifact, text);
	if (rc == CAIRN_ENOTFOUND)
		return cairn_error_set(err, rc, "there is no artifact %s in the store", text);
	if (!rc)
		rc = cairn_fsck__artifact(&check, txn, artifact, err);
	if (rc || !first.code)
		return rc;
	cairn_error_at(&first, "%s", text);
	if (err && !err->code)
		*err = first;
	return first.code;
}

int cairn_snapshot_pieces(cairn_snapshot *snapshot, const cairn_id *artifact, cairn_piece_fn fn,
	void *arg, cairn_error *err)
{
	tour t = {.txn = snapshot->txn, .fn = fn, .arg = arg};
	int rc = check_whole(snapshot->txn, artifact, err);

	return rc ? rc : cairn_walk(snapshot->txn, artifact, tell_part, &t, err);
}

/* *place is filled where the piece lies in a segment: raw_len > 0. */
static int read_value(cairn_store *store, const cairn_piece *piece, void *out, cairn_place *place,
	cairn_error *err)
{
	bool is_large = piece->kind == CAIRN_PIECE_CHUNK && piece->bytes > CAIRN_INLINE_BYTES;
	const void *bytes;
	size_t len = 0;
	cairn_txn *txn;
	int rc = cairn_index__begin(&txn, store->index, false, err);

	if (rc)
		return rc;
	if (is_large) {
		rc = cairn_catalog__get_chunk(txn, &piece->id, place, err);
		len = rc ? 0 : place->raw_len;
	} else {
		rc = cairn_catalog__get_blob(txn,
			piece->kind == CAIRN_PIECE_MANIFEST ? CAIRN_TABLE_ARTIFACT
							    : CAIRN_TABLE_BLOB,
			&piece->id, &bytes, &len, err);
	}
	if (rc == CAIRN_ENOTFOUND || (!rc && len != piece->bytes))
		rc = cairn_error_set(
			err, CAIRN_EINTEGRITY, "the store has lost a part of an artifact");
	else if (!rc && !is_large && len)
		memcpy(out, bytes, len);
	cairn_index__abort(txn);
	return rc;
}

int cairn_store_read_piece(
	cairn_store *store, const cairn_piece *piece, void *out, cairn_error *err)
{
	cairn_segment_reader reader = {.fd = -1};
	cairn_place place = {0};
	char text[CAIRN_ID_TEXT];
	cairn_id found;
	int rc = read_value(store, piece, out, &place, err);

	if (!rc && place.raw_len) {
		rc = cairn_segments__read(store->segments, &reader, &place, out, err);
		cairn_segments__read_end(&reader);
		cairn_sha256(out, piece->bytes, found.bytes);
		if (!rc && cairn_id_compare(&found, &piece->id) != 0)
			rc = cairn_error_set(
				err, CAIRN_EINTEGRITY, "stored bytes do not match their digest");
	}
	if (rc == CAIRN_EINTEGRITY) {
		cairn_id_format(&piece->id, text);
		cairn_error_detail(err, "%s, in segment %08x.seg at byte %llu", text, place.segment,
			(unsigned long long)place.offset);
		cairn_error_hint(err, "`cairn fsck` says what is damaged and what would make it "
				      "again.");
	}
	return rc;
}

/* ---- in ------------------------------------------------------------------------------- */

static size_t limit_of(cairn_piece_kind kind)
{
	switch (kind) {
	case CAIRN_PIECE_MANIFEST:
		return CAIRN_MAX_MANIFEST;
	case CAIRN_PIECE_NODE:
		return CAIRN_MAX_NODE;
	case CAIRN_PIECE_CHUNK:
		break;
	}
	return CAIRN_MAX_CHUNK;
}

int cairn_batch_put_piece(
	cairn_batch *batch, const cairn_piece *piece, const void *bytes, cairn_error *err)
{
	cairn_id found;

	if (piece->bytes > limit_of(piece->kind))
		return cairn_error_set(err, CAIRN_ELIMIT, "a part of an artifact has %llu bytes",
			(unsigned long long)piece->bytes);
	cairn_sha256(bytes, piece->bytes, found.bytes);
	if (cairn_id_compare(&found, &piece->id) != 0)
		return cairn_error_set(
			err, CAIRN_EINTEGRITY, "a part of an artifact does not match its digest");
	if (piece->kind != CAIRN_PIECE_MANIFEST)
		return cairn_batch__keep(batch, &piece->id, bytes, piece->bytes, err);
	if (cairn_pending__has(&batch->pending, CAIRN_TABLE_ARTIFACT, &piece->id) ||
		cairn_pending__add_bytes(
			&batch->pending, CAIRN_TABLE_ARTIFACT, &piece->id, bytes, piece->bytes))
		return 0;
	return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
}
