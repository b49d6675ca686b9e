/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kills.c - five stages, and a hundred SIGKILLs at random moments: of the runner, of the stage
 * process, of both. What comes out is what the calm run made; metric logs have no gap and no
 * repeat; no process is left; and nothing had to be repaired.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "background.h"
#include "cli/drive.h"

enum {
	KILLS = 100,
	SPREAD_MS = 60,
	STEPS = 150,
	MOST_RUNS = 600,
};

/* Diamond and tail; each number of the last depends on each step of all. Slow is for the kills: a
 * parameter that does not enter the key. */
static const char ini[] = "[workflow]\nname = w\n[params]\npause = 0s\n"
			  "[stage a]\nplugin = counter\nsteps = 150\ncheckpoint_every = 1\n"
			  "pause = ${pause}\n"
			  "[stage b]\nplugin = counter\nsteps = 150\ncheckpoint_every = 7\n"
			  "pause = ${pause}\ninput.in = a:out\n"
			  "[stage c]\nplugin = counter\nsteps = 150\ncheckpoint_every = 3\n"
			  "pause = ${pause}\ninput.in = a:out\ntext = c\nextra = yes\n"
			  "[stage d]\nplugin = counter\nsteps = 150\ncheckpoint_every = 2\n"
			  "pause = ${pause}\ninput.in = b:out\n"
			  "[stage e]\nplugin = counter\nsteps = 150\ncheckpoint_every = 5\n"
			  "pause = ${pause}\ninput.in = c:extra\ntext = e\n";

static uint32_t draw(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

/* {"instance": outputs} of the newest run, as one text. Caller frees. */
static char *outputs_of(const char *store)
{
	char args[64], *text;
	json_t *status, *all = json_object(), *stage;
	size_t i;

	snprintf(args, sizeof(args), "--store %s status", store);
	status = cairn_json(args, "cairn.status/1");
	json_array_foreach(json_object_get(status, "stages"), i, stage) json_object_set(
		all, cairn_json_string(stage, "instance", "?"), json_object_get(stage, "outputs"));
	text = cairn_json_canonical(all);
	json_decref(all);
	json_decref(status);
	return text;
}

static void check_metrics(const char *stage)
{
	char args[64];
	json_t *log, *rows, *row;
	size_t i;

	snprintf(args, sizeof(args), "--store killed log %s --metrics", stage);
	log = cairn_json(args, "cairn.metrics/1");
	rows = json_object_get(log, "rows");
	assert_int_equal(json_array_size(rows), STEPS);
	json_array_foreach(rows, i, row)
		assert_int_equal(cairn_json_integer(row, "step", -1), (int)i + 1);
	json_decref(log);
}

struct tally {
	int runner, host, both;
};

/* One of three, of a run that was going on for a while. */
static bool kill_something(background *b, uint32_t *random, struct tally *tally)
{
	pid_t hosts[4];
	int n, what = (int)(draw(random) % 3);

	if (!background_is_running(b))
		return false;
	n = background_children(b->pid, hosts, 4);
	if (what == 0 || n == 0) {
		tally->runner++;
		kill(b->pid, SIGKILL);
		return true;
	}
	for (int i = 0; i < n; i++)
		kill(hosts[i], SIGKILL);
	if (what == 1) {
		tally->host++;
		return true;
	}
	tally->both++;
	kill(b->pid, SIGKILL);
	return true;
}

static void test_faults_kills__same_artifacts_after_a_hundred(void **state)
{
	char *want, *got;
	uint32_t random = 20220304;
	struct tally tally = {0};
	int kills = 0, status = -1, runs = 0;

	(void)state;
	drive_write("w.ini", ini);
	cairn_is(0, "--store calm run");
	want = outputs_of("calm");
	for (; status != 0 || kills < KILLS; runs++) {
		background b;

		assert_true(runs < MOST_RUNS);
		if (status == 0) { /* it is done before its time: all over again */
			got = outputs_of("killed");
			assert_string_equal(got, want);
			free(got);
			assert_int_equal(system("rm -rf killed"), 0);
		}
		b = background_start("--store killed run -j2 -p pause=2ms");
		background_nap(5 + (long)(draw(&random) % SPREAD_MS));
		if (kills < KILLS)
			kills += kill_something(&b, &random, &tally);
		status = background_end(&b, 30);
	}
	got = outputs_of("killed");
	assert_string_equal(got, want);
	for (const char *stage = "abcde"; *stage; stage++) {
		const char name[] = {*stage, '\0'};
		check_metrics(name);
	}
	cairn_is(0, "--store killed fsck");
	print_message("%d runs; killed: %d times the runner, %d times stages, %d times both\n",
		runs, tally.runner, tally.host, tally.both);
	assert_true(tally.runner > 10 && tally.host > 10 && tally.both > 10);
	free(want);
	free(got);
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_faults_kills__same_artifacts_after_a_hundred),
	};

	return cmocka_run_group_tests_name("faults/kills", tests, NULL, NULL);
}
