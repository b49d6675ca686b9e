/* SPDX-License-Identifier: Apache-2.0 */
/*
 * media.h - the lower layers of the store, as internal.h lists them down to cuts.c: the formats'
 * constants, file systems, the index and what lies in it, segments.
 */
#ifndef CAIRN_STORE_MEDIA_H
#define CAIRN_STORE_MEDIA_H

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

#endif
