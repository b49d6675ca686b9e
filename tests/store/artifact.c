/* SPDX-License-Identifier: Apache-2.0 */
/* Artifacts in and out: shapes, sizes around every border, ids, sharing. */
#include "support.h"

#include <string.h>

#include "store/internal.h"

static void test_store_artifact__returns_every_size(void **state)
{
	static const size_t sizes[] = {0, 1, 4095, 4096, 4097, CAIRN_INLINE_BYTES - 1,
		CAIRN_INLINE_BYTES, CAIRN_INLINE_BYTES + 1, CAIRN_CHUNK_BYTES - 1,
		CAIRN_CHUNK_BYTES, CAIRN_CHUNK_BYTES + 1,
		CAIRN_CHUNK_BYTES + CAIRN_INLINE_BYTES + 1, 2 * CAIRN_CHUNK_BYTES,
		2 * CAIRN_CHUNK_BYTES + 5, 5 * CAIRN_CHUNK_BYTES + 12345};
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_object *object;
	cairn_batch *batch;
	uint64_t total = 0;
	cairn_id id;
	char name[32];

	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_artifact_begin(batch, "file", &err));
	for (size_t i = 0; i < CAIRN_COUNT(sizes); i++) {
		uint8_t *bytes = support_bytes(sizes[i], i);
		cairn_tensor tensor = support_file(name, bytes, sizes[i]);

		snprintf(name, sizeof(name), "size-%zu", sizes[i]);
		OK(cairn_batch_artifact_put(batch, &tensor, &err));
		free(bytes); /* consumed when put returns */
		total += sizes[i];
	}
	OK(cairn_batch_artifact_end(batch, NULL, &id, &err));
	OK(cairn_batch_commit(batch, &err));
	cairn_store_close(store);

	store = support_open(*state, CAIRN_STORE_READONLY);
	OK(cairn_object_open(&object, store, &id, &err));
	assert_int_equal(cairn_object_count(object), CAIRN_COUNT(sizes));
	assert_true(cairn_object_bytes(object) == total);
	for (size_t i = 0; i < CAIRN_COUNT(sizes); i++) {
		uint8_t *want = support_bytes(sizes[i], i);
		cairn_tensor got;

		snprintf(name, sizeof(name), "size-%zu", sizes[i]);
		OK(cairn_object_read(object, name, &got, &err));
		assert_int_equal(got.bytes, sizes[i]);
		assert_int_equal((uintptr_t)got.data % 64, 0);
		assert_memory_equal(got.data, want, sizes[i]);
		free(want);
	}
	cairn_object_close(object);
	cairn_store_close(store);
}

static void put_tensor(cairn_batch *batch, const char *name, uint32_t dtype, uint32_t n_dims,
	const uint64_t *dims, const void *data, uint64_t bytes)
{
	cairn_error err = {0};
	cairn_tensor tensor = {
		.name = name, .dtype = dtype, .n_dims = n_dims, .data = data, .bytes = bytes};

	for (uint32_t i = 0; i < n_dims; i++)
		tensor.dims[i] = dims[i];
	OK(cairn_batch_artifact_put(batch, &tensor, &err));
}

/* The artifact that golden ids are given for; `order` permutes the puts. */
static cairn_id put_golden(cairn_store *store, const int order[4])
{
	static const float w[] = {0, 1, 2, 3, 4, 5};
	static const uint8_t bias = 0x2a;
	size_t n_big = CAIRN_CHUNK_BYTES + 5;
	uint8_t *big = malloc(n_big);
	cairn_error err = {0};
	cairn_batch *batch;
	cairn_id id;

	assert_non_null(big);
	for (size_t i = 0; i < n_big; i++)
		big[i] = (uint8_t)((i * i + i) % 251);
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_artifact_begin(batch, "model/lm", &err));
	for (int i = 0; i < 4; i++) {
		switch (order[i]) {
		case 0:
			put_tensor(batch, "w", CAIRN_F32, 2, (uint64_t[]){2, 3}, w, sizeof(w));
			break;
		case 1:
			put_tensor(batch, "bias", CAIRN_U8, 0, NULL, &bias, 1);
			break;
		case 2:
			put_tensor(batch, "empty", CAIRN_I64, 1, (uint64_t[]){0}, NULL, 0);
			break;
		default:
			put_tensor(batch, "big", CAIRN_U8, 1, (uint64_t[]){n_big}, big, n_big);
			break;
		}
	}
	OK(cairn_batch_artifact_end(batch, " { \"step\": 3, \"a\" : [1, 2.50] }", &id, &err));
	OK(cairn_batch_commit(batch, &err));
	free(big);
	return id;
}

/* Computed from FORMAT.md by oracle.py, which shares no line with the store. */
static void test_store_artifact__has_the_golden_id_in_any_order_of_puts(void **state)
{
	static const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}};
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_batch *batch;
	char text[CAIRN_ID_TEXT];
	cairn_id id;

	for (size_t i = 0; i < CAIRN_COUNT(orders); i++) {
		id = put_golden(store, orders[i]);
		cairn_id_format(&id, text);
		assert_string_equal(text,
			"sha256:47dc3b79a4ac29736c4b548163ee7b75256e918cd96fb4a903cb78fb87a92113");
	}
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_artifact_begin(batch, "report", &err));
	OK(cairn_batch_artifact_end(batch, "{}", &id, &err));
	OK(cairn_batch_commit(batch, &err));
	cairn_id_format(&id, text);
	assert_string_equal(
		text, "sha256:53da837f7d70f759864fe1a2c87b887cdbd1aaf65bc179233884deec362f14c0");
	cairn_store_close(store);
}

static void test_store_artifact__lists_kind_meta_and_entries_by_name(void **state)
{
	static const int order[4] = {0, 1, 2, 3};
	static const char *const names[] = {"bias", "big", "empty", "w"};
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id id = put_golden(store, order);
	cairn_object *object;
	cairn_tensor tensor;

	OK(cairn_object_open(&object, store, &id, &err));
	assert_string_equal(cairn_object_kind(object), "model/lm");
	assert_string_equal(cairn_object_meta(object), "{\"a\":[1,2.5],\"step\":3}");
	assert_int_equal(cairn_id_compare(cairn_object_id(object), &id), 0);
	for (uint64_t i = 0; i < 4; i++) {
		OK(cairn_object_entry(object, i, &tensor, &err));
		assert_string_equal(tensor.name, names[i]);
		assert_null(tensor.data);
	}
	assert_int_equal(tensor.dtype, CAIRN_F32);
	assert_int_equal(tensor.n_dims, 2);
	assert_int_equal(tensor.dims[0], 2);
	assert_int_equal(tensor.dims[1], 3);
	assert_int_equal(tensor.bytes, 24);
	OK(cairn_object_read(object, "bias", &tensor, &err));
	assert_int_equal(tensor.n_dims, 0);
	assert_int_equal(*(const uint8_t *)tensor.data, 0x2a);
	assert_true(cairn_object_has(object, "w"));
	assert_false(cairn_object_has(object, "v"));
	assert_int_equal(cairn_object_entry(object, 4, &tensor, NULL), CAIRN_ENOTFOUND);
	assert_int_equal(cairn_object_read(object, "v", &tensor, &err), CAIRN_ENOTFOUND);
	assert_non_null(strstr(err.message, "no entry 'v'"));
	cairn_object_close(object);
	cairn_store_close(store);
}

/* 64 tensors; a second version that changes one may cost that one only. */
static void test_store_artifact__shares_equal_tensors(void **state)
{
	enum {
		N = 64,
		LEN = 128 << 10
	};
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t *bytes = support_bytes(LEN, 0);
	uint64_t size;
	cairn_batch *batch;
	cairn_id first = support_commit(store, N, LEN, 100), second;
	char name[32];

	size = support_size(*state, "seg");
	assert_true(size == CAIRN_BLOCK_BYTES + N * (uint64_t)(CAIRN_BLOCK_BYTES + LEN));
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_artifact_begin(batch, "file", &err));
	for (size_t i = 0; i < N; i++) {
		cairn_tensor tensor = support_file(name, bytes, LEN);

		snprintf(name, sizeof(name), "e%zu", i);
		support_fill(bytes, LEN, i == 17 ? 9999 : 100 + i);
		OK(cairn_batch_artifact_put(batch, &tensor, &err));
	}
	OK(cairn_batch_artifact_end(batch, NULL, &second, &err));
	OK(cairn_batch_commit(batch, &err));
	assert_int_not_equal(cairn_id_compare(&first, &second), 0);
	assert_true(support_size(*state, "seg") == size + CAIRN_BLOCK_BYTES + LEN);
	OK(support_verify(store, &first, N, LEN, 100, &err));

	/* The same content under another name, twice in one artifact: no new chunk at all. */
	size = support_size(*state, "seg");
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_artifact_begin(batch, "file", &err));
	support_fill(bytes, LEN, 100);
	OK(cairn_batch_artifact_put(
		batch, &(cairn_tensor){"x", CAIRN_U8, 1, {LEN}, bytes, LEN}, &err));
	OK(cairn_batch_artifact_put(
		batch, &(cairn_tensor){"y", CAIRN_U16, 1, {LEN / 2}, bytes, LEN}, &err));
	OK(cairn_batch_artifact_end(batch, NULL, &second, &err));
	OK(cairn_batch_commit(batch, &err));
	assert_true(support_size(*state, "seg") == size);
	cairn_store_close(store);

	/* A later process that only rereads what is there starts no segment. */
	store = support_open(*state, 0);
	support_commit(store, N, LEN, 100);
	assert_true(support_size(*state, "seg") == size);
	cairn_store_close(store);
	free(bytes);
}

static void test_store_artifact__takes_thousands_of_entries_and_long_metadata(void **state)
{
	enum {
		N = 3000,
		META = 5 << 20
	};
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	char *meta = malloc(META + 16), name[32];
	cairn_object *object;
	cairn_batch *batch;
	cairn_id id;

	assert_non_null(meta);
	memcpy(meta, "{\"x\":\"", 6);
	memset(meta + 6, 'y', META);
	memcpy(meta + 6 + META, "\"}", 3);
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_artifact_begin(batch, "metrics", &err));
	for (uint32_t i = 0; i < N; i++) {
		snprintf(name, sizeof(name), "n%u", i);
		put_tensor(batch, name, CAIRN_I32, 0, NULL, &i, sizeof(i));
	}
	OK(cairn_batch_artifact_end(batch, meta, &id, &err));
	OK(cairn_batch_commit(batch, &err));
	OK(cairn_object_open(&object, store, &id, &err));
	assert_string_equal(cairn_object_meta(object), meta);
	assert_int_equal(cairn_object_count(object), N);
	for (uint32_t i = 0; i < N; i++) {
		cairn_tensor got;

		snprintf(name, sizeof(name), "n%u", i);
		OK(cairn_object_read(object, name, &got, &err));
		assert_memory_equal(got.data, &i, sizeof(i));
	}
	cairn_object_close(object);
	cairn_store_close(store);
	free(meta);
}

/* More small objects than one transaction takes: they go to the index early, unnamed. */
static void test_store_artifact__spills_large_batches_invisibly(void **state)
{
	enum {
		N = 1200,
		LEN = CAIRN_INLINE_BYTES
	};
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_object *object;
	cairn_batch *batch;
	cairn_id id;

	OK(cairn_batch_begin(&batch, store, &err));
	support_put(batch, N, LEN, 1, &id);
	assert_true(support_size(*state, "meta") > 32 << 20);
	cairn_batch_abort(batch);
	assert_int_equal(cairn_object_open(&object, store, &id, NULL), CAIRN_ENOTFOUND);
	id = support_commit(store, N, LEN, 1);
	OK(support_verify(store, &id, N, LEN, 1, &err));
	cairn_store_close(store);
}

static int put_one(cairn_store *store, cairn_tensor tensor, cairn_error *err)
{
	cairn_error ignored = {0};
	cairn_batch *batch;
	int rc;

	support_check(cairn_batch_begin(&batch, store, err), err, "begin", __FILE__, __LINE__);
	support_check(cairn_batch_artifact_begin(batch, "file", err), err, "artifact", __FILE__,
		__LINE__);
	rc = cairn_batch_artifact_put(batch, &tensor, err);
	if (rc) {
		cairn_id id;

		/* Half an artifact cannot be ended, nor its batch committed. */
		assert_int_equal(cairn_batch_artifact_end(batch, NULL, &id, &ignored), CAIRN_EBUG);
	}
	cairn_batch_abort(batch);
	return rc;
}

static void test_store_artifact__refuses_bad_tensors(void **state)
{
	static const uint8_t data[16];
	static const struct {
		cairn_tensor tensor;
		int code;
	} cases[] = {
		{{"", CAIRN_U8, 1, {4}, data, 4}, CAIRN_EINPUT},
		{{"a\nb", CAIRN_U8, 1, {4}, data, 4}, CAIRN_EINPUT},
		{{"w", CAIRN_F32, 1, {3}, data, 11}, CAIRN_EINPUT},
		{{"w", 99, 1, {4}, data, 4}, CAIRN_EINPUT},
		{{"w", CAIRN_U8, 9, {1}, data, 1}, CAIRN_EINPUT},
		{{"w", CAIRN_F64, 2, {UINT64_MAX, 2}, data, 16}, CAIRN_EINPUT},
		{{"w", CAIRN_U8, 1, {(1ull << 40) + 1}, data, (1ull << 40) + 1}, CAIRN_ELIMIT},
		{{"w", CAIRN_U8, 1, {4}, NULL, 4}, CAIRN_EBUG},
	};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	char long_name[CAIRN_MAX_NAME + 2];
	cairn_error err;

	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		cairn_error_clear(&err);
		assert_int_equal(put_one(store, cases[i].tensor, &err), cases[i].code);
		assert_true(err.message[0] != 0);
	}
	memset(long_name, 'n', sizeof(long_name));
	long_name[CAIRN_MAX_NAME + 1] = 0;
	assert_int_equal(put_one(store, support_file(long_name, data, 1), NULL), CAIRN_EINPUT);
	long_name[CAIRN_MAX_NAME] = 0;
	cairn_error_clear(&err);
	OK(put_one(store, support_file(long_name, data, 1), &err));
	cairn_store_close(store);
}

static void test_store_artifact__refuses_twin_names_and_bad_metadata(void **state)
{
	static const char *const metas[] = {"[1]", "{\"a\":1,\"a\":2}", "{", "7"};
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_batch *batch;
	cairn_id id;

	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_artifact_begin(batch, "file", &err));
	put_tensor(batch, "a", CAIRN_U8, 0, NULL, "1", 1);
	put_tensor(batch, "b", CAIRN_U8, 0, NULL, "1", 1);
	put_tensor(batch, "a", CAIRN_U8, 0, NULL, "2", 1);
	assert_int_equal(cairn_batch_artifact_end(batch, NULL, &id, &err), CAIRN_EINPUT);
	assert_non_null(strstr(err.message, "two entries 'a'"));
	cairn_batch_artifact_drop(batch);
	for (size_t i = 0; i < CAIRN_COUNT(metas); i++) {
		cairn_error_clear(&err);
		OK(cairn_batch_artifact_begin(batch, "file", &err));
		assert_int_equal(
			cairn_batch_artifact_end(batch, metas[i], &id, &err), CAIRN_EINPUT);
		cairn_batch_artifact_drop(batch);
	}
	/* The batch is as good as new after a drop. */
	cairn_error_clear(&err);
	support_put(batch, 2, 100, 5, &id);
	OK(cairn_batch_commit(batch, &err));
	OK(support_verify(store, &id, 2, 100, 5, &err));
	cairn_store_close(store);
}

static void test_store_artifact__is_found_by_a_prefix(void **state)
{
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	cairn_id id = support_commit(store, 1, 10, 1), found;
	char text[CAIRN_ID_TEXT];

	for (uint64_t i = 2; i < 400; i++) /* neighbours, so that prefixes of 2 digits clash */
		support_commit(store, 0, 0, i);
	cairn_id_format(&id, text);
	OK(cairn_store_find(store, text, &found, &err));
	assert_int_equal(cairn_id_compare(&found, &id), 0);
	OK(cairn_id_parse(&found, text + 7, &err));
	assert_int_equal(cairn_id_compare(&found, &id), 0);
	for (size_t len = 64; len >= 10; len--) { /* odd and even */
		text[7 + len] = 0;
		memset(&found, 0, sizeof(found));
		OK(cairn_store_find(store, text, &found, &err));
		assert_int_equal(cairn_id_compare(&found, &id), 0);
		OK(cairn_store_find(store, text + 7, &found, &err));
	}
	text[7 + 3] = 0;
	assert_int_equal(cairn_store_find(store, text, &found, NULL), CAIRN_ENOTFOUND);
	assert_int_equal(cairn_store_find(store, "sft:model", &found, NULL), CAIRN_ENOTFOUND);
	text[7 + 3] = 'z';
	assert_int_equal(cairn_store_find(store, text, &found, NULL), CAIRN_ENOTFOUND);
	assert_int_equal(cairn_id_parse(&found, "sha256:12", NULL), CAIRN_EINPUT);
	cairn_store_close(store);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_artifact__returns_every_size),
		TEST(test_store_artifact__has_the_golden_id_in_any_order_of_puts),
		TEST(test_store_artifact__lists_kind_meta_and_entries_by_name),
		TEST(test_store_artifact__shares_equal_tensors),
		TEST(test_store_artifact__takes_thousands_of_entries_and_long_metadata),
		TEST(test_store_artifact__spills_large_batches_invisibly),
		TEST(test_store_artifact__refuses_bad_tensors),
		TEST(test_store_artifact__refuses_twin_names_and_bad_metadata),
		TEST(test_store_artifact__is_found_by_a_prefix),
	};

	return cmocka_run_group_tests_name("store/artifact", tests, NULL, NULL);
}
