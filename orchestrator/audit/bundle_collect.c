/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle_collect.c - which records and artifacts belong to a bundle: the closure over "was made
 * from", beginning at an artifact or at the stages of a run.
 */
#include <string.h>

#include "audit/bundle.h"
#include "base/bytes.h"
#include "cairn/fsck.h"

typedef struct collect {
	cairn_bundle_content *to;
	cairn_snapshot *snapshot;
	const cairn_bundle_root *root;
	json_t *seen;  /* {id: true}: artifacts whose producers were looked up */
	json_t *queue; /* ids, in the order of discovery */
	cairn_error *err;
} collect;

void cairn_bundle_content_free(cairn_bundle_content *content)
{
	json_decref(content->results);
	json_decref(content->attempts);
	json_decref(content->runs);
	json_decref(content->stages);
	json_decref(content->events);
	json_decref(content->artifacts);
	json_decref(content->refs);
	*content = (cairn_bundle_content){0};
}

/* Its bytes come along, if the store has them. */
static int add_artifact(collect *c, const char *id_text)
{
	bool there = false;
	cairn_id id;
	int rc = 0;

	if (cairn_id_parse(&id, id_text, NULL) < 0 || json_object_get(c->to->artifacts, id_text))
		return 0;
	rc = cairn_snapshot_has_artifact(c->snapshot, &id, &there, c->err);
	if (rc == 0 && there)
		json_object_set_new(c->to->artifacts, id_text, json_true());
	return rc;
}

static void enqueue(collect *c, const char *id_text)
{
	if (!id_text[0] || json_object_get(c->seen, id_text))
		return;
	json_object_set_new(c->seen, id_text, json_true());
	json_array_append_new(c->queue, json_string(id_text));
}

/* ---- runs -------------------------------------------------------------------------------------
 */

static bool is_open(const json_t *record)
{
	return strcmp(cairn_json_string(record, "state", ""), "running") == 0;
}

static int take_event(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	json_t *lines = arg, *record;
	const uint8_t *at = (const uint8_t *)key + 16;
	json_int_t seq = 0;
	int rc;

	if (key_len != 24)
		return 0;
	rc = cairn_record_parse(&record, "event", value, value_len, err);
	if (rc < 0)
		return rc;
	seq = (json_int_t)cairn_get_be(at, 8);
	json_array_append_new(lines, json_pack("{s:I, s:o}", "seq", seq, "record", record));
	return 0;
}

static int add_events(collect *c, const cairn_run_id *run, const char *run_text)
{
	json_t *lines = json_array();
	int rc = cairn_snapshot_scan(c->snapshot, "event", run->bytes, sizeof(run->bytes), false,
		take_event, lines, c->err);

	if (json_array_size(lines))
		json_object_set(c->to->events, run_text, lines);
	json_decref(lines);
	return rc;
}

/* The run's record and the text of its workflow. A run that goes on tells nothing final. */
static int add_run(collect *c, const char *run_text)
{
	json_t *record = NULL;
	cairn_run_id run;
	int rc;

	if (cairn_run_id_parse(&run, run_text, NULL) < 0 || json_object_get(c->to->runs, run_text))
		return 0;
	rc = cairn_record_run(&record, c->snapshot, &run, c->err);
	if (rc == CAIRN_ENOTFOUND)
		return 0;
	if (rc == 0 && !is_open(record)) {
		json_object_set(c->to->runs, run_text, record);
		rc = add_artifact(c, cairn_json_string(record, "file_id", ""));
		if (rc == 0)
			rc = add_artifact(
				c, cairn_json_string(
					   json_object_get(record, "provenance"), "diff", ""));
	}
	json_decref(record);
	return rc;
}

/* ---- stages -----------------------------------------------------------------------------------
 */

static int add_attempts(collect *c, const cairn_key *key, const char *key_text)
{
	json_t *lines = json_array(), *attempt;
	uint32_t last = 0;
	int rc = cairn_record_last_attempt(&last, c->snapshot, key, c->err);

	for (uint32_t n = 1; rc == 0 && n <= last; n++) {
		rc = cairn_record_attempt(&attempt, c->snapshot, key, n, c->err);
		if (rc == CAIRN_ENOTFOUND) {
			rc = 0;
			continue;
		}
		if (rc < 0)
			break;
		if (!is_open(attempt)) {
			rc = add_run(c, cairn_json_string(attempt, "run", ""));
			json_array_append_new(lines,
				json_pack("{s:I, s:O}", "n", (json_int_t)n, "record", attempt));
		}
		json_decref(attempt);
	}
	if (json_array_size(lines))
		json_object_set(c->to->attempts, key_text, lines);
	json_decref(lines);
	return rc;
}

static int add_inputs(collect *c, const json_t *result)
{
	json_t *bound, *one;
	const char *port;
	size_t i;
	int rc = 0;

	json_object_foreach(json_object_get(result, "inputs"), port, bound)
	{
		json_array_foreach(bound, i, one)
		{
			enqueue(c, cairn_json_string(one, "id", ""));
			if (rc == 0 && c->root->with_inputs)
				rc = add_artifact(c, cairn_json_string(one, "id", ""));
		}
	}
	return rc;
}

/* A stage with all that is known of it; with its outputs, if it is one of the run's. */
static int add_stage(collect *c, const cairn_key *key, bool has_outputs)
{
	json_t *result = NULL, *output;
	char key_text[CAIRN_KEY_TEXT];
	const char *port;
	int rc;

	cairn_key_format(key, key_text);
	if (json_object_get(c->to->results, key_text))
		return 0;
	rc = cairn_record_result(&result, c->snapshot, key, c->err);
	if (rc < 0 && rc != CAIRN_ENOTFOUND)
		return rc;
	rc = add_attempts(c, key, key_text);
	if (!result)
		return rc;
	json_object_set(c->to->results, key_text, result);
	if (rc == 0)
		rc = add_run(c, cairn_json_string(result, "run", ""));
	if (rc == 0)
		rc = add_inputs(c, result);
	json_object_foreach(json_object_get(result, "outputs"), port, output)
	{
		if (rc == 0 && (has_outputs || c->root->with_inputs))
			rc = add_artifact(c, cairn_json_string(output, "id", ""));
	}
	json_decref(result);
	return rc;
}

static int take_producer(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	char hex[65];

	(void)value, (void)value_len, (void)err;
	if (key_len == 64) {
		cairn_hex_encode((const uint8_t *)key + 32, 32, hex);
		json_array_append_new(arg, json_string(hex));
	}
	return 0;
}

/* Of the root, with all that its stage wrote: a result counts only as a whole. */
static int add_producers(collect *c, const char *id_text, bool is_root)
{
	json_t *keys = json_array(), *hex;
	cairn_key key;
	cairn_id id;
	size_t i;
	int rc = cairn_id_parse(&id, id_text, NULL);

	if (rc == 0)
		rc = cairn_snapshot_scan(c->snapshot, "producer", id.bytes, sizeof(id.bytes), false,
			take_producer, keys, c->err);
	else
		rc = 0;
	json_array_foreach(keys, i, hex)
	{
		if (rc == 0 && cairn_key_parse(&key, json_string_value(hex), c->err) == 0)
			rc = add_stage(c, &key, is_root);
	}
	json_decref(keys);
	return rc;
}

/* ---- the root ---------------------------------------------------------------------------------
 */

static int add_root_run(collect *c, const cairn_run_id *run)
{
	json_t *stages = NULL, *stage;
	char run_text[CAIRN_RUN_TEXT];
	cairn_key key;
	size_t i;
	int rc;

	cairn_run_id_format(run, run_text);
	rc = add_run(c, run_text);
	if (rc == 0 && !json_object_get(c->to->runs, run_text)) {
		cairn_error_set(c->err, CAIRN_EBUSY, "run %s is not over", run_text);
		cairn_error_hint(c->err, "Bundle it when it has ended, or was stopped.");
		return CAIRN_EBUSY;
	}
	if (rc == 0)
		rc = add_events(c, run, run_text);
	if (rc == 0)
		rc = cairn_record_stages(&stages, c->snapshot, run, c->err);
	json_array_foreach(stages, i, stage)
	{
		const char *text = cairn_json_string(stage, "key", "");

		if (rc == 0 && cairn_key_parse(&key, text, NULL) == 0)
			rc = add_stage(c, &key, true);
	}
	json_decref(stages);
	return rc;
}

/* The stages of every run that came along, as far as their keys did; of the root, all. */
static int add_stages(collect *c)
{
	char root_text[CAIRN_RUN_TEXT] = "";
	const char *run_text;
	json_t *run_record;
	int rc = 0;

	if (c->root->run)
		cairn_run_id_format(c->root->run, root_text);
	json_object_foreach(c->to->runs, run_text, run_record)
	{
		json_t *stages = NULL, *stage, *lines = json_array();
		cairn_run_id run;
		size_t i;

		if (rc == 0)
			rc = cairn_run_id_parse(&run, run_text, c->err);
		if (rc == 0)
			rc = cairn_record_stages(&stages, c->snapshot, &run, c->err);
		json_array_foreach(stages, i, stage)
		{
			const char *key = cairn_json_string(stage, "key", "");
			if (strcmp(run_text, root_text) == 0 ||
				json_object_get(c->to->results, key) ||
				json_object_get(c->to->attempts, key))
				json_array_append_new(
					lines, json_pack("{s:I, s:O}", "index", (json_int_t)i,
						       "record", stage));
		}
		if (json_array_size(lines))
			json_object_set(c->to->stages, run_text, lines);
		json_decref(lines);
		json_decref(stages);
	}
	return rc;
}

static int take_ref(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	cairn_bundle_content *to = arg;
	char id_text[CAIRN_ID_TEXT], name[CAIRN_REF_MAX + 1];
	cairn_id id;

	(void)err;
	if (value_len != sizeof(id.bytes) || key_len > CAIRN_REF_MAX)
		return 0;
	memcpy(id.bytes, value, value_len);
	cairn_id_format(&id, id_text);
	memcpy(name, key, key_len);
	name[key_len] = 0;
	if (json_object_get(to->artifacts, id_text))
		json_object_set_new(to->refs, name, json_string(id_text));
	return 0;
}

static int add_root(collect *c)
{
	char id_text[CAIRN_ID_TEXT];
	bool there;
	int rc;

	if (c->root->run)
		return add_root_run(c, c->root->run);
	cairn_id_format(c->root->artifact, id_text);
	rc = cairn_snapshot_has_artifact(c->snapshot, c->root->artifact, &there, c->err);
	if (rc == 0 && !there)
		return cairn_error_set(
			c->err, CAIRN_ENOTFOUND, "there is no artifact %s in the store", id_text);
	if (rc == 0)
		rc = add_artifact(c, id_text);
	enqueue(c, id_text);
	return rc;
}

int cairn_bundle_collect(cairn_bundle_content *out, cairn_snapshot *snapshot,
	const cairn_bundle_root *root, cairn_error *err)
{
	cairn_bundle_content content = {.results = json_object(),
		.attempts = json_object(),
		.runs = json_object(),
		.stages = json_object(),
		.events = json_object(),
		.artifacts = json_object(),
		.refs = json_object()};
	cairn_error why = {0};
	collect c = {.to = &content,
		.snapshot = snapshot,
		.root = root,
		.seen = json_object(),
		.queue = json_array(),
		.err = &why};
	int rc = add_root(&c);

	for (size_t i = 0; rc == 0 && i < json_array_size(c.queue); i++)
		rc = add_producers(&c, json_string_value(json_array_get(c.queue, i)),
			root->artifact && i == 0);
	if (rc == 0)
		rc = add_stages(&c);
	if (rc == 0)
		rc = cairn_snapshot_scan(snapshot, "ref", NULL, 0, false, take_ref, &content, &why);
	json_decref(c.seen);
	json_decref(c.queue);
	if (rc < 0) {
		cairn_bundle_content_free(&content);
		if (err && !err->code)
			*err = why;
		return rc;
	}
	*out = content;
	return 0;
}
