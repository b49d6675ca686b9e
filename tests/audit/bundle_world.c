/* SPDX-License-Identifier: Apache-2.0 */
#include "bundle_world.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	LARGE = 200 << 10,
};

/* ---- a store with two stages, and one without -------------------------------------------------
 */

cairn_id world_put_artifact(cairn_batch *batch, const char *kind, size_t len, uint8_t seed)
{
	uint8_t *bytes = malloc(len + 1);
	cairn_tensor large = {.name = "large", .n_dims = 1, .dims = {len}, .bytes = len};
	cairn_tensor small = {.name = "small", .n_dims = 1, .dims = {3}, .bytes = 3, .data = "abc"};
	cairn_id id;

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++)
		bytes[i] = (uint8_t)(seed + i * 7 + i / 251);
	large.data = bytes;
	large.dtype = small.dtype = CAIRN_U8;
	assert_int_equal(cairn_batch_artifact_begin(batch, kind, NULL), 0);
	assert_int_equal(cairn_batch_artifact_put(batch, &large, NULL), 0);
	assert_int_equal(cairn_batch_artifact_put(batch, &small, NULL), 0);
	assert_int_equal(cairn_batch_artifact_end(batch, "{\"note\":\"x\"}", &id, NULL), 0);
	free(bytes);
	return id;
}

static json_t *bound(const cairn_id *id, const char *kind)
{
	char text[CAIRN_ID_TEXT];

	cairn_id_format(id, text);
	return json_pack("{s:s, s:s, s:i}", "id", text, "kind", kind, "bytes", LARGE);
}

static void put_result(cairn_batch *batch, const char *instance, uint8_t key_byte,
	const cairn_id *in, const cairn_id *out, const char *run)
{
	cairn_key key = fixture_key(key_byte);
	json_t *attempt = json_pack("{s:s, s:s, s:s, s:f}", "run", run, "instance", instance,
		"state", "done", "seconds", 1.25);
	json_t *result = json_pack("{s:s, s:s, s:{s:[o]}, s:{s:o}, s:s}", "instance", instance,
		"plugin", "sft", "inputs", "in", bound(in, "dataset"), "outputs", "model",
		bound(out, "model"), "run", run);

	assert_int_equal(cairn_record_put_result(batch, &key, result, NULL), 0);
	assert_int_equal(cairn_record_put_attempt(batch, &key, 1, attempt, NULL), 0);
	json_decref(result);
	json_decref(attempt);
}

static void fill(world *w)
{
	uint8_t event[24] = {0};
	char run[CAIRN_RUN_TEXT];
	cairn_batch *batch;

	w->run = fixture_run(w->f, 1234567, "w");
	cairn_run_id_format(&w->run, run);
	fixture_stage(w->f, &w->run, 0, "a", "sft", 1, NULL, NULL);
	fixture_stage(w->f, &w->run, 1, "b", "sft", 2, NULL, NULL);
	assert_int_equal(cairn_batch_begin(&batch, w->f->store, NULL), 0);
	w->data = world_put_artifact(batch, "dataset", LARGE, 1);
	w->model = world_put_artifact(batch, "model", LARGE, 2);
	w->report = world_put_artifact(batch, "report", 2000, 3);
	put_result(batch, "a", 1, &w->data, &w->model, run);
	put_result(batch, "b", 2, &w->model, &w->report, run);
	assert_int_equal(cairn_record_put_ref(batch, "w/a:model", &w->model, "run", run, NULL), 0);
	assert_int_equal(cairn_record_put_ref(batch, "w/b:model", &w->report, "run", run, NULL), 0);
	memcpy(event, w->run.bytes, 16);
	event[23] = 7;
	assert_int_equal(
		cairn_batch_put(batch, "event", event, sizeof(event), "{\"type\":\"x\"}", 12, NULL),
		0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
}

int world_take(void *arg, const void *bytes, size_t len, cairn_error *err)
{
	world *w = arg;

	(void)err;
	w->tar = realloc(w->tar, w->len + len);
	assert_non_null(w->tar);
	memcpy(w->tar + w->len, bytes, len);
	w->len += len;
	return 0;
}

void world_export(world *w, cairn_store *store, const cairn_bundle_root *root)
{
	cairn_error err = {0};
	json_t *result;

	free(w->tar);
	w->tar = NULL;
	w->len = 0;
	if (cairn_bundle_export(&result, store, root, world_take, w, &err) < 0)
		fail_msg("%s %s", err.message, err.detail);
	assert_int_equal(cairn_json_integer(result, "bytes", 0), w->len);
	json_decref(result);
}

int world_setup(void **state)
{
	world *w = calloc(1, sizeof(*w));

	if (!w || fixture_setup((void **)&w->f) < 0)
		return -1;
	snprintf(w->other_path, sizeof(w->other_path), "%s/other", w->f->dir);
	if (cairn_store_open(&w->other, w->other_path, CAIRN_STORE_CREATE, NULL) < 0)
		return -1;
	fill(w);
	world_export(w, w->f->store, &(cairn_bundle_root){.run = &w->run});
	*state = w;
	return 0;
}

int world_teardown(void **state)
{
	world *w = *state;
	int rc;

	cairn_store_close(w->other);
	rc = fixture_teardown((void **)&w->f);
	free(w->tar);
	free(w);
	return rc;
}

/* ---- taking in --------------------------------------------------------------------------------
 */

/* In pieces of odd sizes, as pipes have them. */
int64_t world_give(void *arg, void *bytes, size_t len, cairn_error *err)
{
	source *s = arg;
	size_t n = s->len - s->at;

	(void)err;
	n = n < len ? n : len;
	n = n < 4001 ? n : 4001;
	if (n)
		memcpy(bytes, s->bytes + s->at, n);
	s->at += n;
	if (s->kill_at && s->at >= s->kill_at)
		raise(SIGKILL);
	return (int64_t)n;
}

int world_import(cairn_store *store, const uint8_t *bytes, size_t len, const char *prefix,
	json_t **report, cairn_error *err)
{
	source s = {.bytes = bytes, .len = len};

	return cairn_bundle_import(report, store, world_give, &s, prefix, err);
}

json_t *world_must_import(world *w, const char *prefix)
{
	cairn_error err = {0};
	json_t *report;

	if (world_import(w->other, w->tar, w->len, prefix, &report, &err) < 0)
		fail_msg("%s %s %s", err.message, err.detail, err.place);
	return report;
}

static int count_one(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	(void)key, (void)key_len, (void)value, (void)value_len, (void)err;
	(*(size_t *)arg)++;
	return 0;
}

/* Of all tables that a bundle changes. */
size_t world_count_records(cairn_store *store)
{
	static const char *const tables[] = {"result", "run", "stage", "attempt", "event", "ref",
		"reflog", "producer", "consumer"};
	cairn_snapshot *snapshot;
	size_t n = 0;

	assert_int_equal(cairn_snapshot_begin(&snapshot, store, NULL), 0);
	for (size_t i = 0; i < CAIRN_COUNT(tables); i++)
		assert_int_equal(cairn_snapshot_scan(
					 snapshot, tables[i], NULL, 0, false, count_one, &n, NULL),
			0);
	cairn_snapshot_end(snapshot);
	return n;
}

bool world_has(cairn_store *store, const cairn_id *id)
{
	cairn_object *object = NULL;
	bool is_there = cairn_object_open(&object, store, id, NULL) == 0;

	cairn_object_close(object);
	return is_there;
}

void world_assert_nothing_visible(const world *w)
{
	assert_int_equal(world_count_records(w->other), 0);
	assert_false(world_has(w->other, &w->model));
	assert_false(world_has(w->other, &w->report));
}

void world_assert_same_bytes(cairn_store *a, cairn_store *b, const cairn_id *id)
{
	cairn_object *x, *y;

	assert_int_equal(cairn_object_open(&x, a, id, NULL), 0);
	assert_int_equal(cairn_object_open(&y, b, id, NULL), 0);
	assert_int_equal(cairn_object_count(x), cairn_object_count(y));
	for (uint64_t i = 0; i < cairn_object_count(x); i++) {
		cairn_tensor entry, left, right;

		assert_int_equal(cairn_object_entry(x, i, &entry, NULL), 0);
		assert_int_equal(cairn_object_read(x, entry.name, &left, NULL), 0);
		assert_int_equal(cairn_object_read(y, entry.name, &right, NULL), 0);
		assert_int_equal(left.bytes, right.bytes);
		assert_memory_equal(left.data, right.data, left.bytes);
	}
	cairn_object_close(x);
	cairn_object_close(y);
}

uint8_t *world_copy_tar(const world *w)
{
	uint8_t *copy = malloc(w->len + 4096);

	assert_non_null(copy);
	memcpy(copy, w->tar, w->len);
	return copy;
}

void world_refused(world *w, const uint8_t *bytes, size_t len, const char *message)
{
	cairn_error err = {0};
	json_t *report = NULL;
	int rc = world_import(w->other, bytes, len, NULL, &report, &err);

	assert_null(report);
	if (rc != CAIRN_EINPUT && rc != CAIRN_EINTEGRITY)
		fail_msg("%d %s", rc, err.message);
	assert_true(err.message[0]);
	if (message && !strstr(err.message, message))
		fail_msg("'%s' is not in '%s'", message, err.message);
	world_assert_nothing_visible(w);
}
