/* SPDX-License-Identifier: Apache-2.0 */
/*
 * internal.h - what the files of the store share. FORMAT.md has the bytes, README.md the
 * order to read in.
 *
 * Layers, each knowing only those above it in this list:
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
#include <sys/types.h>

#include "base/crc.h"
#include "base/text.h"
#include "cairn/gc.h"
#include "cairn/store.h"

/* Part of the format: changing one changes ids or makes old stores unreadable. */
enum {
	CAIRN_FORMAT_VERSION = 2,
	CAIRN_CHUNK_BYTES = 4 << 20,
	CAIRN_CUT_MIN = 128 << 10, /* chunks of bytes that are cut by content: over INLINE_BYTES */
	CAIRN_CUT_NORMAL = 256 << 10,
	CAIRN_CUT_MAX = 1 << 20,
	CAIRN_INLINE_BYTES = 64 << 10, /* chunks up to here live in the index */
	CAIRN_BLOCK_BYTES = 4 << 10,   /* unit of segments; what O_DIRECT wants */
	CAIRN_LIST_FANOUT = 1024,
	CAIRN_META_INLINE_BYTES = 16 << 10, /* longer metadata is cut into chunks too */
	CAIRN_UUID_BYTES = 16,
	CAIRN_CODEC_RAW = 0,
};

/* The limits that store.h states. */
enum {
	CAIRN_MAX_NAME = 200,
	CAIRN_MAX_META = 16 << 20,
	CAIRN_MAX_ENTRIES = 1000000,
	CAIRN_MAX_KEY = 511,
	CAIRN_MAX_VALUE = 1 << 20,
};
#define CAIRN_MAX_ENTRY_BYTES ((uint64_t)1 << 40)

/* A segment is sealed once it reaches this; not part of the format. */
#define CAIRN_SEGMENT_BYTES ((uint64_t)1 << 30)
#define CAIRN_MAP_BYTES     ((size_t)64 << 30)

/* ---- disk.c ----------------------------------------------------------------------- */

/* EIO with errno as detail; a full disk gets a hint. `path`: anything on that file system. */
int cairn_disk__fail(cairn_error *err, int errno_value, const char *path, const char *format, ...)
	CAIRN_PRINTF(4, 5);
/* The name of the network file system that a statfs magic and a mount type stand for, or NULL
 * where it is a local one. `type` may be NULL. */
const char *cairn_disk__network_name(uint64_t magic, const char *type);
/* EINPUT where the directory lies on a network file system. */
CAIRN_MUST int cairn_disk__check_local(int directory_fd, const char *path, cairn_error *err);
/* 0 or an errno value. */
CAIRN_MUST int cairn_disk__sync_directory(int at, const char *name);

/* ---- pages.c ---------------------------------------------------------------------- */

/* Something is wrong with pages of a table; "": with the list of tables, or of free pages. */
typedef void (*cairn_pages_fn)(void *arg, const char *table, const cairn_error *why);

/* EINTEGRITY where the two meta pages are not what LMDB could have left: it would believe them. Of
 * a file that is not there, or not LMDB's, it may speak itself: 0. */
CAIRN_MUST int cairn_pages__check_meta(const char *directory, cairn_error *err);
/* Looks at all pages of the index as this commit left it, which an open transaction keeps. 0 also
 * where damage was told; 1: its meta page has been written over. */
CAIRN_MUST int cairn_pages__walk(int fd, size_t page_bytes, uint64_t commit, const char *path,
	cairn_pages_fn fn, void *arg, cairn_error *err);

/* ---- index.c ---------------------------------------------------------------------- */

/* Table, name, may callers name it? */
#define CAIRN_TABLE_MAP(X)                \
	X(META, "meta", false)            \
	X(CHUNK, "chunk", false)          \
	X(BLOB, "blob", false)            \
	X(ARTIFACT, "artifact", false)    \
	X(RESULT, "result", true)         \
	X(CHECKPOINT, "checkpoint", true) \
	X(RUN, "run", true)               \
	X(STAGE, "stage", true)           \
	X(ATTEMPT, "attempt", true)       \
	X(EVENT, "event", true)           \
	X(REF, "ref", true)               \
	X(REFLOG, "reflog", true)         \
	X(PRODUCER, "producer", true)     \
	X(CONSUMER, "consumer", true)     \
	X(LEASE, "lease", true)           \
	X(RECENT, "recent", true)         \
	X(FILECACHE, "filecache", true)   \
	X(PLUGIN, "plugin", true)         \
	X(NOTE, "note", true)

enum cairn_table {
#define CAIRN_TABLE_ENUM(id, name, is_public) CAIRN_TABLE_##id,
	CAIRN_TABLE_MAP(CAIRN_TABLE_ENUM)
#undef CAIRN_TABLE_ENUM
	CAIRN_TABLES
};

typedef struct cairn_index cairn_index;
typedef struct cairn_txn cairn_txn;

/* Opens meta/ of a store; `create` makes what is missing. */
CAIRN_MUST int cairn_index__open(cairn_index **out, const char *directory, bool create,
	bool readonly, size_t map_bytes, cairn_error *err);
/* To save what can be saved: read-only, and without a look at the meta pages. */
CAIRN_MUST int cairn_index__open_damaged(
	cairn_index **out, const char *directory, cairn_error *err);
void cairn_index__close(cairn_index *index);
/* Lets go of its files, which may then be replaced; the next transaction opens it again. This
 * process has no transaction. */
void cairn_index__shut(cairn_index *index);
const char *cairn_index__table_name(enum cairn_table table);
/* The public table of that name; EBUG where there is none. */
CAIRN_MUST int cairn_index__table(enum cairn_table *out, const char *name, cairn_error *err);
/* Only one write transaction exists at a time, in all processes: begin waits for it. */
CAIRN_MUST int cairn_index__begin(
	cairn_txn **out, cairn_index *index, bool writes, cairn_error *err);
/* Ends the transaction, whatever it returns. Durable once it returned 0. */
CAIRN_MUST int cairn_index__commit(cairn_txn *txn, cairn_error *err);
void cairn_index__abort(cairn_txn *txn);
/* The value is borrowed until the transaction ends or, in a writing one, changes anything.
 * ENOTFOUND leaves *err untouched. */
CAIRN_MUST int cairn_index__get(cairn_txn *txn, enum cairn_table table, const void *key,
	size_t key_len, const void **value, size_t *value_len, cairn_error *err);
/* Makes room for a value; the caller fills *room before it does anything else with the txn. */
CAIRN_MUST int cairn_index__reserve(cairn_txn *txn, enum cairn_table table, const void *key,
	size_t key_len, size_t value_len, uint8_t **room, cairn_error *err);
/* 0 also where there was no such key. */
CAIRN_MUST int cairn_index__delete(
	cairn_txn *txn, enum cairn_table table, const void *key, size_t key_len, cairn_error *err);
CAIRN_MUST int cairn_index__scan(cairn_txn *txn, enum cairn_table table, const void *prefix,
	size_t prefix_len, bool descending, cairn_scan_fn fn, void *arg, cairn_error *err);
/* All records from this key on, ascending. */
CAIRN_MUST int cairn_index__scan_from(cairn_txn *txn, enum cairn_table table, const void *key,
	size_t key_len, cairn_scan_fn fn, void *arg, cairn_error *err);
/* Removes all records of a table. */
CAIRN_MUST int cairn_index__clear(cairn_txn *txn, enum cairn_table table, cairn_error *err);
/* A write transaction around fn, which is called again where the index had to grow. */
typedef int (*cairn_write_fn)(cairn_txn *txn, void *arg, cairn_error *err);
CAIRN_MUST int cairn_index__write(
	cairn_index *index, cairn_write_fn fn, void *arg, cairn_error *err);
/* pages.c, on what is committed now. */
CAIRN_MUST int cairn_index__walk_pages(
	cairn_index *index, cairn_pages_fn fn, void *arg, cairn_error *err);
/* How many values a table has. */
CAIRN_MUST int cairn_index__count(
	cairn_txn *txn, enum cairn_table table, uint64_t *out, cairn_error *err);
/* The bytes that the index fills, those of its free pages included. */
CAIRN_MUST int cairn_index__size(cairn_index *index, uint64_t *out, cairn_error *err);
/* Writes a compact copy, of one moment, to an empty file; it is not synced. Readers and writers go
 * on, but no page is reused before it is done. */
CAIRN_MUST int cairn_index__copy(cairn_index *index, int fd, cairn_error *err);
/* Records of each table; the file's bytes, and those of pages that hold something. */
CAIRN_MUST int cairn_index__sizes(cairn_index *index, uint64_t entries[CAIRN_TABLES],
	uint64_t *bytes, uint64_t *used, cairn_error *err);
/* Records of each table of a data file that nobody writes. */
CAIRN_MUST int cairn_index__sizes_of_file(
	const char *path, uint64_t entries[CAIRN_TABLES], cairn_error *err);
/* This process has no transaction. */
bool cairn_index__is_idle(cairn_index *index);
/* Housekeeping before a write transaction: doubles the map when it is half full, clears the
 * slots of dead readers. */
void cairn_index__tend(cairn_index *index);
/* After a failed transaction: true where the map was full and could be doubled: try again. */
bool cairn_index__grow_if_full(cairn_index *index);

/* ---- catalog.c -------------------------------------------------------------------- */

/* Where a large chunk lies. */
typedef struct cairn_place {
	uint32_t segment;
	uint64_t offset; /* of the record's header */
	uint32_t raw_len, stored_len;
	uint8_t codec;
} cairn_place;

/* Sealed records: version byte, value, CRC over key, version and value. */
CAIRN_MUST int cairn_catalog__get(cairn_txn *txn, enum cairn_table table, const void *key,
	size_t key_len, const void **value, size_t *value_len, cairn_error *err);
CAIRN_MUST int cairn_catalog__put(cairn_txn *txn, enum cairn_table table, const void *key,
	size_t key_len, const void *value, size_t value_len, cairn_error *err);
/* Takes the seal off a value met in a scan; EINTEGRITY. */
CAIRN_MUST int cairn_catalog__unseal(enum cairn_table table, const void *key, size_t key_len,
	const void **value, size_t *value_len, cairn_error *err);
/* Any value of any table against its checksum, a blob against its digest too; EINTEGRITY. */
CAIRN_MUST int cairn_catalog__check(enum cairn_table table, const void *key, size_t key_len,
	const void *value, size_t value_len, cairn_error *err);
/* Deletes a record, manifest, blob or chunk; 0 also where there was none. What goes with an
 * artifact or a result is counted: whoever saw it there can tell by the count that it still is. */
CAIRN_MUST int cairn_catalog__delete(
	cairn_txn *txn, enum cairn_table table, const void *key, size_t key_len, cairn_error *err);
#define CAIRN_LOSSES "losses" /* that count: a number in the meta table */
/* Numbers in the meta table: "next_seg", "gc_epoch". 0 where absent. */
CAIRN_MUST int cairn_catalog__number(
	cairn_txn *txn, const char *name, uint64_t *out, cairn_error *err);
CAIRN_MUST int cairn_catalog__set_number(
	cairn_txn *txn, const char *name, uint64_t value, cairn_error *err);

/* Blobs: a small chunk or a node (CAIRN_TABLE_BLOB), a manifest (CAIRN_TABLE_ARTIFACT). Bytes
 * are checked against the id. ENOTFOUND leaves *err untouched. */
CAIRN_MUST int cairn_catalog__get_blob(cairn_txn *txn, enum cairn_table table, const cairn_id *id,
	const void **bytes, size_t *len, cairn_error *err);
CAIRN_MUST int cairn_catalog__put_blob(cairn_txn *txn, enum cairn_table table, const cairn_id *id,
	const void *bytes, size_t len, uint64_t epoch, cairn_error *err);
CAIRN_MUST int cairn_catalog__get_chunk(
	cairn_txn *txn, const cairn_id *id, cairn_place *out, cairn_error *err);
CAIRN_MUST int cairn_catalog__put_chunk(cairn_txn *txn, const cairn_id *id,
	const cairn_place *place, uint64_t epoch, cairn_error *err);
/* Stamps a blob or chunk with the epoch, if it has an older one. ENOTFOUND leaves *err
 * untouched. */
CAIRN_MUST int cairn_catalog__touch(cairn_txn *txn, enum cairn_table table, const cairn_id *id,
	uint64_t epoch, cairn_error *err);
/* The stamp of a value of these tables, as it was read or met in a scan. EINTEGRITY. */
CAIRN_MUST int cairn_catalog__stamp(enum cairn_table table, const cairn_id *id, const void *value,
	size_t len, uint64_t *epoch, cairn_error *err);
/* The place in a value of CAIRN_TABLE_CHUNK. */
CAIRN_MUST int cairn_catalog__read_place(
	const cairn_id *id, const void *value, size_t len, cairn_place *out, cairn_error *err);
/* Gives a chunk another place, if it still lies at `from`; its stamp stays. */
CAIRN_MUST int cairn_catalog__move_chunk(cairn_txn *txn, const cairn_id *id,
	const cairn_place *from, const cairn_place *to, cairn_error *err);

/* ---- pool.c ----------------------------------------------------------------------- */

typedef struct cairn_hash_job {
	const void *bytes;
	size_t len;
	cairn_id id; /* the answer */
	bool is_done;
	struct cairn_hash_job *next;
} cairn_hash_job;

typedef struct cairn_pool cairn_pool;

/* NULL where there is no memory. Threads start with the first job. */
cairn_pool *cairn_pool__new(void);
void cairn_pool__free(cairn_pool *pool);
/* The job stays where it is until it was waited for. */
void cairn_pool__submit(cairn_pool *pool, cairn_hash_job *job);
void cairn_pool__wait(cairn_pool *pool, cairn_hash_job *job);
/* A thread that takes no signals: those are for the threads of whoever opened the store. */
CAIRN_MUST bool cairn_pool__thread(pthread_t *out, void *(*function)(void *), void *arg);

/* ---- segment.c -------------------------------------------------------------------- */

typedef struct cairn_segments cairn_segments;

CAIRN_MUST int cairn_segments__open(
	cairn_segments **out, cairn_store *store, const char *directory, cairn_error *err);
void cairn_segments__close(cairn_segments *segments);
/* Appends a chunk. It is durable after sync. */
CAIRN_MUST int cairn_segments__append(cairn_segments *segments, const cairn_id *id,
	const void *bytes, uint32_t len, cairn_place *out, cairn_error *err);
CAIRN_MUST int cairn_segments__sync(cairn_segments *segments, cairn_error *err);
/* Tells that the index may name bytes of the current segment from now on. */
void cairn_segments__keep(cairn_segments *segments);
/* No batch waits for its commit: segments that are full are not held for one any more. */
void cairn_segments__settle(cairn_segments *segments);
/* Counts failed writes: what was appended before one and not synced is lost. */
uint64_t cairn_segments__failures(const cairn_segments *segments);

/* Reads many chunks, keeping the last segment's file open between calls. {.fd = -1} at first. */
typedef struct cairn_segment_reader {
	int fd;
	uint32_t segment;
} cairn_segment_reader;

/* Reads the payload, unverified. EINTEGRITY where the file ends early or is missing. */
CAIRN_MUST int cairn_segments__read(cairn_segments *segments, cairn_segment_reader *reader,
	const cairn_place *place, void *out, cairn_error *err);
/* Maps the payload, read-only, over memory at `at` that the caller has reserved; padded to whole
 * blocks. 1: it cannot be mapped, read it. EINTEGRITY as above. */
CAIRN_MUST int cairn_segments__map(cairn_segments *segments, cairn_segment_reader *reader,
	const cairn_place *place, void *at, cairn_error *err);
void cairn_segments__read_end(cairn_segment_reader *reader);

/* ---- header.c --------------------------------------------------------------------- */

/* Each fills a block of CAIRN_BLOCK_BYTES. */
void cairn_header__segment(uint8_t *block, uint32_t number, const uint8_t uuid[CAIRN_UUID_BYTES]);
void cairn_header__record(uint8_t *block, const cairn_id *id, const cairn_place *place);
bool cairn_header__is_segment(
	const uint8_t *block, uint32_t number, const uint8_t uuid[CAIRN_UUID_BYTES]);
/* false where the block is no record's header, or a damaged one. */
bool cairn_header__read_record(const uint8_t *block, cairn_id *id, cairn_place *out);

/* ---- scrub.c ---------------------------------------------------------------------- */

/* Segments read from the disk itself, where the file system lets us. {.fd = -1} at first. */
typedef struct cairn_scrub {
	const char *directory; /* of the store */
	int fd;
	uint32_t segment;
	uint64_t bytes; /* of the open file */
} cairn_scrub;

/* The largest record, a multiple of CAIRN_BLOCK_BYTES. */
#define CAIRN_RECORD_BYTES ((size_t)CAIRN_BLOCK_BYTES + CAIRN_CHUNK_BYTES)
/* EINTEGRITY where the segment is missing. */
CAIRN_MUST int cairn_scrub__open(cairn_scrub *scrub, uint32_t segment, cairn_error *err);
/* Reads whole blocks into memory aligned to one; EINTEGRITY where the file ends before them. */
CAIRN_MUST int cairn_scrub__read(
	cairn_scrub *scrub, uint64_t offset, void *out, size_t len, cairn_error *err);
void cairn_scrub__close(cairn_scrub *scrub);
/* A chunk's length, rounded up to whole blocks. */
size_t cairn_scrub__padded(uint32_t len);
/* The bytes of a record, with its header. */
size_t cairn_scrub__record(const cairn_place *place);
/* Does the open segment hold as much? */
bool cairn_scrub__fits(const cairn_scrub *scrub, const cairn_place *place);
/* The numbers of all segment files, ascending; the caller frees. */
CAIRN_MUST int cairn_scrub__list(
	uint32_t **out, size_t *n, const char *directory, cairn_error *err);

/* ---- cuts.c ----------------------------------------------------------------------- */

/* Is an entry of this shape cut where its content says? Else every CAIRN_CHUNK_BYTES. */
bool cairn_cuts__by_content(uint32_t dtype, uint32_t n_dims, uint64_t bytes);
/* The length of the chunk that begins here, of `left` bytes that follow. */
size_t cairn_cuts__next(bool by_content, const void *bytes, uint64_t left);

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
