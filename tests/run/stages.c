/* SPDX-License-Identifier: Apache-2.0 */
/* Runs: done and cached, order, failures of every kind, retries, locks, accounts. */
#include "fixture.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#define HEAD "[workflow]\nname = w\n"

static double sum_of(const json_t *list)
{
	double sum = 0;

	for (size_t i = 0; i < json_array_size(list); i++)
		sum += json_number_value(json_array_get(list, i));
	return sum;
}

static void test_run_stages__done_then_cached(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = counter\nsteps = 3\nextra = yes\n"
				       "text = hi\n[stage b]\nplugin = counter\ninput.in = a:out\n";
	fixture *f = *state;
	char *text, *first;
	json_t *attempt;

	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(f->summary.done, 2);
	assert_int_equal(f->summary.cached, 0);
	text = entry_text(f, output_of(f, "a", "extra"), "text");
	assert_string_equal(text, "hi");
	free(text);
	attempt = attempt_of(f, "a", 1);
	assert_string_equal(cairn_json_string(attempt, "state", ""), "done");
	assert_int_equal(cairn_json_integer(attempt, "step", 0), 3);
	assert_int_equal(cairn_json_integer(attempt, "exit", -1), 0);
	assert_true(cairn_json_integer(attempt, "max_rss_bytes", 0) > 0);
	json_decref(attempt);
	assert_int_equal(count_checkpoints(f, "a"), 0);
	assert_non_null(event_of(f, CAIRN_EVENT_STARTED, "b"));
	assert_int_equal(event_of(f, CAIRN_EVENT_ENDED, "b")->state, CAIRN_STATE_DONE);

	first = strdup(output_of(f, "b", "out"));
	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(f->summary.done, 0);
	assert_int_equal(f->summary.cached, 2);
	assert_int_equal(count_attempts(f, "a"), 1);
	assert_int_equal(count_events(f, CAIRN_EVENT_STARTED), 0);
	assert_string_equal(output_of(f, "b", "out"), first);
	free(first);
}

/* The result names everything that lineage and ledger need, and refs point to the outputs. */
static void test_run_stages__records(void **state)
{
	fixture *f = *state;
	const json_t *result;
	cairn_snapshot *snapshot;
	char id_text[CAIRN_ID_TEXT];
	json_t *run, *stage;
	const void *value;
	cairn_id id;
	size_t len;

	write_file("in.txt", "hello");
	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = counter\nsteps = 3\n"
					     "input.in = file:in.txt\n"),
		0);
	result = result_of(f, "a");
	assert_string_equal(
		cairn_json_string(json_object_get(result, "components"), "param.steps", ""), "3");
	assert_string_equal(
		cairn_json_string(
			json_array_get(json_object_get(json_object_get(result, "inputs"), "in"), 0),
			"kind", ""),
		"file");
	assert_int_equal(cairn_json_integer(result, "steps", 0), 3);
	assert_true(json_is_number(json_object_get(json_object_get(result, "summary"), "best")));

	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_snapshot_get(snapshot, "ref", "w/a:out", 7, &value, &len, NULL), 0);
	assert_int_equal(len, sizeof(id.bytes));
	memcpy(id.bytes, value, len);
	cairn_id_format(&id, id_text);
	assert_string_equal(id_text, output_of(f, "a", "out"));
	assert_int_equal(cairn_record_run(&run, snapshot, &f->summary.run, NULL), 0);
	assert_int_equal(cairn_record_stage(&stage, snapshot, &f->summary.run, 0, NULL), 0);
	cairn_snapshot_end(snapshot);
	assert_string_equal(cairn_json_string(run, "state", ""), "done");
	assert_true(cairn_json_integer(run, "end_ms", 0) > 0);
	assert_non_null(json_object_get(run, "provenance"));
	assert_non_null(json_object_get(run, "file_id"));
	assert_string_equal(cairn_json_string(stage, "state", ""), "done");
	assert_string_equal(cairn_json_string(stage, "reason", ""), "no result yet");
	json_decref(run);
	json_decref(stage);
}

static void test_run_stages__metric_log(void **state)
{
	fixture *f = *state;
	char *text;

	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = counter\nsteps = 2\n"
					     "[stage n]\nplugin = nan\n"),
		0);
	text = entry_text(f, output_of(f, "a", "metrics"), "metrics.jsonl");
	assert_int_equal(strncmp(text, "{\"step\":1,\"sum\":0.", 18), 0);
	assert_non_null(strstr(text, ",\"third\":0.3333333333333333}\n{\"step\":2,"));
	free(text);
	text = entry_text(f, output_of(f, "n", "metrics"), "metrics.jsonl");
	assert_string_equal(
		text, "{\"step\":1,\"loss\":\"nan\",\"bound\":\"inf\",\"floor\":\"-inf\"}\n");
	free(text);
}

/* What was finished before a failure stays; the next run goes on from there. */
static void test_run_stages__failure_leaves_finished_work(void **state)
{
	static const char ini[] =
		HEAD "[stage a]\nplugin = counter\nsteps = 3\n"
		     "[stage b]\nplugin = counter\ninput.in = a:out\nsteps = 4\nfail_at = %d\n"
		     "[stage c]\nplugin = counter\ninput.in = b:out\n";
	fixture *f = *state;
	const seen_event *ended;
	char text[512];

	snprintf(text, sizeof(text), ini, 2);
	assert_int_equal(fixture_run(f, text), 1);
	assert_int_equal(f->summary.done, 1);
	assert_int_equal(f->summary.failed, 1);
	assert_int_equal(f->summary.blocked, 1);
	ended = event_of(f, CAIRN_EVENT_ENDED, "b");
	assert_int_equal(ended->error.code, CAIRN_EINPUT);
	assert_string_equal(ended->error.message, "step 2 fails, as it was told to");
	assert_string_equal(ended->error.hint, "Set fail_at to 0.");
	assert_non_null(strstr(ended->error.detail, "/b.1.log"));
	assert_int_equal(stage_of(f, "c")->state, CAIRN_STATE_BLOCKED);
	assert_string_equal(stage_of(f, "c")->reason, "needs 'b', which failed");

	snprintf(text, sizeof(text), ini, 0);
	assert_int_equal(fixture_run(f, text), 0);
	assert_int_equal(f->summary.cached, 1);
	assert_int_equal(f->summary.done, 2);
}

static void test_run_stages__keep_going(void **state)
{
	static const char ini[] =
		HEAD "[stage bad]\nplugin = liar\n[stage good]\nplugin = counter\n"
		     "[stage late]\nplugin = counter\ninput.in = bad:out\n";
	fixture *f = *state;

	assert_int_equal(fixture_run(f, ini), 1);
	assert_int_equal(stage_of(f, "good")->state, CAIRN_STATE_READY);
	f->options.keep_going = true;
	assert_int_equal(fixture_run(f, ini), 1);
	assert_int_equal(stage_of(f, "good")->state, CAIRN_STATE_DONE);
	assert_int_equal(stage_of(f, "late")->state, CAIRN_STATE_BLOCKED);
}

static void fails_with(fixture *f, const char *plugin, int code, const char *message)
{
	const seen_event *ended;
	json_t *attempt;
	char ini[256];

	snprintf(ini, sizeof(ini), HEAD "[stage a]\nplugin = %s\n", plugin);
	assert_int_equal(fixture_run(f, ini), 1);
	assert_int_equal(f->summary.failed, 1);
	ended = event_of(f, CAIRN_EVENT_ENDED, "a");
	if (ended->error.code != code || !strstr(ended->error.message, message))
		fail_msg("'%s': %s '%s'", plugin, cairn_error_name(ended->error.code),
			ended->error.message);
	attempt = attempt_of(f, "a", 1);
	assert_string_equal(cairn_json_string(attempt, "state", ""), "failed");
	assert_string_equal(cairn_json_string(json_object_get(attempt, "error"), "code", ""),
		cairn_error_name(code));
	json_decref(attempt);
	assert_null(result_of(f, "a"));
}

static void test_run_stages__faulty_plugins(void **state)
{
	fixture *f = *state;

	fails_with(
		f, "crash", CAIRN_ECRASH, "stage process died of signal 11 (Segmentation fault)");
	fails_with(f, "abort", CAIRN_ECRASH, "died of signal 6 (Aborted)");
	fails_with(f, "liar", CAIRN_EBUG, "wrote no output 'out'");
	fails_with(f, "silent", CAIRN_EDIVERGED, "plugin 'silent' failed: training diverged");
	fails_with(f, "quitter", CAIRN_EBUG, "stopped though nobody asked it to");
	fails_with(f, "two_writers", CAIRN_EBUG, "before it ended another writer");
}

static void test_run_stages__crash_leaves_a_log(void **state)
{
	fixture *f = *state;
	char line[256] = "";
	json_t *attempt;
	FILE *log;

	fails_with(f, "crash", CAIRN_ECRASH, "signal 11");
	attempt = attempt_of(f, "a", 1);
	log = fopen(cairn_json_string(attempt, "log", ""), "r");
	assert_non_null(log);
	assert_non_null(fgets(line, sizeof(line), log));
	assert_non_null(strstr(line, "info: about to crash"));
	assert_int_equal(cairn_json_integer(attempt, "signal", 0), SIGSEGV);
	fclose(log);
	json_decref(attempt);
}

static void test_run_stages__retries(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = counter\nfail_at = 2\n"
					     "code = io\nretries = 1\n"),
		1);
	assert_int_equal(count_attempts(f, "a"), 2);
	assert_non_null(strstr(event_of(f, CAIRN_EVENT_WARNING, "a")->text, "trying again"));
	/* Bad input stays bad. */
	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = counter\nfail_at = 3\n"
					     "code = input\nretries = 5\n"),
		1);
	assert_int_equal(count_attempts(f, "a"), 1);
}

static void test_run_stages__timeout(void **state)
{
	fixture *f = *state;
	const seen_event *ended;

	/* One that asks: it stops after a checkpoint, and goes on from it. */
	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = counter\nsteps = 60\n"
					     "pause = 0.02s\ntimeout = 0.8s\nretries = 9\n"),
		0);
	assert_true(count_attempts(f, "a") >= 2);
	/* One that does not. */
	setenv("CAIRN_TEST_GRACE", "0.2", 1);
	assert_int_equal(fixture_run(f, HEAD "[stage h]\nplugin = hang\ntimeout = 0.2s\n"), 1);
	unsetenv("CAIRN_TEST_GRACE");
	ended = event_of(f, CAIRN_EVENT_ENDED, "h");
	assert_int_equal(ended->error.code, CAIRN_ETIMEOUT);
	assert_string_equal(ended->error.message, "'h' took longer than 0.2 seconds");
}

static void test_run_stages__memory_limit(void **state)
{
	fixture *f = *state;
	const seen_event *ended;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* the sanitizer's own memory is more than the limit */
#endif
	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = hog\nmemory = 128M\n"), 1);
	ended = event_of(f, CAIRN_EVENT_ENDED, "a");
	assert_int_equal(ended->error.code, CAIRN_ENOMEM);
	assert_string_equal(ended->error.message, "no 268435456 bytes for the hog");
	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = hog\n"), 0);
}

/* Kept after a failure, to be looked at; removed after success. */
static void test_run_stages__scratch(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = litter\n";
	fixture *f = *state;
	char run[CAIRN_RUN_TEXT], path[256];

	for (int n = 1; n <= 2; n++) {
		assert_int_equal(fixture_run(f, ini), n == 1);
		cairn_run_id_format(&f->summary.run, run);
		snprintf(path, sizeof(path), "store/tmp/%s-a-%d", run, n);
		assert_int_equal(access(path, F_OK), n == 1 ? 0 : -1);
	}
	assert_int_equal(access("store/tmp", F_OK), 0);
}

static void test_run_stages__waits_for_people(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = waiter\nuntil = come\n"
				       "[stage b]\nplugin = counter\ninput.in = a:out\n"
				       "[stage c]\nplugin = counter\n";
	fixture *f = *state;

	assert_int_equal(fixture_run(f, ini), 1);
	assert_int_equal(f->summary.waiting, 1);
	assert_int_equal(f->summary.blocked, 1);
	assert_int_equal(f->summary.done, 1);
	assert_string_equal(stage_of(f, "b")->reason, "needs 'a', which waits for people");
	write_file("come", "");
	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(f->summary.done, 2);
}

static void test_run_stages__jobs_in_parallel(void **state)
{
	fixture *f = *state;
	size_t running = 0, most = 0;

	f->options.jobs = 3;
	assert_int_equal(fixture_run(f, HEAD "[axis n]\nvalues = 1, 2, 3\n"
					     "[stage a]\nplugin = counter\nforeach = n\n"
					     "text = ${n}\nsteps = 10\npause = 0.05s\n"),
		0);
	for (size_t i = 0; i < f->n_events; i++) {
		running += f->events[i].type == CAIRN_EVENT_STARTED;
		running -= f->events[i].type == CAIRN_EVENT_ENDED;
		most = running > most ? running : most;
	}
	assert_int_equal(most, 3);
}

/* Two stages that are the same work: done once. */
static void test_run_stages__twins_run_once(void **state)
{
	fixture *f = *state;

	f->options.jobs = 2;
	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = counter\npause = 0.01s\n"
					     "[stage b]\nplugin = counter\n"
					     "[stage c]\nplugin = counter\ninput.in = b:out\n"),
		0);
	assert_int_equal(f->summary.done, 2);
	assert_int_equal(f->summary.cached, 1);
	assert_string_equal(stage_of(f, "b")->reason, "same as 'a'");
	assert_int_equal(count_attempts(f, "a"), 1);
}

static void test_run_stages__missing_optional_output_blocks(void **state)
{
	fixture *f = *state;

	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = counter\n"
					     "[stage b]\nplugin = counter\ninput.in = a:extra\n"
					     "[stage c]\nplugin = counter\ninput.in = b:out\n"),
		1);
	assert_int_equal(stage_of(f, "b")->state, CAIRN_STATE_BLOCKED);
	assert_string_equal(stage_of(f, "b")->reason, "'a' wrote no output 'extra'");
	assert_string_equal(stage_of(f, "c")->reason, "needs 'b', which is blocked");
}

static void copy_plugin(const char *name, const char *more)
{
	char from[512], to[64], block[65536];
	FILE *in, *out;
	size_t n;

	snprintf(from, sizeof(from), "%s/%s.so", CAIRN_TEST_PLUGIN_DIR, name);
	snprintf(to, sizeof(to), "%s.so", name);
	in = fopen(from, "r");
	out = fopen(to, "w");
	assert_non_null(in);
	assert_non_null(out);
	while ((n = fread(block, 1, sizeof(block), in)) > 0)
		assert_int_equal(fwrite(block, 1, n, out), n);
	fputs(more, out);
	fclose(in);
	assert_int_equal(fclose(out), 0);
}

/* A rebuild in the middle of a run: nothing is computed by code that the plan does not know. */
static void test_run_stages__plugin_replaced_after_the_plan(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = counter\n";
	fixture *f = *state;
	const seen_event *ended;

	setenv("CAIRN_PLUGIN_PATH", f->dir, 1);
	copy_plugin("counter", "");
	assert_int_equal(fixture_plan(f, ini), 0);
	copy_plugin("counter", "rebuilt");
	assert_int_equal(
		cairn_run_workflow(f->plan, &f->options, &f->observer, &f->summary, &f->error), 1);
	ended = event_of(f, CAIRN_EVENT_ENDED, "a");
	assert_int_equal(ended->error.code, CAIRN_EABI);
	assert_non_null(strstr(ended->error.message, "changed since the run was planned"));
	assert_int_equal(fixture_run(f, ini), 0);
}

static void test_run_stages__lock(void **state)
{
	fixture *f = *state;
	char path[256];
	int lock;

	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = counter\n"), 0);
	snprintf(path, sizeof(path), "%s/run.lock", f->store_dir);
	lock = open(path, O_RDWR | O_CLOEXEC);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	f->options.no_wait = true;
	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = counter\n"), CAIRN_EBUSY);
	assert_non_null(strstr(f->error.message, "another run (pid "));
	close(lock);
	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = counter\n"), 0);
}

/* One waits for the other, and finds its results. */
static void test_run_stages__two_runs_at_once(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = counter\npause = 0.05s\n";
	fixture *f = *state;
	pid_t other = fixture_spawn_run(f, ini);
	int status;

	for (int i = 0; i < 500 && access("store/logs", F_OK) != 0; i++)
		usleep(10000); /* until the other has begun its stage */
	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(waitpid(other, &status, 0), other);
	assert_int_equal(status, 0);
	assert_non_null(event_of(f, CAIRN_EVENT_WAITING_FOR_LOCK, NULL));
	assert_int_equal(f->summary.cached, 1);
	assert_int_equal(count_attempts(f, "a"), 1);
}

static void test_run_stages__flops_are_metered(void **state)
{
	fixture *f = *state;
	json_t *attempt;

	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = matmul\nsteps = 5\n"), 0);
	assert_float_equal(f->summary.flop, 5 * 48, 0);
	assert_float_equal(f->summary.kept_flop, 5 * 48, 0);
	attempt = attempt_of(f, "a", 1);
	assert_float_equal(sum_of(json_object_get(attempt, "flop")), 5 * 48, 0);
	assert_float_equal(sum_of(json_object_get(attempt, "flop_real")), 5 * 24, 0);
	assert_float_equal(json_number_value(json_array_get(
				   json_object_get(attempt, "flop"), CAIRN_ACCOUNT_FORWARD)),
		5 * 48, 0);
	assert_float_equal(cairn_json_number(attempt, "kept_flop", 0), 5 * 48, 0);
	json_decref(attempt);
	assert_string_equal(cairn_json_string(result_of(f, "a"), "backend", ""), "tiny");
}

/* Three steps kept by the checkpoint, the fourth lost, then seven more. */
static void test_run_stages__kept_and_wasted(void **state)
{
	static const char ini[] = HEAD "[stage a]\nplugin = matmul\nsteps = 10\n"
				       "checkpoint_every = 3\n";
	fixture *f = *state;
	json_t *attempt;

	setenv("CAIRN_TEST_KILL_AT", "checkpointed:3", 1);
	assert_int_equal(fixture_run(f, ini), 1);
	unsetenv("CAIRN_TEST_KILL_AT");
	attempt = attempt_of(f, "a", 1);
	assert_float_equal(cairn_json_number(attempt, "kept_flop", 0), 3 * 48, 0);
	assert_true(sum_of(json_object_get(attempt, "flop")) >= 3 * 48);
	json_decref(attempt);

	assert_int_equal(fixture_run(f, ini), 0);
	attempt = attempt_of(f, "a", 2);
	assert_int_equal(cairn_json_integer(attempt, "resumed_step", 0), 3);
	assert_float_equal(sum_of(json_object_get(attempt, "flop")), 7 * 48, 0);
	assert_float_equal(cairn_json_number(attempt, "kept_flop", 0), 7 * 48, 0);
	json_decref(attempt);
	assert_float_equal(sum_of(json_object_get(result_of(f, "a"), "flop")), 10 * 48, 0);
	assert_int_equal(cairn_json_integer(result_of(f, "a"), "attempts", 0), 2);
}

/* Killed in its fifth step, 0.15 s each: the account of the last word stays, and what no checkpoint
 * has of it is wasted. */
static void test_run_stages__killed_is_accounted(void **state)
{
	fixture *f = *state;
	json_t *attempt;
	double spent;

	setenv("CAIRN_TEST_KILL_AT", "step:5", 1);
	assert_int_equal(fixture_run(f, HEAD "[stage a]\nplugin = matmul\nsteps = 9\n"
					     "checkpoint_every = 3\npause = 0.15s\n"),
		1);
	unsetenv("CAIRN_TEST_KILL_AT");
	attempt = attempt_of(f, "a", 1);
	assert_int_equal(cairn_json_integer(attempt, "signal", 0), SIGKILL);
	spent = sum_of(json_object_get(attempt, "flop"));
	assert_true(spent == 4 * 48 || spent == 5 * 48);
	assert_float_equal(cairn_json_number(attempt, "kept_flop", 0), 3 * 48, 0);
	assert_float_equal(f->summary.flop, spent, 0);
	assert_float_equal(f->summary.kept_flop, 3 * 48, 0);
	json_decref(attempt);
}

int tests_main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_run_stages__done_then_cached),
		FIXTURE_TEST(test_run_stages__records),
		FIXTURE_TEST(test_run_stages__metric_log),
		FIXTURE_TEST(test_run_stages__failure_leaves_finished_work),
		FIXTURE_TEST(test_run_stages__keep_going),
		FIXTURE_TEST(test_run_stages__faulty_plugins),
		FIXTURE_TEST(test_run_stages__crash_leaves_a_log),
		FIXTURE_TEST(test_run_stages__retries),
		FIXTURE_TEST(test_run_stages__timeout),
		FIXTURE_TEST(test_run_stages__memory_limit),
		FIXTURE_TEST(test_run_stages__scratch),
		FIXTURE_TEST(test_run_stages__waits_for_people),
		FIXTURE_TEST(test_run_stages__jobs_in_parallel),
		FIXTURE_TEST(test_run_stages__twins_run_once),
		FIXTURE_TEST(test_run_stages__missing_optional_output_blocks),
		FIXTURE_TEST(test_run_stages__plugin_replaced_after_the_plan),
		FIXTURE_TEST(test_run_stages__lock),
		FIXTURE_TEST(test_run_stages__two_runs_at_once),
		FIXTURE_TEST(test_run_stages__flops_are_metered),
		FIXTURE_TEST(test_run_stages__kept_and_wasted),
		FIXTURE_TEST(test_run_stages__killed_is_accounted),
	};

	return cmocka_run_group_tests_name("run/stages", tests, NULL, NULL);
}
