/* SPDX-License-Identifier: Apache-2.0 */
/*
 * host_inputs.c - artifacts as the plugin reads them: inputs, and the checkpoint it resumed
 * from, whose "cairn/" entries are the host's own and invisible. A tool may also be given
 * directories (run/tool/directory.h); those have no id.
 */
#include <string.h>

#include "run/host/host.h"

static bool is_ours(const char *name)
{
	return strncmp(name, CAIRN_HOST_PREFIX, strlen(CAIRN_HOST_PREFIX)) == 0;
}

uint64_t cairn_host_input_count(cairn_run *run, const char *port)
{
	uint64_t n = 0;

	for (size_t i = 0; i < run->job.n_inputs; i++)
		n += strcmp(run->job.inputs[i].port, port) == 0;
	return n;
}

/* How many entries the plugin does not see, and the index of the first. They lie together: the
 * entries are sorted and the names have a prefix in common. */
static uint64_t count_ours(const cairn_object *object, uint64_t *first)
{
	cairn_tensor tensor;
	uint64_t n = 0;

	*first = 0;
	if (strcmp(cairn_object_kind(object), "checkpoint") != 0)
		return 0;
	for (uint64_t i = 0; i < cairn_object_count(object); i++) {
		if (cairn_object_entry(object, i, &tensor, NULL) < 0 || !is_ours(tensor.name))
			continue;
		if (!n++)
			*first = i;
	}
	return n;
}

void cairn_host_describe(cairn_artifact *out, cairn_object *object, const char *source, char *id)
{
	uint64_t first;

	cairn_id_format(cairn_object_id(object), id);
	*out = (cairn_artifact){
		.id = id,
		.kind = cairn_object_kind(object),
		.meta = cairn_object_meta(object),
		.source = source,
		.n_entries = cairn_object_count(object) - count_ours(object, &first),
		.bytes = cairn_object_bytes(object),
		.handle = object,
	};
}

static int open_object(cairn_run *run, cairn_host_input *input, cairn_error *err)
{
	cairn_id id;
	int rc = cairn_id_parse(&id, input->job->id, err);

	if (rc == 0)
		rc = cairn_object_open(&input->object, run->store, &id, err);
	if (rc < 0) {
		cairn_error_hint(
			err, "Input '%.60s' is %.200s.", input->job->port, input->job->source);
		cairn_host_note_damage(run, NULL, input->job->id, rc);
		return rc;
	}
	cairn_host_describe(&input->artifact, input->object, input->job->source,
		cairn_arena_alloc(run->arena, CAIRN_ID_TEXT, 1));
	return 0;
}

int cairn_host_input_open(cairn_run *run, const char *port, uint64_t index, cairn_artifact *out)
{
	cairn_error *err = cairn_host_err(run);
	cairn_host_input *input = NULL;
	uint64_t n = 0;
	int rc = 0;

	for (size_t i = 0; i < run->job.n_inputs && !input; i++) {
		if (strcmp(run->job.inputs[i].port, port) == 0 && n++ == index)
			input = &run->inputs[i];
	}
	if (!input)
		return cairn_error_set(err, CAIRN_EBUG,
			"the plugin asked for artifact %llu of input '%.100s', which has %llu",
			(unsigned long long)index, port, (unsigned long long)n);
	if (input->indir)
		cairn_indir_describe(input->indir, &input->artifact);
	else if (!input->object)
		rc = open_object(run, input, err);
	if (rc == 0)
		*out = input->artifact;
	return rc;
}

static bool is_directory(const cairn_artifact *artifact)
{
	return !artifact->id[0];
}

int cairn_host_entry_list(
	cairn_run *run, const cairn_artifact *artifact, uint64_t index, cairn_tensor *out)
{
	cairn_error *err = cairn_host_err(run);
	uint64_t first, ours;

	if (index >= artifact->n_entries)
		return cairn_error_set(err, CAIRN_EBUG, "'%s' has no entry %llu", artifact->source,
			(unsigned long long)index);
	if (is_directory(artifact))
		return cairn_indir_entry(artifact->handle, index, out, err);
	ours = count_ours(artifact->handle, &first);
	if (ours && index >= first)
		index += ours;
	return cairn_object_entry(artifact->handle, index, out, err);
}

int cairn_host_entry_get(
	cairn_run *run, const cairn_artifact *artifact, const char *name, cairn_tensor *out)
{
	cairn_error *err = cairn_host_err(run);
	cairn_object *object = (cairn_object *)artifact->handle; /* reading fills its cache */
	int rc;

	if (is_directory(artifact))
		return cairn_indir_read((cairn_indir *)artifact->handle, name, out, err);
	if (!cairn_object_has(object, name) ||
		(is_ours(name) && strcmp(artifact->kind, "checkpoint") == 0))
		return 1;
	rc = cairn_object_read(object, name, out, err);
	if (rc < 0) {
		cairn_error_hint(err, "It is entry '%.60s' of %.200s.", name, artifact->source);
		cairn_host_note_damage(run, object, NULL, rc);
	}
	return rc;
}

/* Directories are mapped, which costs nothing to keep. */
void cairn_host_entry_release(cairn_run *run, const cairn_artifact *artifact, const char *name)
{
	(void)run;
	if (!is_directory(artifact))
		cairn_object_release((cairn_object *)artifact->handle, name);
}

void cairn_host_inputs_close(cairn_run *run)
{
	for (size_t i = 0; run->inputs && i < run->job.n_inputs; i++) {
		cairn_object_close(run->inputs[i].object);
		cairn_indir_close(run->inputs[i].indir);
	}
	cairn_object_close(run->checkpoint);
}
