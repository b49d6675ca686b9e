/* SPDX-License-Identifier: Apache-2.0 */
/* Records: put, delete, scan, and what a commit's callback may do. */
#include "support.h"

#include <string.h>
#include <unistd.h>

#include "store/internal.h"

static void put(cairn_store *store, const char *table, const char *key, const char *value)
{
	cairn_error err = {0};
	cairn_batch *batch;

	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_put(batch, table, key, strlen(key), value, strlen(value), &err));
	OK(cairn_batch_commit(batch, &err));
}

/* The value as a new text; NULL where there is none. */
static char *get(cairn_store *store, const char *table, const char *key)
{
	cairn_error err = {0};
	cairn_snapshot *snapshot;
	const void *value;
	char *text = NULL;
	size_t len;
	int rc;

	OK(cairn_snapshot_begin(&snapshot, store, &err));
	rc = cairn_snapshot_get(snapshot, table, key, strlen(key), &value, &len, &err);
	if (rc == 0)
		text = strndup(value, len);
	else
		assert_true(rc == CAIRN_ENOTFOUND && err.code == 0);
	cairn_snapshot_end(snapshot);
	return text;
}

static void assert_value(
	cairn_store *store, const char *table, const char *key, const char *expected)
{
	char *found = get(store, table, key);

	if (expected) {
		assert_non_null(found);
		assert_string_equal(found, expected);
	} else {
		assert_null(found);
	}
	free(found);
}

static void test_store_record__changes_apply_in_order(void **state)
{
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_batch *batch;

	put(store, "ref", "main", "old");
	put(store, "ref", "gone", "old");
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_put(batch, "ref", "main", 4, "a", 1, &err));
	OK(cairn_batch_delete(batch, "ref", "main", 4, &err));
	OK(cairn_batch_put(batch, "ref", "main", 4, "b", 1, &err));
	OK(cairn_batch_delete(batch, "ref", "gone", 4, &err));
	OK(cairn_batch_delete(batch, "ref", "never was", 9, &err));
	OK(cairn_batch_put(batch, "producer", "k", 1, NULL, 0, &err));
	assert_value(store, "ref", "main", "old"); /* nothing before the commit */
	OK(cairn_batch_commit(batch, &err));
	assert_value(store, "ref", "main", "b");
	assert_value(store, "ref", "gone", NULL);
	assert_value(store, "producer", "k", "");
	cairn_store_close(store);
}

static void test_store_record__every_table_exists_and_survives_reopening(void **state)
{
	static const char *const names[] = {"result", "checkpoint", "run", "stage", "attempt",
		"event", "ref", "reflog", "producer", "consumer", "lease", "recent", "filecache",
		"plugin", "note"};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	cairn_batch *batch;

	for (size_t i = 0; i < CAIRN_COUNT(names); i++)
		put(store, names[i], "key", names[i]);
	cairn_store_close(store);
	store = support_open(*state, CAIRN_STORE_READONLY);
	for (size_t i = 0; i < CAIRN_COUNT(names); i++)
		assert_value(store, names[i], "key", names[i]);
	assert_int_equal(cairn_batch_begin(&batch, store, &err), CAIRN_EBUG);
	cairn_store_close(store);
}

static void test_store_record__limits_are_those_of_the_header(void **state)
{
	static char big[CAIRN_MAX_VALUE + 1];
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_snapshot *snapshot;
	cairn_batch *batch;
	const void *value;
	size_t len;

	memset(big, 'x', sizeof(big));
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_put(batch, "note", big, 511, big, 1 << 20, &err));
	assert_int_equal(cairn_batch_put(batch, "note", big, 512, "v", 1, NULL), CAIRN_ELIMIT);
	assert_int_equal(cairn_batch_put(batch, "note", "", 0, "v", 1, NULL), CAIRN_ELIMIT);
	assert_int_equal(
		cairn_batch_put(batch, "note", "k", 1, big, sizeof(big), NULL), CAIRN_ELIMIT);
	assert_int_equal(cairn_batch_put(batch, "chunk", "k", 1, "v", 1, NULL), CAIRN_EBUG);
	assert_int_equal(cairn_batch_delete(batch, "meta", "uuid", 4, NULL), CAIRN_EBUG);
	OK(cairn_batch_commit(batch, &err));
	OK(cairn_snapshot_begin(&snapshot, store, &err));
	OK(cairn_snapshot_get(snapshot, "note", big, 511, &value, &len, &err));
	assert_int_equal(len, 1 << 20);
	assert_memory_equal(value, big, len);
	cairn_snapshot_end(snapshot);
	cairn_store_close(store);
}

/* ---- scans --------------------------------------------------------------------------- */

typedef struct collector {
	char text[256];
	int stop_after;
} collector;

static int collect(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	collector *c = arg;
	size_t at = strlen(c->text);

	(void)err;
	for (size_t i = 0; i < key_len; i++) {
		uint8_t byte = ((const uint8_t *)key)[i];

		at += (size_t)snprintf(c->text + at, sizeof(c->text) - at,
			byte >= 0x20 && byte < 0x7f ? "%c" : "<%02x>", byte);
	}
	snprintf(c->text + at, sizeof(c->text) - at, "=%.*s ", (int)value_len, (const char *)value);
	return c->stop_after && --c->stop_after == 0;
}

static void assert_scan(cairn_store *store, const char *prefix, size_t len, bool descending,
	int stop_after, const char *expected)
{
	cairn_error err = {0};
	cairn_snapshot *snapshot;
	collector c = {.stop_after = stop_after};

	OK(cairn_snapshot_begin(&snapshot, store, &err));
	OK(cairn_snapshot_scan(snapshot, "event", prefix, len, descending, collect, &c, &err));
	cairn_snapshot_end(snapshot);
	assert_string_equal(c.text, expected);
}

static int refuse(const void *key, size_t key_len, const void *value, size_t value_len, void *arg,
	cairn_error *err)
{
	(void)key;
	(void)key_len;
	(void)value;
	(void)value_len;
	(void)arg;
	return cairn_error_set(err, CAIRN_EINPUT, "enough");
}

static void test_store_record__scans_by_prefix_in_both_directions(void **state)
{
	static const struct {
		const char *key;
		size_t len;
	} keys[] = {{"a", 1}, {"b", 1}, {"ba", 2}, {"bb", 2}, {"c", 1}, {"\xff", 1},
		{"\xff\x01", 2}, {"\xff\xff", 2}};
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_snapshot *snapshot;
	cairn_batch *batch;

	assert_scan(store, "", 0, false, 0, "");
	assert_scan(store, "", 0, true, 0, "");
	OK(cairn_batch_begin(&batch, store, &err));
	for (size_t i = 0; i < CAIRN_COUNT(keys); i++) {
		char value = (char)('0' + i);

		OK(cairn_batch_put(batch, "event", keys[i].key, keys[i].len, &value, 1, &err));
	}
	OK(cairn_batch_commit(batch, &err));
	assert_scan(store, "b", 1, false, 0, "b=1 ba=2 bb=3 ");
	assert_scan(store, "b", 1, true, 0, "bb=3 ba=2 b=1 ");
	assert_scan(store, "b", 1, true, 1, "bb=3 ");
	assert_scan(store, "b", 1, false, 2, "b=1 ba=2 ");
	assert_scan(store, "bc", 2, false, 0, "");
	assert_scan(store, "bc", 2, true, 0, "");
	assert_scan(store, "\xff", 1, true, 0, "<ff><ff>=7 <ff><01>=6 <ff>=5 ");
	assert_scan(store, "\xff", 1, false, 0, "<ff>=5 <ff><01>=6 <ff><ff>=7 ");
	assert_scan(store, "", 0, false, 3, "a=0 b=1 ba=2 ");
	assert_scan(store, NULL, 0, true, 2, "<ff><ff>=7 <ff><01>=6 ");
	OK(cairn_snapshot_begin(&snapshot, store, &err));
	assert_int_equal(cairn_snapshot_scan(snapshot, "event", "b", 1, false, refuse, NULL, &err),
		CAIRN_EINPUT);
	assert_string_equal(err.message, "enough");
	cairn_snapshot_end(snapshot);
	cairn_store_close(store);
}

static void test_store_record__a_snapshot_stays_as_it_was(void **state)
{
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_snapshot *before;
	const void *value;
	size_t len;

	put(store, "ref", "main", "1");
	OK(cairn_snapshot_begin(&before, store, &err));
	put(store, "ref", "main", "2");
	OK(cairn_snapshot_get(before, "ref", "main", 4, &value, &len, &err));
	assert_memory_equal(value, "1", 1);
	cairn_snapshot_end(before);
	assert_value(store, "ref", "main", "2");
	cairn_store_close(store);
}

/* ---- callbacks ------------------------------------------------------------------------ */

static int swap(cairn_snapshot *now, cairn_batch *batch, void *arg, cairn_error *err)
{
	const void *value;
	size_t len;
	int rc = cairn_snapshot_get(now, "ref", "main", 4, &value, &len, err);

	if (rc)
		return rc;
	if (len != strlen(arg) || memcmp(value, arg, len) != 0)
		return cairn_error_set(err, CAIRN_EBUSY, "'main' moved");
	rc = cairn_batch_put(batch, "ref", "main", 4, "swapped", 7, err);
	if (rc)
		return rc;
	/* What was put above and what the batch put is seen. */
	rc = cairn_snapshot_get(now, "ref", "main", 4, &value, &len, err);
	assert_int_equal(rc, 0);
	assert_memory_equal(value, "swapped", 7);
	rc = cairn_snapshot_get(now, "note", "mine", 4, &value, &len, err);
	assert_int_equal(rc, 0);
	return cairn_batch_delete(batch, "ref", "other", 5, err);
}

static int commit_swap(cairn_store *store, const char *expected, cairn_id *id, cairn_error *err)
{
	cairn_batch *batch;

	if (cairn_batch_begin(&batch, store, err))
		return err->code;
	support_put(batch, 2, 100 << 10, 77, id);
	if (cairn_batch_put(batch, "note", "mine", 4, "x", 1, err))
		return err->code;
	cairn_batch_on_commit(batch, swap, (void *)expected);
	return cairn_batch_commit(batch, err);
}

static void test_store_record__a_callback_can_compare_and_swap(void **state)
{
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_object *object;
	cairn_id id;

	put(store, "ref", "main", "1");
	put(store, "ref", "other", "1");
	assert_int_equal(commit_swap(store, "0", &id, &err), CAIRN_EBUSY);
	assert_string_equal(err.message, "'main' moved");
	assert_value(store, "ref", "main", "1");
	assert_value(store, "note", "mine", NULL);
	assert_int_equal(cairn_object_open(&object, store, &id, NULL), CAIRN_ENOTFOUND);
	cairn_error_clear(&err);
	OK(commit_swap(store, "1", &id, &err));
	assert_value(store, "ref", "main", "swapped");
	assert_value(store, "ref", "other", NULL);
	assert_value(store, "note", "mine", "x");
	OK(support_verify(store, &id, 2, 100 << 10, 77, &err));
	cairn_store_close(store);
}

enum {
	COPIES = 60
};

/* Puts what it got, straight from the index, into the same table; and counts its calls. */
static int copy_around(cairn_snapshot *now, cairn_batch *batch, void *arg, cairn_error *err)
{
	const void *value;
	size_t len;
	int rc = 0;

	++*(int *)arg;
	for (int i = 0; i < COPIES && !rc; i++) {
		char key[32];

		snprintf(key, sizeof(key), "copy-%d", (i * 7) % COPIES);
		rc = cairn_snapshot_get(now, "note", "m", 1, &value, &len, err);
		if (!rc)
			rc = cairn_batch_put(batch, "note", key, strlen(key), value, len, err);
	}
	if (!rc)
		rc = cairn_snapshot_get(now, "note", "count", 5, &value, &len, err);
	if (!rc)
		rc = cairn_batch_put(batch, "note", "count", 5,
			(char[]){(char)(*(const char *)value + 1)}, 1, err);
	return rc;
}

static void test_store_record__a_callback_works_again_when_the_index_grows(void **state)
{
	cairn_error err = {0};
	cairn_store *store;
	cairn_batch *batch;
	char original[12001] = "";
	int n_calls = 0;
	cairn_id id;

	memset(original, 'm', sizeof(original) - 1);
	OK(cairn_store__open(&store, *state, CAIRN_STORE_CREATE, 1 << 20, &err));
	put(store, "note", "m", original);
	put(store, "note", "count", "0");
	OK(cairn_batch_begin(&batch, store, &err));
	/* Leaves too little of the first map for the copies. */
	support_put(batch, 5, CAIRN_INLINE_BYTES, 1, &id);
	cairn_batch_on_commit(batch, copy_around, &n_calls);
	OK(cairn_batch_commit(batch, &err));
	assert_true(n_calls >= 1);
	assert_value(store, "note", "count", "1"); /* undone calls leave nothing */
	for (int i = 0; i < COPIES; i++) {
		char key[32];

		snprintf(key, sizeof(key), "copy-%d", i);
		assert_value(store, "note", key, original);
	}
	assert_int_equal(n_calls, 2);
	cairn_store_close(store);
}

/* ---- the map -------------------------------------------------------------------------- */

typedef struct child {
	const char *directory;
	int ready, go;
	cairn_id id;
} child;

/* Opens the store while its index is small, and reads once it has outgrown that map. */
static int read_after_growth(void *arg)
{
	child *c = arg;
	cairn_error err = {0};
	cairn_store *store;
	char byte = 0;

	if (cairn_store__open(&store, c->directory, 0, 1 << 20, &err))
		return 2;
	if (write(c->ready, &byte, 1) != 1 || read(c->go, &c->id, sizeof(c->id)) <= 0)
		return 3;
	if (support_verify(store, &c->id, 100, CAIRN_INLINE_BYTES, 1, &err))
		return 4;
	cairn_store_close(store);
	return 0;
}

static void test_store_record__the_index_grows_under_two_processes(void **state)
{
	cairn_error err = {0};
	child c = {.directory = *state};
	int ready[2], go[2];
	cairn_snapshot *snapshot;
	cairn_batch *batch;
	cairn_store *store;
	char byte;
	cairn_id id;
	pid_t pid;

	cairn_store_close(support_open(*state, CAIRN_STORE_CREATE));
	assert_int_equal(pipe(ready) | pipe(go), 0);
	c.ready = ready[1];
	c.go = go[0];
	pid = support_fork(read_after_growth, &c);
	OK(cairn_store__open(&store, *state, 0, 1 << 20, &err));
	assert_int_equal(read(ready[0], &byte, 1), 1);

	/* While this process holds a snapshot the map cannot move: a clear refusal. */
	OK(cairn_snapshot_begin(&snapshot, store, &err));
	OK(cairn_batch_begin(&batch, store, &err));
	support_put(batch, 100, CAIRN_INLINE_BYTES, 1, &id);
	assert_int_equal(cairn_batch_commit(batch, &err), CAIRN_EBUSY);
	assert_true(err.hint[0] != 0);
	cairn_snapshot_end(snapshot);

	cairn_error_clear(&err);
	id = support_commit(store, 100, CAIRN_INLINE_BYTES, 1);
	OK(support_verify(store, &id, 100, CAIRN_INLINE_BYTES, 1, &err));
	assert_int_equal(write(go[1], &id, sizeof(id)), sizeof(id));
	assert_int_equal(support_wait(pid), 0);
	cairn_store_close(store);
	close(ready[0]);
	close(ready[1]);
	close(go[0]);
	close(go[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_record__changes_apply_in_order),
		TEST(test_store_record__every_table_exists_and_survives_reopening),
		TEST(test_store_record__limits_are_those_of_the_header),
		TEST(test_store_record__scans_by_prefix_in_both_directions),
		TEST(test_store_record__a_snapshot_stays_as_it_was),
		TEST(test_store_record__a_callback_can_compare_and_swap),
		TEST(test_store_record__a_callback_works_again_when_the_index_grows),
		TEST(test_store_record__the_index_grows_under_two_processes),
	};

	return cmocka_run_group_tests_name("store/record", tests, NULL, NULL);
}
