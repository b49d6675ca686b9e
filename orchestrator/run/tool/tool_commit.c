/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tool_commit.c - what a tool wrote becomes visible, with its names and its origin.
 *
 * Lineage knows artifacts by the results of stages. A tool has no key; but what it made has an
 * origin that must not get lost, so it leaves a result record, too, under the digest of that
 * origin:
 *
 *   { "instance", "plugin" (both the tool's name), "version", "build", "outputs", "inputs",
 *     "components": {"param.NAME": text}, "user", "end_ms",
 *     "origins": [{"port", "path", "files": [{"name", "bytes", "sha256"}]}] }
 *
 * Importing the same files from the same place again changes nothing but the time; from another
 * place, the artifact has two producers.
 */
#include "run/tool/tool_commit.h"

#include <string.h>

/* ---- the origin ------------------------------------------------------------------------- */

static int put_origins(json_t *record, const cairn_run *run, cairn_error *err)
{
	json_t *origins = json_array();
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < run->job.n_inputs; i++) {
		json_t *origin = NULL;
		if (!run->inputs[i].indir)
			continue;
		rc = cairn_indir_origin(&origin, run->inputs[i].indir, err);
		if (rc < 0)
			break;
		json_object_set_new(origin, "port", json_string(run->job.inputs[i].port));
		json_array_append_new(origins, origin);
	}
	json_object_set_new(record, "origins", origins);
	return rc;
}

static json_t *components_of(const cairn_tool_job *job, cairn_arena *arena)
{
	const cairn_tool *tool = job->info->tool;
	json_t *components = json_object();

	for (uint64_t i = 0; i < tool->n_params; i++) {
		if (!(tool->params[i].flags & CAIRN_PARAM_NEUTRAL))
			json_object_set_new(components,
				cairn_arena_printf(arena, "param.%s", tool->params[i].name),
				cairn_record_text(job->values[i]));
	}
	return components;
}

/* SHA-256 over the record's canonical text, before time and person come in. */
static int origin_key(cairn_key *out, const json_t *record, cairn_error *err)
{
	static const char tag[] = "cairn.origin/1"; /* with its NUL */
	char *text = cairn_json_canonical(record);
	cairn_digest *digest = text ? cairn_digest_new() : NULL;

	if (!digest) {
		free(text);
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a record");
	}
	cairn_digest_add(digest, tag, sizeof(tag));
	cairn_digest_add(digest, text, strlen(text));
	cairn_digest_end(digest, out->bytes);
	free(text);
	return 0;
}

static int put_record(cairn_run *run, const cairn_tool_job *job, json_t *outputs, cairn_error *err)
{
	cairn_key key;
	json_t *record = json_pack("{s:s, s:s, s:s, s:O, s:o, s:o}", "instance", run->plugin.name,
		"plugin", run->plugin.name, "version", run->plugin.version, "outputs", outputs,
		"inputs", cairn_host_inputs_record(run), "components",
		components_of(job, run->arena));
	int rc = record ? put_origins(record, run, err)
			: cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a record");

	if (rc == 0)
		rc = origin_key(&key, record, err);
	if (rc == 0) {
		json_object_set_new(record, "build", cairn_record_text(job->info->build));
		json_object_set_new(record, "user", cairn_record_user());
		json_object_set_new(record, "end_ms", json_integer(cairn_now_ms()));
		rc = cairn_record_put_result(run->output_batch, &key, record, err);
	}
	json_decref(record);
	return rc;
}

/* ---- the names -------------------------------------------------------------------------- */

static int put_ref(
	cairn_run *run, const char *ref, const char *port, json_t *output, cairn_error *err)
{
	char name[CAIRN_REF_MAX + 1];
	int len = snprintf(name, sizeof(name), "%s:%s", ref, port);
	cairn_id id;
	int rc;

	if (len < 0 || len > CAIRN_REF_MAX)
		return cairn_error_set(err, CAIRN_EUSAGE,
			"the name '%.100s...' is longer than %d bytes", ref, CAIRN_REF_MAX);
	rc = cairn_id_parse(&id, cairn_json_string(output, "id", ""), err);
	if (rc == 0)
		rc = cairn_record_put_ref(
			run->output_batch, name, &id, "tool", run->plugin.name, err);
	json_object_set_new(output, "name", cairn_record_text(name));
	return rc;
}

/* ---- the end ---------------------------------------------------------------------------- */

static int publish(cairn_run *run, const cairn_tool_job *job, json_t *outputs, cairn_error *err)
{
	cairn_batch *batch;
	json_t *output;
	const char *port;
	int rc = put_record(run, job, outputs, err);

	json_object_foreach(outputs, port, output)
	{
		if (rc == 0 && job->ref)
			rc = put_ref(run, job->ref, port, output, err);
	}
	if (rc < 0)
		return rc;
	batch = run->output_batch;
	run->output_batch = NULL; /* commit frees it, whatever it returns */
	return cairn_batch_commit(batch, err);
}

static json_t *directory_record(const cairn_outdir *dir, const char *path)
{
	json_t *files = json_array();

	for (uint64_t i = 0; i < cairn_outdir_count(dir); i++)
		json_array_append_new(files, cairn_record_text(cairn_outdir_name(dir, i)));
	return json_pack("{s:o, s:I, s:o}", "path", cairn_record_text(path), "bytes",
		(json_int_t)cairn_outdir_bytes(dir), "files", files);
}

int cairn_tool_commit(json_t **out, cairn_run *run, const cairn_tool_job *job, cairn_error *err)
{
	json_t *outputs = cairn_host_outputs_record(run), *directory = NULL;
	int rc = 0;

	if (run->output_batch)
		rc = publish(run, job, outputs, err);
	if (rc == 0 && run->outdir) {
		rc = cairn_outdir_commit(run->outdir, err);
		directory = directory_record(run->outdir, job->directory);
	}
	if (rc < 0) {
		json_decref(outputs);
		json_decref(directory);
		return rc;
	}
	*out = json_pack(
		"{s:o, s:o}", "outputs", outputs, "directory", directory ? directory : json_null());
	return *out ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a record");
}
