/* SPDX-License-Identifier: Apache-2.0 */
/* graph.c - `cairn graph`: stages, files and what flows between them, as DOT or JSON. */
#include <string.h>

#include "cli/cli.h"

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

static const char *fill_of(const char *state)
{
	static const struct {
		const char *state, *fill;
	} fills[] = {{"done", "#c8e6c9"}, {"cached", "#e0e0e0"}, {"failed", "#ffcdd2"},
		{"running", "#bbdefb"}, {"stopped", "#ffe0b2"}, {"waiting", "#fff9c4"},
		{"blocked", "#ffe0b2"}};

	for (size_t i = 0; i < CAIRN_COUNT(fills); i++) {
		if (strcmp(fills[i].state, state) == 0)
			return fills[i].fill;
	}
	return "#ffffff";
}

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

/* ---- DOT -------------------------------------------------------------------------------- */

static void print_node(cli *c, const cairn_instance *instance, size_t index, const json_t *states)
{
	const char *state = cairn_json_string(states, instance->name, "pending");

	printf("\t\tn%zu [label=\"%s\\n%s\", fillcolor=\"%s\"];\n", index, dot(c, instance->name),
		dot(c, instance->plugin->name), fill_of(state));
}

/* Stages of one value of their first axis stand together; those without an axis in none. */
static void print_clusters(cli *c, const cairn_workflow *w, const json_t *states)
{
	for (size_t i = 0; i < w->n_instances; i++) {
		const cairn_instance *first = &w->instances[i];
		bool is_new = true;
		if (first->n_axes == 0) {
			print_node(c, first, i, states);
			continue;
		}
		for (size_t j = 0; j < i && is_new; j++)
			is_new = w->instances[j].n_axes == 0 ||
				 strcmp(w->instances[j].axes[0].axis, first->axes[0].axis) != 0 ||
				 strcmp(w->instances[j].axes[0].value, first->axes[0].value) != 0;
		if (!is_new)
			continue;
		printf("\tsubgraph cluster_%zu {\n\t\tlabel=\"%s = %s\"; style=rounded; color=gray;\n",
			i, dot(c, first->axes[0].axis), dot(c, first->axes[0].value));
		for (size_t j = i; j < w->n_instances; j++) {
			const cairn_instance *other = &w->instances[j];
			if (other->n_axes > 0 &&
				strcmp(other->axes[0].axis, first->axes[0].axis) == 0 &&
				strcmp(other->axes[0].value, first->axes[0].value) == 0)
				print_node(c, other, j, states);
		}
		printf("\t}\n");
	}
}

static void print_edges(cli *c, const cairn_workflow *w)
{
	json_t *sources = json_object();

	for (size_t i = 0; i < w->n_instances; i++) {
		for (size_t k = 0; k < w->instances[i].n_bindings; k++) {
			const cairn_binding *b = &w->instances[i].bindings[k];
			const char *label = dot(c, b->port->name);
			if (b->type == CAIRN_FROM_INSTANCE) {
				printf("\tn%zu -> n%zu [label=\"%s\"];\n", b->instance, i, label);
				continue;
			}
			/* A file that several stages read is one node. */
			json_int_t n = (json_int_t)json_object_size(sources);
			json_t *known = json_object_get(sources, b->text);
			if (known) {
				n = json_integer_value(known);
			} else {
				json_object_set_new(sources, b->text, json_integer(n));
				printf("\ts%lld [label=\"%s\", shape=note];\n", (long long)n,
					dot(c, b->text));
			}
			printf("\ts%lld -> n%zu [label=\"%s\"];\n", (long long)n, i, label);
		}
	}
	json_decref(sources);
}

/* ---- JSON ------------------------------------------------------------------------------- */

static json_t *graph_json(const cairn_workflow *w, const json_t *states)
{
	json_t *nodes = json_array(), *edges = json_array();

	for (size_t i = 0; i < w->n_instances; i++) {
		const cairn_instance *instance = &w->instances[i];
		json_t *axes = json_object();
		for (size_t k = 0; k < instance->n_axes; k++)
			json_object_set_new(
				axes, instance->axes[k].axis, json_string(instance->axes[k].value));
		json_array_append_new(nodes,
			json_pack("{s:s, s:s, s:s, s:o, s:s}", "instance", instance->name, "stage",
				instance->stage, "plugin", instance->plugin->name, "axes", axes,
				"state", cairn_json_string(states, instance->name, "pending")));
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
	cli_work work;
	json_t *states;
	int status = cli_work_open(c, &work, c->n_args ? c->args[0] : NULL, 0);

	if (status != CLI_OK)
		return status;
	states = newest_states(&work);
	if (c->json) {
		status = cli_print_json(graph_json(work.workflow, states), "cairn.graph/1");
	} else {
		printf("digraph \"%s\" {\n\trankdir=TB;\n\tnode [shape=box, style=\"rounded,filled\", "
		       "fillcolor=white, fontname=sans];\n\tedge [fontname=sans, fontsize=9];\n",
			dot(c, work.workflow->name));
		print_clusters(c, work.workflow, states);
		print_edges(c, work.workflow);
		printf("}\n");
	}
	json_decref(states);
	cli_work_close(&work);
	return status;
}
