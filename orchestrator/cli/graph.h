/* SPDX-License-Identifier: Apache-2.0 */
/*
 * graph.h - a workflow as nodes and edges, and three ways to draw it.
 *
 * A node is an instance, or with --collapse all instances of a section. Nodes stand in the
 * workflow's order: an edge leads from an earlier node to a later one, but for sections whose
 * instances wait for each other.
 */
#ifndef CAIRN_CLI_GRAPH_H
#define CAIRN_CLI_GRAPH_H

#include "cli/cli.h"

typedef struct cli_graph_node {
	const char *name;   /* "rm@brief", or "rm" */
	const char *plugin; /* its name */
	const char *state;  /* of the newest run; "mixed" where those of its instances differ */
	const char *count;  /* "2 done, 1 failed", or NULL: it stands for one instance */
	size_t group;       /* into groups; SIZE_MAX: in none */
} cli_graph_node;

typedef struct cli_graph_edge {
	bool is_source; /* from one of the sources */
	size_t from, to;
	const char *port;
} cli_graph_edge;

typedef struct cli_drawing {
	const cairn_workflow *workflow;
	cli_graph_node *nodes;
	size_t n_nodes;
	cli_graph_edge *edges; /* in the order of `to`; each once */
	size_t n_edges;
	const char **sources; /* files and artifacts: "file:data/a.txt" */
	size_t n_sources;
	const char **groups; /* "group = brief": the value of the first axis */
	size_t n_groups;
} cli_drawing;

/* Everything lives in the arena of `c`. */
void cli_graph_make(cli_drawing *out, cli *c, const cli_work *work, bool collapse);
void cli_graph_print_dot(cli *c, const cli_drawing *graph);
void cli_graph_print_mermaid(cli *c, const cli_drawing *graph);
/* One line a node, edges as lanes to its left. */
void cli_graph_print_lanes(cli *c, const cli_drawing *graph);
/* The colour behind a state, as #rrggbb. */
const char *cli_graph_fill(const char *state);

#endif
