/* SPDX-License-Identifier: Apache-2.0 */
/*
 * losses.c - what a collection would cost whom, and writing the decision down.
 *
 * Owner 0 of the usage is all that stays; then each run that goes is an owner. What a run reaches
 * and owner 0 does not is what it loses.
 */
#include <string.h>

#include "audit/ports.h"
#include "audit/roots_tables.h"
#include "base/alloc.h"

struct adding {
	cairn_usage *usage;
	uint32_t owner;
	uint64_t n_artifacts, n_kept; /* that are in the store; that something kept holds */
};

static int add_to_owner(void *arg, const cairn_id *id, cairn_error *err)
{
	struct adding *adding = arg;
	bool is_kept = adding->owner && cairn_usage_is_first(adding->usage, 0, id);
	int rc;

	if (cairn_usage_is_last(adding->usage, adding->owner, id))
		return 0; /* told before */
	rc = cairn_usage_add(adding->usage, adding->owner, id, err);
	if (rc == CAIRN_ENOTFOUND)
		return 0;
	adding->n_artifacts++;
	adding->n_kept += is_kept;
	return rc;
}

static int add_outputs(
	struct adding *adding, cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err)
{
	const void *text;
	size_t len;
	int rc = cairn_snapshot_get(
		snapshot, "result", key->bytes, sizeof(key->bytes), &text, &len, err);

	if (rc < 0)
		return rc == CAIRN_ENOTFOUND ? 0 : rc;
	return cairn_ports_tell(text, len, false, add_to_owner, adding, err);
}

struct dropping {
	const cairn_roots *roots;
	cairn_snapshot *snapshot;
	struct adding *adding;
	cairn_batch *batch; /* NULL: they are only counted */
	uint64_t n;
};

static int drop_checkpoint(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct dropping *dropping = arg;
	json_t *record;
	cairn_id id;
	int rc;

	if (!cairn_roots__drops(dropping->roots, key, key_len))
		return 0;
	dropping->n++;
	if (dropping->batch)
		return cairn_batch_delete(dropping->batch, "checkpoint", key, key_len, err);
	rc = cairn_json_parse(&record, value, value_len, "checkpoint", err);
	if (rc < 0)
		return rc;
	if (cairn_id_parse(&id, cairn_json_string(record, "id", ""), NULL) == 0)
		rc = add_to_owner(dropping->adding, &id, err);
	json_decref(record);
	return rc;
}

/* Outputs and checkpoints of one stage. */
static int add_stage(void *arg, const cairn_key *key, cairn_error *err)
{
	struct dropping *dropping = arg;
	uint64_t n_artifacts, n_kept;
	int rc = add_outputs(dropping->adding, dropping->snapshot, key, err);

	n_artifacts = dropping->adding->n_artifacts;
	n_kept = dropping->adding->n_kept;
	if (rc == 0)
		rc = cairn_snapshot_scan(dropping->snapshot, "checkpoint", key->bytes,
			sizeof(key->bytes), false, drop_checkpoint, dropping, err);
	/* Checkpoints have a count of their own. */
	dropping->adding->n_artifacts = n_artifacts;
	dropping->adding->n_kept = n_kept;
	return rc;
}

static int losses_of_run(json_t *list, const cairn_roots *roots, const cairn_root_run *run,
	cairn_snapshot *snapshot, struct adding *adding, cairn_error *err)
{
	struct dropping dropping = {.roots = roots, .snapshot = snapshot, .adding = adding};
	cairn_usage_sums sums;
	char text[CAIRN_RUN_TEXT];
	int rc = cairn_roots__tell_run(run, snapshot, add_to_owner, adding, err);

	if (rc == 0)
		rc = cairn_roots__scan_keys(run, snapshot, add_stage, &dropping, err);
	if (rc < 0)
		return rc;
	cairn_usage_of(adding->usage, adding->owner, &sums);
	cairn_run_id_format(&run->id, text);
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:I, s:I}", "run", text, "workflow",
			run->workflow, "start_ms", (json_int_t)run->start_ms, "state", run->state,
			"outputs", (json_int_t)(adding->n_artifacts - adding->n_kept), "kept",
			(json_int_t)adding->n_kept, "checkpoints", (json_int_t)dropping.n, "bytes",
			(json_int_t)sums.beyond_first));
	return 0;
}

/* Of stages of runs that stay: those that the runs above lose are theirs. */
static int losses_of_the_kept(json_t *list, const cairn_roots *roots, cairn_snapshot *snapshot,
	struct adding *adding, cairn_error *err)
{
	struct dropping dropping = {.roots = roots, .adding = adding};
	cairn_usage_sums sums;
	int rc = cairn_snapshot_scan(
		snapshot, "checkpoint", NULL, 0, false, drop_checkpoint, &dropping, err);

	if (rc < 0 || !dropping.n)
		return rc;
	cairn_usage_of(adding->usage, adding->owner, &sums);
	json_array_append_new(
		list, json_pack("{s:n, s:I, s:I}", "run", "checkpoints", (json_int_t)dropping.n,
			      "bytes", (json_int_t)sums.beyond_first));
	return 0;
}

static int find_losses(json_t *list, const cairn_roots *roots, cairn_store *store,
	cairn_usage *usage, cairn_error *err)
{
	struct adding adding = {.usage = usage};
	cairn_snapshot *snapshot;
	bool is_any = roots->retention.drop_checkpoints;
	int rc;

	for (size_t i = 0; i < roots->n_runs; i++)
		is_any |= roots->runs[i].is_to_go;
	if (!is_any)
		return 0; /* and what stays need not be known */
	rc = cairn_roots_tell((void *)roots, store, add_to_owner, &adding, err);

	if (rc < 0 || (rc = cairn_snapshot_begin(&snapshot, store, err)) < 0)
		return rc;
	for (size_t i = 0; i < roots->n_runs && rc == 0; i++) {
		if (!roots->runs[i].is_to_go)
			continue;
		adding = (struct adding){.usage = usage, .owner = adding.owner + 1};
		rc = losses_of_run(list, roots, &roots->runs[i], snapshot, &adding, err);
	}
	adding = (struct adding){.usage = usage, .owner = adding.owner + 1};
	if (rc == 0 && roots->retention.drop_checkpoints)
		rc = losses_of_the_kept(list, roots, snapshot, &adding, err);
	cairn_snapshot_end(snapshot);
	return rc;
}

int cairn_roots_losses(json_t **out, const cairn_roots *roots, cairn_store *store, cairn_error *err)
{
	json_t *list = json_array();
	cairn_usage *usage = NULL;
	int rc = cairn_usage_new(&usage, store, err);

	if (rc == 0)
		rc = find_losses(list, roots, store, usage, err);
	cairn_usage_free(usage);
	if (rc < 0) {
		json_decref(list);
		return rc;
	}
	*out = list;
	return 0;
}

/* ---- writing it down
 * ----------------------------------------------------------------------------- */

/* Inside the transaction: records as they are now, and stages that began to run meanwhile. */
static int write_down(cairn_snapshot *now, cairn_batch *batch, void *arg, cairn_error *err)
{
	const cairn_roots *roots = arg;
	int rc = 0;

	for (size_t i = 0; i < roots->n_runs && rc == 0; i++) {
		json_t *record = NULL;

		if (!roots->runs[i].is_to_go)
			continue;
		rc = cairn_record_run(&record, now, &roots->runs[i].id, err);
		if (rc == 0) {
			json_object_set_new(record, "collected_ms", json_integer(cairn_now_ms()));
			rc = cairn_record_put_run(batch, &roots->runs[i].id, record, err);
		}
		json_decref(record);
		rc = rc == CAIRN_ENOTFOUND ? 0 : rc;
	}
	return rc;
}

struct doomed {
	const cairn_roots *roots;
	json_t *keys; /* hexadecimal: a record cannot be deleted while it is scanned */
};

static int doom(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	struct doomed *doomed = arg;
	char hex[2 * 64 + 1];

	(void)value, (void)value_len, (void)err;
	if (key_len > 64 || !cairn_roots__drops(doomed->roots, key, key_len))
		return 0;
	cairn_hex_encode(key, key_len, hex);
	json_array_append_new(doomed->keys, json_string(hex));
	return 0;
}

static int is_any(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	(void)key, (void)key_len, (void)value, (void)value_len, (void)err;
	*(bool *)arg = true;
	return 1;
}

/* A stage that runs goes on from its checkpoints: its note says so, in this very transaction. */
static int runs_now(cairn_snapshot *now, const uint8_t *key, bool *out, cairn_error *err)
{
	uint8_t prefix[sizeof(CAIRN_LIVE_PREFIX) - 1 + sizeof(cairn_key)];

	memcpy(prefix, CAIRN_LIVE_PREFIX, sizeof(CAIRN_LIVE_PREFIX) - 1);
	memcpy(prefix + sizeof(CAIRN_LIVE_PREFIX) - 1, key, sizeof(cairn_key));
	*out = false;
	return cairn_snapshot_scan(now, "note", prefix, sizeof(prefix), false, is_any, out, err);
}

static int drop_checkpoints(
	cairn_snapshot *now, cairn_batch *batch, const cairn_roots *roots, cairn_error *err)
{
	struct doomed doomed = {roots, json_array()};
	const json_t *hex;
	size_t i;
	int rc = cairn_snapshot_scan(now, "checkpoint", NULL, 0, false, doom, &doomed, err);

	json_array_foreach(doomed.keys, i, hex)
	{
		size_t len = json_string_length(hex) / 2;
		uint8_t key[64];
		bool is_live = false;

		if (rc < 0 || cairn_hex_decode(json_string_value(hex), key, len) != 0)
			continue;
		rc = runs_now(now, key, &is_live, err);
		if (rc == 0 && !is_live)
			rc = cairn_batch_delete(batch, "checkpoint", key, len, err);
	}
	json_decref(doomed.keys);
	return rc;
}

static int apply_all(cairn_snapshot *now, cairn_batch *batch, void *arg, cairn_error *err)
{
	int rc = write_down(now, batch, arg, err);

	return rc < 0 ? rc : drop_checkpoints(now, batch, arg, err);
}

int cairn_roots_apply(const cairn_roots *roots, cairn_store *store, cairn_error *err)
{
	cairn_batch *batch;
	int rc;

	if (!roots->retention.keep_runs && !roots->retention.before_ms &&
		!roots->retention.drop_checkpoints)
		return 0;
	rc = cairn_batch_begin(&batch, store, err);
	if (rc < 0)
		return rc;
	cairn_batch_on_commit(batch, apply_all, (void *)roots);
	return cairn_batch_commit(batch, err);
}

/* ---- the cache of files
 * --------------------------------------------------------------------------- */

struct stale {
	cairn_snapshot *snapshot;
	cairn_batch *batch;
	size_t n;
};

static int forget_stale(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct stale *stale = arg;
	json_t *record;
	cairn_id id;
	bool is_stale;

	if (key_len >= 3 && memcmp(key, "so:", 3) == 0) /* digests of shared objects */
		return 0;
	if (cairn_json_parse(&record, value, value_len, "filecache", NULL) < 0)
		return 0;
	is_stale = cairn_id_parse(&id, cairn_json_string(record, "id", ""), NULL) == 0 &&
		   !cairn_snapshot_has(stale->snapshot, &id);
	json_decref(record);
	stale->n += is_stale;
	return is_stale ? cairn_batch_delete(stale->batch, "filecache", key, key_len, err) : 0;
}

int cairn_roots_forget_files(cairn_store *store, size_t *n, cairn_error *err)
{
	struct stale stale = {0};
	int rc = cairn_batch_begin(&stale.batch, store, err);

	if (rc < 0)
		return rc;
	rc = cairn_snapshot_begin(&stale.snapshot, store, err);
	if (rc == 0) {
		rc = cairn_snapshot_scan(
			stale.snapshot, "filecache", NULL, 0, false, forget_stale, &stale, err);
		cairn_snapshot_end(stale.snapshot);
	}
	if (rc < 0 || !stale.n) {
		cairn_batch_abort(stale.batch);
		return rc;
	}
	rc = cairn_batch_commit(stale.batch, err);
	if (rc == 0)
		*n = stale.n;
	return rc;
}
