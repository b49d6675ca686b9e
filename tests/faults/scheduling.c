/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scheduling.c - what runs at the same time, and what must not: cpus, gpus, memory and -j, claims
 * that are larger than the machine, claims from estimates, and the order of what is ready.
 *
 * Each stage writes "+NAME" when it begins and "-NAME" when it ends into one file.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/drive.h"

#define HEAD "[workflow]\nname = w\n[axis n]\nvalues = a, b, c, d\n"
#define STAGE(more) \
	HEAD "[stage s]\nplugin = overlap\nforeach = n\ntext = ${n}\npause = 60ms\n" more

/* How many ran at once, at most. */
static int most_at_once(void)
{
	char *text = drive_read("overlap");
	int now = 0, most = 0;

	for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
		now += *at == '+' ? 1 : -1;
		most = now > most ? now : most;
	}
	assert_int_equal(now, 0);
	free(text);
	return most;
}

/* The names in the order in which they began. */
static char *order(void)
{
	char *text = drive_read("overlap"), *out = calloc(1, strlen(text) + 1), *end = out;

	for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
		size_t len = strcspn(at, "\n");

		if (*at != '+')
			continue;
		memcpy(end, at + 1, len - 1);
		end += len - 1;
	}
	free(text);
	return out;
}

static int run(const char *ini, const char *args)
{
	unlink("overlap");
	drive_write("w.ini", ini);
	cairn_is(0, args);
	return most_at_once();
}

/* A store of its own for each run: nothing is cached. */
static int fresh(const char *ini)
{
	static int n;
	char args[64];

	snprintf(args, sizeof(args), "--store s%d run -j4", n++);
	return run(ini, args);
}

static void test_faults_scheduling__jobs(void **state)
{
	(void)state;
	assert_int_equal(run(STAGE(""), "--store one run"), 1);
	assert_int_equal(run(STAGE(""), "--store two run -j2"), 2);
	assert_int_equal(fresh(STAGE("")), 4);
}

/* Half of the cpus: two at once; more than there are: all of them, so one. */
static void test_faults_scheduling__cpus(void **state)
{
	char ini[512];
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	(void)state;
	snprintf(ini, sizeof(ini), STAGE("cpus = %ld\n"), n);
	assert_int_equal(fresh(ini), 1);
	snprintf(ini, sizeof(ini), STAGE("cpus = %ld\n"), n * 100);
	assert_int_equal(fresh(ini), 1);
	if (n < 2)
		return;
	snprintf(ini, sizeof(ini), STAGE("cpus = %ld\n"), n / 2);
	assert_int_equal(fresh(ini), n / (n / 2) < 4 ? (int)(n / (n / 2)) : 4);
}

static void test_faults_scheduling__gpus(void **state)
{
	(void)state;
	drive_env("CUDA_VISIBLE_DEVICES", "0,1");
	assert_int_equal(fresh(STAGE("gpus = 1\n")), 2);
	assert_int_equal(fresh(STAGE("gpus = 2\n")), 1);
	assert_int_equal(fresh(STAGE("gpus = 8\n")), 1);
	/* Where there are none the claim is of nothing. */
	drive_env("CUDA_VISIBLE_DEVICES", "");
	assert_int_equal(fresh(STAGE("gpus = 1\n")), 4);
	drive_env("CUDA_VISIBLE_DEVICES", NULL);
}

/* The device of the running stages; fails the test where two have one. */
static void check_devices(const char *names)
{
	char *text = drive_read("overlap"), held[8] = "";

	for (const char *at = text; *at; at = strchr(at, '\n') + 1) {
		const char *device = strchr(at, ' ') + 1;

		assert_non_null(strchr(names, *device));
		assert_int_equal(device[1], '\n');
		if (*at == '+') {
			assert_null(strchr(held, *device));
			held[strlen(held)] = *device;
		} else {
			memset(strchr(held, *device), '-', 1);
		}
		for (size_t n = strlen(held); n > 0 && held[n - 1] == '-'; n--)
			held[n - 1] = '\0';
	}
	free(text);
}

/* At the same time, each has devices of its own, of those that we may use. */
static void test_faults_scheduling__devices(void **state)
{
	char *text;

	(void)state;
	drive_env("CUDA_VISIBLE_DEVICES", "7, 4,-1,5");
	assert_int_equal(fresh(STAGE("gpus = 1\nshows_gpus = yes\n")), 2);
	check_devices("47");
	assert_int_equal(fresh(STAGE("gpus = 9\nshows_gpus = yes\n")), 1);
	text = drive_read("overlap");
	assert_has(text, "+a 7,4\n");
	free(text);
	/* Without a claim it sees what we see. */
	assert_int_equal(fresh(STAGE("shows_gpus = yes\n")), 4);
	text = drive_read("overlap");
	assert_has(text, "+a 7, 4,-1,5\n");
	free(text);
	/* A command sees them, too. */
	drive_write("w.ini", "[workflow]\nname = w\n[stage e]\nplugin = exec\ngpus = 1\n"
			     "command = echo $CUDA_VISIBLE_DEVICES >out/gpu\noutputs = gpu\n");
	cairn_is(0, "run -q");
	assert_has(cairn_is(0, "cat e:out gpu")->out, "7\n");
	drive_env("CUDA_VISIBLE_DEVICES", NULL);
}

static void test_faults_scheduling__memory(void **state)
{
	(void)state;
#ifndef __SANITIZE_ADDRESS__ /* whose own memory is more than any limit */
	drive_env("CAIRN_MEMORY", "1G");
	assert_int_equal(fresh(STAGE("memory = 512M\n")), 2);
	assert_int_equal(fresh(STAGE("memory = 513M\n")), 1);
	assert_int_equal(fresh(STAGE("memory = 4G\n")), 1);
#endif
	/* An estimate claims, too, and is no limit. */
	drive_env("CAIRN_MEMORY", "1G");
	assert_int_equal(fresh(STAGE("claim = 400M\n")), 2);
	assert_int_equal(fresh(STAGE("claim = 1G\n")), 1);
	/* What does not fit at all is refused before anything begins, unless somebody insists. */
	unlink("overlap");
	drive_write("w.ini", STAGE("claim = 2G\n"));
	assert_has(cairn_is(2, "--store big run -j4")->err, "nothing was run");
	assert_int_equal(access("overlap", F_OK), -1);
	assert_int_equal(run(STAGE("claim = 2G\n"), "--store big run -j4 --overcommit"), 1);
	drive_env("CAIRN_MEMORY", NULL);
}

/* One that is too large for the moment does not hold up what comes after it. */
static void test_faults_scheduling__small_ones_pass(void **state)
{
	char *began;

	(void)state;
	drive_env("CAIRN_MEMORY", "1G");
	fresh("[workflow]\nname = w\n"
	      "[stage a]\nplugin = overlap\ntext = a\nclaim = 600M\npause = 300ms\n"
	      "[stage b]\nplugin = overlap\ntext = b\nclaim = 600M\npause = 10ms\n"
	      "[stage c]\nplugin = overlap\ntext = c\nclaim = 100M\npause = 10ms\n");
	drive_env("CAIRN_MEMORY", NULL);
	began = order();
	/* a and c are begun together, whoever is first; b waits for the end of a. */
	assert_true(strcmp(began, "acb") == 0 || strcmp(began, "cab") == 0);
	free(began);
}

/* In the order of the file, whatever became ready first. */
static void test_faults_scheduling__order_is_that_of_the_plan(void **state)
{
	static const char ini[] =
		"[workflow]\nname = w\n[axis n]\nvalues = 1, 2, 3\n"
		"[stage d]\nplugin = overlap\ntext = d${n}\nforeach = n\ninput.in = a:out\npause = 1ms\n"
		"[stage a]\nplugin = overlap\ntext = a\npause = 1ms\n"
		"[stage b]\nplugin = overlap\ntext = b\npause = 1ms\n"
		"[stage z]\nplugin = overlap\ntext = z\ninput.in = d@*:out\npause = 1ms\n"
		"[stage c]\nplugin = overlap\ntext = c\npause = 1ms\n";

	(void)state;
	for (int i = 0; i < 3; i++) {
		char args[32], *began;

		snprintf(args, sizeof(args), "--store o%d run", i);
		run(ini, args);
		began = order();
		assert_string_equal(began, "ad1d2d3bzc");
		free(began);
	}
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_faults_scheduling__jobs),
		DRIVEN(test_faults_scheduling__cpus),
		DRIVEN(test_faults_scheduling__gpus),
		DRIVEN(test_faults_scheduling__devices),
		DRIVEN(test_faults_scheduling__memory),
		DRIVEN(test_faults_scheduling__small_ones_pass),
		DRIVEN(test_faults_scheduling__order_is_that_of_the_plan),
	};

	return cmocka_run_group_tests_name("faults/scheduling", tests, NULL, NULL);
}
