/* SPDX-License-Identifier: Apache-2.0 */
/*
 * plugins.c - what a user gets to see of each thing that a plugin must not do (rogue.c), and that
 * it harms nothing else: the stage before it stays, the stage after it runs, in the same process
 * where the plugin claims that it may repeat, and the next run does again only what failed.
 */
#include <stdlib.h>
#include <string.h>

#include "cli/drive.h"

struct fault {
	const char *does, *settings;
	int status;       /* of the run */
	const char *says; /* on standard error */
	const char *hints;
};

/* The same of both plugins. */
static const struct fault ends[] = {
	{"segv", "", 1, "stage process died of signal 11 (Segmentation fault)", "may be faulty"},
	{"abort", "", 1, "stage process died of signal 6 (Aborted)", "may be faulty"},
	{"exit_0", "", 1, "stage process left with status 0, unasked", "may be faulty"},
	{"exit_3", "", 1, "stage process left with status 3, unasked", "may be faulty"},
	{"exit_in_thread", "", 1, "stage process left with status 7, unasked", "may be faulty"},
	{"sigkill", "", 1, "was killed from outside (out of memory?), with ", "`dmesg`"},
	{"code", "", 1, "returned 77 from run()", ""},
	{"unknown", "", 1, "failed: an error that nobody knows", "It gave no reason"},
	{"hang", "timeout = 0.3s\n", 1, "'bad' took longer than 0.3 seconds",
		"Raise its `timeout`"},
	{"hang_deaf", "timeout = 0.3s\n", 1, "'bad' took longer than 0.3 seconds", "Raise"},
	{"hang_stepping", "timeout = 0.3s\n", 1, "'bad' took longer than 0.3 seconds", "Raise"},
};

/* A sanitizer's own memory is more than the limit. */
static const struct fault leaks[] = {
	{"leak_told", "memory = 64M\n", 1, "no memory for another megabyte", "`memory = 64M`"},
	{"leak_silent", "memory = 64M\n", 1, "'bad' needed more than its memory = 64M",
		"raise that"},
	{"leak_crash", "memory = 64M\n", 1,
		"'bad' needed more than its memory = 64M, and died of signal 11", "raise that"},
};

static const struct fault lies[] = {
	{"lie_done", "", 1, "says it is done, but wrote no output 'out'", "a bug of the plugin"},
	{"lie_twice", "", 1, "the plugin wrote an output twice", "a bug of plugin"},
	{"lie_port", "", 1, "the plugin writes an output that it does not declare", "a bug of"},
	{"lie_open", "", 1, "returned while a writer was open", ""},
	{"lie_name", "", 1, "an entry cannot have this name", ""},
	{"lie_size", "", 1, "entry 'text' has the wrong size", ""},
	{"lie_meta", "", 1, "at artifact metadata", ""},
	{"lie_large_meta", "", 1, "the metadata of an artifact is over 16 MiB", ""},
	{"lie_numbers", "", 0, "loss nan", ""},
};

/* Of a plugin that runs once these are its own business. */
static const struct fault harms_once[] = {
	{"close_wire", "", 0, "", ""},
	{"close_all", "", 1, "stage process left with status 1, unasked", "may be faulty"},
	{"junk", "", 0, "", ""},
	{"frame", "", 0, "", ""},
	{"scratch", "", 0, "cannot remove", ""},
	{"chdir", "", 0, "", ""},
	{"umask", "", 0, "", ""},
	{"locale", "", 0, "", ""},
	{"env", "", 0, "", ""},
	{"signals", "", 0, "", ""},
	{"limits", "", 0, "", ""},
	{"rounding", "", 0, "", ""},
	{"thread", "", 0, "", ""},
	{"descriptors", "", 0, "", ""},
	{"unmap", "", 0, "", ""},
	{"zombies", "", 0, "left behind: a process", ""},
};

#define LEFT "says that it may repeat, and left behind: "

/* Here they would meet the next stage. What it made is handed over on the wire, so without one it
 * is lost. Who closed the wire alone left nothing else behind, so the process stays, and fails to
 * read its next job: 1. Who closed everything left that behind, so it ends as one that is done. */
static const struct fault harms_again[] = {
	{"close_wire", "", 1, "stage process left with status 1, unasked", "may be faulty"},
	{"close_all", "", 1, "stage process left with status 0, unasked", "may be faulty"},
	{"junk", "", 1, "a stage process sent what is no record", ""},
	{"frame", "", 1, "sent a record of 1073741824 bytes, more than 1048576", ""},
	{"scratch", "", 0, "cannot remove", ""},
	{"chdir", "", 0, LEFT "the working directory", ""},
	{"umask", "", 0, LEFT "the umask", ""},
	{"locale", "", 0, LEFT "the locale", ""},
	{"env", "", 0, LEFT "the environment", ""},
	{"signals", "", 0, LEFT "how signals are taken", ""},
	{"limits", "", 0, LEFT "the resource limits", ""},
	{"rounding", "", 0, LEFT "how floating-point numbers are rounded", ""},
	{"thread", "", 0, LEFT "a thread", ""},
	{"descriptors", "", 0, LEFT "many open files", ""},
	{"unmap", "", 0, "", ""},
	{"zombies", "", 0, LEFT "a child process", ""},
};

/* ---- one fault ---------------------------------------------------------------------------- */

static void write_workflow(const char *plugin, const struct fault *fault, const char *does)
{
	char ini[1024];

	snprintf(ini, sizeof(ini),
		"[workflow]\nname = w\n"
		"[stage first]\nplugin = %s\ntext = a\n"
		"[stage bad]\nplugin = %s\ntext = b\ndoes = %s\n%s"
		"[stage next]\nplugin = %s\ntext = c\n"
		"[stage later]\nplugin = noop\ntext = d\ninput.in = next:out\n",
		plugin, plugin, does, fault->settings, plugin);
	drive_write("w.ini", ini);
}

static int count_states(const char *args, const char *state)
{
	json_t *status = cairn_json(args, "cairn.status/1"), *stage;
	int n = 0;
	size_t i;

	json_array_foreach(json_object_get(status, "stages"), i, stage) n +=
		strcmp(cairn_json_string(stage, "state", ""), state) == 0;
	json_decref(status);
	return n;
}

static double pid_of(const json_t *status, size_t i)
{
	const json_t *stage = json_array_get(json_object_get(status, "stages"), i);

	return cairn_json_number(json_object_get(stage, "summary"), "pid", 0);
}

/* Whoever meets what the bad stage left is in another process than it was. */
static void check_process(const struct fault *fault)
{
	json_t *status;

	if (!strstr(fault->says, LEFT))
		return;
	status = cairn_json("--store s status", "cairn.status/1");
	assert_true(pid_of(status, 0) > 0);
	assert_true(pid_of(status, 0) == pid_of(status, 1)); /* first and bad */
	assert_true(pid_of(status, 1) != pid_of(status, 2)); /* bad and next */
	json_decref(status);
}

static void check(const char *plugin, const struct fault *fault)
{
	const outcome *got;

	print_message("%s: %s\n", plugin, fault->does);
	assert_int_equal(system("rm -rf s"), 0);
	write_workflow(plugin, fault, fault->does);
	got = cairn_is(fault->status, "--store s run -k");
	assert_has(got->err, fault->says);
	assert_has(got->err, fault->hints);
	if (!fault->says[0])
		assert_has_not(got->err, "left behind");
	check_process(fault);
	assert_int_equal(count_states("--store s status", "done"), fault->status ? 3 : 4);
	assert_int_equal(count_states("--store s status", "failed"), fault->status ? 1 : 0);
	if (!fault->status)
		return;
	/* Mended, only that one runs, and nothing has to be repaired. */
	write_workflow(plugin, fault, "nothing");
	cairn_is(0, "--store s run");
	assert_int_equal(count_states("--store s status", "cached"), 3);
	assert_int_equal(count_states("--store s status", "done"), 1);
	cairn_is(0, "--store s fsck");
}

static void check_both(const struct fault *faults, size_t n)
{
	drive_env("ASAN_OPTIONS", "handle_segv=0:handle_abort=0:detect_leaks=0");
	drive_env("CAIRN_TEST_GRACE", "0.2");
	for (size_t i = 0; i < n; i++) {
		check("rogue", &faults[i]);
		check("rogue_again", &faults[i]);
	}
}

static void test_faults_plugins__that_end(void **state)
{
	(void)state;
	check_both(ends, CAIRN_COUNT(ends));
}

static void test_faults_plugins__that_leak(void **state)
{
	(void)state;
#ifdef __SANITIZE_ADDRESS__
	skip();
#endif
	check_both(leaks, CAIRN_COUNT(leaks));
}

static void test_faults_plugins__that_lie(void **state)
{
	(void)state;
	check_both(lies, CAIRN_COUNT(lies));
}

static void test_faults_plugins__that_harm_their_host(void **state)
{
	(void)state;
	drive_env("ASAN_OPTIONS", "detect_leaks=0");
	for (size_t i = 0; i < CAIRN_COUNT(harms_once); i++)
		check("rogue", &harms_once[i]);
	for (size_t i = 0; i < CAIRN_COUNT(harms_again); i++)
		check("rogue_again", &harms_again[i]);
}

/* ---- floods ------------------------------------------------------------------------------- */

static const char flood_ini[] = "[workflow]\nname = w\n[stage bad]\nplugin = rogue\ndoes = %s\n";

static void flood(const char *does)
{
	char ini[256];

	snprintf(ini, sizeof(ini), flood_ini, does);
	drive_write("w.ini", ini);
}

/* 160 MiB: both ends of the log stay, and a line says what went. */
static void test_faults_plugins__that_flood_their_log(void **state)
{
	const outcome *got;

	(void)state;
	flood("flood_stderr");
	cairn_is(0, "run");
	got = cairn_is(0, "log bad");
	assert_memory_equal(got->out, "the first line\n", 15);
	assert_has(got->out, "\ncairn: the log is too long; ");
	assert_has(got->out, "\nthe last line\n");
	assert_true(strlen(got->out) < (size_t)72 << 20);
}

static unsigned count_lines(const char *text, const char *part)
{
	unsigned n = 0;

	for (; (text = strstr(text, part)); text++)
		n++;
	return n;
}

/* 200,000 warnings: all are in the log; of the rest some are told. */
static void test_faults_plugins__that_flood_the_runner(void **state)
{
	const outcome *got;

	(void)state;
	flood("flood_log");
	got = cairn_is(0, "run");
	assert_has(got->err, "so many lines are not told here: see the log");
	assert_in_range(count_lines(got->err, "of very many"), 100, 1000);
	assert_int_equal(count_lines(cairn_is(0, "log bad")->out, "of very many"), 200000);
	flood("flood_steps");
	cairn_is(0, "run");
	/* A row of metrics each hundred steps, and each is there. */
	got = cairn_is(0, "log bad --metrics --json");
	assert_int_equal(count_lines(got->out, "\"loss\""), 2000);
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_faults_plugins__that_end),
		DRIVEN(test_faults_plugins__that_leak),
		DRIVEN(test_faults_plugins__that_lie),
		DRIVEN(test_faults_plugins__that_harm_their_host),
		DRIVEN(test_faults_plugins__that_flood_their_log),
		DRIVEN(test_faults_plugins__that_flood_the_runner),
	};

	return cmocka_run_group_tests_name("faults/plugins", tests, NULL, NULL);
}
