/* SPDX-License-Identifier: Apache-2.0 */
/* lineage.c - `cairn lineage up|down ARTIFACT`: the graph, drawn as an indented tree. */
#include "audit/lineage.h"

#include <string.h>

#include "base/alloc.h"
#include "cli/cli.h"

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

static void print_stage(cli *c, const cairn_lineage_node *node, bool up, const char *port)
{
	const json_t *result = node->result;
	const char *version = cairn_json_string(result, "version", "");

	printf("%s %s%s%s", up ? "made by" : "read by", cli_style(c->color_out, CLI_BLUE),
		cli_safe(c, cairn_json_string(result, "instance", "(record is gone)")),
		cli_style(c->color_out, CLI_PLAIN));
	if (port)
		printf(" as %s", cli_safe(c, port));
	printf("  %s", cli_safe(c, cairn_json_string(result, "plugin", "?")));
	if (version[0])
		printf(" %s", cli_safe(c, version));
	if (json_object_get(result, "origins"))
		printf("  by %s", cli_safe(c, cairn_json_string(result, "user", "?")));
	else
		printf("  run %s", cli_safe(c, cairn_json_string(result, "run", "?")));
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

/* Depth first with a stack of our own: a lineage may be deeper than the C stack. */
static int print_tree(cli *c, const cairn_lineage *l)
{
	struct visit *stack = cairn_alloc(l->n_edges + 1, sizeof(*stack));
	bool *is_shown = cairn_alloc(l->n_nodes, sizeof(*is_shown));
	bool up = l->direction == CAIRN_LINEAGE_UP;
	size_t n = 0;

	if (!stack || !is_shown) {
		free(stack);
		free(is_shown);
		return cli_fail(c, CAIRN_ENOMEM, NULL, "out of memory drawing the lineage");
	}
	stack[n++] = (struct visit){0, NULL, 0};
	while (n > 0) {
		struct visit at = stack[--n];
		const cairn_lineage_node *node = &l->nodes[at.node];
		printf("%*s", (int)(2 * at.level), "");
		if (node->is_stage)
			print_stage(c, node, up, at.port);
		else
			print_artifact(c, node, at.port);
		if (is_shown[at.node]) {
			printf("%s\n", node->n_edges ? "  (above)" : "");
			continue;
		}
		putchar('\n');
		is_shown[at.node] = true;
		if (node->is_stage && up)
			print_origins(c, node->result, (int)(2 * at.level) + 2);
		n = push_children(l, at.node, at.level, stack, n);
	}
	if (l->is_truncated)
		puts("(cut: there is more)");
	free(stack);
	free(is_shown);
	return CLI_OK;
}

/* The start's kind and size are in no record where nothing made or read it. */
static void describe_start(cli *c, cairn_lineage *lineage, cairn_store *store, const cairn_id *id)
{
	cairn_object *object = NULL;

	if (cairn_object_open(&object, store, id, NULL) < 0)
		return;
	lineage->nodes[0].kind = cairn_arena_strdup(c->arena, cairn_object_kind(object));
	lineage->nodes[0].n_bytes = (int64_t)cairn_object_bytes(object);
	cairn_object_close(object);
}

int cli_lineage(cli *c)
{
	cli_reader reader = {0};
	cairn_lineage lineage = {0};
	bool up = strcmp(c->args[0], "up") == 0;
	cairn_error err = {0};
	cairn_id id;
	int status, rc;

	if (!up && strcmp(c->args[0], "down") != 0)
		return cli_fail(c, CAIRN_EUSAGE, "Write `cairn lineage up ARTIFACT`.",
			"'%.100s' is neither 'up' nor 'down'", c->args[0]);
	rc = cli_reader_open(c, &reader, &err);
	if (rc == 0)
		rc = cairn_resolve_artifact(&id, reader.store, reader.snapshot, c->args[1], &err);
	if (rc == 0)
		rc = cairn_lineage_walk(&lineage, reader.snapshot, &id,
			up ? CAIRN_LINEAGE_UP : CAIRN_LINEAGE_DOWN, (uint32_t)c->depth, &err);
	if (rc == 0)
		describe_start(c, &lineage, reader.store, &id);
	if (rc < 0)
		status = cli_error(c, &err);
	else if (c->json)
		status = cli_print_json(cairn_lineage_to_json(&lineage), "cairn.lineage/1");
	else
		status = print_tree(c, &lineage);
	cairn_lineage_free(&lineage);
	cli_reader_close(&reader);
	return status;
}
