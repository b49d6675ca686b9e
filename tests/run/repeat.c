/* SPDX-License-Identifier: Apache-2.0 */
/* Stages that share a process and a commit: nothing of one may be felt by another. */
#include "fixture.h"

#include <glob.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD              "[workflow]\nname = w\n"
#define CALM              "plugin = fickle\n"
#define STAGE(name, does) "[stage " name "]\nplugin = fickle\ntext = " name "\ndoes = " does "\n"

/* The process that made a stage's result. */
static int pid_of(fixture *f, const char *instance)
{
	const json_t *result =
		cairn_plan_result(f->plan, (size_t)(stage_of(f, instance) - f->plan->stages));

	return (int)cairn_json_number(json_object_get(result, "summary"), "pid", 0);
}

static const char *state_of(fixture *f, const char *instance, uint32_t n)
{
	static char state[32];
	json_t *attempt = attempt_of(f, instance, n);

	snprintf(state, sizeof(state), "%s", cairn_json_string(attempt, "state", "none"));
	json_decref(attempt);
	return state;
}

static int count_note(const void *key, size_t key_len, const void *value, size_t value_len,
	void *arg, cairn_error *err)
{
	(void)key, (void)key_len, (void)value, (void)value_len, (void)err;
	++*(size_t *)arg;
	return 0;
}

static size_t count_notes(fixture *f, const char *prefix)
{
	cairn_snapshot *snapshot;
	size_t n = 0;

	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_snapshot_scan(snapshot, "note", prefix, strlen(prefix), false,
				 count_note, &n, NULL),
		0);
	cairn_snapshot_end(snapshot);
	return n;
}

static size_t count_files(const char *pattern)
{
	glob_t found = {0};
	size_t n = glob(pattern, 0, NULL, &found) == 0 ? found.gl_pathc : 0;

	globfree(&found);
	return n;
}

static void test_run_repeat__one_process_has_many_stages(void **state)
{
	static const char ini[] = HEAD "[axis n]\nvalues = 1, 2, 3, 4, 5\n"
				       "[stage a]\nplugin = fickle\nforeach = n\ntext = ${n}\n"
				       "[stage b]\nplugin = fickle\ntext = b\ninput.in = a@*:out\n";
	fixture *f = *state;
	json_t *attempt;
	char *text;

	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(f->summary.done, 6);
	assert_true(pid_of(f, "a@1") > 0);
	assert_int_equal(pid_of(f, "a@1"), pid_of(f, "a@5"));
	assert_int_equal(pid_of(f, "a@1"), pid_of(f, "b"));
	text = entry_text(f, output_of(f, "a@3", "out"), "text");
	assert_string_equal(text, "3");
	free(text);
	attempt = attempt_of(f, "a@3", 1);
	assert_string_equal(cairn_json_string(attempt, "state", ""), "done");
	assert_string_equal(cairn_json_string(attempt, "instance", ""), "a@3");
	assert_true(cairn_json_integer(attempt, "start_ms", 0) > 0);
	assert_true(cairn_json_integer(attempt, "end_ms", 0) > 0);
	assert_true(cairn_json_integer(attempt, "max_rss_bytes", 0) > 0);
	assert_null(json_object_get(attempt, "log")); /* it said nothing */
	json_decref(attempt);
	assert_int_equal(count_events(f, CAIRN_EVENT_STARTED), 6);
	assert_int_equal(count_events(f, CAIRN_EVENT_ENDED), 6);
	assert_int_equal(count_notes(f, "live"), 0);

	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(f->summary.cached, 6);
	assert_int_equal(count_events(f, CAIRN_EVENT_STARTED), 0);
}

/* As many processes as jobs; another plugin's stage, or one with another limit, gets its own. */
static void test_run_repeat__processes_are_shared_by_equals_only(void **state)
{
	fixture *f = *state;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* the sanitizer's own memory is more than any limit */
#endif
	f->options.jobs = 2;
	assert_int_equal(
		fixture_run(f,
			HEAD STAGE("a", "nothing") STAGE("b", "nothing") STAGE("c",
				"nothing") "memory = 1G\n"
					   "[stage d]\nplugin = counter\ninput.in = c:out\n"
					   "[stage e]\nplugin = fickle\ntext = e\ninput.in = d:out\n"),
		0);
	assert_int_not_equal(pid_of(f, "c"), pid_of(f, "a"));
	assert_int_not_equal(pid_of(f, "c"), pid_of(f, "b"));
	assert_int_not_equal(pid_of(f, "c"), pid_of(f, "e"));
}

/* A process has opened its device, and keeps it. */
static void test_run_repeat__a_process_keeps_its_device(void **state)
{
	static const char ini[] = HEAD "[axis n]\nvalues = 1, 2, 3, 4, 5, 6\n"
				       "[stage a]\nplugin = fickle\nforeach = n\ntext = ${n}\n"
				       "does = gpu\ngpus = 1\n";
	fixture *f = *state;
	int pids[8] = {0}, n_pids = 0;
	double seen[2] = {0};

	assert_int_equal(setenv("CUDA_VISIBLE_DEVICES", "3,5", 1), 0);
	f->options.jobs = 4;
	assert_int_equal(fixture_run(f, ini), 0);
	unsetenv("CUDA_VISIBLE_DEVICES");
	for (size_t i = 0; i < 6; i++) {
		const json_t *summary = json_object_get(cairn_plan_result(f->plan, i), "summary");
		double gpu = cairn_json_number(summary, "gpu", 0);
		int pid = (int)cairn_json_number(summary, "pid", 0), p = 0;

		assert_true(gpu == 3 || gpu == 5);
		seen[gpu == 5]++;
		while (p < n_pids && pids[p] / 10 != pid)
			p++;
		if (p == n_pids)
			pids[n_pids++] = pid * 10 + (int)gpu;
		assert_int_equal(pids[p] % 10, (int)gpu);
	}
	assert_int_equal(n_pids, 2);
	assert_true(seen[0] >= 2 && seen[1] >= 2);
}

static void test_run_repeat__a_crash_ends_one_stage(void **state)
{
	static const char ini[] = HEAD STAGE("a", "nothing") STAGE("b", "nothing")
		STAGE("c", "crash") STAGE("d", "nothing") STAGE("e", "nothing");
	fixture *f = *state;
	const seen_event *ended;
	json_t *attempt;

	f->options.keep_going = true;
	assert_int_equal(fixture_run(f, ini), 1);
	assert_int_equal(f->summary.done, 4);
	assert_int_equal(f->summary.failed, 1);
	ended = event_of(f, CAIRN_EVENT_ENDED, "c");
	assert_int_equal(ended->error.code, CAIRN_ECRASH);
	assert_non_null(strstr(ended->error.message, "signal 11"));
	attempt = attempt_of(f, "c", 1);
	assert_string_equal(cairn_json_string(attempt, "state", ""), "failed");
	assert_int_equal(cairn_json_integer(attempt, "signal", 0), SIGSEGV);
	json_decref(attempt);
	assert_int_equal(pid_of(f, "a"), pid_of(f, "b"));
	assert_int_equal(pid_of(f, "d"), pid_of(f, "e"));
	assert_int_not_equal(pid_of(f, "b"), pid_of(f, "d"));
	assert_int_equal(count_attempts(f, "a"), 1);
	assert_int_equal(count_attempts(f, "d"), 1);
	assert_int_equal(count_notes(f, "live"), 0);
}

static void fails_alone(fixture *f, const char *does, const char *more, int code)
{
	char ini[1024];

	fixture_new_store(f);
	f->options.keep_going = true;
	snprintf(ini, sizeof(ini), HEAD "%s[stage x]\nplugin = fickle\ndoes = %s\n%s%s",
		STAGE("a", "nothing"), does, more, STAGE("b", "nothing"));
	assert_int_equal(fixture_run(f, ini), 1);
	assert_int_equal(f->summary.done, 2);
	assert_int_equal(f->summary.failed, 1);
	assert_int_equal(event_of(f, CAIRN_EVENT_ENDED, "x")->error.code, code);
	assert_string_equal(state_of(f, "x", 1), "failed");
	assert_string_equal(state_of(f, "a", 1), "done");
	/* Whoever failed took its process along. */
	assert_true(pid_of(f, "b") > 0);
	assert_null(stage_of(f, "x")->outputs);
}

static void test_run_repeat__failures_of_every_kind(void **state)
{
	fixture *f = *state;

	fails_alone(f, "fail", "", CAIRN_EINPUT);
	fails_alone(f, "lie", "", CAIRN_EBUG);
	fails_alone(f, "half", "", CAIRN_EINPUT);
	setenv("CAIRN_TEST_GRACE", "0.2", 1);
	fails_alone(f, "hang", "timeout = 0.2s\n", CAIRN_ETIMEOUT);
	unsetenv("CAIRN_TEST_GRACE");
}

static void test_run_repeat__memory_limit(void **state)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* the sanitizer's own memory is more than the limit */
#endif
	fails_alone(*state, "hog", "memory = 64M\n", CAIRN_ENOMEM);
}

static void test_run_repeat__without_k_the_first_failure_ends_it(void **state)
{
	fixture *f = *state;

	assert_int_equal(
		fixture_run(f, HEAD STAGE("a", "nothing") STAGE("b", "fail") STAGE("c",
				       "nothing") "[stage d]\nplugin = fickle\ninput.in = b:out\n"),
		1);
	assert_int_equal(f->summary.done, 1); /* and committed */
	assert_int_equal(f->summary.failed, 1);
	assert_int_equal(stage_of(f, "c")->state, CAIRN_STATE_READY);
	assert_int_equal(stage_of(f, "d")->state, CAIRN_STATE_BLOCKED);
	assert_string_equal(state_of(f, "a", 1), "done");
}

static void test_run_repeat__retries(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_run(f, HEAD STAGE("a", "nothing") STAGE("b",
						"fail_once") "retries = 1\n" STAGE("c", "nothing")),
		0);
	assert_int_equal(f->summary.done, 3);
	assert_string_equal(state_of(f, "b", 1), "failed");
	assert_string_equal(state_of(f, "b", 2), "done");
	assert_int_equal(cairn_json_integer(cairn_plan_result(f->plan, 1), "attempts", 0), 2);
	assert_int_equal(count_attempts(f, "c"), 1);
}

static void test_run_repeat__waits_for_people(void **state)
{
	fixture *f = *state;

	assert_int_equal(
		fixture_run(f, HEAD STAGE("a", "nothing") STAGE("b", "wait") STAGE("c", "nothing")),
		1);
	assert_int_equal(f->summary.done, 2);
	assert_int_equal(f->summary.waiting, 1);
	assert_string_equal(state_of(f, "b", 1), "waiting");
}

/* The first signal: what is done stays, what is at work stops at its next step. */
static void test_run_repeat__stops_when_asked(void **state)
{
	static const char ini[] =
		HEAD STAGE("a", "nothing") STAGE("b", "steps") STAGE("c", "nothing");
	fixture *f = *state;

	f->stop_at_step = 2;
	assert_int_equal(fixture_run(f, ini), 1);
	assert_int_equal(f->summary.signal, SIGTERM);
	assert_int_equal(f->summary.done, 1);
	assert_int_equal(f->summary.stopped, 1);
	assert_string_equal(state_of(f, "b", 1), "stopped");
	assert_int_equal(count_notes(f, "live"), 0);
	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(f->summary.cached, 1);
	assert_int_equal(f->summary.done, 2);
}

/* A stage that lasts is written down while it runs; its elders are not kept waiting. */
static void test_run_repeat__a_long_one_holds_up_nobody(void **state)
{
	static const char ini[] = HEAD STAGE("a", "nothing") STAGE("b", "steps");
	fixture *f = *state;
	json_t *attempt = NULL;
	bool a_is_done = false;
	pid_t run;
	int status;

	assert_int_equal(fixture_plan(f, ini), 0);
	run = fixture_spawn_run(f, ini);
	for (int i = 0; i < 1000 && !attempt; i++) {
		usleep(5000);
		attempt = attempt_of(f, "b", 1);
		a_is_done = strcmp(state_of(f, "a", 1), "done") == 0;
	}
	assert_non_null(attempt);
	assert_true(a_is_done);
	assert_string_equal(cairn_json_string(attempt, "state", ""), "running");
	assert_true(cairn_json_integer(attempt, "pid", 0) > 0);
	json_decref(attempt);
	assert_int_equal(kill(run, SIGKILL), 0);
	assert_int_equal(waitpid(run, &status, 0), run);

	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(f->summary.cached, 1);
	assert_string_equal(state_of(f, "b", 1), "killed");
	assert_string_equal(state_of(f, "b", 2), "done");
	assert_int_equal(count_notes(f, "live"), 0);
}

/* Each has a log of its own, if it has anything to say. */
static void test_run_repeat__logs(void **state)
{
	fixture *f = *state;
	json_t *attempt;
	char text[256] = "";
	FILE *log;

	assert_int_equal(fixture_run(f, HEAD STAGE("a", "nothing") STAGE("b", "chat")
						STAGE("c", "chat") STAGE("d", "nothing")),
		0);
	attempt = attempt_of(f, "b", 1);
	log = fopen(cairn_json_string(attempt, "log", ""), "r");
	assert_non_null(log);
	assert_true(fread(text, 1, sizeof(text) - 1, log) > 0);
	fclose(log);
	json_decref(attempt);
	assert_non_null(strstr(text, "to stdout"));
	assert_non_null(strstr(text, "says b"));
	assert_null(strstr(text, "says c"));
	attempt = attempt_of(f, "c", 1);
	assert_non_null(strstr(cairn_json_string(attempt, "log", ""), "/c.1.log"));
	json_decref(attempt);
	/* b, c and one that d left empty. */
	assert_int_equal(count_files("store/logs/*/*.log"), 3);
}

/* What is too large to hand over is committed where it was made; the process goes on. */
static void test_run_repeat__large_outputs(void **state)
{
	fixture *f = *state;
	char *text;

	assert_int_equal(fixture_run(f, HEAD STAGE("a", "nothing") STAGE("b", "large")
						STAGE("c", "nothing") STAGE("d", "large")),
		0);
	assert_int_equal(f->summary.done, 4);
	assert_int_equal(pid_of(f, "a"), pid_of(f, "d"));
	text = entry_text(f, output_of(f, "d", "out"), "text");
	assert_int_equal(strlen(text), (size_t)1 << 20);
	assert_int_equal(text[0], 'd');
	free(text);
	assert_string_equal(state_of(f, "b", 1), "done");
	assert_string_equal(state_of(f, "c", 1), "done");
}

static void test_run_repeat__metric_log(void **state)
{
	fixture *f = *state;
	char *text;

	assert_int_equal(fixture_run(f, HEAD STAGE("a", "steps")), 0);
	text = entry_text(f, output_of(f, "a", "metrics"), "metrics.jsonl");
	assert_non_null(strstr(text, "{\"step\":1,\"step\":1}\n{\"step\":2,"));
	free(text);
}

/* Killed before it handed over its third: nothing of the first two is lost. */
static void test_run_repeat__killed_between_two(void **state)
{
	static const char ini[] = HEAD STAGE("a", "nothing") STAGE("b", "nothing")
		STAGE("c", "nothing") STAGE("d", "nothing");
	fixture *f = *state;

	setenv("CAIRN_TEST_KILL_AT", "result:3", 1);
	assert_int_equal(fixture_run(f, ini), 1);
	unsetenv("CAIRN_TEST_KILL_AT");
	assert_int_equal(f->summary.done, 2);
	assert_int_equal(f->summary.failed, 1);
	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(f->summary.cached, 2);
	assert_int_equal(count_attempts(f, "c"), 2);
}

static void test_run_repeat__twins_run_once(void **state)
{
	fixture *f = *state;

	f->options.jobs = 2;
	assert_int_equal(fixture_run(f, HEAD "[axis n]\nvalues = 1, 2, 3, 4\n"
					     "[stage a]\n" CALM "foreach = n\n"
					     "[stage b]\n" CALM "text = b\ninput.in = a@*:out\n"),
		0);
	assert_int_equal(f->summary.done, 2);
	assert_int_equal(f->summary.cached, 3);
}

int tests_main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_run_repeat__one_process_has_many_stages),
		FIXTURE_TEST(test_run_repeat__processes_are_shared_by_equals_only),
		FIXTURE_TEST(test_run_repeat__a_process_keeps_its_device),
		FIXTURE_TEST(test_run_repeat__a_crash_ends_one_stage),
		FIXTURE_TEST(test_run_repeat__failures_of_every_kind),
		FIXTURE_TEST(test_run_repeat__memory_limit),
		FIXTURE_TEST(test_run_repeat__without_k_the_first_failure_ends_it),
		FIXTURE_TEST(test_run_repeat__retries),
		FIXTURE_TEST(test_run_repeat__waits_for_people),
		FIXTURE_TEST(test_run_repeat__stops_when_asked),
		FIXTURE_TEST(test_run_repeat__a_long_one_holds_up_nobody),
		FIXTURE_TEST(test_run_repeat__logs),
		FIXTURE_TEST(test_run_repeat__large_outputs),
		FIXTURE_TEST(test_run_repeat__metric_log),
		FIXTURE_TEST(test_run_repeat__killed_between_two),
		FIXTURE_TEST(test_run_repeat__twins_run_once),
	};

	return cmocka_run_group_tests_name("run/repeat", tests, NULL, NULL);
}
