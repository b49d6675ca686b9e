/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage.h - what an artifact was made from, and what was made from it.
 *
 * A bipartite graph: artifacts and stage results (named by their keys). Edges run as the data
 * flows: artifact -> stage that read it, stage -> artifact that it made. The walk starts at an
 * artifact and goes up (to the sources) or down (to what used it), breadth first, through the
 * store's producer and consumer tables. Each node appears once; the order depends on the
 * store's content only. An artifact may have several producers: equal bytes are one artifact, and
 * a blessing (run/plan/bless.h) lets an earlier output stand for a stage that did not run.
 */
#ifndef CAIRN_AUDIT_LINEAGE_H
#define CAIRN_AUDIT_LINEAGE_H

#include "base/arena.h"
#include "base/json.h"
#include "cairn/store.h"

#define CAIRN_LINEAGE_MAX_NODES 8000000

enum cairn_lineage_direction {
	CAIRN_LINEAGE_UP,
	CAIRN_LINEAGE_DOWN,
};

typedef struct cairn_lineage_node {
	bool is_stage;
	uint8_t bytes[32]; /* artifact id, or stage key */
	uint32_t depth;    /* edges from the start */
	/* Of a stage, from its result record; all NULL where the store has none (any more). */
	const char *instance, *plugin, *version, *run;
	json_t *blessed; /* of a blessed result: what record.h says; else NULL */
	/* Of an artifact, from the records of its neighbours; NULL where they do not tell. */
	const char *kind, *source;
	int64_t n_bytes;            /* -1: unknown */
	size_t first_edge, n_edges; /* those found when this node was expanded */
	size_t n_more;              /* neighbours that were left out then */
	json_t *ports;              /* of a stage that waits to be expanded */
} cairn_lineage_node;

typedef struct cairn_lineage_edge {
	size_t from, to;  /* nodes, as the data flows */
	const char *port; /* of the stage */
} cairn_lineage_edge;

typedef struct cairn_lineage {
	enum cairn_lineage_direction direction;
	cairn_lineage_node *nodes; /* the starts are first */
	size_t n_starts, n_nodes, cap_nodes;
	cairn_lineage_edge *edges;
	size_t n_edges, cap_edges;
	bool is_truncated; /* there is more than these nodes */
	size_t *slots;     /* hash table: node index + 1 */
	size_t n_slots;
	cairn_arena *arena; /* the texts */
	const char **texts; /* hash table of them: a few words stand at a million nodes */
	size_t n_texts, cap_texts;
} cairn_lineage;

typedef struct cairn_lineage_start {
	bool is_stage;
	uint8_t bytes[32];
} cairn_lineage_start;

typedef struct cairn_lineage_options {
	enum cairn_lineage_direction direction;
	uint32_t max_depth; /* in edges; 0: no limit */
	size_t max_nodes;   /* 0: as many as there are, to CAIRN_LINEAGE_MAX_NODES */
	size_t max_fan;     /* neighbours taken of one node; 0: all */
	/* Goes up to what was read where results were made, not where an earlier one was accepted.
	 */
	bool only_made;
} cairn_lineage_options;

/* A start need not be in the store. */
CAIRN_MUST int cairn_lineage_explore(cairn_lineage *out, cairn_snapshot *snapshot,
	const cairn_lineage_start *starts, size_t n_starts, const cairn_lineage_options *options,
	cairn_error *err);
/* The same from one artifact, all of it but for the depth. */
CAIRN_MUST int cairn_lineage_walk(cairn_lineage *out, cairn_snapshot *snapshot,
	const cairn_id *start, enum cairn_lineage_direction direction, uint32_t max_depth,
	cairn_error *err);
/* commits.c: the stages that ran with the code of a commit, or of a git tree, given by its first
 * digits. The caller frees *out. EUSAGE, ENOTFOUND. */
CAIRN_MUST int cairn_lineage_of_commit(cairn_lineage_start **out, size_t *n,
	cairn_snapshot *snapshot, const char *digits, cairn_error *err);
void cairn_lineage_free(cairn_lineage *lineage);
/* {"nodes": [...], "edges": [...], "truncated": bool}; new reference. With the snapshot of the walk
 * (or NULL) stages also have "components", "origins", "backend" and "compute" of their results. */
json_t *cairn_lineage_to_json(const cairn_lineage *lineage, cairn_snapshot *snapshot);

#endif
