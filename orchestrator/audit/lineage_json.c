/* SPDX-License-Identifier: Apache-2.0 */
/* lineage_json.c - the graph as a document. */
#include <string.h>

#include "audit/lineage.h"
#include "audit/record.h"

static json_t *name_of(const cairn_lineage_node *node)
{
	char text[CAIRN_ID_TEXT];
	cairn_id id;

	memcpy(id.bytes, node->bytes, sizeof(id.bytes));
	cairn_id_format(&id, text);
	/* A key is no artifact: its hexadecimal digits alone. */
	return json_string(node->is_stage ? text + strlen("sha256:") : text);
}

static void add_text(json_t *json, const char *name, const char *text)
{
	if (text)
		json_object_set_new(json, name, json_string(text));
}

/* The long fields of a stage's record. */
static void add_record(json_t *json, cairn_snapshot *snapshot, const cairn_lineage_node *node)
{
	static const char *const fields[] = {"components", "origins", "backend", "compute"};
	json_t *result = NULL, *value;
	cairn_key key;

	memcpy(key.bytes, node->bytes, sizeof(key.bytes));
	if (cairn_record_result(&result, snapshot, &key, NULL) < 0)
		return;
	for (size_t i = 0; i < CAIRN_COUNT(fields); i++) {
		value = json_object_get(result, fields[i]);
		if (value && !json_is_null(value))
			json_object_set(json, fields[i], value);
	}
	json_decref(result);
}

static json_t *node_to_json(const cairn_lineage_node *node, cairn_snapshot *snapshot)
{
	json_t *json = json_pack("{s:o, s:s, s:I}", "id", name_of(node), "type",
		node->is_stage ? "stage" : "artifact", "depth", (json_int_t)node->depth);

	add_text(json, "instance", node->instance);
	add_text(json, "plugin", node->plugin);
	add_text(json, "version", node->version);
	add_text(json, "run", node->run);
	if (node->is_stage && snapshot)
		add_record(json, snapshot, node);
	if (node->blessed)
		json_object_set(json, "blessed", node->blessed);
	add_text(json, "kind", node->kind);
	add_text(json, "source", node->source);
	if (node->n_bytes >= 0)
		json_object_set_new(json, "bytes", json_integer(node->n_bytes));
	if (node->n_more)
		json_object_set_new(json, "more", json_integer((json_int_t)node->n_more));
	return json;
}

json_t *cairn_lineage_to_json(const cairn_lineage *lineage, cairn_snapshot *snapshot)
{
	json_t *nodes = json_array(), *edges = json_array();

	for (size_t i = 0; i < lineage->n_nodes; i++)
		json_array_append_new(nodes, node_to_json(&lineage->nodes[i], snapshot));
	for (size_t i = 0; i < lineage->n_edges; i++) {
		const cairn_lineage_edge *edge = &lineage->edges[i];
		json_array_append_new(edges,
			json_pack("{s:o, s:o, s:s?}", "from", name_of(&lineage->nodes[edge->from]),
				"to", name_of(&lineage->nodes[edge->to]), "port", edge->port));
	}
	return json_pack("{s:o, s:o, s:b}", "nodes", nodes, "edges", edges, "truncated",
		lineage->is_truncated);
}
