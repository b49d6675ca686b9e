/* SPDX-License-Identifier: Apache-2.0 */
/*
 * e2e.c - the whole house through its front door: tests/e2e/tiny.ini has every stage of the main
 * workflow.
 *
 * Usage: test-e2e workflow|units|kills|branches|failure|metrics|audit
 */
#include "../test.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drive.h"

static const char tiny[] = CAIRN_SOURCE_DIR "/tests/e2e/tiny.ini";

static const char *store_at(const char *name)
{
	static char path[4][256];
	static size_t next;
	char *out = path[next++ % 4];

	snprintf(out, sizeof(path[0]), "%s/%s", drive_directory(), name);
	return out;
}

static void run_ok(const char *const *args)
{
	drive_result result = drive(args);

	if (result.status != 0)
		fail_msg("status %d\n%s\n%s", result.status, result.err, result.out);
	drive_free(&result);
}

/* How many stages of the newest run are in `state`. */
static size_t count(const char *store, const char *state)
{
	json_t *status = drive_json(ARGS("--store", store, "status", "--json")), *stage;
	size_t i, n = 0;

	json_array_foreach(json_object_get(status, "stages"), i, stage) n +=
		strcmp(cairn_json_string(stage, "state", ""), state) == 0;
	json_decref(status);
	return n;
}

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
	assert_int_equal(fclose(file), 0);
}

/* ---- workflow: it runs, a second time nothing does, threads do not matter ---------------- */

static void test_e2e_workflow__runs_and_is_cached(void **state)
{
	static const char *const threads[] = {"1", "2", "3", "4"};
	const char *store = store_at("a");
	char *first, *second;

	(void)state;
	run_ok(ARGS("--store", store, "run", tiny));
	first = drive_outputs(store);
	assert_int_equal(count(store, "cached"), 0);
	run_ok(ARGS("--store", store, "run", tiny));
	second = drive_outputs(store);
	assert_int_equal(count(store, "done"), 0);
	assert_string_equal(first, second);
	free(second);

	for (size_t i = 0; i < CAIRN_COUNT(threads); i++) {
		store = store_at(threads[i]);
		run_ok(ARGS("--store", store, "run", tiny, "--threads", threads[i], "-j", "2"));
		second = drive_outputs(store);
		assert_string_equal(first, second);
		free(second);
	}
	free(first);
}

/* ---- units: neither does the vector unit ---------------------------------------------------- */

static void test_e2e_units__same_artifacts(void **state)
{
	static const char *const units[] = {"avx512", "avx2", "portable"};
	char *first = NULL, *other;
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(units); i++) {
		const char *store = store_at(units[i]);
		drive_result result;

		assert_int_equal(setenv("CAIRN_CPU", units[i], 1), 0);
		result = drive(ARGS("--store", store, "run", tiny));
		unsetenv("CAIRN_CPU");
		if (result.status != 0 && strstr(result.err, "this processor has no")) {
			print_message("no %s here\n", units[i]);
			drive_free(&result);
			continue;
		}
		assert_int_equal(result.status, 0);
		drive_free(&result);
		other = drive_outputs(store);
		if (first)
			assert_string_equal(first, other);
		free(first);
		first = other;
		n++;
	}
	print_message("%zu vector units\n", n);
	assert_true(n > 0);
	free(first);
}

/* ---- kills: SIGKILL anywhere, the same artifacts ------------------------------------------ */

static void test_e2e_kills__same_artifacts(void **state)
{
	const char *calm = store_at("calm"), *killed = store_at("killed");
	char *want, *got;
	uint32_t random = 20220304;
	unsigned kills = 0;

	(void)state;
	run_ok(ARGS("--store", calm, "run", tiny));
	want = drive_outputs(calm);
	for (;;) {
		random = random * 1664525u + 1013904223u;
		/* Grows slowly, so that a slow machine gets through as well. */
		if (!drive_and_kill(ARGS("--store", killed, "run", tiny),
			    15 + (random >> 20) % 60 + 4 * kills))
			break;
		kills++;
		assert_true(kills < 500);
	}
	print_message("%u kills\n", kills);
	assert_true(kills > 5);
	got = drive_outputs(killed);
	assert_string_equal(want, got);
	free(want);
	free(got);
}

/* ---- branches: a third group reruns nothing ------------------------------------------------- */

static void test_e2e_branches__third_group_reruns_nothing(void **state)
{
	const char *store = store_at("groups");
	size_t before;

	(void)state;
	run_ok(ARGS("--store", store, "run", tiny));
	before = count(store, "done");
	run_ok(ARGS("--store", store, "run", tiny, "-p", "groups=brief, courteous, third"));
	assert_int_equal(count(store, "cached"), before);
	assert_int_equal(count(store, "done"), 4); /* rankings, rm, ppo, eval of the third */
}

/* ---- failure: what is finished stays; mended, it goes on ------------------------------------- */

static const char two_stages[] =
	"[workflow]\nname = two\n"
	"[stage demos]\nplugin = demo\ninput.demos = file:demos.jsonl\n"
	"[stage text]\nplugin = text\ninput.text = file:text.txt\nn_vocab = 300\n";

static void test_e2e_failure__goes_on_after_the_cause_is_mended(void **state)
{
	char ini[300], demos[300], text[300];
	const char *store = store_at("failure");
	drive_result result;

	(void)state;
	snprintf(ini, sizeof(ini), "%s/two.ini", drive_directory());
	snprintf(demos, sizeof(demos), "%s/demos.jsonl", drive_directory());
	snprintf(text, sizeof(text), "%s/text.txt", drive_directory());
	write_file(ini, two_stages);
	write_file(text, "one two three\n\nfour five six\n\nseven eight\n");
	write_file(demos, "{\"prompt\": \"a\", \"completion\": \"b\"}\n{\"prompt\": 7}\n");

	result = drive(ARGS("--store", store, "run", ini, "-k"));
	assert_int_equal(result.status, 1);
	assert_non_null(strstr(result.err, "demos.jsonl"));
	assert_non_null(strstr(result.err, "hint:"));
	drive_free(&result);
	assert_int_equal(count(store, "failed"), 1);
	assert_int_equal(count(store, "done"), 1);

	write_file(demos, "{\"prompt\": \"a\", \"completion\": \"b\"}\n"
			  "{\"prompt\": \"c\", \"completion\": \"d\"}\n");
	run_ok(ARGS("--store", store, "run", ini));
	assert_int_equal(count(store, "cached"), 1);
	assert_int_equal(count(store, "done"), 1);
}

/* ---- metrics: a stage that reads another one's metric log -------------------------------------
 */

static const char curve[] =
	"[workflow]\nname = curve\n[params]\nloss = 0.5\nnote = a\nhow = cat\n"
	"[stage train]\nplugin = exec\nset = LOSS=${loss} NOTE=${note}\noutputs = x\n"
	"command = echo \"step 1 of 1 loss=$LOSS\" >>\"$CAIRN_EVENTS\"; echo $NOTE >out/x\n"
	"[stage rows]\nplugin = exec\ninput.in = train:metrics\noutputs = rows\n"
	"command = ${how} <in/in-0/metrics.jsonl >out/rows\n";

/* What it says of stage `rows`, as one text; the caller frees. */
static char *explain_rows(const char *const *args)
{
	drive_result result = drive(args);

	assert_int_equal(result.status, 0);
	free(result.err);
	return result.out;
}

static void test_e2e_metrics__are_an_input_like_any_other(void **state)
{
	const char *store = store_at("curve");
	char ini[300], *text;
	drive_result result;

	(void)state;
	snprintf(ini, sizeof(ini), "%s/curve.ini", drive_directory());
	write_file(ini, curve);
	run_ok(ARGS("--store", store, "run", ini));
	result = drive(ARGS("--store", store, "cat", "rows:out", "rows"));
	assert_int_equal(result.status, 0);
	assert_string_equal(result.out, "{\"step\":1,\"loss\":0.5}\n");
	drive_free(&result);
	run_ok(ARGS("--store", store, "run", ini));
	assert_int_equal(count(store, "cached"), 2);
	/* It runs again, and its metrics are what they were: nobody else does. */
	run_ok(ARGS("--store", store, "run", ini, "-p", "note=b"));
	assert_int_equal(count(store, "done"), 1);
	assert_int_equal(count(store, "cached"), 1);
	/* They will change. */
	text = explain_rows(
		ARGS("--store", store, "explain", "rows", "-f", ini, "-p", "loss=0.25"));
	assert_non_null(strstr(text, " -> (not known yet), train:metrics"));
	assert_non_null(strstr(text, "because train: param.set  LOSS=0.5 NOTE=a -> LOSS=0.25"));
	free(text);
	run_ok(ARGS("--store", store, "run", ini, "-p", "loss=0.25"));
	assert_int_equal(count(store, "done"), 2);
	result = drive(ARGS("--store", store, "cat", "rows:out", "rows"));
	assert_non_null(strstr(result.out, "\"loss\":0.25"));
	drive_free(&result);
	/* They have changed, and so has something else. */
	text = explain_rows(ARGS("--store", store, "explain", "rows", "-f", ini, "-p", "how=tac"));
	assert_non_null(strstr(text, "  input.in  "));
	assert_non_null(strstr(text, "(+1 row, -1 row), train:metrics"));
	assert_non_null(strstr(text, "param.command"));
	free(text);
}

/* ---- audit: every reading verb, and the account adds up ----------------------------------------
 */

static void test_e2e_audit__adds_up(void **state)
{
	const char *store = store_at("audit");
	json_t *json, *stage, *total;
	double flop = 0, kept = 0;
	const char *id = NULL;
	size_t i;

	(void)state;
	run_ok(ARGS("--store", store, "run", tiny));
	json = drive_json(ARGS("--store", store, "cost", "--json"));
	assert_string_equal(cairn_json_string(json, "schema", ""), "cairn.cost/1");
	total = json_object_get(json, "total");
	json_array_foreach(json_object_get(json, "stages"), i, stage)
	{
		double spent = cairn_json_number(stage, "flop", -1);

		flop += spent;
		kept += cairn_json_number(stage, "kept_flop", -1);
		assert_true(spent == cairn_json_number(stage, "kept_flop", -1) +
					     cairn_json_number(stage, "wasted_flop", -1));
		assert_non_null(cairn_json_string(stage, "instance", NULL));
		assert_non_null(cairn_json_string(stage, "plugin", NULL));
		assert_int_equal(cairn_json_integer(stage, "attempts", -1), 1);
	}
	assert_true(flop > 1e6);
	assert_true(flop == cairn_json_number(total, "flop", 0));
	assert_true(kept == cairn_json_number(total, "kept_flop", 0));
	assert_true(cairn_json_number(total, "wasted_flop", -1) == 0);
	assert_true(cairn_json_number(total, "pf_days", 0) == flop / 8.64e19);
	json_decref(json);

	json = drive_json(ARGS("--store", store, "status", "--json"));
	assert_string_equal(cairn_json_string(json, "schema", ""), "cairn.status/1");
	assert_string_equal(cairn_json_string(json, "workflow", ""), "tiny");
	json_array_foreach(json_object_get(json, "stages"), i, stage)
	{
		assert_int_equal(strlen(cairn_json_string(stage, "key", "")), 64);
		if (strcmp(cairn_json_string(stage, "instance", ""), "ppo@brief") == 0)
			id = cairn_json_string(json_object_get(stage, "outputs"), "model", NULL);
	}
	assert_non_null(id);
	json_decref(drive_json(ARGS("--store", store, "lineage", "up", id, "--json")));
	json_decref(drive_json(ARGS("--store", store, "lineage", "down", id, "--json")));
	json_decref(drive_json(ARGS("--store", store, "cost", id, "--json")));
	json_decref(json);
	json_decref(
		drive_json(ARGS("--store", store, "explain", "ppo@brief", "-f", tiny, "--json")));
	json_decref(drive_json(ARGS("--store", store, "graph", tiny, "--json")));
	json_decref(drive_json(ARGS("--store", store, "log", "--json")));
	json_decref(drive_json(ARGS("--store", store, "plugins", "--json")));
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		struct CMUnitTest test;
	} all[] = {
		{"workflow", cmocka_unit_test(test_e2e_workflow__runs_and_is_cached)},
		{"units", cmocka_unit_test(test_e2e_units__same_artifacts)},
		{"kills", cmocka_unit_test(test_e2e_kills__same_artifacts)},
		{"branches", cmocka_unit_test(test_e2e_branches__third_group_reruns_nothing)},
		{"failure", cmocka_unit_test(test_e2e_failure__goes_on_after_the_cause_is_mended)},
		{"metrics", cmocka_unit_test(test_e2e_metrics__are_an_input_like_any_other)},
		{"audit", cmocka_unit_test(test_e2e_audit__adds_up)},
	};
	int failed = 0, found = 0;

	for (size_t i = 0; i < CAIRN_COUNT(all); i++) {
		if (argc > 1 && strcmp(argv[1], all[i].name) != 0)
			continue;
		const struct CMUnitTest tests[] = {all[i].test};

		failed += cmocka_run_group_tests_name(all[i].name, tests, NULL, NULL);
		drive_clean();
		found++;
	}
	return failed || !found;
}
