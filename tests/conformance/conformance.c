/* SPDX-License-Identifier: Apache-2.0 */
/*
 * conformance.c - does a plugin keep its duties? Runs a workflow that uses it, in many ways.
 *
 *	conformance DIRECTORY WORKFLOW.ini
 *
 * DIRECTORY must be empty or absent; stores are made in it. Plugins come from CAIRN_PLUGIN_PATH.
 * Give the stages a `checkpoint_every` of a few steps. The trials, each in a store of its own:
 *
 *   undisturbed   twice the same artifacts, on one thread and on two
 *   killed        by SIGKILL at growing steps, around checkpoints and around the commit;
 *                 resumed each time: the same artifacts and metric logs
 *   stopped       by SIGTERM at a step, resumed: the same
 *   cached        once more: nothing runs
 *
 * Prints one TAP line per trial; exit status 1 if one failed.
 */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "run/run.h"

/* One workflow in one store. */
struct trial {
	cairn_observer observer;
	cairn_store *store;
	cairn_registry *registry;
	cairn_workflow *workflow;
	cairn_plan *plan;
	cairn_run_summary summary;
	cairn_error error;
	uint64_t stop_at, last_step; /* last_step: the highest seen */
};

static const char *directory, *workflow_file;
static int n_trials, n_failed;

static void on_event(cairn_observer *observer, const cairn_plan *plan, const cairn_event *event)
{
	struct trial *trial = (struct trial *)observer;

	(void)plan;
	if (event->type != CAIRN_EVENT_PROGRESS)
		return;
	if (event->step > trial->last_step)
		trial->last_step = event->step;
	if (trial->stop_at && event->step >= trial->stop_at) {
		trial->stop_at = 0;
		kill(getpid(), SIGTERM);
	}
}

static void close_trial(struct trial *trial)
{
	cairn_plan_free(trial->plan);
	cairn_workflow_free(trial->workflow);
	cairn_plugins_close(trial->registry);
	cairn_store_close(trial->store);
	trial->plan = NULL;
	trial->workflow = NULL;
	trial->registry = NULL;
	trial->store = NULL;
}

static int open_trial(struct trial *trial, const char *store)
{
	cairn_errors errors = {0};
	char path[512];
	int rc;

	*trial = (struct trial){.observer = {.event = on_event}};
	snprintf(path, sizeof(path), "%s/%s", directory, store);
	rc = cairn_store_open(&trial->store, path, CAIRN_STORE_CREATE, &trial->error);
	if (rc == 0)
		rc = cairn_plugins_open(&trial->registry, trial->store, &trial->error);
	if (rc == 0)
		rc = cairn_workflow_load(
			&trial->workflow, workflow_file, NULL, 0, trial->registry, &errors);
	if (errors.n)
		trial->error = errors.items[0];
	cairn_errors_free(&errors);
	if (rc == 0)
		rc = cairn_plan_make(&trial->plan, trial->workflow, trial->store, &trial->error);
	return rc;
}

/* 0: all is done; 1: not all; < 0: an error. */
static int run(struct trial *trial, const char *store, int threads, uint64_t stop_at)
{
	cairn_run_options options = {.jobs = 1, .threads = threads, .keep_going = true};
	int rc = open_trial(trial, store);

	trial->stop_at = stop_at;
	if (rc == 0)
		rc = cairn_run_workflow(
			trial->plan, &options, &trial->observer, &trial->summary, &trial->error);
	if (rc < 0)
		printf("# %s: %s: %s\n", cairn_error_name(rc), trial->error.message,
			trial->error.detail);
	return rc;
}

/* "INSTANCE:PORT ID" for every output of every stage. */
static void list_outputs(cairn_text *out, const cairn_plan *plan)
{
	for (size_t i = 0; i < plan->n_stages; i++) {
		const cairn_planned *stage = &plan->stages[i];
		const json_t *result = cairn_plan_result(plan, i), *output;
		const char *port;

		if (!result)
			cairn_text_printf(out, "%s has no result\n", stage->instance->name);
		json_object_foreach(json_object_get(result, "outputs"), port, output)
		{
			cairn_text_printf(out, "%s:%s %s\n", stage->instance->name, port,
				cairn_json_string(output, "id", "?"));
		}
	}
}

static void report(const char *name, int rc, struct trial *trial, const cairn_text *expected)
{
	cairn_text got = {0};
	bool is_good = rc == 0;

	if (trial->plan)
		list_outputs(&got, trial->plan);
	if (expected && strcmp(cairn_text_get(&got), cairn_text_get(expected)) != 0) {
		is_good = false;
		printf("# expected:\n%s# got:\n%s", cairn_text_get(expected), cairn_text_get(&got));
	}
	printf("%s %d - %s\n", is_good ? "ok" : "not ok", ++n_trials, name);
	fflush(stdout);
	n_failed += !is_good;
	cairn_text_free(&got);
}

/* The outputs of a finished trial are those expected. */
static bool is_as_expected(const struct trial *trial, const cairn_text *expected)
{
	cairn_text got = {0};
	bool is_same;

	list_outputs(&got, trial->plan);
	is_same = strcmp(cairn_text_get(&got), cairn_text_get(expected)) == 0;
	cairn_text_free(&got);
	return is_same;
}

/*
 * Kills whatever stage reaches a point, and goes on to the next point in the same store: so
 * a stage is killed many times. A run that got through (not every point exists: a checkpoint
 * at each step, for one) is compared, and an empty store takes the place of its own.
 */
static void try_kills(const cairn_text *expected, uint64_t last_step)
{
	static const char *const names[] = {"step", "result", "checkpointed", "checkpoint"};
	uint64_t stride = last_step / 8 ? last_step / 8 : 1;
	struct trial trial = {0};
	int n_stores = 0, n_kills = 0, rc = 0;
	char store[32] = "killed-0";

	for (size_t i = 0; i < CAIRN_COUNT(names) && rc >= 0 && !trial.plan; i++) {
		for (uint64_t step = 1; step <= last_step && rc >= 0; step += stride) {
			char point[64];
			snprintf(point, sizeof(point), "%s:%llu", names[i],
				(unsigned long long)step);
			setenv("CAIRN_TEST_KILL_AT", point, 1);
			rc = run(&trial, store, 1, 0);
			n_kills += rc == 1;
			if (rc == 0 && !is_as_expected(&trial, expected))
				break; /* with the plan: told below */
			if (rc == 0)
				snprintf(store, sizeof(store), "killed-%d", ++n_stores);
			close_trial(&trial);
			if (strcmp(names[i], "result") == 0)
				break; /* there is one */
		}
	}
	unsetenv("CAIRN_TEST_KILL_AT");
	if (!trial.plan)
		rc = run(&trial, store, 1, 0);
	printf("# %d kills, %d stores\n", n_kills, n_stores + 1);
	report("killed anywhere and resumed: the same", n_kills ? rc : 1, &trial, expected);
	close_trial(&trial);
}

static void try_stops(const cairn_text *expected, uint64_t last_step)
{
	struct trial trial;
	int rc;

	for (int i = 1; i <= 3; i++) {
		rc = run(&trial, "stopped", 1, 1 + last_step * (uint64_t)i / 5);
		close_trial(&trial);
	}
	rc = run(&trial, "stopped", 1, 0);
	report("stopped and resumed: the same", rc, &trial, expected);
	close_trial(&trial);
}

static void try_all(void)
{
	cairn_text expected = {0};
	struct trial trial;
	uint64_t last_step;
	int rc = run(&trial, "undisturbed", 1, 0);

	list_outputs(&expected, trial.plan);
	last_step = trial.last_step;
	report("undisturbed", rc, &trial, NULL);
	close_trial(&trial);
	if (rc == 0) {
		rc = run(&trial, "again", 2, 0);
		report("again, on two threads: the same", rc, &trial, &expected);
		close_trial(&trial);
		try_kills(&expected, last_step);
		try_stops(&expected, last_step);
		rc = run(&trial, "undisturbed", 1, 0);
		report("once more: all cached",
			rc == 0 && trial.summary.cached == trial.plan->n_stages ? 0 : 1, &trial,
			&expected);
		close_trial(&trial);
	}
	cairn_text_free(&expected);
}

int main(int argc, char **argv)
{
	struct trial trial;
	int rc;

	if (argc > 1 && strcmp(argv[1], "--stage-host") == 0)
		return cairn_stage_host_main(argc, argv);
	if (argc > 1 && strcmp(argv[1], "--describe") == 0)
		return cairn_describe_main(argc, argv);
	if (argc != 3) {
		fprintf(stderr, "usage: conformance DIRECTORY WORKFLOW.ini\n");
		return 2;
	}
	directory = argv[1];
	workflow_file = argv[2];
	mkdir(directory, 0777);
	rc = open_trial(&trial, "undisturbed");
	if (rc < 0)
		fprintf(stderr, "conformance: %s: %s\n", trial.error.message, trial.error.detail);
	close_trial(&trial);
	if (rc < 0)
		return 2;
	try_all();
	printf("1..%d\n", n_trials);
	return n_failed ? 1 : 0;
}
