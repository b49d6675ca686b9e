/* SPDX-License-Identifier: Apache-2.0 */
/* explain.c - what changed between two results, and the stage of a past run. */
#include "audit/explain.h"

#include <string.h>

#include "audit/cause.h"
#include "audit/difference.h"
#include "audit/report.h"

/* ---- changes ------------------------------------------------------------------------------ */

static bool is_input(const json_t *change)
{
	return strncmp(cairn_json_string(change, "name", ""), "input.", 6) == 0;
}

/* What a side says of the artifact behind "input.PORT.INDEX". */
static const json_t *bound_to(const json_t *side, const json_t *change)
{
	const char *port = cairn_json_string(change, "name", "") + strlen("input.");
	const char *dot = strrchr(port, '.');
	json_t *list =
		dot ? json_object_getn(json_object_get(side, "inputs"), port, (size_t)(dot - port))
		    : NULL;

	return dot ? json_array_get(list, (size_t)strtoul(dot + 1, NULL, 10)) : NULL;
}

static int add_difference(json_t *change, cairn_store *store, cairn_error *err)
{
	json_t *difference = NULL;
	cairn_id before, after;
	int rc;

	if (cairn_id_parse(&before, cairn_json_string(change, "before", ""), NULL) < 0 ||
		cairn_id_parse(&after, cairn_json_string(change, "after", ""), NULL) < 0)
		return 0;
	rc = cairn_difference(&difference, store, &before, &after, err);
	if (rc == 0)
		json_object_set_new(change, "difference", difference);
	return rc;
}

int cairn_explain_differences(json_t *changes, cairn_store *store, cairn_error *err)
{
	json_t *change;
	size_t i;
	int rc = 0;

	json_array_foreach(changes, i, change)
	{
		if (rc == 0 && is_input(change))
			rc = add_difference(change, store, err);
	}
	return rc;
}

int cairn_explain_changes(
	json_t **out, cairn_store *store, const json_t *before, const json_t *now, cairn_error *err)
{
	json_t *all = cairn_report_changes(
		json_object_get(before, "components"), json_object_get(now, "components"));
	json_t *changes = json_array(), *change;
	size_t i;
	int rc;

	json_array_foreach(all, i, change)
	{
		if (!is_input(change))
			json_array_append(changes, change);
	}
	json_array_foreach(all, i, change)
	{
		const json_t *bound;
		if (!is_input(change))
			continue;
		bound = bound_to(now, change);
		if (!bound)
			bound = bound_to(before, change);
		json_object_set_new(change, "source",
			cairn_record_text(cairn_json_string(bound, "source", "")));
		json_array_append(changes, change);
	}
	json_decref(all);
	rc = cairn_explain_differences(changes, store, err);
	if (rc < 0)
		json_decref(changes);
	else
		*out = changes;
	return rc;
}

json_t *cairn_explain_origin(const json_t *result)
{
	if (!result)
		return json_null();
	return json_pack("{s:s, s:I}", "run", cairn_json_string(result, "run", ""), "end_ms",
		(json_int_t)cairn_json_integer(result, "end_ms", 0));
}

json_t *cairn_explain_attempt(cairn_snapshot *snapshot, const cairn_key *key)
{
	json_t *attempt = NULL, *json, *error;
	uint32_t last = 0;

	if (cairn_record_last_attempt(&last, snapshot, key, NULL) < 0 || last == 0 ||
		cairn_record_attempt(&attempt, snapshot, key, last, NULL) < 0)
		return json_null();
	error = json_object_get(attempt, "error");
	json = json_pack("{s:I, s:s, s:s, s:I, s:O?}", "attempt", (json_int_t)last, "run",
		cairn_json_string(attempt, "run", ""), "state",
		cairn_json_string(attempt, "state", "?"), "end_ms",
		(json_int_t)cairn_json_integer(attempt, "end_ms", 0), "error", error);
	json_decref(attempt);
	return json;
}

/* ---- the stage of a past run ---------------------------------------------------------------- */

/* The newest result of an instance in the runs before one. */
struct earlier {
	cairn_snapshot *snapshot;
	const char *instance;
	cairn_key key;
	json_t *result;
};

static int take_earlier(const cairn_run_id *run, void *arg, cairn_error *err)
{
	struct earlier *want = arg;
	json_t *stage = NULL;
	const char *state;
	int rc = cairn_report_stage(&stage, want->snapshot, run, want->instance, NULL);

	if (rc < 0)
		return rc == CAIRN_ENOTFOUND ? 0 : cairn_error_set(err, rc, "cannot read a run");
	state = cairn_json_string(stage, "state", "");
	if ((strcmp(state, "done") == 0 || strcmp(state, "cached") == 0) &&
		cairn_key_parse(&want->key, cairn_json_string(stage, "key", ""), NULL) == 0)
		rc = cairn_record_result(&want->result, want->snapshot, &want->key, err);
	json_decref(stage);
	return rc == CAIRN_ENOTFOUND ? 0 : rc < 0 ? rc : want->result != NULL;
}

static json_t *key_json(const json_t *result, const cairn_key *key)
{
	char text[CAIRN_KEY_TEXT];

	cairn_key_format(key, text);
	return result ? json_string(text) : json_null();
}

/* The document, once both results are known as far as they exist. */
static int compare(json_t **out, cairn_store *store, cairn_snapshot *snapshot, const json_t *stage,
	const json_t *result, const struct earlier *before, cairn_error *err)
{
	bool is_cached = strcmp(cairn_json_string(stage, "state", ""), "cached") == 0;
	json_t *changes = NULL, *causes, *components = json_object_get(result, "components");
	json_t *attempt = json_null(), *key = json_object_get(stage, "key");
	bool is_compared = before->result && result && !is_cached;
	cairn_key of;
	int rc = 0;

	if (is_compared)
		rc = cairn_explain_changes(&changes, store, before->result, result, err);
	if (rc < 0)
		return rc;
	causes = is_compared ? cairn_causes(snapshot, before->result, result, cairn_cause_maker,
				       snapshot)
			     : json_array();
	rc = cairn_explain_differences(causes, store, err);
	if (rc < 0) {
		json_decref(causes);
		json_decref(changes);
		return rc;
	}
	if (!result && cairn_key_parse(&of, key ? json_string_value(key) : "", NULL) == 0)
		attempt = cairn_explain_attempt(snapshot, &of);
	*out = json_pack("{s:O, s:O, s:O, s:O?, s:b, s:O?, s:o, s:o, s:[], s:O?, s:o, s:o, s:O?, "
			 "s:o}",
		"instance", json_object_get(stage, "instance"), "plugin",
		json_object_get(stage, "plugin"), "state", json_object_get(stage, "state"), "key",
		key, "up_to_date", (int)is_cached, "reason", json_object_get(stage, "reason"),
		"changes", changes ? changes : json_array(), "causes", causes, "waits_for",
		"components", components, "last_key", key_json(before->result, &before->key),
		"last", cairn_explain_origin(is_cached ? result : before->result), "blessed",
		json_object_get(result, "blessed"), "last_attempt", attempt);
	return *out ? 0 : cairn_error_set(err, CAIRN_ENOMEM, "out of memory explaining a stage");
}

int cairn_explain_past(json_t **out, cairn_store *store, cairn_snapshot *snapshot,
	const cairn_run_id *run, const char *instance, cairn_error *err)
{
	json_t *record = NULL, *stage = NULL, *result = NULL;
	struct earlier before = {.snapshot = snapshot};
	char run_text[CAIRN_RUN_TEXT];
	cairn_key key;
	int rc = cairn_record_run(&record, snapshot, run, err);

	if (rc == 0)
		rc = cairn_report_stage(&stage, snapshot, run, instance, err);
	before.instance = cairn_json_string(stage, "instance", "");
	if (rc == 0 && cairn_key_parse(&key, cairn_json_string(stage, "key", ""), NULL) == 0) {
		rc = cairn_record_result(&result, snapshot, &key, err);
		rc = rc == CAIRN_ENOTFOUND ? 0 : rc;
	}
	if (rc == 0)
		rc = cairn_record_scan_runs(snapshot, cairn_json_string(record, "workflow", ""),
			run, take_earlier, &before, err);
	if (rc == 0)
		rc = compare(out, store, snapshot, stage, result, &before, err);
	if (rc == 0) {
		cairn_run_id_format(run, run_text);
		json_object_set_new(*out, "run", json_string(run_text));
	}
	json_decref(record);
	json_decref(stage);
	json_decref(result);
	json_decref(before.result);
	return rc;
}
