/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bless.c - the checks, and one transaction.
 *
 * Under the lock of runs, after another look at the store: what was true when the plan was made may
 * have been overtaken by a run.
 */
#include "run/plan/bless.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

#include "audit/report.h"
#include "base/bytes.h"
#include "run/lock.h"
#include "run/plan/explain.h"
#include "run/plan/plan.h"

#define LOG_PREFIX "bless:"
#define KEY_MAX    511 /* of the store */

typedef struct blessing {
	cairn_plan *plan;
	const cairn_planned *stage;
	size_t i;
	const cairn_bless_options *options;
	cairn_snapshot *snapshot;
	cairn_key from; /* whose result is accepted */
	json_t *last;   /* that result; of a revoked blessing, the blessed one */
	json_t *now;    /* the stage of today, as audit/cause.h has it */
	json_t *changes;
	json_t *document;
} blessing;

static const char *name_of(const blessing *b)
{
	return b->stage->instance->name;
}

/* ---- may it be? --------------------------------------------------------------------------- */

static int refuse(cairn_error *err, const blessing *b, const char *why, const char *hint)
{
	cairn_error_set(err, CAIRN_EUSAGE, "stage '%.200s' cannot be blessed: %s", name_of(b), why);
	cairn_error_hint(err, "%s", hint);
	return CAIRN_EUSAGE;
}

static bool is_blank(const char *text)
{
	return !text || text[strspn(text, " \t\n\r")] == '\0';
}

static int check_stage(const blessing *b, cairn_error *err)
{
	const cairn_planned *stage = b->stage;

	if (is_blank(b->options->reason))
		return refuse(err, b, "there is no reason", "Say why, with `--reason \"...\"`.");
	if (strlen(b->options->reason) > CAIRN_BLESS_REASON_MAX)
		return refuse(err, b, "the reason is longer than 1000 bytes",
			"Say it in short, and where more is written.");
	if (stage->instance->plugin->capabilities & CAIRN_NOT_DETERMINISTIC)
		return refuse(err, b, "its plugin is not deterministic",
			"It runs each time; there is no result to stand for another.");
	if (stage->state == CAIRN_STATE_CACHED)
		return refuse(err, b, "it is up to date",
			"There is nothing to accept; `cairn explain` says what its result is.");
	if (stage->state == CAIRN_STATE_SKIPPED)
		return refuse(err, b, "it is skipped", stage->reason);
	if (!stage->has_key)
		return refuse(err, b, "its inputs are not all known",
			"Run, or bless, first what it waits for: `cairn explain` names it.");
	if (stage->state != CAIRN_STATE_READY)
		return refuse(err, b, stage->reason, "`cairn plan` says what is wrong.");
	return 0;
}

static int find_last(blessing *b, cairn_error *err)
{
	json_t *same = NULL;
	int rc = cairn_record_result(&same, b->snapshot, &b->stage->key, err);

	json_decref(same);
	if (rc == 0)
		return refuse(err, b, b->stage->reason,
			"Nothing changed but that; `cairn run` makes it again.");
	if (rc != CAIRN_ENOTFOUND)
		return rc;
	rc = cairn_report_last_result(
		&b->last, &b->from, b->snapshot, b->plan->workflow->name, name_of(b), err);
	return rc == CAIRN_ENOTFOUND ? refuse(err, b, "it has no earlier result",
					       "`cairn run` makes the first one.")
				     : rc;
}

/* What the last result has must be all that today's plugin writes, and still be there. */
static int check_outputs(const blessing *b, cairn_error *err)
{
	const cairn_plugin_info *plugin = b->stage->instance->plugin;
	const json_t *outputs = json_object_get(b->last, "outputs");
	const char *port;
	json_t *output;
	char why[200];

	for (uint64_t o = 0; o < plugin->n_outputs; o++) {
		const cairn_port *is = &plugin->outputs[o];
		const json_t *was = json_object_get(outputs, is->name);
		if (!was && (is->flags & CAIRN_PORT_OPTIONAL))
			continue;
		if (was && cairn_kind_accepts(is->kind, cairn_json_string(was, "kind", "")))
			continue;
		snprintf(why, sizeof(why), "its last result has no output '%.60s' of kind %.60s",
			is->name, is->kind);
		return refuse(err, b, why, "`cairn run` makes it.");
	}
	json_object_foreach((json_t *)outputs, port, output)
	{
		cairn_id id;
		if (cairn_id_parse(&id, cairn_json_string(output, "id", ""), NULL) == 0 &&
			cairn_snapshot_has(b->snapshot, &id))
			continue;
		cairn_error_set(err, CAIRN_ENOTFOUND,
			"stage '%.150s' cannot be blessed: the output '%.60s' of its last result is "
			"no longer in the store",
			name_of(b), port);
		cairn_error_hint(err, "`cairn run` makes it again.");
		return CAIRN_ENOTFOUND;
	}
	return 0;
}

static int check_changes(blessing *b, cairn_error *err)
{
	json_t *change;
	size_t i;

	b->now = cairn_plan_stage_json(b->plan, b->i);
	b->changes = cairn_report_changes(
		json_object_get(b->last, "components"), json_object_get(b->now, "components"));
	if (json_array_size(b->changes) == 0)
		return refuse(err, b, "nothing changed", "`cairn explain` says why it runs.");
	json_array_foreach(b->changes, i, change)
	{
		if (strcmp(cairn_json_string(change, "name", ""), "plugin") == 0)
			return refuse(err, b, "its last result is another plugin's",
				"That is no change of looks; `cairn run` makes its own.");
	}
	return 0;
}

/* ---- what is written ------------------------------------------------------------------------ */

static json_t *document_of(
	const blessing *b, const char *action, const json_t *record, const char *reason)
{
	char key[CAIRN_KEY_TEXT], from[CAIRN_KEY_TEXT];

	cairn_key_format(&b->stage->key, key);
	cairn_key_format(&b->from, from);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:I, s:o, s:O}", "workflow",
		b->plan->workflow->name, "instance", name_of(b), "action", action, "key", key,
		"from", from, "run", cairn_json_string(record, "run", ""), "by",
		cairn_record_user(), "ms", (json_int_t)cairn_now_ms(), "reason",
		cairn_record_text(reason), "changes", b->changes);
}

/* "kind" of each input, as the record of a stage that ran has it. */
static void add_kinds(const blessing *b, json_t *inputs)
{
	const char *port;
	json_t *list, *bound;
	size_t k;

	json_object_foreach(inputs, port, list)
	{
		json_array_foreach(list, k, bound)
		{
			cairn_object *object = NULL;
			cairn_id id;
			if (cairn_id_parse(&id, cairn_json_string(bound, "id", ""), NULL) < 0 ||
				cairn_object_open(&object, b->plan->store, &id, NULL) < 0)
				continue;
			json_object_set_new(bound, "kind", json_string(cairn_object_kind(object)));
			cairn_object_close(object);
		}
	}
}

static json_t *record_of(const blessing *b)
{
	static const char *const told[] = {"by", "ms", "reason", "changes"};
	json_t *record = json_deep_copy(b->last), *blessed = json_object();
	json_t *inputs = json_object_get(b->now, "inputs");

	add_kinds(b, inputs);
	for (size_t i = 0; i < CAIRN_COUNT(told); i++)
		json_object_set(blessed, told[i], json_object_get(b->document, told[i]));
	json_object_set(blessed, "key", json_object_get(b->document, "from"));
	json_object_set_new(record, "instance", json_string(name_of(b)));
	json_object_set(record, "components", json_object_get(b->now, "components"));
	json_object_set(record, "inputs", inputs);
	json_object_set_new(record, "blessed", blessed);
	return record;
}

static int put_log(const blessing *b, cairn_batch *batch, cairn_error *err)
{
	char key[KEY_MAX + 1];
	char *text = cairn_json_canonical(b->document);
	uint64_t ms = (uint64_t)cairn_json_integer(b->document, "ms", 0);
	int len = snprintf(key, sizeof(key) - 9, LOG_PREFIX "%.200s/%.250s",
		b->plan->workflow->name, name_of(b));
	int rc;

	CAIRN_ASSERT(len > 0 && (size_t)len < sizeof(key) - 9);
	cairn_put_be((uint8_t *)key + len + 1, ms, 8);
	rc = text ? cairn_batch_put(batch, "note", key, (size_t)len + 9, text, strlen(text), err)
		  : cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a record");
	free(text);
	return rc;
}

static int put_blessing(const blessing *b, cairn_batch *batch, cairn_error *err)
{
	json_t *record = record_of(b), *output;
	const char *port;
	int rc = 0;

	/* A collection under way keeps them, or the commit fails. */
	json_object_foreach(json_object_get(record, "outputs"), port, output)
	{
		cairn_id id;
		if (rc == 0)
			rc = cairn_id_parse(&id, cairn_json_string(output, "id", ""), err);
		if (rc == 0)
			rc = cairn_batch_use(batch, &id, true, err);
	}
	if (rc == 0)
		rc = cairn_record_put_result(batch, &b->stage->key, record, err);
	json_decref(record);
	return rc;
}

/* ---- taking it back ---------------------------------------------------------------------------
 */

static int check_blessed(blessing *b, cairn_error *err)
{
	json_t *blessed;

	if (b->stage->has_key &&
		cairn_record_result(&b->last, b->snapshot, &b->stage->key, NULL) < 0)
		b->last = NULL;
	blessed = json_object_get(b->last, "blessed");
	if (!blessed ||
		cairn_key_parse(&b->from, cairn_json_string(blessed, "key", ""), NULL) < 0) {
		cairn_error_set(
			err, CAIRN_EUSAGE, "stage '%.200s' is not blessed as it is", name_of(b));
		cairn_error_hint(err, "`cairn bless` without a stage lists what was.");
		return CAIRN_EUSAGE;
	}
	b->changes = json_incref(json_object_get(blessed, "changes"));
	return 0;
}

struct memo_deletion {
	cairn_batch *batch;
	cairn_error *err;
};

static int delete_note(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct memo_deletion *d = arg;

	(void)value, (void)value_len;
	return cairn_batch_delete(d->batch, "note", key, key_len, err);
}

/* The record, and what remembers it: edges of the lineage, the last key, memos (memo.h). */
static int put_revocation(const blessing *b, cairn_batch *batch, cairn_error *err)
{
	struct memo_deletion memos = {batch, err};
	const void *value;
	char note[KEY_MAX + 1];
	size_t len;
	int rc = cairn_record_delete_result(batch, &b->stage->key, b->last, err);

	if (rc == 0)
		rc = cairn_snapshot_scan(
			b->snapshot, "note", "plan:", 5, false, delete_note, &memos, err);
	if (rc == 0 && cairn_plan_note_name(note, sizeof(note), b->plan, b->stage->instance) &&
		cairn_snapshot_get(b->snapshot, "note", note, strlen(note), &value, &len, NULL) ==
			0 &&
		len == sizeof(b->from.bytes) && memcmp(value, b->stage->key.bytes, len) == 0)
		rc = cairn_batch_put(batch, "note", note, strlen(note), b->from.bytes,
			sizeof(b->from.bytes), err);
	return rc;
}

/* ---- the whole of it --------------------------------------------------------------------------
 */

static int check(blessing *b, cairn_error *err)
{
	int rc;

	if (b->options->action == CAIRN_BLESS_REVOKE)
		return check_blessed(b, err);
	rc = check_stage(b, err);
	if (rc == 0)
		rc = find_last(b, err);
	if (rc == 0)
		rc = check_changes(b, err);
	return rc == 0 ? check_outputs(b, err) : rc;
}

static int write_down(const blessing *b, cairn_error *err)
{
	cairn_batch *batch;
	int rc = cairn_batch_begin(&batch, b->plan->store, err);

	if (rc < 0)
		return rc;
	rc = b->options->action == CAIRN_BLESS ? put_blessing(b, batch, err)
					       : put_revocation(b, batch, err);
	if (rc == 0)
		rc = put_log(b, batch, err);
	if (rc == 0)
		return cairn_batch_commit(batch, err);
	cairn_batch_abort(batch);
	return rc;
}

static int bless(json_t **out, blessing *b, cairn_error *err)
{
	bool is_revoked = b->options->action == CAIRN_BLESS_REVOKE;
	bool is_new;
	int rc = cairn_plan_refresh(b->plan, &is_new, err);

	if (rc == 0)
		rc = cairn_snapshot_begin(&b->snapshot, b->plan->store, err);
	if (rc < 0)
		return rc;
	rc = check(b, err);
	if (rc == 0) {
		b->document = document_of(b, is_revoked ? "revoke" : "bless", b->last,
			b->options->reason ? b->options->reason : "");
		if (!b->document)
			rc = cairn_error_set(err, CAIRN_ENOMEM, "out of memory for a record");
	}
	if (rc == 0 && !b->options->is_dry)
		rc = write_down(b, err);
	cairn_snapshot_end(b->snapshot);
	if (rc == 0)
		*out = json_incref(b->document);
	json_decref(b->last);
	json_decref(b->now);
	json_decref(b->changes);
	json_decref(b->document);
	return rc;
}

static int take_lock(int *fd, const blessing *b, cairn_error *err)
{
	const struct timespec nap = {.tv_nsec = 100 * 1000 * 1000};
	const char *path = cairn_store_path(b->plan->store);
	bool is_told = false;
	char holder[64];
	int rc;

	while ((rc = cairn_lock_try(fd, path, holder, sizeof(holder), err)) > 0) {
		if (b->options->no_wait) {
			cairn_error_set(err, CAIRN_EBUSY, "%s uses the store '%s'", holder, path);
			cairn_error_hint(err, "Leave out `--no-wait` to wait for its end.");
			return CAIRN_EBUSY;
		}
		if (!is_told && b->options->waits)
			b->options->waits(b->options->arg, holder);
		is_told = true;
		nanosleep(&nap, NULL);
	}
	return rc;
}

int cairn_bless(json_t **out, cairn_plan *plan, size_t i, const cairn_bless_options *options,
	cairn_error *err)
{
	blessing b = {.plan = plan, .stage = &plan->stages[i], .i = i, .options = options};
	int lock = -1, rc = 0;

	if (!options->is_dry)
		rc = take_lock(&lock, &b, err);
	if (rc == 0)
		rc = bless(out, &b, err);
	if (lock >= 0)
		close(lock);
	return rc;
}

static int append_log(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	json_t *json = NULL;
	int rc = cairn_record_parse(&json, "note", value, value_len, err);

	(void)key, (void)key_len;
	if (rc == 0)
		json_array_append_new(arg, json);
	return rc;
}

int cairn_bless_list(json_t **out, cairn_snapshot *snapshot, cairn_error *err)
{
	json_t *list = json_array();
	int rc = cairn_snapshot_scan(
		snapshot, "note", LOG_PREFIX, strlen(LOG_PREFIX), false, append_log, list, err);

	if (rc < 0)
		json_decref(list);
	else
		*out = list;
	return rc;
}
