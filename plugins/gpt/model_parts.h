/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_parts.h - parts of a pass that are the same calls each time.
 *
 * A pass is some hundreds of calls, the same for every batch of a shape: what differs are the
 * contents of memory. Where a backend can capture calls (CUDA graphs), a part is captured once it
 * has been met often enough and replayed from then on: one launch instead of hundreds. What a key
 * does not say must not change between two runs of a part: addresses are watched here.
 */
#ifndef CAIRN_GPT_MODEL_PARTS_H
#define CAIRN_GPT_MODEL_PARTS_H

#include "gpt/model.h"

enum gpt__part {
	GPT__FORWARD,
	GPT__LM_BACKWARD,
	GPT__VALUES_BACKWARD,
	GPT__DECODE,
};

/* All that the calls of a part depend on, but for addresses of the model's memory. */
typedef struct gpt__part_key {
	enum gpt__part part;
	int64_t B, T;
	int32_t kept; /* gpt__keep */
	bool padded, packed, entropy;
	double dropout, temperature;
	uint64_t rng_key;
	/* DECODE */
	int64_t T_max, slots;
	int32_t top_k;
	double top_p;
} gpt__part_key;

typedef void (*gpt__part_fn)(gpt_model *model, const void *arg);

/* Calls run(model, arg), or replays what it called under that key. run() calls the backend for what
 * computes only: it reads nothing and gets no memory. n_keys: of cairn_kernels.replay. */
void gpt__part_run(gpt_model *model, const gpt__part_key *key, int64_t n_keys, gpt__part_fn run,
	const void *arg);
/* To be called where memory that calls refer to has moved. */
void gpt__parts_forget(gpt_model *model);
void gpt__parts_free(gpt_model *model);

#endif
