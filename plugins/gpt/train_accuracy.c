/* SPDX-License-Identifier: Apache-2.0 */
/* train_accuracy.c - sums over the rankings of a prompt, then over prompts. */
#include "gpt/train_accuracy.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "gpt/rlhf.h"

/* A ranking's pairs. */
struct part {
	const char *prompt;
	size_t place; /* among the rankings: keeps the order of additions */
	double n_right, n_pairs;
};

static int by_prompt(const void *a, const void *b)
{
	const struct part *x = a, *y = b;
	int order = strcmp(x->prompt, y->prompt);

	return order ? order : (x->place > y->place) - (x->place < y->place);
}

/* Wilson's interval for as many independent pairs as these are worth: the variance of the
 * share, as a ratio of sums over prompts, tells how many. Where it tells nothing (all prompts
 * alike), a prompt is worth one pair. */
static void fill_interval(gpt_accuracy *out, const struct part *parts, size_t n)
{
	double square = 0, worth;

	for (size_t i = 0; i < n;) {
		const char *prompt = parts[i].prompt;
		double k = 0, pairs = 0;

		for (; i < n && strcmp(parts[i].prompt, prompt) == 0; i++) {
			k += parts[i].n_right;
			pairs += parts[i].n_pairs;
		}
		out->n_prompts++;
		square += (k - out->share * pairs) * (k - out->share * pairs);
	}
	worth = out->n_prompts;
	if (out->n_prompts > 1 && square > 0)
		worth = out->share * (1 - out->share) * out->n_pairs * out->n_pairs *
			(out->n_prompts - 1) / (square * out->n_prompts);
	worth = fmin(worth, out->n_pairs);
	rlhf_wilson(out->share * worth, worth, &out->low, &out->high);
}

int gpt_accuracy_of(gpt_accuracy *out, const gpt_work *work, const gpt_rows *rows,
	const gpt_examples *examples, const double *score, bool divide_by_all)
{
	struct part *parts = cairn_alloc(examples->n + 1, sizeof(*parts));
	gpt_accuracy sum = {0};
	double right = 0;
	size_t n = 0;

	if (!parts)
		return gpt_no_memory(work, "an accuracy");
	for (size_t i = 0; i < examples->n; n++) {
		const gpt_row *row = &rows->rows[examples->row[i]];
		int32_t n_pairs = 0;

		parts[n].prompt = row->prompt;
		parts[n].place = n;
		sum.loss += rlhf_ranking_loss(score + i, row->ranks, row->n_completions,
			divide_by_all, NULL, &n_pairs, &parts[n].n_right);
		parts[n].n_pairs = n_pairs;
		sum.n_pairs += n_pairs;
		right += parts[n].n_right;
		i += (size_t)row->n_completions;
	}
	sum.n_rankings = (double)n;
	sum.loss = n > 0 ? sum.loss / (double)n : NAN;
	sum.share = sum.n_pairs > 0 ? right / sum.n_pairs : NAN;
	sum.low = sum.high = NAN;
	if (sum.n_pairs > 0) {
		qsort(parts, n, sizeof(*parts), by_prompt);
		fill_interval(&sum, parts, n);
	}
	free(parts);
	*out = sum;
	return 0;
}
