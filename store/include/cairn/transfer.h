/* SPDX-License-Identifier: Apache-2.0 */
/*
 * transfer.h - artifacts piece by piece: for those who carry them from one store to another.
 *
 * A piece is a manifest, a node or a chunk, named by the SHA-256 of its bytes. All pieces of an
 * artifact are the artifact (FORMAT.md, 4); where they lie in a store says nothing about it.
 */
#ifndef CAIRN_TRANSFER_H
#define CAIRN_TRANSFER_H

#include "cairn/store.h"

CAIRN_BEGIN_DECLS

typedef enum cairn_piece_kind {
	CAIRN_PIECE_MANIFEST,
	CAIRN_PIECE_NODE,
	CAIRN_PIECE_CHUNK,
} cairn_piece_kind;

/* The most bytes that one of them has. */
#define CAIRN_MAX_MANIFEST ((size_t)128 << 10)
#define CAIRN_MAX_NODE     ((size_t)64 << 10)
#define CAIRN_MAX_CHUNK    ((size_t)4 << 20)

typedef struct cairn_piece {
	cairn_piece_kind kind;
	cairn_id id;
	uint64_t bytes;
} cairn_piece;

typedef int (*cairn_piece_fn)(void *arg, const cairn_piece *piece, cairn_error *err);
/*
 * Tells of all pieces of an artifact, some several times. Before that, all of them must be there,
 * have the right form and size, and add up: ENOTFOUND (no such artifact), EINTEGRITY. The bytes of
 * chunks in segments are not read. In a commit's callback: with what the commit publishes.
 */
CAIRN_MUST int cairn_snapshot_pieces(cairn_snapshot *snapshot, const cairn_id *artifact,
	cairn_piece_fn fn, void *arg, cairn_error *err);
/* Reads piece->bytes bytes, verified; EINTEGRITY. */
CAIRN_MUST int cairn_store_read_piece(
	cairn_store *store, const cairn_piece *piece, void *out, cairn_error *err);
/* Puts a piece. EINTEGRITY where these are not its bytes. A manifest becomes visible with the
 * commit, in which somebody must see to it that all its pieces are there. */
CAIRN_MUST int cairn_batch_put_piece(
	cairn_batch *batch, const cairn_piece *piece, const void *bytes, cairn_error *err);

CAIRN_END_DECLS

#endif
