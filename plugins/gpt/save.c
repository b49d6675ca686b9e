/* SPDX-License-Identifier: Apache-2.0 */
/* save.c - see save.h. */
#include "gpt/save.h"

#include <string.h>

#include "base/alloc.h"
#include "gpt/checkpoint_internal.h"

/* ---- what is kept ---------------------------------------------------------------------------- */

static bool is_in_block(const gpt_save *save, const void *data)
{
	for (size_t i = 0; i < save->n_blocks; i++) {
		uintptr_t from = (uintptr_t)save->blocks[i].pinned;

		if ((uintptr_t)data >= from && (uintptr_t)data < from + save->blocks[i].bytes)
			return true;
	}
	return false;
}

static void drop_entries(gpt_save *save)
{
	for (size_t i = 0; i < save->n; i++) {
		free((void *)(uintptr_t)save->entries[i].name);
		if (!is_in_block(save, save->entries[i].data))
			free((void *)(uintptr_t)save->entries[i].data);
	}
	save->n = 0;
	save->used = 0;
	save->waits = false;
}

static void drop_blocks(gpt_save *save)
{
	for (size_t i = 0; i < save->n_blocks; i++)
		save->k->pinned_free(save->k, save->blocks[i].pinned);
	free(save->blocks);
	save->blocks = NULL;
	save->n_blocks = 0;
}

static int no_memory(const gpt_save *save)
{
	return save->host->fail(save->run, CAIRN_ENOMEM, "no memory for a checkpoint's entries");
}

/* data is taken over where it is in no block; not where this fails. */
static int keep(gpt_save *save, const cairn_tensor *entry, void *data)
{
	char *name = cairn_alloc(strlen(entry->name) + 1, 1);

	if (name && save->n == save->cap) {
		size_t cap = 2 * save->cap + 64;
		cairn_tensor *more = cairn_realloc(save->entries, cap, sizeof(*more));

		if (more) {
			save->entries = more;
			save->cap = cap;
		}
	}
	if (!name || save->n == save->cap) {
		free(name);
		return no_memory(save);
	}
	memcpy(name, entry->name, strlen(entry->name) + 1);
	save->entries[save->n] = *entry;
	save->entries[save->n].name = name;
	save->entries[save->n].data = data;
	save->n++;
	return 0;
}

/* The next block of at least so many bytes, or NULL. */
static void *next_block(gpt_save *save, size_t bytes)
{
	gpt_save_block *block;

	if (save->used == save->n_blocks) {
		gpt_save_block *more =
			cairn_realloc(save->blocks, save->n_blocks + 1, sizeof(*more));

		if (!more)
			return NULL;
		save->blocks = more;
		more[save->n_blocks++] = (gpt_save_block){0};
	}
	block = &save->blocks[save->used];
	if (block->bytes < bytes) {
		save->k->pinned_free(save->k, block->pinned);
		block->pinned = save->k->pinned_alloc(save->k, bytes);
		block->bytes = block->pinned ? bytes : 0;
	}
	save->used += block->pinned ? 1 : 0;
	return block->pinned;
}

/* ---- entries --------------------------------------------------------------------------------- */

int gpt_save_bytes(gpt_save *save, const char *name, const void *data, size_t bytes)
{
	cairn_tensor entry = {
		.name = name, .dtype = CAIRN_U8, .n_dims = 1, .dims = {bytes}, .bytes = bytes};
	void *copy;
	int code;

	if (save->writer)
		return gpt_put_bytes(save->host, save->run, save->writer, name, data, bytes);
	copy = cairn_alloc(bytes + 1, 1);
	if (!copy)
		return no_memory(save);
	if (bytes)
		memcpy(copy, data, bytes);
	code = keep(save, &entry, copy);
	if (code)
		free(copy);
	return code;
}

/* All of a buffer of the model's layout comes in one copy. */
static int fetch_tensors(
	gpt_save *save, const char *prefix, const gpt_model *model, const cairn_real *flat)
{
	const cairn_kernels *k = save->k;
	cairn_real *pinned = NULL;
	int code = 0;

	if (!save->no_room)
		pinned = next_block(save, model->n_params * sizeof(*pinned));
	if (!pinned) {
		save->no_room = true;
		return 0;
	}
	k->fetch(k, pinned, flat, model->n_params * sizeof(*pinned));
	for (size_t i = 0; i < model->n_tensors && !code; i++) {
		char name[GPT_MAX_NAME];
		cairn_tensor entry = gpt__entry_of(&model->tensors[i], prefix, name);

		code = keep(save, &entry, pinned + model->tensors[i].offset);
	}
	return code;
}

static int save_tensors(
	gpt_save *save, const char *prefix, const gpt_model *model, const cairn_real *flat)
{
	return save->writer
		       ? gpt__put_tensors(save->host, save->run, save->writer, prefix, model, flat)
		       : fetch_tensors(save, prefix, model, flat);
}

int gpt_save_state(gpt_save *save, const char *prefix, const gpt_model *model, const gpt_adam *adam)
{
	double reward[2] = {model->reward_gain, model->reward_bias};
	char name[GPT_MAX_NAME];
	int code = save_tensors(save, prefix, model, model->params);

	gpt__entry_name(name, prefix, "reward");
	if (!code)
		code = gpt_save_bytes(save, name, reward, sizeof(reward));
	if (code || !adam)
		return code;
	gpt__entry_name(name, prefix, "adam.m");
	code = save_tensors(save, name, model, adam->m);
	gpt__entry_name(name, prefix, "adam.v");
	if (!code)
		code = save_tensors(save, name, model, adam->v);
	gpt__entry_name(name, prefix, "adam.t");
	return code ? code : gpt_save_bytes(save, name, &adam->t, sizeof(adam->t));
}

int gpt_save_training(gpt_save *save, const gpt_model *model, const gpt_adam *adam,
	const void *counters, size_t bytes)
{
	int code = gpt_save_state(save, "model", model, adam);

	return code ? code : gpt_save_bytes(save, "counters", counters, bytes);
}

/* ---- checkpoints ------------------------------------------------------------------------------
 */

void gpt_save_init(gpt_save *save, const cairn_host *host, cairn_run *run)
{
	*save = (gpt_save){.host = host, .run = run};
}

void gpt_save_free(gpt_save *save)
{
	int code = gpt_save_finish(save);

	(void)code; /* of a failure the host was told */
	drop_blocks(save);
	free(save->entries);
	*save = (gpt_save){0};
}

int gpt_save_check(const gpt_save *save)
{
	const cairn_kernels *k = save->k;
	cairn_error err = {0};
	int code = k ? 0 : save->host->kernels(save->run, &k);

	if (!code && k->status(k, &err))
		code = save->host->fail_with(save->run, &err);
	return code;
}

static int write_now(gpt_save *save, gpt_save_fn put, void *self)
{
	int code = save->host->checkpoint_begin(save->run, save->step, &save->writer);

	if (!code)
		code = put(self, save);
	if (!code)
		code = gpt_save_check(save);
	if (!code)
		code = save->host->commit(save->writer);
	save->writer = NULL;
	return code;
}

/* 1: there is no room for it. */
static int fetch(gpt_save *save, gpt_save_fn put, void *self)
{
	int code = put(self, save);

	if (!code && !save->no_room) {
		save->waits = true;
		/* Nothing but bytes: nothing to wait for. */
		return save->used > 0 ? 0 : gpt_save_finish(save);
	}
	save->k->fetch_fence(save->k);
	save->k->fetch_wait(save->k);
	drop_entries(save);
	if (code)
		return code;
	drop_blocks(save); /* they are of no use to us, and others may want them */
	return 1;
}

int gpt_save_step(gpt_save *save, uint64_t step, bool now, gpt_save_fn put, void *self)
{
	int code = gpt_save_finish(save);

	if (!code)
		code = save->host->kernels(save->run, &save->k);
	if (code)
		return code;
	save->step = step;
	code = now || !save->k->fetch || save->no_room ? 1 : fetch(save, put, self);
	return code == 1 ? write_now(save, put, self) : code;
}

int gpt_save_finish(gpt_save *save)
{
	cairn_writer *writer = NULL;
	int code;

	if (!save->waits)
		return 0;
	save->k->fetch_fence(save->k);
	save->k->fetch_wait(save->k);
	code = gpt_save_check(save);
	if (!code)
		code = save->host->checkpoint_begin(save->run, save->step, &writer);
	for (size_t i = 0; i < save->n && !code; i++)
		code = save->host->put(writer, &save->entries[i]);
	if (!code)
		code = save->host->commit(writer);
	drop_entries(save);
	return code;
}
