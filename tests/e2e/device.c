/* SPDX-License-Identifier: Apache-2.0 */
/*
 * device.c - the whole programme on a device: the same artifacts twice, with layers recomputed and
 * killed anywhere; lineage that says what computed; losses that are the CPU's.
 *
 * Usage: test-e2e-device emulated|gpu. The former puts the emulated CUDA backend in the place of
 * cuda.so (tests/kernels/cuda); the latter needs a GPU, and is skipped (77) without.
 */
#include "../test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "drive.h"

enum {
	SKIPPED = 77,
	DEMOS = 14,
	KILLS = 8,
};

static const char workflow[] = CAIRN_SOURCE_DIR "/tests/e2e/device.ini";
static char demos[512]; /* "demos=FILE" */
static bool is_emulated;

static const char *at(const char *name)
{
	static char path[4][256];
	static size_t next;
	char *out = path[next++ % 4];

	(void)snprintf(out, sizeof(path[0]), "%s/%s", drive_directory(), name);
	return out;
}

/* The first rows of the demonstrations: an emulated GPU takes 10 ms a token. */
static void write_demos(void)
{
	const char *path = at("demos.jsonl");
	FILE *from = fopen(CAIRN_SOURCE_DIR "/workflows/data/demos.jsonl", "r");
	FILE *to = fopen(path, "w");
	char *line = NULL;
	size_t cap = 0;

	assert_true(from && to);
	for (int i = 0; i < DEMOS; i++)
		assert_true(getline(&line, &cap, from) > 0 && fputs(line, to) >= 0);
	free(line);
	assert_int_equal(fclose(from), 0);
	assert_int_equal(fclose(to), 0);
	(void)snprintf(demos, sizeof(demos), "demos=%s", path);
}

static char *outputs_of_run(const char *store, const char *param)
{
	drive_result result =
		drive(ARGS("--store", store, "run", workflow, "-p", demos, "-p", param));

	if (result.status != 0)
		fail_msg("status %d\n%s\n%s", result.status, result.err, result.out);
	drive_free(&result);
	return drive_outputs(store);
}

/* ---- the same bits ------------------------------------------------------------------------------
 */

static void test_e2e_device__same_artifacts(void **state)
{
	char *want = outputs_of_run(at("calm"), "recompute=no"), *got;
	const char *killed = at("killed");
	uint32_t random = 20220304;

	(void)state;
	got = outputs_of_run(at("again"), "recompute=yes");
	assert_string_equal(got, want);
	free(got);
	for (unsigned i = 0; i < KILLS; i++) {
		random = random * 1664525u + 1013904223u;
		if (!drive_and_kill(ARGS("--store", killed, "run", workflow, "-p", demos),
			    (is_emulated ? 600 : 1500) + (random >> 20) % 1000 + 400 * i))
			break;
		print_message("killed\n");
	}
	got = outputs_of_run(killed, "recompute=no");
	assert_string_equal(got, want);
	free(got);
	free(want);
}

/* ---- what computed, and that it computes right
 * ----------------------------------------------------
 */

static double summary_of(const char *store, const char *stage, const char *name)
{
	json_t *status = drive_json(ARGS("--store", store, "status", "--json")), *each;
	double found = NAN;
	size_t i;

	json_array_foreach(json_object_get(status, "stages"), i, each)
	{
		if (strcmp(cairn_json_string(each, "instance", ""), stage) == 0)
			found = json_number_value(
				json_object_get(json_object_get(each, "summary"), name));
	}
	json_decref(status);
	return found;
}

/* The backend of the stage that made the policy. */
static void backend_of(const char *store, char *out, size_t cap)
{
	json_t *lineage =
		drive_json(ARGS("--store", store, "lineage", "up", "device/ppo:model", "--json"));
	const json_t *made = json_array_get(json_object_get(lineage, "nodes"), 1);

	(void)snprintf(out, cap, "%s", cairn_json_string(made, "backend", ""));
	json_decref(lineage);
}

/* The same workflow with device = cpu. */
static const char *cpu_workflow(void)
{
	const char *path = at("cpu.ini");
	FILE *from = fopen(workflow, "r"), *to = fopen(path, "w");
	char *line = NULL;
	size_t cap = 0;

	assert_true(from && to);
	while (getline(&line, &cap, from) > 0)
		assert_true(
			fputs(strncmp(line, "device", 6) == 0 ? "device = cpu\n" : line, to) >= 0);
	free(line);
	assert_int_equal(fclose(from), 0);
	assert_int_equal(fclose(to), 0);
	return path;
}

static void test_e2e_device__losses_of_the_cpu(void **state)
{
	static const char *const losses[][2] = {{"pretrain", "valid_loss"}, {"sft", "loss"}};
	static const char data[] = "data=" CAIRN_SOURCE_DIR "/workflows/data";
	const char *device = at("calm"), *cpu = at("cpu");
	char name[128];
	drive_result result;

	(void)state;
	result = drive(ARGS("--store", cpu, "run", cpu_workflow(), "-p", demos, "-p", data));
	assert_int_equal(result.status, 0);
	drive_free(&result);
	backend_of(cpu, name, sizeof(name));
	assert_int_equal(strncmp(name, "cpu", 3), 0);
	backend_of(device, name, sizeof(name));
	assert_int_equal(strncmp(name, "cuda/bf16", 9), 0);
	/* Another backend is another key, hence other weights to begin with and other batches:
	 * losses are near, not equal (tests/kernels/cuda/test_model.c compares the same weights).
	 * Reward models learn from seven rankings of other completions each: theirs tell nothing.
	 */
	for (size_t i = 0; i < CAIRN_COUNT(losses); i++) {
		double want = summary_of(cpu, losses[i][0], losses[i][1]);
		double got = summary_of(device, losses[i][0], losses[i][1]);

		print_message("%s %s: %.6f, cpu %.6f\n", losses[i][0], losses[i][1], got, want);
		assert_true(fabs(got - want) <= 0.02 * want);
	}
}

/* ---- which device
 * --------------------------------------------------------------------------------
 */

static int choose_device(const char *which)
{
	drive_result result;
	int status;

	is_emulated = strcmp(which, "emulated") == 0;
	if (is_emulated)
		return setenv(
			"CAIRN_PLUGIN_PATH", CAIRN_BUILD_DIR "/tests/kernels/cuda/plugins", 1);
	if (strcmp(which, "gpu") != 0)
		return 2;
	result = drive(ARGS("--store", at("probe"), "plan", workflow));
	status = result.status == 0 ? 0 : SKIPPED;
	if (status)
		print_message("skipped: %s", result.err);
	drive_free(&result);
	return status;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_e2e_device__same_artifacts),
		cmocka_unit_test(test_e2e_device__losses_of_the_cpu),
	};
	int status = argc == 2 ? choose_device(argv[1]) : 2;

	if (!status) {
		write_demos();
		status = cmocka_run_group_tests(tests, NULL, NULL);
	}
	drive_clean();
	return status;
}
