/* SPDX-License-Identifier: Apache-2.0 */
#include "audit/metrics.h"

#include <string.h>

static int find(cairn_id *out, cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err)
{
	json_t *record = NULL;
	int rc = cairn_record_result(&record, snapshot, key, err);

	if (rc == 0) {
		json_t *port = json_object_get(json_object_get(record, "outputs"), "metrics");
		rc = port ? cairn_id_parse(out, cairn_json_string(port, "id", ""), err)
			  : CAIRN_ENOTFOUND;
	} else if (rc == CAIRN_ENOTFOUND) {
		rc = cairn_record_newest_checkpoint(&record, snapshot, key, err);
		if (rc == 0)
			rc = cairn_id_parse(out, cairn_json_string(record, "id", ""), err);
	}
	json_decref(record);
	if (rc == CAIRN_ENOTFOUND)
		cairn_error_set(err, rc, "the stage has committed no metric rows yet");
	return rc;
}

/* In a checkpoint it has the host's prefix. */
static bool is_metric_log(const char *name)
{
	size_t len = strlen(name), tail = strlen("metrics.jsonl");

	return len >= tail && strcmp(name + len - tail, "metrics.jsonl") == 0;
}

int cairn_metrics_open(cairn_object **out, cairn_tensor *rows, cairn_store *store,
	cairn_snapshot *snapshot, const cairn_key *key, cairn_error *err)
{
	cairn_object *object = NULL;
	cairn_tensor entry = {0};
	bool found = false;
	cairn_id id;
	int rc = find(&id, snapshot, key, err);

	if (rc == 0)
		rc = cairn_object_open(&object, store, &id, err);
	for (uint64_t i = 0; rc == 0 && !found && i < cairn_object_count(object); i++) {
		rc = cairn_object_entry(object, i, &entry, err);
		found = rc == 0 && is_metric_log(entry.name);
	}
	if (rc == 0 && !found)
		rc = cairn_error_set(
			err, CAIRN_ENOTFOUND, "the stage has committed no metric rows yet");
	if (rc == 0)
		rc = cairn_object_read(object, entry.name, rows, err);
	if (rc < 0) {
		cairn_object_close(object);
		return rc;
	}
	*out = object;
	return 0;
}

int64_t cairn_metrics_time_ms(cairn_snapshot *snapshot, const cairn_key *key)
{
	json_t *record = NULL;
	uint32_t last = 0;
	int64_t ms = 0;

	if (cairn_record_result(&record, snapshot, key, NULL) == 0)
		ms = cairn_json_integer(record, "end_ms", 0);
	else if (cairn_record_last_attempt(&last, snapshot, key, NULL) == 0 &&
		 cairn_record_attempt(&record, snapshot, key, last, NULL) == 0)
		ms = cairn_json_integer(record, "start_ms", 0);
	json_decref(record);
	return ms;
}
