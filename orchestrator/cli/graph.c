/* SPDX-License-Identifier: Apache-2.0 */
/* graph.c - `cairn graph`: stages, files and what flows between them. */
#include "cli/graph.h"

#include <string.h>
#include <unistd.h>

static json_t *graph_json(const cairn_workflow *w, const cli_drawing *graph)
{
	json_t *nodes = json_array(), *edges = json_array();

	for (size_t i = 0; i < w->n_instances; i++) {
		const cairn_instance *instance = &w->instances[i];
		json_t *axes = json_object();
		for (size_t k = 0; k < instance->n_axes; k++)
			json_object_set_new(
				axes, instance->axes[k].axis, json_string(instance->axes[k].value));
		json_array_append_new(
			nodes, json_pack("{s:s, s:s, s:s, s:o, s:s}", "instance", instance->name,
				       "stage", instance->stage, "plugin", instance->plugin->name,
				       "axes", axes, "state", graph->nodes[i].state));
		for (size_t k = 0; k < instance->n_bindings; k++)
			json_array_append_new(edges,
				json_pack("{s:o, s:s, s:s}", "from",
					cairn_record_text(instance->bindings[k].text), "to",
					instance->name, "port", instance->bindings[k].port->name));
	}
	return json_pack("{s:s, s:o, s:o}", "workflow", w->name, "nodes", nodes, "edges", edges);
}

int cli_graph(cli *c)
{
	const char *as = c->as;
	cli_drawing graph;
	cli_work work;
	int status = cli_work_open(c, &work, c->n_args ? c->args[0] : NULL, 0);

	if (status != CLI_OK)
		return status;
	if (!as)
		as = isatty(STDOUT_FILENO) ? "text" : "dot";
	cli_graph_make(&graph, c, &work, c->collapse && !c->json);
	if (c->json)
		status = cli_print_json(graph_json(work.workflow, &graph), "cairn.graph/1");
	else if (strcmp(as, "mermaid") == 0)
		cli_graph_print_mermaid(c, &graph);
	else if (strcmp(as, "text") == 0)
		cli_graph_print_lanes(c, &graph);
	else
		cli_graph_print_dot(c, &graph);
	cli_work_close(&work);
	return status;
}
