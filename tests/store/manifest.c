/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of ids of any length, and nodes that are not in canonical form. */
#include "support.h"

#include <string.h>

#include "base/digest.h"
#include "store/bytes.h"
#include "store/internal.h"

/* Nodes in memory, found by the order in which they were put. */
typedef struct shelf {
	cairn_text nodes[1100];
	cairn_id ids[1100];
	size_t n, next;
} shelf;

static int put_node(void *arg, const void *bytes, size_t len, cairn_id *out, cairn_error *err)
{
	shelf *s = arg;

	(void)err;
	assert_true(s->n < CAIRN_COUNT(s->nodes));
	assert_true(len <= 64 << 10);
	cairn_text_add_bytes(&s->nodes[s->n], bytes, len);
	cairn_sha256(bytes, len, out->bytes);
	s->ids[s->n++] = *out;
	return 0;
}

static int get_node(
	void *arg, const cairn_id *id, const void **bytes, size_t *len, cairn_error *err)
{
	shelf *s = arg;

	for (size_t i = 0; i < s->n; i++) {
		if (cairn_id_compare(id, &s->ids[i]) == 0) {
			*bytes = s->nodes[i].data;
			*len = s->nodes[i].len;
			return 0;
		}
	}
	return cairn_error_set(err, CAIRN_EINTEGRITY, "no such node");
}

static void clear(shelf *s)
{
	for (size_t i = 0; i < s->n; i++)
		cairn_text_free(&s->nodes[i]);
	memset(s, 0, sizeof(*s));
}

static void test_store_manifest__lists_of_any_length_read_back(void **state)
{
	static const uint64_t counts[] = {
		0, 1, 1023, 1024, 1025, 2048, 2049, 1024 * 1024, 1024 * 1024 + 1};
	static const size_t nodes[] = {0, 0, 0, 0, 2, 2, 3, 1024, 1025 + 2};
	static shelf s;
	cairn_error err = {0};

	(void)state;
	for (size_t c = 0; c < CAIRN_COUNT(counts); c++) {
		uint64_t n = counts[c];
		cairn_id *ids = calloc(n + 1, sizeof(*ids)), *back;
		cairn_text list = {0};

		assert_non_null(ids);
		support_fill(ids, n * sizeof(*ids), c);
		OK(cairn_manifest__add_list(&list, ids, n, put_node, &s, &err));
		assert_int_equal(s.n, nodes[c]);
		OK(cairn_manifest__read_list(&back, list.data, list.len, n, get_node, &s, &err));
		assert_memory_equal(back, ids, n * sizeof(*ids));
		free(back);
		/* Another count than the one that was written is refused. */
		assert_int_equal(cairn_manifest__read_list(
					 &back, list.data, list.len, n + 1, get_node, &s, NULL),
			CAIRN_EINTEGRITY);
		cairn_text_free(&list);
		clear(&s);
		free(ids);
	}
}

static void make_entry(cairn_text *node)
{
	static const cairn_id ids[2] = {{{1}}, {{2}}};
	cairn_entry_node entry = {.name = "weight",
		.name_len = 6,
		.dtype = CAIRN_F32,
		.n_dims = 2,
		.dims = {1024, 2048},
		.bytes = 8 << 20};
	cairn_error err = {0};

	cairn_manifest__add_entry_head(node, &entry);
	OK(cairn_manifest__add_list(node, ids, 2, put_node, NULL, &err));
}

static void make_manifest(cairn_text *node)
{
	static const cairn_id ids[3] = {{{1}}, {{2}}, {{3}}};
	cairn_manifest head = {
		.kind = "model/lm", .kind_len = 8, .n_entries = 3, .bytes = 99, .meta_len = 2};
	cairn_error err = {0};

	cairn_manifest__add_head(node, &head);
	cairn_text_add(node, "{}");
	OK(cairn_manifest__add_list(node, ids, 3, put_node, NULL, &err));
}

/* Reads a node as its readers do, list included. */
static int read_entry(const void *bytes, size_t len)
{
	cairn_entry_node entry;
	cairn_id *ids = NULL;
	int rc = cairn_manifest__read_entry(&entry, bytes, len, NULL);

	if (!rc)
		rc = cairn_manifest__read_list(&ids, entry.list, entry.list_len,
			cairn_manifest__chunks(entry.bytes), NULL, NULL, NULL);
	free(ids);
	return rc;
}

static int read_manifest(const void *bytes, size_t len)
{
	cairn_manifest manifest;
	cairn_id *ids = NULL;
	int rc = cairn_manifest__read(&manifest, bytes, len, NULL);

	if (!rc)
		rc = cairn_manifest__read_list(&ids, manifest.list, manifest.list_len,
			manifest.n_entries, NULL, NULL, NULL);
	free(ids);
	return rc;
}

static void test_store_manifest__refuses_cut_and_longer_nodes(void **state)
{
	cairn_text entry = {0}, manifest = {0};

	(void)state;
	make_entry(&entry);
	make_manifest(&manifest);
	assert_int_equal(read_entry(entry.data, entry.len), 0);
	assert_int_equal(read_manifest(manifest.data, manifest.len), 0);
	for (size_t len = 0; len < entry.len; len++) {
		uint8_t *cut = malloc(len ? len : 1); /* of this size, for the sanitizer */

		assert_non_null(cut);
		memcpy(cut, entry.data, len);
		assert_int_equal(read_entry(cut, len), CAIRN_EINTEGRITY);
		free(cut);
	}
	for (size_t len = 0; len < manifest.len; len++) {
		uint8_t *cut = malloc(len ? len : 1);

		assert_non_null(cut);
		memcpy(cut, manifest.data, len);
		assert_int_equal(read_manifest(cut, len), CAIRN_EINTEGRITY);
		free(cut);
	}
	cairn_text_add_char(&entry, 0);
	cairn_text_add_char(&manifest, 0);
	assert_int_equal(read_entry(entry.data, entry.len), CAIRN_EINTEGRITY);
	assert_int_equal(read_manifest(manifest.data, manifest.len), CAIRN_EINTEGRITY);
	cairn_text_free(&entry);
	cairn_text_free(&manifest);
}

/* Any byte of the fixed fields: each wrong value is met by a check. Names, ids, sums and shapes
 * with the same product are content, which only the digest guards. */
static void test_store_manifest__refuses_other_forms(void **state)
{
	static const size_t fixed[] = {0, 7, 8, 9, 10, 11, 12, 16, 40, 41};
	cairn_text entry = {0};

	(void)state;
	make_entry(&entry);
	for (size_t i = 0; i < CAIRN_COUNT(fixed); i++) {
		entry.data[fixed[i]] ^= 0x40;
		assert_int_equal(read_entry(entry.data, entry.len), CAIRN_EINTEGRITY);
		entry.data[fixed[i]] ^= 0x40;
	}
	assert_int_equal(read_entry(entry.data, entry.len), 0);
	cairn_text_free(&entry);
}

static int read_cut(const cairn_entry_node *head)
{
	static const cairn_id ids[8] = {{{1}}, {{2}}, {{3}}};
	cairn_text node = {0};
	cairn_error err = {0};
	cairn_entry_node entry;
	int rc;

	cairn_manifest__add_entry_head(&node, head);
	OK(cairn_manifest__add_list(&node, ids, 3, put_node, NULL, &err));
	rc = cairn_manifest__read_entry(&entry, node.data, node.len, NULL);
	if (!rc) {
		assert_true(entry.is_cut_by_content);
		assert_int_equal(entry.n_chunks, head->n_chunks);
		assert_int_equal(entry.last_len, head->last_len);
	}
	for (size_t len = 0; len < node.len && !rc; len++) { /* and any shorter one is refused */
		cairn_id *back = NULL;
		int cut = cairn_manifest__read_entry(&entry, node.data, len, NULL);

		if (!cut)
			cut = cairn_manifest__read_list(&back, entry.list, entry.list_len,
				entry.n_chunks, NULL, NULL, NULL);
		assert_int_equal(cut, CAIRN_EINTEGRITY);
	}
	cairn_text_free(&node);
	return rc;
}

/* Numbers that no cuts could have given, in a node that is right otherwise. */
static void test_store_manifest__refuses_impossible_cuts(void **state)
{
	static const struct {
		uint32_t dtype, n_dims;
		uint64_t bytes, n_chunks;
		uint32_t last_len;
		int code;
	} cases[] = {
		{CAIRN_U8, 1, 500000, 3, 100000, 0},
		{CAIRN_U8, 1, 2 * CAIRN_CUT_MIN + 1, 3, 1, 0},
		{CAIRN_U8, 1, 3 * CAIRN_CUT_MAX, 3, CAIRN_CUT_MAX, 0},
		{CAIRN_U8, 1, 200000, 1, 200000, 0},
		{CAIRN_U8, 1, 500000, 3, 0, CAIRN_EINTEGRITY},
		{CAIRN_U8, 1, 500000, 0, 100000, CAIRN_EINTEGRITY},
		{CAIRN_U8, 1, 500000, 1, 100000, CAIRN_EINTEGRITY},
		{CAIRN_U8, 1, 500000, 3, 500001, CAIRN_EINTEGRITY},
		{CAIRN_U8, 1, 2 * CAIRN_CUT_MIN, 3, 1, CAIRN_EINTEGRITY},
		{CAIRN_U8, 1, 3 * CAIRN_CUT_MAX + 1, 3, CAIRN_CUT_MAX, CAIRN_EINTEGRITY},
		{CAIRN_U8, 1, 3 * CAIRN_CUT_MAX, 3, CAIRN_CUT_MAX + 1, CAIRN_EINTEGRITY},
		{CAIRN_U8, 1, 500000, UINT64_MAX, 100000, CAIRN_EINTEGRITY},
		{CAIRN_U8, 1, CAIRN_CUT_MIN, 1, CAIRN_CUT_MIN, CAIRN_EINTEGRITY},
		{CAIRN_U8, 2, 500000, 3, 100000, CAIRN_EINTEGRITY},
		{CAIRN_F32, 1, 500000, 3, 100000, CAIRN_EINTEGRITY},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		const cairn_entry_node head = {.name = "f",
			.name_len = 1,
			.dtype = cases[i].dtype,
			.n_dims = cases[i].n_dims,
			.dims = {cases[i].bytes / (cases[i].dtype == CAIRN_F32 ? 4 : 1), 1},
			.bytes = cases[i].bytes,
			.is_cut_by_content = true,
			.last_len = cases[i].last_len,
			.n_chunks = cases[i].n_chunks};

		assert_int_equal(read_cut(&head), cases[i].code);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_store_manifest__lists_of_any_length_read_back),
		cmocka_unit_test(test_store_manifest__refuses_cut_and_longer_nodes),
		cmocka_unit_test(test_store_manifest__refuses_other_forms),
		cmocka_unit_test(test_store_manifest__refuses_impossible_cuts),
	};

	return cmocka_run_group_tests_name("store/manifest", tests, NULL, NULL);
}
