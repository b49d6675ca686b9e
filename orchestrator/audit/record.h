/* SPDX-License-Identifier: Apache-2.0 */
/*
 * record.h - what the store's records mean: runs, stages, attempts, results, checkpoints.
 *
 * The runner and the stage host write them, the reports read them. All values are JSON
 * objects; fields may be added, never change their meaning. Times are milliseconds since
 * 1970 UTC and never reach a key or an artifact. Ids are "sha256:..." texts, keys 64 hex
 * digits, run ids ULID texts of 26 characters. FLOP arrays have one number per account of
 * stage.h (CAIRN_ACCOUNTS), in its order.
 *
 * run        { "run", "workflow" (name), "file", "file_id" (artifact of the INI as read),
 *              "args": [..], "params": {name: value},
 *              "state": running|done|failed|stopped|waiting, "start_ms", "end_ms", "seconds",
 * "pid", "boot_id", "pid_start", "host", "user", "version", "device", "threads", "n_stages",
 * "stages_of" (of a run that found everything cached: the run that wrote records of exactly these
 * stages; the readers below follow it), "provenance": {...} (provenance.h), "collected_ms": when
 * `cairn gc` was told to keep nothing for this run any more (roots.h) } stage      { "instance",
 * "stage", "plugin", "axes": {axis: value}, "key" (or null while inputs are missing), "state":
 * pending|running|cached|done|failed|stopped| waiting|blocked|skipped, "reason" (why it ran: "no
 * result", "checkpoint at step 40", ...), "attempt": n, "inputs": {port: [source text]}, "show":
 * bool, "outside": [id] (inputs that no stage of the run makes; where there are some) } attempt {
 * "run", "instance", "plugin", "attempt": n, "state": running|done|failed| stopped|killed|waiting,
 * "pid", "boot_id", "pid_start", "start_ms", "end_ms", "resumed_step", "step", "total", "flop":
 * [..], "flop_real": [..] (spent in this attempt so far; heartbeat: each second), "kept_flop":
 * total committed by a checkpoint or the end, of this attempt, "seconds", "error": {code, message,
 *              detail, hint, place}, "log": path, "exit", "signal", "gpus" (that it
 *              claimed), "max_rss_bytes" (the largest size of its process),
 *              "kernel_peak_bytes" (of that: tensors), "backend", "peak_flops"
 *              (where kernels compute: with what; where known: of products, a second) }
 * result     { "instance", "plugin", "version", "outputs": {port: {"id","kind","bytes"}},
 *              "summary": {name: number}, "components": {name: text},
 *              "inputs": {port: [{"id","kind","source"}]}, "run", "attempts": n,
 *              "flop": [..], "flop_real": [..] (all that was kept: of the attempts that led
 *              here), "max_rss_bytes", "kernel_peak_bytes" (of the last attempt), "seconds",
 *              "steps", "plugin_digest", "build", "backend", "end_ms", "compute": {"numerics",
 *              "peak_flops", "chosen": text of the backend} (where kernels computed) }
 *              One that was accepted for another key has "blessed": see run/plan/bless.h.
 *              What a tool put into the store (run/tool/tool_commit.c) has a result with no run,
 * but with "user" and "origins": [{"port", "path", "files": [{"name", "bytes", "sha256"}]}]
 * checkpoint { "id", "step", "flop": [..], "flop_real": [..], "seconds" (kept so far, over
 *              attempts), "attempt" }
 *
 * spent = kept + wasted. An attempt's wasted FLOPs are spent - kept_flop: what it did after
 * its last commit. The result's account is the sum of the kept parts.
 */
#ifndef CAIRN_AUDIT_RECORD_H
#define CAIRN_AUDIT_RECORD_H

#include "base/digest.h"
#include "base/json.h"
#include "cairn/stage.h"
#include "cairn/store.h"

#define CAIRN_RUN_TEXT 27

/* A key in `note` while a stage runs: prefix, stage key (32), attempt u32 BE -> run id. */
#define CAIRN_LIVE_PREFIX "live:"

#define CAIRN_PF_DAY 8.64e19 /* FLOP in one petaflop/s-day: 1e15 * 86400 */

/* ULID: 48 bits of milliseconds, 80 random bits, Crockford base 32. Ascending in time. */
typedef struct cairn_run_id {
	uint8_t bytes[16];
} cairn_run_id;

CAIRN_MUST int cairn_run_id_new(cairn_run_id *out, cairn_error *err);
/* The same where ids exist: larger than `newest`, whatever became of the clock. */
CAIRN_MUST int cairn_run_id_after(cairn_run_id *out, const cairn_run_id *newest, cairn_error *err);
void cairn_run_id_format(const cairn_run_id *id, char out[CAIRN_RUN_TEXT]);
CAIRN_MUST int cairn_run_id_parse(cairn_run_id *out, const char *text, cairn_error *err);
int64_t cairn_now_ms(void);

/* A record of a table, as a scan found it; EINTEGRITY where it is no JSON object. */
CAIRN_MUST int cairn_record_parse(
	json_t **out, const char *table, const void *value, size_t len, cairn_error *err);

/* Readers: *out is a new reference. ENOTFOUND leaves *err untouched. */
CAIRN_MUST int cairn_record_run(
	json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err);
/* The newest run; with `workflow` not NULL, the newest of that name. */
CAIRN_MUST int cairn_record_newest_run(
	cairn_run_id *out, cairn_snapshot *snapshot, const char *workflow, cairn_error *err);
/* The runs of a workflow (NULL: of all), newest first; those before `before` where it is not NULL.
 * fn answers as a scan's does. */
typedef int (*cairn_run_fn)(const cairn_run_id *run, void *arg, cairn_error *err);
CAIRN_MUST int cairn_record_scan_runs(cairn_snapshot *snapshot, const char *workflow,
	const cairn_run_id *before, cairn_run_fn fn, void *arg, cairn_error *err);
/* All ids, in no useful order; a run whose record was deleted may be among them. */
CAIRN_MUST int cairn_record_scan_run_ids(
	cairn_snapshot *snapshot, cairn_run_fn fn, void *arg, cairn_error *err);
/* The run whose records of stages are this one's: itself, or the one that it refers to. */
CAIRN_MUST int cairn_record_stages_of(
	cairn_run_id *out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err);
CAIRN_MUST int cairn_record_stage(json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run,
	uint32_t index, cairn_error *err);
CAIRN_MUST int cairn_record_result(
	json_t **out, cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err);
CAIRN_MUST int cairn_record_attempt(
	json_t **out, cairn_snapshot *snapshot, const cairn_key *key, uint32_t n, cairn_error *err);
/* Highest attempt number of a key, 0 where there was none. */
CAIRN_MUST int cairn_record_last_attempt(
	uint32_t *out, cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err);
/* The checkpoint of the highest step. */
CAIRN_MUST int cairn_record_newest_checkpoint(
	json_t **out, cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err);

/* Lists: *out is a new array of records. Runs newest first (limit 0: all), the others ascending. */
CAIRN_MUST int cairn_record_runs(
	json_t **out, cairn_snapshot *snapshot, size_t limit, cairn_error *err);
CAIRN_MUST int cairn_record_stages(
	json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err);
CAIRN_MUST int cairn_record_attempts(
	json_t **out, cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err);
CAIRN_MUST int cairn_record_events(
	json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err);

/* Writers: into a batch. A run is also entered in the list of its workflow's runs (runs.c). */
CAIRN_MUST int cairn_record_put_run(
	cairn_batch *batch, const cairn_run_id *run, const json_t *value, cairn_error *err);
/* Completes these lists in a store that was written before there were any. */
CAIRN_MUST int cairn_record_list_runs(cairn_store *store, cairn_error *err);
CAIRN_MUST int cairn_record_put_stage(cairn_batch *batch, const cairn_run_id *run, uint32_t index,
	const json_t *value, cairn_error *err);
CAIRN_MUST int cairn_record_put_attempt(cairn_batch *batch, const cairn_key *key, uint32_t n,
	const json_t *value, cairn_error *err);
/* Also writes the producer and consumer entries that lineage walks. */
CAIRN_MUST int cairn_record_put_result(
	cairn_batch *batch, const cairn_key *key, const json_t *value, cairn_error *err);
/* damage.c: an output of this stage was damaged and taken out of the store; until it has a result
 * again. Read only for the output that was: else ENOTFOUND. { "id", "message", "ms" } */
CAIRN_MUST int cairn_record_put_damage(cairn_batch *batch, const cairn_key *key, const cairn_id *id,
	const cairn_error *why, cairn_error *err);
CAIRN_MUST int cairn_record_delete_damage(
	cairn_batch *batch, const cairn_key *key, cairn_error *err);
CAIRN_MUST int cairn_record_damage(json_t **out, cairn_snapshot *snapshot, const cairn_key *key,
	const cairn_id *id, cairn_error *err);
/* And the same of a record that is no more; `value` is what it was. */
CAIRN_MUST int cairn_record_delete_result(
	cairn_batch *batch, const cairn_key *key, const json_t *value, cairn_error *err);
CAIRN_MUST int cairn_record_put_checkpoint(cairn_batch *batch, const cairn_key *key, uint64_t step,
	const json_t *value, cairn_error *err);
CAIRN_MUST int cairn_record_delete_checkpoint(
	cairn_batch *batch, const cairn_key *key, uint64_t step, cairn_error *err);
#define CAIRN_REF_MAX 255
/* Lets a name of at most CAIRN_REF_MAX bytes stand for an artifact, and notes in the name's log
 * when, and who moved it: `by` is "run" or "tool", `who` its id or name (no JSON escapes needed).
 */
CAIRN_MUST int cairn_record_put_ref(cairn_batch *batch, const char *name, const cairn_id *id,
	const char *by, const char *who, cairn_error *err);

/* Changes whenever a name is moved: as long as it is the same, all names are what they were. Runs
 * leave "run:RUN". */
#define CAIRN_NAMES_MARK 128
void cairn_record_names_mark(char out[CAIRN_NAMES_MARK], cairn_snapshot *snapshot);

/* A JSON string of any bytes: where they are not UTF-8, those above ASCII become '?'. */
json_t *cairn_record_text(const char *text);
/* Who is at work: $USER, else the user's number; new reference. */
json_t *cairn_record_user(void);
/* {code, message, detail, hint, place}; new reference. */
json_t *cairn_record_error(const cairn_error *err);

#endif
