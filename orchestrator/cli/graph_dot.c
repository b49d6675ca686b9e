/* SPDX-License-Identifier: Apache-2.0 */
/* graph_dot.c - for dot(1), and for pages that draw Mermaid. */
#include <string.h>

#include "cli/graph.h"

/* The nodes of each group, one group after the other: first[g] .. first[g + 1] in `order`; those of
 * no group come last. */
typedef struct grouped {
	size_t *first, *order;
} grouped;

static grouped group_nodes(cli *c, const cli_drawing *graph)
{
	size_t n = graph->n_groups;
	grouped out = {cairn_arena_alloc(c->arena, n + 2, sizeof(size_t)),
		cairn_arena_alloc(c->arena, graph->n_nodes + 1, sizeof(size_t))};
	size_t *next = cairn_arena_alloc(c->arena, n + 2, sizeof(size_t));

	for (size_t i = 0; i < graph->n_nodes; i++) {
		size_t g = graph->nodes[i].group;
		out.first[(g < n ? g : n) + 1]++;
	}
	for (size_t g = 0; g <= n; g++)
		out.first[g + 1] += out.first[g];
	memcpy(next, out.first, (n + 1) * sizeof(*next));
	for (size_t i = 0; i < graph->n_nodes; i++) {
		size_t g = graph->nodes[i].group;
		out.order[next[g < n ? g : n]++] = i;
	}
	return out;
}

/* ---- DOT ---------------------------------------------------------------------------------- */

/* Text inside a DOT string. */
static const char *dot(cli *c, const char *text)
{
	const char *safe = cli_safe(c, text);
	char *out = cairn_arena_alloc(c->arena, 2 * strlen(safe) + 1, 1), *to = out;

	for (; *safe; safe++) {
		if (*safe == '"' || *safe == '\\')
			*to++ = '\\';
		*to++ = *safe;
	}
	*to = '\0';
	return out;
}

static void print_dot_node(cli *c, const cli_drawing *graph, size_t i)
{
	const cli_graph_node *node = &graph->nodes[i];

	printf("\t\tn%zu [label=\"%s\\n%s%s%s\", fillcolor=\"%s\"];\n", i, dot(c, node->name),
		dot(c, node->plugin), node->count ? "\\n" : "", node->count ? node->count : "",
		cli_graph_fill(node->state));
}

void cli_graph_print_dot(cli *c, const cli_drawing *graph)
{
	grouped groups = group_nodes(c, graph);

	printf("digraph \"%s\" {\n\trankdir=TB;\n\tnode [shape=box, style=\"rounded,filled\", "
	       "fillcolor=white, fontname=sans];\n\tedge [fontname=sans, fontsize=9];\n",
		dot(c, graph->workflow->name));
	for (size_t k = groups.first[graph->n_groups]; k < graph->n_nodes; k++)
		print_dot_node(c, graph, groups.order[k]);
	for (size_t g = 0; g < graph->n_groups; g++) {
		printf("\tsubgraph cluster_%zu {\n\t\tlabel=\"%s\"; style=rounded; color=gray;\n",
			g, dot(c, graph->groups[g]));
		for (size_t k = groups.first[g]; k < groups.first[g + 1]; k++)
			print_dot_node(c, graph, groups.order[k]);
		printf("\t}\n");
	}
	for (size_t i = 0; i < graph->n_sources; i++)
		printf("\ts%zu [label=\"%s\", shape=note];\n", i, dot(c, graph->sources[i]));
	for (size_t i = 0; i < graph->n_edges; i++) {
		const cli_graph_edge *edge = &graph->edges[i];
		printf("\t%c%zu -> n%zu [label=\"%s\"];\n", edge->is_source ? 's' : 'n', edge->from,
			edge->to, dot(c, edge->port));
	}
	printf("}\n");
}

/* ---- Mermaid ------------------------------------------------------------------------------ */

/* Text inside a quoted label: the page is HTML, and # begins Mermaid's own escapes. */
static const char *mermaid(cli *c, const char *text)
{
	cairn_text out = {0};
	const char *copy;

	for (const char *at = cli_safe(c, text); *at; at++) {
		if (strchr("\"#<>&`\\", *at))
			cairn_text_printf(&out, "#%d;", *at);
		else
			cairn_text_add_char(&out, *at);
	}
	copy = cairn_arena_strdup(c->arena, cairn_text_get(&out));
	cairn_text_free(&out);
	return copy;
}

static void print_mermaid_node(cli *c, const cli_drawing *graph, size_t i)
{
	const cli_graph_node *node = &graph->nodes[i];

	printf("\tn%zu[\"%s<br/>%s%s%s\"]:::%s\n", i, mermaid(c, node->name),
		mermaid(c, node->plugin), node->count ? "<br/>" : "",
		node->count ? node->count : "", node->state);
}

/* The colours of the states that occur. */
static void print_classes(const cli_drawing *graph)
{
	json_t *known = json_object();

	for (size_t i = 0; i < graph->n_nodes; i++) {
		const char *state = graph->nodes[i].state;
		if (json_object_get(known, state))
			continue;
		json_object_set_new(known, state, json_true());
		printf("\tclassDef %s fill:%s,stroke:#555,color:#000\n", state,
			cli_graph_fill(state));
	}
	json_decref(known);
}

void cli_graph_print_mermaid(cli *c, const cli_drawing *graph)
{
	grouped groups = group_nodes(c, graph);

	printf("flowchart TD\n");
	for (size_t k = groups.first[graph->n_groups]; k < graph->n_nodes; k++)
		print_mermaid_node(c, graph, groups.order[k]);
	for (size_t g = 0; g < graph->n_groups; g++) {
		printf("\tsubgraph g%zu[\"%s\"]\n", g, mermaid(c, graph->groups[g]));
		for (size_t k = groups.first[g]; k < groups.first[g + 1]; k++)
			print_mermaid_node(c, graph, groups.order[k]);
		printf("\tend\n");
	}
	for (size_t i = 0; i < graph->n_sources; i++)
		printf("\ts%zu[/\"%s\"/]\n", i, mermaid(c, graph->sources[i]));
	for (size_t i = 0; i < graph->n_edges; i++) {
		const cli_graph_edge *edge = &graph->edges[i];
		printf("\t%c%zu -->|\"%s\"| n%zu\n", edge->is_source ? 's' : 'n', edge->from,
			mermaid(c, edge->port), edge->to);
	}
	print_classes(graph);
}
