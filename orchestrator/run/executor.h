/* SPDX-License-Identifier: Apache-2.0 */
/*
 * executor.h - attempts in processes: started, listened to, stopped, buried.
 *
 * A process is started for an attempt and ends with it, or, where its plugin may repeat and the
 * attempt went well, waits for the next one of that plugin. It waits for its job, so the runner
 * can write down who it is before it does anything. A stop is SIGTERM: the stage writes a
 * checkpoint at its next step and returns. A timeout is the same, and SIGKILL ten seconds later.
 */
#ifndef CAIRN_RUN_EXECUTOR_H
#define CAIRN_RUN_EXECUTOR_H

#include <sys/types.h>

#include "run/run.h"
#include "run/wire.h"

#define CAIRN_GRACE_S 10.0

/* The process of a slot. */
typedef struct cairn_child {
	pid_t pid; /* 0: there is none */
	int fd;    /* our end of the wire; -1 once the child closed its own */
	cairn_wire_reader reader;
	const char *plugin_path; /* that it has loaded, in this */
	uint64_t memory_bytes;
	uint64_t gpus; /* that its plugin may have opened */
	bool is_new;   /* it had no job yet */
	bool is_spent; /* it was told to stop: no other attempt */
	/* How it ended. */
	bool has_ended;
	int status; /* of waitpid */
} cairn_child;

/* A slot: an attempt, if is_used, and its process, or a process that waits for another one. */
typedef struct cairn_attempt {
	bool is_used;
	size_t stage;
	uint64_t gpus; /* that are its own: gpus.h; 0: whichever it sees */
	cairn_child child;
	char *log_path;
	double started, timeout_at, kill_at; /* monotonic seconds; 0: never */
	double seconds;                      /* that it took, once it is over */
	int64_t start_ms;
	bool is_timed_out, is_asked; /* is_asked: to stop */
	bool is_killed;              /* by us, as the user asked */
	bool is_noted;               /* its beginning is written down */
	bool is_sent;                /* the job */

	/* What the wire told. */
	uint64_t step, total, resumed_step;
	double flop[CAIRN_ACCOUNTS], flop_real[CAIRN_ACCOUNTS], kept;
	bool is_changed; /* since the last heartbeat */
	uint64_t max_rss_bytes, kernel_peak_bytes;
	bool said_bye, stays, has_log, is_mended;
	char *words; /* of a stage that waits: what for; or NULL */
	unsigned n_warnings;
	uint64_t n_cut; /* bytes of its log that were left out */
	int code;
	cairn_error error;
	/* Handed over, for the runner to commit. */
	json_t *result;
	void *packet;
	size_t packet_len;
} cairn_attempt;

/* May the waiting process of this slot take the plan's stage i? Its devices are not looked at. */
bool cairn_attempt_fits(const cairn_attempt *slot, const cairn_plan *plan, size_t i);
/* Begins an attempt at the plan's stage i, whose number is set, with these devices, in a process
 * that fits or in a new one. The slot has no attempt, and no process that does not fit. */
CAIRN_MUST int cairn_attempt_start(cairn_attempt *slot, const cairn_plan *plan, size_t i,
	uint64_t gpus, const char *run, cairn_error *err);
/* Gives it the job. A child that died already is found by reap. */
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
/* Forgets the attempt, not its process. */
void cairn_attempt_clear(cairn_attempt *attempt);
/* Forgets a process that has ended, and ends one that waits: closes its wire and waits for it. */
void cairn_child_end(cairn_child *child);

double cairn_attempt_flop(const cairn_attempt *attempt);

/*
 * outcome.c: what an ended attempt comes to. has_result: its result is in the store, or was
 * handed over, which counts more than how the process ended. Answers DONE, STOPPED, WAITING or
 * FAILED (with a filled *err).
 */
enum cairn_state cairn_attempt_outcome(const cairn_attempt *attempt, const cairn_planned *planned,
	bool has_result, cairn_error *err);

#endif
