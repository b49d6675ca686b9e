/* SPDX-License-Identifier: Apache-2.0 */
/* du.c - `cairn du`: what takes the room. */
#include "audit/du.h"
#include "cli/cli.h"

static void print_rows(cli *c, const json_t *rows)
{
	cli_table *table = cli_table_new(c, ">BYTES|>EXCLUSIVE|>ARTIFACTS|WHAT|NAME|WORKFLOW");
	const json_t *row;
	char text[32];
	size_t i;

	json_array_foreach(rows, i, row)
	{
		cli_table_row(table);
		cli_table_cell(table, "%s", cli_bytes(text, cairn_json_number(row, "bytes", 0)));
		cli_table_cell(
			table, "%s", cli_bytes(text, cairn_json_number(row, "exclusive", 0)));
		cli_table_cell(table, "%lld", (long long)cairn_json_integer(row, "artifacts", 0));
		cli_table_cell(table, "%s", cairn_json_string(row, "what", ""));
		cli_table_cell(table, "%s", cairn_json_string(row, "name", ""));
		cli_table_cell(table, "%s", cairn_json_string(row, "workflow", "-"));
	}
	if (json_array_size(rows))
		cli_table_print(table, stdout, c->color_out);
}

static void print_sizes(const json_t *document)
{
	const json_t *index = json_object_get(document, "index");
	const json_t *segments = json_object_get(document, "segments");
	char a[32], b[32];

	printf("\nindex: %s, of which %s in use\n",
		cli_bytes(a, cairn_json_number(index, "bytes", 0)),
		cli_bytes(b, cairn_json_number(index, "used_bytes", 0)));
	printf("segments: %s in %lld files, of which %s in use\n",
		cli_bytes(a, cairn_json_number(segments, "bytes", 0)),
		(long long)cairn_json_integer(segments, "n", 0),
		cli_bytes(b, cairn_json_number(segments, "live_bytes", 0)));
}

int cli_du(cli *c)
{
	cairn_store *store = NULL;
	json_t *document = NULL;
	cairn_error err = {0};
	int rc = cli_open_store(c, &store, CAIRN_STORE_READONLY, &err);

	if (rc == 0)
		rc = cairn_du_report(&document, store, c->args, (size_t)c->n_args, &err);
	cairn_store_close(store);
	if (rc < 0)
		return cli_error(c, &err);
	if (c->json)
		return cli_print_json(document, "cairn.du/1");
	print_rows(c, json_object_get(document, "rows"));
	if (!c->quiet)
		print_sizes(document);
	json_decref(document);
	return CLI_OK;
}
