/* SPDX-License-Identifier: Apache-2.0 */
/*
 * short.c - SIGKILLs over a workflow of 500 stages that share processes and commits.
 *
 * Whatever the moment, a group of stages is there as a whole or not at all: the next run goes on
 * from it, nothing is done twice that was committed, and what comes out is what the calm run
 * made, bit for bit.
 */
#include "../test.h"

#include <stdlib.h>
#include <string.h>

#include "../e2e/drive.h"

enum {
	LAYERS = 20,
	WIDTH = 25,
	STORES = 2, /* each starts again from nothing */
	MOST_KILLS = 400,
	SPREAD_MS = 40,
};

static uint32_t draw(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static void write_workflow(const char *path)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs("[workflow]\nname = short\n", file);
	for (int layer = 0; layer < LAYERS; layer++) {
		for (int i = 0; i < WIDTH; i++) {
			fprintf(file, "[stage l%dx%d]\nplugin = noop\ntext = %d %d\n", layer, i,
				layer, i);
			if (layer)
				fprintf(file, "input.in = l%dx%d:out l%dx%d:out\n", layer - 1, i,
					layer - 1, (i + 1) % WIDTH);
		}
	}
	assert_int_equal(fclose(file), 0);
}

/* Every stage is done, and was written down as tried once: a group that was lost is as if it had
 * never been. */
static void check_attempts(const char *store)
{
	json_t *cost = drive_json(ARGS("--store", store, "cost", "--json"));
	json_t *stages = json_object_get(cost, "stages"), *stage;
	size_t i;

	assert_int_equal(json_array_size(stages), LAYERS * WIDTH);
	json_array_foreach(stages, i, stage)
		assert_int_equal(cairn_json_integer(stage, "attempts", 0), 1);
	json_decref(cost);
}

static unsigned kill_until_done(const char *store, const char *workflow, uint32_t *random)
{
	unsigned kills = 0, start_ms = 4;

	for (;; kills++) {
		/* Every fifth time a little later: the machine may need longer to get anywhere. */
		if (kills % 5 == 4)
			start_ms += 5;
		if (!drive_and_kill(ARGS("--store", store, "run", "-j2", workflow),
			    start_ms + draw(random) % SPREAD_MS))
			return kills;
		assert_true(kills < MOST_KILLS);
	}
}

static void test_faults_short__same_artifacts_after_any_kill(void **state)
{
	char workflow[300], store[300], *want, *got;
	uint32_t random = 20220304;
	drive_result result;
	unsigned kills = 0;

	(void)state;
	setenv("CAIRN_PLUGIN_PATH", CAIRN_TEST_PLUGIN_DIR, 1);
	snprintf(workflow, sizeof(workflow), "%s/short.ini", drive_directory());
	snprintf(store, sizeof(store), "%s/calm", drive_directory());
	write_workflow(workflow);
	result = drive(ARGS("--store", store, "run", "-j2", workflow));
	if (result.status != 0)
		fail_msg("status %d\n%s", result.status, result.err);
	drive_free(&result);
	want = drive_outputs(store);
	for (int n = 0; n < STORES; n++) {
		snprintf(store, sizeof(store), "%s/killed%d", drive_directory(), n);
		kills += kill_until_done(store, workflow, &random);
		got = drive_outputs(store);
		assert_string_equal(want, got);
		free(got);
		check_attempts(store);
		result = drive(ARGS("--store", store, "fsck"));
		if (result.status != 0)
			fail_msg("fsck: status %d\n%s%s", result.status, result.out, result.err);
		drive_free(&result);
	}
	print_message("%u kills\n", kills);
	assert_true(kills >= STORES); /* else nothing was tested */
	free(want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_faults_short__same_artifacts_after_any_kill),
	};
	int failed = cmocka_run_group_tests_name("faults/short", tests, NULL, NULL);

	drive_clean();
	return failed;
}
