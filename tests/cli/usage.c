/* SPDX-License-Identifier: Apache-2.0 */
/* usage.c - tests of the command line itself: help, mistakes, exit codes, colours. */
#include <string.h>

#include "drive.h"

static void test_cli_usage__no_verb_is_help(void **state)
{
	const outcome *got = cairn_is(0, "");

	(void)state;
	assert_has(got->out, "usage: cairn");
	assert_has(got->out, "lineage");
	assert_string_equal(got->err, "");
}

static void test_cli_usage__help_of_a_verb(void **state)
{
	(void)state;
	assert_has(cairn_is(0, "help run")->out, "--keep-going");
	assert_has(cairn_is(0, "run --help")->out, "--keep-going");
	assert_has(cairn_is(0, "-h cost")->out, "--by");
	assert_has_not(cairn_is(0, "help cost")->out, "--keep-going");
	assert_has(cairn_is(2, "help nothing")->err, "unknown verb 'nothing'");
}

static void test_cli_usage__version(void **state)
{
	json_t *json = cairn_json("version", "cairn.version/1");

	(void)state;
	assert_int_equal(cairn_json_integer(json, "abi_major", 0), 1);
	assert_has(cairn_is(0, "--version")->out, cairn_json_string(json, "version", "?"));
	json_decref(json);
}

static void test_cli_usage__unknown_verb_is_guessed(void **state)
{
	const outcome *got = cairn_is(2, "stauts");

	(void)state;
	assert_string_equal(
		got->err, "error: unknown verb 'stauts'\nhint: Did you mean `cairn status`?\n");
	assert_string_equal(got->out, "");
	assert_has(cairn_is(2, "qqqqqqqq")->err, "`cairn help` lists");
}

static void test_cli_usage__unknown_option_is_guessed(void **state)
{
	(void)state;
	assert_has(cairn_is(2, "run --keep-goign")->err, "Did you mean '--keep-going'?");
	assert_has(cairn_is(2, "run --keep-goign=1")->err, "Did you mean '--keep-going'?");
	assert_has(cairn_is(2, "run -Z")->err, "unknown option '-Z'");
}

static void test_cli_usage__option_of_another_verb(void **state)
{
	(void)state;
	assert_has(cairn_is(2, "status --by group")->err, "'cairn status' takes no option '--by'");
}

static void test_cli_usage__values_are_checked(void **state)
{
	(void)state;
	assert_has(cairn_is(2, "run -j many")->err, "takes a number from 0 to 1024, not 'many'");
	assert_has(cairn_is(2, "run -j -1")->err, "not '-1'");
	assert_has(cairn_is(2, "run -p novalue")->err, "takes NAME=VALUE, not 'novalue'");
	assert_has(cairn_is(2, "cost --by colour")->err, "takes stage, group or account");
	assert_has(cairn_is(2, "run --jobs")->err, "needs a value");
	assert_has(cairn_is(2, "run -p")->err, "needs a value");
	assert_has(cairn_is(3, "-C /nowhere run")->err, "cannot work in '/nowhere'");
}

static void test_cli_usage__number_of_arguments(void **state)
{
	(void)state;
	assert_has(cairn_is(2, "explain")->err, "'cairn explain' takes [RUN] STAGE");
	assert_has(cairn_is(2, "status a b")->err, "'cairn status' takes [RUN]");
	assert_has(cairn_is(2, "lineage sideways x")->err, "neither 'up' nor 'down'");
	assert_has(cairn_is(2, "version x")->err, "takes no argument");
}

static void test_cli_usage__options_stand_anywhere(void **state)
{
	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\n[stage a]\nplugin = counter\n");
	cairn_is(0, "-q check w.ini");
	cairn_is(0, "check -q w.ini");
	cairn_is(0, "check w.ini -q");
}

static void test_cli_usage__no_store_is_no_such_thing(void **state)
{
	static const char *const lines[] = {
		"status", "log", "cost", "ls", "lineage up x", "cat x", "--store elsewhere status"};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(lines); i++)
		assert_has(cairn_is(3, lines[i])->err, "hint: `cairn run FILE` makes one");
	drive_env("CAIRN_STORE", "from-env");
	assert_has(cairn_is(3, "status")->err, "from-env");
	assert_has(cairn_is(3, "status --store from-option")->err, "from-option");
}

static void test_cli_usage__workflow_file(void **state)
{
	static const char text[] = "[workflow]\nname = w\n[stage a]\nplugin = counter\n";

	(void)state;
	assert_has(cairn_is(3, "run")->err, "no workflow file (*.ini) is here");
	assert_has(cairn_is(3, "run missing.ini")->err, "cannot read the workflow 'missing.ini'");
	drive_write("only.ini", text);
	assert_has(cairn_is(0, "check")->out, "workflow 'w', 1 stages, no mistakes");
	drive_write("second.ini", text);
	assert_has(cairn_is(2, "check")->err, "hint: Name one: `cairn check only.ini`.");
	cairn_is(0, "check -f second.ini");
}

static void test_cli_usage__all_mistakes_and_their_number(void **state)
{
	const outcome *got;

	(void)state;
	drive_write("w.ini", "[workflow]\nname = w\nsede = 1\n[stage a]\nplugin = countre\n"
			     "[stage b]\nplugin = counter\nsetps = 3\n");
	got = cairn_is(2, "check w.ini");
	assert_has(got->err, "unknown key 'sede'");
	assert_has(got->err, "  at w.ini:3");
	assert_has(got->err, "Did you mean 'counter'?");
	assert_has(got->err, "unknown parameter 'setps'");
	assert_has(got->err, "3 mistakes in 'w.ini'");
	assert_string_equal(got->out, "");
}

static void test_cli_usage__what_was_typed_cannot_move_the_cursor(void **state)
{
	const outcome *got = cairn_is(2, "\033[2Jx\033]0;t\007");

	(void)state;
	assert_has(got->err, "'\\x1b[2Jx\\x1b]0;t\\x07'");
	assert_null(strchr(got->err, '\033'));
}

static void test_cli_usage__colour_only_where_wanted(void **state)
{
	(void)state;
	/* Not a terminal. */
	assert_null(strchr(cairn_is(2, "nope")->err, '\033'));
	assert_non_null(strchr(cairn_is(2, "--color=always nope")->err, '\033'));
	drive_env("NO_COLOR", "1");
	assert_null(strchr(cairn_is(2, "--color=auto nope")->err, '\033'));
	/* Said on the command line, it was meant. */
	assert_non_null(strchr(cairn_is(2, "--color=always nope")->err, '\033'));
	assert_null(strchr(cairn_is(2, "--color=never nope")->err, '\033'));
}

#define DRIVEN(test) cmocka_unit_test_setup_teardown(test, drive_setup, drive_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		DRIVEN(test_cli_usage__no_verb_is_help),
		DRIVEN(test_cli_usage__help_of_a_verb),
		DRIVEN(test_cli_usage__version),
		DRIVEN(test_cli_usage__unknown_verb_is_guessed),
		DRIVEN(test_cli_usage__unknown_option_is_guessed),
		DRIVEN(test_cli_usage__option_of_another_verb),
		DRIVEN(test_cli_usage__values_are_checked),
		DRIVEN(test_cli_usage__number_of_arguments),
		DRIVEN(test_cli_usage__options_stand_anywhere),
		DRIVEN(test_cli_usage__no_store_is_no_such_thing),
		DRIVEN(test_cli_usage__workflow_file),
		DRIVEN(test_cli_usage__all_mistakes_and_their_number),
		DRIVEN(test_cli_usage__what_was_typed_cannot_move_the_cursor),
		DRIVEN(test_cli_usage__colour_only_where_wanted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
