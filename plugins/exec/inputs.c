/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inputs.c - the command's directory, and artifacts in it as files.
 *
 * Bytes become files as they are. Tensors become one safetensors file, which is what programs
 * for training read: an input that is a model is a directory that transformers loads.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "base/json.h"
#include "exec.h"
#include "gpt/safetensors.h"

/* ---- the directory ------------------------------------------------------------------------ */

/* New whatever an earlier attempt left. */
int exec_make_directory(struct exec_work *work)
{
	static const char *const parts[] = {"in", "out", "ask"};
	const char *scratch = work->host->scratch(work->run);
	char *absolute = realpath(scratch, NULL); /* the command may go elsewhere */
	cairn_text path = {0};
	int rc = 0;

	cairn_text_printf(&path, "%s/exec-XXXXXX", absolute ? absolute : scratch);
	free(absolute);
	if (path.failed)
		return work->host->fail(work->run, CAIRN_ENOMEM, "no memory for a path");
	if (!mkdtemp(path.data)) {
		rc = exec_fail_errno(work, "create", path.data);
		cairn_text_free(&path);
		return rc;
	}
	work->directory = path.data;
	path = (cairn_text){0};
	for (size_t i = 0; i < CAIRN_COUNT(parts) && rc == 0; i++) {
		rc = exec_path(work, &path, "%s", parts[i]);
		if (rc == 0 && mkdir(path.data, 0777) < 0)
			rc = exec_fail_errno(work, "create", path.data);
	}
	cairn_text_free(&path);
	return rc;
}

/* ---- tensors ------------------------------------------------------------------------------ */

static bool is_file(const cairn_tensor *entry)
{
	return entry->dtype == CAIRN_U8 && entry->n_dims == 1;
}

static enum gpt_st_dtype dtype_of(uint32_t dtype)
{
	switch (dtype) {
	case CAIRN_U16:
		return GPT_ST_U16;
	case CAIRN_I32:
		return GPT_ST_I32;
	case CAIRN_I64:
		return GPT_ST_I64;
	case CAIRN_F32:
		return GPT_ST_F32;
	case CAIRN_F64:
		return GPT_ST_F64;
	case CAIRN_BF16:
		return GPT_ST_BF16;
	default:
		return GPT_ST_U8;
	}
}

/* Entry i as it is listed; its name is safe. */
static int list_entry(
	const struct exec_work *work, const cairn_artifact *artifact, uint64_t i, cairn_tensor *out)
{
	int rc = work->host->entry_list(work->run, artifact, i, out);

	if (rc == 0 && !exec_is_safe(out->name))
		rc = work->host->fail(work->run, CAIRN_EINPUT,
			"entry '%.200s' of '%.200s' cannot become a file", out->name,
			artifact->source);
	return rc;
}

static int get_entry(const struct exec_work *work, const cairn_artifact *artifact, const char *name,
	cairn_tensor *out)
{
	int rc = work->host->entry_get(work->run, artifact, name, out);

	if (rc > 0)
		rc = work->host->fail(
			work->run, CAIRN_EBUG, "entry '%.200s' is listed but not there", name);
	return rc;
}

static void release(const struct exec_work *work, const cairn_artifact *artifact, const char *name)
{
	if (work->host->entry_release) /* a host before 1.2 has none */
		work->host->entry_release(work->run, artifact, name);
}

/* The tensors among the entries; *out is n of them, freed by the caller. */
static int list_tensors(const struct exec_work *work, const cairn_artifact *artifact,
	gpt_st_tensor **out, size_t *n)
{
	gpt_st_tensor *tensors = cairn_alloc(artifact->n_entries + 1, sizeof(*tensors));
	int rc = 0;

	*n = 0;
	if (!tensors)
		return work->host->fail(work->run, CAIRN_ENOMEM, "no memory for a model");
	for (uint64_t i = 0; i < artifact->n_entries && rc == 0; i++) {
		gpt_st_tensor *to = &tensors[*n];
		cairn_tensor entry;

		rc = list_entry(work, artifact, i, &entry);
		if (rc || is_file(&entry))
			continue;
		to->name = entry.name;
		to->dtype = dtype_of(entry.dtype);
		to->n_dims = entry.n_dims;
		memcpy(to->dims, entry.dims, sizeof(to->dims));
		++*n;
	}
	if (rc) {
		free(tensors);
		return rc;
	}
	*out = tensors;
	return 0;
}

static int put_tensors(
	const struct exec_work *work, const cairn_artifact *artifact, const char *directory)
{
	/* transformers asks for this mark before it believes the rest. */
	static const gpt_st_pair format = {"format", "pt"};
	bool is_model = strncmp(artifact->kind, "model/", 6) == 0;
	gpt_st_tensor *tensors = NULL;
	cairn_text path = {0};
	cairn_error err = {0};
	char *file = NULL;
	size_t n, len;
	int rc = list_tensors(work, artifact, &tensors, &n);

	if (rc || n == 0)
		goto out;
	if (gpt_safetensors_layout(&file, &len, tensors, n, &format, 1, &err) < 0) {
		rc = work->host->fail_with(work->run, &err);
		goto out;
	}
	for (size_t i = 0; i < n && rc == 0; i++) {
		cairn_tensor entry;

		rc = get_entry(work, artifact, tensors[i].name, &entry);
		if (rc == 0)
			memcpy(file + tensors[i].begin, entry.data, entry.bytes);
		if (rc == 0)
			release(work, artifact, tensors[i].name);
	}
	if (rc == 0)
		rc = exec_path(work, &path, "%s/%s", directory,
			is_model ? "model.safetensors" : "tensors.safetensors");
	if (rc == 0)
		rc = exec_write_file(work, path.data, 0444, file, len);
out:
	cairn_text_free(&path);
	free(tensors);
	free(file);
	return rc;
}

/* ---- artifacts ---------------------------------------------------------------------------- */

static int put_entry(const struct exec_work *work, const cairn_artifact *artifact, const char *name,
	const char *directory, const char *as, unsigned mode)
{
	cairn_text path = {0};
	cairn_tensor entry;
	int rc = get_entry(work, artifact, name, &entry);

	if (rc == 0)
		rc = exec_path(work, &path, "%s%s%s", directory, directory[0] ? "/" : "", as);
	if (rc == 0)
		rc = exec_write_file(work, path.data, mode, entry.data, entry.bytes);
	if (rc == 0)
		release(work, artifact, name);
	cairn_text_free(&path);
	return rc;
}

int exec_put_artifact(
	const struct exec_work *work, const cairn_artifact *artifact, const char *directory)
{
	int rc = 0;

	for (uint64_t i = 0; i < artifact->n_entries && rc == 0; i++) {
		cairn_tensor entry;

		rc = list_entry(work, artifact, i, &entry);
		if (rc == 0 && is_file(&entry))
			rc = put_entry(work, artifact, entry.name, directory, entry.name, 0444);
	}
	return rc ? rc : put_tensors(work, artifact, directory);
}

/* What the file was called outside; NULL where nobody knows. *json owns it. */
static const char *own_name(const cairn_artifact *artifact, json_t **json)
{
	const char *name;

	*json = NULL;
	if (cairn_json_parse(json, artifact->meta, strlen(artifact->meta), "meta", NULL) < 0)
		return NULL;
	name = cairn_json_string(*json, "name", NULL);
	return name && exec_is_safe(name) && !strchr(name, '/') ? name : NULL;
}

/* A script or what it needs: beside each other in the command's directory, under their names. */
static int put_code(const struct exec_work *work, const cairn_artifact *artifact)
{
	json_t *meta = NULL;
	int rc = 0;

	for (uint64_t i = 0; i < artifact->n_entries && rc == 0; i++) {
		const char *name;
		cairn_tensor entry;

		rc = list_entry(work, artifact, i, &entry);
		if (rc)
			break;
		name = artifact->n_entries == 1 ? own_name(artifact, &meta) : NULL;
		rc = put_entry(work, artifact, entry.name, "", name ? name : entry.name, 0555);
		json_decref(meta);
		meta = NULL;
	}
	return rc;
}

static int put_port(const struct exec_work *work, const char *port, bool is_code)
{
	const cairn_host *host = work->host;
	uint64_t n = host->input_count(work->run, port);
	int rc = 0;

	for (uint64_t i = 0; i < n && rc == 0; i++) {
		cairn_artifact artifact;
		char directory[32];

		snprintf(directory, sizeof(directory), "in/in-%llu", (unsigned long long)i);
		rc = host->input_open(work->run, port, i, &artifact);
		if (rc == 0)
			rc = is_code ? put_code(work, &artifact)
				     : exec_put_artifact(work, &artifact, directory);
	}
	return rc;
}

int exec_put_inputs(const struct exec_work *work)
{
	int rc = put_port(work, "script", true);

	if (rc == 0)
		rc = put_port(work, "deps", true);
	if (rc == 0)
		rc = put_port(work, "in", false);
	return rc;
}
