/* SPDX-License-Identifier: Apache-2.0 */
/* when.c - expressions: what they mean, and what is none. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "fake.h"
#include "workflow/when.h"

/* rm:a is 0.5, sft:b is 3, anything else nan. */
static bool evaluate(const char *text)
{
	cairn_arena *arena = cairn_arena_new();
	cairn_error err = {0};
	double values[64];
	cairn_when *when;
	bool answer;

	if (cairn_when_parse(&when, text, arena, &err) < 0)
		fail_msg("%s: %s (%s)", text, err.message, err.detail);
	for (size_t i = 0; i < when->n_refs; i++)
		values[i] = strcmp(when->refs[i].stage, "rm") == 0    ? 0.5
			    : strcmp(when->refs[i].stage, "sft") == 0 ? 3
								      : NAN;
	answer = cairn_when_holds(when, values);
	cairn_arena_free(arena);
	return answer;
}

static void test_workflow_when__what_it_means(void **state)
{
	static const char *const yes[] = {"rm:a >= 0.5", "rm:a>=.5", "0.4<rm:a", "sft:b == 3",
		"rm:a < sft:b", "not rm:a > 1", "rm:a > 1 or sft:b > 1",
		/* `and` binds tighter, `not` tightest */
		"sft:b > 1 or rm:a > 1 and rm:a > 2", "not rm:a > 1 and sft:b > 1",
		"not (rm:a < 1 and sft:b < 1)", "not not rm:a < 1", "((rm:a != 1))",
		"nobody:x != 1", "not nobody:x == 1", "rm:a > -1e3"};
	static const char *const no[] = {"rm:a > 0.5", "sft:b != 3", "nobody:x == nobody:x",
		"nobody:x < 1", "nobody:x >= 1", "(sft:b > 1 or rm:a > 1) and rm:a > 2"};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(yes); i++) {
		if (!evaluate(yes[i]))
			fail_msg("should hold: %s", yes[i]);
	}
	for (size_t i = 0; i < CAIRN_COUNT(no); i++) {
		if (evaluate(no[i]))
			fail_msg("should not hold: %s", no[i]);
	}
}

static void test_workflow_when__names_each_metric_once(void **state)
{
	cairn_arena *arena = cairn_arena_new();
	cairn_when *when;

	(void)state;
	assert_int_equal(
		cairn_when_parse(&when, "eval@brief,x:objective/kl < 1 and rm:a > 0 or rm:a < -1",
			arena, NULL),
		0);
	assert_int_equal(when->n_refs, 2);
	assert_string_equal(when->refs[0].stage, "eval@brief,x");
	assert_string_equal(when->refs[0].metric, "objective/kl");
	assert_string_equal(when->refs[1].stage, "rm");
	cairn_arena_free(arena);
}

static void test_workflow_when__what_is_none(void **state)
{
	static const struct {
		const char *text, *message, *detail;
	} cases[] = {
		{"", "a number or STAGE:METRIC", "it ends after ''"},
		{"rm:a", "<, <=, >, >=, == or !=", "it ends after 'rm:a'"},
		{"rm:a >", "a number or STAGE:METRIC", "it ends after 'rm:a >'"},
		{"rm:a = 1", "<, <=, >, >=, == or !=", "not '=', at '= 1'"},
		{"rm:a => 1", "<, <=, >, >=, == or !=", "not '=>', at '=> 1'"},
		{"accuracy > 1", "a number or STAGE:METRIC", "not 'accuracy', at 'accuracy > 1'"},
		{":a > 1", "a number or STAGE:METRIC", "not ':a'"},
		{"rm: > 1", "a number or STAGE:METRIC", "not 'rm:'"},
		{"rm:a > 1 rm:a > 2", "`and`, `or` or the end", "not 'rm:a', at 'rm:a > 2'"},
		{"(rm:a > 1", "a closing parenthesis", "it ends after"},
		{"rm:a > 1)", "`and`, `or` or the end", "not ')'"},
		{"not", "a number or STAGE:METRIC", "it ends after 'not'"},
		{"1 < 2 < 3", "`and`, `or` or the end", "not '<'"},
	};

	(void)state;
	for (size_t i = 0; i < CAIRN_COUNT(cases); i++) {
		cairn_arena *arena = cairn_arena_new();
		cairn_error err = {0};
		cairn_when *when;

		assert_int_equal(
			cairn_when_parse(&when, cases[i].text, arena, &err), CAIRN_EWORKFLOW);
		if (!strstr(err.message, cases[i].message) || !strstr(err.detail, cases[i].detail))
			fail_msg("%s: %s (%s)", cases[i].text, err.message, err.detail);
		assert_true(err.hint[0] != '\0');
		cairn_arena_free(arena);
	}
}

static void test_workflow_when__has_limits(void **state)
{
	cairn_arena *arena = cairn_arena_new();
	cairn_error err = {0};
	cairn_text text = {0};
	cairn_when *when;

	(void)state;
	for (int i = 0; i < 1000; i++)
		cairn_text_add(&text, "not ");
	cairn_text_add(&text, "1 > 2");
	assert_int_equal(cairn_when_parse(&when, text.data, arena, &err), CAIRN_EWORKFLOW);
	assert_non_null(strstr(err.message, "more than 32 deep"));
	cairn_text_clear(&text);
	err = (cairn_error){0};
	for (int i = 0; i < 65; i++)
		cairn_text_printf(&text, "%ss:m%d > 1", i ? " or " : "", i);
	assert_int_equal(cairn_when_parse(&when, text.data, arena, &err), CAIRN_EWORKFLOW);
	assert_non_null(strstr(err.message, "more than 64 metrics"));
	cairn_text_free(&text);
	cairn_arena_free(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workflow_when__what_it_means),
		cmocka_unit_test(test_workflow_when__names_each_metric_once),
		cmocka_unit_test(test_workflow_when__what_is_none),
		cmocka_unit_test(test_workflow_when__has_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
