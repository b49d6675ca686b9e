/* SPDX-License-Identifier: Apache-2.0 */
/* difference.c - tests of what is said about two artifacts that are not the same. */
#include "audit/difference.h"

#include <string.h>

#include "fixture.h"

static cairn_id put(
	fixture *f, const char *kind, const char *const *names, const char *const *texts)
{
	cairn_batch *batch;
	cairn_id id;

	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_batch_artifact_begin(batch, kind, NULL), 0);
	for (size_t i = 0; names[i]; i++) {
		cairn_tensor entry = {.name = names[i],
			.dtype = CAIRN_U8,
			.n_dims = 1,
			.dims = {strlen(texts[i])},
			.data = texts[i],
			.bytes = strlen(texts[i])};
		assert_int_equal(cairn_batch_artifact_put(batch, &entry, NULL), 0);
	}
	assert_int_equal(cairn_batch_artifact_end(batch, NULL, &id, NULL), 0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	return id;
}

static cairn_id put_rows(fixture *f, const char *rows)
{
	return put(
		f, "dataset/ranking", (const char *[]){"rows.jsonl", NULL}, (const char *[]){rows});
}

/* What a person is told of two ids. */
static void assert_says(fixture *f, const cairn_id *a, const cairn_id *b, const char *expected)
{
	cairn_text text = {0};
	json_t *json;

	assert_int_equal(cairn_difference(&json, f->store, a, b, NULL), 0);
	cairn_difference_text(&text, json);
	assert_string_equal(cairn_text_get(&text), expected);
	cairn_text_free(&text);
	json_decref(json);
}

static void assert_rows(fixture *f, const char *before, const char *after, const char *expected)
{
	cairn_id a = put_rows(f, before), b = put_rows(f, after);

	assert_says(f, &a, &b, expected);
}

static void test_audit_difference__rows_are_a_multiset(void **state)
{
	fixture *f = *state;

	assert_rows(f, "{\"a\":1}\n", "{\"a\":1}\n{\"a\":2}\n", "+1 row");
	assert_rows(f, "{\"a\":1}\n{\"a\":2}\n", "{\"a\":2}\n", "-1 row");
	assert_rows(f, "{\"a\":1}\n{\"a\":2}\n", "{\"a\":2}\n{\"a\":1}\n",
		"the same rows in another order");
	assert_rows(f, "{\"a\":1}\n{\"a\":1}\n", "{\"a\":1}\n", "-1 row");
	assert_rows(f, "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n", "{\"a\":1}\n{\"a\":1}\n{\"a\":3}\n",
		"+1 row, -1 row");
	assert_rows(f, "", "{\"a\":1}\n{\"a\":2}", "+2 rows");
	/* The end of the last line is no part of it. */
	assert_rows(f, "{\"a\":1}\n{\"b\":1}", "{\"a\":1}\n{\"b\":1}\n{\"c\":1}\n", "+1 row");
}

static void test_audit_difference__who_is_in_the_rows(void **state)
{
	fixture *f = *state;

	assert_rows(f, "{\"a\":1}\n",
		"{\"a\":1}\n{\"group\":\"brief\",\"labeler\":\"bob\"}\n"
		"{\"group\":\"brief\",\"labeler\":\"ann\"}\n",
		"+2 rows, group brief, labelers ann, bob");
	assert_rows(f, "{\"labeler\":\"a\"}\n{\"labeler\":\"b\"}\n{\"labeler\":\"c\"}\n",
		"{\"labeler\":\"d\"}\n", "+1 row, -3 rows, 4 labelers");
}

static void test_audit_difference__rows_of_one_id_are_one_row(void **state)
{
	fixture *f = *state;

	assert_rows(f, "{\"id\":1,\"t\":\"x\"}\n{\"id\":2,\"t\":\"y\"}\n",
		"{\"id\":1,\"t\":\"x\"}\n{\"id\":2,\"t\":\"z\",\"u\":1}\n{\"id\":3,\"t\":\"n\"}\n",
		"+1 row, 1 row changed in t, u");
}

static void test_audit_difference__large_sets_keep_count(void **state)
{
	enum {
		N = 20000
	};
	char *before = calloc(N, 16), *after = calloc(N, 16), *b = before, *a = after;
	fixture *f = *state;

	/* Of every third row the order is turned, every hundredth is new. */
	for (int i = 0; i < N; i++) {
		b += sprintf(b, "{\"n\":%d}\n", i);
		a += sprintf(a, "{\"n\":%d}\n",
			i % 100 == 7                         ? -i
			: i % 3 == 0 && (N - 1 - i) % 3 == 0 ? N - 1 - i
							     : i);
	}
	assert_rows(f, before, after, "+200 rows, -200 rows");
	free(before);
	free(after);
}

static void test_audit_difference__entries_of_a_model(void **state)
{
	const char *const names[] = {"a.weight", "b.weight", "c.weight", NULL};
	const char *const more[] = {"a.weight", "b.weight", "d.weight", "e.weight", NULL};
	fixture *f = *state;
	cairn_id a = put(f, "model/lm", names, (const char *[]){"xx", "yy", "zz"});
	cairn_id b = put(f, "model/lm", names, (const char *[]){"xx", "yz", "zz"});
	cairn_id c = put(f, "model/lm", more, (const char *[]){"xx", "yz", "zz", "ee"});

	assert_says(f, &a, &b, "b.weight changed, 6 -> 6 bytes");
	assert_says(f, &a, &c,
		"+2 entries, -1 entry, 1 entries changed (b.weight, c.weight, d.weight, ...), "
		"6 -> 8 bytes");
}

static void test_audit_difference__files_are_lines_or_bytes(void **state)
{
	const char *const data[] = {"data", NULL};
	fixture *f = *state;
	cairn_id a = put(f, "file", data, (const char *[]){"one\ntwo\n"});
	cairn_id b = put(f, "file", data, (const char *[]){"one\ntwo\nthree\n"});

	assert_says(f, &a, &b, "+1 row");
}

static void test_audit_difference__says_what_is_gone(void **state)
{
	fixture *f = *state;
	cairn_id is = put_rows(f, "{}\n"), gone = fixture_id(9);

	assert_says(f, &gone, &is, "the earlier one is no longer in the store");
	assert_says(f, &is, &gone, "the later one is no longer in the store");
}

static void test_audit_difference__document(void **state)
{
	fixture *f = *state;
	cairn_id a = put_rows(f, "{\"group\":\"x\"}\n"), b = put_rows(f, "{\"group\":\"y\"}\n");
	json_t *json, *rows;

	assert_int_equal(cairn_difference(&json, f->store, &a, &b, NULL), 0);
	rows = json_object_get(json, "rows");
	assert_int_equal(cairn_json_integer(rows, "before", 0), 1);
	assert_int_equal(cairn_json_integer(rows, "added", 0), 1);
	assert_int_equal(json_array_size(json_object_get(rows, "group")), 2);
	assert_string_equal(cairn_json_string(json, "kind", ""), "dataset/ranking");
	json_decref(json);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_audit_difference__rows_are_a_multiset),
		WITH_STORE(test_audit_difference__who_is_in_the_rows),
		WITH_STORE(test_audit_difference__rows_of_one_id_are_one_row),
		WITH_STORE(test_audit_difference__large_sets_keep_count),
		WITH_STORE(test_audit_difference__entries_of_a_model),
		WITH_STORE(test_audit_difference__files_are_lines_or_bytes),
		WITH_STORE(test_audit_difference__says_what_is_gone),
		WITH_STORE(test_audit_difference__document),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
