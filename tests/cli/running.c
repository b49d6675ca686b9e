/* SPDX-License-Identifier: Apache-2.0 */
/* running.c - tests of `run`: what it prints where, its exit codes, failures and signals. */
#include <signal.h>
#include <string.h>

#include "drive.h"

static const char two_stages[] = "[workflow]\nname = w\n[params]\nsteps = 20\n"
				 "[stage a]\nplugin = counter\nsteps = ${steps}\n"
				 "[stage b]\nplugin = counter\ninput.in = a:out\n";

static const char *last_line(const char *text)
{
	size_t len = strlen(text);

	while (len > 0 && text[len - 1] == '\n')
		len--;
	while (len > 0 && text[len - 1] != '\n')
		len--;
	return text + len;
}

static void test_cli_run__results_on_stdout_progress_on_stderr(void **state)
{
	const outcome *got;

	(void)state;
	drive_write("w.ini", two_stages);
	got = cairn_is(0, "run");
	assert_has(got->out, "STAGE");
	assert_has(got->err, "[0/2] start    a  no result yet\n");
	assert_has(got->err, "[1/2] done     a");
	assert_has_not(got->out, "start");
	assert_has(last_line(got->out), "done 2, cached 0, failed 0, waiting 0 | ");
	assert_has(last_line(got->out), " PF-days | next: cairn status\n");
	/* The second time there is nothing to do. */
	got = cairn_is(0, "resume");
	assert_has(last_line(got->out), "done 0, cached 2, failed 0, waiting 0 | ");
	assert_has_not(got->err, "start");
}

static void test_cli_run__quiet_prints_the_last_line(void **state)
{
	const outcome *got;

	(void)state;
	drive_write("w.ini", two_stages);
	got = cairn_is(0, "run -q");
	assert_ptr_equal(last_line(got->out), got->out);
	assert_memory_equal(got->out, "done 2,", 7);
	assert_string_equal(got->err, "");
}

static void test_cli_run__json_is_one_document(void **state)
{
	json_t *json;

	(void)state;
	drive_write("w.ini", two_stages);
	json = cairn_json("run", "cairn.run/1");
	assert_int_equal(cairn_json_integer(json_object_get(json, "summary"), "done", 0), 2);
	assert_int_equal(json_array_size(json_object_get(json, "stages")), 2);
	json_decref(json);
}

static void test_cli_run__progress_as_json_lines(void **state)
{
	const outcome *got;
	int n_ended = 0, n_progress = 0, n_planned = 0;

	(void)state;
	drive_write("w.ini", two_stages);
	got = cairn_is(0, "run --progress=json");
	for (const char *at = got->err; *at;) {
		size_t len = strcspn(at, "\n");
		json_t *json = NULL;
		assert_int_equal(cairn_json_parse(&json, at, len, "stderr", NULL), 0);
		n_ended += strcmp(cairn_json_string(json, "event", ""), "ended") == 0;
		n_planned += strcmp(cairn_json_string(json, "event", ""), "planned") == 0;
		if (strcmp(cairn_json_string(json, "event", ""), "progress") == 0) {
			n_progress++;
			assert_int_equal(cairn_json_integer(json, "total", 0), 20);
		}
		json_decref(json);
		at += len + (at[len] == '\n');
	}
	assert_int_equal(n_ended, 2);
	assert_int_equal(n_planned, 1);
	assert_true(n_progress >= 2);
}

static void test_cli_run__tty_progress_redraws(void **state)
{
	const outcome *got;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = counter\n"
			     "pause = 0.03\n");
	got = cairn_is(0, "run --progress=tty");
	/* A bar, and the sequence that takes it back. */
	assert_has(got->err, "/20");
	assert_has(got->err, "####");
	assert_has(got->err, "\033[A\033[2K");
	assert_has_not(got->out, "\033");
}

static void test_cli_run__failure_shows_error_log_and_next_step(void **state)
{
	const outcome *got;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[params]\nat = 7\n"
			     "[stage bad]\nplugin = counter\nfail_at = ${at}\n"
			     "[stage after]\nplugin = counter\ninput.in = bad:out\n");
	got = cairn_is(1, "run");
	assert_has(got->err, "error: step 7 fails, as it was told to\n");
	assert_has(got->err, "hint: Set fail_at to 0.\n");
	assert_has(got->err, "\nlog: ");
	assert_has(got->err, "`cairn log bad`");
	assert_has(got->err, "`cairn run w.ini` tries again");
	assert_has(last_line(got->out), "failed 1");
	assert_has(last_line(got->out), "blocked 1");
	assert_has(last_line(got->out), "next: cairn log bad");
	/* The remedy works. */
	got = cairn_is(0, "run -p at=0");
	assert_has(last_line(got->out), "done 2");
}

static void test_cli_run__crash_of_a_plugin_is_a_failed_stage(void **state)
{
	const outcome *got;

	(void)state;
	/* A sanitizer would turn the signal into an exit of its own. */
	drive_env("ASAN_OPTIONS", "handle_segv=0");
	drive_write("w.ini", "[workflow]\nname = w\n[stage c]\nplugin = crash\n");
	got = cairn_is(1, "run");
	assert_has(got->err, "signal 11");
	assert_has(last_line(got->out), "failed 1");
}

static void test_cli_run__waiting_for_people_is_no_failure(void **state)
{
	const outcome *got;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[stage w]\nplugin = waiter\nuntil = here\n");
	got = cairn_is(0, "run");
	assert_has(last_line(got->out), "waiting 1");
	assert_has(last_line(got->out), "next: cairn run w.ini");
	got = cairn_is(5, "run --exit-code");
	drive_write("here", "");
	got = cairn_is(0, "run --exit-code");
	assert_has(last_line(got->out), "done 1");
}

static void test_cli_run__signal_stops_and_the_next_run_goes_on(void **state)
{
	const outcome *got;
	json_t *json;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[params]\npause = 0.1\n"
			     "[stage a]\nplugin = counter\nsteps = 200\npause = ${pause}\n");
	/* Dies of the signal, as a shell expects. */
	got = cairn_signalled("run", "start", SIGTERM);
	assert_int_equal(got->status, 128 + SIGTERM);
	assert_has(got->err, "stopping");
	assert_has(last_line(got->out), "stopped 1");
	json = cairn_json("status", "cairn.status/1");
	assert_string_equal(cairn_json_string(json, "state", ""), "stopped");
	json_decref(json);
	got = cairn_is(0, "run -p pause=0");
	assert_has(got->err, "resumes at step");
	assert_has(last_line(got->out), "done 1");
}

static void test_cli_run__killed_run_is_shown_as_interrupted(void **state)
{
	const outcome *got;
	json_t *json;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = counter\n"
			     "steps = 200\npause = 0.1\n");
	got = cairn_signalled("run", "start", SIGKILL);
	assert_int_equal(got->status, 128 + SIGKILL);
	json = cairn_json("status", "cairn.status/1");
	assert_string_equal(cairn_json_string(json, "state", ""), "interrupted");
	json_decref(json);
	assert_has(cairn_is(0, "status")->out, "next: cairn run w.ini");
	assert_has(cairn_is(0, "log")->out, "interrupted");
}

static void test_cli_run__busy_store_without_waiting_is_75(void **state)
{
	const outcome *got;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = counter\n"
			     "steps = 200\npause = 0.1\n");
	got = cairn_beside("run", "start", "run --no-wait");
	assert_int_equal(got->status, 75);
	assert_has(got->err, "uses the store");
	/* Readers never wait. */
	got = cairn_beside("run", "start", "status");
	assert_int_equal(got->status, 0);
	assert_has(got->out, "running");
}

static void test_cli_run__dry_run_runs_nothing(void **state)
{
	const outcome *got;

	(void)state;
	drive_write("w.ini", two_stages);
	got = cairn_is(0, "run -n");
	assert_has(got->out, "no result yet");
	assert_has(got->out, "cached 0, to run 2 | estimated ");
	assert_has(cairn_is(3, "status")->err, "no run yet");
	cairn_is(1, "plan --exit-code");
	cairn_is(0, "run -q");
	cairn_is(0, "plan --exit-code");
	got = cairn_is(0, "plan -p steps=21");
	assert_has(got->out, "param.steps 20 -> 21");
	assert_has(got->out, "next: cairn run w.ini -p steps=21");
}

static void test_cli_run__init_never_overwrites(void **state)
{
	(void)state;
	assert_has(cairn_is(0, "init mine.ini")->out, "next: cairn run mine.ini");
	assert_has(cairn_is(2, "init mine.ini")->err, "cannot write 'mine.ini'");
	assert_has(cairn("init here/there.ini")->err, "No such file");
}

static void test_cli_run__init_writes_what_runs(void **state)
{
	const outcome *got;

	(void)state;
	if (cairn("plugins text")->status != 0 || cairn("plugins pretrain")->status != 0) {
		print_message("the product's plugins are not built\n");
		skip();
	}
	cairn_is(0, "init");
	got = cairn_is(0, "run -p steps=2");
	assert_has(last_line(got->out), "done 2,");
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_cli_run__results_on_stdout_progress_on_stderr),
		DRIVEN(test_cli_run__quiet_prints_the_last_line),
		DRIVEN(test_cli_run__json_is_one_document),
		DRIVEN(test_cli_run__progress_as_json_lines),
		DRIVEN(test_cli_run__tty_progress_redraws),
		DRIVEN(test_cli_run__failure_shows_error_log_and_next_step),
		DRIVEN(test_cli_run__crash_of_a_plugin_is_a_failed_stage),
		DRIVEN(test_cli_run__waiting_for_people_is_no_failure),
		DRIVEN(test_cli_run__signal_stops_and_the_next_run_goes_on),
		DRIVEN(test_cli_run__killed_run_is_shown_as_interrupted),
		DRIVEN(test_cli_run__busy_store_without_waiting_is_75),
		DRIVEN(test_cli_run__dry_run_runs_nothing),
		DRIVEN(test_cli_run__init_never_overwrites),
		DRIVEN(test_cli_run__init_writes_what_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
