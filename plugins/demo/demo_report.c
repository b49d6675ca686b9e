/* SPDX-License-Identifier: Apache-2.0 */
/* demo_report.c - what became of the rows, for people and for programs. */
#include <inttypes.h>
#include <string.h>

#include "demo.h"

static json_t *counts_json(const struct demo_counts *c)
{
	json_t *pii = json_object();

	for (int i = 0; i < PII_TYPES; i++)
		json_object_set_new(pii, pii_names[i], json_integer((json_int_t)c->pii[i]));
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I}", "files",
		(json_int_t)c->files, "read", (json_int_t)c->read, "bad", (json_int_t)c->bad,
		"duplicates", (json_int_t)c->duplicates, "over_cap", (json_int_t)c->over_cap, "pii",
		pii, "pii_rows", (json_int_t)c->pii_rows, "train", (json_int_t)c->train, "valid",
		(json_int_t)c->valid);
}

static void print_counts(cairn_text *text, const char *what, const struct demo_counts *c, int pii)
{
	static const char *const done[] = {"left as they are", "dropped", "masked"};

	cairn_text_printf(text, "%s\n", what);
	cairn_text_printf(text, "  read        %8" PRIu64 "  rows of %" PRIu64 " file%s\n", c->read,
		c->files, c->files == 1 ? "" : "s");
	cairn_text_printf(text, "  bad         %8" PRIu64 "  left out\n", c->bad);
	cairn_text_printf(text, "  duplicates  %8" PRIu64 "  left out\n", c->duplicates);
	cairn_text_printf(text, "  over cap    %8" PRIu64 "  left out\n", c->over_cap);
	cairn_text_printf(
		text, "  PII         %8" PRIu64 "  training rows, %s:", c->pii_rows, done[pii]);
	for (int i = 0; i < PII_TYPES; i++)
		cairn_text_printf(text, " %s %" PRIu64, pii_names[i], c->pii[i]);
	cairn_text_printf(text, "\n  train       %8" PRIu64 "\n", c->train);
	cairn_text_printf(text, "  valid       %8" PRIu64 "  other users\n", c->valid);
}

static int put_text(
	const struct demo_work *w, cairn_writer *writer, const char *name, const char *text)
{
	cairn_tensor entry = {.name = name,
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {strlen(text)},
		.data = text,
		.bytes = strlen(text)};

	return w->host->put(writer, &entry);
}

int demo_report(const struct demo_work *w)
{
	json_t *json = json_pack("{s:s, s:o}", "schema", "cairn.demo-report/1", "demos",
		counts_json(&w->demos.counts));
	cairn_writer *writer;
	cairn_text text = {0};
	char *machine = NULL;
	int rc;

	print_counts(&text, "demonstrations", &w->demos.counts, w->params->pii);
	if (json && w->prompts.counts.files) {
		json_object_set_new(json, "prompts", counts_json(&w->prompts.counts));
		print_counts(&text, "prompts", &w->prompts.counts, w->params->pii);
	}
	if (json)
		machine = cairn_json_pretty(json);
	if (!machine || text.failed) {
		rc = w->host->fail(w->run, CAIRN_ENOMEM, "no memory for the report");
		goto out;
	}
	if ((rc = w->host->output_begin(w->run, "report", &writer)) ||
		(rc = put_text(w, writer, "report.json", machine)) ||
		(rc = put_text(w, writer, "highlight.txt", text.data)))
		goto out;
	rc = w->host->commit(writer);
out:
	free(machine);
	cairn_text_free(&text);
	json_decref(json);
	return rc;
}
