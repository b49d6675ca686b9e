/* SPDX-License-Identifier: Apache-2.0 */
/*
 * children.c - nothing that a stage started outlives the stage, and no stage its runner; whatever
 * ends first, however it ends, and wherever the child has gone.
 *
 * The stage (rogue.c) starts a child in its process group and one that left group, session and
 * parent, as a daemon does. Both write down who they are.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "background.h"
#include "cli/drive.h"

#define SOON_S 5.0

static const char hangs[] = "[workflow]\nname = w\n[stage a]\nplugin = rogue\n"
			    "does = leave_and_hang\n%s";

static void start(background *b, pid_t pids[2], const char *more)
{
	char ini[256];

	unlink("pids");
	snprintf(ini, sizeof(ini), hangs, more);
	drive_write("w.ini", ini);
	*b = background_start("run");
	background_says(b, "hanging");
	assert_int_equal(background_pids("pids", 2, pids), 2);
	assert_true(background_lives(pids[0]) && background_lives(pids[1]));
	assert_int_not_equal(getpgid(pids[0]), getpgid(pids[1]));
}

static void assert_gone(const pid_t pids[2])
{
	assert_true(background_is_gone(pids[0]));
	assert_true(background_is_gone(pids[1]));
}

static void test_faults_children__end_with_a_killed_runner(void **state)
{
	pid_t pids[2], host;
	background b;

	(void)state;
	start(&b, pids, "");
	assert_int_equal(background_children(b.pid, &host, 1), 1);
	kill(b.pid, SIGKILL);
	assert_int_equal(background_end(&b, SOON_S), 128 + SIGKILL);
	assert_true(background_is_gone(host));
	assert_gone(pids);
}

static void test_faults_children__end_with_a_killed_stage(void **state)
{
	pid_t pids[2], host;
	background b;

	(void)state;
	start(&b, pids, "");
	assert_int_equal(background_children(b.pid, &host, 1), 1);
	kill(host, SIGKILL);
	assert_int_equal(background_end(&b, SOON_S), 1);
	assert_gone(pids);
}

static void test_faults_children__end_with_the_second_signal(void **state)
{
	pid_t pids[2];
	background b;

	(void)state;
	start(&b, pids, "");
	kill(b.pid, SIGINT);
	background_says(&b, "stopping");
	kill(b.pid, SIGINT);
	assert_int_equal(background_end(&b, SOON_S), 128 + SIGINT);
	assert_gone(pids);
}

static void test_faults_children__end_with_a_timeout(void **state)
{
	pid_t pids[2];
	background b;

	(void)state;
	drive_env("CAIRN_TEST_GRACE", "0.1");
	start(&b, pids, "timeout = 0.6s\n");
	drive_env("CAIRN_TEST_GRACE", NULL);
	assert_int_equal(background_end(&b, SOON_S), 1);
	assert_gone(pids);
}

/* Of stages that end by themselves, well and badly; and where the process would take another. */
static void test_faults_children__end_with_the_stage(void **state)
{
	static const char *const plugins[] = {"rogue", "rogue_again"};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(plugins); i++) {
		for (int crashes = 0; crashes < 2; crashes++) {
			char ini[256];
			pid_t pids[2];

			unlink("pids");
			snprintf(ini, sizeof(ini),
				"[workflow]\nname = w\n[stage a]\nplugin = %s\ndoes = %s\n",
				plugins[i], crashes ? "leave_and_crash" : "leave_and_end");
			drive_write("w.ini", ini);
			cairn_is(crashes, "run");
			assert_int_equal(background_pids("pids", 2, pids), 2);
			assert_gone(pids);
		}
	}
}

/* One that blocks every signal hears of the runner's death all the same. */
static void test_faults_children__a_deaf_stage_ends_with_its_runner(void **state)
{
	static const char *const deaf[] = {"hang_deaf", "hang_stepping", "hang"};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(deaf); i++) {
		char ini[256];
		background b;
		pid_t host;

		snprintf(ini, sizeof(ini),
			"[workflow]\nname = w\n[stage a]\nplugin = rogue\ndoes = %s\n", deaf[i]);
		drive_write("w.ini", ini);
		b = background_start("run");
		background_says(&b, "hanging");
		assert_int_equal(background_children(b.pid, &host, 1), 1);
		kill(b.pid, SIGKILL);
		assert_int_equal(background_end(&b, SOON_S), 128 + SIGKILL);
		assert_true(background_is_gone(host));
	}
}

/* A stopped stage cannot react to anything; the next run ends it before it believes it dead. */
static void test_faults_children__a_stopped_stage_is_found_by_the_next_run(void **state)
{
	background b;
	pid_t host;

	(void)state;
	drive_write("w.ini",
		"[workflow]\nname = w\n[params]\npause = 0.05s\n[stage a]\n"
		"plugin = counter\nsteps = 40\npause = ${pause}\ncheckpoint_every = 1\n");
	b = background_start("run -v");
	background_says(&b, "checkpoint at step");
	assert_int_equal(background_children(b.pid, &host, 1), 1);
	kill(host, SIGSTOP);
	kill(b.pid, SIGKILL);
	assert_int_equal(background_end(&b, SOON_S), 128 + SIGKILL);
	assert_has(cairn_is(0, "run -p pause=0s")->out, "done 1");
	assert_true(background_is_gone(host));
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_faults_children__end_with_a_killed_runner),
		DRIVEN(test_faults_children__end_with_a_killed_stage),
		DRIVEN(test_faults_children__end_with_the_second_signal),
		DRIVEN(test_faults_children__end_with_a_timeout),
		DRIVEN(test_faults_children__end_with_the_stage),
		DRIVEN(test_faults_children__a_deaf_stage_ends_with_its_runner),
		DRIVEN(test_faults_children__a_stopped_stage_is_found_by_the_next_run),
	};

	return cmocka_run_group_tests_name("faults/children", tests, NULL, NULL);
}
