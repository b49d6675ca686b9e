/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph_lanes.c - the graph for a terminal: one line a stage, and what it reads as lanes.
 *
 *	o text
 *	+-o pretrain
 *	| +-o sft@brief
 *	| `-o sft@courteous
 *
 * A stage's lane goes down from it to the last stage that reads it. What a stage reads through
 * another one anyway is not drawn (the edge tokenizer -> ppo, where ppo reads sft, which reads the
 * tokenizer): with such edges nobody could follow the rest. A stage takes over the leftmost lane
 * that ends in it, else the first that is free.
 */
#include <stdint.h>
#include <string.h>

#include "cli/graph.h"

#define MAX_LANES 40 /* more do not fit beside a name */

enum mark {
	MARK_EMPTY,
	MARK_ACROSS,
	MARK_DOWN,
	MARK_CROSS,
	MARK_RIGHT, /* goes on, and turns right */
	MARK_LEFT,  /* goes on, and turns left */
	MARK_LAST,  /* ends, turning right */
	MARK_LAST_LEFT,
	MARK_LAST_ACROSS, /* ends in a line that passes */
	MARK_NODE,
};

static const char *const unicode[] = {" ", "─", "│", "┼", "├", "┤", "╰", "╯", "┴", "●"};
static const char *const ascii[] = {" ", "-", "|", "+", "+", "+", "`", "'", "+", "o"};

typedef struct lanes {
	cli *c;
	const cli_drawing *graph;
	const char *const *marks;
	size_t *first;          /* edges of node i: first[i] .. first[i + 1] of `from` */
	size_t *from;           /* those that are drawn */
	size_t *last_use;       /* the last node that reads it; 0: none does */
	size_t lane[MAX_LANES]; /* whose it is; SIZE_MAX: free */
	size_t n_lanes;
} lanes;

/* ---- which edges are drawn ---------------------------------------------------------------- */

/* Can `from` be reached from a parent of `to` other than by the edge itself? Nodes lie in
 * topological order, so what is before `from` needs no look. seen[] marks by stamp. */
static bool is_reached(
	const lanes *l, size_t node, size_t from, size_t *seen, size_t stamp, size_t depth)
{
	if (node == from)
		return true;
	if (node < from || seen[node] == stamp || depth > 4096)
		return false;
	seen[node] = stamp;
	for (size_t k = l->first[node]; k < l->first[node + 1]; k++) {
		if (is_reached(l, l->from[k], from, seen, stamp, depth + 1))
			return true;
	}
	return false;
}

static bool is_redundant(
	const lanes *l, const size_t *parents, size_t n, size_t which, size_t *seen, size_t *stamp)
{
	++*stamp;
	for (size_t i = 0; i < n; i++) {
		if (i != which && is_reached(l, parents[i], parents[which], seen, *stamp, 0))
			return true;
	}
	return false;
}

static void choose_edges(lanes *l)
{
	const cli_drawing *graph = l->graph;
	cairn_arena *arena = l->c->arena;
	size_t *seen = cairn_arena_alloc(arena, graph->n_nodes + 1, sizeof(*seen));
	size_t *parents = cairn_arena_alloc(arena, graph->n_edges + 1, sizeof(*parents));
	size_t stamp = 0, at = 0, n_from = 0;

	l->first = cairn_arena_alloc(arena, graph->n_nodes + 2, sizeof(*l->first));
	l->from = cairn_arena_alloc(arena, graph->n_edges + 1, sizeof(*l->from));
	l->last_use = cairn_arena_alloc(arena, graph->n_nodes + 1, sizeof(*l->last_use));
	for (size_t i = 0; i < graph->n_nodes; i++) {
		size_t n = 0;

		for (; at < graph->n_edges && graph->edges[at].to == i; at++) {
			const cli_graph_edge *edge = &graph->edges[at];
			if (!edge->is_source && edge->from < i &&
				(n == 0 || parents[n - 1] != edge->from))
				parents[n++] = edge->from;
		}
		l->first[i] = l->first[i + 1] = n_from;
		for (size_t k = 0; k < n; k++) {
			if (is_redundant(l, parents, n, k, seen, &stamp))
				continue;
			l->from[n_from++] = parents[k];
			l->last_use[parents[k]] = i;
		}
		l->first[i + 1] = n_from;
	}
}

/* ---- one line ----------------------------------------------------------------------------- */

static bool is_parent(const lanes *l, size_t node, size_t other)
{
	for (size_t k = l->first[node]; k < l->first[node + 1]; k++) {
		if (l->from[k] == other)
			return true;
	}
	return false;
}

/* SIZE_MAX: there is no room for one more. */
static size_t choose_lane(lanes *l, size_t node)
{
	for (size_t i = 0; i < l->n_lanes; i++) {
		if (l->lane[i] != SIZE_MAX && is_parent(l, node, l->lane[i]) &&
			l->last_use[l->lane[i]] == node)
			return i;
	}
	for (size_t i = 0; i < l->n_lanes; i++) {
		if (l->lane[i] == SIZE_MAX)
			return i;
	}
	if (l->n_lanes == MAX_LANES)
		return SIZE_MAX;
	l->lane[l->n_lanes] = SIZE_MAX;
	return l->n_lanes++;
}

/* The stretch that the horizontal line of this node covers. */
static void find_span(const lanes *l, size_t node, size_t own, size_t *left, size_t *right)
{
	*left = *right = own;
	for (size_t i = 0; i < l->n_lanes; i++) {
		if (l->lane[i] == SIZE_MAX || !is_parent(l, node, l->lane[i]))
			continue;
		*left = i < *left ? i : *left;
		*right = i > *right ? i : *right;
	}
}

static enum mark mark_of(
	const lanes *l, size_t node, size_t own, size_t i, size_t left, size_t right)
{
	bool is_crossed = left < i && i < right;
	size_t who = l->lane[i];

	if (i == own)
		return MARK_NODE;
	if (who == SIZE_MAX)
		return is_crossed ? MARK_ACROSS : MARK_EMPTY;
	if (!is_parent(l, node, who))
		return is_crossed ? MARK_CROSS : MARK_DOWN;
	if (l->last_use[who] == node)
		return is_crossed ? MARK_LAST_ACROSS : i < own ? MARK_LAST : MARK_LAST_LEFT;
	return is_crossed ? MARK_CROSS : i < own ? MARK_RIGHT : MARK_LEFT;
}

static void print_lanes(lanes *l, size_t node)
{
	size_t own = choose_lane(l, node), left, right;

	if (own == SIZE_MAX) {
		printf("%s ", l->marks[MARK_NODE]);
		return;
	}
	find_span(l, node, own, &left, &right);
	for (size_t i = 0; i < l->n_lanes; i++) {
		enum mark mark = mark_of(l, node, own, i, left, right);
		enum cli_style style = cli_state_style(l->graph->nodes[node].state);

		if (mark == MARK_NODE)
			printf("%s%s%s", cli_style(l->c->color_out, style), l->marks[mark],
				cli_style(l->c->color_out, CLI_PLAIN));
		else
			printf("%s", l->marks[mark]);
		printf("%s", left <= i && i < right ? l->marks[MARK_ACROSS] : " ");
	}
	for (size_t i = 0; i < l->n_lanes; i++) {
		if (l->lane[i] != SIZE_MAX && l->last_use[l->lane[i]] == node)
			l->lane[i] = SIZE_MAX;
	}
	l->lane[own] = l->last_use[node] > node ? node : SIZE_MAX;
	while (l->n_lanes && l->lane[l->n_lanes - 1] == SIZE_MAX)
		l->n_lanes--;
}

/* ---- all ---------------------------------------------------------------------------------- */

/* What the environment says of characters: the first that is set decides, as in setlocale(). */
static bool has_utf8(void)
{
	static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};

	for (size_t i = 0; i < CAIRN_COUNT(names); i++) {
		const char *value = getenv(names[i]);
		if (value && value[0])
			return strstr(value, "UTF-8") || strstr(value, "utf8") ||
			       strstr(value, "UTF8") || strstr(value, "utf-8");
	}
	return false;
}

void cli_graph_print_lanes(cli *c, const cli_drawing *graph)
{
	lanes l = {.c = c, .graph = graph, .marks = has_utf8() ? unicode : ascii};

	choose_edges(&l);
	for (size_t i = 0; i < graph->n_nodes; i++) {
		const cli_graph_node *node = &graph->nodes[i];
		enum cli_style style = cli_state_style(node->state);

		print_lanes(&l, i);
		printf("%s%s%s", cli_style(c->color_out, CLI_BOLD), cli_safe(c, node->name),
			cli_style(c->color_out, CLI_PLAIN));
		if (strcmp(node->plugin, node->name) != 0)
			printf(" (%s)", cli_safe(c, node->plugin));
		printf("  %s%s%s\n", cli_style(c->color_out, style),
			node->count ? node->count : node->state,
			cli_style(c->color_out, CLI_PLAIN));
	}
}
