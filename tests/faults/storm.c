/* SPDX-License-Identifier: Apache-2.0 */
/*
 * storm.c - 200 SIGKILLs and more, spread over pretrain, sft, rm and ppo, each time resumed on
 * another number of threads: the artifacts of the undisturbed run, and metric logs without a gap
 * or a repeat.
 *
 * The moments are random in time, so they fall into steps, into the writing of checkpoints, and
 * into the runner's own transactions. The ledger says which stage was hit: once one has had its
 * share, it is left alone until it is done.
 */
#include "../test.h"

#include <stdlib.h>
#include <string.h>

#include "../e2e/drive.h"

static const char storm[] = CAIRN_SOURCE_DIR "/tests/faults/storm.ini";

static const char *const training[] = {"pretrain", "sft", "rm", "ppo"};

enum {
	KILLS_A_STAGE = 52,
	SPREAD_MS = 70,
	PATIENCE_MS = 400, /* for a stage that has had its share */
	MOST_KILLS = 3000,
};

static uint32_t draw(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* Attempts of the training stages so far, and of the one that was started last. */
struct attempts {
	int64_t of[CAIRN_COUNT(training)];
	int64_t sum, last;
};

static struct attempts count_attempts(const char *store)
{
	struct attempts out = {0};
	drive_result result = drive(ARGS("--store", store, "cost", "--json"));
	json_t *cost = NULL, *stage;
	size_t i;

	/* Nothing was recorded yet: killed before the first transaction. */
	if (result.status != 0 ||
		cairn_json_parse(&cost, result.out, strlen(result.out), "stdout", NULL))
		goto out;
	json_array_foreach(json_object_get(cost, "stages"), i, stage)
	{
		for (size_t k = 0; k < CAIRN_COUNT(training); k++) {
			if (strcmp(cairn_json_string(stage, "instance", ""), training[k]) != 0)
				continue;
			out.of[k] = cairn_json_integer(stage, "attempts", 0);
			out.sum += out.of[k];
			if (out.of[k] > 0)
				out.last = out.of[k];
		}
	}
out:
	json_decref(cost);
	drive_free(&result);
	return out;
}

/* Rows of `log --metrics` have the steps 1, 2, 3 ... of the stage, each once. */
static void check_metrics(const char *store, const char *instance, bool each_step)
{
	json_t *log = drive_json(ARGS("--store", store, "log", instance, "--metrics", "--json"));
	json_t *rows = json_object_get(log, "rows"), *row;
	int64_t last = 0;
	size_t i;

	assert_true(json_array_size(rows) > 10);
	json_array_foreach(rows, i, row)
	{
		int64_t step = cairn_json_integer(row, "step", -1);

		if (each_step)
			assert_int_equal(step, last + 1);
		assert_true(step > last);
		last = step;
	}
	json_decref(log);
}

/* Kills until the workflow is done; returns how often. */
static unsigned kill_until_done(const char *store)
{
	static const char *const threads[] = {"1", "2", "3", "4"};
	uint32_t random = 20220304;
	struct attempts before = {0}, after;
	unsigned kills = 0, start_ms = 20;

	for (;; kills++, before = after) {
		unsigned ms = start_ms + draw(&random) % SPREAD_MS;

		if (before.last > KILLS_A_STAGE)
			ms += PATIENCE_MS;
		if (!drive_and_kill(ARGS("--store", store, "run", storm, "--threads",
					    threads[kills % CAIRN_COUNT(threads)]),
			    ms))
			return kills;
		assert_true(kills < MOST_KILLS);
		after = count_attempts(store);
		/* Too early for any stage: this machine needs longer to start one. */
		if (after.sum == before.sum)
			start_ms++;
	}
}

static void test_faults_storm__same_artifacts_after_200_kills(void **state)
{
	char calm[300], killed[300], *want, *got;
	drive_result result;
	struct attempts attempts;
	unsigned kills;

	(void)state;
	snprintf(calm, sizeof(calm), "%s/calm", drive_directory());
	snprintf(killed, sizeof(killed), "%s/killed", drive_directory());
	result = drive(ARGS("--store", calm, "run", storm, "--threads", "2"));
	if (result.status != 0)
		fail_msg("status %d\n%s", result.status, result.err);
	drive_free(&result);
	want = drive_outputs(calm);
	kills = kill_until_done(killed);
	got = drive_outputs(killed);
	assert_string_equal(want, got);
	attempts = count_attempts(killed);
	for (size_t i = 0; i < CAIRN_COUNT(training); i++) {
		print_message("%s: %lld kills\n", training[i], (long long)attempts.of[i] - 1);
		/* The last attempt of each ended by itself. */
		assert_true(attempts.of[i] - 1 >= KILLS_A_STAGE);
		/* ppo has a row an iteration, the others one a step. */
		check_metrics(killed, training[i], strcmp(training[i], "ppo") != 0);
	}
	print_message("%u kills\n", kills);
	free(want);
	free(got);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults_storm__same_artifacts_after_200_kills),
	};
	int failed = cmocka_run_group_tests_name("storm", tests, NULL, NULL);

	drive_clean();
	return failed;
}
