/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries that are cut where their content says: the rule against oracle.py's numbers, sharing
 * between versions of a data set measured in bytes, and stores of format 1, which had fixed cuts
 * for everything.
 */
#include "support.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "store/internal.h"

/* ---- the rule ---------------------------------------------------------------------------- */

static void expect_cuts(const uint8_t *bytes, size_t len, const size_t *want, size_t n)
{
	size_t at = 0, i = 0;

	for (; at < len; i++) {
		size_t length = cairn_cuts__next(true, bytes + at, len - at);

		assert_true(i < n);
		assert_int_equal(length, want[i]);
		at += length;
	}
	assert_int_equal(i, n);
}

/* The numbers are oracle.py's. */
static void test_store_cuts__lie_where_the_oracle_says(void **state)
{
	static const size_t first[] = {
		215511, 332532, 475234, 391982, 403970, 340663, 299452, 298691, 387698};
	static const size_t second[] = {371041, 327926, 237750, 280376, 289113, 136973, 140369,
		456553, 418650, 456985, 29992};
	static const size_t zeros[] = {1048576, 1048576, 402848};
	size_t len = 3 * CAIRN_CUT_MAX + 5;
	uint8_t *bytes = support_bytes(len, 1);

	(void)state;
	expect_cuts(bytes, len, first, CAIRN_COUNT(first));
	support_fill(bytes, len, 3);
	expect_cuts(bytes, len - 5, second, CAIRN_COUNT(second));
	memset(bytes, 0, len); /* nothing to cut at: the longest, and what is left */
	expect_cuts(bytes, 2500000, zeros, CAIRN_COUNT(zeros));
	for (len = 1; len <= CAIRN_CUT_MIN; len += 4093)
		assert_int_equal(cairn_cuts__next(true, bytes, len), len);
	free(bytes);
}

static cairn_id put_file(cairn_store *store, const uint8_t *bytes, size_t len)
{
	cairn_error err = {0};
	cairn_tensor tensor = support_file("f", bytes, len);
	cairn_batch *batch;
	cairn_id id;

	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_artifact_begin(batch, "file", &err));
	OK(cairn_batch_artifact_put(batch, &tensor, &err));
	OK(cairn_batch_artifact_end(batch, NULL, &id, &err));
	OK(cairn_batch_commit(batch, &err));
	return id;
}

static void expect_file(cairn_store *store, const cairn_id *id, const uint8_t *bytes, size_t len)
{
	cairn_error err = {0};
	cairn_object *object;
	cairn_tensor got;

	OK(cairn_object_open(&object, store, id, &err));
	OK(cairn_object_read(object, "f", &got, &err));
	assert_int_equal(got.bytes, len);
	assert_int_equal((uintptr_t)got.data % 64, 0);
	assert_memory_equal(got.data, bytes, len);
	assert_int_equal(((const uint8_t *)got.data)[len], 0); /* readers of text count on it */
	cairn_object_close(object);
}

static void test_store_cuts__have_the_golden_ids(void **state)
{
	static const struct {
		size_t len;
		uint64_t seed;
		const char *id;
	} cases[] = {
		{3 * CAIRN_CUT_MAX + 5, 1,
			"fbf8d315af06ba5fe4663a8e6af73fdd91b4afbe3238f107090c546f29065353"},
		{CAIRN_CUT_MIN + 1, 2,
			"e7a6b6c1a0664fdada9b3fc11fa0141cecfc264ce10dc2ca16bcf718c2f57fda"},
		{3 * CAIRN_CUT_MAX, 3,
			"0d5e4a4e109bc14140d854131bc699ba8bd295252cdf22cbe0a416b1e0d3a59c"},
	};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	char text[CAIRN_ID_TEXT];

	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		uint8_t *bytes = support_bytes(cases[i].len, cases[i].seed);
		cairn_id id = put_file(store, bytes, cases[i].len);

		cairn_id_format(&id, text);
		assert_string_equal(text + 7, cases[i].id);
		expect_file(store, &id, bytes, cases[i].len);
		free(bytes);
	}
	cairn_store_close(store);
}

static void test_store_cuts__every_size_around_a_border_reads_back(void **state)
{
	static const size_t sizes[] = {CAIRN_INLINE_BYTES, CAIRN_INLINE_BYTES + 1,
		CAIRN_CUT_MIN - 1, CAIRN_CUT_MIN, CAIRN_CUT_MIN + 1, CAIRN_CUT_NORMAL,
		CAIRN_CUT_NORMAL + 1, CAIRN_CUT_MAX - 1, CAIRN_CUT_MAX, CAIRN_CUT_MAX + 1,
		CAIRN_CUT_MAX + CAIRN_INLINE_BYTES, CAIRN_CUT_MAX + CAIRN_INLINE_BYTES + 1,
		2 * CAIRN_CUT_MAX, 2 * CAIRN_CUT_MAX + 1, CAIRN_CHUNK_BYTES + 1,
		9 * CAIRN_CUT_MAX + 4097};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t *bytes = malloc(10 * CAIRN_CUT_MAX);

	assert_non_null(bytes);
	for (size_t i = 0; i < CAIRN_COUNT(sizes); i++) {
		cairn_id id;

		support_fill(bytes, sizes[i], i);
		id = put_file(store, bytes, sizes[i]);
		expect_file(store, &id, bytes, sizes[i]);
		memset(bytes, (int)i, sizes[i]); /* cuts at the longest only */
		id = put_file(store, bytes, sizes[i]);
		expect_file(store, &id, bytes, sizes[i]);
	}
	free(bytes);
	cairn_store_close(store);
}

/* ---- sharing ----------------------------------------------------------------------------- */

enum {
	LINES = 160000,
	LINE = 419, /* with LINES of them 64 MiB */
	SET_BYTES = LINES * LINE,
};

/* A line of letters: JSONL to whoever does not look closely. */
static void fill_line(uint8_t *to, uint64_t number)
{
	support_fill(to, LINE, number);
	for (size_t i = 0; i < LINE; i++)
		to[i] = (uint8_t)('a' + to[i] % 26);
	to[LINE - 1] = '\n';
}

static uint64_t growth(cairn_store *store, const char *directory, const uint8_t *bytes, size_t len)
{
	uint64_t before = support_size(directory, "seg");
	cairn_id id = put_file(store, bytes, len);

	expect_file(store, &id, bytes, len);
	return support_size(directory, "seg") - before;
}

static void test_store_cuts__an_edit_of_a_data_set_stores_little_anew(void **state)
{
	const uint64_t little = SET_BYTES / 50; /* 2 % */
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t *bytes = malloc(SET_BYTES + 2 * LINE), *middle = bytes + LINES / 2 * LINE;
	uint64_t first;

	assert_non_null(bytes);
	for (size_t i = 0; i < LINES; i++)
		fill_line(bytes + i * LINE, i);
	first = growth(store, *state, bytes, SET_BYTES);
	assert_in_range(
		first, SET_BYTES, SET_BYTES + SET_BYTES / 33); /* headers and padding: 3 % */
	assert_int_equal(growth(store, *state, bytes, SET_BYTES), 0);

	fill_line(bytes + SET_BYTES,
		LINES); /* one at the end, where a short chunk may be in the index */
	assert_in_range(growth(store, *state, bytes, SET_BYTES + LINE), 0, little);
	memmove(middle + LINE, middle, SET_BYTES + LINE - (size_t)(middle - bytes));
	fill_line(middle, LINES + 1); /* one more in the middle */
	assert_in_range(growth(store, *state, bytes, SET_BYTES + 2 * LINE), 1, little);
	memmove(bytes + 3 * LINE, bytes + 5 * LINE, SET_BYTES - 3 * LINE);
	assert_in_range(growth(store, *state, bytes, SET_BYTES), 1, little); /* two less */
	middle[7] ^= 1;
	assert_in_range(growth(store, *state, bytes, SET_BYTES), 1, little);
	free(bytes);
	cairn_store_close(store);
}

/* ---- what others see of such an entry ------------------------------------------------------ */

typedef struct seen {
	uint64_t n, bytes, n_unknown;
} seen;

static int see(void *arg, const cairn_part *part, cairn_error *err)
{
	seen *s = arg;

	(void)err;
	assert_int_equal(part->problem, 0);
	if (part->table == CAIRN_TABLE_CHUNK ||
		(part->table == CAIRN_TABLE_BLOB && !part->is_node)) {
		s->n++;
		s->bytes += part->len;
		s->n_unknown += part->len == 0;
	}
	return 0;
}

static seen walk(cairn_store *store, const cairn_id *id)
{
	cairn_error err = {0};
	cairn_txn *txn;
	seen s = {0};

	OK(cairn_index__begin(&txn, store->index, false, &err));
	OK(cairn_walk(txn, id, see, &s, &err));
	cairn_index__abort(txn);
	return s;
}

/* Takes a chunk out of the index, as fsck does with one that it found damaged. */
static void drop_chunk(cairn_store *store, const void *bytes, size_t len)
{
	cairn_error err = {0};
	cairn_txn *txn;
	cairn_id id;

	cairn_sha256(bytes, len, id.bytes);
	OK(cairn_index__begin(&txn, store->index, true, &err));
	OK(cairn_index__delete(txn, CAIRN_TABLE_CHUNK, id.bytes, sizeof(id.bytes), &err));
	OK(cairn_index__commit(txn, &err));
}

/* 215511 is the length of the first chunk, from the oracle. */
static void test_store_cuts__a_walk_tells_every_chunk(void **state)
{
	size_t len = 3 * CAIRN_CUT_MAX + 5;
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t *bytes = support_bytes(len, 1);
	cairn_id id = put_file(store, bytes, len);
	seen s = walk(store, &id);

	assert_int_equal(s.n, 9);
	assert_int_equal(s.bytes, len);
	drop_chunk(store, bytes, 215511); /* then nobody knows how long it was */
	s = walk(store, &id);
	assert_int_equal(s.n, 9);
	assert_int_equal(s.n_unknown, 1);
	assert_int_equal(s.bytes, len - 215511);
	free(bytes);
	cairn_store_close(store);
}

/* A damaged chunk is reported by every read; once its index entry is gone, putting the same bytes
 * again writes them anew. */
static void test_store_cuts__a_dropped_chunk_is_healed_by_putting_it_again(void **state)
{
	size_t len = 3 * CAIRN_CUT_MAX + 5;
	cairn_error err = {0};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t *bytes = support_bytes(len, 1), byte;
	cairn_id id = put_file(store, bytes, len);
	cairn_object *object;
	cairn_tensor got;
	char path[600];
	int fd;

	snprintf(path, sizeof(path), "%s/seg/00000000.seg", (char *)*state);
	fd = open(path, O_RDWR);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &byte, 1, 2 * CAIRN_BLOCK_BYTES + 99), 1);
	byte ^= 4;
	assert_int_equal(pwrite(fd, &byte, 1, 2 * CAIRN_BLOCK_BYTES + 99), 1);
	close(fd);
	OK(cairn_object_open(&object, store, &id, &err));
	assert_int_equal(cairn_object_read(object, "f", &got, &err), CAIRN_EINTEGRITY);
	assert_non_null(strstr(err.detail, "chunk 1 of 9"));
	assert_int_equal(growth(store, *state, bytes, 0), 0);
	drop_chunk(store, bytes, 215511);
	cairn_error_clear(&err);
	assert_int_equal(cairn_object_read(object, "f", &got, &err), CAIRN_EINTEGRITY);
	assert_non_null(strstr(err.message, "lost a part"));
	cairn_object_close(object);
	assert_in_range(growth(store, *state, bytes, len), 215511, 2 * 215511);
	free(bytes);
	cairn_store_close(store);
}

/* ---- entries made by hand ------------------------------------------------------------------ */

/* Puts the chunks of an entry and its node, which may lie, and lists it in the artifact under way.
 */
static void put_by_hand(cairn_batch *batch, const uint8_t *bytes, const cairn_entry_node *entry,
	const size_t *lengths)
{
	cairn_error err = {0};
	cairn_id *ids = calloc(entry->n_chunks, sizeof(*ids)), node_id;
	cairn_draft *draft = &batch->draft;
	cairn_text node = {0};

	assert_non_null(ids);
	for (uint64_t i = 0; i < entry->n_chunks; i++) {
		cairn_sha256(bytes, lengths[i], ids[i].bytes);
		OK(cairn_batch__keep(batch, &ids[i], bytes, lengths[i], &err));
		bytes += lengths[i];
	}
	cairn_manifest__add_entry_head(&node, entry);
	OK(cairn_manifest__add_list(&node, ids, entry->n_chunks, NULL, NULL, &err));
	cairn_sha256(node.data, node.len, node_id.bytes);
	OK(cairn_batch__keep(batch, &node_id, node.data, node.len, &err));
	draft->entries = realloc(draft->entries, (draft->n_entries + 1) * sizeof(*draft->entries));
	assert_non_null(draft->entries);
	draft->cap_entries = draft->n_entries + 1;
	draft->entries[draft->n_entries].name = strdup(entry->name);
	draft->entries[draft->n_entries++].node = node_id;
	draft->bytes += entry->bytes;
	cairn_text_free(&node);
	free(ids);
}

/* Chunks that are as long as a cut can be, and together longer or shorter than the entry. */
static void test_store_cuts__chunks_that_do_not_add_up_are_refused(void **state)
{
	static const size_t lengths[][3] = {{200000, 200001, 99999}, {200000, 199999, 99999},
		{100000, 300000, 100000}, {200000, 200000, 100000}};
	cairn_store *store = support_open(*state, CAIRN_STORE_CREATE);
	uint8_t *bytes = support_bytes(600000, 4);
	cairn_error err = {0};

	for (size_t i = 0; i < CAIRN_COUNT(lengths); i++) {
		const cairn_entry_node entry = {.name = "f",
			.name_len = 1,
			.dtype = CAIRN_U8,
			.n_dims = 1,
			.dims = {500000},
			.bytes = 500000,
			.is_cut_by_content = true,
			.last_len = 100000,
			.n_chunks = 3};
		cairn_object *object;
		cairn_batch *batch;
		cairn_tensor got;
		cairn_id id;

		OK(cairn_batch_begin(&batch, store, &err));
		OK(cairn_batch_artifact_begin(batch, "file", &err));
		put_by_hand(batch, bytes, &entry, lengths[i]);
		OK(cairn_batch_artifact_end(batch, NULL, &id, &err));
		OK(cairn_batch_commit(batch, &err));
		OK(cairn_object_open(&object, store, &id, &err));
		if (i + 1 < CAIRN_COUNT(lengths)) {
			assert_int_equal(
				cairn_object_read(object, "f", &got, &err), CAIRN_EINTEGRITY);
			cairn_error_clear(&err);
		} else { /* where they do, the rule is not asked: every byte is verified */
			OK(cairn_object_read(object, "f", &got, &err));
			assert_memory_equal(got.data, bytes, 500000);
		}
		cairn_object_close(object);
	}
	free(bytes);
	cairn_store_close(store);
}

/* ---- format 1 ------------------------------------------------------------------------------ */

/* A store as version 1 left it: the golden artifact of its time, whose bytes are cut every 4 MiB.
 */
static cairn_id make_version_1(const char *directory, uint8_t *big, size_t n_big)
{
	static const float w[] = {0, 1, 2, 3, 4, 5};
	static const uint8_t bias = 0x2a;
	const cairn_tensor small[] = {{"w", CAIRN_F32, 2, {2, 3}, w, sizeof(w)},
		{"bias", CAIRN_U8, 0, {0}, &bias, 1}, {"empty", CAIRN_I64, 1, {0}, NULL, 0}};
	const cairn_entry_node entry = {.name = "big",
		.name_len = 3,
		.dtype = CAIRN_U8,
		.n_dims = 1,
		.dims = {n_big},
		.bytes = n_big,
		.n_chunks = 2};
	cairn_store *store = support_open(directory, CAIRN_STORE_CREATE);
	cairn_error err = {0};
	cairn_batch *batch;
	char path[600], *version;
	uint8_t *format;
	cairn_id id;
	size_t len;

	for (size_t i = 0; i < n_big; i++)
		big[i] = (uint8_t)((i * i + i) % 251);
	OK(cairn_batch_begin(&batch, store, &err));
	OK(cairn_batch_artifact_begin(batch, "model/lm", &err));
	put_by_hand(batch, big, &entry, (size_t[]){CAIRN_CHUNK_BYTES, n_big - CAIRN_CHUNK_BYTES});
	for (size_t i = 0; i < CAIRN_COUNT(small); i++)
		OK(cairn_batch_artifact_put(batch, &small[i], &err));
	OK(cairn_batch_artifact_end(batch, "{\"step\":3,\"a\":[1,2.5]}", &id, &err));
	OK(cairn_batch_commit(batch, &err));
	cairn_store_close(store);
	snprintf(path, sizeof(path), "%s/format", directory);
	format = support_read(path, &len);
	format[len - 1] = 0;
	version = strstr((char *)format, "version = 2");
	assert_non_null(version);
	version[10] = '1';
	format[len - 1] = '\n';
	support_write(path, format, len);
	free(format);
	return id;
}

static bool has_version(const char *directory, const char *line)
{
	char path[600];
	uint8_t *format;
	bool is_there;
	size_t len;

	snprintf(path, sizeof(path), "%s/format", directory);
	format = support_read(path, &len);
	format[len - 1] = 0;
	is_there = strstr((char *)format, line) != NULL;
	free(format);
	return is_there;
}

static void test_store_cuts__a_store_of_format_1_is_read_and_then_upgraded(void **state)
{
	size_t n_big = CAIRN_CHUNK_BYTES + 5;
	uint8_t *big = malloc(n_big);
	cairn_error err = {0};
	cairn_object *object;
	cairn_store *store;
	cairn_tensor got;
	cairn_id id, again;
	char text[CAIRN_ID_TEXT];

	assert_non_null(big);
	id = make_version_1(*state, big, n_big);
	cairn_id_format(&id, text); /* what version 1 answered for it */
	assert_string_equal(
		text + 7, "8b2c787afb2c27d5d9288b70d29a13487829145819ab84bab18ffe4bebed6f1a");
	for (int i = 0; i < 3; i++) { /* looked at; opened for writing; and looked at again */
		store = support_open(*state, i == 1 ? 0 : CAIRN_STORE_READONLY);
		assert_true(has_version(*state, i == 0 ? "\nversion = 1\n" : "\nversion = 2\n"));
		OK(cairn_object_open(&object, store, &id, &err));
		OK(cairn_object_read(object, "big", &got, &err));
		assert_memory_equal(got.data, big, n_big);
		cairn_object_close(object);
		assert_int_equal(walk(store, &id).bytes, n_big + 25);
		if (i == 1)
			again = put_file(store, big, n_big);
		else if (i == 2)
			expect_file(store, &again, big, n_big);
		cairn_store_close(store);
	}
	free(big);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, support_setup, support_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_store_cuts__lie_where_the_oracle_says),
		TEST(test_store_cuts__have_the_golden_ids),
		TEST(test_store_cuts__every_size_around_a_border_reads_back),
		TEST(test_store_cuts__an_edit_of_a_data_set_stores_little_anew),
		TEST(test_store_cuts__a_walk_tells_every_chunk),
		TEST(test_store_cuts__a_dropped_chunk_is_healed_by_putting_it_again),
		TEST(test_store_cuts__chunks_that_do_not_add_up_are_refused),
		TEST(test_store_cuts__a_store_of_format_1_is_read_and_then_upgraded),
	};

	return cmocka_run_group_tests_name("store/cuts", tests, NULL, NULL);
}
