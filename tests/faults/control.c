/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.c - retries and their back-off, signals, people who are waited for, two runs at once, and
 * readers beside a run.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "background.h"
#include "cli/drive.h"

#define HEAD "[workflow]\nname = w\n"

/* Where nothing says otherwise: generous for a machine that does other things, too. */
#define SOON_S 5.0

static char *state_of(const char *stage)
{
	static char state[32];
	json_t *status = cairn_json("status", "cairn.status/1"), *item;
	size_t i;

	state[0] = '\0';
	json_array_foreach(json_object_get(status, "stages"), i, item)
	{
		if (strcmp(cairn_json_string(item, "instance", ""), stage) == 0)
			snprintf(state, sizeof(state), "%s", cairn_json_string(item, "state", ""));
	}
	json_decref(status);
	return state;
}

static int64_t attempts_of(const char *stage)
{
	json_t *cost = cairn_json("cost", "cairn.cost/1"), *item;
	int64_t n = -1;
	size_t i;

	json_array_foreach(json_object_get(cost, "stages"), i, item)
	{
		if (strcmp(cairn_json_string(item, "instance", ""), stage) == 0)
			n = cairn_json_integer(item, "attempts", -1);
	}
	json_decref(cost);
	return n;
}

/* ---- retries ------------------------------------------------------------------------------ */

/* Every code that a plugin may return, and whether trying again can help. */
static void test_faults_control__retries_by_code(void **state)
{
	static const struct {
		const char *code;
		bool is_tried;
	} codes[] = {{"io", true}, {"nomem", true}, {"device", true}, {"busy", true},
		{"param", false}, {"input", false}, {"diverged", false}, {"limit", false},
		{"bug", false}, {"integrity", false}, {"abi", false}, {"notfound", false}};
	char ini[256];

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(codes); i++) {
		print_message("%s\n", codes[i].code);
		snprintf(ini, sizeof(ini),
			HEAD "[stage a]\nplugin = fail_code\ncode = %s\nretries = 1\n",
			codes[i].code);
		drive_write("w.ini", ini);
		cairn_is(1, "run");
		assert_int_equal(attempts_of("a"), codes[i].is_tried ? 2 : 1);
	}
}

/* A crash and a kill from outside are tried again, after 0.25 and 0.5 seconds. */
static void test_faults_control__retries_back_off(void **state)
{
	const outcome *got;
	double started = background_now();

	(void)state;
	drive_env("ASAN_OPTIONS", "handle_segv=0:detect_leaks=0");
	drive_write("w.ini", HEAD "[stage a]\nplugin = rogue\ndoes = segv\nretries = 2\n");
	got = cairn_is(1, "run");
	assert_true(background_now() - started >= 0.75);
	assert_has(got->err, "warning: a: attempt 1 failed (stage process died of signal 11");
	assert_has(got->err, "trying again in 0.25 s\n");
	assert_has(got->err, "a  try 2 of 3, at ");
	assert_has(got->err, "trying again in 0.5 s\n");
	assert_int_equal(attempts_of("a"), 3);
	drive_write("w.ini", HEAD "[stage a]\nplugin = rogue\ndoes = sigkill\nretries = 1\n");
	got = cairn_is(1, "run");
	assert_has(got->err, "killed from outside");
	assert_int_equal(attempts_of("a"), 2);
}

/* What was computed before the failure is not computed again. */
static void test_faults_control__retries_resume(void **state)
{
	const outcome *got;

	(void)state;
	drive_write("w.ini", HEAD "[stage a]\nplugin = counter\nsteps = 12\ncheckpoint_every = 3\n"
				  "retries = 1\n");
	drive_env("CAIRN_TEST_KILL_AT", "checkpointed:6");
	got = cairn_is(0, "run --progress=json");
	drive_env("CAIRN_TEST_KILL_AT", NULL);
	assert_has(got->err, "try 2 of 2");
	assert_has(got->err, "\"resumed_step\":6");
	assert_int_equal(attempts_of("a"), 2);
}

static void fails_for_long(background *b)
{
	drive_env("ASAN_OPTIONS", "handle_segv=0:detect_leaks=0");
	drive_write("w.ini", HEAD "[stage a]\nplugin = rogue\ndoes = segv\nretries = 1000\n"
				  "[stage b]\nplugin = counter\ninput.in = a:out\n");
	*b = background_start("run");
	background_says(b, "trying again in 1 s");
}

static void test_faults_control__status_shows_the_next_try(void **state)
{
	background b;
	const outcome *got;

	(void)state;
	fails_for_long(&b);
	/* A busy machine may be late for this wait; the next ones are longer. */
	do
		got = cairn_is(0, "status");
	while (strstr(got->out, "running  ") && !strstr(got->out, "\na try "));
	assert_has(got->out, "\na try ");
	assert_has(got->out, " of 1001, at ");
	kill(b.pid, SIGKILL);
	background_end(&b, SOON_S);
}

static void test_faults_control__a_signal_ends_the_back_off(void **state)
{
	double asked;
	background b;

	(void)state;
	fails_for_long(&b);
	background_says(&b, "trying again in 2 s");
	asked = background_now();
	kill(b.pid, SIGINT);
	assert_int_equal(background_end(&b, SOON_S), 128 + SIGINT);
	assert_true(background_now() - asked < 1.5);
	assert_string_equal(state_of("b"), "pending");
}

/* ---- signals ------------------------------------------------------------------------------ */

static const char steady[] = HEAD "[stage a]\nplugin = counter\nsteps = 2000\npause = 0.02s\n"
				  "checkpoint_every = 1000\n";
static const char deaf[] = HEAD "[stage a]\nplugin = rogue\ndoes = hang_deaf\n";

static void test_faults_control__first_signal_checkpoints(void **state)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};

	(void)state;
	drive_write("w.ini", steady);
	for (size_t i = 0; i < CAIRN_COUNT(signals); i++) {
		background b = background_start("run");
		char *err;

		background_says(&b, "start");
		background_nap(200);
		kill(b.pid, signals[i]);
		assert_int_equal(background_end(&b, SOON_S), 128 + signals[i]);
		err = background_err(&b);
		assert_has(err, "stopping: the running stages write a checkpoint; once more to "
				"stop now\n");
		if (i > 0)
			assert_has(err, "resumes at step ");
		free(err);
		assert_string_equal(state_of("a"), "stopped");
	}
}

static void test_faults_control__second_signal_kills(void **state)
{
	background b;

	(void)state;
	drive_write("w.ini", deaf);
	b = background_start("run");
	background_says(&b, "hanging");
	kill(b.pid, SIGTERM);
	background_nap(300);
	assert_true(background_is_running(&b));
	kill(b.pid, SIGINT);
	assert_int_equal(background_end(&b, SOON_S), 128 + SIGTERM);
	assert_string_equal(state_of("a"), "stopped");
}

/* nohup: what was ignored stays so. */
static void test_faults_control__ignored_signals_stay_ignored(void **state)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
	const outcome *got;

	(void)state;
	drive_write("w.ini", HEAD "[stage a]\nplugin = counter\nsteps = 30\npause = 0.02s\n");
	sigaction(SIGHUP, &ignore, &before);
	got = cairn_signalled("run", "start", SIGHUP);
	sigaction(SIGHUP, &before, NULL);
	assert_int_equal(got->status, 0);
	assert_has(got->out, "done 1");
}

/* Nobody reads the progress any more: the work goes on. */
static void test_faults_control__progress_may_go_unread(void **state)
{
	char line[512];
	int status;

	(void)state;
	drive_write("w.ini", HEAD "[stage a]\nplugin = counter\nsteps = 30\npause = 0.02s\n");
	snprintf(line, sizeof(line), "'%s' run -v 2>&1 >/dev/null | head -c1 >/dev/null",
		CAIRN_BINARY);
	status = system(line);
	assert_true(WIFEXITED(status));
	assert_string_equal(state_of("a"), "done");
}

/* ---- people ------------------------------------------------------------------------------- */

static void test_faults_control__waiting_is_told_and_taken_up(void **state)
{
	const outcome *got;

	(void)state;
	drive_write("w.ini", HEAD "[stage a]\nplugin = waiter\nuntil = here\n"
				  "what = Ann and Bob rank 30 prompts.\n"
				  "[stage b]\nplugin = counter\ninput.in = a:out\n"
				  "[stage c]\nplugin = counter\ninput.in = b:out\n"
				  "[stage d]\nplugin = counter\nsteps = 5\n");
	got = cairn_is(0, "run");
	assert_has(got->out, "\na waits for people: Ann and Bob rank 30 prompts.\n");
	assert_has(got->out, "done 1, cached 0, failed 0, waiting 1, blocked 2 | ");
	assert_has(got->out, "next: cairn run w.ini\n");
	got = cairn_is(5, "run --exit-code -q");
	assert_has(got->out, "a waits for people: Ann and Bob rank 30 prompts.\n");
	got = cairn_is(0, "status");
	assert_has(got->out, "waiting");
	assert_has(got->out, "\na waits for people: Ann and Bob rank 30 prompts.\n");
	assert_has(got->out, "\nnext: cairn run w.ini\n");
	assert_string_equal(state_of("b"), "blocked");
	assert_string_equal(state_of("c"), "blocked");
	assert_has(cairn_is(0, "status --json")->out, "needs 'a', which waits for people");
	drive_write("here", "");
	got = cairn_is(0, "run --exit-code");
	assert_has(got->out, "done 3, cached 1, failed 0, waiting 0 | ");
}

/* A failure is a failure, whoever else waits. */
static void test_faults_control__failure_counts_more_than_waiting(void **state)
{
	(void)state;
	drive_write("w.ini", HEAD "[stage a]\nplugin = waiter\nuntil = here\n"
				  "what = Ann and Bob rank 30 prompts.\n"
				  "[stage b]\nplugin = rogue\ndoes = lie_done\n");
	cairn_is(1, "run -k --exit-code");
}

/* ---- two at once -------------------------------------------------------------------------- */

static void test_faults_control__second_run_waits_then_finds_it_done(void **state)
{
	background first, second;
	char who[64], *out;

	(void)state;
	drive_write("w.ini", HEAD "[stage a]\nplugin = overlap\ntext = a\npause = 700ms\n");
	first = background_start("run");
	background_says(&first, "start");
	snprintf(who, sizeof(who), "another run (pid %d)", (int)first.pid);
	second = background_start("run");
	background_says(&second, "waiting for another run of this store: ");
	background_says(&second, who);
	assert_has(cairn_is(75, "run --no-wait")->err, who);
	assert_int_equal(background_end(&first, SOON_S), 0);
	assert_int_equal(background_end(&second, SOON_S), 0);
	out = background_out(&second);
	assert_has(out, "done 0, cached 1");
	free(out);
	out = drive_read("overlap");
	assert_string_equal(out, "+a\n-a\n"); /* it ran once */
	free(out);
}

static void test_faults_control__waiting_for_the_store_can_be_stopped(void **state)
{
	background first, second;

	(void)state;
	drive_write("w.ini", steady);
	first = background_start("run");
	background_says(&first, "start");
	second = background_start("run");
	background_says(&second, "waiting for another run");
	kill(second.pid, SIGINT);
	assert_int_equal(background_end(&second, SOON_S), 128 + SIGINT);
	assert_true(background_is_running(&first));
	kill(first.pid, SIGKILL);
	background_end(&first, SOON_S);
	/* No lock is left: the next one begins at once. */
	second = background_start("run");
	background_says(&second, "start");
	kill(second.pid, SIGKILL);
	background_end(&second, SOON_S);
}

static void test_faults_control__readers_never_wait(void **state)
{
	static const char *const readers[] = {"status", "log", "log a", "explain a", "cost",
		"graph w.ini", "plan w.ini", "lineage up b:out", "ls", "du", "check w.ini", "fsck"};
	background b;

	(void)state;
	drive_write("w.ini", HEAD "[stage b]\nplugin = counter\nsteps = 3\n"
				  "[stage a]\nplugin = counter\nsteps = 2000\npause = 0.05s\n"
				  "checkpoint_every = 1\n");
	b = background_start("run");
	background_says(&b, "start    a");
	for (size_t i = 0; i < CAIRN_COUNT(readers); i++) {
		double started = background_now();

		cairn_is(0, readers[i]);
		if (background_now() - started >= SOON_S)
			fail_msg("'%s' took %g s", readers[i], background_now() - started);
	}
	assert_true(background_is_running(&b));
	kill(b.pid, SIGKILL);
	background_end(&b, SOON_S);
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_faults_control__retries_by_code),
		DRIVEN(test_faults_control__retries_back_off),
		DRIVEN(test_faults_control__retries_resume),
		DRIVEN(test_faults_control__status_shows_the_next_try),
		DRIVEN(test_faults_control__a_signal_ends_the_back_off),
		DRIVEN(test_faults_control__first_signal_checkpoints),
		DRIVEN(test_faults_control__second_signal_kills),
		DRIVEN(test_faults_control__ignored_signals_stay_ignored),
		DRIVEN(test_faults_control__progress_may_go_unread),
		DRIVEN(test_faults_control__waiting_is_told_and_taken_up),
		DRIVEN(test_faults_control__failure_counts_more_than_waiting),
		DRIVEN(test_faults_control__second_run_waits_then_finds_it_done),
		DRIVEN(test_faults_control__waiting_for_the_store_can_be_stopped),
		DRIVEN(test_faults_control__readers_never_wait),
	};

	return cmocka_run_group_tests_name("faults/control", tests, NULL, NULL);
}
