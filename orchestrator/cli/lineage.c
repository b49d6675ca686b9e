/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage.c - `cairn lineage up|down ARTIFACT`: the graph, drawn as an indented tree.
 *
 * A base model has a million descendants, and nobody reads a million lines: a person gets the
 * first MAX_NODES, a script (--json) all, either as many as --limit says.
 */
#include "audit/lineage.h"

#include <string.h>

#include "base/alloc.h"
#include "cli/cli.h"

#define COMMIT    "commit:"
#define MAX_NODES 1000
#define FAN_SHARE 10 /* one node's neighbours may be a tenth of all */

static void print_artifact(cli *c, const cairn_lineage_node *node, const char *port)
{
	char hex[2 * sizeof(node->bytes) + 1], text[32];

	cairn_hex_encode(node->bytes, sizeof(node->bytes), hex);
	if (port)
		printf("%s: ", cli_safe(c, port));
	printf("%s%.12s%s", cli_style(c->color_out, CLI_BOLD), hex,
		cli_style(c->color_out, CLI_PLAIN));
	if (node->kind)
		printf("  %s", cli_safe(c, node->kind));
	if (node->n_bytes >= 0)
		printf("  %s", cli_bytes(text, (double)node->n_bytes));
	if (node->source)
		printf("  %s", cli_safe(c, node->source));
}

/* An earlier result that was accepted in place of a run. */
static void print_blessing(cli *c, const cairn_lineage_node *node, bool up)
{
	char when[32];

	printf("%s %s%s%s by %s on %s: %s", up ? "accepted as" : "accepted for",
		cli_style(c->color_out, CLI_YELLOW), cli_safe(c, node->instance),
		cli_style(c->color_out, CLI_PLAIN),
		cli_safe(c, cairn_json_string(node->blessed, "by", "?")),
		cli_time(when, cairn_json_integer(node->blessed, "ms", 0)),
		cli_safe(c, cairn_json_string(node->blessed, "reason", "?")));
}

static void print_stage(
	cli *c, const cairn_lineage_node *node, bool up, const char *port, const json_t *result)
{
	if (node->blessed) {
		print_blessing(c, node, up);
		return;
	}
	if (!node->instance) {
		printf("%s a stage whose record is gone", up ? "made by" : "read by");
		return;
	}
	printf("%s %s%s%s",
		node->depth == 0 ? "computed"
		: up             ? "made by"
				 : "read by",
		cli_style(c->color_out, CLI_BLUE), cli_safe(c, node->instance),
		cli_style(c->color_out, CLI_PLAIN));
	if (port)
		printf(" as %s", cli_safe(c, port));
	if (node->plugin)
		printf("  %s", cli_safe(c, node->plugin));
	if (node->version && node->version[0])
		printf(" %s", cli_safe(c, node->version));
	if (json_object_get(result, "origins"))
		printf("  by %s", cli_safe(c, cairn_json_string(result, "user", "?")));
	else if (node->run)
		printf("  run %s", cli_safe(c, node->run));
	if (cairn_json_string(result, "backend", NULL))
		printf("  on %s", cli_safe(c, cairn_json_string(result, "backend", "")));
}

/* With -v: in what numbers it computed, and what was chosen for the shapes that it met. */
static void print_compute(cli *c, const json_t *result, int indent)
{
	const json_t *compute = json_object_get(result, "compute");
	const char *line = cairn_json_string(compute, "chosen", "");

	if (!compute)
		return;
	printf("%*snumerics %s\n", indent, "",
		cli_safe(c, cairn_json_string(compute, "numerics", "?")));
	while (*line) {
		size_t len = strcspn(line, "\n");

		printf("%*s%s\n", indent, "",
			cli_safe(c, cairn_arena_strndup(c->arena, line, len)));
		line += len + (line[len] != '\0');
	}
}

/* The files that an import read: where the lineage leaves the store. */
static void print_origins(cli *c, const json_t *result, int indent)
{
	json_t *origin, *file;
	char text[32];
	size_t i, f;

	json_array_foreach(json_object_get(result, "origins"), i, origin)
	{
		printf("%*sfrom %s\n", indent, "",
			cli_safe(c, cairn_json_string(origin, "path", "?")));
		json_array_foreach(json_object_get(origin, "files"), f, file) printf(
			"%*s  %.12s  %s  %s\n", indent, "", cairn_json_string(file, "sha256", "?"),
			cli_bytes(text, cairn_json_number(file, "bytes", 0)),
			cli_safe(c, cairn_json_string(file, "name", "?")));
	}
}

struct visit {
	size_t node;
	const char *port;
	uint32_t level;
};

/* What hangs below a node, pushed last to first so that it is printed first to last. */
static size_t push_children(
	const cairn_lineage *l, size_t at, uint32_t level, struct visit *stack, size_t n)
{
	const cairn_lineage_node *node = &l->nodes[at];

	for (size_t i = node->n_edges; i-- > 0;) {
		const cairn_lineage_edge *edge = &l->edges[node->first_edge + i];
		size_t other = l->direction == CAIRN_LINEAGE_UP ? edge->from : edge->to;
		stack[n++] = (struct visit){other, edge->port, level + 1};
	}
	return n;
}

static json_t *result_of(const cairn_lineage_node *node, cairn_snapshot *snapshot)
{
	json_t *result = NULL;
	cairn_key key;

	memcpy(key.bytes, node->bytes, sizeof(key.bytes));
	return cairn_record_result(&result, snapshot, &key, NULL) < 0 ? NULL : result;
}

/* Depth first with a stack of our own: a lineage may be deeper than the C stack. */
static int print_tree(cli *c, const cairn_lineage *l, cairn_snapshot *snapshot)
{
	struct visit *stack = cairn_alloc(l->n_edges + l->n_starts, sizeof(*stack));
	bool *is_shown = cairn_alloc(l->n_nodes, sizeof(*is_shown));
	bool up = l->direction == CAIRN_LINEAGE_UP;
	size_t n = 0;

	if (!stack || !is_shown) {
		free(stack);
		free(is_shown);
		return cli_fail(c, CAIRN_ENOMEM, NULL, "out of memory drawing the lineage");
	}
	for (size_t i = l->n_starts; i-- > 0;)
		stack[n++] = (struct visit){i, NULL, 0};
	while (n > 0) {
		struct visit at = stack[--n];
		const cairn_lineage_node *node = &l->nodes[at.node];
		json_t *result = NULL;
		printf("%*s", (int)(2 * at.level), "");
		/* With what it computed; of what was imported, who did it, and from where. */
		if (node->is_stage && node->instance)
			result = result_of(node, snapshot);
		if (node->is_stage)
			print_stage(c, node, up, at.port, result);
		else
			print_artifact(c, node, at.port);
		if (is_shown[at.node]) {
			printf("%s\n", node->n_edges ? "  (above)" : "");
			json_decref(result);
			continue;
		}
		if (node->n_more)
			printf("  (%zu of %zu shown)", node->n_edges, node->n_edges + node->n_more);
		putchar('\n');
		is_shown[at.node] = true;
		if (node->is_stage && up)
			print_origins(c, result, (int)(2 * at.level) + 2);
		if (node->is_stage && !node->blessed && c->verbose)
			print_compute(c, result, (int)(2 * at.level) + 2);
		json_decref(result);
		n = push_children(l, at.node, at.level, stack, n);
	}
	if (l->is_truncated)
		puts(c->depth ? "(cut: there is more)"
			      : "(cut: there is more; all with `--limit 0`)");
	free(stack);
	free(is_shown);
	return CLI_OK;
}

/* The start's kind and size are in no record where nothing made or read it. */
static void describe_start(cli *c, cairn_lineage *lineage, cairn_store *store)
{
	cairn_object *object = NULL;
	cairn_id id;

	if (lineage->n_nodes == 0 || lineage->nodes[0].is_stage)
		return;
	memcpy(id.bytes, lineage->nodes[0].bytes, sizeof(id.bytes));
	if (cairn_object_open(&object, store, &id, NULL) < 0)
		return;
	lineage->nodes[0].kind = cairn_arena_strdup(c->arena, cairn_object_kind(object));
	lineage->nodes[0].n_bytes = (int64_t)cairn_object_bytes(object);
	cairn_object_close(object);
}

static cairn_lineage_options options_of(const cli *c, bool up)
{
	cairn_lineage_options options = {
		.direction = up ? CAIRN_LINEAGE_UP : CAIRN_LINEAGE_DOWN,
		.max_depth = (uint32_t)c->depth,
	};

	if (c->limit >= 0)
		options.max_nodes = (size_t)c->limit;
	else if (!c->json)
		options.max_nodes = MAX_NODES;
	if (options.max_nodes && !c->json)
		options.max_fan = (options.max_nodes + FAN_SHARE - 1) / FAN_SHARE;
	return options;
}

/* Where the walk begins: an artifact, or what a commit's code computed. */
static int find_starts(cli *c, const cli_reader *reader, bool up, cairn_lineage_start **out,
	size_t *n, cairn_error *err)
{
	const char *what = c->args[1];
	cairn_id id;
	int rc;

	if (strncmp(what, COMMIT, strlen(COMMIT)) == 0) {
		if (up)
			return cairn_error_set(err, CAIRN_EUSAGE,
				"a commit has no origin in the store: ask for `down`");
		return cairn_lineage_of_commit(
			out, n, reader->snapshot, what + strlen(COMMIT), err);
	}
	rc = cairn_resolve_artifact(&id, reader->store, reader->snapshot, what, err);
	if (rc < 0)
		return rc;
	*out = cairn_alloc(1, sizeof(**out));
	if (!*out)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory for the lineage");
	memcpy((*out)->bytes, id.bytes, sizeof(id.bytes));
	*n = 1;
	return 0;
}

int cli_lineage(cli *c)
{
	cli_reader reader = {0};
	cairn_lineage lineage = {0};
	cairn_lineage_start *starts = NULL;
	bool up = strcmp(c->args[0], "up") == 0;
	cairn_lineage_options options = options_of(c, up);
	cairn_error err = {0};
	size_t n = 0;
	int status, rc;

	if (!up && strcmp(c->args[0], "down") != 0)
		return cli_fail(c, CAIRN_EUSAGE, "Write `cairn lineage up ARTIFACT`.",
			"'%.100s' is neither 'up' nor 'down'", c->args[0]);
	rc = cli_reader_open(c, &reader, &err);
	if (rc == 0)
		rc = find_starts(c, &reader, up, &starts, &n, &err);
	if (rc == 0)
		rc = cairn_lineage_explore(&lineage, reader.snapshot, starts, n, &options, &err);
	if (rc == 0)
		describe_start(c, &lineage, reader.store);
	if (rc < 0)
		status = cli_error(c, &err);
	else if (c->json)
		status = cli_print_json(
			cairn_lineage_to_json(&lineage, reader.snapshot), "cairn.lineage/1");
	else
		status = print_tree(c, &lineage, reader.snapshot);
	free(starts);
	cairn_lineage_free(&lineage);
	cli_reader_close(&reader);
	return status;
}
