/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checkpoints that are written beside the next steps: what a kill, a stop, a full disk and a want
 * of memory do to them; and which of them stay.
 */
#include "fixture.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "run/host/host.h"
#include "run/plan/preflight.h"

#define HEAD "[workflow]\nname = w\n"

static const char ini[] = HEAD "[stage a]\nplugin = counter\nsteps = 12\ncheckpoint_every = 3\n";

static void test_fails_at(fixture *f, const char *text, const char *point)
{
	setenv("CAIRN_TEST_KILL_AT", point, 1);
	assert_int_equal(fixture_run(f, text), 1);
	unsetenv("CAIRN_TEST_KILL_AT");
}

/* The ids of output and metric log of an undisturbed run. */
static void undisturbed(fixture *f, const char *text, char out[80], char log[80])
{
	assert_int_equal(fixture_run(f, text), 0);
	snprintf(out, 80, "%s", output_of(f, "a", "out"));
	snprintf(log, 80, "%s", output_of(f, "a", "metrics"));
	fixture_new_store(f);
}

/* ---- beside the next steps ------------------------------------------------------------------ */

/* Complete, but not durable: as if it had never been. */
static void test_run_checkpoints__killed_before_durable(void **state)
{
	/* The next one waits for it: at step 8 the checkpoint of 3 is there, that of 6 is not. */
	static const struct {
		const char *point;
		uint64_t resumed;
	} kills[] = {{"step:5", 0}, {"step:8", 3}, {"step:11", 6}, {"checkpoint:6", 3}};
	fixture *f = *state;
	char out[80], log[80];

	undisturbed(f, ini, out, log);
	for (size_t i = 0; i < CAIRN_COUNT(kills); i++) {
		setenv("CAIRN_TEST_WRITE_DELAY", "0.2", 1);
		test_fails_at(f, ini, kills[i].point);
		unsetenv("CAIRN_TEST_WRITE_DELAY");
		assert_int_equal(count_checkpoints(f, "a"), kills[i].resumed > 0);
		assert_int_equal(fixture_run(f, ini), 0);
		assert_int_equal(
			event_of(f, CAIRN_EVENT_STARTED, "a")->resumed_step, kills[i].resumed);
		assert_string_equal(output_of(f, "a", "out"), out);
		assert_string_equal(output_of(f, "a", "metrics"), log);
		fixture_new_store(f);
	}
}

/* Killed in the middle of the writing itself, at any time. */
static void test_run_checkpoints__killed_while_writing(void **state)
{
	static const char heavy[] = HEAD "[stage a]\nplugin = heavy\nsteps = 6\nbytes = 24M\n"
					 "checkpoint_every = 1\nwork = 0.005s\n";
	fixture *f = *state;
	char out[80], log[80];
	int killed = 0;

	undisturbed(f, heavy, out, log);
	for (int round = 0; round < 12; round++) {
		struct timespec nap = {.tv_nsec = (15 + 9L * round) * 1000 * 1000};
		pid_t pid = fixture_spawn_run(f, heavy);
		int status;

		nanosleep(&nap, NULL);
		kill(pid, SIGKILL);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		killed += WIFSIGNALED(status);
	}
	assert_true(killed > 2);
	assert_int_equal(fixture_run(f, heavy), 0);
	assert_string_equal(output_of(f, "a", "out"), out);
	assert_string_equal(output_of(f, "a", "metrics"), log);
}

/* The steps go on while it is written; the runner hears of it when it is durable. */
static void test_run_checkpoints__steps_go_on(void **state)
{
	static const char slow[] = HEAD "[stage a]\nplugin = counter\nsteps = 60\npause = 0.01s\n"
					"checkpoint_every = 10\n";
	fixture *f = *state;
	const seen_event *event = NULL;
	uint64_t step = 0;

	setenv("CAIRN_TEST_WRITE_DELAY", "0.07", 1);
	assert_int_equal(fixture_run(f, slow), 0);
	unsetenv("CAIRN_TEST_WRITE_DELAY");
	for (size_t i = 0; i < f->n_events && !event; i++) {
		if (f->events[i].type == CAIRN_EVENT_PROGRESS)
			step = f->events[i].step;
		if (f->events[i].type == CAIRN_EVENT_CHECKPOINT)
			event = &f->events[i];
	}
	assert_non_null(event);
	assert_int_equal(event->step, 10);
	assert_true(step >= 10); /* that step was told first */
	assert_int_equal(count_events(f, CAIRN_EVENT_CHECKPOINT), 6);
}

static void test_run_checkpoints__stop_waits_for_the_write(void **state)
{
	static const char slow[] = HEAD "[stage a]\nplugin = counter\nsteps = 200\npause = 0.01s\n"
					"checkpoint_every = 1h\n";
	fixture *f = *state;
	json_t *attempt;
	int64_t step;

	setenv("CAIRN_TEST_WRITE_DELAY", "0.3", 1);
	f->stop_at_step = 1;
	assert_int_equal(fixture_run(f, slow), 1);
	unsetenv("CAIRN_TEST_WRITE_DELAY");
	assert_int_equal(f->summary.stopped, 1);
	assert_int_equal(count_checkpoints(f, "a"), 1);
	attempt = attempt_of(f, "a", 1);
	assert_string_equal(cairn_json_string(attempt, "state", ""), "stopped");
	step = cairn_json_integer(attempt, "step", 0);
	json_decref(attempt);
	f->stop_at_step = 1;
	assert_int_equal(fixture_run(f, slow), 1);
	assert_int_equal(event_of(f, CAIRN_EVENT_STARTED, "a")->resumed_step, step);
}

/* ---- what can go wrong --------------------------------------------------------------------------
 */

static void limit_files(rlim_t bytes)
{
	struct rlimit limit;

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	limit.rlim_cur = bytes ? bytes : limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A disk that takes no more: the attempt says so, and what was there stays. */
static void test_run_checkpoints__full_disk(void **state)
{
	static const char heavy[] = HEAD "[stage a]\nplugin = heavy\nsteps = 20\nbytes = 8M\n"
					 "checkpoint_every = 2\nwork = 0.01s\n";
	fixture *f = *state;
	char out[80], log[80];
	json_t *attempt;

	undisturbed(f, heavy, out, log);
	test_fails_at(f, heavy, "checkpointed:4");
	limit_files(4 << 20);
	assert_int_equal(fixture_run(f, heavy), 1);
	limit_files(0);
	attempt = attempt_of(f, "a", 2);
	assert_string_equal(cairn_json_string(attempt, "state", ""), "failed");
	assert_true(cairn_json_integer(attempt, "resumed_step", 0) == 4);
	/* Not the next checkpoint's, but at one of the steps after the write began. */
	assert_true(cairn_json_integer(attempt, "step", 0) <= 8);
	assert_non_null(strstr(cairn_json_string(json_object_get(attempt, "error"), "message", ""),
		"cannot write segment"));
	json_decref(attempt);
	assert_int_equal(count_checkpoints(f, "a"), 1);
	assert_int_equal(fixture_run(f, heavy), 0);
	assert_int_equal(event_of(f, CAIRN_EVENT_STARTED, "a")->resumed_step, 4);
	assert_string_equal(output_of(f, "a", "out"), out);
	assert_string_equal(output_of(f, "a", "metrics"), log);
}

/* The last checkpoint is not needed for the result. */
static void test_run_checkpoints__done_without_the_last(void **state)
{
	static const char heavy[] = HEAD "[stage a]\nplugin = heavy\nsteps = 4\nbytes = 8M\n"
					 "checkpoint_every = 4\n";
	fixture *f = *state;
	const seen_event *event;

	limit_files(4 << 20);
	assert_int_equal(fixture_run(f, heavy), 0);
	limit_files(0);
	event = event_of(f, CAIRN_EVENT_LOG, "a");
	for (; event < f->events + f->n_events; event++)
		if (strstr(event->text, "was not written"))
			break;
	assert_true(event < f->events + f->n_events);
	assert_int_equal(count_checkpoints(f, "a"), 0);
}

static bool has_logged(fixture *f, const char *text)
{
	for (size_t i = 0; i < f->n_events; i++)
		if (f->events[i].type == CAIRN_EVENT_LOG && strstr(f->events[i].text, text))
			return true;
	return false;
}

/* No memory for a copy: written at once, to the same effect. */
static void test_run_checkpoints__no_memory_for_a_copy(void **state)
{
	static const char free_of[] = HEAD "[stage a]\nplugin = heavy\nsteps = 6\nbytes = 64M\n"
					   "checkpoint_every = 2\n";
	/* Found out by the plan, and in the middle of the first copy. */
	static const char *const limited[] = {HEAD
		"[stage a]\nplugin = heavy\nsteps = 6\nbytes = 64M\n"
		"checkpoint_every = 2\nmemory = 150M\n",
		HEAD "[stage a]\nplugin = heavy\nsteps = 6\nbytes = 64M\n"
		     "checkpoint_every = 2\nmemory = 150M\nestimates = no\n"};
	fixture *f = *state;
	char out[80], log[80];

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* they take more memory than that for themselves */
#endif
	undisturbed(f, free_of, out, log);
	assert_false(has_logged(f, "no memory for a copy"));
	for (size_t i = 0; i < CAIRN_COUNT(limited); i++) {
		test_fails_at(f, limited[i], "checkpointed:4");
		assert_true(has_logged(f, "no memory for a copy"));
		assert_int_equal(count_checkpoints(f, "a"), 1);
		assert_int_equal(fixture_run(f, limited[i]), 0);
		assert_int_equal(event_of(f, CAIRN_EVENT_STARTED, "a")->resumed_step, 4);
		assert_string_equal(output_of(f, "a", "out"), out);
		assert_string_equal(output_of(f, "a", "metrics"), log);
		fixture_new_store(f);
	}
}

/* A machine that has no room for the copy runs the stage all the same; one that has no room for the
 * stage does not. */
static void test_run_checkpoints__the_plan_counts_the_copy(void **state)
{
	static const char heavy[] = HEAD "[stage a]\nplugin = heavy\nsteps = 2\nbytes = 8M\n"
					 "checkpoint_every = 1\n";
	/* MiB: the stage 18, the store's buffers 8, the copy 8. */
	static const struct {
		const char *memory;
		uint64_t claim;
		int code;
	} cases[] = {{"34M", 34, 0}, {"33M", 26, 0}, {"25M", 26, CAIRN_ELIMIT}};
	fixture *f = *state;

	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		const cairn_planned *planned;

		setenv("CAIRN_MEMORY", cases[i].memory, 1);
		assert_int_equal(fixture_run(f, heavy), cases[i].code);
		planned = stage_of(f, "a");
		assert_int_equal(planned->cost->memory_bytes, 34 << 20);
		assert_int_equal(cairn_memory_claim(planned), cases[i].claim << 20);
		assert_int_equal(has_logged(f, "no memory for a copy"),
			planned->cost->lacks_copy && !cases[i].code);
		fixture_new_store(f);
	}
	unsetenv("CAIRN_MEMORY");
}

/* ---- which stay ------------------------------------------------------------------------------ */

/* Steps with a '*' behind them must stay. */
static void assert_retained(const cairn_job *job, const char *what)
{
	json_t *records = json_array();
	bool stays[16] = {false}, expected[16] = {false};
	size_t n = 0;

	for (const char *at = what; *at; n++) {
		char *end;
		long step = strtol(at, &end, 10);
		double value = 0;

		if (*end == '=')
			value = strtod(end + 1, &end);
		json_array_append_new(records,
			json_pack("{s:i, s:{s:f}}", "step", (int)step, "metrics", "m", value));
		expected[n] = *end == '*';
		at = end + (*end == '*') + strspn(end + (*end == '*'), " ");
	}
	cairn_host_retain(job, records, stays);
	for (size_t i = 0; i < n; i++)
		if (stays[i] != expected[i])
			fail_msg("'%s': number %zu %s", what, i, stays[i] ? "stays" : "goes");
	json_decref(records);
}

static void test_run_checkpoints__which_stay(void **state)
{
	cairn_job job = {.keep_checkpoints = 1};

	(void)state;
	assert_retained(&job, "10*");
	assert_retained(&job, "10 20 30*");
	job.keep_checkpoints = 2;
	assert_retained(&job, "10 20* 30*");
	job.keep_best = "m";
	assert_retained(&job, "10=2 20=1* 30=2* 40=1*"); /* the first of equals */
	job.best_is_largest = true;
	assert_retained(&job, "10=2* 20=1 30=2* 40=1*");
	job = (cairn_job){.keep_checkpoints = 1, .keep_every = 20};
	assert_retained(&job, "10 20* 30 40* 50*");
	assert_retained(&job, "19 27* 39 40* 41 42*"); /* the first of each twenty */
	job.keep_best = "other";
	assert_retained(&job, "5=1 6=2*");
}

/* What stays has a name and can be looked at; and it is the same after any kill. */
static void test_run_checkpoints__kept_for_people(void **state)
{
	static const char kept[] = HEAD "[stage a]\nplugin = heavy\nsteps = 14\nbytes = 64K\n"
					"checkpoint_every = 1\nkeep_best = wave\nkeep_every = 4\n";
	static const char *const points[] = {
		NULL, "checkpointed:1", "checkpointed:5", "checkpointed:8", "result:1"};
	static const char *const ports[] = {
		"checkpoint@4", "checkpoint@8", "checkpoint@12", "checkpoint@best"};
	char ids[CAIRN_COUNT(ports)][80];
	fixture *f = *state;

	for (size_t i = 0; i < CAIRN_COUNT(points); i++) {
		if (points[i])
			test_fails_at(f, kept, points[i]);
		assert_int_equal(fixture_run(f, kept), 0);
		for (size_t k = 0; k < CAIRN_COUNT(ports); k++) {
			if (!points[i])
				snprintf(ids[k], sizeof(ids[k]), "%s", output_of(f, "a", ports[k]));
			assert_string_equal(ids[k], output_of(f, "a", ports[k]));
		}
		assert_int_equal(count_checkpoints(f, "a"), 0);
		/* Of the result: out, metrics, and the four. */
		assert_int_equal(
			json_object_size(json_object_get(result_of(f, "a"), "outputs")), 6);
		fixture_new_store(f);
	}
}

/* Wave is 1 at step 5 and 13: the best is that of step 5. */
static void test_run_checkpoints__best_is_named(void **state)
{
	static const char kept[] =
		HEAD "[stage a]\nplugin = heavy\nsteps = 14\nbytes = 64K\n"
		     "checkpoint_every = 1\nkeep_best = wave min\nkeep_every = 5\n";
	fixture *f = *state;
	cairn_snapshot *snapshot;
	const void *id;
	size_t len;

	assert_int_equal(fixture_run(f, kept), 0);
	assert_string_equal(
		output_of(f, "a", "checkpoint@best"), output_of(f, "a", "checkpoint@5"));
	assert_int_equal(cairn_snapshot_begin(&snapshot, f->store, NULL), 0);
	assert_int_equal(
		cairn_snapshot_get(snapshot, "ref", "w/a:checkpoint@best", 19, &id, &len, NULL), 0);
	assert_int_equal(len, sizeof(cairn_id));
	cairn_snapshot_end(snapshot);
}

static void test_run_checkpoints__a_metric_nobody_reports(void **state)
{
	static const char kept[] = HEAD "[stage a]\nplugin = heavy\nsteps = 3\nbytes = 64K\n"
					"keep_best = loss\n";
	fixture *f = *state;

	assert_int_equal(fixture_run(f, kept), 0);
	assert_true(has_logged(f, "has the metric 'loss' of keep_best"));
}

/* They are written for that reason alone: at the first row, which is the best so far, and at each
 * second step. */
static void test_run_checkpoints__written_when_wanted(void **state)
{
	static const char best[] = HEAD "[stage a]\nplugin = heavy\nsteps = 3\nbytes = 64K\n"
					"checkpoint_every = 1h\nkeep_best = wave\n";
	static const char every[] = HEAD "[stage a]\nplugin = heavy\nsteps = 5\nbytes = 64K\n"
					 "checkpoint_every = 1h\nkeep_every = 2\n";
	fixture *f = *state;

	assert_int_equal(fixture_run(f, best), 0);
	assert_int_equal(event_of(f, CAIRN_EVENT_CHECKPOINT, "a")->step, 1);
	fixture_new_store(f);
	assert_int_equal(fixture_run(f, every), 0);
	assert_int_equal(count_events(f, CAIRN_EVENT_CHECKPOINT), 2);
	assert_int_equal(event_of(f, CAIRN_EVENT_CHECKPOINT, "a")->step, 2);
}

int tests_main(void)
{
	const struct CMUnitTest tests[] = {
		FIXTURE_TEST(test_run_checkpoints__killed_before_durable),
		FIXTURE_TEST(test_run_checkpoints__killed_while_writing),
		FIXTURE_TEST(test_run_checkpoints__steps_go_on),
		FIXTURE_TEST(test_run_checkpoints__stop_waits_for_the_write),
		FIXTURE_TEST(test_run_checkpoints__full_disk),
		FIXTURE_TEST(test_run_checkpoints__done_without_the_last),
		FIXTURE_TEST(test_run_checkpoints__no_memory_for_a_copy),
		FIXTURE_TEST(test_run_checkpoints__the_plan_counts_the_copy),
		cmocka_unit_test(test_run_checkpoints__which_stay),
		FIXTURE_TEST(test_run_checkpoints__kept_for_people),
		FIXTURE_TEST(test_run_checkpoints__best_is_named),
		FIXTURE_TEST(test_run_checkpoints__written_when_wanted),
		FIXTURE_TEST(test_run_checkpoints__a_metric_nobody_reports),
	};

	return cmocka_run_group_tests_name("run/checkpoints", tests, NULL, NULL);
}
