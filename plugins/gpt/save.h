/* SPDX-License-Identifier: Apache-2.0 */
/*
 * save.h - a checkpoint's entries on their way to the host.
 *
 * Where the backend can copy beside computing (cairn/kernels.h: fetch), the state of a step is
 * fetched into pinned memory while the next forward and backward passes run, and is given to the
 * host before anything changes it. Elsewhere, and where there is no pinned memory, it is given at
 * once, and training waits. The bytes are the same.
 *
 * Whoever changes what is saved calls gpt_save_finish() before: gpt_update() and gpt_finish_step()
 * do. Functions return 0 or the code of a failure already reported to the host.
 */
#ifndef CAIRN_GPT_SAVE_H
#define CAIRN_GPT_SAVE_H

#include "cairn/stage.h"
#include "gpt/model.h"
#include "gpt/optimizer.h"

typedef struct gpt_save_block {
	void *pinned;
	size_t bytes;
} gpt_save_block;

typedef struct gpt_save {
	const cairn_host *host;
	cairn_run *run;
	cairn_writer *writer; /* takes entries at once; NULL: they are kept until the fetches end */
	const cairn_kernels *k;
	uint64_t step;         /* of the checkpoint that waits */
	bool waits;            /* gpt_save_finish() has something to do */
	bool no_room;          /* there was no pinned memory: nothing is fetched any more */
	cairn_tensor *entries; /* names, and bytes that are in no block, are ours */
	size_t n, cap;
	gpt_save_block *blocks; /* stay from one checkpoint to the next */
	size_t n_blocks, used;  /* used: by the one that waits */
} gpt_save;

/* Puts the entries of a checkpoint, by the functions below. May be called twice for one. */
typedef int (*gpt_save_fn)(void *self, gpt_save *save);

void gpt_save_init(gpt_save *save, const cairn_host *host, cairn_run *run);
/* A checkpoint that still waits is finished, as if training went on. */
void gpt_save_free(gpt_save *save);
/* Writes a checkpoint; `now`: before it returns. */
CAIRN_MUST int gpt_save_step(gpt_save *save, uint64_t step, bool now, gpt_save_fn put, void *self);
/* Has the device failed, so that nothing it computed can be believed? Waits for it. */
CAIRN_MUST int gpt_save_check(const gpt_save *save);
/* Gives the host the checkpoint that waits, if there is one. After it everything may change. */
CAIRN_MUST int gpt_save_finish(gpt_save *save);

/* Plain bytes of a struct or array, as they are now. */
CAIRN_MUST int gpt_save_bytes(gpt_save *save, const char *name, const void *data, size_t bytes);
/* Tensors under "PREFIX/". adam may be NULL. */
CAIRN_MUST int gpt_save_state(
	gpt_save *save, const char *prefix, const gpt_model *model, const gpt_adam *adam);
/* The whole state of a stage that trains one network: weights, moments, and the counters that
 * tell where it is. */
CAIRN_MUST int gpt_save_training(gpt_save *save, const gpt_model *model, const gpt_adam *adam,
	const void *counters, size_t bytes);

#endif
