/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage.c - breadth-first over the producer and consumer tables.
 *
 * The node array is also the queue. A stage's result record, read once when the stage is
 * found, names all its ports; an artifact's neighbours come from the tables. A node is
 * expanded once, so edges are distinct, and those of one node lie together. Of a record only a few
 * words stay, each text once, so that a million nodes fit into memory.
 */
#include "audit/lineage.h"

#include <string.h>

#include "audit/record.h"
#include "base/alloc.h"

typedef struct walk {
	cairn_lineage *graph;
	cairn_snapshot *snapshot;
	const cairn_lineage_options *options;
	size_t max_nodes;
	bool is_full;
	cairn_error *err;
} walk;

static int no_memory(cairn_error *err)
{
	return cairn_error_set(err, CAIRN_ENOMEM, "out of memory walking the lineage");
}

/* ---- texts ---------------------------------------------------------------------------- */

static size_t text_slot(const cairn_lineage *graph, const char *text)
{
	uint64_t hash = 14695981039346656037u; /* FNV-1a */
	size_t at;

	for (const char *c = text; *c; c++)
		hash = (hash ^ (unsigned char)*c) * 1099511628211u;
	at = (size_t)hash & (graph->cap_texts - 1);
	while (graph->texts[at] && strcmp(graph->texts[at], text) != 0)
		at = (at + 1) & (graph->cap_texts - 1);
	return at;
}

static bool grow_texts(cairn_lineage *graph)
{
	const char **old = graph->texts;
	size_t old_cap = graph->cap_texts, cap = old_cap ? 2 * old_cap : 64;
	const char **texts = cairn_alloc(cap, sizeof(*texts));

	if (!texts)
		return false;
	graph->texts = texts;
	graph->cap_texts = cap;
	for (size_t i = 0; i < old_cap; i++) {
		if (old[i])
			texts[text_slot(graph, old[i])] = old[i];
	}
	free(old);
	return true;
}

/* The one copy of a text; NULL for NULL, or where memory is out: then a name is missing. */
static const char *keep(cairn_lineage *graph, const char *text)
{
	size_t at;

	if (!text || (2 * graph->n_texts >= graph->cap_texts && !grow_texts(graph)))
		return NULL;
	at = text_slot(graph, text);
	if (!graph->texts[at]) {
		graph->texts[at] = cairn_arena_strdup(graph->arena, text);
		graph->n_texts++;
	}
	return graph->texts[at];
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

static const char *node_text(walk *w, const json_t *result, const char *field)
{
	return keep(w->graph, cairn_json_string(result, field, NULL));
}

/* Reads the record of a stage; of `linked`, ports that point back to where it was found are taken
 * from it by the caller, who gives it back. NULL where there is no such record. */
static int read_stage(walk *w, cairn_lineage_node *node, json_t **linked)
{
	bool up = w->options->direction == CAIRN_LINEAGE_UP;
	json_t *result = NULL;
	cairn_key key;
	int rc;

	memcpy(key.bytes, node->bytes, sizeof(key.bytes));
	rc = cairn_record_result(&result, w->snapshot, &key, w->err);
	if (rc < 0)
		return rc == CAIRN_ENOTFOUND ? 0 : rc;
	node->instance = node_text(w, result, "instance");
	node->plugin = node_text(w, result, "plugin");
	node->version = node_text(w, result, "version");
	node->run = node_text(w, result, "run");
	node->blessed = json_incref(json_object_get(result, "blessed"));
	if (!(node->blessed && w->options->only_made && up))
		node->ports = json_incref(json_object_get(result, up ? "inputs" : "outputs"));
	*linked = json_incref(json_object_get(result, up ? "outputs" : "inputs"));
	json_decref(result);
	return 0;
}

/* The index of a node that is there already. */
static bool find(walk *w, bool is_stage, const uint8_t bytes[32], size_t *out)
{
	size_t slot;

	if (!w->graph->n_slots)
		return false;
	slot = w->graph->slots[slot_of(w->graph, is_stage, bytes)];
	*out = slot - 1;
	return slot > 0;
}

/* Adds a node that is not there yet; 1 where there is no room. */
static int add(walk *w, bool is_stage, const uint8_t bytes[32], uint32_t depth, size_t *out)
{
	cairn_lineage *graph = w->graph;
	cairn_lineage_node *node;

	if (graph->n_nodes >= w->max_nodes) {
		w->is_full = graph->is_truncated = true;
		return 1;
	}
	if (graph->n_nodes == graph->cap_nodes && grow(graph) < 0)
		return no_memory(w->err);
	node = &graph->nodes[graph->n_nodes];
	*node = (cairn_lineage_node){.is_stage = is_stage, .depth = depth, .n_bytes = -1};
	memcpy(node->bytes, bytes, sizeof(node->bytes));
	*out = graph->n_nodes++;
	graph->slots[slot_of(graph, is_stage, bytes)] = *out + 1;
	return 0;
}

static int find_or_add(walk *w, bool is_stage, const uint8_t bytes[32], uint32_t depth, size_t *out)
{
	return find(w, is_stage, bytes, out) ? 0 : add(w, is_stage, bytes, depth, out);
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
	graph->edges[graph->n_edges++] = (cairn_lineage_edge){from, to, keep(graph, port)};
	return 0;
}

/* What a stage's record says about an artifact at one of its ports. */
static void learn(walk *w, size_t at, const json_t *bound)
{
	cairn_lineage_node *artifact = &w->graph->nodes[at];

	if (!artifact->kind)
		artifact->kind = node_text(w, bound, "kind");
	if (!artifact->source)
		artifact->source = node_text(w, bound, "source");
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
static int link_artifact(walk *w, size_t artifact, size_t stage, const json_t *ports)
{
	bool up = w->graph->direction == CAIRN_LINEAGE_UP;
	json_t *bound, *one;
	const char *port;
	size_t i;
	int rc = 0;

	json_object_foreach((json_t *)ports, port, bound)
	{
		for (i = 0; rc == 0 && i < (up ? 1 : json_array_size(bound)); i++) {
			one = up ? bound : json_array_get(bound, i);
			if (!is_bound_to(one, w->graph->nodes[artifact].bytes))
				continue;
			learn(w, artifact, one);
			rc = up ? add_edge(w, artifact, stage, artifact, port)
				: add_edge(w, artifact, artifact, stage, port);
		}
	}
	return rc;
}

/* A stage that was met before has told its ports; they are read once more. */
static int reach_stage(walk *w, size_t artifact, const uint8_t key[32], uint32_t depth)
{
	bool up = w->options->direction == CAIRN_LINEAGE_UP;
	json_t *ports = NULL, *result = NULL;
	cairn_key bytes;
	size_t stage;
	int rc;

	if (find(w, true, key, &stage)) {
		memcpy(bytes.bytes, key, sizeof(bytes.bytes));
		rc = cairn_record_result(&result, w->snapshot, &bytes, w->err);
		if (rc < 0)
			return rc == CAIRN_ENOTFOUND ? 0 : rc;
		ports = json_incref(json_object_get(result, up ? "outputs" : "inputs"));
		json_decref(result);
	} else {
		rc = add(w, true, key, depth, &stage);
		if (rc == 0)
			rc = read_stage(w, &w->graph->nodes[stage], &ports);
	}
	if (rc == 0)
		rc = link_artifact(w, artifact, stage, ports);
	json_decref(ports);
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
	size_t fan = w->options->max_fan, i;
	int rc = cairn_snapshot_scan(
		w->snapshot, table, w->graph->nodes[at].bytes, 32, false, take_key, &list, w->err);

	for (i = 0; rc == 0 && i < list.n && (!fan || i < fan); i++)
		rc = reach_stage(w, at, list.keys[i], depth);
	if (rc == 1)
		i--; /* that one found no room */
	if (i < list.n) {
		w->graph->nodes[at].n_more = list.n - i;
		w->graph->is_truncated = true;
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
	if (rc == 1)
		w->graph->nodes[at].n_more++;
	if (rc != 0)
		return rc < 0 ? rc : 0;
	learn(w, artifact, bound);
	return w->graph->direction == CAIRN_LINEAGE_UP ? add_edge(w, at, artifact, at, port)
						       : add_edge(w, at, at, artifact, port);
}

static int expand_stage(walk *w, size_t at)
{
	bool up = w->graph->direction == CAIRN_LINEAGE_UP;
	json_t *ports = w->graph->nodes[at].ports, *bound, *one;
	const char *port;
	size_t i;
	int rc = 0;

	w->graph->nodes[at].ports = NULL;
	json_object_foreach(ports, port, bound)
	{
		if (!up && rc == 0)
			rc = expand_port(w, at, port, bound);
		json_array_foreach(up ? bound : NULL, i, one)
		{
			if (rc == 0)
				rc = expand_port(w, at, port, one);
		}
	}
	json_decref(ports);
	return rc;
}

/* ---- the walk ------------------------------------------------------------------------- */

static int add_start(walk *w, const cairn_lineage_start *start)
{
	json_t *linked = NULL;
	size_t at;
	int rc;

	if (find(w, start->is_stage, start->bytes, &at))
		return 0;
	rc = add(w, start->is_stage, start->bytes, 0, &at);
	if (rc == 0 && start->is_stage)
		rc = read_stage(w, &w->graph->nodes[at], &linked);
	json_decref(linked);
	return rc;
}

int cairn_lineage_explore(cairn_lineage *out, cairn_snapshot *snapshot,
	const cairn_lineage_start *starts, size_t n_starts, const cairn_lineage_options *options,
	cairn_error *err)
{
	cairn_lineage graph = {.direction = options->direction, .arena = cairn_arena_new()};
	walk w = {&graph, snapshot, options, options->max_nodes, false, err};
	int rc = 0;

	if (!w.max_nodes || w.max_nodes > CAIRN_LINEAGE_MAX_NODES)
		w.max_nodes = CAIRN_LINEAGE_MAX_NODES;
	for (size_t i = 0; rc == 0 && i < n_starts; i++)
		rc = add_start(&w, &starts[i]);
	graph.n_starts = graph.n_nodes;
	for (size_t at = 0; rc >= 0 && at < graph.n_nodes && !w.is_full; at++) {
		if (options->max_depth && graph.nodes[at].depth >= options->max_depth) {
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

int cairn_lineage_walk(cairn_lineage *out, cairn_snapshot *snapshot, const cairn_id *start,
	enum cairn_lineage_direction direction, uint32_t max_depth, cairn_error *err)
{
	cairn_lineage_options options = {.direction = direction, .max_depth = max_depth};
	cairn_lineage_start from = {.is_stage = false};

	memcpy(from.bytes, start->bytes, sizeof(from.bytes));
	return cairn_lineage_explore(out, snapshot, &from, 1, &options, err);
}

void cairn_lineage_free(cairn_lineage *lineage)
{
	for (size_t i = 0; i < lineage->n_nodes; i++) {
		json_decref(lineage->nodes[i].ports);
		json_decref(lineage->nodes[i].blessed);
	}
	free(lineage->nodes);
	free(lineage->edges);
	free(lineage->slots);
	free(lineage->texts);
	if (lineage->arena)
		cairn_arena_free(lineage->arena);
	*lineage = (cairn_lineage){0};
}
