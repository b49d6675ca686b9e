/* SPDX-License-Identifier: Apache-2.0 */
/*
 * memo.h - inside run/: what the stages of a workflow were last, in a few records that lie side by
 * side.
 *
 * A plan of 10,000 stages where nothing changed would look at 10,000 results, each in a page of
 * its own. The memo has of each stage its key and the ids of its outputs, in the order of the
 * plan; of a stage that has more outputs than its plugin (checkpoints that are kept) it has none.
 * It is believed only for a key that is the same, so a memo that is old, missing or another
 * workflow's costs time and nothing else.
 *
 * Its head says more: which run wrote records of exactly these stages with these keys, and that
 * the names of their outputs are right since. The next run of the same plan refers to that run's
 * records ("stages_of") and writes none of its own.
 *
 * Table `note`:
 *   "plan:" WORKFLOW              -> version u8 | run id (16) | SHA-256 of the plan (32) |
 *                                    the names' mark (audit/record.h)
 *   "plan:" WORKFLOW 0 n u32 BE   -> version u8 | losses u64, then for each of
 *                                    CAIRN_MEMO_PIECE stages
 *                                    key (32) | ports u32 | flags u8 | n u8 |
 *                                    flop f64 | seconds f64 |
 *                                    n x (output u8 | id (32))
 * `ports` is the CRC-32C of the names of the plugin's outputs; flags: 1, the
 * result is blessed; `output` an index into its table,
 * or n_outputs for the metric log. While the store's count of losses (store.h) is `losses`, all of
 * that is still there; otherwise each artifact is looked for. All little-endian but the number of
 * the piece.
 */
#ifndef CAIRN_RUN_MEMO_H
#define CAIRN_RUN_MEMO_H

#include "run/run.h"

#define CAIRN_MEMO_PIECE 256

typedef struct cairn_memo cairn_memo;

/* Of a result, beside its outputs. */
typedef struct cairn_remembered {
	double flop, seconds;
	bool is_blessed;
} cairn_remembered;

/* Until the snapshot ends. Never fails: what cannot be read is not known. */
cairn_memo *cairn_memo_open(const cairn_plan *plan, cairn_snapshot *snapshot);
void cairn_memo_close(cairn_memo *memo);
/* The outputs of the stage, n_outputs + 1 ids, if the memo has its key and the store all of them;
 * else false. */
bool cairn_memo_find(cairn_memo *memo, size_t i, cairn_id *out, cairn_remembered *more);

/* The run whose records of stages are those of this plan, all of it cached; ENOTFOUND where there
 * is none, or where a name may have moved since. */
CAIRN_MUST int cairn_memo_run(
	cairn_run_id *out, const cairn_plan *plan, cairn_snapshot *snapshot, cairn_error *err);
/* Puts down what the plan's stages are now: the pieces that differ, and the head where all stages
 * are finished (then `run` has the records of them). */
CAIRN_MUST int cairn_memo_put(cairn_batch *batch, const cairn_plan *plan, cairn_snapshot *snapshot,
	const cairn_run_id *run, const char *mark, cairn_error *err);

#endif
