/* SPDX-License-Identifier: Apache-2.0 */
/*
 * du.c - `cairn du`: each row is an owner of cairn_usage, told of one after the other.
 *
 * Runs come first, newest first; then what tools made, then names. Tools and names that a run
 * before them covers whole would only repeat it: they get a row where they hold an artifact that no
 * run does.
 */
#include "audit/du.h"

#include <string.h>

#include "audit/ports.h"
#include "audit/report.h"
#include "audit/roots_tables.h"
#include "audit/skim.h"

struct work {
	cairn_store *store;
	cairn_snapshot *snapshot;
	cairn_usage *usage;
	json_t *rows;
	uint32_t owner;       /* of the row being made */
	uint64_t n_artifacts; /* that it reaches */
};

struct looking {
	const struct work *work;
	bool *is_new;
};

static int add(void *arg, const cairn_id *id, cairn_error *err)
{
	struct work *work = arg;
	int rc;

	if (work->n_artifacts && cairn_usage_is_last(work->usage, work->owner, id))
		return 0; /* told before */
	rc = cairn_usage_add(work->usage, work->owner, id, err);
	if (rc == CAIRN_ENOTFOUND)
		return 0;
	work->n_artifacts += rc == 0;
	return rc;
}

/* Is it one that no row before reached? */
static int look_for_new(void *arg, const cairn_id *id, cairn_error *err)
{
	const struct looking *looking = arg;

	(void)err;
	*looking->is_new |= !cairn_usage_has(looking->work->usage, id) &&
			    cairn_snapshot_has(looking->work->snapshot, id);
	return 0;
}

/* The sums come at the end, when all owners are known. */
static void end_row(struct work *work, const char *what, const char *name, const char *workflow)
{
	json_array_append_new(work->rows,
		json_pack("{s:s, s:o, s:o, s:I}", "what", what, "name", cairn_record_text(name),
			"workflow", workflow ? cairn_record_text(workflow) : json_null(),
			"artifacts", (json_int_t)work->n_artifacts));
	work->owner++;
}

/* ---- rows ---------------------------------------------------------------------------------- */

static int add_checkpoint(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	json_t *record;
	cairn_id id;
	int rc = cairn_json_parse(&record, value, value_len, "checkpoint", err);

	(void)key, (void)key_len;
	if (rc < 0)
		return rc;
	if (cairn_id_parse(&id, cairn_json_string(record, "id", ""), NULL) == 0)
		rc = add(arg, &id, err);
	json_decref(record);
	return rc;
}

static int add_stage(void *arg, const cairn_key *key, cairn_error *err)
{
	struct work *work = arg;
	const void *text;
	size_t len;
	int rc = cairn_snapshot_get(
		work->snapshot, "result", key->bytes, sizeof(key->bytes), &text, &len, err);

	if (rc == 0)
		rc = cairn_ports_tell(text, len, true, add, work, err);
	if (rc < 0 && rc != CAIRN_ENOTFOUND)
		return rc;
	return cairn_snapshot_scan(work->snapshot, "checkpoint", key->bytes, sizeof(key->bytes),
		false, add_checkpoint, work, err);
}

static int add_run(struct work *work, const cairn_root_run *run, cairn_error *err)
{
	char text[CAIRN_RUN_TEXT];
	int rc;

	work->n_artifacts = 0;
	rc = cairn_roots__tell_run(run, work->snapshot, add, work, err);
	if (rc == 0)
		rc = cairn_roots__scan_keys(run, work->snapshot, add_stage, work, err);
	cairn_run_id_format(&run->id, text);
	if (rc == 0 && work->n_artifacts)
		end_row(work, "run", text, run->workflow);
	return rc;
}

static bool has_run(const void *text, size_t len)
{
	cairn_skim skim = cairn_skim_begin(text, len);
	bool has = false;

	while (cairn_skim_next(&skim))
		has |= skim.close == '}' && cairn_skim_is_named(&skim, "run");
	return has && !skim.is_odd;
}

static int add_tool(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	struct work *work = arg;
	bool is_new = false;
	struct looking looking = {work, &is_new};
	json_t *result;
	int rc;

	(void)key, (void)key_len;
	if (has_run(value, value_len)) /* nearly all */
		return 0;
	rc = cairn_json_parse(&result, value, value_len, "result", err);
	if (rc < 0)
		return rc;
	work->n_artifacts = 0;
	if (!json_object_get(result, "run"))
		rc = cairn_ports_tell_json(result, true, look_for_new, &looking, err);
	if (rc == 0 && is_new)
		rc = cairn_ports_tell_json(result, true, add, work, err);
	if (rc == 0 && is_new)
		end_row(work, "tool", cairn_json_string(result, "instance", "?"), NULL);
	json_decref(result);
	return rc;
}

static int add_name(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	struct work *work = arg;
	char name[CAIRN_REF_MAX + 1];
	cairn_id id;
	int rc;

	if (value_len != sizeof(id.bytes) || key_len > CAIRN_REF_MAX)
		return 0;
	memcpy(id.bytes, value, value_len);
	memcpy(name, key, key_len);
	name[key_len] = '\0';
	work->n_artifacts = 0;
	if (cairn_usage_has(work->usage, &id) || !cairn_snapshot_has(work->snapshot, &id))
		return 0;
	rc = add(work, &id, err);
	if (rc == 0)
		end_row(work, "name", name, NULL);
	return rc;
}

static int all_rows(struct work *work, const cairn_roots *roots, cairn_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < roots->n_runs && rc == 0; i++) {
		if (!roots->runs[i].was_collected)
			rc = add_run(work, &roots->runs[i], err);
	}
	if (rc == 0)
		rc = cairn_snapshot_scan(
			work->snapshot, "result", NULL, 0, false, add_tool, work, err);
	if (rc == 0)
		rc = cairn_snapshot_scan(
			work->snapshot, "ref", NULL, 0, false, add_name, work, err);
	return rc;
}

static int row_of(struct work *work, const cairn_roots *roots, const char *text, cairn_error *err)
{
	cairn_error not_run = {0};
	cairn_run_id run;
	cairn_id id;
	int rc;

	if (cairn_resolve_run(&run, work->snapshot, text, &not_run) == 0) {
		for (size_t i = 0; i < roots->n_runs; i++) {
			if (memcmp(&roots->runs[i].id, &run, sizeof(run)) == 0)
				return add_run(work, &roots->runs[i], err);
		}
	}
	rc = cairn_resolve_artifact(&id, work->store, work->snapshot, text, err);
	work->n_artifacts = 0;
	if (rc == 0)
		rc = add(work, &id, err);
	if (rc == 0)
		end_row(work, "artifact", text, NULL);
	return rc;
}

/* ---- the document ---------------------------------------------------------------------------- */

static void add_sums(const struct work *work)
{
	json_t *row;
	size_t i;

	json_array_foreach(work->rows, i, row)
	{
		cairn_usage_sums sums;

		cairn_usage_of(work->usage, (uint32_t)i, &sums);
		json_object_set_new(row, "bytes", json_integer((json_int_t)sums.total));
		json_object_set_new(row, "exclusive", json_integer((json_int_t)sums.exclusive));
	}
}

static int add_sizes(json_t *document, cairn_store *store, cairn_error *err)
{
	cairn_store_sizes sizes;
	int rc = cairn_store_sizes_get(store, &sizes, err);

	if (rc < 0)
		return rc;
	json_object_set_new(document, "index",
		json_pack("{s:I, s:I}", "bytes", (json_int_t)sizes.index_bytes, "used_bytes",
			(json_int_t)sizes.index_used_bytes));
	json_object_set_new(document, "segments",
		json_pack("{s:I, s:I, s:I}", "n", (json_int_t)sizes.n_segments, "bytes",
			(json_int_t)sizes.segment_bytes, "live_bytes",
			(json_int_t)sizes.segment_live_bytes));
	json_object_set_new(document, "artifacts", json_integer((json_int_t)sizes.n_artifacts));
	json_object_set_new(document, "blobs", json_integer((json_int_t)sizes.n_blobs));
	json_object_set_new(document, "chunks", json_integer((json_int_t)sizes.n_chunks));
	return 0;
}

int cairn_du_report(
	json_t **out, cairn_store *store, const char *const *texts, size_t n, cairn_error *err)
{
	struct work work = {.store = store, .rows = json_array()};
	json_t *document = json_pack("{s:o}", "rows", work.rows);
	cairn_roots *roots = NULL;
	int rc = cairn_roots_open(&roots, store, &(cairn_retention){0}, err);

	if (rc == 0)
		rc = cairn_usage_new(&work.usage, store, err);
	if (rc == 0)
		rc = cairn_snapshot_begin(&work.snapshot, store, err);
	if (rc == 0 && n == 0)
		rc = all_rows(&work, roots, err);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = row_of(&work, roots, texts[i], err);
	if (rc == 0)
		add_sums(&work);
	cairn_snapshot_end(work.snapshot);
	if (rc == 0)
		rc = add_sizes(document, store, err);
	cairn_usage_free(work.usage);
	cairn_roots_close(roots);
	if (rc < 0) {
		json_decref(document);
		return rc;
	}
	*out = document;
	return 0;
}
