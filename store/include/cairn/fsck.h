/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fsck.h - looking for bit rot: what a disk changed after it was written, and what can be done.
 *
 * Crashes need none of this (FORMAT.md, 5). A check has three parts, in this order; each runs
 * beside live writers, in short read transactions, and goes on behind what it finds:
 *
 *   index      every value of every table against its checksum; blobs against their digest
 *   segments   the files, the headers in them, and the bytes of every chunk
 *   artifacts  all that each artifact is made of is there and undamaged
 *
 * A damaged page of the index can kill the process that reads it: LMDB has no checksums. So a
 * check belongs into a child process; what an earlier child found is told to the next one by
 * cairn_fsck_mark.
 */
#ifndef CAIRN_FSCK_H
#define CAIRN_FSCK_H

#include "cairn/store.h"

CAIRN_BEGIN_DECLS

typedef struct cairn_fsck cairn_fsck;

/* Something that is wrong. Borrowed for the call. */
typedef struct cairn_damage {
	/* "index": a table that cannot be read on; "record", "chunk", "blob", "manifest": a value
	 * or the bytes that it leads to; "header": of a segment or of a chunk in it, whose bytes
	 * are right; "artifact": a part of the artifact `key` is one of those, or is missing. */
	const char *what;
	const char *table; /* of the index */
	const void *key;   /* NULL: none in particular */
	size_t key_len;
	/* Of "artifact": what is wrong with it. */
	const cairn_id *part;     /* the chunk, node or manifest */
	const char *entry;        /* NULL: its manifest, a list or its metadata */
	uint64_t chunk, n_chunks; /* the first is 1; 0: the entry's node */
	/* Where the bytes lie, if they lie in a segment. */
	bool has_place;
	uint32_t segment;
	uint64_t offset;
	const cairn_error *why;
} cairn_damage;

typedef struct cairn_fsck_observer {
	void (*damage)(void *arg, const cairn_damage *damage);
	/* done of total: bytes of segments, artifacts, or tables of the index. May be NULL. */
	void (*progress)(void *arg, const char *part, uint64_t done, uint64_t total);
	void *arg;
} cairn_fsck_observer;

/* is_quick: nothing is read from segments but their headers. The store stays the caller's. */
CAIRN_MUST int cairn_fsck_new(cairn_fsck **out, cairn_store *store, bool is_quick,
	const cairn_fsck_observer *observer, cairn_error *err);
void cairn_fsck_free(cairn_fsck *fsck);
/* This value of "chunk", "blob" or "artifact" is known to be damaged. */
CAIRN_MUST int cairn_fsck_mark(
	cairn_fsck *fsck, const char *table, const cairn_id *id, cairn_error *err);
/* < 0 only where the check itself fails (no memory, no read permission). */
CAIRN_MUST int cairn_fsck_index(cairn_fsck *fsck, cairn_error *err);
CAIRN_MUST int cairn_fsck_segments(cairn_fsck *fsck, cairn_error *err);
CAIRN_MUST int cairn_fsck_artifacts(cairn_fsck *fsck, cairn_error *err);

/* ---- repair ------------------------------------------------------------------------- */

/* A damaged value, as the check found it. */
typedef struct cairn_fsck_target {
	const char *what, *table; /* as in cairn_damage; not "index" */
	const void *key;
	size_t key_len;
	bool has_place;
	uint32_t segment;
	uint64_t offset;
} cairn_fsck_target;

/* Told of each thing that is dropped or restored, once that is decided: "drop", "restore". */
typedef void (*cairn_fsck_told_fn)(void *arg, const char *action, const cairn_fsck_target *target);
/*
 * Takes damaged values out of the index, so that whoever puts the same content again writes it
 * anew, and with them the manifests of artifacts that are not whole: what names them sees that
 * they are gone. Headers are written again in their place. Each target is looked at again first:
 * what is right by now stays. One transaction, in which `records` (may be NULL) can change
 * records too; an artifact is gone if cairn_snapshot_has_artifact says so.
 */
CAIRN_MUST int cairn_fsck_repair(cairn_store *store, const cairn_fsck_target *targets, size_t n,
	cairn_fsck_told_fn told, cairn_batch_fn records, void *arg, cairn_error *err);
/*
 * The same for one artifact that a reader found damaged: all that it is made of is looked at, and
 * what is damaged goes, with its manifest. *is_gone: something was, and *why tells the first; else
 * nothing was changed. The store stays in use meanwhile.
 */
CAIRN_MUST int cairn_store_mend(cairn_store *store, const cairn_id *artifact, bool *is_gone,
	cairn_error *why, cairn_batch_fn records, void *arg, cairn_error *err);
/* Is there a manifest of that id? Its parts are not looked at. */
CAIRN_MUST int cairn_snapshot_has_artifact(
	cairn_snapshot *snapshot, const cairn_id *id, bool *out, cairn_error *err);

/* 0 where the directory is a store, whatever its index is like; ENOTFOUND, EINPUT. */
CAIRN_MUST int cairn_store_exists(const char *directory, cairn_error *err);

/* ---- the index, lost and made again -------------------------------------------------------- */

/* Copies the index to meta/backup.mdb where the last copy is older than a day and the index has at
 * most max_bytes (0: any age, any size). *out: was it copied? */
CAIRN_MUST int cairn_store_backup(
	cairn_store *store, uint64_t max_bytes, bool *out, cairn_error *err);

typedef struct cairn_rebuilt {
	bool has_index, has_backup; /* it was needed, and could be opened */
	int64_t backup_ms;          /* the time of the backup */
	uint64_t n_salvaged;        /* values that could be read from the index as it was */
	uint64_t n_from_backup;     /* values that only the backup had */
	uint64_t n_scanned;         /* chunks that only the segments knew */
	uint64_t n_dropped;         /* chunks that did not lie where they should */
} cairn_rebuilt;

/*
 * Makes a new index of all that can still be read: of the present one, of its backup, and of the
 * segments. It takes the place of the present one in one rename; that stays beside it as
 * data.mdb.damaged. Blobs, manifests and records that are in neither copy cannot be made again.
 * Nobody may have the store open: EBUSY. May fork.
 */
CAIRN_MUST int cairn_store_rebuild(cairn_rebuilt *out, const char *directory,
	const cairn_fsck_observer *observer, cairn_error *err);

CAIRN_END_DECLS

#endif
