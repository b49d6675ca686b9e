/* SPDX-License-Identifier: Apache-2.0 */
/* graph.c - the three drawings of a workflow. */
#include <string.h>

#include "drive.h"

/* a feeds all; b and c meet in d; f stands alone. */
static const char diamond[] = "[workflow]\nname = w\n"
			      "[axis group]\nvalues = x, y\n"
			      "[stage a]\nplugin = noop\n"
			      "[stage b]\nplugin = noop\ninput.in = a:out\n"
			      "[stage c]\nplugin = noop\nforeach = group\ninput.in = a:out\n"
			      "[stage d]\nplugin = noop\ninput.in = a:out b:out c@*:out\n"
			      "[stage f]\nplugin = noop\ninput.in = file:da\"#<ta.txt\n";

static int setup(void **state)
{
	int rc = drive_setup(state);

	if (rc == 0) {
		drive_write("w.ini", diamond);
		drive_write("da\"#<ta.txt", "");
		drive_env("LC_ALL", "C");
	}
	return rc;
}

static void test_cli_graph__lanes(void **state)
{
	(void)state;
	assert_string_equal(cairn_is(0, "graph --as text")->out, "o a (noop)  pending\n"
								 "+-o b (noop)  pending\n"
								 "+-+-o c@x (noop)  pending\n"
								 "o | | c@y (noop)  pending\n"
								 "o-+-' d (noop)  pending\n"
								 "o f (noop)  pending\n");
	drive_env("LC_ALL", "C.UTF-8");
	assert_has(cairn_is(0, "graph --as text")->out, "├─● b (noop)");
}

static void test_cli_graph__collapsed(void **state)
{
	(void)state;
	assert_has(cairn_is(0, "graph --as text --collapse")->out, "c (noop)  2 pending\n");
	assert_has(cairn_is(0, "graph --as text --collapse")->out, "b (noop)  pending\n");
	assert_has(cairn_is(0, "graph --collapse")->out, "[label=\"c\\nnoop\\n2 pending\"");
	assert_has_not(cairn_is(0, "graph --collapse")->out, "subgraph");
}

static void test_cli_graph__mermaid(void **state)
{
	const char *page = cairn_is(0, "graph --as mermaid")->out;

	(void)state;
	assert_int_equal(strncmp(page, "flowchart TD\n", 13), 0);
	assert_has(page, "\tsubgraph g0[\"group = x\"]\n");
	assert_has(page, "-->|\"in\"| n");
	assert_has(page, "classDef pending fill:#ffffff");
	/* What could end the label or begin HTML is written as a number. */
	assert_has(page, "[/\"file:da#34;#35;#60;ta.txt\"/]");
}

static void test_cli_graph__refuses_other_drawings(void **state)
{
	(void)state;
	assert_has(cairn_is(2, "graph --as png")->err,
		"option '--as' takes text, dot or mermaid, not 'png'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_cli_graph__lanes, setup, drive_teardown),
		cmocka_unit_test_setup_teardown(test_cli_graph__collapsed, setup, drive_teardown),
		cmocka_unit_test_setup_teardown(test_cli_graph__mermaid, setup, drive_teardown),
		cmocka_unit_test_setup_teardown(
			test_cli_graph__refuses_other_drawings, setup, drive_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
