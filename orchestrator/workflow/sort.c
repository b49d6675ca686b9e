/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sort.c - instances in topological order, ties in the order of the file.
 *
 * Kahn's algorithm with a heap of the ready ones, so that the order is the smallest there
 * is and does not depend on how edges are kept. Where none is ready and some are left,
 * walking from input to input among them must come back: that is the circle to report. It
 * is then cut open, and the sort goes on to find the next one.
 */
#include <string.h>

#include "workflow/draft.h"
#include "workflow/when.h"

#define MAX_CIRCLES 20u /* that are told */
#define MAX_NAMED   8u  /* stages of a circle that the message names */
#define NONE        UINT32_MAX

struct edge {
	uint32_t user, next; /* the next one of the same producer */
};

/* Instances and edges are numbers of 32 bits: draft.h bounds both far below. */
struct sorter {
	cairn_draft *draft;
	uint32_t n;
	uint32_t *n_needed;   /* inputs of an instance that are not sorted yet */
	uint32_t *first_user; /* edges by producer, as lists */
	struct edge *edges;
	uint32_t n_edges;
	uint32_t *heap, n_heap;
	uint32_t *order, n_order;
	bool *is_sorted;
};

static void push(struct sorter *s, uint32_t instance)
{
	uint32_t i = s->n_heap++;

	for (; i && s->heap[(i - 1) / 2] > instance; i = (i - 1) / 2)
		s->heap[i] = s->heap[(i - 1) / 2];
	s->heap[i] = instance;
}

static uint32_t pop(struct sorter *s)
{
	uint32_t top = s->heap[0], last = s->heap[--s->n_heap], i = 0, child;

	while ((child = 2 * i + 1) < s->n_heap) {
		if (child + 1 < s->n_heap && s->heap[child + 1] < s->heap[child])
			child++;
		if (s->heap[child] >= last)
			break;
		s->heap[i] = s->heap[child];
		i = child;
	}
	s->heap[i] = last;
	return top;
}

static void add_edge(struct sorter *s, uint32_t producer, uint32_t user)
{
	s->edges[s->n_edges] = (struct edge){user, s->first_user[producer]};
	s->first_user[producer] = s->n_edges++;
	s->n_needed[user]++;
}

static void collect_edges(struct sorter *s)
{
	cairn_arena *scratch = s->draft->scratch;
	size_t n_edges = 0;

	for (size_t i = 0; i < s->n; i++) {
		const cairn_instance *instance = &s->draft->instances[i];

		n_edges += instance->n_bindings + (instance->when ? instance->when->n_refs : 0);
	}
	s->n_needed = cairn_arena_alloc(scratch, s->n + 1, sizeof(uint32_t));
	s->first_user = cairn_arena_alloc(scratch, s->n + 1, sizeof(uint32_t));
	s->edges = cairn_arena_alloc(scratch, n_edges + 1, sizeof(*s->edges));
	s->heap = cairn_arena_alloc(scratch, s->n + 1, sizeof(uint32_t));
	s->order = cairn_arena_alloc(scratch, s->n + 1, sizeof(uint32_t));
	s->is_sorted = cairn_arena_alloc(scratch, s->n + 1, sizeof(bool));
	for (uint32_t i = 0; i < s->n; i++)
		s->first_user[i] = NONE;
	for (uint32_t i = 0; i < s->n; i++) {
		const cairn_instance *instance = &s->draft->instances[i];

		for (size_t j = 0; j < instance->n_bindings; j++) {
			if (instance->bindings[j].type == CAIRN_FROM_INSTANCE)
				add_edge(s, instance->bindings[j].instance, i);
		}
		for (size_t j = 0; instance->when && j < instance->when->n_refs; j++)
			add_edge(s, (uint32_t)instance->when->refs[j].instance, i);
	}
}

static void sort_ready(struct sorter *s)
{
	while (s->n_heap) {
		uint32_t done = pop(s);

		s->is_sorted[done] = true;
		s->order[s->n_order++] = done;
		for (uint32_t e = s->first_user[done]; e != NONE; e = s->edges[e].next) {
			uint32_t user = s->edges[e].user;

			if (s->n_needed[user] && --s->n_needed[user] == 0)
				push(s, user);
		}
	}
}

/* What an instance needs first of those that are not sorted, an input or a metric: there is one, or
 * it would be ready. *place says where it is written. */
static uint32_t open_need(const struct sorter *s, size_t instance, cairn_place *place)
{
	const cairn_instance *of = &s->draft->instances[instance];

	*place = of->place;
	for (size_t i = 0; i < of->n_bindings; i++) {
		const cairn_binding *binding = &of->bindings[i];

		if (binding->type != CAIRN_FROM_INSTANCE || s->is_sorted[binding->instance])
			continue;
		*place = binding->place;
		return binding->instance;
	}
	for (size_t i = 0; of->when && i < of->when->n_refs; i++) {
		if (!s->is_sorted[of->when->refs[i].instance])
			return (uint32_t)of->when->refs[i].instance;
	}
	CAIRN_UNREACHABLE();
}

static cairn_draft_stage *stage_of(struct sorter *s, size_t instance)
{
	cairn_draft *draft = s->draft;

	return &draft->stages[cairn_map_get(
		&draft->stage_by_name, draft->instances[instance].stage)];
}

static void report_circle(struct sorter *s, size_t start)
{
	cairn_draft *draft = s->draft;
	cairn_text names = {0};
	size_t at = start, n = 0;
	bool is_told = false;
	cairn_place place;
	cairn_error *err;

	do {
		is_told |= stage_of(s, at)->is_in_circle;
		stage_of(s, at)->is_in_circle = true;
		if (n++ < MAX_NAMED)
			cairn_text_printf(&names, "%s -> ", draft->instances[at].name);
		else if (n == MAX_NAMED + 1)
			cairn_text_add(&names, "... -> ");
		at = open_need(s, at, &place);
	} while (at != start);
	cairn_text_add(&names, draft->instances[start].name);
	if (!is_told) {
		(void)open_need(s, start, &place);
		err = cairn_draft__mistake(draft, place, stage_of(s, start)->section->title,
			"stages need each other in a circle");
		cairn_error_detail(err, "%s", cairn_text_get(&names));
		cairn_error_hint(err, "Let one of them take its input from elsewhere.");
	}
	cairn_text_free(&names);
}

/* Finds a circle among what is left, reports it, and takes one of its stages as sorted. */
static void open_circle(struct sorter *s, uint32_t left)
{
	bool *seen = cairn_arena_alloc(s->draft->scratch, s->n + 1, sizeof(bool));
	uint32_t at = left, start;
	cairn_place place;

	for (; !seen[at]; at = open_need(s, at, &place))
		seen[at] = true;
	start = at;
	for (uint32_t i = open_need(s, at, &place); i != at; i = open_need(s, i, &place))
		start = i < start ? i : start; /* told from the first of the file */
	report_circle(s, start);
	s->n_needed[start] = 0;
	push(s, start);
	sort_ready(s);
}

/* Moves the instances to their places, along the circles that a permutation consists of: a second
 * array of them would be the largest thing there is. */
static void put_in_order(cairn_instance *instances, uint32_t *number, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		while (number[i] != i) {
			uint32_t to = number[i];
			cairn_instance there = instances[to];

			instances[to] = instances[i];
			instances[i] = there;
			number[i] = number[to];
			number[to] = to;
		}
	}
}

static void renumber(struct sorter *s)
{
	cairn_draft *draft = s->draft;
	uint32_t *number = s->heap; /* not needed any more */

	for (uint32_t i = 0; i < s->n; i++)
		number[s->order[i]] = i;
	for (uint32_t i = 0; i < s->n; i++) {
		const cairn_instance *instance = &draft->instances[i];
		/* Bindings and conditions are ours until load() returns. */
		cairn_binding *bindings = (cairn_binding *)instance->bindings;

		for (size_t j = 0; j < instance->n_bindings; j++) {
			if (bindings[j].type == CAIRN_FROM_INSTANCE)
				bindings[j].instance = number[bindings[j].instance];
		}
		for (size_t j = 0; instance->when && j < instance->when->n_refs; j++)
			instance->when->refs[j].instance = number[instance->when->refs[j].instance];
	}
	put_in_order(draft->instances, number, s->n);
	draft->workflow->instances = draft->instances;
	draft->workflow->n_instances = s->n;
}

void cairn_sort__all(cairn_draft *draft)
{
	struct sorter s = {.draft = draft, .n = (uint32_t)draft->n_instances};
	size_t circles = 0;

	collect_edges(&s);
	for (uint32_t i = 0; i < s.n; i++) {
		if (!s.n_needed[i])
			push(&s, i);
	}
	sort_ready(&s);
	for (uint32_t i = 0; i < s.n && circles < MAX_CIRCLES; i++) {
		if (!s.is_sorted[i]) {
			open_circle(&s, i);
			circles++;
		}
	}
	if (!draft->n_mistakes)
		renumber(&s);
}
