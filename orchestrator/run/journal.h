/* SPDX-License-Identifier: Apache-2.0 */
/*
 * journal.h - what the runner writes into the store while it runs.
 *
 * Changes collect in one batch until flush: a run where everything is cached is a single
 * transaction, what starts or ends at the same time is one, short stages are one by the hundred
 * (group.c), heartbeats and events are one a second. A stage's record is written once a flush.
 * The functions that add say nothing of failure: the first one is kept and returned by
 * flush, so one check serves.
 *
 * Events (table `event`): {"ms", "type", "instance" or null, "text" or null, and where they
 * mean something "state", "step", "attempt", "error"}; type is planned, started, checkpoint,
 * warning, ended, stopping or finished.
 */
#ifndef CAIRN_RUN_JOURNAL_H
#define CAIRN_RUN_JOURNAL_H

#include "run/amend.h"
#include "run/run.h"

typedef struct cairn_journal {
	const cairn_plan *plan;
	cairn_run_id run;
	char run_text[CAIRN_RUN_TEXT];
	json_t *record; /* of the run */
	uint64_t n_events;
	cairn_batch *batch; /* NULL: nothing waits */
	cairn_amends amends;
	/* Stages whose records are to be written. */
	uint32_t *dirty;
	size_t n_dirty;
	bool *is_dirty;
	bool has_moved_names;
	cairn_error error; /* the first failure */
} cairn_journal;

/* Makes the run's record (provenance included); writes nothing yet. */
CAIRN_MUST int cairn_journal_open(cairn_journal *out, const cairn_plan *plan,
	const cairn_run_options *options, cairn_error *err);
void cairn_journal_close(cairn_journal *journal);

/* The run's record with this state; a final one gets its end time. */
void cairn_journal_run(cairn_journal *journal, const char *state, bool is_final);
/* The INI text as an artifact of kind "file"; its id goes into the record. */
void cairn_journal_workflow(cairn_journal *journal);
/* Its record, as it is at the next flush. */
void cairn_journal_stage(cairn_journal *journal, size_t i);
/* instance may be SIZE_MAX; takes over `take_more` (further fields), which may be NULL. */
void cairn_journal_event(
	cairn_journal *journal, const char *type, size_t i, const char *text, json_t *take_more);
/* Merges fields into the attempt's record: amend.h. */
void cairn_journal_attempt(cairn_journal *journal, size_t i, json_t *take_fields);
/* What stage i made and handed over (store.h: cairn_batch_pack), and its result. EINTEGRITY where
 * that is damaged: nothing of it is named then. */
CAIRN_MUST int cairn_journal_result(cairn_journal *journal, size_t i, const void *packet,
	size_t len, const json_t *result, cairn_error *err);
/* Refs WORKFLOW/INSTANCE:PORT -> outputs of stage i's result (NULL: as the plan has them), and its
 * key as the instance's last: only what is not so already. */
void cairn_journal_refs(cairn_journal *journal, size_t i, const json_t *result);
/* What recovery needs to find attempts of dead runs: alive until told otherwise. */
void cairn_journal_live(cairn_journal *journal, size_t i, bool is_live);
void cairn_journal_live_run(cairn_journal *journal, bool is_live);
/* The same of a process that has one attempt after another. */
void cairn_journal_child(cairn_journal *journal, pid_t pid, bool is_live);
/* Every stage is cached, names included, as another run has recorded it: then this one refers to
 * that run's records and answers true. */
bool cairn_journal_refers(cairn_journal *journal);
/* What the plan's stages are now, for the next plan: memo.h. Before the last flush. */
void cairn_journal_memo(cairn_journal *journal);
CAIRN_MUST int cairn_journal_flush(cairn_journal *journal, cairn_error *err);

/* recover.c: marks what a dead run left behind as killed. Call under the run lock. */
CAIRN_MUST int cairn_run_recover(cairn_store *store, cairn_error *err);

/* Keys in `note`, beside CAIRN_LIVE_PREFIX. */
#define CAIRN_LIVE_RUN   "live-run"    /* -> run id */
#define CAIRN_LIVE_CHILD "live-child:" /* + run id (16) + pid u32 BE -> who it is, JSON */

#endif
