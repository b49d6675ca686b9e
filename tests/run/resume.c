/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Killed or stopped anywhere, resumed: the same artifacts, a metric log without gap or
 * repeat, and nothing left running.
 */
#include "fixture.h"

#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run/process.h"

#define HEAD "[workflow]\nname = w\n"

/* b depends on every step of a. */
static const char ini[] = HEAD "[stage a]\nplugin = counter\nsteps = 12\ncheckpoint_every = 3\n"
			       "[stage b]\nplugin = counter\nsteps = 5\ninput.in = a:out\n"
			       "checkpoint_every = 2\n";
static const char slow[] =
	HEAD "[stage a]\nplugin = counter\nsteps = 12\ncheckpoint_every = 3\npause = 0.01s\n"
	     "[stage b]\nplugin = counter\nsteps = 5\ninput.in = a:out\n"
	     "checkpoint_every = 2\npause = 0.01s\n";

struct ids {
	char a[80], a_log[80], b[80], b_log[80];
	double best;
};

static void take_ids(fixture *f, struct ids *ids)
{
	snprintf(ids->a, sizeof(ids->a), "%s", output_of(f, "a", "out"));
	snprintf(ids->a_log, sizeof(ids->a_log), "%s", output_of(f, "a", "metrics"));
	snprintf(ids->b, sizeof(ids->b), "%s", output_of(f, "b", "out"));
	snprintf(ids->b_log, sizeof(ids->b_log), "%s", output_of(f, "b", "metrics"));
	ids->best = cairn_json_number(json_object_get(result_of(f, "a"), "summary"), "best", -1);
}

static void assert_same(const struct ids *x, const struct ids *y)
{
	assert_string_equal(x->a, y->a);
	assert_string_equal(x->a_log, y->a_log);
	assert_string_equal(x->b, y->b);
	assert_string_equal(x->b_log, y->b_log);
	assert_true(x->best == y->best);
}

/* The undisturbed run, then the fixture has an empty store again. */
static void reference(fixture *f, struct ids *ids)
{
	assert_int_equal(fixture_run(f, ini), 0);
	take_ids(f, ids);
	assert_true(ids->best > 0);
	fixture_new_store(f);
}

static void test_run_resume__stage_killed_anywhere(void **state)
{
	static const char *const points[] = {"step:1", "step:3", "step:4", "step:12",
		"checkpoint:3", "checkpointed:3", "checkpoint:12", "result:1", "committed:1"};
	fixture *f = *state;
	struct ids undisturbed, ids;

	reference(f, &undisturbed);
	for (size_t i = 0; i < CAIRN_COUNT(points); i++) {
		setenv("CAIRN_TEST_KILL_AT", points[i], 1);
		/* Killed after its commit, a stage is done; else the run fails. */
		int rc = fixture_run(f, ini);
		assert_int_equal(rc, strcmp(points[i], "committed:1") == 0 ? 0 : 1);
		unsetenv("CAIRN_TEST_KILL_AT");
		if (rc) {
			json_t *attempt = attempt_of(f, "a", 1);
			assert_int_equal(cairn_json_integer(attempt, "signal", 0), SIGKILL);
			json_decref(attempt);
			assert_int_equal(fixture_run(f, ini), 0);
		}
		take_ids(f, &ids);
		assert_same(&undisturbed, &ids);
		assert_int_equal(count_checkpoints(f, "a"), 0);
		fixture_new_store(f);
	}
}

static void test_run_resume__goes_on_from_the_checkpoint(void **state)
{
	fixture *f = *state;

	setenv("CAIRN_TEST_KILL_AT", "checkpointed:6", 1);
	assert_int_equal(fixture_run(f, ini), 1);
	unsetenv("CAIRN_TEST_KILL_AT");
	assert_int_equal(count_checkpoints(f, "a"), 1);
	assert_int_equal(fixture_plan(f, ini), 0);
	assert_string_equal(stage_of(f, "a")->reason, "resumes at step 6");
	assert_int_equal(fixture_run(f, ini), 0);
	assert_int_equal(event_of(f, CAIRN_EVENT_STARTED, "a")->resumed_step, 6);
}

static void test_run_resume__keeps_as_many_as_asked(void **state)
{
	static const char three[] = HEAD "[stage a]\nplugin = counter\nsteps = 20\n"
					 "checkpoint_every = 2\nkeep_checkpoints = 3\n";
	fixture *f = *state;

	setenv("CAIRN_TEST_KILL_AT", "checkpointed:12", 1);
	assert_int_equal(fixture_run(f, three), 1);
	unsetenv("CAIRN_TEST_KILL_AT");
	assert_int_equal(count_checkpoints(f, "a"), 3);
}

/* Points the newest checkpoint's record at an artifact that is not there. */
static void damage_newest(fixture *f)
{
	const cairn_key *key = &stage_of(f, "a")->key;
	cairn_snapshot *snapshot;
	cairn_batch *batch;
	json_t *record;

	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_record_newest_checkpoint(&record, snapshot, key, NULL), 0);
	cairn_snapshot_end(snapshot);
	json_object_set_new(record, "id",
		json_string("sha256:00000000000000000000000000000000"
			    "00000000000000000000000000000000"));
	assert_int_equal(cairn_batch_begin(&batch, f->store, NULL), 0);
	assert_int_equal(cairn_record_put_checkpoint(batch, key,
				 (uint64_t)cairn_json_integer(record, "step", 0), record, NULL),
		0);
	assert_int_equal(cairn_batch_commit(batch, NULL), 0);
	json_decref(record);
}

static void test_run_resume__damaged_checkpoint_falls_back(void **state)
{
	static const char two[] = HEAD "[stage a]\nplugin = counter\nsteps = 12\n"
				       "checkpoint_every = 3\nkeep_checkpoints = 2\n";
	fixture *f = *state;
	char *undisturbed;

	assert_int_equal(fixture_run(f, two), 0);
	undisturbed = strdup(output_of(f, "a", "out"));
	for (int older = 1; older >= 0; older--) {
		fixture_new_store(f);
		setenv("CAIRN_TEST_KILL_AT", older ? "checkpointed:6" : "checkpointed:3", 1);
		assert_int_equal(fixture_run(f, two), 1);
		unsetenv("CAIRN_TEST_KILL_AT");
		damage_newest(f);
		assert_int_equal(fixture_run(f, two), 0);
		assert_int_equal(
			event_of(f, CAIRN_EVENT_STARTED, "a")->resumed_step, older ? 3 : 0);
		assert_non_null(strstr(event_of(f, CAIRN_EVENT_LOG, "a")->text, "cannot be used"));
		assert_string_equal(output_of(f, "a", "out"), undisturbed);
	}
	free(undisturbed);
}

static void test_run_resume__stopped_by_sigterm(void **state)
{
	fixture *f = *state;
	struct ids undisturbed, ids;
	json_t *attempt;

	reference(f, &undisturbed);
	f->stop_at_step = 1;
	assert_int_equal(fixture_run(f, slow), 1);
	assert_int_equal(f->summary.signal, SIGTERM);
	assert_int_equal(f->summary.stopped, 1);
	assert_int_equal(f->summary.blocked, 1);
	assert_non_null(event_of(f, CAIRN_EVENT_STOPPING, NULL));
	assert_int_equal(count_checkpoints(f, "a"), 1);
	attempt = attempt_of(f, "a", 1);
	assert_string_equal(cairn_json_string(attempt, "state", ""), "stopped");
	json_decref(attempt);
	assert_int_equal(fixture_run(f, slow), 0);
	assert_true(event_of(f, CAIRN_EVENT_STARTED, "a")->resumed_step > 0);
	take_ids(f, &ids);
	assert_same(&undisturbed, &ids);
}

/* The whole runner is killed, again and again, at times spread over the run. */
static void test_run_resume__runner_killed_at_random(void **state)
{
	fixture *f = *state;
	struct ids undisturbed, ids;
	int killed = 0, status;

	reference(f, &undisturbed);
	for (int round = 0; round < 8; round++) {
		struct timespec nap = {.tv_nsec = (20 + 23L * round) * 1000 * 1000};
		pid_t pid = fixture_spawn_run(f, slow);

		nanosleep(&nap, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		killed += WIFSIGNALED(status);
	}
	assert_true(killed > 2);
	assert_int_equal(fixture_run(f, slow), 0);
	take_ids(f, &ids);
	assert_same(&undisturbed, &ids);
}

static void test_run_resume__killed_runner_is_recovered(void **state)
{
	static const char long_one[] = HEAD "[stage a]\nplugin = counter\nsteps = 1000\n"
					    "pause = 0.02s\ncheckpoint_every = 2\n";
	fixture *f = *state;
	cairn_run_id newest;
	cairn_snapshot *snapshot;
	json_t *attempt = NULL, *run;
	pid_t pid = fixture_spawn_run(f, long_one);
	int status;

	assert_int_equal(fixture_plan(f, long_one), 0);
	for (int i = 0; i < 500 && count_checkpoints(f, "a") == 0; i++)
		usleep(10000);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGKILL);
	attempt = attempt_of(f, "a", 1);
	assert_string_equal(cairn_json_string(attempt, "state", ""), "running");
	for (int i = 0; i < 500 && cairn_process_is_alive(attempt); i++)
		usleep(10000);
	assert_false(cairn_process_is_alive(attempt)); /* the stage died with its runner */
	json_decref(attempt);

	f->stop_at_step = 1;
	assert_int_equal(fixture_run(f, long_one), 1);
	attempt = attempt_of(f, "a", 1);
	assert_string_equal(cairn_json_string(attempt, "state", ""), "killed");
	json_decref(attempt);
	assert_true(event_of(f, CAIRN_EVENT_STARTED, "a")->resumed_step >= 2);
	/* The dead run's record is closed: it is the newest but one. */
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(cairn_record_newest_run(&newest, snapshot, "w", NULL), 0);
	assert_memory_equal(&newest, &f->summary.run, sizeof(newest));
	assert_int_equal(cairn_record_runs(&run, snapshot, 2, NULL), 0);
	cairn_snapshot_end(snapshot);
	assert_string_equal(cairn_json_string(json_array_get(run, 1), "state", ""), "stopped");
	json_decref(run);
}

static double spent_in(const json_t *attempt)
{
	const json_t *flop = json_object_get(attempt, "flop");
	double sum = 0;

	for (size_t i = 0; i < json_array_size(flop); i++)
		sum += json_number_value(json_array_get(flop, i));
	return sum;
}

/* Runner and stage die at once: what was written down last is spent, and what no checkpoint has of
 * it wasted, for ever. */
static void test_run_resume__killed_runner_keeps_the_account(void **state)
{
	static const char endless[] = HEAD "[stage a]\nplugin = matmul\nsteps = 1000\n"
					   "pause = 0.05s\ncheckpoint_every = 500\n";
	fixture *f = *state;
	json_t *attempt = NULL;
	pid_t pid = fixture_spawn_run(f, endless);
	double before = 0;
	int status;

	assert_int_equal(fixture_plan(f, endless), 0);
	for (int i = 0; i < 1000 && before == 0; i++) {
		usleep(10000);
		json_decref(attempt);
		attempt = attempt_of(f, "a", 1);
		before = spent_in(attempt);
	}
	json_decref(attempt);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	f->stop_at_step = 1;
	assert_int_equal(fixture_run(f, endless), 1);
	attempt = attempt_of(f, "a", 1);
	assert_string_equal(cairn_json_string(attempt, "state", ""), "killed");
	assert_true(before > 0 && spent_in(attempt) >= before);
	assert_float_equal(cairn_json_number(attempt, "kept_flop", 0), 0, 0);
	json_decref(attempt);
}

/* Waits until the first attempt of a stage has written a line into its log. */
static void wait_for_log(fixture *f, const char *instance)
{
	struct stat st = {0};

	for (int i = 0; i < 1000 && st.st_size == 0; i++) {
		json_t *attempt = attempt_of(f, instance, 1);
		if (attempt)
			stat(cairn_json_string(attempt, "log", ""), &st);
		json_decref(attempt);
		usleep(10000);
	}
	assert_true(st.st_size > 0);
}

static void test_run_resume__second_signal_kills(void **state)
{
	static const char hang[] = HEAD "[stage h]\nplugin = hang\n";
	fixture *f = *state;
	pid_t pid = fixture_spawn_run(f, hang);
	int status;

	assert_int_equal(fixture_plan(f, hang), 0);
	wait_for_log(f, "h");
	kill(pid, SIGINT);
	usleep(100000); /* a hanging stage does not hear it */
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	kill(pid, SIGTERM);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), SIGINT); /* the first one is told on */
}

int tests_main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_run_resume__stage_killed_anywhere),
		FIXTURE_TEST(test_run_resume__goes_on_from_the_checkpoint),
		FIXTURE_TEST(test_run_resume__keeps_as_many_as_asked),
		FIXTURE_TEST(test_run_resume__damaged_checkpoint_falls_back),
		FIXTURE_TEST(test_run_resume__stopped_by_sigterm),
		FIXTURE_TEST(test_run_resume__runner_killed_at_random),
		FIXTURE_TEST(test_run_resume__killed_runner_is_recovered),
		FIXTURE_TEST(test_run_resume__killed_runner_keeps_the_account),
		FIXTURE_TEST(test_run_resume__second_signal_kills),
	};

	return cmocka_run_group_tests_name("run/resume", tests, NULL, NULL);
}
