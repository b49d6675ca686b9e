/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.c - bundles there and back, and every way in which one can be wrong. */
#include "audit/bundle.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "audit/tar.h"
#include "cairn/fsck.h"
#include "fixture.h"

enum {
	LARGE = 200 << 10,
	MAX_MEMBERS = 64,
};

/* ---- a store with two stages, and one without -------------------------------------------------
 */

typedef struct world {
	fixture *f;         /* has it all */
	cairn_store *other; /* empty */
	char other_path[96];
	cairn_id data, model, report;
	cairn_run_id run;
	uint8_t *tar;
	size_t len;
} world;

static cairn_id put_artifact(cairn_batch *batch, const char *kind, size_t len, uint8_t seed)
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
	w->data = put_artifact(batch, "dataset", LARGE, 1);
	w->model = put_artifact(batch, "model", LARGE, 2);
	w->report = put_artifact(batch, "report", 2000, 3);
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

static int take_bytes(void *arg, const void *bytes, size_t len, cairn_error *err)
{
	world *w = arg;

	(void)err;
	w->tar = realloc(w->tar, w->len + len);
	assert_non_null(w->tar);
	memcpy(w->tar + w->len, bytes, len);
	w->len += len;
	return 0;
}

static void export_from(world *w, cairn_store *store, const cairn_bundle_root *root)
{
	cairn_error err = {0};
	json_t *result;

	free(w->tar);
	w->tar = NULL;
	w->len = 0;
	if (cairn_bundle_export(&result, store, root, take_bytes, w, &err) < 0)
		fail_msg("%s %s", err.message, err.detail);
	assert_int_equal(cairn_json_integer(result, "bytes", 0), w->len);
	json_decref(result);
}

static int setup(void **state)
{
	world *w = calloc(1, sizeof(*w));

	if (!w || fixture_setup((void **)&w->f) < 0)
		return -1;
	snprintf(w->other_path, sizeof(w->other_path), "%s/other", w->f->dir);
	if (cairn_store_open(&w->other, w->other_path, CAIRN_STORE_CREATE, NULL) < 0)
		return -1;
	fill(w);
	export_from(w, w->f->store, &(cairn_bundle_root){.run = &w->run});
	*state = w;
	return 0;
}

static int teardown(void **state)
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

typedef struct source {
	const uint8_t *bytes;
	size_t len, at;
	size_t kill_at; /* 0: never */
} source;

/* In pieces of odd sizes, as pipes have them. */
static int64_t give_bytes(void *arg, void *bytes, size_t len, cairn_error *err)
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

static int import(cairn_store *store, const uint8_t *bytes, size_t len, const char *prefix,
	json_t **report, cairn_error *err)
{
	source s = {.bytes = bytes, .len = len};

	return cairn_bundle_import(report, store, give_bytes, &s, prefix, err);
}

static json_t *must_import(world *w, const char *prefix)
{
	cairn_error err = {0};
	json_t *report;

	if (import(w->other, w->tar, w->len, prefix, &report, &err) < 0)
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
static size_t count_records(cairn_store *store)
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

static bool has(cairn_store *store, const cairn_id *id)
{
	cairn_object *object = NULL;
	bool is_there = cairn_object_open(&object, store, id, NULL) == 0;

	cairn_object_close(object);
	return is_there;
}

static void assert_nothing_visible(const world *w)
{
	assert_int_equal(count_records(w->other), 0);
	assert_false(has(w->other, &w->model));
	assert_false(has(w->other, &w->report));
}

static void assert_same_bytes(cairn_store *a, cairn_store *b, const cairn_id *id)
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

static uint8_t *copy_tar(const world *w)
{
	uint8_t *copy = malloc(w->len + 4096);

	assert_non_null(copy);
	memcpy(copy, w->tar, w->len);
	return copy;
}

/* ---- there and back ---------------------------------------------------------------------------
 */

static void test_audit_bundle__there_and_back_is_the_same_file(void **state)
{
	world *w = *state;
	uint8_t *first = copy_tar(w);
	size_t len = w->len;
	json_t *report = must_import(w, NULL);

	assert_int_equal(json_array_size(json_object_get(report, "artifacts")), 2);
	assert_int_equal(json_object_size(json_object_get(report, "names")), 2);
	assert_same_bytes(w->f->store, w->other, &w->model);
	assert_same_bytes(w->f->store, w->other, &w->report);
	assert_false(has(w->other, &w->data)); /* nobody asked for it */
	export_from(w, w->other, &(cairn_bundle_root){.run = &w->run});
	assert_int_equal(len, w->len);
	assert_memory_equal(first, w->tar, len);
	json_decref(report);
	free(first);
}

static void test_audit_bundle__a_second_import_changes_nothing(void **state)
{
	world *w = *state;
	json_t *report = must_import(w, NULL), *records;
	size_t n = count_records(w->other);

	json_decref(report);
	report = must_import(w, NULL);
	records = json_object_get(report, "records");
	assert_int_equal(cairn_json_integer(records, "new", -1), 0);
	assert_int_equal(cairn_json_integer(records, "kept", -1), 0);
	assert_true(cairn_json_integer(records, "same", -1) > 0);
	assert_int_equal(count_records(w->other), n);
	json_decref(report);
}

static void test_audit_bundle__an_artifact_brings_the_records_of_its_ancestors(void **state)
{
	world *w = *state;
	cairn_snapshot *snapshot;
	cairn_key key = fixture_key(1);
	json_t *report, *result;

	export_from(w, w->f->store, &(cairn_bundle_root){.artifact = &w->report});
	report = must_import(w, NULL);
	assert_true(has(w->other, &w->report));
	assert_false(has(w->other, &w->model));
	assert_int_equal(cairn_snapshot_begin(&snapshot, w->other, NULL), 0);
	assert_int_equal(cairn_record_result(&result, snapshot, &key, NULL), 0);
	assert_string_equal(cairn_json_string(result, "instance", ""), "a");
	cairn_snapshot_end(snapshot);
	json_decref(result);
	json_decref(report);
	export_from(
		w, w->f->store, &(cairn_bundle_root){.artifact = &w->report, .with_inputs = true});
	report = must_import(w, NULL);
	assert_true(has(w->other, &w->model));
	assert_same_bytes(w->f->store, w->other, &w->data);
	json_decref(report);
}

static void test_audit_bundle__a_run_that_goes_on_is_refused(void **state)
{
	world *w = *state;
	json_t *record = json_pack("{s:s}", "state", "running"), *result;
	cairn_error err = {0};
	cairn_batch *batch;

	assert_int_equal(cairn_batch_begin(&batch, w->f->store, NULL), 0);
	assert_int_equal(cairn_record_put_run(batch, &w->run, record, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	assert_int_equal(cairn_bundle_export(&result, w->f->store,
				 &(cairn_bundle_root){.run = &w->run}, take_bytes, w, &err),
		CAIRN_EBUSY);
	assert_non_null(strstr(err.message, "is not over"));
	json_decref(record);
}

/* ---- among records of our own -----------------------------------------------------------------
 */

static void test_audit_bundle__a_taken_name_is_refused_unless_prefixed(void **state)
{
	world *w = *state;
	cairn_error err = {0};
	cairn_batch *batch;
	cairn_id mine;
	json_t *report;
	size_t n;

	assert_int_equal(cairn_batch_begin(&batch, w->other, NULL), 0);
	mine = put_artifact(batch, "model", 100, 9);
	assert_int_equal(cairn_record_put_ref(batch, "w/b:model", &mine, "run", "x", NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	n = count_records(w->other);
	assert_int_equal(import(w->other, w->tar, w->len, NULL, &report, &err), CAIRN_EINPUT);
	assert_non_null(strstr(err.message, "'w/b:model' is taken"));
	assert_non_null(strstr(err.hint, "PREFIX"));
	assert_int_equal(count_records(w->other), n);
	assert_false(has(w->other, &w->model));
	report = must_import(w, "theirs");
	assert_non_null(json_object_get(json_object_get(report, "names"), "theirs/w/b:model"));
	assert_true(has(w->other, &w->model));
	json_decref(report);
}

static void test_audit_bundle__our_record_stays_where_theirs_differs(void **state)
{
	world *w = *state;
	json_t *ours = json_pack("{s:s, s:{}}", "instance", "mine", "outputs"), *report, *result;
	cairn_key key = fixture_key(2);
	cairn_snapshot *snapshot;
	cairn_batch *batch;

	assert_int_equal(cairn_batch_begin(&batch, w->other, NULL), 0);
	assert_int_equal(cairn_record_put_result(batch, &key, ours, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	report = must_import(w, NULL);
	assert_int_equal(json_array_size(json_object_get(report, "kept")), 1);
	assert_int_equal(
		strncmp(json_string_value(json_array_get(json_object_get(report, "kept"), 0)),
			"result 0202", 11),
		0);
	assert_int_equal(cairn_snapshot_begin(&snapshot, w->other, NULL), 0);
	assert_int_equal(cairn_record_result(&result, snapshot, &key, NULL), 0);
	assert_string_equal(cairn_json_string(result, "instance", ""), "mine");
	cairn_snapshot_end(snapshot);
	json_decref(result);
	json_decref(report);
	json_decref(ours);
}

/* ---- damage -----------------------------------------------------------------------------------
 */

static void refused(world *w, const uint8_t *bytes, size_t len, const char *message)
{
	cairn_error err = {0};
	json_t *report = NULL;
	int rc = import(w->other, bytes, len, NULL, &report, &err);

	assert_null(report);
	if (rc != CAIRN_EINPUT && rc != CAIRN_EINTEGRITY)
		fail_msg("%d %s", rc, err.message);
	assert_true(err.message[0]);
	if (message && !strstr(err.message, message))
		fail_msg("'%s' is not in '%s'", message, err.message);
	assert_nothing_visible(w);
}

static void test_audit_bundle__no_changed_byte_passes(void **state)
{
	world *w = *state;
	uint8_t *copy = copy_tar(w);

	/* Each byte of the headers and sums in front, then samples. */
	for (size_t at = 0; at < w->len; at += at < 2048 ? 7 : 1009) {
		copy[at] ^= 1;
		refused(w, copy, w->len, NULL);
		copy[at] ^= 1;
	}
	free(copy);
	json_decref(must_import(w, NULL));
}

static void test_audit_bundle__cut_off_anywhere(void **state)
{
	world *w = *state;

	for (size_t len = 0; len < w->len; len += len % 512 ? 1 : 4095)
		refused(w, w->tar, len, NULL);
	refused(w, w->tar, w->len - 512, "cut off");
	refused(w, w->tar, 100, "cut off");
}

static void test_audit_bundle__what_is_no_bundle(void **state)
{
	world *w = *state;
	uint8_t bytes[2048] = "\x1f\x8b\x08";
	uint8_t *copy = copy_tar(w);
	cairn_error err = {0};
	json_t *report;

	assert_int_equal(import(w->other, bytes, sizeof(bytes), NULL, &report, &err), CAIRN_EINPUT);
	assert_non_null(strstr(err.message, "gzip"));
	assert_non_null(strstr(err.hint, "gzip -dc FILE | cairn import -"));
	memset(bytes, 0, sizeof(bytes));
	refused(w, bytes, sizeof(bytes), "no bundle");
	memset(bytes, 'x', sizeof(bytes));
	refused(w, bytes, sizeof(bytes), "no bundle");
	cairn_tar_header(bytes, "hello.txt", 5);
	refused(w, bytes, sizeof(bytes), "SHA256SUMS must come first");
	memset(copy + w->len, 0, 512);
	memcpy(copy + w->len, "more", 4);
	refused(w, copy, w->len + 512, "something follows");
	free(copy);
}

/* ---- members of one's own ---------------------------------------------------------------------
 */

typedef struct piece {
	char name[CAIRN_TAR_MAX_NAME + 1];
	uint8_t *bytes;
	size_t len;
	uint64_t claimed; /* the size in the header, where it is not len */
	bool is_left_out; /* of SHA256SUMS */
} piece;

typedef struct archive {
	piece pieces[MAX_MEMBERS];
	size_t n;
} archive;

/* All members but SHA256SUMS. */
static void unpack(archive *a, const world *w)
{
	size_t at = 0;
	uint64_t size;

	a->n = 0;
	for (;;) {
		piece *p = &a->pieces[a->n];

		memset(p, 0, sizeof(*p));
		if (cairn_tar_parse(w->tar + at, p->name, &size, NULL) != 0)
			return;
		at += 512;
		if (strcmp(p->name, "SHA256SUMS") != 0) {
			p->bytes = malloc(size + 1);
			assert_non_null(p->bytes);
			memcpy(p->bytes, w->tar + at, size);
			p->len = size;
			a->n++;
			assert_true(a->n < MAX_MEMBERS);
		}
		at += size + cairn_tar_padding(size);
	}
}

static void add(
	uint8_t **to, size_t *len, const char *name, const void *bytes, size_t n, uint64_t claimed)
{
	size_t padded = n + cairn_tar_padding(n);

	*to = realloc(*to, *len + 512 + padded + 1024);
	assert_non_null(*to);
	cairn_tar_header(*to + *len, name, claimed ? claimed : n);
	memset(*to + *len + 512, 0, padded);
	if (n)
		memcpy(*to + *len + 512, bytes, n);
	*len += 512 + padded;
}

/* Packed again with right sums, as somebody who knows the form would; frees the archive. */
static void refused_archive(world *w, archive *a, const char *message)
{
	uint8_t *tar = NULL, digest[32];
	char *sums = malloc(a->n * 200 + 1), hex[65];
	size_t len = 0, at = 0;

	assert_non_null(sums);
	sums[0] = 0;
	for (size_t i = 0; i < a->n; i++) {
		if (a->pieces[i].is_left_out)
			continue;
		cairn_sha256(a->pieces[i].bytes, a->pieces[i].len, digest);
		cairn_hex_encode(digest, 32, hex);
		at += (size_t)sprintf(sums + at, "%s  %s\n", hex, a->pieces[i].name);
	}
	add(&tar, &len, "SHA256SUMS", sums, at, 0);
	for (size_t i = 0; i < a->n; i++)
		add(&tar, &len, a->pieces[i].name, a->pieces[i].bytes, a->pieces[i].len,
			a->pieces[i].claimed);
	memset(tar + len, 0, 1024);
	if (message) {
		refused(w, tar, len + 1024, message);
	} else {
		cairn_error err = {0};
		json_t *report;

		if (import(w->other, tar, len + 1024, NULL, &report, &err) < 0)
			fail_msg("%s", err.message);
		json_decref(report);
	}
	for (size_t i = 0; i < a->n; i++)
		free(a->pieces[i].bytes);
	free(tar);
	free(sums);
}

static size_t find(const archive *a, const char *prefix)
{
	for (size_t i = 0; i < a->n; i++) {
		if (!strncmp(a->pieces[i].name, prefix, strlen(prefix)))
			return i;
	}
	fail_msg("no member '%s'", prefix);
	return 0;
}

static void set_text(piece *p, const char *text)
{
	free(p->bytes);
	p->bytes = malloc(strlen(text) + 1);
	assert_non_null(p->bytes);
	p->len = strlen(text);
	memcpy(p->bytes, text, p->len);
}

static void rename_to(archive *a, size_t i, const char *name)
{
	snprintf(a->pieces[i].name, sizeof(a->pieces[i].name), "%s", name);
}

static void drop(archive *a, size_t i)
{
	free(a->pieces[i].bytes);
	memmove(&a->pieces[i], &a->pieces[i + 1], (a->n - i - 1) * sizeof(a->pieces[0]));
	a->n--;
}

static void test_audit_bundle__hostile_members(void **state)
{
	static const char *const names[] = {"../x", "/etc/passwd", "chunks/../../x",
		"records/x.json", "artifacts/zz", "chunks/aa/AA", "records/runs/../../x.json",
		"records/results/.json", "nodes/00/11"};
	world *w = *state;
	archive a;
	char name[CAIRN_TAR_MAX_NAME + 1];
	size_t i;

	for (i = 0; i < CAIRN_COUNT(names); i++) {
		unpack(&a, w);
		rename_to(&a, 0, names[i]);
		refused_archive(w, &a, "has no business there");
	}
	/* A digest in capitals would be a second name of one piece. */
	unpack(&a, w);
	for (char *c = strcpy(name, a.pieces[0].name) + 10; *c; c++)
		*c = *c >= 'a' ? (char)(*c - 'a' + 'A') : *c;
	rename_to(&a, 0, name);
	refused_archive(w, &a, "has no business there");
	/* A name that is not its digest. */
	unpack(&a, w);
	i = find(&a, "chunks/");
	a.pieces[i].bytes[0] ^= 1;
	refused_archive(w, &a, "has another digest than its name");
	/* Twice the same. */
	unpack(&a, w);
	free(a.pieces[1].bytes);
	a.pieces[1] = a.pieces[0];
	a.pieces[1].bytes = malloc(a.pieces[0].len);
	memcpy(a.pieces[1].bytes, a.pieces[0].bytes, a.pieces[0].len);
	a.pieces[1].is_left_out = true;
	refused_archive(w, &a, "is not the next one");
	/* One that nobody announced. */
	unpack(&a, w);
	a.pieces[2].is_left_out = true;
	refused_archive(w, &a, "is not the next one");
}

static void test_audit_bundle__absurd_sizes(void **state)
{
	world *w = *state;
	archive a;

	unpack(&a, w);
	a.pieces[0].claimed = CAIRN_TAR_MAX_SIZE - 1;
	refused_archive(w, &a, "larger than any can be");
	unpack(&a, w);
	a.pieces[find(&a, "bundle.json")].claimed = CAIRN_TAR_MAX_SIZE - 1;
	refused_archive(w, &a, "larger than any can be");
	unpack(&a, w);
	a.pieces[find(&a, "records/stages")].claimed = 200 << 20; /* allowed, and not true */
	refused_archive(w, &a, "cut off");
}

static void test_audit_bundle__artifacts_must_be_whole(void **state)
{
	static const char *const kinds[] = {"chunks/", "nodes/", "artifacts/"};
	world *w = *state;
	archive a;

	for (size_t i = 0; i < CAIRN_COUNT(kinds); i++) {
		unpack(&a, w);
		drop(&a, find(&a, kinds[i]));
		refused_archive(w, &a, "");
	}
	unpack(&a, w);
	drop(&a, find(&a, "bundle.json"));
	refused_archive(w, &a, "lacks 'bundle.json'");
	/* Pieces of an artifact that it does not have. */
	unpack(&a, w);
	set_text(&a.pieces[find(&a, "bundle.json")],
		"{\"artifacts\":[],\"refs\":{},\"root\":{},\"schema\":\"cairn.bundle/1\"}\n");
	refused_archive(w, &a, "belongs to no artifact");
	unpack(&a, w);
	refused_archive(w, &a, NULL); /* the packing itself is right */
}

static void test_audit_bundle__records_that_cannot_be(void **state)
{
	static const struct {
		const char *member, *text, *message;
	} cases[] = {
		{"records/runs", "{\"state\":\"running\"}\n", "no record"},
		{"records/runs", "{\"b\":1,\"a\":2}\n", "canonical"},
		{"records/runs", "[]\n", "no JSON object"},
		{"records/runs", "{}", "its line"},
		{"records/runs", "{}\n{}\n", "no JSON object"},
		{"records/results", "{}\n", "no record"},
		{"records/results", "{\"outputs\":{\"x\":{\"id\":\"../x\"}}}\n", "no record"},
		{"records/attempts", "{\"n\":1,\"record\":{\"state\":\"running\"}}\n", "a line"},
		{"records/attempts", "{\"n\":1,\"record\":{}}\n{\"n\":1,\"record\":{}}\n",
			"a line"},
		{"records/attempts", "{\"n\":99999999999,\"record\":{}}\n", "a line"},
		{"records/stages", "{\"index\":-1,\"record\":{}}\n", "a line"},
		{"records/events", "{\"record\":{}}\n", "a line"},
		{"bundle.json", "{}\n", "not that of a bundle"},
		{"bundle.json", "nonsense", "no JSON object"},
		{"bundle.json",
			"{\"artifacts\":[],\"refs\":{\"a\":\"sha256:00\"},\"root\":{},"
			"\"schema\":\"cairn.bundle/1\"}\n",
			"not that of a bundle"},
	};
	world *w = *state;
	archive a;

	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		unpack(&a, w);
		set_text(&a.pieces[find(&a, cases[i].member)], cases[i].text);
		refused_archive(w, &a, cases[i].message);
	}
}

/* ---- kills ------------------------------------------------------------------------------------
 */

static void test_audit_bundle__killed_in_the_middle(void **state)
{
	world *w = *state;

	for (size_t at = 4000; at < w->len; at += w->len / 9) {
		int status;
		pid_t pid;

		cairn_store_close(w->other);
		pid = fork();
		if (pid == 0) {
			source s = {.bytes = w->tar, .len = w->len, .kill_at = at};
			cairn_store *store;
			json_t *report;

			if (cairn_store_open(&store, w->other_path, 0, NULL) == 0)
				_exit(cairn_bundle_import(
					&report, store, give_bytes, &s, NULL, NULL));
			_exit(1);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		assert_int_equal(cairn_store_open(&w->other, w->other_path, 0, NULL), 0);
		assert_nothing_visible(w);
	}
	json_decref(must_import(w, NULL));
	assert_same_bytes(w->f->store, w->other, &w->model);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_audit_bundle__there_and_back_is_the_same_file),
		TEST(test_audit_bundle__a_second_import_changes_nothing),
		TEST(test_audit_bundle__an_artifact_brings_the_records_of_its_ancestors),
		TEST(test_audit_bundle__a_run_that_goes_on_is_refused),
		TEST(test_audit_bundle__a_taken_name_is_refused_unless_prefixed),
		TEST(test_audit_bundle__our_record_stays_where_theirs_differs),
		TEST(test_audit_bundle__no_changed_byte_passes),
		TEST(test_audit_bundle__cut_off_anywhere),
		TEST(test_audit_bundle__what_is_no_bundle),
		TEST(test_audit_bundle__hostile_members),
		TEST(test_audit_bundle__absurd_sizes),
		TEST(test_audit_bundle__artifacts_must_be_whole),
		TEST(test_audit_bundle__records_that_cannot_be),
		TEST(test_audit_bundle__killed_in_the_middle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
