/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "cli/graph.h"

/* {instance: state} of the workflow's newest run; empty where there is no store or run. */
static json_t *newest_states(const cli_work *work)
{
	cairn_snapshot *snapshot = NULL;
	json_t *states = json_object(), *stages = NULL, *stage;
	cairn_run_id run;
	size_t i;

	if (!work->store || cairn_snapshot_begin(&snapshot, work->store, NULL) < 0)
		return states;
	if (cairn_record_newest_run(&run, snapshot, work->workflow->name, NULL) == 0 &&
		cairn_record_stages(&stages, snapshot, &run, NULL) == 0) {
		json_array_foreach(stages, i, stage)
			json_object_set_new(states, cairn_json_string(stage, "instance", "?"),
				json_string(cairn_json_string(stage, "state", "pending")));
	}
	json_decref(stages);
	cairn_snapshot_end(snapshot);
	return states;
}

/* The number of a text in a list that has each once; `known` is the same as a map. */
static size_t number_of(json_t *known, const char **list, size_t *n, const char *text)
{
	const json_t *number = json_object_get(known, text);

	if (number)
		return (size_t)json_integer_value(number);
	json_object_set_new(known, text, json_integer((json_int_t)*n));
	list[*n] = text;
	return (*n)++;
}

/* ---- nodes -------------------------------------------------------------------------------- */

struct make {
	cli *c;
	cli_drawing *graph;
	bool collapse;
	json_t *states;
	json_t *known;   /* sources, groups or sections met so far, by turns */
	size_t *node_of; /* by instance */
};

static void add_instances(struct make *m)
{
	const cairn_workflow *w = m->graph->workflow;

	for (size_t i = 0; i < w->n_instances; i++) {
		const cairn_instance *instance = &w->instances[i];
		cli_graph_node *node = &m->graph->nodes[i];

		m->node_of[i] = i;
		node->name = instance->name;
		node->plugin = instance->plugin->name;
		node->state = cairn_json_string(m->states, instance->name, "pending");
		node->group = SIZE_MAX;
		if (instance->n_axes)
			node->group = number_of(m->known, m->graph->groups, &m->graph->n_groups,
				cairn_arena_printf(m->c->arena, "%s = %s", instance->axes[0].axis,
					instance->axes[0].value));
	}
	m->graph->n_nodes = w->n_instances;
}

/* "2 done, 1 failed" from {"done": 2, "failed": 1}, in the order of first appearance. */
static void count_states(struct make *m, cli_graph_node *node, const json_t *counts)
{
	cairn_text text = {0};
	json_int_t n_instances = 0;
	const char *state;
	const json_t *n;

	json_object_foreach((json_t *)counts, state, n)
	{
		n_instances += json_integer_value(n);
		cairn_text_printf(&text, "%s%lld %s", text.len ? ", " : "",
			(long long)json_integer_value(n), state);
		node->state = json_object_size(counts) == 1 ? cairn_arena_strdup(m->c->arena, state)
							    : "mixed";
	}
	if (n_instances > 1)
		node->count = cairn_arena_strdup(m->c->arena, cairn_text_get(&text));
	cairn_text_free(&text);
}

static void add_sections(struct make *m)
{
	const cairn_workflow *w = m->graph->workflow;
	const char **names = cairn_arena_alloc(m->c->arena, w->n_instances + 1, sizeof(*names));
	json_t *counts = json_array();

	for (size_t i = 0; i < w->n_instances; i++) {
		const cairn_instance *instance = &w->instances[i];
		const char *state = cairn_json_string(m->states, instance->name, "pending");
		size_t before = m->graph->n_nodes;
		size_t k = number_of(m->known, names, &m->graph->n_nodes, instance->stage);
		json_t *count;

		m->node_of[i] = k;
		if (k == before) {
			m->graph->nodes[k] = (cli_graph_node){.name = instance->stage,
				.plugin = instance->plugin->name,
				.group = SIZE_MAX};
			json_array_append_new(counts, json_object());
		}
		count = json_array_get(counts, k);
		json_object_set_new(count, state,
			json_integer(json_integer_value(json_object_get(count, state)) + 1));
	}
	for (size_t k = 0; k < m->graph->n_nodes; k++)
		count_states(m, &m->graph->nodes[k], json_array_get(counts, k));
	json_decref(counts);
}

/* ---- edges -------------------------------------------------------------------------------- */

static int by_end(const void *a, const void *b)
{
	const cli_graph_edge *x = a, *y = b;

	if (x->to != y->to)
		return x->to < y->to ? -1 : 1;
	if (x->is_source != y->is_source)
		return x->is_source ? -1 : 1;
	if (x->from != y->from)
		return x->from < y->from ? -1 : 1;
	return strcmp(x->port, y->port);
}

static void add_edges(struct make *m)
{
	cli_drawing *graph = m->graph;
	const cairn_workflow *w = graph->workflow;
	size_t kept = 0;

	for (size_t i = 0; i < w->n_instances; i++) {
		for (size_t k = 0; k < w->instances[i].n_bindings; k++) {
			const cairn_binding *b = &w->instances[i].bindings[k];
			cli_graph_edge *edge = &graph->edges[graph->n_edges++];

			edge->to = m->node_of[i];
			edge->port = b->port->name;
			edge->is_source = b->type != CAIRN_FROM_INSTANCE;
			edge->from = edge->is_source ? number_of(m->known, graph->sources,
							       &graph->n_sources, b->text)
						     : m->node_of[b->instance];
		}
	}
	if (graph->n_edges)
		qsort(graph->edges, graph->n_edges, sizeof(*graph->edges), by_end);
	for (size_t i = 0; i < graph->n_edges; i++) {
		if (kept == 0 || by_end(&graph->edges[kept - 1], &graph->edges[i]) != 0)
			graph->edges[kept++] = graph->edges[i];
	}
	graph->n_edges = kept;
}

void cli_graph_make(cli_drawing *out, cli *c, const cli_work *work, bool collapse)
{
	const cairn_workflow *w = work->workflow;
	struct make m = {.c = c, .graph = out, .collapse = collapse};
	size_t n = w->n_instances, n_bindings = 0;

	for (size_t i = 0; i < n; i++)
		n_bindings += w->instances[i].n_bindings;
	*out = (cli_drawing){.workflow = w};
	out->nodes = cairn_arena_alloc(c->arena, n + 1, sizeof(*out->nodes));
	out->groups = cairn_arena_alloc(c->arena, n + 1, sizeof(*out->groups));
	out->edges = cairn_arena_alloc(c->arena, n_bindings + 1, sizeof(*out->edges));
	out->sources = cairn_arena_alloc(c->arena, n_bindings + 1, sizeof(*out->sources));
	m.node_of = cairn_arena_alloc(c->arena, n + 1, sizeof(*m.node_of));
	m.states = newest_states(work);
	m.known = json_object();
	if (collapse)
		add_sections(&m);
	else
		add_instances(&m);
	json_object_clear(m.known);
	add_edges(&m);
	for (size_t i = 0; i < out->n_nodes; i++) /* it outlives the map */
		out->nodes[i].state = cairn_arena_strdup(c->arena, out->nodes[i].state);
	json_decref(m.known);
	json_decref(m.states);
}

const char *cli_graph_fill(const char *state)
{
	static const struct {
		const char *state, *fill;
	} fills[] = {{"done", "#c8e6c9"}, {"cached", "#e0e0e0"}, {"failed", "#ffcdd2"},
		{"running", "#bbdefb"}, {"stopped", "#ffe0b2"}, {"waiting", "#fff9c4"},
		{"blocked", "#ffe0b2"}, {"skipped", "#f5f5f5"}};

	for (size_t i = 0; i < CAIRN_COUNT(fills); i++) {
		if (strcmp(fills[i].state, state) == 0)
			return fills[i].fill;
	}
	return "#ffffff";
}
