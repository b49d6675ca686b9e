/* SPDX-License-Identifier: Apache-2.0 */
/* compact.c - `cairn compact`: smaller files for the same store. */
#include "cairn/gc.h"
#include "cli/cli.h"

static json_t *document(const cairn_compact_report *report)
{
	const cairn_gc_report *segments = &report->segments;

	return json_pack("{s:{s:I, s:I}, s:{s:I, s:I}}", "index", "bytes_before",
		(json_int_t)report->index_before, "bytes_after", (json_int_t)report->index_after,
		"segments", "bytes_before", (json_int_t)segments->segment_bytes_before,
		"bytes_after", (json_int_t)segments->segment_bytes_after);
}

static void print_report(const cairn_compact_report *report)
{
	const cairn_gc_report *segments = &report->segments;
	char a[32], b[32];

	printf("index: %s -> %s\n", cli_bytes(a, (double)report->index_before),
		cli_bytes(b, (double)report->index_after));
	printf("segments: %s -> %s\n", cli_bytes(a, (double)segments->segment_bytes_before),
		cli_bytes(b, (double)segments->segment_bytes_after));
}

int cli_compact(cli *c)
{
	cairn_compact_report report;
	cairn_store *store = NULL;
	cairn_error err = {0};
	int rc = cli_open_store(c, &store, 0, &err);

	if (rc == 0)
		rc = cairn_store_compact(store, &report, &err);
	cairn_store_close(store);
	if (rc < 0)
		return cli_error(c, &err);
	if (c->json)
		return cli_print_json(document(&report), "cairn.compact/1");
	print_report(&report);
	return CLI_OK;
}
