/* SPDX-License-Identifier: Apache-2.0 */
/* resolve.c - from what a person types to an artifact or a run. */
#include <string.h>
#include <strings.h>

#include "audit/report.h"
#include "base/text.h"

/* ---- artifacts ------------------------------------------------------------------------ */

static bool looks_like_id(const char *text)
{
	size_t n;

	if (strncmp(text, "sha256:", 7) == 0)
		return true;
	n = strspn(text, "0123456789abcdefABCDEF");
	return n >= 4 && text[n] == '\0';
}

struct ref_search {
	const char *text;
	size_t len;
	size_t n_hits;
	bool differ;
	cairn_id id;
	cairn_text names;
};

/* A ref that is the text, or ends with "/" and the text. */
static int match_ref(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct ref_search *search = arg;
	const char *name = key;

	(void)err;
	if (value_len != sizeof(search->id.bytes) || key_len < search->len ||
		memcmp(name + key_len - search->len, search->text, search->len) != 0 ||
		(key_len > search->len && name[key_len - search->len - 1] != '/'))
		return 0;
	if (search->n_hits && memcmp(search->id.bytes, value, value_len) != 0)
		search->differ = true;
	if (search->n_hits < 8)
		cairn_text_printf(
			&search->names, "%s'%.*s'", search->n_hits ? ", " : "", (int)key_len, name);
	search->n_hits++;
	memcpy(search->id.bytes, value, value_len);
	return 0;
}

/* "instance:port" among the outputs of the newest run; "RUN/instance:port" of that one. */
static int find_in_run(cairn_id *out, cairn_snapshot *snapshot, const char *text, cairn_error *err)
{
	const char *colon = strrchr(text, ':'), *slash = strrchr(text, '/');
	char name[128] = ""; /* of a workflow, or the run's id */
	json_t *status = NULL, *stage;
	cairn_run_id run;
	size_t i;
	int rc;

	if (!colon || (slash && (size_t)(slash - text) >= sizeof(name)))
		return CAIRN_ENOTFOUND;
	if (slash) {
		memcpy(name, text, (size_t)(slash - text));
		text = slash + 1;
		rc = cairn_resolve_run(&run, snapshot, name, NULL);
	} else {
		rc = cairn_record_newest_run(&run, snapshot, NULL, err);
	}
	if (rc == 0)
		rc = cairn_report_status(&status, snapshot, &run, err);
	if (rc < 0)
		return rc;
	rc = CAIRN_ENOTFOUND;
	json_array_foreach(json_object_get(status, "stages"), i, stage)
	{
		const char *instance = cairn_json_string(stage, "instance", ""), *id;
		if (strlen(instance) != (size_t)(colon - text) ||
			strncmp(instance, text, (size_t)(colon - text)) != 0)
			continue;
		id = cairn_json_string(json_object_get(stage, "outputs"), colon + 1, NULL);
		if (id)
			rc = cairn_id_parse(out, id, err);
	}
	json_decref(status);
	return rc;
}

int cairn_resolve_artifact(cairn_id *out, cairn_store *store, cairn_snapshot *snapshot,
	const char *text, cairn_error *err)
{
	struct ref_search search = {.text = text, .len = strlen(text)};
	const void *value;
	size_t len;
	int rc;

	if (looks_like_id(text))
		return cairn_store_find(store, text, out, err);
	if (search.len == 0 || search.len > 255)
		goto none;
	rc = cairn_snapshot_get(snapshot, "ref", text, search.len, &value, &len, err);
	if (rc == 0 && len == sizeof(out->bytes)) {
		memcpy(out->bytes, value, len);
		return 0;
	}
	if (rc < 0 && rc != CAIRN_ENOTFOUND)
		return rc;
	rc = cairn_snapshot_scan(snapshot, "ref", NULL, 0, false, match_ref, &search, err);
	if (rc >= 0 && search.n_hits && !search.differ) {
		*out = search.id;
	} else if (rc >= 0 && search.differ) {
		rc = cairn_error_set(
			err, CAIRN_ENOTFOUND, "'%.200s' names several artifacts", text);
		cairn_error_hint(err, "Say which: %s.", cairn_text_get(&search.names));
	}
	cairn_text_free(&search.names);
	if (rc < 0 || search.n_hits)
		return rc < 0 ? rc : 0;
	rc = find_in_run(out, snapshot, text, err);
	if (rc != CAIRN_ENOTFOUND)
		return rc;
none:
	cairn_error_set(err, CAIRN_ENOTFOUND, "no artifact is called '%.200s'", text);
	cairn_error_hint(err, "`cairn ls` lists the names; `cairn status` the outputs of a run.");
	return CAIRN_ENOTFOUND;
}

/* ---- runs ----------------------------------------------------------------------------- */

static bool is_part_of(const char *run, const char *text, size_t len)
{
	return len >= 4 && len <= 26 &&
	       (strncasecmp(run, text, len) == 0 || strcasecmp(run + 26 - len, text) == 0);
}

struct run_search {
	cairn_snapshot *snapshot;
	const char *text;
	size_t len, n_hits;
	cairn_run_id run;
};

static int match_run(const cairn_run_id *run, void *arg, cairn_error *err)
{
	struct run_search *search = arg;
	char text[CAIRN_RUN_TEXT];
	const void *value;
	size_t len;
	int rc;

	cairn_run_id_format(run, text);
	if (!is_part_of(text, search->text, search->len))
		return 0;
	rc = cairn_snapshot_get(
		search->snapshot, "run", run->bytes, sizeof(run->bytes), &value, &len, err);
	if (rc == 0) {
		search->run = *run;
		search->n_hits++;
	}
	return rc == CAIRN_ENOTFOUND ? 0 : rc;
}

static int match_key(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	cairn_run_id run;

	(void)value, (void)value_len;
	if (key_len != sizeof(run.bytes))
		return 0;
	memcpy(run.bytes, key, key_len);
	return match_run(&run, arg, err);
}

/* First characters stand for the first bytes of a key; only last ones need all ids. */
static int find_run(struct run_search *search, cairn_error *err)
{
	char text[CAIRN_RUN_TEXT] = "00000000000000000000000000";
	cairn_run_id first;
	int rc;

	if (search->len < 4 || search->len > 26)
		return 0;
	memcpy(text, search->text, search->len);
	if (cairn_run_id_parse(&first, text, NULL) == 0) {
		rc = cairn_snapshot_scan(search->snapshot, "run", first.bytes,
			(5 * search->len - 2) / 8, true, match_key, search, err);
		if (rc < 0 || search->n_hits)
			return rc;
	}
	/* A first digit is at most 7, a last one need not be. */
	text[0] = '0';
	memcpy(text + 26 - search->len, search->text, search->len);
	if (search->len < 26 && cairn_run_id_parse(&first, text, NULL) == 0)
		return cairn_record_scan_run_ids(search->snapshot, match_run, search, err);
	return 0;
}

int cairn_resolve_run(
	cairn_run_id *out, cairn_snapshot *snapshot, const char *text, cairn_error *err)
{
	struct run_search search = {
		.snapshot = snapshot, .text = text, .len = text ? strlen(text) : 0};
	int rc = cairn_record_newest_run(out, snapshot, text, err);

	if (rc != CAIRN_ENOTFOUND)
		return rc;
	if (!text) {
		cairn_error_set(err, CAIRN_ENOTFOUND, "the store holds no run yet");
		cairn_error_hint(err, "Start one with `cairn run FILE`.");
		return CAIRN_ENOTFOUND;
	}
	rc = find_run(&search, err);
	if (rc < 0)
		return rc;
	if (search.n_hits == 1) {
		*out = search.run;
		return 0;
	}
	cairn_error_set(err, CAIRN_ENOTFOUND,
		search.n_hits ? "several runs are called '%.40s...'" : "no run is called '%.100s'",
		text);
	cairn_error_hint(err, "`cairn log` lists the runs.");
	return CAIRN_ENOTFOUND;
}
