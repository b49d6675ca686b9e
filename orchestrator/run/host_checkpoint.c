/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_checkpoint.c - committed resume state, bound to the stage's key.
 *
 * A checkpoint is an artifact of kind "checkpoint": the plugin's entries, the metric log up
 * to its step and the summary so far ("cairn/..."). So a log that goes on from it has
 * neither gap nor repeat. One transaction publishes the artifact, its record with the
 * account that it keeps, the attempt's kept_flop, and drops the older ones.
 */
#include <string.h>

#include "run/host.h"
#include "run/wire.h"

int cairn_host_checkpoint_begin(cairn_run *run, uint64_t step, cairn_writer **out)
{
	cairn_error *err = cairn_host_err(run);
	cairn_writer *writer = &run->writer;
	cairn_batch *batch;
	int rc;

	if (writer->batch) {
		writer->failed = cairn_error_set(err, CAIRN_EBUG,
			"the plugin began a checkpoint before it ended another writer");
		return writer->failed;
	}
	if (!(run->plugin.capabilities & CAIRN_CAN_CHECKPOINT))
		return cairn_error_set(err, CAIRN_EBUG,
			"plugin '%s' writes a checkpoint but does not say that it can",
			run->plugin.name);
	rc = cairn_batch_begin(&batch, run->store, err);
	if (rc < 0)
		return rc;
	rc = cairn_batch_artifact_begin(batch, "checkpoint", err);
	if (rc < 0) {
		cairn_batch_abort(batch);
		return rc;
	}
	*writer = (cairn_writer){.run = run, .batch = batch, .step = step};
	*out = writer;
	return 0;
}

/* ---- writing ---------------------------------------------------------------------------- */

static int put_own_state(cairn_run *run, cairn_batch *batch, cairn_error *err)
{
	char *summary;
	int rc = 0;

	if (run->metrics.len)
		rc = cairn_host_put_text(
			batch, CAIRN_HOST_METRICS, run->metrics.data, run->metrics.len, err);
	if (rc < 0 || !json_object_size(run->summary))
		return rc;
	summary = cairn_host_summary_text(run);
	if (!summary)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a checkpoint");
	rc = cairn_host_put_text(batch, CAIRN_HOST_SUMMARY, summary, strlen(summary), err);
	free(summary);
	return rc;
}

static int put_record(cairn_writer *writer, const cairn_id *id, cairn_error *err)
{
	cairn_run *run = writer->run;
	char text[CAIRN_ID_TEXT];
	json_t *record;
	int rc;

	cairn_id_format(id, text);
	record = json_pack("{s:s, s:I, s:i, s:i, s:f, s:I}", "id", text, "step",
		(json_int_t)writer->step, "attempt", (int)run->job.attempt, "state_version",
		(int)run->plugin.state_version, "seconds", cairn_host_seconds(run), "rows",
		(json_int_t)run->n_rows);
	if (!record)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a checkpoint");
	cairn_host_put_account(run, record, true);
	rc = cairn_record_put_checkpoint(writer->batch, &run->job.key, writer->step, record, err);
	json_decref(record);
	return rc;
}

/* The attempt's fields that become true with this commit. */
static int amend_attempt(cairn_run *run, cairn_amends *amends, double kept, cairn_error *err)
{
	json_t *fields = json_pack("{s:f, s:I}", "kept_flop", kept, "step", (json_int_t)run->step);

	if (!fields)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a checkpoint");
	cairn_host_put_account(run, fields, false);
	return cairn_amends_add(amends, &run->job.key, run->job.attempt, fields, err);
}

int cairn_host_checkpoint_commit(cairn_writer *writer, cairn_error *err)
{
	cairn_run *run = writer->run;
	size_t keep = run->job.keep_checkpoints > 1 ? (size_t)run->job.keep_checkpoints : 1;
	double kept = cairn_meter_total(&run->meter);
	cairn_batch *batch = writer->batch;
	cairn_amends amends = {0};
	uint64_t step = writer->step;
	cairn_id id;
	int rc = put_own_state(run, batch, err);

	if (rc == 0)
		rc = cairn_batch_artifact_end(batch, writer->meta, &id, err);
	if (rc == 0) /* before the new record: the deletions are of what is there now */
		rc = cairn_host_drop_checkpoints(run, batch, keep - 1, err);
	if (rc == 0)
		rc = put_record(writer, &id, err);
	if (rc == 0)
		rc = amend_attempt(run, &amends, kept, err);
	if (rc < 0) {
		cairn_batch_abort(batch);
		goto out;
	}
	cairn_amends_attach(&amends, batch);
	cairn_host_failpoint("checkpoint", step);
	rc = cairn_batch_commit(batch, err);
	if (rc < 0)
		goto out;
	cairn_host_failpoint("checkpointed", step);
	run->kept = kept;
	run->checkpoint_step = step;
	run->checkpoint_time = cairn_host_clock();
	cairn_host_flush_step(run);
	cairn_host_send(
		run, "checkpoint", json_pack("{s:I, s:f}", "step", (json_int_t)step, "kept", kept));
out:
	cairn_amends_clear(&amends);
	return rc;
}

/* ---- the list of checkpoints ---------------------------------------------------------------- */

struct list {
	json_t *records; /* newest first */
};

static int collect(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	struct list *list = arg;
	json_t *json = NULL;
	int rc = cairn_json_parse(&json, value, value_len, "checkpoint", err);

	(void)key, (void)key_len;
	if (rc == 0)
		json_array_append_new(list->records, json);
	return rc;
}

static int list_checkpoints(cairn_run *run, json_t **out, cairn_error *err)
{
	struct list list = {json_array()};
	cairn_snapshot *snapshot;
	int rc = cairn_snapshot_begin(&snapshot, run->store, err);

	if (rc == 0) {
		rc = cairn_snapshot_scan(snapshot, "checkpoint", run->job.key.bytes,
			sizeof(run->job.key.bytes), true, collect, &list, err);
		cairn_snapshot_end(snapshot);
	}
	if (rc < 0)
		json_decref(list.records);
	else
		*out = list.records;
	return rc;
}

int cairn_host_drop_checkpoints(cairn_run *run, cairn_batch *batch, size_t keep, cairn_error *err)
{
	json_t *records = NULL;
	int rc = list_checkpoints(run, &records, err);

	for (size_t i = keep; rc == 0 && i < json_array_size(records); i++) {
		const json_t *record = json_array_get(records, i);
		rc = cairn_record_delete_checkpoint(
			batch, &run->job.key, (uint64_t)cairn_json_integer(record, "step", 0), err);
	}
	json_decref(records);
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
	run->checkpoint_time = cairn_host_clock();
	return 0;
}

int cairn_host_resume(cairn_run *run, cairn_artifact *out, uint64_t *step)
{
	cairn_error *err = cairn_host_err(run);
	json_t *records = NULL;
	int rc;

	if (run->checkpoint)
		return cairn_error_set(err, CAIRN_EBUG, "the plugin asked to resume twice");
	rc = list_checkpoints(run, &records, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < json_array_size(records) && !run->checkpoint; i++) {
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
