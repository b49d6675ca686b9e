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
 * All records of results, runs and stages are read, so they are skimmed (skim.h); the parser gets
 * what is odd. Where every run stays no key can be lost, and keys are not asked for.
 *
 * Reads like: record.h.
 */
#include "audit/roots.h"

#include <string.h>

#include "audit/roots_tables.h"
#include "audit/skim.h"
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

/* What of a run's record matters here. */
struct run_words {
	char *workflow; /* to be freed */
	char state[sizeof(((cairn_root_run *)0)->state)],
		stages_of[CAIRN_RUN_TEXT + 1]; /* too long where it was cut */
	int64_t start_ms, end_ms;
	bool was_collected;
};

/* Cut where it does not fit, as cairn_copy does. */
static void copy_word(char *out, size_t room, cairn_span value)
{
	cairn_span string = cairn_skim_string(value);
	size_t len = string.len < room ? string.len : room - 1;

	if (len)
		memcpy(out, string.at, len);
	out[len] = '\0';
}

/* 1: the text is odd. */
static int skim_run(struct run_words *out, const void *text, size_t len)
{
	cairn_skim skim = cairn_skim_begin(text, len);
	cairn_span workflow = {0};

	while (cairn_skim_next(&skim)) {
		if (cairn_skim_is_named(&skim, "workflow"))
			workflow = cairn_skim_string(skim.value);
		else if (cairn_skim_is_named(&skim, "state"))
			copy_word(out->state, sizeof(out->state), skim.value);
		else if (cairn_skim_is_named(&skim, "stages_of"))
			copy_word(out->stages_of, sizeof(out->stages_of), skim.value);
		else if (cairn_skim_is_named(&skim, "start_ms"))
			(void)cairn_skim_integer(skim.value, &out->start_ms);
		else if (cairn_skim_is_named(&skim, "end_ms"))
			(void)cairn_skim_integer(skim.value, &out->end_ms);
		else if (cairn_skim_is_named(&skim, "collected_ms"))
			out->was_collected = true;
	}
	if (skim.is_odd || skim.close != '}')
		return 1;
	out->workflow = cairn_alloc(workflow.len + 1, 1);
	if (out->workflow && workflow.len)
		memcpy(out->workflow, workflow.at, workflow.len);
	return 0;
}

static int parse_run(struct run_words *out, const void *text, size_t len, cairn_error *err)
{
	json_t *record;
	int rc = cairn_json_parse(&record, text, len, "run", err);

	if (rc < 0)
		return rc;
	*out = (struct run_words){
		.workflow = cairn_strdup(cairn_json_string(record, "workflow", "")),
		.start_ms = cairn_json_integer(record, "start_ms", 0),
		.end_ms = cairn_json_integer(record, "end_ms", 0),
		.was_collected = json_object_get(record, "collected_ms") != NULL};
	cairn_copy(out->state, sizeof(out->state), cairn_json_string(record, "state", ""));
	cairn_copy(
		out->stages_of, sizeof(out->stages_of), cairn_json_string(record, "stages_of", ""));
	json_decref(record);
	return 0;
}

static int add_run(cairn_roots *roots, const cairn_run_id *id, const struct run_words *words)
{
	cairn_root_run *run;

	if (roots->n_runs == roots->cap_runs) {
		size_t cap = roots->cap_runs ? roots->cap_runs * 2 : 64;
		cairn_root_run *grown = cairn_realloc(roots->runs, cap, sizeof(*grown));

		if (!grown)
			return CAIRN_ENOMEM;
		roots->runs = grown;
		roots->cap_runs = cap;
	}
	run = &roots->runs[roots->n_runs++];
	*run = (cairn_root_run){.id = *id,
		.workflow = words->workflow,
		.start_ms = words->start_ms,
		.end_ms = words->end_ms,
		.was_collected = words->was_collected};
	cairn_copy(run->state, sizeof(run->state), words->state);
	if (cairn_run_id_parse(&run->stages_of, words->stages_of, NULL) < 0)
		run->stages_of = *id;
	return 0;
}

static int take_run(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	struct run_words words = {0};
	cairn_run_id id;
	int rc;

	if (key_len != sizeof(id.bytes))
		return 0;
	memcpy(id.bytes, key, key_len);
	if (skim_run(&words, value, value_len) != 0 &&
		(rc = parse_run(&words, value, value_len, err)) < 0)
		return rc;
	if (words.workflow && add_run(arg, &id, &words) == 0)
		return 0;
	free(words.workflow);
	return cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading runs");
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

/* The stage's key, as text; none where it has none yet. One that is too long stays so. */
static int key_of(char out[CAIRN_KEY_TEXT + 1], const void *text, size_t len, cairn_error *err)
{
	cairn_skim skim = cairn_skim_begin(text, len);
	json_t *record;
	int rc;

	out[0] = '\0';
	while (cairn_skim_next(&skim)) {
		cairn_span string = cairn_skim_string(skim.value);

		if (cairn_skim_is_named(&skim, "key") && string.len == CAIRN_KEY_TEXT - 1) {
			memcpy(out, string.at, string.len);
			out[string.len] = '\0';
		}
	}
	if (!skim.is_odd && skim.close == '}')
		return 0;
	rc = cairn_json_parse(&record, text, len, "stage", err);
	if (rc < 0)
		return rc;
	cairn_copy(out, CAIRN_KEY_TEXT + 1, cairn_json_string(record, "key", ""));
	json_decref(record);
	return 0;
}

struct keys_of {
	cairn_root_key_fn fn;
	void *arg;
};

static int take_stage(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	const struct keys_of *keys = arg;
	char text[CAIRN_KEY_TEXT + 1];
	cairn_key stage_key;
	int rc = key_of(text, value, value_len, err);

	(void)key, (void)key_len;
	if (rc < 0 || cairn_key_parse(&stage_key, text, NULL) < 0)
		return rc;
	return keys->fn(keys->arg, &stage_key, err);
}

int cairn_roots__scan_keys(const cairn_root_run *run, cairn_snapshot *snapshot,
	cairn_root_key_fn fn, void *arg, cairn_error *err)
{
	struct keys_of keys = {fn, arg};

	return cairn_snapshot_scan(snapshot, "stage", run->stages_of.bytes,
		sizeof(run->stages_of.bytes), false, take_stage, &keys, err);
}

static int take_key(void *arg, const cairn_key *key, cairn_error *err)
{
	return cairn_keys__add(arg, key)
		       ? 0
		       : cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading stages");
}

static bool goes(const cairn_root_run *run)
{
	return run->was_collected || run->is_to_go;
}

static int take_keys(cairn_roots *roots, cairn_snapshot *snapshot, cairn_error *err)
{
	int rc = 0;

	for (size_t i = 0; i < roots->n_runs && rc == 0; i++) {
		const cairn_root_run *run = &roots->runs[i], *before = i ? run - 1 : NULL;

		/* Runs that found everything cached share one list, mostly with their neighbours.
		 */
		if (before && goes(before) == goes(run) &&
			memcmp(&before->stages_of, &run->stages_of, sizeof(run->stages_of)) == 0)
			continue;
		rc = cairn_roots__scan_keys(
			run, snapshot, take_key, goes(run) ? &roots->lost : &roots->kept, err);
	}
	cairn_keys__sort(&roots->kept);
	cairn_keys__sort(&roots->lost);
	return rc;
}

static int decide(cairn_roots *roots, cairn_snapshot *snapshot, cairn_error *err)
{
	int rc = cairn_snapshot_scan(snapshot, "run", NULL, 0, true, take_run, roots, err);
	bool is_any_lost = false;

	if (rc == 0)
		rc = number_runs(roots, err);
	for (size_t i = 0; i < roots->n_runs && rc == 0; i++) {
		cairn_root_run *run = &roots->runs[i];

		run->is_to_go = !run->was_collected && is_to_go(&roots->retention, run);
		is_any_lost |= goes(run);
	}
	return rc == 0 && is_any_lost ? take_keys(roots, snapshot, err) : rc;
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
	return take_key(live, &stage, err);
}

static int open_in(cairn_roots **out, cairn_snapshot *snapshot, const cairn_retention *retention,
	cairn_error *err)
{
	cairn_roots *roots = cairn_alloc(1, sizeof(*roots));
	int rc;

	if (!roots)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory reading runs");
	roots->retention = *retention;
	rc = decide(roots, snapshot, err);
	if (rc == 0)
		rc = cairn_snapshot_scan(snapshot, "note", CAIRN_LIVE_PREFIX,
			strlen(CAIRN_LIVE_PREFIX), false, take_live, &roots->live, err);
	cairn_keys__sort(&roots->live);
	if (rc < 0) {
		cairn_roots_close(roots);
		return rc;
	}
	*out = roots;
	return 0;
}

int cairn_roots_open(
	cairn_roots **out, cairn_store *store, const cairn_retention *retention, cairn_error *err)
{
	cairn_snapshot *snapshot;
	int rc = cairn_snapshot_begin(&snapshot, store, err);

	if (rc < 0)
		return rc;
	rc = open_in(out, snapshot, retention, err);
	cairn_snapshot_end(snapshot);
	return rc;
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

/* The same of a string that was skimmed. */
static int tell_string(void *arg, cairn_span string, cairn_error *err)
{
	const struct telling *telling = arg;
	char text[CAIRN_ID_TEXT];
	cairn_id id;

	if (string.len != sizeof(text) - 1 || memcmp(string.at, "sha256:", 7) != 0)
		return 0;
	memcpy(text, string.at, string.len);
	text[string.len] = '\0';
	return cairn_id_parse(&id, text, NULL) == 0 ? telling->tell(telling->arg, &id, err) : 0;
}

static int tell_record(
	const struct telling *telling, const void *value, size_t value_len, cairn_error *err)
{
	json_t *record;
	int rc = cairn_skim_strings(value, value_len, tell_string, (void *)telling, err);

	if (rc != 1)
		return rc;
	rc = cairn_json_parse(&record, value, value_len, telling->table, err);
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

	telling.table = "stage";
	if (rc == 0)
		rc = cairn_snapshot_scan(snapshot, "stage", run->stages_of.bytes,
			sizeof(run->stages_of.bytes), false, tell_any, &telling, err);
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
	int rc = cairn_snapshot_begin(&snapshot, store, err);

	if (rc < 0)
		return rc;
	/* As the records are now: a run may have begun since the decision, and counts. */
	rc = open_in(&now, snapshot, &decided->retention, err);
	if (rc == 0) {
		telling.roots = now;
		rc = tell_all(&telling, snapshot, err);
		cairn_roots_close(now);
	}
	cairn_snapshot_end(snapshot);
	return rc < 0 ? rc : 0;
}
