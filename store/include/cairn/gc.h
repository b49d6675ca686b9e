/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gc.h - what lies in a store and need not: counting it, taking it away, making files smaller.
 *
 * The store knows what artifacts are made of, and nothing of what records mean: which artifacts
 * must stay is told by a callback (orchestrator/audit/roots.h). Everything here runs beside
 * writers and readers; only the copy of the index needs the store for itself.
 */
#ifndef CAIRN_GC_H
#define CAIRN_GC_H

#include "cairn/store.h"

CAIRN_BEGIN_DECLS

/* ---- leases: who is at work ----------------------------------------------------------- */

typedef struct cairn_lease_info {
	const char *id; /* hexadecimal */
	const char *kind, *host;
	int64_t pid;
	uint64_t epoch;
	int64_t seen_ms; /* when it was written last */
	bool is_own;
} cairn_lease_info;

typedef int (*cairn_lease_fn)(void *arg, const cairn_lease_info *lease, cairn_error *err);
/* Calls fn for each lease that is not known to be dead. */
CAIRN_MUST int cairn_store_leases(
	cairn_store *store, cairn_lease_fn fn, void *arg, cairn_error *err);
/* Ends a lease of a process that is gone but cannot be seen from here, on another host. */
CAIRN_MUST int cairn_store_break_lease(cairn_store *store, const char *id, cairn_error *err);

/* ---- collection ------------------------------------------------------------------------ */

/* Takes the id of an artifact that must stay. One that is not in the store is counted and does no
 * harm. */
typedef int (*cairn_root_fn)(void *root_arg, const cairn_id *id, cairn_error *err);
/* Calls tell for every root, in whatever order and as often as it likes. What becomes a root
 * while it works need not be told: cairn_batch_use tells of that. */
typedef int (*cairn_roots_fn)(
	void *arg, cairn_store *store, cairn_root_fn tell, void *root_arg, cairn_error *err);

typedef struct cairn_gc_options {
	cairn_roots_fn roots;
	void *roots_arg;
	bool is_dry_run; /* counts, and changes nothing */
} cairn_gc_options;

/* Bytes are those that the files would have less: records of segments, values of the index. */
typedef struct cairn_gc_count {
	uint64_t n, bytes;
} cairn_gc_count;

typedef struct cairn_gc_report {
	uint64_t n_roots, n_missing; /* roots that are not in the store */
	cairn_gc_count live_artifacts, live_blobs, live_chunks;
	cairn_gc_count dead_artifacts, dead_blobs, dead_chunks; /* taken, or to be taken */
	cairn_gc_count held; /* not named, but published lately by a process that lives */
	cairn_gc_count segments_removed, segments_rewritten, segments_in_use, segments_damaged;
	uint64_t n_segments, segment_bytes_before, segment_bytes_after, segment_bytes_live;
} cairn_gc_report;

/* EBUSY where another collection runs; EINTEGRITY where an artifact that must stay is damaged: what
 * it is made of cannot be known then. Killed at any point, the next one goes on. */
CAIRN_MUST int cairn_store_gc(cairn_store *store, const cairn_gc_options *options,
	cairn_gc_report *report, cairn_error *err);

/* ---- usage ------------------------------------------------------------------------------ */

/* Owners are numbered from 0, and told of one after the other. */
typedef struct cairn_usage cairn_usage;
typedef struct cairn_usage_sums {
	uint64_t total, exclusive; /* all that it reaches; that no other owner does */
	uint64_t beyond_first;     /* that owner 0 does not */
} cairn_usage_sums;
CAIRN_MUST int cairn_usage_new(cairn_usage **out, cairn_store *store, cairn_error *err);
void cairn_usage_free(cairn_usage *usage);
/* `owner` reaches this artifact and all it is made of. ENOTFOUND (*err untouched) where the
 * artifact is not in the store; missing and damaged parts are passed over. */
CAIRN_MUST int cairn_usage_add(
	cairn_usage *usage, uint32_t owner, const cairn_id *artifact, cairn_error *err);
void cairn_usage_of(const cairn_usage *usage, uint32_t owner, cairn_usage_sums *out);
/* Has any owner reached it? Was this one the first, or the last? */
bool cairn_usage_has(const cairn_usage *usage, const cairn_id *artifact);
bool cairn_usage_is_first(const cairn_usage *usage, uint32_t owner, const cairn_id *artifact);
bool cairn_usage_is_last(const cairn_usage *usage, uint32_t owner, const cairn_id *artifact);

typedef struct cairn_store_sizes {
	uint64_t n_segments, segment_bytes, segment_live_bytes;
	uint64_t index_bytes, index_used_bytes; /* of the file; in pages that hold something */
	uint64_t n_artifacts, n_blobs, n_chunks;
} cairn_store_sizes;
CAIRN_MUST int cairn_store_sizes_get(cairn_store *store, cairn_store_sizes *out, cairn_error *err);

/* ---- compaction -------------------------------------------------------------------------- */

typedef struct cairn_compact_report {
	uint64_t index_before, index_after;
	cairn_gc_report segments; /* only its segment fields */
} cairn_compact_report;
/* Rewrites sparse segments, then copies the index without its free pages. EBUSY where another
 * process has the store open (then the segments are done), or this one has a batch or a snapshot.
 */
CAIRN_MUST int cairn_store_compact(
	cairn_store *store, cairn_compact_report *report, cairn_error *err);

CAIRN_END_DECLS

#endif
