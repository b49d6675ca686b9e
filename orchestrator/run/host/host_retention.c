/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_retention.c - when a checkpoint is due, and which ones stay.
 *
 * The newest `keep_checkpoints` stay as long as the stage runs, to go on from. `keep_best` and
 * `keep_every` are for people: what they ask for is written when it is due for that reason
 * alone, and outlives the stage under a name. Everything is decided from the records, which
 * hold the metric row of their step: a stage that was killed decides as if it had not been.
 */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "run/host/host.h"
#include "run/wire.h"

/* Checkpoints by time, and for a better metric, come so rarely that the stage stands still for
 * at most one part in so many. */
#define PAUSE_PART 20.0

static uint64_t step_of(const json_t *record)
{
	return (uint64_t)cairn_json_integer(record, "step", 0);
}

/* ---- the best ------------------------------------------------------------------------------- */

static bool is_better(const cairn_job *job, double value, double than)
{
	return job->best_is_largest ? value > than : value < than;
}

/* The metric of `keep_best` in the row of a checkpoint's step; false: it has none. */
static bool metric_of(const cairn_job *job, const json_t *record, double *out)
{
	const json_t *value = json_object_get(json_object_get(record, "metrics"), job->keep_best);

	if (!json_is_number(value))
		return false;
	*out = json_number_value(value);
	return true;
}

/* The earliest among equals; SIZE_MAX: none. */
static size_t best_of(const cairn_job *job, const json_t *records)
{
	size_t best = SIZE_MAX;
	double value, best_value = 0;

	for (size_t i = 0; job->keep_best && i < json_array_size(records); i++) {
		if (!metric_of(job, json_array_get(records, i), &value) ||
			(best != SIZE_MAX && !is_better(job, value, best_value)))
			continue;
		best = i;
		best_value = value;
	}
	return best;
}

void cairn_host_watch_best(cairn_run *run, const cairn_progress *progress)
{
	const cairn_job *job = &run->job;

	run->is_better = false;
	for (uint64_t i = 0; job->keep_best && i < progress->n_metrics; i++) {
		const cairn_metric *metric = &progress->metrics[i];

		if (strcmp(metric->name, job->keep_best) == 0 && isfinite(metric->value))
			run->is_better = !run->has_best || is_better(job, metric->value, run->best);
	}
}

void cairn_host_take_best(cairn_run *run, const json_t *record)
{
	double value;

	if (!run->job.keep_best || !metric_of(&run->job, record, &value) ||
		(run->has_best && !is_better(&run->job, value, run->best)))
		return;
	run->best = value;
	run->has_best = true;
}

void cairn_host_restore_best(cairn_run *run, const json_t *records)
{
	for (size_t i = 0; run->checkpoint && i < json_array_size(records); i++) {
		const json_t *record = json_array_get(records, i);

		if (step_of(record) <= run->step)
			cairn_host_take_best(run, record);
	}
}

/* The row is JSON text: what the metric log's last line says. */
json_t *cairn_host_row_of(const cairn_run *run, uint64_t step)
{
	const char *text = run->metrics.data;
	size_t len = run->metrics.len, start;
	json_t *row = NULL;

	if (len < 2)
		return NULL;
	for (start = len - 1; start > 0 && text[start - 1] != '\n';)
		start--;
	if (cairn_json_parse(&row, text + start, len - start, "metrics", NULL) < 0)
		return NULL;
	if (step_of(row) != step) {
		json_decref(row);
		return NULL;
	}
	json_object_del(row, "step");
	return row;
}

/* ---- when ------------------------------------------------------------------------------------ */

bool cairn_host_checkpoint_is_due(const cairn_run *run, uint64_t before)
{
	const cairn_job *job = &run->job;
	double since = cairn_host_clock() - run->checkpoint_time;
	double least = PAUSE_PART * (run->checkpoint_time - run->checkpoint_begun);
	uint64_t every = (uint64_t)job->keep_every;

	if (!(run->plugin.capabilities & CAIRN_CAN_CHECKPOINT))
		return false;
	if (every && run->step / every > before / every)
		return true;
	if (run->is_better && since >= least)
		return true;
	if (job->checkpoint_every_steps > 0)
		return run->step >= run->checkpoint_step + (uint64_t)job->checkpoint_every_steps;
	return job->checkpoint_every_s > 0 && since >= job->checkpoint_every_s && since >= least &&
	       !run->background.is_busy;
}

/* ---- which stay ------------------------------------------------------------------------------ */

/* The first one of a round of `keep_every` steps; the steps before the first round have none. */
static bool is_of_every(const cairn_job *job, const json_t *records, size_t i)
{
	uint64_t every = (uint64_t)job->keep_every;
	uint64_t round = every ? step_of(json_array_get(records, i)) / every : 0;

	return round > 0 && (i == 0 || step_of(json_array_get(records, i - 1)) / every < round);
}

void cairn_host_retain(const cairn_job *job, const json_t *records, bool *stays)
{
	size_t n = json_array_size(records), best = best_of(job, records);
	size_t keep = job->keep_checkpoints > 1 ? (size_t)job->keep_checkpoints : 1;

	for (size_t i = 0; i < n; i++)
		stays[i] = i + keep >= n || i == best || is_of_every(job, records, i);
}

static int delete_record(cairn_run *run, cairn_batch *batch, const json_t *record, cairn_error *err)
{
	return cairn_record_delete_checkpoint(batch, &run->job.key, step_of(record), err);
}

/* Those before `newest`, and it. Others were of no use, or it would not have been reached again:
 * they go. */
static int split(
	cairn_run *run, cairn_batch *batch, json_t *records, json_t *newest, cairn_error *err)
{
	int rc = 0;

	for (size_t i = json_array_size(records); i-- > 0 && rc == 0;) {
		const json_t *record = json_array_get(records, i);

		if (step_of(record) < step_of(newest))
			break;
		rc = delete_record(run, batch, record, err);
		json_array_remove(records, i);
	}
	json_array_append(records, newest);
	return rc;
}

int cairn_host_drop_checkpoints(
	cairn_run *run, cairn_batch *batch, json_t *newest, cairn_error *err)
{
	json_t *records = NULL;
	bool *stays = NULL;
	int rc = cairn_host_checkpoints(run, &records, err);

	if (rc == 0)
		rc = split(run, batch, records, newest, err);
	if (rc < 0)
		goto out;
	stays = cairn_alloc(json_array_size(records), sizeof(*stays));
	if (!stays) {
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a checkpoint");
		goto out;
	}
	cairn_host_retain(&run->job, records, stays);
	for (size_t i = 0; i < json_array_size(records) && rc == 0; i++) {
		if (!stays[i])
			rc = delete_record(run, batch, json_array_get(records, i), err);
	}
out:
	free(stays);
	json_decref(records);
	return rc;
}

/* ---- at the end ---------------------------------------------------------------------------------
 */

static void add_output(json_t *outputs, const char *name, const json_t *record)
{
	json_object_set_new(outputs, name,
		json_pack("{s:s, s:s, s:I}", "id", cairn_json_string(record, "id", ""), "kind",
			"checkpoint", "bytes", (json_int_t)cairn_json_integer(record, "bytes", 0)));
}

int cairn_host_end_checkpoints(
	cairn_run *run, cairn_batch *batch, json_t *outputs, cairn_error *err)
{
	const cairn_job *job = &run->job;
	json_t *records = NULL;
	int rc = cairn_host_checkpoints(run, &records, err);
	size_t best;

	if (rc < 0)
		return rc;
	best = best_of(job, records);
	for (size_t i = 0; i < json_array_size(records) && rc == 0; i++) {
		const json_t *record = json_array_get(records, i);
		char name[48];

		snprintf(
			name, sizeof(name), "checkpoint@%llu", (unsigned long long)step_of(record));
		if (is_of_every(job, records, i))
			add_output(outputs, name, record);
		if (i == best)
			add_output(outputs, "checkpoint@best", record);
		rc = delete_record(run, batch, record, err);
	}
	if (job->keep_best && best == SIZE_MAX)
		cairn_host_log(run, CAIRN_LOG_WARNING,
			"no checkpoint has the metric '%s' of keep_best", job->keep_best);
	json_decref(records);
	return rc;
}
