/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage.c - breadth-first over the producer and consumer tables.
 *
 * The node array is also the queue. A stage's result record, read once when the stage is
 * found, names all its ports; an artifact's neighbours come from the tables. A node is
 * expanded once, so edges are distinct, and those of one node lie together.
 */
#include "audit/lineage.h"

#include <string.h>

#include "audit/record.h"
#include "base/alloc.h"

typedef struct walk {
	cairn_lineage *graph;
	cairn_snapshot *snapshot;
	uint32_t max_depth;
	cairn_error *err;
} walk;

static int no_memory(cairn_error *err)
{
	return cairn_error_set(err, CAIRN_ENOMEM, "out of memory walking the lineage");
}

/* ---- the node set --------------------------------------------------------------------- */

/* Ids and keys are digests: any eight bytes of them are a hash. */
static size_t slot_of(const cairn_lineage *graph, bool is_stage, const uint8_t bytes[32])
{
	uint64_t hash;
	size_t at;

	memcpy(&hash, bytes, sizeof(hash));
	at = (size_t)(hash + is_stage) & (graph->n_slots - 1);
	while (graph->slots[at]) {
		const cairn_lineage_node *node = &graph->nodes[graph->slots[at] - 1];
		if (node->is_stage == is_stage && memcmp(node->bytes, bytes, 32) == 0)
			break;
		at = (at + 1) & (graph->n_slots - 1);
	}
	return at;
}

static int grow(cairn_lineage *graph)
{
	size_t cap = graph->cap_nodes ? 2 * graph->cap_nodes : 64;
	cairn_lineage_node *nodes = cairn_realloc(graph->nodes, cap, sizeof(*nodes));
	size_t *slots;

	if (!nodes)
		return CAIRN_ENOMEM;
	graph->nodes = nodes;
	slots = cairn_alloc(4 * cap, sizeof(*slots));
	if (!slots)
		return CAIRN_ENOMEM;
	free(graph->slots);
	graph->slots = slots;
	graph->n_slots = 4 * cap;
	graph->cap_nodes = cap;
	for (size_t i = 0; i < graph->n_nodes; i++)
		slots[slot_of(graph, nodes[i].is_stage, nodes[i].bytes)] = i + 1;
	return 0;
}

/* 0 and the node's index; 1 where the graph is full. */
static int find_or_add(walk *w, bool is_stage, const uint8_t bytes[32], uint32_t depth, size_t *out)
{
	cairn_lineage *graph = w->graph;
	cairn_lineage_node *node;
	cairn_key key;
	size_t slot;
	int rc;

	if (graph->n_nodes == graph->cap_nodes && grow(graph) < 0)
		return no_memory(w->err);
	slot = slot_of(graph, is_stage, bytes);
	if (graph->slots[slot]) {
		*out = graph->slots[slot] - 1;
		return 0;
	}
	if (graph->n_nodes >= CAIRN_LINEAGE_MAX_NODES) {
		graph->is_truncated = true;
		return 1;
	}
	node = &graph->nodes[graph->n_nodes];
	*node = (cairn_lineage_node){.is_stage = is_stage, .depth = depth, .n_bytes = -1};
	memcpy(node->bytes, bytes, sizeof(node->bytes));
	if (is_stage) {
		memcpy(key.bytes, bytes, sizeof(key.bytes));
		rc = cairn_record_result(&node->result, w->snapshot, &key, w->err);
		if (rc < 0 && rc != CAIRN_ENOTFOUND)
			return rc;
	}
	*out = graph->n_nodes++;
	graph->slots[slot] = *out + 1;
	return 0;
}

static int add_edge(walk *w, size_t expanded, size_t from, size_t to, const char *port)
{
	cairn_lineage *graph = w->graph;

	if (graph->n_edges == graph->cap_edges) {
		size_t cap = graph->cap_edges ? 2 * graph->cap_edges : 64;
		cairn_lineage_edge *edges = cairn_realloc(graph->edges, cap, sizeof(*edges));
		if (!edges)
			return no_memory(w->err);
		graph->edges = edges;
		graph->cap_edges = cap;
	}
	if (graph->nodes[expanded].n_edges++ == 0)
		graph->nodes[expanded].first_edge = graph->n_edges;
	graph->edges[graph->n_edges++] = (cairn_lineage_edge){from, to, port};
	return 0;
}

/* What a stage's record says about an artifact at one of its ports. */
static void learn(cairn_lineage_node *artifact, const json_t *bound)
{
	const char *source = cairn_json_string(bound, "source", NULL);

	if (!artifact->kind)
		artifact->kind = cairn_json_string(bound, "kind", NULL);
	if (!artifact->source)
		artifact->source = source;
	if (artifact->n_bytes < 0)
		artifact->n_bytes = cairn_json_integer(bound, "bytes", -1);
}

/* ---- expanding ------------------------------------------------------------------------ */

/* Is this the artifact's id? */
static bool is_bound_to(const json_t *bound, const uint8_t bytes[32])
{
	cairn_id id;

	return cairn_id_parse(&id, cairn_json_string(bound, "id", ""), NULL) == 0 &&
	       memcmp(id.bytes, bytes, sizeof(id.bytes)) == 0;
}

/* Edges between an artifact and a stage found in its table: one per port that it is bound to. */
static int link_artifact(walk *w, size_t artifact, size_t stage)
{
	bool up = w->graph->direction == CAIRN_LINEAGE_UP;
	json_t *result = w->graph->nodes[stage].result, *bound, *one;
	const char *port;
	size_t i;
	int rc = 0;

	json_object_foreach(json_object_get(result, up ? "outputs" : "inputs"), port, bound)
	{
		for (i = 0; rc == 0 && i < (up ? 1 : json_array_size(bound)); i++) {
			one = up ? bound : json_array_get(bound, i);
			if (!is_bound_to(one, w->graph->nodes[artifact].bytes))
				continue;
			learn(&w->graph->nodes[artifact], one);
			rc = up ? add_edge(w, artifact, stage, artifact, port)
				: add_edge(w, artifact, artifact, stage, port);
		}
	}
	return rc;
}

struct neighbour_keys {
	uint8_t (*keys)[32];
	size_t n, cap;
};

static int take_key(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	struct neighbour_keys *list = arg;

	(void)value, (void)value_len;
	if (key_len != 64)
		return 0;
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 16;
		void *keys = cairn_realloc(list->keys, cap, sizeof(*list->keys));
		if (!keys)
			return no_memory(err);
		list->keys = keys;
		list->cap = cap;
	}
	memcpy(list->keys[list->n++], (const uint8_t *)key + 32, 32);
	return 0;
}

static int expand_artifact(walk *w, size_t at)
{
	struct neighbour_keys list = {0};
	uint32_t depth = w->graph->nodes[at].depth + 1;
	const char *table = w->graph->direction == CAIRN_LINEAGE_UP ? "producer" : "consumer";
	int rc = cairn_snapshot_scan(
		w->snapshot, table, w->graph->nodes[at].bytes, 32, false, take_key, &list, w->err);

	if (rc > 0)
		rc = 0;
	for (size_t i = 0; rc == 0 && i < list.n; i++) {
		size_t stage;
		rc = find_or_add(w, true, list.keys[i], depth, &stage);
		if (rc == 0)
			rc = link_artifact(w, at, stage);
	}
	free(list.keys);
	return rc;
}

static int expand_port(walk *w, size_t at, const char *port, const json_t *bound)
{
	cairn_id id;
	size_t artifact;
	int rc;

	if (cairn_id_parse(&id, cairn_json_string(bound, "id", ""), NULL) < 0)
		return 0;
	rc = find_or_add(w, false, id.bytes, w->graph->nodes[at].depth + 1, &artifact);
	if (rc != 0)
		return rc;
	learn(&w->graph->nodes[artifact], bound);
	return w->graph->direction == CAIRN_LINEAGE_UP ? add_edge(w, at, artifact, at, port)
						       : add_edge(w, at, at, artifact, port);
}

static int expand_stage(walk *w, size_t at)
{
	bool up = w->graph->direction == CAIRN_LINEAGE_UP;
	json_t *result = w->graph->nodes[at].result, *bound, *one;
	const char *port;
	size_t i;
	int rc = 0;

	json_object_foreach(json_object_get(result, up ? "inputs" : "outputs"), port, bound)
	{
		if (!up && rc == 0)
			rc = expand_port(w, at, port, bound);
		json_array_foreach(up ? bound : NULL, i, one)
		{
			if (rc == 0)
				rc = expand_port(w, at, port, one);
		}
	}
	return rc;
}

int cairn_lineage_walk(cairn_lineage *out, cairn_snapshot *snapshot, const cairn_id *start,
	enum cairn_lineage_direction direction, uint32_t max_depth, cairn_error *err)
{
	cairn_lineage graph = {.direction = direction};
	walk w = {&graph, snapshot, max_depth, err};
	size_t first;
	int rc = find_or_add(&w, false, start->bytes, 0, &first);

	for (size_t at = 0; rc >= 0 && at < graph.n_nodes; at++) {
		if (max_depth && graph.nodes[at].depth >= max_depth) {
			graph.is_truncated = true;
			break;
		}
		rc = graph.nodes[at].is_stage ? expand_stage(&w, at) : expand_artifact(&w, at);
	}
	if (rc < 0) {
		cairn_lineage_free(&graph);
		return rc;
	}
	*out = graph;
	return 0;
}

void cairn_lineage_free(cairn_lineage *lineage)
{
	for (size_t i = 0; i < lineage->n_nodes; i++)
		json_decref(lineage->nodes[i].result);
	free(lineage->nodes);
	free(lineage->edges);
	free(lineage->slots);
	*lineage = (cairn_lineage){0};
}

/* ---- as JSON -------------------------------------------------------------------------- */

static json_t *name_of(const cairn_lineage_node *node)
{
	char text[CAIRN_ID_TEXT];
	cairn_id id;

	memcpy(id.bytes, node->bytes, sizeof(id.bytes));
	cairn_id_format(&id, text);
	/* A key is no artifact: its hexadecimal digits alone. */
	return json_string(node->is_stage ? text + strlen("sha256:") : text);
}

static json_t *node_to_json(const cairn_lineage_node *node)
{
	json_t *json = json_pack("{s:o, s:s, s:I}", "id", name_of(node), "type",
		node->is_stage ? "stage" : "artifact", "depth", (json_int_t)node->depth);
	static const char *const fields[] = {
		"instance", "plugin", "version", "run", "components", "origins"};

	for (size_t i = 0; node->is_stage && i < CAIRN_COUNT(fields); i++) {
		json_t *value = json_object_get(node->result, fields[i]);
		if (value)
			json_object_set(json, fields[i], value);
	}
	if (node->kind)
		json_object_set_new(json, "kind", json_string(node->kind));
	if (node->source)
		json_object_set_new(json, "source", json_string(node->source));
	if (node->n_bytes >= 0)
		json_object_set_new(json, "bytes", json_integer(node->n_bytes));
	return json;
}

json_t *cairn_lineage_to_json(const cairn_lineage *lineage)
{
	json_t *nodes = json_array(), *edges = json_array();

	for (size_t i = 0; i < lineage->n_nodes; i++)
		json_array_append_new(nodes, node_to_json(&lineage->nodes[i]));
	for (size_t i = 0; i < lineage->n_edges; i++) {
		const cairn_lineage_edge *edge = &lineage->edges[i];
		json_array_append_new(edges,
			json_pack("{s:o, s:o, s:s}", "from", name_of(&lineage->nodes[edge->from]),
				"to", name_of(&lineage->nodes[edge->to]), "port", edge->port));
	}
	return json_pack("{s:o, s:o, s:b}", "nodes", nodes, "edges", edges, "truncated",
		lineage->is_truncated);
}
