/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bundle_merge.c - records from elsewhere among ours, inside the commit.
 *
 * What is not there is put. What is there and says the same stays, and what says something else
 * stays too, and is told: both are true, here and there, and ours is what our runs rely on. A
 * name that stands for something else is refused, for it would silently mean another thing.
 */
#include <string.h>

#include "audit/bundle.h"
#include "base/bytes.h"

typedef struct merge {
	const cairn_bundle_content *content;
	const char *prefix;
	cairn_snapshot *now;
	cairn_batch *batch;
	json_int_t n_new, n_same;
	json_t *kept, *names;
	cairn_error *err;
} merge;

/* 1: it is not there, put it; 0: it stays; `existing` is ours (or NULL), and taken over. */
static int decide(merge *m, json_t *existing, const json_t *theirs, const char *what)
{
	if (!existing) {
		m->n_new++;
		return 1;
	}
	if (json_equal(existing, theirs))
		m->n_same++;
	else
		json_array_append_new(m->kept, cairn_record_text(what));
	json_decref(existing);
	return 0;
}

static int merge_results(merge *m)
{
	const char *key_text;
	json_t *theirs;
	int rc = 0;

	json_object_foreach(m->content->results, key_text, theirs)
	{
		json_t *ours = NULL;
		char what[96];
		cairn_key key;

		if (rc == 0)
			rc = cairn_key_parse(&key, key_text, m->err);
		if (rc < 0)
			return rc;
		rc = cairn_record_result(&ours, m->now, &key, m->err);
		if (rc == CAIRN_ENOTFOUND)
			rc = 0;
		snprintf(what, sizeof(what), "result %s", key_text);
		if (rc == 0 && decide(m, ours, theirs, what))
			rc = cairn_record_put_result(m->batch, &key, theirs, m->err);
	}
	return rc;
}

static int merge_attempt(merge *m, const cairn_key *key, const char *key_text, const json_t *line)
{
	uint32_t n = (uint32_t)cairn_json_integer(line, "n", 0);
	json_t *ours = NULL, *theirs = json_object_get(line, "record");
	char what[112];
	int rc = cairn_record_attempt(&ours, m->now, key, n, m->err);

	if (rc < 0 && rc != CAIRN_ENOTFOUND)
		return rc;
	snprintf(what, sizeof(what), "attempt %u of %s", (unsigned)n, key_text);
	return decide(m, ours, theirs, what)
		       ? cairn_record_put_attempt(m->batch, key, n, theirs, m->err)
		       : 0;
}

static int merge_attempts(merge *m)
{
	const char *key_text;
	json_t *lines, *line;
	size_t i;
	int rc = 0;

	json_object_foreach(m->content->attempts, key_text, lines)
	{
		cairn_key key;

		if (rc == 0)
			rc = cairn_key_parse(&key, key_text, m->err);
		json_array_foreach(lines, i, line)
		{
			if (rc == 0)
				rc = merge_attempt(m, &key, key_text, line);
		}
	}
	return rc;
}

static int merge_stages(merge *m, const cairn_run_id *run, const char *run_text)
{
	json_t *line;
	size_t i;
	int rc = 0;

	json_array_foreach(json_object_get(m->content->stages, run_text), i, line)
	{
		uint32_t index = (uint32_t)cairn_json_integer(line, "index", 0);
		json_t *ours = NULL, *theirs = json_object_get(line, "record");
		char what[80];

		if (rc == 0)
			rc = cairn_record_stage(&ours, m->now, run, index, m->err);
		if (rc == CAIRN_ENOTFOUND)
			rc = 0;
		snprintf(what, sizeof(what), "stage %u of run %s", (unsigned)index, run_text);
		if (rc == 0 && decide(m, ours, theirs, what))
			rc = cairn_record_put_stage(m->batch, run, index, theirs, m->err);
	}
	return rc;
}

/* Events are the run's log: they come with it or not at all. */
static int put_events(merge *m, const cairn_run_id *run, const char *run_text)
{
	json_t *line;
	size_t i;
	int rc = 0;

	json_array_foreach(json_object_get(m->content->events, run_text), i, line)
	{
		uint64_t seq = (uint64_t)cairn_json_integer(line, "seq", 0);
		char *text = cairn_json_canonical(json_object_get(line, "record"));
		uint8_t key[24];

		memcpy(key, run->bytes, 16);
		cairn_put_be(key + 16, seq, 8);
		if (!text)
			rc = cairn_error_set(m->err, CAIRN_ENOMEM, "out of memory for a record");
		else if (rc == 0)
			rc = cairn_batch_put(
				m->batch, "event", key, sizeof(key), text, strlen(text), m->err);
		m->n_new++;
		free(text);
	}
	return rc;
}

static int merge_runs(merge *m)
{
	const char *run_text;
	json_t *theirs;
	int rc = 0;

	json_object_foreach(m->content->runs, run_text, theirs)
	{
		json_t *ours = NULL;
		cairn_run_id run;
		char what[48];
		bool is_new;

		if (rc == 0)
			rc = cairn_run_id_parse(&run, run_text, m->err);
		if (rc < 0)
			return rc;
		rc = cairn_record_run(&ours, m->now, &run, m->err);
		if (rc == CAIRN_ENOTFOUND)
			rc = 0;
		if (rc < 0)
			return rc;
		snprintf(what, sizeof(what), "run %s", run_text);
		is_new = decide(m, ours, theirs, what);
		if (is_new)
			rc = cairn_record_put_run(m->batch, &run, theirs, m->err);
		if (rc == 0 && is_new)
			rc = put_events(m, &run, run_text);
		if (rc == 0)
			rc = merge_stages(m, &run, run_text);
	}
	return rc;
}

static int taken(merge *m, const char *name, const cairn_id *ours)
{
	char text[CAIRN_ID_TEXT];

	cairn_id_format(ours, text);
	cairn_error_set(m->err, CAIRN_EINPUT, "the name '%.200s' is taken", name);
	cairn_error_detail(m->err, "here it stands for %s", text);
	cairn_error_hint(m->err, "`cairn import FILE PREFIX` puts PREFIX/ before every name.");
	return CAIRN_EINPUT;
}

static int merge_ref(merge *m, const char *name, const json_t *value)
{
	char full[CAIRN_REF_MAX + 1];
	const char *id_text = json_string_value(value);
	int len = snprintf(full, sizeof(full), "%s%s%s", m->prefix ? m->prefix : "",
		m->prefix ? "/" : "", name);
	cairn_id id, ours;
	const void *there;
	size_t there_len;
	int rc;

	if (len <= 0 || len > CAIRN_REF_MAX)
		return cairn_error_set(m->err, CAIRN_EINPUT,
			"the name '%.100s...' is longer than %d bytes", full, CAIRN_REF_MAX);
	rc = cairn_id_parse(&id, id_text ? id_text : "", m->err);
	if (rc < 0)
		return rc;
	json_object_set(m->names, full, (json_t *)value);
	rc = cairn_snapshot_get(m->now, "ref", full, (size_t)len, &there, &there_len, m->err);
	if (rc == CAIRN_ENOTFOUND)
		return cairn_record_put_ref(m->batch, full, &id, "tool", "import", m->err);
	if (rc < 0)
		return rc;
	if (there_len != sizeof(ours.bytes))
		return cairn_error_set(
			m->err, CAIRN_EINTEGRITY, "the name '%.200s' stands for no artifact", full);
	memcpy(ours.bytes, there, sizeof(ours.bytes));
	return cairn_id_compare(&ours, &id) == 0 ? 0 : taken(m, full, &ours);
}

int cairn_bundle_merge(const cairn_bundle_content *content, const char *prefix, cairn_snapshot *now,
	cairn_batch *batch, json_t *report, cairn_error *err)
{
	merge m = {.content = content,
		.prefix = prefix && prefix[0] ? prefix : NULL,
		.now = now,
		.batch = batch,
		.kept = json_array(),
		.names = json_object(),
		.err = err};
	const char *name;
	json_t *value;
	int rc = merge_results(&m);

	if (rc == 0)
		rc = merge_attempts(&m);
	if (rc == 0)
		rc = merge_runs(&m);
	json_object_foreach(content->refs, name, value)
	{
		if (rc == 0)
			rc = merge_ref(&m, name, value);
	}
	json_object_set_new(report, "records",
		json_pack("{s:I, s:I, s:I}", "new", m.n_new, "same", m.n_same, "kept",
			(json_int_t)json_array_size(m.kept)));
	json_object_set_new(report, "kept", m.kept);
	json_object_set_new(report, "names", m.names);
	return rc;
}
