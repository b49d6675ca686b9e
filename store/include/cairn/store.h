/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store.h - the content-addressed store: artifacts, records, one index.
 *
 * On disk (store/FORMAT.md): an LMDB environment holds the index, the manifests, small
 * objects and all records; append-only segment files hold the bytes of large objects.
 * Three ideas:
 *
 *   artifact  immutable: kind, metadata, named entries (tensors or files). Its id is the
 *             SHA-256 of its manifest. Entries are cut into chunks, tensors every 4 MiB and
 *             bytes where their content says, so equal tensors are stored once, and so is what
 *             two versions of a data set have in common.
 *   record    a small mutable value in a named table (runs, attempts, results, refs ...).
 *             What the values mean is the caller's (orchestrator/audit/record.h).
 *   batch     artifacts written so far become visible, together with record changes, in
 *             one LMDB transaction, after their bytes are synced. The index never names
 *             unsynced bytes; a crash leaves only orphan bytes at a segment's end.
 *
 * A process opens a store once and never uses it across fork. Many processes may have it
 * open. Readers never wait; batches of all processes are serialised by LMDB.
 * Limits: an entry of 1 TiB, 1,000,000 entries an artifact, metadata of 16 MiB.
 */
#ifndef CAIRN_STORE_H
#define CAIRN_STORE_H

#include <stdbool.h>

#include "cairn/base.h"
#include "cairn/error.h"
#include "cairn/stage.h" /* cairn_tensor: what an entry is */

CAIRN_BEGIN_DECLS

typedef struct cairn_id {
	uint8_t bytes[32];
} cairn_id;

#define CAIRN_ID_TEXT 72 /* "sha256:" + 64 hex digits + NUL */

typedef struct cairn_store cairn_store;
typedef struct cairn_batch cairn_batch;
typedef struct cairn_object cairn_object;
typedef struct cairn_snapshot cairn_snapshot;

/* ---- open ------------------------------------------------------------------------- */

#define CAIRN_STORE_THREAD "cairn-store" /* the name of each thread that a store starts */

enum {
	CAIRN_STORE_CREATE = 1, /* make it where there is none */
	CAIRN_STORE_READONLY = 2,
};

/* Errors: ENOTFOUND (no store there and no CREATE), EINPUT (a foreign directory, a newer
 * format, a network file system), EIO. */
CAIRN_MUST int cairn_store_open(
	cairn_store **out, const char *directory, unsigned flags, cairn_error *err);
void cairn_store_close(cairn_store *store);
const char *cairn_store_path(const cairn_store *store);

/* ---- ids -------------------------------------------------------------------------- */

void cairn_id_format(const cairn_id *id, char out[CAIRN_ID_TEXT]);
/* "sha256:<64 hex>" or "<64 hex>". */
CAIRN_MUST int cairn_id_parse(cairn_id *out, const char *text, cairn_error *err);
int cairn_id_compare(const cairn_id *a, const cairn_id *b);
/* Finds the artifact whose id begins with these hex digits (4 or more, "sha256:" optional).
 * ENOTFOUND where none or several do. */
CAIRN_MUST int cairn_store_find(
	cairn_store *store, const char *prefix, cairn_id *out, cairn_error *err);

/* ---- writing ----------------------------------------------------------------------- */

/* Collects artifacts and record changes; nothing is visible before commit. One at a time
 * per store handle for artifact writing. */
CAIRN_MUST int cairn_batch_begin(cairn_batch **out, cairn_store *store, cairn_error *err);
/* Entries of the artifact being written; bytes are consumed before it returns. Names must be
 * distinct. begin ... put ... end, one artifact at a time. */
CAIRN_MUST int cairn_batch_artifact_begin(cairn_batch *batch, const char *kind, cairn_error *err);
CAIRN_MUST int cairn_batch_artifact_put(
	cairn_batch *batch, const cairn_tensor *tensor, cairn_error *err);
/* meta: a JSON object, NULL for {}; stored canonical (sorted keys, compact). */
CAIRN_MUST int cairn_batch_artifact_end(
	cairn_batch *batch, const char *meta, cairn_id *out, cairn_error *err);
/* Gives up the artifact being written (after a failed put, for instance). */
void cairn_batch_artifact_drop(cairn_batch *batch);
/* Record changes, applied in order at commit. */
CAIRN_MUST int cairn_batch_put(cairn_batch *batch, const char *table, const void *key,
	size_t key_len, const void *value, size_t value_len, cairn_error *err);
CAIRN_MUST int cairn_batch_delete(
	cairn_batch *batch, const char *table, const void *key, size_t key_len, cairn_error *err);
/*
 * The batch's records name this artifact, which it did not make: a collection (gc.h) that is under
 * way keeps it. Where it is gone, that is EBUSY at the commit if it must exist, else nothing. For
 * values of table `ref` it is done already. What a batch makes and no record names is garbage: it
 * goes once this process has committed something else, or has ended.
 */
CAIRN_MUST int cairn_batch_use(
	cairn_batch *batch, const cairn_id *id, bool must_exist, cairn_error *err);
/* Called inside the write transaction, after the puts above: may read current records and
 * change more (compare-and-swap). < 0 aborts the commit. Values got from `now` are valid until
 * the next change; nothing may be changed inside a scan of it, and no other batch committed.
 * May be called a second time for one commit, after the first was undone (the index grew). */
typedef int (*cairn_batch_fn)(cairn_snapshot *now, cairn_batch *batch, void *arg, cairn_error *err);
void cairn_batch_on_commit(cairn_batch *batch, cairn_batch_fn fn, void *arg);
/* Syncs the segment, then publishes all in one transaction. Frees the batch, whatever it
 * returns. On error nothing is visible. */
CAIRN_MUST int cairn_batch_commit(cairn_batch *batch, cairn_error *err);
void cairn_batch_abort(cairn_batch *batch);
/* What a batch holds, as bytes that another process of this program unpacks into a batch of its
 * own, to commit many together. 0; 1 where it cannot be (large chunks, record changes, reliance on
 * what is in the index, more than `max` bytes): commit it then. The batch stays as it is; *bytes is
 * the caller's to free. */
CAIRN_MUST int cairn_batch_pack(const cairn_batch *batch, size_t max, void **bytes, size_t *len);
/* EINTEGRITY where they are no packet: every id is checked. A failure leaves part of it, which
 * nothing names. */
CAIRN_MUST int cairn_batch_unpack(
	cairn_batch *batch, const void *bytes, size_t len, cairn_error *err);

/* ---- reading artifacts -------------------------------------------------------------- */

/* ENOTFOUND, EINTEGRITY (the manifest does not match its id), EIO. */
CAIRN_MUST int cairn_object_open(
	cairn_object **out, cairn_store *store, const cairn_id *id, cairn_error *err);
void cairn_object_close(cairn_object *object);
const cairn_id *cairn_object_id(const cairn_object *object);
const char *cairn_object_kind(const cairn_object *object);
const char *cairn_object_meta(const cairn_object *object);
uint64_t cairn_object_bytes(const cairn_object *object);
uint64_t cairn_object_count(const cairn_object *object);
/* Entry `index` in bytewise order of names; data is NULL. Borrowed until close. */
CAIRN_MUST int cairn_object_entry(
	const cairn_object *object, uint64_t index, cairn_tensor *out, cairn_error *err);
/* Reads and verifies an entry; data is aligned to 64 bytes, read-only and borrowed until close.
 * Behind bytes (u8, one dimension) stands a NUL. Large tensors are mapped from the store
 * (README.md, Reading). ENOTFOUND, EINTEGRITY (names the chunk and segment), EIO, ENOMEM. */
CAIRN_MUST int cairn_object_read(
	cairn_object *object, const char *name, cairn_tensor *out, cairn_error *err);
/* Gives back the bytes of an entry (NULL: of all): what cairn_object_read handed out is gone. */
void cairn_object_release(cairn_object *object, const char *name);
bool cairn_object_has(const cairn_object *object, const char *name);
/* A digest per entry (of name, type, shape and bytes) in the order of cairn_object_entry: equal
 * ones are equal entries. The caller frees. ENOTFOUND leaves *err untouched. */
CAIRN_MUST int cairn_store_entry_ids(cairn_store *store, const cairn_id *artifact, cairn_id **out,
	uint64_t *n, cairn_error *err);

/* ---- reading records ----------------------------------------------------------------- */

/* A consistent view; keep it short-lived (LMDB cannot reuse pages behind it). */
CAIRN_MUST int cairn_snapshot_begin(cairn_snapshot **out, cairn_store *store, cairn_error *err);
void cairn_snapshot_end(cairn_snapshot *snapshot);
/* 0 and a pointer valid until the snapshot ends; ENOTFOUND leaves *err untouched. */
CAIRN_MUST int cairn_snapshot_get(cairn_snapshot *snapshot, const char *table, const void *key,
	size_t key_len, const void **value, size_t *value_len, cairn_error *err);
/* Is there an artifact of this id? One look-up; what is in it is not looked at. */
bool cairn_snapshot_has(cairn_snapshot *snapshot, const cairn_id *id);
/* As long as this number stays the same, no artifact and no result was deleted. */
uint64_t cairn_snapshot_losses(cairn_snapshot *snapshot);
/* Calls fn for each record whose key starts with prefix, ascending (or descending). fn answers 0 to
 * go on, 1 to stop, < 0 to fail. */
typedef int (*cairn_scan_fn)(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err);
CAIRN_MUST int cairn_snapshot_scan(cairn_snapshot *snapshot, const char *table, const void *prefix,
	size_t prefix_len, bool descending, cairn_scan_fn fn, void *arg, cairn_error *err);

/*
 * The tables (fixed; FORMAT.md): key -> value.
 *   result     stage key (32)               -> JSON, see orchestrator/audit/record.h
 *   checkpoint stage key (32) + step u64 BE -> JSON
 *   run        run id (ULID, 16 bytes)      -> JSON
 *   stage      run id (16) + index u32 BE   -> JSON
 *   attempt    stage key (32) + n u32 BE    -> JSON
 *   event      run id (16) + seq u64 BE     -> JSON
 *   ref        name (<= 255 bytes)          -> artifact id (32)
 *   reflog     name + 0 + seq u64 BE        -> JSON
 *   producer   artifact id (32) + stage key (32) -> empty
 *   consumer   artifact id (32) + stage key (32) -> empty
 *   lease      16 bytes                     -> JSON: who is at work (store/lease.c)
 *   recent     seq u64 BE                   -> id of a root, new since a collection began
 *   filecache  path                         -> JSON: size, mtime, ctime, inode, artifact id
 *   plugin     file digest (32)             -> JSON: its description
 *   note       any                          -> any (locks, workspace settings)
 * A value may be at most 1 MiB, a key 511 bytes.
 */

CAIRN_END_DECLS

#endif
