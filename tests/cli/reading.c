/* SPDX-License-Identifier: Apache-2.0 */
/* reading.c - tests of the verbs that read: each document is valid and says what happened. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drive.h"

static const char fan[] = "[workflow]\nname = w\n[params]\nsteps = 20\n"
			  "[axis group]\nvalues = x, y\n"
			  "[stage a]\nplugin = counter\ninput.in = file:data.txt\n"
			  "[stage b]\nplugin = counter\nforeach = group\ninput.in = a:out\n"
			  "text = ${group}\nsteps = ${steps}\n";

static int setup_run(void **state)
{
	int rc = drive_setup(state);

	if (rc == 0) {
		drive_write("data.txt", "some data\n");
		drive_write("w.ini", fan);
		cairn_is(0, "run -q");
	}
	return rc;
}

static json_t *stage_of(const json_t *json, const char *instance)
{
	json_t *stage;
	size_t i;

	json_array_foreach(json_object_get(json, "stages"), i, stage)
	{
		if (strcmp(cairn_json_string(stage, "instance", ""), instance) == 0)
			return stage;
	}
	fail_msg("no stage '%s'", instance);
	return NULL;
}

static void test_cli_status__names_every_output(void **state)
{
	json_t *json = cairn_json("status", "cairn.status/1"), *stage = stage_of(json, "b@x");
	const char *id = cairn_json_string(json_object_get(stage, "outputs"), "out", "");

	(void)state;
	assert_string_equal(cairn_json_string(json, "workflow", ""), "w");
	assert_string_equal(cairn_json_string(json, "state", ""), "done");
	assert_string_equal(cairn_json_string(stage, "state", ""), "done");
	assert_int_equal(strncmp(id, "sha256:", 7), 0);
	assert_int_equal(strlen(id), 71);
	assert_has(cairn_is(0, "status")->out, "b@x");
	json_decref(json);
}

static void test_cli_status__of_a_run_by_its_name(void **state)
{
	json_t *json = cairn_json("log", "cairn.log/1"), *status;
	json_t *run = json_array_get(json_object_get(json, "runs"), 0);
	char line[64];

	(void)state;
	assert_int_equal(json_array_size(json_object_get(json, "runs")), 1);
	snprintf(line, sizeof(line), "status %.10s", cairn_json_string(run, "run", ""));
	status = cairn_json(line, "cairn.status/1");
	assert_string_equal(
		cairn_json_string(status, "run", "a"), cairn_json_string(run, "run", "b"));
	json_decref(status);
	cairn_is(0, "status w");
	assert_has(cairn_is(3, "status nothing")->err, "no run is called 'nothing'");
	json_decref(json);
}

static void test_cli_log__of_a_stage(void **state)
{
	json_t *json;

	(void)state;
	cairn_is(0, "log a");
	cairn_is(0, "log w b@x");
	assert_has(cairn_is(3, "log c")->err, "the run has no stage 'c'");
	assert_has(cairn_is(3, "log a --attempt 7")->err, "no attempt 7");
	json = cairn_json("log a", "cairn.attempt/1");
	assert_string_equal(cairn_json_string(json, "state", ""), "done");
	json_decref(json);
}

static void test_cli_log__metric_rows(void **state)
{
	json_t *json = cairn_json("log a --metrics", "cairn.metrics/1");
	json_t *rows = json_object_get(json, "rows");

	(void)state;
	assert_int_equal(json_array_size(rows), 20);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(
			cairn_json_integer(json_array_get(rows, i), "step", 0), (int64_t)i + 1);
	assert_has(cairn_is(0, "log a --metrics")->out, "\"step\":20");
	json_decref(json);
}

static void test_cli_explain__up_to_date_and_changed(void **state)
{
	json_t *json = cairn_json("explain b@x", "cairn.explain/1"), *change;

	(void)state;
	assert_true(json_is_true(json_object_get(json, "up_to_date")));
	assert_int_equal(json_array_size(json_object_get(json, "changes")), 0);
	json_decref(json);
	assert_has(cairn_is(0, "explain b@x --exit-code")->out, "b@x is up to date");
	json = cairn_json("explain b@x -p steps=30", "cairn.explain/1");
	assert_true(json_is_false(json_object_get(json, "up_to_date")));
	assert_int_equal(json_array_size(json_object_get(json, "changes")), 1);
	change = json_array_get(json_object_get(json, "changes"), 0);
	assert_string_equal(cairn_json_string(change, "name", ""), "param.steps");
	assert_string_equal(cairn_json_string(change, "before", ""), "20");
	assert_string_equal(cairn_json_string(change, "after", ""), "30");
	json_decref(json);
	assert_has(cairn_is(1, "explain b@x -p steps=30 --exit-code")->out,
		"  param.steps  20 -> 30\n");
	assert_has(cairn_is(3, "explain b@z")->err, "b@z");
}

static void test_cli_explain__waits_for_what_changed_above(void **state)
{
	json_t *json;

	(void)state;
	drive_write("data.txt", "other data\n");
	assert_has(cairn_is(0, "explain a")->out, "input.in  ");
	json = cairn_json("explain b@x", "cairn.explain/1");
	assert_true(json_is_null(json_object_get(json, "key")));
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(json, "waits_for"), 0)), "a:out");
	json_decref(json);
}

static void test_cli_graph__clusters_and_states(void **state)
{
	const char *dot = cairn_is(0, "graph")->out;
	json_t *json;

	(void)state;
	assert_has(dot, "digraph \"w\" {");
	assert_has(dot, "label=\"group = x\"");
	assert_has(dot, "label=\"group = y\"");
	assert_has(dot, "[label=\"file:data.txt\", shape=note]");
	assert_has(dot, "fillcolor=\"#c8e6c9\"");
	json = cairn_json("graph", "cairn.graph/1");
	assert_int_equal(json_array_size(json_object_get(json, "nodes")), 3);
	assert_int_equal(json_array_size(json_object_get(json, "edges")), 3);
	json_decref(json);
}

static void test_cli_graph__needs_no_store(void **state)
{
	(void)state;
	assert_has(cairn_is(0, "graph --store nowhere")->out, "fillcolor=\"#ffffff\"");
}

static void test_cli_lineage__up_and_down(void **state)
{
	json_t *json = cairn_json("lineage up b@x:out", "cairn.lineage/1"), *node;

	(void)state;
	/* b@x's output, b@x, a's output, a, the file. */
	assert_int_equal(json_array_size(json_object_get(json, "nodes")), 5);
	assert_int_equal(json_array_size(json_object_get(json, "edges")), 4);
	node = json_array_get(json_object_get(json, "nodes"), 4);
	assert_string_equal(cairn_json_string(node, "source", ""), "file:data.txt");
	json_decref(json);
	assert_has(cairn_is(0, "lineage up w/b@x:out")->out, "file:data.txt");
	assert_has(cairn_is(0, "lineage down a:out")->out, "read by b@y");
	assert_has(cairn_is(0, "lineage up b@x:out --depth 1")->out, "(cut: there is more)");
	assert_has(cairn_is(3, "lineage up nothing:here")->err, "no artifact is called");
	assert_has(cairn_is(3, "lineage up ffffffff")->err, "ffffffff");
}

/* The code is that of the git repository around the workflow. */
static void test_cli_lineage__down_from_a_commit(void **state)
{
	json_t *json, *run;
	char line[96];

	(void)state;
	if (system("git init -q . && git add w.ini data.txt && git -c user.name=a -c user.email=a@b "
		   "commit -qm a") != 0)
		skip();
	cairn_is(0, "run -q -p steps=30");
	json = cairn_json("log", "cairn.log/1");
	run = json_array_get(json_object_get(json, "runs"), 0);
	snprintf(line, sizeof(line), "lineage down commit:%.10s",
		cairn_json_string(json_object_get(run, "provenance"), "head", "-"));
	json_decref(json);
	/* a was computed before. */
	assert_has(cairn_is(0, line)->out, "computed b@x");
	assert_has(cairn_is(0, line)->out, "computed b@y");
	assert_has_not(cairn_is(0, line)->out, "computed a");
	json = cairn_json(line, "cairn.lineage/1");
	assert_int_equal(json_array_size(json_object_get(json, "nodes")), 6);
	json_decref(json);
	assert_has(cairn_is(3, "lineage down commit:0123abc")->err, "no run was of a commit");
	assert_has(cairn_is(2, "lineage down commit:x")->err, "is no commit");
	assert_has(cairn_is(2, "lineage up commit:0123abc")->err, "ask for `down`");
}

static void test_cli_cost__run_and_artifact(void **state)
{
	json_t *json = cairn_json("cost", "cairn.cost/1");

	(void)state;
	assert_int_equal(json_array_size(json_object_get(json, "stages")), 3);
	assert_int_equal(json_array_size(json_object_get(json, "groups")), 3);
	assert_int_equal(cairn_json_integer(stage_of(json, "a"), "attempts", 0), 1);
	json_decref(json);
	json = cairn_json("cost b@x:out", "cairn.cost/1");
	assert_int_equal(json_array_size(json_object_get(json, "stages")), 2);
	json_decref(json);
	assert_has(cairn_is(0, "cost --by group")->out, "group = x");
	assert_has(cairn_is(0, "cost --by account")->out, "ACCOUNT");
	assert_has(cairn_is(0, "cost")->out, "petaflop/s-days");
	assert_has(cairn_is(3, "cost nothing")->err, "neither a run nor an artifact");
}

static void test_cli_ls__names_and_entries(void **state)
{
	json_t *json = cairn_json("ls a:out", "cairn.ls/1");

	(void)state;
	assert_string_equal(cairn_json_string(json, "kind", ""), "report");
	assert_true(json_array_size(json_object_get(json, "entries")) >= 1);
	json_decref(json);
	assert_has(cairn_is(0, "ls")->out, "w/b@y:out");
	json_decref(cairn_json("ls", "cairn.ls/1"));
	assert_has(cairn_is(0, "ls a:out")->out, "ENTRY");
}

static void test_cli_cat__bytes_as_they_are(void **state)
{
	json_t *json = cairn_json("ls a:out", "cairn.ls/1");
	json_t *entry = json_array_get(json_object_get(json, "entries"), 0);
	char line[256];
	const outcome *got;

	(void)state;
	snprintf(line, sizeof(line), "cat a:out %s", cairn_json_string(entry, "name", ""));
	got = cairn_is(0, line);
	assert_string_equal(got->err, "");
	assert_true(cairn_json_integer(entry, "bytes", -1) >= (int64_t)strlen(got->out));
	json_decref(json);
	assert_has(cairn_is(3, "cat a:out nothing")->err, "no entry 'nothing'");
}

static void test_cli_plugins__list_one_and_file(void **state)
{
	json_t *json = cairn_json("plugins counter", "cairn.plugins/1");

	(void)state;
	assert_string_equal(
		cairn_json_string(json_object_get(json, "plugin"), "name", ""), "counter");
	json_decref(json);
	assert_has(cairn("plugins counter")->out, "fail_at");
	assert_has(cairn_is(0, "plugins describe " CAIRN_TEST_PLUGIN_DIR "/counter.so")->out,
		"how many steps to count");
	assert_has(cairn_is(3, "plugins coutner")->err, "counter");
	assert_has(cairn_is(2, "plugins describe")->err, "'describe' or 'check' and a file");
	/* One that crashes while it is loaded hides no other. */
	assert_has(cairn("plugins")->out, "counter");
}

#define ON_A_RUN(test) cmocka_unit_test_setup_teardown(test, setup_run, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_RUN(test_cli_status__names_every_output),
		ON_A_RUN(test_cli_status__of_a_run_by_its_name),
		ON_A_RUN(test_cli_log__of_a_stage),
		ON_A_RUN(test_cli_log__metric_rows),
		ON_A_RUN(test_cli_explain__up_to_date_and_changed),
		ON_A_RUN(test_cli_explain__waits_for_what_changed_above),
		ON_A_RUN(test_cli_graph__clusters_and_states),
		ON_A_RUN(test_cli_graph__needs_no_store),
		ON_A_RUN(test_cli_lineage__up_and_down),
		ON_A_RUN(test_cli_lineage__down_from_a_commit),
		ON_A_RUN(test_cli_cost__run_and_artifact),
		ON_A_RUN(test_cli_ls__names_and_entries),
		ON_A_RUN(test_cli_cat__bytes_as_they_are),
		ON_A_RUN(test_cli_plugins__list_one_and_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
