/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hf.c - the weights: one file or several, names with prefix or without, a head tied or not.
 *
 * All files are opened and all names settled before a model is allocated, so that a wrong
 * directory costs nothing.
 */
#include "gpt/hf.h"

#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"
#include "gpt/safetensors.h"

#ifdef CAIRN_DOUBLE
#error "files hold float; the double build is for gradient checks only"
#endif

#define PREFIX     "transformer."
#define ONE_FILE   "model.safetensors"
#define INDEX_FILE "model.safetensors.index.json"
#define MAX_FILES  4096
#define CHUNK      (1u << 16) /* elements converted at a time */

struct file {
	char *name;
	gpt_safetensors st;
};

struct gpt_hf {
	char *source;
	gpt_hf_config config;
	bool is_scalar;
	struct file *files;
	size_t n_files;
};

/* A tensor and the file that it is in. */
struct found {
	const gpt_safetensors *st;
	const gpt_st_tensor *tensor;
};

typedef struct opening {
	const cairn_host *host;
	cairn_run *run;
	const cairn_artifact *artifact;
	gpt_hf *hf;
} opening;

bool gpt_has_entry(
	const cairn_host *host, cairn_run *run, const cairn_artifact *artifact, const char *name)
{
	cairn_tensor entry;

	for (uint64_t i = 0; i < artifact->n_entries; i++)
		if (host->entry_list(run, artifact, i, &entry) == 0 && !strcmp(entry.name, name))
			return true;
	return false;
}

static int no_memory(const opening *o)
{
	return o->host->fail(o->run, CAIRN_ENOMEM, "no memory to open '%s'", o->artifact->source);
}

/* ---- files -------------------------------------------------------------------------------------
 */

/* An entry that must be there. */
static int get(const opening *o, const char *name, cairn_tensor *out)
{
	int rc = o->host->entry_get(o->run, o->artifact, name, out);

	if (rc == 1)
		rc = o->host->fail(
			o->run, CAIRN_EINPUT, "'%s' has no file '%s'", o->artifact->source, name);
	return rc;
}

static int add_file(const opening *o, const char *name)
{
	struct file *files, *file;
	gpt_hf *hf = o->hf;
	cairn_error err = {0};
	cairn_tensor entry;
	char place[500];
	int rc;

	if (hf->n_files == MAX_FILES)
		return o->host->fail(o->run, CAIRN_ELIMIT, "'%s' has more than %d files of weights",
			o->artifact->source, MAX_FILES);
	files = cairn_realloc(hf->files, hf->n_files + 1, sizeof(*files));
	if (!files)
		return no_memory(o);
	hf->files = files;
	file = &files[hf->n_files];
	*file = (struct file){.name = cairn_strdup(name)};
	if (!file->name)
		return no_memory(o);
	hf->n_files++;
	rc = get(o, name, &entry);
	if (rc)
		return rc;
	(void)snprintf(place, sizeof(place), "%s: %s", o->artifact->source, name);
	if (gpt_safetensors_open(&file->st, place, entry.data, entry.bytes, &err))
		return o->host->fail_with(o->run, &err);
	return 0;
}

static struct file *file_named(const gpt_hf *hf, const char *name)
{
	for (size_t i = 0; i < hf->n_files; i++)
		if (!strcmp(hf->files[i].name, name))
			return &hf->files[i];
	return NULL;
}

/* "weight_map": tensor -> file. */
static int add_parts(const opening *o, const json_t *map)
{
	const char *tensor;
	json_t *value;
	int rc = 0;

	json_object_foreach((json_t *)(uintptr_t)map, tensor, value)
	{
		const char *name = json_string_value(value);
		const struct file *file;

		if (!name || !*name)
			return o->host->fail(o->run, CAIRN_EINPUT,
				INDEX_FILE " of '%s' names no file for '%.100s'",
				o->artifact->source, tensor);
		if (!file_named(o->hf, name))
			rc = add_file(o, name);
		if (rc)
			return rc;
		file = file_named(o->hf, name);
		if (!gpt_safetensors_find(&file->st, tensor))
			return o->host->fail(o->run, CAIRN_EINPUT,
				"'%.100s' of '%s' has no tensor '%.100s', which " INDEX_FILE
				" says it has",
				name, o->artifact->source, tensor);
	}
	return 0;
}

static int open_parts(const opening *o)
{
	json_t *index = NULL, *map;
	cairn_error err = {0};
	cairn_tensor entry;
	char place[500];
	int rc = get(o, INDEX_FILE, &entry);

	if (rc)
		return rc;
	(void)snprintf(place, sizeof(place), "%s: " INDEX_FILE, o->artifact->source);
	if (cairn_json_parse(&index, entry.data, entry.bytes, place, &err))
		return o->host->fail_with(o->run, &err);
	map = json_object_get(index, "weight_map");
	if (json_object_size(map) > 0)
		rc = add_parts(o, map);
	else
		rc = o->host->fail(o->run, CAIRN_EINPUT, INDEX_FILE " of '%s' has no 'weight_map'",
			o->artifact->source);
	json_decref(index);
	return rc;
}

/* Not there, but perhaps in another form. */
static int no_weights(const opening *o)
{
	static const char *const others[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
		"tf_model.h5", "flax_model.msgpack", "model.ckpt.index"};

	for (size_t i = 0; i < CAIRN_COUNT(others); i++) {
		if (!gpt_has_entry(o->host, o->run, o->artifact, others[i]))
			continue;
		o->host->fail(o->run, CAIRN_EINPUT, "'%s' has its weights as '%s', not as '%s'",
			o->artifact->source, others[i], ONE_FILE);
		o->host->hint(o->run,
			"Convert it in Python: transformers.AutoModelForCausalLM.from_pretrained("
			"'DIR').save_pretrained('NEW', safe_serialization=True).");
		return CAIRN_EINPUT;
	}
	o->host->fail(o->run, CAIRN_EINPUT, "'%s' has no '%s'", o->artifact->source, ONE_FILE);
	o->host->hint(o->run, "A model is a directory with config.json, " ONE_FILE
			      ", vocab.json and merges.txt.");
	return CAIRN_EINPUT;
}

/* ---- names
 * --------------------------------------------------------------------------------------- */

static const char *bare(const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) ? name : name + strlen(PREFIX);
}

/* The causal mask of old files: "h.N.attn.bias", "h.N.attn.masked_bias". */
static bool is_buffer(const char *name)
{
	size_t digits;

	if (strncmp(name, "h.", 2) != 0)
		return false;
	digits = strspn(name + 2, "0123456789");
	return digits > 0 && (!strcmp(name + 2 + digits, ".attn.bias") ||
				     !strcmp(name + 2 + digits, ".attn.masked_bias"));
}

/* The tensor of that name, with or without prefix. NULL where there is none. */
static struct found find(const gpt_hf *hf, const char *name)
{
	char prefixed[100];
	struct found found = {0};

	(void)snprintf(prefixed, sizeof(prefixed), PREFIX "%s", name);
	for (size_t i = 0; i < hf->n_files && !found.tensor; i++) {
		found.st = &hf->files[i].st;
		found.tensor = gpt_safetensors_find(found.st, prefixed);
		if (!found.tensor)
			found.tensor = gpt_safetensors_find(found.st, name);
	}
	return found;
}

static int by_bare_name(const void *left, const void *right)
{
	return strcmp(*(const char *const *)left, *(const char *const *)right);
}

/* No tensor is there twice: with and without prefix, or in two files. */
static int check_twice(const opening *o)
{
	const gpt_hf *hf = o->hf;
	const char **names;
	size_t n = 0, at = 0;
	int rc = 0;

	for (size_t i = 0; i < hf->n_files; i++)
		n += hf->files[i].st.n;
	names = cairn_alloc(n, sizeof(*names));
	if (!names)
		return no_memory(o);
	for (size_t i = 0; i < hf->n_files; i++)
		for (size_t j = 0; j < hf->files[i].st.n; j++)
			names[at++] = bare(hf->files[i].st.tensors[j].name);
	qsort(names, n, sizeof(*names), by_bare_name);
	for (size_t i = 0; !rc && i + 1 < n; i++)
		if (!strcmp(names[i], names[i + 1]))
			rc = o->host->fail(o->run, CAIRN_EINPUT,
				"'%s' has the tensor '%.100s' twice", o->artifact->source,
				names[i]);
	free(names);
	return rc;
}

static bool same_bytes(struct found a, struct found b)
{
	return a.tensor->dtype == b.tensor->dtype && a.tensor->bytes == b.tensor->bytes &&
	       memcmp(a.st->file + a.tensor->begin, b.st->file + b.tensor->begin,
		       a.tensor->bytes) == 0;
}

/* transformers writes a tied head or leaves it out, and reads config.json's word for it. */
static int settle_head(const opening *o)
{
	struct found head = find(o->hf, "lm_head.weight"), wte = find(o->hf, "wte.weight");
	gpt_config *config = &o->hf->config.config;

	o->hf->is_scalar = find(o->hf, "score.weight").tensor != NULL;
	if (o->hf->is_scalar || (head.tensor && wte.tensor && same_bytes(head, wte))) {
		config->untied = false;
		return 0;
	}
	if (!head.tensor || config->untied)
		return 0;
	o->host->fail(o->run, CAIRN_EINPUT,
		"'lm_head.weight' of '%s' is not 'wte.weight', but config.json says that they are "
		"one",
		o->artifact->source);
	o->host->hint(o->run, "Set \"tie_word_embeddings\": false in config.json if the head is "
			      "the model's own.");
	return CAIRN_EINPUT;
}

static int read_config(const opening *o)
{
	cairn_error err = {0};
	cairn_tensor entry;
	int rc = get(o, "config.json", &entry);

	if (rc)
		return rc;
	if (gpt_hf_config_read(&o->hf->config, entry.data, entry.bytes, o->artifact->source, &err))
		return o->host->fail_with(o->run, &err);
	return 0;
}

int gpt_hf_open(
	gpt_hf **out, const cairn_host *host, cairn_run *run, const cairn_artifact *artifact)
{
	opening o = {.host = host, .run = run, .artifact = artifact};
	int rc;

	o.hf = cairn_alloc(1, sizeof(*o.hf));
	if (o.hf)
		o.hf->source = cairn_strdup(artifact->source);
	if (!o.hf || !o.hf->source) {
		gpt_hf_close(o.hf);
		return no_memory(&o);
	}
	rc = read_config(&o);
	if (!rc && gpt_has_entry(host, run, artifact, ONE_FILE))
		rc = add_file(&o, ONE_FILE);
	else if (!rc && gpt_has_entry(host, run, artifact, INDEX_FILE))
		rc = open_parts(&o);
	else if (!rc)
		rc = no_weights(&o);
	if (!rc)
		rc = check_twice(&o);
	if (!rc)
		rc = settle_head(&o);
	if (rc)
		gpt_hf_close(o.hf);
	else
		*out = o.hf;
	return rc;
}

void gpt_hf_close(gpt_hf *hf)
{
	if (!hf)
		return;
	for (size_t i = 0; i < hf->n_files; i++) {
		gpt_safetensors_close(&hf->files[i].st);
		free(hf->files[i].name);
	}
	free(hf->files);
	free(hf->source);
	free(hf);
}

const gpt_hf_config *gpt_hf_get_config(const gpt_hf *hf)
{
	return &hf->config;
}

bool gpt_hf_is_scalar(const gpt_hf *hf)
{
	return hf->is_scalar;
}

/* ---- filling a model
 * ------------------------------------------------------------------------------ */

static void format_shape(char *out, size_t cap, uint32_t n_dims, const uint64_t *dims)
{
	size_t len = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < n_dims && len < cap; i++)
		len += (size_t)snprintf(out + len, cap - len, "%s%" PRIu64, i ? "," : "", dims[i]);
}

static int check_shape(const gpt_hf *hf, const cairn_host *host, cairn_run *run,
	const gpt_st_tensor *found, const gpt_tensor *wanted)
{
	char has[200], needs[64];
	/* Of the classifier, one row of a matrix. */
	bool is_row =
		!strcmp(wanted->name, "score.weight") && found->n_dims == 2 && found->dims[0] == 1;
	const uint64_t *dims = found->dims + is_row;

	if (!gpt_st_is_real(found->dtype))
		return host->fail(run, CAIRN_EINPUT,
			"tensor '%s' of '%s' has the dtype %s; weights are F32, F16, BF16 or F64",
			found->name, hf->source, gpt_st_dtype_name(found->dtype));
	if (found->n_dims - is_row == wanted->n_dims &&
		memcmp(dims, wanted->dims, wanted->n_dims * sizeof(*dims)) == 0)
		return 0;
	format_shape(has, sizeof(has), found->n_dims, found->dims);
	format_shape(needs, sizeof(needs), wanted->n_dims, wanted->dims);
	return host->fail(run, CAIRN_EINPUT,
		"tensor '%s' of '%s' has the shape [%s], the model needs [%s]", found->name,
		hf->source, has, needs);
}

/* `buffer` has room for CHUNK. */
static int fill_tensor(const gpt_hf *hf, const cairn_host *host, cairn_run *run, gpt_model *model,
	const gpt_tensor *tensor, float *buffer)
{
	struct found found = find(hf, tensor->name);
	int rc;

	if (!found.tensor && !strcmp(tensor->name, "score.bias")) {
		/* transformers' classifier has none. */
		buffer[0] = 0;
		model->k->write(model->k, gpt_params_change(model) + tensor->offset, buffer,
			sizeof(*buffer));
		return 0;
	}
	if (!found.tensor) {
		char needs[64];

		format_shape(needs, sizeof(needs), tensor->n_dims, tensor->dims);
		return host->fail(run, CAIRN_EINPUT, "'%s' has no tensor '%s', of the shape [%s]",
			hf->source, tensor->name, needs);
	}
	rc = check_shape(hf, host, run, found.tensor, tensor);
	for (uint64_t at = 0; !rc && at < tensor->size; at += CHUNK) {
		uint64_t n = tensor->size - at < CHUNK ? tensor->size - at : CHUNK;

		gpt_st_floats(found.st, found.tensor, at, n, buffer);
		model->k->write(model->k, gpt_params_change(model) + tensor->offset + at, buffer,
			n * sizeof(*buffer));
	}
	return rc;
}

/* Every tensor of the files is one of the model's, or known to be none. */
static int check_extra(
	const gpt_hf *hf, const cairn_host *host, cairn_run *run, const gpt_model *model)
{
	for (size_t i = 0; i < hf->n_files; i++) {
		const gpt_safetensors *st = &hf->files[i].st;

		for (size_t j = 0; j < st->n; j++) {
			const char *name = bare(st->tensors[j].name);
			char has[200];

			/* A head that the model does not use: tied, or replaced by a scalar. */
			if (gpt_model_tensor(model, name) || is_buffer(name) ||
				!strcmp(name, "lm_head.weight"))
				continue;
			format_shape(has, sizeof(has), st->tensors[j].n_dims, st->tensors[j].dims);
			return host->fail(run, CAIRN_EINPUT,
				"'%s' has a tensor '%.100s', of the shape [%s], which the model "
				"does not have",
				hf->source, st->tensors[j].name, has);
		}
	}
	return 0;
}

int gpt_hf_fill(const gpt_hf *hf, const cairn_host *host, cairn_run *run, gpt_model *model)
{
	float *buffer = cairn_alloc(CHUNK, sizeof(*buffer));
	int rc = buffer ? check_extra(hf, host, run, model)
			: host->fail(run, CAIRN_ENOMEM, "no memory to read '%s'", hf->source);

	for (size_t i = 0; !rc && i < model->n_tensors; i++) {
		const gpt_tensor *tensor = &model->tensors[i];

		if (hf->is_scalar || strncmp(tensor->name, "score.", 6) != 0)
			rc = fill_tensor(hf, host, run, model, tensor, buffer);
	}
	free(buffer);
	return rc;
}

/* ---- writing
 * --------------------------------------------------------------------------------------- */

/* What the file calls a tensor; `name` has room for the prefix, too. */
static void describe(const gpt_tensor *tensor, char name[100], gpt_st_tensor *out)
{
	bool is_head =
		!strncmp(tensor->name, "score.", 6) || !strcmp(tensor->name, "lm_head.weight");

	(void)snprintf(name, 100, "%s%s", is_head ? "" : PREFIX, tensor->name);
	*out = (gpt_st_tensor){.name = name, .dtype = GPT_ST_F32};
	if (!strcmp(tensor->name, "score.weight"))
		out->dims[out->n_dims++] = 1;
	for (uint32_t i = 0; i < tensor->n_dims; i++)
		out->dims[out->n_dims++] = tensor->dims[i];
}

/* A head's bias of 0 says nothing, and transformers would wonder about it. */
static bool is_left_out(const gpt_model *model, const gpt_tensor *tensor)
{
	float bias;
	uint32_t bits;

	if (strcmp(tensor->name, "score.bias") != 0)
		return false;
	model->k->read(model->k, &bias, model->params + tensor->offset, sizeof(bias));
	memcpy(&bits, &bias, sizeof(bits));
	return bits == 0;
}

int gpt_hf_weights(char **file, size_t *len, const gpt_model *model, cairn_error *err)
{
	/* PyTorch's, as transformers wants to be told. */
	static const gpt_st_pair metadata[] = {{"format", "pt"}};
	gpt_st_tensor *tensors = cairn_alloc(model->n_tensors, sizeof(*tensors));
	const gpt_tensor **ours = cairn_alloc(model->n_tensors, sizeof(gpt_tensor *));
	char(*names)[100] = cairn_alloc(model->n_tensors, sizeof(*names));
	size_t n = 0;
	int rc;

	if (!tensors || !ours || !names) {
		rc = cairn_error_set(err, CAIRN_ENOMEM, "no memory to write a model");
		goto out;
	}
	for (size_t i = 0; i < model->n_tensors; i++) {
		if (is_left_out(model, &model->tensors[i]))
			continue;
		ours[n] = &model->tensors[i];
		describe(ours[n], names[n], &tensors[n]);
		n++;
	}
	rc = gpt_safetensors_layout(file, len, tensors, n, metadata, CAIRN_COUNT(metadata), err);
	for (size_t i = 0; !rc && i < n; i++)
		model->k->read(model->k, *file + tensors[i].begin, model->params + ours[i]->offset,
			tensors[i].bytes);
out:
	free(tensors);
	free(ours);
	free(names);
	return rc;
}
