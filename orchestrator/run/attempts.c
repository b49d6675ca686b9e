/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attempts.c - the runner's side of one attempt: begin, progress, end.
 *
 * A start writes the attempt (with the pid of a child that still waits for its job) before
 * anything is computed; an end looks first whether the result is in the store: the stage
 * host commits it itself, so it counts however the process ended.
 *
 * Reads like: executor.h, journal.h.
 */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/alloc.h"
#include "run/job.h"
#include "run/plan.h"
#include "run/process.h"
#include "run/runner.h"

#define BACKOFF_FIRST_S 0.25
#define BACKOFF_MAX_S   30.0

/* ---- begin ----------------------------------------------------------------------------------- */

static int threads_of(const cairn_runner *runner, size_t i)
{
	int64_t cpus = runner->plan->stages[i].instance->settings.cpus;
	long online = sysconf(_SC_NPROCESSORS_ONLN);

	if (cpus > 0)
		return (int)cpus;
	if (runner->options->threads > 0)
		return runner->options->threads;
	online /= (long)runner->n_slots;
	return online > 0 ? (int)online : 1;
}

static int take_number(cairn_runner *runner, cairn_planned *planned, cairn_error *err)
{
	cairn_snapshot *snapshot;
	uint32_t last;
	int rc = cairn_snapshot_begin(&snapshot, runner->plan->store, err);

	if (rc < 0)
		return rc;
	rc = cairn_record_last_attempt(&last, snapshot, &planned->key, err);
	cairn_snapshot_end(snapshot);
	if (rc == 0)
		planned->attempt = last + 1;
	return rc;
}

static void write_begin(cairn_runner *runner, const cairn_attempt *attempt)
{
	const cairn_planned *planned = &runner->plan->stages[attempt->stage];
	json_t *record = json_pack("{s:s, s:s, s:s, s:i, s:s, s:I, s:o}", "run",
		runner->journal.run_text, "instance", planned->instance->name, "plugin",
		planned->instance->plugin->name, "attempt", (int)planned->attempt, "state",
		"running", "start_ms", (json_int_t)cairn_now_ms(), "log",
		cairn_record_text(attempt->log_path));

	cairn_process_describe(record, attempt->pid);
	cairn_journal_attempt(&runner->journal, attempt->stage, record);
	cairn_journal_live(&runner->journal, attempt->stage, true);
	cairn_journal_stage(&runner->journal, attempt->stage);
}

static cairn_attempt *free_slot(cairn_runner *runner)
{
	for (size_t s = 0; s < runner->n_slots; s++) {
		if (!runner->attempts[s].is_used)
			return &runner->attempts[s];
	}
	return NULL;
}

int cairn_runner_start(cairn_runner *runner, size_t i, cairn_error *err)
{
	cairn_planned *planned = &runner->plan->stages[i];
	cairn_attempt *attempt = free_slot(runner);
	json_t *job;
	int rc;

	CAIRN_ASSERT(attempt);
	rc = take_number(runner, planned, err);
	if (rc == 0)
		rc = cairn_attempt_start(attempt, runner->plan, i, runner->journal.run_text, err);
	if (rc < 0)
		return rc;
	planned->state = CAIRN_STATE_RUNNING;
	write_begin(runner, attempt);
	rc = cairn_journal_flush(&runner->journal, err);
	job = cairn_job_make(runner->plan, i, runner->journal.run_text, threads_of(runner, i));
	if (rc == 0 && !job)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a job");
	if (rc == 0)
		cairn_attempt_send_job(attempt, job);
	json_decref(job);
	return rc;
}

/* ---- progress ----------------------------------------------------------------------------------
 */

static cairn_event event_of(const cairn_attempt *attempt, enum cairn_event_type type)
{
	return (cairn_event){
		.type = type,
		.stage = attempt->stage,
		.step = attempt->step,
		.total = attempt->total,
		.resumed_step = attempt->resumed_step,
		.flop = cairn_attempt_flop(attempt),
		.seconds = cairn_runner_clock() - attempt->started,
		.max_rss_bytes = attempt->max_rss_bytes,
		.log_path = attempt->log_path,
	};
}

static json_t *heartbeat_fields(const cairn_attempt *attempt)
{
	json_t *fields = json_pack("{s:I, s:I, s:I, s:f}", "resumed_step",
		(json_int_t)attempt->resumed_step, "step", (json_int_t)attempt->step, "total",
		(json_int_t)attempt->total, "seconds", cairn_runner_clock() - attempt->started);

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

void cairn_runner_heartbeat(cairn_runner *runner)
{
	for (size_t s = 0; s < runner->n_slots; s++) {
		cairn_attempt *attempt = &runner->attempts[s];
		if (!attempt->is_used || !attempt->is_changed)
			continue;
		attempt->is_changed = false;
		cairn_journal_attempt(&runner->journal, attempt->stage, heartbeat_fields(attempt));
	}
}

static void take_record(
	cairn_runner *runner, const cairn_attempt *attempt, const cairn_wire_record *record)
{
	const cairn_planned *planned = &runner->plan->stages[attempt->stage];
	cairn_event event;

	switch (record->type) {
	case CAIRN_WIRE_STARTED:
		event = event_of(attempt, CAIRN_EVENT_STARTED);
		event.text = planned->reason;
		cairn_journal_event(&runner->journal, "started", attempt->stage, planned->reason,
			json_pack("{s:I, s:i}", "step", (json_int_t)record->step, "attempt",
				(int)planned->attempt));
		break;
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
		if (record->level >= CAIRN_LOG_WARNING)
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
		return;
	}
	cairn_runner_tell(runner, &event);
}

/* ---- end
 * ------------------------------------------------------------------------------------------ */

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

static void write_end(cairn_runner *runner, const cairn_attempt *attempt, enum cairn_state state,
	const cairn_error *err)
{
	json_t *fields = heartbeat_fields(attempt);
	int status = attempt->status;

	json_object_set_new(fields, "state", json_string(record_state(attempt, state)));
	json_object_set_new(fields, "end_ms", json_integer(cairn_now_ms()));
	if (WIFEXITED(status))
		json_object_set_new(fields, "exit", json_integer(WEXITSTATUS(status)));
	if (WIFSIGNALED(status))
		json_object_set_new(fields, "signal", json_integer(WTERMSIG(status)));
	if (err->code)
		json_object_set_new(fields, "error", cairn_record_error(err));
	cairn_journal_attempt(&runner->journal, attempt->stage, fields);
	cairn_journal_live(&runner->journal, attempt->stage, false);
}

void cairn_runner_block_dependents(cairn_runner *runner, size_t i)
{
	cairn_plan *plan = runner->plan;

	for (size_t j = i + 1; j < plan->n_stages; j++) {
		cairn_planned *planned = &plan->stages[j];
		for (size_t b = 0; b < planned->instance->n_bindings; b++) {
			const cairn_binding *binding = &planned->instance->bindings[b];
			const cairn_planned *from;

			if (planned->state != CAIRN_STATE_PENDING ||
				binding->type != CAIRN_FROM_INSTANCE)
				continue;
			from = &plan->stages[binding->instance];
			if (binding->instance != i && from->state != CAIRN_STATE_BLOCKED)
				continue;
			planned->state = CAIRN_STATE_BLOCKED;
			cairn_plan_say(plan, planned, "needs '%.150s', which %s",
				from->instance->name,
				from->state == CAIRN_STATE_FAILED    ? "failed"
				: from->state == CAIRN_STATE_STOPPED ? "stopped"
				: from->state == CAIRN_STATE_WAITING ? "waits"
								     : "is blocked");
			cairn_journal_stage(&runner->journal, j);
		}
	}
}

/* Stages whose state changed because a result became known: cached and blocked ones are over. */
static void settle_others(cairn_runner *runner, size_t done, const enum cairn_state *before)
{
	cairn_plan *plan = runner->plan;

	for (size_t j = 0; j < plan->n_stages; j++) {
		cairn_event event = {.type = CAIRN_EVENT_ENDED, .stage = j};

		if (j == done || plan->stages[j].state == before[j])
			continue;
		cairn_journal_stage(&runner->journal, j);
		if (plan->stages[j].state == CAIRN_STATE_BLOCKED)
			cairn_runner_block_dependents(runner, j);
		if (plan->stages[j].state != CAIRN_STATE_CACHED)
			continue;
		cairn_journal_refs(&runner->journal, j);
		event.text = plan->stages[j].reason;
		cairn_runner_tell(runner, &event);
	}
}

static int succeed(cairn_runner *runner, size_t i, cairn_error *err)
{
	cairn_plan *plan = runner->plan;
	enum cairn_state *before = cairn_alloc(plan->n_stages, sizeof(*before));
	int rc;

	if (!before)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory after a stage");
	for (size_t j = 0; j < plan->n_stages; j++)
		before[j] = plan->stages[j].state;
	cairn_journal_refs(&runner->journal, i);
	rc = cairn_plan_update(plan, i, err);
	if (rc == 0)
		settle_others(runner, i, before);
	free(before);
	return rc;
}

/* Failed, but trying again may help and is allowed: back to READY, a little later. */
static bool try_again(cairn_runner *runner, size_t i, const cairn_error *why)
{
	cairn_planned *planned = &runner->plan->stages[i];
	cairn_tries *tries = &runner->tries[i];
	double wait = BACKOFF_FIRST_S;
	char text[640];

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
	cairn_plan_say(runner->plan, planned, "try %lld after: %.200s",
		(long long)tries->failed + 1, why->message);
	cairn_runner_warn(runner, i, text);
	return true;
}

static void tell_end(cairn_runner *runner, const cairn_attempt *attempt, const cairn_error *err)
{
	const cairn_planned *planned = &runner->plan->stages[attempt->stage];
	cairn_event event = event_of(attempt, CAIRN_EVENT_ENDED);
	json_t *more = json_pack("{s:s, s:i}", "state", cairn_state_name(planned->state), "attempt",
		(int)planned->attempt);

	if (err->code) {
		event.error = err;
		json_object_set_new(more, "error", cairn_record_error(err));
	}
	cairn_journal_event(&runner->journal, "ended", attempt->stage, NULL, more);
	cairn_runner_tell(runner, &event);
}

static int settle(cairn_runner *runner, cairn_attempt *attempt, cairn_error *err)
{
	cairn_planned *planned = &runner->plan->stages[attempt->stage];
	json_t *result = own_result(runner, planned);
	cairn_error why = {0};
	int rc = 0;

	planned->state = cairn_attempt_outcome(attempt, planned, result != NULL, &why);
	write_end(runner, attempt, planned->state, &why);
	runner->summary->flop += cairn_attempt_flop(attempt);
	runner->summary->kept_flop += attempt->kept;
	if (planned->state == CAIRN_STATE_FAILED && try_again(runner, attempt->stage, &why))
		goto out;
	if (planned->state == CAIRN_STATE_FAILED)
		runner->has_failed = true;
	if (result) { /* before anybody is told: an observer looks at it */
		json_decref(planned->result);
		planned->result = result;
	}
	tell_end(runner, attempt, &why);
	if (result)
		rc = succeed(runner, attempt->stage, err);
	else
		cairn_runner_block_dependents(runner, attempt->stage);
out:
	cairn_journal_stage(&runner->journal, attempt->stage);
	cairn_attempt_clear(attempt);
	return rc < 0 ? rc : cairn_journal_flush(&runner->journal, err);
}

int cairn_runner_serve(cairn_runner *runner, cairn_attempt *attempt, cairn_error *err)
{
	/* Looked at before the wire: what was said before the end is there then. */
	bool is_over = cairn_attempt_reap(attempt);
	cairn_wire_record record;

	while (cairn_attempt_next(attempt, &record)) {
		take_record(runner, attempt, &record);
		cairn_wire_record_clear(&record);
	}
	cairn_attempt_tick(attempt, cairn_runner_clock());
	return is_over ? settle(runner, attempt, err) : 0;
}
