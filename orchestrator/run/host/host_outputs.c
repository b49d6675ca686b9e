/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_outputs.c - the writer: one at a time, for an output or a checkpoint. An output of a
 * tool may be a directory instead of an artifact; then an entry is a file, and metadata has
 * no place.
 *
 * A failed put makes the writer useless: its commit repeats the failure and leaves nothing.
 */
#include <string.h>

#include "base/alloc.h"
#include "run/host/host.h"

static int bug(cairn_writer *writer, const char *what)
{
	cairn_error *err = cairn_host_err(writer->run);

	cairn_error_set(err, CAIRN_EBUG, "%s", what);
	cairn_error_hint(err, "This is a bug of plugin '%s'.", writer->run->plugin.name);
	if (!writer->failed)
		writer->failed = CAIRN_EBUG;
	return CAIRN_EBUG;
}

bool cairn_host_writer_is_open(const cairn_writer *writer)
{
	return writer->batch || writer->outdir || writer->staging;
}

static void forget(cairn_writer *writer)
{
	free(writer->meta);
	*writer = (cairn_writer){.run = writer->run};
}

static const cairn_port *find_port(cairn_run *run, const char *name, size_t *index)
{
	for (size_t i = 0; i < run->plugin.n_outputs; i++) {
		if (strcmp(run->plugin.outputs[i].name, name) == 0) {
			*index = i;
			return &run->plugin.outputs[i];
		}
	}
	return NULL;
}

static int begin_artifact(cairn_run *run, const cairn_port *port, cairn_error *err)
{
	int rc = 0;

	cairn_host_background_free(run);
	if (!run->output_batch)
		rc = cairn_batch_begin(&run->output_batch, run->store, err);
	if (rc == 0)
		rc = cairn_batch_artifact_begin(run->output_batch, port->kind, err);
	if (rc == 0)
		run->writer = (cairn_writer){.run = run, .batch = run->output_batch, .port = port};
	return rc;
}

int cairn_host_output_begin(cairn_run *run, const char *port_name, cairn_writer **out)
{
	cairn_writer *writer = &run->writer;
	const cairn_port *port;
	size_t index = 0;
	int rc = 0;

	writer->run = run; /* the first call may be a wrong one */
	if (cairn_host_writer_is_open(writer))
		return bug(writer, "the plugin opened a second writer before it ended the first");
	port = find_port(run, port_name, &index);
	if (!port)
		return bug(writer, "the plugin writes an output that it does not declare");
	if (run->outputs[index].is_committed)
		return bug(writer, "the plugin wrote an output twice");
	if (run->outdir && strcmp(port->kind, CAIRN_DIRECTORY_KIND) == 0)
		*writer = (cairn_writer){.run = run, .outdir = run->outdir, .port = port};
	else
		rc = begin_artifact(run, port, cairn_host_err(run));
	if (rc == 0)
		*out = writer;
	return rc;
}

int cairn_host_put_entry(cairn_writer *writer, const cairn_tensor *tensor, cairn_error *err)
{
	int rc = 0;

	if (writer->outdir)
		return cairn_outdir_put(
			writer->outdir, tensor->name, tensor->data, tensor->bytes, err);
	if (writer->staging && cairn_staging_add(writer->staging, tensor))
		return 0;
	if (writer->staging)
		rc = cairn_host_write_through(writer, err);
	return rc < 0 ? rc : cairn_batch_artifact_put(writer->batch, tensor, err);
}

int cairn_host_put(cairn_writer *writer, const cairn_tensor *tensor)
{
	int rc;

	if (!cairn_host_writer_is_open(writer))
		return bug(writer, "the plugin put an entry into a writer that it had ended");
	if (writer->failed)
		return writer->failed;
	if (!tensor->name || strncmp(tensor->name, CAIRN_HOST_PREFIX, 6) == 0)
		return bug(writer, "entry names that begin with 'cairn/' are the host's");
	rc = cairn_host_put_entry(writer, tensor, cairn_host_err(writer->run));
	if (rc < 0)
		writer->failed = rc;
	else
		writer->bytes += tensor->bytes;
	return rc;
}

cairn_tensor cairn_host_text_entry(const char *name, const char *text, size_t len)
{
	return (cairn_tensor){
		.name = name,
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {len},
		.data = text,
		.bytes = len,
	};
}

int cairn_host_put_text(
	cairn_batch *batch, const char *name, const char *text, size_t len, cairn_error *err)
{
	cairn_tensor tensor = cairn_host_text_entry(name, text, len);

	return cairn_batch_artifact_put(batch, &tensor, err);
}

int cairn_host_meta(cairn_writer *writer, const char *json)
{
	if (!cairn_host_writer_is_open(writer))
		return bug(writer, "the plugin gave metadata to a writer that it had ended");
	if (writer->meta)
		return bug(writer, "the plugin gave metadata twice");
	writer->meta = cairn_strdup(json);
	if (!writer->meta) {
		writer->failed = cairn_error_set(
			cairn_host_err(writer->run), CAIRN_ENOMEM, "out of memory for metadata");
		return writer->failed;
	}
	return 0;
}

static int commit_output(cairn_writer *writer, cairn_error *err)
{
	cairn_run *run = writer->run;
	cairn_host_output *output = &run->outputs[writer->port - run->plugin.outputs];
	int rc = 0;

	if (!writer->outdir)
		rc = cairn_batch_artifact_end(writer->batch, writer->meta, &output->id, err);
	if (rc < 0)
		return rc;
	output->bytes = writer->bytes;
	output->is_committed = true;
	return 0;
}

int cairn_host_commit_writer(cairn_writer *writer)
{
	bool is_checkpoint = !writer->port;
	cairn_batch *batch = writer->batch;
	int rc = writer->failed;

	if (!cairn_host_writer_is_open(writer))
		return bug(writer, "the plugin committed a writer twice");
	if (rc == 0 && is_checkpoint) /* the batch is gone after this */
		rc = cairn_host_checkpoint_commit(writer, cairn_host_err(writer->run));
	else if (is_checkpoint)
		cairn_batch_abort(batch); /* NULL: there is a copy only */
	else if (rc == 0)
		rc = commit_output(writer, cairn_host_err(writer->run));
	if (rc < 0 && !is_checkpoint && batch)
		cairn_batch_artifact_drop(batch);
	forget(writer);
	return rc;
}

void cairn_host_outputs_close(cairn_run *run)
{
	if (run->writer.batch && run->writer.batch != run->output_batch)
		cairn_batch_abort(run->writer.batch);
	forget(&run->writer);
	cairn_batch_abort(run->output_batch);
	run->output_batch = NULL;
}
