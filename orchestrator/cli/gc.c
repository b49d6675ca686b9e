/* SPDX-License-Identifier: Apache-2.0 */
/* gc.c - `cairn gc`: what nothing needs any more; what would go with runs that are given up. */
#include "cairn/gc.h"

#include "audit/roots.h"
#include "cli/cli.h"

static int retention_of(const cli *c, cairn_retention *out)
{
	*out = (cairn_retention){
		.keep_runs = (uint64_t)c->keep_runs, .drop_checkpoints = c->checkpoints};
	if (c->older_than_s > 0)
		out->before_ms = cairn_now_ms() - (int64_t)(c->older_than_s * 1000);
	return 0;
}

/* ---- as a document ---------------------------------------------------------------------- */

static json_t *count(const cairn_gc_count *count)
{
	return json_pack(
		"{s:I, s:I}", "n", (json_int_t)count->n, "bytes", (json_int_t)count->bytes);
}

static json_t *document(
	const cairn_gc_report *report, json_t *take_losses, json_t *take_leases, bool is_done)
{
	return json_pack("{s:b, s:o, s:o, s:{s:I, s:I}, s:{s:o, s:o, s:o}, s:{s:o, s:o, s:o}, s:o,"
			 "s:{s:o, s:o, s:o, s:o, s:I, s:I}}",
		"deleted", is_done, "runs", take_losses, "leases", take_leases, "roots", "n",
		(json_int_t)report->n_roots, "missing", (json_int_t)report->n_missing, "live",
		"artifacts", count(&report->live_artifacts), "blobs", count(&report->live_blobs),
		"chunks", count(&report->live_chunks), "dead", "artifacts",
		count(&report->dead_artifacts), "blobs", count(&report->dead_blobs), "chunks",
		count(&report->dead_chunks), "held", count(&report->held), "segments", "removed",
		count(&report->segments_removed), "rewritten", count(&report->segments_rewritten),
		"in_use", count(&report->segments_in_use), "damaged",
		count(&report->segments_damaged), "bytes_before",
		(json_int_t)report->segment_bytes_before, "bytes_after",
		(json_int_t)report->segment_bytes_after);
}

/* ---- as text ----------------------------------------------------------------------------- */

static void print_losses(cli *c, const json_t *losses, bool is_done)
{
	cli_table *table;
	const json_t *loss;
	char text[32];
	size_t i;

	if (!json_array_size(losses))
		return;
	table = cli_table_new(c, "RUN|WORKFLOW|STATE|STARTED|>OUTPUTS|>CHECKPOINTS|>BYTES");
	json_array_foreach(losses, i, loss)
	{
		const char *run = cairn_json_string(loss, "run", NULL);

		cli_table_row(table);
		cli_table_cell(table, "%s", run ? run : "(runs that stay)");
		cli_table_cell(table, "%s", cairn_json_string(loss, "workflow", "-"));
		cli_table_cell(table, "%s", cairn_json_string(loss, "state", "-"));
		cli_table_cell(table, "%s",
			run ? cli_time(text, cairn_json_integer(loss, "start_ms", 0)) : "-");
		cli_table_cell(table, "%lld", (long long)cairn_json_integer(loss, "outputs", 0));
		cli_table_cell(
			table, "%lld", (long long)cairn_json_integer(loss, "checkpoints", 0));
		cli_table_cell(table, "%s", cli_bytes(text, cairn_json_number(loss, "bytes", 0)));
	}
	printf("%s\n\n", is_done ? "these runs lost outputs and resume state:"
				 : "these runs would lose outputs and resume state:");
	cli_table_print(table, stdout, c->color_out);
	printf("\nTheir records, costs and lineage stay. A stage that needs an output again runs "
	       "again.\n\n");
}

static void print_leases(cli *c, const json_t *leases, const cairn_gc_report *report)
{
	const json_t *lease;
	char text[32];
	size_t i;

	if (!report->held.n)
		return;
	printf("%llu parts (%s) are not named, but were written lately beside",
		(unsigned long long)report->held.n, cli_bytes(text, (double)report->held.bytes));
	json_array_foreach(leases, i, lease) printf("%s process %lld on %s (lease %.8s)",
		i ? "," : "", (long long)cairn_json_integer(lease, "pid", 0),
		cli_safe(c, cairn_json_string(lease, "host", "?")),
		cairn_json_string(lease, "id", "?"));
	printf("; they wait for its end.\n");
}

static void print_report(cli *c, const cairn_gc_report *report, const json_t *losses,
	const json_t *leases, bool is_done)
{
	uint64_t dead =
		report->dead_artifacts.bytes + report->dead_blobs.bytes + report->dead_chunks.bytes;
	uint64_t freed = report->segment_bytes_before - report->segment_bytes_after;
	char a[32], b[32];

	if (!c->quiet) {
		print_losses(c, losses, is_done);
		print_leases(c, leases, report);
	}
	printf("%s %llu artifacts, %s; segments: %s of %s\n", is_done ? "freed" : "would free",
		(unsigned long long)report->dead_artifacts.n, cli_bytes(a, (double)dead),
		cli_bytes(b, (double)freed),
		cli_bytes((char[32]){0}, (double)report->segment_bytes_before));
	if (report->segments_damaged.n)
		printf("%llu segments hold damaged chunks and were left: see `cairn fsck`\n",
			(unsigned long long)report->segments_damaged.n);
	if (!is_done && !c->quiet)
		printf("nothing was changed: add --delete to do it\n");
}

/* ---- the work ------------------------------------------------------------------------------ */

static int add_lease(void *arg, const cairn_lease_info *lease, cairn_error *err)
{
	(void)err;
	if (lease->is_own)
		return 0;
	json_array_append_new(arg,
		json_pack("{s:s, s:s, s:s, s:I, s:I, s:I}", "id", lease->id, "kind", lease->kind,
			"host", lease->host, "pid", (json_int_t)lease->pid, "epoch",
			(json_int_t)lease->epoch, "seen_ms", (json_int_t)lease->seen_ms));
	return 0;
}

static int collect(
	cli *c, cairn_store *store, json_t **losses, cairn_gc_report *report, cairn_error *err)
{
	cairn_gc_options options = {.roots = cairn_roots_tell, .is_dry_run = !c->delete};
	cairn_retention retention;
	cairn_roots *roots;
	size_t n_files = 0;
	int rc = retention_of(c, &retention);

	if (rc == 0)
		rc = cairn_roots_open(&roots, store, &retention, err);
	if (rc < 0)
		return rc;
	options.roots_arg = roots;
	rc = cairn_roots_losses(losses, roots, store, err);
	if (rc == 0 && c->delete)
		rc = cairn_roots_apply(roots, store, err);
	if (rc == 0)
		rc = cairn_store_gc(store, &options, report, err);
	if (rc == 0 && c->delete)
		rc = cairn_roots_forget_files(store, &n_files, err);
	cairn_roots_close(roots);
	return rc;
}

static int break_lease(cli *c, cairn_store *store)
{
	cairn_error err = {0};

	if (cairn_store_break_lease(store, c->break_lease, &err) < 0)
		return cli_error(c, &err);
	if (c->json)
		return cli_print_json(json_pack("{s:s}", "broken", c->break_lease), "cairn.gc/1");
	printf("broken\n");
	return CLI_OK;
}

static int gc(cli *c, cairn_store *store)
{
	cairn_gc_report report = {0};
	json_t *losses = NULL, *leases = json_array();
	cairn_error err = {0};
	int rc = collect(c, store, &losses, &report, &err), status = CLI_OK;

	if (rc == 0)
		rc = cairn_store_leases(store, add_lease, leases, &err);
	if (rc < 0)
		status = cli_error(c, &err);
	else if (c->json)
		status = cli_print_json(
			document(&report, json_incref(losses), json_incref(leases), c->delete),
			"cairn.gc/1");
	else
		print_report(c, &report, losses, leases, c->delete);
	json_decref(losses);
	json_decref(leases);
	return status;
}

int cli_gc(cli *c)
{
	cairn_store *store = NULL;
	cairn_error err = {0};
	unsigned flags = c->delete || c->break_lease ? 0 : CAIRN_STORE_READONLY;
	int status;

	if (cli_open_store(c, &store, flags, &err) < 0)
		return cli_error(c, &err);
	status = c->break_lease ? break_lease(c, store) : gc(c, store);
	cairn_store_close(store);
	return status;
}
