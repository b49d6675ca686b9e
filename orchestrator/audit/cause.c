/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cause.c - breadth first up from a stage, along inputs that differ.
 *
 * A queue of pairs (as it was, as it is now). Each instance is looked at once, on the shortest way.
 */
#include "audit/cause.h"

#include <string.h>

#include "audit/report.h"

typedef struct search {
	cairn_snapshot *snapshot;
	cairn_maker_fn maker_of;
	void *arg;
	json_t *queue; /* [{"before", "now", "via"}] */
	json_t *seen;
	json_t *causes;
} search;

const char *cairn_cause_instance(char out[256], const char *source)
{
	static const char *const others[] = {"file:", "ref:", "sha256:", "planned:"};
	const char *colon = source ? strrchr(source, ':') : NULL;

	out[0] = '\0';
	for (size_t i = 0; colon && i < CAIRN_COUNT(others); i++) {
		if (strncmp(source, others[i], strlen(others[i])) == 0)
			return out;
	}
	if (colon && (size_t)(colon - source) < 256) {
		memcpy(out, source, (size_t)(colon - source));
		out[colon - source] = '\0';
	}
	return out;
}

/* ---- makers by their records ---------------------------------------------------------------- */

struct maker_search {
	cairn_snapshot *snapshot;
	const char *instance;
	json_t *found; /* of that instance, else the first */
	bool is_exact;
};

static int take_maker(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct maker_search *want = arg;
	json_t *result = NULL;
	cairn_key stage;

	(void)value, (void)value_len, (void)err;
	if (key_len != 64)
		return 0;
	memcpy(stage.bytes, (const uint8_t *)key + 32, sizeof(stage.bytes));
	if (cairn_record_result(&result, want->snapshot, &stage, NULL) < 0)
		return 0;
	want->is_exact = strcmp(cairn_json_string(result, "instance", ""), want->instance) == 0;
	if (want->is_exact || !want->found) {
		json_decref(want->found);
		want->found = result;
	} else {
		json_decref(result);
	}
	return want->is_exact;
}

json_t *cairn_cause_maker(void *snapshot, const char *instance, const char *id)
{
	struct maker_search want = {.snapshot = snapshot, .instance = instance};
	cairn_id artifact;

	if (!id || cairn_id_parse(&artifact, id, NULL) < 0 ||
		cairn_snapshot_scan(snapshot, "producer", artifact.bytes, sizeof(artifact.bytes),
			false, take_maker, &want, NULL) < 0)
		return want.found;
	return want.found;
}

/* ---- the search --------------------------------------------------------------------------- */

static void add_cause(search *s, const json_t *now, json_t *via, json_t *take_what)
{
	json_t *cause = json_pack(
		"{s:s, s:O}", "instance", cairn_json_string(now, "instance", "?"), "via", via);

	json_object_update(cause, take_what);
	json_decref(take_what);
	json_array_append_new(s->causes, cause);
}

/* What is bound to "input.PORT.INDEX" now. */
static const json_t *bound_to(const json_t *now, const char *component)
{
	const char *port = component + strlen("input."), *dot = strrchr(port, '.');
	char name[256];
	int64_t index;

	if (!dot || (size_t)(dot - port) >= sizeof(name))
		return NULL;
	memcpy(name, port, (size_t)(dot - port));
	name[dot - port] = '\0';
	index = strtoll(dot + 1, NULL, 10);
	return json_array_get(json_object_get(json_object_get(now, "inputs"), name), (size_t)index);
}

/* Queues the stage behind an input; false where there is none to look at. */
static bool follow(search *s, const json_t *before, const json_t *now, const char *component,
	const json_t *via, bool is_top)
{
	const json_t *bound = bound_to(now, component);
	const char *was = cairn_json_string(json_object_get(before, "components"), component, NULL);
	char name[256];
	json_t *maker, *longer;

	cairn_cause_instance(name, cairn_json_string(bound, "source", ""));
	if (!name[0])
		return false;
	if (json_object_get(s->seen, name))
		return true;
	maker = s->maker_of(s->arg, name, cairn_json_string(bound, "id", NULL));
	if (!maker)
		return false;
	json_object_set_new(s->seen, name, json_true());
	longer = json_copy((json_t *)via);
	if (!is_top)
		json_array_append(longer, json_object_get(now, "instance"));
	was = was ? was : "";
	json_array_append_new(s->queue,
		json_pack("{s:o?, s:o, s:o}", "before", cairn_cause_maker(s->snapshot, name, was),
			"now", maker, "via", longer));
	return true;
}

/* A stage that has to run first and was not compared with anything. */
static void follow_unknown(search *s, const json_t *now, json_t *via, bool is_top)
{
	const char *component;
	json_t *value;
	bool has_unknown = false;

	json_object_foreach(json_object_get(now, "components"), component, value)
	{
		if (json_is_null(value))
			has_unknown |= follow(s, NULL, now, component, via, is_top);
	}
	if (!has_unknown && !is_top && json_object_get(now, "reason"))
		add_cause(
			s, now, via, json_pack("{s:O}", "reason", json_object_get(now, "reason")));
}

static void compare(search *s, const json_t *before, const json_t *now, json_t *via, bool is_top)
{
	json_t *changes = cairn_report_changes(
		       json_object_get(before, "components"), json_object_get(now, "components")),
	       *change;
	size_t i, n_before = json_array_size(s->causes) + json_array_size(s->queue);

	json_array_foreach(changes, i, change)
	{
		const char *name = cairn_json_string(change, "name", "");
		if (strncmp(name, "input.", 6) == 0 && follow(s, before, now, name, via, is_top))
			continue;
		if (!is_top)
			add_cause(s, now, via, json_incref(change));
	}
	/* The same components, and yet it runs: what it made is gone, or it is not deterministic.
	 */
	if (!is_top && json_array_size(changes) == 0 && json_object_get(now, "reason") &&
		n_before == json_array_size(s->causes) + json_array_size(s->queue))
		add_cause(
			s, now, via, json_pack("{s:O}", "reason", json_object_get(now, "reason")));
	json_decref(changes);
}

json_t *cairn_causes(cairn_snapshot *snapshot, const json_t *before, const json_t *now,
	cairn_maker_fn maker_of, void *arg)
{
	search s = {snapshot, maker_of, arg, json_array(), json_object(), json_array()};

	json_array_append_new(s.queue, json_pack("{s:O?, s:O, s:[]}", "before", (json_t *)before,
					       "now", (json_t *)now, "via"));
	for (size_t at = 0; at < json_array_size(s.queue); at++) {
		json_t *pair = json_incref(json_array_get(s.queue, at));
		json_t *was = json_object_get(pair, "before"), *is = json_object_get(pair, "now");
		json_t *via = json_object_get(pair, "via");

		if (json_is_object(was))
			compare(&s, was, is, via, at == 0);
		else
			follow_unknown(&s, is, via, at == 0);
		json_decref(pair);
		if (json_array_size(s.causes) >= CAIRN_CAUSES_MAX)
			break;
	}
	json_decref(s.queue);
	json_decref(s.seen);
	return s.causes;
}
