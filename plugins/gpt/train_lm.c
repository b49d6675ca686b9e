/* SPDX-License-Identifier: Apache-2.0 */
/* train_lm.c - loops over micro-batches; see train_lm.h. */
#include "gpt/train_lm.h"

/* micro->x: log-probabilities; micro->y, where the sum is detailed: entropies. */
static void add_micro(const gpt_work *work, const gpt_model *model, gpt_lm_sum *sum)
{
	const gpt_micro *micro = &work->micro;
	size_t rows = micro->count * (size_t)micro->batch.T;

	for (size_t i = 0; i < rows; i++) {
		if (micro->target[i] < 0)
			continue;
		sum->nll -= (double)micro->x[i];
		sum->n_counted++;
	}
	sum->n_tokens += micro->real;
	if (!sum->detailed)
		return;
	gpt_best(model, micro->x);
	for (size_t i = 0; i < rows; i++) {
		sum->entropy += (double)micro->y[i]; /* 0 where nothing is counted, and so is x */
		sum->n_best += micro->x[i] > 0;
	}
}

int gpt_lm_backward(gpt_work *work, gpt_model *model, const gpt_seq *seqs, size_t n, double scale,
	gpt_lm_sum *sum)
{
	for (size_t at = 0; at < n; at += work->micro.count) {
		gpt_micro *micro = &work->micro;
		cairn_error err = {0};
		int code = gpt_work_forward(work, model, seqs, n, at, GPT_ROWS_PREDICT, true);

		if (code)
			return code;
		for (size_t i = 0; i < micro->count * (size_t)micro->batch.T; i++)
			micro->y[i] = micro->target[i] < 0 ? 0 : (cairn_real)-scale;
		gpt_work_account(work, work->account_backward);
		if (gpt_logprobs_backward(model, micro->target, 1.0, micro->y, micro->x,
			    sum->detailed ? micro->y : NULL, &err))
			return gpt_report(work, &err);
		add_micro(work, model, sum);
	}
	return 0;
}

int gpt_lm_evaluate(
	gpt_work *work, gpt_model *model, const gpt_seq *seqs, size_t n, gpt_lm_sum *sum)
{
	for (size_t at = 0; at < n; at += work->micro.count) {
		gpt_micro *micro = &work->micro;
		cairn_error err = {0};
		int code = gpt_work_forward(work, model, seqs, n, at, GPT_ROWS_PREDICT, false);

		if (code)
			return code;
		if (gpt_logprobs(model, micro->target, 1.0, micro->x,
			    sum->detailed ? micro->y : NULL, &err))
			return gpt_report(work, &err);
		add_micro(work, model, sum);
	}
	return 0;
}

static double mean(double value, uint64_t n)
{
	return n > 0 ? value / (double)n : 0.0;
}

double gpt_lm_mean(const gpt_lm_sum *sum)
{
	return mean(sum->nll, sum->n_counted);
}

double gpt_lm_entropy(const gpt_lm_sum *sum)
{
	return mean(sum->entropy, sum->n_counted);
}

double gpt_lm_accuracy(const gpt_lm_sum *sum)
{
	return mean((double)sum->n_best, sum->n_counted);
}

/* Runs one micro-batch under an account of its own. */
static int forward_as(gpt_work *work, gpt_model *model, const gpt_seq *seqs, size_t n, size_t at,
	enum gpt_rows_form form, int account)
{
	int kept = work->account_forward, code;

	work->account_forward = account;
	code = gpt_work_forward(work, model, seqs, n, at, form, false);
	work->account_forward = kept;
	return code;
}

int gpt_lm_logprobs(gpt_work *work, gpt_model *model, const gpt_seq *seqs, size_t n,
	double temperature, int account, cairn_real *logprob, cairn_real *entropy)
{
	gpt_micro *micro = &work->micro;
	size_t out = 0;

	for (size_t at = 0; at < n; at += micro->count) {
		cairn_error err = {0};
		int code = forward_as(work, model, seqs, n, at, GPT_ROWS_PREDICT, account);

		if (code)
			return code;
		if (gpt_logprobs(model, micro->target, temperature, micro->x,
			    entropy ? micro->y : NULL, &err))
			return gpt_report(work, &err);
		for (size_t b = 0; b < micro->count; b++) {
			const gpt_seq *seq = &seqs[at + b];

			for (int32_t j = seq->first; j < seq->n; j++, out++) {
				size_t row = gpt_micro_row(micro, b, j);

				logprob[out] = micro->x[row];
				if (entropy)
					entropy[out] = micro->y[row];
			}
		}
	}
	return 0;
}

int gpt_scores(
	gpt_work *work, gpt_model *model, const gpt_seq *seqs, size_t n, int account, double *score)
{
	gpt_micro *micro = &work->micro;

	for (size_t at = 0; at < n; at += micro->count) {
		cairn_error err = {0};
		int code = forward_as(work, model, seqs, n, at, GPT_ROWS_SCORE, account);

		if (code)
			return code;
		if (gpt_values(model, micro->x, &err))
			return gpt_report(work, &err);
		for (size_t b = 0; b < micro->count; b++) {
			size_t last = gpt_micro_row(micro, b, micro->lengths[b]);

			score[at + b] =
				model->reward_gain * (double)micro->x[last] + model->reward_bias;
		}
	}
	return 0;
}
