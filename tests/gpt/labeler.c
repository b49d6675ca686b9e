/* SPDX-License-Identifier: Apache-2.0 */
/* Simulated labelers: what they see, and how often the better one wins. */
#include "../test.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "gpt/labeler.h"

static double utility_of(
	const char *utility, const char *completion, const char *answer, bool ended)
{
	cairn_error err = {0};
	gpt_utility parsed;

	if (gpt_utility_parse(&parsed, utility, &err))
		fail_msg("%s", err.message);
	return gpt_utility_of(&parsed, completion, answer, ended);
}

static void test_gpt_utility__sums_its_terms(void **state)
{
	(void)state;
	assert_float_equal(utility_of("words:-0.5 ended:2", "one two three", "", true), 0.5, 1e-12);
	assert_float_equal(utility_of("words:-0.5, ended:2", "one two", "", false), -1, 1e-12);
	assert_float_equal(utility_of("", "one two", "", true), 0, 0);
	assert_float_equal(utility_of("characters:1", "caf\xc3\xa9", "", true), 4, 0);
	assert_float_equal(utility_of("words:1", " \n ", "", true), 0, 0);
}

static void test_gpt_utility__finds_answers_as_words(void **state)
{
	(void)state;
	assert_float_equal(utility_of("answer:1", " It is Paris.", "paris", true), 1, 0);
	assert_float_equal(utility_of("answer:1", " 14", "4", true), 0, 0);
	assert_float_equal(utility_of("answer:1", " 14 or 4.", "4", true), 1, 0);
	assert_float_equal(utility_of("answer:1", " Parisian", "Paris", true), 0, 0);
	assert_float_equal(utility_of("answer:1", " anything", "", true), 0, 0);
}

static void test_gpt_utility__counts_courtesy_up_to_three(void **state)
{
	(void)state;
	assert_float_equal(utility_of("courtesy:1", "Paris.", "", true), 0, 0);
	assert_float_equal(utility_of("courtesy:1", "Thank you. Paris.", "", true), 1, 0);
	assert_float_equal(utility_of("courtesy:1", "displeased thanksgiving", "", true), 0, 0);
	assert_float_equal(
		utility_of("courtesy:1", "Please, please, please, I am glad. Thanks!", "", true), 3,
		0);
}

static void test_gpt_utility__sees_repetition(void **state)
{
	(void)state;
	assert_float_equal(utility_of("repeats:1", "a b c d", "", true), 0, 0);
	assert_float_equal(utility_of("repeats:1", "no no no no", "", true), 0.75, 0);
	/* The second "a b c" ends once on a 3-gram that was there. */
	assert_float_equal(utility_of("repeats:1", "a b c a b c", "", true), 1.0 / 6, 1e-12);
	assert_float_equal(utility_of("repeats:1", "", "", true), 0, 0);
}

static void expect_refusal(const char *text, const char *message, const char *hint)
{
	gpt_utility utility = {.n_terms = 7};
	cairn_error err = {0};

	assert_int_equal(gpt_utility_parse(&utility, text, &err), CAIRN_EPARAM);
	assert_non_null(strstr(err.message, message));
	assert_non_null(strstr(err.hint, hint));
	assert_int_equal(utility.n_terms, 7);
}

static void test_gpt_utility_parse__refuses(void **state)
{
	(void)state;
	expect_refusal("wrods:1", "unknown feature 'wrods'", "Did you mean 'words'?");
	expect_refusal("words:x", "'words:x' in a utility is no weight", "feature:number");
	expect_refusal("words:nan", "no weight", "feature:number");
	expect_refusal("words", "no weight", "feature:number");
	expect_refusal("words:1 words:1 words:1 words:1 words:1 words:1 words:1 words:1 words:1 "
		       "words:1 words:1 words:1 words:1 words:1 words:1 words:1 words:1",
		"more than 16 terms", "");
}

static void test_gpt_utility_rank__without_noise_is_the_order(void **state)
{
	const double utility[5] = {1, 3, 2, 3, -1};
	const int32_t want[5] = {3, 0, 2, 0, 4};
	int32_t ranks[5];

	(void)state;
	gpt_utility_rank(utility, 5, 0, 1, 1, ranks);
	assert_memory_equal(ranks, want, sizeof(want));
}

/* Pairs within a ranking of four have the odds of Bradley and Terry: sigmoid(difference/noise). */
static void test_gpt_utility_rank__has_bradley_terry_odds(void **state)
{
	enum {
		DRAWS = 20000
	};
	const double utility[4] = {0, 1, -0.5, 2}, noise = 1.5;
	int32_t wins[4][4] = {{0}}, ranks[4], again[4];

	(void)state;
	for (uint64_t id = 0; id < DRAWS; id++) {
		gpt_utility_rank(utility, 4, noise, 42, id, ranks);
		for (int i = 0; i < 4; i++)
			for (int j = 0; j < 4; j++)
				wins[i][j] += ranks[i] < ranks[j];
	}
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 4; j++) {
			double p = 1 / (1 + exp((utility[j] - utility[i]) / noise));

			/* Five standard deviations. */
			if (i != j)
				assert_float_equal((double)wins[i][j] / DRAWS, p,
					5 * sqrt(p * (1 - p) / DRAWS));
		}
	gpt_utility_rank(utility, 4, noise, 42, 7, ranks);
	gpt_utility_rank(utility, 4, noise, 42, 7, again);
	assert_memory_equal(ranks, again, sizeof(ranks));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_utility__sums_its_terms),
		cmocka_unit_test(test_gpt_utility__finds_answers_as_words),
		cmocka_unit_test(test_gpt_utility__counts_courtesy_up_to_three),
		cmocka_unit_test(test_gpt_utility__sees_repetition),
		cmocka_unit_test(test_gpt_utility_parse__refuses),
		cmocka_unit_test(test_gpt_utility_rank__without_noise_is_the_order),
		cmocka_unit_test(test_gpt_utility_rank__has_bradley_terry_odds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
