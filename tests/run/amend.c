/* SPDX-License-Identifier: Apache-2.0 */
/* Two writers of one attempt record: neither takes away what the other wrote. */
#include "fixture.h"

#include "run/amend.h"

static json_t *parse(const char *text)
{
	json_t *json = json_loads(text, 0, NULL);

	assert_non_null(json);
	return json;
}

static void merges_to(const char *record, const char *fields, const char *expected)
{
	json_t *a = parse(record), *b = parse(fields), *c = parse(expected);

	cairn_amend_merge(a, b);
	if (!json_equal(a, c))
		fail_msg("%s", cairn_json_string(a, "state", "merged into something else"));
	json_decref(a);
	json_decref(b);
	json_decref(c);
}

static void test_run_amend__keeps_the_other_fields(void **state)
{
	(void)state;
	merges_to("{\"pid\":1,\"state\":\"running\"}", "{\"kept_flop\":3.0,\"step\":4}",
		"{\"pid\":1,\"state\":\"running\",\"kept_flop\":3.0,\"step\":4}");
}

static void test_run_amend__accounts_only_grow(void **state)
{
	(void)state;
	merges_to("{\"flop\":[1.0,9.0],\"kept_flop\":5.0,\"step\":7}",
		"{\"flop\":[2.0,3.0],\"kept_flop\":4.0,\"step\":6}",
		"{\"flop\":[2.0,9.0],\"kept_flop\":5.0,\"step\":7}");
}

static void test_run_amend__an_end_is_final(void **state)
{
	(void)state;
	merges_to("{\"state\":\"running\"}", "{\"state\":\"failed\",\"end_ms\":3}",
		"{\"state\":\"failed\",\"end_ms\":3}");
	merges_to("{\"state\":\"done\",\"end_ms\":3}",
		"{\"state\":\"killed\",\"end_ms\":4,\"signal\":9}",
		"{\"state\":\"done\",\"end_ms\":3,\"signal\":9}");
}

static void test_run_amend__in_the_store(void **state)
{
	fixture *f = *state;
	cairn_key key = {{1, 2, 3}};
	cairn_amends amends = {0};
	cairn_snapshot *snapshot;
	cairn_batch *batch;
	json_t *json;

	for (int i = 0; i < 2; i++) {
		assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
		assert_int_equal(
			cairn_amends_add(&amends, &key, 5,
				parse(i ? "{\"a\":1}" : "{\"b\":2,\"state\":\"running\"}"), NULL),
			0);
		cairn_amends_attach(&amends, batch);
		assert_int_equal(cairn_batch_commit(batch, NULL), 0);
		cairn_amends_clear(&amends);
	}
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_record_attempt(&json, snapshot, &key, 5, NULL), 0);
	cairn_snapshot_end(snapshot);
	assert_int_equal(cairn_json_integer(json, "a", 0), 1);
	assert_int_equal(cairn_json_integer(json, "b", 0), 2);
	json_decref(json);
}

int tests_main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_amend__keeps_the_other_fields),
		cmocka_unit_test(test_run_amend__accounts_only_grow),
		cmocka_unit_test(test_run_amend__an_end_is_final),
		FIXTURE_TEST(test_run_amend__in_the_store),
	};

	return cmocka_run_group_tests_name("run/amend", tests, NULL, NULL);
}
