/* SPDX-License-Identifier: Apache-2.0 */
/* bundle.c - a run from one store to another, as two people would do it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "drive.h"

static const char chain[] = "[workflow]\nname = w\n[stage a]\nplugin = counter\n"
			    "input.in = file:data.txt\n[stage b]\nplugin = counter\n"
			    "input.in = a:out\n";

static int setup_run(void **state)
{
	int rc = drive_setup(state);

	if (rc == 0) {
		drive_write("data.txt", "some data\n");
		drive_write("w.ini", chain);
		cairn_is(0, "run -q");
	}
	return rc;
}

/* What another program says about it; 0: it is content. */
static int shell(const char *command)
{
	FILE *pipe = popen(command, "r");
	char line[512];

	assert_non_null(pipe);
	while (fgets(line, sizeof(line), pipe))
		;
	return pclose(pipe);
}

static void test_cli_bundle__tar_and_sha256sum_verify_it(void **state)
{
	json_t *json;

	(void)state;
	assert_string_equal(cairn_is(0, "export --format=bundle w run.tar")->out, "run.tar\n");
	assert_int_equal(shell("mkdir x && tar xf run.tar -C x && cd x && "
			       "sha256sum --strict -c SHA256SUMS 2>&1"),
		0);
	/* Each of them is listed, and no other. */
	assert_int_equal(shell("cd x && cut -c67- SHA256SUMS | sort >../a && "
			       "find . -type f ! -name SHA256SUMS | cut -c3- | sort >../b && "
			       "cmp ../a ../b"),
		0);
	assert_has(cairn_is(2, "export --format=bundle w run.tar")->err, "is there already");
	json = cairn_json("export --format=bundle w run.tar --force", "cairn.export/1");
	assert_true(cairn_json_integer(json_object_get(json, "bundle"), "artifacts", 0) >= 4);
	json_decref(json);
}

static void test_cli_bundle__what_was_run_there_counts_here(void **state)
{
	const outcome *got;
	json_t *json;

	(void)state;
	cairn_is(0, "export --format=bundle w run.tar --with-inputs");
	json = cairn_json("import run.tar --store there", "cairn.import/1");
	assert_int_equal(cairn_json_integer(json_object_get(json, "records"), "kept", -1), 0);
	json_decref(json);
	assert_has(cairn_is(0, "status --store there")->out, "done");
	assert_has(cairn_is(0, "lineage up b:out --store there")->out, "file:data.txt");
	assert_has(cairn_is(0, "cost w --store there")->out, "b");
	assert_has(cairn_is(0, "ls --store there")->out, "w/b:out");
	cairn_is(0, "fsck --store there");
	got = cairn_is(0, "run --store there");
	assert_has(got->out, "cached 2");
	got = cairn_is(0, "import run.tar --store there");
	assert_has(got->err, "0 new");
}

/* In an empty store, as among runs of one's own: it is listed, and found by its workflow. */
static void test_cli_bundle__its_run_is_found_by_workflow(void **state)
{
	json_t *log = cairn_json("log", "cairn.log/1"), *runs = json_object_get(log, "runs");
	char run[32];

	(void)state;
	assert_int_equal(json_array_size(runs), 1);
	snprintf(run, sizeof(run), "%s", cairn_json_string(json_array_get(runs, 0), "run", ""));
	json_decref(log);
	cairn_is(0, "export --format=bundle w run.tar");
	cairn_is(0, "import run.tar --store empty");
	assert_has(cairn_is(0, "log --store empty")->out, run);
	assert_has(cairn_is(0, "status w --store empty")->out, run);
	drive_write("v.ini", "[workflow]\nname = v\n[stage a]\nplugin = counter\n");
	cairn_is(0, "run v.ini -q --store used");
	cairn_is(0, "import run.tar --store used");
	assert_has(cairn_is(0, "status w --store used")->out, run);
	assert_has_not(cairn_is(0, "status v --store used")->out, run);
	assert_has(cairn_is(0, "log --store used")->out, run);
}

static void test_cli_bundle__of_one_artifact(void **state)
{
	const outcome *got;

	(void)state;
	cairn_is(0, "export --format=bundle b:out b.tar");
	assert_has(cairn_is(0, "import b.tar theirs --store there")->out, "theirs/w/b:out");
	assert_has(cairn_is(0, "lineage up theirs/w/b:out --store there")->out, "made by a");
	/* Of a only the records came: it runs again where it is needed, and b does not. */
	got = cairn_is(0, "run --store there");
	assert_has(got->out, "done 1, cached 1");
}

static void test_cli_bundle__what_cannot_be_taken_in(void **state)
{
	const outcome *got;

	(void)state;
	cairn_is(0, "export --format=bundle w run.tar");
	assert_int_equal(shell("head -c 20000 run.tar >cut.tar; gzip -k run.tar; "
			       "mkdir y && tar xf run.tar -C y && tar cf again.tar -C y ."),
		0);
	assert_has(cairn_is(2, "import cut.tar --store there")->err, "cut off");
	got = cairn_is(2, "import run.tar.gz --store there");
	assert_has(got->err, "compressed with gzip");
	assert_has(got->err, "gzip -dc FILE | cairn import -");
	assert_has(cairn_is(2, "import again.tar --store there")->err, "not written as a bundle");
	assert_has(cairn_is(3, "import nothing.tar --store there")->err, "nothing.tar");
	assert_has(cairn_is(3, "export --format=bundle nothing")->err, "nothing");
	assert_int_not_equal(access("nothing.tar", F_OK), 0);
	cairn_is(3, "status --store there"); /* nothing came in */
	cairn_is(0, "import run.tar --store there");
}

static void test_cli_bundle__through_a_pipe(void **state)
{
	char line[400];

	(void)state;
	snprintf(line, sizeof(line),
		"%s export --format=bundle w - | gzip | gzip -dc | "
		"%s import - --store there 2>&1",
		CAIRN_BINARY, CAIRN_BINARY);
	assert_int_equal(shell(line), 0);
	assert_has(cairn_is(0, "status --store there")->out, "done");
}

#define ON_A_RUN(test) cmocka_unit_test_setup_teardown(test, setup_run, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ON_A_RUN(test_cli_bundle__tar_and_sha256sum_verify_it),
		ON_A_RUN(test_cli_bundle__what_was_run_there_counts_here),
		ON_A_RUN(test_cli_bundle__its_run_is_found_by_workflow),
		ON_A_RUN(test_cli_bundle__of_one_artifact),
		ON_A_RUN(test_cli_bundle__what_cannot_be_taken_in),
		ON_A_RUN(test_cli_bundle__through_a_pipe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
