/* SPDX-License-Identifier: Apache-2.0 */
/* runner.h - inside run/: one run in progress, shared by run.c, scheduler.c and attempts.c. */
#ifndef CAIRN_RUN_RUNNER_H
#define CAIRN_RUN_RUNNER_H

#include <signal.h>

#include "run/executor.h"
#include "run/gpus.h"
#include "run/journal.h"

/* SIGINT, SIGTERM, SIGHUP and SIGCHLD as a file descriptor, so that one poll() waits for
 * everything; those that we were started with ignored (nohup, a shell's &) stay so. */
typedef struct cairn_signals {
	int fd;
	sigset_t old_mask;
	struct sigaction old_child, old_pipe;
} cairn_signals;

/* What the scheduler knows of a stage beyond the plan. */
typedef struct cairn_tries {
	int64_t failed;    /* tries of this run */
	double not_before; /* monotonic; after a failure that may be tried again */
} cairn_tries;

/* Attempts that ended well and were handed over: done once the journal's batch, which has what they
 * made, is committed. group.c. */
typedef struct cairn_group {
	cairn_attempt *items;
	size_t n;
	size_t bytes;
	double since; /* when the first one came */
} cairn_group;

/* The stages that are ready, as bits: the next one in the plan's order is found 64 at a time. */
typedef struct cairn_ready {
	uint64_t *bits;
	size_t n_words, n;
} cairn_ready;

typedef struct cairn_runner {
	cairn_plan *plan;
	const cairn_run_options *options;
	cairn_observer *observer; /* may be NULL */
	cairn_run_summary *summary;
	cairn_journal journal;
	cairn_signals signals;
	cairn_attempt *attempts; /* n_slots of them; those with is_used run */
	size_t n_slots;
	cairn_group group;
	cairn_ready ready;
	cairn_tries *tries; /* per stage */
	int64_t n_cpus;
	cairn_gpus gpus;
	uint64_t memory_bytes; /* for all stages together; 0: not known */
	int n_signals, signal;
	bool has_failed;
	bool is_over_budget;
	bool refers;     /* to the records of an earlier run: everything is as it was */
	bool must_flush; /* something is to be written down before anything else begins */
	bool may_go_on;  /* a group was committed: stages may have become ready */
	bool has_more;   /* a stage said more than one turn of the loop takes */
	bool has_mended; /* a stage failed at a damaged input, which can be made again */
	bool *is_made;   /* per stage: this call did it already */
	unsigned n_rounds, n_plans;
	double heartbeat;
	/* Orphans of stages become our children; those that we had before are not ours to kill. */
	bool was_adopting;
	pid_t *before;
	size_t n_before;
} cairn_runner;

CAIRN_MUST int cairn_signals_open(cairn_signals *out, cairn_error *err);
/* The next signal that came, or 0. SIGCHLD only wakes. */
int cairn_signals_next(cairn_signals *signals);
void cairn_signals_close(cairn_signals *signals);

double cairn_runner_clock(void);
/* Tells the observer; fills nothing in. */
void cairn_runner_tell(cairn_runner *runner, const cairn_event *event);
void cairn_runner_warn(cairn_runner *runner, size_t i, const char *text);

/* scheduler.c: until nothing is left that can run. */
CAIRN_MUST int cairn_runner_loop(cairn_runner *runner, cairn_error *err);
/* To be told whenever a stage becomes ready, or ceases to be. */
void cairn_runner_note_state(cairn_runner *runner, size_t i);

/* attempts.c */
/* Begins an attempt in a slot that has none, and no process, or one that fits; it gets these
 * devices (gpus.h). Its job is sent by send_jobs, after what must be on record before. */
CAIRN_MUST int cairn_runner_start(
	cairn_runner *runner, cairn_attempt *slot, size_t i, uint64_t gpus, cairn_error *err);
CAIRN_MUST int cairn_runner_send_jobs(cairn_runner *runner, cairn_error *err);
/* Takes what its wire brought, watches its time; settles the attempt where it is over. */
CAIRN_MUST int cairn_runner_serve(cairn_runner *runner, cairn_attempt *slot, cairn_error *err);
void cairn_runner_heartbeat(cairn_runner *runner);
/* Ends a process that has no attempt, and what it left running. */
void cairn_runner_end_child(cairn_runner *runner, cairn_attempt *slot);
/* Tells the observer; err may be NULL. */
void cairn_runner_tell_end(
	cairn_runner *runner, const cairn_attempt *attempt, const cairn_error *err);

/* orphans.c: at the begin and at the end of a run, and where a stage process has ended. */
CAIRN_MUST int cairn_runner_adopt(cairn_runner *runner, cairn_error *err);
void cairn_runner_disown(cairn_runner *runner);
void cairn_runner_kill_orphans(cairn_runner *runner);

/* follow.c: what the end of a stage means for others. */
/* Stage i has its result. */
CAIRN_MUST int cairn_runner_succeed(cairn_runner *runner, size_t i, cairn_error *err);
/* Those that need stage i cannot run any more; i itself has its final state. */
void cairn_runner_block_dependents(cairn_runner *runner, size_t i);

/* group.c */
CAIRN_MUST int cairn_group_open(cairn_group *out, size_t n_slots, cairn_error *err);
/* Takes over an attempt whose result is in the journal's batch; its process stays in the slot. */
void cairn_group_add(cairn_group *group, cairn_attempt *attempt);
/* Is it time to commit? is_idle: nothing can go on before that. */
bool cairn_group_is_due(const cairn_group *group, bool is_idle);
bool cairn_group_has_key(const cairn_runner *runner, const cairn_key *key);
/* Commits the journal, and what was in the group is done. */
CAIRN_MUST int cairn_runner_flush(cairn_runner *runner, cairn_error *err);
void cairn_group_close(cairn_group *group);

#endif
