/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run.c - one run from lock to summary.
 *
 *   1. preflight      what cannot end well is not begun
 *   2. lock           one run per store; wait by default
 *   3. recover        attempts of runs that died are marked killed
 *   4. plan again     results that appeared while we waited, and those that were collected
 *   5. record         run, stages, refs of what is cached
 *   6. loop           scheduler.c
 *   7. record         how it ended; once a day the index is copied (store/backup.c)
 *
 * With everything cached, 5 and 7 are one transaction, 1 and 6 do nothing.
 *
 * Where a stage failed at an input that turned out damaged, and that is gone by now so that it can
 * be made again (host_mend.c), 4 to 7 follow once more, as a run of their own: it finds what is
 * done, and whoever makes the input is not. A call does no stage twice for that: what is damaged
 * as soon as it is made is not mended by making it again.
 */
#include <sched.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "cairn/fsck.h"
#include "run/budget.h"
#include "run/lock.h"
#include "run/plan/plan.h"
#include "run/plan/preflight.h"
#include "run/runner.h"

/* Of the index: what is copied after a run must not be felt. */
#define MAX_BACKUP_BYTES ((uint64_t)256 << 20)
#define MAX_ROUNDS       16

void cairn_runner_tell(cairn_runner *runner, const cairn_event *event)
{
	if (runner->observer && runner->observer->event)
		runner->observer->event(runner->observer, runner->plan, event);
}

void cairn_runner_warn(cairn_runner *runner, size_t i, const char *text)
{
	cairn_event event = {.type = CAIRN_EVENT_WARNING, .stage = i, .text = text};

	cairn_journal_event(&runner->journal, "warning", i, text, NULL);
	cairn_runner_tell(runner, &event);
}

/* ---- lock -------------------------------------------------------------------------------------
 */

/* 0: *fd holds the lock; 1: a signal came while waiting. */
static int wait_for_lock(cairn_runner *runner, int *fd, cairn_error *err)
{
	const struct timespec nap = {.tv_nsec = 100 * 1000 * 1000};
	const char *path = cairn_store_path(runner->plan->store);
	char holder[64];
	bool is_told = false;

	for (;;) {
		cairn_event event = {.type = CAIRN_EVENT_WAITING_FOR_LOCK, .stage = SIZE_MAX};
		int rc = cairn_lock_try(fd, path, holder, sizeof(holder), err);

		if (rc <= 0)
			return rc;
		if (runner->options->no_wait) {
			cairn_error_set(err, CAIRN_EBUSY, "%s uses the store '%s'", holder, path);
			cairn_error_hint(err, "Leave out `--no-wait` to wait for its end.");
			return CAIRN_EBUSY;
		}
		event.text = holder;
		if (!is_told)
			cairn_runner_tell(runner, &event);
		is_told = true;
		if (runner->observer && runner->observer->tick)
			runner->observer->tick(runner->observer, runner->plan);
		nanosleep(&nap, NULL);
		runner->signal = cairn_signals_next(&runner->signals);
		if (runner->signal)
			return 1;
	}
}

/* ---- records ------------------------------------------------------------------------------------
 */

/* Nothing is left to do; `skipped`: may stages be skipped? */
static bool is_all_cached(const cairn_plan *plan, bool skipped)
{
	for (size_t i = 0; i < plan->n_stages; i++) {
		if (plan->stages[i].state != CAIRN_STATE_CACHED &&
			!(skipped && plan->stages[i].state == CAIRN_STATE_SKIPPED))
			return false;
	}
	return true;
}

static void record_plan(cairn_runner *runner)
{
	cairn_journal *journal = &runner->journal;
	const cairn_plan *plan = runner->plan;

	cairn_journal_workflow(journal);
	runner->refers = plan->is_as_remembered && is_all_cached(plan, false) &&
			 cairn_journal_refers(journal);
	for (size_t i = 0; i < plan->n_stages && !runner->refers; i++) {
		cairn_journal_stage(journal, i);
		if (plan->stages[i].state == CAIRN_STATE_CACHED)
			cairn_journal_refs(journal, i, NULL);
		if (plan->stages[i].state == CAIRN_STATE_BLOCKED)
			cairn_runner_block_dependents(runner, i);
	}
	cairn_journal_event(journal, "planned", SIZE_MAX, NULL, NULL);
}

static void count(const cairn_runner *runner)
{
	cairn_run_summary *sum = runner->summary;

	for (size_t i = 0; i < runner->plan->n_stages; i++) {
		switch (runner->plan->stages[i].state) {
		case CAIRN_STATE_DONE:
			sum->done++;
			break;
		case CAIRN_STATE_CACHED:
			sum->cached++;
			break;
		case CAIRN_STATE_SKIPPED:
			sum->skipped++;
			break;
		case CAIRN_STATE_FAILED:
			sum->failed++;
			break;
		case CAIRN_STATE_STOPPED:
			sum->stopped++;
			break;
		case CAIRN_STATE_WAITING:
			sum->waiting++;
			break;
		case CAIRN_STATE_PENDING:
		case CAIRN_STATE_READY:
		case CAIRN_STATE_RUNNING:
		case CAIRN_STATE_BLOCKED:
			sum->blocked++; /* not reached, for whatever reason */
			break;
		}
	}
}

static const char *final_state(const cairn_runner *runner)
{
	const cairn_run_summary *sum = runner->summary;

	if (sum->failed)
		return "failed";
	if (runner->n_signals || sum->stopped)
		return "stopped";
	if (sum->waiting)
		return "waiting";
	return sum->blocked ? "failed" : "done";
}

static void record_end(cairn_runner *runner, const char *state)
{
	const cairn_run_summary *sum = runner->summary;

	/* By a clock that nobody sets. */
	json_object_set_new(runner->journal.record, "seconds", json_real(sum->seconds));
	cairn_journal_run(&runner->journal, state, true);
	cairn_journal_event(&runner->journal, "finished", SIZE_MAX, NULL,
		json_pack("{s:s, s:I, s:I, s:I, s:f}", "state", state, "done",
			(json_int_t)sum->done, "cached", (json_int_t)sum->cached, "failed",
			(json_int_t)sum->failed, "seconds", sum->seconds));
}

/* ---- the run
 * ---------------------------------------------------------------------------------------- */

static int check(cairn_runner *runner, cairn_error *err)
{
	const cairn_run_options *options = runner->options;
	int rc = cairn_preflight(runner->plan, options->overcommit, err);

	return rc == 0 && options->has_max_flop
		       ? cairn_budget_check(runner->plan, options->max_flop, err)
		       : rc;
}

/* What this call made, and is damaged already. */
static int check_disk(const cairn_runner *runner, cairn_error *err)
{
	const cairn_plan *plan = runner->plan;

	for (size_t i = 0; i < plan->n_stages; i++) {
		if (!runner->is_made[i] || !plan->stages[i].was_damaged)
			continue;
		cairn_error_set(err, CAIRN_EINTEGRITY,
			"'%.100s' was made again by this run, and %.200s",
			plan->stages[i].instance->name, plan->stages[i].reason);
		cairn_error_hint(err, "The disk or the memory of this machine is failing: see "
				      "`dmesg`, and move the store to another one.");
		return CAIRN_EINTEGRITY;
	}
	return 0;
}

static void tell_planned(cairn_runner *runner)
{
	cairn_event event = {.type = CAIRN_EVENT_PLANNED, .stage = SIZE_MAX};

	if (runner->n_plans++) {
		event.type = CAIRN_EVENT_PLANNED_ANEW;
		event.text = runner->n_rounds ? "a damaged input is made again"
					      : "a collection took what was planned with";
	}
	cairn_runner_tell(runner, &event);
}

/* The plan as it is now, written down: from here on a collection knows what the run uses. Where
 * nothing is left to do, that is for finish(). */
static int begin(cairn_runner *runner, cairn_error *err)
{
	cairn_journal *journal = &runner->journal;
	cairn_run_summary *sum = runner->summary;
	bool is_new = false;
	int rc = cairn_plan_refresh(runner->plan, &is_new, err);

	if (rc == 0 && is_new)
		rc = check(runner, err);
	if (rc == 0)
		rc = check_disk(runner, err);
	if (rc == 0)
		rc = cairn_journal_open(journal, runner->plan, runner->options, err);
	if (rc < 0)
		return rc;
	*sum = (cairn_run_summary){
		.run = journal->run, .flop = sum->flop, .kept_flop = sum->kept_flop};
	record_plan(runner);
	tell_planned(runner);
	if (is_all_cached(runner->plan, true))
		return 0;
	cairn_journal_live_run(journal, true);
	cairn_journal_run(journal, "running", false);
	return cairn_journal_flush(journal, err);
}

static int run_stages(cairn_runner *runner, cairn_error *err)
{
	cairn_journal *journal = &runner->journal;
	int rc = cairn_runner_loop(runner, err), rc_end;

	cairn_journal_live_run(journal, false);
	if (rc < 0) { /* say so, if that still can be said */
		cairn_journal_run(journal, "failed", true);
		rc_end = cairn_journal_flush(journal, NULL);
		(void)rc_end;
	}
	return rc;
}

static int finish(cairn_runner *runner, double started, cairn_error *err)
{
	count(runner);
	runner->summary->seconds = cairn_runner_clock() - started;
	runner->summary->signal = runner->signal;
	record_end(runner, final_state(runner));
	if (!runner->refers)
		cairn_journal_memo(&runner->journal);
	return cairn_journal_flush(&runner->journal, err);
}

static int run_once(cairn_runner *runner, double started, cairn_error *err)
{
	cairn_error why;
	bool is_over;
	int rc;

	/* What a collection takes between plan and record is missed by the record's transaction:
	 * then it is planned again, without a word. */
	do {
		cairn_journal_close(&runner->journal);
		why = (cairn_error){0};
		rc = begin(runner, &why);
		is_over = rc == 0 && is_all_cached(runner->plan, true);
		if (is_over)
			rc = finish(runner, started, &why);
	} while (rc == CAIRN_EBUSY && cairn_plan_is_outdated(runner->plan));
	if (rc < 0 && err && !err->code)
		*err = why;
	if (rc < 0 || is_over)
		return rc;
	rc = run_stages(runner, err);
	return rc < 0 ? rc : finish(runner, started, err);
}

/* A limit on what may be spent is for one run: then the next one is somebody's decision. */
static bool may_mend(const cairn_runner *runner)
{
	return runner->has_mended && !runner->n_signals && !runner->options->has_max_flop &&
	       runner->n_rounds < MAX_ROUNDS;
}

/* For another run of the same plan. */
static void forget_round(cairn_runner *runner)
{
	size_t n = runner->plan->n_stages;

	for (size_t i = 0; i < n; i++)
		runner->is_made[i] |= runner->plan->stages[i].state == CAIRN_STATE_DONE;
	memset(runner->tries, 0, n * sizeof(*runner->tries));
	memset(runner->ready.bits, 0, runner->ready.n_words * sizeof(*runner->ready.bits));
	runner->ready.n = 0;
	runner->has_mended = runner->has_failed = false;
	runner->n_rounds++;
}

static int go(cairn_runner *runner, double started, cairn_error *err)
{
	int rc = cairn_run_recover(runner->plan->store, err);

	if (rc == 0)
		rc = run_once(runner, started, err);
	while (rc == 0 && may_mend(runner)) {
		forget_round(runner);
		rc = run_once(runner, cairn_runner_clock(), err);
	}
	return rc;
}

/* Records exist nowhere else (store/rebuild.c); once a day is enough. */
static void back_up(cairn_runner *runner)
{
	cairn_event warning = {.type = CAIRN_EVENT_WARNING, .stage = SIZE_MAX};
	cairn_error why = {0};
	bool is_done;

	if (cairn_store_backup(runner->plan->store, MAX_BACKUP_BYTES, &is_done, &why) < 0) {
		warning.text = why.message;
		cairn_runner_tell(runner, &warning);
	}
}

/* Those that we may use: a batch system or taskset may have left us a part of the machine. */
static int64_t count_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		return CPU_COUNT(&set);
	return sysconf(_SC_NPROCESSORS_ONLN);
}

int cairn_run_workflow(cairn_plan *plan, const cairn_run_options *options, cairn_observer *observer,
	cairn_run_summary *out, cairn_error *err)
{
	double started = cairn_runner_clock();
	cairn_runner runner = {
		.plan = plan,
		.options = options,
		.observer = observer,
		.summary = out,
		.n_slots = options->jobs > 0 ? (size_t)options->jobs : 1,
		.signals = {.fd = -1},
		.n_cpus = count_cpus(),
		.memory_bytes = cairn_memory_limit(),
	};
	int lock = -1, rc;

	*out = (cairn_run_summary){0};
	cairn_gpus_find(&runner.gpus, plan->arena);
	rc = check(&runner, err);
	if (rc < 0)
		return rc;
	rc = cairn_signals_open(&runner.signals, err);
	if (rc < 0)
		return rc;
	runner.attempts = cairn_alloc(runner.n_slots, sizeof(*runner.attempts));
	runner.tries = cairn_alloc(plan->n_stages + 1, sizeof(*runner.tries));
	runner.is_made = cairn_alloc(plan->n_stages + 1, sizeof(*runner.is_made));
	runner.ready.n_words = plan->n_stages / 64 + 1;
	runner.ready.bits = cairn_alloc(runner.ready.n_words, sizeof(*runner.ready.bits));
	if (!runner.attempts || !runner.tries || !runner.is_made || !runner.ready.bits)
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a run");
	else
		rc = cairn_group_open(&runner.group, runner.n_slots, err);
	if (rc == 0)
		rc = cairn_runner_adopt(&runner, err);
	if (rc == 0)
		rc = wait_for_lock(&runner, &lock, err);
	if (rc == 0) {
		rc = go(&runner, started, err);
		if (rc == 0 && out->cached + out->skipped < plan->n_stages)
			back_up(&runner);
		if (rc == 0)
			rc = out->done + out->cached + out->skipped < plan->n_stages ? 1 : 0;
	} else if (rc == 1) { /* a signal before anything began */
		out->signal = runner.signal;
		count(&runner);
	}
	cairn_journal_close(&runner.journal);
	if (lock >= 0)
		close(lock);
	cairn_signals_close(&runner.signals);
	cairn_runner_disown(&runner);
	cairn_group_close(&runner.group);
	free(runner.attempts);
	free(runner.ready.bits);
	free(runner.tries);
	free(runner.is_made);
	return rc;
}
