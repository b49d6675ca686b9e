/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compute.c - what will compute, as a plan finds it out, and what becomes of a plan that was wrong.
 *
 * The backends are those of tests/conformance/kernels: `tiny` for everybody, and in directories of
 * their own a device (`gpu`), a driver that crashes and one that hangs.
 */
#include "fixture.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "run/compute/probe.h"

#define WITH(name) CAIRN_TEST_BACKEND_DIR "/" name ":" CAIRN_TEST_PLUGIN_DIR
#define MATMUL     "[workflow]\nname = w\n[stage a]\nplugin = matmul\n"
#define GAUGE      "[workflow]\nname = w\n[stage a]\nplugin = gauge\n"
#define ON(device) "[workflow]\nname = w\ndevice = " device "\n[stage a]\nplugin = matmul\n"

static int setup(void **state)
{
	unsetenv("FAKE_GPU");
	unsetenv("FAKE_GPU_LOG");
	unsetenv("CAIRN_TEST_PATIENCE");
	return fixture_setup(state);
}

static void use(const char *path)
{
	setenv("CAIRN_PLUGIN_PATH", path, 1);
}

/* How often the fake device was opened so far. */
static size_t n_openings(void)
{
	FILE *file = fopen("openings", "r");
	size_t n = 0;

	for (int c; file && (c = fgetc(file)) != EOF;)
		n += c == '\n';
	if (file)
		fclose(file);
	return n;
}

static const cairn_compute *planned_on(fixture *f, const char *ini)
{
	assert_int_equal(fixture_plan(f, ini), 0);
	assert_non_null(f->plan->compute);
	return f->plan->compute;
}

/* ---- finding ------------------------------------------------------------------------------- */

static void test_run_compute__the_best_is_found_with_all_that_plans_need(void **state)
{
	fixture *f = *state;
	const cairn_compute *compute;

	use(WITH("gpu"));
	compute = planned_on(f, MATMUL);
	assert_string_equal(compute->name, "cuda");
	assert_string_equal(compute->backend, "cuda/test (Fake One)");
	assert_string_equal(compute->numerics, "cuda-test-v1");
	assert_non_null(strstr(compute->path, "/gpu/kernels/cuda.so"));
	assert_int_equal(compute->of.act_bytes, 4);
	assert_int_equal(compute->of.in_host_memory, 0);
	assert_int_equal(compute->of.batch_invariant, 0);
	assert_int_equal(compute->of.enough_rows, 777);
	assert_int_equal(compute->device_bytes, 1u << 30);
	assert_float_equal(compute->peak_flops, 1e12, 0);
	assert_string_equal(compute->passed_over, "");
}

static void test_run_compute__nobody_asks_where_nothing_computes(void **state)
{
	fixture *f = *state;

	use(WITH("gpu"));
	setenv("FAKE_GPU_LOG", "openings", 1);
	assert_int_equal(
		fixture_run(
			f, "[workflow]\nname = w\ndevice = cuda\n[stage a]\nplugin = counter\n"),
		0);
	assert_null(f->plan->compute);
	assert_int_equal(n_openings(), 0);
}

static void test_run_compute__auto_falls_back_and_a_device_does_not(void **state)
{
	fixture *f = *state;

	use(WITH("gpu"));
	setenv("FAKE_GPU", "absent", 1);
	assert_string_equal(planned_on(f, MATMUL)->name, "tiny");
	assert_string_equal(f->plan->compute->passed_over, "cuda: no fake device was found");
	assert_int_equal(fixture_plan(f, ON("cuda")), CAIRN_EDEVICE);
	assert_string_equal(f->error.message, "no fake device was found");
	assert_string_equal(f->error.hint, "Put one into the machine.");
	assert_int_equal(fixture_plan(f, ON("cpu")), CAIRN_EDEVICE);
	assert_string_equal(f->error.message, "no compute backend for device 'cpu'");
	assert_string_equal(f->error.detail, "no kernels/cpu.so was found");
}

static void test_run_compute__a_wrong_setting_is_no_reason_to_fall_back(void **state)
{
	fixture *f = *state;

	use(WITH("gpu"));
	setenv("FAKE_GPU", "odd", 1);
	assert_int_equal(fixture_plan(f, MATMUL), CAIRN_EPARAM);
	assert_string_equal(f->error.message, "unknown type 'odd' in FAKE_GPU");
}

/* The planner lives, and says what the driver said last. */
static void test_run_compute__a_driver_that_crashes_is_passed_over(void **state)
{
	fixture *f = *state;

	use(WITH("crash"));
	assert_string_equal(planned_on(f, MATMUL)->name, "tiny");
	assert_non_null(strstr(f->plan->compute->passed_over, "backend-crash: "));
	assert_non_null(strstr(f->plan->compute->passed_over, "died of signal 11"));
	assert_non_null(strstr(f->plan->compute->passed_over, "the board does not answer"));
	assert_int_equal(fixture_run(f, MATMUL), 0);
}

static void test_run_compute__a_driver_that_hangs_is_passed_over(void **state)
{
	fixture *f = *state;

	use(WITH("hang"));
	setenv("CAIRN_TEST_PATIENCE", "200", 1);
	assert_string_equal(planned_on(f, MATMUL)->name, "tiny");
	assert_non_null(strstr(f->plan->compute->passed_over, "no description within 0.2 seconds"));
}

/* ---- remembering --------------------------------------------------------------------------- */

static void test_run_compute__what_did_not_change_is_not_asked_again(void **state)
{
	fixture *f = *state;

	use(WITH("gpu"));
	setenv("FAKE_GPU_LOG", "openings", 1);
	(void)planned_on(f, MATMUL);
	assert_int_equal(n_openings(), 1);
	assert_string_equal(planned_on(f, MATMUL)->numerics, "cuda-test-v1");
	assert_int_equal(f->plan->compute->of.enough_rows, 777);
	assert_float_equal(f->plan->compute->peak_flops, 1e12, 0);
	assert_int_equal(n_openings(), 1);
	setenv("CUDA_VISIBLE_DEVICES", "0", 1);
	(void)planned_on(f, MATMUL);
	assert_int_equal(n_openings(), 2);
	unsetenv("CUDA_VISIBLE_DEVICES");
	fixture_new_store(f);
	(void)planned_on(f, MATMUL);
	assert_int_equal(n_openings(), 3);
}

static void copy_file(const char *from, const char *to)
{
	FILE *in = fopen(from, "r"), *out = fopen(to, "w");
	char bytes[65536];
	size_t n;

	assert_true(in && out);
	while ((n = fread(bytes, 1, sizeof(bytes), in)) > 0)
		assert_int_equal(fwrite(bytes, 1, n, out), n);
	fclose(in);
	assert_int_equal(fclose(out), 0);
}

static void test_run_compute__another_file_is_asked(void **state)
{
	fixture *f = *state;
	char path[1024];

	assert_int_equal(mkdir("own", 0777), 0);
	assert_int_equal(mkdir("own/kernels", 0777), 0);
	snprintf(path, sizeof(path), "%s/own:%s", f->dir, CAIRN_TEST_PLUGIN_DIR);
	use(path);
	setenv("FAKE_GPU_LOG", "openings", 1);
	assert_string_equal(planned_on(f, MATMUL)->name, "tiny");
	copy_file(CAIRN_TEST_BACKEND_DIR "/gpu/kernels/cuda.so", "own/kernels/cuda.so");
	assert_string_equal(planned_on(f, MATMUL)->name, "cuda");
	copy_file(CAIRN_TEST_BACKEND_DIR "/gpu/kernels/cuda.so", "own/kernels/new");
	assert_int_equal(rename("own/kernels/new", "own/kernels/cuda.so"), 0);
	assert_string_equal(planned_on(f, MATMUL)->name, "cuda");
	assert_int_equal(n_openings(), 2);
	assert_int_equal(unlink("own/kernels/cuda.so"), 0);
	assert_string_equal(planned_on(f, MATMUL)->name, "tiny");
}

/* It may be free the next time: nobody would ever know if that were remembered. */
static void test_run_compute__a_busy_device_is_asked_each_time(void **state)
{
	fixture *f = *state;

	use(WITH("gpu"));
	setenv("FAKE_GPU", "busy", 1);
	assert_string_equal(planned_on(f, MATMUL)->name, "tiny");
	unsetenv("FAKE_GPU");
	assert_string_equal(planned_on(f, MATMUL)->name, "cuda");
}

/* ---- a memory that is wrong ------------------------------------------------------------------ */

static void fails_and_then_goes(fixture *f, const char *became, int code, const char *message)
{
	use(WITH("gpu"));
	(void)planned_on(f, MATMUL);
	setenv("FAKE_GPU", became, 1);
	assert_int_equal(fixture_run(f, MATMUL), 1);
	assert_int_equal(event_of(f, CAIRN_EVENT_ENDED, "a")->error.code, code);
	assert_string_equal(event_of(f, CAIRN_EVENT_ENDED, "a")->error.message, message);
	assert_int_equal(count_checkpoints(f, "a"), 0);
	assert_null(result_of(f, "a"));
	assert_int_equal(fixture_run(f, MATMUL), 0);
	assert_int_equal(f->summary.done, 1);
}

static void test_run_compute__other_numbers_than_planned_with(void **state)
{
	fixture *f = *state;
	const json_t *result;

	fails_and_then_goes(f, "other", CAIRN_EABI,
		"'a' was planned for 'cuda-test-v1', and cuda/test (Fake One) computes in "
		"'cuda-test-v2'");
	result = result_of(f, "a");
	assert_string_equal(
		cairn_json_string(json_object_get(result, "components"), "numerics", ""),
		"cuda-test-v2");
}

static void test_run_compute__other_cuts_than_planned_with(void **state)
{
	fails_and_then_goes(*state, "even", CAIRN_EABI,
		"'a' was planned for results that depend on how work is cut, and those of "
		"cuda/test (Fake One) do not");
}

static void test_run_compute__a_device_that_is_gone(void **state)
{
	fixture *f = *state;

	fails_and_then_goes(f, "absent", CAIRN_EDEVICE, "no fake device was found");
	assert_string_equal(cairn_json_string(result_of(f, "a"), "backend", ""), "tiny");
}

/* ---- keys ------------------------------------------------------------------------------------ */

static void test_run_compute__keys_follow_from_it(void **state)
{
	fixture *f = *state;
	cairn_key on_cpu, first;

	(void)planned_on(f, GAUGE "micro_tokens = 8\n");
	on_cpu = stage_of(f, "a")->key;
	(void)planned_on(f, GAUGE "micro_tokens = 9\n");
	assert_memory_equal(&stage_of(f, "a")->key, &on_cpu, sizeof(on_cpu));
	use(WITH("gpu"));
	(void)planned_on(f, GAUGE "micro_tokens = 8\n");
	first = stage_of(f, "a")->key;
	assert_memory_not_equal(&first, &on_cpu, sizeof(first));
	(void)planned_on(f, GAUGE "micro_tokens = 9\n");
	assert_memory_not_equal(&stage_of(f, "a")->key, &first, sizeof(first));
	(void)planned_on(f, GAUGE "micro_tokens = 8\nrecompute = yes\n");
	assert_memory_equal(&stage_of(f, "a")->key, &first, sizeof(first));
}

/* What the one made is not taken for the other's, and is not lost. */
static void test_run_compute__results_of_both_stay(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_run(f, MATMUL), 0);
	use(WITH("gpu"));
	assert_int_equal(fixture_run(f, MATMUL), 0);
	assert_int_equal(f->summary.done, 1);
	assert_string_equal(
		cairn_json_string(result_of(f, "a"), "backend", ""), "cuda/test (Fake One)");
	assert_int_equal(fixture_run(f, ON("cuda")), 0);
	assert_int_equal(f->summary.cached, 1);
	use(CAIRN_TEST_PLUGIN_DIR);
	assert_int_equal(fixture_run(f, MATMUL), 0);
	assert_int_equal(f->summary.cached, 1);
}

/* ---- estimates ------------------------------------------------------------------------------- */

static void test_run_compute__estimates_are_told(void **state)
{
	fixture *f = *state;
	const json_t *told;

	use(WITH("gpu"));
	(void)planned_on(f, GAUGE "device = 300M\n");
	assert_int_equal(cairn_plan_estimate(f->plan, &f->error), 0);
	assert_int_equal(stage_of(f, "a")->cost->device_bytes, 300u << 20);
	told = json_object_get(stage_of(f, "a")->cost->outputs, "out");
	assert_int_equal(cairn_json_integer(told, "enough_rows", 0), 777);
	assert_int_equal(cairn_json_integer(told, "act_bytes", 0), 4);
	assert_int_equal(cairn_json_integer(told, "batch_invariant", -1), 0);
	use(CAIRN_TEST_PLUGIN_DIR);
	(void)planned_on(f, GAUGE);
	assert_int_equal(cairn_plan_estimate(f->plan, &f->error), 0);
	told = json_object_get(stage_of(f, "a")->cost->outputs, "out");
	assert_int_equal(cairn_json_integer(told, "batch_invariant", -1), 1);
}

static void test_run_compute__what_a_device_has_no_room_for_is_refused(void **state)
{
	fixture *f = *state;

	use(WITH("gpu"));
	assert_int_equal(fixture_run(f, GAUGE "device = 1536M\n"), CAIRN_ELIMIT);
	assert_string_equal(f->error.message,
		"stage 'a' needs about 1.5 GiB of the device's memory, cuda/test (Fake One) has "
		"1.0 GiB");
	assert_string_equal(f->error.detail, "nothing was run");
	assert_string_equal(f->error.hint,
		"Make its `micro_tokens` smaller, set `recompute`, or take a smaller model, or go "
		"on anyway with `--overcommit`.");
	assert_int_equal(count_attempts(f, "a"), 0);
	assert_int_equal(fixture_run(f, GAUGE "device = 1024M\n"), 0);
	f->options.overcommit = true;
	assert_int_equal(fixture_run(f, GAUGE "device = 1536M\n"), 0);
}

/* Two slots, but one device: what both need must fit into it. Where it does, each waits for the
 * other.
 */
static void test_run_compute__stages_share_a_device_that_has_room(void **state)
{
	static const struct {
		const char *device, *a, *b;
	} tries[] = {
		{"600M", "", ""},
		{"512M", "mine = a0\ntheirs = b0\n", "mine = b0\ntheirs = a0\n"},
		{"0", "mine = a1\ntheirs = b1\n", "mine = b1\ntheirs = a1\n"},
	};
	fixture *f = *state;
	char text[512];

	use(WITH("gpu"));
	f->options.jobs = 2;
	for (size_t i = 0; i < CAIRN_COUNT(tries); i++) {
		fixture_new_store(f);
		snprintf(text, sizeof(text),
			GAUGE "device = %s\n%s[stage b]\nplugin = gauge\nseed = 2\ndevice = %s\n%s",
			tries[i].device, tries[i].a, tries[i].device, tries[i].b);
		assert_int_equal(fixture_run(f, text), 0);
		assert_int_equal(
			place_of(f, CAIRN_EVENT_STARTED, "b") < place_of(f, CAIRN_EVENT_ENDED, "a"),
			*tries[i].a != '\0');
	}
}

/* ---- a device that fails --------------------------------------------------------------------- */

/* Ten products; after the fourth nothing is computed any more, and nobody tells the plugin. */
static void test_run_compute__nothing_of_an_ill_device_is_believed(void **state)
{
	fixture *f = *state;
	json_t *attempt;

	use(WITH("gpu"));
	setenv("FAKE_GPU", "ill:4", 1);
	assert_int_equal(fixture_run(f, MATMUL), 1);
	assert_int_equal(event_of(f, CAIRN_EVENT_ENDED, "a")->error.code, CAIRN_EDEVICE);
	assert_string_equal(event_of(f, CAIRN_EVENT_ENDED, "a")->error.message,
		"a product failed: unspecified launch failure");
	assert_string_equal(
		event_of(f, CAIRN_EVENT_ENDED, "a")->error.hint, "Look at the device's own log.");
	assert_null(result_of(f, "a"));
	attempt = attempt_of(f, "a", 1);
	assert_float_equal(cairn_json_number(attempt, "kept_flop", 0), 0, 0);
	json_decref(attempt);
	unsetenv("FAKE_GPU");
	assert_int_equal(fixture_run(f, MATMUL), 0);
}

/* Its memory may have been the reason: what was planned stands beside what it says. */
static void test_run_compute__an_ill_device_beside_the_estimate(void **state)
{
	fixture *f = *state;

	use(WITH("gpu"));
	setenv("FAKE_GPU", "ill:0", 1);
	assert_int_equal(fixture_run(f, GAUGE "device = 300M\n"), 1);
	assert_string_equal(event_of(f, CAIRN_EVENT_ENDED, "a")->error.detail,
		"the plan expected it to need 300 MiB of the device's memory");
	assert_null(result_of(f, "a"));
}

static void test_run_compute__a_checkpoint_of_an_ill_device_is_none(void **state)
{
	fixture *f = *state;

	use(WITH("gpu"));
	setenv("FAKE_GPU", "ill:5", 1);
	assert_int_equal(fixture_run(f, MATMUL "checkpoint_every = 2\nkeep_checkpoints = 9\n"), 1);
	assert_string_equal(event_of(f, CAIRN_EVENT_ENDED, "a")->error.message,
		"a product failed: unspecified launch failure");
	assert_int_equal(count_checkpoints(f, "a"), 2); /* of steps 2 and 4 */
	unsetenv("FAKE_GPU");
	assert_int_equal(fixture_run(f, MATMUL "checkpoint_every = 2\nkeep_checkpoints = 9\n"), 0);
	assert_int_equal(event_of(f, CAIRN_EVENT_STARTED, "a")->resumed_step, 4);
}

/* ---- the record ------------------------------------------------------------------------------ */

static void test_run_compute__results_say_what_computed(void **state)
{
	fixture *f = *state;
	const json_t *compute;
	json_t *attempt;

	use(WITH("gpu"));
	assert_int_equal(fixture_run(f, MATMUL), 0);
	compute = json_object_get(result_of(f, "a"), "compute");
	assert_string_equal(cairn_json_string(compute, "numerics", ""), "cuda-test-v1");
	assert_float_equal(cairn_json_number(compute, "peak_flops", 0), 1e12, 0);
	assert_string_equal(cairn_json_string(compute, "chosen", ""),
		"product 4x2x3: algorithm 17\nproduct 8x2x3: algorithm 4\n");
	attempt = attempt_of(f, "a", 1);
	assert_string_equal(cairn_json_string(attempt, "backend", ""), "cuda/test (Fake One)");
	assert_float_equal(cairn_json_number(attempt, "peak_flops", 0), 1e12, 0);
	json_decref(attempt);
}

/* ---- the survey ------------------------------------------------------------------------------ */

static const json_t *row_of(const json_t *list, const char *name)
{
	const json_t *row;
	size_t i;

	json_array_foreach((json_t *)list, i, row)
	{
		if (strcmp(cairn_json_string(row, "name", ""), name) == 0)
			return row;
	}
	fail_msg("no '%s'", name);
	return NULL;
}

static void test_run_compute__the_survey_tells_of_all(void **state)
{
	const json_t *row;
	json_t *list;

	(void)state;
	use(CAIRN_TEST_BACKEND_DIR "/crash:" WITH("gpu"));
	list = cairn_compute_survey("auto");
	assert_int_equal(json_array_size(list), 3);
	assert_string_equal(cairn_json_string(row_of(list, "tiny"), "state", ""), "usable");
	row = row_of(list, "cuda");
	assert_string_equal(cairn_json_string(row, "state", ""), "chosen");
	assert_non_null(strstr(cairn_json_string(row, "look", ""), "driver: 1.2.3\n"));
	row = row_of(list, "backend-crash");
	assert_string_equal(cairn_json_string(row, "state", ""), "refused");
	assert_string_equal(cairn_json_string(json_object_get(row, "why"), "code", ""), "ECRASH");
	json_decref(list);
	setenv("FAKE_GPU", "absent", 1);
	list = cairn_compute_survey("auto");
	row = row_of(list, "cuda");
	assert_string_equal(cairn_json_string(row, "state", ""), "refused");
	assert_string_equal(cairn_json_string(json_object_get(row, "why"), "hint", ""),
		"Put one into the machine.");
	assert_string_equal(cairn_json_string(row, "look", ""), "driver: none\n");
	assert_string_equal(cairn_json_string(row_of(list, "tiny"), "state", ""), "chosen");
	json_decref(list);
}

#define TEST(name) \
	cmocka_unit_test_setup_teardown(test_run_compute__##name, setup, fixture_teardown)

int tests_main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_best_is_found_with_all_that_plans_need),
		TEST(nobody_asks_where_nothing_computes),
		TEST(auto_falls_back_and_a_device_does_not),
		TEST(a_wrong_setting_is_no_reason_to_fall_back),
		TEST(a_driver_that_crashes_is_passed_over),
		TEST(a_driver_that_hangs_is_passed_over),
		TEST(what_did_not_change_is_not_asked_again),
		TEST(another_file_is_asked),
		TEST(a_busy_device_is_asked_each_time),
		TEST(other_numbers_than_planned_with),
		TEST(other_cuts_than_planned_with),
		TEST(a_device_that_is_gone),
		TEST(keys_follow_from_it),
		TEST(results_of_both_stay),
		TEST(estimates_are_told),
		TEST(what_a_device_has_no_room_for_is_refused),
		TEST(stages_share_a_device_that_has_room),
		TEST(nothing_of_an_ill_device_is_believed),
		TEST(an_ill_device_beside_the_estimate),
		TEST(a_checkpoint_of_an_ill_device_is_none),
		TEST(results_say_what_computed),
		TEST(the_survey_tells_of_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
