/* SPDX-License-Identifier: Apache-2.0 */
/*
 * roots.c - from records to what must stay.
 *
 * Keys stand between runs and results: `kept` are the keys that a run names which stays, `lost`
 * those that only collected runs name. A result is a root unless its key is lost. Both are sorted
 * arrays. Ids are taken from records wherever they stand in them ("sha256:" and 64 digits): a
 * record that gets a new field cannot lose what it names, and a digest that is no artifact does no
 * harm.
 *
 * Reads like: record.h.
 */
#include "audit/roots.h"

#include <string.h>

#include "audit/roots_tables.h"
#include "base/alloc.h"
#include "base/text.h"

/* ---- keys --------------------------------------------------------------------------------- */

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(cairn_key));
}

bool cairn_keys__add(cairn_keys *keys, const cairn_key *key)
{
	if (keys->n == keys->cap) {
		size_t cap = keys->cap ? keys->cap * 2 : 256;
		cairn_key *grown = cairn_realloc(keys->items, cap, sizeof(*grown));

		if (!grown)
			return false;
		keys->items = grown;
		keys->cap = cap;
	}
	keys->items[keys->n++] = *key;
	return true;
}

void cairn_keys__sort(cairn_keys *keys)
{
	if (keys->n)
		qsort(keys->items, keys->n, sizeof(*keys->items), by_bytes);
}

bool cairn_keys__has(const cairn_keys *keys, const void *key)
{
	return keys->n && bsearch(key, keys->items, keys->n, sizeof(*keys->items), by_bytes);
}

bool cairn_roots__is_lost(const cairn_roots *roots, const void *key)
{
	return cairn_keys__has(&roots->lost, key) && !cairn_keys__has(&roots->kept, key);
}

/* ---- runs --------------------------------------------------------------------------------- */

static int add_run(
	cairn_roots *roots, const cairn_run_id *id, const json_t *record, cairn_error *err)
{
	cairn_root_run *run;

	if (roots->n_runs == roots->cap_runs) {
		size_t cap = roots->cap_runs ? roots->cap_runs * 2 : 64;
		cairn_root_run *grown = cairn_realloc(roots->runs, cap, sizeof(*grown));

		if (!grown)
			return cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading runs");
		roots->runs = grown;
		roots->cap_runs = cap;
	}
	run = &roots->runs[roots->n_runs];
	*run = (cairn_root_run){.id = *id,
		.workflow = cairn_strdup(cairn_json_string(record, "workflow", "")),
		.start_ms = cairn_json_integer(record, "start_ms", 0),
		.end_ms = cairn_json_integer(record, "end_ms", 0),
		.was_collected = json_object_get(record, "collected_ms") != NULL};
	cairn_copy(run->state, sizeof(run->state), cairn_json_string(record, "state", ""));
	if (!run->workflow)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading runs");
	roots->n_runs++;
	return 0;
}

static int take_run(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	cairn_run_id id;
	json_t *record;
	int rc;

	if (key_len != sizeof(id.bytes))
		return 0;
	memcpy(id.bytes, key, key_len);
	rc = cairn_json_parse(&record, value, value_len, "run", err);
	if (rc == 0) {
		rc = add_run(arg, &id, record, err);
		json_decref(record);
	}
	return rc;
}

static int by_workflow(const void *a, const void *b)
{
	const cairn_root_run *const *x = a, *const *y = b;
	int order = strcmp((*x)->workflow, (*y)->workflow);

	return order ? order : (*x > *y) - (*x < *y); /* newest first, as in the array */
}

/* Counts each workflow's runs, from its newest. */
static int number_runs(cairn_roots *roots, cairn_error *err)
{
	cairn_root_run **sorted = cairn_alloc(roots->n_runs + 1, sizeof(*sorted));

	if (!sorted)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading runs");
	for (size_t i = 0; i < roots->n_runs; i++)
		sorted[i] = &roots->runs[i];
	qsort(sorted, roots->n_runs, sizeof(*sorted), by_workflow);
	for (size_t i = 1; i < roots->n_runs; i++) {
		if (strcmp(sorted[i - 1]->workflow, sorted[i]->workflow) == 0)
			sorted[i]->n_newer = sorted[i - 1]->n_newer + 1;
	}
	free(sorted);
	return 0;
}

/* Does this run go, by its number in its workflow and by its age? */
static bool is_to_go(const cairn_retention *retention, const cairn_root_run *run)
{
	if ((!retention->keep_runs && !retention->before_ms) || strcmp(run->state, "running") == 0)
		return false;
	if (retention->keep_runs && run->n_newer < retention->keep_runs)
		return false;
	return !retention->before_ms ||
	       (run->end_ms ? run->end_ms : run->start_ms) < retention->before_ms;
}

struct stages {
	cairn_roots *roots;
	bool is_collected;
};

static int take_stage(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	const struct stages *stages = arg;
	cairn_keys *keys = stages->is_collected ? &stages->roots->lost : &stages->roots->kept;
	cairn_key stage_key;
	json_t *record;
	int rc = cairn_json_parse(&record, value, value_len, "stage", err);

	(void)key, (void)key_len;
	if (rc < 0)
		return rc;
	if (cairn_key_parse(&stage_key, cairn_json_string(record, "key", ""), NULL) == 0 &&
		!cairn_keys__add(keys, &stage_key))
		rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading stages");
	json_decref(record);
	return rc;
}

static int decide(cairn_roots *roots, cairn_snapshot *snapshot, cairn_error *err)
{
	int rc = cairn_snapshot_scan(snapshot, "run", NULL, 0, true, take_run, roots, err);
	cairn_run_id before = {{0}};
	int was_collected = -1;

	if (rc == 0)
		rc = number_runs(roots, err);
	for (size_t i = 0; i < roots->n_runs && rc == 0; i++) {
		cairn_root_run *run = &roots->runs[i];
		struct stages stages = {.roots = roots};
		cairn_run_id of;

		run->is_to_go = !run->was_collected && is_to_go(&roots->retention, run);
		stages.is_collected = run->was_collected || run->is_to_go;
		rc = cairn_record_stages_of(&of, snapshot, &run->id, err);
		/* Runs that found everything cached share one list, mostly with their neighbours.
		 */
		if (rc < 0 || (was_collected == (int)stages.is_collected &&
				      memcmp(of.bytes, before.bytes, sizeof(of.bytes)) == 0))
			continue;
		before = of;
		was_collected = stages.is_collected;
		rc = cairn_snapshot_scan(snapshot, "stage", of.bytes, sizeof(of.bytes), false,
			take_stage, &stages, err);
	}
	cairn_keys__sort(&roots->kept);
	cairn_keys__sort(&roots->lost);
	return rc;
}

static int take_live(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	cairn_keys *live = arg;
	cairn_key stage;

	(void)value, (void)value_len;
	if (key_len < strlen(CAIRN_LIVE_PREFIX) + sizeof(stage))
		return 0;
	memcpy(&stage, (const char *)key + strlen(CAIRN_LIVE_PREFIX), sizeof(stage));
	return cairn_keys__add(live, &stage)
		       ? 0
		       : cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading stages");
}

int cairn_roots_open(
	cairn_roots **out, cairn_store *store, const cairn_retention *retention, cairn_error *err)
{
	cairn_roots *roots = cairn_alloc(1, sizeof(*roots));
	cairn_snapshot *snapshot;
	int rc;

	if (!roots)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading runs");
	roots->retention = *retention;
	rc = cairn_snapshot_begin(&snapshot, store, err);
	if (rc == 0) {
		rc = decide(roots, snapshot, err);
		if (rc == 0)
			rc = cairn_snapshot_scan(snapshot, "note", CAIRN_LIVE_PREFIX,
				strlen(CAIRN_LIVE_PREFIX), false, take_live, &roots->live, err);
		cairn_snapshot_end(snapshot);
		cairn_keys__sort(&roots->live);
	}
	if (rc < 0) {
		cairn_roots_close(roots);
		return rc;
	}
	*out = roots;
	return 0;
}

void cairn_roots_close(cairn_roots *roots)
{
	if (!roots)
		return;
	for (size_t i = 0; i < roots->n_runs; i++)
		free(roots->runs[i].workflow);
	free(roots->runs);
	free(roots->kept.items);
	free(roots->lost.items);
	free(roots->live.items);
	free(roots);
}

/* ---- telling -------------------------------------------------------------------------------- */

struct telling {
	const cairn_roots *roots;
	cairn_root_fn tell;
	void *arg;
	const char *table;
};

static int tell_ids(const struct telling *telling, const json_t *json, cairn_error *err)
{
	const char *key, *text;
	json_t *value;
	size_t i;
	cairn_id id;
	int rc = 0;

	if (json_is_string(json)) {
		text = json_string_value(json);
		if (strncmp(text, "sha256:", 7) == 0 && cairn_id_parse(&id, text, NULL) == 0)
			return telling->tell(telling->arg, &id, err);
		return 0;
	}
	/* Nesting is bounded: cairn_json_parse refuses more than 64. */
	json_array_foreach(json, i, value)
	{
		if (rc >= 0)
			rc = tell_ids(telling, value, err);
	}
	json_object_foreach((json_t *)json, key, value)
	{
		if (rc >= 0)
			rc = tell_ids(telling, value, err);
	}
	return rc;
}

static int tell_record(
	const struct telling *telling, const void *value, size_t value_len, cairn_error *err)
{
	json_t *record;
	int rc = cairn_json_parse(&record, value, value_len, telling->table, err);

	if (rc < 0)
		return rc;
	rc = tell_ids(telling, record, err);
	json_decref(record);
	return rc;
}

static int tell_ref(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	const struct telling *telling = arg;
	cairn_id id;

	(void)key, (void)key_len;
	if (value_len != sizeof(id.bytes))
		return 0;
	memcpy(id.bytes, value, value_len);
	return telling->tell(telling->arg, &id, err);
}

static int tell_result(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	const struct telling *telling = arg;

	if (key_len == sizeof(cairn_key) && cairn_roots__is_lost(telling->roots, key))
		return 0;
	return tell_record(telling, value, value_len, err);
}

bool cairn_roots__drops(const cairn_roots *roots, const void *key, size_t key_len)
{
	if (key_len < sizeof(cairn_key) || cairn_keys__has(&roots->live, key))
		return false;
	return roots->retention.drop_checkpoints || cairn_roots__is_lost(roots, key);
}

static int tell_checkpoint(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	const struct telling *telling = arg;

	if (cairn_roots__drops(telling->roots, key, key_len))
		return 0;
	return tell_record(telling, value, value_len, err);
}

static int tell_any(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	(void)key, (void)key_len;
	return tell_record(arg, value, value_len, err);
}

int cairn_roots__tell_run(const cairn_root_run *run, cairn_snapshot *snapshot, cairn_root_fn tell,
	void *arg, cairn_error *err)
{
	struct telling telling = {.tell = tell, .arg = arg, .table = "run"};
	int rc = cairn_snapshot_scan(snapshot, "run", run->id.bytes, sizeof(run->id.bytes), false,
		tell_any, &telling, err);
	cairn_run_id of;

	telling.table = "stage";
	if (rc == 0)
		rc = cairn_record_stages_of(&of, snapshot, &run->id, err);
	if (rc == 0)
		rc = cairn_snapshot_scan(snapshot, "stage", of.bytes, sizeof(of.bytes), false,
			tell_any, &telling, err);
	return rc;
}

static int tell_all(const struct telling *telling, cairn_snapshot *snapshot, cairn_error *err)
{
	static const struct {
		const char *table;
		cairn_scan_fn fn;
	} tables[] = {{"ref", tell_ref}, {"result", tell_result}, {"checkpoint", tell_checkpoint}};
	const cairn_roots *roots = telling->roots;
	int rc = 0;

	for (size_t i = 0; i < CAIRN_COUNT(tables) && rc == 0; i++) {
		struct telling in_table = *telling;

		in_table.table = tables[i].table;
		rc = cairn_snapshot_scan(
			snapshot, tables[i].table, NULL, 0, false, tables[i].fn, &in_table, err);
	}
	for (size_t i = 0; i < roots->n_runs && rc == 0; i++) {
		if (!roots->runs[i].was_collected && !roots->runs[i].is_to_go)
			rc = cairn_roots__tell_run(
				&roots->runs[i], snapshot, telling->tell, telling->arg, err);
	}
	return rc;
}

int cairn_roots_tell(
	void *arg, cairn_store *store, cairn_root_fn tell, void *root_arg, cairn_error *err)
{
	const cairn_roots *decided = arg;
	struct telling telling = {.tell = tell, .arg = root_arg};
	cairn_roots *now;
	cairn_snapshot *snapshot;
	/* As the records are now: a run may have begun since the decision, and counts. */
	int rc = cairn_roots_open(&now, store, &decided->retention, err);

	if (rc < 0)
		return rc;
	telling.roots = now;
	rc = cairn_snapshot_begin(&snapshot, store, err);
	if (rc == 0) {
		rc = tell_all(&telling, snapshot, err);
		cairn_snapshot_end(snapshot);
	}
	cairn_roots_close(now);
	return rc < 0 ? rc : 0;
}
