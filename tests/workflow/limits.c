/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.c - every stated limit is met with an error, and work grows with the file.
 *
 * No clock: where a step looked at all pairs of 20,000 stages, the time limit of the test
 * program would end it.
 */
#include <string.h>
#include <unistd.h>

#include "fake.h"

static cairn_text told;

/* Loads t.ini and checks the first line of what is told. */
static void check_told(const char *wanted)
{
	const char *text;

	fake_mistakes(&told, NULL, 0);
	text = cairn_text_get(&told);
	if (strncmp(text, wanted, strlen(wanted)) != 0)
		fail_msg("told\n%s\nrather than\n%s", text, wanted);
}

static void write_text(const char *path, cairn_text *text)
{
	assert_false(text->failed);
	fake_write_bytes(path, text->data, text->len);
	cairn_text_free(text);
}

static void test_workflow_limits__size_of_the_file(void **state)
{
	(void)state;
	fake_write("t.ini", FAKE_HEAD);
	assert_int_equal(truncate("t.ini", (16 << 20) + 1), 0);
	check_told("error: 't.ini' is too large\n"
		   "detail: a workflow and its includes have at most 16777216 bytes\n");
}

static void test_workflow_limits__depth_of_includes(void **state)
{
	char name[32], text[64];

	(void)state;
	fake_write("t.ini", "include = i1.ini\n" FAKE_HEAD);
	for (int i = 1; i <= 9; i++) {
		snprintf(name, sizeof(name), "i%d.ini", i);
		snprintf(text, sizeof(text), i < 8 ? "include = i%d.ini\n" : "; %d\n", i + 1);
		fake_write(name, text);
	}
	check_told("");
	assert_int_equal(told.len, 0);
	fake_write("i8.ini", "include = i9.ini\n");
	check_told("error: too many files included: 'i9.ini'\n"
		   "  at i8.ini:1\n"
		   "detail: at most 256 files, and 8 levels of files in files\n");
}

static void test_workflow_limits__instances(void **state)
{
	cairn_text text = {0};

	(void)state;
	cairn_text_add(&text, FAKE_HEAD "[axis a]\nvalues =\n");
	for (int i = 0; i < 1001; i++)
		cairn_text_printf(&text, " %d\n", i);
	cairn_text_add(&text, "[axis b]\nvalues =\n");
	for (int i = 0; i < 1000; i++)
		cairn_text_printf(&text, " %d\n", i);
	cairn_text_add(&text, "[axis c]\nvalues = 1 2 3\n"
			      "[stage s]\nplugin = node\nforeach = a b c\n");
	write_text("t.ini", &text);
	check_told("error: too many stages once axes are expanded\n"
		   "  at t.ini:2010, section [stage s]\n"
		   "detail: at most 1000000\n"
		   "hint: Take fewer values, or split the workflow.\n");
}

static void test_workflow_limits__interpolation(void **state)
{
	cairn_text text = {0};

	(void)state;
	/* Doubling 40 times: a terabyte, were it not for the limit. */
	cairn_text_add(&text, FAKE_HEAD "[params]\np0 = 1234567890\n");
	for (int i = 1; i < 40; i++)
		cairn_text_printf(&text, "p%d = ${p%d}${p%d}\n", i, i - 1, i - 1);
	write_text("t.ini", &text);
	check_told("error: '${p16}${p16}' is too long once ${...} is replaced\n"
		   "  at t.ini:21, section [params]\n"
		   "detail: at most 1048576 bytes\n");
	/* A chain that is met from its far end. */
	cairn_text_add(&text, FAKE_HEAD "[params]\n");
	for (int i = 0; i < 40; i++)
		cairn_text_printf(&text, "p%d = ${p%d}\n", i, i + 1);
	cairn_text_add(&text, "p40 = 1\n");
	write_text("t.ini", &text);
	check_told("error: ${...} is nested too deeply in '${p32}'\n"
		   "  at t.ini:35, section [params]\n"
		   "detail: at most 32 levels\n");
	cairn_text_add(&text, FAKE_HEAD "[stage a]\nplugin = wide\ntemplate = ");
	for (int i = 0; i < 34; i++)
		cairn_text_add(&text, "${");
	write_text("t.ini", &text);
	check_told("error: ${...} is nested too deeply in '${${");
}

static void test_workflow_limits__mistakes_that_are_told(void **state)
{
	cairn_text text = {0};

	(void)state;
	cairn_text_add(&text, FAKE_HEAD);
	for (int i = 0; i < 130; i++)
		cairn_text_printf(&text, "[stage s%d]\nplugin = nod\n", i);
	write_text("t.ini", &text);
	fake_mistakes(&told, NULL, 0);
	assert_non_null(strstr(cairn_text_get(&told), "  at t.ini:4, section [stage s0]\n"));
	assert_non_null(strstr(cairn_text_get(&told), "  at t.ini:202, section [stage s99]\n"));
	assert_null(strstr(cairn_text_get(&told), "section [stage s100]\n"));
	assert_non_null(strstr(cairn_text_get(&told), "error: 30 more mistakes are not shown\n"));
}

static void test_workflow_limits__many_stages(void **state)
{
	enum {
		N = 20000
	};
	size_t found = fake_found();
	cairn_text text = {0};
	cairn_workflow *workflow;

	(void)state;
	cairn_text_add(&text, FAKE_HEAD);
	for (int i = 0; i < N; i++) /* backwards, so that sorting has work to do */
		cairn_text_printf(&text, "[stage s%d]\nplugin = node\ninput.in = s%d:out s%d:out\n",
			i, i + 1, i + 2);
	cairn_text_printf(
		&text, "[stage s%d]\nplugin = node\n[stage s%d]\nplugin = node\n", N, N + 1);
	workflow = fake_load(cairn_text_get(&text));
	assert_int_equal(workflow->n_instances, N + 2);
	assert_int_equal(fake_found() - found, 1);
	assert_string_equal(workflow->instances[N + 1].name, "s0");
	assert_int_equal(workflow->instances[N + 1].bindings[0].instance, N);
	cairn_workflow_free(workflow);
	cairn_text_free(&text);
}

/* What a checked workflow of n stages holds, beside its text. */
static size_t bytes_of(int n)
{
	cairn_text text = {0};
	cairn_workflow *workflow;
	size_t bytes;

	cairn_text_add(&text, FAKE_HEAD "[stage s0]\nplugin = node\n");
	for (int i = 1; i < n; i++)
		cairn_text_printf(
			&text, "[stage s%d]\nplugin = node\ninput.in = s%d:out\n", i, i - 1);
	workflow = fake_load(cairn_text_get(&text));
	bytes = cairn_arena_size(workflow->arena);
	cairn_workflow_free(workflow);
	cairn_text_free(&text);
	return bytes;
}

static void test_workflow_limits__memory_grows_with_the_file(void **state)
{
	size_t small = bytes_of(2000), large = bytes_of(20000);

	(void)state;
	assert_in_range(large, 9 * small, 11 * small);
	assert_in_range(large, 0, 20000 * 450);
}

static void test_workflow_limits__many_of_everything_in_one_section(void **state)
{
	enum {
		N = 20000
	};
	cairn_text text = {0};
	cairn_workflow *workflow;

	(void)state;
	cairn_text_add(&text, FAKE_HEAD "[params]\n");
	for (int i = 0; i < N; i++)
		cairn_text_printf(&text, "p%d = %d\n", i, i);
	cairn_text_add(&text, "[stage a]\nplugin = wide\ntemplate =\n");
	for (int i = 0; i < N; i++)
		cairn_text_printf(&text, "  ${p%d}\n", i);
	workflow = fake_load(cairn_text_get(&text));
	assert_int_equal(workflow->n_params, N);
	assert_int_equal(strlen(fake_value(workflow, "a", "template")),
		10 + 2 * 90 + 3 * 900 + 4 * 9000 + 5 * 10000 + N - 1);
	cairn_workflow_free(workflow);
	cairn_text_free(&text);
}

static void test_workflow_limits__many_instances(void **state)
{
	cairn_text text = {0};
	cairn_workflow *workflow;

	(void)state;
	cairn_text_add(&text, FAKE_HEAD "[axis a]\nvalues =\n");
	for (int i = 0; i < 200; i++)
		cairn_text_printf(&text, " %d\n", i);
	cairn_text_add(&text, "[axis b]\nvalues = 0 1 2 3 4 5 6 7 8 9\n"
			      "[stage s]\nplugin = wide\nforeach = a b\nlr = 0.5\n"
			      "[stage t]\nplugin = wide\nforeach = b a\ninput.in = s:out\n"
			      "[stage all]\nplugin = node\ninput.in = t@*:out\n");
	workflow = fake_load(cairn_text_get(&text));
	assert_int_equal(workflow->n_instances, 4001);
	assert_int_equal(workflow->instances[4000].n_bindings, 2000);
	/* One table of values for all that say the same. */
	assert_ptr_equal(cairn_workflow_find(workflow, "s@0,0", NULL)->values,
		cairn_workflow_find(workflow, "s@199,9", NULL)->values);
	assert_string_equal(
		cairn_workflow_find(workflow, "t@7,123", NULL)->bindings[0].text, "s@123,7:out");
	cairn_workflow_free(workflow);
	cairn_text_free(&text);
}

/* Whatever the bytes: an answer, and the same one twice. */
static void test_workflow_limits__any_bytes(void **state)
{
	static const char alphabet[] =
		"[]=:;#@*$${}\\ \t\n\n\nabst01,./stage plugin=node\nworkflow";
	uint64_t random = 88172645463325252u;
	char bytes[512];
	cairn_text first = {0};

	(void)state;
	for (int round = 0; round < 2000; round++) {
		size_t len = 0;

		for (; len < sizeof(bytes); len++) {
			random ^= random << 13;
			random ^= random >> 7;
			random ^= random << 17;
			if (random % 97 == 0)
				break;
			bytes[len] = round % 4 ? alphabet[random % (sizeof(alphabet) - 1)]
					       : (char)(random >> 8);
		}
		fake_write_bytes("t.ini", bytes, len);
		fake_mistakes(&first, NULL, 0);
		fake_mistakes(&told, NULL, 0);
		assert_true(first.len > 0); /* nothing so short has a name by chance */
		assert_string_equal(cairn_text_get(&first), cairn_text_get(&told));
	}
	cairn_text_free(&first);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workflow_limits__size_of_the_file),
		cmocka_unit_test(test_workflow_limits__depth_of_includes),
		cmocka_unit_test(test_workflow_limits__instances),
		cmocka_unit_test(test_workflow_limits__interpolation),
		cmocka_unit_test(test_workflow_limits__mistakes_that_are_told),
		cmocka_unit_test(test_workflow_limits__many_stages),
		cmocka_unit_test(test_workflow_limits__memory_grows_with_the_file),
		cmocka_unit_test(test_workflow_limits__many_of_everything_in_one_section),
		cmocka_unit_test(test_workflow_limits__many_instances),
		cmocka_unit_test(test_workflow_limits__any_bytes),
	};
	int failed = cmocka_run_group_tests(tests, fake_enter, fake_leave);

	cairn_text_free(&told);
	return failed;
}
