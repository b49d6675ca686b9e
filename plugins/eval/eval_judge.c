/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eval_judge.c - who wins: by simulated labelers, by a reward model; and how well that reward
 * model predicts people.
 */
#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "eval.h"
#include "gpt/rlhf.h"
#include "gpt/train_lm.h"

/* ---- labelers -------------------------------------------------------------------------- */

/* The next name of a list separated by commas or blanks; *len 0 at its end. */
static const char *next_name(const char *list, size_t *len)
{
	list += strspn(list, ", \t\n");
	*len = strcspn(list, ", \t\n");
	return list;
}

static int labeler_key(eval_stage *self, const char *name, size_t len, uint64_t *key)
{
	char stream[128];

	if (snprintf(stream, sizeof(stream), "labeler %.*s", (int)len, name) >= (int)sizeof(stream))
		return self->work.host->fail(
			self->work.run, CAIRN_EPARAM, "a labeler's name has %zu bytes", len);
	*key = self->work.host->rng_key(self->work.run, stream);
	return 0;
}

int eval_open_labelers(eval_stage *self)
{
	const char *members = self->params->members, *name;
	cairn_error err = {0};
	size_t len;
	int code = 0;

	if (!*self->params->utility)
		return 0;
	if (gpt_utility_parse(&self->utility, self->params->utility, &err))
		return gpt_report(&self->work, &err);
	self->has_labelers = true;
	/* A list of n bytes has fewer than n + 1 names; without names there is one labeler. */
	self->labeler = cairn_alloc(strlen(members) + 1, sizeof(*self->labeler));
	if (!self->labeler)
		return gpt_no_memory(&self->work, "labelers");
	for (name = next_name(members, &len); len > 0 && !code; name = next_name(name + len, &len))
		code = labeler_key(self, name, len, &self->labeler[self->n_labelers++]);
	if (!code && self->n_labelers == 0)
		code = labeler_key(self, "", 0, &self->labeler[self->n_labelers++]);
	return code;
}

static const gpt_row *row_of(const eval_stage *self, size_t completion)
{
	size_t prompt = completion / (size_t)self->params->K;

	return &self->rows.rows[self->prompts.row[prompt]];
}

static int find_utilities(eval_stage *self, eval_side *side)
{
	side->utility = cairn_alloc(side->said.n, sizeof(*side->utility));
	if (!side->utility)
		return gpt_no_memory(&self->work, "utilities");
	for (size_t i = 0; i < side->said.n; i++)
		side->utility[i] = gpt_utility_of(&self->utility, side->text[i],
			row_of(self, i)->answer, side->said.ended[i]);
	return 0;
}

/* 1: the model's answer is better, 0: worse, 1/2: a tie. Equal answers always tie. */
static double labeler_says(const eval_stage *self, size_t i, uint64_t key)
{
	double utility[2] = {self->model.utility[i], self->baseline.utility[i]};
	int32_t ranks[2];

	if (self->model.said.ended[i] == self->baseline.said.ended[i] &&
		strcmp(self->model.text[i], self->baseline.text[i]) == 0)
		return 0.5;
	gpt_utility_rank(utility, 2, self->params->noise, key, i, ranks);
	if (ranks[0] == ranks[1])
		return 0.5;
	return ranks[0] < ranks[1] ? 1 : 0;
}

/* ---- wins ------------------------------------------------------------------------------ */

/* The rate over prompts from the shares of pairs. */
static void conclude(const eval_stage *self, eval_wins *wins)
{
	double n = (double)self->n_prompts, won = 0;

	for (size_t i = 0; i < self->model.said.n; i++)
		won += wins->share[i] / (double)self->params->K;
	wins->rate = won / n;
	rlhf_wilson(won, n, &wins->low, &wins->high);
}

static int judge_by_labelers(eval_stage *self)
{
	eval_wins *wins = &self->by_labelers;

	wins->share = cairn_alloc(self->model.said.n, sizeof(*wins->share));
	if (!wins->share)
		return gpt_no_memory(&self->work, "judgments");
	for (size_t i = 0; i < self->model.said.n; i++) {
		double won = 0;

		for (size_t m = 0; m < self->n_labelers; m++) {
			double says = labeler_says(self, i, self->labeler[m]);

			won += says;
			wins->n_ties += says == 0.5;
			wins->n_judgments++;
		}
		wins->share[i] = won / (double)self->n_labelers;
	}
	conclude(self, wins);
	return 0;
}

static int find_rewards(eval_stage *self, eval_side *side)
{
	gpt_seq *seqs = NULL;
	int32_t *store = NULL;
	int code = gpt_completions_seqs(&side->said, &self->work, &seqs, &store);

	side->reward = cairn_alloc(side->said.n, sizeof(*side->reward));
	if (!code && !side->reward)
		code = gpt_no_memory(&self->work, "rewards");
	if (!code)
		code = gpt_scores(&self->work, self->reward, seqs, side->said.n,
			CAIRN_ACCOUNT_REWARD, side->reward);
	free(store);
	free(seqs);
	return code;
}

static int judge_by_reward(eval_stage *self)
{
	eval_wins *wins = &self->by_reward;

	wins->share = cairn_alloc(self->model.said.n, sizeof(*wins->share));
	if (!wins->share)
		return gpt_no_memory(&self->work, "judgments");
	for (size_t i = 0; i < self->model.said.n; i++) {
		double a = self->model.reward[i], b = self->baseline.reward[i];

		wins->share[i] = a == b ? 0.5 : a > b ? 1 : 0;
		wins->n_ties += a == b;
		wins->n_judgments++;
	}
	conclude(self, wins);
	return 0;
}

int eval_judge(eval_stage *self)
{
	bool compares = self->baseline.model != NULL;
	int code = 0;

	if (self->has_labelers)
		code = find_utilities(self, &self->model);
	if (!code && self->has_labelers && compares)
		code = find_utilities(self, &self->baseline);
	if (!code && self->has_labelers && compares)
		code = judge_by_labelers(self);
	if (!code && self->reward)
		code = find_rewards(self, &self->model);
	if (!code && self->reward && compares)
		code = find_rewards(self, &self->baseline);
	if (!code && self->reward && compares)
		code = judge_by_reward(self);
	return code;
}

/* ---- the reward model against people ----------------------------------------------------- */

static int score_rankings(eval_stage *self, const gpt_rows *rows, const gpt_examples *examples)
{
	double *score = cairn_alloc(examples->n, sizeof(*score));
	int code;

	if (!score)
		return gpt_no_memory(&self->work, "scores");
	code = gpt_scores(&self->work, self->reward, examples->seqs, examples->n,
		CAIRN_ACCOUNT_REWARD, score);
	if (!code)
		code = gpt_accuracy_of(
			&self->rm_accuracy, &self->work, rows, examples, score, false);
	free(score);
	return code;
}

int eval_rankings(eval_stage *self)
{
	const gpt_work *work = &self->work;
	gpt_rows rows = {0};
	gpt_examples examples = {0};
	gpt_limits limits;
	int code;

	if (!self->reward || !gpt_bound(work, "rankings"))
		return 0;
	/* As the reward model was trained: `max_new` is for what is drawn here, not for these. */
	code = gpt_limits_set(
		&limits, work, self->params->max_prompt, 0, self->reward->config.n_ctx);
	if (!code)
		code = gpt_rows_load(&rows, work->host, work->run, "rankings");
	if (!code)
		code = gpt_examples_make(&examples, work, &rows, self->tokenizer, &limits,
			GPT_EXAMPLE_CANDIDATES, "rankings");
	if (!code)
		code = score_rankings(self, &rows, &examples);
	gpt_examples_free(&examples);
	gpt_rows_free(&rows);
	return code;
}
