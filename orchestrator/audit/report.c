/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - documents over the records; resolve.c finds what they are about. */
#include "audit/report.h"

#include <string.h>

#include "audit/ledger.h"
#include "base/alloc.h"
#include "base/text.h"

/* ---- runs ----------------------------------------------------------------------------- */

/* What the result and the attempts add to a stage's record. */
static int add_outcome(
	json_t *row, cairn_snapshot *snapshot, const char *key_text, cairn_error *err)
{
	json_t *result = NULL, *outputs = json_object(), *bound, *summary;
	cairn_cost cost = {0};
	cairn_key key;
	const char *port;
	int rc = cairn_key_parse(&key, key_text, err);

	if (rc == 0) {
		rc = cairn_record_result(&result, snapshot, &key, err);
		if (rc == CAIRN_ENOTFOUND)
			rc = 0;
	}
	if (rc == 0)
		rc = cairn_ledger_key(&cost, snapshot, &key, NULL, err);
	json_object_foreach(json_object_get(result, "outputs"), port, bound)
		json_object_set(outputs, port, json_object_get(bound, "id"));
	summary = json_object_get(result, "summary");
	if (summary)
		json_object_set(row, "summary", summary);
	if (json_object_get(result, "blessed"))
		json_object_set(row, "blessed", json_object_get(result, "blessed"));
	json_object_set_new(row, "outputs", outputs);
	json_object_set_new(row, "attempts", json_integer(cost.attempts));
	json_object_set_new(row, "seconds", json_real(cost.seconds));
	json_object_set_new(row, "flop", json_real(cost.spent));
	json_object_set_new(row, "kept_flop", json_real(cost.kept));
	json_object_set_new(row, "peak_bytes", json_integer((json_int_t)cost.peak_bytes));
	json_object_set_new(
		row, "kernel_peak_bytes", json_integer((json_int_t)cost.kernel_peak_bytes));
	json_decref(result);
	return rc;
}

int cairn_report_status(
	json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run, cairn_error *err)
{
	static const char *const fields[] = {
		"run", "workflow", "file", "state", "start_ms", "end_ms"};
	json_t *record = NULL, *stages = NULL, *stage, *json;
	size_t i;
	int rc = cairn_record_run(&record, snapshot, run, err);

	if (rc == 0)
		rc = cairn_record_stages(&stages, snapshot, run, err);
	json_array_foreach(stages, i, stage)
	{
		const char *key = cairn_json_string(stage, "key", NULL);
		if (rc == 0 && key)
			rc = add_outcome(stage, snapshot, key, err);
		else
			json_object_set_new(stage, "outputs", json_object());
	}
	if (rc < 0) {
		json_decref(record);
		json_decref(stages);
		return rc;
	}
	json = json_object();
	for (i = 0; i < CAIRN_COUNT(fields); i++) {
		json_t *value = json_object_get(record, fields[i]);
		json_object_set(json, fields[i], value ? value : json_null());
	}
	json_object_set_new(json, "stages", stages);
	json_object_set_new(json, "record", record);
	*out = json;
	return 0;
}

int cairn_report_stage(json_t **out, cairn_snapshot *snapshot, const cairn_run_id *run,
	const char *instance, cairn_error *err)
{
	json_t *stages = NULL, *stage;
	const char **names, *near;
	size_t i, n = 0;
	int rc = cairn_record_stages(&stages, snapshot, run, err);

	if (rc < 0)
		return rc;
	json_array_foreach(stages, i, stage)
	{
		if (strcmp(cairn_json_string(stage, "instance", ""), instance) == 0) {
			*out = json_incref(stage);
			json_decref(stages);
			return 0;
		}
	}
	names = err ? cairn_alloc(json_array_size(stages) + 1, sizeof(*names)) : NULL;
	json_array_foreach(names ? stages : NULL, i, stage) names[n++] =
		cairn_json_string(stage, "instance", "");
	near = cairn_did_you_mean(instance, names, n);
	cairn_error_set(err, CAIRN_ENOTFOUND, "the run has no stage '%.200s'", instance);
	if (near)
		cairn_error_hint(err, "Did you mean '%s'?", near);
	else
		cairn_error_hint(err, "`cairn status` lists the stages.");
	free(names);
	json_decref(stages);
	return CAIRN_ENOTFOUND;
}

int cairn_report_runs(json_t **out, cairn_snapshot *snapshot, size_t limit, cairn_error *err)
{
	json_t *runs = NULL;
	int rc = cairn_record_runs(&runs, snapshot, limit, err);

	if (rc == 0)
		*out = json_pack("{s:o}", "runs", runs);
	return rc;
}

/* ---- artifacts ------------------------------------------------------------------------ */

static int append_ref(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	json_t *name = json_stringn(key, key_len);
	char text[CAIRN_ID_TEXT];
	cairn_id id;

	if (value_len != sizeof(id.bytes) || !name) {
		json_decref(name);
		return 0;
	}
	memcpy(id.bytes, value, value_len);
	cairn_id_format(&id, text);
	if (json_array_append_new(arg, json_pack("{s:o, s:s}", "name", name, "id", text)) < 0)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory listing the refs");
	return 0;
}

int cairn_report_refs(json_t **out, cairn_snapshot *snapshot, cairn_error *err)
{
	json_t *refs = json_array();
	int rc = cairn_snapshot_scan(snapshot, "ref", NULL, 0, false, append_ref, refs, err);

	if (rc < 0) {
		json_decref(refs);
		return rc;
	}
	*out = json_pack("{s:o}", "refs", refs);
	return 0;
}

const char *cairn_dtype_name(uint32_t dtype)
{
	static const char *const names[] = {"?", "u8", "u16", "i32", "i64", "f32", "f64", "bf16"};

	return names[dtype < CAIRN_COUNT(names) ? dtype : 0];
}

int cairn_report_artifact(json_t **out, cairn_store *store, const cairn_id *id, cairn_error *err)
{
	cairn_object *object = NULL;
	json_t *entries = json_array(), *meta = NULL;
	char text[CAIRN_ID_TEXT];
	const char *meta_text;
	int rc = cairn_object_open(&object, store, id, err);

	for (uint64_t i = 0; rc == 0 && i < cairn_object_count(object); i++) {
		cairn_tensor entry;
		json_t *dims = json_array();
		rc = cairn_object_entry(object, i, &entry, err);
		for (uint32_t d = 0; rc == 0 && d < entry.n_dims; d++)
			json_array_append_new(dims, json_integer((json_int_t)entry.dims[d]));
		if (rc == 0)
			json_array_append_new(
				entries, json_pack("{s:o, s:s, s:O, s:I}", "name",
						 cairn_record_text(entry.name), "dtype",
						 cairn_dtype_name(entry.dtype), "dims", dims,
						 "bytes", (json_int_t)entry.bytes));
		json_decref(dims);
	}
	if (rc == 0) {
		meta_text = cairn_object_meta(object);
		rc = cairn_json_parse(&meta, meta_text, strlen(meta_text), "metadata", err);
	}
	if (rc == 0) {
		cairn_id_format(id, text);
		*out = json_pack("{s:s, s:s, s:I, s:O, s:O}", "id", text, "kind",
			cairn_object_kind(object), "bytes", (json_int_t)cairn_object_bytes(object),
			"meta", meta, "entries", entries);
	}
	json_decref(meta);
	json_decref(entries);
	cairn_object_close(object);
	return rc;
}

/* ---- why something runs ----------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

json_t *cairn_report_changes(const json_t *before, const json_t *after)
{
	size_t cap = json_object_size(before) + json_object_size(after), n = 0;
	const char **names = cairn_alloc(cap ? cap : 1, sizeof(*names)), *name;
	json_t *changes = json_array(), *value;

	if (!names)
		return changes;
	json_object_foreach((json_t *)before, name, value) names[n++] = name;
	json_object_foreach((json_t *)after, name, value)
	{
		if (!json_object_get(before, name))
			names[n++] = name;
	}
	qsort(names, n, sizeof(*names), compare_names);
	for (size_t i = 0; i < n; i++) {
		json_t *was = json_object_get(before, names[i]);
		json_t *is = json_object_get(after, names[i]);
		if (was && is && json_equal(was, is))
			continue;
		json_array_append_new(
			changes, json_pack("{s:s, s:O, s:O}", "name", names[i], "before",
					 was ? was : json_null(), "after", is ? is : json_null()));
	}
	free(names);
	return changes;
}

/* The key under which `instance` ended well in one run; false where it did not. */
static bool key_in_run(const json_t *stage, cairn_key *out)
{
	const char *state = cairn_json_string(stage, "state", "");

	return (strcmp(state, "done") == 0 || strcmp(state, "cached") == 0) &&
	       cairn_key_parse(out, cairn_json_string(stage, "key", ""), NULL) == 0;
}

struct last_result {
	cairn_snapshot *snapshot;
	const char *instance;
	cairn_key key;
	json_t *result;
};

static int take_last(const cairn_run_id *run, void *arg, cairn_error *err)
{
	struct last_result *last = arg;
	json_t *stage = NULL;
	int rc = cairn_report_stage(&stage, last->snapshot, run, last->instance, NULL);

	if (rc == 0 && key_in_run(stage, &last->key))
		rc = cairn_record_result(&last->result, last->snapshot, &last->key, err);
	json_decref(stage);
	return rc == CAIRN_ENOTFOUND ? 0 : rc < 0 ? rc : last->result != NULL;
}

/* A run notes the key under which an instance ended well last: "key:WORKFLOW/INSTANCE". */
static bool noted_key(
	cairn_key *out, cairn_snapshot *snapshot, const char *workflow, const char *instance)
{
	const void *value;
	char name[512]; /* with its NUL: a key of the store */
	size_t len;
	int n = snprintf(name, sizeof(name), "key:%s/%s", workflow, instance);

	if (n < 0 || (size_t)n >= sizeof(name) ||
		cairn_snapshot_get(snapshot, "note", name, (size_t)n, &value, &len, NULL) < 0 ||
		len != sizeof(out->bytes))
		return false;
	memcpy(out->bytes, value, len);
	return true;
}

int cairn_report_last_result(json_t **out, cairn_key *key, cairn_snapshot *snapshot,
	const char *workflow, const char *instance, cairn_error *err)
{
	struct last_result last = {.snapshot = snapshot, .instance = instance};
	int rc = CAIRN_ENOTFOUND;

	if (noted_key(key, snapshot, workflow, instance))
		rc = cairn_record_result(out, snapshot, key, err);
	if (rc != CAIRN_ENOTFOUND)
		return rc;
	rc = cairn_record_scan_runs(snapshot, workflow, NULL, take_last, &last, err);
	if (rc < 0)
		return rc;
	if (!last.result)
		return CAIRN_ENOTFOUND;
	*out = last.result;
	*key = last.key;
	return 0;
}
