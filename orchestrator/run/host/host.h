/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host.h - inside run/: the stage host's state, shared by host*.c.
 *
 * One attempt, one cairn_run. A process has one attempt, or, where the plugin may repeat, one
 * after another; what outlives an attempt is in cairn_process. The files follow the host table of
 * stage.h:
 *
 *   host.c             life of the process: job, plugin, run(), end
 *   host_parent.c      the end of the runner is the end of it
 *   host_report.c      wire, log, fail, hint
 *   host_inputs.c      input_count, input_open, entry_list, entry_get
 *   host_outputs.c     output_begin, put, meta, commit
 *   host_checkpoint.c  checkpoint_begin, resume
 *   host_background.c  a checkpoint's way into the store, beside the next steps
 *   host_retention.c   which checkpoints stay, and when one is due
 *   host_account.c     step, metric log, summary, account, rng_key
 *   host_kernels.c     kernels
 *   host_commit.c      the last transaction
 *
 * tool_run.c uses the same state and most of the same functions for a tool, in the process of
 * the command line: what only a tool has is marked so.
 *
 * Two rules about writing. One writer is open at a time: what a plugin does with two is a
 * bug of its own. Outputs collect in one batch that lives until run() has returned 0; each
 * checkpoint is a batch of its own and does not touch the other.
 *
 * And one about threads. A checkpoint is written by a thread of its own, one at a time; while it
 * is under way the plugin's thread reads from the store, but whatever else it wants of the store
 * (another checkpoint, an output, the end) waits for it: a handle has one writer of artifacts.
 */
#ifndef CAIRN_RUN_HOST_H
#define CAIRN_RUN_HOST_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/text.h"
#include "kernels/meter.h"
#include "run/amend.h"
#include "run/host/job.h"
#include "run/host/staging.h"
#include "run/tool/directory.h"

/* Names of entries that the host adds to checkpoints; not for plugins. */
#define CAIRN_HOST_PREFIX  "cairn/"
#define CAIRN_HOST_METRICS "cairn/metrics.jsonl"
#define CAIRN_HOST_SUMMARY "cairn/summary.json"
/* The implicit output port. */
#define CAIRN_METRICS_PORT "metrics"

struct cairn_writer {
	cairn_run *run;
	cairn_batch *batch;     /* NULL: not open, or one of the next two */
	cairn_outdir *outdir;   /* of a tool: where the entries become files */
	cairn_staging *staging; /* of a checkpoint that is written later */
	const cairn_port *port; /* NULL: a checkpoint */
	uint64_t step;          /* of a checkpoint */
	char *meta;
	uint64_t bytes;
	int failed; /* code of the first failure: commit() repeats it */
};

typedef struct cairn_host_input {
	const cairn_job_input *job;
	cairn_object *object; /* once opened */
	cairn_indir *indir;   /* of a tool: instead of an object */
	cairn_artifact artifact;
} cairn_host_input;

typedef struct cairn_host_output {
	bool is_committed;
	cairn_id id;
	uint64_t bytes;
} cairn_host_output;

/* A checkpoint that is complete, until it is durable. What it says of the stage was taken when it
 * was completed: the stage has gone on meanwhile. */
typedef struct cairn_checkpoint {
	uint64_t step;
	char *meta;
	json_t *record;      /* but for its id and size */
	cairn_amends amends; /* what becomes true of the attempt */
	double kept;
} cairn_checkpoint;

/* The checkpoint under way, and the memory for all of them. */
typedef struct cairn_background {
	cairn_staging staging;
	bool is_prepared; /* ... or there was a checkpoint before it could be */
	bool is_refused;  /* there was no memory for a copy: checkpoints are written at once */
	cairn_checkpoint checkpoint;
	bool is_busy; /* the thread was started and not joined */
	pthread_t thread;
	atomic_bool is_over; /* by the thread: what follows is filled */
	int code;
	cairn_error error;
	/* How long the stage stood still for checkpoints, in seconds. */
	uint64_t n;
	double pause_sum, pause_max, wait_sum;
} cairn_background;

struct cairn_run {
	cairn_job job;
	cairn_arena *arena;
	cairn_store *store; /* of the process, as the plugin is */
	cairn_stage_plugin plugin;
	void *params;
	double started; /* monotonic, seconds */

	/* report */
	pthread_mutex_t report_lock;
	bool is_started_sent;
	json_t *step_waiting; /* the last step record, not sent yet */
	double step_sent;
	double lines, lines_time; /* of the log that may still be told, as it was then */
	bool has_left_out;        /* a line was not told */
	char said[384];           /* the last line */
	cairn_error error;        /* by fail() */
	cairn_error host_error;   /* of the last table function that failed */
	/* Of a tool, which has no wire and no log file: who hears its log(). */
	void (*log)(void *arg, int level, const char *text);
	void *log_arg;

	/* inputs, outputs */
	cairn_host_input *inputs;   /* as job.inputs */
	cairn_host_output *outputs; /* as plugin.outputs */
	cairn_batch *output_batch;
	cairn_writer writer;
	cairn_object *checkpoint;       /* that resume() opened */
	const cairn_job_input *damaged; /* the first input that could not be read; or NULL */
	bool has_scratch;
	cairn_outdir *outdir; /* of a tool: takes the output port of kind "directory" */

	uint64_t n_before;   /* attempts of this process before this one */
	bool left_something; /* that another stage must not meet: surroundings.h */
	/* Handed over to the runner, instead of committed here. */
	json_t *result;
	void *packet;
	size_t packet_len;

	/* account */
	uint64_t step, total, tokens;
	cairn_text metrics; /* the metric log so far */
	uint64_t n_rows;
	json_t *summary;
	cairn_meter meter;                                      /* of this attempt */
	cairn_meter meter_at_step;                              /* the same, at the last step() */
	double base[CAIRN_ACCOUNTS], base_real[CAIRN_ACCOUNTS]; /* of the checkpoint resumed from */
	double base_seconds;
	double kept; /* of this attempt, FLOPs: committed */

	/* checkpoints */
	cairn_background background;
	double checkpoint_begun, checkpoint_time; /* when the last one was begun and complete */
	uint64_t checkpoint_step;                 /* of the last complete one */
	double best;                              /* of `keep_best`, among the complete ones */
	bool has_best;
	bool is_better; /* the row of this step says so */

	/* kernels */
	bool has_kernels;
	const char *backend;
	cairn_kernels inner, kernels;
	void (*kernels_close)(cairn_kernels *k);
	bool is_planned_wrong; /* what was planned with is not there, or is another */
};

/* ---- host_parent.c ---------------------------------------------------------------------- */

/* False where the runner, a process id, is gone already: then nobody wants this attempt. */
bool cairn_host_tie(const char *parent);

/* ---- host_report.c ---------------------------------------------------------------------- */

double cairn_host_clock(void);
/* Sends a record; adds "type". Takes over `take_json`. A broken wire is not the plugin's concern:
 * the runner is gone and takes us along. */
void cairn_host_send(cairn_run *run, const char *type, json_t *take_json);
/* The same, behind a packet where that is not NULL. */
void cairn_host_send_packet(
	cairn_run *run, const char *type, json_t *take_json, const void *packet, size_t len);
void cairn_host_started(cairn_run *run, uint64_t resumed_step);
void cairn_host_flush_step(cairn_run *run);
void cairn_host_log(cairn_run *run, int level, const char *format, ...) CAIRN_PRINTF(3, 4);
int cairn_host_fail(cairn_run *run, int code, const char *format, ...) CAIRN_PRINTF(3, 4);
int cairn_host_fail_with(cairn_run *run, const cairn_error *error);
void cairn_host_hint(cairn_run *run, const char *format, ...) CAIRN_PRINTF(2, 3);
/* Where a table function starts: an empty error that tells the last failure. */
cairn_error *cairn_host_err(cairn_run *run);
/* Why run() returned this code < 0: in the plugin's own words, else in the host's. */
int cairn_host_explain(cairn_run *run, int code, cairn_error *err);

/* ---- the table's functions ----------------------------------------------------------------- */

uint64_t cairn_host_input_count(cairn_run *run, const char *port);
int cairn_host_input_open(cairn_run *run, const char *port, uint64_t index, cairn_artifact *out);
int cairn_host_entry_list(
	cairn_run *run, const cairn_artifact *artifact, uint64_t index, cairn_tensor *out);
int cairn_host_entry_get(
	cairn_run *run, const cairn_artifact *artifact, const char *name, cairn_tensor *out);
void cairn_host_entry_release(cairn_run *run, const cairn_artifact *artifact, const char *name);
/* host_mend.c: an input's object (NULL: that of this id, which could not be opened) failed with rc.
 */
void cairn_host_note_damage(cairn_run *run, const cairn_object *object, const char *id, int rc);
/* Takes the input that was noted out of the store, if it is damaged and can be made again: true. */
bool cairn_host_mend(cairn_run *run);
void cairn_host_describe(cairn_artifact *out, cairn_object *object, const char *source, char *id);
void cairn_host_inputs_close(cairn_run *run);

int cairn_host_output_begin(cairn_run *run, const char *port, cairn_writer **out);
int cairn_host_put(cairn_writer *writer, const cairn_tensor *tensor);
int cairn_host_meta(cairn_writer *writer, const char *json);
int cairn_host_commit_writer(cairn_writer *writer);
bool cairn_host_writer_is_open(const cairn_writer *writer);
/* As put(), for the host's own entries too. */
CAIRN_MUST int cairn_host_put_entry(
	cairn_writer *writer, const cairn_tensor *tensor, cairn_error *err);
void cairn_host_outputs_close(cairn_run *run);
/* Bytes as an entry; name and text are borrowed. */
cairn_tensor cairn_host_text_entry(const char *name, const char *text, size_t len);
/* Adds an entry of bytes to the artifact that a batch is writing. */
CAIRN_MUST int cairn_host_put_text(
	cairn_batch *batch, const char *name, const char *text, size_t len, cairn_error *err);

int cairn_host_checkpoint_begin(cairn_run *run, uint64_t step, cairn_writer **out);
/* Completes the checkpoint that the writer holds, and has it published. */
CAIRN_MUST int cairn_host_checkpoint_commit(cairn_writer *writer, cairn_error *err);
int cairn_host_resume(cairn_run *run, cairn_artifact *out, uint64_t *step);
/* The records of this key's checkpoints, oldest first. New reference. */
CAIRN_MUST int cairn_host_checkpoints(cairn_run *run, json_t **out, cairn_error *err);

/* ---- host_background.c --------------------------------------------------------------------- */

/* Opens the batch that a checkpoint is written into. */
CAIRN_MUST int cairn_host_batch_begin(cairn_batch **out, cairn_run *run, cairn_error *err);
/* From now on checkpoints are written at once. */
void cairn_host_background_refuse(cairn_run *run);
/* Instead of into memory, entries go into the store from now on, the copied ones first. */
CAIRN_MUST int cairn_host_write_through(cairn_writer *writer, cairn_error *err);
/* Publishes what the writer holds, and takes `checkpoint` over: beside the next steps where it
 * holds a copy, else before it returns. */
CAIRN_MUST int cairn_host_publish(
	cairn_writer *writer, cairn_checkpoint *checkpoint, cairn_error *err);
/* At a step: beside the next ones, memory is made ready for the first checkpoint. */
void cairn_host_background_prepare(cairn_run *run);
/* Waits for the checkpoint under way, if there is one. Its failure is told once. */
CAIRN_MUST int cairn_host_background_wait(cairn_run *run, cairn_error *err);
/* The same where it is over already; does not wait. */
CAIRN_MUST int cairn_host_background_poll(cairn_run *run, cairn_error *err);
/* The end of run(), which returned `code`: waits, and returns the code that counts. */
int cairn_host_settle(cairn_run *run, int code);
/* Waits and gives the memory back: there will hardly be another one. What could not be written
 * does not matter to what comes next, and is only logged. */
void cairn_host_background_free(cairn_run *run);
void cairn_host_checkpoint_clear(cairn_checkpoint *checkpoint);

/* ---- host_retention.c ----------------------------------------------------------------------- */

/* Which of the records (oldest first) stay while the stage runs: stays[i]. For its test. */
void cairn_host_retain(const cairn_job *job, const json_t *records, bool *stays);
/* Adds to a batch the deletion of the checkpoints that need not stay when `newest` joins them. */
CAIRN_MUST int cairn_host_drop_checkpoints(
	cairn_run *run, cairn_batch *batch, json_t *newest, cairn_error *err);
/* At the end: drops all records; what is to stay becomes outputs "checkpoint@STEP" and
 * "checkpoint@best". */
CAIRN_MUST int cairn_host_end_checkpoints(
	cairn_run *run, cairn_batch *batch, json_t *outputs, cairn_error *err);
/* Looks at a row for the metric of `keep_best`. */
void cairn_host_watch_best(cairn_run *run, const cairn_progress *progress);
/* A checkpoint is complete: it may be the best so far. */
void cairn_host_take_best(cairn_run *run, const json_t *record);
/* The best so far, of the checkpoints that are there. */
void cairn_host_restore_best(cairn_run *run, const json_t *records);
/* Is a checkpoint to be written after this step? `before` is the step before. */
bool cairn_host_checkpoint_is_due(const cairn_run *run, uint64_t before);
/* The last row of the metric log, if it is of this step: {name: value}, else NULL. New reference.
 */
json_t *cairn_host_row_of(const cairn_run *run, uint64_t step);

int cairn_host_step(cairn_run *run, const cairn_progress *progress);
uint64_t cairn_host_rng_key(cairn_run *run, const char *stream);
void cairn_host_account(cairn_run *run, int account, uint64_t real, uint64_t padded);
void cairn_host_summary(cairn_run *run, const char *name, double value);
const char *cairn_host_scratch(cairn_run *run);
void cairn_host_scratch_remove(cairn_run *run);
void cairn_host_ask_stop(void); /* async-signal-safe */
bool cairn_host_is_stopping(void);
/* The host's own state as JSON text, for checkpoints; and back. */
char *cairn_host_summary_text(cairn_run *run);
void cairn_host_summary_restore(cairn_run *run, const char *text, size_t len);
/* "flop", "flop_real": of this attempt, or with what the checkpoint brought. */
void cairn_host_put_account(cairn_run *run, json_t *record, bool with_base);
/* The same as a meter of this attempt had it. */
void cairn_host_put_account_of(
	cairn_run *run, const cairn_meter *meter, json_t *record, bool with_base);
double cairn_host_seconds(cairn_run *run); /* kept so far, over attempts */

int cairn_host_kernels(cairn_run *run, const cairn_kernels **out);
/* EDEVICE, in the device's words, where what was computed so far cannot be believed. */
CAIRN_MUST int cairn_host_kernels_status(cairn_run *run, cairn_error *err);
/* Where it ran out of a device's memory, what the plan expected is the other half of the story. */
void cairn_host_kernels_add_estimate(const cairn_run *run, cairn_error *err);
/* {"numerics", "peak_flops", "chosen": what the backend chose for the shapes it met}, for the
 * result; NULL where nothing computed. New reference. */
json_t *cairn_host_kernels_record(cairn_run *run);
/* Where the plan was made for a backend that is not there: the next plan looks anew. */
void cairn_host_kernels_forget(cairn_run *run);
void cairn_host_kernels_close(cairn_run *run);

/* ---- host_commit.c ------------------------------------------------------------------------- */

/* After run() returned 0: checks the outputs and publishes everything in one transaction, or
 * leaves it in run->result and run->packet, for the runner to commit with that of others. */
CAIRN_MUST int cairn_host_finish(cairn_run *run, cairn_error *err);
/* EBUG where a writer is open or a required output was not written. */
CAIRN_MUST int cairn_host_check_outputs(cairn_run *run, cairn_error *err);
/* {port: {"id","kind","bytes"}} of the outputs in the store; {port: [{"id","kind","source"}]} of
 * the inputs from there, also those that were never opened. */
json_t *cairn_host_outputs_record(cairn_run *run);
json_t *cairn_host_inputs_record(cairn_run *run);

/* Kills this process where CAIRN_TEST_KILL_AT says so: "NAME:N", see orchestrator/README.md. */
void cairn_host_failpoint(const char *name, uint64_t n);

#endif
