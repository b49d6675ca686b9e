/* SPDX-License-Identifier: Apache-2.0 */
/* runner.h - inside run/: one run in progress, shared by run.c, scheduler.c and attempts.c. */
#ifndef CAIRN_RUN_RUNNER_H
#define CAIRN_RUN_RUNNER_H

#include <signal.h>

#include "run/executor.h"
#include "run/journal.h"

/* SIGINT, SIGTERM and SIGCHLD as a file descriptor, so that one poll() waits for everything. */
typedef struct cairn_signals {
	int fd;
	sigset_t old_mask;
	struct sigaction old_child;
} cairn_signals;

/* What the scheduler knows of a stage beyond the plan. */
typedef struct cairn_tries {
	int64_t failed;    /* tries of this run */
	double not_before; /* monotonic; after a failure that may be tried again */
} cairn_tries;

typedef struct cairn_runner {
	cairn_plan *plan;
	const cairn_run_options *options;
	cairn_observer *observer; /* may be NULL */
	cairn_run_summary *summary;
	cairn_journal journal;
	cairn_signals signals;
	cairn_attempt *attempts; /* n_slots of them; those with is_used run */
	size_t n_slots;
	cairn_tries *tries;    /* per stage */
	uint64_t memory_bytes; /* for all stages together; 0: not known */
	int n_signals, signal;
	bool has_failed;
	double heartbeat;
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

/* attempts.c */
CAIRN_MUST int cairn_runner_start(cairn_runner *runner, size_t i, cairn_error *err);
/* Takes what its wire brought, watches its time; true when it is over and settled. */
CAIRN_MUST int cairn_runner_serve(cairn_runner *runner, cairn_attempt *attempt, cairn_error *err);
void cairn_runner_heartbeat(cairn_runner *runner);
/* Those that need stage i cannot run any more; i itself has its final state. */
void cairn_runner_block_dependents(cairn_runner *runner, size_t i);

#endif
