/* SPDX-License-Identifier: Apache-2.0 */
/*
 * recover.c - what a run that died without a word left behind.
 *
 * Stage processes die with their runner, so under the run lock nothing of an earlier run
 * may be alive. One that the kernel is still about to kill is killed here first: it must
 * not commit behind our back. Then its attempt is marked killed, with the account of its
 * last heartbeat; what a checkpoint made durable stays kept.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/bytes.h"
#include "run/journal.h"
#include "run/process.h"

#define MAX_LIVE   4096
#define PATIENCE_S 10

struct live {
	cairn_key key;
	uint32_t attempt;
};

struct live_list {
	struct live *items;
	size_t n;
};

static const size_t prefix_len = sizeof(CAIRN_LIVE_PREFIX) - 1;

static int collect(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	const uint8_t *bytes = (const uint8_t *)key + prefix_len;
	struct live_list *list = arg;
	struct live *live;

	(void)value, (void)value_len, (void)err;
	if (key_len != prefix_len + CAIRN_DIGEST_BYTES + 4 || list->n == MAX_LIVE)
		return 0;
	live = &list->items[list->n++];
	memcpy(live->key.bytes, bytes, CAIRN_DIGEST_BYTES);
	bytes += CAIRN_DIGEST_BYTES;
	live->attempt = (uint32_t)cairn_get_be(bytes, 4);
	return 0;
}

static int make_sure_dead(const json_t *record, cairn_error *err)
{
	const struct timespec nap = {.tv_nsec = 10 * 1000 * 1000};
	int64_t pid = cairn_json_integer(record, "pid", 0);

	for (int i = 0; cairn_process_is_alive(record); i++) {
		if (i == PATIENCE_S * 100)
			return cairn_error_set(err, CAIRN_EBUSY,
				"process %lld of an earlier run does not die", (long long)pid);
		kill((pid_t)pid, SIGKILL);
		nanosleep(&nap, NULL);
	}
	return 0;
}

static int bury(cairn_store *store, const struct live *live, cairn_amends *amends, cairn_error *err)
{
	cairn_snapshot *snapshot;
	json_t *record = NULL;
	int rc = cairn_snapshot_begin(&snapshot, store, err);

	if (rc < 0)
		return rc;
	rc = cairn_record_attempt(&record, snapshot, &live->key, live->attempt, err);
	cairn_snapshot_end(snapshot);
	if (rc == CAIRN_ENOTFOUND)
		return 0;
	if (rc == 0)
		rc = make_sure_dead(record, err);
	json_decref(record);
	return rc < 0 ? rc
		      : cairn_amends_add(amends, &live->key, live->attempt,
				json_pack("{s:s, s:I}", "state", "killed", "end_ms",
					(json_int_t)cairn_now_ms()),
				err);
}

/* ---- processes that had one attempt after another ---------------------------------------------
 */

struct children {
	cairn_batch *batch; /* that forgets them; NULL: only count */
	size_t n;
};

/* A stage that was at work there has nothing on record but its attempts of before. */
static int bury_child(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	struct children *children = arg;
	json_t *record = NULL;
	int rc = 0;

	children->n++;
	if (!children->batch)
		return 0;
	if (cairn_json_parse(&record, value, value_len, "note", NULL) == 0)
		rc = make_sure_dead(record, err);
	json_decref(record);
	return rc < 0 ? rc : cairn_batch_delete(children->batch, "note", key, key_len, err);
}

static int bury_children(cairn_snapshot *snapshot, struct children *children, cairn_error *err)
{
	return cairn_snapshot_scan(snapshot, "note", CAIRN_LIVE_CHILD, strlen(CAIRN_LIVE_CHILD),
		false, bury_child, children, err);
}

/* ---- the run ------------------------------------------------------------------------------------
 */

/* The dead run's own record, and those of its stages that were running. */
static int close_run(cairn_snapshot *snapshot, cairn_batch *batch, cairn_error *err)
{
	const void *value;
	cairn_run_id run;
	json_t *record = NULL, *stage;
	size_t len;
	int rc = cairn_snapshot_get(
		snapshot, "note", CAIRN_LIVE_RUN, strlen(CAIRN_LIVE_RUN), &value, &len, err);

	if (rc == CAIRN_ENOTFOUND || (rc == 0 && len != sizeof(run.bytes)))
		return 0;
	if (rc < 0)
		return rc;
	memcpy(run.bytes, value, len);
	rc = cairn_record_run(&record, snapshot, &run, err);
	if (rc < 0)
		return rc == CAIRN_ENOTFOUND ? 0 : rc;
	json_object_set_new(record, "state", json_string("stopped"));
	json_object_set_new(record, "end_ms", json_integer(cairn_now_ms()));
	json_object_set_new(record, "reason", json_string("its process was killed"));
	rc = cairn_record_put_run(batch, &run, record, err);
	for (uint32_t i = 0; rc == 0; i++) {
		stage = NULL;
		rc = cairn_record_stage(&stage, snapshot, &run, i, err);
		if (rc == 0 && strcmp(cairn_json_string(stage, "state", ""), "running") == 0) {
			json_object_set_new(stage, "state", json_string("stopped"));
			rc = cairn_record_put_stage(batch, &run, i, stage, err);
		}
		json_decref(stage);
	}
	json_decref(record);
	return rc == CAIRN_ENOTFOUND ? 0 : rc;
}

static int forget(cairn_batch *batch, const struct live_list *list, cairn_error *err)
{
	uint8_t key[sizeof(CAIRN_LIVE_PREFIX) - 1 + CAIRN_DIGEST_BYTES + 4];
	int rc = cairn_batch_delete(batch, "note", CAIRN_LIVE_RUN, strlen(CAIRN_LIVE_RUN), err);

	memcpy(key, CAIRN_LIVE_PREFIX, prefix_len);
	for (size_t i = 0; i < list->n && rc == 0; i++) {
		uint8_t *at = key + prefix_len + CAIRN_DIGEST_BYTES;
		uint32_t n = list->items[i].attempt;
		memcpy(key + prefix_len, list->items[i].key.bytes, CAIRN_DIGEST_BYTES);
		at[0] = (uint8_t)(n >> 24), at[1] = (uint8_t)(n >> 16);
		at[2] = (uint8_t)(n >> 8), at[3] = (uint8_t)n;
		rc = cairn_batch_delete(batch, "note", key, sizeof(key), err);
	}
	return rc;
}

static int bury_all(cairn_store *store, const struct live_list *list, cairn_error *err)
{
	cairn_amends amends = {0};
	cairn_batch *batch = NULL;
	cairn_snapshot *snapshot = NULL;
	struct children children = {0};
	int rc = 0;

	for (size_t i = 0; i < list->n && rc == 0; i++)
		rc = bury(store, &list->items[i], &amends, err);
	if (rc == 0)
		rc = cairn_batch_begin(&batch, store, err);
	if (rc == 0)
		rc = cairn_snapshot_begin(&snapshot, store, err);
	if (rc == 0) {
		children.batch = batch;
		rc = bury_children(snapshot, &children, err);
	}
	if (rc == 0)
		rc = close_run(snapshot, batch, err);
	cairn_snapshot_end(snapshot);
	if (rc == 0)
		rc = forget(batch, list, err);
	if (rc == 0) {
		cairn_amends_attach(&amends, batch);
		rc = cairn_batch_commit(batch, err);
	} else {
		cairn_batch_abort(batch);
	}
	cairn_amends_clear(&amends);
	return rc;
}

int cairn_run_recover(cairn_store *store, cairn_error *err)
{
	struct live_list list = {.items = cairn_alloc(MAX_LIVE, sizeof(struct live))};
	cairn_snapshot *snapshot = NULL;
	struct children children = {0};
	const void *value;
	bool has_run = false;
	size_t len;
	int rc;

	if (!list.items)
		return cairn_error_set(err, CAIRN_ENOMEM, "out of memory");
	rc = cairn_record_list_runs(store, err);
	if (rc == 0)
		rc = cairn_snapshot_begin(&snapshot, store, err);
	if (rc == 0) {
		has_run = cairn_snapshot_get(snapshot, "note", CAIRN_LIVE_RUN,
				  strlen(CAIRN_LIVE_RUN), &value, &len, NULL) == 0;
		rc = cairn_snapshot_scan(snapshot, "note", CAIRN_LIVE_PREFIX, prefix_len, false,
			collect, &list, err);
		if (rc == 0)
			rc = bury_children(snapshot, &children, err);
		cairn_snapshot_end(snapshot);
	}
	if (rc == 0 && (list.n || children.n || has_run))
		rc = bury_all(store, &list, err);
	free(list.items);
	return rc;
}
