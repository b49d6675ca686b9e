/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_checkpoint.c - committed resume state, bound to the stage's key.
 *
 * A checkpoint is an artifact of kind "checkpoint": the plugin's entries, the metric log up
 * to its step and the summary so far ("cairn/..."). So a log that goes on from it has
 * neither gap nor repeat. One transaction publishes the artifact, its record with the
 * account that it keeps, the attempt's kept_flop, and drops the older ones
 * (host_background.c, host_retention.c).
 */
#include <string.h>

#include "run/host/host.h"
#include "run/wire.h"

int cairn_host_checkpoint_begin(cairn_run *run, uint64_t step, cairn_writer **out)
{
	double begun = cairn_host_clock();
	cairn_error *err = cairn_host_err(run);
	cairn_background *background = &run->background;
	cairn_writer *writer = &run->writer;
	cairn_batch *batch = NULL;
	int rc;

	if (cairn_host_writer_is_open(writer)) {
		writer->failed = cairn_error_set(err, CAIRN_EBUG,
			"the plugin began a checkpoint before it ended another writer");
		return writer->failed;
	}
	if (!(run->plugin.capabilities & CAIRN_CAN_CHECKPOINT))
		return cairn_error_set(err, CAIRN_EBUG,
			"plugin '%s' writes a checkpoint but does not say that it can",
			run->plugin.name);
	rc = cairn_host_background_wait(run, err);
	background->wait_sum += cairn_host_clock() - begun;
	run->checkpoint_begun = begun;
	if (run->job.writes_at_once)
		cairn_host_background_refuse(run);
	if (rc == 0 && background->is_refused)
		rc = cairn_host_batch_begin(&batch, run, err);
	if (rc < 0)
		return rc;
	background->is_prepared = true;
	background->staging.limit = run->job.memory_bytes;
	cairn_staging_clear(&background->staging);
	*writer = (cairn_writer){
		.run = run,
		.batch = batch,
		.staging = batch ? NULL : &background->staging,
		.step = step,
	};
	*out = writer;
	return 0;
}

/* ---- completing -------------------------------------------------------------------------- */

static int put_text(
	cairn_writer *writer, const char *name, const char *text, size_t len, cairn_error *err)
{
	cairn_tensor tensor = cairn_host_text_entry(name, text, len);

	return cairn_host_put_entry(writer, &tensor, err);
}

static int put_own_state(cairn_writer *writer, cairn_error *err)
{
	cairn_run *run = writer->run;
	char *summary;
	int rc = 0;

	if (run->metrics.len)
		rc = put_text(writer, CAIRN_HOST_METRICS, run->metrics.data, run->metrics.len, err);
	if (rc < 0 || !json_object_size(run->summary))
		return rc;
	summary = cairn_host_summary_text(run);
	if (!summary)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a checkpoint");
	rc = put_text(writer, CAIRN_HOST_SUMMARY, summary, strlen(summary), err);
	free(summary);
	return rc;
}

/* What the state after the checkpoint's step has cost. A plugin that copies its state beside
 * computing has begun with the next step meanwhile, and whoever resumes will do that again. */
static const cairn_meter *meter_of(const cairn_writer *writer)
{
	const cairn_run *run = writer->run;

	return writer->step == run->step ? &run->meter_at_step : &run->meter;
}

static json_t *make_record(const cairn_writer *writer)
{
	cairn_run *run = writer->run;
	json_t *record = json_pack("{s:I, s:i, s:i, s:f, s:I, s:I}", "step",
		(json_int_t)writer->step, "attempt", (int)run->job.attempt, "state_version",
		(int)run->plugin.state_version, "seconds", cairn_host_seconds(run), "rows",
		(json_int_t)run->n_rows, "bytes", (json_int_t)writer->bytes);
	json_t *row = cairn_host_row_of(run, writer->step);

	if (record)
		cairn_host_put_account_of(run, meter_of(writer), record, true);
	if (record && row)
		json_object_set(record, "metrics", row);
	json_decref(row);
	return record;
}

/* What the stage is now, for when the checkpoint is durable. */
static int take_stock(cairn_checkpoint *out, cairn_writer *writer, cairn_error *err)
{
	cairn_run *run = writer->run;
	json_t *fields;

	*out = (cairn_checkpoint){
		.step = writer->step,
		.meta = writer->meta,
		.record = make_record(writer),
		.kept = cairn_meter_total(meter_of(writer)),
	};
	writer->meta = NULL;
	fields = json_pack("{s:f, s:I}", "kept_flop", out->kept, "step", (json_int_t)run->step);
	if (!out->record || !fields) {
		json_decref(fields);
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a checkpoint");
	}
	cairn_host_put_account_of(run, meter_of(writer), fields, false);
	return cairn_amends_add(&out->amends, &run->job.key, run->job.attempt, fields, err);
}

static void note_pause(cairn_run *run)
{
	cairn_background *background = &run->background;
	double pause;

	run->checkpoint_time = cairn_host_clock();
	pause = run->checkpoint_time - run->checkpoint_begun;
	background->n++;
	background->pause_sum += pause;
	if (pause > background->pause_max)
		background->pause_max = pause;
}

int cairn_host_checkpoint_commit(cairn_writer *writer, cairn_error *err)
{
	cairn_run *run = writer->run;
	cairn_checkpoint checkpoint = {0};
	int rc = cairn_host_kernels_status(run, err);

	if (rc == 0)
		rc = put_own_state(writer, err);
	if (rc == 0)
		rc = take_stock(&checkpoint, writer, err);
	if (rc == 0) {
		cairn_host_flush_step(
			run); /* that it is of this step is heard before it is there */
		cairn_host_take_best(run, checkpoint.record);
		run->checkpoint_step = writer->step;
		rc = cairn_host_publish(writer, &checkpoint, err);
	} else {
		cairn_batch_abort(writer->batch);
		writer->batch = NULL;
		cairn_host_checkpoint_clear(&checkpoint);
	}
	if (rc == 0)
		note_pause(run);
	return rc;
}

/* ---- the list of checkpoints ---------------------------------------------------------------- */

static int collect(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	json_t *json = NULL;
	int rc = cairn_json_parse(&json, value, value_len, "checkpoint", err);

	(void)key, (void)key_len;
	if (rc == 0)
		json_array_append_new(arg, json);
	return rc;
}

int cairn_host_checkpoints(cairn_run *run, json_t **out, cairn_error *err)
{
	json_t *records = json_array();
	cairn_snapshot *snapshot;
	int rc = cairn_snapshot_begin(&snapshot, run->store, err);

	if (rc == 0) {
		rc = cairn_snapshot_scan(snapshot, "checkpoint", run->job.key.bytes,
			sizeof(run->job.key.bytes), false, collect, records, err);
		cairn_snapshot_end(snapshot);
	}
	if (rc < 0)
		json_decref(records);
	else
		*out = records;
	return rc;
}

/* ---- resuming ----------------------------------------------------------------------------------
 */

/* Opens a checkpoint and reads all of it: what is damaged must be found now, not in the middle
 * of the plugin's own reading. */
static int open_verified(cairn_run *run, cairn_object **out, const json_t *record, cairn_error *err)
{
	int64_t version = cairn_json_integer(record, "state_version", 0);
	cairn_object *object = NULL;
	cairn_tensor tensor;
	cairn_id id;
	int rc;

	if (version < run->plugin.state_version_oldest || version > run->plugin.state_version)
		return cairn_error_set(err, CAIRN_EABI,
			"it is of form %lld, plugin '%s' reads %u to %u", (long long)version,
			run->plugin.name, run->plugin.state_version_oldest,
			run->plugin.state_version);
	rc = cairn_id_parse(&id, cairn_json_string(record, "id", ""), err);
	if (rc == 0)
		rc = cairn_object_open(&object, run->store, &id, err);
	for (uint64_t i = 0; rc == 0 && i < cairn_object_count(object); i++) {
		rc = cairn_object_entry(object, i, &tensor, err);
		if (rc == 0)
			rc = cairn_object_read(object, tensor.name, &tensor, err);
	}
	if (rc < 0) {
		cairn_object_close(object);
		return rc;
	}
	*out = object;
	return 0;
}

/* What the host itself kept in the checkpoint. */
static int restore_own_state(
	cairn_run *run, cairn_object *object, const json_t *record, cairn_error *err)
{
	cairn_tensor tensor;
	int rc;

	cairn_text_clear(&run->metrics);
	if (cairn_object_has(object, CAIRN_HOST_METRICS)) {
		rc = cairn_object_read(object, CAIRN_HOST_METRICS, &tensor, err);
		if (rc < 0)
			return rc;
		cairn_text_add_bytes(&run->metrics, tensor.data, tensor.bytes);
	}
	if (cairn_object_has(object, CAIRN_HOST_SUMMARY)) {
		rc = cairn_object_read(object, CAIRN_HOST_SUMMARY, &tensor, err);
		if (rc < 0)
			return rc;
		cairn_host_summary_restore(run, tensor.data, tensor.bytes);
	}
	run->n_rows = (uint64_t)cairn_json_integer(record, "rows", 0);
	run->step = (uint64_t)cairn_json_integer(record, "step", 0);
	run->base_seconds = cairn_json_number(record, "seconds", 0);
	cairn_wire_account_of(run->base, json_object_get(record, "flop"));
	cairn_wire_account_of(run->base_real, json_object_get(record, "flop_real"));
	run->checkpoint_step = run->step;
	run->checkpoint_begun = run->checkpoint_time = cairn_host_clock();
	return 0;
}

int cairn_host_resume(cairn_run *run, cairn_artifact *out, uint64_t *step)
{
	cairn_error *err = cairn_host_err(run);
	json_t *records = NULL;
	int rc;

	if (run->checkpoint)
		return cairn_error_set(err, CAIRN_EBUG, "the plugin asked to resume twice");
	rc = cairn_host_checkpoints(run, &records, err);
	if (rc < 0)
		return rc;
	for (size_t i = json_array_size(records); i-- > 0 && !run->checkpoint;) {
		const json_t *record = json_array_get(records, i);
		cairn_error why = {0};
		if (open_verified(run, &run->checkpoint, record, &why) < 0)
			cairn_host_log(run, CAIRN_LOG_WARNING,
				"the checkpoint of step %lld cannot be used: %s%s%s",
				(long long)cairn_json_integer(record, "step", 0), why.message,
				why.detail[0] ? ": " : "", why.detail);
		else
			rc = restore_own_state(run, run->checkpoint, record, err);
	}
	cairn_host_restore_best(run, records);
	json_decref(records);
	if (rc < 0)
		return rc;
	cairn_host_started(run, run->checkpoint ? run->step : 0);
	if (!run->checkpoint)
		return 0;
	cairn_host_describe(out, run->checkpoint, "checkpoint",
		cairn_arena_alloc(run->arena, CAIRN_ID_TEXT, 1));
	*step = run->step;
	return 1;
}
