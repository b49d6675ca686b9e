/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relations.c - users of a stage as one array in rows (first_user says where a row begins), and
 * a table of ready stages by key with open addressing. A key is a digest: its first bytes are
 * as good a hash as any.
 */
#include "run/plan/relations.h"

#include <string.h>

#include "workflow/when.h"

struct cairn_relations {
	uint32_t *first_user; /* n_stages + 1: the row of stage i is users[first_user[i]..] */
	uint32_t *users;
	uint32_t *slots; /* the last stage of a key that became ready, + 1; 0: free */
	uint32_t mask;
	uint32_t *next_twin;
};

/* One pair; `last` knows those of this user. */
static void add_pair(
	struct cairn_relations *r, uint32_t *last, int pass, size_t from, uint32_t user)
{
	if (last[from] == user + 1)
		return;
	last[from] = user + 1;
	if (pass == 0)
		r->first_user[from + 1]++;
	else
		r->users[r->first_user[from]++] = user;
}

/* Calls for each pair (stage, user), a user of several outputs, or of a metric too, once: pass 0
 * counts, 1 fills. */
static void each_pair(cairn_plan *plan, struct cairn_relations *r, uint32_t *last, int pass)
{
	for (uint32_t i = 0; i < plan->n_stages; i++) {
		const cairn_instance *instance = plan->stages[i].instance;

		for (size_t b = 0; b < instance->n_bindings; b++) {
			if (instance->bindings[b].type == CAIRN_FROM_INSTANCE)
				add_pair(r, last, pass, instance->bindings[b].instance, i);
		}
		for (size_t w = 0; instance->when && w < instance->when->n_refs; w++)
			add_pair(r, last, pass, instance->when->refs[w].instance, i);
	}
}

static void list_users(cairn_plan *plan, struct cairn_relations *r)
{
	size_t n = plan->n_stages;
	uint32_t *last = cairn_arena_alloc(plan->arena, n + 1, sizeof(*last));

	r->first_user = cairn_arena_alloc(plan->arena, n + 2, sizeof(*r->first_user));
	each_pair(plan, r, last, 0);
	for (size_t i = 0; i < n; i++)
		r->first_user[i + 1] += r->first_user[i];
	r->users = cairn_arena_alloc(plan->arena, r->first_user[n] + 1, sizeof(*r->users));
	memset(last, 0, n * sizeof(*last));
	each_pair(plan, r, last, 1);
	/* Filling moved each row's beginning to its end, which is the beginning of the next. */
	memmove(r->first_user + 1, r->first_user, n * sizeof(*r->first_user));
	r->first_user[0] = 0;
}

struct cairn_relations *cairn_relations_of(cairn_plan *plan)
{
	struct cairn_relations *r = plan->relations;
	uint32_t n_slots = 16;

	if (r)
		return r;
	r = plan->relations = cairn_arena_alloc(plan->arena, 1, sizeof(*r));
	list_users(plan, r);
	while (n_slots < plan->n_stages * 2)
		n_slots *= 2;
	r->mask = n_slots - 1;
	r->slots = cairn_arena_alloc(plan->arena, n_slots, sizeof(*r->slots));
	r->next_twin = cairn_arena_alloc(plan->arena, plan->n_stages + 1, sizeof(*r->next_twin));
	for (uint32_t i = 0; i < plan->n_stages; i++) {
		if (plan->stages[i].state == CAIRN_STATE_READY)
			cairn_relations_add_ready(plan, i);
	}
	return r;
}

/* The slot of a key, or the free one where it belongs. */
static uint32_t *slot_of(const cairn_plan *plan, const cairn_key *key)
{
	const struct cairn_relations *r = plan->relations;
	uint32_t at;

	memcpy(&at, key->bytes, sizeof(at));
	for (at &= r->mask;; at = (at + 1) & r->mask) {
		uint32_t *slot = &r->slots[at];

		if (!*slot || memcmp(&plan->stages[*slot - 1].key, key, sizeof(*key)) == 0)
			return slot;
	}
}

void cairn_relations_add_ready(cairn_plan *plan, uint32_t i)
{
	struct cairn_relations *r = plan->relations;
	uint32_t *slot;

	if (!r)
		return;
	slot = slot_of(plan, &plan->stages[i].key);
	r->next_twin[i] = *slot ? *slot - 1 : CAIRN_NO_STAGE;
	*slot = i + 1;
}

uint32_t cairn_relations_first(const cairn_plan *plan, const cairn_key *key)
{
	uint32_t slot = plan->relations ? *slot_of(plan, key) : 0;

	return slot ? slot - 1 : CAIRN_NO_STAGE;
}

uint32_t cairn_relations_next(const cairn_plan *plan, uint32_t i)
{
	return plan->relations->next_twin[i];
}

size_t cairn_plan_users(cairn_plan *plan, size_t i, const uint32_t **out)
{
	const struct cairn_relations *r = cairn_relations_of(plan);

	*out = &r->users[r->first_user[i]];
	return r->first_user[i + 1] - r->first_user[i];
}
