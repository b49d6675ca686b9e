/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h - what the files of the store share. FORMAT.md has the bytes, README.md the
 * order to read in.
 *
 * Layers, each knowing only those above it in this list; down to cuts.c they are in media.h, from
 * manifest.c on here:
 *
 *   disk.c, bytes.h          file systems, little-endian encoding
 *   pages.c                  the pages of an index, read without LMDB
 *   index.c, index_read.c    LMDB, and the only files that know it
 *   catalog.c                what lies in the index: sealed records, blobs, chunk places
 *   pool.c, segment.c        hashing beside writing; the bytes of large chunks
 *   header.c, scrub.c        the blocks before them; segments read past the page cache
 *   cuts.c                   where the bytes of an entry are cut
 *   manifest.c, walk.c       nodes and lists: their one canonical encoding; all of an artifact
 *   lease.c                  who is at work
 *   pending.c, batch.c       what waits for the commit, and the commit
 *   packet.c                 a batch as bytes, for another process to commit
 *   write.c                  artifacts in
 *   content.c, object.c      the bytes of an entry: mapped or read, and verified; artifacts out
 *   transfer.c               the same piece by piece, for bundles
 *   fsck.c, repair.c, rebuild.c   after bit rot
 *   snapshot.c, id.c, open.c records, ids, and the directory itself
 *   marks.c, gc.c            which parts are reached; taking away what is not
 *   reclaim.c, usage.c, compact.c   segments that are hardly used; who uses what; a dense index
 */
#ifndef CAIRN_STORE_INTERNAL_H
#define CAIRN_STORE_INTERNAL_H

#include <pthread.h>

#include "store/media.h"

/* ---- manifest.c ------------------------------------------------------------------- */

/* Takes a node in while a list is written, and hands one out while it is read. */
typedef int (*cairn_node_put_fn)(
	void *arg, const void *bytes, size_t len, cairn_id *out, cairn_error *err);
typedef int (*cairn_node_get_fn)(
	void *arg, const cairn_id *id, const void **bytes, size_t *len, cairn_error *err);

/* Appends the list of n ids to a node; lists over CAIRN_LIST_FANOUT go to nodes of their own. */
CAIRN_MUST int cairn_manifest__add_list(cairn_text *node, const cairn_id *ids, uint64_t n,
	cairn_node_put_fn put, void *arg, cairn_error *err);
/* Reads an encoded list that must have n ids. The caller frees *out. */
CAIRN_MUST int cairn_manifest__read_list(cairn_id **out, const void *list, size_t list_len,
	uint64_t n, cairn_node_get_fn get, void *arg, cairn_error *err);
/* The number of chunks that so many bytes are cut into, where cuts are fixed. */
uint64_t cairn_manifest__chunks(uint64_t bytes);

/* An entry node without its list, and a manifest without its list. Pointers are borrowed from
 * the encoded bytes where they were read from some. */
typedef struct cairn_entry_node {
	const char *name; /* not NUL-terminated when read */
	uint32_t name_len;
	uint32_t dtype, n_dims;
	uint64_t dims[CAIRN_MAX_DIMS];
	uint64_t bytes;
	bool is_cut_by_content; /* (cuts.c), and then: */
	uint32_t last_len;      /* of its last chunk; the others are over CAIRN_INLINE_BYTES */
	uint64_t n_chunks;
	const void *list; /* the encoded list, to the end of the node */
	size_t list_len;
} cairn_entry_node;

typedef struct cairn_manifest {
	const char *kind; /* not NUL-terminated when read */
	uint32_t kind_len;
	uint64_t n_entries, bytes;
	uint64_t meta_len;
	const char *meta;      /* NULL where it is cut into chunks */
	const void *meta_list; /* then this is their list */
	size_t meta_list_len;
	const void *list;
	size_t list_len;
} cairn_manifest;

void cairn_manifest__add_entry_head(cairn_text *node, const cairn_entry_node *entry);
/* Everything up to the metadata, without it. */
void cairn_manifest__add_head(cairn_text *node, const cairn_manifest *manifest);
/* EINTEGRITY where the bytes are no such node in canonical form. */
CAIRN_MUST int cairn_manifest__read_entry(
	cairn_entry_node *out, const void *bytes, size_t len, cairn_error *err);
CAIRN_MUST int cairn_manifest__read(
	cairn_manifest *out, const void *bytes, size_t len, cairn_error *err);
/* Name 1..200 bytes without control characters, a known dtype, dims that fit bytes. EINPUT. */
CAIRN_MUST int cairn_manifest__check_tensor(const cairn_tensor *tensor, cairn_error *err);
CAIRN_MUST int cairn_manifest__check_name(
	const char *what, const char *name, size_t len, cairn_error *err);

/* ---- walk.c ----------------------------------------------------------------------- */

/* A manifest, a node or a chunk of an artifact. */
typedef struct cairn_part {
	enum cairn_table table; /* ARTIFACT: the manifest; BLOB: a node or a chunk; CHUNK */
	bool is_node;           /* in BLOB: of an entry or a list */
	cairn_id id;
	const void *bytes; /* of a manifest or node, verified; NULL for a chunk */
	uint64_t len;      /* of a chunk too; 0 where that is not known */
	/* What is wrong with it: ENOTFOUND, EINTEGRITY, and *why; 0 else. Then nothing below it is
	 * walked. Chunks are not looked at. */
	int problem;
	const cairn_error *why;
} cairn_part;

/* 0: go on; 1: pass over what is below this manifest or entry (of a list's node it says nothing:
 * its parts come all the same); < 0: end with this code. */
typedef int (*cairn_part_fn)(void *arg, const cairn_part *part, cairn_error *err);
/* Calls fn for the manifest, then for each node before what is below it. Parts that are in it
 * several times come several times. */
CAIRN_MUST int cairn_walk(
	cairn_txn *txn, const cairn_id *artifact, cairn_part_fn fn, void *arg, cairn_error *err);
/* What is known of a manifest or node, by the mark that it got when it was read. */
enum cairn_known {
	CAIRN_UNKNOWN,
	CAIRN_KNOWN_BELOW, /* all below it was told: pass over it, a list's node excepted */
	CAIRN_KNOWN_BYTES, /* they were verified in this transaction */
};
typedef enum cairn_known (*cairn_known_fn)(
	void *arg, enum cairn_table table, const cairn_id *id, const void **bytes, size_t *len);
/* The same for who walks many artifacts that have much in common. */
CAIRN_MUST int cairn_walk_known(cairn_txn *txn, const cairn_id *artifact, cairn_known_fn known,
	cairn_part_fn fn, void *arg, cairn_error *err);

/* ---- lease.c ---------------------------------------------------------------------- */

/* Odd while a collection is under way. */
static inline bool cairn_epoch__is_collecting(uint64_t epoch)
{
	return epoch & 1;
}

/* This process's lease on a store. */
typedef struct cairn_lease {
	pthread_mutex_t lock;
	uint8_t id[16];
	const char *kind;
	bool is_held;         /* it is in the index, and says: */
	uint64_t epoch;       /* what is stamped with this or later is in use */
	uint64_t recorded;    /* what it says in the index */
	cairn_batch *batches; /* open ones */
} cairn_lease;

void cairn_lease__open(cairn_lease *lease);
void cairn_lease__close(cairn_lease *lease);
/* A batch begins and ends. */
void cairn_lease__enter(cairn_batch *batch);
void cairn_lease__leave(cairn_batch *batch);
/* Entries with this stamp or a later one stay as long as the batch is open. UINT64_MAX: none yet.
 * To be called before they are looked up. */
uint64_t cairn_lease__rely(cairn_batch *batch);
/* In a write transaction: moves the lease on, as far as open batches allow. `batch` (may be NULL)
 * is what publishes; is_end: its commit. */
CAIRN_MUST int cairn_lease__renew(cairn_store *store, cairn_txn *txn, cairn_batch *batch,
	bool is_end, uint64_t epoch, cairn_error *err);
/* Removes the leases of the dead, and ends the collection of a dead collector: *epoch, the present
 * one, is raised then. */
CAIRN_MUST int cairn_lease__bury(cairn_txn *txn, uint64_t *epoch, cairn_error *err);
/* Both: the second at the first time only. held() once it is committed. */
CAIRN_MUST int cairn_lease__hold(cairn_store *store, cairn_txn *txn, cairn_batch *batch,
	bool is_end, uint64_t *epoch, cairn_error *err);
void cairn_lease__held(cairn_store *store);
/* The least epoch of all leases that are not dead; UINT64_MAX where there are none. */
CAIRN_MUST int cairn_lease__floor(
	cairn_store *store, cairn_txn *txn, uint64_t *out, cairn_error *err);
/* What it would be after our own was renewed. */
CAIRN_MUST int cairn_lease__foresee(
	cairn_store *store, cairn_txn *txn, uint64_t *out, cairn_error *err);

/* ---- content.c -------------------------------------------------------------------- */

/* What is to be read: an entry, or long metadata. */
typedef struct cairn_content {
	const cairn_id *artifact; /* for messages, as */
	const char *name;         /* of the entry; NULL: the metadata */
	bool needs_nul;           /* behind the bytes */
	bool is_cut_by_content;
	uint32_t last_len;
	uint64_t len, n_chunks;
	const void *list;
	size_t list_len;
} cairn_content;

/* The bytes of one: in memory of their own, or mapped from the segments. {0}: none. */
typedef struct cairn_held {
	void *bytes;
	size_t mapped; /* so many bytes are; 0: memory */
	unsigned n_maps;
} cairn_held;

/* Reads and verifies every chunk; the bytes are aligned to 64. EINTEGRITY, EIO, ENOMEM. */
CAIRN_MUST int cairn_content__read(
	cairn_held *out, cairn_store *store, const cairn_content *content, cairn_error *err);
void cairn_content__free(cairn_held *held);
/* A node of a list, for cairn_manifest__read_list; arg is a cairn_txn. */
CAIRN_MUST int cairn_content__node(
	void *arg, const cairn_id *id, const void **bytes, size_t *len, cairn_error *err);

/* ---- pending.c -------------------------------------------------------------------- */

/* A chunk, node or manifest that the commit publishes, or (is_new false) relies on. */
typedef struct cairn_pending_item {
	cairn_id id;
	enum cairn_table table; /* CHUNK, BLOB or ARTIFACT */
	bool is_new;
	bool is_published;
	uint32_t len;
	/* Of a new blob or manifest; of a chunk that was found, but might be collected yet. */
	uint8_t *bytes;
	cairn_place place;
} cairn_pending_item;

/* A set of items by (table, id), in order of arrival. {0} is empty. */
typedef struct cairn_pending {
	cairn_pending_item *items;
	size_t n_items, cap_items;
	uint32_t *slots; /* open addressing; index + 1 of an item, 0 is free */
	size_t n_slots;
	size_t n_unpublished; /* chunks and blobs, and */
	size_t bytes;         /* the memory these hold */
	size_t n_lost;        /* chunks that publish found collected, and has the bytes of */
} cairn_pending;

bool cairn_pending__has(const cairn_pending *pending, enum cairn_table table, const cairn_id *id);
/* The new zeroed item, to be filled; NULL where there is no memory. It must not be there yet. */
cairn_pending_item *cairn_pending__add(
	cairn_pending *pending, enum cairn_table table, const cairn_id *id);
/* Adds an item with a copy of its bytes. false: no memory. */
bool cairn_pending__add_bytes(cairn_pending *pending, enum cairn_table table, const cairn_id *id,
	const void *bytes, size_t len);
void cairn_pending__free(cairn_pending *pending);
/* Puts items into the index, stamped with the epoch: all for a commit; before it only chunks and
 * blobs, and spilled() once that is committed. */
CAIRN_MUST int cairn_pending__publish(
	cairn_pending *pending, cairn_txn *txn, bool is_commit, uint64_t epoch, cairn_error *err);
void cairn_pending__spilled(cairn_pending *pending);

/* ---- marks.c ---------------------------------------------------------------------- */

enum cairn_mark_kind {
	CAIRN_MARK_ARTIFACT,
	CAIRN_MARK_NODE,
	CAIRN_MARK_BLOB,
	CAIRN_MARK_CHUNK,
};

typedef struct cairn_mark {
	cairn_id id;
	uint8_t kind;
	bool is_taken;
	bool is_shared;       /* usage.c: several owners reach it; */
	uint32_t owner, last; /* the first of them, and the last that was told */
	uint32_t bytes;
	const void *node; /* the bytes of a manifest or node, as long as usage.c's transaction */
} cairn_mark;

/* {0} is empty. */
typedef struct cairn_marks {
	cairn_mark *slots;
	size_t n_slots, n;
} cairn_marks;

/* NULL: it is not there. */
const cairn_mark *cairn_marks__find(
	const cairn_marks *marks, enum cairn_mark_kind kind, const cairn_id *id);
bool cairn_marks__has(const cairn_marks *marks, enum cairn_mark_kind kind, const cairn_id *id);
/* The mark, made where it was not there; valid until the next one is added. NULL: no memory. */
cairn_mark *cairn_marks__add(
	cairn_marks *marks, enum cairn_mark_kind kind, const cairn_id *id, bool *is_new);
enum cairn_mark_kind cairn_marks__kind(const cairn_part *part);
/* Is this value of the index reached, as whatever? */
bool cairn_marks__lives(const cairn_marks *marks, enum cairn_table table, const cairn_id *id);
void cairn_marks__free(cairn_marks *marks);

/* ---- gc.c, reclaim.c -------------------------------------------------------------- */

/* One collection or compaction at a time: a descriptor to close at its end; EBUSY. */
CAIRN_MUST int cairn_gc__lock(cairn_store *store, int *out, cairn_error *err);
/* What a chunk takes of its segment. */
uint64_t cairn_reclaim__bytes(const cairn_place *place);
/* Removes segments of which nothing is used, and rewrites those of which little is. */
CAIRN_MUST int cairn_reclaim__segments(
	cairn_store *store, cairn_gc_report *report, cairn_error *err);
/* What that would do if these chunks were all. */
typedef bool (*cairn_lives_fn)(void *arg, const cairn_id *id, uint64_t stamp);
CAIRN_MUST int cairn_reclaim__foresee(cairn_store *store, cairn_lives_fn lives, void *arg,
	cairn_gc_report *report, cairn_error *err);

/* ---- salvage.c -------------------------------------------------------------------- */

/* What could be read of a damaged index. */
typedef struct cairn_salvage {
	bool is_open;                /* it could be opened at all */
	bool is_whole[CAIRN_TABLES]; /* the table was read from end to end */
} cairn_salvage;

/* Copies all right values of the index in `from` that the one in `to` lacks, but not those of
 * tables in `skip` (may be NULL). Both are directories with a meta/; reads in child processes, for
 * a damaged page can kill the reader. */
CAIRN_MUST int cairn_salvage__copy(
	cairn_salvage *out, const char *from, const char *to, const bool *skip, cairn_error *err);

/* ---- the handles ------------------------------------------------------------------ */

struct cairn_store {
	char *path;
	bool is_readonly;
	bool copies_reads; /* entries are read into memory, never mapped (object.c) */
	pid_t pid;         /* of the process that opened it: never used after fork */
	dev_t device;      /* of the directory: a process opens a store once */
	ino_t inode;
	uint8_t uuid[CAIRN_UUID_BYTES];
	int directory_fd; /* shared flock: nobody swaps the index while we have it open */
	cairn_index *index;
	cairn_segments *segments;
	cairn_pool *pool;
	cairn_lease lease;
	uint64_t opened_epoch; /* gc_epoch then */
	size_t n_appending;    /* batches that have chunks in segments and wait for their commit */
	struct cairn_store *next; /* in the list of this process's open stores */
};

struct cairn_snapshot {
	cairn_txn *txn;
	bool is_borrowed; /* the transaction of a commit, seen from its callback */
};

/* A record change that waits for the commit; value NULL deletes. */
typedef struct cairn_change {
	enum cairn_table table;
	uint32_t key_len, value_len;
	uint8_t *key; /* and the value behind it, in one block */
	uint8_t *value;
} cairn_change;

/* The artifact being written. */
typedef struct cairn_draft_entry {
	char *name;
	cairn_id node;
} cairn_draft_entry;

typedef struct cairn_draft {
	char *kind; /* NULL: there is none */
	cairn_draft_entry *entries;
	size_t n_entries, cap_entries;
	uint64_t bytes;
	bool is_failed; /* a put failed: it can only be dropped */
} cairn_draft;

/* An artifact that records of the batch name. */
typedef struct cairn_use {
	cairn_id id;
	bool must_exist;
} cairn_use;

struct cairn_batch {
	cairn_store *store;
	cairn_batch *next; /* in lease.batches, under its lock */
	uint64_t floor;    /* lease.c: what is older was not relied on; UINT64_MAX: nothing yet */
	cairn_use *uses;
	size_t n_uses, cap_uses;
	cairn_pending pending;
	bool has_appended; /* chunks to segments, and then: */
	uint64_t failures; /* of the segments, when the first one was */
	cairn_draft draft;
	cairn_change *changes;
	size_t n_changes, cap_changes;
	cairn_batch_fn on_commit;
	void *on_commit_arg;
	cairn_txn *txn; /* inside on_commit: changes apply at once */
};

/* As cairn_store_open, with the size that the index's map begins at. */
CAIRN_MUST int cairn_store__open(cairn_store **out, const char *directory, unsigned flags,
	size_t map_bytes, cairn_error *err);
/* What `format` says, without the index. */
CAIRN_MUST int cairn_store__uuid(
	uint8_t uuid[CAIRN_UUID_BYTES], const char *directory, cairn_error *err);
/* Publishes chunks and blobs before the commit when so many wait that one transaction for all
 * would be too large. They are unnamed until the commit. */
CAIRN_MUST int cairn_batch__spill(cairn_batch *batch, cairn_error *err);
/* Sees to it that the commit will publish these bytes of a chunk or node, unless they are published
 * already. `id` is their digest. */
CAIRN_MUST int cairn_batch__keep(
	cairn_batch *batch, const cairn_id *id, const void *bytes, size_t len, cairn_error *err);
void cairn_batch__free_draft(cairn_batch *batch);
/* Appends a chunk to a segment on behalf of the batch, which is to publish it. */
CAIRN_MUST int cairn_batch__append(cairn_batch *batch, const cairn_id *id, const void *bytes,
	uint32_t len, cairn_place *out, cairn_error *err);

/* For tests: called where another process could come in between ("put", "commit", "read", "gc
 * ..."), never inside a write transaction. NULL else. */
extern void (*cairn_store__hook)(const char *where);
static inline void cairn_store__step(const char *where)
{
	if (cairn_store__hook)
		cairn_store__hook(where);
}

#endif
