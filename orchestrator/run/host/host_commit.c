/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_commit.c - the last transaction of an attempt.
 *
 * Outputs, the result under the stage's key, the lineage, the attempt's end and the
 * deletion of its checkpoints become true together, or not at all. Before it the stage has
 * to be resumed; after it everything is there, even if nobody hears of it any more.
 *
 * A stage of a plugin that may repeat is short, and a transaction of its own, which waits for
 * the disk, would cost more than all of its work. What it made is handed over to the runner,
 * which commits it together with that of others. Only where it is too large for that, or where
 * there are checkpoints to delete, it is committed here.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "run/host/host.h"
#include "run/wire.h"

/* Test only: the environment variable CAIRN_TEST_KILL_AT=NAME:N, or NAME:N+ for N and all after. */
void cairn_host_failpoint(const char *name, uint64_t n)
{
	const char *wanted = getenv("CAIRN_TEST_KILL_AT");
	size_t len = strlen(name);
	uint64_t at;
	char *end;

	if (!wanted || strncmp(wanted, name, len) != 0 || wanted[len] != ':')
		return;
	at = strtoull(wanted + len + 1, &end, 10);
	if (n == at || (*end == '+' && n > at))
		kill(getpid(), SIGKILL);
}

int cairn_host_check_outputs(cairn_run *run, cairn_error *err)
{
	if (cairn_host_writer_is_open(&run->writer))
		return cairn_error_set(err, CAIRN_EBUG,
			"plugin '%s' returned while a writer was open", run->plugin.name);
	for (uint64_t i = 0; i < run->plugin.n_outputs; i++) {
		const cairn_port *port = &run->plugin.outputs[i];
		if (run->outputs[i].is_committed || (port->flags & CAIRN_PORT_OPTIONAL))
			continue;
		cairn_error_set(err, CAIRN_EBUG,
			"plugin '%s' says it is done, but wrote no output '%s'", run->plugin.name,
			port->name);
		cairn_error_hint(err, "This is a bug of the plugin; nothing of it was kept.");
		return CAIRN_EBUG;
	}
	return 0;
}

static json_t *output_record(const cairn_id *id, const char *kind, uint64_t bytes)
{
	char text[CAIRN_ID_TEXT];

	cairn_id_format(id, text);
	return json_pack("{s:s, s:s, s:I}", "id", text, "kind", kind, "bytes", (json_int_t)bytes);
}

/* The metric log as an artifact, unless the plugin has an output of that name. */
static int put_metrics(cairn_run *run, json_t *outputs, cairn_error *err)
{
	char meta[64];
	cairn_id id;
	int rc;

	if (!run->n_rows || json_object_get(outputs, CAIRN_METRICS_PORT))
		return 0;
	snprintf(meta, sizeof(meta), "{\"rows\":%llu}", (unsigned long long)run->n_rows);
	rc = cairn_batch_artifact_begin(run->output_batch, "metrics", err);
	if (rc == 0)
		rc = cairn_host_put_text(run->output_batch, "metrics.jsonl", run->metrics.data,
			run->metrics.len, err);
	if (rc == 0)
		rc = cairn_batch_artifact_end(run->output_batch, meta, &id, err);
	if (rc == 0)
		json_object_set_new(outputs, CAIRN_METRICS_PORT,
			output_record(&id, "metrics", run->metrics.len));
	return rc;
}

json_t *cairn_host_outputs_record(cairn_run *run)
{
	json_t *outputs = json_object();

	for (uint64_t i = 0; i < run->plugin.n_outputs; i++) {
		const cairn_port *port = &run->plugin.outputs[i];
		const cairn_host_output *output = &run->outputs[i];
		bool is_file = run->outdir && strcmp(port->kind, CAIRN_DIRECTORY_KIND) == 0;

		if (output->is_committed && !is_file)
			json_object_set_new(outputs, port->name,
				output_record(&output->id, port->kind, output->bytes));
	}
	return outputs;
}

json_t *cairn_host_inputs_record(cairn_run *run)
{
	json_t *ports = json_object();

	for (size_t i = 0; i < run->job.n_inputs; i++) {
		const cairn_job_input *input = &run->job.inputs[i];
		json_t *list = json_object_get(ports, input->port);
		cairn_object *object = NULL;
		const char *kind = "";
		cairn_id id;

		if (!input->id[0]) /* a directory */
			continue;
		if (!list) {
			list = json_array();
			json_object_set_new(ports, input->port, list);
		}
		if (run->inputs[i].object)
			kind = run->inputs[i].artifact.kind;
		else if (cairn_id_parse(&id, input->id, NULL) == 0 &&
			 cairn_object_open(&object, run->store, &id, NULL) == 0)
			kind = cairn_object_kind(object);
		json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "id", input->id, "kind",
						    kind, "source", input->source));
		cairn_object_close(object);
	}
	return ports;
}

static json_t *result_record(cairn_run *run, json_t *outputs, cairn_error *err)
{
	json_t *compute = cairn_host_kernels_record(run);
	json_t *record = json_pack(
		"{s:s, s:s, s:s, s:O, s:O, s:O, s:o, s:s, s:i, s:f, s:I, s:s, s:s, s:s?, s:I}",
		"instance", run->job.instance, "plugin", run->plugin.name, "version",
		run->plugin.version, "outputs", outputs, "summary", run->summary, "components",
		run->job.components, "inputs", cairn_host_inputs_record(run), "run", run->job.run,
		"attempts", (int)run->job.attempt, "seconds", cairn_host_seconds(run), "steps",
		(json_int_t)run->step, "plugin_digest", run->job.plugin_digest, "build",
		run->plugin.head.build ? run->plugin.head.build : "", "backend", run->backend,
		"end_ms", (json_int_t)cairn_now_ms());

	if (record && compute)
		json_object_set(record, "compute", compute);
	json_decref(compute);
	if (record)
		cairn_host_put_account(run, record, true);
	else
		cairn_error_set(err, CAIRN_ENOMEM, "out of memory for the result");
	return record;
}

static int amend_attempt(cairn_run *run, cairn_amends *amends, cairn_error *err)
{
	double flop = cairn_meter_total(&run->meter);
	json_t *fields = json_pack("{s:s, s:f, s:I, s:I, s:f}", "state", "done", "kept_flop", flop,
		"step", (json_int_t)run->step, "end_ms", (json_int_t)cairn_now_ms(), "seconds",
		cairn_host_clock() - run->started);

	if (!fields)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for the result");
	cairn_host_put_account(run, fields, false);
	run->kept = flop;
	return cairn_amends_add(amends, &run->job.key, run->job.attempt, fields, err);
}

/* The batch of the outputs, with the metric log. */
static int fill_batch(cairn_run *run, json_t *outputs, cairn_error *err)
{
	int rc = 0;

	if (!run->output_batch)
		rc = cairn_batch_begin(&run->output_batch, run->store, err);
	if (rc == 0)
		rc = put_metrics(run, outputs, err);
	if (rc == 0 && (run->plugin.capabilities & CAIRN_CAN_CHECKPOINT))
		rc = cairn_host_end_checkpoints(run, run->output_batch, outputs, err);
	return rc;
}

/* True: result and packet go with the goodbye. */
static bool hand_over(cairn_run *run, json_t *result)
{
	if (!(run->plugin.capabilities & CAIRN_CAN_REPEAT) ||
		cairn_batch_pack(run->output_batch, CAIRN_WIRE_MAX_PACKET, &run->packet,
			&run->packet_len) != 0)
		return false;
	run->result = json_incref(result);
	run->kept = cairn_meter_total(&run->meter);
	cairn_host_failpoint("result", run->n_before + 1);
	return true;
}

static int publish(cairn_run *run, const json_t *result, cairn_error *err)
{
	cairn_amends amends = {0};
	cairn_batch *batch;
	int rc = cairn_record_put_result(run->output_batch, &run->job.key, result, err);

	if (rc == 0)
		rc = amend_attempt(run, &amends, err);
	if (rc == 0) {
		batch = run->output_batch;
		run->output_batch = NULL; /* commit frees it, whatever it returns */
		cairn_amends_attach(&amends, batch);
		cairn_host_failpoint("result", run->n_before + 1);
		rc = cairn_batch_commit(batch, err);
		if (rc == 0)
			cairn_host_failpoint("committed", run->n_before + 1);
	}
	cairn_amends_clear(&amends);
	return rc;
}

static void tell_committed(cairn_run *run)
{
	json_t *record = json_pack("{s:f, s:I}", "kept", run->kept, "step", (json_int_t)run->step);

	cairn_host_put_account(run, record, false);
	cairn_host_send(run, "committed", record);
}

int cairn_host_finish(cairn_run *run, cairn_error *err)
{
	json_t *outputs, *result = NULL;
	int rc = cairn_host_kernels_status(run, err);

	if (rc == 0)
		rc = cairn_host_check_outputs(run, err);
	if (rc < 0)
		return rc;
	outputs = cairn_host_outputs_record(run);
	rc = fill_batch(run, outputs, err);
	if (rc == 0) {
		result = result_record(run, outputs, err);
		rc = result ? 0 : CAIRN_ENOMEM;
	}
	json_decref(outputs);
	if (rc == 0 && !hand_over(run, result)) {
		rc = publish(run, result, err);
		if (rc == 0)
			tell_committed(run);
	}
	json_decref(result);
	if (rc == 0)
		cairn_host_scratch_remove(run);
	return rc;
}
