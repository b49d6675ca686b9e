/* SPDX-License-Identifier: Apache-2.0 */
/* demo_report.c - what became of the rows, for people and for programs. */
#include <inttypes.h>
#include <string.h>

#include "demo.h"

/* People who are named in rows of the set, after everything else. */
static size_t count_people(const struct demo_set *set, bool labelers)
{
	json_t *names = json_object();
	size_t n;

	for (size_t i = 0; i < set->n; i++) {
		const char *name = labelers ? set->rows[i].labeler : set->rows[i].user;

		if (name && name[0])
			json_object_set_new(names, name, json_true());
	}
	n = json_object_size(names);
	json_decref(names);
	return n;
}

static json_t *counts_json(const struct demo_set *set)
{
	const struct demo_counts *c = &set->counts;
	json_t *pii = json_object(), *json;

	for (int i = 0; i < PII_TYPES; i++)
		json_object_set_new(pii, pii_names[i], json_integer((json_int_t)c->pii[i]));
	json = json_pack("{s:I, s:I, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:I}", "read",
		(json_int_t)set->tally.records, "bad", (json_int_t)set->tally.bad.n, "duplicates",
		(json_int_t)c->duplicates, "over_cap", (json_int_t)c->over_cap, "pii", pii,
		"pii_rows", (json_int_t)c->pii_rows, "train", (json_int_t)c->train, "valid",
		(json_int_t)c->valid, "users", (json_int_t)count_people(set, false), "labelers",
		(json_int_t)count_people(set, true));
	if (json && !gpt_tally_json(&set->tally, json))
		return json;
	json_decref(json);
	return NULL;
}

static void print_counts(cairn_text *text, const char *what, const struct demo_set *set, int pii)
{
	const struct demo_counts *c = &set->counts;
	const gpt_tally *tally = &set->tally;
	static const char *const done[] = {"left as they are", "dropped", "masked"};

	cairn_text_printf(text, "%s\n", what);
	cairn_text_printf(text, "  read        %8" PRIu64 "  records of %zu file%s\n",
		tally->records, tally->n_files, tally->n_files == 1 ? "" : "s");
	cairn_text_printf(text, "  bad         %8" PRIu64 "  left out\n", tally->bad.n);
	cairn_text_printf(text, "  duplicates  %8" PRIu64 "  left out\n", c->duplicates);
	cairn_text_printf(text, "  over cap    %8" PRIu64 "  left out\n", c->over_cap);
	cairn_text_printf(
		text, "  PII         %8" PRIu64 "  training rows, %s:", c->pii_rows, done[pii]);
	for (int i = 0; i < PII_TYPES; i++)
		cairn_text_printf(text, " %s %" PRIu64, pii_names[i], c->pii[i]);
	cairn_text_printf(text, "\n  train       %8" PRIu64 "\n", c->train);
	cairn_text_printf(text, "  valid       %8" PRIu64 "  other users\n", c->valid);
	gpt_tally_print(tally, text);
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
	json_t *json = json_pack(
		"{s:s, s:o}", "schema", "cairn.demo-report/2", "demos", counts_json(&w->demos));
	cairn_writer *writer;
	cairn_text text = {0};
	char *machine = NULL;
	int rc;

	print_counts(&text, "demonstrations", &w->demos, w->params->pii);
	if (json && w->prompts.tally.n_files) {
		json_object_set_new(json, "prompts", counts_json(&w->prompts));
		print_counts(&text, "prompts", &w->prompts, w->params->pii);
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
