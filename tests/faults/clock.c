/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.c - the time of day is set, by hours, forward and back, while a run goes on and between
 * runs: nothing hangs, no time is negative or counts the jump, the newest run is the newest, and
 * files that changed are seen to have changed.
 *
 * The time that is set is that of the program under test alone (shifted_clock.c).
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "background.h"
#include "cli/drive.h"

#define HOURS 3600
#define HEAD  "[workflow]\nname = w\n"

static void set_clock(int64_t seconds)
{
	int fd = open("clock", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &seconds, sizeof(seconds), 0), sizeof(seconds));
	close(fd);
}

static int setup(void **state)
{
	char path[512], here[256];

	if (drive_setup(state) < 0 || !getcwd(here, sizeof(here)))
		return -1;
	set_clock(0);
	snprintf(path, sizeof(path), "%s/clock", here);
	drive_env("CAIRN_TEST_CLOCK", path);
	drive_env("LD_PRELOAD", CAIRN_SHIFTED_CLOCK);
	return 0;
}

static int teardown(void **state)
{
	drive_env("LD_PRELOAD", NULL);
	drive_env("CAIRN_TEST_CLOCK", NULL);
	return drive_teardown(state);
}

/* Members called so, wherever they are: none is negative or as long as the jump. */
static void check_seconds(const json_t *json)
{
	const char *name;
	json_t *value;
	size_t i;

	json_array_foreach((json_t *)json, i, value) check_seconds(value);
	json_object_foreach((json_t *)json, name, value)
	{
		if (strstr(name, "seconds") && json_is_number(value))
			assert_true(json_number_value(value) >= 0 && json_number_value(value) < 60);
		check_seconds(value);
	}
}

static void check_times(const char *args, const char *schema)
{
	json_t *json = cairn_json(args, schema);

	check_seconds(json);
	json_decref(json);
}

static void jump_during_a_run(const int64_t jumps[2])
{
	background b;
	char *log;

	drive_write("w.ini", HEAD "[stage a]\nplugin = counter\nsteps = 60\npause = 0.02s\n"
				  "checkpoint_every = 0.1s\n"
				  "[stage b]\nplugin = overlap\ntext = b\n");
	set_clock(0);
	b = background_start("run");
	background_says(&b, "start    a");
	background_nap(300);
	set_clock(jumps[0] * HOURS);
	background_nap(300);
	set_clock(jumps[1] * HOURS);
	assert_int_equal(background_end(&b, 10), 0);
	check_times("status", "cairn.status/1");
	check_times("cost", "cairn.cost/1");
	check_times("log", "cairn.log/1");
	log = strdup(cairn_is(0, "log")->out);
	assert_has_not(log, "h");
	free(log);
	assert_int_equal(system("rm -rf .cairn"), 0);
}

static void test_faults_clock__jumps_during_a_run(void **state)
{
	static const int64_t jumps[][2] = {{5, -5}, {-5, 5}, {-24 * 365, 0}};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(jumps); i++)
		jump_during_a_run(jumps[i]);
}

static void newest_run(char out[32])
{
	json_t *status = cairn_json("status", "cairn.status/1");

	snprintf(out, 32, "%s", cairn_json_string(status, "run", ""));
	json_decref(status);
}

/* The id of a run says when it was, but first of all that it came after the others. */
static void test_faults_clock__newest_run_after_the_clock_was_set_back(void **state)
{
	static const int64_t hours[] = {0, 5, 0, -5, -5, 5, 6};
	char last[32] = "", run[32], ini[128];
	json_t *log, *runs;

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(hours); i++) {
		set_clock(hours[i] * HOURS);
		snprintf(
			ini, sizeof(ini), HEAD "[stage a]\nplugin = counter\nsteps = %zu\n", i + 1);
		drive_write("w.ini", ini);
		cairn_is(0, "run");
		newest_run(run);
		assert_true(strcmp(run, last) > 0);
		assert_has(cairn_is(0, "explain a")->out, "up to date");
		snprintf(last, sizeof(last), "%s", run);
	}
	log = cairn_json("log", "cairn.log/1");
	runs = json_object_get(log, "runs");
	assert_int_equal(json_array_size(runs), CAIRN_COUNT(hours));
	assert_string_equal(cairn_json_string(json_array_get(runs, 0), "run", ""), last);
	json_decref(log);
}

/* A run that was killed in the future is recovered, and what it had done is kept. */
static void test_faults_clock__killed_in_the_future(void **state)
{
	background b;

	(void)state;
	drive_write("w.ini", HEAD "[params]\npause = 0.02s\n[stage a]\nplugin = counter\n"
				  "steps = 200\npause = ${pause}\ncheckpoint_every = 1\n");
	set_clock(24 * HOURS);
	b = background_start("run -v");
	background_says(&b, "checkpoint at step");
	kill(b.pid, SIGKILL);
	background_end(&b, 5);
	set_clock(0);
	assert_has(cairn_is(0, "run -p pause=0s")->err, "resumes at step");
	check_times("status", "cairn.status/1");
	cairn_is(0, "gc --delete");
	assert_has(cairn_is(0, "run -p pause=0s")->out, "cached 1");
}

static void write_stamped(const char *text, const struct timespec times[2])
{
	drive_write("in.txt", text);
	if (times)
		assert_int_equal(utimensat(AT_FDCWD, "in.txt", times, 0), 0);
}

/* Same size, same time of change, as a restored backup or a quick editor would leave it. */
static void test_faults_clock__changed_files_are_seen(void **state)
{
	static const int64_t hours[] = {0, 5, -5};

	(void)state;
	drive_write(
		"w.ini", HEAD "[stage a]\nplugin = counter\nsteps = 3\ninput.in = file:in.txt\n");
	for (size_t i = 0; i < CAIRN_COUNT(hours); i++) {
		struct timespec times[2];
		struct stat st;
		char text[16];

		set_clock(hours[i] * HOURS);
		snprintf(text, sizeof(text), "before %zu", i);
		write_stamped(text, NULL);
		assert_int_equal(stat("in.txt", &st), 0);
		times[0] = times[1] = st.st_mtim;
		assert_has(cairn_is(0, "run")->out, "done 1");
		assert_has(cairn_is(0, "run")->out, "cached 1");
		snprintf(text, sizeof(text), "behind %zu", i);
		write_stamped(text, times);
		assert_has(cairn_is(0, "run")->out, "done 1");
	}
}

#define CLOCKED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLOCKED(test_faults_clock__jumps_during_a_run),
		CLOCKED(test_faults_clock__newest_run_after_the_clock_was_set_back),
		CLOCKED(test_faults_clock__killed_in_the_future),
		CLOCKED(test_faults_clock__changed_files_are_seen),
	};

#ifdef __SANITIZE_ADDRESS__
	print_message("the sanitizer wants to be loaded first\n");
	return 0;
#endif
	return cmocka_run_group_tests_name("faults/clock", tests, NULL, NULL);
}
