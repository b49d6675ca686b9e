/* SPDX-License-Identifier: Apache-2.0 */
/* Accuracies and their intervals, against counts by hand. */
#include "gpt/train_accuracy.h"

#include <math.h>
#include <stdio.h>

#include "gpt/rlhf.h"
#include "test.h"

#define MAX_ROWS 64

static const int32_t better_first[] = {0, 1}, three[] = {0, 1, 1};

/* n rankings of two completions, `copies` of each prompt; the first `right` prompts are scored
 * rightly. */
static gpt_accuracy of_pairs(size_t n, size_t copies, size_t right)
{
	static char prompts[MAX_ROWS][32];
	gpt_row rows[MAX_ROWS];
	gpt_seq seqs[2 * MAX_ROWS] = {{0}};
	size_t row[2 * MAX_ROWS], count = n * copies;
	double score[2 * MAX_ROWS];
	gpt_rows set = {.rows = rows, .n = count};
	gpt_examples examples = {.seqs = seqs, .row = row, .n = 2 * count};
	gpt_work work = {0};
	gpt_accuracy out;

	assert_true(count <= MAX_ROWS);
	for (size_t i = 0; i < count; i++) {
		/* Copies are apart, as rankings by several labelers may be. */
		size_t prompt = i % n;

		(void)snprintf(prompts[prompt], sizeof(prompts[0]), "p%zu", prompt);
		rows[i] = (gpt_row){
			.prompt = prompts[prompt], .ranks = better_first, .n_completions = 2};
		row[2 * i] = row[2 * i + 1] = i;
		score[2 * i] = prompt < right ? 1 : -1;
		score[2 * i + 1] = 0;
	}
	assert_int_equal(gpt_accuracy_of(&out, &work, &set, &examples, score, false), 0);
	return out;
}

/* One pair a prompt: pairs are independent, and Wilson's interval of n - 1 of them it is (the
 * variance is estimated, which costs one). */
static void test_gpt_accuracy__is_wilsons_for_independent_pairs(void **state)
{
	gpt_accuracy found = of_pairs(20, 1, 14);
	double low, high;

	(void)state;
	rlhf_wilson(0.7 * 19, 19, &low, &high);
	assert_true(fabs(found.share - 0.7) < 1e-12);
	assert_true(fabs(found.low - low) < 1e-9);
	assert_true(fabs(found.high - high) < 1e-9);
	assert_true(found.n_pairs == 20 && found.n_prompts == 20);
}

/* Ranked thrice, a prompt tells no more than once. */
static void test_gpt_accuracy__goes_by_prompts(void **state)
{
	gpt_accuracy once = of_pairs(20, 1, 14), thrice = of_pairs(20, 3, 14);

	(void)state;
	assert_true(thrice.n_pairs == 60 && thrice.n_prompts == 20);
	assert_true(fabs(once.share - thrice.share) < 1e-12);
	assert_true(fabs(once.low - thrice.low) < 1e-9);
	assert_true(fabs(once.high - thrice.high) < 1e-9);
}

/* All right is not surely right. */
static void test_gpt_accuracy__all_right_is_not_sure(void **state)
{
	gpt_accuracy found = of_pairs(10, 2, 10);
	double low, high;

	(void)state;
	rlhf_wilson(10, 10, &low, &high);
	assert_true(found.share == 1 && found.high == high && found.low == low);
	assert_true(low < 0.75);
}

/* A tie is no pair; equal scores are half right; the loss is a mean over rankings. */
static void test_gpt_accuracy__counts_ties(void **state)
{
	gpt_row row = {.prompt = "p", .ranks = three, .n_completions = 3};
	gpt_seq seqs[3] = {{0}};
	size_t of[3] = {0, 0, 0};
	double score[] = {1, 0, 1};
	gpt_rows set = {.rows = &row, .n = 1};
	gpt_examples examples = {.seqs = seqs, .row = of, .n = 3};
	gpt_work work = {0};
	gpt_accuracy found;

	(void)state;
	assert_int_equal(gpt_accuracy_of(&found, &work, &set, &examples, score, false), 0);
	assert_true(found.n_pairs == 2 && found.share == 0.75);
	assert_true(fabs(found.loss - (log(1 + exp(-1)) + log(2)) / 2) < 1e-12);
	assert_int_equal(gpt_accuracy_of(&found, &work, &set, &examples, score, true), 0);
	assert_true(fabs(found.loss - (log(1 + exp(-1)) + log(2)) / 3) < 1e-12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gpt_accuracy__is_wilsons_for_independent_pairs),
		cmocka_unit_test(test_gpt_accuracy__goes_by_prompts),
		cmocka_unit_test(test_gpt_accuracy__all_right_is_not_sure),
		cmocka_unit_test(test_gpt_accuracy__counts_ties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
