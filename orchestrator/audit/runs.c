/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runs.c - runs: of all workflows, and of one.
 *
 * The table `run` sorts by time. For one workflow's runs there is a list beside it, in `note`:
 * "run:" + workflow + 0 + run id -> empty, so that its newest run is found without looking at those
 * of others. What somebody collected may still be in the list, so a run counts if its record
 * exists. In a store that was written before there were lists, readers look at all records (those
 * that cannot be of this workflow are not parsed) until a run or an import completes the lists: a
 * list with some runs in it is not yet one of all.
 */
#include <string.h>

#include "audit/record.h"

#define LIST_PREFIX   "run:"
#define ALL_LISTED    "runs-are-listed" /* a note: every run is in a list */
#define RUN_BYTES     16
#define MAX_KEY_BYTES 511 /* of the store */

/* The list's keys up to the run id; 0 where the name is too long to have a list. */
static size_t list_prefix(uint8_t out[MAX_KEY_BYTES], const char *workflow)
{
	size_t len = strlen(workflow) + 1, prefix = strlen(LIST_PREFIX);

	if (prefix + len + RUN_BYTES > MAX_KEY_BYTES)
		return 0;
	memcpy(out, LIST_PREFIX, prefix);
	memcpy(out + prefix, workflow, len);
	return prefix + len;
}

struct run_scan {
	cairn_snapshot *snapshot;
	const char *workflow;       /* NULL: any */
	char needle[MAX_KEY_BYTES]; /* what a record of it contains, whatever else */
	size_t prefix;              /* bytes of a key before the run id */
	const cairn_run_id *before; /* NULL: up to now */
	cairn_run_fn fn;
	void *arg;
};

static bool are_listed(cairn_snapshot *snapshot)
{
	const void *value;
	size_t len;

	return cairn_snapshot_get(
		       snapshot, "note", ALL_LISTED, strlen(ALL_LISTED), &value, &len, NULL) == 0;
}

static int hand_on(struct run_scan *scan, const uint8_t *id, cairn_error *err)
{
	cairn_run_id run;

	memcpy(run.bytes, id, sizeof(run.bytes));
	return scan->fn(&run, scan->arg, err);
}

static bool is_too_new(const struct run_scan *scan, const uint8_t *id)
{
	return scan->before && memcmp(id, scan->before->bytes, RUN_BYTES) >= 0;
}

static int take_listed(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct run_scan *scan = arg;
	const uint8_t *id = (const uint8_t *)key + scan->prefix;
	int rc;

	if (key_len != scan->prefix + RUN_BYTES)
		return 0;
	if (is_too_new(scan, id))
		return 0;
	rc = cairn_snapshot_get(scan->snapshot, "run", id, RUN_BYTES, &value, &value_len, err);
	return rc == CAIRN_ENOTFOUND ? 0 : rc < 0 ? rc : hand_on(scan, id, err);
}

static int take_any(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	struct run_scan *scan = arg;
	json_t *json = NULL;
	bool is_it = true;
	int rc;

	if (key_len != RUN_BYTES || is_too_new(scan, key))
		return 0;
	if (scan->workflow) {
		if (!memmem(value, value_len, scan->needle, strlen(scan->needle)))
			return 0;
		rc = cairn_record_parse(&json, "run", value, value_len, err);
		if (rc < 0)
			return rc;
		is_it = strcmp(cairn_json_string(json, "workflow", ""), scan->workflow) == 0;
		json_decref(json);
	}
	return is_it ? hand_on(scan, key, err) : 0;
}

/* A name that JSON would escape is looked for by its first part only. */
static void make_needle(struct run_scan *scan)
{
	size_t n = 0;

	while (n + 1 < sizeof(scan->needle) && (scan->workflow[n] & 0x80) == 0 &&
		scan->workflow[n] >= ' ' && !strchr("\"\\/", scan->workflow[n])) {
		scan->needle[n] = scan->workflow[n];
		n++;
	}
	scan->needle[n] = '\0';
}

int cairn_record_scan_runs(cairn_snapshot *snapshot, const char *workflow,
	const cairn_run_id *before, cairn_run_fn fn, void *arg, cairn_error *err)
{
	struct run_scan scan = {
		.snapshot = snapshot, .workflow = workflow, .before = before, .fn = fn, .arg = arg};
	uint8_t prefix[MAX_KEY_BYTES];

	if (workflow && are_listed(snapshot) && (scan.prefix = list_prefix(prefix, workflow)) > 0)
		return cairn_snapshot_scan(
			snapshot, "note", prefix, scan.prefix, true, take_listed, &scan, err);
	if (workflow)
		make_needle(&scan);
	return cairn_snapshot_scan(snapshot, "run", NULL, 0, true, take_any, &scan, err);
}

struct id_scan {
	cairn_snapshot *snapshot;
	cairn_run_fn fn;
	void *arg;
};

static int take_id(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	struct id_scan *scan = arg;
	cairn_run_id run;

	(void)value, (void)value_len;
	if (key_len < sizeof(run.bytes))
		return 0;
	memcpy(run.bytes, (const uint8_t *)key + key_len - sizeof(run.bytes), sizeof(run.bytes));
	return scan->fn(&run, scan->arg, err);
}

/* The lists are short to read: their values are empty. */
int cairn_record_scan_run_ids(
	cairn_snapshot *snapshot, cairn_run_fn fn, void *arg, cairn_error *err)
{
	struct id_scan scan = {snapshot, fn, arg};

	if (!are_listed(snapshot))
		return cairn_snapshot_scan(snapshot, "run", NULL, 0, false, take_id, &scan, err);
	return cairn_snapshot_scan(
		snapshot, "note", LIST_PREFIX, strlen(LIST_PREFIX), false, take_id, &scan, err);
}

struct first_run {
	cairn_run_id run;
	bool is_found;
};

static int take_first(const cairn_run_id *run, void *arg, cairn_error *err)
{
	(void)err;
	*(struct first_run *)arg = (struct first_run){*run, true};
	return 1;
}

int cairn_record_newest_run(
	cairn_run_id *out, cairn_snapshot *snapshot, const char *workflow, cairn_error *err)
{
	struct first_run first = {0};
	int rc = cairn_record_scan_runs(snapshot, workflow, NULL, take_first, &first, err);

	if (rc < 0)
		return rc;
	if (!first.is_found)
		return CAIRN_ENOTFOUND;
	*out = first.run;
	return 0;
}

struct run_list {
	cairn_snapshot *snapshot;
	json_t *array;
	size_t limit;
};

static int append_run(const cairn_run_id *run, void *arg, cairn_error *err)
{
	struct run_list *list = arg;
	json_t *json = NULL;
	int rc = cairn_record_run(&json, list->snapshot, run, err);

	if (rc < 0)
		return rc;
	if (json_array_append_new(list->array, json) < 0)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading records");
	return list->limit && json_array_size(list->array) >= list->limit;
}

int cairn_record_runs(json_t **out, cairn_snapshot *snapshot, size_t limit, cairn_error *err)
{
	struct run_list list = {snapshot, json_array(), limit};
	int rc = cairn_record_scan_runs(snapshot, NULL, NULL, append_run, &list, err);

	if (rc < 0) {
		json_decref(list.array);
		return rc;
	}
	*out = list.array;
	return 0;
}

/* ---- writing ------------------------------------------------------------------------ */

static int put_in_list(
	cairn_batch *batch, const cairn_run_id *run, const char *workflow, cairn_error *err)
{
	uint8_t key[MAX_KEY_BYTES];
	size_t prefix = list_prefix(key, workflow);

	if (prefix == 0)
		return 0;
	memcpy(key + prefix, run->bytes, RUN_BYTES);
	return cairn_batch_put(batch, "note", key, prefix + RUN_BYTES, "", 0, err);
}

int cairn_record_put_run(
	cairn_batch *batch, const cairn_run_id *run, const json_t *value, cairn_error *err)
{
	char *text = cairn_json_canonical(value);
	int rc;

	if (!text)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory writing a record");
	rc = cairn_batch_put(batch, "run", run->bytes, RUN_BYTES, text, strlen(text), err);
	free(text);
	return rc < 0 ? rc : put_in_list(batch, run, cairn_json_string(value, "workflow", ""), err);
}

struct listing {
	cairn_snapshot *snapshot;
	cairn_batch *batch;
};

static int list_one(const cairn_run_id *run, void *arg, cairn_error *err)
{
	struct listing *listing = arg;
	json_t *record = NULL;
	int rc = cairn_record_run(&record, listing->snapshot, run, err);

	if (rc == 0)
		rc = put_in_list(
			listing->batch, run, cairn_json_string(record, "workflow", ""), err);
	json_decref(record);
	return rc;
}

int cairn_record_list_runs(cairn_store *store, cairn_error *err)
{
	struct listing listing = {0};
	int rc = cairn_snapshot_begin(&listing.snapshot, store, err);

	if (rc < 0)
		return rc;
	if (are_listed(listing.snapshot)) {
		cairn_snapshot_end(listing.snapshot);
		return 0;
	}
	rc = cairn_batch_begin(&listing.batch, store, err);
	if (rc == 0)
		rc = cairn_record_scan_runs(listing.snapshot, NULL, NULL, list_one, &listing, err);
	if (rc == 0)
		rc = cairn_batch_put(
			listing.batch, "note", ALL_LISTED, strlen(ALL_LISTED), "", 0, err);
	cairn_snapshot_end(listing.snapshot);
	if (rc == 0)
		return cairn_batch_commit(listing.batch, err);
	cairn_batch_abort(listing.batch);
	return rc;
}
