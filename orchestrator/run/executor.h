/* SPDX-License-Identifier: Apache-2.0 */
/*
 * executor.h - one attempt as a process: started, listened to, stopped, buried.
 *
 * The child waits for its job, so the runner can write down who it is before it does
 * anything. A stop is SIGTERM: the stage writes a checkpoint at its next step and returns.
 * A timeout is the same, and SIGKILL ten seconds later.
 */
#ifndef CAIRN_RUN_EXECUTOR_H
#define CAIRN_RUN_EXECUTOR_H

#include <sys/types.h>

#include "run/run.h"
#include "run/wire.h"

#define CAIRN_GRACE_S 10.0

typedef struct cairn_attempt {
	bool is_used;
	size_t stage;
	pid_t pid;
	int fd; /* our end of the wire; -1 once the child closed its own */
	cairn_wire_reader reader;
	char *log_path;
	char run[CAIRN_RUN_TEXT];
	double started, timeout_at, kill_at; /* monotonic seconds; 0: never */
	bool is_timed_out, is_asked;         /* is_asked: to stop */
	bool is_killed;                      /* by us, as the user asked */

	/* What the wire told. */
	uint64_t step, total, resumed_step;
	double flop[CAIRN_ACCOUNTS], flop_real[CAIRN_ACCOUNTS], kept;
	bool is_changed; /* since the last heartbeat */
	uint64_t max_rss_bytes, kernel_peak_bytes;
	bool said_bye;
	int code;
	cairn_error error;

	/* How it ended. */
	bool has_ended;
	int status; /* of waitpid */
} cairn_attempt;

/* Starts the process of the plan's stage i, whose attempt number is set. */
CAIRN_MUST int cairn_attempt_start(
	cairn_attempt *out, const cairn_plan *plan, size_t i, const char *run, cairn_error *err);
/* Gives it the job; it begins. A child that died already is found by reap. */
void cairn_attempt_send_job(cairn_attempt *attempt, const json_t *job);
/* Takes what has come: 1 and a record (to be cleared), or 0. What is no record ends the listening
 * and becomes the attempt's error. The attempt's own fields are brought up to date. */
int cairn_attempt_next(cairn_attempt *attempt, cairn_wire_record *out);
/* True once the process is gone and waited for. */
bool cairn_attempt_reap(cairn_attempt *attempt);
void cairn_attempt_ask_stop(cairn_attempt *attempt);
void cairn_attempt_kill(cairn_attempt *attempt);
/* Timeouts. */
void cairn_attempt_tick(cairn_attempt *attempt, double now);
void cairn_attempt_clear(cairn_attempt *attempt);

double cairn_attempt_flop(const cairn_attempt *attempt);

/*
 * outcome.c: what an ended attempt comes to. has_result: its result is in the store, which
 * counts more than how the process ended. Answers DONE, STOPPED, WAITING or FAILED (with a
 * filled *err).
 */
enum cairn_state cairn_attempt_outcome(const cairn_attempt *attempt, const cairn_planned *planned,
	bool has_result, cairn_error *err);

#endif
