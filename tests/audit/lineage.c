/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lineage.c - tests of the walk over this graph (artifacts are numbers, stages are capitals):
 *
 *   1 -> P -> 2 -> S -> 3 -> R(also 4) -> 5
 *                        \-> O(also 5) -> 6
 *   twin stage S2 makes 3 again from 7
 */
#include "audit/lineage.h"

#include <string.h>

#include "fixture.h"

static void make_graph(fixture *f)
{
	fixture_result(f, "P", "pretrain", 'P', "\x01", "\x02");
	fixture_result(f, "S", "sft", 'S', "\x02", "\x03");
	fixture_result(f, "R", "rm", 'R', "\x03\x04", "\x05");
	fixture_result(f, "O", "ppo", 'O', "\x03\x05", "\x06");
	fixture_result(f, "S2", "sft", 'T', "\x07", "\x03");
}

/* "6 O 3 5 ...": the nodes in order. */
static void names_of(const cairn_lineage *l, char *out)
{
	for (size_t i = 0; i < l->n_nodes; i++) {
		uint8_t byte = l->nodes[i].bytes[0];
		*out++ = l->nodes[i].is_stage ? (char)byte : (char)('0' + byte);
	}
	*out = '\0';
}

static void walk(fixture *f, cairn_lineage *out, uint8_t start,
	enum cairn_lineage_direction direction, uint32_t depth)
{
	cairn_snapshot *snapshot;
	cairn_id id = fixture_id(start);

	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_lineage_walk(out, snapshot, &id, direction, depth, NULL), 0);
	cairn_snapshot_end(snapshot);
}

static void test_audit_lineage__up_reaches_every_source_once(void **state)
{
	fixture *f = *state;
	cairn_lineage l;
	char names[32];

	make_graph(f);
	walk(f, &l, 6, CAIRN_LINEAGE_UP, 0);
	names_of(&l, names);
	/* Breadth first; of several producers the smaller key first. */
	assert_string_equal(names, "6O35STR274P1");
	/* 3 is an input of both O and R: two edges, one node. */
	assert_int_equal(l.n_edges, 12);
	assert_false(l.is_truncated);
	cairn_lineage_free(&l);
}

static void test_audit_lineage__down_reaches_every_user(void **state)
{
	fixture *f = *state;
	cairn_lineage l;
	char names[32];

	make_graph(f);
	walk(f, &l, 2, CAIRN_LINEAGE_DOWN, 0);
	names_of(&l, names);
	assert_string_equal(names, "2S3OR65");
	cairn_lineage_free(&l);
}

static void test_audit_lineage__depth_cuts_and_says_so(void **state)
{
	fixture *f = *state;
	cairn_lineage l;
	char names[32];

	make_graph(f);
	walk(f, &l, 6, CAIRN_LINEAGE_UP, 2);
	names_of(&l, names);
	assert_string_equal(names, "6O35");
	assert_true(l.is_truncated);
	cairn_lineage_free(&l);
}

static void test_audit_lineage__unknown_start_is_a_graph_of_one(void **state)
{
	fixture *f = *state;
	cairn_lineage l;

	walk(f, &l, 9, CAIRN_LINEAGE_UP, 0);
	assert_int_equal(l.n_nodes, 1);
	assert_int_equal(l.n_edges, 0);
	cairn_lineage_free(&l);
}

static void test_audit_lineage__ends_where_a_stage_returns_its_input(void **state)
{
	fixture *f = *state;
	cairn_lineage l;
	char names[32];

	fixture_result(f, "identity", "filter", 'I', "\x01", "\x01");
	walk(f, &l, 1, CAIRN_LINEAGE_UP, 0);
	names_of(&l, names);
	assert_string_equal(names, "1I");
	assert_int_equal(l.n_edges, 2);
	cairn_lineage_free(&l);
}

static void test_audit_lineage__finds_its_nodes_among_thousands(void **state)
{
	fixture *f = *state;
	enum {
		N = 600
	};
	cairn_lineage l;
	cairn_id previous = {{0}};
	cairn_snapshot *snapshot;
	cairn_batch *batch;

	/* A chain with ids that differ in the last bytes only: the hash must not care. */
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	for (uint32_t i = 0; i < N; i++) {
		char in[CAIRN_ID_TEXT], out[CAIRN_ID_TEXT];
		cairn_id next = {{0}};
		cairn_key key = {{1}};
		json_t *result;
		memcpy(next.bytes + 28, &(uint32_t){i + 1}, 4);
		memcpy(key.bytes + 28, &i, 4);
		cairn_id_format(&previous, in);
		cairn_id_format(&next, out);
		result = json_pack("{s:{s:[{s:s}]}, s:{s:{s:s}}}", "inputs", "in", "id", in,
			"outputs", "out", "id", out);
		assert_int_equal(cairn_record_put_result(batch, &key, result, NULL), 0);
		json_decref(result);
		previous = next;
	}
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_lineage_walk(&l, snapshot, &previous, CAIRN_LINEAGE_UP, 0, NULL), 0);
	cairn_snapshot_end(snapshot);
	assert_int_equal(l.n_nodes, 2 * N + 1);
	assert_int_equal(l.n_edges, 2 * N);
	assert_int_equal(l.nodes[2 * N].depth, 2 * N);
	cairn_lineage_free(&l);
}

static void test_audit_lineage__json_names_ports_and_kinds(void **state)
{
	fixture *f = *state;
	cairn_lineage l;
	json_t *json, *edge, *node;

	make_graph(f);
	walk(f, &l, 5, CAIRN_LINEAGE_UP, 0);
	json = cairn_lineage_to_json(&l, NULL);
	node = json_array_get(json_object_get(json, "nodes"), 0);
	assert_string_equal(cairn_json_string(node, "kind", ""), "model/lm");
	assert_int_equal(cairn_json_integer(node, "bytes", 0), 500);
	node = json_array_get(json_object_get(json, "nodes"), 1);
	assert_string_equal(cairn_json_string(node, "instance", ""), "R");
	edge = json_array_get(json_object_get(json, "edges"), 0);
	assert_string_equal(cairn_json_string(edge, "port", ""), "out0");
	assert_int_equal(strncmp(cairn_json_string(edge, "from", ""), "525252", 6), 0);
	assert_int_equal(strncmp(cairn_json_string(edge, "to", ""), "sha256:0505", 11), 0);
	json_decref(json);
	cairn_lineage_free(&l);
}

/* The nearest nodes, and how many were left out where. */
static void test_audit_lineage__limits_count_what_they_leave_out(void **state)
{
	cairn_lineage_options options = {.direction = CAIRN_LINEAGE_DOWN, .max_nodes = 4};
	cairn_lineage_start start = {.is_stage = false, .bytes = {0}};
	fixture *f = *state;
	cairn_snapshot *snapshot;
	cairn_lineage l;
	char names[32];

	make_graph(f);
	memset(start.bytes, 3, sizeof(start.bytes));
	fixture_result(f, "E", "eval", 'E', "\x03", "\x08");
	fixture_result(f, "F", "eval", 'F', "\x03", "\x09");
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_lineage_explore(&l, snapshot, &start, 1, &options, NULL), 0);
	names_of(&l, names);
	assert_string_equal(names, "3EFO");
	assert_int_equal(l.nodes[0].n_edges, 3);
	assert_int_equal(l.nodes[0].n_more, 1);
	assert_true(l.is_truncated);
	cairn_lineage_free(&l);

	options = (cairn_lineage_options){.direction = CAIRN_LINEAGE_DOWN, .max_fan = 1};
	assert_int_equal(cairn_lineage_explore(&l, snapshot, &start, 1, &options, NULL), 0);
	names_of(&l, names);
	assert_string_equal(names, "3E8");
	assert_int_equal(l.nodes[0].n_more, 3);
	cairn_lineage_free(&l);
	cairn_snapshot_end(snapshot);
}

static void test_audit_lineage__from_several_starts(void **state)
{
	const cairn_lineage_options options = {.direction = CAIRN_LINEAGE_DOWN};
	cairn_lineage_start starts[2] = {{.is_stage = true}, {.is_stage = false}};
	fixture *f = *state;
	cairn_snapshot *snapshot;
	cairn_lineage l;
	char names[32];

	make_graph(f);
	memset(starts[0].bytes, 'S', sizeof(starts[0].bytes));
	memset(starts[1].bytes, 3, sizeof(starts[1].bytes));
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_lineage_explore(&l, snapshot, starts, 2, &options, NULL), 0);
	names_of(&l, names);
	assert_string_equal(names, "S3OR65");
	assert_int_equal(l.n_starts, 2);
	cairn_lineage_free(&l);
	cairn_snapshot_end(snapshot);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_STORE(test_audit_lineage__up_reaches_every_source_once),
		WITH_STORE(test_audit_lineage__limits_count_what_they_leave_out),
		WITH_STORE(test_audit_lineage__from_several_starts),
		WITH_STORE(test_audit_lineage__down_reaches_every_user),
		WITH_STORE(test_audit_lineage__depth_cuts_and_says_so),
		WITH_STORE(test_audit_lineage__unknown_start_is_a_graph_of_one),
		WITH_STORE(test_audit_lineage__ends_where_a_stage_returns_its_input),
		WITH_STORE(test_audit_lineage__finds_its_nodes_among_thousands),
		WITH_STORE(test_audit_lineage__json_names_ports_and_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
