/* SPDX-License-Identifier: Apache-2.0 */
/*
 * check.c - `cairn plugins check` finds each bad habit, at the check that is about it, and nothing
 * to blame in the product's plugins.
 *
 *	test-cli-check faulty|product
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "drive.h"
#include "page.h"

/* In memory where there is such a place: hundreds of short runs wait for the disk otherwise. */
static int setup(void **state)
{
	int rc = drive_setup(state);

	drive_env("TMPDIR", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NULL);
	return rc;
}

static int teardown(void **state)
{
	drive_env("TMPDIR", NULL);
	return drive_teardown(state);
}

/* The document; the exit status is that of what it says. */
static json_t *check(const char *args)
{
	char line[512];
	json_t *document;
	bool has_failed;

	snprintf(line, sizeof(line), "plugins check %s", args);
	document = cairn_json(line, "cairn.plugins-check/1");
	has_failed = cairn_json_integer(document, "failed", -1) > 0;
	assert_int_equal(cairn_status(), has_failed);
	return document;
}

static const json_t *find(const json_t *document, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(document, "checks"), i, one)
	{
		if (strcmp(cairn_json_string(one, "check", ""), name) == 0)
			return one;
	}
	return NULL;
}

/* This check has this verdict and says this. */
static void assert_finding(
	const json_t *document, const char *name, const char *verdict, const char *what)
{
	const json_t *one = find(document, name);

	if (!one)
		fail_msg("there is no check '%s'", name);
	if (strcmp(cairn_json_string(one, "verdict", ""), verdict) != 0)
		fail_msg("%s is '%s', not '%s': %s", name, cairn_json_string(one, "verdict", ""),
			verdict, cairn_json_string(one, "what", ""));
	assert_has(cairn_json_string(one, "what", ""), what);
	if (strcmp(verdict, "failed") == 0 && strcmp(name, "cached") != 0)
		assert_true(strcmp(name, "runs") == 0 || strcmp(name, "rules") == 0 ||
			    cairn_json_string(one, "hint", "")[0]);
}

/* Nothing but these checks (" a b ") failed. */
static void assert_only(const json_t *document, const char *names)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(document, "checks"), i, one)
	{
		char word[32];
		snprintf(word, sizeof(word), " %s ", cairn_json_string(one, "check", ""));
		if (strcmp(cairn_json_string(one, "verdict", ""), "failed") == 0 &&
			!strstr(names, word))
			fail_msg("%s failed: %s", word, cairn_json_string(one, "what", ""));
	}
}

static const char *plugin(const char *name, const char *rest)
{
	static char line[512];

	snprintf(line, sizeof(line), "%s/%s.so %s", CAIRN_TEST_PLUGIN_DIR, name, rest);
	return line;
}

static void test_cli_check__descriptors(void **state)
{
	static const struct {
		const char *plugin, *check, *verdict, *what;
	} cases[] = {
		{"wrong_magic", "descriptor", "failed", "is no cairn stage plugin"},
		{"no_symbol", "descriptor", "failed", "does not export 'cairn_plugin'"},
		{"new_abi", "descriptor", "failed", "newer than cairn's"},
		{"bad_offset", "descriptor", "failed", "does not lie inside a struct"},
		{"crash_load", "loads", "failed", "crash_load.so"},
		{"crash_load", "constructors", "warning", "functions run when it is loaded"},
		{"bare", "documented", "failed", "'summary', 'n', 'out'"},
		{"bare", "licence", "warning", "no licence"},
		{"bare", "ports", "warning", "'my/kind'"},
		{"two_writers", "state", "failed", "of version 0"},
		{"bad_check", "check", "failed", "deadly = '100'"},
		{"mute_check", "check", "failed", "without a word"},
		{"bad_estimate", "foresight", "failed", "signal 6"},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		json_t *document = check(plugin(cases[i].plugin, ""));
		assert_finding(document, cases[i].check, cases[i].verdict, cases[i].what);
		json_decref(document);
	}
}

/* With a sanitizer the object is linked differently. */
static void test_cli_check__symbols(void **state)
{
	json_t *document;

	(void)state;
#ifdef CAIRN_SANITIZED
	skip();
#endif
	document = check(plugin("dangling", ""));
	assert_finding(document, "symbols", "failed", "'nobody_defines_this', 'nor_this'");
	assert_finding(document, "exports", "warning", "'shown_to_all'");
	assert_finding(document, "loads", "failed", "cannot load");
	json_decref(document);
	drive_write("text.so", "this is no object");
	document = check("text.so");
	assert_finding(document, "symbols", "failed", "no shared object");
	assert_finding(document, "loads", "failed", "cannot load");
	json_decref(document);
	assert_has(cairn_is(3, "plugins check missing.so")->err, "cannot read 'missing.so'");
}

static void test_cli_check__broken_rules(void **state)
{
	static const struct {
		const char *plugin, *args, *check, *what;
	} cases[] = {
		{"crash", "", "runs", "stage process"},
		{"abort", "", "runs", "stage process died"},
		{"hang", "-p timeout=0.3s", "runs", "took longer than 0.3 seconds"},
		{"silent", "", "runs", "training diverged"},
		{"liar", "", "rules", "wrote no output 'out'"},
		{"quitter", "", "rules", "stopped though nobody asked"},
		{"two_writers", "", "rules", "before it ended another writer"},
		{"forgetful", "", "killed", "other bytes in output 'out'"},
	};

	(void)state;
	drive_env("CAIRN_TEST_GRACE", "0.1");
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		json_t *document = check(plugin(cases[i].plugin, cases[i].args));
		assert_finding(document, cases[i].check, "failed", cases[i].what);
		json_decref(document);
	}
	drive_env("CAIRN_TEST_GRACE", NULL);
}

static void test_cli_check__bad_habits(void **state)
{
	static const struct {
		const char *habit, *failing, *check, *what;
	} cases[] = {
		{"dice", " again threads environment checkpoints killed stopped ", "again",
			"other bytes"},
		{"zone", " environment ", "environment", "other bytes in output 'out'"},
		{"litter", " files ", "files", "left 'left-behind' in its working directory"},
		{"child", " processes ", "processes", "left behind: a process"},
		{"deaf", " stopped ", "stopped", "until it was killed"},
		{"rush", " stopped ", "stopped", "without a checkpoint of its last step"},
		{"again", " resumed ", "resumed", "began again after each kill"},
		{"idle", " compute ", "compute", "the meter counted nothing"},
		{"boast", " estimate ", "estimate", "more than a factor of 4"},
		{"fat", " memory ", "memory", "10 MiB estimated"},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		char args[64];
		json_t *document;
		/* Only who does not listen is to be killed soon. */
		drive_env("CAIRN_TEST_GRACE", strcmp(cases[i].habit, "deaf") == 0 ? "0.1" : NULL);
		snprintf(args, sizeof(args), "-p habit=%s", cases[i].habit);
		document = check(plugin("sloppy", args));
		assert_finding(document, cases[i].check, "failed", cases[i].what);
		assert_only(document, cases[i].failing);
		json_decref(document);
	}
	drive_env("CAIRN_TEST_GRACE", NULL);
}

static void test_cli_check__good_ones_and_what_cannot_be_tried(void **state)
{
	json_t *document = check(plugin("counter", "-p steps=16"));

	(void)state;
	assert_only(document, "");
	assert_finding(document, "killed", "ok", "then the same bytes");
	assert_finding(document, "resumed", "ok", "went on from its checkpoints");
	assert_finding(document, "stopped", "ok", "went on to the same bytes");
	json_decref(document);
	document = check(plugin("dice", ""));
	assert_only(document, "");
	assert_finding(document, "again", "skipped", "not deterministic");
	json_decref(document);
	document = check(plugin("waiter", "-p until=/nowhere"));
	assert_finding(document, "runs", "skipped", "waits for people");
	json_decref(document);
}

/* cairn-plugin(7) lists the checks: those that a plugin goes through, and no other. */
static void test_cli_check__the_page_lists_them(void **state)
{
	char *page = page_read("cairn-plugin.7"), *section = page_section(page, "CONFORMANCE");
	char line[128], text[1024] = " ";
	const char *at = section;
	json_t *document, *one;
	size_t i, n = 0;

	(void)state;
	while (page_next(&at, '=', line, sizeof(line))) {
		char *rest = NULL, *name = strtok_r(line, ", ", &rest);
		for (; name; name = strtok_r(NULL, ", ", &rest), n++)
			snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s ", name);
	}
	document = check(plugin("sloppy", ""));
	json_array_foreach(json_object_get(document, "checks"), i, one)
	{
		snprintf(line, sizeof(line), " %s ", cairn_json_string(one, "check", ""));
		assert_has(text, line);
	}
	assert_int_equal(json_array_size(json_object_get(document, "checks")), n);
	json_decref(document);
	free(section);
	free(page);
}

static void test_cli_check__the_stage_that_is_meant(void **state)
{
	json_t *document;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[params]\nn = 4\n"
			     "[stage a]\nplugin = counter\nsteps = ${n}\n"
			     "[stage b]\nplugin = counter\nsteps = 3\ninput.in = a:out\n"
			     "[stage c]\nplugin = liar\n[stage d]\nplugin = matmul\n");
	document = check(plugin("counter", "-f w.ini"));
	assert_finding(document, "runs", "failed", "2 stages of this plugin");
	json_decref(document);
	document = check(plugin("counter", "-f w.ini --stage c"));
	assert_finding(document, "runs", "failed", "stage 'c' is of plugin");
	json_decref(document);
	document = check(plugin("counter", "-f w.ini --stage z"));
	assert_finding(document, "runs", "failed", "no stage is named 'z'");
	json_decref(document);
	document = check(plugin("forgetful", "-f w.ini"));
	assert_finding(document, "runs", "failed", "no stage of this plugin");
	json_decref(document);
	/* Of the others only what it needs is run: c would fail. */
	document = check(plugin("counter", "-f w.ini --stage b"));
	assert_only(document, "");
	assert_finding(document, "runs", "ok", "3 steps");
	json_decref(document);
	document = check(plugin("counter", "-f w.ini --stage a -p n=5"));
	assert_finding(document, "runs", "ok", "5 steps");
	json_decref(document);
}

static void test_cli_check__for_people(void **state)
{
	char line[600];
	const outcome *got;

	(void)state;
	snprintf(line, sizeof(line), "plugins check %s", plugin("liar", ""));
	got = cairn_is(1, line);
	assert_has(got->out, "symbols       ok       every symbol");
	assert_has(got->out, "rules         failed   the stage fails");
	assert_has(got->out, "This is a bug of the plugin");
	assert_has(got->out, ", failed 1, skipped ");
	snprintf(line, sizeof(line), "plugins check -q %s", plugin("liar", ""));
	assert_has_not(cairn_is(1, line)->out, "symbols");
	/* Nothing is left of it, and the store of the place is not touched. */
	drive_env("TMPDIR", ".");
	cairn_is(1, line);
	assert_int_equal(access(".cairn", F_OK), -1);
	snprintf(line, sizeof(line), "plugins check -v %s", plugin("liar", ""));
	assert_has(cairn_is(1, line)->err, "kept: ./cairn-check-");
	drive_env("TMPDIR", NULL);
}

/* ---- the product ---------------------------------------------------------------------------- */

static void test_cli_check__every_plugin_of_the_product(void **state)
{
	static const struct {
		const char *plugin, *stage;
	} cases[] = {
		{"text", "text"},
		{"demo", "demos"},
		{"pretrain", "pretrain"},
		{"sft", "sft"},
		{"sample", "samples"},
		{"ranking", "rankings@brief"},
		{"rm", "rm@brief"},
		{"ppo", "ppo@brief"},
		{"eval", "eval@brief"},
		{"compare", "compare"},
		{"exec", "exec"},
	};

	(void)state;
	drive_env("CAIRN_PLUGIN_PATH", NULL);
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		char args[512];
		json_t *document;
		snprintf(args, sizeof(args),
			"%s/plugins/%s.so -f %s/tests/conformance/check.ini --stage %s",
			CAIRN_BUILD_DIR, cases[i].plugin, CAIRN_SOURCE_DIR, cases[i].stage);
		document = check(args);
		print_message("%s: %lld ok\n", cases[i].plugin,
			(long long)cairn_json_integer(document, "ok", 0));
		assert_only(document, "");
		assert_finding(document, "killed", "ok", "then the same bytes");
		json_decref(document);
	}
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(int argc, char **argv)
{
	const struct CMUnitTest faulty[] = {
		DRIVEN(test_cli_check__descriptors),
		DRIVEN(test_cli_check__symbols),
		DRIVEN(test_cli_check__broken_rules),
		DRIVEN(test_cli_check__bad_habits),
		DRIVEN(test_cli_check__good_ones_and_what_cannot_be_tried),
		DRIVEN(test_cli_check__the_page_lists_them),
		DRIVEN(test_cli_check__the_stage_that_is_meant),
		DRIVEN(test_cli_check__for_people),
	};
	const struct CMUnitTest product[] = {
		DRIVEN(test_cli_check__every_plugin_of_the_product),
	};

	if (argc == 2 && strcmp(argv[1], "product") == 0)
		return cmocka_run_group_tests(product, NULL, NULL);
	return cmocka_run_group_tests(faulty, NULL, NULL);
}
