/* SPDX-License-Identifier: Apache-2.0 */
/*
 * errors.c - what a person is told of a mistake in sections and values, word for word.
 *
 * Each case is a workflow and the text that `cairn check` shows for it. Read them as prose:
 * a message that reads badly here reads badly to whoever made the mistake.
 */
#include <string.h>
#include <unistd.h>

#include "fake.h"

#define X50  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define X200 X50 X50 X50 X50

static const struct fake_case file_cases[] = {
	{"no_equals_sign",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "retries\n",
		"error: line is neither `key = value` nor a section header\n"
		"  at t.ini:5\n"
		"hint: Begin a comment with ';'; begin a line that continues the value above with a blank.\n",
		{0}},
	{"overlong_line",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "; a comment may be as long as it likes: " X200 X50 X50 "\n"
			  "[stage w]\n"
			  "plugin = wide\n"
			  "template = " X200 "\n",
		"error: line is longer than 199 bytes\n"
		"  at t.ini:8\n"
		"detail: it has 211\n"
		"hint: Break the value over several lines: begin each further line with a blank.\n",
		{0}},
	{"header_without_bracket",
		FAKE_HEAD "[stage a\n"
			  "plugin = node\n",
		"error: section header without ']'\n"
		"  at t.ini:3\n"
		"hint: Write the header alone on its line: `[stage a]`.\n",
		{0}},
	{"text_after_header",
		FAKE_HEAD "[stage a] plugin = node\n"
			  "plugin = node\n",
		"error: text after the ']' of a section header\n"
		"  at t.ini:3\n"
		"hint: Write the header alone on its line: `[stage a]`.\n",
		{0}},
	{"indented_header_is_a_header",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "  [stage a]\n"
			  "plugin = node\n",
		"error: section [stage a] is given twice\n"
		"  at t.ini:5\n"
		"detail: first at t.ini:3\n"
		"hint: Give one of them another name.\n",
		{0}},
	{"empty_key",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "= 3\n",
		"error: line is neither `key = value` nor a section header\n"
		"  at t.ini:5\n"
		"hint: Begin a comment with ';'; begin a line that continues the value above with a blank.\n",
		{0}},
	{"key_before_first_section",
		"name = t\n"
		"[workflow]\n"
		"name = t\n"
		"[stage a]\n"
		"plugin = node\n",
		"error: key 'name' is in no section\n"
		"  at t.ini:1\n"
		"hint: Put it below a header, e.g. [workflow]: only `include` may stand before the first one.\n",
		{0}},
	{"control_character",
		FAKE_HEAD "\x1b["
			  "31m\n",
		"error: control character 0x1b in a text file\n"
		"  at t.ini:3\n"
		"hint: Is this a workflow file? Only tabs and line ends are allowed.\n",
		{0}},
	{"unknown_section",
		FAKE_HEAD "[stag a]\n"
			  "plugin = node\n",
		"error: unknown section [stag a]\n"
		"  at t.ini:3\n"
		"hint: Did you mean [stage a]?\n",
		{0}},
	{"unknown_section_unlike_any", FAKE_HEAD "[repositories]\n",
		"error: unknown section [repositories]\n"
		"  at t.ini:3\n"
		"hint: Known: [workflow], [params], [axis NAME], [labelers NAME], [stage NAME].\n",
		{0}},
	{"section_without_name",
		FAKE_HEAD "[stage]\n"
			  "plugin = node\n",
		"error: section [stage] has no name\n"
		"  at t.ini:3\n"
		"hint: Write [stage NAME]; a name has up to 64 letters, digits, '_', '-' and '.', and is not 'file', 'sha256', 'ref' or 'planned'.\n",
		{0}},
	{"section_with_bad_name",
		FAKE_HEAD "[stage rm@a]\n"
			  "plugin = node\n",
		"error: 'rm@a' is no name for a [stage]\n"
		"  at t.ini:3\n"
		"hint: Write [stage NAME]; a name has up to 64 letters, digits, '_', '-' and '.', and is not 'file', 'sha256', 'ref' or 'planned'.\n",
		{0}},
	{"reserved_stage_name",
		FAKE_HEAD "[stage file]\n"
			  "plugin = node\n",
		"error: 'file' is no name for a [stage]\n"
		"  at t.ini:3\n"
		"hint: Write [stage NAME]; a name has up to 64 letters, digits, '_', '-' and '.', and is not 'file', 'sha256', 'ref' or 'planned'.\n",
		{0}},
	{"stage_twice",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "[stage b]\n"
			  "plugin = node\n"
			  "[stage a]\n"
			  "plugin = node\n",
		"error: section [stage a] is given twice\n"
		"  at t.ini:7\n"
		"detail: first at t.ini:3\n"
		"hint: Give one of them another name.\n",
		{0}},
	{"key_twice",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "retries = 1\n"
			  "retries = 2\n",
		"error: key 'retries' is given twice\n"
		"  at t.ini:6, section [stage a]\n"
		"detail: first at t.ini:5\n"
		"hint: Keep one of the two.\n",
		{0}},
	{"workflow_twice",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "[workflow]\n"
			  "seed = 3\n",
		"error: section [workflow] is given twice in this file\n"
		"  at t.ini:5, section [workflow]\n"
		"hint: Put the keys into one section.\n",
		{0}},
	{"missing_include",
		"include = other.ini\n"
		"[workflow]\n"
		"name = t\n"
		"[stage a]\n"
		"plugin = node\n",
		"error: cannot read 'other.ini'\n"
		"  at t.ini:1\n"
		"detail: No such file or directory\n"
		"hint: Paths are relative to the file that includes.\n",
		{0}},
	{"include_of_itself",
		FAKE_HEAD "include = t.ini\n"
			  "[stage a]\n"
			  "plugin = node\n",
		"error: 't.ini' is included twice, or by itself\n"
		"  at t.ini:3, section [workflow]\n"
		"hint: Name every file once.\n",
		{0}},
};

static const struct fake_case head_cases[] = {
	{"no_name",
		"[workflow]\n"
		"seed = 2\n",
		"error: the workflow has no name\n"
		"  at t.ini:1, section [workflow]\n"
		"hint: Add `name = NAME` to [workflow].\n",
		{0}},
	{"bad_name",
		"[workflow]\n"
		"name = my workflow\n",
		"error: 'my workflow' is no name for a workflow\n"
		"  at t.ini:2, section [workflow]\n"
		"hint: Use up to 64 letters, digits, '_' and '-'.\n",
		{0}},
	{"unknown_workflow_key", FAKE_HEAD "sed = 3\n",
		"error: unknown key 'sed'\n"
		"  at t.ini:3, section [workflow]\n"
		"hint: Did you mean 'seed'?\n",
		{0}},
	{"bad_seed", FAKE_HEAD "seed = many\n",
		"error: seed must be a whole number, not 'many'\n"
		"  at t.ini:3, section [workflow]\n"
		"hint: Write it as a decimal number, e.g. `seed = 1`.\n",
		{0}},
	{"unknown_device", FAKE_HEAD "device = tpu\n",
		"error: unknown device 'tpu'\n"
		"  at t.ini:3, section [workflow]\n"
		"hint: Write auto, cpu or cuda.\n",
		{0}},
	{"bad_parameter_name",
		FAKE_HEAD "[params]\n"
			  "a.b = 1\n",
		"error: 'a.b' is no name for a parameter\n"
		"  at t.ini:4, section [params]\n"
		"hint: Use up to 64 letters, digits, '_' and '-'.\n",
		{0}},
	{"axis_without_values", FAKE_HEAD "[axis group]\n",
		"error: axis 'group' has no values\n"
		"  at t.ini:3\n"
		"hint: Add `values = A, B`.\n",
		{0}},
	{"axis_with_no_value_in_it",
		FAKE_HEAD "[axis group]\n"
			  "values =\n",
		"error: axis 'group' has no values\n"
		"  at t.ini:4, section [axis group]\n"
		"hint: Write them separated by commas or blanks: `values = A, B`.\n",
		{0}},
	{"axis_value_twice",
		FAKE_HEAD "[axis group]\n"
			  "values = a, b, a\n",
		"error: value 'a' is given twice\n"
		"  at t.ini:4, section [axis group]\n"
		"hint: Values are distinct names of up to 64 letters, digits, '_', '-' and '.'.\n",
		{0}},
	{"axis_value_no_name",
		FAKE_HEAD "[axis group]\n"
			  "values = a, b:c\n",
		"error: 'b:c' is no name for a value of an axis\n"
		"  at t.ini:4, section [axis group]\n"
		"hint: Values are distinct names of up to 64 letters, digits, '_', '-' and '.'.\n",
		{0}},
	{"axis_named_as_parameter",
		FAKE_HEAD "[params]\n"
			  "group = 1\n"
			  "[axis group]\n"
			  "values = concise, courteous\n",
		"error: axis 'group' has the name of a parameter\n"
		"  at t.ini:5\n"
		"hint: Rename one of them: ${group} could mean either.\n",
		{0}},
	{"unknown_labelers_key",
		FAKE_HEAD "[labelers concise]\n"
			  "utilty = words:-1\n",
		"error: unknown key 'utilty'\n"
		"  at t.ini:4, section [labelers concise]\n"
		"hint: Did you mean 'utility'?\n",
		{0}},
	{"override_of_unknown_parameter",
		FAKE_HEAD "[params]\n"
			  "size = tiny\n",
		"error: unknown parameter 'sise'\n"
		"  at -p sise=small\n"
		"hint: Did you mean 'size'?\n",
		{"sise", "small"}},
	{"override_of_no_parameter", FAKE_HEAD,
		"error: unknown parameter 'seed'\n"
		"  at -p seed=2\n"
		"hint: Only what [params] of 't.ini' defines can be replaced.\n",
		{"seed", "2"}},
};

static const struct fake_case interpolate_cases[] = {
	{"unknown_name",
		FAKE_BASE "[params]\n"
			  "size = tiny\n"
			  "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = demos:train\n"
			  "template = ${siz}\n",
		"error: unknown name 'siz'\n"
		"  at t.ini:18, section [stage sft]\n"
		"hint: Did you mean '${size}'?\n",
		{0}},
	{"unknown_name_unlike_any",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "retries = ${how_often}\n",
		"error: unknown name 'how_often'\n"
		"  at t.ini:5, section [stage a]\n"
		"hint: Define it in [params]; write $${ for a literal ${.\n",
		{0}},
	{"unclosed",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "retries = ${n\n",
		"error: '${' without '}' in '${n'\n"
		"  at t.ini:5, section [stage a]\n"
		"hint: Close it, or write $${ for a literal ${.\n",
		{0}},
	{"circle_of_parameters",
		FAKE_HEAD "[params]\n"
			  "a = ${b}\n"
			  "b = ${c}\n"
			  "c = ${a}\n",
		"error: value of 'a' depends on itself\n"
		"  at t.ini:6, section [params]\n"
		"hint: Follow the names from here: they lead back.\n",
		{0}},
	{"axis_without_foreach",
		FAKE_HEAD "[axis group]\n"
			  "values = concise, courteous\n"
			  "[stage a]\n"
			  "plugin = wide\n"
			  "template = ${group}\n",
		"error: axis 'group' has no value here\n"
		"  at t.ini:7, section [stage a]\n"
		"hint: Add `foreach = group` to the stage: only its own axes have values.\n",
		{0}},
	{"undeclared_environment",
		FAKE_HEAD "[stage a]\n"
			  "plugin = node\n"
			  "retries = ${env.CAIRN_TEST_UNSET}\n",
		"error: environment variable 'CAIRN_TEST_UNSET' is not declared\n"
		"  at t.ini:5, section [stage a]\n"
		"hint: Add `env = CAIRN_TEST_UNSET` to [workflow]: only declared variables are read.\n",
		{0}},
	{"unset_environment",
		FAKE_HEAD "env = CAIRN_TEST_UNSET\n"
			  "[stage a]\n"
			  "plugin = node\n"
			  "retries = ${env.CAIRN_TEST_UNSET}\n",
		"error: environment variable 'CAIRN_TEST_UNSET' is not set\n"
		"  at t.ini:6, section [stage a]\n"
		"hint: Set CAIRN_TEST_UNSET before calling cairn, or use a parameter in [params].\n",
		{0}},
	{"unknown_labelers",
		FAKE_HEAD "[labelers concise]\n"
			  "utility = words:-1\n"
			  "[stage a]\n"
			  "plugin = wide\n"
			  "template = ${labelers.consise.utility}\n",
		"error: no labelers are named 'consise'\n"
		"  at t.ini:7, section [stage a]\n"
		"hint: Did you mean 'concise'?\n",
		{0}},
	{"labelers_without_that_key",
		FAKE_HEAD "[labelers concise]\n"
			  "utility = words:-1\n"
			  "[stage a]\n"
			  "plugin = wide\n"
			  "template = ${labelers.concise.noise}\n",
		"error: 'labelers.concise.noise' is not given\n"
		"  at t.ini:7, section [stage a]\n"
		"detail: section [labelers concise] has no 'noise'\n"
		"hint: Add it to that section; the keys are members, utility, noise, from and note.\n",
		{0}},
};

static const struct fake_case several_cases[] = {
	{"all_at_once_in_the_order_of_the_file",
		FAKE_HEAD "sede = 3\n"
			  "[params]\n"
			  "size = ${siez}\n"
			  "[axis group]\n"
			  "values = a b\n"
			  "[stage text]\n"
			  "plugin = text\n"
			  "input.files = file:data/a.txt\n"
			  "colour = red\n"
			  "[stage base]\n"
			  "plugin = pretrian\n"
			  "input.text = text:text\n"
			  "[stage sft]\n"
			  "plugin = sft\n"
			  "input.base = base:model\n"
			  "input.demos = text:txt\n"
			  "epochs = 0\n"
			  "lr = ${lr}\n",
		"error: unknown key 'sede'\n"
		"  at t.ini:3, section [workflow]\n"
		"hint: Did you mean 'seed'?\n"
		"error: unknown name 'siez'\n"
		"  at t.ini:5, section [params]\n"
		"hint: Did you mean '${size}'?\n"
		"error: unknown parameter 'colour' for plugin 'text'\n"
		"  at t.ini:11, section [stage text]\n"
		"detail: 'text' 1.0 accepts 0 parameters\n"
		"hint: List them with `cairn plugins text`.\n"
		"error: unknown plugin 'pretrian'\n"
		"  at t.ini:13, section [stage base]\n"
		"hint: Did you mean 'pretrain'?\n"
		"error: unknown output 'txt'\n"
		"  at t.ini:18, section [stage sft]\n"
		"detail: stage 'text' runs plugin 'text'\n"
		"hint: Did you mean 'text:text'?\n"
		"error: parameter 'epochs' must be at least 1, not 0\n"
		"  at t.ini:19, section [stage sft]\n"
		"detail: epochs: Passes over the data.\n"
		"hint: Give a value from 1 to 1000 (epochs).\n"
		"error: unknown name 'lr'\n"
		"  at t.ini:20, section [stage sft]\n"
		"hint: Define it in [params]; write $${ for a literal ${.\n",
		{0}},
	{"one_slip_is_told_once",
		FAKE_HEAD "[stage base]\n"
			  "plugin = pretrian\n"
			  "[axis group]\n"
			  "values = concise, courteous\n"
			  "[stage a]\n"
			  "plugin = sft\n"
			  "foreach = group\n"
			  "input.base = base:model\n"
			  "input.demos = base:demos\n",
		"error: unknown plugin 'pretrian'\n"
		"  at t.ini:4, section [stage base]\n"
		"hint: Did you mean 'pretrain'?\n",
		{0}},
};

static void test_workflow_errors__file(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(file_cases); i++)
		fake_check_case(&file_cases[i]);
}

static void test_workflow_errors__head(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(head_cases); i++)
		fake_check_case(&head_cases[i]);
}

static void test_workflow_errors__interpolate(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(interpolate_cases); i++)
		fake_check_case(&interpolate_cases[i]);
}

static void test_workflow_errors__several(void **state)
{
	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(several_cases); i++)
		fake_check_case(&several_cases[i]);
}

static void test_workflow_errors__bytes_that_are_no_text(void **state)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *told;
	} cases[] = {
		{"[workflow]\nname = \0t\n", 21,
			"error: control character 0x00 in a text file\n"
			"  at t.ini:2\n"
			"hint: Is this a workflow file? Only tabs and line ends are allowed.\n"},
		{"[workflow]\n\nname = \xfft\n", 22,
			"error: not valid UTF-8\n"
			"  at t.ini:3\n"
			"detail: byte 0xff\n"
			"hint: Save the file as UTF-8.\n"},
		{"name = \xed\xa0\x80\n", 11, /* a surrogate */
			"error: not valid UTF-8\n"
			"  at t.ini:1\n"
			"detail: byte 0xed\n"
			"hint: Save the file as UTF-8.\n"},
		{"name = t\r; an old kind of line end", 34,
			"error: control character 0x0d in a text file\n"
			"  at t.ini:1\n"
			"hint: Is this a workflow file? Only tabs and line ends are allowed.\n"},
	};
	cairn_text told = {0};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		fake_write_bytes("t.ini", cases[i].bytes, cases[i].len);
		fake_mistakes(&told, NULL, 0);
		assert_string_equal(cairn_text_get(&told), cases[i].told);
	}
	cairn_text_free(&told);
}

static void test_workflow_errors__unreadable_file(void **state)
{
	cairn_workflow *workflow = NULL;
	cairn_errors errors = {0};

	(void)state;
	assert_int_equal(
		cairn_workflow_load(&workflow, "no.ini", NULL, 0, fake_registry(), &errors),
		CAIRN_EIO);
	assert_null(workflow);
	assert_int_equal(errors.n, 1);
	assert_string_equal(errors.items[0].message, "cannot read 'no.ini'");
	assert_string_equal(errors.items[0].detail, "No such file or directory");
	assert_string_equal(errors.items[0].hint,
		"Give the path of a workflow file; `cairn init` writes a first one.");
	cairn_errors_free(&errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workflow_errors__file),
		cmocka_unit_test(test_workflow_errors__head),
		cmocka_unit_test(test_workflow_errors__interpolate),
		cmocka_unit_test(test_workflow_errors__several),
		cmocka_unit_test(test_workflow_errors__bytes_that_are_no_text),
		cmocka_unit_test(test_workflow_errors__unreadable_file),
	};

	return cmocka_run_group_tests(tests, fake_enter, fake_leave);
}
