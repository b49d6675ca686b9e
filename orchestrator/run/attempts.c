/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempts.c - the runner's side of one attempt: begin, progress, end.
 *
 * A start writes the attempt (with the pid of a child that still waits for its job) before
 * anything is computed; an end looks first whether the result is in the store: the stage
 * host commits it itself, so it counts however the process ended.
 *
 * Of a plugin that may repeat, only the process is written down before its first job. What
 * recovery needs is known then: whom to kill. An attempt of such a plugin is written down when
 * it ends, or after a second.
 *
 * Reads like: executor.h, journal.h, group.c.
 */
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "run/compute/probe.h"
#include "run/host/job.h"
#include "run/plan/plan.h"
#include "run/process.h"
#include "run/runner.h"

#define BACKOFF_FIRST_S 0.25
#define BACKOFF_MAX_S   30.0
#define NOTE_AFTER_S    1.0
#define MAX_RECORDS     1000 /* of one stage, in a turn of the loop */
#define MAX_WARNINGS    1000 /* of an attempt, that are events of the run */

/* ---- begin ----------------------------------------------------------------------------------- */

static int threads_of(const cairn_runner *runner, size_t i)
{
	int64_t cpus = runner->plan->stages[i].instance->settings.cpus;
	int64_t share = runner->n_cpus / (int64_t)runner->n_slots;

	if (cpus > 0)
		return (int)cpus;
	if (runner->options->threads > 0)
		return runner->options->threads;
	return share > 0 ? (int)share : 1;
}

/* Of a key that was tried in this run the last number is known, and may not be written yet. */
static int take_number(cairn_runner *runner, cairn_planned *planned, cairn_error *err)
{
	cairn_snapshot *snapshot;
	uint32_t last = planned->attempt;
	int rc;

	if (!last) {
		rc = cairn_snapshot_begin(&snapshot, runner->plan->store, err);
		if (rc < 0)
			return rc;
		rc = cairn_record_last_attempt(&last, snapshot, &planned->key, err);
		cairn_snapshot_end(snapshot);
		if (rc < 0)
			return rc;
	}
	planned->attempt = last + 1;
	return 0;
}

static bool may_repeat(const cairn_runner *runner, size_t i)
{
	return runner->plan->stages[i].instance->plugin->capabilities & CAIRN_CAN_REPEAT;
}

/* It has no checkpoint to go on from, so what `started` would say is known. */
static bool starts_at_once(const cairn_runner *runner, size_t i)
{
	uint64_t can = runner->plan->stages[i].instance->plugin->capabilities;

	return (can & CAIRN_CAN_REPEAT) && !(can & CAIRN_CAN_CHECKPOINT);
}

static void put_gpus(const cairn_runner *runner, const cairn_attempt *attempt, json_t *json)
{
	cairn_arena *arena = cairn_arena_new();

	if (attempt->gpus)
		json_object_set_new(json, "gpus",
			cairn_record_text(cairn_gpus_text(&runner->gpus, attempt->gpus, arena)));
	cairn_arena_free(arena);
}

static json_t *begin_fields(const cairn_runner *runner, const cairn_attempt *attempt)
{
	const cairn_planned *planned = &runner->plan->stages[attempt->stage];

	json_t *fields = json_pack("{s:s, s:s, s:s, s:i, s:s, s:I}", "run",
		runner->journal.run_text, "instance", planned->instance->name, "plugin",
		planned->instance->plugin->name, "attempt", (int)planned->attempt, "state",
		"running", "start_ms", (json_int_t)attempt->start_ms);

	/* It computes with this or not at all. */
	if (planned->instance->plugin->capabilities & CAIRN_NEEDS_KERNELS) {
		const cairn_compute *compute = runner->plan->compute;

		json_object_set_new(fields, "backend", cairn_record_text(compute->backend));
		if (compute->peak_flops > 0)
			json_object_set_new(fields, "peak_flops", json_real(compute->peak_flops));
	}
	return fields;
}

static void note_begin(cairn_runner *runner, cairn_attempt *attempt)
{
	json_t *record = begin_fields(runner, attempt);

	json_object_set_new(record, "log", cairn_record_text(attempt->log_path));
	put_gpus(runner, attempt, record);
	cairn_process_describe(record, attempt->child.pid);
	cairn_journal_attempt(&runner->journal, attempt->stage, record);
	cairn_journal_live(&runner->journal, attempt->stage, true);
	attempt->is_noted = true;
}

static double seconds_of(const cairn_attempt *attempt)
{
	return attempt->seconds > 0 ? attempt->seconds : cairn_runner_clock() - attempt->started;
}

static cairn_event event_of(const cairn_attempt *attempt, enum cairn_event_type type)
{
	return (cairn_event){
		.type = type,
		.stage = attempt->stage,
		.step = attempt->step,
		.total = attempt->total,
		.resumed_step = attempt->resumed_step,
		.flop = cairn_attempt_flop(attempt),
		.seconds = seconds_of(attempt),
		.max_rss_bytes = attempt->max_rss_bytes,
		.log_path = attempt->log_path,
	};
}

static void tell_started(cairn_runner *runner, const cairn_attempt *attempt)
{
	cairn_event event = event_of(attempt, CAIRN_EVENT_STARTED);

	event.text = runner->plan->stages[attempt->stage].reason;
	cairn_runner_tell(runner, &event);
}

int cairn_runner_start(
	cairn_runner *runner, cairn_attempt *slot, size_t i, uint64_t gpus, cairn_error *err)
{
	cairn_planned *planned = &runner->plan->stages[i];
	bool is_new = !slot->child.pid;
	int rc = take_number(runner, planned, err);

	if (rc == 0)
		rc = cairn_attempt_start(
			slot, runner->plan, i, gpus, runner->journal.run_text, err);
	if (rc < 0)
		return rc;
	planned->state = CAIRN_STATE_RUNNING;
	cairn_runner_note_state(runner, i);
	cairn_journal_stage(&runner->journal, i);
	if (!may_repeat(runner, i))
		note_begin(runner, slot);
	else if (is_new)
		cairn_journal_child(&runner->journal, slot->child.pid, true);
	runner->must_flush |= is_new;
	return 0;
}

static int send_job(cairn_runner *runner, cairn_attempt *attempt, cairn_error *err)
{
	size_t i = attempt->stage;
	json_t *job =
		cairn_job_make(runner->plan, i, runner->journal.run_text, threads_of(runner, i));

	if (!job)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a job");
	put_gpus(runner, attempt, job);
	cairn_attempt_send_job(attempt, job);
	json_decref(job);
	if (starts_at_once(runner, i))
		tell_started(runner, attempt);
	return 0;
}

/* Those of new processes, or of the others: these can work while the flush waits for the disk. */
static int send_some(cairn_runner *runner, bool is_new, cairn_error *err)
{
	int rc = 0;

	for (size_t s = 0; s < runner->n_slots && rc == 0; s++) {
		cairn_attempt *attempt = &runner->attempts[s];

		if (attempt->is_used && !attempt->is_sent && attempt->child.is_new == is_new)
			rc = send_job(runner, attempt, err);
	}
	return rc;
}

int cairn_runner_send_jobs(cairn_runner *runner, cairn_error *err)
{
	int rc = send_some(runner, false, err);

	if (rc == 0 && runner->must_flush)
		rc = cairn_runner_flush(runner, err);
	return rc < 0 ? rc : send_some(runner, true, err);
}

void cairn_runner_end_child(cairn_runner *runner, cairn_attempt *slot)
{
	if (!slot->child.pid)
		return;
	cairn_journal_child(&runner->journal, slot->child.pid, false);
	cairn_child_end(&slot->child);
	cairn_runner_kill_orphans(runner);
}

/* ---- progress ----------------------------------------------------------------------------------
 */

static json_t *heartbeat_fields(const cairn_attempt *attempt)
{
	json_t *fields = json_pack("{s:I, s:I, s:I, s:f}", "resumed_step",
		(json_int_t)attempt->resumed_step, "step", (json_int_t)attempt->step, "total",
		(json_int_t)attempt->total, "seconds", seconds_of(attempt));

	json_object_set_new(fields, "flop", cairn_wire_account(attempt->flop));
	json_object_set_new(fields, "flop_real", cairn_wire_account(attempt->flop_real));
	if (attempt->max_rss_bytes)
		json_object_set_new(
			fields, "max_rss_bytes", json_integer((json_int_t)attempt->max_rss_bytes));
	if (attempt->kernel_peak_bytes)
		json_object_set_new(fields, "kernel_peak_bytes",
			json_integer((json_int_t)attempt->kernel_peak_bytes));
	return fields;
}

static void journal_started(cairn_runner *runner, const cairn_attempt *attempt)
{
	const cairn_planned *planned = &runner->plan->stages[attempt->stage];

	cairn_journal_event(&runner->journal, "started", attempt->stage, planned->reason,
		json_pack("{s:I, s:i}", "step", (json_int_t)attempt->resumed_step, "attempt",
			(int)planned->attempt));
}

void cairn_runner_heartbeat(cairn_runner *runner)
{
	for (size_t s = 0; s < runner->n_slots; s++) {
		cairn_attempt *attempt = &runner->attempts[s];
		if (!attempt->is_used)
			continue;
		if (!attempt->is_noted && cairn_runner_clock() - attempt->started >= NOTE_AFTER_S) {
			note_begin(runner, attempt);
			journal_started(runner, attempt);
		}
		if (!attempt->is_noted || !attempt->is_changed)
			continue;
		attempt->is_changed = false;
		cairn_journal_attempt(&runner->journal, attempt->stage, heartbeat_fields(attempt));
	}
}

static void take_record(
	cairn_runner *runner, cairn_attempt *attempt, const cairn_wire_record *record)
{
	cairn_event event;

	switch (record->type) {
	case CAIRN_WIRE_STARTED:
		tell_started(runner, attempt);
		if (attempt->is_noted)
			journal_started(runner, attempt);
		return;
	case CAIRN_WIRE_STEP:
		event = event_of(attempt, CAIRN_EVENT_PROGRESS);
		event.tokens = record->tokens;
		event.phase = record->phase;
		event.metrics = record->metrics;
		event.n_metrics = record->n_metrics;
		break;
	case CAIRN_WIRE_LOG:
		event = event_of(attempt, CAIRN_EVENT_LOG);
		event.text = record->text;
		event.level = record->level;
		if (record->level >= CAIRN_LOG_WARNING && attempt->n_warnings++ < MAX_WARNINGS)
			cairn_journal_event(
				&runner->journal, "warning", attempt->stage, record->text, NULL);
		break;
	case CAIRN_WIRE_CHECKPOINT:
		event = event_of(attempt, CAIRN_EVENT_CHECKPOINT);
		event.step = record->step;
		cairn_journal_event(&runner->journal, "checkpoint", attempt->stage, NULL,
			json_pack("{s:I}", "step", (json_int_t)record->step));
		break;
	case CAIRN_WIRE_UNKNOWN:
	case CAIRN_WIRE_HELLO:
	case CAIRN_WIRE_COMMITTED:
	case CAIRN_WIRE_ERROR:
	case CAIRN_WIRE_BYE:
	case CAIRN_WIRE_PACKET:
		return;
	}
	cairn_runner_tell(runner, &event);
}

/* ---- end ----------------------------------------------------------------------------------------
 */

/* The result in the store, if this attempt put it there. New reference or NULL. */
static json_t *own_result(cairn_runner *runner, const cairn_planned *planned)
{
	cairn_snapshot *snapshot;
	json_t *result = NULL;

	if (cairn_snapshot_begin(&snapshot, runner->plan->store, NULL) < 0)
		return NULL;
	if (cairn_record_result(&result, snapshot, &planned->key, NULL) < 0)
		result = NULL;
	cairn_snapshot_end(snapshot);
	if (strcmp(cairn_json_string(result, "run", ""), runner->journal.run_text) == 0 &&
		cairn_json_integer(result, "attempts", 0) == (int64_t)planned->attempt)
		return result;
	json_decref(result);
	return NULL;
}

static const char *record_state(const cairn_attempt *attempt, enum cairn_state state)
{
	return state == CAIRN_STATE_STOPPED && !attempt->said_bye ? "killed"
								  : cairn_state_name(state);
}

/* The end, and where nothing was written down yet, the beginning too. */
static void write_end(cairn_runner *runner, const cairn_attempt *attempt, enum cairn_state state,
	const cairn_error *err)
{
	json_t *fields = heartbeat_fields(attempt);
	int status = attempt->child.status;

	if (!attempt->is_noted) {
		json_t *begin = begin_fields(runner, attempt);
		json_object_update(fields, begin);
		json_decref(begin);
		if (attempt->has_log || !attempt->said_bye)
			json_object_set_new(fields, "log", cairn_record_text(attempt->log_path));
	}
	json_object_set_new(fields, "state", json_string(record_state(attempt, state)));
	json_object_set_new(fields, "end_ms", json_integer(cairn_now_ms()));
	if (attempt->result) /* nobody else says so */
		json_object_set_new(fields, "kept_flop", json_real(attempt->kept));
	if (attempt->child.has_ended && WIFEXITED(status))
		json_object_set_new(fields, "exit", json_integer(WEXITSTATUS(status)));
	if (attempt->child.has_ended && WIFSIGNALED(status))
		json_object_set_new(fields, "signal", json_integer(WTERMSIG(status)));
	if (err->code)
		json_object_set_new(fields, "error", cairn_record_error(err));
	cairn_journal_attempt(&runner->journal, attempt->stage, fields);
	if (attempt->is_noted)
		cairn_journal_live(&runner->journal, attempt->stage, false);
}

/* The time of day in so many seconds, for people who look at a record. */
static const char *time_in(char out[16], double seconds)
{
	time_t then = (time_t)(cairn_now_ms() / 1000 + (int64_t)(seconds + 0.5));
	struct tm utc;

	gmtime_r(&then, &utc);
	snprintf(out, 16, "%02d:%02d:%02dZ", utc.tm_hour % 24, utc.tm_min % 60, utc.tm_sec % 61);
	return out;
}

/* Failed, but trying again may help and is allowed: back to READY, a little later. */
static bool try_again(cairn_runner *runner, size_t i, const cairn_error *why)
{
	cairn_planned *planned = &runner->plan->stages[i];
	cairn_tries *tries = &runner->tries[i];
	double wait = BACKOFF_FIRST_S;
	char text[640], at[16];

	tries->failed++;
	if (!cairn_error_may_retry(why->code) || runner->n_signals ||
		tries->failed > planned->instance->settings.retries)
		return false;
	for (int64_t n = 1; n < tries->failed && wait < BACKOFF_MAX_S; n++)
		wait *= 2;
	wait = wait < BACKOFF_MAX_S ? wait : BACKOFF_MAX_S;
	tries->not_before = cairn_runner_clock() + wait;
	snprintf(text, sizeof(text), "attempt %u failed (%s); trying again in %g s",
		planned->attempt, why->message, wait);
	planned->state = CAIRN_STATE_READY;
	cairn_runner_note_state(runner, i);
	cairn_plan_say(runner->plan, planned, "try %lld of %lld, at %s, after: %.200s",
		(long long)tries->failed + 1, (long long)planned->instance->settings.retries + 1,
		time_in(at, wait), why->message);
	cairn_runner_warn(runner, i, text);
	return true;
}

static void journal_ended(
	cairn_runner *runner, const cairn_attempt *attempt, const cairn_error *err)
{
	const cairn_planned *planned = &runner->plan->stages[attempt->stage];
	json_t *more = json_pack("{s:s, s:i}", "state", cairn_state_name(planned->state), "attempt",
		(int)planned->attempt);

	if (err->code)
		json_object_set_new(more, "error", cairn_record_error(err));
	cairn_journal_event(&runner->journal, "ended", attempt->stage, NULL, more);
}

void cairn_runner_tell_end(
	cairn_runner *runner, const cairn_attempt *attempt, const cairn_error *err)
{
	cairn_event event = event_of(attempt, CAIRN_EVENT_ENDED);

	event.error = err && err->code ? err : NULL;
	cairn_runner_tell(runner, &event);
}

/* What it made is handed over: it is done with the next commit. */
static int settle_handed(cairn_runner *runner, cairn_attempt *attempt, cairn_error *why)
{
	cairn_planned *planned = &runner->plan->stages[attempt->stage];
	int rc = cairn_journal_result(&runner->journal, attempt->stage, attempt->packet,
		attempt->packet_len, attempt->result, why);

	if (rc < 0) {
		attempt->child.is_spent = true; /* who knows what else is wrong with it */
		return rc;
	}
	planned->state = CAIRN_STATE_DONE;
	write_end(runner, attempt, planned->state, why);
	journal_ended(runner, attempt, why);
	cairn_journal_stage(&runner->journal, attempt->stage);
	cairn_journal_refs(&runner->journal, attempt->stage, attempt->result);
	cairn_group_add(&runner->group, attempt);
	return 0;
}

/* result: that it committed, or NULL; taken over. why: filled where that is known already. */
static int settle(cairn_runner *runner, cairn_attempt *attempt, json_t *result, cairn_error *why,
	cairn_error *err)
{
	cairn_planned *planned = &runner->plan->stages[attempt->stage];

	if (why->code)
		planned->state = CAIRN_STATE_FAILED;
	else
		planned->state = cairn_attempt_outcome(attempt, planned, result != NULL, why);
	write_end(runner, attempt, planned->state, why);
	cairn_journal_stage(&runner->journal, attempt->stage);
	runner->must_flush = true;
	runner->has_mended |= attempt->is_mended && !result;
	if (planned->state == CAIRN_STATE_FAILED && !attempt->is_mended &&
		try_again(runner, attempt->stage, why))
		return 0;
	if (planned->state == CAIRN_STATE_FAILED)
		runner->has_failed = true;
	if (planned->state == CAIRN_STATE_WAITING)
		cairn_plan_say(runner->plan, planned, "waits for people%s%.300s",
			attempt->words ? ": " : "", attempt->words ? attempt->words : "");
	if (result) { /* before anybody is told: an observer looks at it */
		json_decref(planned->result);
		planned->result = result;
		cairn_journal_refs(&runner->journal, attempt->stage, result);
	}
	journal_ended(runner, attempt, why);
	cairn_runner_tell_end(runner, attempt, why);
	if (result)
		return cairn_runner_succeed(runner, attempt->stage, err);
	cairn_runner_block_dependents(runner, attempt->stage);
	return 0;
}

static int end_attempt(cairn_runner *runner, cairn_attempt *attempt, cairn_error *err)
{
	cairn_error why = {0};
	int rc = 0;

	attempt->seconds = seconds_of(attempt);
	runner->summary->flop += cairn_attempt_flop(attempt);
	runner->summary->kept_flop += attempt->kept;
	if (!attempt->result || settle_handed(runner, attempt, &why) < 0)
		rc = settle(runner, attempt,
			own_result(runner, &runner->plan->stages[attempt->stage]), &why, err);
	cairn_attempt_clear(attempt);
	return rc;
}

int cairn_runner_serve(cairn_runner *runner, cairn_attempt *slot, cairn_error *err)
{
	/* Looked at before the wire: what was said before the end is there then. */
	bool is_gone = cairn_attempt_reap(slot);
	cairn_wire_record record;
	int n = 0, rc = 0;

	/* One that never ends to speak does not keep us from the others, or from a signal. */
	while ((is_gone || n++ < MAX_RECORDS) && cairn_attempt_next(slot, &record)) {
		take_record(runner, slot, &record);
		cairn_wire_record_clear(&record);
	}
	runner->has_more |= n > MAX_RECORDS;
	cairn_attempt_tick(slot, cairn_runner_clock());
	if (slot->is_used && (is_gone || (slot->said_bye && slot->stays)))
		rc = end_attempt(runner, slot, err);
	if (!slot->is_used && (is_gone || slot->child.is_spent))
		cairn_runner_end_child(runner, slot);
	return rc;
}
