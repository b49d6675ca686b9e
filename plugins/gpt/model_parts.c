/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_parts.c - see model_parts.h.
 *
 * Capturing costs as much as some calls of the part itself, and shapes may be many (sequences of
 * all lengths): so a part is met PATIENCE times before, and SLOTS of them are remembered, the one
 * used longest ago making room.
 */
#include "gpt/model_parts.h"

#include <string.h>

#include "base/alloc.h"
#include "gpt/model_internal.h"

enum {
	PATIENCE = 3,
	SLOTS = 64,
};

typedef struct slot {
	gpt__part_key key;
	cairn_graph *graph; // NULL: none yet
	uint32_t met;       // times that it was run without graph
	bool is_hopeless;   // it could not be captured
	uint64_t used;      // when, in runs; 0: the slot is free
} slot;

struct gpt_parts {
	slot slots[SLOTS];
	uint64_t runs;
};

/* Member by member: between them there may be anything. */
static bool is_same(const gpt__part_key *a, const gpt__part_key *b)
{
	return a->part == b->part && a->B == b->B && a->T == b->T && a->kept == b->kept &&
	       a->padded == b->padded && a->packed == b->packed && a->entropy == b->entropy &&
	       a->dropout == b->dropout && a->temperature == b->temperature &&
	       a->rng_key == b->rng_key && a->T_max == b->T_max && a->slots == b->slots &&
	       a->top_k == b->top_k && a->top_p == b->top_p;
}

static void empty(const gpt_model *model, slot *s)
{
	if (s->graph)
		model->k->graph_free(model->k, s->graph);
	*s = (slot){0};
}

static slot *slot_of(gpt_model *model, const gpt__part_key *key)
{
	slot *oldest = &model->parts->slots[0];

	for (size_t i = 0; i < SLOTS; i++) {
		slot *s = &model->parts->slots[i];

		if (s->used > 0 && is_same(&s->key, key))
			return s;
		if (s->used < oldest->used)
			oldest = s;
	}
	empty(model, oldest);
	oldest->key = *key;
	return oldest;
}

static bool can_capture(gpt_model *model)
{
	if (!model->k->capture_begin)
		return false;
	if (!model->parts)
		model->parts = cairn_alloc(1, sizeof(*model->parts));
	return model->parts != NULL;
}

void gpt__part_run(gpt_model *model, const gpt__part_key *key, int64_t n_keys, gpt__part_fn run,
	const void *arg)
{
	const cairn_kernels *k = model->k;
	slot *s;

	if (!can_capture(model)) {
		run(model, arg);
		return;
	}
	s = slot_of(model, key);
	s->used = ++model->parts->runs;
	if (!s->graph && s->met++ >= PATIENCE && !s->is_hopeless) {
		k->capture_begin(k);
		run(model, arg);
		s->graph = k->capture_end(k);
		s->is_hopeless = s->graph == NULL;
	}
	if (s->graph)
		k->replay(k, s->graph, n_keys);
	else
		run(model, arg);
}

void gpt__parts_forget(gpt_model *model)
{
	for (size_t i = 0; model->parts && i < SLOTS; i++)
		empty(model, &model->parts->slots[i]);
}

void gpt__parts_free(gpt_model *model)
{
	gpt__parts_forget(model);
	free(model->parts);
	model->parts = NULL;
}
