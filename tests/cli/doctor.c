/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor.c - tests of `cairn doctor`, and of what the other verbs say of what computes.
 *
 * The backends are those of tests/conformance/kernels, in front of the product's.
 */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drive.h"

#define WITH(name)     CAIRN_TEST_BACKEND_DIR "/" name ":" CAIRN_TEST_PLUGIN_DIR
#define MATMUL(device) "[workflow]\nname = w\ndevice = " device "\n[stage a]\nplugin = matmul\n"
#define DOCTOR         "doctor --color never"

static int setup(void **state)
{
	int rc = drive_setup(state);

	drive_env("FAKE_GPU", NULL);
	drive_env("CAIRN_CUDA", NULL);
	drive_env("CAIRN_CPU", NULL);
	drive_env("ASAN_OPTIONS", "handle_segv=0"); /* a driver dies of what it died of */
	return rc;
}

static const json_t *row_of(
	const json_t *document, const char *list, const char *key, const char *name)
{
	const json_t *row;
	size_t i;

	json_array_foreach(json_object_get(document, list), i, row)
	{
		if (strcmp(cairn_json_string(row, key, ""), name) == 0)
			return row;
	}
	fail_msg("'%s' has no '%s'", list, name);
	return NULL;
}

static const char *verdict_of(const json_t *document, const char *check)
{
	return cairn_json_string(row_of(document, "checks", "check", check), "verdict", "");
}

/* ---- doctor ---------------------------------------------------------------------------------- */

static void test_cli_doctor__tells_of_all(void **state)
{
	json_t *json;

	(void)state;
	drive_env("CAIRN_PLUGIN_PATH", WITH("gpu"));
	json = cairn_json("doctor", "cairn.doctor/1");
	assert_int_equal(cairn_status(), 0);
	assert_true(json_is_true(json_object_get(json, "ok")));
	assert_string_equal(cairn_json_string(json, "auto", ""), "cuda");
	assert_string_equal(verdict_of(json, "cuda"), "ok");
	assert_string_equal(verdict_of(json, "cpu"), "ok");
	assert_string_equal(
		cairn_json_string(row_of(json, "backends", "name", "cpu"), "state", ""), "usable");
	assert_true(cairn_json_number(json_object_get(json, "machine"), "cpus_usable", 0) >= 1);
	assert_true(json_is_false(json_object_get(json_object_get(json, "store"), "exists")));
	assert_true(json_is_true(json_object_get(json_object_get(json, "store"), "is_writable")));
	assert_string_equal(
		cairn_json_string(row_of(json, "plugins", "name", "matmul"), "contract", ""),
		"1.3");
	json_decref(json);
	assert_true(access(".cairn", F_OK) < 0); /* it makes nothing */
}

static void test_cli_doctor__in_lines(void **state)
{
	const outcome *got;

	(void)state;
	drive_env("CAIRN_PLUGIN_PATH", WITH("gpu"));
	drive_write("w.ini", MATMUL("auto"));
	cairn_is(0, "run -q");
	got = cairn_is(0, DOCTOR);
	assert_has(got->out, "cuda          ok       cuda/test (Fake One), in 'cuda-test-v1', 1.0 "
			     "GiB, 1 TFLOP/s at best; `device = auto` takes it\n");
	assert_has(got->out, "                       driver: 1.2.3\n");
	assert_has(got->out, "store         ok       '.cairn', format 2, ");
	assert_has(got->out, "\nworkflows can run here");
	assert_has_not(cairn_is(0, DOCTOR " -q")->out, " ok ");
}

static void test_cli_doctor__a_driver_that_crashes_is_a_line(void **state)
{
	json_t *json;

	(void)state;
	drive_env("CAIRN_PLUGIN_PATH", WITH("crash"));
	json = cairn_json("doctor", "cairn.doctor/1");
	assert_int_equal(cairn_status(), 0);
	assert_string_equal(verdict_of(json, "backend-crash"), "warning");
	assert_has(cairn_json_string(row_of(json, "checks", "check", "backend-crash"), "what", ""),
		"died of signal 11 (Segmentation fault): it said: driver: the board does not "
		"answer");
	assert_string_equal(cairn_json_string(json, "auto", ""), "cpu");
	json_decref(json);
}

static void test_cli_doctor__a_driver_that_hangs_is_a_line(void **state)
{
	json_t *json;

	(void)state;
	drive_env("CAIRN_PLUGIN_PATH", WITH("hang"));
	drive_env("CAIRN_TEST_PATIENCE", "500");
	json = cairn_json("doctor", "cairn.doctor/1");
	drive_env("CAIRN_TEST_PATIENCE", NULL);
	assert_int_equal(cairn_status(), 0);
	assert_string_equal(verdict_of(json, "backend-hang"), "warning");
	json_decref(json);
}

static void test_cli_doctor__nothing_computes(void **state)
{
	const outcome *got;

	(void)state;
	drive_alone();
	drive_env("CAIRN_PLUGIN_PATH", CAIRN_TEST_BACKEND_DIR "/gpu");
	drive_env("FAKE_GPU", "absent");
	got = cairn_is(1, DOCTOR);
	assert_has(got->out, "compute       failed   no compute backend can be used");
	assert_has(got->out, "plugins       failed   no stage plugin was found");
	assert_has(got->out, "\nsomething that runs need is broken: 2 failed");
}

static void test_cli_doctor__a_wrong_setting(void **state)
{
	json_t *json;

	(void)state;
	drive_env("CAIRN_PLUGIN_PATH", WITH("gpu"));
	drive_env("FAKE_GPU", "odd");
	json = cairn_json("doctor", "cairn.doctor/1");
	assert_int_equal(cairn_status(), 1);
	assert_string_equal(verdict_of(json, "cuda"), "failed");
	assert_string_equal(cairn_json_string(row_of(json, "checks", "check", "cuda"), "hint", ""),
		"Unset FAKE_GPU.");
	json_decref(json);
}

static void test_cli_doctor__a_store_that_is_none(void **state)
{
	json_t *json;

	(void)state;
	assert_int_equal(mkdir(".cairn", 0777), 0);
	drive_write(".cairn/format", "something else\n");
	json = cairn_json("doctor", "cairn.doctor/1");
	assert_int_equal(cairn_status(), 1);
	assert_string_equal(verdict_of(json, "store"), "failed");
	json_decref(json);
}

/* ---- other verbs -------------------------------------------------------------------------------
 */

static void test_cli_device__one_that_is_not_there_is_said_before_anything_runs(void **state)
{
	const outcome *got;

	(void)state;
	drive_env("CAIRN_PLUGIN_PATH", WITH("gpu"));
	drive_env("FAKE_GPU", "absent");
	drive_write("w.ini", MATMUL("cuda"));
	got = cairn_is(1, "plan");
	assert_has(got->err, "error: no fake device was found\n");
	assert_has(got->err, "hint: Put one into the machine.\n");
	assert_has(cairn_is(1, "run")->err, "error: no fake device was found\n");
	drive_write("w.ini", MATMUL("auto"));
	got = cairn_is(0, "run");
	assert_has_not(got->err, "fake device");
	assert_has(cairn_is(0, "plan -v")->out, "not with cuda: no fake device was found\n");
}

static void test_cli_device__another_one_is_explained(void **state)
{
	(void)state;
	drive_env("CAIRN_PLUGIN_PATH", CAIRN_TEST_PLUGIN_DIR);
	drive_write("w.ini", MATMUL("auto"));
	cairn_is(0, "run -q");
	drive_env("CAIRN_PLUGIN_PATH", WITH("gpu"));
	assert_has(cairn_is(0, "explain a")->out,
		"-> cuda-test-v1 (CPU to CUDA: other arithmetic, so no result of the one stands "
		"for the other)\n");
	assert_has(cairn_is(0, "plan")->out, " -> cuda-test-v1 (CPU to CUDA)");
	cairn_is(0, "run -q");
	drive_env("FAKE_GPU", "other");
	drive_env("CAIRN_CUDA", "1"); /* something changed: the backend is asked again */
	assert_has(cairn_is(0, "plan")->out,
		"numerics cuda-test-v1 -> cuda-test-v2 (another version of the kernels)");
}

static void test_cli_device__lineage_and_cost_say_which(void **state)
{
	const json_t *row;
	const outcome *got;
	json_t *json;

	(void)state;
	drive_env("CAIRN_PLUGIN_PATH", WITH("gpu"));
	drive_write("w.ini", MATMUL("cuda") "pause = 10ms\nsteps = 5\n");
	cairn_is(0, "run -q");
	assert_has(cairn_is(0, "lineage up a:out")->out, "  on cuda/test (Fake One)\n");
	got = cairn_is(0, "lineage up a:out -v");
	assert_has(got->out, "    numerics cuda-test-v1\n    product 4x2x3: algorithm 17\n");
	json = cairn_json("lineage up a:out", "cairn.lineage/1");
	row = row_of(json, "nodes", "type", "stage");
	assert_string_equal(cairn_json_string(row, "backend", ""), "cuda/test (Fake One)");
	assert_has(cairn_json_string(json_object_get(row, "compute"), "chosen", ""),
		"product 8x2x3: algorithm 4\n");
	json_decref(json);
	json = cairn_json("cost", "cairn.cost/1");
	row = row_of(json, "stages", "instance", "a");
	assert_true(cairn_json_number(row, "mfu", 0) > 0);
	/* 5 products of 48 FLOP in 50 ms at least, and 1e12 a second at best. */
	assert_true(cairn_json_number(row, "flop_per_second", 0) <= 240 / 0.05);
	assert_float_equal(cairn_json_number(row, "mfu", 0),
		cairn_json_number(row, "flop_per_second", 0) / 1e12, 1e-20);
	json_decref(json);
	drive_env("CAIRN_PLUGIN_PATH", CAIRN_TEST_PLUGIN_DIR);
	drive_write("w.ini", MATMUL("auto") "steps = 6\n");
	cairn_is(0, "run -q");
	json = cairn_json("cost", "cairn.cost/1");
	assert_true(json_is_null(json_object_get(row_of(json, "stages", "instance", "a"), "mfu")));
	json_decref(json);
	assert_has(cairn_is(0, "cost")->out, "MFU");
}

static void test_cli_device__too_small(void **state)
{
	const outcome *got;
	json_t *json;

	(void)state;
	drive_env("CAIRN_PLUGIN_PATH", WITH("gpu"));
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = gauge\ndevice = 2G\n");
	json = cairn_json("plan", "cairn.plan/1");
	assert_float_equal(
		cairn_json_number(
			json_object_get(row_of(json, "stages", "instance", "a"), "estimate"),
			"device_bytes", 0),
		2147483648.0, 0);
	json_decref(json);
	assert_has(cairn_is(0, "plan")->out, "DEVICE");
	got = cairn_is(2, "run");
	assert_has(got->err, "stage 'a' needs about 2.0 GiB of the device's memory, cuda/test "
			     "(Fake One) has 1.0 GiB");
	assert_has(got->err, "--overcommit");
	cairn_is(0, "run -q --overcommit");
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_cli_doctor__tells_of_all),
		DRIVEN(test_cli_doctor__in_lines),
		DRIVEN(test_cli_doctor__a_driver_that_crashes_is_a_line),
		DRIVEN(test_cli_doctor__a_driver_that_hangs_is_a_line),
		DRIVEN(test_cli_doctor__nothing_computes),
		DRIVEN(test_cli_doctor__a_wrong_setting),
		DRIVEN(test_cli_doctor__a_store_that_is_none),
		DRIVEN(test_cli_device__one_that_is_not_there_is_said_before_anything_runs),
		DRIVEN(test_cli_device__another_one_is_explained),
		DRIVEN(test_cli_device__lineage_and_cost_say_which),
		DRIVEN(test_cli_device__too_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
