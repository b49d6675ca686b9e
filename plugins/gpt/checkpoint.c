/* SPDX-License-Identifier: Apache-2.0 */
/*
 * checkpoint.c - models and optimizer state as named tensors.
 *
 * Tensors are stored one by one, not as the flat buffer: the store shares equal ones between
 * artifacts, and the layout of the buffer stays our own affair.
 */
#include <inttypes.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/checkpoint_internal.h"
#include "gpt/release.h"

#ifdef CAIRN_DOUBLE
#error "artifacts hold float; the double build is for gradient checks only"
#endif

/* ---- tensors of one flat buffer --------------------------------------------------------- */

void gpt__entry_name(char out[GPT_MAX_NAME], const char *prefix, const char *name)
{
	int n = snprintf(out, GPT_MAX_NAME, "%s%s%s", prefix, *prefix ? "/" : "", name);

	CAIRN_ASSERT(n > 0 && n < GPT_MAX_NAME);
}

static void format_shape(char *out, size_t cap, uint32_t n_dims, const uint64_t *dims)
{
	size_t len = 0;

	out[0] = '\0';
	for (uint32_t i = 0; i < n_dims && i < CAIRN_MAX_DIMS && len < cap; i++)
		len += (size_t)snprintf(out + len, cap - len, "%s%" PRIu64, i ? "," : "", dims[i]);
}

static int check_tensor(const cairn_host *host, cairn_run *run, const cairn_artifact *artifact,
	const cairn_tensor *found, const gpt_tensor *wanted, const char *name)
{
	char has[192], needs[64];

	if (found->dtype != CAIRN_F32)
		return host->fail(run, CAIRN_EINPUT, "tensor '%s' of '%s' is not float32", name,
			artifact->source);
	if (found->n_dims == wanted->n_dims &&
		memcmp(found->dims, wanted->dims, wanted->n_dims * sizeof(uint64_t)) == 0 &&
		found->bytes == wanted->size * sizeof(float))
		return 0;
	format_shape(has, sizeof(has), found->n_dims, found->dims);
	format_shape(needs, sizeof(needs), wanted->n_dims, wanted->dims);
	return host->fail(run, CAIRN_EINPUT,
		"tensor '%s' of '%s' has the shape [%s], the model needs [%s]", name,
		artifact->source, has, needs);
}

int gpt__get_tensor(const cairn_host *host, cairn_run *run, const cairn_artifact *artifact,
	const char *prefix, const gpt_tensor *tensor, const cairn_kernels *k, cairn_real *flat)
{
	char name[GPT_MAX_NAME];
	cairn_tensor found;
	int rc;

	gpt__entry_name(name, prefix, tensor->name);
	rc = host->entry_get(run, artifact, name, &found);
	if (rc == 1)
		return host->fail(
			run, CAIRN_EINPUT, "'%s' has no tensor '%s'", artifact->source, name);
	if (!rc)
		rc = check_tensor(host, run, artifact, &found, tensor, name);
	if (!rc)
		k->write(k, flat + tensor->offset, found.data, found.bytes);
	gpt_release(host, run, artifact, name);
	return rc;
}

static int get_tensors(const cairn_host *host, cairn_run *run, const cairn_artifact *artifact,
	const char *prefix, const gpt_model *model, cairn_real *flat)
{
	for (size_t i = 0; i < model->n_tensors; i++) {
		int rc = gpt__get_tensor(
			host, run, artifact, prefix, &model->tensors[i], model->k, flat);

		if (rc)
			return rc;
	}
	return 0;
}

/* Room for the largest tensor on its way from the backend's memory; *out stays NULL where that is
 * the host's own, and no way to go. */
static int make_room(
	cairn_real **out, const cairn_host *host, cairn_run *run, const gpt_model *model)
{
	size_t largest = 0;

	*out = NULL;
	if (model->k->in_host_memory)
		return 0;
	for (size_t i = 0; i < model->n_tensors; i++)
		largest = model->tensors[i].size > largest ? model->tensors[i].size : largest;
	*out = cairn_alloc(largest, sizeof(**out));
	return *out ? 0 : host->fail(run, CAIRN_ENOMEM, "no memory to write a model's tensors");
}

cairn_tensor gpt__entry_of(const gpt_tensor *tensor, const char *prefix, char name[GPT_MAX_NAME])
{
	gpt__entry_name(name, prefix, tensor->name);
	return (cairn_tensor){
		.name = name,
		.dtype = CAIRN_F32,
		.n_dims = tensor->n_dims,
		.dims = {tensor->dims[0], tensor->dims[1]},
		.bytes = tensor->size * sizeof(cairn_real),
	};
}

int gpt__put_tensors(const cairn_host *host, cairn_run *run, cairn_writer *writer,
	const char *prefix, const gpt_model *model, const cairn_real *flat)
{
	cairn_real *room;
	int rc = make_room(&room, host, run, model);

	for (size_t i = 0; !rc && i < model->n_tensors; i++) {
		char name[GPT_MAX_NAME];
		cairn_tensor entry = gpt__entry_of(&model->tensors[i], prefix, name);
		const cairn_real *from = flat + model->tensors[i].offset;

		entry.data = room ? room : from;
		if (room)
			model->k->read(model->k, room, from, entry.bytes);
		rc = host->put(writer, &entry);
	}
	free(room);
	return rc;
}

/* ---- plain bytes -------------------------------------------------------------------------- */

int gpt_put_bytes(const cairn_host *host, cairn_run *run, cairn_writer *writer, const char *name,
	const void *data, size_t bytes)
{
	(void)run;
	return host->put(writer, &(cairn_tensor){
					 .name = name,
					 .dtype = CAIRN_U8,
					 .n_dims = 1,
					 .dims = {bytes},
					 .data = data,
					 .bytes = bytes,
				 });
}

int gpt_get_bytes(const cairn_host *host, cairn_run *run, const cairn_artifact *checkpoint,
	const char *name, void *data, size_t bytes)
{
	cairn_tensor found;
	int rc = host->entry_get(run, checkpoint, name, &found);

	if (rc < 0)
		return rc;
	if (rc == 1)
		return host->fail(run, CAIRN_EINTEGRITY, "the checkpoint has no entry '%s'", name);
	if (found.bytes != bytes)
		return host->fail(run, CAIRN_EINTEGRITY,
			"entry '%s' of the checkpoint has %" PRIu64 " bytes, not %zu", name,
			found.bytes, bytes);
	if (bytes)
		memcpy(data, found.data, bytes);
	gpt_release(host, run, checkpoint, name);
	return 0;
}

/* ---- state inside a checkpoint -------------------------------------------------------------- */

/* "PREFIX/adam.m" and the like, as the prefix of a tensor or the name of plain bytes. */
static const char *under(char out[GPT_MAX_NAME], const char *prefix, const char *name)
{
	gpt__entry_name(out, prefix, name);
	return out;
}

int gpt_get_state(const cairn_host *host, cairn_run *run, const cairn_artifact *checkpoint,
	const char *prefix, gpt_model *model, gpt_adam *adam)
{
	double reward[2];
	char name[GPT_MAX_NAME];
	int rc = get_tensors(host, run, checkpoint, prefix, model, gpt_params_change(model));

	if (!rc)
		rc = gpt_get_bytes(host, run, checkpoint, under(name, prefix, "reward"), reward,
			sizeof(reward));
	if (rc)
		return rc;
	model->reward_gain = reward[0];
	model->reward_bias = reward[1];
	if (!adam)
		return 0;
	rc = get_tensors(host, run, checkpoint, under(name, prefix, "adam.m"), model, adam->m);
	if (!rc)
		rc = get_tensors(
			host, run, checkpoint, under(name, prefix, "adam.v"), model, adam->v);
	if (!rc)
		rc = gpt_get_bytes(host, run, checkpoint, under(name, prefix, "adam.t"), &adam->t,
			sizeof(adam->t));
	return rc;
}

int gpt_resume_training(const cairn_host *host, cairn_run *run, gpt_model *model, gpt_adam *adam,
	void *counters, size_t bytes)
{
	cairn_artifact checkpoint = {0};
	uint64_t step = 0;
	int code = host->resume(run, &checkpoint, &step);

	if (code <= 0)
		return code;
	code = gpt_get_state(host, run, &checkpoint, "model", model, adam);
	return code ? code : gpt_get_bytes(host, run, &checkpoint, "counters", counters, bytes);
}
