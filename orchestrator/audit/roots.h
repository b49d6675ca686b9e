/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roots.h - which artifacts must stay, and what a run loses that is told to keep nothing.
 *
 * Kept are, with all they are made of:
 *   names       whatever a ref stands for
 *   runs        the workflow file and the patch of the sources; what its stages read from outside;
 *               of each stage's result all inputs and outputs
 *   checkpoints the resume state of stages
 *   tools       what `cairn import` and others put into the store, with its inputs
 * Results of keys that no run of this store names (they came with a bundle) count as tools do.
 *
 * A run can be told to keep nothing. Its records stay, so history, cost and lineage remain whole:
 * they say "collected". Results that only such runs name lose their outputs, unless a name or
 * a lineage that is kept holds them; a stage that needs one again simply runs again.
 * What the cache of files knows (run/plan/filecache.h) keeps nothing.
 */
#ifndef CAIRN_AUDIT_ROOTS_H
#define CAIRN_AUDIT_ROOTS_H

#include "audit/record.h"
#include "cairn/gc.h"

typedef struct cairn_retention {
	uint64_t keep_runs;    /* the newest of each workflow; 0: of any age and number */
	int64_t before_ms;     /* only runs that ended before; 0: whenever */
	bool drop_checkpoints; /* of stages that do not run */
} cairn_retention;

typedef struct cairn_roots cairn_roots;

/* Reads the records and decides. With both keep_runs and before_ms, a run goes if both say so;
 * with none, none goes. One that runs stays. */
CAIRN_MUST int cairn_roots_open(
	cairn_roots **out, cairn_store *store, const cairn_retention *retention, cairn_error *err);
void cairn_roots_close(cairn_roots *roots);
/* A cairn_roots_fn; arg: the roots. */
CAIRN_MUST int cairn_roots_tell(
	void *arg, cairn_store *store, cairn_root_fn tell, void *root_arg, cairn_error *err);
/*
 * Who loses what:
 * [{"run", "workflow", "start_ms", "state", "outputs" (artifacts it loses), "kept" (those that
 *   something else holds), "checkpoints", "bytes" (that nothing kept needs; those that two of
 *   these runs share are in both), "exclusive" (that no other of these runs needs either)}]
 * and last, with "run": null, checkpoints of stages of runs that stay.
 */
CAIRN_MUST int cairn_roots_losses(
	json_t **out, const cairn_roots *roots, cairn_store *store, cairn_error *err);
/* Writes the decision into the records: "collected_ms" of runs, and no checkpoints. */
CAIRN_MUST int cairn_roots_apply(const cairn_roots *roots, cairn_store *store, cairn_error *err);
/* Forgets files in the cache whose artifact is gone; *n: how many. */
CAIRN_MUST int cairn_roots_forget_files(cairn_store *store, size_t *n, cairn_error *err);

#endif
